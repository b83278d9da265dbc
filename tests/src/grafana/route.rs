//! From a request to the kind that answers it: the start of a server, who asks, for which organization, and whether they may.
//! What the kinds do is in their own files.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::answer::{Answer, Request};
use super::state::{Account, Actor, Org, Role, State};
use super::{Profile, Startup};
use super::{
    account, alert_rule, contact_point, dashboard, datasource, folder, library, notification, org, permission, plugin,
    policy, resource, search,
};

/// One authenticated request on its way to a kind.
pub(super) struct Call<'a> {
    pub(super) state: &'a mut State,
    pub(super) request: &'a Request,
    pub(super) profile: Profile,
    pub(super) actor: Actor,
    pub(super) org_id: i64,
    /// The body as JSON; null when there is none or it is none.
    pub(super) body: Value,
}

impl Call<'_> {
    pub(super) fn org(&mut self) -> &mut Org {
        self.state.orgs.get_mut(&self.org_id).expect("the organization was looked up when the caller was")
    }

    /// The provenance that an alerting write asks for.
    pub(super) fn provenance(&self) -> &'static str {
        if self.request.header("X-Disable-Provenance").is_some() { "" } else { "api" }
    }
}

/// What a server that is starting answers instead.
pub(super) fn startup(request: &Request, startup: &mut Startup) -> Option<Answer> {
    let health = request.segments == ["api", "health"];
    if startup.failing > 0 {
        if health {
            startup.failing -= 1;
        }
        return Some(Answer::json_utf8(503, json!({"database": "failing"})));
    }
    if startup.unauthorized > 0 && request.header("authorization").is_some() && !health {
        startup.unauthorized -= 1;
        return Some(Answer::unauthorized("password-auth.failed", "Invalid username or password"));
    }
    None
}

pub(super) fn answer(request: &Request, state: &mut State) -> Answer {
    let segments: Vec<&str> = request.segments.iter().map(String::as_str).collect();
    if let Some(open) = without_login(request, &segments, state) {
        return open;
    }
    let (actor, org_id) = match identify(request, &segments, state) {
        Ok(found) => found,
        Err(refusal) => return refusal,
    };
    let profile = state.profile;
    if let Some((role, action)) = needed(&request.method, &segments) {
        let allowed = match role {
            Need::ServerAdmin => actor.server_admin,
            Need::Role(role) => actor.role >= role && state.orgs.contains_key(&org_id),
        };
        if !allowed {
            return Answer::forbidden(action);
        }
    }
    let body = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
    let needs_body = matches!(request.method.as_str(), "POST" | "PUT" | "PATCH");
    if needs_body && body.is_null() && segments.last() != Some(&"export") && segments.first() == Some(&"api") {
        return profile.traced(400, "bad request data");
    }
    let mut call = Call { state, request, profile, actor, org_id, body };
    dispatch(&mut call, &segments).unwrap_or_else(Answer::no_route)
}

fn dispatch(call: &mut Call<'_>, segments: &[&str]) -> Option<Answer> {
    let method = call.request.method.as_str();
    match segments {
        ["apis", rest @ ..] => Some(resource::route(call, method, rest)),
        ["api", "frontend", "settings"] => Some(frontend_settings(call)),
        ["api", kind @ ("folders" | "dashboards"), rest @ .., "permissions"] => {
            permission::route(call, method, kind, rest)
        }
        ["api", "folders", rest @ ..] => folder::route(call, method, rest),
        ["api", "dashboards", rest @ ..] => dashboard::route(call, method, rest),
        ["api", "search"] => Some(search::route(call)),
        ["api", "datasources", rest @ ..] => datasource::route(call, method, rest),
        ["api", "library-elements", rest @ ..] => library::route(call, method, rest),
        ["api", "plugins", rest @ ..] => plugin::route(call, method, rest),
        ["api", "serviceaccounts", rest @ ..] => account::route(call, method, rest),
        ["api", "v1", "provisioning", "contact-points", rest @ ..] => contact_point::route(call, method, rest),
        ["api", "v1", "provisioning", "policies", rest @ ..] => policy::route(call, method, rest),
        ["api", "v1", "provisioning", kind @ ("mute-timings" | "templates"), rest @ ..] => {
            notification::route(call, method, kind, rest)
        }
        ["api", "v1", "provisioning", rest @ ..] => alert_rule::route(call, method, rest),
        ["api", rest @ ..] => org::route(call, method, rest),
        _ => None,
    }
}

fn without_login(request: &Request, segments: &[&str], state: &State) -> Option<Answer> {
    match segments {
        ["healthz"] => Some(Answer::text(200, "Ok")),
        ["api", "health"] => {
            let version = state.profile.version();
            Some(Answer::json_utf8(200, json!({"database": "ok", "version": version, "commit": "NA"})))
        }
        ["api" | "apis", ..] => None,
        ["login"] => Some(login_page()),
        // Everything else is the web interface, which sends a stranger to the login page.
        _ if request.header("authorization").is_none() => {
            let headers = vec![("Location".to_owned(), "/login".to_owned())];
            Some(Answer { headers, ..Answer::text(302, "") })
        }
        _ => Some(login_page()),
    }
}

fn login_page() -> Answer {
    let page = "<!DOCTYPE html><html><head><title>Grafana</title></head><body></body></html>".to_owned();
    Answer { content_type: Some("text/html; charset=UTF-8"), ..Answer::raw(200, page) }
}

fn frontend_settings(call: &Call<'_>) -> Answer {
    let version = call.profile.version();
    let mut build = json!({"hideVersion": false, "version": version, "commit": "NA", "buildstamp": 1_795_389_502,
        "edition": "Open Source", "latestVersion": "", "hasUpdate": false, "env": "production"});
    if call.profile >= Profile::V11 {
        build["versionString"] = json!(format!("Grafana v{version} (NA)"));
        build["commitShort"] = json!("NA");
    }
    // Only those that are on are listed; the recordings keep the build alone.
    let toggles = if folder::nests(call) { json!({"nestedFolders": true}) } else { json!({}) };
    Answer::json_utf8(200, json!({"buildInfo": build, "featureToggles": toggles}))
}

/// Who asks, and for which organization.
fn identify(request: &Request, segments: &[&str], state: &mut State) -> Result<(Actor, i64), Answer> {
    let wanted = request.header("X-Grafana-Org-Id").and_then(|text| text.parse().ok()).or_else(|| namespace(segments));
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
    let known = |user: &&super::state::User| user.login == login || user.email == login;
    let user = state.users.iter().find(known).filter(|user| user.password == password).ok_or_else(failed)?;
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

enum Need {
    ServerAdmin,
    Role(Role),
}

/// The least right for a route, and the action that a refusal names.
fn needed(method: &str, segments: &[&str]) -> Option<(Need, &'static str)> {
    use Need::{Role as InOrg, ServerAdmin};

    let read = method == "GET";
    let need = match segments {
        ["api", "orgs", ..] if read => (ServerAdmin, "orgs:read"),
        ["api", "orgs", ..] => (ServerAdmin, "orgs:create"),
        ["api", "admin" | "users", ..] => (ServerAdmin, "users:read"),
        ["api", "org"] if read => (InOrg(Role::Viewer), "orgs:read"),
        ["api", "org", "preferences"] if read => (InOrg(Role::Viewer), "orgs.preferences:read"),
        ["api", "org", "preferences"] => (InOrg(Role::Admin), "orgs.preferences:write"),
        ["api", "org", ..] if read => (InOrg(Role::Admin), "org.users:read"),
        ["api", "org", ..] => (InOrg(Role::Admin), "org:write"),
        ["api", "folders", _, "permissions"] => (InOrg(Role::Admin), "folders.permissions:write"),
        ["api", "dashboards", .., "permissions"] => (InOrg(Role::Admin), "dashboards.permissions:write"),
        ["api", "folders", ..] if read => (InOrg(Role::Viewer), "folders:read"),
        ["api", "folders"] => (InOrg(Role::Editor), "folders:create"),
        ["api", "folders", ..] => (InOrg(Role::Editor), "folders:write"),
        ["api", "dashboards", ..] | ["apis", _, _, "namespaces", ..] if read => {
            (InOrg(Role::Viewer), "dashboards:read")
        }
        ["api", "dashboards", ..] | ["apis", _, _, "namespaces", ..] => (InOrg(Role::Editor), "dashboards:write"),
        ["api", "search" | "frontend", ..] => (InOrg(Role::Viewer), "dashboards:read"),
        ["api", "datasources", ..] if read => (InOrg(Role::Admin), "datasources:read"),
        ["api", "datasources"] => (InOrg(Role::Admin), "datasources:create"),
        ["api", "datasources", ..] => (InOrg(Role::Admin), "datasources:write"),
        ["api", "library-elements", ..] if read => (InOrg(Role::Viewer), "library.panels:read"),
        ["api", "library-elements", ..] => (InOrg(Role::Editor), "library.panels:write"),
        ["api", "teams", ..] if read => (InOrg(Role::Admin), "teams:read"),
        ["api", "teams", ..] => (InOrg(Role::Admin), "teams:write"),
        ["api", "serviceaccounts", ..] if read => (InOrg(Role::Admin), "serviceaccounts:read"),
        ["api", "serviceaccounts", ..] => (InOrg(Role::Admin), "serviceaccounts:write"),
        ["api", "v1", "provisioning", ..] if read => (InOrg(Role::Viewer), "alert.provisioning:read"),
        ["api", "v1", "provisioning", "contact-points" | "policies" | "mute-timings" | "templates", ..] => {
            (InOrg(Role::Admin), "alert.provisioning:write")
        }
        ["api", "v1", "provisioning", ..] => (InOrg(Role::Editor), "alert.provisioning:write"),
        _ => return None,
    };
    Some(need)
}
