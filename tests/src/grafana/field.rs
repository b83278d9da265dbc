//! Small readings of JSON bodies and small renderings that every kind uses. Nothing of a kind's own.

use jiff::Timestamp;
use serde_json::{Map, Value};

/// Grafana's own: lower case, everything but letters and digits a dash.
pub(super) fn slug(title: &str) -> String {
    let mut slug = String::new();
    for character in title.chars() {
        if character.is_alphanumeric() {
            slug.extend(character.to_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.trim_end_matches('-').to_owned()
}

/// Whole seconds, as a row read back from the database shows.
pub(super) fn seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).map_or_else(|_| time.to_string(), |whole| whole.to_string())
}

/// A field as text, empty when it is missing or no text.
pub(super) fn text<'a>(body: &'a Value, field: &str) -> &'a str {
    body.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// A field as a boolean, false when it is missing.
pub(super) fn flag(body: &Value, field: &str) -> bool {
    body.get(field).and_then(Value::as_bool).unwrap_or_default()
}

/// A field as an object, empty when it is missing or null.
pub(super) fn object(body: &Value, field: &str) -> Map<String, Value> {
    body.get(field).and_then(Value::as_object).cloned().unwrap_or_default()
}

/// Sixteen hexadecimal digits that change with the content.
pub(super) fn fingerprint(content: &str) -> String {
    let hash = content
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    format!("{hash:016x}")
}

/// Spreads a small number over all bits, so that what is made of it looks made up.
pub(super) fn mix(number: i64) -> u64 {
    let mut bits = number.unsigned_abs().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits ^ (bits >> 27)
}
