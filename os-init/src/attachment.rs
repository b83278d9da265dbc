//! ISM attachments: a policy for indices that were there before it. An attachment only adds a policy to indices that have none, and moves
//! indices to the new version of a policy when this very run changed it. Never to dot or system indices, never by a pattern: what is
//! written names the indices that were looked at.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use common::engine::change::{Change, Difference, Failure, ObjectId, Planned, Shown};
use common::engine::kind::{AnyKind, Exported};
use common::files::{Object, Problem, Set};
use serde_json::{Value, json};

use crate::cluster::{Cluster, chunks, declared, part};
use crate::document::{only, strings};
use crate::overlap::overlap;

/// The kind.
pub(crate) const KIND: &str = "ism_attachments";

/// Attachments at work.
pub(crate) struct Attachments {
    cluster: Rc<Cluster>,
    set: Rc<Set>,
    want: Vec<Rc<Object>>,
    todo: BTreeMap<String, Todo>,
}

/// The indices that one attachment is about.
#[derive(Clone, Debug, Default)]
struct Todo {
    attach: Vec<String>,
    advance: Vec<String>,
}

/// Each index with its policy, if it has one.
type Managed = BTreeMap<String, Option<String>>;

impl Attachments {
    pub(crate) fn new(cluster: Rc<Cluster>, set: Rc<Set>) -> Self {
        let want = set.of(KIND);
        Self { cluster, set, want, todo: BTreeMap::new() }
    }

    fn compare(&mut self, object: &Object, managed: &Managed) -> Result<(Vec<ObjectId>, Change), Failure> {
        let policy = &object.id.name;
        let body = object.value()?;
        let patterns = strings(&body["indices"]);
        let mut needs = declared(&self.set, "ism_policies", [policy.clone()]);
        for index in self.set.of("indices") {
            if patterns.iter().any(|pattern| overlap(pattern, &index.id.name)) {
                needs.push(index.id.clone());
            }
        }
        let moves = body["update"] == true && {
            let memory = self.cluster.memory.borrow();
            memory.changing.contains(policy) && !memory.moved.contains(policy)
        };
        let mut todo = Todo::default();
        let mut found = Vec::new();
        let mut others = Vec::new();
        for (index, held) in managed.iter().filter(|(index, _)| patterns.iter().any(|pattern| overlap(pattern, index)))
        {
            let path = format!("/indices{}", common::files::json::step(index));
            match held {
                None => {
                    todo.attach.push(index.clone());
                    found.push(Difference::new(path, Shown::Absent, Shown::text(policy)));
                }
                Some(held) if held == policy && moves => {
                    todo.advance.push(index.clone());
                    found.push(Difference::new(path, Shown::text("older version"), Shown::text("changed version")));
                }
                Some(held) if held == policy => {}
                Some(held) => others.push(format!("{index} ({held})")),
            }
        }
        let mut change = Change::update(found);
        if !todo.advance.is_empty() {
            change = change.note("the changed policy takes effect at the next ISM run");
        }
        if !others.is_empty() {
            change = change.note(format!("left alone, as they have another policy: {}", others.join(", ")));
        }
        self.todo.insert(policy.clone(), todo);
        Ok((needs, change))
    }

    fn write(&self, policy: &str) -> Result<(), Failure> {
        let todo = self.todo.get(policy).cloned().unwrap_or_default();
        for names in chunks(&todo.attach) {
            let answer = self.cluster.post(&format!("/_plugins/_ism/add/{names}"), &json!({"policy_id": policy}))?;
            // Who was quicker may have attached the same policy: the read-back tells.
            refused(&answer, "already has a policy")?;
        }
        for names in chunks(&todo.advance) {
            let path = format!("/_plugins/_ism/change_policy/{names}");
            refused(&self.cluster.post(&path, &json!({"policy_id": policy}))?, "")?;
        }
        if !todo.advance.is_empty() {
            self.cluster.memory.borrow_mut().moved.insert(policy.to_owned());
        }
        Ok(())
    }
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

/// Asks which indices match, and which policy each of them has.
fn explain(cluster: &Cluster, patterns: &[String]) -> Result<Managed, Failure> {
    let mut managed = Managed::new();
    for chunk in chunks(patterns) {
        let path = format!("/_plugins/_ism/explain/{chunk}");
        if let Some(body) = cluster.list_of_plugin(&path, crate::ism::PLUGIN, false)? {
            let answer = serde_json::from_str(&body)
                .map_err(|error| Failure::fatal(format!("the server's answer to explain is no JSON: {error}")))?;
            collect(&answer, &mut managed);
            continue;
        }
        // One plain name that is not there fails them all.
        for pattern in patterns {
            if let Some(answer) = cluster.get(&format!("/_plugins/_ism/explain/{}", part(pattern)))? {
                collect(&answer, &mut managed);
            }
        }
    }
    Ok(managed)
}

fn collect(answer: &Value, managed: &mut Managed) {
    for (index, body) in answer.as_object().into_iter().flatten() {
        if index.starts_with('.') || !body.is_object() {
            continue;
        }
        let policy =
            ["policy_id", "index.plugins.index_state_management.policy_id"].iter().find_map(|key| body[*key].as_str());
        managed.insert(index.clone(), policy.map(str::to_owned));
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
        if pattern.trim_matches('*').is_empty() || pattern.starts_with(['.', '-', '_']) || pattern.contains(',') {
            let text = format!("{pattern}: name what the policy is for; dot and system indices never get one");
            problems.push(object.problem("/indices", text));
        }
    }
    problems
}

impl AnyKind for Attachments {
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

    fn plan(&mut self) -> Result<Vec<Planned>, Failure> {
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
        let mut plan = Vec::new();
        for object in self.want.clone() {
            let (needs, verdict) = match self.compare(&object, &managed) {
                Ok((needs, change)) => (needs, Ok(change)),
                Err(failure) => (Vec::new(), Err(failure)),
            };
            plan.push(Planned { id: object.id.clone(), needs, verdict, step: None });
        }
        Ok(plan)
    }

    /// A policy that is nowhere could not be attached later either.
    fn preflight(&mut self, _: &Set, _: &[Planned]) -> Vec<Problem> {
        let unknown = self.want.iter().filter(|object| self.set.get("ism_policies", &object.id.name).is_none());
        let mut problems = Vec::new();
        for object in unknown {
            if let Ok(None) = self.cluster.get(&format!("/_plugins/_ism/policies/{}", part(&object.id.name))) {
                let text = format!("the ISM policy {} is neither declared nor on the server", object.id.name);
                problems.push(object.problem("", text));
            }
        }
        problems
    }

    fn apply(&mut self, todo: &[&Planned]) -> Vec<Result<(), Failure>> {
        todo.iter().map(|planned| self.write(&planned.id.name)).collect()
    }

    fn export(&mut self) -> Result<Vec<Exported>, Failure> {
        const PAGE: usize = 1000;
        let mut managed = Managed::new();
        let mut from = 0;
        loop {
            let path = format!("/_plugins/_ism/explain?from={from}&size={PAGE}");
            let Some(body) = self.cluster.list_of_plugin(&path, crate::ism::PLUGIN, true)? else { break };
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
        let mut policies: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (index, policy) in managed {
            if let Some(policy) = policy {
                policies.entry(policy).or_default().push(index);
            }
        }
        let file = |(policy, indices): (String, Vec<String>)| Exported {
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
    fn dot_indices_are_never_seen() {
        let mut managed = Managed::new();
        let answer = json!({".kibana": {"policy_id": "p"}, "a": {"policy_id": "p"}, "b": {"index.plugins.index_state_management.policy_id": null}, "total_managed_indices": 2});
        collect(&answer, &mut managed);
        assert_eq!(managed, Managed::from([("a".into(), Some("p".into())), ("b".into(), None)]));
    }
}
