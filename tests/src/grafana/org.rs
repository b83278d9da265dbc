//! Organizations, users, teams and preferences.

use serde_json::{Map, Value, json};

use super::Profile;
use super::answer::Answer;
use super::field::text;
use super::route::Call;
use super::state::{Org, Role, Team, User};

const PICTURE: &str = "/public/img/user_profile.png";

pub(super) fn route(call: &mut Call<'_>, method: &str, rest: &[&str]) -> Option<Answer> {
    Some(match (method, rest) {
        ("GET", ["org"]) => Answer::json(200, org_body(call.org())),
        ("PUT", ["org"]) => rename(call, call.org_id),
        ("GET", ["org", "users"]) => members(call, call.org_id),
        ("POST", ["org", "users"]) => add_member(call, call.org_id),
        (_, ["org", "preferences"]) => {
            let mut preferences = call.org().preferences.clone();
            let answer = preferences_route(call, method, &mut preferences)?;
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
        ("GET", ["user"]) => user_by(call, |user, call| user.id == call.actor.id),
        ("GET", ["users", "lookup"]) => {
            let wanted = call.request.query("loginOrEmail").unwrap_or_default().to_owned();
            user_by(call, |user, _| user.login == wanted || user.email == wanted)
        }
        ("GET", ["org", "users", "lookup"]) => {
            let wanted = call.request.query("query").unwrap_or_default().to_owned();
            let found = call.state.users.iter().filter(|user| user.login.contains(&wanted));
            let rows = found.map(|user| json!({"userId": user.id, "uid": user.uid, "login": user.login}));
            Answer::json(200, rows.collect())
        }
        ("POST", ["admin", "users"]) => create_user(call),
        (_, ["teams", rest @ ..]) => teams(call, method, rest)?,
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

fn user_by(call: &Call<'_>, is: impl Fn(&User, &Call<'_>) -> bool) -> Answer {
    match call.state.users.iter().find(|user| is(user, call)) {
        Some(user) => Answer::json(
            200,
            json!({"id": user.id, "uid": user.uid, "email": user.email, "name": user.name,
            "login": user.login, "orgId": call.org_id, "isGrafanaAdmin": user.server_admin, "isDisabled": false}),
        ),
        None => call.profile.traced(404, "user not found"),
    }
}

fn create_user(call: &mut Call<'_>) -> Answer {
    let (login, email) = (text(&call.body, "login").to_owned(), text(&call.body, "email").to_owned());
    let login = if login.is_empty() { email.clone() } else { login };
    let password = text(&call.body, "password").to_owned();
    if login.is_empty() || password.chars().count() < 4 {
        return Answer::message(400, "Validation error, need to specify either username or email, and a password");
    }
    if call.state.users.iter().any(|user| user.login == login || (!email.is_empty() && user.email == email)) {
        return Answer::message(412, &format!("User with email '{email}' or username '{login}' already exists"));
    }
    let (id, uid) = (call.state.next("user"), call.state.new_uid());
    let name = text(&call.body, "name").to_owned();
    call.state.users.push(User { id, uid: uid.clone(), login, email, name, password, server_admin: false });
    if let Some(org) = call.state.orgs.get_mut(&1) {
        org.members.insert(id, Role::Viewer);
    }
    Answer::json(200, json!({"id": id, "uid": uid, "message": "User created"}))
}

const PREFERENCES: [&str; 8] =
    ["theme", "homeDashboardUID", "timezone", "weekStart", "language", "queryHistory", "navbar", "cookiePreferences"];

/// PUT replaces, PATCH merges; an empty value is one that is not there.
fn preferences_route(call: &mut Call<'_>, method: &str, preferences: &mut Map<String, Value>) -> Option<Answer> {
    if method == "GET" {
        return Some(Answer::json(200, Value::Object(preferences.clone())));
    }
    if !matches!(method, "PUT" | "PATCH") {
        return None;
    }
    let home = text(&call.body, "homeDashboardUID").to_owned();
    if !home.is_empty() && !call.org().dashboards.contains_key(&home) {
        return Some(call.profile.traced(404, "Dashboard not found"));
    }
    if !["", "light", "dark", "system"].contains(&text(&call.body, "theme")) {
        return Some(call.profile.traced(400, "Invalid theme"));
    }
    if method == "PUT" {
        preferences.clear();
    }
    for field in PREFERENCES {
        if let Some(value) = call.body.get(field) {
            preferences.insert(field.to_owned(), value.clone());
        }
    }
    preferences.retain(|_, value| !value.is_null() && *value != json!("") && *value != json!({}));
    Some(Answer::message(200, "Preferences updated"))
}

fn teams(call: &mut Call<'_>, method: &str, rest: &[&str]) -> Option<Answer> {
    match (method, rest) {
        ("GET", ["search"]) => Some(search_teams(call)),
        ("POST", []) => Some(create_team(call)),
        (_, [id, rest @ ..]) => {
            let found = call.org().teams.iter().position(|team| team.id.to_string() == *id || team.uid == *id);
            match found {
                Some(at) => one_team(call, method, at, rest),
                None => Some(call.profile.traced(404, "Team not found")),
            }
        }
        _ => None,
    }
}

fn team_body(call: &Call<'_>, team: &Team) -> Value {
    let mut body = json!({"id": team.id, "uid": team.uid, "orgId": call.org_id, "name": team.name, "email": team.email,
        "avatarUrl": PICTURE, "memberCount": team.members.len(), "permission": 0, "accessControl": null});
    if call.profile >= Profile::V12 {
        body["externalUID"] = json!("");
        body["isProvisioned"] = json!(false);
    }
    body
}

fn search_teams(call: &mut Call<'_>) -> Answer {
    let size = call.request.number("perpage", 1000);
    let name = call.request.query("name").map(str::to_owned);
    let query = call.request.query("query").unwrap_or_default().to_lowercase();
    let mut teams = call.org().teams.clone();
    teams.retain(|team| {
        name.as_ref().is_none_or(|name| team.name == *name) && team.name.to_lowercase().contains(&query)
    });
    let total = teams.len();
    let mut rows: Vec<Value> = call.request.page(teams, size).iter().map(|team| team_body(call, team)).collect();
    if call.profile == Profile::V13 && name.is_none() {
        // Without a name 13 asks its resource layer, which has no numeric ids.
        rows.iter_mut().filter_map(Value::as_object_mut).for_each(|row| {
            row.remove("id");
        });
    }
    let page = call.request.number("page", 1);
    Answer::json(200, json!({"totalCount": total, "teams": rows, "page": page, "perPage": size}))
}

fn create_team(call: &mut Call<'_>) -> Answer {
    let (name, email) = (text(&call.body, "name").to_owned(), text(&call.body, "email").to_owned());
    if call.org().teams.iter().any(|team| team.name == name) {
        return call.profile.traced(409, "Team name taken");
    }
    let (id, uid) = (call.state.next("team"), call.state.new_uid());
    // A user who makes a team becomes its administrator; a service account does not.
    let members = if call.actor.is_user { vec![(call.actor.id, 4)] } else { Vec::new() };
    call.org().teams.push(Team { id, uid: uid.clone(), name, email, members, preferences: Map::new() });
    let mut body = json!({"message": "Team created", "teamId": id});
    if call.profile >= Profile::V11 {
        body["uid"] = json!(uid);
    }
    Answer::json(200, body)
}

fn one_team(call: &mut Call<'_>, method: &str, at: usize, rest: &[&str]) -> Option<Answer> {
    let mut team = call.org().teams[at].clone();
    Some(match (method, rest) {
        ("GET", []) => Answer::json(200, team_body(call, &team)),
        ("PUT", []) => {
            let name = text(&call.body, "name").to_owned();
            if call.org().teams.iter().any(|other| other.id != team.id && other.name == name) {
                return Some(call.profile.traced(400, "Team name taken"));
            }
            team.name = name;
            text(&call.body, "email").clone_into(&mut team.email);
            call.org().teams[at] = team;
            Answer::message(200, "Team updated")
        }
        ("DELETE", []) => {
            call.org().teams.remove(at);
            Answer::message(200, "Team deleted")
        }
        (_, ["preferences"]) => {
            let answer = preferences_route(call, method, &mut team.preferences)?;
            call.org().teams[at] = team;
            answer
        }
        ("GET", ["members"]) => {
            let users = &call.state.users;
            let rows = team.members.iter().filter_map(|(id, permission)| {
                let user = users.iter().find(|user| user.id == *id)?;
                Some(json!({"orgId": call.org_id, "teamId": team.id, "teamUID": team.uid, "userId": id,
                    "userUID": user.uid, "auth_module": "", "email": user.email, "name": user.name,
                    "login": user.login, "avatarUrl": PICTURE, "labels": [], "permission": permission}))
            });
            Answer::json(200, rows.collect())
        }
        ("POST", ["members"]) => {
            let user = call.body["userId"].as_i64().unwrap_or(0);
            if !call.state.users.iter().any(|one| one.id == user) {
                return Some(call.profile.traced(404, "user not found"));
            }
            if team.members.iter().any(|(id, _)| *id == user) {
                return Some(call.profile.traced(400, "User is already added to this team"));
            }
            call.org().teams[at].members.push((user, 0));
            Answer::message(200, "Member added to Team")
        }
        ("DELETE", ["members", user]) => {
            call.org().teams[at].members.retain(|(id, _)| id.to_string() != *user);
            Answer::message(200, "Team Member removed")
        }
        _ => return None,
    })
}
