//! Normal forms that several kinds share: settings, aliases, sets, durations. Known defaults and server-made fields are dropped, on both
//! sides, so that one table serves every version; nothing is added. Pure.

use std::collections::BTreeMap;

use common::engine::change::{Difference, Shown};
use common::engine::document::drop_where;
use serde_json::{Map, Value};

/// Settings as the server keeps them: dotted names, and strings, lists of strings, or null.
pub(crate) type Flat = BTreeMap<String, Value>;

/// Flattens settings; `prefix` is put before each name that does not begin with it.
pub(crate) fn flatten(settings: &Value, prefix: &str) -> Flat {
    let mut flat = Flat::new();
    // What is no object is nobody's setting.
    if settings.is_object() {
        visit(settings, String::new(), &mut flat);
    }
    let named = |name: String| if name.starts_with(prefix) { name } else { format!("{prefix}{name}") };
    flat.into_iter().map(|(name, value)| (named(name), value)).collect()
}

fn visit(value: &Value, name: String, flat: &mut Flat) {
    match value {
        Value::Object(fields) => {
            for (key, inner) in fields {
                let dot = if name.is_empty() { "" } else { "." };
                visit(inner, format!("{name}{dot}{key}"), flat);
            }
        }
        Value::Array(items) => drop(flat.insert(name, items.iter().map(as_string).collect())),
        other => drop(flat.insert(name, as_string(other))),
    }
}

/// A scalar as the server's settings show it.
fn as_string(value: &Value) -> Value {
    match value {
        Value::Bool(_) | Value::Number(_) => Value::String(value.to_string()),
        other => other.clone(),
    }
}

/// Settings as a tree again; where a name is both a value and a prefix, the longer name stays dotted.
pub(crate) fn nest(flat: Flat) -> Value {
    let mut tree = Map::new();
    for (name, value) in flat {
        insert(&mut tree, &name, value);
    }
    Value::Object(tree)
}

/// A name of more dots than any server takes stays as it is: a tree of a hundred thousand levels could not even be dropped.
pub(crate) fn parted(name: &str) -> Option<(&str, &str)> {
    const DEEPEST: usize = 20;
    name.split_once('.').filter(|_| name.matches('.').nth(DEEPEST).is_none())
}

fn insert(tree: &mut Map<String, Value>, name: &str, value: Value) {
    if let Some((first, rest)) = parted(name) {
        let inner = tree.entry(first).or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(inner) = inner {
            return insert(inner, rest, value);
        }
    }
    tree.insert(name.to_owned(), value);
}

/// The pointer at which a flat setting is shown.
pub(crate) fn setting_path(root: &str, name: &str) -> String {
    name.split('.').fold(root.to_owned(), |path, part| path + &common::files::json::step(part))
}

/// Where declared settings differ from the server's, each with its whole name; what is not declared is left alone, and null asks for the
/// default.
pub(crate) fn settings_differences(root: &str, have: &Flat, want: &Flat) -> Vec<(String, Difference)> {
    let mut found = Vec::new();
    for (name, want) in want {
        let path = setting_path(root, name);
        if want.is_null() {
            let unset = |held: &&String| match name.strip_suffix('*') {
                Some(prefix) => held.starts_with(prefix),
                None => *held == name,
            };
            for held in have.keys().filter(unset) {
                let difference = Difference::new(setting_path(root, held), Shown::maybe(have.get(held)), Shown::Absent);
                found.push((held.clone(), difference));
            }
        } else if have.get(name) != Some(want) {
            found.push((name.clone(), Difference::new(path, Shown::maybe(have.get(name)), Shown::json(want))));
        }
    }
    found
}

/// The body of a template: what a new index gets.
pub(crate) fn template_body(body: &mut Value) {
    let Some(fields) = body.as_object_mut() else { return };
    if let Some(settings) = fields.get_mut("settings") {
        *settings = nest(flatten(settings, "index."));
    }
    if let Some(Value::Object(aliases)) = fields.get_mut("aliases") {
        aliases.values_mut().for_each(alias);
    }
    // Mappings come back as they were sent, but for an empty one, which is dropped.
    fields.retain(|key, value| !matches!(key.as_str(), "settings" | "mappings" | "aliases") || !is_empty(value));
}

/// An alias: `routing` is short for both routings.
pub(crate) fn alias(alias: &mut Value) {
    let Some(fields) = alias.as_object_mut() else { return };
    if let Some(routing) = fields.remove("routing") {
        for key in ["index_routing", "search_routing"] {
            fields.entry(key).or_insert_with(|| routing.clone());
        }
    }
    fields.retain(|_, value| !value.is_null());
}

/// Whether a value is an empty object or list.
pub(crate) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// Drops null at any depth: the server shows it for what is not set.
pub(crate) fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, inner| !inner.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Applies something to each value that a pointer with `*` for any step names.
pub(crate) fn each(value: &mut Value, pattern: &str, work: &dyn Fn(&mut Value)) {
    let steps: Vec<&str> = pattern.split('/').skip(1).collect();
    each_step(value, &steps, work);
}

fn each_step(value: &mut Value, steps: &[&str], work: &dyn Fn(&mut Value)) {
    let Some((step, rest)) = steps.split_first() else { return work(value) };
    match value {
        Value::Object(fields) => {
            let chosen = fields.iter_mut().filter(|(key, _)| *step == "*" || *step == key.as_str());
            chosen.for_each(|(_, inner)| each_step(inner, rest, work));
        }
        Value::Array(items) if *step == "*" => items.iter_mut().for_each(|inner| each_step(inner, rest, work)),
        _ => {}
    }
}

/// Drops values that are known defaults.
pub(crate) fn drop_defaults(value: &mut Value, defaults: &[(&str, Value)]) {
    for (pattern, default) in defaults {
        drop_where(value, pattern, &|found| found == default);
    }
}

/// A list whose order means nothing: sorted, each once.
pub(crate) fn set(value: &mut Value) {
    if let Value::Array(items) = value {
        items.sort_by_key(Value::to_string);
        items.dedup();
    }
}

/// A number that is written as a string.
pub(crate) fn unquote(value: &mut Value) {
    if let Some(number) = value.as_str().and_then(common::files::scalar).filter(Value::is_number) {
        *value = number;
    }
}

/// A boolean that is written as a string.
pub(crate) fn unquote_flag(value: &mut Value) {
    if let Some(flag) = value.as_str().and_then(common::files::scalar).filter(Value::is_boolean) {
        *value = flag;
    }
}

/// A string in small letters.
pub(crate) fn lower(value: &mut Value) {
    if let Value::String(text) = value {
        *text = text.to_lowercase();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn settings_are_the_same_however_they_are_written() {
        let ways = [
            json!({"number_of_shards": 1, "index.hidden": false, "index": {"refresh_interval": "5s", "mapping.total_fields.limit": 2000}}),
            json!({"index": {"number_of_shards": "1", "hidden": "false", "refresh_interval": "5s", "mapping": {"total_fields": {"limit": "2000"}}}}),
            json!({"index.number_of_shards": "1", "index.hidden": "false", "index.refresh_interval": "5s", "index.mapping.total_fields.limit": "2000"}),
        ];
        for way in &ways {
            assert_eq!(nest(flatten(way, "index.")), ways[1]);
        }
    }

    #[test]
    fn a_name_may_be_a_value_and_a_prefix() {
        let flat = flatten(&json!({"logger.org": "info", "logger.org.opensearch": "debug"}), "");
        assert_eq!(nest(flat), json!({"logger": {"org": "info", "org.opensearch": "debug"}}));
    }

    #[test]
    fn a_name_of_a_hundred_thousand_dots_is_no_tree() {
        let flat = json!({"a.".repeat(100_000) + "a": "1"});
        assert_eq!(nest(flatten(&flat, "")), flat);
    }

    #[test]
    fn null_asks_for_the_default() {
        let have = flatten(&json!({"a.b": 1, "r.x": 1, "r.y": 2, "mine": 3}), "");
        let want = flatten(&json!({"a": {"b": null, "c": null}, "r.*": null, "d": 4}), "");
        let found: Vec<String> =
            settings_differences("/persistent", &have, &want).iter().map(|(_, found)| found.to_string()).collect();
        assert_eq!(
            found,
            [
                r#"/persistent/a/b: "1" -> (absent)"#,
                r#"/persistent/d: (absent) -> "4""#,
                r#"/persistent/r/x: "1" -> (absent)"#,
                r#"/persistent/r/y: "2" -> (absent)"#
            ]
        );
    }

    #[test]
    fn an_alias_keeps_what_the_server_would_show() {
        let mut value = json!({"routing": "r", "search_routing": "s", "filter": null, "is_hidden": true});
        alias(&mut value);
        assert_eq!(value, json!({"index_routing": "r", "search_routing": "s", "is_hidden": true}));
    }

    fn any_settings() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-c.]{0,3}".prop_map(Value::from),
            prop::collection::vec("[a-b]{1,2}", 0..3).prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop::collection::btree_map("[a-c]{1,2}", inner, 1..3)
                .prop_map(|fields| Value::Object(fields.into_iter().collect()))
        })
        .prop_filter("settings are an object", Value::is_object)
    }

    proptest! {
        #[test]
        fn flattening_is_idempotent(settings in any_settings()) {
            let once = nest(flatten(&settings, "index."));
            prop_assert_eq!(nest(flatten(&once, "index.")), once);
        }

        #[test]
        fn settings_do_not_differ_from_themselves(settings in any_settings()) {
            let flat = flatten(&settings, "");
            prop_assert!(settings_differences("", &flat, &flat).is_empty());
        }
    }
}
