//! The sidecar files, the examples and the image's own build, as somebody who has an engine alone uses them: from where they lie, extended with a network,
//! a profile and a login, without a folder, and built from source.

use std::fs;
use std::process::Command;
use std::time::Duration;

use kit::engine::{Engine, Project, repository, say};
use serde_json::json;

const SIDECAR: &str = "infra/05-messaging/k-init.yml";

/// A project of somebody's: the sidecar files at their place, and what else it has.
fn somebodys(servers: &[&str], files: &[(&str, &str)]) -> Project {
    let project = Project::empty(servers);
    say(Command::new("cp").arg("-r").arg(repository().join("docker/infra")).arg(project.path(""))).expect_code(0);
    for (path, text) in files {
        let path = project.path(path);
        fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("the project can be written");
        fs::write(path, text).expect("the project can be written");
    }
    project
}

/// A block of a page, by the file that its fence names and a word in it.
fn shown(page: &str, fence: &str, word: &str) -> String {
    let text = fs::read_to_string(repository().join("docs").join(page)).expect("the page is there");
    let opening = format!("```{fence}\n");
    let mut blocks = text.split(&opening).skip(1).filter_map(|rest| rest.split("```").next());
    blocks
        .find(|block| block.contains(word))
        .unwrap_or_else(|| panic!("{page} shows no {fence} with {word}"))
        .to_owned()
}

#[test]
fn a_sidecar_file_works_from_where_it_lies_and_a_missing_folder_is_an_error() {
    let project = somebodys(&[], &[]);
    let file = project.path(SIDECAR);
    let project = project.file(&file);
    let validate = ["run", "--rm", "-T", "k-init", "validate"];
    let without = project.compose(&validate);
    assert_ne!(without.code, 0, "a run without a folder ended well");
    let said = format!("{}{}", without.stdout, without.stderr);
    assert!(
        said.contains("config/k-init") || said.contains("is the mount right?"),
        "nothing names the folder:\n{said}"
    );
    let topics = project.path("config/k-init/topics.json");
    fs::create_dir_all(topics.parent().expect("it has a folder")).expect("the project can be written");
    fs::write(topics, r#"{"orders": {"partitions": 1}}"#).expect("the project can be written");
    project.compose(&validate).expect_code(0);
}

/// The second Compose file of docs/compose.md as it stands, for a Kafka that wants this login.
#[test]
fn extended_with_a_network_a_profile_and_a_login() {
    let project = somebodys(
        &["kafka"],
        &[
            ("config/k-init/topics.json", r#"{"orders": {"partitions": 1}}"#),
            ("secrets/client.properties", &shown("compose.md", "properties secrets/client.properties", "sasl")),
            ("compose.yml", &shown("compose.md", "yaml compose.yml", "extends")),
        ],
    );
    let file = project.path("compose.yml");
    let project = project.file(&file).overlay(
        r#"services:
  kafka:
    image: init-tests/kafka
    command: [kafka]
    environment:
      KAFKA_NODE_ID: 1
      KAFKA_PROCESS_ROLES: broker,controller
      KAFKA_CONTROLLER_QUORUM_VOTERS: 1@localhost:9093
      KAFKA_CONTROLLER_LISTENER_NAMES: CONTROLLER
      KAFKA_LISTENERS: CLIENT://:9092,CONTROLLER://:9093
      KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: CLIENT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
      KAFKA_INTER_BROKER_LISTENER_NAME: CLIENT
      KAFKA_ADVERTISED_LISTENERS: CLIENT://kafka:9092
      KAFKA_SASL_ENABLED_MECHANISMS: PLAIN
      KAFKA_SASL_MECHANISM_INTER_BROKER_PROTOCOL: PLAIN
      KAFKA_LISTENER_NAME_CLIENT_PLAIN_SASL_JAAS_CONFIG: org.apache.kafka.common.security.plain.PlainLoginModule required username="k-init" password="a-password" user_k-init="a-password";
      KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR: 1
"#,
    );
    // With the profile alone the program is part of `up`.
    project.compose(&["--profile", "setup", "up", "-d"]).expect_code(0);
    kit::eventually(Duration::from_mins(2), || !project.running("k-init"));
    let last = project.logs("k-init").last();
    assert_eq!([&last["exit_code"], &last["created"]], [&json!(0), &json!(1)], "{last}");
}

/// Where `INIT_COMPOSE` is a Compose of version 2: `include` as docs/compose.md shows it, and all the same with 1.29 by `--file`.
#[test]
fn included_as_it_is() {
    let program = std::env::var("INIT_COMPOSE").unwrap_or_else(|_| "docker-compose".to_owned());
    let version = say(Command::new(&program).arg("version")).stdout;
    let project = somebodys(&[], &[("config/k-init/topics.json", r#"{"orders": {"partitions": 1}}"#)]);
    let file = if version.contains(" v2") {
        fs::write(project.path("compose.yml"), shown("compose.md", "yaml compose.yml", "include"))
            .expect("the project can be written");
        project.path("compose.yml")
    } else {
        project.path(SIDECAR)
    };
    project.file(&file).compose(&["run", "--rm", "-T", "k-init", "validate"]).expect_code(0);
}

#[test]
fn the_other_examples_start_as_they_stand() {
    for (name, program, created) in [("opensearch", "os-init", 1), ("grafana", "grafana-init", 1)] {
        let project = Project::empty(&[name, "kafka"])
            .file(&repository().join("docker/examples").join(name).join("compose.yml"))
            .overlay(&format!(
                "services:\n  {name}:\n    image: init-tests/{name}\n    command: [{name}]\n  app:\n    image: init-tests/kafka\n"
            ));
        // Everything in the file, as `up` alone does: the program waits for its server by itself and depends on nothing.
        project.up(&[name, "app"]).expect_code(0);
        assert_eq!(project.logs(program).last()["created"], created, "{name}");
        kit::eventually(Duration::from_secs(20), || project.logs("app").stdout.contains("are there"));
    }
}

/// What `docker build --target …` and `up --build` do with an engine alone, in a clone that has no `dist/`. The builder's image is made here, of this
/// machine's toolchain.
#[test]
fn the_images_are_built_from_source() {
    let engine = Engine::shared();
    engine.servers(&["rust", "kafka"]);
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let clone = folder.path().join("clone");
    // The work tree without what is not kept: a clone would lack what is not committed yet.
    fs::create_dir(&clone).expect("the temporary folder can be written");
    let copy = "git ls-files -z --cached --others --exclude-standard | tar --null --ignore-failed-read -T - -c | tar -x -C \"$1\"";
    say(Command::new("sh").args(["-c", copy, "sh"]).arg(&clone).current_dir(repository())).expect_code(0);
    let project = Project::empty(&["kafka"])
        .file(&clone.join("docker/compose.yml"))
        .file(&clone.join("docker/compose.test.yml"))
        .env("RUST_IMAGE", "init-tests/rust")
        .env("INIT_REGISTRY", "built-from-source");
    project.compose(&["build", "k-init"]).expect_code(0);
    let image = engine.inspect(&format!("built-from-source/k-init:{}", env!("CARGO_PKG_VERSION")));
    assert_eq!(image["Config"]["User"], "65532:65532");
    assert!(image["Size"].as_u64() < Some(3_000_000), "{}", image["Size"]);
    project.up(&["k-app"]).expect_code(0);
    assert!(project.logs("k-init").last()["created"].as_u64() > Some(0));
}
