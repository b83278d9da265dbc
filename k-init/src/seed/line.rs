//! A file of seeds: one record a line, as JSON. Nothing here asks a broker.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use common::files::interpolate::interpolate;
use common::files::json::duplicates;
use common::files::{OBJECT_LIMIT, Object, Problem, read_text};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::records::Message;
use crate::topic;

/// One record to be there, and where if that matters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Record {
    pub(super) message: Message,
    pub(super) partition: Option<i32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    key: Option<Value>,
    key_base64: Option<String>,
    #[serde(default, deserialize_with = "present")]
    value: Option<Value>,
    value_base64: Option<String>,
    #[serde(default)]
    headers: Map<String, Value>,
    partition: Option<i32>,
}

/// Tells `null` (a tombstone) from nothing.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// The records of a file, and what is wrong with it.
pub(super) fn lines(object: &Object, scan_max: u64, offline: bool) -> (Vec<Record>, Vec<Problem>) {
    let problem = |line: usize, text: String| Problem { at: Some((line, 1)), ..object.problem("", text) };
    let text = match read_text(&object.path, OBJECT_LIMIT) {
        Ok(text) => text,
        Err(error) => return (Vec::new(), vec![object.problem("", error)]),
    };
    let (mut records, mut problems, mut seen) = (Vec::new(), Vec::new(), BTreeMap::new());
    if let Err(text) = topic::legal(&object.id.name) {
        problems.push(object.problem("", text));
    }
    for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line)) {
        if line.trim().is_empty() {
            continue;
        }
        match parse(line) {
            Ok((record, missing)) => {
                problems.extend(missing.into_iter().map(|text| Problem { warning: offline, ..problem(number, text) }));
                if let Some(first) = seen.insert(record.clone(), number) {
                    problems.push(problem(number, format!("says the same as line {first}: a seed is a set")));
                }
                records.push(record);
            }
            Err(text) => problems.push(problem(number, text)),
        }
    }
    if records.len() as u64 > scan_max {
        problems.push(object.problem("", format!("{} records are more than SEED_SCAN_MAX={scan_max}", records.len())));
    }
    if records.is_empty() && problems.is_empty() {
        problems.push(object.problem("", "holds no record"));
    }
    (records, problems)
}

/// One line, and what its placeholders lack.
pub(super) fn parse(line: &str) -> Result<(Record, Vec<String>), String> {
    let mut value: Value = serde_json::from_str(line).map_err(|error| format!("not JSON: {error}"))?;
    if let Some((pointer, _)) = duplicates(line).first() {
        return Err(format!("{pointer}: this key stands twice in its object"));
    }
    let missing = interpolate(&mut value).missing;
    let line: Line = serde_json::from_value(value).map_err(|error| error.to_string())?;
    let bytes = |name: &str, plain: Option<Value>, encoded: Option<String>| match (plain, encoded) {
        (Some(_), Some(_)) => Err(format!("{name} and {name}_base64: keep one of them")),
        (Some(plain), None) => Ok(content(plain)),
        (None, Some(encoded)) => {
            let decoded = BASE64.decode(encoded).map_err(|error| format!("{name}_base64: {error}"))?;
            Ok(Some(Bytes::from(decoded)))
        }
        (None, None) => Ok(None),
    };
    if line.value.is_none() && line.value_base64.is_none() {
        return Err(r#"needs "value" ("value": null is a tombstone) or "value_base64""#.into());
    }
    let key = bytes("key", line.key, line.key_base64)?;
    let value = bytes("value", line.value, line.value_base64)?;
    if key.is_none() && value.is_none() {
        return Err("a tombstone needs a key".into());
    }
    if line.partition.is_some_and(|partition| partition < 0) {
        return Err("partition: partitions are numbered from 0".into());
    }
    let headers = line.headers.into_iter().map(|(name, value)| (name, content(value))).collect();
    let missing = missing.into_iter().map(|(pointer, text)| format!("{pointer}: {text}")).collect();
    Ok((Record { message: Message { key, value, headers }, partition: line.partition }, missing))
}

/// Strings as they are, other JSON compact, `null` as nothing.
fn content(value: Value) -> Option<Bytes> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(Bytes::from(text)),
        other => Some(Bytes::from(other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(line: &str) -> Record {
        parse(line).expect("a good line").0
    }

    #[test]
    fn lines_say_bytes() {
        let record = record(
            r#"{"key": 7, "value": {"b": 1, "a": [true, null]}, "headers": {"x": "y", "n": null}, "partition": 2}"#,
        );
        assert_eq!(record.message.key.as_deref(), Some(&b"7"[..]));
        assert_eq!(record.message.value.as_deref(), Some(&br#"{"a":[true,null],"b":1}"#[..]));
        assert_eq!(record.message.headers["x"].as_deref(), Some(&b"y"[..]));
        assert_eq!((record.message.headers["n"].as_deref(), record.partition), (None, Some(2)));
    }

    #[test]
    fn bad_lines_are_named() {
        for (line, part) in [
            (r#"{"key": "a"}"#, "needs \"value\""),
            (r#"{"value": null}"#, "a tombstone needs a key"),
            (r#"{"key": "a", "key_base64": "YQ==", "value": 1}"#, "keep one"),
            (r#"{"value_base64": "?"}"#, "value_base64"),
            (r#"{"value": 1, "partition": -1}"#, "from 0"),
            (r#"{"value": 1, "vlaue": 2}"#, "unknown field"),
            (r#"{"value": 1, "value": 2}"#, "twice"),
            ("{", "not JSON"),
        ] {
            let error = parse(line).expect_err(line);
            assert!(error.contains(part), "{line}: {error}");
        }
        assert_eq!(record(r#"{"key_base64": "/w==", "value": null}"#).message.key.as_deref(), Some(&[255][..]));
    }
}
