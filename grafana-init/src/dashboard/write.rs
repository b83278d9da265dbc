//! How dashboards are written: one request each, which never takes the place of what somebody else wrote meanwhile. Nothing is sent here.

use common::net::http::Call;
use serde_json::{Value, json};

use crate::dashboard::read::{ANNOTATION, Held};
use crate::server::part;

/// Never with `overwrite`: up to 11.1 that lands in whichever dashboard of the folder bears the title.
pub(super) fn classic(uid: &str, folder: &str, mut body: Value, held: Option<&Held>) -> Call {
    body["uid"] = json!(uid);
    body["id"] = Value::Null;
    if let Some(held) = held {
        body["version"] = held.version.clone();
    }
    // Left out, the folder would be the root (every version).
    let body = json!({"dashboard": body, "folderUid": folder, "overwrite": false});
    Call::post("/api/dashboards/db", body.to_string())
}

/// A resource below `path`, with the resource version that was read.
pub(super) fn resource(path: &str, version: &str, uid: &str, folder: &str, spec: &Value, held: Option<&Held>) -> Call {
    let mut metadata = held.map_or_else(|| json!({}), |held| held.metadata.clone());
    metadata["name"] = json!(uid);
    if folder.is_empty() {
        if let Some(annotations) = metadata["annotations"].as_object_mut() {
            annotations.remove(ANNOTATION);
        }
    } else {
        metadata["annotations"][ANNOTATION] = json!(folder);
    }
    match held {
        Some(held) => metadata["resourceVersion"] = held.version.clone(),
        // Without it a dashboard that is made here has no permissions at all (12.4).
        None => metadata["annotations"]["grafana.app/grant-permissions"] = json!("default"),
    }
    let api = format!("dashboard.grafana.app/{version}");
    let body = json!({"apiVersion": api, "kind": "Dashboard", "metadata": metadata, "spec": spec}).to_string();
    match held {
        Some(_) => Call::put(format!("{path}/{}", part(uid)), body),
        None => Call::post(path, body),
    }
}
