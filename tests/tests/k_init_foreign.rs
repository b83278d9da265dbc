//! What people already have, given to k-init as it is: Strimzi's resources, and topics in one variable.

use std::time::Duration;

use kit::sandbox::Sandbox;
use kit::servers::kafka::{Connect, Kafka, Version};
use serde_json::json;

const RESOURCES: &str = "apiVersion: kafka.strimzi.io/v1beta2
kind: KafkaTopic
metadata:
  name: orders
  labels: {strimzi.io/cluster: my-cluster}
spec:
  topicName: shop.orders
  partitions: 2
  replicas: 1
  config:
    retention.ms: 7200000
---
apiVersion: kafka.strimzi.io/v1beta2
kind: KafkaUser
metadata: {name: shop}
spec:
  authentication:
    type: scram-sha-512
    password: {valueFrom: {secretKeyRef: {name: shop-login, key: secret}}}
  authorization:
    type: simple
    acls:
      - resource: {type: topic, name: shop., patternType: prefix}
        operations: [Read, Describe]
        host: '*'
  quotas: {producerByteRate: 1048576, requestPercentage: 55}
---
apiVersion: kafka.strimzi.io/v1beta2
kind: KafkaUser
metadata: {name: batch}
spec:
  authentication: {type: tls}
  authorization:
    type: simple
    acls: [{resource: {type: group, name: batch}, operation: Read}]
---
apiVersion: kafka.strimzi.io/v1beta2
kind: Kafka
metadata: {name: my-cluster}
spec: {}
";

#[test]
fn strimzis_resources_are_taken_as_they_are() {
    for (version, path) in [(Version::V3_9, "strimzi/shop.yaml"), (Version::V4_3, "topics/shop.yaml")] {
        let kafka = Kafka::of(version).start();
        let sandbox = Sandbox::new("k-init").env("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap());
        sandbox.write(path, RESOURCES);
        let secrets = sandbox.path("secrets");
        std::fs::create_dir_all(secrets.join("shop-login")).expect("the sandbox can be written");
        std::fs::write(secrets.join("shop-login/secret"), "the-password-of-the-shop\n")
            .expect("the sandbox can be written");
        let sandbox = sandbox.env("SECRETS_DIR", secrets.display().to_string());
        let run = sandbox.run(&[]);
        run.expect_code(0).expect_stderr("Kafka/my-cluster");
        assert_eq!(run.count("created"), 5, "{run}");
        let all = kafka.oracle(&["all"]);
        assert_eq!(
            (&all["topics"]["shop.orders"]["partitions"], &all["topics"]["shop.orders"]["config"]["retention.ms"]),
            (&json!(2), &json!("7200000"))
        );
        assert_eq!(all["users"]["shop"], json!({"SCRAM-SHA-512": 4096}));
        assert_eq!(all["quotas"]["user=shop"], json!({"producer_byte_rate": 1_048_576.0, "request_percentage": 55.0}));
        let acls = all["acls"].to_string();
        assert!(
            acls.contains("User:shop ALLOW READ TOPIC PREFIXED shop. *")
                && acls.contains("User:CN=batch ALLOW READ GROUP"),
            "{acls}"
        );
        let again = sandbox.run(&[]);
        again.expect_code(0);
        assert_eq!((again.count("writes"), again.count("unchanged")), (0, 5), "{again}");
    }
}

/// The variable of the images that made this form known; no folder is needed.
#[test]
fn topics_may_stand_in_one_variable_without_any_folder() {
    let kafka = Kafka::shared(Version::V4_3);
    let mut sandbox = Sandbox::new("k-init")
        .env("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap())
        .env("KAFKA_CREATE_TOPICS", "infra-events:3:1,application-logs:2:1:compact\nplain")
        .env("CONFIG_DIR", "/no/such/folder");
    let run = sandbox.run(&[]);
    run.expect_code(0);
    let topics = kafka.oracle(&["topics"]);
    assert_eq!((&topics["infra-events"]["partitions"], &topics["plain"]["replicas"]), (&json!(3), &json!(1)));
    assert_eq!(topics["application-logs"]["config"]["cleanup.policy"], "compact");
    assert_eq!(sandbox.run(&[]).count("writes"), 0);
    sandbox.set("KAFKA_CREATE_TOPICS", "infra-events:many");
    sandbox.run(&[]).expect_code(1).expect_stderr("KAFKA_CREATE_TOPICS: infra-events:many: partitions is a number");
    // A variable and a file that declare one topic: both places are shown.
    let twice =
        Sandbox::new("k-init").env("KAFKA_CREATE_TOPICS", "twice:1").config(&[("topics/twice.json", json!({}))]);
    twice.run(&["validate"]).expect_code(1).expect_stderr("KAFKA_CREATE_TOPICS").expect_stderr("topics/twice.json");
}

/// A `KafkaConnector` is the connector that our own kind would make of the same words.
#[test]
fn a_connector_of_strimzi_is_one_of_ours() {
    let kafka = Kafka::of(Version::V4_3).start();
    let connect = Connect::beside(&kafka);
    let lines = connect.folder().join("lines.txt");
    std::fs::write(&lines, "one\n").expect("the folder can be written");
    let file = lines.display();
    let sandbox = Sandbox::new("k-init")
        .env("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap())
        .env("KAFKA_CONNECT_URL", connect.url())
        .env("APPLY_TIMEOUT", "120s")
        .deadline(Duration::from_mins(3))
        .config(&[("topics/lines.json", json!({"partitions": 1}))]);
    let resource = format!(
        "apiVersion: kafka.strimzi.io/v1beta2\nkind: KafkaConnector\nmetadata: {{name: lines, labels: {{strimzi.io/cluster: c}}}}\nspec:\n  \
         class: FileStreamSource\n  tasksMax: 1\n  autoRestart: {{enabled: true}}\n  pause: true\n  config: {{file: {file}, topic: lines}}\n"
    );
    sandbox.write("strimzi/lines.yaml", resource);
    sandbox.run(&[]).expect_code(0).expect_stderr("KafkaConnector/lines autoRestart");
    assert_eq!(connect.get("/connectors/lines/status").expect("it is there")["connector"]["state"], "PAUSED");
    sandbox.remove("strimzi/lines.yaml");
    let config =
        json!({"connector.class": "FileStreamSource", "tasks.max": 1, "file": file.to_string(), "topic": "lines"});
    sandbox.write("connectors/lines.json", json!({"config": config, "state": "paused"}).to_string());
    sandbox.run(&["plan"]).expect_code(0);
}
