//! Topics, bindings and users on a real broker: k-init beside the bare requests, the two Python clients and Kafka's own tool.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use kafka_protocol::messages::alter_user_scram_credentials_request::ScramCredentialUpsertion;
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    AlterUserScramCredentialsRequest, BrokerId, CreateAclsRequest, CreateTopicsRequest, DeleteAclsRequest,
    DeleteTopicsRequest, DescribeAclsRequest, DescribeConfigsRequest, DescribeUserScramCredentialsRequest,
    ListOffsetsRequest, MetadataRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use kit::kafka_wire::Connection;
use kit::proxy::kafka::KafkaProxy;
use kit::sandbox::Sandbox;
use kit::servers::kafka::{Kafka, Listener, Version};
use serde_json::{Map, Value, json};

use crate::sides::{Scale, Side, Times, alternate, process, python, script, timed, work};
use crate::table::Table;

const SETTINGS: [(&str, &str); 2] = [("retention.ms", "604800000"), ("cleanup.policy", "delete")];
const PARTITIONS: i32 = 3;
const ANY: i8 = 1;

pub(crate) fn measure(table: &mut Table, scale: Scale) {
    let kafka = Kafka::of(Version::V4_3).start();
    let python = python();
    if let Err(reason) = &python {
        table.note(format!("the Python clients are left out: {reason}"));
    }
    let python = python.ok();
    topics(table, &kafka, python.as_deref(), 50, scale.pick(9, 1));
    topics(table, &kafka, python.as_deref(), scale.pick(500, 60), scale.pick(3, 1));
    own_tool(table, &kafka, scale.pick(10, 2));
    acls(table, &kafka, python.as_deref(), scale.pick(9, 1));
    users(table, &kafka, python.as_deref(), scale.pick(5, 1));
}

/// A connection of few words, with the requests that are measured.
struct Bare(Connection);

impl Bare {
    fn to(kafka: &Kafka) -> Self {
        let opened = Connection::open(kafka.address(1, Listener::Plain), Duration::from_secs(30));
        Self(opened.expect("the broker listens"))
    }

    fn create(&mut self, names: &[String]) {
        let config = |(name, value)| {
            CreatableTopicConfig::default()
                .with_name(StrBytes::from_static_str(name))
                .with_value(Some(StrBytes::from_static_str(value)))
        };
        let topic = |name: &String| {
            CreatableTopic::default()
                .with_name(topic_name(name))
                .with_num_partitions(PARTITIONS)
                .with_replication_factor(1)
                .with_configs(SETTINGS.map(config).into())
        };
        let topics = names.iter().map(topic).collect();
        let request = CreateTopicsRequest::default().with_topics(topics).with_timeout_ms(20_000);
        let answer = self.0.call(&request, 5).expect("it answers");
        assert!(answer.topics.iter().all(|topic| topic.error_code == 0), "{answer:?}");
    }

    /// What everybody has to read who wants to know whether topics are as they should be.
    fn read(&mut self, names: &[String]) {
        let topics = names.iter().map(|name| MetadataRequestTopic::default().with_name(Some(topic_name(name))));
        let request = MetadataRequest::default().with_topics(Some(topics.collect()));
        self.0.call(&request, 12).expect("it answers");
        let resource = |name: &String| {
            let name = StrBytes::from_string(name.clone());
            DescribeConfigsResource::default().with_resource_type(2).with_resource_name(name)
        };
        let request = DescribeConfigsRequest::default().with_resources(names.iter().map(resource).collect());
        self.0.call(&request, 4).expect("it answers");
    }

    /// Waits until the broker has made the folders of these topics, some hundred milliseconds after it has answered: until then
    /// whatever comes next would pay for it.
    fn rest(&mut self, names: &[String]) {
        let partition = |index| ListOffsetsPartition::default().with_partition_index(index).with_timestamp(-1);
        let topic = |name: &String| {
            let partitions = (0..PARTITIONS).map(partition).collect();
            ListOffsetsTopic::default().with_name(topic_name(name)).with_partitions(partitions)
        };
        let topics = names.iter().map(topic).collect();
        let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(topics);
        kit::eventually(Duration::from_mins(1), || {
            let answer = self.0.call(&request, 5).expect("it answers");
            answer.topics.iter().flat_map(|topic| &topic.partitions).all(|partition| partition.error_code == 0)
        });
    }

    fn delete(&mut self, names: &[String]) {
        let names = names.iter().map(topic_name as fn(&String) -> TopicName).collect();
        let request = DeleteTopicsRequest::default().with_topic_names(names).with_timeout_ms(20_000);
        self.0.call(&request, 5).expect("it answers");
        kit::eventually(Duration::from_mins(1), || {
            let all = self.0.call(&MetadataRequest::default().with_topics(None), 12).expect("it answers");
            all.topics.iter().all(|topic| topic.is_internal)
        });
    }
}

#[expect(clippy::ptr_arg, reason = "a function for an iterator over strings")]
fn topic_name(name: &String) -> TopicName {
    TopicName(StrBytes::from_string(name.clone()))
}

fn names(prefix: &str, round: usize, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}-{round}-{n}")).collect()
}

/// `topics.json`, which the scripts read too.
fn topics_file(sandbox: &Sandbox, names: &[String]) {
    let settings: Map<String, Value> =
        SETTINGS.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let body = json!({"partitions": PARTITIONS, "replicas": 1, "config": settings});
    let all: Map<String, Value> = names.iter().map(|name| (name.clone(), body.clone())).collect();
    sandbox.write("topics.json", Value::Object(all).to_string());
}

fn k_init(bootstrap: &str) -> Sandbox {
    Sandbox::new("k-init").env("KAFKA_BOOTSTRAP_SERVERS", bootstrap)
}

/// First and second run of k-init: its work, and the whole process.
fn twice(sandbox: &Sandbox, between: impl FnOnce()) -> Times {
    let first = sandbox.run(&[]);
    first.expect_code(0);
    between();
    let second = sandbox.run(&[]);
    second.expect_code(0);
    assert_eq!(second.count("writes"), 0, "{second}");
    vec![
        ("first", work(&first)),
        ("second", work(&second)),
        ("first, process", first.elapsed),
        ("second, process", second.elapsed),
    ]
}

const BARE: &str = "the bare requests, an open connection";
const OURS: &str = "k-init: its work";
const PROCESS: &str = "k-init: the whole process";

const SCRIPTS: [(&str, &str, &[&str]); 3] = [
    ("confluent-kafka: create, ignore \"exists\"", "kafka_confluent.py", &["create"]),
    ("confluent-kafka: list, create, compare settings", "kafka_confluent.py", &["compare"]),
    ("kafka-python: list, create", "kafka_python.py", &[]),
];

fn topics(table: &mut Table, kafka: &Kafka, python: Option<&Path>, count: usize, rounds: usize) {
    let sandbox = k_init(&kafka.bootstrap());
    let file = sandbox.config_dir().join("topics.json");
    let mut sides = vec![
        Side::new(BARE, |round| {
            let (mut bare, names) = (Bare::to(kafka), names("bare", round, count));
            let ((), first) = timed(|| bare.create(&names));
            bare.rest(&names);
            let ((), second) = timed(|| bare.read(&names));
            bare.delete(&names);
            vec![("first", first), ("second", second)]
        }),
        Side::new(OURS, |round| {
            let (mut bare, names) = (Bare::to(kafka), names("ours", round, count));
            topics_file(&sandbox, &names);
            let times = twice(&sandbox, || bare.rest(&names));
            bare.delete(&names);
            times
        }),
    ];
    for (name, program, arguments) in SCRIPTS.iter().copied().filter(|_| python.is_some()) {
        let (sandbox, file) = (&sandbox, &file);
        sides.push(Side::new(name, move |round| {
            let (mut bare, names) = (Bare::to(kafka), names("peer", round, count));
            topics_file(sandbox, &names);
            let run = || {
                let mut command = script(python.expect("the sides are made with one"), program);
                process(command.args(arguments).arg(kafka.bootstrap()).arg(file))
            };
            let first = run();
            bare.rest(&names);
            let second = run();
            bare.delete(&names);
            vec![("first", first), ("second", second)]
        }));
    }
    let found = alternate(rounds, &mut sides);
    drop(sides);
    for (step, told) in [("first", "first run"), ("second", "second run")] {
        let what = format!("Kafka, {count} topics with settings, {told}");
        let base = found.of(BARE, step);
        table.row(&what, BARE, &base, &base);
        let row = table.row(&what, OURS, &found.of(OURS, step), &base);
        // Of 500 topics nothing is demanded but that they are shown.
        match step {
            "first" => row.at_most(1.1),
            _ if count == 50 => row.at_most(1.3),
            _ => row,
        };
        let process = if step == "first" { "first, process" } else { "second, process" };
        table.row(&what, PROCESS, &found.of(OURS, process), &base);
        for (name, ..) in SCRIPTS.iter().filter(|_| python.is_some()) {
            table.row(&what, name, &found.of(name, step), &base);
        }
    }
    counted(table, kafka, count);
}

/// Requests of a first and a second run, counted on the wire.
fn counted(table: &mut Table, kafka: &Kafka, count: usize) {
    let proxy = KafkaProxy::to(&kafka.bootstrap());
    let (mut bare, names) = (Bare::to(kafka), names("counted", 0, count));
    let sandbox = k_init(&proxy.bootstrap());
    topics_file(&sandbox, &names);
    sandbox.run(&[]).expect_code(0);
    let first = proxy.requests();
    bare.rest(&names);
    proxy.clear();
    sandbox.run(&[]).expect_code(0);
    let (second, writes) = (proxy.requests(), proxy.writes().len());
    bare.delete(&names);
    let what = format!("Kafka, {count} topics with settings, requests");
    table.fact(&what, "k-init, first run", first.to_string());
    table.fact(&what, "k-init, second run", format!("{second}, {writes} writes")).bound("no write", writes == 0);
}

/// `kafka-topics --create --if-not-exists` makes one topic a process.
fn own_tool(table: &mut Table, kafka: &Kafka, count: usize) {
    let mut found = [crate::table::Samples::default(), crate::table::Samples::default()];
    let tool = |name: &str| {
        let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("setup/kafka.sh"));
        command.args(["tool", kafka.version().number(), "org.apache.kafka.tools.TopicCommand"]);
        command.args(["--bootstrap-server", &kafka.bootstrap(), "--create", "--if-not-exists", "--topic", name]);
        command.args(["--partitions", "3", "--replication-factor", "1"]);
        for (name, value) in SETTINGS {
            command.arg("--config").arg(format!("{name}={value}"));
        }
        process(&mut command)
    };
    let names = names("tool", 0, count + 1);
    for samples in &mut found {
        // The first fetches the tool's jars or warms them up.
        tool(&names[0]);
        names[1..].iter().for_each(|name| samples.push(tool(name)));
    }
    Bare::to(kafka).delete(&names);
    let side = format!("kafka-topics --create --if-not-exists, a JVM a topic (median of {count}, times 50)");
    for (samples, told) in found.iter().zip(["first run", "second run"]) {
        let what = format!("Kafka, 50 topics with settings, {told}");
        let base = table.rows.iter().find(|row| row.work == what && row.side == BARE).cloned();
        let row = table.row(&what, &side, &samples.times(50.0), &crate::table::Samples::default());
        row.ratio = base.and_then(|base| base.milliseconds).map(|base| samples.median() * 50.0 / base);
    }
}

fn acls(table: &mut Table, kafka: &Kafka, python: Option<&Path>, rounds: usize) {
    let names = names("topic", 0, 50);
    let sandbox = k_init(&kafka.bootstrap());
    let list: Vec<Value> = names
        .iter()
        .map(|name| json!({"resource": {"type": "topic", "name": name}, "operations": ["Read", "Describe"]}))
        .collect();
    sandbox.write("acls/User:app.json", Value::Array(list).to_string());
    let plain = k_init(&kafka.bootstrap());
    topics_file(&plain, &names);
    let clear = || {
        let filter = DeleteAclsFilter::default()
            .with_resource_type_filter(ANY)
            .with_pattern_type_filter(ANY)
            .with_operation(ANY)
            .with_permission_type(ANY);
        let answer = Bare::to(kafka).0.call(&DeleteAclsRequest::default().with_filters(vec![filter]), 2);
        answer.expect("it answers");
    };
    let mut sides = vec![
        Side::new(BARE, |_| {
            let mut bare = Bare::to(kafka);
            // Read and Describe.
            let binding = |name: &String, operation| {
                AclCreation::default()
                    .with_resource_type(2)
                    .with_resource_name(StrBytes::from_string(name.clone()))
                    .with_resource_pattern_type(3)
                    .with_principal(StrBytes::from_static_str("User:app"))
                    .with_host(StrBytes::from_static_str("*"))
                    .with_operation(operation)
                    .with_permission_type(3)
            };
            let all = names.iter().flat_map(|name| [binding(name, 3), binding(name, 8)]).collect();
            let create = CreateAclsRequest::default().with_creations(all);
            let (answer, first) = timed(|| bare.0.call(&create, 2).expect("it answers"));
            assert!(answer.results.iter().all(|result| result.error_code == 0), "{answer:?}");
            let all = DescribeAclsRequest::default()
                .with_resource_type_filter(ANY)
                .with_pattern_type_filter(ANY)
                .with_operation(ANY)
                .with_permission_type(ANY);
            let (_, second) = timed(|| bare.0.call(&all, 2).expect("it answers"));
            clear();
            vec![("first", first), ("second", second)]
        }),
        Side::new(OURS, |_| {
            let times = twice(&sandbox, || ());
            clear();
            times
        }),
    ];
    if let Some(python) = python {
        let (bootstrap, file) = (kafka.bootstrap(), plain.config_dir().join("topics.json"));
        sides.push(Side::new(CONFLUENT, move |_| {
            let run = || process(script(python, "kafka_confluent.py").args(["acls", &bootstrap]).arg(&file));
            let times = vec![("first", run()), ("second", run())];
            clear();
            times
        }));
    }
    let found = alternate(rounds, &mut sides);
    drop(sides);
    rows(table, "100 ACL bindings", &found, python.is_some());
}

const CONFLUENT: &str = "confluent-kafka: write all";

fn rows(table: &mut Table, what: &str, found: &crate::sides::Found, python: bool) {
    for (step, told) in [("first", "first run"), ("second", "second run")] {
        let what = format!("Kafka, {what}, {told}");
        let base = found.of(BARE, step);
        table.row(&what, BARE, &base, &base);
        let row = table.row(&what, OURS, &found.of(OURS, step), &base);
        if step == "first" {
            row.at_most(1.1);
        }
        if python {
            table.row(&what, CONFLUENT, &found.of(CONFLUENT, step), &base);
        }
    }
}

fn users(table: &mut Table, kafka: &Kafka, python: Option<&Path>, rounds: usize) {
    // Each round has users of its own: there is no quick way to have them gone.
    let file = |sandbox: &Sandbox, names: &[String]| {
        let body = |name: &String| (name.clone(), json!({"password": format!("otter-granite-{name}")}));
        let all: Map<String, Value> = names.iter().map(body).collect();
        sandbox.write("users.json", Value::Object(all).to_string());
    };
    let sandbox = k_init(&kafka.bootstrap_on(Listener::Sasl))
        .env("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
        .env("KAFKA_SASL_MECHANISM", "PLAIN")
        .env("KAFKA_USERNAME", Kafka::ADMIN.0)
        .env("KAFKA_PASSWORD", Kafka::ADMIN.1);
    let mut sides = vec![
        Side::new(BARE, |round| {
            let mut bare = Bare::to(kafka);
            let user = |name: &String| {
                ScramCredentialUpsertion::default()
                    .with_name(StrBytes::from_string(name.clone()))
                    .with_mechanism(2)
                    .with_iterations(4096)
                    .with_salt(vec![7; 32].into())
                    .with_salted_password(vec![9; 64].into())
            };
            let all = names("bare", round, 20).iter().map(user).collect();
            let write = AlterUserScramCredentialsRequest::default().with_upsertions(all);
            let (_, first) = timed(|| bare.0.call(&write, 0).expect("it answers"));
            let read = DescribeUserScramCredentialsRequest::default().with_users(None);
            let (_, second) = timed(|| bare.0.call(&read, 0).expect("it answers"));
            vec![("first", first), ("second", second)]
        }),
        Side::new(OURS, |round| {
            file(&sandbox, &names("ours", round, 20));
            twice(&sandbox, || ())
        }),
    ];
    if let Some(python) = python {
        let (bootstrap, place) = (kafka.bootstrap(), k_init(""));
        sides.push(Side::new(CONFLUENT, move |round| {
            file(&place, &names("peer", round, 20));
            let path = place.config_dir().join("users.json");
            let run = || process(script(python, "kafka_confluent.py").args(["users", &bootstrap]).arg(&path));
            vec![("first", run()), ("second", run())]
        }));
    }
    let found = alternate(rounds, &mut sides);
    drop(sides);
    rows(table, "20 users", &found, python.is_some());
}
