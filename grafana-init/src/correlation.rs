//! Correlations: links from one data source to another, or out of Grafana. Their uids are the server's; one is found by its source and label.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use common::engine::change::{Change, Failure, ObjectId};
use common::engine::diff::{Writing, diff};
use common::engine::document::{Have, Held, Making, Pair, Pending, Request, Row, bodies};
use common::files::{Key, Object, Problem, Set};
use common::net::http::Call;
use serde_json::{Value, json};

use crate::declared::by_uid;
use crate::identity::PROVISIONED;
use crate::scope::{Rules, Scope};
use crate::server::part;

/// The row.
pub(crate) const ROW: Row<Scope> =
    Row { normal, judge: Some(judge), check, unique, needs, preflight, ..Row::new("correlations", read, step) };

fn text<'v>(body: &'v Value, field: &str) -> &'v str {
    body[field].as_str().unwrap_or_default()
}

/// The label, without one of its own the file's name.
fn label(object: &Object, body: &Value) -> String {
    body["label"].as_str().unwrap_or(&object.id.name).to_owned()
}

fn read(scope: &Scope, want: &[Rc<Object>]) -> Result<Held, Failure> {
    let rows = match scope.pages("/api/datasources/correlations?", "limit", "/correlations") {
        // Where there is none the answer is 404.
        Err(failure) if failure.status == Some(404) => Vec::new(),
        other => other?,
    };
    let have = |row: &Value| {
        let locked = (row["provisioned"] == true).then(|| PROVISIONED.to_owned());
        Have { locked, meta: row["uid"].clone(), ..Have::of(row) }
    };
    let mut held = Held::new();
    if want.is_empty() {
        held.extend(rows.iter().map(|row| (format!("{} {}", text(row, "sourceUID"), text(row, "label")), have(row))));
        return Ok(held);
    }
    // Of two that nothing tells apart the first is ours.
    let mut named: BTreeMap<(&str, &str), &Value> = BTreeMap::new();
    for row in &rows {
        named.entry((text(row, "sourceUID"), text(row, "label"))).or_insert(row);
    }
    for object in want {
        let body = object.value()?;
        let label = label(object, &body);
        let ours = named.get(&(text(&body, "sourceUID"), label.as_str()));
        held.extend(ours.map(|row| (object.id.name.clone(), have(row))));
    }
    Ok(held)
}

/// Up to 10 the type stands in `config`, later beside it.
fn normal(body: &mut Value) {
    let Some(fields) = body.as_object_mut() else { return };
    let inner = fields.get_mut("config").and_then(Value::as_object_mut).and_then(|config| config.remove("type"));
    if let Some(kind) = inner {
        fields.entry("type").or_insert(kind);
    }
    if let Some(config) = fields.get_mut("config").and_then(Value::as_object_mut) {
        config.retain(|_, value| !value.is_null() && *value != json!([]));
    }
    fields.retain(|key, value| match key.as_str() {
        "uid" | "orgId" | "provisioned" => false,
        "type" => *value != json!("query"),
        _ => !value.is_null() && *value != json!(""),
    });
}

fn judge(pair: &Pair<'_, Rules>) -> Change {
    let mut want = pair.want.clone();
    want["label"] = json!(label(pair.object, &want));
    let mut differences = diff(Writing::Replaces, pair.held, &want);
    for difference in differences.iter_mut().filter(|difference| difference.path == "/targetUID") {
        difference.fixable = false;
    }
    Change::update(differences)
}

#[expect(clippy::unnecessary_wraps, reason = "a row's functions have one signature")]
fn step(making: Making<'_, Rules>) -> Result<Vec<Request>, Failure> {
    let mut body = making.body;
    normal(&mut body);
    let label = label(making.object, &body);
    let kind = body["type"].as_str().unwrap_or("query").to_owned();
    let mut config = body["config"].take();
    if kind == "query" {
        config["type"] = json!(kind);
    }
    let mut sent = json!({"label": label, "description": text(&body, "description"), "type": kind, "config": config});
    let path = format!("/api/datasources/uid/{}/correlations", part(text(&body, "sourceUID")));
    let call = if let Some(have) = making.have {
        Call::patch(format!("{path}/{}", part(have.meta.as_str().unwrap_or_default())), sent.to_string())
    } else {
        if let Some(target) = body.get("targetUID") {
            sent["targetUID"] = target.clone();
        }
        Call::post(path, sent.to_string())
    };
    Ok(vec![Request::new(call)])
}

fn check(object: &Object, body: &Value, _: &Set) -> Vec<Problem> {
    let mut problems = Vec::new();
    let external = body["type"] == "external" || body["config"]["type"] == "external";
    for (field, wanted) in [("sourceUID", true), ("targetUID", !external)] {
        if wanted && text(body, field).is_empty() {
            problems.push(object.problem(&format!("/{field}"), "the uid of a data source is missing"));
        }
    }
    for field in ["field", "target"] {
        if body["config"].get(field).is_none() {
            problems.push(object.problem(&format!("/config/{field}"), "is missing: config needs field and target"));
        }
    }
    problems
}

fn unique(object: &Object, body: &Value) -> Vec<Key> {
    vec![("/label".to_owned(), "label", format!("{} of {}", label(object, body), text(body, "sourceUID")))]
}

fn needs(object: &Object, body: &Value, set: &Set) -> Vec<ObjectId> {
    let sources = by_uid(set, object.id.org.as_deref(), "datasources");
    let ends = BTreeSet::from([text(body, "sourceUID"), text(body, "targetUID")]);
    ends.into_iter().filter_map(|uid| sources.get(uid).cloned()).collect()
}

fn preflight(scope: &Scope, _: &Set, todo: &[Pending<'_>]) -> Vec<Problem> {
    let external = bodies(todo).filter(|(_, body, _)| body["type"] == "external");
    let old = external.filter(|_| scope.version().0 <= 10);
    old.map(|(object, ..)| object.problem("/type", "external correlations need Grafana 11")).collect()
}
