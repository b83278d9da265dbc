//! A value as YAML that every reader of 1.1 and 1.2 takes for the same value: what is not plainly a text stands between quotes.

use serde_json::Value;

use super::scalar::resolve;

/// Writes a value in block style, indented by two blanks, with a newline at its end.
///
/// ```
/// let text = common::files::yaml::write(&serde_json::json!({"partitions": 3, "config": {"cleanup.policy": "compact", "x": "yes"}}));
/// assert_eq!(text, "config:\n  cleanup.policy: compact\n  x: \"yes\"\npartitions: 3\n");
/// ```
#[must_use]
pub fn write(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(fields) if !fields.is_empty() => block(value, 0, &mut text),
        Value::Array(items) if !items.is_empty() => block(value, 0, &mut text),
        _ => scalar(value, 0, &mut text),
    }
    text
}

/// A map or list that is not empty, each entry on lines of its own.
fn block(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::Object(fields) => {
            for (index, (name, inner)) in fields.iter().enumerate() {
                if index > 0 {
                    pad(indent, text);
                }
                key(name, indent, text);
                match inner {
                    Value::Object(fields) if !fields.is_empty() => {
                        text.push('\n');
                        pad(indent + 1, text);
                        block(inner, indent + 1, text);
                    }
                    Value::Array(items) if !items.is_empty() => {
                        text.push('\n');
                        pad(indent + 1, text);
                        block(inner, indent + 1, text);
                    }
                    _ => {
                        text.push(' ');
                        scalar(inner, indent + 1, text);
                    }
                }
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                if index > 0 {
                    pad(indent, text);
                }
                text.push_str("- ");
                match inner {
                    Value::Object(fields) if !fields.is_empty() => block(inner, indent + 1, text),
                    Value::Array(items) if !items.is_empty() => block(inner, indent + 1, text),
                    _ => scalar(inner, indent + 1, text),
                }
            }
        }
        _ => scalar(value, indent, text),
    }
}

fn pad(indent: usize, text: &mut String) {
    text.extend(std::iter::repeat_n("  ", indent));
}

fn key(name: &str, indent: usize, text: &mut String) {
    // A key of more than 1024 characters has to say that it is one.
    if name.len() > 500 {
        text.push_str("? ");
        text.push_str(&quoted(name));
        text.push('\n');
        pad(indent, text);
    } else if plain(name) {
        text.push_str(name);
    } else {
        text.push_str(&quoted(name));
    }
    text.push(':');
}

/// Anything without entries, and the end of its line.
fn scalar(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::String(lines) if indent > 0 && literal(lines) => {
            text.push_str(if lines.ends_with('\n') { "|\n" } else { "|-\n" });
            for line in lines.lines() {
                if !line.is_empty() {
                    pad(indent, text);
                    text.push_str(line);
                }
                text.push('\n');
            }
            return;
        }
        Value::String(string) if plain(string) => text.push_str(string),
        Value::String(string) => text.push_str(&quoted(string)),
        other => text.push_str(&other.to_string()),
    }
    text.push('\n');
}

/// Whether a text can stand as it is, for readers of 1.1 as well, which take `yes`, `012`, `1:30` and dates for something else.
fn plain(text: &str) -> bool {
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '/');
    let inside =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-' | '+' | '=' | '@' | '(' | ')' | ' ');
    let word = matches!(
        text.to_ascii_lowercase().as_str(),
        "y" | "n" | "yes" | "no" | "on" | "off" | "null" | "true" | "false"
    );
    starts
        && !word
        && text.len() < 200
        && text.chars().all(inside)
        && !text.ends_with(' ')
        && resolve(text).is_ok_and(|value| value.is_string())
}

/// Whether a text of several lines can stand as lines.
fn literal(text: &str) -> bool {
    let lines = text.strip_suffix('\n').unwrap_or(text);
    lines.contains('\n')
        && !lines.starts_with([' ', '\n', '\t'])
        && !lines.ends_with('\n')
        && lines.lines().all(|line| !line.ends_with([' ', '\t']))
        && lines.chars().all(|c| c == '\n' || c == '\t' || printable(c))
}

fn printable(c: char) -> bool {
    matches!(c, ' '..='~' | '\u{a0}'..='\u{2027}' | '\u{202a}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
}

/// Between double quotes, where YAML knows the escapes of JSON.
fn quoted(text: &str) -> String {
    let json = Value::from(text).to_string();
    json.chars().map(|c| if printable(c) { c.to_string() } else { format!("\\u{:04x}", u32::from(c)) }).collect()
}
