//! What a new index would be made of, put together here because the server does not have all of it yet: component templates in their
//! order, the template's own body, the index's own body; the later wins. It is only ever shown to the server in a simulation, which judges
//! it. Pure.
//!
//! | field before | field after | then                                                       |
//! |--------------|-------------|------------------------------------------------------------|
//! | leaf         | leaf        | the later one, whole                                       |
//! | object       | object      | both, field by field                                       |
//! | leaf         | object      | both in one, which the server refuses as it would the two  |

use serde_json::{Map, Value, json};

use crate::{mapping, normal};

/// Bodies with `settings`, `mappings` and `aliases`, put together.
pub(crate) fn compose<'b>(bodies: impl IntoIterator<Item = &'b Value>) -> Value {
    let mut settings = normal::Flat::new();
    let mut mappings = json!({});
    let mut aliases = Map::new();
    for body in bodies {
        settings.extend(normal::flatten(&body["settings"], "index."));
        if let Some(more) = body.get("mappings").filter(|more| more.is_object()) {
            let mut more = more.clone();
            mapping::nest(&mut more);
            merge(&mut mappings, more);
        }
        aliases.extend(body["aliases"].as_object().cloned().unwrap_or_default());
    }
    json!({"settings": settings, "mappings": mappings, "aliases": aliases})
}

fn merge(into: &mut Value, from: Value) {
    let (Some(into), Value::Object(from)) = (into.as_object_mut(), from) else { return };
    for (key, value) in from {
        match (key.as_str(), into.get_mut(&key)) {
            ("properties", Some(Value::Object(known))) => merge_fields(known, value),
            // Lists of single-key objects: a template of a name replaces its elder.
            ("dynamic_templates", Some(Value::Array(known))) => {
                for template in value.as_array().cloned().unwrap_or_default() {
                    let name = template.as_object().and_then(|fields| fields.keys().next().cloned());
                    known.retain(|old| name.as_ref().is_none_or(|name| old.get(name).is_none()));
                    known.push(template);
                }
            }
            _ => drop(into.insert(key, value)),
        }
    }
}

fn merge_fields(known: &mut Map<String, Value>, more: Value) {
    let Value::Object(more) = more else { return };
    for (name, field) in more {
        match known.get_mut(&name) {
            Some(old) if is_leaf(old) && is_leaf(&field) => *old = field,
            Some(old) => merge(old, field),
            None => drop(known.insert(name, field)),
        }
    }
}

fn is_leaf(field: &Value) -> bool {
    field.get("properties").is_none() && field["type"].as_str().is_some_and(|kind| kind != "object" && kind != "nested")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_wins_field_by_field() {
        let base = json!({"settings": {"number_of_shards": 1, "index": {"codec": "zlib"}}, "aliases": {"a": {}},
            "mappings": {"dynamic": false, "dynamic_templates": [{"s": {"match": "a"}}, {"t": {}}],
                "properties": {"k": {"type": "keyword", "ignore_above": 9}, "o.x": {"type": "long"}, "c": {"type": "keyword"}}}});
        let own = json!({"settings": {"index.number_of_shards": 2},
            "mappings": {"dynamic_templates": [{"s": {"match": "b"}}],
                "properties": {"k": {"type": "text"}, "o": {"properties": {"y": {"type": "ip"}}}, "c.d": {"type": "ip"}}}});
        assert_eq!(
            compose([&base, &own]),
            json!({"settings": {"index.number_of_shards": "2", "index.codec": "zlib"}, "aliases": {"a": {}},
                "mappings": {"dynamic": false, "dynamic_templates": [{"t": {}}, {"s": {"match": "b"}}],
                    "properties": {"k": {"type": "text"}, "o": {"properties": {"x": {"type": "long"}, "y": {"type": "ip"}}},
                        "c": {"type": "keyword", "properties": {"d": {"type": "ip"}}}}}})
        );
    }
}
