//! Users: who asks, who there is, and new ones.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Profile;
use super::answer::Answer;
use super::field::{seconds, text};
use super::route::Call;
use super::state::{Role, User};

pub(super) const PICTURE: &str = "/public/img/user_profile.png";

pub(super) fn route(call: &mut Call<'_>, method: &str, rest: &[&str]) -> Option<Answer> {
    Some(match (method, rest) {
        ("GET", ["user"]) if call.actor.is_user => user_by(call, |user, call| user.id == call.actor.id),
        // A service account is shown as what it is.
        ("GET", ["user"]) => Answer::json(200, json!({"id": 0, "login": call.actor.login, "orgId": call.org_id})),
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
        _ => return None,
    })
}

fn profile(call: &Call<'_>, user: &User) -> Value {
    let mut body = json!({"id": user.id, "uid": user.uid, "email": user.email, "name": user.name, "login": user.login,
        "theme": "", "orgId": call.org_id, "isGrafanaAdmin": user.server_admin, "isDisabled": false,
        "isExternal": false, "isExternallySynced": false, "isGrafanaAdminExternallySynced": false, "authLabels": [],
        "updatedAt": seconds(user.made), "createdAt": seconds(user.made), "avatarUrl": PICTURE});
    match call.profile {
        Profile::V10 => body["uid"] = json!(""),
        Profile::V11 => {}
        Profile::V12 | Profile::V13 => body["isProvisioned"] = json!(false),
    }
    body
}

fn user_by(call: &Call<'_>, is: impl Fn(&User, &Call<'_>) -> bool) -> Answer {
    match call.state.users.iter().find(|user| is(user, call)) {
        Some(user) => Answer::json(200, profile(call, user)),
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
    call.state.users.push(User {
        id,
        uid: uid.clone(),
        login,
        email,
        name,
        password,
        server_admin: false,
        made: Timestamp::now(),
    });
    if let Some(org) = call.state.orgs.get_mut(&1) {
        org.members.insert(id, Role::Viewer);
    }
    Answer::json(200, json!({"id": id, "uid": uid, "message": "User created"}))
}
