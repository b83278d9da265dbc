//! Service accounts and their tokens. A token is shown once: it goes into a file, written whole, and is proven by using it.
//!
//! | token file        | its name on the server | then                                           |
//! |-------------------|------------------------|------------------------------------------------|
//! | lets in           | –                      | unchanged                                      |
//! | refused, missing  | free                   | a new token of that name                       |
//! | refused, missing  | taken                  | a new token `<name>-<n>`, with a warning        |

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::rc::Rc;

use common::change::{Change, Difference, Failure, Shown};
use common::document::{Have, Held, Meta, Row};
use common::files::{Object, Problem, Set};
use common::http::Call;
use common::json::step;
use common::output;
use common::secret::Secret;
use common::settings::Login;
use serde_json::{Value, json};

use crate::scope::Scope;
use crate::server::part;

/// The row.
pub(crate) const ROW: Row<Scope> =
    Row { compare: Some(compare), check, preflight, export, ..Row::new("service_accounts", read, write) };

fn name_of(object: &Object, body: &Value) -> String {
    body["name"].as_str().unwrap_or(&object.id.name).to_owned()
}

fn accounts(scope: &Scope, query: &str) -> Result<Vec<Value>, Failure> {
    const PAGE: usize = 1000;
    let mut all = Vec::new();
    for page in 1.. {
        let path = format!("/api/serviceaccounts/search?perpage={PAGE}&page={page}&query={}", part(query));
        let rows = scope.must(&path)?["serviceAccounts"].as_array().cloned().unwrap_or_default();
        let full = rows.len() == PAGE;
        all.extend(rows);
        if !full {
            break;
        }
    }
    Ok(all)
}

fn read(scope: &Scope, want: &[Rc<Object>]) -> Result<Held, Failure> {
    let mut held = Held::new();
    if want.is_empty() {
        for account in accounts(scope, "")? {
            held.insert(account["name"].as_str().unwrap_or_default().to_owned(), Have::of(&account));
        }
        return Ok(held);
    }
    for object in want {
        let body = object.value()?;
        let name = name_of(object, &body);
        // The query finds parts of names too.
        let Some(mut account) = accounts(scope, &name)?.into_iter().find(|account| account["name"] == name) else {
            continue;
        };
        let disabled = body["isDisabled"].as_bool().unwrap_or(account["isDisabled"] == true);
        let mut states = serde_json::Map::new();
        for token in body["tokens"].as_array().into_iter().flatten() {
            let (name, file) = token_of(token);
            states.insert(name.to_owned(), json!(proven(scope, file, disabled)?));
        }
        account["tokens"] = Value::Object(states);
        let meta = json!({"id": account["id"], "tokens": account["tokens"]});
        held.insert(object.id.name.clone(), Have { meta, ..Have::of(&account) });
    }
    Ok(held)
}

fn token_of(token: &Value) -> (&str, &str) {
    (token["name"].as_str().unwrap_or_default(), token["file"].as_str().unwrap_or_default())
}

/// Whether the token in a file lets in. One of a disabled account cannot be tried; that it is there has to do.
fn proven(scope: &Scope, file: &str, disabled: bool) -> Result<bool, Failure> {
    let key = match fs::read_to_string(file) {
        Ok(key) => key.trim().to_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(Failure::rejected(format!("cannot read the token file {file}: {error}"))),
    };
    if key.is_empty() {
        return Ok(false);
    }
    let client = scope.client().with_login(&Login::Bearer(Secret::new(key)));
    if disabled {
        return Ok(true);
    }
    let reply = client.send(&Call::get("/api/org").accept(401).accept(403))?;
    Ok(reply.status == 200)
}

fn compare(_: &Scope, _: &Object, have: &Value, want: &Value) -> Change {
    let mut differences = Vec::new();
    for field in ["role", "isDisabled"] {
        if let Some(wanted) = want.get(field).filter(|wanted| have[field] != **wanted) {
            differences.push(Difference::new(format!("/{field}"), Shown::json(&have[field]), Shown::json(wanted)));
        }
    }
    for token in want["tokens"].as_array().into_iter().flatten() {
        let (name, _) = token_of(token);
        if have["tokens"][name] != true {
            differences.push(Difference::new(format!("/tokens{}", step(name)), Shown::Absent, Shown::Masked));
        }
    }
    Change::update(differences)
}

#[expect(clippy::needless_pass_by_value, reason = "a row's functions have one signature")]
fn write(scope: &Scope, object: &Object, want: Value, meta: Option<&Meta>) -> Result<(), Failure> {
    let mut body = json!({"name": name_of(object, &want)});
    for field in ["role", "isDisabled"] {
        if let Some(value) = want.get(field) {
            body[field] = value.clone();
        }
    }
    let (id, states) = if let Some(meta) = meta {
        let id = meta.meta["id"].as_i64().unwrap_or_default();
        let account = scope.must(&format!("/api/serviceaccounts/{id}"))?;
        let differs = |field: &&str| want.get(*field).is_some_and(|wanted| account[*field] != *wanted);
        if ["role", "isDisabled"].iter().any(differs) {
            scope.patch(&format!("/api/serviceaccounts/{id}"), &body)?;
        }
        (id, meta.meta["tokens"].clone())
    } else {
        let made = scope.post("/api/serviceaccounts", &body)?;
        let id = made["id"].as_i64().ok_or_else(|| Failure::fatal("the new service account has no number"))?;
        // Whether a new account may be disabled from the start differs between versions.
        if body["isDisabled"] == true && made["isDisabled"] != true {
            scope.patch(&format!("/api/serviceaccounts/{id}"), &body)?;
        }
        (id, Value::Null)
    };
    for token in want["tokens"].as_array().into_iter().flatten() {
        let (name, file) = token_of(token);
        if states[name] != true {
            make(scope, id, token, name, Path::new(file))?;
        }
    }
    Ok(())
}

/// Makes a token and writes its file. If the file cannot be written the token is lost, and the next run makes another.
fn make(scope: &Scope, id: i64, token: &Value, name: &str, file: &Path) -> Result<(), Failure> {
    let path = format!("/api/serviceaccounts/{id}/tokens");
    let list = scope.must(&path)?;
    let in_use = |name: &str| list.as_array().is_some_and(|list| list.iter().any(|token| token["name"] == name));
    for n in 1..100 {
        let wanted = if n == 1 { name.to_owned() } else { format!("{name}-{n}") };
        if in_use(&wanted) {
            continue;
        }
        let mut body = json!({"name": wanted});
        if let Some(seconds) = token.get("secondsToLive") {
            body["secondsToLive"] = seconds.clone();
        }
        // Names are unique in the organization: another account's token may bear this one.
        let reply = match scope.client().send(&Call::post(&path, body.to_string()).accept(400).accept(409))? {
            reply if reply.status < 300 => reply.json()?,
            reply if reply.body.contains("ErrTokenAlreadyExists") || reply.status == 409 => continue,
            reply => {
                let words = crate::dialect::explain(&reply.body).unwrap_or(reply.body);
                return Err(Failure::rejected(format!("POST {path}: status {}: {words}", reply.status)));
            }
        };
        let key = Secret::new(reply["key"].as_str().ok_or_else(|| Failure::fatal("the new token has no key"))?);
        if n > 1 {
            let text =
                format!("the token {name} exists, but its file {} does not let in: made {wanted}", file.display());
            output::warn("service account").field("detail", text).emit();
        }
        return keep(file, key.reveal())
            .map_err(|error| Failure::rejected(format!("cannot write the token file {}: {error}", file.display())));
    }
    Err(Failure::rejected(format!("the token names {name} to {name}-99 are all taken: delete some of them in Grafana")))
}

/// Written under another name and renamed: there whole, or not at all.
fn keep(file: &Path, key: &str) -> std::io::Result<()> {
    let partial = partial(file);
    // A leftover of a run that was killed may have another mode.
    let _ = fs::remove_file(&partial);
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
    out.write_all(key.as_bytes())?;
    out.sync_all()?;
    fs::rename(&partial, file)
}

fn partial(file: &Path) -> std::path::PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(file.file_name().unwrap_or_default());
    name.push(".partial");
    file.with_file_name(name)
}

fn check(object: &Object, body: &Value, set: &Set) -> Vec<Problem> {
    let Some(fields) = body.as_object() else { return vec![object.problem("", "must be an object")] };
    let mut problems = Vec::new();
    for (key, value) in fields {
        let good = match key.as_str() {
            "name" => value.is_string(),
            "role" => ["Viewer", "Editor", "Admin", "None"].iter().any(|role| value == role),
            "isDisabled" => value.is_boolean(),
            "tokens" => value.is_array(),
            key => ["id", "uid", "login", "orgId", "avatarUrl", "createdAt", "updatedAt", "teams"].contains(&key),
        };
        if !good {
            let text =
                "known are name, role (Viewer, Editor, Admin, None), isDisabled (true, false) and tokens (a list)";
            problems.push(object.problem(&step(key), text));
        }
    }
    let files = |object: &Object| -> Vec<String> {
        let body = object.value().unwrap_or_default();
        body["tokens"].as_array().into_iter().flatten().map(|token| token_of(token).1.to_owned()).collect()
    };
    let others: Vec<String> = set
        .all()
        .iter()
        .filter(|other| other.id.kind == "service_accounts" && other.id < object.id)
        .flat_map(|other| files(other))
        .collect();
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for (index, token) in fields.get("tokens").and_then(Value::as_array).into_iter().flatten().enumerate() {
        let (name, file) = token_of(token);
        let at = format!("/tokens/{index}");
        if name.is_empty() || !file.starts_with('/') {
            problems.push(object.problem(&at, "a token needs a name and a file, an absolute path"));
        }
        if token.get("secondsToLive").is_some_and(|life| life.as_u64().is_none()) {
            problems.push(object.problem(&format!("{at}/secondsToLive"), "must be a number of seconds"));
        }
        let known = ["name", "file", "secondsToLive"];
        for key in
            token.as_object().into_iter().flatten().map(|(key, _)| key).filter(|key| !known.contains(&key.as_str()))
        {
            problems.push(object.problem(&format!("{at}{}", step(key)), "known are name, file and secondsToLive"));
        }
        if seen.iter().any(|(other, place)| *other == name || *place == file)
            || others.iter().any(|other| other == file)
        {
            problems.push(object.problem(&at, "another token has this name or this file"));
        }
        seen.push((name, file));
    }
    problems
}

/// A token that cannot be kept would be lost: its directory is tried first.
fn preflight(_: &Scope, todo: &[(&Object, Value, &Change)]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (object, body, _) in todo {
        for (index, token) in body["tokens"].as_array().into_iter().flatten().enumerate() {
            let path = Path::new(token_of(token).1);
            let probe = partial(path);
            let tried = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&probe);
            if let Err(error) = tried {
                let text = format!("{} cannot be written there: {error}; mount a writable volume", path.display());
                problems.push(object.problem(&format!("/tokens/{index}/file"), text));
            } else {
                let _ = fs::remove_file(&probe);
            }
        }
    }
    problems
}

#[expect(clippy::needless_pass_by_value, clippy::unnecessary_wraps, reason = "a row's functions have one signature")]
fn export(_: &str, body: Value, _: &Have) -> Option<(Value, Vec<String>)> {
    Some((json!({"role": body["role"], "isDisabled": body["isDisabled"]}), Vec::new()))
}
