//! From a request to the kind that answers it: the start of a server, who asks, for which organization, and whether they may.
//! What the kinds do is in their own files.

use serde_json::{Value, json};

use super::answer::{Answer, Request};
use super::login::identify;
use super::state::{Actor, Org, State};
use super::{Profile, Startup};
use super::{
    account, alert_rule, contact_point, correlation, dashboard, datasource, folder, library, mute_timing, org,
    permission, playlist, plugin, policy, public_dashboard, resource, right, search, template,
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
    let body = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
    let needs_body = matches!(request.method.as_str(), "POST" | "PUT" | "PATCH");
    let bodiless = needs_body && body.is_null() && segments.first() == Some(&"api");
    let mut call = Call { state, request, profile, actor, org_id, body };
    if let Some(refusal) = right::refusal(&mut call, &request.method, &segments) {
        return refusal;
    }
    if bodiless {
        return profile.traced(400, "bad request data");
    }
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
        ["api", "dashboards", "public-dashboards"] => Some(public_dashboard::all(call)),
        ["api", "dashboards", "uid", uid, "public-dashboards", rest @ ..] => {
            public_dashboard::route(call, method, uid, rest)
        }
        ["api", "dashboards", rest @ ..] => dashboard::route(call, method, rest),
        ["api", "search"] => Some(search::route(call)),
        ["api", "datasources", "correlations"] => Some(correlation::all(call)),
        ["api", "datasources", "uid", uid, "correlations", rest @ ..] => correlation::route(call, method, uid, rest),
        ["api", "datasources", rest @ ..] => datasource::route(call, method, rest),
        ["api", "library-elements", rest @ ..] => library::route(call, method, rest),
        ["api", "playlists", rest @ ..] => playlist::route(call, method, rest),
        ["api", "plugins", rest @ ..] => plugin::route(call, method, rest),
        ["api", "serviceaccounts", rest @ ..] => account::route(call, method, rest),
        ["api", "v1", "provisioning", kind @ ("contact-points" | "policies" | "mute-timings" | "templates"), ..]
            if !call.org().has_alertmanager() =>
        {
            Some(without_alertmanager(call.profile, kind))
        }
        ["api", "v1", "provisioning", "contact-points", rest @ ..] => contact_point::route(call, method, rest),
        ["api", "v1", "provisioning", "policies", rest @ ..] => policy::route(call, method, rest),
        ["api", "v1", "provisioning", "mute-timings", rest @ ..] => mute_timing::route(call, method, rest),
        ["api", "v1", "provisioning", "templates", rest @ ..] => template::route(call, method, rest),
        ["api", "v1", "provisioning", rest @ ..] => alert_rule::route(call, method, rest),
        ["api", rest @ ..] => org::route(call, method, rest),
        _ => None,
    }
}

/// A new organization's notifications wait for Grafana's next poll.
fn without_alertmanager(profile: Profile, kind: &str) -> Answer {
    let missing = "could not find an Alertmanager configuration";
    match (kind, profile) {
        ("policies", _) => profile.traced(404, missing),
        (_, Profile::V10) => profile.traced(500, missing),
        _ => Answer::message(500, "Internal Server Error"),
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
