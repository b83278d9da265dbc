//! Stored scripts. The server takes a broken one all the same unless it is told the context; only a search template can be tried without
//! storing it.

use common::engine::change::{Change, Class, Failure};
use common::engine::document::{Have, Held, Making, Pending, Request, bodies};
use common::files::{Object, Problem, Set};
use common::net::http::Call;
use serde_json::{Value, json};

use crate::cluster::{Cluster, part};
use crate::document::{Ask, fields, only, sieve, wanted};
use crate::step::{Limits, put_file};

/// The list of scripts is in the cluster's state; their own endpoint answers about one at a time.
pub(crate) fn read(cluster: &Cluster, ask: Ask<'_>) -> Result<Held, Failure> {
    let path = "/_cluster/state/metadata?filter_path=metadata.stored_scripts";
    let Some(body) = cluster.list(path, sieve(ask, &["metadata", "stored_scripts"]))? else { return Ok(Held::new()) };
    let outer = fields(&body)?;
    let Some(metadata) = outer.get("metadata") else { return Ok(Held::new()) };
    let metadata = fields(metadata.get())?;
    let Some(scripts) = metadata.get("stored_scripts") else { return Ok(Held::new()) };
    let wanted = wanted(ask);
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
        if !body["script"]["params"].is_null() {
            let text = "the server drops it: parameters are given where the script is used";
            problems.push(object.located("/script/params", text));
        }
    }
    problems
}

/// Renders each search template with nothing: what is broken is refused, and nothing is stored.
pub(crate) fn preflight(cluster: &Cluster, _: &Set, todo: &[Pending<'_>]) -> Vec<Problem> {
    let templates = bodies(todo).filter(|(_, body, _)| body["script"]["lang"] == "mustache");
    let ask = |(object, body, _): (&Object, Value, &Change)| {
        let source = json!({"source": body["script"]["source"]});
        // What comes of it may be no JSON, as nothing was filled in.
        let failure = cluster.client.send(&Call::post("/_render/template", source.to_string()).reads()).err()?;
        let refused = failure.is("script_exception") || failure.class != Class::Rejected;
        refused.then(|| Problem::refused(&object.id, failure.context("the server would refuse it")))
    };
    templates.filter_map(ask).collect()
}

pub(crate) fn step(making: &Making<'_, Limits>) -> Vec<Request> {
    vec![put_file(making.rules.manager(&format!("/_scripts/{}", part(&making.object.id.name))))]
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
