//! Library panels: read by uid, compared whole, changed by PATCH with the version that was read.

use std::rc::Rc;

use common::engine::change::{Change, Failure, ObjectId};
use common::engine::diff::{Writing, diff};
use common::engine::document::{Have, Held, Making, Pair, Pending, Request, Row, bodies};
use common::files::{Key, Object, Problem, Set};
use common::net::http::{Call, parallel};
use serde_json::{Value, json};

use crate::dashboard::form::references;
use crate::datasource;
use crate::identity::identity;
use crate::scope::{READERS, Rules, Scope, get};
use crate::server::part;
use crate::uid;

/// The row.
pub(crate) const ROW: Row<Scope> =
    Row { normal, judge: Some(judge), check, unique, needs, preflight, ..Row::new("library_panels", read, step) };

/// Takes the panel out of the API's answer.
pub(crate) fn unwrap(_: &str, mut body: Value) -> Value {
    if body["result"].is_object() { body["result"].take() } else { body }
}

fn have(body: Value) -> Have {
    let element = unwrap("", body);
    Have { meta: element["version"].clone(), ..Have::of(&element) }
}

fn read(scope: &Scope, want: &[Rc<Object>]) -> Result<Held, Failure> {
    if want.is_empty() {
        let rows = scope.pages("/api/library-elements?kind=1", "perPage", "/result/elements")?;
        let named = |row: Value| (row["uid"].as_str().unwrap_or_default().to_owned(), have(row));
        return Ok(rows.into_iter().map(named).collect());
    }
    let uids: Result<Vec<String>, Failure> =
        want.iter().map(|object| Ok(identity(object, &object.value()?).0)).collect();
    let client = scope.client();
    let found = parallel(&uids?, READERS, |uid| get(client, &path(uid)));
    let mut held = Held::new();
    for (object, found) in want.iter().zip(found) {
        if let Some(found) = found? {
            held.insert(object.id.name.clone(), have(found));
        }
    }
    Ok(held)
}

/// `model` carries type and description once more; the element's own are made from it.
fn normal(body: &mut Value) {
    let Some(fields) = body.as_object_mut() else { return };
    for made in ["id", "orgId", "folderId", "type", "description", "version", "meta", "apiVersion"] {
        fields.remove(made);
    }
    fields.retain(|key, value| match key.as_str() {
        "kind" => *value != json!(1),
        // So the server calls the root.
        "folderUid" => *value != json!("") && *value != json!("general"),
        _ => true,
    });
    if let Some(model) = fields.get_mut("model").and_then(Value::as_object_mut) {
        model.remove("libraryPanel");
        model.retain(|key, value| !(matches!(key.as_str(), "description" | "type") && *value == json!("")));
    }
}

fn judge(pair: &Pair<'_, Rules>) -> Change {
    let mut want = pair.want.clone();
    let (uid, name) = identity(pair.object, &want);
    want["uid"] = json!(uid);
    want["name"] = json!(name);
    Change::update(diff(Writing::Replaces, pair.held, &want))
}

#[expect(clippy::needless_pass_by_value, clippy::unnecessary_wraps, reason = "a row's functions have one signature")]
fn step(making: Making<'_, Rules>) -> Result<Vec<Request>, Failure> {
    let call = match making.have {
        None => Call::post("/api/library-elements", Vec::new()),
        Some(_) => Call::patch(path(&identity(making.object, &making.body).0), Vec::new()),
    };
    let version = making.meta.clone();
    Ok(vec![Request::of_file(call, move |object, mut want| {
        let (uid, name) = identity(object, &want);
        // Left out, the folder would be the root (every version).
        let folder = folder_of(&want).unwrap_or_default().to_owned();
        let mut body = json!({"uid": uid, "name": name, "kind": 1, "folderUid": folder, "model": want["model"].take()});
        if !version.is_null() {
            body["version"] = version.clone();
        }
        body
    })])
}

fn path(uid: &str) -> String {
    format!("/api/library-elements/{}", part(uid))
}

fn folder_of(body: &Value) -> Option<&str> {
    body["folderUid"].as_str().filter(|uid| !matches!(*uid, "" | "general"))
}

fn needs(object: &Object, body: &Value, set: &Set) -> Vec<ObjectId> {
    folder_of(body).and_then(|uid| crate::folder::of_uid(set, object, uid)).into_iter().collect()
}

/// The server refuses a folder that is not there, but only once others were written.
fn preflight(scope: &Scope, set: &Set, todo: &[Pending<'_>]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let declared = scope.memory.borrow().folder_uids();
    for (object, body, _) in bodies(todo) {
        let Some(uid) = folder_of(&body) else { continue };
        if !declared.contains(uid) && matches!(scope.get(&format!("/api/folders/{}", part(uid))), Ok(None)) {
            let text = format!("the folder {uid} is neither the uid of a declared folder nor on the server");
            problems.push(object.problem("/folderUid", text));
        }
    }
    problems.extend(datasource::dangling(scope, set, todo, |body| {
        references(&body["model"]).sources.into_iter().collect()
    }));
    problems
}

fn check(object: &Object, body: &Value, _: &Set) -> Vec<Problem> {
    let mut problems = Vec::new();
    let (uid, _) = identity(object, body);
    problems.extend(uid::wrong(&uid).map(|wrong| object.problem("/uid", wrong)));
    if !body["model"].is_object() {
        problems.push(object.problem("/model", "the panel's model is missing"));
    }
    if body.get("kind").is_some_and(|kind| *kind != json!(1)) {
        problems.push(object.problem("/kind", "must be 1, a panel: Grafana has no other kind any more"));
    }
    problems
}

fn unique(object: &Object, body: &Value) -> Vec<Key> {
    vec![("/uid".to_owned(), "uid", identity(object, body).0)]
}
