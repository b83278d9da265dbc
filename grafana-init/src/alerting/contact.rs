//! Contact points: a name and its integrations, compared exactly through the decrypting export where the caller may use it.
//!
//! Integrations are told apart by uid; without one by their type and order. One that no file names is left, and said.

use std::collections::BTreeMap;
use std::rc::Rc;

use common::engine::change::{Change, Difference, Failure, Shown};
use common::engine::diff::{Writing, diff};
use common::engine::document::{Have, Held, Making, Pair, Request, Row, hide_all};
use common::files::{Key, Object, Problem, Set};
use common::net::http::{Call, LIST_LIMIT};
use serde_json::{Map, Value, json};

use crate::alerting::integration::{self, canonical, is_secret};
use crate::alerting::{call, exported, locked, provenance};
use crate::identity::{name_of, unique_name};
use crate::scope::{Rules, Scope};
use crate::server::part;
use crate::uid;

/// The row.
pub(crate) const ROW: Row<Scope> =
    Row { judge: Some(judge), check, unique, export, ..Row::new("contact_points", read, step) };

const PATH: &str = "/api/v1/provisioning/contact-points";
const REDACTED: &str = "[REDACTED]";

/// Brings one integration, a list of them, or a provisioning export into `{"name", "receivers": […]}`.
pub(crate) fn unwrap(_: &str, body: Value) -> Value {
    let body = exported(body, "contactPoints");
    if body.get("receivers").is_some() || body.get("contactPoints").is_some() {
        return body;
    }
    let rows = match body {
        Value::Array(rows) => rows,
        one => vec![one],
    };
    let name = rows.first().map(|row| row["name"].clone()).unwrap_or_default();
    json!({"name": name, "receivers": rows})
}

fn read(scope: &Scope, want: &[Rc<Object>]) -> Result<Held, Failure> {
    let list = scope.must(PATH)?;
    let clear = decrypted(scope)?;
    let mut points: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for row in list.as_array().into_iter().flatten() {
        let mut row = row.clone();
        if let Some(settings) = row["uid"].as_str().and_then(|uid| clear.get(uid)) {
            reveal(&mut row["settings"], settings);
        }
        points.entry(row["name"].as_str().unwrap_or_default().to_owned()).or_default().push(row);
    }
    let mut held = Held::new();
    let have = |rows: Vec<Value>, name: &str| {
        let locked = rows.iter().find_map(|row| locked(scope, &row["provenance"], false));
        let made_by = rows.first().map(|row| row["provenance"].clone());
        let body = json!({"name": name, "receivers": rows});
        Have { locked, meta: json!({"provenance": made_by}), ..Have::of(&body) }
    };
    if want.is_empty() {
        held.extend(points.into_iter().map(|(name, rows)| (name.clone(), have(rows, &name))));
        return Ok(held);
    }
    let by_uid: BTreeMap<&str, &Value> =
        points.values().flatten().filter_map(|row| Some((row["uid"].as_str()?, row))).collect();
    for object in want {
        let body = object.value()?;
        let name = name_of(object, &body);
        let mut rows: Vec<Value> = points.get(&name).cloned().unwrap_or_default();
        // An integration of ours that somebody moved to another contact point.
        let ours = receivers(&body);
        let held_as_ours = ours.iter().filter_map(|one| by_uid.get(one["uid"].as_str()?));
        rows.extend(held_as_ours.filter(|row| row["name"] != json!(name)).map(|row| (*row).clone()));
        if !rows.is_empty() {
            held.insert(object.id.name.clone(), have(rows, &name));
        }
    }
    Ok(held)
}

/// The clear settings by uid, as far as this caller may see them.
fn decrypted(scope: &Scope) -> Result<BTreeMap<String, Value>, Failure> {
    let call = Call::get(format!("{PATH}/export?format=json&decrypt=true")).accept(403).accept(404).at_most(LIST_LIMIT);
    let reply = scope.client().send(&call)?;
    let mut clear = BTreeMap::new();
    if reply.status == 200 {
        let body = reply.json()?;
        for point in body["contactPoints"].as_array().into_iter().flatten() {
            for one in receivers(point) {
                if let Some(uid) = one["uid"].as_str() {
                    clear.insert(uid.to_owned(), one["settings"].clone());
                }
            }
        }
    }
    Ok(clear)
}

/// A server may quote what it refuses.
fn hide_secrets(settings: &Value, kind: &str) {
    match settings {
        Value::Object(fields) => {
            for (key, value) in fields.iter().filter(|(_, value)| **value != json!(REDACTED)) {
                if is_secret(kind, key) {
                    hide_all(Some(value));
                } else {
                    hide_secrets(value, kind);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| hide_secrets(item, kind)),
        _ => {}
    }
}

/// Puts clear values where the list is redacted. They are hidden from every text from now on.
fn reveal(settings: &mut Value, clear: &Value) {
    match settings {
        Value::Object(fields) => {
            fields.retain(|key, value| {
                if *value != json!(REDACTED) {
                    reveal(value, &clear[key]);
                    return true;
                }
                // 10.4 redacts secrets that are empty too; the export leaves those out.
                let Some(secret) = clear.get(key) else { return false };
                if let Some(text) = secret.as_str() {
                    common::output::secret::hide(text);
                }
                *value = json!({SECRET: secret});
                true
            });
        }
        Value::Array(items) => items.iter_mut().enumerate().for_each(|(index, item)| reveal(item, &clear[index])),
        _ => {}
    }
}

/// Marks a value as one that the list redacts.
const SECRET: &str = "\u{1}secret";

fn receivers(body: &Value) -> Vec<Value> {
    body["receivers"].as_array().cloned().unwrap_or_default()
}

/// Which of the server's integrations is which of the declared ones.
fn paired<'h>(have: &'h [Value], want: &[Value]) -> Vec<Option<&'h Value>> {
    let mut free: Vec<&Value> = have.iter().collect();
    let mut take = |is: &dyn Fn(&Value) -> bool| free.iter().position(|one| is(one)).map(|at| free.remove(at));
    let mut pairs: Vec<Option<&Value>> =
        want.iter().map(|wanted| wanted["uid"].as_str().and_then(|uid| take(&|one| one["uid"] == uid))).collect();
    for (pair, wanted) in pairs.iter_mut().zip(want).filter(|(_, wanted)| !wanted["uid"].is_string()) {
        *pair = take(&|one| of_type(one) == of_type(wanted));
    }
    pairs
}

/// Types are compared as the server prints them.
fn of_type(one: &Value) -> &str {
    canonical(one["type"].as_str().unwrap_or_default())
}

fn differences(have: &Value, want: &Value, name: &str, at: &str, notes: &mut Vec<String>) -> Vec<Difference> {
    let (mut have, mut want) = (have.clone(), want.clone());
    want["name"] = json!(name);
    let mut secrets = Vec::new();
    open(&mut have["settings"], &want["settings"], "/settings", &mut secrets, notes);
    for side in [&mut have, &mut want] {
        side["type"] = json!(of_type(side));
        drop_null(&mut side["settings"]);
        if let Some(fields) = side.as_object_mut() {
            fields.remove("provenance");
            fields.retain(|key, value| !(value.is_null() || key == "disableResolveMessage" && *value == json!(false)));
        }
    }
    if want.get("uid").is_none() {
        have.as_object_mut().map(|fields| fields.remove("uid"));
    }
    let mut found = diff(Writing::Replaces, &have, &want);
    common::engine::diff::mask(&mut found, &secrets);
    for difference in &mut found {
        difference.path = format!("{at}{}", difference.path);
    }
    found
}

/// The server keeps no setting that is null.
fn drop_null(settings: &mut Value) {
    if let Some(fields) = settings.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
        fields.values_mut().for_each(drop_null);
    }
}

/// Takes the marks off; a value that stays redacted is unknown and counts as equal.
fn open(have: &mut Value, want: &Value, at: &str, secrets: &mut Vec<String>, notes: &mut Vec<String>) {
    match have {
        Value::Object(fields) => {
            // 10.4 shows a secret that is empty so too.
            fields.retain(|key, value| *value != json!(REDACTED) || want.get(key).is_some());
            for (key, value) in fields {
                let at = format!("{at}{}", common::files::json::step(key));
                if let Some(clear) = value.get(SECRET).cloned() {
                    *value = clear;
                    secrets.push(at);
                } else if *value == json!(REDACTED) {
                    *value = want[key].clone();
                    notes.push(
                        "its secrets are not compared: reading them needs the right to decrypt (an administrator's)"
                            .into(),
                    );
                } else {
                    open(value, &want[key], &at, secrets, notes);
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                open(item, &want[index], &format!("{at}/{index}"), secrets, notes);
            }
        }
        _ => {}
    }
}

fn judge(pair: &Pair<'_, Rules>) -> Change {
    let name = name_of(pair.object, pair.want);
    let (held, wanted) = (receivers(pair.held), receivers(pair.want));
    let pairs = paired(&held, &wanted);
    let (mut found, mut notes) = (Vec::new(), Vec::new());
    for (index, (pair, one)) in pairs.iter().zip(&wanted).enumerate() {
        let at = format!("/receivers/{index}");
        match pair {
            Some(have) => found.extend(differences(have, one, &name, &at, &mut notes)),
            None => found.push(Difference::new(at, Shown::Absent, Shown::json(&one["type"]))),
        }
    }
    let foreign = |one: &&Value| !pairs.iter().flatten().any(|pair| std::ptr::eq(*pair, *one));
    for one in held.iter().filter(foreign) {
        notes.push(format!(
            "the server has a further integration {} ({}) of this contact point, which no file names; it is left",
            one["uid"], one["type"]
        ));
    }
    notes.dedup();
    provenance(pair, notes.into_iter().fold(Change::update(found), Change::note))
}

#[expect(clippy::needless_pass_by_value, reason = "a row's functions have one signature")]
fn step(making: Making<'_, Rules>) -> Result<Vec<Request>, Failure> {
    let name = name_of(making.object, &making.body);
    let held = match making.have {
        Some(have) => receivers(&have.value()?),
        None => Vec::new(),
    };
    let wanted = receivers(&making.body);
    let mut requests = Vec::new();
    for (index, (pair, one)) in paired(&held, &wanted).into_iter().zip(&wanted).enumerate() {
        let mut body = one.clone();
        body["name"] = json!(name);
        if !body["uid"].is_string() && pair.is_none() {
            // Always the same one, so that a twin that makes it too is refused.
            let kind = one["type"].as_str().unwrap_or_default().to_owned();
            body["uid"] = json!(uid::of_path(&[name.clone(), kind, index.to_string()], false));
        }
        body.as_object_mut().map(|fields| fields.remove("provenance"));
        let sent = match pair {
            None => Call::post(PATH, body.to_string()),
            Some(have) if differences(have, one, &name, "", &mut Vec::new()).is_empty() => continue,
            Some(have) => {
                let uid = have["uid"].as_str().unwrap_or_default();
                Call::put(format!("{PATH}/{}", part(uid)), body.to_string())
            }
        };
        requests.push(Request::new(call(making.rules, sent)));
    }
    Ok(requests)
}

fn check(object: &Object, body: &Value, _: &Set) -> Vec<Problem> {
    if let Some(points) = body["contactPoints"].as_array() {
        let text = format!("the export holds {} contact points: write one file for each", points.len());
        return vec![object.problem("/contactPoints", text)];
    }
    let mut problems = Vec::new();
    let wanted = receivers(body);
    if wanted.is_empty() {
        problems.push(object.problem("", "a contact point needs an integration"));
    }
    let name = name_of(object, body);
    for one in &wanted {
        for (at, text, doubtful) in integration::wrong(one) {
            let problem = object.problem(at, text);
            problems.push(if doubtful { problem.warning() } else { problem });
        }
        if one["name"].is_string() && one["name"] != name.as_str() {
            problems.push(
                object.problem(
                    "",
                    format!("the integrations are of {name:?} and {}: one file for each name", one["name"]),
                ),
            );
        }
        hide_secrets(&one["settings"], one["type"].as_str().unwrap_or_default());
        if one["settings"].to_string().contains(REDACTED) {
            let text = "[REDACTED] stands for a secret that was not exported: put $__env{NAME} or $__file{/path} there";
            problems.push(object.problem("/settings", text));
        }
    }
    problems
}

fn unique(object: &Object, body: &Value) -> Vec<Key> {
    let uids = receivers(body).into_iter().filter_map(|one| one["uid"].as_str().map(str::to_owned));
    unique_name(object, body).into_iter().chain(uids.map(|uid| ("/uid".to_owned(), "uid", uid))).collect()
}

#[expect(clippy::needless_pass_by_value, reason = "a row's functions have one signature")]
fn export(name: &str, body: Value, have: &Have) -> Option<(Value, Vec<String>)> {
    // What an organization starts with is no declaration: it has no uid (10.4, 11.6).
    let rows = receivers(&body);
    if have.locked.is_some() || rows.iter().any(|row| row["uid"].as_str().is_none_or(str::is_empty)) {
        return None;
    }
    let mut names = Vec::new();
    let mut out = Vec::new();
    for (index, mut row) in rows.into_iter().enumerate() {
        let prefix = if index == 0 { String::new() } else { format!("{index}_") };
        placeholders(&mut row["settings"], name, &prefix, &mut names);
        row.as_object_mut().map(|fields| fields.remove("provenance"));
        out.push(row);
    }
    Some((if out.len() == 1 { out.remove(0) } else { Value::Array(out) }, names))
}

fn placeholders(settings: &mut Value, name: &str, prefix: &str, names: &mut Vec<String>) {
    let Some(fields) = settings.as_object_mut() else { return };
    let marked = |value: &Value| value.get(SECRET).is_some() || *value == json!(REDACTED);
    let replaced: Map<String, Value> = std::mem::take(fields)
        .into_iter()
        .map(|(key, mut value)| {
            if marked(&value) {
                let placeholder =
                    common::process::export::placeholder("contact_points", name, &format!("{prefix}{key}"));
                names.push(placeholder.clone());
                return (key, json!(format!("$__env{{{placeholder}}}")));
            }
            placeholders(&mut value, name, &format!("{prefix}{key}_"), names);
            (key, value)
        })
        .collect();
    *fields = replaced;
}
