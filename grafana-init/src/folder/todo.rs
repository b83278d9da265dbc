//! What is sent for one folder: made through the old API, and changed through it too, unless the folder has a manager or is to have our name. Which
//! folders differ is not known here.

use std::collections::BTreeMap;

use common::engine::change::{Change, Failure};
use common::net::http::Call;
use serde_json::{Value, json};

use crate::identity::managed_by;
use crate::permission;
use crate::resource::{KUBECTL, Resource};
use crate::scope::{Scope, seen};
use crate::server::part;

/// What has to be done to one folder.
#[derive(Debug, Default)]
pub(super) struct Todo {
    pub(super) uid: String,
    pub(super) title: String,
    pub(super) parent: String,
    pub(super) exists: bool,
    pub(super) moves: bool,
    pub(super) renames: bool,
    /// The one write of a folder that is written as a resource.
    pub(super) put: Option<Call>,
    pub(super) permissions: Option<BTreeMap<String, i64>>,
}

/// What is sent for one folder.
#[derive(Debug)]
pub(crate) struct Step {
    pub(super) calls: Vec<Call>,
    /// The uid of the folder, where the first call makes it.
    pub(super) makes: Option<String>,
    /// Who is to have rights and is not there.
    pub(super) unknown: Vec<permission::Unknown>,
}

impl Todo {
    /// The change, with what its manager makes of it. The list does not tell who that is: where folders carry our name the resource does, else
    /// only what would be written is asked for it.
    pub(super) fn judge(
        &mut self,
        scope: &Scope,
        mut resource: Option<Resource>,
        change: Change,
    ) -> Result<Change, Failure> {
        if !self.exists || (resource.is_none() && !change.writes()) {
            return Ok(change);
        }
        if resource.is_none() {
            let body = seen(scope.client(), &format!("/api/folders/{}", part(&self.uid)))?.unwrap_or(Value::Null);
            let kind = body["managedBy"].as_str().unwrap_or_default();
            if kind.is_empty() {
                return Ok(change);
            }
            if kind == KUBECTL {
                // It does not say whose: that may be ours.
                resource = scope.folders()?.get(scope.client(), &self.uid)?;
            }
            if resource.is_none() {
                return Ok(change.locked(managed_by(kind)));
            }
        }
        let Some(Resource { spec, manager, held, .. }) = resource else { return Ok(change) };
        let (others, managed) = (change.differences.len(), scope.server.manages());
        let change = manager.judge(change.differences, managed);
        if self.moves || self.renames || change.differences.len() > others {
            let mut spec = spec.as_object().cloned().unwrap_or_default();
            spec.insert("title".to_owned(), json!(self.title));
            self.put = Some(scope.folders()?.write(&self.uid, &self.parent, &spec.into(), Some(&held), managed));
            (self.moves, self.renames) = (false, false);
        }
        Ok(change)
    }

    pub(super) fn step(&mut self, scope: &Scope) -> Result<Step, Failure> {
        let path = format!("/api/folders/{}", part(&self.uid));
        let (mut calls, mut unknown) = (Vec::new(), Vec::new());
        if !self.exists {
            let mut body = json!({"uid": self.uid, "title": self.title});
            if !self.parent.is_empty() {
                body["parentUid"] = json!(self.parent);
            }
            calls.push(Call::post("/api/folders", body.to_string()));
        }
        calls.extend(self.put.take());
        if self.moves {
            calls.push(Call::post(format!("{path}/move"), json!({"parentUid": self.parent}).to_string()));
        }
        if self.renames {
            calls.push(Call::put(&path, json!({"title": self.title, "overwrite": true}).to_string()));
        }
        if let Some(permissions) = &self.permissions {
            let (call, lacks) = permission::request(scope, &permission::of_folder(&self.uid), permissions)?;
            calls.push(call);
            unknown = lacks;
        }
        Ok(Step { calls, makes: (!self.exists).then(|| self.uid.clone()), unknown })
    }
}
