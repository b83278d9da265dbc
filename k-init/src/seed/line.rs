//! A file of seeds: one record a line, as JSON. Nothing here asks a broker.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use common::files::interpolate::interpolate;
use common::files::json::duplicates;
use common::files::{OBJECT_LIMIT, Object, Problem, read_text};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::records::{Header, Message};
use crate::topic;

/// One record to be there, and where and when if that matters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Record {
    pub(super) message: Message,
    pub(super) partition: Option<i32>,
    /// Milliseconds since 1970.
    pub(super) timestamp: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'l> {
    #[serde(borrow)]
    key: Option<&'l RawValue>,
    key_base64: Option<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    value: Option<&'l RawValue>,
    value_base64: Option<String>,
    #[serde(borrow)]
    headers: Option<&'l RawValue>,
    partition: Option<i32>,
    timestamp: Option<i64>,
}

/// Tells `null` (a tombstone) from nothing.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
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
    let _: IgnoredAny = serde_json::from_str(line).map_err(|error| format!("not JSON: {error}"))?;
    if let Some((pointer, _)) = duplicates(line).first() {
        return Err(format!("{pointer}: this key stands twice in its object"));
    }
    let said: Line<'_> = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let mut missing = Vec::new();
    let mut bytes = |name: &str, plain: Option<&RawValue>, encoded: Option<String>| match (plain, encoded) {
        (Some(_), Some(_)) => Err(format!("{name} and {name}_base64: keep one of them")),
        (Some(plain), None) => Ok(content(plain.get(), name, &mut missing)),
        (None, Some(encoded)) => {
            let encoded = replaced(encoded, &format!("{name}_base64"), &mut missing);
            let decoded = BASE64.decode(encoded).map_err(|error| format!("{name}_base64: {error}"))?;
            Ok(Some(Bytes::from(decoded)))
        }
        (None, None) => Ok(None),
    };
    if said.value.is_none() && said.value_base64.is_none() {
        return Err(r#"needs "value" ("value": null is a tombstone) or "value_base64""#.into());
    }
    let key = bytes("key", said.key, said.key_base64)?;
    let value = bytes("value", said.value, said.value_base64)?;
    if key.is_none() && value.is_none() {
        return Err("a tombstone needs a key".into());
    }
    if said.partition.is_some_and(|partition| partition < 0) {
        return Err("partition: partitions are numbered from 0".into());
    }
    if said.timestamp.is_some_and(|timestamp| timestamp < 0) {
        return Err("timestamp: milliseconds since 1970, from 0".into());
    }
    let headers = said.headers.map_or_else(|| Ok(Vec::new()), |text| headers(text.get(), &mut missing))?;
    let message = Message { key, value, headers };
    Ok((Record { message, partition: said.partition, timestamp: said.timestamp }, missing))
}

/// One object of headers, or a list of such where order or several of one name matter.
fn headers(text: &str, missing: &mut Vec<String>) -> Result<Vec<Header>, String> {
    type Headers<'t> = BTreeMap<String, &'t RawValue>;
    let wrong = |_| "headers: an object of names and values, or a list of such".to_owned();
    let each: Vec<Headers<'_>> = if text.starts_with('[') {
        serde_json::from_str(text).map_err(wrong)?
    } else {
        vec![serde_json::from_str(text).map_err(wrong)?]
    };
    let named = each.into_iter().flatten();
    Ok(named
        .map(|(name, value)| {
            let value = content(value.get(), &format!("headers/{name}"), missing);
            (name, value)
        })
        .collect())
}

/// Strings as they are, `null` as nothing, other JSON as the file has it but for blanks: digits and the order of members are the file's.
fn content(text: &str, place: &str, missing: &mut Vec<String>) -> Option<Bytes> {
    if text == "null" {
        return None;
    }
    if text.starts_with('"') {
        return Some(Bytes::from(replaced(string(text), place, missing)));
    }
    let mut compact = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if c != '"' {
            if !c.is_ascii_whitespace() {
                compact.push(c);
            }
            rest = &rest[c.len_utf8()..];
            continue;
        }
        let (quoted, after) = rest.split_at(quoted(rest));
        let named = after.trim_ascii_start().starts_with(':');
        if !named && quoted.contains("$__") {
            compact += &Value::from(replaced(string(quoted), place, missing)).to_string();
        } else {
            compact += quoted;
        }
        rest = after;
    }
    Some(Bytes::from(compact))
}

/// The length of the string that stands at the start of a text.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    let end = text[1..].find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 2)
}

fn string(quoted: &str) -> String {
    serde_json::from_str(quoted).expect("the parser has accepted it as a string")
}

/// A text with its placeholders replaced.
fn replaced(text: String, place: &str, missing: &mut Vec<String>) -> String {
    let mut value = Value::String(text);
    let lacking = interpolate(&mut value).missing.into_iter();
    missing.extend(lacking.map(|(_, reason)| format!("/{place}: {reason}")));
    match value {
        Value::String(text) => text,
        other => other.to_string(),
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
        assert_eq!(record.message.value.as_deref(), Some(&br#"{"b":1,"a":[true,null]}"#[..]));
        let headers = [("n".to_owned(), None), ("x".to_owned(), Some(Bytes::from_static(b"y")))];
        assert_eq!((record.message.headers.as_slice(), record.partition), (&headers[..], Some(2)));
    }

    #[test]
    fn digits_and_the_order_of_members_are_those_of_the_file() {
        let value = r#"{"z": 1, "id": 12345678901234567890123, "amount": 1.10, "big": 1e5, "a": "\u00e9 \" : [ ", "l": [ 1 , -0.0 ] }"#;
        let line = record(&format!(r#"{{"key": {value}, "value": {value}}}"#));
        let expected =
            r#"{"z":1,"id":12345678901234567890123,"amount":1.10,"big":1e5,"a":"\u00e9 \" : [ ","l":[1,-0.0]}"#;
        assert_eq!(line.message.value.as_deref(), Some(expected.as_bytes()));
        assert_eq!(line.message.key, line.message.value);
        assert_eq!(record(r#"{"value": "$$__env{X}"}"#).message.value.as_deref(), Some(&b"$__env{X}"[..]));
        let inside = r#"{"value": {"$__env{X}" : "a", "b": "$$__env{X}"}}"#;
        assert_eq!(record(inside).message.value.as_deref(), Some(&br#"{"$__env{X}":"a","b":"$__env{X}"}"#[..]));
    }

    #[test]
    fn headers_of_one_name_and_timestamps_are_kept() {
        let line =
            record(r#"{"value": 1, "headers": [{"h": "1"}, {"h": "2", "a": null}], "timestamp": 1700000000000}"#);
        let names: Vec<&str> = line.message.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!((names, line.timestamp), (vec!["h", "a", "h"], Some(1_700_000_000_000)));
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
            (r#"{"value": 1, "timestamp": -1}"#, "from 0"),
            (r#"{"value": 1, "headers": ["a"]}"#, "an object of names"),
            ("{", "not JSON"),
        ] {
            let error = parse(line).expect_err(line);
            assert!(error.contains(part), "{line}: {error}");
        }
        assert_eq!(record(r#"{"key_base64": "/w==", "value": null}"#).message.key.as_deref(), Some(&[255][..]));
    }
}
