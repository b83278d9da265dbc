//! Dashboards that are shown to everybody: found by the dashboard, compared as far as declared. The dashboard itself is another kind's.

use std::rc::Rc;

use common::engine::change::{Change, Failure, ObjectId};
use common::engine::diff::{Writing, diff};
use common::engine::document::{Have, Held, Making, Pair, Request, Row};
use common::files::json::step as step_of;
use common::files::{Key, Object, Problem, Set};
use common::net::http::{Call, parallel};
use serde_json::{Value, json};

use crate::dashboard;
use crate::scope::{READERS, Rules, Scope, get};
use crate::server::part;

/// The row.
pub(crate) const ROW: Row<Scope> = Row {
    writing: Writing::Merges,
    // Whoever has the token sees the dashboard.
    secrets: &["/accessToken"],
    judge: Some(judge),
    check,
    unique,
    needs,
    export,
    ..Row::new("public_dashboards", read, step)
};

/// What a file may say; the last two are given when it is made, and stay.
const FIELDS: [&str; 7] =
    ["dashboardUid", "isEnabled", "annotationsEnabled", "timeSelectionEnabled", "share", "uid", "accessToken"];

/// The uid of the dashboard, without one of its own the file's name.
fn uid_of(object: &Object, body: &Value) -> String {
    body["dashboardUid"].as_str().unwrap_or(&object.id.name).to_owned()
}

fn path(uid: &str) -> String {
    format!("/api/dashboards/uid/{}/public-dashboards", part(uid))
}

fn read(scope: &Scope, want: &[Rc<Object>]) -> Result<Held, Failure> {
    let client = scope.client();
    let mut wanted: Vec<(String, String)> = Vec::new();
    if want.is_empty() {
        for row in scope.pages("/api/dashboards/public-dashboards?", "perpage", "/publicDashboards")? {
            let uid = row["dashboardUid"].as_str().unwrap_or_default().to_owned();
            wanted.push((uid.clone(), uid));
        }
    }
    for object in want {
        wanted.push((object.id.name.clone(), uid_of(object, &object.value()?)));
    }
    let found = parallel(&wanted, READERS, |(_, uid)| get(client, &path(uid)));
    let mut held = Held::new();
    for ((key, _), found) in wanted.into_iter().zip(found) {
        if let Some(body) = found? {
            held.insert(key, Have { meta: body["uid"].clone(), ..Have::of(&body) });
        }
    }
    Ok(held)
}

fn judge(pair: &Pair<'_, Rules>) -> Change {
    let mut differences = diff(Writing::Merges, pair.held, pair.want);
    for difference in &mut differences {
        difference.fixable = !matches!(difference.path.as_str(), "/uid" | "/accessToken" | "/dashboardUid");
    }
    Change::update(differences)
}

#[expect(clippy::unnecessary_wraps, reason = "a row's functions have one signature")]
fn step(making: Making<'_, Rules>) -> Result<Vec<Request>, Failure> {
    let mut body = making.body;
    let path = path(&uid_of(making.object, &body));
    if let Some(fields) = body.as_object_mut() {
        fields.remove("dashboardUid");
    }
    let call = match making.have {
        Some(have) => Call::patch(format!("{path}/{}", part(have.meta.as_str().unwrap_or_default())), body.to_string()),
        None => Call::post(path, body.to_string()),
    };
    Ok(vec![Request::new(call)])
}

fn check(object: &Object, body: &Value, _: &Set) -> Vec<Problem> {
    let Some(fields) = body.as_object() else { return vec![object.problem("", "must be an object")] };
    let unknown = fields.keys().filter(|key| !FIELDS.contains(&key.as_str()));
    let text = format!("known are {}", FIELDS.join(", "));
    unknown.map(|key| object.problem(&step_of(key), text.clone())).collect()
}

fn unique(object: &Object, body: &Value) -> Vec<Key> {
    vec![("/dashboardUid".to_owned(), "dashboard", uid_of(object, body))]
}

fn needs(object: &Object, body: &Value, set: &Set) -> Vec<ObjectId> {
    dashboard::declared(set, object.id.org.as_deref(), &uid_of(object, body)).into_iter().collect()
}

#[expect(clippy::unnecessary_wraps, reason = "a row's functions have one signature")]
fn export(_: &str, mut body: Value, _: &Have) -> Option<(Value, Vec<String>)> {
    if let Some(fields) = body.as_object_mut() {
        // A link is made anew elsewhere.
        fields.retain(|key, _| FIELDS[..5].contains(&key.as_str()));
    }
    Some((json!(body), Vec::new()))
}
