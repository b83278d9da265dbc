//! ISM attachments: a policy for indices that were there before it. An attachment adds a policy to indices that have none, and, where it
//! says `update`, moves indices to the policy's present version: which one an index works by is read in every run. Never to dot or system
//! indices, but to those behind a data stream; never by a pattern: what is written names the indices that were looked at.
//!
//! | index has            | and holds                  | then                                              |
//! |----------------------|----------------------------|---------------------------------------------------|
//! | no policy            |                            | attached                                          |
//! | this policy          | its present version        | nothing to do                                     |
//! | this policy          | another one, with `update` | asked to change, which the plugin's next run does |
//! | this policy          | another one, asked already | pending: said, and not asked again in this run    |
//! | another policy       |                            | left alone, and named                             |

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use common::engine::change::{Change, Difference, Failure, ObjectId, Planned, Shown};
use common::engine::diff::{Writing, diff};
use common::engine::document::take_field;
use common::engine::kind::{Asked, Exported, Kind};
use common::files::{Object, Problem, Set};
use serde_json::{Value, json};

use crate::cluster::{Cluster, chunks, declared, part};
use crate::document::{only, strings};
use crate::ism;
use crate::overlap::overlap;

/// The kind.
pub(crate) const KIND: &str = "ism_attachments";

/// Attachments at work.
pub(crate) struct Attachments {
    cluster: Rc<Cluster>,
    set: Rc<Set>,
    want: Vec<Rc<Object>>,
    /// The indices that this run has asked to change, by policy.
    asked: BTreeSet<(String, String)>,
}

/// The indices that one attachment is about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Todo {
    attach: Vec<String>,
    advance: Vec<String>,
}

/// Which version of a policy something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    /// The sequence number and primary term of the policy's document: shown of an index once the plugin's job has run for it.
    Document(u64, u64),
    /// When the policy was last updated: shown with the policy that an index holds, from the beginning.
    Time(u64),
}

/// What explain says of an index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Managed {
    policy: Option<String>,
    version: Option<Version>,
}

/// What is known of a policy to compare indices with.
struct Policy {
    versions: [Version; 2],
    /// Whether this run is to change it: then whatever its indices hold is old.
    changes: bool,
}

impl Attachments {
    pub(crate) fn new(cluster: Rc<Cluster>, set: Rc<Set>) -> Self {
        let want = set.of(KIND);
        Self { cluster, set, want, asked: BTreeSet::new() }
    }

    fn compare(
        &self,
        object: &Object,
        managed: &BTreeMap<String, Managed>,
    ) -> Result<(Vec<ObjectId>, Change, Todo), Failure> {
        let name = &object.id.name;
        let body = object.value()?;
        let patterns = strings(&body["indices"]);
        let mut needs = declared(&self.set, "ism_policies", [name.clone()]);
        for kind in ["indices", "data_streams"] {
            let matching = self.set.of(kind).into_iter().filter(|object| matches(&patterns, &object.id.name));
            needs.extend(matching.map(|object| object.id.clone()));
        }
        let policy = if body["update"] == true { self.policy(name)? } else { None };
        let mut todo = Todo::default();
        let mut found = Vec::new();
        let (mut others, mut pending) = (Vec::new(), Vec::new());
        for (index, held) in managed.iter().filter(|(index, _)| matches(&patterns, index)) {
            let path = format!("/indices{}", common::files::json::step(index));
            match (&held.policy, &policy) {
                (None, _) => {
                    todo.attach.push(index.clone());
                    found.push(Difference::new(path, Shown::Absent, Shown::text(name)));
                }
                (Some(other), _) if other != name => others.push(format!("{index} ({other})")),
                (Some(_), Some(policy)) if policy.changes || held.version.is_some_and(|held| policy.is_other(held)) => {
                    if self.asked.contains(&(name.clone(), index.clone())) && !policy.changes {
                        pending.push(index.clone());
                    } else {
                        todo.advance.push(index.clone());
                        found.push(Difference::new(path, Shown::text("older version"), Shown::text("present version")));
                    }
                }
                (Some(_), _) => {}
            }
        }
        let mut change = Change::update(found);
        if !todo.advance.is_empty() {
            change = change.note("the policy's present version takes effect at the next ISM run");
        }
        if !pending.is_empty() {
            change = change.note(format!("pending until the next ISM run: {}", pending.join(", ")));
        }
        if !others.is_empty() {
            change = change.note(format!("left alone, as they have another policy: {}", others.join(", ")));
        }
        Ok((needs, change, todo))
    }

    /// The policy as the server has it; `None` where it is not there yet, so that no index can hold an old version.
    fn policy(&self, name: &str) -> Result<Option<Policy>, Failure> {
        let Some(mut answer) = self.cluster.get(&format!("/_plugins/_ism/policies/{}", part(name)))? else {
            return Ok(None);
        };
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        let versions = [
            Version::Document(number(&answer["_seq_no"]), number(&answer["_primary_term"])),
            Version::Time(number(&answer["policy"]["last_updated_time"])),
        ];
        let mut held = json!({"policy": take_field(&mut answer, "policy")});
        ism::normal(&mut held);
        let changes = match self.set.get("ism_policies", name) {
            None => false,
            Some(object) => {
                let mut want = object.value()?;
                ism::normal(&mut want);
                !diff(Writing::Replaces, &held, &want).is_empty()
            }
        };
        Ok(Some(Policy { versions, changes }))
    }

    fn write(&mut self, policy: &str, todo: &Todo) -> Result<(), Failure> {
        for names in chunks(&todo.attach) {
            let answer = self.cluster.post(&format!("/_plugins/_ism/add/{names}"), &json!({"policy_id": policy}))?;
            // Who was quicker may have attached the same policy: the read-back tells.
            refused(&answer, "already has a policy")?;
        }
        for names in chunks(&todo.advance) {
            let path = format!("/_plugins/_ism/change_policy/{names}");
            refused(&self.cluster.post(&path, &json!({"policy_id": policy}))?, "")?;
        }
        self.asked.extend(todo.advance.iter().map(|index| (policy.to_owned(), index.clone())));
        Ok(())
    }
}

impl Policy {
    fn is_other(&self, held: Version) -> bool {
        !self.versions.contains(&held)
    }
}

/// Whether one of the patterns is for an index: by its name, or that of the data stream that it is behind.
fn matches(patterns: &[String], index: &str) -> bool {
    patterns
        .iter()
        .any(|pattern| overlap(pattern, index) || stream_of(index).is_some_and(|stream| overlap(pattern, stream)))
}

/// The data stream that `.ds-<stream>-NNNNNN` is behind.
fn stream_of(index: &str) -> Option<&str> {
    let (stream, number) = index.strip_prefix(".ds-")?.rsplit_once('-')?;
    (number.len() == 6 && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(stream)
}

/// An answer of 200 may say that some of the indices were refused.
fn refused(answer: &Value, harmless: &str) -> Result<(), Failure> {
    let failed = answer["failed_indices"].as_array().into_iter().flatten();
    let said: Vec<String> = failed
        .filter(|index| harmless.is_empty() || !index["reason"].as_str().unwrap_or_default().contains(harmless))
        .map(|index| {
            let (name, reason) = (&index["index_name"], &index["reason"]);
            format!("{} ({})", name.as_str().unwrap_or("?"), reason.as_str().unwrap_or("no reason given"))
        })
        .collect();
    if said.is_empty() { Ok(()) } else { Err(Failure::rejected(format!("not for these indices: {}", said.join(", ")))) }
}

/// Asks which indices match, which policy each of them has, and in which version.
fn explain(cluster: &Cluster, patterns: &[String]) -> Result<BTreeMap<String, Managed>, Failure> {
    let mut managed = BTreeMap::new();
    for chunk in chunks(patterns) {
        if let Some(answer) = explained(cluster, &chunk, "")? {
            collect(&answer, &mut managed);
        }
    }
    // Before the job's first run, which is minutes away, only the policy itself shows its version.
    let young: Vec<String> = managed
        .iter()
        .filter(|(_, held)| held.policy.is_some() && held.version.is_none())
        .map(|(index, _)| index.clone())
        .collect();
    for chunk in chunks(&young) {
        if let Some(answer) = explained(cluster, &chunk, "?show_policy=true")? {
            collect(&answer, &mut managed);
        }
    }
    Ok(managed)
}

/// What explain answers; `None` where nothing matches, to which the plugin says 400, as a request for no document.
fn explained(cluster: &Cluster, names: &str, query: &str) -> Result<Option<Value>, Failure> {
    let path = format!("/_plugins/_ism/explain/{names}{query}");
    match cluster.list_of_plugin(&path, ism::PLUGIN, false, None) {
        Ok(Some(body)) => serde_json::from_str(&body)
            .map(Some)
            .map_err(|error| Failure::fatal(format!("the server's answer to explain is no JSON: {error}"))),
        Ok(None) => Ok(None),
        Err(failure) if failure.is("action_request_validation_exception") => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn collect(answer: &Value, managed: &mut BTreeMap<String, Managed>) {
    for (index, body) in answer.as_object().into_iter().flatten() {
        if !body.is_object() || (index.starts_with('.') && stream_of(index).is_none()) {
            continue;
        }
        let policy =
            ["policy_id", "index.plugins.index_state_management.policy_id"].iter().find_map(|key| body[*key].as_str());
        let document = body["policy_seq_no"].as_u64().zip(body["policy_primary_term"].as_u64());
        let version = document
            .map(|(seq, term)| Version::Document(seq, term))
            .or_else(|| body["policy"]["last_updated_time"].as_u64().map(Version::Time));
        managed.insert(index.clone(), Managed { policy: policy.map(str::to_owned), version });
    }
}

fn check(object: &Object, body: &Value) -> Vec<Problem> {
    let mut problems = only(object, body, &["indices", "update"]);
    if !problems.is_empty() {
        return problems;
    }
    if !body["update"].is_null() && !body["update"].is_boolean() {
        problems.push(object.problem("/update", "must be true or false"));
    }
    let patterns = strings(&body["indices"]);
    if patterns.is_empty() {
        problems.push(object.problem("", "indices is missing: a list of index patterns"));
    }
    for pattern in patterns {
        if pattern.trim_matches('*').is_empty()
            || (pattern.starts_with(['.', '-', '_']) && !pattern.starts_with(".ds-"))
            || pattern.contains(',')
        {
            let text = format!("{pattern}: name what the policy is for; dot and system indices never get one");
            problems.push(object.problem("/indices", text));
        }
    }
    problems
}

impl Kind for Attachments {
    type Step = Todo;

    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self) -> Vec<Problem> {
        let check = |object: &Rc<Object>| match object.value() {
            Ok(body) => check(object, &body),
            Err(failure) => vec![object.problem("", failure.message)],
        };
        self.want.iter().flat_map(check).collect()
    }

    fn plan(&mut self) -> Result<Vec<Planned<Todo>>, Failure> {
        if self.want.is_empty() {
            return Ok(Vec::new());
        }
        let mut patterns = Vec::new();
        for object in &self.want {
            patterns.extend(strings(&object.value()?["indices"]));
        }
        patterns.sort();
        patterns.dedup();
        let managed = explain(&self.cluster, &patterns)?;
        let plan = |object: &Rc<Object>| match self.compare(object, &managed) {
            Ok((needs, change, todo)) => {
                Planned::new(object.id.clone(), Ok(change)).needing(needs).with_step(|_| Ok(todo))
            }
            Err(failure) => Planned::new(object.id.clone(), Err(failure)),
        };
        Ok(self.want.iter().map(plan).collect())
    }

    /// A policy that is nowhere could not be attached later either.
    fn preflight(&mut self, set: &Set, _: &[Asked<'_, Todo>]) -> Vec<Problem> {
        let unknown = self.want.iter().filter(|object| set.get("ism_policies", &object.id.name).is_none());
        let mut problems = Vec::new();
        for object in unknown {
            if let Ok(None) = self.cluster.get(&format!("/_plugins/_ism/policies/{}", part(&object.id.name))) {
                let text = format!("the ISM policy {} is neither declared nor on the server", object.id.name);
                problems.push(object.problem("", text));
            }
        }
        problems
    }

    fn apply(&mut self, todo: &[(&ObjectId, &Todo)]) -> Vec<Result<(), Failure>> {
        todo.iter().map(|(id, todo)| self.write(&id.name, todo)).collect()
    }

    fn export(&mut self) -> Result<Vec<Exported>, Failure> {
        const PAGE: usize = 1000;
        let mut managed = BTreeMap::new();
        let mut from = 0;
        loop {
            let path = format!("/_plugins/_ism/explain?from={from}&size={PAGE}");
            let Some(body) = self.cluster.list_of_plugin(&path, ism::PLUGIN, true, None)? else { break };
            let answer: Value = serde_json::from_str(&body)
                .map_err(|error| Failure::fatal(format!("the server's answer to explain is no JSON: {error}")))?;
            let count =
                answer.as_object().map_or(0, |fields| fields.values().filter(|value| value.is_object()).count());
            collect(&answer, &mut managed);
            from += count;
            if count < PAGE {
                break;
            }
        }
        let mut policies: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (index, held) in managed {
            // What is behind a data stream is attached by the stream's name.
            let index = stream_of(&index).map_or(index.clone(), str::to_owned);
            if let Some(policy) = held.policy {
                policies.entry(policy).or_default().insert(index);
            }
        }
        let file = |(policy, indices): (String, BTreeSet<String>)| Exported {
            path: vec![KIND.to_owned(), format!("{policy}.json")],
            text: format!("{:#}\n", json!({"indices": indices})),
            placeholders: Vec::new(),
        };
        Ok(policies.into_iter().map(file).collect())
    }

    /// ISM shows an attachment when its own index was refreshed.
    fn settles_within(&self) -> Duration {
        Duration::from_secs(15)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_inside_a_good_answer_are_found() {
        let answer = json!({"updated_indices": 1, "failures": true, "failed_indices": [
            {"index_name": "a", "reason": "This index already has a policy, use the update policy API"},
            {"index_name": "b", "reason": "closed"}]});
        let failure = refused(&answer, "already has a policy").expect_err("b was refused");
        assert_eq!(failure.message, "not for these indices: b (closed)");
        assert!(refused(&json!({"failed_indices": []}), "").is_ok());
    }

    #[test]
    fn dot_indices_are_never_seen_but_behind_a_stream() {
        let mut managed = BTreeMap::new();
        let answer = json!({".kibana": {"policy_id": "p"}, ".ds-met-a-000001": {"policy_id": "p"}, ".ds-met": {"policy_id": "p"},
            "b": {"index.plugins.index_state_management.policy_id": null}, "total_managed_indices": 2});
        collect(&answer, &mut managed);
        assert_eq!(managed.keys().collect::<Vec<_>>(), [".ds-met-a-000001", "b"]);
        assert!(
            matches(&["met-*".to_owned()], ".ds-met-a-000001") && !matches(&["a-*".to_owned()], ".ds-met-a-000001")
        );
    }

    #[test]
    fn the_version_is_the_documents_or_the_held_policys() {
        let mut managed = BTreeMap::new();
        collect(
            &json!({"a": {"policy_id": "p", "policy_seq_no": 4, "policy_primary_term": 1, "policy": {"last_updated_time": 7}},
                "b": {"policy_id": "p", "policy": {"last_updated_time": 7}}, "c": {"policy_id": "p"}}),
            &mut managed,
        );
        let versions: Vec<Option<Version>> = managed.values().map(|held| held.version).collect();
        assert_eq!(versions, [Some(Version::Document(4, 1)), Some(Version::Time(7)), None]);
        let policy = Policy { versions: [Version::Document(5, 1), Version::Time(7)], changes: false };
        assert!(policy.is_other(Version::Document(4, 1)) && !policy.is_other(Version::Time(7)));
    }
}
