//! What can go wrong around a program in a Compose project, on a real engine with a real Kafka: servers that are late, dead or not there yet,
//! secrets that cannot be read, restarts. What the programs do with a server that misbehaves is tested elsewhere.

use std::time::Duration;

use kit::engine::{Engine, Project, chmod};
use serde_json::json;

const LIMIT: Duration = Duration::from_mins(1);

#[test]
fn a_server_that_starts_ten_seconds_late_is_waited_for() {
    let project = Project::new(&["kafka"]).env("KAFKA_START_DELAY", "10");
    project.up(&["k-app"]).expect_code(0);
    assert!(project.running("k-app"));
    let last = project.logs("k-init").last();
    assert!(last["wait_ms"].as_u64() > Some(9_000), "{last}");
    assert_eq!(last["failed"], 0, "{last}");
}

#[test]
fn a_name_that_does_not_exist_yet_is_waited_for() {
    let project = Project::new(&["kafka"]);
    project.compose(&["up", "-d", "--no-deps", "k-init"]).expect_code(0);
    kit::eventually(LIMIT, || project.logs("k-init").stderr.contains("cannot look up kafka"));
    assert!(project.running("k-init"));
    project.up(&["kafka"]).expect_code(0);
    kit::eventually(LIMIT, || !project.running("k-init"));
    assert_eq!(project.inspect("k-init")["State"]["ExitCode"], 0);
    assert_eq!(project.logs("k-init").last()["exit_reason"], "ok");
}

#[test]
fn a_dead_server_ends_up_and_the_app_never_starts() {
    let project = Project::new(&["kafka"])
        .env("WAIT_TIMEOUT", "3s")
        .overlay("services:\n  kafka:\n    command: [\"false\"]\n    restart: \"no\"\n");
    let up = project.up(&["k-app"]);
    up.expect_code(1);
    assert!(
        up.stderr.contains("k-init") || up.stderr.contains("exited with code 1") || up.stderr.contains("exit 1"),
        "{}",
        up.stderr
    );
    assert_eq!(project.inspect("k-init")["State"]["ExitCode"], 1);
    let last = project.logs("k-init").last();
    assert_eq!(last["exit_reason"], "wait_timeout", "{last}");
    assert!(last["error"].to_string().contains("cannot look up kafka"), "{last}");
    // Compose 1.29 does not even make it; v2 makes it and leaves it.
    let began = project.container("k-app").map(|id| Engine::shared().inspect(&id)["State"]["Status"].clone());
    assert!(began.is_none() || began == Some(json!("created")), "the app was started: {began:?}");
}

#[test]
fn on_failure_2_gives_exactly_three_runs() {
    let project = Project::new(&["kafka"])
        .env("WAIT_TIMEOUT", "1s")
        .overlay("services:\n  k-init:\n    restart: on-failure:2\n    environment:\n      KAFKA_BOOTSTRAP_SERVERS: nowhere:9092\n");
    project.compose(&["up", "-d", "--no-deps", "k-init"]).expect_code(0);
    kit::eventually(LIMIT, || project.inspect("k-init")["State"]["Status"] == "exited");
    let container = project.inspect("k-init");
    assert_eq!([&container["State"]["ExitCode"], &container["RestartCount"]], [&json!(1), &json!(2)]);
    let ends = project.logs("k-init").records().iter().filter(|it| it["msg"] == "run finished").count();
    assert_eq!(ends, 3);
}

#[test]
fn a_secret_that_the_user_may_not_read_is_named_with_the_remedy() {
    let project = Project::new(&["kafka"]).overlay(
        "services:\n  k-init:\n    environment:\n      KAFKA_CLIENT_CONFIG: /run/secrets/kafka_client\n    secrets: [kafka_client]\nsecrets:\n  kafka_client:\n    file: ${SECRETS_DIR}/kafka_client\n",
    );
    std::fs::write(project.path("secrets/kafka_client"), "security.protocol=PLAINTEXT\n")
        .expect("the project's folder can be written");
    chmod(&project.path("secrets/kafka_client"), 0o400);
    let up = project.up(&["k-app"]);
    up.expect_code(1);
    let last = project.logs("k-init").last();
    assert_eq!(last["exit_reason"], "config", "{last}");
    let error = last["error"].as_str().unwrap_or_default();
    for part in ["/run/secrets/kafka_client", "0400", "65532", "chmod"] {
        assert!(error.contains(part), "the error lacks {part:?}: {error}");
    }
    assert!(!project.running("k-app"));
}

#[test]
fn plan_as_the_command_writes_nothing_and_healthcheck_tells() {
    let project = Project::new(&["kafka"]);
    // Nothing is there yet: not healthy.
    let run = |command: &str| project.compose(&["run", "--rm", "--no-deps", "-T", "k-init", command]);
    run("healthcheck").expect_code(1);
    project.up(&["kafka"]).expect_code(0);
    run("wait").expect_code(0);
    run("healthcheck").expect_code(0);
    let plan = run("plan");
    plan.expect_code(2);
    assert!(plan.stdout.contains("orders"), "the plan does not name a topic:\n{}", plan.stdout);
    project.up(&["k-app"]).expect_code(0);
    run("plan").expect_code(0);
    run("validate").expect_code(0);
}

#[test]
fn healthcheck_beside_a_waiting_program_leaves_it_alone() {
    let engine = Engine::shared();
    for program in ["os-init", "k-init", "grafana-init"] {
        let container = engine.container(program, &[], &["wait"]);
        container.start();
        container.until_said("waiting");
        engine.docker(&["exec", &container.id, &format!("/{program}"), "healthcheck"]).expect_code(1);
        assert_eq!(engine.inspect(&container.id)["State"]["Running"], true, "{program}");
    }
}
