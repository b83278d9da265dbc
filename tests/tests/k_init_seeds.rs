//! k-init's seeds on real brokers: once, whatever happens to answers, to the run, or at the same moment.

use std::time::Duration;

use kafka_protocol::messages::ApiKey;
use kit::proxy::KafkaProxy;
use kit::proxy::kafka::Verdict;
use kit::sandbox::{Running, Sandbox, Signal};
use kit::servers::kafka::{Kafka, Version};
use serde_json::{Value, json};

fn sandbox(bootstrap: &str, topic: &str, policy: &str, records: usize) -> Sandbox {
    let body = json!({"partitions": 3, "replicas": 1, "config": {"cleanup.policy": policy}});
    let sandbox = Sandbox::new("k-init")
        .env("KAFKA_BOOTSTRAP_SERVERS", bootstrap)
        .config(&[(&format!("topics/{topic}.json"), body)]);
    let line = |number: usize| json!({"key": format!("k{number}"), "value": {"n": number}}).to_string() + "\n";
    sandbox.write(&format!("seeds/{topic}.jsonl"), (0..records).map(line).collect::<String>());
    sandbox
}

fn keys(kafka: &Kafka, topic: &str) -> Vec<String> {
    let records = kafka.oracle(&["records", topic]);
    let key = |record: &Value| record["key"].as_str().unwrap_or("-").to_owned();
    let mut keys: Vec<String> = records.as_array().into_iter().flatten().map(key).collect();
    keys.sort();
    keys
}

fn expected(records: usize) -> Vec<String> {
    let mut keys: Vec<String> = (0..records).map(|number| format!("k{number}")).collect();
    keys.sort();
    keys
}

#[test]
fn an_applications_newer_value_is_left_alone() {
    for version in Version::ALL {
        let kafka = Kafka::shared(version);
        let sandbox = sandbox(&kafka.bootstrap(), "newer", "compact", 3);
        sandbox.run(&[]).expect_code(0);
        kafka.oracle(&["produce", "newer", "k1=of the application", "mine=1"]);
        let run = sandbox.run(&[]);
        run.expect_code(0);
        assert_eq!(run.count("writes"), 0);
        assert_eq!(keys(kafka, "newer"), ["k0", "k1", "k1", "k2", "mine"]);
        // Java's own producer puts a key where we put it: both k1 are in one partition.
        let records = kafka.oracle(&["records", "newer"]);
        let partitions: Vec<&Value> = records
            .as_array()
            .into_iter()
            .flatten()
            .filter(|record| record["key"] == "k1")
            .map(|record| &record["partition"])
            .collect();
        assert_eq!(partitions[0], partitions[1]);
    }
}

/// Scenario 4, a lost reply or request, at each step of writing seeds.
#[test]
fn scenario_04_a_lost_answer_doubles_nothing() {
    for version in Version::ALL {
        let kafka = Kafka::shared(version);
        let proxy = KafkaProxy::to(&kafka.bootstrap());
        let steps = [
            (ApiKey::CreateTopics, 2),
            (ApiKey::InitProducerId, 1),
            (ApiKey::AddPartitionsToTxn, 1),
            (ApiKey::Produce, 1),
            (ApiKey::Produce, 2),
            (ApiKey::EndTxn, 1),
            (ApiKey::Fetch, 1),
            (ApiKey::FindCoordinator, 1),
        ];
        for (index, (key, nth)) in steps.into_iter().enumerate() {
            for verdict in [Verdict::DropAnswer, Verdict::DropRequest] {
                let topic = format!("lost.{index}.{verdict:?}");
                let sandbox = sandbox(&proxy.bootstrap(), &topic, "delete", 6);
                proxy.clear();
                proxy.spoil(key, nth, verdict);
                let run = sandbox.run(&[]);
                run.expect_code(0);
                proxy.pass();
                assert_eq!(keys(kafka, &topic), expected(6), "{key:?} {nth} {verdict:?}\n{run}");
                let again = sandbox.run(&[]);
                again.expect_code(0);
                assert_eq!(again.count("writes"), 0, "{key:?} {nth} {verdict:?}\n{again}");
            }
        }
    }
}

#[test]
fn a_run_that_was_killed_is_finished_by_the_next() {
    let kafka = Kafka::shared(Version::V4_3);
    let proxy = KafkaProxy::to(&kafka.bootstrap());
    for (index, (key, nth)) in [(ApiKey::Produce, 1), (ApiKey::Produce, 3), (ApiKey::EndTxn, 1)].into_iter().enumerate()
    {
        let topic = format!("killed.{index}");
        let sandbox = sandbox(&proxy.bootstrap(), &topic, "delete", 6);
        proxy.clear();
        proxy.spoil(key, nth, Verdict::Hang);
        let mut running = sandbox.spawn(&[]);
        kit::eventually(Duration::from_secs(20), || proxy.count(key) >= nth);
        running.signal(Signal::KILL);
        assert_eq!(running.wait().signal(), Some(9));
        proxy.pass();
        sandbox.run(&[]).expect_code(0);
        assert_eq!(keys(kafka, &topic), expected(6), "{key:?} {nth}");
    }
}

/// Scenario 10: eight at once, before there is a broker; and one that says something else.
#[test]
fn scenario_10_eight_at_once_write_everything_once() {
    for version in Version::ALL {
        let kafka = Kafka::of(version).cold();
        let runs: Vec<Sandbox> = (0..8)
            .map(|_| {
                sandbox(&kafka.bootstrap(), "eight", "delete", 20)
                    .config(&[("users/eight.json", json!({"password": "password-of-eight"}))])
            })
            .collect();
        let running: Vec<Running> = runs.iter().map(|sandbox| sandbox.spawn(&[])).collect();
        kafka.launch();
        for running in running {
            running.wait().expect_code(0);
        }
        assert_eq!(keys(&kafka, "eight"), expected(20));
        assert_eq!(kafka.oracle(&["topics"])["eight"]["partitions"], 3);
        let conflict = sandbox(&kafka.bootstrap(), "eight", "delete", 20)
            .config(&[("topics/eight.json", json!({"partitions": 1}))]);
        conflict.run(&[]).expect_code(1).expect_stderr("/partitions: 3 -> 1 (cannot be changed in place)");
    }
}

#[test]
fn without_transactions_seeds_are_written_with_a_warning() {
    // One broker cannot make a transaction log of three replicas.
    let kafka = Kafka::of(Version::V4_3)
        .setting("transaction.state.log.replication.factor=3")
        .setting("transaction.state.log.min.isr=3")
        .start();
    let sandbox = sandbox(&kafka.bootstrap(), "plain", "compact", 4);
    sandbox.run(&[]).expect_code(0).expect_stderr("written without a transaction");
    assert_eq!(keys(&kafka, "plain"), expected(4));
    let again = sandbox.run(&[]);
    again.expect_code(0);
    assert_eq!(again.count("writes"), 0);
}

#[test]
fn limits_and_mistakes_are_said_before_anything_is_sent() {
    let kafka = Kafka::shared(Version::V4_3);
    let proxy = KafkaProxy::to(&kafka.bootstrap());
    let sandbox = sandbox(&proxy.bootstrap(), "limits", "compact", 3);
    sandbox.write(
        "seeds/limits.jsonl",
        "{\"key\": \"a\", \"value\": 1}\n{\"key\": \"a\", \"value\": 1}\n{\"value\": null}\n{\n",
    );
    let run = sandbox.run(&["validate"]);
    run.expect_code(1)
        .expect_stderr("says the same as line 1")
        .expect_stderr("a tombstone needs a key")
        .expect_stderr("not JSON");
    assert_eq!(proxy.requests(), 0);

    sandbox.write("seeds/limits.jsonl", "{\"key\": \"a\", \"value\": 1}\n");
    sandbox.run(&[]).expect_code(0);
    sandbox.write("seeds/limits.jsonl", "{\"key\": \"a\", \"value\": 1}\n{\"value\": 2}\n");
    sandbox.run(&[]).expect_code(1).expect_stderr("record 2 has no key, and topic limits is compacted");
    sandbox.write("seeds/limits.jsonl", "{\"key\": \"b\", \"value\": 1, \"partition\": 3}\n");
    sandbox.run(&[]).expect_code(1).expect_stderr("goes to partition 3, and topic limits has 3");
    sandbox.write("seeds/limits.jsonl", "{\"key\": \"b\", \"value\": 1}\n");
    sandbox.write("seeds/nowhere.jsonl", "{\"key\": \"b\", \"value\": 1}\n");
    sandbox.run(&[]).expect_code(1).expect_stderr("topic nowhere is not there, and no file declares it");
    assert!(kafka.oracle(&["topics"])["nowhere"].is_null(), "asking for it has not made it, though auto.create is on");
    sandbox.remove("seeds/nowhere.jsonl");
    let mut small = sandbox;
    small.set("SEED_SCAN_MAX", "1");
    kafka.oracle(&["produce", "limits", "x=1", "y=2"]);
    small.run(&[]).expect_code(1).expect_stderr("more than SEED_SCAN_MAX=1");
    assert_eq!(proxy.writes().iter().filter(|name| *name == "Produce").count(), 1);
}

#[test]
fn compressed_topics_are_compared_all_the_same() {
    let kafka = Kafka::shared(Version::V4_3);
    for compression in ["gzip", "snappy", "lz4", "zstd"] {
        // The broker compresses what it gets: our own records and those of applications.
        let topic = format!("packed.{compression}");
        let body = json!({"partitions": 1, "config": {"compression.type": compression}});
        let sandbox =
            sandbox(&kafka.bootstrap(), &topic, "delete", 50).config(&[(&format!("topics/{topic}.json"), body)]);
        sandbox.run(&[]).expect_code(0);
        kafka.oracle(&["produce", &topic, "mine=1"]);
        let run = sandbox.run(&[]);
        run.expect_code(0);
        assert_eq!(run.count("writes"), 0, "{compression}\n{run}");
        assert_eq!(keys(kafka, &topic).len(), 51);
    }
}
