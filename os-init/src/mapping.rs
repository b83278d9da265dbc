//! Mappings of an index: the server takes them apart and prints them anew, without what equals a default. Declared parts are compared with
//! that, and what cannot change in place is told from what can. Pure.

use common::engine::change::{Difference, Shown};
use common::engine::diff::same;
use common::files::json::step;
use serde_json::{Map, Value, json};

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

/// Brings mappings into normal form: scalars as strings, defaults dropped.
pub(crate) fn normal(mappings: &mut Value) {
    let Some(fields) = mappings.as_object_mut() else { return };
    if let Some(source) = fields.get_mut("_source") {
        plain(source);
        if *source == json!({"enabled": "true"}) {
            fields.remove("_source");
        }
    }
    for (key, value) in fields.iter_mut() {
        match key.as_str() {
            "properties" | "runtime" => properties(value),
            // Verbatim, whatever is in it.
            "_meta" | "dynamic_templates" | "_source" => {}
            _ => plain(value),
        }
    }
}

fn properties(value: &mut Value) {
    if let Some(fields) = value.as_object_mut() {
        fields.values_mut().for_each(field);
    }
}

fn field(value: &mut Value) {
    let Some(params) = value.as_object_mut() else { return };
    for (key, value) in params.iter_mut() {
        match key.as_str() {
            "properties" | "fields" => properties(value),
            "meta" => {}
            "copy_to" if value.is_string() => *value = json!([value.take()]),
            _ => plain(value),
        }
    }
    let kind = params.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    if kind == "object" && params.contains_key("properties") {
        params.remove("type");
    }
    params.retain(|key, value| !is_default(&kind, key, value));
}

/// Whether the server leaves a parameter out because it is as it would be anyway.
fn is_default(kind: &str, key: &str, value: &Value) -> bool {
    let text = value.as_str();
    match key {
        "index" | "doc_values" | "coerce" => text == Some("true"),
        "enabled" => text == Some("true") && matches!(kind, "" | "object"),
        "store"
        | "ignore_malformed"
        | "eager_global_ordinals"
        | "fielddata"
        | "split_queries_on_whitespace"
        | "include_in_parent"
        | "include_in_root"
        | "index_phrases"
        | "ignore_z_value_default" => text == Some("false"),
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

/// Where declared mappings differ from an index's, both in normal form.
pub(crate) fn differences(have: &Value, want: &Value) -> Vec<Difference> {
    let empty = Map::new();
    let have = have.as_object().unwrap_or(&empty);
    let mut found = Vec::new();
    for (key, want) in want.as_object().unwrap_or(&empty) {
        let path = format!("/mappings{}", step(key));
        match (key.as_str(), have.get(key)) {
            ("properties" | "runtime", held) => of_fields(&path, held, want, &mut found),
            (_, Some(held)) if same(held, want) => {}
            // Part of how each document is stored.
            ("_source" | "_routing", held) => {
                found.push(Difference::fixed(path, Shown::maybe(held), Shown::json(want)));
            }
            (_, held) => found.push(Difference::new(path, Shown::maybe(held), Shown::json(want))),
        }
    }
    found
}

fn of_fields(path: &str, have: Option<&Value>, want: &Value, found: &mut Vec<Difference>) {
    let Some(want) = want.as_object() else { return };
    for (name, want) in want {
        let path = format!("{path}{}", step(name));
        match have.and_then(|have| have.get(name)) {
            None => found.push(Difference::new(path, Shown::Absent, Shown::json(want))),
            Some(have) => of_field(&path, have, want, found),
        }
    }
}

fn of_field(path: &str, have: &Value, want: &Value, found: &mut Vec<Difference>) {
    let Some(want) = want.as_object() else { return };
    for (key, want) in want {
        let path = format!("{path}{}", step(key));
        let held = have.get(key);
        match key.as_str() {
            "properties" | "fields" => of_fields(&path, held, want, found),
            // An object shows its type only while it has no fields.
            "type" if want == "object" && held.is_none() && have.get("properties").is_some() => {}
            _ if held.is_some_and(|held| same(held, want)) => {}
            key if FOR_GOOD.contains(&key) => {
                found.push(Difference::fixed(path, Shown::maybe(held), Shown::json(want)));
            }
            _ => found.push(Difference::new(path, Shown::maybe(held), Shown::json(want))),
        }
    }
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
        let shown: Vec<String> = differences(&have, &want).iter().map(ToString::to_string).collect();
        expected.assert_eq(&shown.join("\n"));
        assert!(differences(&want, &want).is_empty());
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
