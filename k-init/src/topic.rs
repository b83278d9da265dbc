//! Topics: what is declared, how it differs, and the requests that read and write it. Connections and repeating are the cluster's.
//!
//! | declared            | the cluster has              | then                                   |
//! |---------------------|------------------------------|----------------------------------------|
//! | a topic             | none                         | create                                 |
//! | partitions          | fewer                        | grow, with a warning that keys move    |
//! | partitions          | more                         | drift: Kafka cannot take them away     |
//! | replicas            | another number               | drift: that is a reassignment          |
//! | a setting           | the same, set on the topic   | nothing                                |
//! | a setting           | anything else                | set, also where a default agrees: once |
//! | a setting `null`    | set on the topic             | unset                                  |
//! | a setting `null`    | not set on the topic         | nothing                                |
//! | no word of it       | anything                     | left alone                             |

use std::collections::{BTreeMap, BTreeSet};

use common::engine::change::{Action, Change, Class, Difference, Failure, ObjectId, Planned, Shown};
use common::engine::diff;
use common::engine::kind::Exported;
use common::files::json::step;
use common::files::{Object, Problem, Set};
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::cluster::{Cluster, Node};
use crate::config::{self, Altered, Held, Resource as ConfigResource};
use crate::error::{self, Right};
use crate::resource::{Batch, Mode, Resource, declared};
use crate::wire;

mod request;

use request::{creatable, create_topics, grow_topics, read, read_all};

/// The folder's name.
pub(crate) const KIND: &str = "topics";

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    partitions: Option<i32>,
    replicas: Option<i16>,
    #[serde(default)]
    config: Map<String, Value>,
}

/// One declared topic.
#[derive(Clone, Debug)]
struct Want {
    name: String,
    partitions: Option<i32>,
    replicas: Option<i16>,
    config: BTreeMap<String, Option<String>>,
    masked: Vec<String>,
}

/// One topic as the cluster has it.
#[derive(Clone, Debug, Default)]
struct Have {
    partitions: i32,
    replicas: i16,
    config: BTreeMap<String, Held>,
    operations: i32,
    /// Why a partition cannot be used yet, if so. Looked at only where this run made or grew the topic.
    broken: Option<String>,
    /// The fewest replicas that are in sync, over all partitions.
    in_sync: usize,
}

/// All declared topics.
pub(crate) struct Topics {
    wants: Vec<Want>,
    /// Made or grown by this run: their replicas have to come in sync.
    made: BTreeSet<String>,
}

const MIN_IN_SYNC: &str = "min.insync.replicas";
/// What a topic counts that leaves its partitions to the brokers' `num.partitions`.
const UNTOLD: usize = 10;

impl Topics {
    pub(crate) fn of(set: &Set) -> (Self, Vec<Problem>) {
        let mut flat: BTreeMap<String, String> = BTreeMap::new();
        let (wants, problems) = declared(set, KIND, |object| {
            let want = want(object)?;
            // Kafka refuses the second of two names that make the same metric.
            match flat.insert(want.name.replace('.', "_"), want.name.clone()) {
                Some(other) => {
                    let text = format!("differs from {other} by '.' and '_' alone, which Kafka does not allow");
                    Err(vec![object.problem("", text)])
                }
                None => Ok(want),
            }
        });
        (Self { wants, made: BTreeSet::new() }, problems)
    }
}

fn want(object: &Object) -> Result<Want, Vec<Problem>> {
    let body: Body = object.typed().map_err(|problem| vec![problem])?;
    let mut problems = Vec::new();
    let name = object.id.name.clone();
    if let Err(text) = legal(&name) {
        problems.push(object.problem("", text));
    }
    if body.partitions.is_some_and(|count| count < 1) {
        problems.push(object.located("/partitions", "must be at least 1; leave it out for the broker's default"));
    }
    if body.replicas.is_some_and(|count| count < 1) {
        problems.push(object.located("/replicas", "must be at least 1; leave it out for the broker's default"));
    }
    let (config, bad) = config::declared(&body.config);
    problems.extend(bad.into_iter().map(|(key, text)| object.located(&format!("/config{}", step(&key)), text)));
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Want { name, partitions: body.partitions, replicas: body.replicas, config, masked: object.masked.clone() })
}

/// Partitions and settings that a topic's file declares, if it can be read.
pub(crate) fn shape(object: &Object) -> Option<(Option<i32>, BTreeMap<String, Option<String>>)> {
    let want = want(object).ok()?;
    Some((want.partitions, want.config))
}

/// Kafka's own rule for names.
pub(crate) fn legal(name: &str) -> Result<(), String> {
    if name.len() > 249 {
        return Err(format!("a topic's name has at most 249 characters, this one {}", name.len()));
    }
    if matches!(name, "." | "..") {
        return Err("a topic cannot be called . or ..".into());
    }
    if matches!(name, "__cluster_metadata") {
        return Err("this is Kafka's own log of the cluster and cannot be made or changed".into());
    }
    match name.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '_' | '-')) {
        Some(c) => Err(format!("a topic's name has only letters, digits, '.', '_' and '-', not {c:?}")),
        None => Ok(()),
    }
}

fn compared(want: &Want, have: Option<&Have>) -> Change {
    let mut differences = Vec::new();
    let mut notes = Vec::new();
    let number = |count: i64| Shown::Json(count.to_string());
    let created = have.is_none();
    let had = |count: Option<i64>| count.map_or(Shown::Absent, number);
    if let Some(partitions) = want.partitions {
        let (from, to) = (had(have.map(|have| have.partitions.into())), number(partitions.into()));
        match have.map_or(0, |have| have.partitions) {
            held if held < partitions => {
                if !created {
                    notes.push(format!(
                        "growing from {held} to {partitions} partitions moves keys: new records of a key may go to another partition than its old ones"
                    ));
                }
                differences.push(Difference::new("/partitions", from, to));
            }
            held if held > partitions => differences.push(Difference::fixed("/partitions", from, to)),
            _ => {}
        }
    }
    if let Some(replicas) = want.replicas {
        let held = have.map(|have| have.replicas);
        if held != Some(replicas) {
            let difference = Difference::new("/replicas", had(held.map(i64::from)), number(replicas.into()));
            differences.push(Difference { fixable: created, ..difference });
        }
    }
    let replicas = want.replicas.or(have.map(|have| have.replicas));
    let least = want.config.get(MIN_IN_SYNC).and_then(|least| least.as_deref()?.trim().parse::<i16>().ok());
    if let (Some(replicas), Some(least)) = (replicas, least)
        && least > replicas
    {
        notes.push(format!(
            "{MIN_IN_SYNC} is {least}, and there are {replicas} replicas: Kafka takes the smaller of the two"
        ));
    }
    let none = BTreeMap::new();
    let held = have.map_or(&none, |have| &have.config);
    let (settings, untold) = config::differences("/config", &want.config, held);
    differences.extend(settings);
    notes.extend(untold);
    diff::mask(&mut differences, &want.masked);
    let action = match have {
        None => Action::Create,
        Some(_) if differences.is_empty() => Action::None,
        Some(_) => Action::Update,
    };
    Change { action, differences, locked: None, notes }
}

/// The right that a change needs and the principal has not.
fn missing_right(name: &str, change: &Change, operations: i32) -> Option<Failure> {
    let fixable = |prefix: &str| {
        change.differences.iter().any(|difference| difference.fixable && difference.path.starts_with(prefix))
    };
    let resource = format!("Topic:{name}");
    if fixable("/partitions") && error::lacks(operations, Right::Alter) {
        return Some(error::denied("Alter", resource));
    }
    if fixable("/config") && error::lacks(operations, Right::AlterConfigs) {
        return Some(error::denied("AlterConfigs", resource));
    }
    None
}

/// What is sent for a topic.
pub(crate) struct Step {
    name: String,
    /// Partitions that are made.
    partitions: usize,
    create: Option<CreatableTopic>,
    grow: Option<CreatePartitionsTopic>,
    config: Option<Altered>,
}

impl Step {
    fn of(want: &Want, change: &Change) -> Self {
        let name = want.name.clone();
        let counted = want.partitions.and_then(|count| usize::try_from(count).ok());
        if change.action == Action::Create {
            let partitions = counted.unwrap_or(UNTOLD);
            return Self { name, partitions, create: Some(creatable(want)), grow: None, config: None };
        }
        let grows = change.differences.iter().any(|difference| difference.fixable && difference.path == "/partitions");
        // None places them by the broker; an empty list would be an assignment of nothing (39).
        let grow = grows.then(|| {
            CreatePartitionsTopic::default()
                .with_name(wire::topic(&name))
                .with_count(want.partitions.unwrap_or(-1))
                .with_assignments(None)
        });
        let changes = config::changes(&change.differences, "/config", &want.config);
        let config = (!changes.is_empty()).then(|| (ConfigResource::topic(&name, None), changes));
        Self { name, partitions: counted.filter(|_| grows).unwrap_or(0), create: None, grow, config }
    }
}

impl Resource for Topics {
    type Step = Step;

    const VALIDATES: bool = true;
    const NAMES_BROKERS: bool = true;

    fn compare(&self, node: &mut Node, only: Option<&BTreeSet<String>>) -> Result<Vec<Planned<Step>>, Failure> {
        let wants: Vec<&Want> =
            self.wants.iter().filter(|want| only.is_none_or(|only| only.contains(&want.name))).collect();
        let names: Vec<&str> = wants.iter().map(|want| want.name.as_str()).collect();
        let mut held = read(node, &names, only.is_none())?;
        let mut asked = Vec::new();
        for want in &wants {
            if let Some(Ok(have)) = held.get(&want.name) {
                let mut keys: Vec<&str> = want.config.keys().map(String::as_str).collect();
                if have.replicas > 1 && self.made.contains(&want.name) && !keys.contains(&MIN_IN_SYNC) {
                    keys.push(MIN_IN_SYNC);
                }
                if !keys.is_empty() {
                    asked.push(ConfigResource::topic(&want.name, Some(keys)));
                }
            }
        }
        let configs = config::describe(node, &asked)?;
        for (resource, config) in asked.iter().zip(configs) {
            match config {
                Ok(config) => {
                    if let Some(Ok(have)) = held.get_mut(&resource.name) {
                        have.config = config;
                    }
                }
                Err(failure) => drop(held.insert(resource.name.clone(), Err(failure))),
            }
        }
        Ok(wants.into_iter().map(|want| self.verdict(want, held.remove(&want.name), only.is_none())).collect())
    }

    fn begin(&mut self, cluster: &mut Cluster, todo: &[&Step]) {
        for step in todo.iter().filter(|step| step.create.is_some() || step.grow.is_some()) {
            self.made.insert(step.name.clone());
            cluster.made = cluster.made.saturating_add(u32::try_from(step.partitions).unwrap_or(u32::MAX));
        }
    }

    /// Sends creates, growths and settings, a request each, or has them validated.
    fn send(&self, cluster: &mut Cluster, todo: &[&Step], mode: Mode) -> Vec<Result<(), Failure>> {
        let (mut creates, mut grows) = (Batch::new("Create"), Batch::new("Alter"));
        let mut configs = Batch::new("AlterConfigs");
        for (index, Step { name, partitions, create, grow, config }) in todo.iter().enumerate() {
            let on = || format!("Topic:{name}");
            if let Some(topic) = create {
                let weight = 1 + partitions + topic.configs.len();
                creates.push((index, weight), on(), format!("cannot create topic {name}"), topic.clone());
            }
            if let Some(topic) = grow {
                let what = format!("cannot grow topic {name} to {} partitions", topic.count);
                grows.push((index, *partitions), on(), what, topic.clone());
            }
            if let Some(altered) = config {
                configs.push((index, altered.1.len()), on(), config::what(altered), altered.clone());
            }
        }
        let mut results = vec![Ok(()); todo.len()];
        creates.settle(cluster, &mut results, |cluster, topics| create_topics(cluster, topics, mode));
        grows.settle(cluster, &mut results, |cluster, topics| grow_topics(cluster, topics, mode));
        configs.settle(cluster, &mut results, |cluster, altered| config::alter(cluster, altered, mode));
        results
    }

    fn export(&self, cluster: &mut Cluster) -> Result<Vec<Exported>, Failure> {
        let held = read_all(&mut cluster.main)?;
        let asked: Vec<ConfigResource> = held.keys().map(|name| ConfigResource::topic(name, None)).collect();
        let configs = config::describe(&mut cluster.main, &asked)?;
        let mut exported = Vec::new();
        for ((name, have), config) in held.into_iter().zip(configs) {
            let config: Map<String, Value> = config?
                .into_iter()
                .filter(|(_, held)| held.own && !held.sensitive)
                .filter_map(|(key, held)| Some((key, Value::from(held.value?))))
                .collect();
            let mut body = json!({"partitions": have.partitions, "replicas": have.replicas});
            if !config.is_empty() {
                body["config"] = Value::Object(config);
            }
            let path = vec![KIND.to_owned(), format!("{name}.json")];
            exported.push(Exported { path, text: format!("{body:#}\n"), placeholders: Vec::new() });
        }
        Ok(exported)
    }
}

impl Topics {
    fn verdict(&self, want: &Want, held: Option<Result<Have, Failure>>, first: bool) -> Planned<Step> {
        let id = ObjectId::new(KIND, &want.name);
        let verdict = match held.transpose() {
            Err(failure) => Err(failure),
            Ok(have) => {
                let change = compared(want, have.as_ref());
                let denied = have
                    .as_ref()
                    .filter(|_| first)
                    .and_then(|have| missing_right(&want.name, &change, have.operations));
                let unready = have.as_ref().filter(|_| self.made.contains(&want.name)).and_then(|have| {
                    let least = have.config.get(MIN_IN_SYNC).and_then(|held| held.value.as_deref()?.parse().ok());
                    unready(have, least.unwrap_or(1))
                });
                match (denied, unready) {
                    (Some(failure), _) => Err(failure),
                    (None, Some(why)) if !change.writes() => Err(Failure::new(Class::Again, why)),
                    _ => Ok(change),
                }
            }
        };
        Planned::new(id, verdict).with_step(|change| Ok(Step::of(want, change)))
    }
}

/// Why a topic cannot be written to yet by a producer that waits for all replicas. More than there are replicas is never waited for:
/// Kafka takes the smaller of the two.
fn unready(have: &Have, least: usize) -> Option<String> {
    let least = least.min(usize::try_from(have.replicas).unwrap_or(1));
    let few = || format!("{} of {} replicas are in sync, and {MIN_IN_SYNC} is {least}", have.in_sync, have.replicas);
    have.broken.clone().or_else(|| (have.in_sync < least.max(1)).then(few))
}

#[cfg(test)]
mod tests;
