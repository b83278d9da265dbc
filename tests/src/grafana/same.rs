//! When a stand-in's answer is the recorded one. What cannot be equal is listed in [`MADE_UP`], [`TIMES`] and [`shaped`], and nowhere else.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::transcript::Exchange;

/// Fields that hold a moment.
const TIMES: [&str; 8] = [
    "created",
    "updated",
    "createdAt",
    "updatedAt",
    "creationTimestamp",
    "time",
    "grafana.app/updatedTimestamp",
    "buildstamp",
];

/// Fields that hold what a server makes up: compared by their first meeting, from then on the same pair must meet again.
const MADE_UP: [&str; 15] = [
    "id",
    "uid",
    "accessToken",
    "folderId",
    "dashboardId",
    "userUid",
    "grafana.app/createdBy",
    "grafana.app/updatedBy",
    "grafana.app/deprecatedInternalID",
    "resourceVersion",
    // A checksum over the server's own form of the object.
    "version",
    // A cursor into the server's storage.
    "continueToken",
    // A number for the server's log.
    "accessErrorId",
    // The recording masks it.
    "key",
    // The server's own port.
    "serverAddress",
];

/// Both answers in the form in which they can be compared: the recordings hold some cut down, and some lists have no order of their own.
pub(super) fn shaped(question: &Exchange, ours: Value) -> (Value, Value) {
    let mut recorded = question.answer.clone();
    let mut ours = cut(&question.path, &recorded, ours);
    for answer in [&mut recorded, &mut ours] {
        if let Some(key) = unordered(question) {
            let list = if answer.is_array() { answer.as_array_mut() } else { answer["items"].as_array_mut() };
            if let Some(list) = list {
                list.sort_by_key(|one| key(one).to_string());
            }
        }
    }
    (recorded, ours)
}

/// What to sort a list by that has no order of its own: the order of a map for whoever may not see everything, or that of made-up uids.
fn unordered(question: &Exchange) -> Option<fn(&Value) -> Value> {
    let path = question.path.as_str();
    let partly = ["token of an Editor", "token of an Viewer"].contains(&question.note.as_str());
    match question.method.as_str() {
        "GET" if path == "/api/v1/provisioning/alert-rules" && partly => Some(|rule| rule["uid"].clone()),
        "GET" if path == "/api/playlists" => Some(|one| json!([one["name"], one["interval"]])),
        "GET" if path.starts_with("/apis/playlist.grafana.app/") => Some(|one| one["spec"].clone()),
        _ => None,
    }
}

fn cut(path: &str, recorded: &Value, ours: Value) -> Value {
    let only = |value: &Value, kept: &Value| -> Value {
        let kept = kept.as_object().into_iter().flatten().map(|(field, _)| field);
        kept.map(|field| (field.clone(), value[field].clone())).collect::<Map<_, _>>().into()
    };
    match (path, recorded, &ours) {
        (_, Value::String(text), _) if text == "(left out)" => recorded.clone(),
        // A list of which the length was kept.
        (_, Value::Number(_), Value::Array(items)) => items.len().into(),
        ("/api/plugins?embedded=0", _, Value::Array(items)) => {
            items.iter().take(20).map(|item| only(item, &recorded[0])).collect()
        }
        ("/api/frontend/settings", ..) => json!({"buildInfo": ours["buildInfo"]}),
        _ if path.starts_with("/api/plugins/") => only(&ours, recorded),
        _ => ours,
    }
}

/// What a real server made up, and what the stand-in made up in its place.
#[derive(Default)]
pub(super) struct Pairs {
    ours: BTreeMap<String, String>,
    theirs: BTreeMap<String, String>,
}

impl Pairs {
    /// A recorded value in the stand-in's words, wherever the recorder asked with what the server had made up.
    pub(super) fn translate(&self, value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.translate(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.translate(field)),
            Value::String(text) => *text = self.word(text).to_owned(),
            _ => {}
        }
    }

    /// The same for a path.
    pub(super) fn translate_path(&self, path: &str) -> String {
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        let path = path.split('/').map(|part| self.word(part)).collect::<Vec<_>>().join("/");
        query.map_or(path.clone(), |query| format!("{path}?{query}"))
    }

    fn word<'a>(&'a self, recorded: &'a str) -> &'a str {
        self.ours.get(recorded).map_or(recorded, String::as_str)
    }

    fn meet(&mut self, recorded: &str, ours: &str) -> bool {
        let known = self.ours.entry(recorded.to_owned()).or_insert_with(|| ours.to_owned());
        let back = self.theirs.entry(ours.to_owned()).or_insert_with(|| recorded.to_owned());
        known == ours && back == recorded
    }
}

/// Whether a text or number looks made up: nothing that a person would choose or count to.
fn is_made_up(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_i64().is_some_and(|number| number > 1_000_000_000_000),
        Value::String(text) => {
            let text = text.strip_prefix("user:").unwrap_or(text);
            let digits = |count: usize| text.len() >= count && text.chars().all(|one| one.is_ascii_digit());
            let hex = |one: char| one.is_ascii_digit() || ('a'..='f').contains(&one) || one == '-';
            let short = text.len() == 14 && text.chars().all(|one| one.is_ascii_lowercase() || one.is_ascii_digit());
            short
                || digits(13)
                || ([16, 32, 36].contains(&text.len()) && text.chars().all(hex))
                || (text.len() == 44 && text.chars().all(|one| one.is_ascii_alphanumeric()))
                || ["ACE", "glsa_", "(a token)", "127.0.0.1:", "eyJ"].iter().any(|start| text.starts_with(start))
        }
        _ => false,
    }
}

/// Writes down what differs.
pub(super) fn compare(at: &str, recorded: &Value, ours: &Value, pairs: &mut Pairs, differences: &mut Vec<String>) {
    let field = at.rsplit('/').next().unwrap_or_default();
    match (recorded, ours) {
        (Value::Object(left), Value::Object(right)) => {
            for key in left.keys().chain(right.keys().filter(|key| !left.contains_key(*key))) {
                match (left.get(key), right.get(key)) {
                    (Some(left), Some(right)) => {
                        compare(&format!("{at}/{}", key.replace('/', "~")), left, right, pairs, differences);
                    }
                    (Some(left), None) => differences.push(format!("{at}/{key}: {left} is missing")),
                    (None, right) => differences.push(format!("{at}/{key}: {right:?} is too much")),
                }
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                compare(&format!("{at}/{index}"), left, right, pairs, differences);
            }
        }
        _ if recorded == ours => {}
        (Value::String(left), Value::String(right)) if pairs.translate_path(left) == *right => {}
        _ if TIMES.contains(&field.replace('~', "/").as_str()) && is_time(recorded) && is_time(ours) => {}
        _ if MADE_UP.contains(&field.replace('~', "/").as_str()) && is_made_up(recorded) && is_made_up(ours) => {
            let free = ["accessErrorId", "continueToken", "serverAddress", "key"].contains(&field);
            if !free && !pairs.meet(&plain(recorded), &plain(ours)) {
                differences.push(format!("{at}: {recorded} and {ours} were not paired before"));
            }
        }
        _ => differences.push(format!("{at}: recorded {recorded}, ours {ours}")),
    }
}

fn plain(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.strip_prefix("user:").map_or(text.clone(), str::to_owned)
}

fn is_time(value: &Value) -> bool {
    match value {
        Value::Number(_) => true,
        Value::String(text) => text.starts_with("20") && text.ends_with('Z') && text.contains('T'),
        _ => false,
    }
}
