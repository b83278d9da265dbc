//! Each way in which a run can end, by its exit code (simple and detailed), its `exit_reason`, its last record and its result file at once.

use std::time::{Duration, Instant};

use kit::fixture::{cluster, cluster_failing, data_source, grafana, grafana_init, last_line, os_init, records_only};
use kit::grafana::{Effect, Fault};
use kit::sandbox::{Run, Sandbox, Signal};
use kit::schema::violations;
use kit::scripted_http::{Answer, Response, ScriptedHttp};
use serde_json::{Value, json};

/// Where nothing listens.
const NOBODY: &str = "http://127.0.0.1:9";
/// A second, and what a busy machine may add.
const SOON: Duration = Duration::from_secs(3);

/// How a run is to end: `exit_reason`, the code that `EXIT_CODES` gives by default, and the detailed one.
type End = (&'static str, i32, i32);

const OK: End = ("ok", 0, 0);
const CHANGES: End = ("changes", 2, 2);
const USAGE: End = ("usage", 1, 64);
const CONFIG: End = ("config", 1, 78);
const WAIT_TIMEOUT: End = ("wait_timeout", 1, 69);
const AUTH: End = ("auth", 1, 77);
const REJECTED: End = ("rejected", 1, 65);
const DRIFT: End = ("drift", 1, 65);
const TIMEOUT: End = ("timeout", 1, 75);
const UNAVAILABLE: End = ("unavailable", 1, 75);
const INTERNAL: End = ("internal", 1, 1);

/// Runs it with either kind of codes, from the same state of the server, and checks everything that tells how a run ended.
#[track_caller]
fn ends(make: impl Fn() -> Sandbox, arguments: &[&str], (reason, simple, detailed): End, part: &str) {
    for (codes, code) in [("simple", simple), ("detailed", detailed)] {
        let mut sandbox = make();
        sandbox.set("EXIT_CODES", codes);
        let result = sandbox.path("result.json");
        sandbox.set("RESULT_FILE", result.display().to_string());
        let run = sandbox.run(arguments);
        checked(&run, reason, code, part);
        let result: Value = serde_json::from_str(&std::fs::read_to_string(&result).expect("the result is written"))
            .unwrap_or_else(|error| panic!("the result is no JSON: {error}\n{run}"));
        agrees(&run, &result);
    }
}

#[track_caller]
fn checked(run: &Run, reason: &str, code: i32, part: &str) {
    run.expect_code(code);
    records_only(run);
    last_line(run);
    assert_eq!(run.records_saying("run finished").len(), 1, "one last record\n{run}");
    assert_eq!((run.field("exit_reason"), run.field("exit_code")), (reason.into(), code.into()), "{run}");
    let good = matches!(reason, "ok" | "changes");
    assert_eq!(run.field("level"), if good { "info" } else { "error" }, "{run}");
    let error = run.last().get("error").and_then(Value::as_str).map(str::to_owned);
    assert_eq!(error.is_none(), good, "a sentence if and only if something is wrong\n{run}");
    assert!(error.unwrap_or_default().contains(part), "the error lacks {part:?}\n{run}");
}

/// The result says what the last record says, and is what the published schema says it is.
#[track_caller]
fn agrees(run: &Run, result: &Value) {
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/result.schema.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(schema).expect("published")).expect("JSON");
    assert_eq!(violations(&schema, result), Vec::<String>::new(), "{result:#}\n{run}");
    for (name, value) in run.last().as_object().expect("a record") {
        if !matches!(name.as_str(), "level" | "ts") {
            assert_eq!(&result[name], value, "{name}\n{result:#}\n{run}");
        }
    }
    let objects = result["objects"].as_array().expect("checked by the schema");
    for action in ["unchanged", "drifted", "failed", "skipped"] {
        let listed = objects.iter().filter(|object| object["action"] == action).count() as u64;
        assert_eq!(run.count(action), listed, "{action}\n{result:#}\n{run}");
    }
}

#[test]
fn ok() {
    let server = cluster();
    let sandbox = || os_init(&server.url());
    for command in [&["validate"][..], &["wait"], &["apply"], &["apply"], &["plan"], &[]] {
        ends(sandbox, command, OK, "");
    }
    // A health check that is good says nothing at all.
    let run = sandbox().run(&["healthcheck"]);
    run.expect_code(0);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""));
    let grafana = grafana();
    ends(|| grafana_init(&grafana.url()), &["apply"], OK, "");
}

#[test]
fn help_and_version_are_no_runs() {
    for program in ["os-init", "k-init", "grafana-init"] {
        let run = Sandbox::new(program).run(&["--help"]);
        run.expect_code(0);
        assert_eq!(run.stderr, "");
        assert!(run.stdout.lines().count() <= 50, "one screen\n{run}");
        assert!(
            run.stdout.lines().all(|line| line.chars().count() <= 120),
            "no line is longer than a wide screen\n{run}"
        );
        let run = Sandbox::new(program).run(&["--version"]);
        run.expect_code(0);
        assert!(run.stdout.starts_with(&format!("{program} ")) && run.stderr.is_empty(), "{run}");
    }
}

#[test]
fn changes() {
    let (cluster, grafana) = (cluster(), grafana());
    ends(|| os_init(&cluster.url()), &["plan"], CHANGES, "");
    ends(|| grafana_init(&grafana.url()), &["plan"], CHANGES, "");
    assert!(cluster.writes().is_empty() && grafana.writes().is_empty(), "a plan writes nothing");
}

#[test]
fn usage() {
    for (arguments, part) in [
        (&["aply"][..], "did you mean apply?"),
        (&["plan", "--confg", "x"], "did you mean --config?"),
        (&["export"], "export needs the folder"),
        (&["export", "out", "--kind", "nosuchkind"], "unknown kind nosuchkind"),
        (&["plan", "--log-level"], "--log-level"),
    ] {
        for program in ["os-init", "k-init", "grafana-init"] {
            ends(|| Sandbox::new(program), arguments, USAGE, part);
        }
    }
    let run = Sandbox::new("os-init").env("LOG_FORMAT", "logfmt").run(&["aply"]);
    assert!(
        run.stderr.contains("exit_reason=usage") && !run.stderr.contains('{'),
        "it looks as it was asked to\n{run}"
    );
}

#[test]
fn config() {
    let settings = |name: &'static str, value: &'static str| move || os_init(NOBODY).env(name, value);
    ends(settings("WAIT_TIMEOUT", "soon"), &["apply"], CONFIG, "WAIT_TIMEOUT=soon");
    ends(settings("OPENSEARCH_URL", "localhost"), &["wait"], CONFIG, "OPENSEARCH_URL");
    ends(settings("OPENSEARCH_PASSWORD_FILE", "/no/such/file"), &["wait"], CONFIG, "/no/such/file");
    ends(settings("RUST_LOG", "a=b=c"), &["validate"], CONFIG, "RUST_LOG");
    ends(|| os_init(NOBODY).config(&[("rols/a.json", json!({}))]), &["validate"], CONFIG, "did you mean roles?");
    ends(|| Sandbox::new("k-init"), &["apply"], CONFIG, "no object found");
}

#[test]
fn wait_timeout() {
    let quick = |sandbox: Sandbox| sandbox.env("WAIT_TIMEOUT", "300ms");
    for command in ["apply", "plan", "wait"] {
        ends(|| quick(os_init(NOBODY)), &[command], WAIT_TIMEOUT, "connection refused");
        ends(|| quick(grafana_init(NOBODY)), &[command], WAIT_TIMEOUT, "connection refused");
    }
    let kafka = || quick(Sandbox::new("k-init")).env("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9");
    ends(kafka, &["wait"], WAIT_TIMEOUT, "127.0.0.1:9");
    ends(kafka, &["healthcheck"], WAIT_TIMEOUT, "127.0.0.1:9");
    ends(|| os_init(NOBODY), &["healthcheck"], WAIT_TIMEOUT, "connection refused");
}

#[test]
fn auth() {
    let closed = ScriptedHttp::new(|_, _| Answer::json(401, &json!({"message": "Invalid username or password"})));
    for make in [os_init, grafana_init] {
        ends(|| make(&closed.url()).env("WAIT_TIMEOUT", "300ms"), &["wait"], AUTH, "401");
        ends(|| make(&closed.url()), &["healthcheck"], AUTH, "401");
    }
    let server = grafana();
    server.fault(Fault::on("POST", "/api/datasources", Effect::Answer(403, r#"{"message":"Access denied"}"#.into())));
    ends(|| grafana_init(&server.url()), &["apply"], AUTH, "Access denied");
}

#[test]
fn rejected() {
    let server = grafana();
    server.fault(Fault::on("POST", "/api/datasources", Effect::Answer(400, r#"{"message":"bad data"}"#.into())));
    ends(|| grafana_init(&server.url()), &["apply"], REJECTED, "bad data");
}

#[test]
fn drift() {
    let server = grafana();
    let first = json!({"uid": "d1", "name": "One", "type": "prometheus", "access": "proxy", "url": "http://a:1"});
    let (status, answer) = server.request(1, "POST", "/api/datasources", &first);
    assert_eq!(status, 200, "{answer}");
    // A file of a real server's own provisioning holds it: the API may not change it.
    server.provision_datasource(1, "d1");
    let mut second = first;
    second["url"] = "http://b:1".into();
    let make = || grafana_init(&server.url()).config(&[("datasources/prometheus.json", second.clone())]);
    ends(make, &["apply"], DRIFT, "datasources/");
    ends(make, &["plan"], DRIFT, "datasources/");
    ends(|| make().env("ON_DRIFT", "warn"), &["apply"], OK, "");
}

#[test]
fn timeout() {
    let server = grafana();
    server.fault(Fault::on("GET", "/api/datasources", Effect::Delay(Duration::from_secs(30))));
    let make = || grafana_init(&server.url()).env("APPLY_TIMEOUT", "500ms");
    ends(make, &["apply"], TIMEOUT, "APPLY_TIMEOUT");
}

/// What may pass is never called final, wherever it is met: in a list, in a write.
#[test]
fn unavailable() {
    let busy = || Some(Answer::json(503, &json!({"error": {"type": "x", "reason": "node is closing"}})));
    for method in ["GET", "PUT"] {
        let server = cluster_failing(move |request, _| {
            (request.method == method && request.path().starts_with("/_component_template")).then(busy).flatten()
        });
        ends(|| os_init(&server.url()).env("MAX_RETRIES", "1"), &["apply"], UNAVAILABLE, "node is closing");
    }
}

/// One request goes out at most `MAX_RETRIES` + 1 times, whoever repeats it, and each repetition is counted.
#[test]
fn max_retries_is_how_often_one_request_is_sent_again() {
    for retries in 0..=3 {
        for status in [503, 429] {
            let server = cluster_failing(move |request, _| {
                let put = request.method == "PUT";
                put.then(|| Answer::json(status, &json!({"error": {"type": "x", "reason": "busy"}})))
            });
            let run = os_init(&server.url()).env("MAX_RETRIES", retries.to_string()).run(&["apply"]);
            run.expect_code(1);
            assert_eq!(server.writes().len(), retries + 1, "{run}");
            assert_eq!((run.count("retries"), run.count("writes")), (retries as u64, retries as u64 + 1), "{run}");
        }
    }
}

/// A pause that the server asks for after a write is kept, and one that is not worth waiting for ends the tries.
#[test]
fn a_write_obeys_retry_after() {
    for (after, writes) in [("1", 2), ("60", 1)] {
        let server = cluster_failing(move |request, before| {
            let busy = Answer::Say(
                Response::new(503, "application/json", r#"{"error": {"reason": "busy"}}"#).header("retry-after", after),
            );
            (request.method == "PUT" && (before == 0 || writes == 1)).then_some(busy)
        });
        let started = Instant::now();
        let run = os_init(&server.url()).run(&["apply"]);
        assert_eq!(server.writes().len(), writes, "{run}");
        assert_eq!(run.code(), Some(i32::from(writes == 1)), "{run}");
        assert!(writes == 1 || started.elapsed() >= Duration::from_secs(1), "{run}");
    }
}

/// A write that may have been done goes out again only on a plan that was just made.
#[test]
fn no_write_goes_out_on_a_plan_that_could_not_be_renewed() {
    let server = cluster_failing(|request, before| {
        let list = request.method == "GET" && request.path() == "/_component_template";
        let bad = (list && (1..5).contains(&before)) || (request.method == "PUT" && before == 0);
        bad.then(|| Answer::json(503, &json!({"error": {"type": "x", "reason": "busy"}})))
    });
    let run = os_init(&server.url()).env("MAX_RETRIES", "1").run(&["apply"]);
    let log: Vec<String> =
        server.log().iter().map(|request| format!("{} {}", request.method, request.path())).collect();
    let writes: Vec<usize> = (0..log.len()).filter(|index| log[*index].starts_with("PUT")).collect();
    assert_eq!(writes.len(), 2, "{log:?}\n{run}");
    for pair in writes.windows(2) {
        let asked = log[pair[0]..pair[1]].iter().filter(|line| *line == "GET /_component_template").count();
        assert!(asked >= 5, "the list that was answered stands between two writes: {log:?}\n{run}");
    }
}

/// Sends the signal once the condition holds, and checks that the run is gone within a second, with everything said.
#[track_caller]
fn ended_by(sandbox: &Sandbox, arguments: &[&str], signal: Signal, ripe: impl Fn(&str) -> bool) {
    let (code, name) = if signal == Signal::INT { (130, "SIGINT") } else { (143, "SIGTERM") };
    let mut running = sandbox.spawn(arguments);
    kit::eventually(Duration::from_secs(20), || ripe(&running.stderr_so_far()));
    let sent = Instant::now();
    running.signal(signal);
    let run = running.wait();
    assert!(sent.elapsed() < SOON, "{:?}\n{run}", sent.elapsed());
    checked(&run, "signal", code, name);
}

#[test]
fn signals() {
    let silent = ScriptedHttp::new(|_, _| Answer::Silent);
    for signal in [Signal::INT, Signal::TERM] {
        for make in [os_init, grafana_init] {
            // While waiting, in a request of the wait, and in a look-up.
            ended_by(&make(NOBODY), &["wait"], signal, |said| said.contains("\"waiting\""));
            let before = silent.log().len();
            ended_by(&make(&silent.url()), &["apply"], signal, |_| silent.log().len() > before);
            let name = make("http://no-such-host.invalid:9200");
            ended_by(&name.env("EXIT_CODES", "detailed"), &["apply"], signal, |said| said.contains("no-such-host"));
        }
        // In a request of the work.
        let server = grafana();
        server.fault(Fault::on("POST", "/api/datasources", Effect::Delay(Duration::from_secs(30))));
        ended_by(&grafana_init(&server.url()), &["apply"], signal, |_| {
            server.log().iter().any(|entry| entry.method == "POST" && entry.path.starts_with("/api/datasources"))
        });
        let kafka = Sandbox::new("k-init").env("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9");
        ended_by(&kafka, &["wait"], signal, |said| said.contains("\"waiting\""));
    }
}

#[test]
fn a_signal_in_the_middle_writes_the_result_too() {
    let server = grafana();
    server.fault(Fault::on("POST", "/api/datasources", Effect::Delay(Duration::from_secs(30))).nth(2));
    let sandbox = grafana_init(&server.url()).config(&[("datasources/second.json", {
        let mut second = data_source();
        second["name"] = "Second".into();
        second
    })]);
    let result = sandbox.path("result.json");
    let sandbox = sandbox.env("RESULT_FILE", result.display().to_string());
    let mut running = sandbox.spawn(&["apply"]);
    kit::eventually(Duration::from_secs(20), || {
        server.log().iter().filter(|entry| entry.method == "POST").count() == 2
    });
    running.signal(Signal::TERM);
    let run = running.wait();
    checked(&run, "signal", 143, "SIGTERM");
    let text = std::fs::read_to_string(result).expect("the result is written");
    agrees(&run, &serde_json::from_str(&text).expect("the result is JSON"));
}

/// The programs under test are built with debug assertions, where `INIT_TEST_CRASH` makes them crash; a release knows no such thing.
#[test]
fn internal() {
    let crash = |place: &'static str| move || os_init(NOBODY).env("INIT_TEST_CRASH", place);
    ends(crash("work"), &["apply"], INTERNAL, "crashed: INIT_TEST_CRASH=work");
    for (place, recorded) in [("main", true), ("abort-work", false), ("abort-main", false)] {
        for program in ["os-init", "k-init", "grafana-init"] {
            let run = Sandbox::new(program).env("INIT_TEST_CRASH", place).run(&["apply"]);
            run.expect_code(1);
            assert!(!recorded || run.field("exit_reason") == "internal", "{run}");
            assert!(!run.stderr.contains("panicked at"), "a crash is a record, not a panic's own text\n{run}");
        }
    }
    let server = cluster();
    let sandbox = os_init(&server.url()).env("INIT_TEST_CRASH", "Loki").env("LOKI_URL", NOBODY);
    checked(&sandbox.run(&["apply"]), "ok", 0, "");
}

/// With too little memory for a thread, for a file, for anything: 1, whatever is said.
#[test]
fn too_little_memory() {
    let program = kit::sandbox::program_path("os-init");
    let mut ended = 0;
    for megabytes in (4..=40).step_by(2) {
        let limit = megabytes * 1024;
        // Probes the limit with a program that does nothing: below it, it is not our program that fails.
        let shell =
            Sandbox::of(std::path::Path::new("/bin/sh")).env("OPENSEARCH_URL", NOBODY).env("WAIT_TIMEOUT", "300ms");
        let starts = shell.run(&["-c", &format!("ulimit -v {limit}; exec {} --version", program.display())]);
        if starts.code() == Some(0) {
            let run = shell.run(&["-c", &format!("ulimit -v {limit}; exec {} wait", program.display())]);
            run.expect_code(1);
            ended += 1;
        }
    }
    assert!(ended > 0, "no limit let the program start");
}
