//! Organizations and their members: `/api/org` and `/api/orgs`.

use serde_json::{Value, json};

use super::answer::Answer;
use super::field::text;
use super::route::Call;
use super::state::{Org, Role};
use super::user::PICTURE;
use super::{preferences, team, user};

pub(super) fn route(call: &mut Call<'_>, method: &str, rest: &[&str]) -> Option<Answer> {
    Some(match (method, rest) {
        ("GET", ["org"]) => Answer::json(200, org_body(call.org())),
        ("PUT", ["org"]) => rename(call, call.org_id),
        ("GET", ["org", "users"]) => members(call, call.org_id),
        ("POST", ["org", "users"]) => add_member(call, call.org_id),
        (_, ["org", "preferences"]) => {
            let mut preferences = call.org().preferences.clone();
            let answer = preferences::route(call, method, &mut preferences)?;
            call.org().preferences = preferences;
            answer
        }
        ("GET", ["orgs"]) => {
            let rows = call.state.orgs.values().map(|org| json!({"id": org.id, "name": org.name}));
            let rows = rows.collect();
            Answer::json(200, json!(call.request.page(rows, call.request.number("perpage", 1000))))
        }
        ("POST", ["orgs"]) => create(call),
        ("GET", ["orgs", "name", name]) => match call.state.orgs.values().find(|org| org.name == *name) {
            Some(org) => Answer::json(200, org_body(org)),
            None => call.profile.traced(404, "Organization not found"),
        },
        (_, ["orgs", id, rest @ ..]) => of_org(call, method, id.parse().ok()?, rest)?,
        (_, ["teams", rest @ ..]) => team::route(call, method, rest)?,
        _ if matches!(rest, ["user" | "users" | "admin", ..] | ["org", "users", "lookup"]) => {
            user::route(call, method, rest)?
        }
        _ => return None,
    })
}

fn org_body(org: &Org) -> Value {
    json!({"id": org.id, "name": org.name, "address": {"address1": "", "address2": "", "city": "", "zipCode": "",
        "state": "", "country": ""}})
}

fn create(call: &mut Call<'_>) -> Answer {
    let name = text(&call.body, "name").to_owned();
    if name.is_empty() {
        return call.profile.traced(400, "bad request data");
    }
    if call.state.orgs.values().any(|org| org.name == name) {
        return call.profile.traced(409, "Organization name taken");
    }
    let id = call.state.add_org(&name, call.actor.id);
    Answer::json(200, json!({"message": "Organization created", "orgId": id}))
}

fn of_org(call: &mut Call<'_>, method: &str, id: i64, rest: &[&str]) -> Option<Answer> {
    if !call.state.orgs.contains_key(&id) {
        return Some(call.profile.traced(404, "Organization not found"));
    }
    Some(match (method, rest) {
        ("GET", []) => Answer::json(200, org_body(&call.state.orgs[&id])),
        ("PUT", []) => rename(call, id),
        ("DELETE", []) => {
            call.state.orgs.remove(&id);
            Answer::message(200, "Organization deleted")
        }
        ("GET", ["users"]) => members(call, id),
        ("POST", ["users"]) => add_member(call, id),
        _ => return None,
    })
}

fn rename(call: &mut Call<'_>, id: i64) -> Answer {
    let name = text(&call.body, "name").to_owned();
    if call.state.orgs.values().any(|org| org.id != id && org.name == name) {
        return call.profile.traced(400, "Organization name taken");
    }
    call.state.orgs.get_mut(&id).expect("the caller looked it up").name = name;
    Answer::message(200, "Organization updated")
}

fn members(call: &Call<'_>, id: i64) -> Answer {
    let rows = call.state.orgs[&id].members.iter().filter_map(|(member, role)| {
        let user = call.state.users.iter().find(|user| user.id == *member)?;
        Some(json!({"orgId": id, "userId": user.id, "uid": user.uid, "email": user.email, "name": user.name,
            "avatarUrl": PICTURE, "login": user.login, "role": role.name(), "isDisabled": false}))
    });
    Answer::json(200, rows.collect())
}

fn add_member(call: &mut Call<'_>, id: i64) -> Answer {
    let wanted = text(&call.body, "loginOrEmail");
    let Some(role) = Role::parse(text(&call.body, "role")) else {
        return call.profile.traced(400, "Invalid role specified");
    };
    let found = call.state.users.iter().find(|user| user.login == wanted || user.email == wanted);
    let Some(user) = found.map(|user| user.id) else { return call.profile.traced(404, "user not found") };
    let members = &mut call.state.orgs.get_mut(&id).expect("the caller looked it up").members;
    if members.contains_key(&user) {
        return Answer::message(409, "User is already member of this organization");
    }
    members.insert(user, role);
    Answer::json(200, json!({"message": "User added to organization", "userId": user}))
}
