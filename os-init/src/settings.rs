//! Cluster settings: one file, merged. A transient value hides a persistent one, which is said where it happens.

use std::collections::BTreeMap;

use common::engine::change::{Change, Difference, Failure};
use common::engine::document::{Have, Held, Making, Pair, Request};
use common::files::{Object, Problem, Set};
use serde_json::{Map, Value, json};

use crate::cluster::Cluster;
use crate::document::{Ask, only};
use crate::normal::{flatten, settings_differences};
use crate::step::{Limits, put};

/// The kind, which is also the name of its one object.
pub(crate) const KIND: &str = "cluster_settings";

pub(crate) fn read(cluster: &Cluster, _: Ask<'_>) -> Result<Held, Failure> {
    let body = cluster.get("/_cluster/settings?flat_settings=true")?.unwrap_or_default();
    Ok(Held::from([(KIND.to_owned(), Have::of(&body))]))
}

/// Each setting that differs, by the part that it stands in and its whole name.
fn differing(have: &Value, want: &Value) -> Vec<(&'static str, String, Difference)> {
    let of = |part: &'static str| {
        let found = settings_differences(&format!("/{part}"), &flatten(&have[part], ""), &flatten(&want[part], ""));
        found.into_iter().map(move |(name, difference)| (part, name, difference))
    };
    ["persistent", "transient"].into_iter().flat_map(of).collect()
}

pub(crate) fn judge(pair: &Pair<'_, Limits>) -> Change {
    let (have, want) = (pair.held, pair.want);
    let mut change = Change::update(differing(have, want).into_iter().map(|(.., difference)| difference).collect());
    let transient = flatten(&have["transient"], "");
    let declared = flatten(&want["transient"], "");
    for (name, value) in flatten(&want["persistent"], "") {
        if let Some(hides) = transient.get(&name).filter(|hides| **hides != value && !declared.contains_key(&name)) {
            change = change
                .note(format!("the transient value {hides} of {name} hides the persistent one until it is unset"));
        }
    }
    change
}

pub(crate) fn check(object: &Object, body: &Value, _: &Set) -> Vec<Problem> {
    let mut problems = only(object, body, &["persistent", "transient"]);
    if problems.is_empty() && flatten(body, "").is_empty() {
        problems.push(object.problem("", "no setting is in it: write them below persistent"));
    }
    problems
}

/// Sends what differs: an equal value sent again would be taken as a change by whoever watches the settings.
pub(crate) fn step(making: Making<'_, Limits>) -> Vec<Request> {
    let Making { body: want, have, rules, .. } = making;
    let held = have.and_then(|have| have.value().ok()).unwrap_or_default();
    let mut body: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for (part, name, _) in differing(&held, &want) {
        let value = flatten(&want[part], "").remove(&name).unwrap_or_default();
        body.entry(part).or_default().insert(name, value);
    }
    vec![put(rules.both("/_cluster/settings"), &json!(body))]
}

pub(crate) fn export(_: &str, mut body: Value, _: &Have) -> Option<(Value, Vec<String>)> {
    // What is transient is not meant to be kept.
    body.as_object_mut()?.retain(|key, _| key == "persistent");
    (!flatten(&body, "").is_empty()).then(|| (crate::document::escape(body), Vec::new()))
}
