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
    sandbox.run(&["validate"]).expect_code(1).expect_stderr("record 2 has no key, and topic limits is compacted");
    sandbox.write("seeds/limits.jsonl", "{\"key\": \"b\", \"value\": 1, \"partition\": 3}\n");
    sandbox.run(&["validate"]).expect_code(1).expect_stderr("goes to partition 3, and topic limits has 3");
    sandbox.write("seeds/limits.jsonl", "{\"key\": \"b\", \"value\": 1}\n");
    sandbox.write("seeds/nowhere.jsonl", "{\"key\": \"b\", \"value\": 1}\n");
    sandbox.run(&[]).expect_code(1).expect_stderr("topic nowhere is not there, and no file declares it");
    assert!(kafka.oracle(&["topics"])["nowhere"].is_null(), "asking for it has not made it, though auto.create is on");
    sandbox.remove("seeds/nowhere.jsonl");
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

/// A topic of one partition, its settings and its seeds.
fn seeded(bootstrap: &str, topic: &str, config: &Value, lines: &str) -> Sandbox {
    let body = json!({"partitions": 1, "replicas": 1, "config": config});
    let sandbox = Sandbox::new("k-init")
        .env("KAFKA_BOOTSTRAP_SERVERS", bootstrap)
        .config(&[(&format!("topics/{topic}.json"), body)]);
    sandbox.write(&format!("seeds/{topic}.jsonl"), lines);
    sandbox
}

#[test]
fn a_value_is_what_the_file_says_to_the_last_digit() {
    for version in Version::ALL {
        let kafka = Kafka::shared(version);
        let value = r#"{"z": 1, "id": 12345678901234567890123, "amount": 1.10, "big": 1e5, "pi": 3.14159265358979323846, "a": 2}"#;
        let line = format!(
            r#"{{"key": {value}, "value": {value}, "headers": [{{"h": "1"}}, {{"h": "2"}}], "timestamp": 1700000000000}}"#
        );
        let sandbox = seeded(&kafka.bootstrap(), "digits", &json!({"cleanup.policy": "compact"}), &line);
        sandbox.run(&[]).expect_code(0);
        let record = &kafka.oracle(&["records", "digits"])[0];
        let compact = value.replace(": ", ":").replace(", ", ",");
        assert_eq!((&record["value"], &record["key"]), (&json!(compact), &json!(compact)), "{version:?}");
        assert_eq!(record["each_header"], json!(["h=1", "h=2"]));
        assert_eq!(record["timestamp"], 1_700_000_000_000_u64);
        assert_eq!(sandbox.run(&[]).count("writes"), 0);
    }
}

#[test]
fn batches_are_no_larger_than_the_topic_takes() {
    let kafka = Kafka::shared(Version::V4_3);
    let line = |number: usize| format!("{{\"key\": \"k{number}\", \"value\": \"{}\"}}\n", "x".repeat(1000));
    let lines: String = (0..60).map(line).collect();
    for policy in ["delete", "compact"] {
        let topic = format!("small.{policy}");
        let config = json!({"max.message.bytes": 20_000, "cleanup.policy": policy});
        let sandbox = seeded(&kafka.bootstrap(), &topic, &config, &lines);
        sandbox.run(&[]).expect_code(0);
        assert_eq!(keys(kafka, &topic), expected(60));
        assert_eq!(sandbox.run(&[]).count("writes"), 0);
    }
    // To the last byte: what a batch has beyond its one record is 61, and this record takes 12 beyond its value.
    let exact = format!("{{\"key\": \"k\", \"value\": \"{}\"}}\n", "x".repeat(20_000 - 61 - 12));
    let sandbox = seeded(&kafka.bootstrap(), "exact", &json!({"max.message.bytes": 20_000}), &exact);
    sandbox.run(&[]).expect_code(0);
    sandbox.write("seeds/exact.jsonl", exact.replace("\"}", "x\"}"));
    sandbox.run(&["validate"]).expect_code(1).expect_stderr("takes 20001 bytes, and topic exact allows 20000");
}

/// The topic as it will be after this run: grown, with larger messages, compacted no more.
#[test]
fn seeds_are_judged_by_the_topic_as_this_run_makes_it() {
    for version in Version::ALL {
        let kafka = Kafka::shared(version);
        kafka.oracle(&["create", "judged", "1", "1", "cleanup.policy=compact", "max.message.bytes=500"]);
        let line = format!("{{\"value\": \"{}\", \"partition\": 2}}\n", "x".repeat(900));
        let sandbox = seeded(&kafka.bootstrap(), "judged", &json!({}), &line);
        sandbox.run(&[]).expect_code(1).expect_stderr("goes to partition 2, and topic judged has 1");
        let body = json!({"partitions": 3, "config": {"cleanup.policy": "delete", "max.message.bytes": 2000}});
        sandbox.write("topics/judged.json", body.to_string());
        sandbox.run(&[]).expect_code(0);
        let records = kafka.oracle(&["records", "judged"]);
        assert_eq!((records.as_array().map(Vec::len), &records[0]["partition"]), (Some(1), &json!(2)));
    }
}

#[test]
fn seeds_are_the_first_records_of_a_topic_and_never_come_again() {
    for version in Version::ALL {
        let kafka = Kafka::shared(version);
        let lines = "{\"key\": \"a\", \"value\": 1}\n{\"key\": \"b\", \"value\": 2}\n";
        let sandbox = seeded(&kafka.bootstrap(), "expired", &json!({}), lines);
        sandbox.run(&[]).expect_code(0);
        assert_eq!(keys(kafka, "expired"), ["a", "b"]);
        kafka.oracle(&["expire", "expired"]);
        assert_eq!(keys(kafka, "expired"), [""; 0]);
        let later = sandbox.run(&[]);
        later.expect_code(0);
        assert_eq!((later.count("writes"), later.count("unchanged")), (0, 2), "{later}");
        assert_eq!(keys(kafka, "expired"), [""; 0], "events are not sent once more after each retention period");

        // A topic that an application has begun.
        kafka.oracle(&["create", "begun", "1", "1"]);
        kafka.oracle(&["produce", "begun", "mine=1"]);
        let begun = seeded(&kafka.bootstrap(), "begun", &json!({}), lines);
        begun.run(&[]).expect_code(0);
        assert_eq!(keys(kafka, "begun"), ["mine"]);

        // What was aborted has never been there.
        kafka.oracle(&["create", "aborted", "1", "1"]);
        kafka.oracle(&["abort", "aborted", "lost=1", "lost2=2"]);
        let aborted = seeded(&kafka.bootstrap(), "aborted", &json!({}), lines);
        aborted.run(&[]).expect_code(0);
        assert_eq!(keys(kafka, "aborted"), ["a", "b"]);
        assert_eq!(aborted.run(&[]).count("writes"), 0);

        // On a compacted topic a declared key that is not there is written, whoever took it away.
        let compacted = seeded(&kafka.bootstrap(), "compacted", &json!({"cleanup.policy": "compact,delete"}), lines);
        compacted.run(&[]).expect_code(0);
        kafka.oracle(&["expire", "compacted"]);
        compacted.run(&[]).expect_code(0);
        assert_eq!(keys(kafka, "compacted"), ["a", "b"]);
    }
}

#[test]
fn a_topic_that_has_grown_is_a_note_and_does_not_stop_the_others() {
    let kafka = Kafka::shared(Version::V4_3);
    let line = "{\"key\": \"a\", \"value\": 1}\n";
    for policy in ["compact", "delete"] {
        let topic = format!("large.{policy}");
        let mut sandbox = seeded(&kafka.bootstrap(), &topic, &json!({"cleanup.policy": policy}), line);
        sandbox.run(&[]).expect_code(0);
        kafka.oracle(&["produce", &topic, "x=1", "y=2", "z=3"]);
        sandbox.set("SEED_SCAN_MAX", "2");
        sandbox.write(&format!("topics/{topic}.new.json"), "{\"partitions\": 1}");
        let run = sandbox.run(&[]);
        run.expect_code(0).expect_stderr("more than SEED_SCAN_MAX=2");
        assert_eq!((run.count("created"), run.count("unchanged")), (1, 2), "{run}");
    }
}

/// Ten seconds once, not for each topic.
#[test]
fn a_transaction_log_that_cannot_be_made_is_waited_for_once() {
    let kafka = Kafka::of(Version::V4_3)
        .setting("transaction.state.log.replication.factor=3")
        .setting("transaction.state.log.min.isr=3")
        .start();
    let sandbox = Sandbox::new("k-init").env("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap());
    for number in 0..4 {
        sandbox.write(&format!("topics/log.{number}.json"), "{\"partitions\": 1}");
        sandbox.write(&format!("seeds/log.{number}.jsonl"), "{\"key\": \"k0\", \"value\": 1}\n");
    }
    let run = sandbox.run(&[]);
    run.expect_code(0);
    assert!(run.elapsed < Duration::from_secs(25), "{run}");
    for number in 0..4 {
        assert_eq!(keys(&kafka, &format!("log.{number}")), ["k0"]);
    }
    assert_eq!(sandbox.run(&[]).count("writes"), 0);
}

#[test]
fn a_broker_with_short_transactions_gets_a_short_one() {
    let kafka = Kafka::of(Version::V4_3).setting("transaction.max.timeout.ms=30000").start();
    let sandbox = sandbox(&kafka.bootstrap(), "short", "delete", 3);
    let run = sandbox.run(&[]);
    run.expect_code(0);
    assert!(!run.stderr.contains("without a transaction"), "{run}");
    assert_eq!(keys(&kafka, "short"), expected(3));
}
