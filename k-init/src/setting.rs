//! Objects that are nothing but settings, merged key by key: `broker_defaults` (all brokers, `--entity-default`), `brokers` (one broker each),
//! `client_metrics` (subscriptions, KIP-714) and `groups` (KIP-848 and share groups). What the brokers' own files set is not ours.

use std::collections::{BTreeMap, BTreeSet};

use common::engine::change::{Action, Change, Failure, ObjectId, Planned};
use common::engine::diff;
use common::engine::kind::Exported;
use common::files::json::step;
use common::files::{Object, Problem, Set};
use common::ordered;
use serde_json::{Map, Value};

use crate::cluster::{Cluster, Node};
use crate::config::{self, Altered, Held, Of, Resource as ConfigResource};
use crate::resource::{Batch, Mode, Resource, declared};

/// One of the kinds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) kind: &'static str,
    of: Of,
    /// Whether a settings object has no name of its own: the one file is it.
    single: bool,
    /// What is wrong with a name.
    illegal: fn(&str) -> Option<&'static str>,
}

/// Cluster-wide broker settings.
pub(crate) const BROKER_DEFAULTS: Row =
    Row { kind: "broker_defaults", of: Of::Broker, single: true, illegal: |_| None };
/// Settings of single brokers, by their ids.
pub(crate) const BROKERS: Row = Row {
    kind: "brokers",
    of: Of::Broker,
    single: false,
    illegal: |name| match name.parse::<i32>() {
        Ok(id) if id >= 0 && id.to_string() == name => None,
        _ => Some("the name is a broker's id, a number from 0"),
    },
};
/// Subscriptions to clients' metrics.
pub(crate) const CLIENT_METRICS: Row =
    Row { kind: "client_metrics", of: Of::ClientMetrics, single: false, illegal: |_| None };
/// Settings of groups.
pub(crate) const GROUPS: Row = Row { kind: "groups", of: Of::Group, single: false, illegal: |_| None };

struct Want {
    /// The object's name.
    object: String,
    config: BTreeMap<String, Option<String>>,
    masked: Vec<String>,
}

/// All declared objects of one of the kinds.
pub(crate) struct Settings {
    row: Row,
    wants: BTreeMap<String, Want>,
}

impl Settings {
    pub(crate) fn of(row: Row, set: &Set) -> (Self, Vec<Problem>) {
        let (found, problems) = declared(set, row.kind, |object| want(row, object));
        let wants = ordered::map(found.into_iter().map(|want| (want.object.clone(), want)));
        (Self { row, wants }, problems)
    }

    fn resource(&self, want: &Want, keys: Option<Vec<&str>>) -> ConfigResource {
        ConfigResource::new(self.row.of, if self.row.single { "" } else { &want.object }, keys)
    }

    /// Whether every object has to be asked of the broker that it is named after.
    fn at_home(&self) -> bool {
        self.row.of == Of::Broker && !self.row.single
    }

    fn read(
        &self,
        node: &mut Node,
        asked: &[ConfigResource],
    ) -> Result<Vec<Result<BTreeMap<String, Held>, Failure>>, Failure> {
        if !self.at_home() {
            return config::describe(node, asked);
        }
        let one = |resource: &ConfigResource| {
            let mut home = resource.home(&node.link)?;
            config::describe(&mut home, std::slice::from_ref(resource))?.remove(0)
        };
        Ok(asked.iter().map(one).collect())
    }
}

fn want(row: Row, object: &Object) -> Result<Want, Vec<Problem>> {
    let body: Map<String, Value> = object.typed().map_err(|problem| vec![problem])?;
    let (config, bad) = config::declared(&body);
    let mut problems: Vec<Problem> = bad.into_iter().map(|(key, text)| object.located(&step(&key), text)).collect();
    if let Some(text) = (row.illegal)(&object.id.name) {
        problems.push(object.problem("", text));
    }
    if problems.is_empty() {
        Ok(Want { object: object.id.name.clone(), config, masked: object.masked.clone() })
    } else {
        Err(problems)
    }
}

impl Resource for Settings {
    type Step = Altered;

    const VALIDATES: bool = true;

    fn compare(&self, node: &mut Node, only: Option<&BTreeSet<String>>) -> Result<Vec<Planned<Altered>>, Failure> {
        // One broker's own settings are known to that broker alone.
        if only.is_some() && self.at_home() {
            return Ok(Vec::new());
        }
        let wanted = |want: &&Want| !want.config.is_empty() && only.is_none_or(|only| only.contains(&want.object));
        let wants: Vec<&Want> = self.wants.values().filter(wanted).collect();
        let asked: Vec<ConfigResource> = wants
            .iter()
            .map(|want| self.resource(want, Some(want.config.keys().map(String::as_str).collect())))
            .collect();
        let held = self.read(node, &asked)?;
        let planned = wants.into_iter().zip(held).map(|(want, held)| {
            let verdict = held.map(|held| {
                let (mut differences, notes) = config::differences("", &want.config, &held);
                diff::mask(&mut differences, &want.masked);
                let new = !self.row.single && !self.at_home() && !held.values().any(|held| held.own);
                let action = match (differences.is_empty(), new) {
                    (true, _) => Action::None,
                    (false, true) => Action::Create,
                    (false, false) => Action::Update,
                };
                Change { action, notes, ..Change::update(differences) }
            });
            Planned::new(ObjectId::new(self.row.kind, &want.object), verdict).with_step(|change| {
                Ok((self.resource(want, None), config::changes(&change.differences, "", &want.config)))
            })
        });
        Ok(planned.collect())
    }

    fn send(&self, cluster: &mut Cluster, todo: &[&Altered], mode: Mode) -> Vec<Result<(), Failure>> {
        let mut results = vec![Ok(()); todo.len()];
        let mut batch = Batch::new("AlterConfigs");
        for (index, altered) in todo.iter().enumerate() {
            batch.push((index, altered.1.len()), altered.0.right(), config::what(altered), (*altered).clone());
        }
        batch.settle(cluster, &mut results, |cluster, altered| config::alter(cluster, altered, mode));
        results
    }

    fn export(&self, cluster: &mut Cluster) -> Result<Vec<Exported>, Failure> {
        let names = config::names(cluster, self.row.of, self.row.single)?;
        let asked: Vec<ConfigResource> =
            names.iter().map(|name| ConfigResource::new(self.row.of, name, None)).collect();
        let held = self.read(&mut cluster.main, &asked)?;
        let mut exported = Vec::new();
        for (name, held) in names.into_iter().zip(held) {
            let own = held?.into_iter().filter(|(_, held)| held.own && !held.sensitive);
            let body: Map<String, Value> = own.filter_map(|(key, held)| Some((key, held.value?.into()))).collect();
            if body.is_empty() {
                continue;
            }
            let kind = self.row.kind;
            let path = if self.row.single {
                vec![format!("{kind}.json")]
            } else {
                vec![kind.to_owned(), format!("{name}.json")]
            };
            let text = format!("{:#}\n", Value::Object(body));
            exported.push(Exported { path, text, placeholders: Vec::new() });
        }
        Ok(exported)
    }
}
