//! Settings of topics and brokers: comparing by source and type, reading only what is declared, changing one by one.
//!
//! A broker gives values back as it parsed them ("1.50" as "1.5", "delete, compact" as "delete,compact"), so they are compared by
//! the type that it names. What is not set on the object itself (a broker's default, a cluster's) is not its setting.

use std::collections::{BTreeMap, BTreeSet};

use common::engine::change::{Difference, Failure, Shown};
use common::files::json::step;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};
use serde_json::{Map, Value};

use crate::cluster::{Cluster, Node, repeat};
use crate::error::{self, code};
use crate::resource::Answered;
use crate::wire;

/// The source of a setting that was made on the topic.
pub(crate) const ON_TOPIC: i8 = 1;
/// The source of a cluster-wide dynamic setting.
pub(crate) const ON_CLUSTER: i8 = 3;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// One setting as the broker has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) value: Option<String>,
    pub(crate) source: i8,
    kind: i8,
    pub(crate) sensitive: bool,
}

/// What has settings, and which of them are asked for (`None`: all).
#[derive(Clone, Debug)]
pub(crate) struct Resource {
    kind: i8,
    pub(crate) name: String,
    keys: Option<Vec<String>>,
}

impl Resource {
    pub(crate) fn topic(name: &str, keys: Option<Vec<&str>>) -> Self {
        Self {
            kind: TOPIC,
            name: name.to_owned(),
            keys: keys.map(|keys| keys.into_iter().map(str::to_owned).collect()),
        }
    }

    /// All brokers together: the entity without a name.
    pub(crate) fn all_brokers(keys: Option<Vec<&str>>) -> Self {
        Self { kind: BROKER, ..Self::topic("", keys) }
    }

    fn right(&self) -> String {
        if self.kind == TOPIC { format!("Topic:{}", self.name) } else { "Cluster:kafka-cluster".into() }
    }
}

/// Declared settings as text; `None` unsets. What is no scalar is returned as a problem.
pub(crate) fn declared(config: &Map<String, Value>) -> (BTreeMap<String, Option<String>>, Vec<(String, String)>) {
    let mut found = BTreeMap::new();
    let mut problems = Vec::new();
    for (key, value) in config {
        let text = match value {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(value) => Some(value.to_string()),
            Value::Array(_) | Value::Object(_) => {
                problems.push((
                    key.clone(),
                    "must be a string, a number, a boolean, or null to unset it; a list is one string with commas"
                        .into(),
                ));
                continue;
            }
        };
        if key.trim().is_empty() {
            problems.push((key.clone(), "a setting has a name".into()));
        }
        found.insert(key.clone(), text);
    }
    (found, problems)
}

/// Where the declared settings differ from those that are set at `source`.
pub(crate) fn differences(
    prefix: &str,
    want: &BTreeMap<String, Option<String>>,
    held: &BTreeMap<String, Held>,
    source: i8,
) -> Vec<Difference> {
    let mut found = Vec::new();
    for (key, want) in want {
        let held = held.get(key).filter(|held| held.source == source);
        let from = match held {
            None => Shown::Absent,
            Some(Held { sensitive: true, .. }) => Shown::Masked,
            Some(Held { value, .. }) => value.as_deref().map_or(Shown::Absent, Shown::text),
        };
        let path = format!("{prefix}{}", step(key));
        match (want, held) {
            // A secret cannot be read back: that it is set is all that can be known.
            (None, None) | (Some(_), Some(Held { sensitive: true, .. })) => {}
            (None, Some(_)) => found.push(Difference::new(path, from, Shown::Absent)),
            (Some(want), Some(held))
                if held.value.as_deref().is_some_and(|value| same(key, held.kind, want, value)) => {}
            (Some(want), _) => found.push(Difference::new(path, from, Shown::text(want))),
        }
    }
    found
}

/// Whether two texts are one value of a type, as `ConfigDef` parses it.
fn same(key: &str, kind: i8, want: &str, have: &str) -> bool {
    let (want, have) = (want.trim(), have.trim());
    if want == have {
        return true;
    }
    match kind {
        // boolean
        1 => want.eq_ignore_ascii_case(have),
        // int, short, long
        3..=5 => want.parse::<i64>().ok().zip(have.parse::<i64>().ok()).is_some_and(|(want, have)| want == have),
        // double
        #[expect(clippy::float_cmp, reason = "both sides are parsed from the shortest text of the same number")]
        6 => want.parse::<f64>().ok().zip(have.parse::<f64>().ok()).is_some_and(|(want, have)| want == have),
        // list
        7 if key == "cleanup.policy" => items(want).collect::<BTreeSet<_>>() == items(have).collect::<BTreeSet<_>>(),
        7 => items(want).eq(items(have)),
        _ => false,
    }
}

fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// What has to be sent for the differences below a prefix: key and value, or no value to unset it.
pub(crate) fn changes(
    differences: &[Difference],
    prefix: &str,
    want: &BTreeMap<String, Option<String>>,
) -> Vec<(String, Option<String>)> {
    let differs = |key: &String| {
        let path = format!("{prefix}{}", step(key));
        differences.iter().any(|difference| difference.fixable && difference.path == path)
    };
    want.iter().filter(|(key, _)| differs(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

type Settings = BTreeMap<String, Held>;

/// Reads settings, 1000 objects a request; one result for each resource, in order.
pub(crate) fn describe(node: &mut Node, resources: &[Resource]) -> Result<Vec<Result<Settings, Failure>>, Failure> {
    let mut found = Vec::with_capacity(resources.len());
    for chunk in resources.chunks(1000) {
        let asked = chunk.iter().map(|resource| {
            let keys = resource.keys.as_ref().map(|keys| keys.iter().map(|key| wire::string(key)).collect());
            DescribeConfigsResource::default()
                .with_resource_type(resource.kind)
                .with_resource_name(wire::string(&resource.name))
                .with_configuration_keys(keys)
        });
        let request = DescribeConfigsRequest::default().with_resources(asked.collect());
        let link = node.link.clone();
        let part = repeat(&link, || {
            let answer = node.ask(&request)?;
            let mut answers: BTreeMap<(i8, String), Result<Settings, Failure>> = BTreeMap::new();
            for result in answer.results {
                let place = (result.resource_type, result.resource_name.to_string());
                let settings = match result.error_code {
                    code::NONE => Ok(result
                        .configs
                        .into_iter()
                        .map(|config| {
                            let held = Held {
                                value: config.value.map(|value| value.to_string()),
                                source: config.config_source,
                                kind: config.config_type,
                                sensitive: config.is_sensitive,
                            };
                            (config.name.to_string(), held)
                        })
                        .collect()),
                    // Created a moment ago, and this broker has not heard of it: the comparison says what is missing.
                    code::UNKNOWN_TOPIC => Ok(Settings::new()),
                    code::TOPIC_DENIED => Err(error::denied("DescribeConfigs", format!("Topic:{}", place.1))),
                    code::CLUSTER_DENIED => Err(error::denied("DescribeConfigs", "Cluster:kafka-cluster")),
                    other => {
                        let what = format!(
                            "cannot read the settings of {}",
                            if place.1.is_empty() { "all brokers" } else { &place.1 }
                        );
                        Err(error::failure(what, other, result.error_message.as_deref()))
                    }
                };
                answers.insert(place, settings);
            }
            Ok(answers)
        });
        let mut part = part?;
        for resource in chunk {
            let missing =
                || Err(Failure::fatal(format!("the broker did not answer for the settings of {}", resource.right())));
            found.push(part.remove(&(resource.kind, resource.name.clone())).unwrap_or_else(missing));
        }
    }
    Ok(found)
}

/// A resource and what changes in it.
pub(crate) type Altered = (Resource, Vec<(String, Option<String>)>);

const SET: i8 = 0;
const DELETE: i8 = 1;

/// Changes single settings, or has that validated; everything else of the resource stays.
pub(crate) fn alter(cluster: &mut Cluster, altered: &[Altered], validate: bool) -> Result<Vec<Answered>, Failure> {
    let resources = altered.iter().map(|(resource, changes)| {
        let configs = changes.iter().map(|(key, value)| {
            AlterableConfig::default()
                .with_name(wire::string(key))
                .with_config_operation(if value.is_some() { SET } else { DELETE })
                .with_value(value.as_deref().map(wire::string))
        });
        AlterConfigsResource::default()
            .with_resource_type(resource.kind)
            .with_resource_name(wire::string(&resource.name))
            .with_configs(configs.collect())
    });
    let request =
        IncrementalAlterConfigsRequest::default().with_resources(resources.collect()).with_validate_only(validate);
    let answer = cluster
        .administer(&request, |answer| answer.responses.iter().any(|one| one.error_code == code::NOT_CONTROLLER))?;
    let answers: BTreeMap<&str, Answered> = answer
        .responses
        .iter()
        .map(|one| (one.resource_name.as_str(), Answered::new(one.error_code, one.error_message.as_ref())))
        .collect();
    Ok(altered.iter().filter_map(|(resource, _)| answers.get(resource.name.as_str()).cloned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(want: &[(&str, Option<&str>)], have: &[(&str, i8, i8, &str)], expected: &Expect) {
        let want = want.iter().map(|(key, value)| ((*key).to_owned(), value.map(str::to_owned))).collect();
        let have = have
            .iter()
            .map(|(key, source, kind, value)| {
                let held =
                    Held { value: Some((*value).to_owned()), source: *source, kind: *kind, sensitive: *kind == 9 };
                ((*key).to_owned(), held)
            })
            .collect();
        let shown: Vec<String> =
            differences("/config", &want, &have, ON_TOPIC).iter().map(ToString::to_string).collect();
        expected.assert_eq(&shown.join("\n"));
    }

    #[test]
    fn values_are_compared_by_their_type() {
        check(
            &[
                ("cleanup.policy", Some("compact, delete")),
                ("follower.throttled", Some("a, b")),
                ("min.cleanable.dirty.ratio", Some("0.50")),
                ("preallocate", Some("TRUE")),
                ("retention.ms", Some(" 0604800000 ")),
                ("compression.type", Some("lz4")),
            ],
            &[
                ("cleanup.policy", 1, 7, "delete,compact"),
                ("follower.throttled", 1, 7, "a,b"),
                ("min.cleanable.dirty.ratio", 1, 6, "0.5"),
                ("preallocate", 1, 1, "true"),
                ("retention.ms", 1, 5, "604800000"),
                ("compression.type", 1, 2, "lz4"),
            ],
            &expect![""],
        );
    }

    #[test]
    fn only_what_is_set_on_the_topic_counts() {
        check(
            &[("a", Some("1")), ("b", Some("1")), ("c", Some("1")), ("gone", None), ("default", None), ("never", None)],
            &[
                ("a", 5, 3, "1"),
                ("b", 3, 3, "1"),
                ("c", 1, 3, "2"),
                ("gone", 1, 3, "7"),
                ("default", 4, 3, "7"),
                ("mine", 1, 3, "9"),
            ],
            &expect![[r#"
                /config/a: (absent) -> "1"
                /config/b: (absent) -> "1"
                /config/c: "2" -> "1"
                /config/gone: "7" -> (absent)"#]],
        );
    }

    #[test]
    fn a_secret_is_never_compared() {
        check(&[("password", Some("new"))], &[("password", 1, 9, "")], &expect![""]);
        check(&[("password", None)], &[("password", 1, 9, "")], &expect!["/config/password: (secret) -> (absent)"]);
    }

    #[test]
    fn order_matters_in_lists_but_not_in_policies() {
        check(&[("x", Some("a,b"))], &[("x", 1, 7, "b,a")], &expect![[r#"/config/x: "b,a" -> "a,b""#]]);
    }

    #[test]
    fn declared_values_are_scalars() {
        let body: Value = serde_json::json!({"a": 1, "b": 0.5, "c": true, "d": "x", "e": null, "f": ["x"]});
        let (found, problems) = declared(body.as_object().expect("an object"));
        let shown: Vec<String> =
            found.iter().map(|(key, value)| format!("{key}={}", value.as_deref().unwrap_or("-"))).collect();
        assert_eq!(shown, ["a=1", "b=0.5", "c=true", "d=x", "e=-"]);
        assert_eq!(problems.len(), 1);
    }
}
