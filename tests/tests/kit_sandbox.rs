//! What the sandbox promises, proven on programs that every machine has. The programs of this workspace have their own cases.

use std::path::Path;
use std::time::{Duration, Instant};

use kit::sandbox::{Sandbox, Signal};
use serde_json::json;

fn shell() -> Sandbox {
    Sandbox::of(Path::new("/bin/sh"))
}

#[test]
fn a_run_shows_its_code_both_outputs_and_its_records() {
    let script = r#"echo said; echo 'no record' >&2; echo '{"msg":"object","kind":"topics","name":"a","action":"created"}' >&2
        echo '{"msg":"run finished","exit_code":3,"writes":1}' >&2; exit 3"#;
    let run = shell().run(&["-c", script]);
    run.expect_code(3).expect_stderr("no record");
    assert_eq!(run.stdout, "said\n");
    assert_eq!(run.records().len(), 2);
    assert_eq!(run.count("writes"), 1);
    assert_eq!(run.last()["exit_code"], 3);
    assert_eq!(run.actions(), [("topics/a".to_owned(), "created".to_owned())].into());
}

#[test]
fn the_environment_holds_only_what_was_set() {
    let sandbox = shell().env("GIVEN", "yes");
    let run = sandbox.run(&["-c", "env"]);
    let mut names: Vec<&str> = run.stdout.lines().filter_map(|line| line.split('=').next()).collect();
    names.sort_unstable();
    // The shell itself adds PWD, and some add SHLVL and _.
    names.retain(|name| !["PWD", "SHLVL", "_", "OLDPWD"].contains(name));
    assert_eq!(names, ["CONFIG_DIR", "GIVEN", "LOG_FORMAT", "PATH"]);
}

#[test]
fn the_folder_holds_what_was_written() {
    let sandbox = shell().config(&[("topics/orders.json", json!({"partitions": 3}))]);
    sandbox.write("topics/broken.json", "{");
    let run = sandbox.run(&["-c", "cd $CONFIG_DIR && cat topics/orders.json && ls topics"]);
    assert_eq!(run.stdout, "{\n  \"partitions\": 3\n}broken.json\norders.json\n");
    sandbox.remove("topics/broken.json");
    assert_eq!(sandbox.run(&["-c", "ls $CONFIG_DIR/topics"]).stdout, "orders.json\n");
}

#[test]
#[should_panic(expected = "did not end within 300ms\n--- stdout\nstill here")]
fn a_program_that_hangs_is_killed_and_shown() {
    shell().deadline(Duration::from_millis(300)).run(&["-c", "echo still here; exec sleep 600"]);
}

#[test]
#[should_panic(expected = "stderr of `/bin/sh -c echo given-away >&2` holds the secret \"given-away\"")]
fn a_secret_of_the_environment_that_is_said_fails_the_case() {
    shell().env("KAFKA_PASSWORD", "given-away").run(&["-c", "echo given-away >&2"]);
}

#[test]
#[should_panic(expected = "holds the secret \"kept-in-a-body\"")]
fn a_secret_of_a_body_that_is_said_fails_the_case() {
    let body = json!({"name": "a", "secureJsonData": {"key": ["kept-in-a-body"]}});
    shell().config(&[("datasources/a.json", body)]).run(&["-c", "cat $CONFIG_DIR/datasources/a.json"]);
}

#[test]
fn signals_arrive_and_their_end_is_told() {
    let sandbox = shell();
    let mut running = sandbox.spawn(&["-c", "trap 'exit 143' TERM; echo ready >&2; while :; do sleep 0.01; done"]);
    kit::eventually(Duration::from_secs(5), || running.stderr_so_far().contains("ready"));
    assert!(running.running());
    running.signal(Signal::TERM);
    running.wait().expect_code(143);

    let mut running = sandbox.spawn(&["-c", "exec sleep 600"]);
    running.signal(Signal::KILL);
    let run = running.wait();
    assert_eq!((run.code(), run.signal()), (None, Some(9)));
}

#[test]
fn a_dropped_program_is_gone() {
    let running = shell().spawn(&["-c", "exec sleep 600"]);
    let folder = format!("/proc/{}", running.id());
    assert!(Path::new(&folder).exists());
    drop(running);
    assert!(!Path::new(&folder).exists());
}

#[test]
fn peak_memory_is_the_programs_own() {
    let hungry = Sandbox::of(Path::new("/bin/dd")).run(&["if=/dev/zero", "of=/dev/null", "bs=40M", "count=4"]);
    assert!((40 << 20..60 << 20).contains(&hungry.peak_rss), "{} bytes", hungry.peak_rss);
    let modest = Sandbox::of(Path::new("/bin/sleep")).run(&["0.05"]);
    assert!((1..8 << 20).contains(&modest.peak_rss), "{} bytes", modest.peak_rss);
}

#[test]
fn eventually_stops_at_once_or_at_its_deadline() {
    let start = Instant::now();
    kit::eventually(Duration::from_mins(1), || start.elapsed() > Duration::from_millis(30));
    assert!(start.elapsed() < Duration::from_secs(10));
    let late = std::panic::catch_unwind(|| kit::eventually(Duration::from_millis(50), || false));
    let message = late.expect_err("the condition never held");
    assert_eq!(message.downcast_ref::<String>().map(String::as_str), Some("not within 50ms"));
}
