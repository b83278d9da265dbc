//! Cluster-wide dynamic broker settings (`--entity-default`): one object of settings, merged key by key. Settings of single brokers,
//! and those of the brokers' own files, are not ours.

use std::collections::{BTreeMap, BTreeSet};

use common::change::{Change, Class, Failure, ObjectId, Planned};
use common::diff;
use common::files::{Problem, Set};
use common::json::step;
use common::kind::Exported;
use serde_json::{Map, Value};

use crate::cluster::{Cluster, Node};
use crate::config::{self, Resource as ConfigResource};
use crate::error::{self, Right};
use crate::resource::{Resource, settle};

/// The file's name.
pub(crate) const KIND: &str = "broker_defaults";

/// The one object, if there is a file.
pub(crate) struct BrokerDefaults {
    want: Option<BTreeMap<String, Option<String>>>,
    masked: Vec<String>,
    problems: Vec<Problem>,
}

impl BrokerDefaults {
    pub(crate) fn of(set: &Set) -> Self {
        let mut defaults = Self { want: None, masked: Vec::new(), problems: Vec::new() };
        for object in set.of(KIND) {
            match object.typed::<Map<String, Value>>() {
                Ok(body) => {
                    let (found, problems) = config::declared(&body);
                    defaults.problems.extend(problems.into_iter().map(|(key, text)| object.located(&step(&key), text)));
                    defaults.want = Some(found);
                    defaults.masked.clone_from(&object.masked);
                }
                Err(problem) => defaults.problems.push(problem),
            }
        }
        defaults
    }

    fn send(&self, cluster: &mut Cluster, change: &Change, validate: bool) -> Result<(), Failure> {
        let Some(want) = &self.want else { return Ok(()) };
        let changes = config::changes(&change.differences, "", want);
        let keys: Vec<&str> = changes.iter().map(|(key, _)| key.as_str()).collect();
        let batch = [(
            format!("cannot set {} of all brokers", keys.join(", ")),
            (ConfigResource::all_brokers(None), changes.clone()),
        )];
        let mut results = settle(cluster, &batch, |cluster, altered| config::alter(cluster, altered, validate));
        results.pop().unwrap_or(Ok(())).map_err(|failure| match failure.class {
            Class::Auth => error::denied("AlterConfigs", "Cluster:kafka-cluster"),
            _ => failure,
        })
    }
}

impl Resource for BrokerDefaults {
    fn name(&self) -> &'static str {
        KIND
    }

    fn problems(&self) -> Vec<Problem> {
        self.problems.clone()
    }

    fn declared(&self) -> bool {
        self.want.as_ref().is_some_and(|want| !want.is_empty())
    }

    fn right(&self) -> Option<Right> {
        Some(Right::AlterConfigs)
    }

    fn compare(&self, node: &mut Node, only: Option<&BTreeSet<String>>) -> Result<Vec<Planned>, Failure> {
        let Some(want) = self.want.as_ref().filter(|_| only.is_none_or(|only| only.contains(KIND))) else {
            return Ok(Vec::new());
        };
        let asked = ConfigResource::all_brokers(Some(want.keys().map(String::as_str).collect()));
        let held = config::describe(node, &[asked])?.pop().unwrap_or_else(|| Ok(BTreeMap::new()));
        let verdict = held.map(|held| {
            let mut differences = config::differences("", want, &held, config::ON_CLUSTER);
            diff::mask(&mut differences, &self.masked);
            Change::update(differences)
        });
        Ok(vec![Planned::new(ObjectId::new(KIND, KIND), verdict)])
    }

    fn preflight(&self, cluster: &mut Cluster, planned: &[Planned]) -> Vec<Problem> {
        let changes = planned.iter().filter_map(|planned| Some((planned, planned.verdict.as_ref().ok()?)));
        let mut problems = Vec::new();
        for (planned, change) in changes.filter(|(_, change)| change.writes()) {
            if let Err(failure) = self.send(cluster, change, true) {
                let mut problem = Problem::of_file(planned.id.to_string(), failure.message);
                problem.id = Some(planned.id.clone());
                problems.push(problem);
            }
        }
        problems
    }

    fn write(&mut self, cluster: &mut Cluster, todo: &[&Planned]) -> Vec<Result<(), Failure>> {
        let send = |planned: &&Planned| match &planned.verdict {
            Ok(change) => self.send(cluster, change, false),
            Err(failure) => Err(failure.clone()),
        };
        todo.iter().map(send).collect()
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
