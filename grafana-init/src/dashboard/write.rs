//! How a classic dashboard is written through the old API: one request, which never takes the place of what somebody else wrote meanwhile.
//! Nothing is sent here.

use common::net::http::Call;
use serde_json::{Value, json};

use crate::resource::Held;

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
