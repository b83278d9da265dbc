//! Real brokers: both versions start, log in, restart, pause and die as the kit says, and none outlives its test binary.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use kafka_protocol::messages::{ApiKey, MetadataRequest, SaslAuthenticateRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::StrBytes;
use kit::kafka_wire::Connection;
use kit::proxy::KafkaProxy;
use kit::servers::kafka::{Kafka, Listener, Version};
use kit::servers::{OpenSearch, certificates, opensearch};
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn both_versions_hold_what_their_own_client_made() {
    for version in Version::ALL {
        let kafka = Kafka::shared(version);
        kafka.oracle(&["create", "kit.held", "2", "1", "retention.ms=1000"]);
        kafka.oracle(&["produce", "kit.held", "a=1", "b=2"]);
        kafka.oracle(&["grant", "User:kit", "Topic", "kit.held", "Read"]);
        let all = kafka.oracle(&["all"]);
        let expected = json!({"partitions": 2, "replicas": 1, "in_sync": 1, "config": {"retention.ms": "1000"}});
        assert_eq!(all["topics"]["kit.held"], expected, "{version:?}");
        assert_eq!(all["acls"], json!(["User:kit ALLOW READ TOPIC LITERAL kit.held *"]), "{version:?}");
        let records = kafka.oracle(&["records", "kit.held"]);
        let mut pairs: Vec<String> =
            records.as_array().into_iter().flatten().map(|it| format!("{}{}", it["key"], it["value"])).collect();
        pairs.sort();
        assert_eq!(pairs, [r#""a""1""#, r#""b""2""#], "{version:?}");

        let before = kafka.oracle(&["metadata-offset"]);
        kafka.oracle(&["topics"]);
        assert_eq!(kafka.oracle(&["metadata-offset"]), before, "{version:?}: an idle broker writes nothing");
    }
}

#[test]
fn each_listener_lets_in_whom_it_should() {
    let tls = certificates().display();
    let trust = format!("ssl.truststore.type=PEM\nssl.truststore.location={tls}/ca.pem\n");
    for version in Version::ALL {
        let kafka = Kafka::shared(version);
        let (user, password) = Kafka::ADMIN;
        for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
            let module = if mechanism == "PLAIN" { "plain.Plain" } else { "scram.Scram" };
            let login = format!(
                "sasl.mechanism={mechanism}\nsasl.jaas.config=org.apache.kafka.common.security.{module}LoginModule required \
                 username=\"{user}\" password=\"{password}\";\n"
            );
            let ask = |listener, protocol: &str| {
                let properties = format!("security.protocol={protocol}\n{trust}{login}");
                assert_eq!(kafka.oracle_with(&kafka.bootstrap_on(listener), &properties, &["brokers"]), json!([1]));
            };
            ask(Listener::Sasl, "SASL_PLAINTEXT");
            ask(Listener::SaslTls, "SASL_SSL");
        }
        let mutual =
            format!("security.protocol=SSL\n{trust}ssl.keystore.type=PEM\nssl.keystore.location={tls}/client.pem\n");
        assert_eq!(kafka.oracle_with(&kafka.bootstrap_on(Listener::MutualTls), &mutual, &["brokers"]), json!([1]));
    }
}

#[test]
fn a_bearer_of_a_token_is_its_user() {
    for version in Version::ALL {
        let mut connection =
            Connection::open(Kafka::shared(version).address(1, Listener::Sasl), LIMIT).expect("it listens");
        let mechanism = StrBytes::from_static_str("OAUTHBEARER");
        let answer =
            connection.call(&SaslHandshakeRequest::default().with_mechanism(mechanism), 1).expect("it answers");
        assert_eq!(answer.error_code, 0, "{answer:?}");
        let message = format!("n,,\x01auth=Bearer {}\x01\x01", Kafka::token("admin"));
        let answer = connection
            .call(&SaslAuthenticateRequest::default().with_auth_bytes(message.into()), 2)
            .expect("it answers");
        assert_eq!(answer.error_code, 0, "{answer:?}");
        let answer = connection.call(&MetadataRequest::default(), 12).expect("it answers");
        assert_eq!(answer.brokers.len(), 1);
    }
}

#[test]
fn a_broker_keeps_its_data_over_kill_and_pause() {
    let kafka = Kafka::of(Version::V4_3).setting("auto.create.topics.enable=false").cold();
    assert!(Connection::open(kafka.address(1, Listener::Plain), LIMIT).is_err(), "a cold broker does not listen");
    kafka.launch();
    kafka.wait_ready();
    kafka.oracle(&["create", "kept", "1", "1"]);
    let first = kafka.process_id(1);
    kafka.kill(1);
    assert!(Connection::open(kafka.address(1, Listener::Plain), LIMIT).is_err());
    kafka.launch_node(1);
    kafka.wait_ready();
    assert_ne!(kafka.process_id(1), first);
    assert_eq!(kafka.oracle(&["topics"])["kept"]["partitions"], 1);

    kafka.pause(1);
    let ask = |limit| Connection::open(kafka.address(1, Listener::Plain), limit)?.call(&MetadataRequest::default(), 12);
    ask(Duration::from_millis(300)).expect_err("a paused broker accepts and stays silent");
    kafka.resume(1);
    ask(LIMIT).expect("it goes on");
    kafka.stop(1);
    assert_eq!(kafka.process_id(1), None);
}

#[test]
fn three_brokers_are_one_cluster_also_through_the_proxy() {
    let kafka = Kafka::of(Version::V4_3).nodes(3).start();
    assert_eq!(kafka.oracle(&["brokers"]), json!([1, 2, 3]));
    let proxy = KafkaProxy::to(&kafka.bootstrap());
    let through = kafka.oracle_with(&proxy.bootstrap(), "", &["create", "spread", "1", "3"]);
    assert_eq!(through, "created");
    assert_eq!(proxy.count(ApiKey::CreateTopics), 1, "Kafka's own client stayed on the proxy");
    assert_eq!(proxy.writes(), ["CreateTopics"]);
    kit::eventually(LIMIT, || kafka.oracle(&["topics"])["spread"]["in_sync"] == 3);
    kafka.kill(2);
    kit::eventually(LIMIT, || kafka.oracle(&["topics"])["spread"]["in_sync"] == 2);
}

/// Run again by itself with the variable set, this starts servers, says so, and waits to be killed.
#[test]
fn no_server_outlives_its_test_binary() {
    const NAME: &str = "KIT_START_AND_HANG";
    if std::env::var_os(NAME).is_some() {
        let kafka = Kafka::shared(Version::V4_3);
        let node = OpenSearch::of(opensearch::Variant::Core2).cold();
        node.launch();
        let (kafka, opensearch) = (kafka.process_id(1).unwrap_or(0), node.process_id(1).unwrap_or(0));
        writeln!(std::io::stdout(), "STARTED {kafka} {opensearch}").expect("the parent reads");
        kit::pause(Duration::from_mins(10));
        return;
    }
    let this = std::env::current_exe().expect("the running binary has a path");
    let mut child = Command::new(this)
        .args(["--exact", "no_server_outlives_its_test_binary", "--nocapture"])
        .env(NAME, "1")
        .stdout(Stdio::piped())
        .spawn()
        .expect("this binary can be run again");
    let lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
    let started =
        lines.map_while(Result::ok).find_map(|line| line.split_once("STARTED ").map(|(_, ids)| ids.to_owned()));
    let started = started.expect("the servers start");
    child.kill().expect("it can be killed");
    child.wait().expect("it was killed");
    let ids: Vec<&str> = started.split(' ').collect();
    assert_eq!(ids.len(), 2);
    for id in ids {
        let folder = format!("/proc/{id}");
        kit::eventually(LIMIT, || !is_java(Path::new(&folder)));
    }
}

/// A zombie, which nobody waits for in a container without an init, has no command line any more.
fn is_java(process: &Path) -> bool {
    std::fs::read_to_string(process.join("cmdline")).is_ok_and(|line| line.contains("java"))
}
