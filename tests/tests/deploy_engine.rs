//! The images on a real engine: what is in them, how they end as PID 1, and one project that Kafka, k-init and an app make together. What
//! takes longer is in the `containers_*` cases.

use std::time::Duration;

use kit::engine::{Engine, Project, repository};
use serde_json::{Value, json};

const PROGRAMS: [&str; 3] = ["os-init", "k-init", "grafana-init"];

/// The largest image, in bytes.
const LARGEST: u64 = 2_750_000;

/// Mounts a program's part of the reference set.
fn reference_set(program: &str) -> String {
    format!("{}/docker/demo/{program}:/config:ro", repository().display())
}

#[test]
fn an_image_is_its_program_and_nothing_else() {
    let engine = Engine::shared();
    let version = env!("CARGO_PKG_VERSION");
    for program in PROGRAMS {
        let image = engine.inspect(&engine.image(program));
        let size = image["Size"].as_u64().expect("an image has a size");
        assert!(size <= LARGEST, "{program} has {size} bytes, more than {LARGEST}");
        let config = &image["Config"];
        assert_eq!(config["User"], "65532:65532", "{program}");
        assert_eq!(config["Entrypoint"], json!([format!("/{program}")]), "{program}");
        assert_eq!(config["Healthcheck"], Value::Null, "{program}");
        assert_eq!(config["Volumes"], Value::Null, "{program}");
        let label =
            |name: &str| config["Labels"][format!("org.opencontainers.image.{name}")].as_str().unwrap_or_default();
        assert_eq!(label("title"), program);
        assert_eq!(label("version"), version, "{program}");
        assert_eq!(label("licenses"), "Apache-2.0", "{program}");
        assert!(label("created").ends_with('Z'), "{program}: created {}", label("created"));
        assert!(!label("description").is_empty() && !label("revision").is_empty(), "{program}: {}", config["Labels"]);
        assert_eq!(files(program), [program, "LICENSE", "THIRD-PARTY"], "{program}");
        println(&format!("{program}: {size} bytes"));
    }
}

/// The files of the layers, as `docker save` writes them: what the engine adds to each container is not in them.
fn files(program: &str) -> Vec<String> {
    let engine = Engine::shared();
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let archive = folder.path().join("image.tar");
    engine.docker(&["save", "--output", &archive.display().to_string(), &engine.image(program)]).expect_code(0);
    let list = r#"tar -xf image.tar && find . -name '*layer.tar' -o -path './blobs/sha256/*' | while read -r it; do tar -tf "$it" 2>/dev/null; done"#;
    let said = kit::engine::say(std::process::Command::new("sh").args(["-c", list]).current_dir(folder.path()));
    let mut found: Vec<String> = said.stdout.lines().map(str::to_owned).collect();
    // The program, then the licenses.
    found.sort_by_key(|name| (name.starts_with(|it: char| it.is_ascii_uppercase()), name.clone()));
    found
}

fn println(line: &str) {
    use std::io::Write as _;
    writeln!(std::io::stdout(), "{line}").expect("stdout is there");
}

#[test]
fn there_is_no_shell() {
    for program in PROGRAMS {
        let engine = Engine::shared();
        let container = engine.container(program, &["--entrypoint=/bin/sh"], &["-c", "true"]);
        let said = engine.docker(&["start", &container.id]);
        assert_ne!(said.code, 0, "{program} has a shell");
        assert!(said.stderr.contains("no such file"), "{program}: {}", said.stderr);
    }
}

#[test]
fn good_files_are_0_and_a_forgotten_mount_is_1() {
    for program in PROGRAMS {
        let engine = Engine::shared();
        let said = engine.container(program, &["--volume", &reference_set(program)], &["validate"]).run();
        said.expect_code(0);
        assert_eq!(said.last()["exit_reason"], "ok", "{program}");
        let said = engine.container(program, &[], &[]).run();
        said.expect_code(1);
        let last = said.last();
        assert_eq!(last["exit_reason"], "config", "{program}: {last}");
        assert!(last["error"].to_string().contains("/config"), "{program}: {last}");
    }
}

#[test]
fn signals_end_a_waiting_program_within_a_second() {
    let engine = Engine::shared();
    // An abort is what a crash in a decoder comes to: 1, not 139, and not the ten seconds of a signal that PID 1 ignores.
    for (signal, code, reason) in [("TERM", 143, Some("signal")), ("INT", 130, Some("signal")), ("ABRT", 1, None)] {
        for program in PROGRAMS {
            let container = engine.container(program, &[], &["wait"]);
            container.start();
            container.until_said("waiting");
            let start = std::time::Instant::now();
            if signal == "TERM" {
                engine.docker(&["stop", &container.id]).expect_code(0);
            } else {
                engine.docker(&["kill", "--signal", signal, &container.id]).expect_code(0);
            }
            let said = container.wait();
            let took = start.elapsed();
            said.expect_code(code);
            // The engine takes some of it; a signal that is ignored takes ten seconds.
            assert!(took < Duration::from_secs(2), "{program} took {took:?} to end on {signal}");
            if let Some(reason) = reason {
                let last = said.last();
                assert_eq!(last["exit_reason"], reason, "{program} on {signal}: {last}");
                assert_eq!(last["exit_code"], code, "{program} on {signal}: {last}");
            }
        }
    }
}

#[test]
fn the_app_starts_after_exit_0_and_a_second_up_writes_nothing() {
    let project = Project::new(&["kafka"]);
    let first = project.up(&["k-app"]);
    first.expect_code(0);
    assert!(project.running("k-app"), "the app does not run");
    let program = project.inspect("k-init");
    assert_eq!(program["State"]["ExitCode"], 0);
    assert_eq!(program["State"]["OOMKilled"], false);
    assert_eq!(program["HostConfig"]["ReadonlyRootfs"], true);
    let (ended, began) = (&program["State"]["FinishedAt"], &project.inspect("k-app")["State"]["StartedAt"]);
    assert!(ended.as_str() < began.as_str(), "k-init ended at {ended}, its app began at {began}");
    let last = project.logs("k-init").last();
    assert!(last["created"].as_u64() >= Some(12), "{last}");
    assert_eq!(last["exit_code"], 0, "{last}");

    let second = project.up(&["k-app"]);
    second.expect_code(0);
    let again = project.logs("k-init").last();
    assert_ne!(again["run_id"], last["run_id"], "the second `up` did not run it again");
    assert_eq!([&again["writes"], &again["exit_code"]], [&json!(0), &json!(0)], "{again}");
    assert_eq!([&again["created"], &again["updated"]], [&json!(0), &json!(0)], "{again}");
    println(&format!(
        "up: {:.1} s cold (waited {} ms, worked {} ms), {:.1} s again (worked {} ms)",
        first.elapsed.as_secs_f64(),
        last["wait_ms"],
        last["duration_ms"],
        second.elapsed.as_secs_f64(),
        again["duration_ms"]
    ));
}

#[test]
fn the_snippet_of_the_readme_works() {
    let readme = std::fs::read_to_string(repository().join("README.md")).expect("README.md is there");
    let blocks = readme.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let snippet = blocks.filter(|block| block.contains("k-init:")).collect::<Vec<_>>();
    assert_eq!(snippet.len(), 1, "README.md has one snippet for Compose");
    // As it stands, beside a Kafka, with an image in the place of the reader's.
    let project = Project::empty(&["kafka"]).overlay(snippet[0]).overlay(
        "services:\n  app:\n    image: init-tests/kafka\n    command: [sleep, \"2147483647\"]\n    init: true\n",
    );
    let kafka = kafka_of_the_stack();
    let topics = project.path("config/topics");
    std::fs::create_dir_all(&topics).expect("the project's folder can be written");
    std::fs::write(topics.join("orders.json"), r#"{"partitions": 6, "config": {"retention.ms": 604800000}}"#)
        .expect("the project's folder can be written");
    let project = project.overlay(&kafka);
    project.up(&["app"]).expect_code(0);
    assert!(project.running("app"));
    assert_eq!(project.logs("k-init").last()["created"], 1);
}

/// The Kafka of `docker/compose.yml`, with the image of the cases.
fn kafka_of_the_stack() -> String {
    let stack = std::fs::read_to_string(repository().join("docker/compose.yml")).expect("the stack's file is there");
    let from = stack.find("  kafka:\n").expect("the stack has a Kafka");
    let kafka = stack[from..].split("\n\n").next().unwrap_or_default();
    let kafka = kafka.replace("${KAFKA_IMAGE:-apache/kafka:4.3.1}", "init-tests/kafka\n    command: [kafka]");
    format!("services:\n{kafka}\nvolumes:\n  kafka-data:\n")
}
