//! Preferences of an organization: one object, the file is the truth; a PUT sets back what it leaves out.

use std::rc::Rc;

use common::engine::change::Failure;
use common::engine::document::{Have, Held, Pending, Row, bodies};
use common::files::{Object, Problem, Set, nearest};
use serde_json::{Value, json};

use crate::scope::Scope;
use crate::server::part;
use crate::step::put;
use crate::zone::{Zone, zone};

/// The row.
pub(crate) const ROW: Row<Scope> = Row {
    single: true,
    normal,
    check,
    preflight,
    ..Row::new("preferences", read, |making| Ok(vec![put(PATH, &making.body)]))
};

const PATH: &str = "/api/org/preferences";

fn read(scope: &Scope, _: &[Rc<Object>]) -> Result<Held, Failure> {
    Ok(Held::from([("preferences".to_owned(), Have::of(&scope.must(PATH)?))]))
}

fn normal(body: &mut Value) {
    if let Some(fields) = body.as_object_mut() {
        fields.remove("homeDashboardId");
        fields.retain(|_, value| !value.is_null() && *value != json!("") && *value != json!({}));
    }
}

fn check(object: &Object, body: &Value, _: &Set) -> Vec<Problem> {
    let Some(fields) = body.as_object() else { return vec![object.problem("", "must be an object")] };
    let mut problems = Vec::new();
    let known = [
        "theme",
        "homeDashboardUID",
        "timezone",
        "weekStart",
        "language",
        "regionalFormat",
        "queryHistory",
        "navbar",
        "cookiePreferences",
    ];
    for key in fields.keys().filter(|key| !known.contains(&key.as_str())) {
        let text = format!("unknown preference: known are {}", known.join(", "));
        problems.push(object.problem(&common::files::json::step(key), text));
    }
    let text = |field: &str| fields.get(field).and_then(Value::as_str).unwrap_or_default();
    // Newer servers have themes beyond these three.
    let (theme, themes) = (text("theme"), ["light", "dark", "system"]);
    if let Some(near) = nearest(theme, themes).filter(|near| *near != theme) {
        problems.push(object.problem("/theme", format!("{theme:?} is no theme: did you mean {near}?")));
    }
    let timezone = text("timezone");
    if !matches!(timezone, "" | "utc" | "browser")
        && let Zone::Wrong(why) = zone(timezone)
    {
        problems.push(object.problem("/timezone", why));
    }
    problems
}

fn preflight(scope: &Scope, set: &Set, todo: &[Pending<'_>]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (object, body, _) in bodies(todo) {
        let Some(home) = body["homeDashboardUID"].as_str().filter(|home| !home.is_empty()) else { continue };
        let declared = crate::dashboard::declared(set, scope.org.as_deref(), home).is_some();
        if !declared && matches!(scope.get(&format!("/api/dashboards/uid/{}", part(home))), Ok(None)) {
            let text = format!("the dashboard {home} is neither declared nor on the server");
            problems.push(object.problem("/homeDashboardUID", text));
        }
    }
    problems
}
