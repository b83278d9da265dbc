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

/// So many characters of a secret are as good as the whole.
const RUN: usize = 8;

/// The first of the secrets of which a text holds eight characters in a row, as they are or in any of the clothes that they travel in.
pub fn sung<'s>(secrets: &'s BTreeSet<String>, text: &str) -> Option<&'s str> {
    let text = squeezed(text);
    let sings = |secret: &&String| {
        let chars: Vec<char> = secret.chars().collect();
        let step = if chars.len() <= 40 { 1 } else { RUN };
        let mut runs = chars.windows(RUN.min(chars.len())).step_by(step);
        runs.any(|run| clothes(&run.iter().collect::<String>()).iter().any(|form| text.contains(form.as_str())))
    };
    secrets.iter().find(sings).map(String::as_str)
}

/// In small letters and without blanks, so that neither capitals nor line ends hide anything.
fn squeezed(text: &str) -> String {
    text.to_lowercase().split_whitespace().collect()
}

/// How a run of a secret looks in JSON, in HTML, in a URL, in hexadecimal and in base64 after none, one or two bytes of others.
fn clothes(run: &str) -> Vec<String> {
    use base64::Engine;
    // A word that the programs say for their own reasons.
    if squeezed(run) == "password" {
        return Vec::new();
    }
    let json = Value::from(run).to_string();
    let each = |show: &dyn Fn(u8) -> String| run.bytes().map(show).collect::<String>();
    let html = run.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    let url =
        |byte: u8| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02x}") };
    let mut forms = vec![
        run.to_owned(),
        json[1..json.len() - 1].to_owned(),
        html,
        each(&url),
        each(&|byte| format!("%{byte:02x}")),
        each(&|byte| format!("{byte:02x}")),
        run.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect(),
        run.chars().map(|c| format!("&#{};", u32::from(c))).collect(),
    ];
    for before in 0..3_usize {
        let encoded =
            base64::engine::general_purpose::STANDARD_NO_PAD.encode([&vec![0; before], run.as_bytes()].concat());
        let digits = (before * 8).div_ceil(6)..(before + run.len()) * 8 / 6;
        forms.push(encoded[digits.clone()].to_owned());
        forms.push(encoded[digits].replace('+', "-").replace('/', "_"));
    }
    forms.iter().map(|form| squeezed(form)).filter(|form| form.len() >= RUN.min(run.len())).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_heard_in_any_clothes() {
        let secrets = BTreeSet::from(["kanarien <vogel>".to_owned()]);
        for text in [
            "x kanarien <vogel> x",
            "KANARIEN <V",
            "kanar\r\n  ien <vo",
            "a2FuYXJpZW4gPHZvZ2VsPg",
            "YWRtaW46a2FuYXJpZW4gPHZvZ2VsPg==",
            "6B616E617269656E203C766F67",
            "kanarien%20%3cvogel%3e",
            "kanarien \\u003cvogel\\u003e",
            "narien &lt;vogel&gt;",
            "\\u006b\\u0061\\u006e\\u0061\\u0072\\u0069\\u0065\\u006e\\u0020",
        ] {
            assert!(sung(&secrets, text).is_some(), "{text}");
        }
        for text in ["kanarie", "***", "vogel>"] {
            assert!(sung(&secrets, text).is_none(), "{text}");
        }
    }
}
