//! Teams: found by name, compared whole; members, if given, are added and never taken away.

use std::rc::Rc;

use common::engine::change::{Change, Class, Difference, Failure, Shown};
use common::engine::diff::{Writing, diff};
use common::engine::document::{Have, Held, Meta, Row};
use common::files::{Object, Problem, Set};
use serde_json::{Value, json};

use crate::identity::name_of;
use crate::scope::Scope;
use crate::server::part;

/// The row.
pub(crate) const ROW: Row<Scope> = Row {
    normal,
    compare: Some(compare),
    check,
    unique: crate::identity::unique_name,
    preflight,
    ..Row::new("teams", read, write)
};

fn found(scope: &Scope, name: &str) -> Result<Option<Value>, Failure> {
    // Without a name 13 answers from its resources, which have no numbers.
    let list = scope.must(&format!("/api/teams/search?perpage=1000&name={}", part(name)))?;
    Ok(list["teams"].as_array().into_iter().flatten().find(|team| team["name"] == name).cloned())
}

/// The number of a team.
pub(crate) fn team_id(scope: &Scope, name: &str) -> Result<i64, Failure> {
    let id = found(scope, name)?.and_then(|team| team["id"].as_i64());
    id.ok_or_else(|| Failure::rejected(format!("there is no team {name:?}: declare it in teams")))
}

/// The number of a user of the organization.
pub(crate) fn user_id(scope: &Scope, login: &str) -> Result<i64, Failure> {
    let list = scope.must(&format!("/api/org/users/lookup?query={}", part(login)))?;
    let user = list.as_array().into_iter().flatten().find(|user| user["login"] == login);
    if let Some(id) = user.and_then(|user| user["userId"].as_i64()) {
        return Ok(id);
    }
    // A service account holds rights under its login too, but is not among the users.
    let id = crate::service_account::id_of_login(scope, login)?;
    id.ok_or_else(|| {
        Failure::rejected(format!("there is no user {login:?} in this organization: users are not made here"))
    })
}

/// Why a team or user cannot be referred to; nothing where that cannot be told.
pub(crate) fn unknown(scope: &Scope, kind: &str, name: &str) -> Option<String> {
    let found = match kind {
        "team" if scope.declared.teams.contains_key(name) => return None,
        "team" => team_id(scope, name),
        "user" => user_id(scope, name),
        "serviceAccount" if scope.declared.accounts.contains_key(name) => return None,
        "serviceAccount" => crate::service_account::id_of_name(scope, name),
        _ => return None,
    };
    found.err().filter(|failure| failure.class == Class::Rejected).map(|failure| failure.message)
}

fn read(scope: &Scope, want: &[Rc<Object>]) -> Result<Held, Failure> {
    let mut held = Held::new();
    if want.is_empty() {
        for team in scope.pages("/api/teams/search?query=", "perpage", "/teams")? {
            let name = team["name"].as_str().unwrap_or_default();
            // Once more by its name: the list of 13 may lack the number.
            if let Some(mut team) = found(scope, name)? {
                team["members"] = members(scope, &team["id"])?;
                held.insert(name.to_owned(), Have::of(&team));
            }
        }
        return Ok(held);
    }
    for object in want {
        let body = object.value()?;
        let Some(mut team) = found(scope, &name_of(object, &body))? else { continue };
        let meta = json!({"id": team["id"]});
        if body.get("members").is_some() {
            team["members"] = members(scope, &team["id"])?;
        }
        held.insert(object.id.name.clone(), Have { meta, ..Have::of(&team) });
    }
    Ok(held)
}

/// The logins of a team's members.
fn members(scope: &Scope, id: &Value) -> Result<Value, Failure> {
    let rows = scope.must(&format!("/api/teams/{id}/members"))?;
    Ok(rows.as_array().into_iter().flatten().map(|row| row["login"].clone()).collect())
}

fn normal(body: &mut Value) {
    if let Some(fields) = body.as_object_mut() {
        fields.retain(|key, value| matches!(key.as_str(), "name" | "email" | "members") && *value != json!(""));
    }
}

fn compare(_: &Scope, object: &Object, have: &Value, want: &Value) -> Change {
    let (mut have, mut want) = (have.clone(), want.clone());
    want["name"] = json!(name_of(object, &want));
    let take = |body: &mut Value| body.as_object_mut().and_then(|fields| fields.remove("members")).unwrap_or_default();
    let (held, members) = (take(&mut have), take(&mut want));
    let mut differences = diff(Writing::Replaces, &have, &want);
    for login in missing(&held, &members) {
        differences.push(Difference::new(
            format!("/members{}", common::files::json::step(&login)),
            Shown::Absent,
            Shown::text("member"),
        ));
    }
    Change::update(differences)
}

fn missing(held: &Value, members: &Value) -> Vec<String> {
    let there = |login: &&Value| !held.as_array().is_some_and(|held| held.contains(login));
    members
        .as_array()
        .into_iter()
        .flatten()
        .filter(there)
        .filter_map(|login| login.as_str().map(str::to_owned))
        .collect()
}

#[expect(clippy::needless_pass_by_value, reason = "a row's functions have one signature")]
fn write(scope: &Scope, object: &Object, want: Value, meta: Option<&Meta>) -> Result<(), Failure> {
    let name = name_of(object, &want);
    let body = json!({"name": name, "email": want["email"].as_str().unwrap_or_default()});
    let id = if let Some(id) = meta.and_then(|meta| meta.meta["id"].as_i64()) {
        let held = found(scope, &name)?.unwrap_or_default();
        if held["email"].as_str().unwrap_or_default() != body["email"] {
            scope.put(&format!("/api/teams/{id}"), &body)?;
        }
        id
    } else {
        let made = scope.post("/api/teams", &body)?;
        made["teamId"].as_i64().ok_or_else(|| Failure::fatal("the new team has no number"))?
    };
    if want.get("members").is_some() {
        for login in missing(&members(scope, &json!(id))?, &want["members"]) {
            let user = user_id(scope, &login)?;
            scope.post(&format!("/api/teams/{id}/members"), &json!({"userId": user}))?;
        }
    }
    Ok(())
}

fn check(object: &Object, body: &Value, _: &Set) -> Vec<Problem> {
    let Some(fields) = body.as_object() else { return vec![object.problem("", "must be an object")] };
    let mut problems = Vec::new();
    for (key, value) in fields {
        let made = [
            "id",
            "uid",
            "orgId",
            "avatarUrl",
            "memberCount",
            "permission",
            "accessControl",
            "externalUID",
            "isProvisioned",
        ];
        let logins = || value.as_array().is_some_and(|list| list.iter().all(Value::is_string));
        let good = match key.as_str() {
            "name" | "email" => value.is_string(),
            "members" => logins(),
            key => made.contains(&key),
        };
        if !good {
            let text = "known are name and email (texts) and members (a list of logins)";
            problems.push(object.problem(&common::files::json::step(key), text));
        }
    }
    problems
}

/// Members are added once the team is there: a login that nobody has is found before.
fn preflight(scope: &Scope, _: &Set, todo: &[(&Object, Value, &Change)]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (object, body, _) in todo {
        for (index, login) in body["members"].as_array().into_iter().flatten().enumerate() {
            let unknown = login.as_str().and_then(|login| unknown(scope, "user", login));
            problems.extend(unknown.map(|why| object.problem(&format!("/members/{index}"), why)));
        }
    }
    problems
}
