//! Service accounts and their tokens: `/api/serviceaccounts`.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::Profile;
use super::answer::Answer;
use super::field::{fingerprint, flag, seconds, text};
use super::route::Call;
use super::state::{Account, Role, Token};

const PICTURE: &str = "/public/img/user_profile.png";

pub(super) fn route(call: &mut Call<'_>, method: &str, rest: &[&str]) -> Option<Answer> {
    match (method, rest) {
        ("GET", ["search"]) => Some(search(call)),
        ("POST", []) => Some(create(call)),
        (_, [id, rest @ ..]) => {
            let id: i64 = id.parse().ok()?;
            match call.org().accounts.iter().position(|account| account.id == id) {
                Some(at) => one(call, method, at, rest),
                None => Some(call.profile.identified(404, "serviceaccounts.ErrNotFound", "service account not found")),
            }
        }
        _ => None,
    }
}

fn row(call: &Call<'_>, account: &Account, avatar: &str) -> Value {
    let mut body = json!({"id": account.id, "name": account.name, "login": account.login, "orgId": call.org_id,
        "isDisabled": account.disabled, "role": account.role.name(), "tokens": account.tokens.len(),
        "avatarUrl": avatar});
    if call.profile >= Profile::V11 {
        body["uid"] = json!(account.uid);
    }
    body
}

fn whole(call: &Call<'_>, account: &Account) -> Value {
    let mut body = row(call, account, PICTURE);
    if let Some(fields) = body.as_object_mut() {
        fields.remove("tokens");
    }
    body["createdAt"] = json!(seconds(account.created));
    body["updatedAt"] = json!(seconds(account.updated));
    body["teams"] = Value::Null;
    body
}

fn search(call: &mut Call<'_>) -> Answer {
    let size = call.request.number("perpage", 1000);
    let query = call.request.query("query").unwrap_or_default().to_lowercase();
    let mut accounts = call.org().accounts.clone();
    accounts.retain(|account| account.name.to_lowercase().contains(&query) || account.login.contains(&query));
    accounts.sort_by_key(|account| account.login.clone());
    let total = accounts.len();
    let rows: Vec<Value> =
        call.request.page(accounts, size).iter().map(|account| row(call, account, PICTURE)).collect();
    let page = call.request.number("page", 1);
    Answer::json(200, json!({"totalCount": total, "serviceAccounts": rows, "page": page, "perPage": size}))
}

/// The role that the body gives, unless it is above the caller's own.
fn role_of(call: &Call<'_>, default: Role) -> Result<Role, Answer> {
    let wanted = text(&call.body, "role");
    if wanted.is_empty() {
        return Ok(default);
    }
    let role = Role::parse(wanted);
    let role = role.ok_or_else(|| {
        call.profile.identified(400, "serviceaccounts.ErrInvalidRoleValidation", "invalid role specified")
    })?;
    if role > call.actor.role {
        return Err(call.profile.traced(403, "can not assign a role higher than user's role"));
    }
    Ok(role)
}

fn login(org_id: i64, name: &str) -> String {
    format!("sa-{org_id}-{}", name.to_lowercase().replace(' ', "-"))
}

fn create(call: &mut Call<'_>) -> Answer {
    let name = text(&call.body, "name").to_owned();
    if name.is_empty() {
        return call.profile.traced(400, "Bad request data");
    }
    let role = match role_of(call, Role::Viewer) {
        Ok(role) => role,
        Err(refusal) => return refusal,
    };
    let login = login(call.org_id, &name);
    if call.org().accounts.iter().any(|account| account.login == login) {
        return exists(call);
    }
    // Users and service accounts are rows of one table.
    let (id, uid, now) = (call.state.next("user"), call.state.new_uid(), Timestamp::now());
    let disabled = flag(&call.body, "isDisabled");
    let account = Account { id, uid, name, login, role, disabled, created: now, updated: now, tokens: Vec::new() };
    call.org().accounts.push(account.clone());
    Answer::json(201, row(call, &account, ""))
}

fn exists(call: &Call<'_>) -> Answer {
    call.profile.identified(400, "serviceaccounts.ErrAlreadyExists", "service account already exists")
}

fn one(call: &mut Call<'_>, method: &str, at: usize, rest: &[&str]) -> Option<Answer> {
    let account = call.org().accounts[at].clone();
    Some(match (method, rest) {
        ("GET", []) => Answer::json(200, whole(call, &account)),
        ("PATCH", []) => update(call, at),
        ("DELETE", []) => {
            call.org().accounts.remove(at);
            Answer::message(200, "Service account deleted")
        }
        ("GET", ["tokens"]) => Answer::json(200, account.tokens.iter().map(token_row).collect()),
        ("POST", ["tokens"]) => create_token(call, at),
        ("DELETE", ["tokens", id]) => {
            call.org().accounts[at].tokens.retain(|token| token.id.to_string() != *id);
            Answer::message(200, "Service account token deleted")
        }
        _ => return None,
    })
}

fn update(call: &mut Call<'_>, at: usize) -> Answer {
    let mut account = call.org().accounts[at].clone();
    account.role = match role_of(call, account.role) {
        Ok(role) => role,
        Err(refusal) => return refusal,
    };
    let name = text(&call.body, "name").to_owned();
    if !name.is_empty() && name != account.name {
        if call.org().accounts.iter().any(|other| other.name == name) {
            return exists(call);
        }
        // The login stays what the first name made it.
        account.name = name;
    }
    if let Some(disabled) = call.body["isDisabled"].as_bool() {
        account.disabled = disabled;
    }
    account.updated = Timestamp::now();
    call.org().accounts[at] = account.clone();
    let body = whole(call, &account);
    let message = "Service account updated";
    Answer::json(200, json!({"id": account.id, "message": message, "name": account.name, "serviceaccount": body}))
}

fn token_row(token: &Token) -> Value {
    let now = Timestamp::now();
    let left = token.expires.map_or(0, |end| end.as_second() - now.as_second());
    json!({"id": token.id, "name": token.name, "created": seconds(token.created), "lastUsedAt": token.used.map(seconds),
        "expiration": token.expires.map(seconds), "secondsUntilExpiration": left.max(0),
        "hasExpired": token.expires.is_some_and(|end| end <= now), "isRevoked": false})
}

fn create_token(call: &mut Call<'_>, at: usize) -> Answer {
    let name = text(&call.body, "name").to_owned();
    if name.is_empty() {
        return call.profile.traced(400, "Bad request data");
    }
    if call.org().accounts.iter().any(|account| account.tokens.iter().any(|token| token.name == name)) {
        return call.profile.identified(
            400,
            "serviceaccounts.ErrTokenAlreadyExists",
            "service account token with given name already exists in the organization",
        );
    }
    let life = call.body["secondsToLive"].as_i64().unwrap_or(0);
    if life < 0 {
        return call.profile.traced(400, "invalid secondsToLive value: cannot be negative");
    }
    let created = Timestamp::now();
    let expires = (life > 0).then(|| created.saturating_add(SignedDuration::from_secs(life)));
    let expires = expires.and_then(Result::ok);
    let id = call.state.next("token");
    let key = format!("glsa_{}{}_{:08x}", fingerprint(&name), fingerprint(&created.to_string()), id);
    call.org().accounts[at].tokens.push(Token {
        id,
        name: name.clone(),
        key: key.clone(),
        created,
        expires,
        used: None,
    });
    Answer::json(200, json!({"id": id, "name": name, "key": key}))
}
