//! Which secrets a program is given, so that every run of every case can be searched for them. Gathering and searching only.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use common::files::{OBJECT_LIMIT, Syntax, read_text};
use serde_json::Value;

/// Shorter ones are words like `admin`, which stand in a log for other reasons.
const SHORTEST: usize = 8;

/// Fields of bodies whose strings are secrets, with everything below them.
const FIELDS: [&str; 4] = ["password", "hash", "secureJsonData", "secureSettings"];

/// The secrets of an environment, of the files that it names, and of a folder of bodies.
pub(super) fn given(environment: &BTreeMap<String, String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (name, value) in environment {
        if name.ends_with("_PASSWORD") || name.ends_with("_TOKEN") {
            found.insert(value.clone());
        } else if name.ends_with("_PASSWORD_FILE") || name.ends_with("_TOKEN_FILE") {
            found.extend(read_text(Path::new(value), OBJECT_LIMIT).map(|text| text.trim_end().to_owned()));
        } else if name.ends_with("_KEY_FILE") {
            let text = read_text(Path::new(value), OBJECT_LIMIT).unwrap_or_default();
            found.extend(text.lines().filter(|line| !line.starts_with("-----")).map(str::to_owned));
        }
    }
    if let Some(folder) = environment.get("CONFIG_DIR") {
        bodies(Path::new(folder), &mut found);
    }
    // A placeholder is no secret; what it stands for is found where it is read from. Nor is what an export puts in a secret's place.
    found.retain(|secret| secret.len() >= SHORTEST && !secret.contains("$__") && secret != "[REDACTED]");
    found
}

/// The first of the secrets that a text holds.
pub(super) fn sung<'s>(secrets: &'s BTreeSet<String>, text: &str) -> Option<&'s str> {
    secrets.iter().find(|secret| text.contains(secret.as_str())).map(String::as_str)
}

fn bodies(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        // Links may lead anywhere, a FIFO would hang: cases give the programs such things too.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            bodies(&path, found);
        } else if let (Some(syntax), Ok(text)) = (Syntax::of(&path), read_text(&path, OBJECT_LIMIT)) {
            syntax.values(&text).into_iter().flatten().for_each(|body| walk(&body, false, found));
        }
    }
}

fn walk(value: &Value, secret: bool, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if secret => drop(found.insert(text.clone())),
        Value::Array(items) => items.iter().for_each(|item| walk(item, secret, found)),
        Value::Object(fields) => {
            for (name, value) in fields {
                walk(value, secret || FIELDS.contains(&name.as_str()), found);
            }
        }
        _ => {}
    }
}
