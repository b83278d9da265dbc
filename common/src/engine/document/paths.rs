//! Pointers with `*` for any step: finding, hiding and dropping what they name in a body. What a kind's pointers are is not known here.

use serde_json::Value;

use crate::files::interpolate::literals;

/// Whether a pointer is at, below or above a pattern with `*` for any step.
fn touches(pattern: &str, pointer: &str) -> bool {
    pattern.split('/').zip(pointer.split('/')).all(|(known, step)| known == "*" || known == step)
}

/// Whether what stands at a pointer is, or holds, what a pattern names.
pub(super) fn named(known: &[&str], pointer: &str, value: Option<&Value>) -> bool {
    let steps = |text: &str| text.split('/').count();
    match value {
        // Above a pattern, what is in it decides.
        Some(Value::Object(fields)) if !fields.is_empty() => {
            known.iter().any(|pattern| touches(pattern, pointer) && steps(pattern) <= steps(pointer))
                || fields.iter().any(|(key, inner)| {
                    named(known, &format!("{pointer}{}", crate::files::json::step(key)), Some(inner))
                })
        }
        _ => known.iter().any(|pattern| touches(pattern, pointer)),
    }
}

/// Hides every string of a value in every text from now on. A placeholder that could not be resolved is no secret: what it is called has to be
/// said.
pub fn hide_all(value: Option<&Value>) {
    match value {
        Some(Value::String(text)) => literals(text).into_iter().for_each(crate::output::secret::hide),
        Some(Value::Array(items)) => items.iter().for_each(|item| hide_all(Some(item))),
        Some(Value::Object(fields)) => fields.values().for_each(|field| hide_all(Some(field))),
        _ => {}
    }
}

/// The pointers in a value that match patterns with `*` for any step.
#[must_use]
pub fn matching(patterns: &[&str], value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for pattern in patterns {
        let steps: Vec<&str> = pattern.split('/').skip(1).collect();
        walk(&steps, value, String::new(), &mut found);
    }
    found
}

fn walk(steps: &[&str], value: &Value, pointer: String, found: &mut Vec<String>) {
    let Some((step, rest)) = steps.split_first() else {
        found.push(pointer);
        return;
    };
    let mut go = |key: &str, inner: &Value| {
        if *step == "*" || *step == key {
            walk(rest, inner, format!("{pointer}{}", crate::files::json::step(key)), found);
        }
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, inner)| go(key, inner)),
        Value::Array(items) => items.iter().enumerate().for_each(|(index, inner)| go(&index.to_string(), inner)),
        _ => {}
    }
}

/// A field taken out of an answer; null where there is none. An answer may be anything, and `[…]` of what is no object would panic.
pub fn take_field(value: &mut Value, key: &str) -> Value {
    value.get_mut(key).map(Value::take).unwrap_or_default()
}

/// Removes what a pointer with `*` for any step names, if it is there and `drop` says so.
pub fn drop_where(value: &mut Value, pattern: &str, drop: &dyn Fn(&Value) -> bool) {
    let steps: Vec<&str> = pattern.split('/').skip(1).collect();
    drop_steps(value, &steps, drop);
}

fn drop_steps(value: &mut Value, steps: &[&str], drop: &dyn Fn(&Value) -> bool) {
    let Some((step, rest)) = steps.split_first() else { return };
    match value {
        Value::Object(fields) if rest.is_empty() => {
            fields.retain(|key, inner| (*step != "*" && *step != key) || !drop(inner));
        }
        Value::Object(fields) => {
            let chosen = fields.iter_mut().filter(|(key, _)| *step == "*" || *step == key.as_str());
            chosen.for_each(|(_, inner)| drop_steps(inner, rest, drop));
        }
        Value::Array(items) if *step == "*" => items.iter_mut().for_each(|inner| drop_steps(inner, rest, drop)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn patterns_find_what_they_name() {
        let value = json!({"a": [{"p": 1}, {"q": 2}], "b": {"p": 3}});
        assert_eq!(matching(&["/a/*/p", "/*/p"], &value), ["/a/0/p", "/b/p"]);
    }

    #[test]
    fn a_row_tells_what_a_file_may_name() {
        assert!(touches("/states/*/actions", "/states/0/actions/1/open"));
        assert!(touches("/states/*/actions", "/states/0"));
        assert!(!touches("/states/*/actions", "/states/0/made"));
        assert!(!touches("/description", "/owner"));
        // An object that nobody declared counts by what is in it.
        let known = ["/a/*/retry/count", "/a/*/delete/"];
        assert!(named(&known, "/a/0/retry", Some(&json!({"count": 3, "jitter": true}))));
        assert!(!named(&known, "/a/0/retry", Some(&json!({"jitter": true}))));
        assert!(named(&known, "/a/0/delete", Some(&json!({}))));
        assert!(!named(&known, "/a/0/delete/soon", Some(&json!(true))));
    }

    #[test]
    fn defaults_are_dropped_wherever_they_stand() {
        let mut value = json!({"states": [{"actions": []}, {"actions": [1]}], "n": null});
        drop_where(&mut value, "/states/*/actions", &|inner| *inner == json!([]));
        drop_where(&mut value, "/n", &Value::is_null);
        assert_eq!(value, json!({"states": [{}, {"actions": [1]}]}));
    }
}
