//! k-init and sets that are larger than one request, or than one node: what real brokers count, and what they only seem to want.

use std::time::Duration;

use kafka_protocol::messages::ApiKey;
use kit::proxy::KafkaProxy;
use kit::sandbox::Sandbox;
use kit::servers::kafka::{Kafka, Version};
use serde_json::{Map, Value, json};

fn sandbox(bootstrap: &str) -> Sandbox {
    Sandbox::new("k-init").env("KAFKA_BOOTSTRAP_SERVERS", bootstrap)
}

/// The controller writes at most 10,000 records for one request: topics, partitions, settings, bindings.
#[test]
fn more_than_ten_thousand_partitions_are_validated_in_several_requests() {
    for version in Version::ALL {
        let kafka = Kafka::shared(version);
        let proxy = KafkaProxy::to(&kafka.bootstrap());
        let topic = |number: usize| (format!("many.{number}"), json!({"partitions": 100, "replicas": 1}));
        let topics: Map<String, Value> = (0..101).map(topic).collect();
        let sandbox = sandbox(&proxy.bootstrap()).config(&[("topics.json", Value::Object(topics))]);
        let plan = sandbox.run(&["plan"]);
        plan.expect_code(2);
        assert_eq!((plan.count("created"), proxy.count(ApiKey::CreateTopics)), (101, 2), "{plan}");

        // Growing counts the partitions that are added.
        for number in 0..3 {
            kafka.oracle(&["create", &format!("grown.{number}"), "1", "1"]);
        }
        let grown: Map<String, Value> =
            (0..3).map(|number| (format!("grown.{number}"), json!({"partitions": 3400}))).collect();
        sandbox.write("topics.json", Value::Object(grown).to_string());
        sandbox.run(&["plan"]).expect_code(2);
    }
}

#[test]
fn more_than_ten_thousand_bindings_are_written_in_several_requests() {
    for version in Version::ALL {
        let kafka = Kafka::shared(version);
        let rules: Vec<Value> = (0..25)
            .map(|number| json!({"resource": {"type": "topic", "name": format!("t{number}")}, "operation": "Read"}))
            .collect();
        let principals: Map<String, Value> =
            (0..450).map(|number| (format!("User:many{number}"), json!(rules))).collect();
        let sandbox = sandbox(&kafka.bootstrap()).config(&[("acls.json", Value::Object(principals))]);
        let run = sandbox.run(&[]);
        run.expect_code(0);
        assert_eq!(run.count("created"), 450, "{run}");
        let held = kafka.oracle(&["acls"]);
        let ours = |line: &&Value| line.as_str().is_some_and(|line| line.starts_with("User:many"));
        assert_eq!(held.as_array().into_iter().flatten().filter(ours).count(), 450 * 25);
        let again = sandbox.run(&[]);
        again.expect_code(0);
        assert_eq!(again.count("writes"), 0, "{again}");
    }
}

/// Production's file on a laptop: Kafka takes the smaller of min.insync.replicas and the replicas.
#[test]
fn a_min_insync_above_the_replicas_is_a_warning_and_is_not_waited_for() {
    for version in Version::ALL {
        let kafka = Kafka::shared(version);
        let body = json!({"partitions": 1, "replicas": 1, "config": {"min.insync.replicas": 2}});
        let untold = json!({"partitions": 1, "config": {"min.insync.replicas": 2}});
        let sandbox =
            sandbox(&kafka.bootstrap()).config(&[("topics/laptop.json", body), ("topics/laptop.untold.json", untold)]);
        let run = sandbox.run(&[]);
        run.expect_code(0).expect_stderr("min.insync.replicas is 2, and there are 1 replicas");
        assert!(run.elapsed < Duration::from_secs(20), "{run}");
        let again = sandbox.run(&[]);
        again.expect_code(0);
        assert_eq!(again.count("writes"), 0, "{again}");
        // Growing such a topic waits for no more either.
        sandbox.write("topics/laptop.json", json!({"partitions": 2}).to_string());
        let grown = sandbox.run(&[]);
        grown.expect_code(0);
        assert!(grown.elapsed < Duration::from_secs(20), "{grown}");
        kafka.oracle(&["produce", "laptop", "a=1"]);
    }
}

/// A throttle longer than one request may take is waited out within `APPLY_TIMEOUT`.
#[test]
fn a_long_throttle_is_waited_out() {
    let kafka = Kafka::of(Version::V4_3).setting("controller.quota.window.num=2").start();
    let quota =
        sandbox(&kafka.bootstrap()).config(&[("quotas/user=<default>.json", json!({"controller_mutation_rate": 1}))]);
    quota.run(&[]).expect_code(0);
    let topic = |number: usize| (format!("slow.{number}"), json!({"partitions": 8, "replicas": 1}));
    let topics: Map<String, Value> = (0..2).map(topic).collect();
    let throttled = sandbox(&kafka.bootstrap())
        .env("REQUEST_TIMEOUT", "2s")
        .env("APPLY_TIMEOUT", "100s")
        .deadline(Duration::from_mins(2))
        .config(&[("topics.json", Value::Object(topics))]);
    let run = throttled.run(&[]);
    run.expect_code(0);
    assert_eq!(run.count("created"), 2, "{run}");
}
