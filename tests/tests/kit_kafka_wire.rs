//! The scripted brokers and the Kafka proxy, against each other: defaults, faults, counts, and addresses that keep a client on the proxy.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest, MetadataRequest,
    TopicName,
};
use kafka_protocol::protocol::StrBytes;
use kit::kafka_wire::Connection;
use kit::proxy::KafkaProxy;
use kit::proxy::kafka::Verdict;
use kit::scripted_kafka::{Answer, ScriptedKafka};

const LIMIT: Duration = Duration::from_secs(10);

fn first(bootstrap: &str) -> SocketAddr {
    bootstrap.split(',').next().and_then(|address| address.parse().ok()).expect("a bootstrap list holds addresses")
}

fn connect(bootstrap: &str) -> Connection {
    Connection::open(first(bootstrap), LIMIT).expect("it listens")
}

fn create(name: &'static str, validate_only: bool) -> CreateTopicsRequest {
    let topic = CreatableTopic::default()
        .with_name(TopicName(StrBytes::from_static_str(name)))
        .with_num_partitions(1)
        .with_replication_factor(1);
    CreateTopicsRequest::default().with_topics(vec![topic]).with_validate_only(validate_only)
}

/// Brokers that say yes to every topic.
fn agreeable(brokers: usize) -> ScriptedKafka {
    let kafka = ScriptedKafka::new(brokers);
    kafka.on(ApiKey::CreateTopics, |call| {
        let request: CreateTopicsRequest = call.message();
        let results = request.topics.iter().map(|topic| CreatableTopicResult::default().with_name(topic.name.clone()));
        call.answer(&CreateTopicsResponse::default().with_topics(results.collect()))
    });
    kafka
}

#[test]
fn scripted_brokers_know_each_other_and_no_topic() {
    let kafka = ScriptedKafka::new(3);
    let mut connection = connect(&kafka.bootstrap());
    let versions = connection.call(&ApiVersionsRequest::default(), 3).expect("it answers");
    assert!(versions.api_keys.iter().any(|key| key.api_key == ApiKey::CreateTopics as i16 && key.max_version >= 7));

    let topic = MetadataRequestTopic::default().with_name(Some(TopicName(StrBytes::from_static_str("a"))));
    let metadata = connection.call(&MetadataRequest::default().with_topics(Some(vec![topic])), 12).expect("it answers");
    let addresses: Vec<String> =
        metadata.brokers.iter().map(|broker| format!("{}:{}", broker.host.as_str(), broker.port)).collect();
    assert_eq!(addresses.join(","), kafka.bootstrap());
    assert_eq!((metadata.controller_id.0, metadata.topics[0].error_code), (1, 3));
    assert_eq!((kafka.count(ApiKey::Metadata), kafka.connections()), (1, 1));

    kafka.offer(&[(18, 0, 4), (3, 0, 9)]);
    let versions = connection.call(&ApiVersionsRequest::default(), 3).expect("it answers");
    assert_eq!(versions.api_keys.len(), 2);

    kafka.refuse(2);
    let second = kafka.bootstrap().split(',').nth(1).and_then(|address| address.parse().ok()).expect("there are three");
    assert!(Connection::open(second, LIMIT).is_err());
    kafka.allow(2);
    assert!(Connection::open(second, LIMIT).is_ok());
}

#[test]
fn scripted_faults_look_as_they_should() {
    let kafka = agreeable(1);
    let mut connection = connect(&kafka.bootstrap());
    connection.call(&create("a", false), 7).expect("it answers");
    connection.call(&create("a", true), 7).expect("it answers");
    assert_eq!(kafka.writes(), 1, "asking to validate is no write");

    kafka.on(ApiKey::ApiVersions, |call| match call.nth {
        1 => Answer::Raw(0x7fff_ffff_i32.to_be_bytes().to_vec()),
        2 => Answer::Cut(3, vec![0; 10]),
        3 => Answer::Reset,
        _ => Answer::Late(Duration::from_millis(50), vec![0; 6]),
    });
    let ask = || connect(&kafka.bootstrap()).call(&ApiVersionsRequest::default(), 3);
    assert!(ask().expect_err("garbage").to_string().contains("2147483647 bytes"));
    ask().expect_err("cut");
    ask().expect_err("reset");
    ask().expect_err("a frame that is too short for an answer");

    kafka.on(ApiKey::ApiVersions, |_| Answer::Silent);
    let mut stream = TcpStream::connect_timeout(&first(&kafka.bootstrap()), LIMIT).expect("it listens");
    stream.write_all(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 255, 255]).expect("it reads");
    stream.set_read_timeout(Some(Duration::from_millis(200))).expect("a time-out can be set");
    assert_eq!(stream.read(&mut [0]).expect_err("silence").kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn the_proxy_keeps_clients_on_it_and_counts() {
    let kafka = agreeable(2);
    let proxy = KafkaProxy::to(&kafka.bootstrap());
    let mut connection = connect(&proxy.bootstrap());
    for version in [1, 9, 12, 13] {
        let metadata = connection.call(&MetadataRequest::default(), version).expect("it passes");
        let addresses: Vec<String> =
            metadata.brokers.iter().map(|broker| format!("{}:{}", broker.host.as_str(), broker.port)).collect();
        assert_eq!(addresses.join(","), proxy.bootstrap());
    }
    connection.call(&create("a", true), 7).expect("it passes");
    connection.call(&create("a", false), 7).expect("it passes");
    assert_eq!((proxy.count(ApiKey::Metadata), proxy.requests(), proxy.connections()), (4, 6, 1));
    assert_eq!(proxy.writes(), ["CreateTopics"]);
    let seen = proxy.log().pop().expect("six were seen");
    assert_eq!((seen.broker, seen.nth, seen.head.version, seen.writes), (1, 2, 7, true));
    proxy.clear();
    assert_eq!(proxy.requests(), 0);
}

#[test]
fn the_proxy_spoils_the_chosen_request() {
    let kafka = agreeable(1);
    let proxy = KafkaProxy::to(&kafka.bootstrap());
    let ask = || connect(&proxy.bootstrap()).call(&create("a", false), 7);
    proxy.spoil(ApiKey::CreateTopics, 2, Verdict::DropAnswer);
    ask().expect("the first passes");
    ask().expect_err("the second gets no answer");
    assert_eq!(kafka.count(ApiKey::CreateTopics), 2, "but the broker did it");
    ask().expect("the third passes");

    proxy.spoil(ApiKey::CreateTopics, 4, Verdict::DropRequest);
    ask().expect_err("the fourth is dropped");
    assert_eq!(kafka.count(ApiKey::CreateTopics), 3, "the broker never saw it");
    proxy.spoil(ApiKey::CreateTopics, 5, Verdict::Hang);
    let mut hung = Connection::open(first(&proxy.bootstrap()), Duration::from_millis(200)).expect("it listens");
    hung.call(&create("a", false), 7).expect_err("the fifth hangs");
    assert!(proxy.held());
    proxy.hold_write(2);
    assert!(!proxy.held());
    hung = Connection::open(first(&proxy.bootstrap()), Duration::from_millis(200)).expect("it listens");
    hung.call(&create("a", true), 7).expect("no write");
    hung.call(&create("a", false), 7).expect("the first write");
    hung.call(&create("a", false), 7).expect_err("the second write");
    assert!(proxy.held());
    proxy.pass();
    ask().expect("the sixth passes");
    ask().expect("so do all others");
    proxy.refuse(1);
    assert!(Connection::open(first(&proxy.bootstrap()), LIMIT).is_err());
    proxy.allow(1);
    ask().expect("it accepts again");
    connect(&proxy.bootstrap())
        .call(&DeleteTopicsRequest::default(), 6)
        .expect_err("the broker resets what it has no script for");
}
