//! Cluster settings: one file, merged. A transient value hides a persistent one, which is said where it happens.

#![expect(clippy::needless_pass_by_value, reason = "a row's write is given the body for good")]

use std::rc::Rc;

use common::engine::change::{Change, Failure};
use common::engine::document::{Have, Held, Meta};
use common::files::{Object, Problem, Set};
use serde_json::{Map, Value};

use crate::cluster::Cluster;
use crate::document::only;
use crate::normal::{flatten, settings_differences};

/// The kind, which is also the name of its one object.
pub(crate) const KIND: &str = "cluster_settings";

pub(crate) fn read(cluster: &Cluster, _: &[Rc<Object>]) -> Result<Held, Failure> {
    let body = cluster.get("/_cluster/settings?flat_settings=true")?.unwrap_or_default();
    Ok(Held::from([(KIND.to_owned(), Have { meta: body.clone(), ..Have::of(&body) })]))
}

pub(crate) fn compare(_: &Cluster, _: &Object, have: &Value, want: &Value) -> Change {
    let mut found = Vec::new();
    for part in ["persistent", "transient"] {
        found.extend(settings_differences(&format!("/{part}"), &flatten(&have[part], ""), &flatten(&want[part], "")));
    }
    let mut change = Change::update(found);
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
pub(crate) fn write(cluster: &Cluster, _: &Object, want: Value, have: Option<&Meta>) -> Result<(), Failure> {
    let have = have.map(|have| have.meta.clone()).unwrap_or_default();
    let mut body = Map::new();
    for part in ["persistent", "transient"] {
        let (held, wanted) = (flatten(&have[part], ""), flatten(&want[part], ""));
        let differing = wanted.into_iter().filter(|(name, value)| {
            !settings_differences("", &held, &[(name.clone(), value.clone())].into()).is_empty()
        });
        let differing: Map<String, Value> = differing.collect();
        if !differing.is_empty() {
            body.insert(part.into(), Value::Object(differing));
        }
    }
    let query = format!("{}&timeout={}", cluster.bounded(), cluster.patience());
    cluster.put(&format!("/_cluster/settings{query}"), &Value::Object(body)).map(drop)
}

pub(crate) fn export(_: &str, mut body: Value, _: &Have) -> Option<(Value, Vec<String>)> {
    // What is transient is not meant to be kept.
    body.as_object_mut()?.retain(|key, _| key == "persistent");
    (!flatten(&body, "").is_empty()).then(|| (crate::document::escape(body), Vec::new()))
}
