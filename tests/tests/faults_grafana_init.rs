//! grafana-init while servers misbehave, on every version: slow starts, tokens that no longer let in, large sets, hostile answers.
//! Faults at each request are in `faults_oracle`, kills in `faults_grafana_init_kills`.

use std::fs;
use std::io::Write as _;
use std::thread;
use std::time::Duration;

use kit::grafana::{Effect, Entry, Fault, Options, Profile, Startup, Target};
use kit::sandbox::{Run, Sandbox};
use serde_json::{Value, json};

/// Runs a case on every version at once.
fn together(options: &Options, case: impl Fn(&Target) + Sync) {
    thread::scope(|scope| {
        for profile in Profile::ALL {
            let (case, options) = (&case, options.clone());
            scope.spawn(move || case(&Target::standin(profile, options)));
        }
    });
}

/// Scenario 2: a minute refused, then a failing database, then two refused logins, then ready. Applied, within the bound of the schedule.
#[test]
fn a_cold_start_is_waited_out() {
    let startup = Startup { refused: Duration::from_mins(1), failing: 5, unauthorized: 2 };
    together(&Options { startup, ..Options::default() }, |target| {
        let sandbox = target.sandbox().env("WAIT_TIMEOUT", "3m").deadline(Duration::from_mins(4)).config(&[
            ("datasources/prom.json", json!({"type": "prometheus", "url": "http://p:9090"})),
            ("dashboards/A/one.json", json!({"uid": "one", "title": "One", "panels": []})),
        ]);
        let run = target.apply(&sandbox);
        run.expect_stderr("refused").expect_stderr("database").expect_stderr("401");
        assert_eq!(run.count("created"), 3, "{}\n{run}", target.name);
        // Two refused logins are two waits of five seconds.
        assert!((60_000..100_000).contains(&run.count("wait_ms")), "{}\n{run}", target.name);
        target.settled(&sandbox);
    });
}

/// Two runs of the same files at once: each ends well, and everything is there once.
#[test]
fn twins_end_well_and_make_everything_once() {
    for round in 0..5 {
        Target::each_standin(&Options::nesting(), |target| {
            let (one, two) = (target.with_every_kind(), target.with_every_kind());
            let (first, second) = (one.spawn(&[]), two.spawn(&[]));
            for run in [first.wait(), second.wait()] {
                assert_eq!(run.code(), Some(0), "{} round {round}\n{run}", target.name);
            }
            let length = |path: &str, rows: &str| {
                let list = target.read(path);
                list.pointer(rows).and_then(Value::as_array).map(Vec::len)
            };
            // Two mails: the one that 10 and 11 start with is not ours.
            let points = target.read("/api/v1/provisioning/contact-points");
            let ours =
                |name: &str| points.as_array().into_iter().flatten().filter(|row| row["name"] == json!(name)).count();
            assert_eq!((ours("hook"), ours("mail")), (1, 1), "{} {points}", target.name);
            assert_eq!(length("/api/search", ""), Some(2), "{}", target.name);
            assert_eq!(length("/api/serviceaccounts/search?query=ci", "/serviceAccounts"), Some(1), "{}", target.name);
            assert_eq!(length("/api/teams/search?name=ops", "/teams"), Some(1), "{}", target.name);
            assert_eq!(length("/api/v1/provisioning/alert-rules", ""), Some(2), "{}", target.name);
            target.settled(&one);
            target.settled(&two);
        });
    }
}

#[test]
fn a_token_is_made_anew_only_when_it_no_longer_lets_in() {
    Target::each_standin(&Options::default(), |target| {
        let sandbox = target.sandbox();
        let token = sandbox.path("token");
        let account = json!({"role": "Viewer", "tokens": [{"name": "ci", "file": token}]});
        let sandbox = sandbox.config(&[("service_accounts/ci.json", account)]);
        target.apply(&sandbox);
        let read = || fs::read_to_string(&token).expect("it was kept");
        let first = read();
        target.settled(&sandbox);
        assert_eq!(read(), first, "{}", target.name);
        target.server().expire_token(1, "ci");
        target.apply(&sandbox).expect_stderr("ci-2");
        let second = read();
        assert_ne!(second, first, "{}", target.name);
        target.settled(&sandbox);
        target.server().delete_token(1, "ci");
        target.settled(&sandbox);
        fs::remove_file(&token).expect("it is there");
        target.apply(&sandbox);
        assert_ne!(read(), second, "{}", target.name);
        target.settled(&sandbox);
    });
}

/// A token that lets in is kept, whatever its account may do: of an account without a role, and of one that was disabled meanwhile.
#[test]
fn a_token_without_rights_is_no_reason_for_another() {
    Target::each_standin(&Options::default(), |target| {
        let sandbox = target.sandbox();
        let token = sandbox.path("token");
        let account = |role: &str, disabled: bool| {
            json!({"role": role, "isDisabled": disabled, "tokens": [{"name": "ci", "file": token}]}).to_string()
        };
        sandbox.write("service_accounts/ci.json", account("None", false));
        target.apply(&sandbox);
        let first = fs::read_to_string(&token).expect("it was kept");
        target.settled(&sandbox);
        for (role, disabled) in [("None", true), ("Viewer", false), ("None", false)] {
            sandbox.write("service_accounts/ci.json", account(role, disabled));
            assert_eq!(target.apply(&sandbox).count("writes"), 1, "{} {role} {disabled}", target.name);
            target.settled(&sandbox);
            assert_eq!(fs::read_to_string(&token).expect("it was kept"), first, "{} {role} {disabled}", target.name);
        }
    });
}

/// So many dashboards of ten panels in so many nested folders of equal titles.
fn many(sandbox: &Sandbox, dashboards: usize, folders: usize) {
    for n in 0..dashboards {
        let folder = n % folders;
        let path = format!("dashboards/Group {}/Team {}/d{n}.json", folder % 10, folder / 10);
        let panels: Vec<Value> = (0..10)
            .map(|id| json!({"id": id, "type": "timeseries", "title": "Same", "targets": [{"refId": "A", "expr": format!("rate(x_{n}[5m])")}]}))
            .collect();
        let title = format!("Title {}", n / folders);
        sandbox.write(&path, json!({"uid": format!("d{n}"), "title": title, "panels": panels}).to_string());
    }
}

fn say(target: &Target, what: &str, run: &Run) {
    let line = format!(
        "{} {what}: {} requests, {} writes, {} retries, {} ms, {} kB",
        target.name,
        run.count("requests"),
        run.count("writes"),
        run.count("retries"),
        run.count("duration_ms"),
        run.peak_rss / 1024
    );
    drop(writeln!(std::io::stdout(), "{line}"));
}

fn count(log: &[Entry], method: &str, path: &str) -> usize {
    log.iter().filter(|entry| entry.method == method && entry.path.starts_with(path)).count()
}

/// One read and at most one write each, and a read-back of what was written; folders cost one read each when they are made and one list
/// for each folder that has some when they are there. What is unchanged is read once, whatever else is written.
#[test]
fn three_hundred_dashboards_take_one_read_and_one_write_each() {
    const DASHBOARDS: usize = 300;
    const FOLDERS: usize = 40;
    const PARENTS: usize = 10;
    Target::each_standin(&Options::nesting(), |target| {
        let server = target.server();
        let sandbox = target.sandbox();
        many(&sandbox, DASHBOARDS, FOLDERS - PARENTS);
        let first = target.apply(&sandbox);
        say(target, "first", &first);
        let log = server.log();
        assert_eq!(count(&log, "POST", "/api/dashboards/db"), DASHBOARDS, "{}", target.name);
        assert_eq!(count(&log, "POST", "/api/folders"), FOLDERS, "{}", target.name);
        assert_eq!(count(&log, "GET", "/api/dashboards/uid/"), 2 * DASHBOARDS, "{}", target.name);
        assert_eq!(count(&log, "GET", "/api/folders/"), FOLDERS, "{}", target.name);
        // The root before, once more when the parents are read back, then the root and each parent to read back what lies in them.
        assert_eq!(count(&log, "GET", "/api/folders?"), 3 + PARENTS, "{}", target.name);
        let rest = log.len() - 3 * DASHBOARDS - 2 * FOLDERS - 3 - PARENTS;
        assert!(rest <= 8, "{} further requests on {}", rest, target.name);
        let second = target.settled(&sandbox);
        say(target, "second", &second);
        let log = server.log();
        assert_eq!(count(&log, "GET", "/api/dashboards/uid/"), DASHBOARDS, "{}", target.name);
        assert_eq!(count(&log, "GET", "/api/folders"), 1 + PARENTS, "{}", target.name);
        assert!(log.len() <= DASHBOARDS + 1 + PARENTS + 5, "{} on {}", log.len(), target.name);
        target.edit_dashboard("d7", |model| model["title"] = json!("by hand"));
        server.reset_log();
        let third = target.apply(&sandbox);
        say(target, "one edited", &third);
        assert_eq!(third.count("writes"), 1, "{}", target.name);
        assert_eq!(count(&server.log(), "GET", "/api/dashboards/uid/"), DASHBOARDS + 1, "{}", target.name);
    });
}

/// Scenario 10: two thousand dashboards in three hundred folders of equal titles, 1 % 429 with `Retry-After`, 5 % locked databases on reads
/// and on writes, one conflict that never ends: bounded time and requests, exactly one failure, flat memory.
#[test]
fn two_thousand_dashboards_survive_a_hostile_server() {
    const DASHBOARDS: usize = 2000;
    const FOLDERS: usize = 310;
    Target::each_standin(&Options::nesting(), |target| {
        let server = target.server();
        let busy = json!({"message": "too many requests"}).to_string();
        let locked = json!({"message": "database is locked"}).to_string();
        let conflict = json!({"message": "requested RV does not match current RV"}).to_string();
        let hostile = || {
            let busy = Fault::anywhere("/api/dashboards", Effect::Answer(429, busy.clone())).every(100);
            server.fault(busy.header("Retry-After", "0"));
            server.fault(Fault::on("GET", "/api/dashboards", Effect::Answer(500, locked.clone())).every(20));
            server.fault(Fault::on("POST", "/api/dashboards", Effect::Answer(500, locked.clone())).every(20));
            server.fault(Fault::on("POST", "/api/folders", Effect::ApplyThenAnswer(500, locked.clone())).every(20));
        };
        hostile();
        let sandbox = target.sandbox().env("APPLY_TIMEOUT", "5m").deadline(Duration::from_mins(6));
        many(&sandbox, DASHBOARDS, FOLDERS - 10);
        let run = target.apply(&sandbox);
        say(target, "hostile", &run);
        assert_eq!(run.count("created"), u64::try_from(DASHBOARDS + FOLDERS).expect("it fits"), "{}", target.name);
        assert!(run.peak_rss < 48_000_000, "{} bytes", run.peak_rss);
        // One read, one write and one read-back of each, and one more of each in twenty.
        let most = (DASHBOARDS * 3 + FOLDERS * 3) * 13 / 10;
        assert!(run.count("requests") <= u64::try_from(most).expect("it fits"), "{}", run.last());
        server.clear_faults();
        target.settled(&sandbox);
        target.edit_dashboard("d0", |model| model["tags"] = json!(["by hand"]));
        target.edit_dashboard("d1", |model| model["tags"] = json!(["by hand"]));
        // The first of them never gets through: the only one that is sent first, third and later.
        for nth in [1, 3, 4, 5, 6] {
            server.fault(Fault::on("POST", "/api/dashboards/db", Effect::Answer(409, conflict.clone())).nth(nth));
        }
        server.fault(Fault::on("GET", "/api/dashboards", Effect::Answer(500, locked.clone())).every(20));
        let run = target.sandbox().config_from(&sandbox.config_dir()).env("MAX_RETRIES", "4").run(&[]);
        run.expect_code(1).expect_stderr("requested RV");
        say(target, "one conflict", &run);
        assert_eq!((run.count("failed"), run.count("updated")), (1, 1), "{}", run.last());
    });
}
