//! Dashboards and folders as the resource API of Grafana 12 and later has them: one is read and written whole, and what others put beside it is
//! kept. Here is also who manages one. What a spec means is its kind's matter.

use common::engine::change::{Change, Class, Difference, Failure, Shown};
use common::engine::document::take_field;
use common::net::http::{Call, Client};
use serde_json::{Value, json};

use crate::identity::{PROVISIONED, managed_by};
use crate::server::part;

/// Where a resource keeps its folder.
const FOLDER: &str = "grafana.app/folder";
const MANAGER: &str = "grafana.app/managedBy";
const MANAGER_ID: &str = "grafana.app/managerId";
/// What Grafana calls a tool that writes resources: it knows a few words only, and takes any other for nobody.
pub(crate) const KUBECTL: &str = "kubectl";
/// What stands there with `GRAFANA_MANAGED=true`.
const OURS: (&str, &str) = (KUBECTL, "grafana-init");

/// A sort of resource, in a version that the server serves.
pub(crate) struct Api {
    group: &'static str,
    plural: &'static str,
    kind: &'static str,
    version: String,
    namespace: String,
    /// What is to be done where that version is not served.
    remedy: String,
}

/// Who manages a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Manager {
    Nobody,
    /// This program, in an earlier run with `GRAFANA_MANAGED=true`.
    Ours,
    /// Somebody else, who allows edits.
    Lenient,
    /// Somebody else, with the reason why it is not written.
    Other(String),
}

/// What a write needs to know of the server's side.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    /// A resource's version, or a classic dashboard's.
    pub(crate) version: Value,
    /// A resource's annotations and labels; null of a classic dashboard.
    pub(crate) metadata: Value,
}

/// One as the server holds it.
#[derive(Clone, Debug)]
pub(crate) struct Resource {
    pub(crate) spec: Value,
    /// The uid of its folder; empty in the root.
    pub(crate) folder: String,
    pub(crate) manager: Manager,
    pub(crate) held: Held,
}

impl Api {
    /// Dashboards; the server prefers another version.
    pub(crate) fn dashboards(version: &str, preferred: &str, namespace: String) -> Self {
        let remedy = if version == CLASSIC {
            "unset GRAFANA_MANAGED, which writes classic dashboards through it".to_owned()
        } else {
            format!("export the file from it again, it prefers {preferred}")
        };
        let (group, plural, kind) = ("dashboard.grafana.app", "dashboards", "Dashboard");
        Self { group, plural, kind, version: version.to_owned(), namespace, remedy }
    }

    /// Folders, in the version that the server prefers.
    pub(crate) fn folders(version: String, namespace: String) -> Self {
        let (group, plural, kind) = ("folder.grafana.app", "folders", "Folder");
        Self { group, plural, kind, version, namespace, remedy: "unset GRAFANA_MANAGED".to_owned() }
    }

    /// Where the resources are.
    pub(crate) fn path(&self) -> String {
        let Self { group, plural, version, namespace, .. } = self;
        format!("/apis/{group}/{version}/namespaces/{namespace}/{plural}")
    }

    /// One; `None` where it is not there, or the caller is not told.
    pub(crate) fn get(&self, client: &Client, name: &str) -> Result<Option<Resource>, Failure> {
        let call = Call::get(format!("{}/{}", self.path(), part(name)));
        let reply = client.send(&call.accept(403).accept(404))?;
        if reply.status == 403 {
            return Ok(None);
        }
        let mut whole = reply.json()?;
        if reply.status == 404 {
            // A version that is not served is a 404 too; it names no object.
            if whole["details"]["name"].is_null() {
                let Self { plural, version, remedy, .. } = self;
                let text = format!("this server does not serve {plural} in version {version}: {remedy}");
                return Err(Failure::rejected(text));
            }
            return Ok(None);
        }
        let annotations = &whole["metadata"]["annotations"];
        let manager = Manager::of(annotations);
        let folder = annotations[FOLDER].as_str().unwrap_or_default().to_owned();
        // A write adds annotations to these.
        let kept = annotations.as_object();
        let metadata = json!({"annotations": kept, "labels": whole["metadata"]["labels"]});
        let held = Held { version: whole["metadata"]["resourceVersion"].clone(), metadata };
        Ok(Some(Resource { spec: take_field(&mut whole, "spec"), folder, manager, held }))
    }

    /// Makes it, or puts it in the place of what was read, under our name or nobody's.
    pub(crate) fn write(&self, name: &str, folder: &str, spec: &Value, held: Option<&Held>, managed: bool) -> Call {
        let mut metadata = held.map_or_else(|| json!({}), |held| held.metadata.clone());
        metadata["name"] = json!(name);
        let mut annotations = metadata["annotations"].as_object().cloned().unwrap_or_default();
        match (Manager::of(&metadata["annotations"]), managed) {
            (Manager::Nobody, true) => {
                annotations.insert(MANAGER.to_owned(), json!(OURS.0));
                annotations.insert(MANAGER_ID.to_owned(), json!(OURS.1));
            }
            (Manager::Ours, false) => annotations.retain(|key, _| key != MANAGER && key != MANAGER_ID),
            _ => {}
        }
        if folder.is_empty() {
            annotations.remove(FOLDER);
        } else {
            annotations.insert(FOLDER.to_owned(), json!(folder));
        }
        match held {
            Some(held) => metadata["resourceVersion"] = held.version.clone(),
            // Without it a dashboard that is made here has no permissions at all (12.4).
            None => drop(annotations.insert("grafana.app/grant-permissions".to_owned(), json!("default"))),
        }
        metadata["annotations"] = annotations.into();
        let api = format!("{}/{}", self.group, self.version);
        let body = json!({"apiVersion": api, "kind": self.kind, "metadata": metadata, "spec": spec}).to_string();
        match held {
            Some(_) => Call::put(format!("{}/{}", self.path(), part(name)), body),
            None => Call::post(self.path(), body),
        }
    }

    /// Puts our name on what was just made. Grafana takes no manager together with the wish for default permissions.
    pub(crate) fn claim(&self, client: &Client, name: &str) -> Result<(), Failure> {
        let made = self.get(client, name)?;
        let made =
            made.ok_or_else(|| Failure::new(Class::Again, "it was made, but this user may not read it back yet"))?;
        client.send(&self.write(name, &made.folder, &made.spec, Some(&made.held), true)).map(drop)
    }
}

/// The version that keeps a classic model word for word.
pub(crate) const CLASSIC: &str = "v0alpha1";

impl Manager {
    fn of(annotations: &Value) -> Self {
        let text = |name: &str| annotations[name].as_str();
        let Some(manager) = text(MANAGER) else { return Self::Nobody };
        let id = text(MANAGER_ID);
        if (manager, id.unwrap_or_default()) == OURS {
            return Self::Ours;
        }
        if text("grafana.app/managerAllowsEdits") == Some("true") {
            return Self::Lenient;
        }
        let who = id.map(|id| format!(" ({id})")).unwrap_or_default();
        Self::Other(match manager {
            "classic-file-provisioning" => PROVISIONED.to_owned(),
            _ => managed_by(&format!("{manager}{who}")),
        })
    }

    /// The change that differences are, with that of the manager: what is ours has our name, or nobody's.
    pub(crate) fn judge(self, mut differences: Vec<Difference>, managed: bool) -> Change {
        let (kind, id) = OURS;
        let name = Shown::text(&format!("{kind} ({id})"));
        match (&self, managed) {
            (Self::Nobody, true) => differences.push(Difference::new("/managedBy", Shown::Absent, name)),
            (Self::Ours, false) => differences.push(Difference::new("/managedBy", name, Shown::Absent)),
            _ => {}
        }
        let change = Change::update(differences);
        match self {
            Self::Other(reason) => change.locked(reason),
            _ => change,
        }
    }
}
