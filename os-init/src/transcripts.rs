//! What real nodes (2.19.4 and 3.4.0) were sent and what they then showed: each body has to be equal to itself as read, and each edit of a
//! leaf has to be seen. The answers are recorded in `tests/transcripts`; the files of `tests/fixtures` are edited in the same way.

use std::fs;
use std::path::Path;

use common::engine::diff::{Writing, diff};
use serde_json::{Value, json};

use crate::kinds::{SPECS, normal_of};

const RECORDED: [&str; 2] = [
    include_str!("../../tests/transcripts/opensearch-2.19.4.json"),
    include_str!("../../tests/transcripts/opensearch-3.4.0.json"),
];

/// Which kind a path belongs to.
const PATHS: [(&str, &str); 12] = [
    ("/_component_template/", "component_templates"),
    ("/_index_template/", "index_templates"),
    ("/_plugins/_ism/policies/", "ism_policies"),
    ("/_plugins/_sm/policies/", "sm_policies"),
    ("/_ingest/pipeline/", "ingest_pipelines"),
    ("/_search/pipeline/", "search_pipelines"),
    ("/_scripts/", "scripts"),
    ("/_snapshot/", "snapshot_repositories"),
    ("/_plugins/_security/api/actiongroups/", "action_groups"),
    ("/_plugins/_security/api/roles/", "roles"),
    ("/_plugins/_security/api/tenants/", "tenants"),
    ("/_plugins/_security/api/rolesmapping/", "roles_mapping"),
];

struct Pair {
    kind: &'static str,
    name: String,
    sent: Value,
    shown: Value,
}

pub(crate) fn unwrapped(kind: &str, name: &str, body: &Value) -> Value {
    let spec = SPECS.iter().find(|spec| spec.name == kind).expect("a known kind");
    (spec.unwrap)(name, body.clone())
}

fn normalized(kind: &str, mut body: Value) -> Value {
    normal_of(kind)(&mut body);
    body
}

/// Each good write with the read that followed it.
fn pairs() -> Vec<Pair> {
    let mut pairs = Vec::new();
    for text in RECORDED {
        let exchanges: Value = serde_json::from_str(text).expect("the transcript is JSON");
        let exchanges = exchanges.as_array().expect("the transcript is a list");
        for (index, write) in exchanges.iter().enumerate() {
            let path = write["path"].as_str().unwrap_or_default().split('?').next().unwrap_or_default();
            let good = matches!(write["status"].as_u64(), Some(200 | 201))
                && matches!(write["method"].as_str(), Some("PUT" | "POST"));
            let Some((start, kind)) = PATHS.iter().find(|(start, _)| path.starts_with(start)).filter(|_| good) else {
                continue;
            };
            let name = path[start.len()..].to_owned();
            let later = exchanges[index + 1..].iter();
            let read = later
                .take_while(|next| {
                    next["path"].as_str().is_none_or(|next| next.split('?').next() != Some(path))
                        || next["method"] == "GET"
                })
                .find(|next| next["method"] == "GET" && next["path"] == path && next["status"] == 200);
            let (Some(read), Some(sent)) = (read, write.get("body")) else { continue };
            pairs.push(Pair {
                kind,
                sent: unwrapped(kind, &name, sent),
                shown: unwrapped(kind, &name, &read["answer"]),
                name,
            });
        }
    }
    pairs
}

#[test]
fn what_was_sent_equals_what_is_shown() {
    let pairs = pairs();
    assert!(pairs.len() > 120, "{} pairs were found", pairs.len());
    for Pair { kind, name, sent, shown } in pairs {
        // The server drops a routing that is no string, and 3.4.0 was recorded without the module for search pipelines' list.
        let dropped = name == "c_aliases";
        let found = diff(Writing::Replaces, &normalized(kind, shown), &normalized(kind, sent));
        let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
        if dropped {
            assert_eq!(
                shown,
                [
                    "/template/aliases/al3/index_routing: (absent) -> 1",
                    "/template/aliases/al3/search_routing: (absent) -> 1"
                ]
            );
        } else {
            assert_eq!(shown, [""; 0], "{kind}/{name}");
        }
    }
}

#[test]
fn normalizing_twice_is_normalizing_once() {
    for Pair { kind, sent, shown, .. } in pairs() {
        for body in [sent, shown] {
            let once = normalized(kind, body);
            assert_eq!(normalized(kind, once.clone()), once);
        }
    }
}

/// Every leaf of a body, by pointer.
fn leaves(value: &Value, pointer: String, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (key, inner) in fields {
                leaves(inner, format!("{pointer}{}", common::files::json::step(key)), found);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, inner) in items.iter().enumerate() {
                leaves(inner, format!("{pointer}/{index}"), found);
            }
        }
        _ => found.push(pointer),
    }
}

#[test]
fn every_edited_leaf_is_seen() {
    let mut edits = 0;
    for Pair { kind, name, sent, .. } in pairs() {
        let before = normalized(kind, sent.clone());
        let mut pointers = Vec::new();
        leaves(&before, String::new(), &mut pointers);
        for pointer in pointers {
            let mut edited = before.clone();
            *edited.pointer_mut(&pointer).expect("a leaf of it") = json!("edited-7q");
            let edited = normalized(kind, edited);
            let found = diff(Writing::Replaces, &before, &edited);
            assert!(!found.is_empty(), "{kind}/{name} {pointer}");
            edits += 1;
        }
    }
    assert!(edits > 500, "{edits} edits were tried");
}

#[test]
fn every_removed_leaf_is_seen() {
    for Pair { kind, name, sent, .. } in pairs() {
        let before = normalized(kind, sent.clone());
        let mut pointers = Vec::new();
        leaves(&before, String::new(), &mut pointers);
        for pointer in pointers.iter().filter(|pointer| !pointer.is_empty()) {
            let (parent, key) = pointer.rsplit_once('/').expect("a pointer has a slash");
            let mut edited = before.clone();
            let Some(Value::Object(fields)) = edited.pointer_mut(parent) else { continue };
            fields.remove(&key.replace("~1", "/").replace("~0", "~"));
            assert!(!diff(Writing::Replaces, &before, &normalized(kind, edited)).is_empty(), "{kind}/{name} {pointer}");
        }
    }
}

#[test]
fn an_index_as_read_satisfies_what_made_it() {
    for text in RECORDED {
        let exchanges: Value = serde_json::from_str(text).expect("the transcript is JSON");
        let exchanges = exchanges.as_array().expect("the transcript is a list");
        let of = |method: &str| {
            exchanges
                .iter()
                .find(|exchange| exchange["method"] == method && exchange["path"] == "/logs-000001")
                .expect("recorded")
        };
        let shown = normalized("indices", of("GET")["answer"]["logs-000001"].clone());
        let sent = of("PUT")["body"].clone();
        assert_eq!(crate::index::differences(&shown, &normalized("indices", sent), None), []);
    }
}

/// The large set of files that the cases on real nodes use as well.
pub(crate) fn files() -> Vec<(&'static str, String, Value)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/os-init");
    let mut found = Vec::new();
    for spec in &SPECS {
        for entry in fs::read_dir(root.join(spec.name)).into_iter().flatten() {
            let path = entry.expect("an entry can be read").path();
            let text = fs::read_to_string(&path).expect("a file of the set can be read");
            let name = path.file_stem().expect("it has a name").to_string_lossy().into_owned();
            found.push((spec.name, name, serde_json::from_str(&text).expect("a file of the set is JSON")));
        }
    }
    found
}

/// A value of the same type that differs by more than its spelling.
fn other(value: &Value) -> Value {
    match value {
        Value::Null => json!("edited-7q"),
        Value::Bool(value) => json!(!value),
        Value::Number(number) => number.as_i64().map_or(json!(77.25), |number| json!(number + 1)),
        Value::String(text) => match text.parse::<i64>() {
            Ok(number) => json!((number + 1).to_string()),
            Err(_) => json!(format!("edited-7q-{text}")),
        },
        Value::Array(_) => json!(["edited-7q"]),
        Value::Object(_) => json!({"edited-7q": true}),
    }
}

/// What a whole GET answer shows beside the body, and what the server alone decides: whatever a file says there is ignored.
fn made(kind: &str, pointer: &str) -> bool {
    let last = pointer.rsplit('/').next().unwrap_or_default();
    match kind {
        "ism_policies" | "sm_policies" => {
            let servers = ["policy_id", "last_updated_time", "schema_version", "_version", "_seq_no", "_primary_term"];
            let snapshots = ["enabled_time", "name", "_id"];
            servers.contains(&last)
                || (snapshots.contains(&last) && !pointer.contains("/states/"))
                || pointer.starts_with("/sm_policy/schedule")
        }
        "roles" | "tenants" | "action_groups" | "roles_mapping" => ["reserved", "hidden", "static"].contains(&last),
        "component_templates" | "index_templates" => last == "name" && pointer.ends_with("s/0/name"),
        // All that there is to say about a data stream is its name.
        "data_streams" => true,
        _ => false,
    }
}

#[test]
fn every_edited_leaf_of_the_set_is_seen() {
    let mut edits = 0;
    for (kind, name, body) in files() {
        let before = normalized(kind, unwrapped(kind, &name, &body));
        let mut pointers = Vec::new();
        leaves(&body, String::new(), &mut pointers);
        for pointer in pointers.iter().filter(|pointer| !made(kind, pointer)) {
            let mut edited = body.clone();
            let leaf = edited.pointer_mut(pointer).expect("a leaf of it");
            *leaf = other(leaf);
            let edited = normalized(kind, unwrapped(kind, &name, &edited));
            assert!(!diff(Writing::Replaces, &before, &edited).is_empty(), "{kind}/{name} {pointer}");
            edits += 1;
        }
    }
    assert!(edits > 350, "{edits} edits were tried");
}

#[test]
fn a_leaf_of_the_set_whose_end_is_not_seen_says_nothing() {
    // What the server shows anyway, or drops itself: with and without it a file means the same.
    let nothing =
        [json!(null), json!([]), json!({}), json!(false), json!(0), json!(true), json!(1), json!(3), json!("")];
    let words =
        ["object", "strict_date_optional_time||epoch_millis", "exponential", "1m", "mustache", "@timestamp", "0"];
    for (kind, name, body) in files() {
        let before = normalized(kind, unwrapped(kind, &name, &body));
        let mut pointers = Vec::new();
        leaves(&body, String::new(), &mut pointers);
        for pointer in pointers.iter().filter(|pointer| !made(kind, pointer)) {
            let (parent, key) = pointer.rsplit_once('/').expect("a pointer has a slash");
            let mut edited = body.clone();
            let Some(Value::Object(fields)) = edited.pointer_mut(parent) else { continue };
            let Some(gone) = fields.remove(&key.replace("~1", "/").replace("~0", "~")) else { continue };
            let edited = normalized(kind, unwrapped(kind, &name, &edited));
            let seen = !diff(Writing::Replaces, &before, &edited).is_empty();
            let default = nothing.contains(&gone) || gone.as_str().is_some_and(|word| words.contains(&word));
            assert!(seen || default, "{kind}/{name} {pointer}");
        }
    }
}
