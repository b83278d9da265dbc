//! The images on a real engine: what is in them, how they end as PID 1, and one project that Kafka, k-init and an app make together. What
//! takes longer is in the `containers_*` cases.

use std::time::Duration;

use kit::engine::{Engine, Project, repository};
use serde_json::{Value, json};

const PROGRAMS: [&str; 3] = ["os-init", "k-init", "grafana-init"];

/// The largest program, in bytes: an image is that and the texts of the licenses.
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
        let texts: u64 = ["LICENSE", "dist/THIRD-PARTY"]
            .map(|text| std::fs::metadata(repository().join(text)).expect("docker/build has made it").len())
            .iter()
            .sum();
        let size = image["Size"].as_u64().expect("an image has a size") - texts;
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

/// `docker/examples/kafka` as it stands, and what the README shows of it.
#[test]
fn the_example_of_the_readme_works() {
    let example = repository().join("docker/examples/kafka");
    let readme = std::fs::read_to_string(repository().join("README.md")).expect("README.md is there");
    let blocks = |language: &str| -> Vec<&str> {
        let opening = format!("```{language}\n");
        readme.split(&opening).skip(1).filter_map(|rest| rest.split("```").next()).collect()
    };
    let whole = std::fs::read_to_string(example.join("compose.yml")).expect("the example is there");
    let after = blocks("yaml").into_iter().find(|block| block.contains("k-init:0")).expect("README.md shows it");
    for line in after.lines() {
        assert!(whole.lines().any(|it| it == line), "the example lacks a line of the README: {line}");
    }
    let project = Project::empty(&["kafka"]).file(&example.join("compose.yml")).overlay(
        "services:\n  kafka:\n    image: init-tests/kafka\n    command: [kafka]\n  app:\n    image: init-tests/kafka\n",
    );
    project.up(&["kafka"]).expect_code(0);
    // The README's command, with this project's network and folder in the place of the reader's.
    let shown = blocks("sh").into_iter().find(|block| block.contains(" plan")).expect("README.md shows a plan");
    let mount = format!("{}/config:/config:ro", example.display());
    let network = format!("{}_default", project.name());
    let words = shown.split_whitespace().skip(1).map(|word| match word {
        "\"$PWD/config:/config:ro\"" => mount.as_str(),
        "kafka_default" => network.as_str(),
        word => word,
    });
    let plan = Engine::shared().docker(&words.collect::<Vec<_>>());
    plan.expect_code(2);
    // It is in color on a terminal.
    let list = plan.stdout.replace('\r', "");
    let bare: String = list
        .split('\u{1b}')
        .enumerate()
        .map(|(at, part)| if at == 0 { part } else { part.split_once('m').map_or("", |(_, rest)| rest) })
        .collect();
    for line in blocks("text")[0].lines() {
        assert!(bare.lines().any(|it| it.trim_end() == line), "the plan lacks the README's line {line:?}:\n{bare}");
    }
    project.up(&["app"]).expect_code(0);
    assert_eq!(project.logs("k-init").last()["created"], 2);
    kit::eventually(Duration::from_secs(20), || project.logs("app").stdout.contains("the topics are there"));
}
