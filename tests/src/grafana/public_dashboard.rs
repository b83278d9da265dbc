//! Dashboards shown to anybody: `/api/dashboards/uid/{uid}/public-dashboards` and their list.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Profile;
use super::answer::Answer;
use super::dashboard::text_of;
use super::field::{mix, seconds, text};
use super::route::Call;
use super::state::PublicDashboard;

const SWITCHES: [&str; 3] = ["isEnabled", "annotationsEnabled", "timeSelectionEnabled"];

pub(super) fn all(call: &mut Call<'_>) -> Answer {
    let size = call.request.number("perpage", 1000);
    let org = call.org();
    let rows: Vec<Value> = org
        .public_dashboards
        .iter()
        .map(|(dashboard, one)| {
            let title = org.dashboards.get(dashboard).map_or("", |found| text_of(&found.spec, "title"));
            json!({"uid": one.uid, "accessToken": one.access_token, "dashboardUid": dashboard, "title": title,
                "isEnabled": one.settings["isEnabled"], "slug": super::field::slug(title)})
        })
        .collect();
    let (total, page) = (rows.len(), call.request.number("page", 1));
    let rows = call.request.page(rows, size);
    Answer::json(200, json!({"publicDashboards": rows, "totalCount": total, "page": page, "perPage": size}))
}

pub(super) fn route(call: &mut Call<'_>, method: &str, dashboard: &str, rest: &[&str]) -> Option<Answer> {
    let stored = call.org().public_dashboards.get(dashboard).cloned();
    Some(match (method, rest, stored) {
        ("GET", [], Some(one)) => Answer::json(200, shown(dashboard, &one)),
        ("GET", [], None) => {
            let message =
                if call.profile == Profile::V10 { "Public dashboard not found" } else { "Dashboard not found" };
            call.profile.identified(404, "publicdashboards.notFound", message)
        }
        ("POST", [], Some(_)) => {
            call.profile.identified(400, "publicdashboards.dashboardIsPublic", "Dashboard is already public")
        }
        ("POST", [], None) => create(call, dashboard),
        ("PATCH", [uid], Some(one)) if one.uid == *uid => update(call, dashboard, one),
        _ => return None,
    })
}

fn shown(dashboard: &str, one: &PublicDashboard) -> Value {
    let mut body = one.settings.clone();
    body["uid"] = json!(one.uid);
    body["dashboardUid"] = json!(dashboard);
    body["accessToken"] = json!(one.access_token);
    body["createdBy"] = json!(one.by);
    body["updatedBy"] = json!(one.by);
    body["createdAt"] = json!(seconds(one.created));
    body["updatedAt"] = json!(one.updated.to_string());
    body
}

fn create(call: &mut Call<'_>, dashboard: &str) -> Answer {
    if !call.org().dashboards.contains_key(dashboard) {
        return call.profile.identified(404, "publicdashboards.dashboardNotFound", "Dashboard not found");
    }
    let mut settings = json!({"share": "public"});
    for switch in SWITCHES {
        settings[switch] = json!(call.body[switch].as_bool().unwrap_or(false));
    }
    let share = text(&call.body, "share");
    if !share.is_empty() {
        settings["share"] = json!(share);
    }
    let (left, right) = (mix(call.state.next("access token")), mix(call.state.next("access token")));
    let now = Timestamp::now();
    let one = PublicDashboard {
        uid: call.state.new_uid(),
        access_token: format!("{left:016x}{right:016x}"),
        by: call.actor.id,
        created: now,
        updated: now,
        settings,
    };
    call.org().public_dashboards.insert(dashboard.to_owned(), one.clone());
    Answer::json(200, shown(dashboard, &one))
}

/// Only what is sent changes; the token never does.
fn update(call: &mut Call<'_>, dashboard: &str, mut one: PublicDashboard) -> Answer {
    for switch in SWITCHES {
        if let Some(sent) = call.body[switch].as_bool() {
            one.settings[switch] = json!(sent);
        }
    }
    let share = text(&call.body, "share");
    if !share.is_empty() {
        one.settings["share"] = json!(share);
    }
    one.updated = Timestamp::now();
    call.org().public_dashboards.insert(dashboard.to_owned(), one.clone());
    Answer::json(200, shown(dashboard, &one))
}
