//! k-init and brokers that lie, say too much, stay silent or die: bounded in time, memory and repetitions.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::metadata_response::{MetadataResponseBroker, MetadataResponseTopic};
use kafka_protocol::messages::{
    ApiKey, BrokerId, CreateTopicsRequest, CreateTopicsResponse, MetadataRequest, MetadataResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use kit::sandbox::Sandbox;
use kit::scripted_kafka::{Answer, Call, ScriptedKafka};
use serde_json::json;

const MIB: u64 = 1 << 20;

fn sandbox(bootstrap: &str) -> Sandbox {
    Sandbox::new("k-init")
        .env("KAFKA_BOOTSTRAP_SERVERS", bootstrap)
        .env("WAIT_TIMEOUT", "4s")
        .env("APPLY_TIMEOUT", "8s")
        .config(&[("topics/t.json", json!({"partitions": 1}))])
}

fn broker(id: i32, address: &str) -> MetadataResponseBroker {
    let (host, port) = address.rsplit_once(':').expect("host and port");
    MetadataResponseBroker::default()
        .with_node_id(BrokerId(id))
        .with_host(StrBytes::from_string(host.to_owned()))
        .with_port(port.parse().expect("a port"))
}

/// The brokers of a cluster, and every topic that is asked for as one that is not there.
fn metadata(call: &Call, bootstrap: &str, controller: i32) -> MetadataResponse {
    let request: MetadataRequest = call.message();
    let topics = request
        .topics
        .iter()
        .flatten()
        .map(|topic| MetadataResponseTopic::default().with_error_code(3).with_name(topic.name.clone()));
    let brokers = bootstrap.split(',').zip(1..).map(|(address, id)| broker(id, address));
    MetadataResponse::default()
        .with_brokers(brokers.collect())
        .with_controller_id(BrokerId(controller))
        .with_topics(topics.collect())
}

#[test]
fn hundreds_of_thousands_of_brokers_are_no_cluster() {
    let scripted = ScriptedKafka::new(1);
    scripted.on(ApiKey::Metadata, |call| {
        let brokers = (0..300_000).map(|id| broker(id, "127.0.0.1:1")).collect();
        call.answer(&MetadataResponse::default().with_brokers(brokers).with_controller_id(BrokerId(1)))
    });
    let run = sandbox(&scripted.bootstrap()).run(&[]);
    run.expect_code(1).expect_stderr("it announced an answer of");
    assert!(run.elapsed < Duration::from_secs(20) && run.peak_rss < 48 * MIB, "{:?} {}", run.elapsed, run.peak_rss);
}

#[test]
fn a_million_topics_that_nobody_asked_for_are_refused() {
    for count in [100_000, 400_000, 1_000_000] {
        let scripted = ScriptedKafka::new(1);
        let address = scripted.bootstrap();
        scripted.on(ApiKey::Metadata, move |call| {
            let answer = metadata(call, &address, 1);
            if call.nth == 1 {
                return call.answer(&answer);
            }
            let topic = |number: u32| {
                let name = TopicName(StrBytes::from_string(format!("topic-{number}")));
                MetadataResponseTopic::default().with_name(Some(name))
            };
            call.answer(&answer.with_topics((0..count).map(topic).collect()))
        });
        let run = sandbox(&scripted.bootstrap()).env("MAX_RETRIES", "1").run(&["plan"]);
        assert!(run.code() == Some(1) || run.code() == Some(2), "{run}");
        assert!(
            run.elapsed < Duration::from_secs(20) && run.peak_rss < 64 * MIB,
            "{count}: {:?} {}",
            run.elapsed,
            run.peak_rss
        );
    }
}

/// A host that is down looks so where its packets are dropped, and one that hangs accepts and says nothing.
#[test]
fn silent_servers_before_a_good_one_do_not_block() {
    let silent: Vec<TcpListener> = (0..2).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port is free")).collect();
    let silent: Vec<String> =
        silent.iter().map(|listener| listener.local_addr().expect("it is bound").to_string()).collect();
    let good = ScriptedKafka::new(1);
    let list = format!("{},{}", silent.join(","), good.bootstrap());
    let run = sandbox(&list).env("WAIT_TIMEOUT", "20s").run(&["wait"]);
    run.expect_code(0);
    assert!(run.elapsed < Duration::from_secs(12), "{run}");
    let healthy = sandbox(&format!("{},{}", silent[0], good.bootstrap())).run(&["healthcheck"]);
    healthy.expect_code(0);
}

/// On a `ZooKeeper` cluster the controller is followed; one that died is not asked for the rest of the run.
#[test]
fn a_dead_controller_is_forgotten() {
    let scripted = ScriptedKafka::new(3);
    let bootstrap = scripted.bootstrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    scripted.on(ApiKey::Metadata, move |call| {
        // The second broker is the controller until it has been asked; then the third is elected.
        let controller = if counted.load(Ordering::Relaxed) == 0 { 2 } else { 3 };
        call.answer(&metadata(call, &bootstrap, controller))
    });
    scripted.on(ApiKey::CreateTopics, move |call| {
        let code = match call.broker {
            2 => {
                asked.fetch_add(1, Ordering::Relaxed);
                return Answer::Reset;
            }
            3 => 0,
            _ => 41,
        };
        created(call, code)
    });
    let first = scripted.bootstrap().split(',').next().expect("three brokers").to_owned();
    let run = sandbox(&first).env("LOG_LEVEL", "debug").run(&["plan"]);
    run.expect_code(2).expect_stderr("trying again");
}

fn created(call: &Call, code: i16) -> Answer {
    let request: CreateTopicsRequest = call.message();
    let topic = |name: &TopicName| CreatableTopicResult::default().with_name(name.clone()).with_error_code(code);
    let topics = request.topics.iter().map(|asked| topic(&asked.name)).collect();
    call.answer(&CreateTopicsResponse::default().with_topics(topics))
}

/// `MAX_RETRIES=n`: a write is sent at most n + 1 times, whoever repeats it.
#[test]
fn a_write_that_is_lost_each_time_is_sent_n_plus_1_times() {
    for retries in 0..3_usize {
        let scripted = ScriptedKafka::new(1);
        let bootstrap = scripted.bootstrap();
        let writes = Arc::new(AtomicUsize::new(0));
        let counted = writes.clone();
        scripted.on(ApiKey::Metadata, move |call| call.answer(&metadata(call, &bootstrap, 1)));
        scripted.on(ApiKey::CreateTopics, move |call| {
            let request: CreateTopicsRequest = call.message();
            if request.validate_only {
                return created(call, 0);
            }
            counted.fetch_add(1, Ordering::Relaxed);
            Answer::Reset
        });
        let run = sandbox(&scripted.bootstrap())
            .env("MAX_RETRIES", retries.to_string())
            .env("APPLY_TIMEOUT", "30s")
            .env("EXIT_CODES", "detailed")
            .run(&[]);
        run.expect_code(75);
        assert_eq!(writes.load(Ordering::Relaxed), retries + 1, "{run}");
    }
}
