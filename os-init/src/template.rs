//! Component templates and index templates: their normal form, what they refer to, and what the server says of them without a write.

#![expect(clippy::needless_pass_by_value, reason = "a row's write is given the body for good")]

use std::collections::BTreeSet;
use std::rc::Rc;

use common::engine::change::{Change, Failure, ObjectId};
use common::engine::document::{Have, Held, Meta};
use common::files::{Object, Problem, Set};
use common::net::http::{Call, parallel};
use serde_json::{Value, json};

use crate::cluster::{Cluster, declared, part};
use crate::document::{list, object_of, only, strings, text, wanted};
use crate::normal::{is_empty, template_body};
use crate::overlap::{Claim, collisions};

/// Reads all templates of a kind with one request.
fn read(cluster: &Cluster, path: &str, name: &str, inner: &str, objects: &[Rc<Object>]) -> Result<Held, Failure> {
    let Some(body) = cluster.list(path)? else { return Ok(Held::new()) };
    let wanted = wanted(objects);
    let mut held = Held::new();
    for fields in list(&body, name)? {
        let name = text(&fields, "name");
        if let Some(body) = fields.get(inner).filter(|_| wanted(&name)) {
            held.insert(name, Have::new((*body).to_owned()));
        }
    }
    Ok(held)
}

pub(crate) fn read_components(cluster: &Cluster, objects: &[Rc<Object>]) -> Result<Held, Failure> {
    read(cluster, "/_component_template", "component_templates", "component_template", objects)
}

pub(crate) fn read_index_templates(cluster: &Cluster, objects: &[Rc<Object>]) -> Result<Held, Failure> {
    read(cluster, "/_index_template", "index_templates", "index_template", objects)
}

pub(crate) fn normal_component(body: &mut Value) {
    if let Some(template) = body.get_mut("template") {
        template_body(template);
    }
}

pub(crate) fn normal_index_template(body: &mut Value) {
    normal_component(body);
    let Some(fields) = body.as_object_mut() else { return };
    for key in ["index_patterns", "composed_of"] {
        if let Some(value) = fields.get_mut(key)
            && value.is_string()
        {
            *value = Value::Array(vec![value.take()]);
        }
    }
    // The server adds an empty list when the template has a body of its own, and none otherwise.
    fields.retain(|key, value| !matches!(key.as_str(), "composed_of" | "template") || !is_empty(value));
    if let Some(Value::Object(stream)) = fields.get_mut("data_stream") {
        stream.retain(|key, value| key != "timestamp_field" || *value != json!({"name": "@timestamp"}));
    }
    fields.retain(|_, value| !value.is_null());
}

pub(crate) fn check_component(object: &Object, body: &Value, _: &Set) -> Vec<Problem> {
    let mut problems = only(object, body, &["template", "version", "_meta", "deprecated"]);
    if problems.is_empty() && !body["template"].is_object() {
        problems.push(object.problem("", "template is missing: a component template has to have one"));
    }
    problems
}

pub(crate) fn check_index_template(object: &Object, body: &Value, _: &Set) -> Vec<Problem> {
    if let Err(problems) = object_of(object, body) {
        return problems;
    }
    if strings(&body["index_patterns"]).is_empty() {
        return vec![object.problem("", "index_patterns is missing: the indices that get this template")];
    }
    Vec::new()
}

pub(crate) fn needs(_: &Object, body: &Value, set: &Set) -> Vec<ObjectId> {
    declared(set, "component_templates", strings(&body["composed_of"]))
}

pub(crate) fn write_component(
    cluster: &Cluster,
    object: &Object,
    want: Value,
    _: Option<&Meta>,
) -> Result<(), Failure> {
    put(cluster, "/_component_template/", object, &want)
}

pub(crate) fn write_index_template(
    cluster: &Cluster,
    object: &Object,
    want: Value,
    _: Option<&Meta>,
) -> Result<(), Failure> {
    put(cluster, "/_index_template/", object, &want)
}

fn put(cluster: &Cluster, path: &str, object: &Object, want: &Value) -> Result<(), Failure> {
    cluster.put(&format!("{path}{}{}", part(&object.id.name), cluster.bounded()), want).map(drop)
}

/// A template's patterns and priority; an absent priority counts as 0.
pub(crate) fn claim(name: &str, body: &Value) -> Claim {
    let priority = body["priority"].as_i64().unwrap_or(0);
    Claim { name: name.to_owned(), rules: vec![(priority, strings(&body["index_patterns"]))] }
}

/// Templates that declare a data stream are of that kind for good; a simulation under a pattern that nothing else has tells whether the
/// body and its components fit together.
fn simulate(cluster: &Cluster, todo: &[(&Object, Value)]) -> Vec<Problem> {
    let client = &cluster.client;
    let path = format!("/_index_template/_simulate{}", cluster.bounded());
    let ask = |(object, body): &(&Object, Value)| {
        let failure = client.send(&Call::post(&path, body.to_string()).reads()).err()?;
        Some(object.problem("", format!("the server would refuse it: {}", failure.message)))
    };
    parallel(todo, 4, ask).into_iter().flatten().collect()
}

const NOWHERE: &str = "os-init-pre-flight-of-a-template";

pub(crate) fn preflight_components(cluster: &Cluster, _: &Set, todo: &[(&Object, Value, &Change)]) -> Vec<Problem> {
    let bodies: Vec<(&Object, Value)> = todo
        .iter()
        .map(|(object, body, _)| (*object, json!({"index_patterns": [NOWHERE], "template": body["template"]})))
        .collect();
    simulate(cluster, &bodies)
}

pub(crate) fn preflight_index_templates(
    cluster: &Cluster,
    _: &Set,
    todo: &[(&Object, Value, &Change)],
) -> Vec<Problem> {
    let held = match held_claims(cluster) {
        Ok(held) => held,
        Err(failure) => return vec![Problem::of_file("index_templates", failure.message)],
    };
    let writes: Vec<Claim> = todo.iter().map(|(object, body, _)| claim(&object.id.name, body)).collect();
    let object_of = |name: &str| todo.iter().find(|(object, ..)| object.id.name == name).map(|(object, ..)| *object);
    let mut problems: Vec<Problem> = collisions(held, &writes)
        .into_iter()
        .filter_map(|(name, why)| Some(object_of(&name)?.problem("/index_patterns", why)))
        .collect();
    // Components that are still to be written cannot be simulated with; the server has all the others, or they are missing.
    let components = match components(cluster) {
        Ok(components) => components,
        Err(failure) => return vec![Problem::of_file("index_templates", failure.message)],
    };
    let mut bodies = Vec::new();
    for (object, body, _) in todo {
        let all_there = strings(&body["composed_of"]).iter().all(|name| components.contains(name));
        let missing: Vec<String> = strings(&body["composed_of"])
            .into_iter()
            .filter(|name| !components.contains(name) && !cluster.memory.borrow().components.contains(name))
            .collect();
        if !missing.is_empty() {
            let text =
                format!("component templates that neither a file declares nor the server has: {}", missing.join(", "));
            problems.push(object.problem("/composed_of", text));
        } else if all_there {
            let mut body = body.clone();
            body["index_patterns"] = json!([NOWHERE]);
            bodies.push((*object, body));
        }
    }
    problems.extend(simulate(cluster, &bodies));
    problems
}

fn held_claims(cluster: &Cluster) -> Result<Vec<Claim>, Failure> {
    let path = "/_index_template?filter_path=index_templates.name,index_templates.index_template.priority,index_templates.index_template.index_patterns";
    let answer = cluster.get(path)?.unwrap_or_default();
    let templates = answer["index_templates"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(templates
        .iter()
        .map(|template| claim(template["name"].as_str().unwrap_or_default(), &template["index_template"]))
        .collect())
}

fn components(cluster: &Cluster) -> Result<BTreeSet<String>, Failure> {
    let answer = cluster.get("/_component_template?filter_path=component_templates.name")?.unwrap_or_default();
    let templates = answer["component_templates"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(templates.iter().filter_map(|template| template["name"].as_str().map(str::to_owned)).collect())
}
