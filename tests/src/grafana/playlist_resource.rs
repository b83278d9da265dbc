//! Playlists as resources: `/apis/playlist.grafana.app`. Every version has them; each shows them in its own way.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Profile;
use super::answer::Answer;
use super::field::{fingerprint, seconds, text};
use super::managed_fields::managed_fields;
use super::playlist::{change, items, lacks_items, store};
use super::resource::status;
use super::route::Call;
use super::state::Playlist;

const GROUP: &str = "playlist.grafana.app";

pub(super) fn route(call: &mut Call<'_>, method: &str, version: &str, name: &[&str]) -> Option<Answer> {
    Some(match (method, name) {
        ("GET", []) => list(call, version),
        ("POST", []) => create(call, version),
        ("GET", [name]) => {
            let one = call.org().playlists.get(*name).cloned()?;
            Answer::json(200, shown(call, &one, version))
        }
        ("PUT", [name]) => update(call, version, name)?,
        _ => return None,
    })
}

fn shown(call: &Call<'_>, one: &Playlist, version: &str) -> Value {
    let mut body = json!({"kind": "Playlist", "apiVersion": format!("{GROUP}/{version}"), "metadata": metadata(call, one),
        "spec": {"title": one.name, "interval": one.interval, "items": one.items}});
    if call.profile >= Profile::V11 {
        body["status"] = json!({});
    }
    body
}

fn metadata(call: &Call<'_>, one: &Playlist) -> Value {
    let made = &one.made;
    let mut metadata = json!({"name": one.uid, "namespace": "default", "creationTimestamp": seconds(made.created)});
    if call.profile.has_resources() {
        metadata["uid"] = json!(made.resource_uid);
        metadata["resourceVersion"] = json!(made.resource_version.to_string());
        metadata["generation"] = json!(one.generation);
        metadata["annotations"] = json!({"grafana.app/createdBy": format!("user:{}", made.created_by.uid)});
        if let Some(by) = &made.updated_by {
            metadata["annotations"]["grafana.app/updatedBy"] = json!(format!("user:{}", by.uid));
            metadata["annotations"]["grafana.app/updatedTimestamp"] = json!(seconds(made.updated));
        }
        if let Some(fields) = &made.managed_fields {
            metadata["managedFields"] = fields.clone();
        }
        return metadata;
    }
    // Up to 11.6 they lie in the database, and the resource is made of a row.
    let mark = fingerprint(&one.uid).repeat(3);
    metadata["uid"] = json!(format!("{}X", &mark[..43]));
    metadata["resourceVersion"] = json!((made.resource_version / 1000).to_string());
    metadata["annotations"] = json!({"grafana.app/updatedTimestamp": seconds(made.updated)});
    if call.profile == Profile::V10 {
        metadata["annotations"]["grafana.app/originKey"] = json!(one.id.to_string());
        metadata["annotations"]["grafana.app/originName"] = json!("SQL");
    } else {
        metadata["labels"] = json!({"grafana.app/deprecatedInternalID": one.id.to_string()});
    }
    metadata
}

fn list(call: &mut Call<'_>, version: &str) -> Answer {
    let all: Vec<Playlist> = call.org().playlists.values().cloned().collect();
    let resources = call.profile.has_resources();
    let rows = all.iter().map(|one| {
        // 12.4 shows each in the version that it stores.
        let mut row = shown(call, one, if resources { "v1" } else { version });
        if let Some(row) = row.as_object_mut().filter(|_| !resources) {
            row.remove("kind");
            row.remove("apiVersion");
        }
        row
    });
    let rows: Vec<Value> = rows.collect();
    let metadata =
        if resources { json!({"resourceVersion": call.state.resource_version().to_string()}) } else { json!({}) };
    let body = json!({"kind": "PlaylistList", "apiVersion": format!("{GROUP}/{version}"), "metadata": metadata, "items": rows});
    Answer::json(200, body)
}

fn create(call: &mut Call<'_>, version: &str) -> Answer {
    let spec = call.body["spec"].clone();
    let items = items(&spec);
    if lacks_items(call.profile, &items) {
        let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "no element on slice when insert", "code": 500});
        return Answer::json(500, body);
    }
    let name = text(&call.body["metadata"], "name").to_owned();
    if call.org().playlists.contains_key(&name) {
        let details = json!({"name": name, "group": GROUP, "kind": "playlists"});
        return status(409, "AlreadyExists", &format!("playlists.{GROUP} \"{name}\" already exists"), &details);
    }
    let before = call.org().clone();
    let one = store(call, &name, text(&spec, "title"), text(&spec, "interval"), items);
    let mut body = shown(call, &one, version);
    if call.request.query("dryRun") == Some("All") {
        *call.org() = before;
        body["metadata"] = json!({"name": name, "namespace": "default", "uid": one.made.resource_uid,
            "creationTimestamp": seconds(Timestamp::now()), "managedFields": managed_fields(call, GROUP, version)});
    }
    Answer::json(201, body)
}

fn update(call: &mut Call<'_>, version: &str, name: &str) -> Option<Answer> {
    let mut one = call.org().playlists.get(name).cloned()?;
    let spec = call.body["spec"].clone();
    let sent = (text(&spec, "title").to_owned(), text(&spec, "interval").to_owned(), items(&spec));
    let changed = change(call, &mut one, sent);
    call.org().playlists.insert(one.uid.clone(), one.clone());
    let mut body = shown(call, &one, version);
    if !changed && let Some(metadata) = body["metadata"].as_object_mut() {
        // As with dashboards: left out of the answer to a write that changed nothing.
        metadata.remove("resourceVersion");
    }
    Some(Answer::json(200, body))
}
