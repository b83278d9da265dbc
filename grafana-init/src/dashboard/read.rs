//! Reading dashboards: one of the server's beside the one that a file declares, through the API that keeps the file's form. Runs on a few
//! threads; nothing is remembered here.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use common::engine::change::{Change, Difference, Failure, Shown};
use common::engine::diff::{Writing, diff, mask};
use common::engine::document::take_field;
use common::files::Object;
use common::net::http::{Call, Client};
use serde_json::{Value, json};

use crate::dashboard::form::{Model, normal, normal_v2, read};
use crate::dashboard::inputs::Resolver;
use crate::identity::{PROVISIONED, managed_by};
use crate::permission;
use crate::scope::seen;
use crate::server::part;

/// Where a resource keeps its folder.
pub(super) const ANNOTATION: &str = "grafana.app/folder";

/// What a write needs to know of the server's side.
#[derive(Clone, Debug)]
pub(super) struct Held {
    /// A classic dashboard's version, or a resource's.
    pub(super) version: Value,
    pub(super) metadata: Value,
}

/// The path of a version of the resource API.
pub(super) fn resources(version: &str, namespace: &str) -> String {
    format!("/apis/dashboard.grafana.app/{version}/namespaces/{namespace}/dashboards")
}

/// The file's dashboard with its inputs resolved, and the inputs that nothing stands for.
pub(super) fn model_of(object: &Object, resolver: &Resolver) -> Result<(Model, Vec<String>), Failure> {
    let model =
        object.value().and_then(|value| read(value).map_err(|(at, why)| Failure::rejected(format!("{at}: {why}"))));
    let mut model = model?;
    let open = resolver.resolve(&model.inputs, &mut model.body).map_err(Failure::rejected)?;
    Ok((model, open))
}

/// What the reading threads share.
pub(super) struct Reader<'r> {
    pub(super) client: &'r Client,
    pub(super) resolver: &'r Resolver,
    pub(super) namespace: String,
    pub(super) resources: Option<String>,
    /// Large ones are read one at a time: both sides of one of a megabyte, taken apart, are some 12 MB.
    pub(super) large: Mutex<()>,
}

/// From how many bytes on a file is large.
const LARGE: u64 = 200_000;

/// What was found of one dashboard.
pub(super) struct Looked {
    pub(super) change: Change,
    pub(super) held: Option<Held>,
    /// Its own entries, where they were to be read.
    pub(super) entries: Option<BTreeMap<String, i64>>,
    /// Inputs that nothing stands for.
    pub(super) open: Vec<String>,
}

impl Reader<'_> {
    pub(super) fn look(&self, object: &Object, uid: &str, folder: &str, entries: bool) -> Result<Looked, Failure> {
        let large = std::fs::metadata(&object.path).is_ok_and(|file| file.len() > LARGE);
        let _turn = large.then(|| self.large.lock().unwrap_or_else(PoisonError::into_inner));
        let (mut model, open) = model_of(object, self.resolver)?;
        let found = match &model.resource {
            Some(version) => self.resource(version, uid)?,
            None => seen(self.client, &format!("/api/dashboards/uid/{}", part(uid)))?.map(|mut whole| {
                let held = Held { version: whole["dashboard"]["version"].clone(), metadata: Value::Null };
                let place = whole["meta"]["folderUid"].as_str().unwrap_or_default().to_owned();
                let locked = (whole["meta"]["provisioned"] == true).then(|| PROVISIONED.to_owned());
                (take_field(&mut whole, "dashboard"), place, locked, held)
            }),
        };
        let Some((mut body, place, mut locked, held)) = found else {
            return Ok(Looked { change: Change::create(), held: None, entries: None, open });
        };
        let normal = if model.resource.is_some() { normal_v2 } else { normal };
        normal(&mut body);
        normal(&mut model.body);
        let mut differences = diff(Writing::Replaces, &body, &model.body);
        mask(&mut differences, &object.masked);
        if place != folder {
            differences.push(Difference::new("/folderUid", Shown::text(&place), Shown::text(folder)));
        }
        // Which repository keeps a dashboard only its resource tells; only what would be written is asked for it.
        if !differences.is_empty()
            && locked.is_none()
            && model.resource.is_none()
            && let Some(version) = &self.resources
            && let Some(whole) = seen(self.client, &format!("{}/{}", resources(version, &self.namespace), part(uid)))?
        {
            locked = managed(&whole["metadata"]["annotations"]);
        }
        let change = Change::update(differences);
        let change = match locked {
            Some(reason) => change.locked(reason),
            None => change,
        };
        let path = permission::of_dashboard(uid);
        let entries = entries.then(|| permission::own(self.client, &path)).transpose()?;
        Ok(Looked { change, held: Some(held), entries, open })
    }

    fn resource(&self, version: &str, uid: &str) -> Result<Option<(Value, String, Option<String>, Held)>, Failure> {
        let Some(preferred) = &self.resources else {
            let text =
                format!("a resource of version {version} needs Grafana 12 or later: this server has no resource API");
            return Err(Failure::rejected(text));
        };
        let path = format!("{}/{}", resources(version, &self.namespace), part(uid));
        let reply = self.client.send(&Call::get(&path).accept(403).accept(404))?;
        if reply.status == 403 {
            return Ok(None);
        }
        let mut whole = reply.json()?;
        if reply.status == 404 {
            // A version that is not served is a 404 too; it names no object.
            if whole["details"]["name"].is_null() {
                let text = format!(
                    "this server does not serve dashboards in version {version} (it prefers {preferred}): export the file from it again"
                );
                return Err(Failure::rejected(text));
            }
            return Ok(None);
        }
        let annotations = &whole["metadata"]["annotations"];
        let locked = managed(annotations);
        let place = annotations[ANNOTATION].as_str().unwrap_or_default().to_owned();
        // A write adds annotations to these.
        let kept = annotations.as_object();
        let metadata = json!({"annotations": kept, "labels": whole["metadata"]["labels"]});
        let held = Held { version: whole["metadata"]["resourceVersion"].clone(), metadata };
        Ok(Some((take_field(&mut whole, "spec"), place, locked, held)))
    }
}

fn managed(annotations: &Value) -> Option<String> {
    let manager = annotations["grafana.app/managedBy"].as_str()?;
    if annotations["grafana.app/managerAllowsEdits"] == "true" {
        return None;
    }
    let who = annotations["grafana.app/managerId"].as_str().map(|id| format!(" ({id})")).unwrap_or_default();
    Some(match manager {
        "classic-file-provisioning" => PROVISIONED.to_owned(),
        _ => managed_by(&format!("{manager}{who}")),
    })
}
