//! What a run tells others: its records to Loki, its figures to a Pushgateway, within bounds and without ever changing how it ends.

use std::time::{Duration, Instant};

use kit::authority::{Authority, Subject};
use kit::fixture::{cluster, grafana, grafana_init, last_line, os_init, records_only};
use kit::loki::{Doors, Loki};
use kit::sandbox::{Run, Sandbox, Signal};
use kit::scripted_http::{Answer, Response, ScriptedHttp};
use kit::servers::prometheus::{Prometheus, Pushgateway, promtool};
use serde_json::Value;

/// What both pushes together may take, and what a busy machine may add to it.
const BOUND: Duration = Duration::from_secs(3);
/// Where nothing listens.
const NOBODY: &str = "http://127.0.0.1:9";
const GENEROUS: Duration = Duration::from_secs(3);

fn text(status: u16) -> Answer {
    Answer::Say(Response::new(status, "text/plain", "no"))
}

/// The warning about the push, if there is one.
fn warning(run: &Run) -> Option<String> {
    let found = run.records_saying("telemetry was not taken");
    assert!(found.len() < 2, "more than one warning\n{run}");
    found.first().map(|record| record["error"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn loki_gets_every_record_and_the_last_one_last() {
    let (server, loki) = (cluster(), Loki::new());
    let run = os_init(&server.url()).env("LOKI_URL", loki.url()).run(&["apply"]);
    run.expect_code(0);
    records_only(&run);
    let store = loki.store("");
    assert_eq!(store.len(), 1, "one stream a program");
    let (labels, lines) = store.iter().next().expect("just counted");
    assert_eq!(labels.iter().collect::<Vec<_>>(), [(&"service_name".to_owned(), &"os-init".to_owned())]);
    let pushed: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(pushed, run.stderr.lines().collect::<Vec<_>>(), "what was said is what was pushed, in order");
    assert_eq!(pushed.last().copied(), Some(last_line(&run)));
    let times: Vec<i128> = lines.iter().map(|line| line.at).collect();
    assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
    assert!(lines.iter().all(|line| line.metadata.is_empty()), "structured metadata needs a schema that not all have");
}

#[test]
fn loki_gets_json_whatever_is_printed() {
    let (server, loki) = (cluster(), Loki::new());
    for format in ["logfmt", "text"] {
        os_init(&server.url()).env("LOKI_URL", loki.url()).env("LOG_FORMAT", format).run(&[]).expect_code(0);
    }
    assert!(!loki.lines().is_empty());
    for line in loki.lines() {
        assert!(serde_json::from_str::<Value>(&line).is_ok_and(|record| record["run_id"].is_string()), "{line}");
    }
}

#[test]
fn each_command_tells_whom_the_interface_says() {
    let server = cluster();
    let told = |arguments: &[&str]| {
        let (loki, gateway) = (Loki::new(), ScriptedHttp::new(|_, _| text(200)));
        let sandbox = os_init(&server.url()).env("LOKI_URL", loki.url()).env("PUSHGATEWAY_URL", gateway.url());
        let run = sandbox.run(arguments);
        assert_eq!(warning(&run), None, "{run}");
        let pushes = gateway.log();
        assert!(pushes.iter().all(|push| push.method == "POST" && push.path() == "/metrics/job/os-init"));
        (loki.requests().len(), pushes.len())
    };
    assert_eq!(told(&["plan"]), (1, 0));
    assert_eq!(told(&["apply"]), (1, 1));
    assert_eq!(told(&["wait"]), (1, 0));
    assert_eq!(told(&["validate"]), (0, 0));
    assert_eq!(told(&["healthcheck"]), (0, 0));
    assert_eq!(told(&["aplly"]), (1, 0), "a wrong command line is a failed run, though not known to be an apply");
    assert_eq!(told(&["--help"]), (0, 0));
}

#[test]
fn a_plan_pushes_its_objects_too() {
    let (server, loki) = (cluster(), Loki::new());
    let run = os_init(&server.url()).env("LOKI_URL", loki.url()).run(&["plan"]);
    run.expect_code(2);
    let query = r#"{service_name="os-init"} | json | msg="object" | action="create" | kind="component_templates""#;
    assert_eq!(kit::loki::ask(&loki.url(), query).expect("a good query").len(), 1);
}

#[test]
fn settings_that_are_wrong_are_told_as_well() {
    let (server, loki) = (cluster(), Loki::new());
    let gateway = ScriptedHttp::new(|_, _| text(202));
    let sandbox = os_init(&server.url()).env("LOKI_URL", loki.url()).env("PUSHGATEWAY_URL", gateway.url());
    sandbox.env("WAIT_TIMEOUT", "soon").run(&["apply"]).expect_code(1);
    let query = r#"{service_name="os-init"} | json | msg="run finished" | exit_code != "0" | exit_reason="config""#;
    assert_eq!(kit::loki::ask(&loki.url(), query).expect("a good query").len(), 1);
    assert!(String::from_utf8_lossy(&gateway.log()[0].body).contains("\ninit_last_exit_code 1\n"));
}

#[test]
fn the_whole_address_a_tenant_and_ways_to_log_in() {
    let server = cluster();
    let apply = |loki: &Loki, settings: &[(&str, &str)]| {
        let mut sandbox = os_init(&server.url()).env("LOKI_URL", loki.url());
        for (name, value) in settings {
            sandbox.set(name, *value);
        }
        let run = sandbox.run(&["apply"]);
        run.expect_code(0);
        warning(&run)
    };
    let doors = |tenants: bool, authorization: &str| {
        let authorization = (!authorization.is_empty()).then(|| authorization.to_owned());
        Loki::guarded(Doors { tenants, authorization })
    };

    let loki = Loki::new();
    assert_eq!(apply(&loki, &[("LOKI_URL", &format!("{}/loki/api/v1/push", loki.url()))]), None);
    assert_eq!(apply(&loki, &[("LOKI_URL", &format!("{}/loki/api/v1/push/", loki.url()))]), None);
    assert_eq!(loki.store("").len(), 1);

    let loki = doors(true, "");
    assert!(apply(&loki, &[]).is_some_and(|why| why.contains("no org id")), "Loki's own words are passed on");
    assert_eq!(apply(&loki, &[("LOKI_TENANT", "team-a")]), None);
    assert_eq!(loki.store("team-a").len(), 1);

    let loki = doors(false, "Basic dXNlcjpwYXNzLXdvcmQ=");
    assert!(apply(&loki, &[]).is_some_and(|why| why.contains("401")));
    assert_eq!(apply(&loki, &[("LOKI_USERNAME", "user"), ("LOKI_PASSWORD", "pass-word")]), None);
    assert_eq!(apply(&loki, &[("LOKI_URL", &loki.url().replace("http://", "http://user:pass-word@"))]), None);

    let loki = doors(false, "Bearer token-1");
    assert_eq!(apply(&loki, &[("LOKI_TOKEN", "token-1")]), None);

    let authority = Authority::new();
    let loki = Loki::tls(authority.issue(Subject::Localhost));
    assert!(apply(&loki, &[]).is_some_and(|why| why.contains("CA_FILE")), "an unknown authority is refused");
    let file = tempfile::NamedTempFile::new().expect("the temporary folder can be written");
    std::fs::write(file.path(), authority.pem()).expect("our own file");
    assert_eq!(apply(&loki, &[("LOKI_CA_FILE", &file.path().display().to_string())]), None);
    assert_eq!(loki.store("").len(), 1);
}

#[test]
fn what_may_pass_is_tried_again_and_what_may_not_is_not() {
    let server = cluster();
    let pushed = |answers: Vec<Answer>| {
        let loki = Loki::new();
        loki.next(answers);
        let run = os_init(&server.url()).env("LOKI_URL", loki.url()).run(&["apply"]);
        run.expect_code(0);
        assert!(run.elapsed < BOUND + GENEROUS, "{run}");
        assert_eq!(
            warning(&run).is_none(),
            !loki.lines().is_empty(),
            "a warning if and only if nothing is kept\n{run}"
        );
        (loki.requests().len(), warning(&run).unwrap_or_default())
    };
    for answers in [
        vec![text(429)],
        vec![text(503), text(500)],
        vec![Answer::Reset],
        vec![Answer::Close, text(502)],
        vec![Answer::Partial(1, Response::new(200, "text/plain", "cut"))],
        vec![Answer::Say(Response::new(429, "text/plain", "wait").header("retry-after", "1"))],
    ] {
        let tries = answers.len() + 1;
        assert_eq!(pushed(answers), (tries, String::new()));
    }
    for (answer, why) in [
        (text(400), "400"),
        (text(260), "260"),
        (text(404), "404"),
        (text(413), "413"),
        (Answer::redirect("http://127.0.0.1:1/login"), "/login"),
        (Answer::html(200), "web page"),
        (Answer::Raw(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()), "HTTP"),
    ] {
        let (tries, warning) = pushed(vec![answer]);
        assert_eq!(tries, 1, "{warning}");
        assert!(warning.contains(why), "{warning}");
    }
    let (tries, warning) = pushed(vec![Answer::Say(Response::new(503, "text/plain", "").header("retry-after", "60"))]);
    assert_eq!(tries, 1, "a minute is more than there is: {warning}");
}

#[test]
fn telemetry_that_is_out_of_order_costs_its_bound_and_nothing_else() {
    let server = cluster();
    let plain = os_init(&server.url()).run(&["apply"]);
    plain.expect_code(0);
    let silent = ScriptedHttp::new(|_, _| Answer::Silent);
    let late = ScriptedHttp::new(|_, _| Answer::Late(Duration::from_secs(20), Response::new(204, "text/plain", "")));
    let dripping = ScriptedHttp::new(|_, _| {
        Answer::Slow(Duration::from_millis(300), Response::new(200, "text/plain", "a".repeat(1000)))
    });
    let failing = ScriptedHttp::new(|_, _| text(503));
    let refusing = ScriptedHttp::new(|_, _| text(204));
    refusing.refuse();
    let targets = [
        ("silent", silent.url()),
        ("late", late.url()),
        ("dripping", dripping.url()),
        ("failing", failing.url()),
        ("refusing", refusing.url()),
        ("unknown", "http://no-such-host.invalid:3100".to_owned()),
    ];
    let bound = plain.elapsed + BOUND + GENEROUS;
    // Both pushes at once, so that one after the other would show.
    let each = |name: &str, url: &str, target: &str, code: i32| {
        let sandbox = os_init(target).env("LOKI_URL", url).env("PUSHGATEWAY_URL", url);
        let run = sandbox.env("WAIT_TIMEOUT", "500ms").run(&["apply"]);
        run.expect_code(code);
        records_only(&run);
        last_line(&run);
        assert!(run.elapsed < bound, "{name} took {:?}\n{run}", run.elapsed);
        assert_eq!(run.records_saying("telemetry was not taken").len(), 2, "{name}\n{run}");
    };
    std::thread::scope(|scope| {
        for (name, url) in &targets {
            let (each, ready) = (&each, server.url());
            scope.spawn(move || {
                each(name, url, &ready, 0);
                each(name, url, NOBODY, 1);
            });
        }
    });
}

#[test]
fn a_signal_leaves_a_push_less_time() {
    let silent = ScriptedHttp::new(|_, _| Answer::Silent);
    let sandbox = os_init(NOBODY).env("LOKI_URL", silent.url());
    let mut running = sandbox.spawn(&["wait"]);
    kit::eventually(Duration::from_secs(20), || running.stderr_so_far().contains("\"waiting\""));
    let signaled = Instant::now();
    running.signal(Signal::TERM);
    let run = running.wait();
    assert!(signaled.elapsed() < Duration::from_secs(2), "{:?}\n{run}", signaled.elapsed());
    run.expect_code(143);
    assert_eq!(silent.log().len(), 1, "the push was tried\n{run}");
}

#[test]
fn a_signal_during_the_push_cuts_it_short_and_keeps_the_code() {
    let (server, silent) = (cluster(), ScriptedHttp::new(|_, _| Answer::Silent));
    let sandbox = os_init(&server.url()).env("LOKI_URL", silent.url());
    let mut running = sandbox.spawn(&["apply"]);
    kit::eventually(Duration::from_secs(20), || !silent.log().is_empty());
    let signaled = Instant::now();
    running.signal(Signal::TERM);
    let run = running.wait();
    assert!(signaled.elapsed() < Duration::from_secs(2), "{:?}\n{run}", signaled.elapsed());
    run.expect_code(0);
    assert_eq!(run.field("exit_reason"), "ok");
}

#[test]
fn instances_are_told_apart() {
    let (server, loki, gateway) = (cluster(), Loki::new(), Pushgateway::start());
    for instance in ["team-a", "team b/ü"] {
        let sandbox = os_init(&server.url()).env("LOKI_URL", loki.url()).env("PUSHGATEWAY_URL", gateway.url());
        let run = sandbox.env("INSTANCE", instance).run(&["apply"]);
        run.expect_code(0);
        assert_eq!(run.field("instance"), instance);
        assert_eq!(warning(&run), None, "{run}");
        let query = format!(r#"{{service_name="os-init", instance="{instance}"}} | json | msg="run finished""#);
        assert_eq!(kit::loki::ask(&loki.url(), &query).expect("a good query").len(), 1);
        let sample = format!(r#"init_last_exit_code{{instance="{instance}",job="os-init"}} 0"#);
        assert!(gateway.samples("init_last_exit_code").contains(&sample), "{}", gateway.metrics());
    }
}

#[test]
fn a_real_gateway_takes_the_figures_and_an_older_success_survives_a_failure() {
    let (server, gateway) = (cluster(), Pushgateway::start());
    let mut sandbox = os_init(&server.url()).env("PUSHGATEWAY_URL", gateway.url()).env("WAIT_TIMEOUT", "1s");
    let apply = |sandbox: &Sandbox, code: i32| {
        let run = sandbox.run(&["apply"]);
        run.expect_code(code);
        assert_eq!(warning(&run), None, "{run}");
    };
    apply(&sandbox, 0);
    let success = gateway.samples("init_last_success_timestamp_seconds");
    assert_eq!(success.len(), 1, "{}", gateway.metrics());
    let created = r#"init_objects{action="created",instance="",job="os-init"} 1"#;
    assert!(gateway.samples("init_objects").iter().any(|sample| sample == created), "{}", gateway.metrics());
    assert_eq!(gateway.samples("init_objects").len(), 6, "every action, also where it is zero");

    sandbox.set("OPENSEARCH_URL", NOBODY);
    apply(&sandbox, 1);
    assert_eq!(gateway.samples("init_last_success_timestamp_seconds"), success, "the older success is still there");
    assert!(gateway.samples("init_last_exit_code").iter().all(|sample| sample.ends_with(" 1")));
    assert!(gateway.samples("push_failure_time_seconds").iter().all(|sample| sample.ends_with(" 0")));

    let ours: String =
        gateway.metrics().lines().filter(|line| line.contains("init_")).map(|line| line.to_owned() + "\n").collect();
    let said = promtool(&["check", "metrics"], &ours).unwrap_or_else(|said| panic!("{said}\n{ours}"));
    assert_eq!(said, "", "promtool has nothing to remark");
}

/// The code blocks of a language in the documentation.
fn blocks(language: &str) -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/observability.md");
    let text = std::fs::read_to_string(path).expect("the documentation is there");
    let found: Vec<String> = text
        .split(&format!("```{language}\n"))
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap_or_default().trim().to_owned())
        .collect();
    assert!(!found.is_empty(), "no {language} in {path}");
    found
}

#[test]
fn the_documented_logql_finds_what_it_says() {
    let (server, loki) = (grafana(), Loki::new());
    let grafana_run = || grafana_init(&server.url()).env("LOKI_URL", loki.url());
    let absent: Vec<String> = blocks("logql").into_iter().filter(|query| query.starts_with("absent")).collect();
    assert!(!absent.is_empty());
    let ask = |query: &String| kit::loki::ask(&loki.url(), query).unwrap_or_else(|error| panic!("{query}: {error}"));
    // One with a wrong setting, one whose object the server refuses, one that applied, one that waited in vain.
    grafana_run().env("WAIT_TIMEOUT", "soon").run(&["apply"]).expect_code(1);
    assert!(absent.iter().all(|query| ask(query).len() == 1), "no success yet");
    server.fault(kit::grafana::Fault::on(
        "POST",
        "/api/datasources",
        kit::grafana::Effect::Answer(400, r#"{"message":"bad request data"}"#.into()),
    ));
    grafana_run().run(&["apply"]).expect_code(1);
    server.clear_faults();
    grafana_run().run(&["apply"]).expect_code(0);
    Sandbox::new("k-init")
        .env("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")
        .env("WAIT_TIMEOUT", "1200ms")
        .env("LOKI_URL", loki.url())
        .run(&["wait"])
        .expect_code(1);
    for query in blocks("logql") {
        let found = ask(&query);
        assert_eq!(found.is_empty(), query.starts_with("absent"), "{query}: {found:?}");
    }
}

#[test]
fn the_documented_promql_and_rules_work_on_a_real_prometheus() {
    let (server, gateway) = (grafana(), Pushgateway::start());
    let mut sandbox = grafana_init(&server.url()).env("PUSHGATEWAY_URL", gateway.url()).env("WAIT_TIMEOUT", "1s");
    sandbox.run(&["apply"]).expect_code(0);
    let prometheus = Prometheus::scraping(&gateway);
    let ask = |query: &str| prometheus.query(query).unwrap_or_else(|error| panic!("{query}: {error}"));
    kit::eventually(Duration::from_secs(20), || !ask("init_last_exit_code").is_empty());
    for query in blocks("promql") {
        // The last success is seconds ago and the run was good: the two alarms are silent, everything else has an answer.
        let alarm = query == "init_last_exit_code != 0" || query.ends_with("> 86400");
        assert_eq!(ask(&query).is_empty(), alarm, "{query}");
    }
    sandbox.set("GRAFANA_PASSWORD", "wrong");
    sandbox.run(&["apply"]).expect_code(1);
    kit::eventually(Duration::from_secs(20), || !ask("init_last_exit_code != 0").is_empty());

    let rules = blocks("yaml").into_iter().find(|block| block.starts_with("groups:")).expect("alert rules are there");
    let file = tempfile::Builder::new().suffix(".yml").tempfile().expect("the temporary folder can be written");
    std::fs::write(file.path(), rules).expect("our own file");
    let said = promtool(&["check", "rules", &file.path().display().to_string()], "");
    assert!(said.as_ref().is_ok_and(|said| said.contains("SUCCESS: 2 rules found")), "{said:?}");
}
