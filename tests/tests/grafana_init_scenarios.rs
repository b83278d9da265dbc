//! What grafana-init does about servers in a state that only a stand-in can be put in: not ready, refusing what was done, read-only
//! objects, folders that do not nest. The other scenarios are in `grafana_init_conformance*`, those that take long in `faults_grafana_init*`.

use std::time::Duration;

use kit::grafana::{Effect, Fault, Options, Profile, Role, Startup, Target};
use kit::sandbox::Run;
use serde_json::{Value, json};

fn some() -> Vec<(&'static str, Value)> {
    vec![
        ("datasources/prom.json", json!({"type": "prometheus", "url": "http://p:9090"})),
        ("dashboards/A/one.json", json!({"uid": "one", "title": "One", "panels": []})),
        ("dashboards/A/B/two.json", json!({"uid": "two", "title": "Two", "panels": []})),
    ]
}

fn nesting() -> Options {
    Options { nested_folders: true, ..Options::default() }
}

/// Fails unless the run ended so before its first write.
#[track_caller]
fn refused(target: &Target, run: &Run, parts: &[&str]) {
    assert_eq!((run.code(), run.count("writes")), (Some(1), 0), "{}\n{run}", target.name);
    assert_eq!(target.server().writes(), [], "{}", target.name);
    for part in parts {
        assert!(run.stderr.contains(part), "{} lacks {part:?}\n{run}", target.name);
    }
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
            refused(target, &run, &[cause]);
        });
    }
}

/// Scenario 3: a folder that is answered with `412 {}` or 409 though it was made, a locked database, a deadlock: one round more, no
/// duplicate, no failure.
#[test]
fn a_refusal_of_what_was_done_is_no_failure() {
    Target::each_standin(&nesting(), |target| {
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
    Target::each_standin(&nesting(), |target| {
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
        run.expect_code(1).expect_stderr("database is locked").expect_stderr("is not there yet");
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
    Target::each_standin(&nesting(), |target| {
        let server = target.server();
        let mut sandbox = target.with_every_kind();
        sandbox.write("dashboards/Kept/_folder.json", json!({"uid": "kept"}).to_string());
        sandbox.write("dashboards/Kept/inside.json", json!({"uid": "inside", "title": "Inside"}).to_string());
        target.apply(&sandbox);
        server.provision_datasource(1, "prom");
        server.provision_dashboard(1, "home");
        server.set_policy_provenance(1, "file");
        let mut reasons = vec!["provisioned from a file"];
        let mut held = 3;
        if target.version().0 >= 12 {
            server.manage_dashboard(1, "inside");
            server.manage_folder(1, "kept");
            reasons.push("it is managed by repo");
            held = 5;
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
        change("dashboards/Kept/_folder.json", json!({"uid": "kept", "title": "Other"}));
        change("dashboards/Kept/inside.json", json!({"uid": "inside", "title": "Other"}));
        change("preferences.json", json!({"homeDashboardUID": "home", "theme": "light"}));
        server.reset_log();
        let run = sandbox.run(&[]);
        refused(target, &run, &reasons);
        assert_eq!(run.count("drifted"), held, "{}\n{run}", target.name);
        sandbox.run(&["plan"]).expect_code(1);
        sandbox.set("ON_DRIFT", "warn");
        let run = target.apply(&sandbox);
        assert_eq!((run.count("drifted"), run.count("updated")), (held, 6 - held), "{}\n{run}", target.name);
        assert_eq!(target.read("/api/org/preferences")["theme"], json!("light"), "{}", target.name);
        let run = target.settled(&sandbox);
        assert_eq!(run.count("drifted"), held, "{}\n{run}", target.name);
    });
}

/// Scenario 7, for a caller who may not decrypt: what the server shows as `[REDACTED]` is unknown, not different. No PUT, and it is said.
#[test]
fn a_redacted_secret_is_no_difference() {
    Target::each_standin(&Options::default(), |target| {
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
    Target::each_standin(&nesting(), |target| {
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

/// Up to 11.1 a title is unique in its folder: a clash among files and with what is on the server is found before the first write. Later
/// versions take both.
#[test]
fn a_title_that_would_be_refused_is_found_before_the_first_write() {
    Target::each_standin(&nesting(), |target| {
        target.write("POST", "/api/folders", &json!({"uid": "f", "title": "F"}));
        target.write("POST", "/api/folders", &json!({"uid": "h", "title": "H"}));
        let theirs = json!({"dashboard": {"uid": "theirs", "title": "Taken"}, "folderUid": "f"});
        target.write("POST", "/api/dashboards/db", &theirs);
        target.server().reset_log();
        let model = |uid: &str, title: &str| json!({"uid": uid, "title": title, "panels": []});
        let sandbox = target.sandbox().config(&[
            ("datasources/prom.json", json!({"type": "prometheus", "url": "http://p:9090"})),
            ("dashboards/F/ours.json", model("ours", "Taken")),
            ("dashboards/F/a.json", model("a", "Twice")),
            ("dashboards/F/b.json", model("b", "Twice")),
            ("dashboards/G/_folder.json", json!({"uid": "own", "title": "H"})),
        ]);
        let run = sandbox.run(&[]);
        if target.version().0 > 10 {
            assert_eq!(run.code(), Some(0), "{}\n{run}", target.name);
            target.settled(&sandbox);
            return;
        }
        refused(
            target,
            &run,
            &[
                "the dashboard theirs on the server has this title",
                "the title is also that of",
                "the folder h on the server is titled",
            ],
        );
        sandbox.write("dashboards/F/ours.json", model("ours", "Free").to_string());
        sandbox.write("dashboards/F/b.json", model("b", "Once").to_string());
        sandbox.write("dashboards/G/_folder.json", json!({"uid": "own", "title": "G"}).to_string());
        target.apply(&sandbox);
        target.settled(&sandbox);
    });
}

/// The same for alert rules up to 11: a title that another group of the folder bears.
#[test]
fn a_rule_title_that_would_be_refused_is_found_before_the_first_write() {
    Target::each_standin(&nesting(), |target| {
        let group = |uid: &str, title: &str| json!({"rules": [kit::grafana::alert_rule(Some(uid), title)]});
        target.write("POST", "/api/folders", &json!({"uid": "f", "title": "F"}));
        let theirs = json!({"title": "theirs", "folderUid": "f", "interval": 60, "rules": [kit::grafana::alert_rule(None, "Taken")]});
        target.write("PUT", "/api/v1/provisioning/folder/f/rule-groups/theirs", &theirs);
        target.server().reset_log();
        let sandbox = target.sandbox().config(&[
            ("dashboards/F/_folder.json", json!({})),
            ("alert_rules/F/a.json", group("a", "Taken")),
            ("alert_rules/F/b.json", group("b", "Twice")),
            ("alert_rules/F/c.json", group("c", "Twice")),
        ]);
        let run = sandbox.run(&[]);
        if target.version().0 > 11 {
            assert_eq!(run.code(), Some(0), "{}\n{run}", target.name);
            target.settled(&sandbox);
            return;
        }
        refused(
            target,
            &run,
            &[
                "on the server has a rule of this title here",
                "the title is also that of a rule in alert_rules/F/b.json",
            ],
        );
        sandbox.write("alert_rules/F/a.json", group("a", "Free").to_string());
        sandbox.write("alert_rules/F/c.json", group("c", "Once").to_string());
        target.apply(&sandbox);
        target.settled(&sandbox);
    });
}

/// References that the server would refuse after other writes: they are all named before the first.
#[test]
fn references_to_nothing_are_found_before_the_first_write() {
    Target::each_standin(&nesting(), |target| {
        let rule = kit::grafana::alert_rule(Some("r"), "R");
        let sandbox = target.sandbox().config(&[
            ("teams/ops.json", json!({"members": ["nobody"]})),
            ("dashboards/A/_folder.json", json!({"permissions": [{"team": "ops", "permission": 1}, {"team": "absent", "permission": 1}, {"user": "stranger", "permission": 2}]})),
            ("library_panels/lp.json", json!({"folderUid": "no-such-folder", "model": {"type": "text"}})),
            ("notification_policy.json", json!({"receiver": "no-such-receiver", "routes": [{"mute_time_intervals": ["no-such-timing"]}]})),
            ("alert_rules/no-such-directory/g.json", json!({"rules": [rule]})),
            ("preferences.json", json!({"homeDashboardUID": "no-such-home"})),
        ]);
        let parts = [
            "nobody",
            "absent",
            "stranger",
            "no-such-folder",
            "no-such-receiver",
            "no-such-timing",
            "no-such-directory",
            "no-such-home",
        ];
        refused(target, &sandbox.run(&[]), &parts);
    });
}

/// 10.4 ignores `parentUid` without a word unless the toggle `nestedFolders` is on. Which it is, is known before the first write: from the
/// list of toggles, or, where a proxy cuts that away, from what the server says of a parent that is not there.
#[test]
fn whether_version_10_nests_is_known_before_the_first_write() {
    let bare = json!({"buildInfo": {"version": "10.4.3"}}).to_string();
    for (nested_folders, listed) in [(false, true), (true, true), (false, false), (true, false)] {
        let target = Target::standin(Profile::V10, Options { nested_folders, ..Options::default() });
        if !listed {
            let cut = Effect::Answer(200, bare.clone());
            target
                .server()
                .fault(Fault::on("GET", "/api/frontend/settings", cut).header("Content-Type", "application/json"));
            target.write("POST", "/api/folders", &json!({"uid": "theirs", "title": "Theirs"}));
        }
        let sandbox = target.sandbox().config(&some());
        let plan = sandbox.run(&["plan"]);
        plan.expect_code(2);
        let what = format!("nested {nested_folders}, listed {listed}");
        assert_eq!(plan.stdout.contains("no nested folders"), !nested_folders, "{what}\n{plan}");
        let run = target.apply(&sandbox);
        assert_eq!(run.stderr.contains("no nested folders"), !nested_folders, "{what}\n{run}");
        let folder = target.read("/api/dashboards/uid/two")["meta"]["folderUid"].clone();
        let folder = target.read(&format!("/api/folders/{}", folder.as_str().expect("a uid")));
        let title = if nested_folders { "B" } else { "A / B" };
        assert_eq!((&folder["title"], folder["parentUid"].is_string()), (&json!(title), nested_folders), "{what}");
        target.settled(&sandbox);
    }
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
    Target::each_standin(&nesting(), |target| {
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

#[test]
fn bad_files_are_named_together_before_any_connection() {
    let run = kit::sandbox::Sandbox::new("grafana-init")
        .env("GRAFANA_URL", "http://127.0.0.1:1")
        .config(&[
            ("datasources/a.json", json!({"uid": "same", "type": "loki", "isDefault": true})),
            ("datasources/b.json", json!({"uid": "same", "type": "loki", "isDefault": true})),
            ("dashboards/x.json", json!({"uid": "bad uid!", "title": "X"})),
            ("dashboards/long.json", json!({"uid": "u".repeat(41), "title": "Long"})),
            ("dashboards/a/b/c/d/e/f/y.json", json!({"title": "Y"})),
            ("dashboards/a/one.json", json!({"uid": "twin", "title": "One"})),
            ("dashboards/a/two.json", json!({"uid": "twin", "title": "Two"})),
            ("contact_points/c.json", json!({"type": "webhook", "settings": {"password": "[REDACTED]"}})),
            ("alert_rules/f/g.json", json!({"intervall": 60, "rules": [{"title": "R", "for": "soon"}]})),
        ])
        .run(&["validate"]);
    run.expect_code(1);
    for part in [
        "the uid same",
        "an organization has one",
        "bad uid!",
        "41 characters",
        "6 folders deep",
        "the uid twin",
        "[REDACTED]",
        "/intervall",
        "must be a duration",
    ] {
        run.expect_stderr(part);
    }
}
