//! k-init and brokers of other versions and makers: each request in the newest version that both have, and what a lower one cannot tell is
//! missing and no more than that.

use kafka_protocol::messages::ApiKey;
use kit::sandbox::Sandbox;
use kit::scripted_kafka::ScriptedKafka;
use kit::servers::Kafka;
use kit::servers::kfake::{Kfake, Variant};
use serde_json::json;

#[test]
fn clusters_held_to_other_versions_are_provisioned_and_left_alone_the_second_time() {
    for variant in Variant::ALL {
        let Some(cluster) = Kfake::start(variant) else { return };
        let (user, password) = Kafka::ADMIN;
        let sandbox = Sandbox::new("k-init")
            .env("KAFKA_BOOTSTRAP_SERVERS", cluster.bootstrap())
            .env("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
            .env("KAFKA_SASL_MECHANISM", "PLAIN")
            .env("KAFKA_USERNAME", user)
            .env("KAFKA_PASSWORD", password)
            .config(&[
                ("topics/orders.json", json!({"partitions": 2, "replicas": 1, "config": {"retention.ms": 3_600_000, "cleanup.policy": "compact"}})),
                ("topics/events.json", json!({"partitions": 1})),
                ("users/app.json", json!({"password": "the-password-of-app", "mechanisms": ["SCRAM-SHA-256"]})),
                ("acls/User:app.json", json!([{"resource": {"type": "topic", "name": "orders"}, "operations": ["Read", "Describe"]}])),
                ("quotas/user=app.json", json!({"producer_byte_rate": 1_048_576})),
                ("broker_defaults.json", json!({"log.cleaner.backoff.ms": 16000})),
            ]);
        sandbox.write("seeds/orders.jsonl", "{\"key\": \"a\", \"value\": 1}\n{\"key\": \"b\", \"value\": 2}\n");
        sandbox.write("seeds/events.jsonl", "{\"value\": {\"first\": true}}\n");
        let run = sandbox.run(&[]);
        run.expect_code(0);
        assert_eq!(run.count("created") + run.count("updated"), 8, "{variant:?}: {run}");
        if variant != Variant::Newest {
            run.expect_stderr("older than Kafka 3.5");
        }
        let again = sandbox.run(&[]);
        again.expect_code(0);
        assert_eq!((again.count("writes"), again.count("unchanged")), (0, 8), "{variant:?}: {again}");
        sandbox
            .write("topics/orders.json", json!({"partitions": 3, "config": {"retention.ms": 7_200_000}}).to_string());
        let changed = sandbox.run(&[]);
        changed.expect_code(0);
        assert_eq!((changed.count("updated"), changed.count("unchanged")), (1, 7), "{variant:?}: {changed}");
    }
}

/// A version that k-init does not mean the same by is not asked for, and the sentence says which would do.
#[test]
fn a_broker_without_a_common_version_is_told_at_once() {
    let scripted = ScriptedKafka::new(1);
    scripted.offer(&[(18, 0, 3), (3, 0, 7)]);
    let sandbox = Sandbox::new("k-init")
        .env("KAFKA_BOOTSTRAP_SERVERS", scripted.bootstrap())
        .config(&[("topics/t.json", json!({}))]);
    let run = sandbox.run(&[]);
    run.expect_code(1).expect_stderr("offers MetadataRequest in versions 0 to 7, and one of 8 to 12 is needed");
    assert_eq!(scripted.count(ApiKey::Metadata), 0, "{run}");
}
