//! The notification policy: one tree, the file is the truth; the plan shows what a foreign edit would lose.

use std::collections::BTreeSet;
use std::rc::Rc;

use common::engine::change::{Change, Failure, ObjectId};
use common::engine::diff::{Writing, diff};
use common::engine::document::{Have, Held, Making, Pair, Pending, Request, Row, bodies};
use common::files::{Object, Problem, Set};
use common::net::http::Call;
use serde_json::{Value, json};

use crate::alerting::matcher::{self, matchers};
use crate::alerting::{call, duration, exported, locked, milliseconds, provenance};
use crate::declared::by_name;
use crate::scope::{Rules, Scope};

/// The row.
pub(crate) const ROW: Row<Scope> = Row {
    single: true,
    normal,
    judge: Some(judge),
    check,
    needs,
    preflight,
    export,
    ..Row::new("notification_policy", read, |making| Ok(step(making)))
};

const PATH: &str = "/api/v1/provisioning/policies";

/// Takes the tree out of a provisioning export.
pub(crate) fn unwrap(_: &str, body: Value) -> Value {
    exported(body, "policies")
}

fn read(scope: &Scope, _: &[Rc<Object>]) -> Result<Held, Failure> {
    let Some(tree) = scope.get(PATH)? else { return Ok(Held::new()) };
    let locked = locked(scope, &tree["provenance"], false);
    Ok(Held::from([(
        "notification_policy".to_owned(),
        Have { locked, meta: json!({"provenance": tree["provenance"]}), ..Have::of(&tree) },
    )]))
}

fn judge(pair: &Pair<'_, Rules>) -> Change {
    provenance(pair, Change::update(diff(Writing::Replaces, pair.held, pair.want)))
}

/// Order counts among routes; matchers, groupings and timings are sets.
fn normal(route: &mut Value) {
    for field in ["group_wait", "group_interval", "repeat_interval"] {
        if route.get(field).is_some() {
            duration(route, field);
        }
    }
    let matchers = matchers(route);
    let Some(fields) = route.as_object_mut() else { return };
    for made in ["provenance", "orgId", "matchers", "object_matchers", "match", "match_re"] {
        fields.remove(made);
    }
    if !matchers.is_empty() {
        // The one spelling that the API takes and shows as it is; an export is written in it.
        fields.insert("object_matchers".into(), json!(matchers));
    }
    for set in ["group_by", "mute_time_intervals", "active_time_intervals"] {
        if let Some(list) = fields.get_mut(set).and_then(Value::as_array_mut) {
            list.sort_by_key(ToString::to_string);
        }
    }
    fields.retain(|key, value| {
        !value.is_null() && *value != json!([]) && *value != json!("") && !(key == "continue" && *value == json!(false))
    });
    fields.get_mut("routes").and_then(Value::as_array_mut).into_iter().flatten().for_each(normal);
}

fn step(making: Making<'_, Rules>) -> Vec<Request> {
    let mut want = making.body;
    if let Some(fields) = want.as_object_mut() {
        fields.remove("provenance");
        fields.remove("orgId");
    }
    vec![Request::new(call(making.rules, Call::put(PATH, want.to_string())))]
}

/// What the tree refers to: receivers, and timings.
fn references(route: &Value, at: &str, all: &mut Vec<(bool, String, String)>) {
    if let Some(receiver) = route["receiver"].as_str().filter(|receiver| !receiver.is_empty()) {
        all.push((true, receiver.to_owned(), format!("{at}/receiver")));
    }
    for field in ["mute_time_intervals", "active_time_intervals"] {
        for timing in route[field].as_array().into_iter().flatten().filter_map(Value::as_str) {
            all.push((false, timing.to_owned(), format!("{at}/{field}")));
        }
    }
    for (index, inner) in route["routes"].as_array().into_iter().flatten().enumerate() {
        references(inner, &format!("{at}/routes/{index}"), all);
    }
}

fn of(body: &Value) -> Vec<(bool, String, String)> {
    let mut all = Vec::new();
    references(body, "", &mut all);
    all
}

fn needs(object: &Object, body: &Value, set: &Set) -> Vec<ObjectId> {
    let org = object.id.org.as_deref();
    let (receivers, timings) = (by_name(set, org, "contact_points"), by_name(set, org, "mute_timings"));
    let find =
        |(receiver, name, _): (bool, String, String)| if receiver { &receivers } else { &timings }.get(&name).cloned();
    of(body).into_iter().filter_map(find).collect()
}

fn check(object: &Object, body: &Value, _: &Set) -> Vec<Problem> {
    let mut problems = Vec::new();
    if body["receiver"].as_str().is_none_or(str::is_empty) {
        let text = "the root of the policy needs a receiver, the name of a contact point";
        problems.push(object.problem("/receiver", text));
    }
    check_route(object, body, "", &mut problems);
    problems
}

/// Of all this the server only says "bad request data".
fn check_route(object: &Object, route: &Value, at: &str, problems: &mut Vec<Problem>) {
    for (field, least) in [("group_wait", 0), ("group_interval", 1), ("repeat_interval", 1)] {
        let Some(time) = route.get(field).filter(|time| !time.is_null() && **time != json!("")) else { continue };
        if time.as_str().and_then(milliseconds).is_none_or(|time| time < least) {
            let text =
                format!("{time} must be a duration such as \"5m\"{}", if least > 0 { ", more than 0" } else { "" });
            problems.push(object.problem(&format!("{at}/{field}"), text));
        }
    }
    problems.extend(matcher::wrong(route).map(|wrong| object.problem(at, wrong)));
    for (index, inner) in route["routes"].as_array().into_iter().flatten().enumerate() {
        check_route(object, inner, &format!("{at}/routes/{index}"), problems);
    }
}

/// The server refuses unknown names; it is asked which it knows before anything is written.
fn preflight(scope: &Scope, _: &Set, todo: &[Pending<'_>]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (object, body, _) in bodies(todo).filter(|_| scope.version().0 <= 10) {
        if of(&body).iter().any(|(_, _, at)| at.ends_with("/active_time_intervals")) {
            problems.push(
                object.problem("", "Grafana 10 drops active_time_intervals without a word: they need Grafana 11"),
            );
        }
    }
    problems.extend(known(scope, todo));
    problems
}

fn known(scope: &Scope, todo: &[Pending<'_>]) -> Vec<Problem> {
    let names = |path: &str, field: &str| -> Option<BTreeSet<String>> {
        let list = scope.must(path).ok()?;
        Some(list.as_array()?.iter().filter_map(|row| row[field].as_str().map(str::to_owned)).collect())
    };
    let mut problems = Vec::new();
    for (object, body, _) in bodies(todo) {
        let Some(mut receivers) = names("/api/v1/provisioning/contact-points", "name") else { continue };
        let Some(mut timings) = names("/api/v1/provisioning/mute-timings", "name") else { continue };
        if let Ok(Some(tree)) = scope.get(PATH) {
            // What the tree names already is known, listed or not: the default of 10 and 11 is not.
            receivers.extend(of(&tree).into_iter().filter(|(receiver, ..)| *receiver).map(|(_, name, _)| name));
        }
        receivers.extend(scope.declared.receivers.keys().cloned());
        timings.extend(scope.declared.timings.keys().cloned());
        for (receiver, name, at) in of(&body) {
            let (known, what) = if receiver { (&receivers, "contact point") } else { (&timings, "mute timing") };
            if !known.contains(&name) {
                problems
                    .push(object.problem(&at, format!("the {what} {name:?} is neither declared nor on the server")));
            }
        }
    }
    problems
}

fn export(_: &str, body: Value, have: &Have) -> Option<(Value, Vec<String>)> {
    // What an organization starts with is no declaration.
    let first =
        matches!(body["receiver"].as_str(), Some("empty" | "grafana-default-email")) && body.get("routes").is_none();
    (have.locked.is_none() && !first).then(|| {
        let mut body = body;
        let fields = body.as_object_mut();
        fields.map(|fields| fields.remove("provenance"));
        (body, Vec::new())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_are_a_set_in_every_spelling() {
        let mut a = json!({"receiver": "r", "group_interval": "300s", "routes": [
            {"receiver": "m", "matchers": ["team=\"ops\"", "severity=~\"a|b\""], "continue": false}]});
        let mut b = json!({"receiver": "r", "group_interval": "5m", "provenance": "api", "routes": [
            {"receiver": "m", "object_matchers": [["severity", "=~", "a|b"], ["team", "=", "ops"]]}]});
        normal(&mut a);
        normal(&mut b);
        assert_eq!(diff(Writing::Replaces, &a, &b), []);
        b["routes"][0]["object_matchers"][0][1] = json!("!~");
        assert_eq!(diff(Writing::Replaces, &a, &b).len(), 1);
    }
}
