//! Aliases, changed atomically: each file is one alias, its changes one request. Indices that no file names keep the alias.

use std::collections::{BTreeMap, BTreeSet};

use common::engine::change::{Change, Failure, ObjectId, Shown};
use common::engine::diff::{Writing, diff};
use common::engine::document::{Have, Held, Making, Pair, Pending, Request, bodies};
use common::files::{Object, Problem, Set};
use serde_json::{Map, Value, json};

use crate::cluster::{Cluster, chunks, declared};
use crate::document::{Ask, only};
use crate::step::{Limits, post};

/// Asked by the declared indices, for who may see no others; for an export by the aliases.
pub(crate) fn read(cluster: &Cluster, ask: Ask<'_>) -> Result<Held, Failure> {
    let paths = if ask.is_empty() {
        vec!["/_alias".to_owned()]
    } else {
        let mut names = BTreeSet::new();
        for object in ask {
            names.extend(object.value()?["indices"].as_object().into_iter().flatten().map(|(index, _)| index.clone()));
        }
        let names: Vec<String> = names.into_iter().collect();
        chunks(&names).into_iter().map(|names| format!("/{names}/_alias?ignore_unavailable=true")).collect()
    };
    let mut bodies: BTreeMap<String, Value> = BTreeMap::new();
    for path in paths {
        let answer = cluster.get(&path)?.unwrap_or_default();
        for (index, body) in answer.as_object().into_iter().flatten() {
            for (alias, properties) in body["aliases"].as_object().into_iter().flatten() {
                let entry = bodies.entry(alias.clone()).or_insert_with(|| json!({"indices": {}}));
                entry["indices"][index] = properties.clone();
            }
        }
    }
    Ok(bodies.into_iter().map(|(name, body)| (name, Have::of(&body))).collect())
}

pub(crate) fn normal(body: &mut Value) {
    crate::normal::each(body, "/indices/*", &crate::normal::alias);
}

/// An index with null is not to carry the alias: a difference where it does.
pub(crate) fn judge(pair: &Pair<'_, Limits>) -> Change {
    let mut found = diff(Writing::Merges, pair.held, pair.want);
    found.retain(|difference| difference.to != Shown::Json("null".into()) || !matches!(difference.from, Shown::Absent));
    for difference in found.iter_mut().filter(|difference| difference.to == Shown::Json("null".into())) {
        difference.to = Shown::Absent;
    }
    Change::update(found)
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
            if indices.values().all(Value::is_null) {
                problems.push(
                    object.problem("/indices", "no index is left that has the alias: an alias cannot be without"),
                );
            }
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
pub(crate) fn preflight(cluster: &Cluster, set: &Set, todo: &[Pending<'_>]) -> Vec<Problem> {
    let mut names: Vec<String> = todo.iter().map(|(object, ..)| object.id.name.clone()).collect();
    for (_, body, _) in bodies(todo) {
        names.extend(body["indices"].as_object().into_iter().flatten().map(|(index, _)| index.clone()));
    }
    let mut there = Map::new();
    for chunk in chunks(&names) {
        let path = format!("/{chunk}?ignore_unavailable=true&expand_wildcards=all&filter_path=*.settings.index.uuid");
        match cluster.get(&path) {
            Ok(answer) => there.extend(answer.and_then(|answer| answer.as_object().cloned()).unwrap_or_default()),
            Err(failure) => {
                return todo.iter().take(1).map(|(object, ..)| Problem::refused(&object.id, failure.clone())).collect();
            }
        }
    }
    let mut problems = Vec::new();
    for (object, body, _) in bodies(todo) {
        let name = &object.id.name;
        if there.contains_key(name) {
            problems.push(object.problem(
                "",
                format!("an index is called {name}, so no alias can be: reindex it under another name and delete it"),
            ));
        }
        let carrying =
            body["indices"].as_object().into_iter().flatten().filter(|(_, properties)| !properties.is_null());
        for index in carrying.map(|(index, _)| index) {
            if !there.contains_key(index) && set.get("indices", index).is_none() {
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

pub(crate) fn step(making: Making<'_, Limits>) -> Vec<Request> {
    let Making { object, body: want, have, rules, .. } = making;
    let alias = &object.id.name;
    let mut held = have.and_then(|have| have.value().ok()).unwrap_or_default();
    normal(&mut held);
    let mut actions = Vec::new();
    for (index, properties) in want["indices"].as_object().into_iter().flatten() {
        let have = &held["indices"][index];
        let mut wanted = properties.clone();
        crate::normal::alias(&mut wanted);
        if properties.is_null() {
            // One request is atomic: nobody sees the alias without the index that it moves to.
            if !have.is_null() {
                actions.insert(0, json!({"remove": {"index": index, "alias": alias}}));
            }
        } else if have.is_null() || !diff(Writing::Merges, have, &wanted).is_empty() {
            let action = add(index, alias, have, properties);
            // Remove the old write index first: an alias may briefly have none, never two.
            if wanted["is_write_index"] == true { actions.push(action) } else { actions.insert(0, action) }
        }
    }
    vec![post(rules.both("/_aliases"), &json!({"actions": actions}))]
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
