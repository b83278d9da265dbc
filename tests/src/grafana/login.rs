//! Who asks: by password, by token, or anybody where that is allowed. What they may do is in `right`.

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use super::Profile;
use super::answer::{Answer, Request};
use super::state::{Account, Actor, Role, State, User};

/// Who asks, and for which organization.
pub(super) fn identify(request: &Request, segments: &[&str], state: &mut State) -> Result<(Actor, i64), Answer> {
    let wanted = request.header("X-Grafana-Org-Id").and_then(|text| text.parse().ok()).or_else(|| namespace(segments));
    let known = by_credentials(request, wanted, state);
    // With anonymous access, wrong credentials are none from 11 on; only what is about a user tells.
    let stranger = request.header("authorization").is_none() || state.profile >= Profile::V11;
    if known.is_err() && state.options.anonymous && stranger && segments.get(1) != Some(&"user") {
        return Ok((anonymous(), 1));
    }
    known
}

fn anonymous() -> Actor {
    let (uid, login) = (String::new(), String::new());
    Actor { id: 0, uid, login, role: Role::Viewer, server_admin: false, is_user: false }
}

fn by_credentials(request: &Request, wanted: Option<i64>, state: &mut State) -> Result<(Actor, i64), Answer> {
    let Some(authorization) = request.header("authorization") else {
        return Err(Answer::unauthorized("auth.unauthorized", "Unauthorized"));
    };
    if let Some(key) = authorization.strip_prefix("Bearer ") {
        return by_token(key.trim(), wanted, state);
    }
    let failed = || Answer::unauthorized("password-auth.failed", "Invalid username or password");
    let encoded = authorization.strip_prefix("Basic ").ok_or_else(failed)?;
    let decoded = STANDARD.decode(encoded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let decoded = decoded.ok_or_else(failed)?;
    let (login, password) = decoded.split_once(':').ok_or_else(failed)?;
    if state.is_locked(login) {
        return Err(failed());
    }
    let known = |user: &&User| user.login == login || user.email == login;
    let Some(user) = state.users.iter().find(known).filter(|user| user.password == password).cloned() else {
        state.failed_logins.push((login.to_owned(), Instant::now()));
        return Err(failed());
    };
    let org_id = wanted.unwrap_or(1);
    let role = state.orgs.get(&org_id).and_then(|org| org.members.get(&user.id)).copied().unwrap_or(Role::None);
    let actor = Actor {
        id: user.id,
        uid: user.uid.clone(),
        login: user.login.clone(),
        role,
        server_admin: user.server_admin,
        is_user: true,
    };
    Ok((actor, org_id))
}

fn by_token(key: &str, wanted: Option<i64>, state: &mut State) -> Result<(Actor, i64), Answer> {
    let Some((org_id, account, token)) = state.token(key) else {
        return Err(Answer::unauthorized("api-key.invalid", "Invalid API key"));
    };
    if token.expires.is_some_and(|end| end <= Timestamp::now()) {
        return Err(Answer::unauthorized("api-key.expired", "Expired API key"));
    }
    if account.disabled {
        return Err(Answer::unauthorized("user-disabled", "Disabled user"));
    }
    if wanted.is_some_and(|id| id != org_id) {
        let message = "API key does not belong to the requested organization";
        return Err(Answer::unauthorized("api-key.organization-mismatch", message));
    }
    let Account { id, uid, login, role, .. } = account;
    Ok((Actor { id, uid, login, role, server_admin: false, is_user: false }, org_id))
}

/// Requests to the resource API name their organization in the path.
fn namespace(segments: &[&str]) -> Option<i64> {
    let ["apis", _, _, "namespaces", name, ..] = segments else { return None };
    if *name == "default" { Some(1) } else { name.strip_prefix("org-")?.parse().ok() }
}
