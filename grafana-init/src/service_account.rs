//! Service accounts: found by name; role, state and tokens are compared as far as they are declared. What becomes of a token's file
//! is in `token`.

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use common::engine::change::{Change, Difference, Failure, Shown};
use common::engine::document::{Have, Held, Making, Pair, Pending, Request, Row, bodies};
use common::files::json::step as step_of;
use common::files::{Key, Object, Problem, Set};
use serde_json::{Value, json};

use crate::identity::name_of;
use crate::scope::{Rules, Scope, answer};
use crate::server::part;
use crate::step::{MADE, number, numbered, patch, post};

mod token;

/// The row.
pub(crate) const ROW: Row<Scope> =
    Row { judge: Some(judge), check, unique, preflight, export, send, ..Row::new("service_accounts", read, step) };

fn accounts(scope: &Scope, query: &str) -> Result<Vec<Value>, Failure> {
    scope.pages(&format!("/api/serviceaccounts/search?query={}", part(query)), "perpage", "/serviceAccounts")
}

/// The number of the service account of a login.
pub(crate) fn id_of_login(scope: &Scope, login: &str) -> Result<Option<i64>, Failure> {
    let found = accounts(scope, login)?.into_iter().find(|account| account["login"] == login);
    Ok(found.and_then(|account| account["id"].as_i64()))
}

/// The number of the service account of a name.
pub(crate) fn id_of_name(scope: &Scope, name: &str) -> Result<i64, Failure> {
    let found = accounts(scope, name)?.into_iter().find(|account| account["name"] == name);
    let id = found.and_then(|account| account["id"].as_i64());
    id.ok_or_else(|| Failure::rejected(format!("there is no service account {name:?}: declare it in service_accounts")))
}

/// The names of all service accounts by their logins.
pub(crate) fn names(scope: &Scope) -> Result<BTreeMap<String, String>, Failure> {
    let text = |row: &Value, field: &str| row[field].as_str().map(str::to_owned);
    Ok(accounts(scope, "")?.iter().filter_map(|row| Some((text(row, "login")?, text(row, "name")?))).collect())
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
        let disabled = body["isDisabled"] == true || account["isDisabled"] == true;
        let (mut states, mut numbers) = (json!({}), json!({}));
        for token in body["tokens"].as_array().into_iter().flatten() {
            let (name, file) = token_of(token);
            states[name] = json!(token::proven(scope, file, disabled)?);
        }
        let enabled = account["isDisabled"] == true && body["isDisabled"] == false;
        if enabled || states.as_object().into_iter().flatten().any(|(_, proven)| *proven == false) {
            let list = scope.must(&format!("/api/serviceaccounts/{}/tokens", account["id"]))?;
            for token in body["tokens"].as_array().into_iter().flatten() {
                let name = token_of(token).0;
                numbers[name] = json!(token::free(&list, name));
            }
        }
        account["tokens"] = states;
        let meta = json!({"id": account["id"], "enabled": enabled, "numbers": numbers});
        held.insert(object.id.name.clone(), Have { meta, ..Have::of(&account) });
    }
    Ok(held)
}

fn token_of(token: &Value) -> (&str, &str) {
    (token["name"].as_str().unwrap_or_default(), token["file"].as_str().unwrap_or_default())
}

fn judge(pair: &Pair<'_, Rules>) -> Change {
    let (have, want) = (pair.held, pair.want);
    let mut differences = Vec::new();
    for field in ["role", "isDisabled"] {
        if let Some(wanted) = want.get(field).filter(|wanted| have[field] != **wanted) {
            differences.push(Difference::new(format!("/{field}"), Shown::json(&have[field]), Shown::json(wanted)));
        }
    }
    for token in want["tokens"].as_array().into_iter().flatten() {
        let (name, _) = token_of(token);
        if have["tokens"][name] != true {
            differences.push(Difference::new(format!("/tokens{}", step_of(name)), Shown::Absent, Shown::Masked));
        }
    }
    Change::update(differences)
}

fn step(making: Making<'_, Rules>) -> Result<Vec<Request>, Failure> {
    let (want, facts) = (making.body, making.meta);
    let held = making.have.map(Have::value).transpose()?.unwrap_or_default();
    let mut body = json!({"name": name_of(making.object, &want)});
    let mut differs = false;
    for (field, value) in ["role", "isDisabled"].iter().filter_map(|field| Some((field, want.get(field)?))) {
        body[*field] = value.clone();
        differs |= held[*field] != *value;
    }
    let mut requests = Vec::new();
    let path = if making.have.is_some() {
        format!("/api/serviceaccounts/{}", number(facts, "service account")?)
    } else {
        requests.push(post("/api/serviceaccounts", &body));
        // Whether a new account may be disabled from the start differs between versions.
        differs = want["isDisabled"] == true;
        format!("/api/serviceaccounts/{MADE}")
    };
    if differs {
        requests.push(patch(&path, &body));
    }
    for token in want["tokens"].as_array().into_iter().flatten() {
        let (name, file) = token_of(token);
        let enabled = facts["enabled"] == true;
        if held["tokens"][name] != true || enabled {
            requests.push(token::request(&path, token, facts["numbers"][name].as_u64().unwrap_or(1), file, enabled));
        }
    }
    Ok(requests)
}

fn send(scope: &Scope, object: &Object, step: &[Request]) -> Result<(), Failure> {
    let mut made = None;
    for request in step {
        let call = numbered(request.complete(object)?, made)?;
        if request.about.is_null() {
            made = made.or(answer(&scope.client().send(&call)?)?["id"].as_i64());
        } else {
            token::make(scope, &call, &request.about)?;
        }
    }
    Ok(())
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
            problems.push(object.problem(&step_of(key), text));
        }
    }
    let files = |object: &Object| -> Vec<String> {
        let body = object.value().unwrap_or_default();
        body["tokens"].as_array().into_iter().flatten().map(|token| token_of(token).1.to_owned()).collect()
    };
    let tokens = fields.get("tokens").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    // Its own organization's files are told apart by `unique`; objects are sorted by their organizations.
    let before = set.all().iter().take_while(|other| other.id.org < object.id.org && !tokens.is_empty());
    let others: Vec<String> =
        before.filter(|other| other.id.kind == "service_accounts").flat_map(|other| files(other)).collect();
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
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
            problems.push(object.problem(&format!("{at}{}", step_of(key)), "known are name, file and secondsToLive"));
        }
        if seen.iter().any(|(other, _)| *other == name) || others.iter().any(|other| other == file) {
            problems.push(object.problem(&at, "another token has this name or this file"));
        }
        seen.push((name, file));
    }
    problems
}

/// A token that cannot be kept would be lost: its directory is tried first.
fn preflight(_: &Scope, _: &Set, todo: &[Pending<'_>]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (object, body, _) in bodies(todo) {
        for (index, token) in body["tokens"].as_array().into_iter().flatten().enumerate() {
            let path = Path::new(token_of(token).1);
            if let Err(error) = token::can_be_kept(path) {
                let text = format!("{} cannot be written there: {error}; mount a writable volume", path.display());
                problems.push(object.problem(&format!("/tokens/{index}/file"), text));
            }
        }
    }
    problems
}

fn unique(object: &Object, body: &Value) -> Vec<Key> {
    let tokens = body["tokens"].as_array().into_iter().flatten().enumerate();
    let file = |(index, token)| (format!("/tokens/{index}"), "token file", token_of(token).1.to_owned());
    crate::identity::unique_name(object, body).into_iter().chain(tokens.map(file)).collect()
}

#[expect(clippy::needless_pass_by_value, clippy::unnecessary_wraps, reason = "a row's functions have one signature")]
fn export(_: &str, body: Value, _: &Have) -> Option<(Value, Vec<String>)> {
    Some((json!({"role": body["role"], "isDisabled": body["isDisabled"]}), Vec::new()))
}
