//! Settings of topics and brokers: comparing by source and type, reading only what is declared, changing one by one.
//!
//! A broker gives values back as it parsed them ("1.50" as "1.5", "delete, compact" as "delete,compact"), so they are compared by
//! the type that it names. What is not set on the object itself (a broker's default, a cluster's) is not its setting.

use std::collections::BTreeMap;
use std::sync::Arc;

use common::engine::change::{Difference, Failure, Shown};
use common::files::json::step;
use common::ordered;
use common::output::secret::hide;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest, ListConfigResourcesRequest};
use serde_json::{Map, Value};

use crate::cluster::{CONNECT, Cluster, Link, Node, repeat};
use crate::error::{self, Code};
use crate::resource::{Answered, Mode};
use crate::wire;

/// What can have settings of its own, by Kafka's number for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Of {
    Topic = 2,
    /// One broker, or without a name all of them.
    Broker = 4,
    ClientMetrics = 16,
    Group = 32,
}

/// One setting as the broker has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) value: Option<String>,
    /// Whether it is set on what was asked about, and not a default of the brokers.
    pub(crate) own: bool,
    kind: i8,
    pub(crate) sensitive: bool,
}

/// What has settings, and which of them are asked for (`None`: all).
#[derive(Clone, Debug)]
pub(crate) struct Resource {
    of: Of,
    pub(crate) name: String,
    keys: Option<Vec<String>>,
}

impl Resource {
    pub(crate) fn new(of: Of, name: &str, keys: Option<Vec<&str>>) -> Self {
        let keys = keys.map(|keys| keys.into_iter().map(str::to_owned).collect());
        Self { of, name: name.to_owned(), keys }
    }

    pub(crate) fn topic(name: &str, keys: Option<Vec<&str>>) -> Self {
        Self::new(Of::Topic, name, keys)
    }

    /// Whether a setting of this source was made on it. Franz-go's kfake names a cluster-wide setting as if it were one broker's.
    fn owns(&self, source: i8) -> bool {
        match (self.of, source) {
            (Of::Topic, 1) | (Of::Broker, 2) | (Of::ClientMetrics, 7) | (Of::Group, 8) => true,
            (Of::Broker, 3) => self.name.is_empty(),
            _ => false,
        }
    }

    /// The broker that alone knows one broker's own settings, and takes them.
    pub(crate) fn home(&self, link: &Arc<Link>) -> Result<Node, Failure> {
        let brokers = link.brokers();
        let Some(broker) = brokers.iter().find(|broker| broker.id.to_string() == self.name) else {
            let ids: Vec<String> = brokers.iter().map(|broker| broker.id.to_string()).collect();
            return Err(Failure::rejected(format!("there is no broker {}; there are {}", self.name, ids.join(", "))));
        };
        Ok(Node::new(link, vec![broker.address.clone()], CONNECT))
    }

    /// On what the right to its settings is needed.
    pub(crate) fn right(&self) -> String {
        match self.of {
            Of::Topic => format!("Topic:{}", self.name),
            Of::Group => format!("Group:{}", self.name),
            Of::Broker | Of::ClientMetrics => "Cluster:kafka-cluster".into(),
        }
    }
}

impl std::fmt::Display for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.of {
            Of::Broker if self.name.is_empty() => f.write_str("all brokers"),
            Of::Broker => write!(f, "broker {}", self.name),
            Of::Topic => write!(f, "topic {}", self.name),
            Of::ClientMetrics => write!(f, "the metrics subscription {}", self.name),
            Of::Group => write!(f, "group {}", self.name),
        }
    }
}

/// The settings that are passwords to Kafka, also where a listener's name stands before them.
const PASSWORDS: [&str; 8] = [
    "sasl.jaas.config",
    "ssl.key.password",
    "ssl.keystore.password",
    "ssl.keystore.key",
    "ssl.truststore.password",
    "password.encoder.secret",
    "password.encoder.old.secret",
    "client.secret",
];

/// Whether a setting's value is nobody's business, whatever the broker says of it.
pub(crate) fn secret(key: &str) -> bool {
    PASSWORDS
        .iter()
        .any(|known| key.strip_suffix(known).is_some_and(|before| before.is_empty() || before.ends_with('.')))
}

/// Declared settings as text; `None` unsets. What is no scalar is returned as a problem.
pub(crate) fn declared(config: &Map<String, Value>) -> (BTreeMap<String, Option<String>>, Vec<(String, String)>) {
    let mut found = BTreeMap::new();
    let mut problems = Vec::new();
    for (key, value) in config {
        if let (true, Some(text)) = (secret(key), value.as_str()) {
            hide(text);
        }
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

/// Where the declared settings differ from the object's own, and which of them cannot be compared.
pub(crate) fn differences(
    prefix: &str,
    want: &BTreeMap<String, Option<String>>,
    held: &BTreeMap<String, Held>,
) -> (Vec<Difference>, Vec<String>) {
    const PASSWORD: i8 = 9;
    let (mut found, mut notes) = (Vec::new(), Vec::new());
    for (key, want) in want {
        let told = held.get(key);
        let held = told.filter(|held| held.own);
        let hidden = secret(key) || told.is_some_and(|told| told.sensitive || told.kind == PASSWORD);
        let from = match held {
            None => Shown::Absent,
            Some(Held { value, .. }) => value.as_deref().map_or(Shown::Absent, Shown::text),
        };
        let differs = match (want, held) {
            (None, None) => false,
            (None, Some(_)) | (Some(_), None) => true,
            (Some(_), Some(Held { sensitive: true, .. })) => {
                notes.push(format!("{key} is set and not compared: the brokers do not tell it; to have it written, unset it first (null)"));
                false
            }
            (Some(want), Some(held)) => !held.value.as_deref().is_some_and(|value| same(key, held.kind, want, value)),
        };
        if differs {
            let to = want.as_deref().map_or(Shown::Absent, Shown::text);
            let difference = Difference::new(format!("{prefix}{}", step(key)), from, to);
            let there = held.is_some();
            found.push(match (hidden, there) {
                (true, true) => Difference { from: Shown::Masked, ..difference.masked() },
                (true, false) => difference.masked(),
                (false, _) => difference,
            });
        }
    }
    (found, notes)
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
        7 if key == "cleanup.policy" => ordered::set(items(want)) == ordered::set(items(have)),
        7 => items(want).eq(items(have)),
        // A broker that tells no types.
        0 => [1, 5, 6, 7].into_iter().any(|kind| same(key, kind, want, have)),
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
                .with_resource_type(resource.of as i8)
                .with_resource_name(wire::string(&resource.name))
                .with_configuration_keys(keys)
        });
        let request = DescribeConfigsRequest::default().with_resources(asked.collect());
        let asked_for =
            ordered::map(chunk.iter().map(|resource| ((resource.of as i8, resource.name.clone()), resource)));
        let link = node.link.clone();
        let part = repeat(&link, "the settings", || {
            let answer = node.ask(&request)?;
            let mut answers: BTreeMap<(i8, String), Result<Settings, Failure>> = BTreeMap::new();
            for result in answer.results {
                let place = (result.resource_type, result.resource_name.to_string());
                let Some(resource) = asked_for.get(&place) else { continue };
                let settings = match error::of(result.error_code) {
                    None => Ok(ordered::map(result.configs.into_iter().map(|config| {
                        let held = Held {
                            value: config.value.map(|value| value.to_string()),
                            own: resource.owns(config.config_source),
                            kind: config.config_type,
                            sensitive: config.is_sensitive,
                        };
                        (config.name.to_string(), held)
                    }))),
                    // Created a moment ago, and this broker has not heard of it: the comparison says what is missing.
                    Some(Code::UnknownTopicOrPartition) => Ok(Settings::new()),
                    Some(
                        Code::TopicAuthorizationFailed
                        | Code::ClusterAuthorizationFailed
                        | Code::GroupAuthorizationFailed,
                    ) => Err(error::denied("DescribeConfigs", resource.right())),
                    Some(Code::InvalidRequest) if resource.of == Of::Group => {
                        let text =
                            format!("cannot read the settings of {resource}: groups have settings from Kafka 4.0 on");
                        Err(Failure::rejected(text))
                    }
                    Some(other) => {
                        let what = format!("cannot read the settings of {resource}");
                        Err(error::failure(what, other, result.error_message.as_deref()))
                    }
                };
                answers.insert(place, settings);
            }
            Ok(answers)
        });
        let mut part = part?;
        for resource in chunk {
            let missing = || Err(Failure::fatal(format!("the broker did not answer for the settings of {resource}")));
            found.push(part.remove(&(resource.of as i8, resource.name.clone())).unwrap_or_else(missing));
        }
    }
    Ok(found)
}

/// What of a kind has settings of its own: for `export`.
pub(crate) fn names(cluster: &mut Cluster, of: Of, all_together: bool) -> Result<Vec<String>, Failure> {
    if all_together {
        return Ok(vec![String::new()]);
    }
    if of == Of::Broker {
        return Ok(cluster.link.brokers().into_iter().map(|broker| broker.id.to_string()).collect());
    }
    // From Kafka 4.1 on every type can be listed, before only metrics subscriptions (3.7).
    let lists = cluster.main.offers::<ListConfigResourcesRequest>()?;
    if !lists {
        return Ok(Vec::new());
    }
    let request = ListConfigResourcesRequest::default();
    let answer = cluster.main.read(&request)?;
    match error::of(answer.error_code) {
        None => {
            let named = answer.config_resources.into_iter().filter(|one| one.resource_type == of as i8);
            Ok(named.map(|one| one.resource_name.to_string()).collect())
        }
        Some(Code::ClusterAuthorizationFailed) => Err(error::denied("DescribeConfigs", "Cluster:kafka-cluster")),
        Some(other) => Err(error::failure("cannot list what has settings", other, None)),
    }
}

/// A resource and what changes in it.
pub(crate) type Altered = (Resource, Vec<(String, Option<String>)>);

const SET: i8 = 0;
const DELETE: i8 = 1;

/// What fails if a change fails.
pub(crate) fn what((resource, changes): &Altered) -> String {
    let keys: Vec<&str> = changes.iter().map(|(key, _)| key.as_str()).collect();
    format!("cannot set {} of {resource}", keys.join(", "))
}

/// Changes single settings, or has that validated; everything else of the resource stays.
pub(crate) fn alter(cluster: &mut Cluster, altered: &[Altered], mode: Mode) -> Result<Vec<Answered>, Failure> {
    let resources = altered.iter().map(|(resource, changes)| {
        let configs = changes.iter().map(|(key, value)| {
            AlterableConfig::default()
                .with_name(wire::string(key))
                .with_config_operation(if value.is_some() { SET } else { DELETE })
                .with_value(value.as_deref().map(wire::string))
        });
        AlterConfigsResource::default()
            .with_resource_type(resource.of as i8)
            .with_resource_name(wire::string(&resource.name))
            .with_configs(configs.collect())
    });
    let request = IncrementalAlterConfigsRequest::default()
        .with_resources(resources.collect())
        .with_validate_only(mode.validates());
    let single = |resource: &Resource| resource.of == Of::Broker && !resource.name.is_empty();
    let answer = match altered {
        [(resource, _)] if single(resource) => resource.home(&cluster.link)?.ask(&request).map_err(|failure| {
            let text = format!("{resource} is asked itself, by the address in its advertised.listeners");
            Failure { message: format!("{}; {text}", failure.message), ..failure }
        })?,
        [(resource, _), ..] if single(resource) => {
            let mut answers = Vec::new();
            for one in altered {
                answers.extend(alter(cluster, std::slice::from_ref(one), mode)?);
            }
            return Ok(answers);
        }
        _ => cluster.administer(&request, |answer| {
            answer.responses.iter().any(|one| error::is(one.error_code, Code::NotController))
        })?,
    };
    let answered = answer
        .responses
        .iter()
        .map(|one| (one.resource_name.as_str(), Answered::new(one.error_code, one.error_message.as_ref())));
    let answers = ordered::map(answered);
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
                let own = Resource::topic("t", None).owns(*source);
                let held = Held { value: Some((*value).to_owned()), own, kind: *kind, sensitive: *kind == 9 };
                ((*key).to_owned(), held)
            })
            .collect();
        let (found, notes) = differences("/config", &want, &have);
        let shown: Vec<String> = found.iter().map(ToString::to_string).chain(notes).collect();
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
    fn a_secret_is_never_compared_and_never_shown() {
        check(
            &[("password", Some("new"))],
            &[("password", 1, 9, "")],
            &expect![
                "password is set and not compared: the brokers do not tell it; to have it written, unset it first (null)"
            ],
        );
        check(&[("password", None)], &[("password", 1, 9, "")], &expect!["/config/password: (secret) -> (absent)"]);
        // A broker's default tells the type as well; and what no broker has told yet is known by its name.
        check(
            &[("password", Some("new"))],
            &[("password", 5, 9, "")],
            &expect!["/config/password: (absent) -> (secret)"],
        );
        check(
            &[
                ("listener.name.sasl.scram-sha-256.sasl.jaas.config", Some("… password=clear;")),
                ("notsasl.jaas.config", Some("x")),
            ],
            &[],
            &expect![[r#"
                /config/listener.name.sasl.scram-sha-256.sasl.jaas.config: (absent) -> (secret)
                /config/notsasl.jaas.config: (absent) -> "x""#]],
        );
    }

    #[test]
    fn a_broker_that_tells_no_types_is_given_the_benefit_of_the_doubt() {
        check(
            &[
                ("a", Some("1.50")),
                ("b", Some("TRUE")),
                ("c", Some("a, b")),
                ("cleanup.policy", Some("compact,delete")),
                ("d", Some("2")),
            ],
            &[
                ("a", 1, 0, "1.5"),
                ("b", 1, 0, "true"),
                ("c", 1, 0, "a,b"),
                ("cleanup.policy", 1, 0, "delete,compact"),
                ("d", 1, 0, "1"),
            ],
            &expect![[r#"/config/d: "1" -> "2""#]],
        );
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
