//! Aliases, changed atomically: each file is one alias, its changes one request. Indices that no file names keep the alias.

#![expect(clippy::needless_pass_by_value, reason = "a row's write is given the body for good")]

use std::rc::Rc;

use common::engine::change::{Change, Failure, ObjectId};
use common::engine::document::{Have, Held, Meta};
use common::files::{Object, Problem, Set};
use serde_json::{Map, Value, json};

use crate::cluster::{Cluster, chunks, declared};
use crate::document::only;

pub(crate) fn read(cluster: &Cluster, objects: &[Rc<Object>]) -> Result<Held, Failure> {
    let names: Vec<String> = objects.iter().map(|object| object.id.name.clone()).collect();
    let paths = if names.is_empty() {
        vec!["/_alias".to_owned()]
    } else {
        chunks(&names).into_iter().map(|names| format!("/_alias/{names}")).collect()
    };
    let mut bodies = Map::new();
    for path in paths {
        // 404 means that one of them is missing; those that are there are in the answer all the same.
        let reply =
            cluster.send(&common::net::http::Call::get(path).accept(404).at_most(common::net::http::LIST_LIMIT))?;
        let answer = reply.json()?;
        for (index, body) in answer.as_object().into_iter().flatten() {
            for (alias, properties) in body["aliases"].as_object().into_iter().flatten() {
                let entry = bodies.entry(alias.clone()).or_insert_with(|| json!({"indices": {}}));
                entry["indices"][index] = properties.clone();
            }
        }
    }
    Ok(bodies.into_iter().map(|(name, body)| (name, Have { meta: body.clone(), ..Have::of(&body) })).collect())
}

pub(crate) fn normal(body: &mut Value) {
    crate::normal::each(body, "/indices/*", &crate::normal::alias);
}

/// Takes what the server answers about one alias.
pub(crate) fn unwrap(name: &str, body: Value) -> Value {
    let indices: Option<Map<String, Value>> = body.as_object().filter(|fields| !fields.is_empty()).and_then(|fields| {
        fields.iter().map(|(index, inner)| Some((index.clone(), inner.get("aliases")?.get(name)?.clone()))).collect()
    });
    indices.map_or(body, |indices| json!({"indices": indices}))
}

pub(crate) fn check(object: &Object, body: &Value, _: &Set) -> Vec<Problem> {
    let mut problems = only(object, body, &["indices"]);
    match body["indices"].as_object() {
        Some(indices) if !indices.is_empty() => {
            let patterns = indices.keys().filter(|index| index.contains(['*', ',']) || index.starts_with('-'));
            problems.extend(patterns.map(|index| {
                object.problem(
                    "/indices",
                    format!("{index}: name indices one by one, a pattern would mean another set every day"),
                )
            }));
            let writers = indices.values().filter(|alias| alias["is_write_index"] == true).count();
            if writers > 1 {
                problems
                    .push(object.problem("/indices", "more than one index is the write index: an alias can have one"));
            }
        }
        _ if problems.is_empty() => {
            problems.push(
                object.problem("", "indices is missing: the indices that have this alias, each with its properties"),
            );
        }
        _ => {}
    }
    problems
}

pub(crate) fn needs(_: &Object, body: &Value, set: &Set) -> Vec<ObjectId> {
    declared(set, "indices", body["indices"].as_object().into_iter().flatten().map(|(index, _)| index.clone()))
}

/// An index of the alias's name, and indices that are not there, are found before the first write.
pub(crate) fn preflight(cluster: &Cluster, _: &Set, todo: &[(&Object, Value, &Change)]) -> Vec<Problem> {
    let mut names: Vec<String> = todo.iter().map(|(object, ..)| object.id.name.clone()).collect();
    names.extend(
        todo.iter()
            .flat_map(|(_, body, _)| body["indices"].as_object().into_iter().flatten())
            .map(|(index, _)| index.clone()),
    );
    let mut there = Map::new();
    for chunk in chunks(&names) {
        let path = format!("/{chunk}?ignore_unavailable=true&expand_wildcards=all&filter_path=*.settings.index.uuid");
        match cluster.get(&path) {
            Ok(answer) => there.extend(answer.and_then(|answer| answer.as_object().cloned()).unwrap_or_default()),
            Err(failure) => return vec![Problem::of_file("aliases", failure.message)],
        }
    }
    let mut problems = Vec::new();
    for (object, body, _) in todo {
        let name = &object.id.name;
        if there.contains_key(name) {
            problems.push(object.problem(
                "",
                format!("an index is called {name}, so no alias can be: reindex it under another name and delete it"),
            ));
        }
        for index in body["indices"].as_object().into_iter().flatten().map(|(index, _)| index) {
            if !there.contains_key(index) && !cluster.memory.borrow().indices.contains(index) {
                let text = format!("the index {index} is neither declared nor on the server");
                problems.push(object.problem(&format!("/indices{}", common::files::json::step(index)), text));
            }
        }
    }
    problems
}

/// One action that gives an index an alias. It replaces the alias's properties there, so those that are not declared are sent again.
pub(crate) fn add(index: &str, alias: &str, have: &Value, want: &Value) -> Value {
    let mut properties = have.as_object().cloned().unwrap_or_default();
    let mut want = want.clone();
    crate::normal::alias(&mut want);
    properties.extend(want.as_object().cloned().unwrap_or_default());
    properties.insert("index".into(), index.into());
    properties.insert("alias".into(), alias.into());
    json!({"add": properties})
}

pub(crate) fn write(cluster: &Cluster, object: &Object, want: Value, have: Option<&Meta>) -> Result<(), Failure> {
    let mut held = have.map(|have| have.meta.clone()).unwrap_or_default();
    normal(&mut held);
    let mut actions = Vec::new();
    for (index, properties) in want["indices"].as_object().into_iter().flatten() {
        let have = &held["indices"][index];
        let mut wanted = properties.clone();
        crate::normal::alias(&mut wanted);
        let differs = have.is_null()
            || !common::engine::diff::diff(common::engine::diff::Writing::Merges, have, &wanted).is_empty();
        if differs {
            let action = add(index, &object.id.name, have, properties);
            // Who gives the write index up goes first: for a moment, none is fine and two are not.
            if wanted["is_write_index"] == true { actions.push(action) } else { actions.insert(0, action) }
        }
    }
    let query = format!("{}&timeout={}", cluster.bounded(), cluster.patience());
    cluster.post(&format!("/_aliases{query}"), &json!({"actions": actions})).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_about_one_alias_is_a_body() {
        let answer = json!({"a-1": {"aliases": {"a": {"is_write_index": true}}}, "a-2": {"aliases": {"a": {}}}});
        let body = json!({"indices": {"a-1": {"is_write_index": true}, "a-2": {}}});
        assert_eq!(unwrap("a", answer), body);
        assert_eq!(unwrap("a", body.clone()), body);
    }

    #[test]
    fn what_is_not_declared_is_kept() {
        let action = add("i", "a", &json!({"is_write_index": true, "filter": 1}), &json!({"routing": "r"}));
        assert_eq!(
            action,
            json!({"add": {"index": "i", "alias": "a", "is_write_index": true, "filter": 1, "index_routing": "r", "search_routing": "r"}})
        );
    }
}
