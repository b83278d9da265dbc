//! Strimzi's resources as objects of ours: `KafkaTopic`, `KafkaUser` and `KafkaConnector`, in `strimzi/` or inside a kind's folder. Only what they
//! say is taken apart here; what it means to a cluster is the kinds'.

use std::path::{Path, PathBuf};

use common::files::foreign::{Declared, Document, Foreign, Place, Sink};
use serde_json::{Map, Value, json};

use crate::{acl, connector, quota, topic, user};

/// The kinds in whose folders such a document may lie.
const INSIDE: &[&str] = &[topic::KIND, user::KIND, acl::KIND, quota::KIND, connector::KIND];

/// Strimzi's quotas and Kafka's names for them.
const QUOTAS: [(&str, &str); 4] = [
    ("producerByteRate", "producer_byte_rate"),
    ("consumerByteRate", "consumer_byte_rate"),
    ("requestPercentage", "request_percentage"),
    ("controllerMutationRate", "controller_mutation_rate"),
];

/// Takes Strimzi's resources; `secrets` is where the Secrets that they name are mounted, a folder each.
pub(crate) fn foreign(secrets: PathBuf) -> Foreign {
    let inside = secrets.clone();
    Foreign::default()
        .folder("strimzi", move |files, sink| {
            for file in files.iter().filter(|file| matches!(file.ending.as_str(), "yaml" | "yml" | "json")) {
                for document in sink.documents(file) {
                    if !resource(&document, &secrets, sink) {
                        sink.leave_out("strimzi: no resource of Strimzi's", titled(&document.value));
                    }
                }
            }
        })
        .inside(INSIDE, move |document, sink| resource(document, &inside, sink))
}

fn titled(value: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    format!("{}/{}", text(&value["kind"]), text(&value["metadata"]["name"]))
}

/// Declares what a document says; `false` if it is none of Strimzi's.
fn resource(Document { place, value, .. }: &Document, secrets: &Path, sink: &mut Sink<'_, '_>) -> bool {
    let group = value.get("apiVersion").and_then(Value::as_str);
    if !group.is_some_and(|group| group.starts_with("kafka.strimzi.io/")) {
        return false;
    }
    sink.only(place, value, &["apiVersion", "kind", "metadata", "spec", "status"]);
    let Some(name) = value["metadata"]["name"].as_str().map(str::to_owned) else {
        sink.problem(place.below("metadata").problem("the resource needs a name"));
        return true;
    };
    let (at, nothing) = (place.below("spec"), json!({}));
    let spec = value.get("spec").unwrap_or(&nothing);
    match value["kind"].as_str() {
        Some("KafkaTopic") => kafka_topic(name, spec, at, sink),
        Some("KafkaUser") => kafka_user(&name, spec, &at, secrets, sink),
        Some("KafkaConnector") => kafka_connector(name, spec, at, sink),
        _ => sink.leave_out("strimzi: for Strimzi's own operators", titled(value)),
    }
    true
}

/// Says that a field is no business of a cluster's.
fn not_ours(what: &str, spec: &Value, field: &str, sink: &mut Sink<'_, '_>) {
    if spec.get(field).is_some() {
        sink.leave_out("strimzi: for Strimzi's own operators", format!("{what} {field}"));
    }
}

/// The fields of a value that are there, by their names.
fn fields(value: &Value, names: &[&str]) -> Map<String, Value> {
    names.iter().filter_map(|name| Some(((*name).to_owned(), value.get(*name)?.clone()))).collect()
}

fn kafka_topic(name: String, spec: &Value, at: Place, sink: &mut Sink<'_, '_>) {
    sink.only(&at, spec, &["topicName", "partitions", "replicas", "config"]);
    let name = spec["topicName"].as_str().map_or(name, str::to_owned);
    let body = fields(spec, &["partitions", "replicas", "config"]);
    sink.object(Declared::new(topic::KIND, name, body.into(), at));
}

fn kafka_user(name: &str, spec: &Value, at: &Place, secrets: &Path, sink: &mut Sink<'_, '_>) {
    sink.only(at, spec, &["authentication", "authorization", "quotas", "template"]);
    not_ours(&format!("KafkaUser/{name}"), spec, "template", sink);
    for (field, known) in [("authentication", ["type", "password"]), ("authorization", ["type", "acls"])] {
        if let Some(value) = spec.get(field) {
            sink.only(&at.below(field), value, &known);
        }
    }
    let authentication = &spec["authentication"];
    let kafkas = match authentication["type"].as_str() {
        // Strimzi's own operator would make a password and put it into a Secret of the user's name.
        Some("scram-sha-512") => {
            let reference = &authentication["password"]["valueFrom"]["secretKeyRef"];
            let (secret, key) = match (authentication.get("password"), &reference["name"], &reference["key"]) {
                (None, ..) => (name, "password"),
                (_, Value::String(secret), Value::String(key)) => (secret.as_str(), key.as_str()),
                _ => {
                    let place = at.below("authentication").below("password");
                    let text = "valueFrom.secretKeyRef with name and key is known, which is SECRETS_DIR/<name>/<key>";
                    return sink.problem(place.problem(text));
                }
            };
            let file = secrets.join(secret).join(key);
            let body = json!({"password": format!("$__file{{{}}}", file.display()), "mechanisms": ["SCRAM-SHA-512"]});
            sink.object(Declared::new(user::KIND, name, body, at.below("authentication")));
            name.to_owned()
        }
        Some("tls" | "tls-external") => format!("CN={name}"),
        None => name.to_owned(),
        Some(other) => {
            let text = format!("{other}: scram-sha-512, tls and tls-external are known");
            sink.problem(at.below("authentication").below("type").problem(text));
            return;
        }
    };
    let authorization = &spec["authorization"];
    match authorization["type"].as_str() {
        None => {}
        Some("simple") => {
            let place = at.below("authorization").below("acls");
            let acls = authorization.get("acls").cloned().unwrap_or_else(|| json!([]));
            sink.object(Declared::new(acl::KIND, format!("User:{kafkas}"), acls, place));
        }
        Some(other) => {
            let text = format!("{other}: only simple is known, which is Kafka's own authorizer");
            sink.problem(at.below("authorization").below("type").problem(text));
        }
    }
    if let Some(quotas) = spec.get("quotas") {
        let place = at.below("quotas");
        sink.only(&place, quotas, &QUOTAS.map(|(theirs, _)| theirs));
        let rates = QUOTAS.iter().filter_map(|(theirs, ours)| Some(((*ours).to_owned(), quotas.get(*theirs)?.clone())));
        let rates: Map<String, Value> = rates.collect();
        sink.object(Declared::new(quota::KIND, format!("user={kafkas}"), rates.into(), place));
    }
}

fn kafka_connector(name: String, spec: &Value, at: Place, sink: &mut Sink<'_, '_>) {
    sink.only(&at, spec, &["class", "tasksMax", "config", "state", "pause", "autoRestart"]);
    not_ours(&format!("KafkaConnector/{name}"), spec, "autoRestart", sink);
    let mut config = spec["config"].as_object().cloned().unwrap_or_default();
    for (theirs, ours) in [("class", "connector.class"), ("tasksMax", "tasks.max")] {
        if let Some(value) = spec.get(theirs) {
            config.insert(ours.to_owned(), value.clone());
        }
    }
    let mut body = json!({"config": config});
    match (spec.get("state"), spec["pause"].as_bool()) {
        (Some(state), _) => body["state"] = state.clone(),
        (None, Some(true)) => body["state"] = "paused".into(),
        (None, _) => {}
    }
    sink.object(Declared::new(connector::KIND, name, body, at));
}

/// `KAFKA_CREATE_TOPICS`: `name:partitions:replicas:cleanup policy`, where what is left out or empty is the brokers' default.
pub(crate) mod create_topics {
    use super::{Declared, Map, Place, Value, json, topic};

    /// The variable's name.
    pub(crate) const VARIABLE: &str = "KAFKA_CREATE_TOPICS";

    /// The topics that the variable declares.
    pub(crate) fn declared(list: &str) -> Result<Vec<Declared>, String> {
        let each = list.split(|c: char| c == ',' || c.is_whitespace()).filter(|one| !one.is_empty());
        each.map(one).collect()
    }

    fn one(text: &str) -> Result<Declared, String> {
        let wrong =
            |what: &str| format!("{text}: {what}: write name:partitions:replicas:policy, as in events:3:1:compact");
        let mut parts = text.split(':');
        let name = parts.next().filter(|name| !name.is_empty()).ok_or_else(|| wrong("a topic needs a name"))?;
        let mut body = Map::new();
        for field in ["partitions", "replicas"] {
            if let Some(count) = parts.next().filter(|count| !count.is_empty()) {
                let count: u32 = count.parse().map_err(|_| wrong(&format!("{field} is a number")))?;
                body.insert(field.to_owned(), count.into());
            }
        }
        // Kafka's own list of policies has commas, which part topics here.
        if let Some(policy) = parts.next().filter(|policy| !policy.is_empty()) {
            body.insert("config".to_owned(), json!({"cleanup.policy": policy.replace('+', ",")}));
        }
        if parts.next().is_some() {
            return Err(wrong("there are at most four parts"));
        }
        Ok(Declared::new(topic::KIND, name, Value::Object(body), Place::variable(VARIABLE)))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn topics_stand_between_commas_lines_and_blanks() {
            let list = "infra-events:3:3,application-logs:6:1:compact\n  bare empty::2 both:::compact+delete";
            let topics = declared(list).expect("a good list");
            let shown: Vec<String> = topics.iter().map(|topic| format!("{} {}", topic.name, topic.body)).collect();
            assert_eq!(
                shown,
                [
                    r#"infra-events {"partitions":3,"replicas":3}"#,
                    r#"application-logs {"config":{"cleanup.policy":"compact"},"partitions":6,"replicas":1}"#,
                    "bare {}",
                    r#"empty {"replicas":2}"#,
                    r#"both {"config":{"cleanup.policy":"compact,delete"}}"#,
                ]
            );
            for (wrong, part) in
                [(":3", "needs a name"), ("a:x", "partitions is a number"), ("a:1:1:compact:x", "four parts")]
            {
                assert!(declared(wrong).is_err_and(|text| text.contains(part)), "{wrong}");
            }
        }
    }
}
