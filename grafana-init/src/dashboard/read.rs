//! Reading dashboards: one of the server's beside the one that a file declares, through the API that keeps the file's form. Runs on a few
//! threads; nothing is remembered here.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use common::engine::change::{Change, Difference, Failure, Shown};
use common::engine::diff::{Writing, diff, mask};
use common::engine::document::take_field;
use common::files::Object;
use common::net::http::Client;
use serde_json::Value;

use crate::dashboard::form::{Model, normal, normal_v2, read};
use crate::dashboard::inputs::Resolver;
use crate::identity::PROVISIONED;
use crate::permission;
use crate::resource::{Api, CLASSIC, Held, Manager, Resource};
use crate::scope::seen;
use crate::server::part;

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
    /// The version of the resource API that the server prefers.
    pub(super) resources: Option<String>,
    /// Whether dashboards carry our name.
    pub(super) managed: bool,
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
        let found = match self.through(&model) {
            Some(version) => self.api(version)?.get(self.client, uid)?,
            None => seen(self.client, &format!("/api/dashboards/uid/{}", part(uid)))?.map(classic),
        };
        let Some(Resource { spec: mut body, folder: place, mut manager, mut held }) = found else {
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
        // Who manages a dashboard only its resource tells; only what would be written is asked for it. With a manager it is written as
        // what it was then read as.
        if !differences.is_empty()
            && manager == Manager::Nobody
            && self.through(&model).is_none()
            && let Some(version) = &self.resources
            && let Some(resource) = self.api(version)?.get(self.client, uid)?
            && resource.manager != Manager::Nobody
        {
            (manager, held) = (resource.manager, resource.held);
        }
        let change = manager.judge(differences, self.managed);
        let path = permission::of_dashboard(uid);
        let entries = entries.then(|| permission::own(self.client, &path)).transpose()?;
        Ok(Looked { change, held: Some(held), entries, open })
    }

    /// The version of the resource API that a dashboard is read and written through; `None` is the old API.
    fn through<'m>(&self, model: &'m Model) -> Option<&'m str> {
        model.resource.as_deref().or(self.managed.then_some(CLASSIC))
    }

    fn api(&self, version: &str) -> Result<Api, Failure> {
        api(version, self.resources.as_deref(), self.namespace.clone())
    }
}

/// The dashboards in a version of the resource API.
pub(super) fn api(version: &str, preferred: Option<&str>, namespace: String) -> Result<Api, Failure> {
    let text = || format!("a resource of version {version} needs Grafana 12 or later: this server has no resource API");
    Ok(Api::dashboards(version, preferred.ok_or_else(|| Failure::rejected(text()))?, namespace))
}

/// What the old API says of a dashboard.
fn classic(mut whole: Value) -> Resource {
    let held = Held { version: whole["dashboard"]["version"].clone(), metadata: Value::Null };
    let provisioned = whole["meta"]["provisioned"] == true;
    Resource {
        folder: whole["meta"]["folderUid"].as_str().unwrap_or_default().to_owned(),
        manager: if provisioned { Manager::Other(PROVISIONED.to_owned()) } else { Manager::Nobody },
        spec: take_field(&mut whole, "dashboard"),
        held,
    }
}
