//! grafana-init while servers misbehave, on every version: spurious refusals, locked databases, cuts at every request, large sets.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;

use kit::grafana::{Effect, Fault, Grafana, Options, Profile};
use kit::sandbox::Sandbox;
use serde_json::{Value, json};

fn sandbox(server: &Grafana) -> Sandbox {
    Sandbox::new("grafana-init")
        .env("GRAFANA_URL", server.url())
        .env("GRAFANA_USERNAME", "admin")
        .env("GRAFANA_PASSWORD", "admin")
        .env("WAIT_TIMEOUT", "20s")
}

fn each(case: impl Fn(Profile, Grafana)) {
    for profile in Profile::ALL {
        case(profile, Grafana::start(profile, Options::default()));
    }
}

fn some(token: &str) -> Vec<(&'static str, Value)> {
    vec![
        ("datasources/prom.json", json!({"type": "prometheus", "url": "http://p:9090"})),
        ("service_accounts/ci.json", json!({"role": "Viewer", "tokens": [{"name": "ci", "file": token}]})),
        ("dashboards/A/one.json", json!({"uid": "one", "title": "One", "panels": []})),
        ("dashboards/A/two.json", json!({"uid": "two", "title": "Two", "panels": []})),
    ]
}

#[test]
fn a_refusal_of_what_was_done_is_no_failure() {
    each(|profile, server| {
        server.fault(Fault::on("POST", "/api/folders", Effect::ApplyThenAnswer(412, "{}".into())).times(1));
        let locked = json!({"message": "Failed to add datasource: database is locked"}).to_string();
        server.fault(Fault::on("POST", "/api/datasources", Effect::Answer(500, locked.clone())).times(2));
        server.fault(Fault::on("POST", "/api/dashboards/db", Effect::ApplyThenAnswer(500, locked)).nth(2));
        let sandbox = sandbox(&server);
        let token = sandbox.path("token").display().to_string();
        let sandbox = sandbox.config(&some(&token));
        let run = sandbox.run(&[]);
        run.expect_code(0);
        assert_eq!((run.count("created"), run.count("failed")), (5, 0), "{profile:?}\n{run}");
        server.clear_faults();
        assert_eq!(sandbox.run(&[]).count("writes"), 0, "{profile:?}");
        let folders = server.request(1, "GET", "/api/folders", &Value::Null).1;
        assert_eq!(folders.as_array().map(Vec::len), Some(1), "{profile:?} {folders}");
    });
}

#[test]
fn a_conflict_that_never_ends_is_one_bounded_failure() {
    each(|profile, server| {
        let conflict = json!({"message": "requested RV does not match current RV"}).to_string();
        server.fault(Fault::on("POST", "/api/dashboards/db", Effect::Answer(409, conflict)).nth(1));
        let sandbox = sandbox(&server).env("MAX_RETRIES", "0");
        let token = sandbox.path("token").display().to_string();
        let run = sandbox.config(&some(&token)).run(&[]);
        run.expect_code(1).expect_stderr("requested RV");
        assert_eq!((run.count("created"), run.count("failed")), (4, 1), "{profile:?}\n{run}");
    });
}

#[test]
fn cut_at_any_request_the_next_run_ends_in_the_same_state() {
    each(|profile, clean| {
        let first = sandbox(&clean);
        let token = first.path("token").display().to_string();
        let first = first.config(&some(&token));
        first.run(&[]).expect_code(0);
        let writes = u64::try_from(clean.writes().len()).expect("a few");
        let state = |server: &Grafana| {
            ["/api/search?type=dash-db", "/api/folders", "/api/datasources"].map(|path| {
                let rows = server.request(1, "GET", path, &Value::Null).1;
                let rows = rows.as_array().cloned().unwrap_or_default();
                rows.iter()
                    .map(|row| (row["uid"].to_string(), row["folderUid"].to_string()))
                    .collect::<BTreeMap<_, _>>()
            })
        };
        let wanted = state(&clean);
        for nth in 1..=writes {
            for effect in [Effect::ResetBefore, Effect::ApplyThenDrop, Effect::Truncate] {
                let server = Grafana::start(profile, Options::default());
                server.fault(Fault::on("POST", "/", effect).nth(nth));
                let sandbox = sandbox(&server).env("MAX_RETRIES", "0");
                let token = sandbox.path("token");
                let sandbox = sandbox.config(&some(&token.display().to_string()));
                drop(sandbox.run(&[]));
                server.clear_faults();
                if token.exists() {
                    assert!(fs::read_to_string(&token).expect("it is there").starts_with("glsa_"), "half a token");
                }
                sandbox.run(&[]).expect_code(0);
                assert_eq!(state(&server), wanted, "{profile:?} write {nth}");
                assert_eq!(sandbox.run(&[]).count("writes"), 0, "{profile:?} write {nth}");
            }
        }
    });
}

#[test]
fn a_token_is_made_anew_only_when_it_no_longer_lets_in() {
    each(|profile, server| {
        let sandbox = sandbox(&server);
        let token = sandbox.path("token");
        let sandbox = sandbox.config(&some(&token.display().to_string()));
        sandbox.run(&[]).expect_code(0);
        let first = fs::read_to_string(&token).expect("it was kept");
        sandbox.run(&[]).expect_code(0);
        assert_eq!(fs::read_to_string(&token).expect("still there"), first, "{profile:?}");
        server.expire_token(1, "ci");
        sandbox.run(&[]).expect_code(0).expect_stderr("ci-2");
        assert_ne!(fs::read_to_string(&token).expect("made anew"), first, "{profile:?}");
    });
}

#[test]
fn a_digest_finds_a_changed_secret_and_sends_it_once() {
    each(|profile, server| {
        let body = |secret: &str| json!({"type": "loki", "url": "http://l", "basicAuth": true, "secureJsonData": {"basicAuthPassword": secret}});
        let sandbox =
            sandbox(&server).env("GRAFANA_SECRETS", "digest").config(&[("datasources/l.json", body("first-secret"))]);
        sandbox.run(&[]).expect_code(0);
        assert_eq!(sandbox.run(&[]).count("writes"), 0, "{profile:?}");
        sandbox.write("datasources/l.json", body("other-secret").to_string());
        let run = sandbox.run(&[]);
        assert_eq!(run.count("writes"), 1, "{profile:?}\n{run}");
        assert_eq!(server.secret(1, "l", "basicAuthPassword").as_deref(), Some("other-secret"));
        assert!(!run.stderr.contains("other-secret"), "{run}");
    });
}

#[test]
fn folders_move_and_are_renamed_in_place() {
    for profile in [Profile::V11, Profile::V12, Profile::V13] {
        let server = Grafana::start(profile, Options::default());
        let sandbox = sandbox(&server).config(&[
            ("dashboards/A/_folder.json", json!({"uid": "a"})),
            ("dashboards/B/_folder.json", json!({"uid": "b"})),
            ("dashboards/A/Sub/_folder.json", json!({"uid": "sub"})),
            ("dashboards/A/Sub/d.json", json!({"uid": "d", "title": "D", "panels": []})),
        ]);
        sandbox.run(&[]).expect_code(0);
        let before = server.request(1, "GET", "/api/dashboards/uid/d", &Value::Null).1;
        sandbox.remove("dashboards/A/Sub/_folder.json");
        sandbox.remove("dashboards/A/Sub/d.json");
        fs::remove_dir(sandbox.config_dir().join("dashboards/A/Sub")).expect("it is empty");
        sandbox.write("dashboards/B/New/_folder.json", json!({"uid": "sub", "title": "Renamed"}).to_string());
        sandbox.write("dashboards/B/New/d.json", json!({"uid": "d", "title": "D", "panels": []}).to_string());
        let run = sandbox.run(&[]);
        run.expect_code(0);
        assert_eq!(run.count("created"), 0, "{profile:?}\n{run}");
        let sub = server.request(1, "GET", "/api/folders/sub", &Value::Null).1;
        assert_eq!((&sub["title"], &sub["parentUid"]), (&json!("Renamed"), &json!("b")), "{profile:?}");
        let after = server.request(1, "GET", "/api/dashboards/uid/d", &Value::Null).1;
        assert_eq!(before["dashboard"]["id"], after["dashboard"]["id"], "{profile:?}");
        assert_eq!(sandbox.run(&[]).count("writes"), 0, "{profile:?}");
    }
}

fn many(sandbox: &Sandbox, dashboards: usize, folders: usize) {
    for n in 0..dashboards {
        let folder = n % folders;
        let path = format!("dashboards/G{}/F{folder}/d{n}.json", folder % 5);
        let panels: Vec<Value> = (0..10)
            .map(|id| json!({"id": id, "type": "timeseries", "title": "Same", "targets": [{"refId": "A", "expr": format!("rate(x_{n}[5m])")}]}))
            .collect();
        sandbox
            .write(&path, json!({"uid": format!("d{n}"), "title": format!("Title {n}"), "panels": panels}).to_string());
    }
}

#[test]
fn three_hundred_dashboards_take_one_read_and_one_write_each() {
    each(|profile, server| {
        let sandbox = sandbox(&server);
        many(&sandbox, 300, 30);
        let first = sandbox.run(&[]);
        first.expect_code(0);
        assert_eq!(first.count("writes"), 335, "{profile:?}: 300 dashboards, 30 folders in 5");
        server.reset_log();
        let second = sandbox.run(&[]);
        second.expect_code(0);
        assert_eq!(server.writes(), [], "{profile:?}");
        let reads = server.log().iter().filter(|entry| entry.path.starts_with("/api/dashboards/uid/")).count();
        assert_eq!(reads, 300, "{profile:?}");
        let line = |name: &str, run: &kit::sandbox::Run| {
            format!(
                "{profile:?} {name}: {} requests, {} writes, {} ms, {} kB",
                run.count("requests"),
                run.count("writes"),
                run.count("duration_ms"),
                run.peak_rss / 1024
            )
        };
        drop(writeln!(std::io::stdout(), "{}\n{}", line("first", &first), line("second", &second)));
    });
}

#[test]
fn two_thousand_dashboards_survive_a_hostile_server() {
    let server = Grafana::start(Profile::V12, Options::default());
    let busy = json!({"message": "too many requests"}).to_string();
    server.fault(Fault::anywhere("/api/dashboards", Effect::Answer(429, busy)).every(100).header("Retry-After", "0"));
    let locked = json!({"message": "database is locked"}).to_string();
    server.fault(Fault::on("GET", "/api/dashboards", Effect::Answer(500, locked)).every(20));
    let sandbox = sandbox(&server).env("APPLY_TIMEOUT", "5m").deadline(std::time::Duration::from_mins(6));
    many(&sandbox, 2000, 300);
    let run = sandbox.run(&[]);
    run.expect_code(0);
    assert_eq!(run.count("created"), 2305, "{}", run.last());
    assert!(run.peak_rss < 48 * 1024 * 1024, "{} kB", run.peak_rss / 1024);
    server.clear_faults();
    assert_eq!(sandbox.run(&[]).count("writes"), 0);
}
