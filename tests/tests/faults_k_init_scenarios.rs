//! Scenarios of k-init that take a broker or more of their own: a full set, an upgrade, a controller that is killed, a `ZooKeeper` cluster,
//! a broker whose metadata is stale, the fewest rights.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResult;
use kafka_protocol::messages::{
    ApiKey, CreateTopicsRequest, CreateTopicsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
};
use kit::proxy::KafkaProxy;
use kit::proxy::kafka::Verdict;
use kit::sandbox::Sandbox;
use kit::scripted_kafka::{ScriptedKafka, View};
use kit::servers::kafka::{Kafka, Listener, Version};
use serde_json::{Map, Value, json};

fn at(bootstrap: &str, kafka: &Kafka) -> Sandbox {
    Sandbox::new("k-init")
        .env("KAFKA_BOOTSTRAP_SERVERS", bootstrap)
        .env("KAFKA_VERIFY_SERVERS", format!("SASL_PLAINTEXT://{}", kafka.bootstrap_on(Listener::Sasl)))
        .deadline(Duration::from_mins(3))
}

fn many(tag: &str, count: usize, body: &Value) -> Value {
    (0..count).map(|number| (format!("{tag}.{number}"), body.clone())).collect::<Map<_, _>>().into()
}

/// 50 topics, 40 bindings, 5 users of 2 mechanisms, 5 quotas, 20 seeds.
fn full_set(sandbox: &Sandbox) {
    let topic = json!({"partitions": 2, "replicas": 1, "config": {"retention.ms": 604_800_000, "cleanup.policy": "delete, compact"}});
    sandbox.write("topics.json", many("full", 50, &topic).to_string());
    for number in 0..5 {
        let rule = |topic: usize| json!({"resource": {"type": "topic", "name": format!("full.{topic}")}, "operations": ["Read", "Describe"]});
        let rules: Value = (0..4).map(rule).collect();
        sandbox.write(&format!("acls/User:full{number}.json"), rules.to_string());
        let user =
            json!({"password": format!("password-number-{number}"), "mechanisms": ["SCRAM-SHA-256", "SCRAM-SHA-512"]});
        sandbox.write(&format!("users/full{number}.json"), user.to_string());
        sandbox.write(&format!("quotas/user=full{number}.json"), r#"{"producer_byte_rate": 1024}"#);
    }
    for topic in 0..2 {
        let line = |number: usize| json!({"key": format!("k{number}"), "value": number}).to_string() + "\n";
        sandbox.write(&format!("seeds/full.{topic}.jsonl"), (0..10).map(line).collect::<String>());
    }
}

/// Scenario 2, the silent second run, at full scale.
#[test]
fn scenario_02_the_second_run_of_a_full_set_changes_nothing() {
    for version in Version::ALL {
        let kafka = Kafka::of(version).start();
        let proxy = KafkaProxy::to(&kafka.bootstrap());
        let sandbox = at(&proxy.bootstrap(), &kafka);
        full_set(&sandbox);
        let first = sandbox.run(&[]);
        first.expect_code(0);
        assert_eq!(first.count("created"), 67, "{first}");
        let acls = kafka.oracle(&["acls"]);
        assert_eq!(acls.as_array().map(Vec::len), Some(40), "{acls}");
        let ends = [
            kafka.oracle(&["metadata-offset"]),
            kafka.oracle(&["records", "full.0"]),
            kafka.oracle(&["records", "full.1"]),
        ];
        assert_eq!(ends[1].as_array().map(Vec::len), Some(10));
        proxy.clear();
        let second = sandbox.run(&[]);
        second.expect_code(0);
        assert_eq!(proxy.writes(), [""; 0], "{version:?}\n{second}");
        assert_eq!((second.count("unchanged"), second.count("writes")), (67, 0), "{second}");
        let after = [
            kafka.oracle(&["metadata-offset"]),
            kafka.oracle(&["records", "full.0"]),
            kafka.oracle(&["records", "full.1"]),
        ];
        assert_eq!(after, ends, "{version:?}: not one record anywhere");
    }
}

/// Scenario 5: the controller that leads the quorum is killed while it is asked, and the next one in the run after that.
#[test]
fn scenario_05_the_leading_controller_is_killed_in_the_middle() {
    for version in Version::ALL {
        let kafka = Kafka::of(version).nodes(3).start();
        let proxy = KafkaProxy::to(&kafka.bootstrap());
        for round in ["first", "again"] {
            let sandbox = at(&proxy.bootstrap(), &kafka)
                .config(&[("topics.json", many(round, 300, &json!({"partitions": 1, "replicas": 2})))]);
            proxy.clear();
            // The first validates, the second writes: its answer is held up while its controller dies.
            proxy.spoil(ApiKey::CreateTopics, 2, Verdict::Delay(Duration::from_millis(700)));
            let running = sandbox.spawn(&[]);
            kit::eventually(Duration::from_secs(30), || proxy.count(ApiKey::CreateTopics) >= 2);
            let leader = kafka.leader(1).expect("the quorum has a leader");
            kafka.kill(leader);
            let run = running.wait();
            run.expect_code(0);
            assert!(!run.stderr.contains("UNKNOWN_SERVER_ERROR"), "{version:?} {round}\n{run}");
            proxy.pass();
            kafka.launch_node(leader);
            kafka.wait_ready();
            let quiet = sandbox.run(&[]);
            quiet.expect_code(0);
            assert_eq!((quiet.count("unchanged"), quiet.count("writes")), (300, 0), "{version:?} {round}\n{quiet}");
        }
        let topics = kafka.oracle(&["topics"]);
        assert!(topics.as_object().is_some_and(|topics| topics.len() >= 600), "{version:?}");
    }
}

/// Scenario 7: what 3.9 wrote, started on 4.3, under overrides of every source, is no difference; a hand's edit is exactly one.
#[test]
fn scenario_07_an_upgrade_and_overrides_of_brokers_are_no_difference() {
    let kafka = Kafka::of(Version::V3_9).setting("log.segment.ms=86400000").start();
    let sandbox = at(&kafka.bootstrap(), &kafka);
    full_set(&sandbox);
    sandbox.write(
        "topics/noise.json",
        json!({"partitions": 2, "config": {"min.cleanable.dirty.ratio": "1.50e-1", "cleanup.policy": "delete, compact"}})
            .to_string(),
    );
    sandbox.run(&[]).expect_code(0);
    kafka.oracle(&["set-broker", "1", "log.flush.interval.messages=12345"]);
    kafka.oracle(&["set-broker", "", "log.retention.ms=999000"]);
    sandbox.run(&["plan"]).expect_code(0);
    kafka.stop(1);
    let kafka = kafka.upgraded(Version::V4_3);
    kafka.launch();
    kafka.wait_ready();
    let plan = sandbox.run(&["plan"]);
    plan.expect_code(0);
    assert_eq!(plan.count("unchanged"), 68, "{plan}");
    kafka.oracle(&["set", "noise", "min.cleanable.dirty.ratio=0.9"]);
    let edited = sandbox.run(&["plan"]);
    edited.expect_code(2);
    assert_eq!((edited.count("updated"), edited.count("unchanged")), (1, 67), "{edited}");
}

/// Scenario 8: rights on a prefix alone. What they allow is made and verified; what they do not is named, right and resource.
#[test]
fn scenario_08_rights_on_a_prefix_go_as_far_as_they_go() {
    for version in Version::ALL {
        let kafka = Kafka::shared(version);
        let rule = json!([{"resource": {"type": "topic", "name": "least.", "patternType": "prefix"}, "operations": ["Create", "Describe", "DescribeConfigs"]}]);
        at(&kafka.bootstrap(), kafka).config(&[("acls/User:limited.json", rule)]).run(&[]).expect_code(0);
        let (user, password) = Kafka::LIMITED;
        let least = Sandbox::new("k-init")
            .env("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_on(Listener::Sasl))
            .env("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
            .env("KAFKA_SASL_MECHANISM", "PLAIN")
            .env("KAFKA_USERNAME", user)
            .env("KAFKA_PASSWORD", password)
            .config(&[("topics/least.a.json", json!({"partitions": 1, "config": {"retention.ms": 1000}}))]);
        least.run(&[]).expect_code(0);
        least.run(&[]).expect_code(0);
        least.write("topics/least.a.json", json!({"partitions": 2}).to_string());
        least.write("topics/other.a.json", "{}");
        least.write("broker_defaults.json", r#"{"log.cleaner.backoff.ms": 17000}"#);
        let result = least.path("result.json");
        let least = least.env("RESULT_FILE", result.display().to_string());
        let run = least.run(&[]);
        run.expect_code(1)
            .expect_stderr("needs Alter on Topic:least.a")
            .expect_stderr("needs Describe on Topic:other.a")
            .expect_stderr("needs DescribeConfigs on Cluster:kafka-cluster");
        let report: Value = serde_json::from_slice(&std::fs::read(result).expect("it was written")).expect("JSON");
        assert_eq!(
            (&report["exit_reason"], report["objects"].as_array().map(Vec::len)),
            (&json!("auth"), Some(3)),
            "{report}"
        );
    }
}

/// A real `ZooKeeper` cluster: whoever is not the controller answers 41, and the controller is asked in its place. Every kind.
#[test]
fn the_controller_of_a_zookeeper_cluster_is_followed() {
    let kafka = Kafka::of(Version::V3_9).zookeeper().nodes(2).start();
    let controller = kafka.controller(1).expect("there is one");
    let other = 3 - controller;
    let proxy = KafkaProxy::to(&kafka.bootstrap());
    let doors = proxy.bootstrap();
    let door = doors.split(',').nth(other - 1).expect("a door for each broker");
    let sandbox = at(door, &kafka);
    full_set(&sandbox);
    let first = sandbox.run(&[]);
    first.expect_code(0);
    assert_eq!(first.count("created"), 67, "{first}");
    let asked: Vec<usize> = proxy
        .log()
        .iter()
        .filter(|seen| seen.head.key == ApiKey::CreateTopics as i16)
        .map(|seen| seen.broker)
        .collect();
    assert_eq!(asked, [other, controller, controller], "41 once, then the controller itself");
    let all = kafka.oracle(&["all"]);
    assert_eq!(all["acls"].as_array().map(Vec::len), Some(40), "{all}");
    assert_eq!(all["users"]["full4"], json!({"SCRAM-SHA-256": 4096, "SCRAM-SHA-512": 4096}));
    assert_eq!(kafka.oracle(&["records", "full.1"]).as_array().map(Vec::len), Some(10));
    proxy.clear();
    let second = sandbox.run(&[]);
    second.expect_code(0);
    assert_eq!(proxy.writes(), [""; 0], "{second}");
    // The controller goes, the other one takes its place, and has the topics made.
    kafka.kill(controller);
    kit::eventually(Duration::from_mins(1), || kafka.controller(other).is_ok_and(|now| now == other));
    sandbox.write("topics/after.json", json!({"partitions": 1, "replicas": 1}).to_string());
    for topic in 0..2 {
        sandbox.remove(&format!("seeds/full.{topic}.jsonl"));
    }
    let run = sandbox.run(&[]);
    run.expect_code(0);
    assert_eq!(run.count("created"), 1, "{run}");
}

/// One broker of three that hears of a topic late: the run waits for it, and names it meanwhile.
#[test]
fn a_broker_whose_metadata_is_stale_is_waited_for() {
    let scripted = ScriptedKafka::new(3);
    // How often the third has been asked since the topic was made; 0: it was not made yet.
    let asked = Arc::new(AtomicUsize::new(0));
    let seen = asked.clone();
    scripted.view(move |call| {
        let made = seen.load(Ordering::SeqCst);
        let stale = call.broker == 3 && made > 0 && seen.fetch_add(1, Ordering::SeqCst) < 4;
        View { replicas: (made > 0 && !stale).then_some(3), ..View::default() }
    });
    let make = asked.clone();
    scripted.on(ApiKey::DescribeConfigs, |call| {
        let request: DescribeConfigsRequest = call.message();
        let result = |asked: DescribeConfigsResource| {
            DescribeConfigsResult::default()
                .with_resource_type(asked.resource_type)
                .with_resource_name(asked.resource_name)
                .with_error_message(None)
        };
        let results = request.resources.into_iter().map(result).collect();
        call.answer(&DescribeConfigsResponse::default().with_results(results))
    });
    scripted.on(ApiKey::CreateTopics, move |call| {
        let request: CreateTopicsRequest = call.message();
        if !request.validate_only {
            make.store(1, Ordering::SeqCst);
        }
        let result = |name| CreatableTopicResult::default().with_name(name).with_error_message(None);
        let topics = request.topics.into_iter().map(|topic| result(topic.name)).collect();
        call.answer(&CreateTopicsResponse::default().with_topics(topics))
    });
    let sandbox = Sandbox::new("k-init")
        .env("KAFKA_BOOTSTRAP_SERVERS", scripted.bootstrap())
        .config(&[("topics/t.json", json!({"partitions": 1}))]);
    let run = sandbox.run(&[]);
    run.expect_code(0);
    assert!(asked.load(Ordering::SeqCst) >= 5, "the third broker was asked until it knew\n{run}");
}
