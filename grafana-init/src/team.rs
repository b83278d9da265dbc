//! Teams: found by name, compared whole; members, if given, are added and never taken away.

use std::rc::Rc;

use common::engine::change::{Change, Class, Difference, Failure, Shown};
use common::engine::diff::{Writing, diff};
use common::engine::document::{Have, Held, Making, Pair, Request, Row};
use common::files::{Object, Problem, Set};
use serde_json::{Value, json};

use crate::identity::name_of;
use crate::scope::{Rules, Scope, answer};
use crate::server::part;
use crate::step::{MADE, number, numbered, post, put};

/// The row.
pub(crate) const ROW: Row<Scope> = Row {
    normal,
    judge: Some(judge),
    check,
    unique: crate::identity::unique_name,
    send,
    ..Row::new("teams", read, step)
};

fn found(scope: &Scope, name: &str) -> Result<Option<Value>, Failure> {
    // Without a name 13 answers from its resources, which have no numbers.
    let list = scope.must(&format!("/api/teams/search?perpage=1000&name={}", part(name)))?;
    Ok(list["teams"].as_array().into_iter().flatten().find(|team| team["name"] == name).cloned())
}

/// The number of a team.
pub(crate) fn team_id(scope: &Scope, name: &str) -> Result<i64, Failure> {
    let id = found(scope, name)?.and_then(|team| team["id"].as_i64()).filter(|id| *id > 0);
    id.ok_or_else(|| Failure::rejected(format!("there is no team {name:?}: declare it in teams")))
}

/// The number of a user of the organization.
pub(crate) fn user_id(scope: &Scope, login: &str) -> Result<i64, Failure> {
    let list = scope.must(&format!("/api/org/users/lookup?query={}", part(login)))?;
    let user = list.as_array().into_iter().flatten().find(|user| user["login"] == login);
    if let Some(id) = user.and_then(|user| user["userId"].as_i64()).filter(|id| *id > 0) {
        return Ok(id);
    }
    // A service account holds rights under its login too, but is not among the users.
    let id = crate::service_account::id_of_login(scope, login)?;
    id.ok_or_else(|| {
        Failure::rejected(format!("there is no user {login:?} in this organization: users are not made here"))
    })
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
        let mut team = found(scope, &name_of(object, &body))?;
        if let Some(team) = team.as_mut().filter(|_| body.get("members").is_some()) {
            team["members"] = members(scope, &team["id"])?;
        }
        let joining = missing(team.as_ref().map_or(&Value::Null, |team| &team["members"]), &body["members"]);
        let users: Result<Vec<Value>, Failure> = joining.iter().map(|login| user(scope, login)).collect();
        let have = match team {
            Some(team) => Have { meta: json!({"id": team["id"], "joining": users?}), ..Have::of(&team) },
            None => Have::absent(json!({"joining": users?})),
        };
        held.insert(object.id.name.clone(), have);
    }
    Ok(held)
}

/// The number of a user, or why there is none.
fn user(scope: &Scope, login: &str) -> Result<Value, Failure> {
    match user_id(scope, login) {
        Err(failure) if failure.class != Class::Rejected => Err(failure),
        found => Ok(found.map_or_else(|failure| json!(failure.message), |id| json!(id))),
    }
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

fn judge(pair: &Pair<'_, Rules>) -> Change {
    let (mut have, mut want) = (pair.held.clone(), pair.want.clone());
    want["name"] = json!(name_of(pair.object, &want));
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
fn step(making: Making<'_, Rules>) -> Result<Vec<Request>, Failure> {
    let name = name_of(making.object, &making.body);
    let body = json!({"name": name, "email": making.body["email"].as_str().unwrap_or_default()});
    let (path, mut requests) = match making.have {
        None => (format!("/api/teams/{MADE}"), vec![post("/api/teams", &body)]),
        Some(have) => {
            let path = format!("/api/teams/{}", number(making.meta, "team")?);
            let same = have.value()?["email"].as_str().unwrap_or_default() == body["email"];
            let changed = (!same).then(|| put(&path, &body));
            (path, changed.into_iter().collect())
        }
    };
    for user in making.meta["joining"].as_array().into_iter().flatten() {
        if let Some(unknown) = user.as_str() {
            return Err(Failure::rejected(unknown));
        }
        let about = user.clone();
        requests.push(Request { about, ..post(format!("{path}/members"), &json!({"userId": user})) });
    }
    Ok(requests)
}

fn send(scope: &Scope, object: &Object, step: &[Request]) -> Result<(), Failure> {
    let mut made = None;
    // Whoever makes a team is in it already, and is refused as a member to add.
    let mut inside = Vec::new();
    for request in step {
        if !request.about.is_null() && inside.contains(&request.about) {
            continue;
        }
        let reply = scope.client().send(&numbered(request.complete(object)?, made)?)?;
        if let Some(id) = answer(&reply)?["teamId"].as_i64().filter(|_| made.is_none() && step.len() > 1) {
            made = Some(id);
            let rows = scope.must(&format!("/api/teams/{id}/members"))?;
            inside.extend(rows.as_array().into_iter().flatten().map(|row| row["userId"].clone()));
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
