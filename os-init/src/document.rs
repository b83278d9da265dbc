//! What the rows have in common: taking lists of the server apart without parsing the bodies in them, and looking at declared bodies.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use common::engine::change::Failure;
use common::engine::document::{Have, Held, matching};
use common::files::{Object, Problem, nearest};
use common::net::http::Sieve;
use common::process::export::placeholder;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// Fields of one element of a list, bodies still text.
pub(crate) type Fields<'a> = BTreeMap<String, &'a RawValue>;

/// What a read has to bring: these objects, or, for an export, everything.
pub(crate) type Ask<'a> = &'a [Rc<Object>];

/// Which names a read has to bring.
pub(crate) fn wanted(ask: Ask<'_>) -> impl Fn(&str) -> bool + use<'_> {
    let names: BTreeSet<&str> = ask.iter().map(|object| object.id.name.as_str()).collect();
    move |name| names.is_empty() || names.contains(name)
}

/// What a list is sifted by while it arrives, since most of it may be nobody's who runs this: what is declared; for an export, nothing. The path
/// leads to the list.
pub(crate) fn sieve(ask: Ask<'_>, path: &'static [&'static str]) -> Option<Sieve> {
    (!ask.is_empty()).then(|| Sieve::new(path, ask.iter().map(|object| object.id.name.clone())))
}

fn strange(error: &serde_json::Error) -> Failure {
    Failure::fatal(format!("the server's list cannot be understood: {error}"))
}

/// `{"<name>": {…}, …}`.
pub(crate) fn fields(text: &str) -> Result<Fields<'_>, Failure> {
    serde_json::from_str(text).map_err(|error| strange(&error))
}

/// `{"<list>": [{…}, …]}`.
pub(crate) fn list<'a>(text: &'a str, list: &str) -> Result<Vec<Fields<'a>>, Failure> {
    match fields(text)?.get(list) {
        Some(items) => serde_json::from_str(items.get()).map_err(|error| strange(&error)),
        None => Ok(Vec::new()),
    }
}

/// A string among fields.
pub(crate) fn text(fields: &Fields<'_>, key: &str) -> String {
    fields.get(key).and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

/// A whole number among fields.
pub(crate) fn number(fields: &Fields<'_>, key: &str) -> Option<u64> {
    fields.get(key).and_then(|raw| serde_json::from_str(raw.get()).ok())
}

/// A map of name to body, as the kind's objects.
pub(crate) fn by_name(body: &str, ask: Ask<'_>) -> Result<Held, Failure> {
    let wanted = wanted(ask);
    let found = fields(body)?.into_iter().filter(|(name, _)| wanted(name));
    Ok(found.map(|(name, body)| (name, Have::new(body.to_owned()))).collect())
}

/// Takes the one object out of `{"<list>": [{"name": …, "<inner>": {…}}]}`.
pub(crate) fn unwrap_listed(body: Value, list: &str, inner: &str) -> Value {
    match body.get(list).and_then(Value::as_array).map(Vec::as_slice) {
        Some([one]) if one.get(inner).is_some() => one[inner].clone(),
        _ => body,
    }
}

/// Takes the one object out of `{"<name>": {…}}`.
pub(crate) fn unwrap_named(name: &str, mut body: Value) -> Value {
    match body.as_object_mut() {
        Some(fields) if fields.len() == 1 && fields.get(name).is_some_and(Value::is_object) => fields[name].take(),
        _ => body,
    }
}

/// Removes fields that the server makes and no write takes.
pub(crate) fn remove(value: &mut Value, keys: &[&str]) {
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|key, _| !keys.contains(&key.as_str()));
    }
}

/// The body as an object, or the problem that it is none.
pub(crate) fn object_of<'v>(object: &Object, value: &'v Value) -> Result<&'v Map<String, Value>, Vec<Problem>> {
    value.as_object().ok_or_else(|| vec![object.located("", "must be a JSON object, as the API's PUT takes it")])
}

/// Problems for keys that the kind does not know.
pub(crate) fn only(object: &Object, value: &Value, known: &[&str]) -> Vec<Problem> {
    let fields = match object_of(object, value) {
        Ok(fields) => fields,
        Err(problems) => return problems,
    };
    let strange = fields.keys().filter(|key| !known.contains(&key.as_str()));
    let problem = |key: &String| object.located(&common::files::json::step(key), unknown(key, known.iter().copied()));
    strange.map(problem).collect()
}

/// Says that a field is unknown, with the nearest one that is not.
pub(crate) fn unknown<'k>(key: &str, known: impl Iterator<Item = &'k str> + Clone) -> String {
    let hint = match nearest(key, known.clone()) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("known are {}", known.collect::<Vec<_>>().join(", ")),
    };
    format!("unknown field {key}: {hint}")
}

/// Each string in an array, or the string itself.
pub(crate) fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// Leaves out of an export what the server keeps for itself.
pub(crate) fn exported(name: &str, body: Value, have: &Have) -> Option<(Value, Vec<String>)> {
    (!name.starts_with('.') && have.locked.is_none()).then(|| (escape(body), Vec::new()))
}

/// The same without its secrets: each is a placeholder.
pub(crate) fn redacted(
    kind: &str,
    secrets: &[&str],
    name: &str,
    body: Value,
    have: &Have,
) -> Option<(Value, Vec<String>)> {
    let (mut body, mut variables) = exported(name, body, have)?;
    for pointer in matching(secrets, &body) {
        if let Some(value) = body.pointer_mut(&pointer).filter(|value| value.is_string()) {
            let variable = placeholder(kind, name, &pointer[1..]);
            *value = format!("$__env{{{variable}}}").into();
            variables.push(variable);
        }
    }
    Some((body, variables))
}

/// A body as a file has to hold it: what looks like a placeholder is written with its `$` doubled.
pub(crate) fn escape(mut body: Value) -> Value {
    fn visit(value: &mut Value) {
        match value {
            Value::String(text) if text.contains("$__env{") || text.contains("$__file{") => {
                *text = text.replace("$__env{", "$$__env{").replace("$__file{", "$$__file{");
            }
            Value::Array(items) => items.iter_mut().for_each(visit),
            Value::Object(fields) => fields.values_mut().for_each(visit),
            _ => {}
        }
    }
    visit(&mut body);
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_are_taken_apart() {
        let items = list(r#"{"policies":[{"_id":"p","_seq_no":4,"policy":{"a":1}}]}"#, "policies").expect("a list");
        assert_eq!((text(&items[0], "_id"), number(&items[0], "_seq_no")), ("p".to_owned(), Some(4)));
        assert_eq!(items[0]["policy"].get(), r#"{"a":1}"#);
        assert!(list("{}", "policies").expect("an empty list").is_empty());
        assert!(list("[", "policies").is_err());
    }

    #[test]
    fn only_whole_answers_are_unwrapped() {
        let listed = json!({"index_templates": [{"name": "t", "index_template": {"index_patterns": ["a"]}}]});
        assert_eq!(unwrap_listed(listed, "index_templates", "index_template"), json!({"index_patterns": ["a"]}));
        assert_eq!(unwrap_named("p", json!({"p": {"processors": []}})), json!({"processors": []}));
        assert_eq!(unwrap_named("q", json!({"p": {"processors": []}})), json!({"p": {"processors": []}}));
    }

    #[test]
    fn what_looks_like_a_placeholder_is_escaped() {
        assert_eq!(escape(json!({"a": ["x $__env{Y}"]})), json!({"a": ["x $$__env{Y}"]}));
    }
}
