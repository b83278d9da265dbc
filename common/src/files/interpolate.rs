//! `$__env{NAME}` and `$__file{/path}` inside string values, replaced after parsing, so that a value cannot inject JSON.
//! Nothing else is interpolated: `${…}` belongs to dashboards and shells.

use std::path::Path;

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

/// Replaces every placeholder in the string values of `value`.
pub fn interpolate(value: &mut Value) -> Replaced {
    let mut replaced = Replaced::default();
    visit(value, &mut String::new(), &mut replaced);
    replaced
}

fn visit(value: &mut Value, pointer: &mut String, replaced: &mut Replaced) {
    let length = pointer.len();
    match value {
        Value::String(text) if text.contains("$__") => match replace(text) {
            Ok(None) => {}
            Ok(Some(Done { text: new, secrets, whole })) => {
                if secrets {
                    replaced.masked.push(pointer.clone());
                }
                if whole {
                    replaced.whole.push(pointer.clone());
                }
                *text = new;
            }
            Err(reasons) => replaced.missing.extend(reasons.into_iter().map(|reason| (pointer.clone(), reason))),
        },
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                *pointer += &format!("/{index}");
                visit(item, pointer, replaced);
                pointer.truncate(length);
            }
        }
        Value::Object(fields) => {
            for (key, field) in fields.iter_mut() {
                push_step(pointer, key);
                visit(field, pointer, replaced);
                pointer.truncate(length);
            }
        }
        _ => {}
    }
}

struct Done {
    text: String,
    secrets: bool,
    whole: bool,
}

fn replace(text: &str) -> Result<Option<Done>, Vec<String>> {
    let mut new = String::new();
    let mut missing = Vec::new();
    let mut values = 0;
    let mut literal = false;
    let mut rest = text;
    while let Some(start) = next_marker(rest) {
        let (marker, fetch): (&str, fn(&str) -> Result<String, String>) =
            if rest[start..].starts_with("$__env{") { ("$__env{", from_env) } else { ("$__file{", from_file) };
        let escaped = rest[..start].ends_with('$');
        let Some(length) = rest[start + marker.len()..].find('}') else {
            // An opening without a close is no placeholder; Grafana leaves it alone as well.
            break;
        };
        let end = start + marker.len() + length;
        if escaped {
            new += &rest[..start - 1];
            new += &rest[start..=end];
            literal = true;
        } else {
            new += &rest[..start];
            match fetch(&rest[start + marker.len()..end]) {
                Ok(value) => {
                    secret::hide(&value);
                    new += &value;
                }
                Err(reason) => missing.push(reason),
            }
            values += 1;
        }
        rest = &rest[end + 1..];
    }
    if !missing.is_empty() {
        return Err(missing);
    }
    if values == 0 && !literal {
        return Ok(None);
    }
    let whole = values == 1 && text.starts_with("$__") && text.ends_with('}') && text.matches('}').count() == 1;
    new += rest;
    Ok(Some(Done { text: new, secrets: values > 0, whole }))
}

fn next_marker(text: &str) -> Option<usize> {
    [text.find("$__env{"), text.find("$__file{")].into_iter().flatten().min()
}

fn from_env(name: &str) -> Result<String, String> {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => Ok(value),
        Ok(_) => Err(format!("$__env{{{name}}}: the variable {name} is empty")),
        Err(std::env::VarError::NotPresent) => Err(format!("$__env{{{name}}}: the variable {name} is not set")),
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(format!("$__env{{{name}}}: the variable {name} is not valid UTF-8"))
        }
    }
}

fn from_file(path: &str) -> Result<String, String> {
    read_secret(Path::new(path)).map_err(|error| format!("$__file{{{path}}}: {error}"))
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
}
