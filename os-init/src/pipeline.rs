//! Ingest and search pipelines: kept verbatim by the server, which writes even equal ones anew; so equal ones are never sent.

use common::engine::change::Failure;
use common::engine::document::{Held, Making, Pending, Request, bodies};
use common::files::{Object, Problem, Set};
use common::net::http::{Call, Client};
use serde_json::{Value, json};

use crate::cluster::{Cluster, part};
use crate::document::{Ask, by_name, object_of, sieve};
use crate::simulate::{failing, would_refuse};
use crate::step::{Limits, put_file};

fn read(cluster: &Cluster, path: &str, ask: Ask<'_>) -> Result<Held, Failure> {
    cluster.list(path, sieve(ask, &[]))?.map_or_else(|| Ok(Held::new()), |body| by_name(&body, ask))
}

pub(crate) fn read_ingest(cluster: &Cluster, ask: Ask<'_>) -> Result<Held, Failure> {
    read(cluster, "/_ingest/pipeline", ask)
}

pub(crate) fn read_search(cluster: &Cluster, ask: Ask<'_>) -> Result<Held, Failure> {
    read(cluster, "/_search/pipeline", ask)
}

pub(crate) fn step_ingest(making: &Making<'_, Limits>) -> Vec<Request> {
    vec![put_file(making.rules.manager(&format!("/_ingest/pipeline/{}", part(&making.object.id.name))))]
}

pub(crate) fn step_search(making: &Making<'_, Limits>) -> Vec<Request> {
    vec![put_file(making.rules.manager(&format!("/_search/pipeline/{}", part(&making.object.id.name))))]
}

pub(crate) fn check_ingest(object: &Object, body: &Value, _: &Set) -> Vec<Problem> {
    match object_of(object, body) {
        Err(problems) => problems,
        Ok(fields) if !fields.get("processors").is_some_and(Value::is_array) => {
            vec![object.problem("", "processors is missing: the list of what the pipeline does")]
        }
        Ok(_) => Vec::new(),
    }
}

pub(crate) fn check_search(object: &Object, body: &Value, _: &Set) -> Vec<Problem> {
    object_of(object, body).err().unwrap_or_default()
}

/// Lets the server build each pipeline and run it on an empty document; what the document meets does not matter.
pub(crate) fn preflight_ingest(cluster: &Cluster, set: &Set, todo: &[Pending<'_>]) -> Vec<Problem> {
    let text = |object: &Object| Ok(json!({"pipeline": object.value()?, "docs": [{"_source": {}}]}).to_string());
    let ask = |client: &Client, text: &str| client.send(&Call::post("/_ingest/pipeline/_simulate", text).reads());
    let mut problems: Vec<Problem> = failing(&cluster.client, todo, text, ask).into_iter().map(would_refuse).collect();
    for (object, body, _) in bodies(todo) {
        let mut named = Vec::new();
        called(&body, "", &mut named);
        for (pointer, name) in named {
            if is_nowhere(cluster, set, "ingest_pipelines", &name) {
                let text = format!("calls the pipeline {name}, which neither a file declares nor the server has");
                problems.push(object.problem(&pointer, text).warning());
            }
        }
    }
    problems
}

/// The pipelines that processors of this one call, each with its pointer; a name with a template in it is known only later.
fn called(value: &Value, pointer: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (key, inner) in fields {
                let pointer = format!("{pointer}{}", common::files::json::step(key));
                match inner["name"].as_str().filter(|name| key == "pipeline" && !name.contains("{{")) {
                    Some(name) if inner["ignore_missing_pipeline"] != true => found.push((pointer, name.to_owned())),
                    _ => called(inner, &pointer, found),
                }
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                called(inner, &format!("{pointer}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// Whether neither a file declares a pipeline nor the server has it.
pub(crate) fn is_nowhere(cluster: &Cluster, set: &Set, kind: &'static str, name: &str) -> bool {
    let api = if kind == "ingest_pipelines" { "_ingest" } else { "_search" };
    set.get(kind, name).is_none() && matches!(cluster.get(&format!("/{api}/pipeline/{}", part(name))), Ok(None))
}
