//! k-init with few rights on real brokers: what is documented suffices, and what is missing is said at once.

use std::time::Duration;

use kit::sandbox::Sandbox;
use kit::servers::kafka::{Kafka, Listener, Version};
use serde_json::json;

fn limited(kafka: &Kafka) -> Sandbox {
    let (user, password) = Kafka::LIMITED;
    Sandbox::new("k-init")
        .env("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_on(Listener::Sasl))
        .env("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
        .env("KAFKA_SASL_MECHANISM", "PLAIN")
        .env("KAFKA_USERNAME", user)
        .env("KAFKA_PASSWORD", password)
}

/// To who may not Describe the cluster a broker names no operation at all, which does not mean that none is granted.
#[test]
fn quotas_and_broker_settings_need_the_two_documented_rights_alone() {
    for version in Version::ALL {
        let kafka = Kafka::of(version).start();
        for right in ["ALTER_CONFIGS", "DESCRIBE_CONFIGS"] {
            kafka.oracle(&["grant", "User:limited", "Cluster", "kafka-cluster", right]);
        }
        let sandbox = limited(&kafka).config(&[
            ("quotas.json", json!({"user=x": {"producer_byte_rate": 1000}})),
            ("broker_defaults.json", json!({"log.cleaner.backoff.ms": 17000})),
        ]);
        sandbox.run(&[]).expect_code(0);
        assert_eq!(kafka.oracle(&["quotas"])["user=x"]["producer_byte_rate"], 1000.0);
    }
}

#[test]
fn an_export_without_the_right_to_describe_users_says_so_at_once_and_leaves_no_half_folder() {
    for version in Version::ALL {
        let kafka = Kafka::shared(version);
        let sandbox = limited(kafka).env("EXIT_CODES", "detailed");
        let folder = sandbox.path("out");
        for _ in 0..2 {
            let run = sandbox.run(&["export", &folder.display().to_string(), "--kind", "topics", "--kind", "users"]);
            run.expect_code(77).expect_stderr("needs Describe on Cluster:kafka-cluster");
            assert!(run.elapsed < Duration::from_secs(20), "{run}");
            assert_eq!(std::fs::read_dir(&folder).map_or(0, Iterator::count), 0, "nothing was written");
        }
    }
}
