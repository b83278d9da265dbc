//! Data streams: there or not. What is in one comes from its template.

use std::rc::Rc;

use common::engine::change::{Failure, ObjectId};
use common::engine::document::{Have, Held, Making, Pending, Request};
use common::files::{Object, Problem, Set};
use common::net::http::Call;
use serde_json::{Value, json};

use crate::cluster::{Cluster, chunks, part};
use crate::document::{Ask, list, only, remove, strings, text};
use crate::overlap::overlap;
use crate::step::Limits;
use crate::template::declared_for;

/// What the server answers about a stream; none of it can be declared.
const MADE: [&str; 6] = ["name", "timestamp_field", "indices", "generation", "status", "template"];

/// Asked by name, for who may see no others: the stream of an index is beside it in its answer. For an export all of them.
pub(crate) fn read(cluster: &Cluster, ask: Ask<'_>) -> Result<Held, Failure> {
    if ask.is_empty() {
        let Some(body) = cluster.list("/_data_stream", None)? else { return Ok(Held::new()) };
        let names = list(&body, "data_streams")?.into_iter().map(|fields| text(&fields, "name"));
        return Ok(names.map(|name| (name, Have::of(&json!({})))).collect());
    }
    let names: Vec<String> = ask.iter().map(|object| object.id.name.clone()).collect();
    let mut held = Held::new();
    for chunk in chunks(&names) {
        let path = format!("/{chunk}?ignore_unavailable=true&filter_path=*.data_stream");
        let answer = cluster.get(&path)?.unwrap_or_default();
        let streams = answer.as_object().into_iter().flatten().filter_map(|(_, index)| index["data_stream"].as_str());
        held.extend(streams.map(|name| (name.to_owned(), Have::of(&json!({})))));
    }
    Ok(held)
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
    let streams = |template: &&Rc<Object>| template.value().is_ok_and(|body| body.get("data_stream").is_some());
    let declared = declared_for(set, std::slice::from_ref(&object.id.name));
    declared.iter().filter(streams).map(|template| template.id.clone()).collect()
}

pub(crate) fn needs(object: &Object, _: &Value, set: &Set) -> Vec<ObjectId> {
    templates(object, set)
}

/// A stream without a template is refused by the server; that can be known before.
pub(crate) fn preflight(cluster: &Cluster, set: &Set, todo: &[Pending<'_>]) -> Vec<Problem> {
    let undeclared: Vec<&Object> =
        todo.iter().map(|(object, ..)| *object).filter(|object| templates(object, set).is_empty()).collect();
    if undeclared.is_empty() {
        return Vec::new();
    }
    let Ok(Some(answer)) = cluster.get("/_index_template?filter_path=index_templates.index_template.index_patterns,index_templates.index_template.data_stream.timestamp_field.name") else {
        return Vec::new();
    };
    let held = answer["index_templates"].as_array().into_iter().flatten().map(|template| &template["index_template"]);
    let patterns: Vec<String> = held
        .filter(|template| template.get("data_stream").is_some())
        .flat_map(|template| strings(&template["index_patterns"]))
        .collect();
    let without =
        undeclared.into_iter().filter(|object| !patterns.iter().any(|pattern| overlap(pattern, &object.id.name)));
    without
        .map(|object| {
            object
                .problem("", "no index template with data_stream matches this name, neither declared nor on the server")
        })
        .collect()
}

pub(crate) fn step(making: &Making<'_, Limits>) -> Vec<Request> {
    // The server takes no body here.
    vec![Request::new(Call::put(format!("/_data_stream/{}", part(&making.object.id.name)), Vec::new()))]
}
