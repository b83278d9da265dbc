//! The JSON Schemas in docs/schema say what the programs' own parsers say: both are fed the same bodies, good ones and bad ones.

use kit::sandbox::Sandbox;
use kit::schema::violations;
use serde_json::{Value, json};

/// A schema's name, the program, the file that a body is put into, bodies that are taken and bodies that are not.
fn all() -> Vec<(&'static str, &'static str, &'static str, Vec<Value>, Vec<Value>)> {
    vec![
        (
            "topics",
            "k-init",
            "topics/a.json",
            vec![
                json!({}),
                json!({"$schema": "topics.json", "partitions": 3, "replicas": 1, "config": {"retention.ms": 1, "cleanup.policy": "compact", "x": null, "y": 0.5, "z": true}}),
                json!({"partitions": "$__env{NO_SUCH:-3}"}),
            ],
            vec![
                json!({"partitons": 3}),
                json!({"partitions": "three"}),
                json!({"partitions": 0}),
                json!({"partitions": 1.5}),
                json!({"config": {"a": {}}}),
                json!({"config": []}),
                json!([]),
            ],
        ),
        (
            "users",
            "k-init",
            "users/a.json",
            vec![
                json!({"password": "a-long-password"}),
                json!({"password": "a-long-password", "mechanisms": ["SCRAM-SHA-256", "SCRAM-SHA-512"], "iterations": 4096}),
            ],
            vec![
                json!({}),
                json!({"password": 12}),
                json!({"password": "a-long-password", "mechanisms": ["PLAIN"]}),
                json!({"password": "a-long-password", "iterations": 1}),
                json!({"password": "a-long-password", "rounds": 4096}),
            ],
        ),
        (
            "quotas",
            "k-init",
            "quotas/user=a.json",
            vec![json!({"producer_byte_rate": 1024, "request_percentage": 50.5, "consumer_byte_rate": null})],
            vec![json!({"producer_byte_rate": "fast"}), json!({"producer_byte_rate": {}}), json!([1])],
        ),
        (
            "ism_attachments",
            "os-init",
            "ism_attachments/p.json",
            vec![json!({"indices": ["logs-*"], "update": true}), json!({"indices": "logs-*"})],
            vec![
                json!({}),
                json!({"indices": ["logs-*"], "update": "yes"}),
                json!({"indices": ["logs-*"], "policy": "p"}),
            ],
        ),
        (
            "aliases",
            "os-init",
            "aliases/a.json",
            vec![json!({"indices": {"i": {"is_write_index": true}, "j": null}})],
            vec![json!({}), json!({"indices": ["i"]}), json!({"indices": {"i": {}}, "filter": {}})],
        ),
    ]
}

#[test]
fn schemas_and_parsers_agree() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the repository");
    let mut files: Vec<String> = std::fs::read_dir(root.join("docs/schema"))
        .expect("docs/schema can be read")
        .map(|entry| entry.expect("docs/schema can be read").file_name().to_string_lossy().into_owned())
        .collect();
    files.sort();
    let mut covered: Vec<String> = all().iter().map(|(name, ..)| format!("{name}.json")).collect();
    covered.sort();
    assert_eq!(files, covered, "each schema has bodies here");
    for (name, program, file, good, bad) in all() {
        let text = std::fs::read_to_string(root.join(format!("docs/schema/{name}.json"))).expect("the schema is there");
        let schema: Value = serde_json::from_str(&text).expect("the schema is JSON");
        for (body, taken) in good.iter().map(|body| (body, true)).chain(bad.iter().map(|body| (body, false))) {
            let broken = violations(&schema, body);
            assert_eq!(broken.is_empty(), taken, "{name}: {body}\n{}", broken.join("\n"));
            let sandbox = Sandbox::new(program).config(&[(file, body.clone())]);
            let run = sandbox.run(&["validate"]);
            assert_eq!(run.code() == Some(0), taken, "{name}: {body}\n{run}");
        }
    }
}
