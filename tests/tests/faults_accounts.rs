//! The accounts of `docker/accounts`: each is enough for the demonstration set and for a user's everyday changes, and with one right less the run fails
//! with a sentence that names that right.

use std::path::PathBuf;

use kit::engine::repository;
use kit::grafana::{Grafana, Options, Profile};
use kit::ism::IsmFront;
use kit::sandbox::Sandbox;
use kit::servers::kafka::{Kafka, Listener, Version};
use kit::servers::opensearch::{OpenSearch, Variant};
use serde_json::{Value, json};

fn place(path: &str) -> PathBuf {
    repository().join("docker").join(path)
}

fn json_of(path: &str) -> Value {
    let text = std::fs::read_to_string(place(path)).unwrap_or_else(|error| panic!("could not read {path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

const PASSWORD: &str = "Only-this-Accounts-77!";

/// As the administrator, who in this Kafka is whoever comes without a login.
fn kafka_admin(kafka: &Kafka) -> Sandbox {
    Sandbox::new("k-init")
        .env("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap())
        .env("KAFKA_VERIFY_SERVERS", format!("SASL_PLAINTEXT://{}", kafka.bootstrap_on(Listener::Sasl)))
        .env("K_INIT_PASSWORD", PASSWORD)
}

fn kafka_as(kafka: &Kafka, user: &str) -> Sandbox {
    Sandbox::new("k-init")
        .env("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_on(Listener::Sasl))
        .env("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
        .env("KAFKA_SASL_MECHANISM", "SCRAM-SHA-512")
        .env("KAFKA_USERNAME", user)
        .env("KAFKA_PASSWORD", PASSWORD)
}

/// A change of each kind, of objects that are this case's own.
fn kafka_changes(sandbox: &Sandbox, name: &str) {
    sandbox.write(
        "topics.json",
        json!({format!("new-{name}"): {"partitions": 1}, format!("old-{name}"): {"partitions": 2, "config": {"retention.ms": 60000}}})
            .to_string(),
    );
    sandbox.write(&format!("seeds/new-{name}.jsonl"), "{\"key\": \"a\", \"value\": \"1\"}\n");
    sandbox.write(&format!("quotas/client-id={name}.json"), r#"{"producer_byte_rate": 1000}"#);
    sandbox.write(
        &format!("acls/User:of-{name}.json"),
        r#"[{"resource": {"type": "topic", "name": "x"}, "operations": ["Read"]}]"#,
    );
}

#[test]
fn the_account_of_k_init_is_enough_and_has_nothing_to_spare() {
    let kafka = Kafka::of(Version::V4_3).start();
    kafka_admin(&kafka).config_from(&place("accounts/k-init")).run(&[]).expect_code(0);
    let demo = kafka_as(&kafka, "k-init").config_from(&place("demo/k-init"));
    demo.run(&[]).expect_code(0);
    assert_eq!(demo.run(&[]).count("writes"), 0);

    let acls = json_of("accounts/k-init/acls/User:k-init.json");
    let rights: Vec<(usize, usize)> = acls
        .as_array()
        .expect("a list of bindings")
        .iter()
        .enumerate()
        .flat_map(|(at, binding)| {
            (0..binding["operations"].as_array().expect("operations").len()).map(move |operation| (at, operation))
        })
        .collect();
    let mut cases = vec![("whole".to_owned(), acls.clone(), None)];
    for (at, operation) in rights {
        let mut less = acls.clone();
        let left = less[at]["operations"].as_array_mut().expect("operations");
        let removed = left.remove(operation).as_str().expect("a word").to_owned();
        if left.is_empty() {
            less.as_array_mut().expect("a list of bindings").remove(at);
        }
        let kind = acls[at]["resource"]["type"].as_str().expect("a word");
        cases.push((format!("no-{removed}-{kind}").to_lowercase(), less, Some(removed)));
    }
    for (name, acls, missing) in cases {
        let admin = kafka_admin(&kafka);
        admin.write(&format!("users/{name}.json"), json_of("accounts/k-init/users/k-init.json").to_string());
        admin.write(&format!("acls/User:{name}.json"), acls.to_string());
        admin.write("topics.json", json!({format!("old-{name}"): {"partitions": 1}}).to_string());
        admin.run(&[]).expect_code(0);
        let sandbox = kafka_as(&kafka, &name);
        kafka_changes(&sandbox, &name);
        let run = sandbox.run(&[]);
        match missing {
            None => drop(run.expect_code(0)),
            // Seeds are written without a transaction, and the run says what it lacks for one.
            Some(right) if name.ends_with("transactionalid") => {
                run.expect_code(0);
                run.expect_stderr(&format!("written without a transaction (needs {right} "));
            }
            Some(right) => {
                run.expect_code(1);
                // What it implies goes with it, and may be missed first.
                let implied = if right == "AlterConfigs" { "DescribeConfigs" } else { "Describe" };
                let named = [right.as_str(), implied].iter().any(|it| run.stderr.contains(&format!("needs {it} on ")));
                assert!(named, "without {right} ({name})\n{run}");
                assert_eq!(run.field("exit_reason"), "auth", "{name}\n{run}");
            }
        }
    }
}

fn opensearch_as(url: &str, user: &str, password: &str) -> Sandbox {
    Sandbox::new("os-init")
        .env("OPENSEARCH_URL", url)
        .env("OPENSEARCH_USERNAME", user)
        .env("OPENSEARCH_PASSWORD", password)
        .env("OS_INIT_PASSWORD", PASSWORD)
}

#[test]
fn the_account_of_os_init_is_enough() {
    for variant in Variant::usable(&[Variant::Security2, Variant::Security3]) {
        let node = OpenSearch::of(variant).plain_http().start();
        let front = IsmFront::of(&node);
        let (admin, secret) = OpenSearch::ADMIN;
        opensearch_as(&front.url(), admin, secret).config_from(&place("accounts/os-init")).run(&[]).expect_code(0);
        let demo = opensearch_as(&front.url(), "os-init", PASSWORD).config_from(&place("demo/os-init"));
        demo.run(&[]).expect_code(0);
        assert_eq!(demo.run(&[]).count("writes"), 0);
        let more = opensearch_as(&front.url(), "os-init", PASSWORD);
        more.write("snapshot_repositories/of-account.json", r#"{"type": "fs", "settings": {"location": "account"}}"#);
        more.write("scripts/of-account.json", r#"{"script": {"lang": "painless", "source": "return 1"}}"#);
        more.run(&[]).expect_code(0);
        assert_eq!(more.run(&[]).count("writes"), 0);
    }
}

#[test]
fn one_right_less_of_os_init_is_named() {
    for variant in Variant::usable(&[Variant::Security2]) {
        let node = OpenSearch::of(variant).plain_http().start();
        let (admin, secret) = OpenSearch::ADMIN;
        let role = json_of("accounts/os-init/roles/os-init.json");
        let files = [
            (
                "cluster:admin/settings/update",
                "cluster_settings.json",
                r#"{"persistent": {"cluster.max_shards_per_node": 1500}}"#,
            ),
            ("cluster:admin/script/*", "scripts/s.json", r#"{"script": {"lang": "painless", "source": "return 1"}}"#),
            ("cluster:admin/ingest/pipeline/*", "ingest_pipelines/p.json", r#"{"processors": []}"#),
            ("cluster:admin/component_template/*", "component_templates/c.json", r#"{"template": {}}"#),
            ("indices:admin/index_template/*", "index_templates/i.json", r#"{"index_patterns": ["of-account-*"]}"#),
            (
                "cluster:admin/repository/*",
                "snapshot_repositories/r.json",
                r#"{"type": "fs", "settings": {"location": "less"}}"#,
            ),
        ];
        for (number, (right, path, body)) in files.into_iter().enumerate() {
            let user = format!("less-{number}");
            let mut less = role.clone();
            let rights = less["cluster_permissions"].as_array_mut().expect("a list");
            let before = rights.len();
            rights.retain(|it| it != right);
            assert_eq!(rights.len() + 1, before, "the role has no {right}");
            let by_admin = opensearch_as(&node.url(), admin, secret);
            by_admin.write(&format!("roles/{user}.json"), less.to_string());
            by_admin.write(&format!("roles_mapping/{user}.json"), json!({"users": [user]}).to_string());
            by_admin.write(&format!("internal_users/{user}.json"), json!({"password": PASSWORD}).to_string());
            by_admin.run(&[]).expect_code(0);
            let sandbox = opensearch_as(&node.url(), &user, PASSWORD);
            sandbox.write(path, body);
            let run = sandbox.run(&[]);
            run.expect_code(1);
            assert_eq!(run.field("exit_reason"), "auth", "without {right}\n{run}");
            let family = right.trim_end_matches('*');
            assert!(run.stderr.contains(family), "without {right} nothing names {family}\n{run}");
        }
    }
}

#[test]
fn the_account_of_grafana_init_is_enough_and_an_editor_is_not() {
    let grafana = Grafana::start(Profile::V12, Options::default());
    let by_admin = |role: &str, name: &str| {
        let sandbox = Sandbox::new("grafana-init")
            .env("GRAFANA_URL", grafana.url())
            .env("GRAFANA_USERNAME", "admin")
            .env("GRAFANA_PASSWORD", "admin");
        let mut account = json_of("accounts/grafana-init/service_accounts/grafana-init.json");
        let token = sandbox.path("token");
        account["role"] = json!(role);
        account["tokens"][0]["name"] = json!(name);
        account["tokens"][0]["file"] = json!(token);
        sandbox.write(&format!("service_accounts/{name}.json"), account.to_string());
        sandbox.run(&[]).expect_code(0);
        std::fs::read_to_string(token).expect("the token is written")
    };
    let run = |token: &str| {
        let sandbox = Sandbox::new("grafana-init").env("GRAFANA_URL", grafana.url()).env("GRAFANA_TOKEN", token.trim());
        let sandbox = sandbox.config_from(&place("demo/grafana-init"));
        (sandbox.run(&[]), sandbox)
    };
    let (less, _) = run(&by_admin("Editor", "too-little"));
    less.expect_code(1);
    assert_eq!(less.field("exit_reason"), "auth", "{less}");
    assert!(less.stderr.contains("Permissions needed: "), "nothing names the right\n{less}");
    let (enough, sandbox) = run(&by_admin("Admin", "grafana-init"));
    enough.expect_code(0);
    assert_eq!(sandbox.run(&[]).count("writes"), 0);
}
