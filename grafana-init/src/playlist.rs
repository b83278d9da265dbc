//! Playlists: found by uid, compared whole. Up to 10 only the resource API makes one under a uid of ours.

use std::rc::Rc;

use common::engine::change::{Change, Failure};
use common::engine::diff::{Writing, diff};
use common::engine::document::{Have, Held, Making, Pair, Request, Row};
use common::files::{Key, Object, Problem, Set};
use common::net::http::{Call, parallel};
use serde_json::{Value, json};

use crate::alerting::milliseconds;
use crate::identity::identity;
use crate::scope::{READERS, Rules, Scope, get};
use crate::server::part;
use crate::uid;

/// The row.
pub(crate) const ROW: Row<Scope> =
    Row { normal, judge: Some(judge), check, unique, ..Row::new("playlists", read, step) };

/// Takes the playlist out of a resource.
pub(crate) fn unwrap(_: &str, body: Value) -> Value {
    if !body["apiVersion"].as_str().is_some_and(|version| version.starts_with("playlist.grafana.app/")) {
        return body;
    }
    let spec = &body["spec"];
    json!({"uid": body["metadata"]["name"], "name": spec["title"], "interval": spec["interval"], "items": spec["items"]})
}

fn path(uid: &str) -> String {
    format!("/api/playlists/{}", part(uid))
}

fn read(scope: &Scope, want: &[Rc<Object>]) -> Result<Held, Failure> {
    let client = scope.client();
    let mut wanted: Vec<(String, String)> = Vec::new();
    if want.is_empty() {
        // The list has no pages: up to 10 it ends at the limit, which is 1,000 unless one is given.
        let list = scope.must("/api/playlists?limit=100000")?;
        let uids = list.as_array().into_iter().flatten().filter_map(|row| row["uid"].as_str());
        wanted.extend(uids.map(|uid| (uid.to_owned(), uid.to_owned())));
    }
    for object in want {
        wanted.push((object.id.name.clone(), identity(object, &object.value()?).0));
    }
    let found = parallel(&wanted, READERS, |(_, uid)| get(client, &path(uid)));
    let mut held = Held::new();
    for ((key, _), found) in wanted.into_iter().zip(found) {
        held.extend(found?.map(|body| (key, Have::of(&body))));
    }
    Ok(held)
}

/// An item is its type and value; where it stands is its order.
fn normal(body: &mut Value) {
    let Some(fields) = body.as_object_mut() else { return };
    fields.retain(|key, _| matches!(key.as_str(), "uid" | "name" | "interval" | "items"));
    for item in fields.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(fields) = item.as_object_mut() {
            fields.retain(|key, _| matches!(key.as_str(), "type" | "value"));
        }
    }
}

fn judge(pair: &Pair<'_, Rules>) -> Change {
    let mut want = pair.want.clone();
    let (uid, name) = identity(pair.object, &want);
    want["uid"] = json!(uid);
    want["name"] = json!(name);
    Change::update(diff(Writing::Replaces, pair.held, &want))
}

#[expect(clippy::unnecessary_wraps, reason = "a row's functions have one signature")]
fn step(making: Making<'_, Rules>) -> Result<Vec<Request>, Failure> {
    let mut body = making.body;
    let (uid, name) = identity(making.object, &body);
    normal(&mut body);
    let mut items = body["items"].take();
    if making.have.is_none() && making.rules.major <= 10 {
        let resource = json!({"apiVersion": "playlist.grafana.app/v0alpha1", "kind": "Playlist", "metadata": {"name": uid},
            "spec": {"title": name, "interval": body["interval"], "items": items}});
        let path = format!("/apis/playlist.grafana.app/v0alpha1/namespaces/{}/playlists", making.rules.namespace());
        return Ok(vec![Request::new(Call::post(path, resource.to_string()))]);
    }
    for (index, item) in items.as_array_mut().into_iter().flatten().enumerate() {
        item["order"] = json!(index + 1);
    }
    let sent = json!({"uid": uid, "name": name, "interval": body["interval"], "items": items}).to_string();
    let call = if making.have.is_some() { Call::put(path(&uid), sent) } else { Call::post("/api/playlists", sent) };
    Ok(vec![Request::new(call)])
}

fn check(object: &Object, body: &Value, _: &Set) -> Vec<Problem> {
    let mut problems = Vec::new();
    problems.extend(uid::wrong(&identity(object, body).0).map(|wrong| object.problem("/uid", wrong)));
    if body["interval"].as_str().and_then(milliseconds).is_none() {
        problems.push(object.problem("/interval", "must be a duration such as \"5m\""));
    }
    // Up to 11.6 an empty one is an error of the server.
    if body["items"].as_array().is_none_or(Vec::is_empty) {
        problems
            .push(object.problem("/items", "a playlist needs an item: {\"type\": \"dashboard_by_uid\", \"value\": …}"));
    }
    for (index, _) in body["items"].as_array().into_iter().flatten().enumerate().filter(|(_, item)| !item.is_object()) {
        problems.push(object.problem(&format!("/items/{index}"), "an item is an object of type and value"));
    }
    problems
}

fn unique(object: &Object, body: &Value) -> Vec<Key> {
    vec![("/uid".to_owned(), "uid", identity(object, body).0)]
}
