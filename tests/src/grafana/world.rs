//! Everything that a set of every kind leaves on a server, so that two runs can be compared; and the same set with every object changed.

use serde_json::{Value, json};

use super::Target;

impl Target {
    /// What two runs must agree on, secrets included: without numbers, times, versions and what a server makes up.
    pub fn world(&self) -> Value {
        let mut all: Vec<Value> = [
            "/api/datasources",
            "/api/search?limit=5000",
            "/api/folders/platform",
            "/api/folders/platform/permissions",
            "/api/dashboards/uid/home",
            "/api/library-elements/lp",
            "/api/teams/search?name=ops",
            "/api/serviceaccounts/search?query=ci",
            "/api/v1/provisioning/contact-points/export?format=json&decrypt=true",
            "/api/v1/provisioning/mute-timings",
            "/api/v1/provisioning/templates",
            "/api/v1/provisioning/policies",
            "/api/v1/provisioning/alert-rules",
            "/api/org/preferences",
        ]
        .map(|path| {
            let (status, body) = self.ask("GET", path, &Value::Null);
            json!({"path": path, "status": status, "body": body})
        })
        .into();
        all.iter_mut().for_each(strip);
        Value::Array(all)
    }
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for made in [
                "id",
                "version",
                "created",
                "updated",
                "updatedBy",
                "createdBy",
                "sortMeta",
                "tokens",
                "avatarUrl",
                "folderId",
            ] {
                fields.remove(made);
            }
            // Teams, service accounts and mail integrations get theirs from the server.
            if fields.get("uid").and_then(Value::as_str).is_some_and(|uid| uid.len() == 14) {
                fields.remove("uid");
            }
            for number in ["teamId", "teamUid", "userId", "userUid", "dashboardId"] {
                fields.remove(number);
            }
            fields.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

/// The files of `every_kind` with every object changed, so that each kind's update is sent.
pub fn changed(files: Vec<(&'static str, Value)>) -> Vec<(&'static str, Value)> {
    let change = |(path, mut body): (&'static str, Value)| {
        match path.split('/').next().expect("a path has a first part") {
            "teams" => body["email"] = json!("other@example.com"),
            "service_accounts" => body["role"] = json!("Viewer"),
            "datasources" => body["url"] = json!("http://other:9090"),
            "library_panels" => body["model"]["options"] = json!({"content": "other"}),
            "dashboards" if path.ends_with("_folder.json") => {
                body = json!({"uid": "platform", "title": "Renamed", "permissions": [{"team": "ops", "permission": "Admin"}]});
            }
            "dashboards" => body["title"] = json!("Another home"),
            "contact_points" if path.ends_with("hook.json") => body["settings"]["url"] = json!("http://other/x"),
            "contact_points" => body[0]["settings"]["addresses"] = json!("other@example.com"),
            "mute_timings" => body["time_intervals"] = json!([{"weekdays": ["monday"]}]),
            "message_templates" => body["template"] = json!("other text"),
            "notification_policy.json" => body["group_interval"] = json!("7m"),
            "alert_rules" => body["interval"] = json!(120),
            "preferences.json" => body["theme"] = json!("light"),
            _ => {}
        }
        (path, body)
    };
    files.into_iter().map(change).collect()
}
