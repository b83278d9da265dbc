//! Client quotas: the declared keys of an entity. Its other keys, and other entities, are left alone.
//!
//! | declared       | the cluster has    | then    |
//! |----------------|--------------------|---------|
//! | key and number | none               | set     |
//! | key and number | another number     | set     |
//! | key and number | the same           | nothing |
//! | key and `null` | a number           | remove  |
//! | key and `null` | none               | nothing |
//! | no word of it  | anything           | left    |

use std::collections::{BTreeMap, BTreeSet};

use common::engine::change::{Action, Change, Difference, Failure, ObjectId, Planned, Shown};
use common::engine::diff;
use common::engine::kind::Exported;
use common::files::json::step;
use common::files::{Object, Problem, Set};
use common::ordered;
use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kafka_protocol::messages::{AlterClientQuotasRequest, DescribeClientQuotasRequest};
use serde_json::{Map, Number, Value};

use crate::cluster::{Cluster, Node, repeat};
use crate::error::{self, Code};
use crate::resource::{Answered, Batch, CLUSTER, Mode, Resource, declared};
use crate::wire;

/// The folder's name.
pub(crate) const KIND: &str = "quotas";

const DEFAULT: &str = "<default>";
const KEYS: [&str; 4] = ["producer_byte_rate", "consumer_byte_rate", "request_percentage", "controller_mutation_rate"];
const IP_KEYS: [&str; 1] = ["connection_creation_rate"];
/// Those that Kafka takes as whole numbers only.
const WHOLE: [&str; 3] = ["producer_byte_rate", "consumer_byte_rate", "connection_creation_rate"];

/// Who is held to a quota: type and name, where no name is the type's default.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entity(Vec<(&'static str, Option<String>)>);

impl Entity {
    /// `user=U`, `client-id=C`, `user=U,client-id=C` (split at the last `,client-id=`) or `ip=I`.
    fn parse(name: &str) -> Result<Self, String> {
        let part = |kind, value: &str| match value {
            "" => Err(format!("{kind}= needs a name, or {DEFAULT}")),
            DEFAULT => Ok((kind, None)),
            _ => Ok((kind, Some(value.to_owned()))),
        };
        let parts = if let Some(rest) = name.strip_prefix("user=") {
            match rest.rsplit_once(",client-id=") {
                Some((user, client)) => vec![part("user", user)?, part("client-id", client)?],
                None => vec![part("user", rest)?],
            }
        } else if let Some(client) = name.strip_prefix("client-id=") {
            vec![part("client-id", client)?]
        } else if let Some(ip) = name.strip_prefix("ip=") {
            vec![part("ip", ip)?]
        } else {
            return Err("the name is user=U, client-id=C, user=U,client-id=C or ip=I".into());
        };
        Ok(Self(parts))
    }

    fn keys(&self) -> &'static [&'static str] {
        if self.0.iter().any(|(kind, _)| *kind == "ip") { &IP_KEYS } else { &KEYS }
    }

    fn name(&self) -> String {
        let parts: Vec<String> =
            self.0.iter().map(|(kind, name)| format!("{kind}={}", name.as_deref().unwrap_or(DEFAULT))).collect();
        parts.join(",")
    }

    /// `None` for a type that a newer Kafka has and we have no word for.
    fn of_wire<'e>(parts: impl Iterator<Item = (&'e str, Option<&'e str>)>) -> Option<Self> {
        let mut found = Vec::new();
        for (kind, name) in parts {
            let kind = ["user", "client-id", "ip"].into_iter().find(|known| *known == kind)?;
            found.push((kind, name.map(str::to_owned)));
        }
        found.sort_by_key(|(kind, _)| std::cmp::Reverse(*kind));
        Some(Self(found))
    }
}

struct Want {
    name: String,
    entity: Entity,
    values: BTreeMap<String, Option<f64>>,
    masked: Vec<String>,
}

/// All declared quotas.
pub(crate) struct Quotas(Vec<Want>);

impl Quotas {
    pub(crate) fn of(set: &Set) -> (Self, Vec<Problem>) {
        let (wants, problems) = declared(set, KIND, want);
        (Self(wants), problems)
    }
}

fn want(object: &Object) -> Result<Want, Vec<Problem>> {
    let values: BTreeMap<String, Option<f64>> = object.typed().map_err(|problem| vec![problem])?;
    let entity = Entity::parse(&object.id.name).map_err(|text| vec![object.problem("", text)])?;
    let mut problems = Vec::new();
    for (key, value) in &values {
        let at = step(key);
        if !entity.keys().contains(&key.as_str()) {
            problems.push(object.located(&at, format!("{} has only {}", entity.name(), entity.keys().join(", "))));
        }
        match value {
            Some(value) if *value <= 0.0 => problems.push(object.located(&at, "must be more than 0; null removes it")),
            Some(value) if WHOLE.contains(&key.as_str()) && value.fract() != 0.0 => {
                problems.push(object.located(&at, "must be a whole number"));
            }
            _ => {}
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Want { name: object.id.name.clone(), entity, values, masked: object.masked.clone() })
}

/// As people write it: 1048576, not 1048576.0.
fn number(value: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "guarded: whole, and small enough to be exact")]
    if value.fract() == 0.0 && value.abs() < 9e15 {
        return Value::from(value as i64);
    }
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

fn compared(want: &BTreeMap<String, Option<f64>>, held: Option<&BTreeMap<String, f64>>) -> Change {
    let mut differences = Vec::new();
    for (key, want) in want {
        let have = held.and_then(|held| held.get(key).copied());
        if *want != have {
            let shown = |value: Option<f64>| value.map_or(Shown::Absent, |value| Shown::json(&number(value)));
            differences.push(Difference::new(step(key), shown(have), shown(*want)));
        }
    }
    let action = match (differences.is_empty(), held) {
        (true, _) => Action::None,
        (false, None) => Action::Create,
        (false, Some(_)) => Action::Update,
    };
    Change { action, differences, locked: None, notes: Vec::new() }
}

/// What is sent of an entity's differences.
fn entry(want: &Want, change: &Change) -> EntryData {
    let differs = |key: &String| change.differences.iter().any(|difference| difference.path == step(key));
    let ops = want.values.iter().filter(|(key, _)| differs(key)).map(|(key, value)| {
        OpData::default().with_key(wire::string(key)).with_value(value.unwrap_or(0.0)).with_remove(value.is_none())
    });
    let entity = want.entity.0.iter().map(|(kind, name)| {
        EntityData::default().with_entity_type(wire::string(kind)).with_entity_name(name.as_deref().map(wire::string))
    });
    EntryData::default().with_entity(entity.collect()).with_ops(ops.collect())
}

impl Resource for Quotas {
    type Step = EntryData;

    const VALIDATES: bool = true;

    fn compare(&self, node: &mut Node, only: Option<&BTreeSet<String>>) -> Result<Vec<Planned<EntryData>>, Failure> {
        let held = describe(node)?;
        let wants = self.0.iter().filter(|want| only.is_none_or(|only| only.contains(&want.name)));
        let planned = wants.map(|want| {
            let mut change = compared(&want.values, held.get(&want.entity));
            diff::mask(&mut change.differences, &want.masked);
            Planned::new(ObjectId::new(KIND, &want.name), Ok(change)).with_step(|change| Ok(entry(want, change)))
        });
        Ok(planned.collect())
    }

    fn send(&self, cluster: &mut Cluster, todo: &[&EntryData], mode: Mode) -> Vec<Result<(), Failure>> {
        let mut batch = Batch::new("AlterConfigs");
        for (index, entry) in todo.iter().enumerate() {
            let name = named(&entry.entity).map_or_else(String::new, |entity| entity.name());
            let what = format!("cannot set the quota of {name}");
            batch.push((index, entry.ops.len()), CLUSTER, what, (*entry).clone());
        }
        let mut results = vec![Ok(()); todo.len()];
        batch.settle(cluster, &mut results, |cluster, entries| alter(cluster, entries, mode));
        results
    }

    fn export(&self, cluster: &mut Cluster) -> Result<Vec<Exported>, Failure> {
        let exported = describe(&mut cluster.main)?.into_iter().map(|(entity, values)| {
            let body: Map<String, Value> = values.into_iter().map(|(key, value)| (key, number(value))).collect();
            let path = vec![KIND.to_owned(), format!("{}.json", entity.name())];
            Exported { path, text: format!("{:#}\n", Value::Object(body)), placeholders: Vec::new() }
        });
        Ok(exported.collect())
    }
}

/// The entity that a request names.
fn named(parts: &[EntityData]) -> Option<Entity> {
    Entity::of_wire(parts.iter().map(|part| (part.entity_type.as_str(), part.entity_name.as_deref())))
}

fn alter(cluster: &mut Cluster, entries: &[EntryData], mode: Mode) -> Result<Vec<Answered>, Failure> {
    let request =
        AlterClientQuotasRequest::default().with_entries(entries.to_vec()).with_validate_only(mode.validates());
    let answer = cluster.administer(&request, |answer| {
        answer.entries.iter().any(|entry| error::is(entry.error_code, Code::NotController))
    })?;
    let mut answers: BTreeMap<Entity, Answered> = BTreeMap::new();
    for entry in &answer.entries {
        let parts = entry.entity.iter().map(|part| (part.entity_type.as_str(), part.entity_name.as_deref()));
        if let Some(entity) = Entity::of_wire(parts) {
            answers.insert(entity, Answered::new(entry.error_code, entry.error_message.as_ref()));
        }
    }
    let asked = entries.iter().filter_map(|entry| named(&entry.entity));
    Ok(asked.filter_map(|entity| answers.get(&entity).cloned()).collect())
}

/// Reads every quota.
fn describe(node: &mut Node) -> Result<BTreeMap<Entity, BTreeMap<String, f64>>, Failure> {
    let request = DescribeClientQuotasRequest::default().with_components(Vec::new()).with_strict(false);
    let link = node.link.clone();
    let answer = repeat(&link, "the quotas", || {
        let answer = node.ask(&request)?;
        match error::of(answer.error_code) {
            None => Ok(answer),
            Some(Code::ClusterAuthorizationFailed) => Err(error::denied("DescribeConfigs", CLUSTER)),
            Some(other) => Err(error::failure("cannot read quotas", other, answer.error_message.as_deref())),
        }
    })?;
    let mut found = BTreeMap::new();
    for entry in answer.entries.unwrap_or_default() {
        let parts = entry.entity.iter().map(|part| (part.entity_type.as_str(), part.entity_name.as_deref()));
        // SCRAM credentials live beside the quotas in a ZooKeeper cluster; an entity without numbers is none of ours.
        if let Some(entity) = Entity::of_wire(parts).filter(|_| !entry.values.is_empty()) {
            let values = entry.values.iter().map(|value| (value.key.to_string(), value.value));
            found.insert(entity, ordered::map(values));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(want: &str, held: Option<&[(&str, f64)]>, expected: &Expect) {
        let want: BTreeMap<String, Option<f64>> = serde_json::from_str(want).expect("a body");
        let held = held.map(|held| held.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect());
        let change = compared(&want, held.as_ref());
        let mut lines = vec![format!("{:?}", change.action)];
        lines.extend(change.differences.iter().map(ToString::to_string));
        expected.assert_eq(&lines.join("\n"));
    }

    #[test]
    fn only_declared_keys_are_compared() {
        check(
            r#"{"producer_byte_rate": 1048576}"#,
            None,
            &expect![[r"
            Create
            /producer_byte_rate: (absent) -> 1048576"]],
        );
        check(
            r#"{"a": 1, "b": null, "c": null}"#,
            Some(&[("a", 1.0), ("b", 0.5), ("mine", 7.0)]),
            &expect![[r"
            Update
            /b: 0.5 -> (absent)"]],
        );
        check(r#"{"a": 2.5}"#, Some(&[("a", 2.5)]), &expect!["None"]);
        check(r#"{"a": null}"#, None, &expect!["None"]);
    }

    #[test]
    fn entities_are_taken_apart_at_the_last_client_id() {
        let name = |text: &str| Entity::parse(text).map(|entity| entity.name());
        for good in ["user=a", "user=<default>", "client-id=c", "user=a,client-id=b,client-id=<default>", "ip=10.0.0.1"]
        {
            assert_eq!(name(good).as_deref(), Ok(good));
        }
        let both = Entity::parse("user=a,client-id=b,client-id=c").expect("good");
        assert_eq!(both.0, [("user", Some("a,client-id=b".to_owned())), ("client-id", Some("c".to_owned()))]);
        for wrong in ["a", "user=", "user=a,client-id=", "ip="] {
            assert!(Entity::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_order_on_the_wire_does_not_matter() {
        let one = Entity::of_wire([("client-id", Some("c")), ("user", None)].into_iter());
        assert_eq!(one, Entity::parse("user=<default>,client-id=c").ok());
    }
}
