//! Data streams: there or not. What is in one comes from its template.

use std::rc::Rc;

use common::engine::change::{Change, Failure, ObjectId};
use common::engine::document::{Have, Held, Meta};
use common::files::{Object, Problem, Set};
use common::net::http::Call;
use serde_json::{Value, json};

use crate::cluster::{Cluster, part};
use crate::document::{list, only, remove, strings, text, wanted};
use crate::overlap::overlap;

/// What the server answers about a stream; none of it can be declared.
const MADE: [&str; 6] = ["name", "timestamp_field", "indices", "generation", "status", "template"];

pub(crate) fn read(cluster: &Cluster, objects: &[Rc<Object>]) -> Result<Held, Failure> {
    let Some(body) = cluster.list("/_data_stream")? else { return Ok(Held::new()) };
    let wanted = wanted(objects);
    let names =
        list(&body, "data_streams")?.into_iter().map(|fields| text(&fields, "name")).filter(|name| wanted(name));
    Ok(names.map(|name| (name, Have::of(&json!({})))).collect())
}

pub(crate) fn unwrap(body: Value) -> Value {
    match body.get("data_streams").and_then(Value::as_array).map(Vec::as_slice) {
        Some([one]) => one.clone(),
        _ => body,
    }
}

pub(crate) fn normal(body: &mut Value) {
    remove(body, &MADE);
}

pub(crate) fn check(object: &Object, body: &Value, _: &Set) -> Vec<Problem> {
    only(object, body, &MADE)
}

/// The declared templates that would make this stream.
fn templates(object: &Object, set: &Set) -> Vec<ObjectId> {
    let matches = |template: &&Rc<Object>| {
        template.value().is_ok_and(|body| {
            body.get("data_stream").is_some()
                && strings(&body["index_patterns"]).iter().any(|pattern| overlap(pattern, &object.id.name))
        })
    };
    set.of("index_templates").iter().filter(matches).map(|template| template.id.clone()).collect()
}

pub(crate) fn needs(object: &Object, _: &Value, set: &Set) -> Vec<ObjectId> {
    templates(object, set)
}

/// A stream without a template is refused by the server; that can be known before.
pub(crate) fn preflight(cluster: &Cluster, _: &Set, todo: &[(&Object, Value, &Change)]) -> Vec<Problem> {
    let Ok(Some(answer)) = cluster.get("/_index_template?filter_path=index_templates.index_template.index_patterns,index_templates.index_template.data_stream.timestamp_field.name") else {
        return Vec::new();
    };
    let mut patterns: Vec<String> = cluster.memory.borrow().streams.clone();
    for template in answer["index_templates"].as_array().into_iter().flatten() {
        if template["index_template"].get("data_stream").is_some() {
            patterns.extend(strings(&template["index_template"]["index_patterns"]));
        }
    }
    let without = todo.iter().filter(|(object, ..)| !patterns.iter().any(|pattern| overlap(pattern, &object.id.name)));
    without
        .map(|(object, ..)| {
            object
                .problem("", "no index template with data_stream matches this name, neither declared nor on the server")
        })
        .collect()
}

pub(crate) fn write(cluster: &Cluster, object: &Object, _: Value, _: Option<&Meta>) -> Result<(), Failure> {
    // The server takes no body here.
    cluster.send(&Call::put(format!("/_data_stream/{}", part(&object.id.name)), Vec::new())).map(drop)
}
