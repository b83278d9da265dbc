//! Users of k-init on real brokers: many at once, one's own, who could never log in, and what an export makes of names that look alike.

use kit::sandbox::Sandbox;
use kit::servers::kafka::{Kafka, Listener, Version};
use serde_json::{Value, json};

fn sandbox(kafka: &Kafka) -> Sandbox {
    Sandbox::new("k-init").env("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap())
}

/// Many passwords are proven on several connections; a run that changes its own goes on with the new one.
#[test]
fn a_run_that_changes_its_own_password_goes_on_with_it() {
    for version in Version::ALL {
        let kafka = Kafka::of(version).start();
        let (user, password) = Kafka::ADMIN;
        let mut mine = Sandbox::new("k-init")
            .env("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_on(Listener::Sasl))
            .env("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
            .env("KAFKA_SASL_MECHANISM", "SCRAM-SHA-512")
            .env("KAFKA_USERNAME", user)
            .env("KAFKA_PASSWORD", password)
            .config(&[
                ("users/admin.json", json!({"password": "$__env{NEW}", "iterations": 4096})),
                ("topics/own.json", json!({"partitions": 1})),
            ])
            .env("NEW", "the-new-password-of-admin");
        mine.write("seeds/own.jsonl", "{\"value\": 1}\n");
        mine.run(&[]).expect_code(0);
        assert_eq!(kafka.oracle(&["records", "own"]).as_array().map(Vec::len), Some(1));
        mine.set("KAFKA_PASSWORD", "the-new-password-of-admin");
        let again = mine.run(&[]);
        again.expect_code(0);
        assert_eq!(again.count("writes"), 0, "{again}");
    }
}

#[test]
fn a_hundred_changed_passwords_are_proven_and_written_in_time() {
    let kafka = Kafka::shared(Version::V4_3);
    let users = |password: &str| {
        let user = |number: usize| (format!("crowd{number}"), json!({"password": password, "iterations": 4096}));
        Value::Object((0..100).map(user).collect()).to_string()
    };
    let sandbox = sandbox(kafka)
        .env("KAFKA_VERIFY_SERVERS", format!("SASL_PLAINTEXT://127.0.0.1:1,{}", kafka.bootstrap_on(Listener::Sasl)));
    sandbox.write("users.json", users("the-first-password"));
    sandbox.run(&[]).expect_code(0);
    let proven = sandbox.run(&[]);
    proven.expect_code(0);
    assert_eq!(proven.count("writes"), 0, "{proven}");
    sandbox.write("users.json", users("the-second-password"));
    let changed = sandbox.run(&[]);
    changed.expect_code(0);
    assert_eq!(changed.count("updated"), 100, "{changed}");
    assert!(proven.elapsed < std::time::Duration::from_secs(20), "{:?}", proven.elapsed);
}

#[test]
fn a_user_who_could_never_log_in_is_refused() {
    let sandbox = Sandbox::new("k-init").config(&[("users.json", json!({"üñí": {"password": "a-password-of-him"}}))]);
    sandbox.run(&["validate"]).expect_code(1).expect_stderr("not ASCII");
}

/// Three names, one upper-case form: each gets a variable of its own, and what was exported is found unchanged.
#[test]
fn exported_users_have_one_variable_each() {
    let kafka = Kafka::of(Version::V4_3).start();
    let names = ["app-a", "app_a", "app.a"];
    let user = |name: &&str| ((*name).to_owned(), json!({"password": format!("password-of-{name}")}));
    let users: serde_json::Map<String, Value> = names.iter().map(user).collect();
    let servers = format!("SASL_PLAINTEXT://{}", kafka.bootstrap_on(Listener::Sasl));
    let sandbox = sandbox(&kafka).env("KAFKA_VERIFY_SERVERS", servers).config(&[("users.json", Value::Object(users))]);
    sandbox.run(&[]).expect_code(0);
    let folder = sandbox.path("out");
    let run = sandbox.run(&["export", &folder.display().to_string(), "--kind", "users"]);
    run.expect_code(0);
    let mut again = sandbox.config_from(&folder);
    for name in names {
        let text = std::fs::read_to_string(folder.join(format!("users/{name}.json"))).expect("it was exported");
        let body: Value = serde_json::from_str(&text).expect("a body");
        let placeholder = body["password"].as_str().expect("a placeholder");
        let variable = placeholder.strip_prefix("$__env{").and_then(|rest| rest.strip_suffix('}')).expect("a variable");
        assert!(run.stdout.contains(variable), "{run}");
        again.set(variable, format!("password-of-{name}"));
    }
    again.set("USERS_ADMIN_PASSWORD", "admin-secret");
    let unchanged = again.run(&["plan"]);
    unchanged.expect_code(0);
}
