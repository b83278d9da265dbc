//! Writing dashboards: one request each, which never takes the place of what somebody else wrote meanwhile.

use common::engine::change::Failure;
use serde_json::{Value, json};

use crate::dashboard::read::{ANNOTATION, Held, resources};
use crate::scope::Scope;
use crate::server::part;

/// Never with `overwrite`: up to 11.1 that lands in whichever dashboard of the folder bears the title.
pub(super) fn classic(
    scope: &Scope,
    uid: &str,
    folder: &str,
    mut body: Value,
    held: Option<&Held>,
) -> Result<(), Failure> {
    body["uid"] = json!(uid);
    body["id"] = Value::Null;
    if let Some(held) = held {
        body["version"] = held.version.clone();
    }
    // Left out, the folder would be the root (every version).
    let body = json!({"dashboard": body, "folderUid": folder, "overwrite": false});
    scope.post("/api/dashboards/db", &body).map(drop)
}

/// A `v2` resource, with the resource version that was read.
pub(super) fn resource(
    scope: &Scope,
    version: &str,
    uid: &str,
    folder: &str,
    spec: &Value,
    held: Option<&Held>,
) -> Result<(), Failure> {
    let path = resources(version, &scope.namespace());
    let mut metadata = held.map_or_else(|| json!({}), |held| held.metadata.clone());
    metadata["name"] = json!(uid);
    if folder.is_empty() {
        if let Some(annotations) = metadata["annotations"].as_object_mut() {
            annotations.remove(ANNOTATION);
        }
    } else {
        metadata["annotations"][ANNOTATION] = json!(folder);
    }
    let api = format!("dashboard.grafana.app/{version}");
    if let Some(held) = held {
        metadata["resourceVersion"] = held.version.clone();
        let body = json!({"apiVersion": api, "kind": "Dashboard", "metadata": metadata, "spec": spec});
        return scope.put(&format!("{path}/{}", part(uid)), &body).map(drop);
    }
    // Without it a dashboard that is made here has no permissions at all (12.4).
    metadata["annotations"]["grafana.app/grant-permissions"] = json!("default");
    let body = json!({"apiVersion": api, "kind": "Dashboard", "metadata": metadata, "spec": spec});
    scope.post(&path, &body).map(drop)
}
