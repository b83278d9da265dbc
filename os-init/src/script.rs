//! Stored scripts. The server takes a broken one all the same unless it is told the context, and no request compiles it without storing it.

#![expect(clippy::needless_pass_by_value, reason = "a row's write is given the body for good")]

use std::rc::Rc;

use common::engine::change::Failure;
use common::engine::document::{Have, Held, Meta};
use common::files::{Object, Problem, Set};
use serde_json::{Value, json};

use crate::cluster::{Cluster, part};
use crate::document::{fields, only, wanted};

/// The list of scripts is in the cluster's state; their own endpoint answers about one at a time.
pub(crate) fn read(cluster: &Cluster, objects: &[Rc<Object>]) -> Result<Held, Failure> {
    let path = "/_cluster/state/metadata?filter_path=metadata.stored_scripts";
    let Some(body) = cluster.list(path)? else { return Ok(Held::new()) };
    let outer = fields(&body)?;
    let Some(metadata) = outer.get("metadata") else { return Ok(Held::new()) };
    let metadata = fields(metadata.get())?;
    let Some(scripts) = metadata.get("stored_scripts") else { return Ok(Held::new()) };
    let wanted = wanted(objects);
    let scripts = fields(scripts.get())?.into_iter().filter(|(name, _)| wanted(name));
    scripts
        .map(|(name, script)| {
            let script: Value = serde_json::from_str(script.get())
                .map_err(|error| Failure::fatal(format!("the stored script {name} cannot be understood: {error}")))?;
            Ok((name, Have::of(&json!({"script": script}))))
        })
        .collect()
}

/// A search template may be given as an object; the server keeps it as text and notes what it was.
pub(crate) fn normal(body: &mut Value) {
    let Some(script) = body.get_mut("script").and_then(Value::as_object_mut) else { return };
    if script.get("lang").and_then(Value::as_str) == Some("mustache")
        && let Some(parsed) =
            script.get("source").and_then(Value::as_str).and_then(|text| serde_json::from_str(text).ok())
    {
        let parsed: Value = parsed;
        if parsed.is_object() {
            script.insert("source".into(), parsed);
        }
    }
    if let Some(Value::Object(options)) = script.get_mut("options") {
        options.retain(|key, value| key != "content_type" || *value != "application/json; charset=UTF-8");
    }
    script.retain(|key, value| key != "options" || !crate::normal::is_empty(value));
}

pub(crate) fn unwrap(body: Value) -> Value {
    match body.get("script") {
        Some(script) if body.get("_id").is_some() => json!({"script": script}),
        _ => body,
    }
}

pub(crate) fn check(object: &Object, body: &Value, _: &Set) -> Vec<Problem> {
    let mut problems = only(object, body, &["script"]);
    if problems.is_empty() {
        for key in ["lang", "source"] {
            if body["script"][key].is_null() {
                problems.push(object.problem("/script", format!("{key} is missing")));
            }
        }
    }
    problems
}

pub(crate) fn write(cluster: &Cluster, object: &Object, want: Value, _: Option<&Meta>) -> Result<(), Failure> {
    cluster.put(&format!("/_scripts/{}{}", part(&object.id.name), cluster.bounded()), &want).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_the_same_as_text_and_as_object() {
        let mut object = json!({"script": {"lang": "mustache", "source": {"query": {"match": {"t": "{{q}}"}}}}});
        let mut text = json!({"script": {"lang": "mustache", "source": "{\"query\":{\"match\":{\"t\":\"{{q}}\"}}}",
            "options": {"content_type": "application/json; charset=UTF-8"}}});
        normal(&mut object);
        normal(&mut text);
        assert_eq!(object, text);
    }

    #[test]
    fn code_stays_text() {
        let mut body = json!({"script": {"lang": "painless", "source": "{}", "options": {"x": 1}}});
        let before = body.clone();
        normal(&mut body);
        assert_eq!(body, before);
    }
}
