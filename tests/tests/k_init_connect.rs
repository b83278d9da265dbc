//! Connectors of k-init on a real worker of Kafka Connect: put, proven by the status, replaced whole, paused, failed.

use std::time::Duration;

use kit::sandbox::Sandbox;
use kit::servers::kafka::{Connect, Kafka, Version};
use serde_json::{Value, json};

fn sandbox(kafka: &Kafka, connect: &Connect) -> Sandbox {
    Sandbox::new("k-init")
        .env("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap())
        .env("KAFKA_CONNECT_URL", connect.url())
        .env("APPLY_TIMEOUT", "120s")
        .deadline(Duration::from_mins(3))
}

fn source(file: &str) -> Value {
    json!({"connector.class": "FileStreamSource", "tasks.max": 1, "file": file, "topic": "lines"})
}

#[test]
fn connectors_are_put_proven_replaced_paused_and_exported() {
    for version in Version::ALL {
        let kafka = Kafka::of(version).start();
        let connect = Connect::beside(&kafka);
        let lines = connect.folder().join("lines.txt");
        std::fs::write(&lines, "one\n").expect("the folder can be written");
        let file = lines.display().to_string();
        let sandbox = sandbox(&kafka, &connect).config(&[
            ("topics/lines.json", json!({"partitions": 1})),
            ("connectors/lines.json", source(&file)),
            ("connectors/held.json", json!({"name": "held", "config": source(&file), "state": "stopped"})),
        ]);
        let run = sandbox.run(&[]);
        run.expect_code(0);
        assert_eq!(run.actions()["connectors/lines"], "created", "{run}");
        let status = connect.get("/connectors/lines/status").expect("it is there");
        assert_eq!(
            (&status["connector"]["state"], &status["tasks"][0]["state"]),
            (&json!("RUNNING"), &json!("RUNNING"))
        );
        assert_eq!(connect.get("/connectors/held/status").expect("it is there")["connector"]["state"], "STOPPED");
        let again = sandbox.run(&[]);
        again.expect_code(0);
        assert_eq!((again.count("writes"), again.count("unchanged")), (0, 3), "{again}");

        // A key that left the file is gone; a state is reached.
        let mut wider = source(&file);
        wider["batch.size"] = json!("100");
        sandbox.write("connectors/lines.json", json!({"config": wider, "state": "paused"}).to_string());
        sandbox.run(&[]).expect_code(0);
        assert_eq!(connect.get("/connectors/lines/config").expect("it is there")["batch.size"], "100");
        assert_eq!(connect.get("/connectors/lines/status").expect("it is there")["connector"]["state"], "PAUSED");
        sandbox.write("connectors/lines.json", source(&file).to_string());
        let plan = sandbox.run(&["plan"]);
        plan.expect_code(2);
        assert!(plan.stdout.contains(r#"/batch.size: \"100\" -> (absent)"#), "{plan}");
        sandbox.run(&[]).expect_code(0);
        assert!(connect.get("/connectors/lines/config").expect("it is there")["batch.size"].is_null());

        let folder = sandbox.path("out");
        sandbox.run(&["export", &folder.display().to_string(), "--kind", "connectors"]).expect_code(0);
        let exported = sandbox.config_from(&folder).run(&["plan"]);
        exported.expect_code(0);
        assert_eq!(exported.count("unchanged"), 2, "{exported}");
    }
}

/// Connect says beforehand what it would refuse, and nothing is written; a task that fails afterwards is told with its reason.
#[test]
fn what_connect_would_refuse_or_fail_is_said() {
    let kafka = Kafka::of(Version::V4_3).start();
    let connect = Connect::beside(&kafka);
    let lacking = json!({"connector.class": "FileStreamSource", "topic": "lines", "tasks.max": "none"});
    let mut sandbox =
        sandbox(&kafka, &connect).config(&[("connectors/lacking.json", lacking), ("topics/never.json", json!({}))]);
    let run = sandbox.run(&[]);
    run.expect_code(1).expect_stderr("tasks.max");
    assert_eq!(run.count("writes"), 0, "{run}");
    assert!(kafka.oracle(&["topics"])["never"].is_null());
    let unknown = json!({"connector.class": "com.example.Missing", "topic": "lines"});
    sandbox.write("connectors/lacking.json", unknown.to_string());
    sandbox.run(&[]).expect_code(1).expect_stderr("com.example.Missing");
    sandbox.remove("connectors/lacking.json");

    // A sink whose file lies in a folder that is not there fails when it starts.
    let sink =
        json!({"connector.class": "FileStreamSink", "tasks.max": "1", "file": "/nowhere/at/all", "topics": "never"});
    sandbox.write("connectors/failing.json", sink.to_string());
    let run = sandbox.run(&[]);
    run.expect_code(1).expect_stderr("task 0 has failed: org.apache.kafka.connect");
    sandbox.run(&["plan"]).expect_code(1).expect_stderr("task 0 has failed");
    sandbox.remove("connectors/failing.json");

    // Connect is waited for only where a connector is declared.
    sandbox.set("KAFKA_CONNECT_URL", "http://127.0.0.1:1");
    sandbox.set("WAIT_TIMEOUT", "3s");
    sandbox.run(&[]).expect_code(0);
    sandbox.write("connectors/lines.json", source("/dev/null").to_string());
    sandbox.run(&[]).expect_code(1).expect_stderr("Kafka Connect: nothing listens at 127.0.0.1:1");
    sandbox.unset("KAFKA_CONNECT_URL");
    sandbox.run(&["validate"]).expect_code(1).expect_stderr("set KAFKA_CONNECT_URL");
}
