//! Snapshot repositories and snapshot-management policies.
//!
//! A repository that fails its verification is registered all the same; so every read has the nodes try it.
//! A policy's durations are stored as the server prints them, in its largest unit with one decimal: 36h becomes "1.5d", which it cannot read
//! back, and from then on neither the policy nor the list. So such durations are refused before anything is sent.

use common::engine::change::{Change, Class, Difference, Failure, ObjectId, Shown};
use common::engine::diff::{Writing, diff};
use common::engine::document::{Have, Held, Making, Pair, Pending, Request, bodies};
use common::files::{Object, Problem, Set};
use common::net::http::Call;
use serde_json::{Value, json};

use crate::cluster::{Cluster, declared, part};
use crate::dialect::UNREADABLE;
use crate::document::{Ask, by_name, object_of, remove, sieve, text, wanted};
use crate::ism::{pages, replacing, sequence};
use crate::normal::{drop_defaults, each, flatten, nest};
use crate::step::{Limits, post, put};

/// A repository is as declared when its nodes can use it, too: each declared one is tried, which leaves a blob in it for a moment.
pub(crate) fn read_repositories(cluster: &Cluster, ask: Ask<'_>) -> Result<Held, Failure> {
    let Some(body) = cluster.list("/_snapshot", sieve(ask, &[]))? else { return Ok(Held::new()) };
    let mut held = by_name(&body, ask)?;
    if !ask.is_empty() {
        for (name, have) in &mut held {
            let path = format!("/_snapshot/{}/_verify{}", part(name), cluster.limits.manager(""));
            have.meta = match cluster.client.send(&Call::post(path, "").reads()) {
                Ok(_) => Value::Null,
                Err(failure) if failure.class == Class::Rejected => json!({"unusable": failure.message}),
                // A right that is missing does not come by itself.
                Err(failure) if failure.class == Class::Auth => return Err(failure),
                Err(failure) => json!({"unknown": failure.message}),
            };
        }
    }
    Ok(held)
}

pub(crate) fn judge_repository(pair: &Pair<'_, Limits>) -> Change {
    let have = pair.have;
    let mut found = diff(Writing::Replaces, pair.held, pair.want);
    if let Some(why) = have.meta["unusable"].as_str() {
        found.push(Difference::new(
            "",
            Shown::text(&format!("not usable: {why}")),
            Shown::text("usable on every node"),
        ));
    }
    let change = Change::update(found);
    match have.meta["unknown"].as_str() {
        Some(why) => change.note(format!("whether the nodes can use it is not known: {why}")),
        None => change,
    }
}

pub(crate) fn normal_repository(body: &mut Value) {
    if let Some(settings) = body.get_mut("settings") {
        let mut flat = flatten(settings, "");
        flat.retain(|_, value| !value.is_null());
        *settings = nest(flat);
    }
    if let Some(fields) = body.as_object_mut() {
        fields.retain(|key, value| key != "uuid" && key != "generation" && !crate::normal::is_empty(value));
    }
}

pub(crate) fn check_repository(object: &Object, body: &Value, _: &Set) -> Vec<Problem> {
    match object_of(object, body) {
        Err(problems) => problems,
        Ok(_) if !body["settings"].is_null() && !body["settings"].is_object() => {
            vec![object.located("/settings", "must be an object of settings")]
        }
        Ok(_) if body["type"].is_string() => Vec::new(),
        Ok(_) => vec![object.problem("", "type is missing: fs, s3, azure, gcs or url")],
    }
}

pub(crate) fn step_repository(making: Making<'_, Limits>) -> Vec<Request> {
    let Making { object, body: mut want, have, rules, .. } = making;
    if let Some(held) = have.and_then(|have| have.value().ok()) {
        unset(&mut want, &held["settings"]);
    }
    vec![put(rules.both(&format!("/_snapshot/{}", part(&object.id.name))), &want)]
}

/// Names what is to go as null: 3.4 keeps a setting that the new body only leaves out, where all that changed could be changed while in use.
fn unset(want: &mut Value, have: &Value) {
    let wanted = flatten(&want["settings"], "");
    let gone = flatten(have, "").into_keys().filter(|name| !wanted.contains_key(name));
    if let Some(settings) = want.get_mut("settings").and_then(Value::as_object_mut) {
        settings.extend(gone.map(|name| (name, Value::Null)));
    }
}

pub(crate) fn read_policies(cluster: &Cluster, ask: Ask<'_>) -> Result<Held, Failure> {
    let wanted = wanted(ask);
    let mut held = Held::new();
    let read = pages(cluster, "/_plugins/_sm/policies", "policies", ask.is_empty(), |fields| {
        let id = text(fields, "_id");
        let name = id.strip_suffix("-sm-policy").unwrap_or(&id).to_owned();
        if let Some(body) = fields.get("sm_policy").filter(|_| wanted(&name)) {
            held.insert(name, Have { meta: sequence(fields), ..Have::new((*body).to_owned()) });
        }
    });
    match read {
        Err(failure) if failure.is(UNREADABLE) => Err(unreadable(&failure)),
        other => other.map(|()| held),
    }
}

/// What the server says when it cannot read one of its policies back: 404, for the whole list.
fn unreadable(failure: &Failure) -> Failure {
    Failure::fatal(format!(
        "the server cannot read its own snapshot policies back ({failure}): one holds a duration such as 36h, stored as 1.5d; \
         remove its document from .opendistro-ism-config (its id ends in -sm-policy)"
    ))
}

pub(crate) fn unwrap_policy(body: Value) -> Value {
    match body.get("sm_policy") {
        Some(policy) if body.get("_id").is_some() => policy.clone(),
        _ => body,
    }
}

/// Where a policy has durations.
const DURATIONS: [&str; 3] = ["/creation/time_limit", "/deletion/time_limit", "/deletion/condition/max_age"];
/// Fields that the server makes.
const MADE: [&str; 6] = ["name", "schema_version", "schedule", "last_updated_time", "enabled_time", "user"];

pub(crate) fn normal_policy(body: &mut Value) {
    remove(body, &MADE);
    crate::normal::drop_nulls(body);
    for pointer in DURATIONS {
        each(body, pointer, &|value| {
            if let Some(text) = value.as_str().and_then(|text| duration(text).ok()) {
                *value = Value::String(text);
            }
        });
    }
    let defaults = [
        ("/enabled", json!(true)),
        ("/deletion/condition/min_count", json!(1)),
        ("/notification/conditions/creation", json!(true)),
        ("/notification/conditions/deletion", json!(false)),
        ("/notification/conditions/failure", json!(false)),
        ("/notification/conditions/time_limit_exceeded", json!(false)),
        ("/notification/conditions", json!({})),
    ];
    drop_defaults(body, &defaults);
    // A deletion without a schedule takes the creation's.
    let schedule = body.pointer("/creation/schedule").cloned();
    if let (Some(schedule), Some(Value::Object(deletion))) = (schedule, body.get_mut("deletion")) {
        deletion.retain(|key, value| key != "schedule" || *value != schedule);
    }
}

/// A duration as the server prints it; an error when that would lose something.
fn duration(text: &str) -> Result<String, String> {
    const UNITS: [(&str, u64); 7] = [
        ("d", 86_400_000_000_000),
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("micros", 1000),
        ("nanos", 1),
    ];
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (count, unit) = text.split_at(digits);
    let wrong = || format!("{text}: must be a whole number with d, h, m, s or ms, such as 7d");
    let unit = unit.trim().to_lowercase();
    let (_, length) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    let nanos = count.parse::<u64>().ok().and_then(|count| count.checked_mul(*length)).ok_or_else(wrong)?;
    let Some((name, length)) = UNITS.iter().find(|(_, length)| nanos >= *length) else { return Ok("0d".into()) };
    if nanos % length == 0 {
        return Ok(format!("{}{name}", nanos / length));
    }
    let whole = nanos / length;
    Err(format!(
        "{text}: the server would store this rounded, in its largest unit, and could not read it back: use whole units, {whole}{name} or {}{name}",
        whole + 1
    ))
}

pub(crate) fn check_policy(object: &Object, body: &Value, _: &Set) -> Vec<Problem> {
    if let Err(problems) = object_of(object, body) {
        return problems;
    }
    let mut problems = Vec::new();
    for pointer in DURATIONS {
        if let Some(text) = body.pointer(pointer).and_then(Value::as_str)
            && let Err(why) = duration(text)
        {
            problems.push(object.located(pointer, why));
        }
    }
    for part in ["creation", "deletion"] {
        let schedule = format!("/{part}/schedule");
        let Some(Value::Object(fields)) = body.pointer(&schedule) else { continue };
        for key in fields.keys().filter(|key| *key != "cron") {
            let text = "the server takes a cron schedule alone: {\"cron\": {\"expression\": …, \"timezone\": …}}";
            problems.push(object.located(&format!("{schedule}{}", common::files::json::step(key)), text));
        }
        if fields.contains_key("cron") && !body[part]["schedule"]["cron"]["timezone"].is_string() {
            problems.push(object.problem(&format!("{schedule}/cron"), "timezone is missing: UTC, Europe/Vienna, …"));
        }
    }
    if body["name"].as_str().is_some_and(|name| name != object.id.name) {
        problems.push(object.problem("/name", "is not the file's name, by which the policy goes"));
    }
    if body.pointer("/snapshot_config/repository").is_none() {
        problems.push(object.problem("/snapshot_config", "repository is missing: where the snapshots go"));
    }
    problems
}

pub(crate) fn needs_policy(_: &Object, body: &Value, set: &Set) -> Vec<ObjectId> {
    let repository = body.pointer("/snapshot_config/repository").and_then(Value::as_str).map(str::to_owned);
    declared(set, "snapshot_repositories", repository)
}

/// The server does not look whether a policy's repository is there.
pub(crate) fn preflight_policies(cluster: &Cluster, set: &Set, todo: &[Pending<'_>]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (object, body, _) in bodies(todo) {
        let Some(name) = body.pointer("/snapshot_config/repository").and_then(Value::as_str) else { continue };
        if set.get("snapshot_repositories", name).is_some() {
            continue;
        }
        if let Ok(None) = cluster.get(&format!("/_snapshot/{}", part(name))) {
            let text = format!("the repository {name} is neither declared nor on the server");
            problems.push(object.problem("/snapshot_config/repository", text).warning());
        }
    }
    problems
}

pub(crate) fn step_policy(making: Making<'_, Limits>) -> Vec<Request> {
    let Making { object, body: mut want, have, .. } = making;
    remove(&mut want, &MADE);
    let path = format!("/_plugins/_sm/policies/{}{}", part(&object.id.name), replacing(have));
    vec![if have.is_some() { put(path, &want) } else { post(path, &want) }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_compared_as_the_server_prints_them() {
        for (text, printed) in [("7d", "7d"), ("24h", "1d"), ("60m", "1h"), ("90s", "")] {
            assert_eq!(duration(text).unwrap_or_default(), printed, "{text}");
        }
        for lossy in ["36h", "90m", "1.5d", "x", "", "99999999999999999999d", "1w"] {
            assert!(duration(lossy).is_err(), "{lossy}");
        }
        assert!(duration("36h").is_err_and(|why| why.contains("1d or 2d")));
    }

    #[test]
    fn what_leaves_a_repository_is_named() {
        let mut want = json!({"type": "fs", "settings": {"location": "/r"}});
        unset(&mut want, &json!({"location": "/r", "chunk_size": "1gb", "compress": null}));
        assert_eq!(want["settings"], json!({"location": "/r", "chunk_size": null, "compress": null}));
        let mut shown = want;
        normal_repository(&mut shown);
        assert_eq!(shown, json!({"type": "fs", "settings": {"location": "/r"}}));
    }

    #[test]
    fn repositories_keep_strings() {
        let mut have = json!({"type": "fs", "settings": {"location": "/r", "compress": "true"}});
        let mut want = json!({"type": "fs", "settings": {"location": "/r", "compress": true}});
        normal_repository(&mut have);
        normal_repository(&mut want);
        assert_eq!(have, want);
    }
}
