//! Mappings of an index: the server takes them apart and prints them anew, without what equals a default. Declared parts are compared with
//! that, and what cannot change in place is told from what can. What the table here does not know of the server's way to print is decided
//! by the server's own normal form of the declared mappings, where somebody has asked for it. Pure.

use std::collections::BTreeSet;

use common::engine::change::{Difference, Shown};
use common::engine::diff::same;
use common::files::json::step;
use serde_json::{Map, Value, json};

use crate::normal::parted;

/// Parameters of a field that an index keeps for good, once it has the field.
const FOR_GOOD: [&str; 22] = [
    "type",
    "analyzer",
    "index",
    "doc_values",
    "store",
    "format",
    "normalizer",
    "index_options",
    "term_vector",
    "similarity",
    "scaling_factor",
    "null_value",
    "path",
    "dims",
    "dimension",
    "method",
    "enabled",
    "position_increment_gap",
    "locale",
    "split_queries_on_whitespace",
    "index_phrases",
    "index_prefixes",
];

/// Brings mappings into normal form: dotted names as trees, scalars as strings.
pub(crate) fn normal(mappings: &mut Value) {
    // A star tree is declared beside the fields, and shown as one of them.
    if let Some(fields) = mappings.as_object_mut()
        && let Some(Value::Object(composite)) = fields.remove("composite")
        && let Some(known) = fields.entry("properties").or_insert_with(|| json!({})).as_object_mut()
    {
        known.extend(composite);
    }
    nest(mappings);
    for (key, value) in mappings.as_object_mut().into_iter().flatten() {
        match key.as_str() {
            "properties" | "runtime" => fields_of(value, &field),
            // Verbatim, whatever is in it.
            "_meta" | "dynamic_templates" => {}
            _ => plain(value),
        }
    }
}

/// Dotted names as trees: `"a.b": {…}` is `"a": {"properties": {"b": {…}}}`.
pub(crate) fn nest(holder: &mut Value) {
    let Some(params) = holder.as_object_mut() else { return };
    let nests = nests(params);
    let Some(Value::Object(fields)) = params.get_mut("properties") else { return };
    for name in fields.keys().filter(|name| nests && name.contains('.')).cloned().collect::<Vec<_>>() {
        nest_field(fields, &name);
    }
    fields.values_mut().for_each(nest);
}

/// Applies something to each of the fields of an object.
fn fields_of(value: &mut Value, work: &dyn Fn(&mut Value)) {
    value.as_object_mut().into_iter().flatten().for_each(|(_, field)| work(field));
}

/// Whether a dot in a field's name means an object; 3.x can be told that it does not.
fn nests(holder: &Map<String, Value>) -> bool {
    holder.get("disable_objects").is_none_or(|disabled| *disabled != true && *disabled != "true")
}

/// `a.b` is the field `b` of the object `a`. Where `a` is a leaf, the server has to say so.
fn nest_field(fields: &mut Map<String, Value>, name: &str) {
    let Some((first, rest)) = parted(name).filter(|(first, rest)| !first.is_empty() && !rest.is_empty()) else {
        return;
    };
    let Some(body) = fields.remove(name) else { return };
    let outer = fields.entry(first).or_insert_with(|| json!({}));
    let inner = outer.as_object_mut().map(|outer| outer.entry("properties").or_insert_with(|| json!({})));
    match inner {
        Some(Value::Object(inner)) => drop(inner.insert(rest.to_owned(), body)),
        _ => drop(fields.insert(name.to_owned(), body)),
    }
}

fn field(value: &mut Value) {
    for (key, value) in value.as_object_mut().into_iter().flatten() {
        match key.as_str() {
            "properties" | "fields" => fields_of(value, &field),
            "meta" => {}
            "copy_to" if value.is_string() => *value = json!([value.take()]),
            _ => plain(value),
        }
    }
}

/// Whether the server leaves a parameter of a field out because it is as it would be anyway.
fn is_default(field: &Map<String, Value>, key: &str, value: &Value) -> bool {
    let text = value.as_str();
    let kind = field.get("type").and_then(Value::as_str).unwrap_or_default();
    match key {
        "type" => text == Some("object") && field.contains_key("properties"),
        "index" | "doc_values" | "coerce" => text == Some("true"),
        "enabled" => text == Some("true") && matches!(kind, "" | "object"),
        "store"
        | "ignore_malformed"
        | "eager_global_ordinals"
        | "fielddata"
        | "split_queries_on_whitespace"
        | "include_in_parent"
        | "include_in_root"
        | "index_phrases" => text == Some("false"),
        "boost" => text == Some("1.0") || text == Some("1"),
        "similarity" => text == Some("BM25"),
        "norms" => text == Some(if kind == "keyword" { "false" } else { "true" }),
        "index_options" => text == Some(if kind == "keyword" { "docs" } else { "positions" }),
        "term_vector" => text == Some("no"),
        "ignore_above" => text == Some("2147483647"),
        "position_increment_gap" => text == Some("100"),
        // The second is the default where the feature flag of faster formats is on (2.12 and later).
        "format" => matches!(
            (kind, text),
            (
                "date",
                Some(
                    "strict_date_optional_time||epoch_millis"
                        | "strict_date_time_no_millis||strict_date_optional_time||epoch_millis"
                )
            )
        ),
        "null_value" => value.is_null(),
        "meta" | "fields" | "copy_to" => crate::normal::is_empty(value),
        _ => false,
    }
}

/// Scalars as strings, at any depth.
fn plain(value: &mut Value) {
    match value {
        Value::Bool(_) | Value::Number(_) => *value = Value::String(value.to_string()),
        Value::Array(items) => items.iter_mut().for_each(plain),
        Value::Object(fields) => fields.values_mut().for_each(plain),
        Value::Null | Value::String(_) => {}
    }
}

/// Where declared mappings differ from an index's, both in normal form; `form` is what the server makes of the declared ones, if it was
/// asked: `{"p": {"type": "scaled_float", "scaling_factor": 100}}` has the form `{"p": {…, "scaling_factor": 100.0}}`.
pub(crate) fn differences(have: &Value, want: &Value, form: Option<&Value>) -> Vec<Difference> {
    let empty = Map::new();
    let have = have.as_object().unwrap_or(&empty);
    let mut found = Vec::new();
    for (key, want) in want.as_object().unwrap_or(&empty) {
        let path = format!("/mappings{}", step(key));
        let held = have.get(key);
        if matches!(key.as_str(), "properties" | "runtime") {
            of_fields(&path, held, want, form.and_then(|form| form.get(key)), &mut found);
            continue;
        }
        let is_default = key == "_source" && *want == json!({"enabled": "true"});
        if agrees(key, held, want, form, is_default) {
            continue;
        }
        // Both are part of how each document is stored.
        let fixable = !matches!(key.as_str(), "_source" | "_routing");
        found.push(Difference { fixable, ..Difference::new(path, Shown::maybe(held), Shown::json(want)) });
    }
    found
}

fn of_fields(path: &str, have: Option<&Value>, want: &Value, form: Option<&Value>, found: &mut Vec<Difference>) {
    for (name, want) in want.as_object().into_iter().flatten() {
        let path = format!("{path}{}", step(name));
        match have.and_then(|have| have.get(name)) {
            None => found.push(Difference::new(path, Shown::Absent, Shown::json(want))),
            Some(have) => of_field(&path, have, want, form.and_then(|form| form.get(name)), found),
        }
    }
}

fn of_field(path: &str, have: &Value, want: &Value, form: Option<&Value>, found: &mut Vec<Difference>) {
    let Some(params) = want.as_object() else { return };
    for (key, want) in params {
        let path = format!("{path}{}", step(key));
        let held = have.get(key);
        if matches!(key.as_str(), "properties" | "fields") && !crate::normal::is_empty(want) {
            of_fields(&path, held, want, form.and_then(|form| form.get(key)), found);
        } else if !agrees(key, held, want, form, is_default(params, key, want)) {
            let fixable = !FOR_GOOD.contains(&key.as_str());
            found.push(Difference { fixable, ..Difference::new(path, Shown::maybe(held), Shown::json(want)) });
        }
    }
}

/// Whether an index has what is declared. What the server's form of it lacks is a default: then the index has to lack it, too.
fn agrees(key: &str, have: Option<&Value>, want: &Value, form: Option<&Value>, is_default: bool) -> bool {
    match (have, form.map(|form| form.get(key))) {
        (Some(have), _) if same(have, want) => true,
        (Some(have), Some(Some(form))) => same(have, form),
        (None, Some(None)) => true,
        (None, None) => is_default,
        _ => false,
    }
}

/// The mappings to send so that the differences at these paths go: declared parts alone, each field with what the index has of it, since a
/// parameter that is left out would get its default.
pub(crate) fn changed(have: &Value, want: &Value, fixable: &BTreeSet<&str>) -> Option<Value> {
    let mut body = Map::new();
    for (key, want) in want.as_object()? {
        let path = format!("/mappings{}", step(key));
        if matches!(key.as_str(), "properties" | "runtime") {
            body.extend(changed_fields(&path, &have[key], want, fixable).map(|fields| (key.clone(), fields)));
        } else if fixable.contains(path.as_str()) {
            body.insert(key.clone(), want.clone());
        }
    }
    (!body.is_empty()).then_some(Value::Object(body))
}

fn changed_fields(path: &str, have: &Value, want: &Value, fixable: &BTreeSet<&str>) -> Option<Value> {
    let mut fields = Map::new();
    for (name, want) in want.as_object()? {
        let path = format!("{path}{}", step(name));
        if fixable.contains(path.as_str()) {
            fields.insert(name.clone(), want.clone());
            continue;
        }
        let mut field = have[name].as_object().cloned().unwrap_or_default();
        field.retain(|key, _| !matches!(key.as_str(), "properties" | "fields"));
        let mut changes = false;
        for (key, value) in want.as_object().into_iter().flatten() {
            let path = format!("{path}{}", step(key));
            let value = match key.as_str() {
                "properties" | "fields" if !fixable.contains(path.as_str()) => {
                    changed_fields(&path, &have[name][key], value, fixable)
                }
                _ => fixable.contains(path.as_str()).then(|| value.clone()),
            };
            changes |= value.is_some();
            field.extend(value.map(|value| (key.clone(), value)));
        }
        if changes {
            fields.insert(name.clone(), Value::Object(field));
        }
    }
    (!fields.is_empty()).then_some(Value::Object(fields))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    #[track_caller]
    fn check(have: &Value, want: &Value, expected: &Expect) {
        let (mut have, mut want) = (have.clone(), want.clone());
        normal(&mut have);
        normal(&mut want);
        let shown: Vec<String> = differences(&have, &want, None).iter().map(ToString::to_string).collect();
        expected.assert_eq(&shown.join("\n"));
        assert!(differences(&want, &want, None).is_empty());
        let once = want.clone();
        normal(&mut want);
        assert_eq!(want, once, "normalizing twice is normalizing once");
    }

    #[test]
    fn what_the_server_prints_anew_is_the_same() {
        check(
            &json!({"dynamic": "false", "properties": {"a": {"type": "keyword", "copy_to": ["b"]}, "o": {"properties": {"x": {"type": "long"}}}, "t": {"type": "text"}}}),
            &json!({"dynamic": false, "_source": {"enabled": true}, "properties": {
                "a": {"type": "keyword", "copy_to": "b", "norms": false, "doc_values": true},
                "o": {"type": "object", "properties": {"x": {"type": "long", "index": true}}},
                "t": {"type": "text", "norms": true, "store": false}}}),
            &expect![""],
        );
    }

    #[test]
    fn a_default_that_the_index_does_not_have_is_seen() {
        check(
            &json!({"properties": {"a": {"type": "keyword", "index": false}, "s": {"type": "long", "store": true}}}),
            &json!({"properties": {"a": {"type": "keyword", "index": true}, "s": {"type": "long"}}}),
            &expect![[r#"/mappings/properties/a/index: "false" -> "true" (cannot be changed in place)"#]],
        );
    }

    #[test]
    fn dotted_names_are_trees() {
        check(
            &json!({"properties": {"host": {"properties": {"ip": {"type": "ip"}, "name": {"type": "keyword"}, "mine": {"type": "ip"}}}}}),
            &json!({"properties": {"host.name": {"type": "keyword"}, "host.ip": {"type": "ip"}, "host": {"properties": {"os.n": {"type": "ip"}}}}}),
            &expect![[r#"/mappings/properties/host/properties/os: (absent) -> {"properties":{"n":{"type":"ip"}}}"#]],
        );
    }

    #[test]
    fn a_name_of_a_hundred_thousand_dots_is_no_tree() {
        let name = "a.".repeat(100_000) + "a";
        let mut mappings = json!({"properties": {name.as_str(): {"type": "ip"}}});
        normal(&mut mappings);
        assert_eq!(mappings, json!({"properties": {name.as_str(): {"type": "ip"}}}));
    }

    #[test]
    fn the_servers_form_of_what_is_declared_decides() {
        let shown = |have: Value, want: Value, form: Value| {
            let (mut have, mut want, mut form) = (have, want, form);
            [&mut have, &mut want, &mut form].into_iter().for_each(normal);
            let found = differences(&have, &want, Some(&form));
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let vector =
            |method: Value| json!({"properties": {"v": {"type": "knn_vector", "dimension": 2, "method": method}}});
        let full = json!({"name": "hnsw", "engine": "faiss", "space_type": "l2", "parameters": {}});
        let other = json!({"name": "hnsw", "engine": "lucene", "space_type": "l2", "parameters": {}});
        let short = vector(json!({"name": "hnsw"}));
        assert_eq!(shown(vector(full.clone()), short.clone(), vector(full.clone())), [""; 0]);
        assert_eq!(shown(vector(other), short, vector(full)).len(), 1, "the index has another engine");
        // What the form leaves out is a default, which the index must not show either.
        let binary = |extra: Value| {
            let mut field = json!({"type": "binary"});
            field.as_object_mut().expect("an object").extend(extra.as_object().cloned().expect("an object"));
            json!({"properties": {"b": field}})
        };
        let want = || binary(json!({"doc_values": false}));
        assert_eq!(shown(binary(json!({})), want(), binary(json!({}))), [""; 0]);
        assert_eq!(shown(binary(json!({"doc_values": true})), want(), binary(json!({}))).len(), 1);
    }

    #[test]
    fn fields_are_added_and_types_are_for_good() {
        check(
            &json!({"properties": {"a": {"type": "keyword"}, "mine": {"type": "ip"}}}),
            &json!({"properties": {"a": {"type": "text", "fields": {"k": {"type": "keyword"}}}, "n": {"type": "long"}}}),
            &expect![[r#"
                /mappings/properties/a/fields/k: (absent) -> {"type":"keyword"}
                /mappings/properties/a/type: "keyword" -> "text" (cannot be changed in place)
                /mappings/properties/n: (absent) -> {"type":"long"}"#]],
        );
    }

    #[test]
    fn what_can_change_is_sent_with_what_the_index_has() {
        let have = json!({"dynamic": "false", "properties": {"a": {"type": "keyword", "ignore_above": 256},
            "k": {"type": "keyword", "ignore_above": 9, "copy_to": ["g"]}, "o": {"properties": {"x": {"type": "long"}}}}});
        let want = json!({"dynamic": "strict", "properties": {"a": {"type": "text", "fields": {"raw": {"type": "keyword"}}},
            "k": {"type": "keyword", "ignore_above": 10}, "o": {"properties": {"x": {"type": "long"}, "y": {"type": "ip"}}}}});
        let (mut have_normal, mut want_normal) = (have.clone(), want.clone());
        normal(&mut have_normal);
        normal(&mut want_normal);
        let found = differences(&have_normal, &want_normal, None);
        let fixable: BTreeSet<&str> =
            found.iter().filter(|found| found.fixable).map(|found| found.path.as_str()).collect();
        assert_eq!(
            changed(&have, &want, &fixable),
            Some(json!({"dynamic": "strict", "properties": {
                "a": {"type": "keyword", "ignore_above": 256, "fields": {"raw": {"type": "keyword"}}},
                "k": {"type": "keyword", "ignore_above": 10, "copy_to": ["g"]},
                "o": {"properties": {"y": {"type": "ip"}}}}}))
        );
        assert_eq!(changed(&have, &want, &BTreeSet::new()), None);
    }

    #[test]
    fn limits_change_in_place() {
        check(
            &json!({"dynamic": "true", "_meta": {"v": 1}, "properties": {"a": {"type": "keyword", "ignore_above": 256}}}),
            &json!({"dynamic": "strict", "_meta": {"v": 2}, "properties": {"a": {"type": "keyword", "ignore_above": "512"}}}),
            &expect![[r#"
                /mappings/_meta: {"v":1} -> {"v":2}
                /mappings/dynamic: "true" -> "strict"
                /mappings/properties/a/ignore_above: "256" -> "512""#]],
        );
    }
}
