//! Every body that `docs/k-init.md` shows, in its blocks and in its table of commands, is applied as it stands there, twice.

use std::path::Path;
use std::time::Duration;

use kit::sandbox::Sandbox;
use kit::servers::kafka::{Connect, Kafka, Listener, Version};

fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/k-init.md");
    std::fs::read_to_string(path).expect("the document is there")
}

/// The rows of the table from commands to files: command, path, body.
fn commands() -> Vec<(String, String, String)> {
    let text = document();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `kafka-")?.strip_suffix("` |"));
    let row = |row: &str| {
        let (command, file) = row.split_once(" | `").expect("a command and a file");
        let (path, body) = file.split_once("`: `").expect("a path and a body");
        (format!("kafka-{command}"), path.to_owned(), body.to_owned())
    };
    rows.map(row).collect()
}

/// The fenced blocks below each third-level heading: kind, language, text.
fn bodies() -> Vec<(String, String, String)> {
    let text = document();
    let mut found = Vec::new();
    let (mut kind, mut block): (String, Option<(String, String)>) = Default::default();
    for line in text.lines() {
        match (&mut block, line.strip_prefix("```")) {
            (None, Some(language)) => block = Some((language.to_owned(), String::new())),
            (Some(_), Some(_)) => {
                let (language, text) = block.take().expect("it is open");
                found.push((kind.clone(), language, text));
            }
            (Some((_, text)), None) => *text += &format!("{line}\n"),
            (None, None) => {
                if let Some(heading) = line.strip_prefix("### ") {
                    heading.clone_into(&mut kind);
                }
            }
        }
    }
    found
}

#[test]
fn the_documents_bodies_are_applied_as_they_stand() {
    let bodies = bodies();
    let kinds: Vec<&str> = bodies.iter().map(|(kind, ..)| kind.as_str()).collect();
    let all = [
        "topics",
        "users",
        "acls",
        "quotas",
        "broker_defaults",
        "brokers",
        "client_metrics",
        "groups",
        "seeds",
        "connectors",
    ];
    assert_eq!(kinds, all, "one body for each kind");
    for version in Version::ALL {
        let kafka = Kafka::of(version).start();
        let connect = Connect::beside(&kafka);
        let sandbox = Sandbox::new("k-init")
            .env("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap())
            .env("KAFKA_CONNECT_URL", connect.url())
            .env("APPLY_TIMEOUT", "120s")
            .deadline(Duration::from_mins(3))
            .env("KAFKA_VERIFY_SERVERS", format!("SASL_PLAINTEXT://{}", kafka.bootstrap_on(Listener::Sasl)))
            .env("APP_PASSWORD", "the-password-of-app");
        // Groups have settings from Kafka 4.0 on.
        let bodies: Vec<_> = bodies.iter().filter(|(kind, ..)| kind != "groups" || version == Version::V4_3).collect();
        for (kind, language, text) in bodies.iter().copied() {
            let path = match kind.as_str() {
                "topics" => "topics/orders.json",
                "users" => "users/app.json",
                "acls" => "acls/User:app.json",
                "quotas" => "quotas/user=app.json",
                "broker_defaults" => "broker_defaults.json",
                "brokers" => "brokers/1.json",
                "client_metrics" => "client_metrics/producers.json",
                "groups" => "groups/analytics.json",
                "connectors" => "connectors/lines.json",
                _ => "seeds/orders.jsonl",
            };
            assert!(path.ends_with(language.as_str()), "{kind}: {language}");
            sandbox.write(path, text);
        }
        sandbox.run(&["validate"]).expect_code(0);
        let first = sandbox.run(&[]);
        first.expect_code(0);
        let all = bodies.len() as u64;
        assert_eq!(first.count("created") + first.count("updated"), all, "{first}");
        let second = sandbox.run(&[]);
        second.expect_code(0);
        assert_eq!((second.count("unchanged"), second.count("writes")), (all, 0), "{second}");
        assert_eq!(kafka.oracle(&["records", "orders"]).as_array().map(Vec::len), Some(4));
    }
}

/// One after the other, as the commands would be run: each does what is left of it to do, once.
#[test]
fn the_tables_bodies_are_applied_as_they_stand() {
    let rows = commands();
    for tool in ["kafka-topics", "kafka-configs", "kafka-acls", "kafka-console-producer"] {
        assert!(rows.iter().any(|(command, ..)| command.starts_with(tool)), "the table has no {tool}");
    }
    let kafka = Kafka::of(Version::V4_3).start();
    for (command, path, body) in rows {
        let sandbox = Sandbox::new("k-init")
            .env("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap())
            .env("KAFKA_VERIFY_SERVERS", format!("SASL_PLAINTEXT://{}", kafka.bootstrap_on(Listener::Sasl)))
            .env("APP_PASSWORD", "the-password-of-app");
        sandbox.write(&path, &body);
        let first = sandbox.run(&[]);
        first.expect_code(0);
        let pinned = command.contains("--add-config retention.ms");
        assert_eq!(first.count("created") + first.count("updated"), u64::from(!pinned), "{command}\n{first}");
        let second = sandbox.run(&[]);
        second.expect_code(0);
        assert_eq!((second.count("unchanged"), second.count("writes")), (1, 0), "{command}\n{second}");
    }
}
