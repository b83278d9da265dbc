//! What the programs write where, whoever does or does not read it: stderr, the result file, the exports' folder, on bad days as well.

use std::io::{PipeReader, Write};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use kit::fixture::{cluster, grafana, grafana_init, os_init};
use kit::sandbox::{Sandbox, Signal, program_path};
use kit::scripted_http::{Answer, ScriptedHttp};
use serde_json::{Value, json};

const NOBODY: &str = "http://127.0.0.1:9";

/// Starts a program whose stderr is a pipe that is full already and that nobody reads; the reader is kept, so that it is not broken either.
fn unread(url: &str, wait: &str) -> (Child, PipeReader) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe can be had");
    writer.write_all(&vec![b'.'; 64 * 1024]).expect("a pipe holds as much");
    let child = Command::new(program_path("os-init"))
        .arg("wait")
        .env_clear()
        .envs([("OPENSEARCH_URL", url), ("WAIT_TIMEOUT", wait), ("LOG_LEVEL", "debug")])
        .stderr(writer)
        .spawn()
        .expect("the program runs");
    (child, reader)
}

/// The exit code, and how long it took from now on.
#[track_caller]
fn end_of(mut child: Child) -> (Option<i32>, Duration) {
    let started = Instant::now();
    let mut status = None;
    kit::eventually(Duration::from_secs(20), || {
        status = child.try_wait().expect("our own child");
        status.is_some()
    });
    (status.and_then(|status| status.code()), started.elapsed())
}

/// A pipe that nobody reads: the clocks go on, and a signal is answered.
#[test]
fn a_full_stderr_holds_up_neither_clocks_nor_signals() {
    let (child, _reader) = unread(NOBODY, "1s");
    let (code, took) = end_of(child);
    assert_eq!(code, Some(1));
    assert!(took < Duration::from_secs(4), "{took:?}");

    let silent = ScriptedHttp::new(|_, _| Answer::Silent);
    let (child, _reader) = unread(&silent.url(), "60s");
    kit::eventually(Duration::from_secs(20), || !silent.log().is_empty());
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).expect("our own child");
    let (code, took) = end_of(child);
    assert_eq!(code, Some(143));
    assert!(took < Duration::from_millis(1500), "{took:?}");
}

/// Every signal that ends a run, at the earliest moment and while it waits.
#[test]
fn hang_up_and_quit_end_a_run_too() {
    for (signal, code, name) in [(Signal::HUP, 129, "SIGHUP"), (Signal::QUIT, 131, "SIGQUIT")] {
        for program in ["os-init", "k-init", "grafana-init"] {
            let sandbox = Sandbox::new(program)
                .env("OPENSEARCH_URL", NOBODY)
                .env("GRAFANA_URL", NOBODY)
                .env("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9");
            let mut running = sandbox.spawn(&["wait"]);
            kit::eventually(Duration::from_secs(20), || running.stderr_so_far().contains("\"waiting\""));
            let sent = Instant::now();
            running.signal(signal);
            let run = running.wait();
            assert!(sent.elapsed() < Duration::from_secs(1), "{:?}\n{run}", sent.elapsed());
            run.expect_code(code);
            assert!(run.field("error").as_str().is_some_and(|error| error.contains(name)), "{run}");
        }
    }
}

/// `nohup` starts its program with SIGHUP ignored, and means it.
#[test]
fn a_run_under_nohup_outlives_a_hang_up() {
    let sandbox = Sandbox::of(std::path::Path::new("/usr/bin/nohup")).env("OPENSEARCH_URL", NOBODY);
    let program = program_path("os-init").display().to_string();
    let mut running = sandbox.env("WAIT_TIMEOUT", "2s").spawn(&[&program, "wait"]);
    kit::eventually(Duration::from_secs(20), || running.stderr_so_far().contains("\"waiting\""));
    running.signal(Signal::HUP);
    running.wait().expect_code(1).expect_stderr("wait_timeout");
}

#[test]
fn the_result_goes_where_it_is_wanted() {
    let server = cluster();
    let apply = |file: &str| os_init(&server.url()).env("RESULT_FILE", file).run(&["apply"]);
    let run = apply("/dev/stdout");
    run.expect_code(0);
    let result: Value = serde_json::from_str(&run.stdout).expect("the result is on stdout");
    assert_eq!((&result["msg"], &result["exit_code"]), (&json!("run finished"), &json!(0)));

    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let (link, target) = (folder.path().join("link"), folder.path().join("target.json"));
    std::fs::write(&target, "old").expect("our own folder");
    std::os::unix::fs::symlink(&target, &link).expect("our own folder");
    apply(&link.display().to_string()).expect_code(0);
    assert!(link.is_symlink(), "a link stays one");
    let result: Value = serde_json::from_str(&std::fs::read_to_string(&target).expect("ours")).expect("JSON");
    assert_eq!(result["exit_code"], 0);
    assert_eq!(folder.path().read_dir().expect("ours").count(), 2, "no temporary file is left");

    let fifo = folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo is there").success());
    let run = apply(&fifo.display().to_string());
    run.expect_code(0).expect_stderr("cannot write RESULT_FILE");
    assert!(run.elapsed < Duration::from_secs(5), "nobody reads, and nobody is waited for\n{run}");
}

/// An object may be called what is somewhere else a secret.
#[test]
fn the_result_masks_names_and_paths() {
    let server = grafana();
    let secret = "kanarienvogel-in-a-name";
    let sandbox = grafana_init(&server.url()).config(&[
        ("teams/kanarienvogel-in-a-name.json", json!({})),
        (
            "datasources/d.json",
            json!({"name": "d", "type": "prometheus", "access": "proxy", "url": "http://h:1", "secureJsonData": {"basicAuthPassword": secret}}),
        ),
    ]);
    let result = sandbox.path("result.json");
    let sandbox = sandbox.env("RESULT_FILE", result.display().to_string());
    let run = sandbox.run(&["plan"]);
    let text = std::fs::read_to_string(result).expect("written");
    assert!(
        !text.contains("kanarien") && !run.stderr.contains("kanarien") && !run.stdout.contains("kanarien"),
        "{run}\n{text}"
    );
}

#[test]
fn switched_off_checks_are_told_at_every_level() {
    for (name, value) in
        [("OPENSEARCH_INSECURE", "true"), ("OPENSEARCH_VERIFY_HOSTNAME", "false"), ("LOKI_INSECURE", "true")]
    {
        let sandbox = os_init(NOBODY).env("LOG_LEVEL", "error").env(name, value).env("WAIT_TIMEOUT", "200ms");
        sandbox.run(&["wait"]).expect_code(1).expect_stderr(name);
    }
}

#[test]
fn an_export_leaves_the_users_files_alone() {
    let server = cluster();
    let sandbox = os_init(&server.url());
    sandbox.run(&["apply"]).expect_code(0);
    std::fs::write(sandbox.path("mine.txt"), "mine").expect("our own folder");
    let before = sandbox.path("").read_dir().expect("ours").count();
    for (folder, code) in [("", "names none"), ("new/..", "is not empty"), (".", "is not empty")] {
        sandbox.run(&["export", folder]).expect_code(1).expect_stderr(code);
    }
    assert!(sandbox.path("").read_dir().expect("ours").count() <= before + 1, "at most the new folder itself");
}

/// A Loki that is plainly down costs next to nothing; one that has to be told decides how the run ends.
#[test]
fn a_loki_that_is_down() {
    let server = cluster();
    let with = |url: &str| os_init(&server.url()).env("LOKI_URL", url);
    os_init(&server.url()).run(&["apply"]).expect_code(0);
    let plain = os_init(&server.url()).run(&["apply"]).elapsed;
    for url in [NOBODY, "http://no-such-host.invalid:3100"] {
        let run = with(url).run(&["apply"]);
        run.expect_code(0).expect_stderr("telemetry was not taken");
        assert!(run.elapsed < plain + Duration::from_millis(1300), "{url}: {:?} in place of {plain:?}", run.elapsed);
    }
    let sandbox = with(NOBODY).env("LOKI_REQUIRED", "true");
    let result = sandbox.path("result.json");
    let sandbox = sandbox.env("RESULT_FILE", result.display().to_string());
    let run = sandbox.run(&["apply"]);
    run.expect_code(1);
    assert_eq!((run.field("exit_reason"), run.count("failed")), (json!("telemetry"), 0), "{run}");
    let text = std::fs::read_to_string(&result).expect("written");
    assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON")["exit_reason"], "telemetry");
    let loki = kit::loki::Loki::new();
    with(&loki.url()).env("LOKI_REQUIRED", "true").run(&["apply"]).expect_code(0);
    let run =
        os_init(NOBODY).env("LOKI_URL", NOBODY).env("LOKI_REQUIRED", "1").env("WAIT_TIMEOUT", "200ms").run(&["wait"]);
    assert_eq!(run.field("exit_reason"), "wait_timeout", "a run that failed keeps its own reason");
    os_init(NOBODY)
        .env("LOKI_REQUIRED", "true")
        .run(&["wait"])
        .expect_code(1)
        .expect_stderr("LOKI_REQUIRED is set without LOKI_URL");
}

#[test]
fn settings_that_are_silently_something_else_are_errors() {
    for (name, value, part) in [
        ("OPENSEARCH_URL", "http://h:99999", "port"),
        ("OPENSEARCH_URL", "http://h:92oo", "port"),
        ("OPENSEARCH_URL", "http://h:", "port"),
        ("OPENSEARCH_URL", "http://[::1]9200", "port"),
        ("OPENSEARCH_URL", "http://a:one-7Q@h1,http://b:two-7Q@h2", "another user"),
        ("OPENSEARCH_URL", "http://a%3Ab:one-7Q@h1", "colon"),
        ("RUST_LOG", "[[[", "RUST_LOG"),
        ("RUST_LOG", "debug/text", "RUST_LOG"),
    ] {
        let run = os_init(NOBODY).env(name, value).env("EXIT_CODES", "detailed").run(&["wait"]);
        run.expect_code(78).expect_stderr(part);
        assert!(!run.stderr.contains("7Q"), "{run}");
    }
}
