//! Teams, their members and preferences: `/api/teams`.

use serde_json::{Map, Value, json};

use super::Profile;
use super::answer::Answer;
use super::field::text;
use super::preferences;
use super::route::Call;
use super::state::Team;
use super::user::PICTURE;

pub(super) fn route(call: &mut Call<'_>, method: &str, rest: &[&str]) -> Option<Answer> {
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
            let answer = preferences::route(call, method, &mut team.preferences)?;
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
