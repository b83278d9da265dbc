//! Every dashboard of the server as a file that is found unchanged: in its folder's directory, under its title, in the form that the server
//! stores it in.

use std::collections::BTreeSet;

use common::engine::change::Failure;
use common::engine::document::take_field;
use common::engine::kind::Exported;
use serde_json::json;

use crate::folder::{FILE, paths};
use crate::resource::Api;
use crate::scope::Scope;
use crate::server::part;

/// All but those that a file on the server provides.
pub(super) fn export(scope: &Scope) -> Result<Vec<Exported>, Failure> {
    let folders = paths(scope)?;
    let rows = scope.pages("/api/search?type=dash-db&sort=alpha-asc", "limit", "")?;
    // An unstable order may show one twice.
    let uids: BTreeSet<String> = rows.iter().filter_map(|row| row["uid"].as_str().map(str::to_owned)).collect();
    let mut taken = BTreeSet::new();
    let mut exported = Vec::new();
    for uid in uids {
        let Some(mut whole) = scope.get(&format!("/api/dashboards/uid/{}", part(&uid)))? else { continue };
        if whole["meta"]["provisioned"] == true {
            continue;
        }
        let place = whole["meta"]["folderUid"].as_str().unwrap_or_default();
        let mut path = vec!["dashboards".to_owned()];
        path.extend(folders.get(place).into_iter().flatten().map(|(name, _)| name.clone()));
        let mut body = take_field(&mut whole, "dashboard");
        let title = body["title"].as_str().unwrap_or(&uid).to_owned();
        if let Some(version) = whole["meta"]["apiVersion"].as_str().filter(|version| version.starts_with("v2")) {
            let api = Api::dashboards(version, version, scope.namespace());
            if let Some(resource) = api.get(scope.client(), &uid)? {
                body = json!({"apiVersion": format!("dashboard.grafana.app/{version}"), "kind": "Dashboard",
                    "metadata": {"name": uid}, "spec": resource.spec});
            }
        } else if let Some(fields) = body.as_object_mut() {
            fields.remove("id");
            fields.remove("version");
        }
        let plain = title != FILE && !title.starts_with('.');
        let name = if plain && taken.insert((path.clone(), title.clone())) { title } else { uid };
        path.push(format!("{name}.json"));
        let text = serde_json::to_string_pretty(&body).expect("a value prints as JSON") + "\n";
        exported.push(Exported { path, text, placeholders: Vec::new() });
    }
    Ok(exported)
}
