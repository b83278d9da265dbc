//! What grafana-init does about servers in a state that only a stand-in can be put in: not ready, refusing what was done, read-only
//! objects. What is found before the first write is in `grafana_init_preflight`; the other scenarios are in `grafana_init_conformance*`,
//! those that take long in `faults_grafana_init*`.

use std::time::Duration;

use kit::grafana::{Effect, Fault, Options, Profile, Role, Startup, Target};
use serde_json::{Value, json};

fn some() -> Vec<(&'static str, Value)> {
    vec![
        ("datasources/prom.json", json!({"type": "prometheus", "url": "http://p:9090"})),
        ("dashboards/A/one.json", json!({"uid": "one", "title": "One", "panels": []})),
        ("dashboards/A/B/two.json", json!({"uid": "two", "title": "Two", "panels": []})),
    ]
}

/// Scenario 2, its end: a `WAIT_TIMEOUT` that is too short ends with 1 and the last cause; nothing is written, whatever phase it is in.
#[test]
fn a_server_that_is_not_ready_in_time_is_left_alone() {
    for (startup, reason, cause) in [
        (Startup { refused: Duration::from_mins(1), ..Startup::default() }, "wait_timeout", "refused"),
        (Startup { failing: u32::MAX, ..Startup::default() }, "wait_timeout", "database"),
        (Startup { unauthorized: u32::MAX, ..Startup::default() }, "auth", "401"),
    ] {
        Target::each_standin(&Options { startup, ..Options::default() }, |target| {
            let sandbox = target.sandbox().env("WAIT_TIMEOUT", "700ms").config(&some());
            let run = sandbox.run(&[]);
            assert_eq!(run.field("exit_reason"), json!(reason), "{}\n{run}", target.name);
            target.refused(&run, &[cause]);
        });
    }
}

/// Scenario 3: a folder that is answered with `412 {}` or 409 though it was made, a locked database, a deadlock: one round more, no
/// duplicate, no failure.
#[test]
fn a_refusal_of_what_was_done_is_no_failure() {
    Target::each_standin(&Options::nesting(), |target| {
        let server = target.server();
        server.fault(Fault::on("POST", "/api/folders", Effect::ApplyThenAnswer(412, "{}".into())).nth(1));
        let conflict = json!({"message": "the folder has been changed by someone else"}).to_string();
        server.fault(Fault::on("POST", "/api/folders", Effect::ApplyThenAnswer(409, conflict)).nth(2));
        let said = |text: &str| json!({"message": text}).to_string();
        let deadlock = Effect::Answer(500, said("Deadlock found when trying to get lock"));
        server.fault(Fault::on("POST", "/api/datasources", deadlock).times(2));
        let locked = Effect::ApplyThenAnswer(500, said("database is locked"));
        server.fault(Fault::on("POST", "/api/dashboards/db", locked).nth(2));
        let sandbox = target.sandbox().config(&some());
        let run = target.apply(&sandbox);
        assert_eq!((run.count("created"), run.count("failed")), (5, 0), "{}\n{run}", target.name);
        // One for each, and two more for the data source, which was really refused twice.
        assert_eq!(run.count("writes"), 7, "{}\n{run}", target.name);
        server.clear_faults();
        target.settled(&sandbox);
        let folders = target.read("/api/search?type=dash-folder");
        assert_eq!(folders.as_array().map(Vec::len), Some(2), "{} {folders}", target.name);
    });
}

/// A folder that could not be made gets nothing: 12.4 makes an orphan of a folder with an unknown parent, 10.4 and 11.6 take a rule group
/// and cannot export it afterwards. With tries left, all of it follows once the folder is there.
#[test]
fn nothing_goes_into_a_folder_that_is_not_there() {
    Target::each_standin(&Options::nesting(), |target| {
        let locked = || Effect::Answer(500, json!({"message": "database is locked"}).to_string());
        target.server().fault(Fault::on("POST", "/api/folders", locked()).nth(1));
        let mut files = some();
        let rule = kit::grafana::alert_rule(Some("up-rule"), "Up");
        files.push(("alert_rules/A/B/group.json", json!({"rules": [rule]})));
        files.push(("dashboards/A/_folder.json", json!({"uid": "a"})));
        files.push((
            "library_panels/lp.json",
            json!({"name": "L", "folderUid": "a", "model": {"type": "text", "title": "L"}}),
        ));
        let mut sandbox = target.sandbox().env("MAX_RETRIES", "0").config(&files);
        let run = sandbox.run(&[]);
        run.expect_code(1).expect_stderr("database is locked").expect_stderr("folders/A failed");
        assert_eq!(run.count("created"), 1, "the data source alone on {}\n{run}", target.name);
        assert_eq!(target.read("/api/search"), json!([]), "{}", target.name);
        assert_eq!(target.read("/api/v1/provisioning/alert-rules"), json!([]), "{}", target.name);
        target.server().clear_faults();
        target.server().fault(Fault::on("POST", "/api/folders", locked()).nth(1));
        sandbox.set("MAX_RETRIES", "3");
        let run = target.apply(&sandbox);
        assert_eq!(run.count("created"), 6, "{}\n{run}", target.name);
        target.settled(&sandbox);
    });
}

/// Scenario 8: what a file on the server, another provenance or a repository holds is found before the first write and named with the
/// reason; `ON_DRIFT=warn` leaves it and lets the rest through.
#[test]
fn read_only_objects_are_named_before_the_first_write() {
    Target::each_standin(&Options::nesting(), |target| {
        let server = target.server();
        let mut sandbox = target.with_every_kind();
        sandbox.write("dashboards/Kept/_folder.json", json!({"uid": "kept"}).to_string());
        sandbox.write("dashboards/Kept/inside.json", json!({"uid": "inside", "title": "Inside"}).to_string());
        target.apply(&sandbox);
        server.provision_datasource(1, "prom");
        server.provision_dashboard(1, "home");
        server.provision_alerting(1);
        let mut reasons = vec!["provisioned from a file"];
        let mut held = 7;
        if target.version().0 >= 12 {
            server.manage_dashboard(1, "inside", "repo", "repository");
            server.manage_folder(1, "kept", "repo", "repository");
            reasons.push("it is managed by repo");
            held = 9;
        }
        // Held read-only and equal: no difference, no word.
        target.settled(&sandbox);
        let change = |path: &str, body: Value| sandbox.write(path, body.to_string());
        change(
            "datasources/prom.json",
            json!({"type": "prometheus", "name": "Prometheus", "url": "http://other", "isDefault": true}),
        );
        change("dashboards/Platform/home.json", json!({"uid": "home", "title": "Another home"}));
        change("notification_policy.json", json!({"receiver": "mail"}));
        change(
            "contact_points/hook.json",
            json!({"uid": "hook", "type": "webhook", "settings": {"url": "http://other"}}),
        );
        change("mute_timings/nights.json", json!({"time_intervals": [{"weekdays": ["monday"]}]}));
        change("message_templates/plain.json", json!({"template": "other text"}));
        let group = json!({"interval": 300, "rules": [kit::grafana::alert_rule(Some("up-rule"), "Up")]});
        change("alert_rules/Platform/group.json", group);
        change("dashboards/Kept/_folder.json", json!({"uid": "kept", "title": "Other"}));
        change("dashboards/Kept/inside.json", json!({"uid": "inside", "title": "Other"}));
        change("preferences.json", json!({"homeDashboardUID": "home", "theme": "light"}));
        server.reset_log();
        let run = sandbox.run(&[]);
        target.refused(&run, &reasons);
        assert_eq!(run.count("drifted"), held, "{}\n{run}", target.name);
        sandbox.run(&["plan"]).expect_code(1);
        sandbox.set("ON_DRIFT", "warn");
        let run = target.apply(&sandbox);
        assert_eq!((run.count("drifted"), run.count("updated")), (held, 10 - held), "{}\n{run}", target.name);
        assert_eq!(target.read("/api/org/preferences")["theme"], json!("light"), "{}", target.name);
        let run = target.settled(&sandbox);
        assert_eq!(run.count("drifted"), held, "{}\n{run}", target.name);
    });
}

/// Scenario 7, for a caller who may not decrypt: what the server shows as `[REDACTED]` is unknown, not different. No PUT, and it is said.
#[test]
fn a_redacted_secret_is_no_difference() {
    Target::each_standin(&Options::default(), |target| {
        if target.version().0 <= 10 {
            // There an Editor may not read contact points at all.
            return;
        }
        let hook = json!({"uid": "hook", "type": "webhook", "settings": {"url": "http://h", "username": "u", "password": "a-secret"}});
        let sandbox = target.sandbox().config(&[("contact_points/hook.json", hook)]);
        target.apply(&sandbox);
        let key = target.server().add_token(1, "reader", Role::Editor);
        let mut limited = target.sandbox().config_from(&sandbox.config_dir()).env("GRAFANA_TOKEN", key);
        limited.unset("GRAFANA_USERNAME");
        limited.unset("GRAFANA_PASSWORD");
        let run = target.settled(&limited);
        run.expect_stderr("its secrets are not compared");
        assert!(!run.to_string().contains("a-secret"), "{run}");
        limited.run(&["plan"]).expect_code(0);
    });
}

/// A conflict that never ends (12.4 and 13 on `SQLite`: "requested RV does not match current RV") is tried `MAX_RETRIES` times and is one
/// failure; everything else is done.
#[test]
fn a_conflict_that_never_ends_is_one_bounded_failure() {
    Target::each_standin(&Options::nesting(), |target| {
        let sandbox = target.sandbox().env("MAX_RETRIES", "2").config(&some());
        target.apply(&sandbox);
        for uid in ["one", "two"] {
            target.edit_dashboard(uid, |model| model["tags"] = json!(["by hand"]));
        }
        let conflict = json!({"message": "requested RV does not match current RV"}).to_string();
        // The first of the two: every one of its writes, and no other's.
        let server = target.server();
        for nth in [1, 3, 4, 5] {
            server.fault(Fault::on("POST", "/api/dashboards/db", Effect::Answer(409, conflict.clone())).nth(nth));
        }
        server.reset_log();
        let run = sandbox.run(&[]);
        run.expect_code(1).expect_stderr("requested RV");
        assert_eq!((run.count("updated"), run.count("failed")), (1, 1), "{}\n{run}", target.name);
        let tried = server.writes().iter().filter(|entry| entry.status == 409).count();
        assert_eq!((tried, run.count("writes")), (3, 4), "{}\n{run}", target.name);
    });
}

/// Without nested folders a move between directories is a new title, in place.
#[test]
fn version_10_without_nested_folders_moves_by_renaming() {
    let target = Target::standin(Profile::V10, Options::default());
    let model = json!({"uid": "d", "title": "D", "panels": []});
    let sandbox = target.sandbox().config(&[
        ("dashboards/A/Sub/_folder.json", json!({"uid": "sub"})),
        ("dashboards/A/Sub/d.json", model.clone()),
        ("dashboards/B/_folder.json", json!({"uid": "b"})),
    ]);
    target.apply(&sandbox);
    let before = target.read("/api/dashboards/uid/d");
    sandbox.remove("dashboards/A/Sub/_folder.json");
    sandbox.remove("dashboards/A/Sub/d.json");
    sandbox.write("dashboards/B/New/_folder.json", json!({"uid": "sub", "title": "Renamed"}).to_string());
    sandbox.write("dashboards/B/New/d.json", model.to_string());
    std::fs::remove_dir(sandbox.config_dir().join("dashboards/A/Sub")).expect("it is empty");
    let run = target.apply(&sandbox);
    assert_eq!((run.count("created"), run.count("writes")), (0, 1), "{run}");
    assert_eq!(target.read("/api/folders/sub")["title"], json!("B / Renamed"));
    assert_eq!(target.read("/api/dashboards/uid/d")["dashboard"], before["dashboard"]);
    target.settled(&sandbox);
    let out = sandbox.path("export");
    sandbox.run(&["export", &out.display().to_string()]).expect_code(0);
    target.settled(&target.sandbox().config_from(&out));
}

/// Organizations are made when they are missing, and hold the same kinds.
#[test]
fn every_kind_goes_into_another_organization() {
    Target::each_standin(&Options::nesting(), |target| {
        let sandbox = target.sandbox().env("HOOK_PASSWORD", kit::grafana::HOOK_PASSWORD);
        for (path, body) in target.every_kind(&sandbox.path("token")) {
            sandbox.write(&format!("orgs/Second Org/{path}"), body.to_string());
        }
        let run = target.apply(&sandbox);
        assert!(run.count("created") >= 12, "{}\n{run}", target.name);
        assert_eq!(target.read("/api/search"), json!([]), "{}", target.name);
        let org = target.read("/api/orgs/name/Second%20Org");
        let id = org["id"].as_i64().expect("it has a number");
        let (status, _) = target.server().request(id, "GET", "/api/dashboards/uid/home", &Value::Null);
        assert_eq!(status, 200, "{}", target.name);
        target.settled(&sandbox);
        let out = sandbox.path("export");
        sandbox.run(&["export", &out.display().to_string()]).expect_code(0);
        assert!(out.join("orgs/Second Org/alert_rules/platform/group.json").exists(), "{}", target.name);
        let from = target.sandbox().config_from(&out);
        target.settled(&from.env("CONTACT_POINTS_HOOK_PASSWORD", kit::grafana::HOOK_PASSWORD));
    });
}
