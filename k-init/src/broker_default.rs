//! Cluster-wide dynamic broker settings (`--entity-default`): one object of settings, merged key by key. Settings of single brokers,
//! and those of the brokers' own files, are not ours.

use std::collections::{BTreeMap, BTreeSet};

use common::engine::change::{Change, Failure, ObjectId, Planned};
use common::engine::diff;
use common::engine::kind::Exported;
use common::files::json::step;
use common::files::{Problem, Set};
use serde_json::{Map, Value};

use crate::cluster::{Cluster, Node};
use crate::config::{self, Resource as ConfigResource};
use crate::resource::{Batch, CLUSTER, Resource, declared, refused, to_write};

/// The file's name.
pub(crate) const KIND: &str = "broker_defaults";

/// The one object, if there is a file.
pub(crate) struct BrokerDefaults {
    want: BTreeMap<String, Option<String>>,
    masked: Vec<String>,
}

impl BrokerDefaults {
    pub(crate) fn of(set: &Set) -> (Self, Vec<Problem>) {
        let (mut found, problems) = declared(set, KIND, |object| {
            let body: Map<String, Value> = object.typed().map_err(|problem| vec![problem])?;
            let (want, bad) = config::declared(&body);
            let problems: Vec<Problem> = bad.into_iter().map(|(key, text)| object.located(&step(&key), text)).collect();
            if problems.is_empty() { Ok(Self { want, masked: object.masked.clone() }) } else { Err(problems) }
        });
        (found.pop().unwrap_or(Self { want: BTreeMap::new(), masked: Vec::new() }), problems)
    }

    fn send(&self, cluster: &mut Cluster, todo: &[&Planned], validate: bool) -> Vec<Result<(), Failure>> {
        let mut results = vec![Ok(()); todo.len()];
        let mut batch = Batch::new("AlterConfigs");
        for (index, planned) in todo.iter().enumerate() {
            let Ok(change) = &planned.verdict else { continue };
            let changes = config::changes(&change.differences, "", &self.want);
            let keys: Vec<&str> = changes.iter().map(|(key, _)| key.as_str()).collect();
            let what = format!("cannot set {} of all brokers", keys.join(", "));
            batch.push(index, CLUSTER, what, (ConfigResource::all_brokers(None), changes));
        }
        batch.settle(cluster, &mut results, |cluster, altered| config::alter(cluster, altered, validate));
        results
    }
}

impl Resource for BrokerDefaults {
    fn compare(&self, node: &mut Node, only: Option<&BTreeSet<String>>) -> Result<Vec<Planned>, Failure> {
        if self.want.is_empty() || only.is_some_and(|only| !only.contains(KIND)) {
            return Ok(Vec::new());
        }
        let asked = ConfigResource::all_brokers(Some(self.want.keys().map(String::as_str).collect()));
        let held = config::describe(node, &[asked])?.pop().unwrap_or_else(|| Ok(BTreeMap::new()));
        let verdict = held.map(|held| {
            let mut differences = config::differences("", &self.want, &held, config::ON_CLUSTER);
            diff::mask(&mut differences, &self.masked);
            Change::update(differences)
        });
        Ok(vec![Planned::new(ObjectId::new(KIND, KIND), verdict)])
    }

    fn preflight(&self, cluster: &mut Cluster, planned: &[Planned]) -> Vec<Problem> {
        let todo: Vec<&Planned> = planned.iter().filter(|planned| to_write(planned).is_some()).collect();
        let results = self.send(cluster, &todo, true);
        refused(todo, results)
    }

    fn write(&mut self, cluster: &mut Cluster, todo: &[&Planned]) -> Vec<Result<(), Failure>> {
        self.send(cluster, todo, false)
    }

    fn export(&self, cluster: &mut Cluster) -> Result<Vec<Exported>, Failure> {
        let held = config::describe(&mut cluster.main, &[ConfigResource::all_brokers(None)])?;
        let mut body = Map::new();
        for (key, held) in held.into_iter().next().unwrap_or_else(|| Ok(BTreeMap::new()))? {
            if held.source == config::ON_CLUSTER
                && !held.sensitive
                && let Some(value) = held.value
            {
                body.insert(key, value.into());
            }
        }
        if body.is_empty() {
            return Ok(Vec::new());
        }
        let text = format!("{:#}\n", Value::Object(body));
        Ok(vec![Exported { path: vec![format!("{KIND}.json")], text, placeholders: Vec::new() }])
    }
}
