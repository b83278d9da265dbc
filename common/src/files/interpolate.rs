//! `$__env{NAME}`, `$__env{NAME:-text}` and `$__file{/path}` inside string values and names, replaced after parsing, so that a value cannot
//! inject JSON or YAML. Nothing else is interpolated: `${…}` belongs to dashboards and shells.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::files::json::push_step;
use crate::files::read_secret;
use crate::output::secret;

/// What was replaced in one value, and what could not be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replaced {
    /// Pointers of the strings in which something was replaced: never to be shown.
    pub masked: Vec<String>,
    /// Those that were one placeholder and nothing else: they may stand for a number or a boolean.
    pub whole: Vec<String>,
    /// What is missing: pointer and reason. The placeholder stays.
    pub missing: Vec<(String, String)>,
}

/// Replaces placeholders, each resolved once: what was checked is what is sent, though a variable's file may change or vanish in between.
///
/// ```
/// use common::files::interpolate::Resolver;
/// let mut body = serde_json::json!({"name": "$__env{NO_SUCH_PREFIX:-dev-}orders"});
/// assert!(Resolver::default().replace(&mut body).missing.is_empty());
/// assert_eq!(body["name"], "dev-orders");
/// ```
#[derive(Debug, Default)]
pub struct Resolver {
    /// What stands between the braces, with its marker, and what became of it.
    known: Mutex<HashMap<String, Result<Resolved, String>>>,
}

/// The value of one placeholder.
#[derive(Clone, Debug)]
struct Resolved {
    text: String,
    /// Whether it came from outside; the default stands in the file for everybody to read.
    secret: bool,
}

impl Resolver {
    /// Replaces every placeholder in the string values of `value`, and hides what came from outside in every text from now on.
    pub fn replace(&self, value: &mut Value) -> Replaced {
        let mut replaced = Replaced::default();
        self.visit(value, &mut String::new(), &mut replaced);
        replaced
    }

    /// Replaces every placeholder in a name. Names are no secrets: servers list them, and so do records.
    pub fn name(&self, name: &str) -> Result<String, Vec<String>> {
        Ok(self.text(name, |_| {})?.map_or_else(|| name.to_owned(), |done| done.text))
    }

    fn visit(&self, value: &mut Value, pointer: &mut String, replaced: &mut Replaced) {
        let length = pointer.len();
        match value {
            Value::String(text) if text.contains(MARKER) => match self.text(text, secret::hide) {
                Ok(None) => {}
                Ok(Some(done)) => {
                    if done.secrets {
                        replaced.masked.push(pointer.clone());
                    }
                    if done.whole {
                        replaced.whole.push(pointer.clone());
                    }
                    *text = done.text;
                }
                Err(reasons) => replaced.missing.extend(reasons.into_iter().map(|reason| (pointer.clone(), reason))),
            },
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    *pointer += &format!("/{index}");
                    self.visit(item, pointer, replaced);
                    pointer.truncate(length);
                }
            }
            Value::Object(fields) => {
                for (key, field) in fields.iter_mut() {
                    push_step(pointer, key);
                    self.visit(field, pointer, replaced);
                    pointer.truncate(length);
                }
            }
            _ => {}
        }
    }

    /// A text with its placeholders replaced; `None` if it has none.
    fn text(&self, text: &str, hide: fn(&str)) -> Result<Option<Done>, Vec<String>> {
        let mut done = Done { text: String::new(), secrets: false, whole: false };
        let (mut missing, mut values, mut literals) = (Vec::new(), 0, 0);
        let mut rest = text;
        while let Some((start, length)) = next(rest) {
            let (before, placeholder) = (&rest[..start], &rest[start..start + length]);
            if let Some(before) = before.strip_suffix('$') {
                done.text += before;
                done.text += placeholder;
                literals += 1;
            } else {
                done.text += before;
                match self.resolve(placeholder, hide) {
                    Ok(resolved) => {
                        done.text += &resolved.text;
                        done.secrets |= resolved.secret;
                    }
                    Err(reason) => missing.push(reason),
                }
                values += 1;
                done.whole = length == text.len();
            }
            rest = &rest[start + length..];
        }
        if !missing.is_empty() {
            return Err(missing);
        }
        done.text += rest;
        Ok((values + literals > 0).then_some(done))
    }

    fn resolve(&self, placeholder: &str, hide: fn(&str)) -> Result<Resolved, String> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(resolved) = known.get(placeholder) {
            if let Ok(Resolved { text, secret: true }) = resolved {
                hide(text);
            }
            return resolved.clone();
        }
        let inside = &placeholder[..placeholder.len() - 1];
        let resolved = match inside.strip_prefix(ENV) {
            Some(name) => from_env(name),
            None => from_file(inside.strip_prefix(FILE).unwrap_or_default()),
        };
        if let Ok(Resolved { text, secret: true }) = &resolved {
            hide(text);
        }
        known.insert(placeholder.to_owned(), resolved.clone());
        resolved
    }
}

/// Replaces every placeholder in the string values of `value`.
pub fn interpolate(value: &mut Value) -> Replaced {
    Resolver::default().replace(value)
}

/// What of a text is no placeholder, piece by piece.
#[must_use]
pub fn literals(text: &str) -> Vec<&str> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    while let Some((start, length)) = next(rest) {
        pieces.push(&rest[..start]);
        rest = &rest[start + length..];
    }
    pieces.push(rest);
    pieces
}

/// Whether a text may hold a placeholder.
pub(super) fn maybe(text: &str) -> bool {
    text.contains(MARKER)
}

const MARKER: &str = "$__";
const ENV: &str = "$__env{";
const FILE: &str = "$__file{";

struct Done {
    text: String,
    secrets: bool,
    whole: bool,
}

/// Where the next placeholder begins and how long it is. An opening without a close is none; Grafana leaves it alone as well.
fn next(text: &str) -> Option<(usize, usize)> {
    let mut from = 0;
    loop {
        let start = from + text[from..].find(MARKER)?;
        let rest = &text[start..];
        if rest.starts_with(ENV) || rest.starts_with(FILE) {
            return rest.find('}').map(|end| (start, end + 1));
        }
        from = start + MARKER.len();
    }
}

fn from_env(inside: &str) -> Result<Resolved, String> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let wrong = |what: &str| Err(format!("$__env{{{name}}}: the variable {name} is {what}"));
    match (std::env::var(name), default) {
        (Ok(text), _) if !text.is_empty() => Ok(Resolved { text, secret: true }),
        (Err(std::env::VarError::NotUnicode(_)), _) => wrong("not valid UTF-8"),
        (_, Some(default)) => Ok(Resolved { text: default.to_owned(), secret: false }),
        (Ok(_), None) => wrong("empty"),
        (Err(std::env::VarError::NotPresent), None) => wrong("not set"),
    }
}

fn from_file(path: &str) -> Result<Resolved, String> {
    let text = read_secret(Path::new(path)).map_err(|error| format!("$__file{{{path}}}: {error}"))?;
    Ok(Resolved { text, secret: true })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn file(content: &str) -> (tempfile::TempDir, String) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("f");
        std::fs::write(&path, content).expect("write");
        let placeholder = format!("$__file{{{}}}", path.display());
        (folder, placeholder)
    }

    #[test]
    fn what_is_no_placeholder_is_told_apart() {
        assert_eq!(literals("https://h/$__env{A}?k=$__file{/f}"), ["https://h/", "?k=", ""]);
        assert_eq!(literals("$__interval {}"), ["$__interval {}"]);
    }

    #[test]
    fn files_and_variables_are_put_in() {
        let (_folder, placeholder) = file("val-7Q\"x\n");
        let mut value =
            json!({"a": [format!("x {placeholder} y"), placeholder], "b": "${HOME} $__interval", "p": "$__env{PATH}"});
        let replaced = interpolate(&mut value);
        assert_eq!(value["a"], json!(["x val-7Q\"x y", "val-7Q\"x"]));
        assert_eq!(value["b"], "${HOME} $__interval");
        assert_eq!(value["p"], std::env::var("PATH").expect("PATH is set"));
        assert_eq!(replaced.masked, ["/a/0", "/a/1", "/p"]);
        assert_eq!(replaced.whole, ["/a/1", "/p"]);
    }

    #[test]
    fn a_doubled_dollar_is_the_literal_text() {
        let mut value = json!(["$$__env{PATH}", "a $$__file{/x} b"]);
        let replaced = interpolate(&mut value);
        assert_eq!(value, json!(["$__env{PATH}", "a $__file{/x} b"]));
        assert_eq!(replaced, Replaced::default());
    }

    #[test]
    fn everything_missing_is_named() {
        let mut value = json!({"a/b": "$__env{NO_SUCH_7Q}$__file{/no/such}", "c": "$__env{unclosed"});
        let replaced = interpolate(&mut value);
        let pointers: Vec<&str> = replaced.missing.iter().map(|(pointer, _)| pointer.as_str()).collect();
        assert_eq!(pointers, ["/a~1b", "/a~1b"]);
        assert!(replaced.missing[0].1.contains("NO_SUCH_7Q is not set"), "{:?}", replaced.missing);
        let (_folder, empty) = file("\n");
        assert!(interpolate(&mut json!(empty)).missing[0].1.ends_with("is empty"));
    }

    #[test]
    fn a_default_stands_for_a_variable_that_is_not_there_and_is_no_secret() {
        let mut value = json!(["$__env{NO_SUCH_7Q:-}orders", "$__env{NO_SUCH_7Q:-3}", "$__env{PATH:-x}"]);
        let replaced = interpolate(&mut value);
        assert_eq!(value[0], "orders");
        assert_eq!(value[1], "3");
        assert_eq!((replaced.masked, replaced.whole), (vec!["/2".to_owned()], vec!["/1".to_owned(), "/2".to_owned()]));
        let resolver = Resolver::default();
        assert_eq!(resolver.name("$__env{NO_SUCH_7Q:-dev-}orders").as_deref(), Ok("dev-orders"));
        assert_eq!(resolver.name("plain").as_deref(), Ok("plain"));
        assert!(resolver.name("$__env{NO_SUCH_7Q}").is_err());
    }

    #[test]
    fn what_was_resolved_once_stays_though_its_file_goes() {
        let (folder, placeholder) = file("first-7Q");
        let resolver = Resolver::default();
        let mut value = json!(placeholder);
        resolver.replace(&mut value);
        drop(folder);
        let mut again = json!(placeholder);
        assert!(resolver.replace(&mut again).missing.is_empty());
        assert_eq!(again, "first-7Q");
    }

    #[test]
    fn a_text_of_many_placeholders_is_read_once() {
        let many = "$__file{/no/such} $__ ".repeat(50_000);
        assert_eq!(interpolate(&mut json!(many)).missing.len(), 50_000);
    }
}
