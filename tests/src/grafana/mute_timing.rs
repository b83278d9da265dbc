//! Mute timings: `/api/v1/provisioning/mute-timings`.

use serde_json::{Value, json};

use super::answer::Answer;
use super::field::text;
use super::notification::{missing, refusal, shown};
use super::policy;
use super::route::Call;
use super::state::Named;

const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// The continents and oceans that time zones are named after: all that is checked of a zone.
const AREAS: [&str; 10] =
    ["Africa", "America", "Antarctica", "Asia", "Atlantic", "Australia", "Etc", "Europe", "Indian", "Pacific"];

pub(super) fn route(call: &mut Call<'_>, method: &str, rest: &[&str]) -> Option<Answer> {
    const MISSING: &str = "alerting.notifications.time-intervals.notFound";

    let profile = call.profile;
    Some(match (method, rest) {
        ("GET", []) => Answer::json(200, call.org().timings.values().map(|one| shown(profile, one)).collect()),
        ("GET", ["export"] | [_, "export"]) => {
            let org_id = call.org_id;
            let one = rest.first().filter(|_| rest.len() == 2);
            let rows: Vec<Value> = call
                .org()
                .timings
                .iter()
                .filter(|(name, _)| one.is_none_or(|one| name.as_str() == *one))
                .map(|(_, one)| {
                    let mut body = one.body.clone();
                    body["orgId"] = json!(org_id);
                    body
                })
                .collect();
            Answer::json(200, json!({"apiVersion": 1, "muteTimes": rows}))
        }
        ("GET", [name]) => match call.org().timings.get(*name) {
            Some(one) => Answer::json(200, shown(profile, one)),
            None => missing(profile, MISSING),
        },
        ("POST", []) => {
            let name = text(&call.body, "name").to_owned();
            if call.org().timings.contains_key(&name) {
                let message =
                    "Time interval with this name already exists. Use a different name or update existing one.";
                return Some(profile.identified(400, "alerting.notifications.time-intervals.nameExists", message));
            }
            store_timing(call, &name, 201)
        }
        ("PUT", [name]) => {
            let stored = call.org().timings.get(*name).cloned();
            if stored.is_none() {
                return Some(missing(profile, MISSING));
            }
            refusal(call, stored.as_ref()).unwrap_or_else(|| store_timing(call, name, 202))
        }
        ("DELETE", [name]) => {
            let tree = call.org().policy.clone();
            if policy::mentions(&tree, "mute_time_intervals", name) {
                let message = "Time interval is used by notification policies";
                return Some(profile.identified(409, "alerting.notifications.time-intervals.used", message));
            }
            call.org().timings.remove(*name);
            Answer::empty(204)
        }
        _ => return None,
    })
}

fn store_timing(call: &mut Call<'_>, name: &str, status: u16) -> Answer {
    let intervals = call.body["time_intervals"].as_array().cloned().unwrap_or_default();
    if name.is_empty() {
        let message = "Invalid format of the submitted time interval";
        return call.profile.invalid("alerting.notifications.time-intervals.invalidFormat", message, "missing name");
    }
    let Some(intervals) = intervals.iter().map(normal).collect::<Option<Vec<Value>>>() else {
        return call.profile.traced(400, "bad request data");
    };
    let body = json!({"name": name, "time_intervals": intervals});
    let named = Named { body, provenance: call.provenance().to_owned() };
    call.org().timings.insert(name.to_owned(), named.clone());
    Answer::json(status, shown(call.profile, &named))
}

/// An interval as it is given back: weekdays in lower case, months as numbers.
fn normal(interval: &Value) -> Option<Value> {
    let mut interval = interval.as_object()?.clone();
    if !interval.get("location").and_then(Value::as_str).is_none_or(is_zone) {
        return None;
    }
    for (field, one) in [("weekdays", weekday as fn(&str) -> Option<String>), ("months", month)] {
        if let Some(ranges) = interval.get(field).and_then(Value::as_array) {
            let ranges = ranges.iter().map(|range| ends(range.as_str()?, one)).collect::<Option<Vec<String>>>()?;
            interval.insert(field.to_owned(), json!(ranges));
        }
    }
    Some(Value::Object(interval))
}

/// Both ends of a range, or the one that there is.
fn ends(range: &str, one: fn(&str) -> Option<String>) -> Option<String> {
    Some(range.split(':').map(one).collect::<Option<Vec<String>>>()?.join(":"))
}

fn weekday(name: &str) -> Option<String> {
    let name = name.to_lowercase();
    WEEKDAYS.contains(&name.as_str()).then_some(name)
}

fn month(name: &str) -> Option<String> {
    let name = name.to_lowercase();
    let number = MONTHS.iter().position(|month| *month == name).map(|at| at + 1).or_else(|| name.parse().ok())?;
    (1..=12).contains(&number).then(|| number.to_string())
}

/// Whether a name is one of a time zone.
pub(super) fn is_zone(name: &str) -> bool {
    matches!(name, "" | "UTC" | "Local") || name.split_once('/').is_some_and(|(area, _)| AREAS.contains(&area))
}
