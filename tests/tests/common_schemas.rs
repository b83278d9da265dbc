//! The JSON Schemas in docs/schema say what the programs' own parsers say: both are fed the same bodies, good ones and bad ones.

use kit::sandbox::Sandbox;
use kit::schema::violations;
use serde_json::{Value, json};

/// A schema's name, the program, the file that a body is put into, bodies that are taken and bodies that are not.
#[expect(clippy::too_many_lines, reason = "a table of bodies")]
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
        (
            "acls",
            "k-init",
            "acls/User:a.json",
            vec![
                json!([{"resource": {"type": "topic", "name": "a", "patternType": "prefix"}, "operations": ["Read", "Describe"], "host": "*", "type": "allow"}]),
                json!([{"resource": {"type": "cluster"}, "operation": "Create"}]),
            ],
            vec![
                json!({}),
                json!([{}]),
                json!([{"resource": {"type": "topic", "name": "a"}}]),
                json!([{"resource": {"type": "topics", "name": "a"}, "operation": "Read"}]),
                json!([{"resource": {"type": "topic", "name": "a"}, "operation": "read"}]),
                json!([{"resource": {"type": "topic", "name": "a", "pattern": "prefix"}, "operation": "Read"}]),
                json!([{"resource": {"type": "topic", "name": "a"}, "operation": "Read", "type": "permit"}]),
            ],
        ),
        (
            "connectors",
            "k-init",
            "connectors/a.json",
            vec![
                json!({"connector.class": "X", "tasks.max": 1, "flag": true}),
                json!({"name": "a", "config": {"connector.class": "X"}, "state": "paused"}),
            ],
            vec![
                json!({}),
                json!({"connector.class": "X", "nested": {}}),
                json!({"config": {"tasks.max": 1}}),
                json!({"config": {"connector.class": "X"}, "state": "running!"}),
                json!({"config": {"connector.class": "X"}, "tasks": 1}),
            ],
        ),
        (
            "seeds_line",
            "k-init",
            "seeds/a.jsonl",
            vec![
                json!({"key": "k", "value": {"any": ["JSON"]}, "headers": {"h": "v"}, "partition": 0, "timestamp": 1}),
                json!({"key": "k", "value": null}),
                json!({"key_base64": "AAE=", "value_base64": "AAE=", "headers": [{"h": "1"}, {"h": "2"}]}),
            ],
            vec![
                json!({}),
                json!({"key": "k"}),
                json!({"value": 1, "partition": -1}),
                json!({"value": 1, "partition": "0"}),
                json!({"value": 1, "headers": "h"}),
                json!({"value": 1, "topic": "t"}),
                json!({"value_base64": 1}),
            ],
        ),
        (
            "_folder",
            "grafana-init",
            "dashboards/F/_folder.json",
            vec![
                json!({"uid": "f", "title": "F", "permissions": [{"role": "Editor", "permission": "Edit"}, {"team": "ops", "permission": 4}]}),
                json!({"permissions": []}),
            ],
            vec![
                json!({"uid": 1}),
                json!({"name": "F"}),
                json!({"permissions": {}}),
                json!({"permissions": [{"permission": 1}]}),
                json!({"permissions": [{"role": "Owner", "permission": 1}]}),
                json!({"permissions": [{"role": "Viewer", "permission": 3}]}),
            ],
        ),
        (
            "service_accounts",
            "grafana-init",
            "service_accounts/a.json",
            vec![
                json!({"role": "Viewer", "isDisabled": false, "tokens": [{"name": "t", "file": "/tokens/t", "secondsToLive": 60}]}),
                json!({"id": 1, "name": "a", "login": "sa-a", "orgId": 1, "role": "None"}),
            ],
            vec![
                json!({"role": "Owner"}),
                json!({"isDisabled": "no"}),
                json!({"tokens": {}}),
                json!({"tokens": [{"name": "t"}]}),
                json!({"tokens": [{"name": "t", "file": "/t", "ttl": 1}]}),
                json!({"tokens": [{"name": "t", "file": "/t", "secondsToLive": "60"}]}),
                json!({"roles": ["Viewer"]}),
            ],
        ),
        (
            "teams",
            "grafana-init",
            "teams/a.json",
            vec![json!({}), json!({"id": 3, "name": "a", "email": "a@example.com", "members": ["ann"]})],
            vec![json!({"email": 1}), json!({"members": "ann"}), json!({"members": [1]}), json!({"user": "ann"})],
        ),
        (
            "inputs",
            "grafana-init",
            "inputs.json",
            vec![json!({"DS_PROMETHEUS": "prometheus"})],
            vec![json!({"DS_PROMETHEUS": 1}), json!({"DS_PROMETHEUS": {"uid": "p"}}), json!([])],
        ),
    ]
}

/// The same bodies as a map of one name, in the file that a whole kind may be in.
fn maps() -> Vec<(String, &'static str, String, Vec<Value>, Vec<Value>)> {
    let mut found = Vec::new();
    for (kind, program, file, good, bad) in all() {
        if !file.starts_with(&format!("{kind}/")) {
            continue;
        }
        let name = file.rsplit('/').next().and_then(|name| name.strip_suffix(".json")).expect("a file of JSON");
        let map = |body: Value| json!({"$schema": "x", name: body});
        // In a map it would stand beside the names.
        let plain = |body: &Value| body.get("$schema").is_none();
        let good = good.into_iter().filter(plain).map(map).collect();
        let bad = bad.into_iter().map(map).chain([json!([])]).collect();
        found.push((format!("{kind}_map"), program, format!("{kind}.json"), good, bad));
    }
    found
}

#[test]
fn schemas_and_parsers_agree() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the repository");
    let mut files: Vec<String> = std::fs::read_dir(root.join("docs/schema"))
        .expect("docs/schema can be read")
        .map(|entry| entry.expect("docs/schema can be read").file_name().to_string_lossy().into_owned())
        .collect();
    files.sort();
    let bodies = all()
        .into_iter()
        .map(|(name, program, file, good, bad)| (name.to_owned(), program, file.to_owned(), good, bad));
    let bodies: Vec<_> = bodies.chain(maps()).collect();
    let mut covered: Vec<String> = bodies.iter().map(|(name, ..)| format!("{name}.json")).collect();
    covered.sort();
    assert_eq!(files, covered, "each schema has bodies here");
    for (name, program, file, good, bad) in bodies {
        let schema = kit::schema::read(&root.join(format!("docs/schema/{name}.json")));
        for (body, taken) in good.iter().map(|body| (body, true)).chain(bad.iter().map(|body| (body, false))) {
            let broken = violations(&schema, body);
            assert_eq!(broken.is_empty(), taken, "{name}: {body}\n{}", broken.join("\n"));
            let sandbox = Sandbox::new(program).env("KAFKA_CONNECT_URL", "http://connect:8083");
            sandbox.write(&file, body.to_string());
            let run = sandbox.run(&["validate"]);
            assert_eq!(run.code() == Some(0), taken, "{name}: {body}\n{run}");
        }
    }
}
