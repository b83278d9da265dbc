//! Component templates and index templates: their normal form, what they refer to, and what the server says of them without a write.

use std::collections::BTreeSet;
use std::rc::Rc;

use common::engine::change::{Failure, ObjectId};
use common::engine::document::{Have, Held, Making, Pending, Request, bodies};
use common::files::{Object, Problem, Set};
use serde_json::{Value, json};

use crate::cluster::{Cluster, declared, part};
use crate::compose::compose;
use crate::document::{Ask, list, object_of, only, sieve, strings, text, wanted};
use crate::normal::{is_empty, template_body};
use crate::overlap::{Claim, collisions, near, overlap};
use crate::simulate::{self, failing, nobodys, would_refuse};
use crate::step::{Limits, put_file};

/// Reads all templates of a kind with one request.
fn read(
    cluster: &Cluster,
    path: &str,
    lists: &'static [&'static str; 1],
    inner: &str,
    ask: Ask<'_>,
) -> Result<Held, Failure> {
    let Some(body) = cluster.list(path, sieve(ask, lists))? else { return Ok(Held::new()) };
    let wanted = wanted(ask);
    let mut held = Held::new();
    for fields in list(&body, lists[0])? {
        let name = text(&fields, "name");
        if let Some(body) = fields.get(inner).filter(|_| wanted(&name)) {
            held.insert(name, Have::new((*body).to_owned()));
        }
    }
    Ok(held)
}

pub(crate) fn read_components(cluster: &Cluster, ask: Ask<'_>) -> Result<Held, Failure> {
    read(cluster, "/_component_template", &["component_templates"], "component_template", ask)
}

pub(crate) fn read_index_templates(cluster: &Cluster, ask: Ask<'_>) -> Result<Held, Failure> {
    read(cluster, "/_index_template", &["index_templates"], "index_template", ask)
}

pub(crate) fn normal_component(body: &mut Value) {
    for number in ["/version", "/priority"] {
        crate::normal::each(body, number, &crate::normal::unquote);
    }
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
    let legacy = ["settings", "mappings", "aliases"].into_iter().find(|key| body.get(*key).is_some());
    if let Some(key) = legacy {
        let text = "is a legacy template's: put settings, mappings and aliases under template, and call order priority";
        return vec![object.located(&format!("/{key}"), text)];
    }
    if strings(&body["index_patterns"]).is_empty() {
        return vec![object.problem("", "index_patterns is missing: the indices that get this template")];
    }
    Vec::new()
}

pub(crate) fn needs(_: &Object, body: &Value, set: &Set) -> Vec<ObjectId> {
    declared(set, "component_templates", strings(&body["composed_of"]))
}

pub(crate) fn step_component(making: &Making<'_, Limits>) -> Vec<Request> {
    vec![put_file(making.rules.manager(&format!("/_component_template/{}", part(&making.object.id.name))))]
}

pub(crate) fn step_index_template(making: &Making<'_, Limits>) -> Vec<Request> {
    vec![put_file(making.rules.manager(&format!("/_index_template/{}", part(&making.object.id.name))))]
}

/// A template's patterns and priority; an absent priority counts as 0.
pub(crate) fn claim(name: &str, body: &Value) -> Claim {
    let priority = body["priority"].as_i64().unwrap_or(0);
    Claim { name: name.to_owned(), rules: vec![(priority, strings(&body["index_patterns"]))] }
}

pub(crate) fn preflight_components(cluster: &Cluster, _: &Set, todo: &[Pending<'_>]) -> Vec<Problem> {
    let text = |object: &Object| Ok(nobodys(json!({"template": object.value()?["template"]})));
    refused(cluster, todo, text)
}

/// Problems for those that a simulation refuses.
fn refused(
    cluster: &Cluster,
    todo: &[Pending<'_>],
    text: impl FnMut(&Object) -> Result<String, Failure>,
) -> Vec<Problem> {
    failing(&cluster.client, todo, text, simulate::ask).into_iter().map(would_refuse).collect()
}

pub(crate) fn preflight_index_templates(cluster: &Cluster, set: &Set, todo: &[Pending<'_>]) -> Vec<Problem> {
    look(cluster, set, todo).unwrap_or_else(|failure| match todo.first() {
        Some((object, _)) => vec![Problem::refused(&object.id, failure)],
        None => Vec::new(),
    })
}

fn look(cluster: &Cluster, set: &Set, todo: &[Pending<'_>]) -> Result<Vec<Problem>, Failure> {
    let held = held_claims(cluster)?;
    let there = components(cluster)?;
    let (mut writes, mut problems, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    for (object, body, change) in bodies(todo) {
        writes.push(claim(&object.id.name, &body));
        let composed = strings(&body["composed_of"]);
        let is_missing = |name: &&String| !there.contains(*name) && set.get("component_templates", name).is_none();
        let missing: Vec<&str> = composed.iter().filter(is_missing).map(String::as_str).collect();
        if missing.is_empty() {
            whole.push((object, change));
        } else {
            let text =
                format!("component templates that neither a file declares nor the server has: {}", missing.join(", "));
            problems.push(object.problem("/composed_of", text));
        }
    }
    let object_of = |name: &str| todo.iter().find(|(object, _)| object.id.name == name).map(|(object, _)| *object);
    let collisions = collisions(held, &writes);
    problems.extend(
        collisions.into_iter().filter_map(|(name, why)| Some(object_of(&name)?.problem("/index_patterns", why))),
    );
    let text = |object: &Object| {
        let mut body = object.value()?;
        // What a file declares may differ from what the server has by now.
        if strings(&body["composed_of"]).iter().any(|name| set.get("component_templates", name).is_some()) {
            body["template"] = compose(&parts(cluster, set, &body)?);
            body["composed_of"] = json!([]);
        }
        Ok(nobodys(body))
    };
    problems.extend(refused(cluster, &whole, text));
    Ok(problems)
}

/// What a template is made of, in its order: the bodies of its components, declared or else on the server, then its own.
fn parts(cluster: &Cluster, set: &Set, body: &Value) -> Result<Vec<Value>, Failure> {
    let mut parts = Vec::new();
    for name in strings(&body["composed_of"]) {
        let part = match set.get("component_templates", &name) {
            Some(object) => object.value()?,
            None => cluster
                .get(&format!("/_component_template/{}", part(&name)))?
                .map(|answer| answer["component_templates"][0]["component_template"].clone())
                .unwrap_or_default(),
        };
        parts.push(part["template"].clone());
    }
    parts.push(body["template"].clone());
    Ok(parts)
}

/// The declared index templates with a pattern that shares a name with one of these.
pub(crate) fn declared_for(set: &Set, names: &[String]) -> Vec<Rc<Object>> {
    // Each pattern with its template, told apart by a step that no pattern has.
    let by_pattern = set.index(None, ("index_templates", "pattern"), |template| {
        let patterns = template.value().map(|body| strings(&body["index_patterns"])).unwrap_or_default();
        let id = &template.id;
        patterns.iter().map(|pattern| (format!("{pattern}/{}", id.name), id.clone())).collect::<Vec<_>>()
    });
    let meets = |key: &str, name: &str| key.split_once('/').is_some_and(|(pattern, _)| overlap(pattern, name));
    let of = |name| near(&by_pattern, name).filter(move |(key, _)| meets(key, name)).map(|(_, id)| id.name.as_str());
    let found: BTreeSet<&str> = names.iter().flat_map(|name| of(name.as_str())).collect();
    found.into_iter().filter_map(|name| set.get("index_templates", name).cloned()).collect()
}

/// What a new index of this name gets, part by part: of the templates that match, declared or on the server, the one of highest priority.
pub(crate) fn beneath(cluster: &Cluster, set: &Set, index: &str) -> Result<Vec<Value>, Failure> {
    let mut best: Option<(i64, Value)> = None;
    let mut consider = |body: Value| {
        let priority = body["priority"].as_i64().unwrap_or(0);
        let matches = strings(&body["index_patterns"]).iter().any(|pattern| overlap(pattern, index));
        if matches && best.as_ref().is_none_or(|(held, _)| *held <= priority) {
            best = Some((priority, body));
        }
    };
    let answer = cluster.get("/_index_template")?.unwrap_or_default();
    for template in answer["index_templates"].as_array().into_iter().flatten() {
        let declared = template["name"].as_str().is_some_and(|name| set.get("index_templates", name).is_some());
        if !declared {
            consider(template["index_template"].clone());
        }
    }
    for object in declared_for(set, &[index.to_owned()]) {
        let mut body = object.value()?;
        normal_index_template(&mut body);
        consider(body);
    }
    best.map_or(Ok(Vec::new()), |(_, body)| parts(cluster, set, &body))
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
