//! Every kind of grafana-init against the stand-in of every version: applied, read back, applied again without a write, changed
//! by hand and repaired, exported and applied again. Dashboards alone are in `grafana_init_apply`, faults in `faults_grafana_init`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use kit::grafana::{Grafana, Options, Plugin, Profile};
use kit::sandbox::{Run, Sandbox};
use serde_json::{Value, json};

fn server(profile: Profile) -> Grafana {
    let clock = Plugin { id: "grafana-clock-panel".into(), kind: "panel".into(), version: "2.1.0".into() };
    Grafana::start(profile, Options { plugins: vec![clock], ..Options::default() })
}

fn sandbox(server: &Grafana) -> Sandbox {
    Sandbox::new("grafana-init")
        .env("GRAFANA_URL", server.url())
        .env("GRAFANA_USERNAME", "admin")
        .env("GRAFANA_PASSWORD", "admin")
        .env("HOOK_PASSWORD", "s3cret-of-the-hook")
        .env("MAX_RETRIES", "2")
}

fn rule(uid: Option<&str>, title: &str) -> Value {
    let mut rule = json!({"title": title, "condition": "B", "for": "300s", "noDataState": "NoData", "execErrState": "Error",
        "labels": {"team": "ops"}, "data": [
        {"refId": "A", "datasourceUid": "prom", "relativeTimeRange": {"from": 600, "to": 0}, "model": {"expr": "up", "refId": "A"}},
        {"refId": "B", "datasourceUid": "__expr__", "relativeTimeRange": {"from": 600, "to": 0}, "model": {"type": "threshold", "expression": "A", "refId": "B"}}]});
    if let Some(uid) = uid {
        rule["uid"] = json!(uid);
    }
    rule
}

fn files(token: &str) -> Vec<(&'static str, Value)> {
    vec![
        ("plugins/grafana-clock-panel.json", json!({"minVersion": "2.0"})),
        ("teams/ops.json", json!({"email": "ops@example.com", "members": ["admin"]})),
        ("service_accounts/ci.json", json!({"role": "Editor", "tokens": [{"name": "ci-token", "file": token}]})),
        (
            "datasources/prom.json",
            json!({"type": "prometheus", "name": "Prometheus", "url": "http://p:9090", "isDefault": true}),
        ),
        (
            "library_panels/lp.json",
            json!({"name": "Lib", "folderUid": "platform", "model": {"type": "text", "title": "Lib", "options": {"content": "hi"}}}),
        ),
        (
            "dashboards/Platform/_folder.json",
            json!({"uid": "platform", "permissions": [{"role": "Viewer", "permission": 1}, {"team": "ops", "permission": "Edit"}]}),
        ),
        (
            "dashboards/Platform/home.json",
            json!({"uid": "home", "title": "Home", "panels": [{"id": 1, "libraryPanel": {"uid": "lp", "name": "Lib"}}]}),
        ),
        (
            "contact_points/hook.json",
            json!({"uid": "hook", "type": "webhook", "settings": {"url": "http://h/x", "username": "u", "password": "$__env{HOOK_PASSWORD}"}}),
        ),
        (
            "contact_points/mail.json",
            json!([{"type": "email", "settings": {"addresses": "a@example.com", "singleEmail": false}}]),
        ),
        (
            "mute_timings/nights.json",
            json!({"time_intervals": [{"times": [{"start_time": "22:00", "end_time": "24:00"}], "weekdays": ["monday:friday"]}]}),
        ),
        ("message_templates/plain.json", json!({"template": "plain text"})),
        (
            "notification_policy.json",
            json!({"receiver": "hook", "group_by": ["grafana_folder", "alertname"], "group_interval": "300s", "routes": [
                {"receiver": "mail", "matchers": ["team=\"ops\"", "severity=~\"a|b\""], "mute_time_intervals": ["nights"]}]}),
        ),
        (
            "alert_rules/Platform/group.json",
            json!({"interval": 60, "rules": [rule(Some("up-rule"), "Up"), rule(None, "Down")]}),
        ),
        ("preferences.json", json!({"homeDashboardUID": "home", "theme": "dark", "timezone": "utc"})),
        ("orgs/Second Org/datasources/loki.json", json!({"type": "loki", "url": "http://l:3100"})),
        ("orgs/Second Org/dashboards/Logs/logs.json", json!({"title": "Logs", "panels": []})),
        ("orgs/Second Org/preferences.json", json!({"theme": "light"})),
    ]
}

fn clean(server: &Grafana, sandbox: &Sandbox, what: &str) -> Run {
    server.reset_log();
    let run = sandbox.run(&[]);
    run.expect_code(0);
    assert_eq!(server.writes(), [], "{what}\n{run}");
    run
}

#[test]
fn every_kind_is_applied_and_then_left_alone() {
    for profile in Profile::ALL {
        let server = server(profile);
        let sandbox = sandbox(&server);
        let tokens = sandbox.path("tokens");
        fs::create_dir(&tokens).expect("the sandbox can be written");
        let token = tokens.join("ci").display().to_string();
        let sandbox = sandbox.config(&files(&token));
        let plan = sandbox.run(&["plan"]);
        plan.expect_code(2);
        assert_eq!(server.writes(), [], "{plan}");
        let first = sandbox.run(&[]);
        first.expect_code(0);
        let key = fs::read_to_string(&token).expect("the token was kept");
        assert!(key.starts_with("glsa_"), "{profile:?}");
        assert_eq!(fs::metadata(&token).expect("it is there").permissions().mode() & 0o777, 0o600);
        let second = clean(&server, &sandbox, &format!("{profile:?}"));
        assert_eq!(
            second.count("unchanged"),
            first.count("created") + first.count("updated") + first.count("unchanged")
        );
        for run in [&plan, &first, &second] {
            assert!(!run.stderr.contains("s3cret-of-the-hook") && !run.stdout.contains("s3cret-of-the-hook"), "{run}");
            assert!(!run.stderr.contains(&key), "{run}");
        }
    }
}

#[test]
fn edits_by_hand_are_shown_by_plan_and_repaired_by_apply() {
    for profile in Profile::ALL {
        let server = server(profile);
        let sandbox = sandbox(&server);
        let token = sandbox.path("token").display().to_string();
        let sandbox = sandbox.config(&files(&token));
        sandbox.run(&[]).expect_code(0);
        server.edit_dashboard(1, "home", |model| model["title"] = json!("Edited"));
        server.add_policy_route(1, json!({"receiver": "mail", "object_matchers": [["foreign", "=", "yes"]]}));
        server.set_contact_point_secret(1, "hook", "password", "changed-by-hand");
        let acl = json!({"items": [{"role": "Editor", "permission": 4}]});
        assert_eq!(server.request(1, "POST", "/api/folders/platform/permissions", &acl).0, 200);
        let mut theme = server.request(1, "GET", "/api/org/preferences", &Value::Null).1;
        theme["theme"] = json!("light");
        assert_eq!(server.request(1, "PUT", "/api/org/preferences", &theme).0, 200);
        server.reset_log();
        let plan = sandbox.run(&["plan"]);
        plan.expect_code(2);
        for part in ["Edited", "foreign", "/permissions/role:Editor", "light"] {
            assert!(plan.stdout.contains(part), "{profile:?} {part}\n{plan}");
        }
        assert!(!plan.stdout.contains("changed-by-hand") && !plan.stderr.contains("changed-by-hand"), "{plan}");
        assert_eq!(server.writes(), [], "{plan}");
        let run = sandbox.run(&[]);
        run.expect_code(0);
        assert_eq!(run.count("updated"), 5, "{profile:?}\n{run}");
        clean(&server, &sandbox, &format!("{profile:?}"));
    }
}

#[test]
fn what_is_exported_is_what_apply_finds_unchanged() {
    for profile in Profile::ALL {
        let server = server(profile);
        let from = sandbox(&server);
        let token = from.path("token").display().to_string();
        let from = from.config(&files(&token));
        from.run(&[]).expect_code(0);
        let out = from.path("export");
        let export = from.run(&["export", &out.display().to_string()]);
        export.expect_code(0);
        assert!(export.stdout.contains("CONTACT_POINTS_HOOK_PASSWORD"), "{export}");
        let again = sandbox(&server).config_from(&out).env("CONTACT_POINTS_HOOK_PASSWORD", "s3cret-of-the-hook");
        let run = clean(&server, &again, &format!("{profile:?}"));
        assert!(run.count("unchanged") >= 15, "{run}");
    }
}

#[test]
fn objects_that_others_hold_stop_the_run_before_its_first_write() {
    let server = server(Profile::V12);
    let sandbox = sandbox(&server);
    let token = sandbox.path("token").display().to_string();
    let mut sandbox = sandbox.config(&files(&token));
    sandbox.run(&[]).expect_code(0);
    server.edit_dashboard(1, "home", |model| model["title"] = json!("Edited"));
    server.provision_dashboard(1, "home");
    server.set_policy_provenance(1, "file");
    server.add_policy_route(1, json!({"receiver": "mail", "object_matchers": [["foreign", "=", "yes"]]}));
    sandbox.write("preferences.json", json!({"theme": "light", "homeDashboardUID": "home"}).to_string());
    server.reset_log();
    let run = sandbox.run(&[]);
    run.expect_code(1).expect_stderr("provisioned from a file");
    assert_eq!(server.writes(), [], "{run}");
    sandbox.set("ON_DRIFT", "warn");
    let run = sandbox.run(&[]);
    run.expect_code(0);
    assert_eq!((run.count("drifted"), run.count("updated")), (2, 1), "{run}");
}

#[test]
fn bad_files_are_named_together_before_any_connection() {
    let run = Sandbox::new("grafana-init")
        .env("GRAFANA_URL", "http://127.0.0.1:1")
        .config(&[
            ("datasources/a.json", json!({"uid": "same", "type": "loki", "isDefault": true})),
            ("datasources/b.json", json!({"uid": "same", "type": "loki", "isDefault": true})),
            ("dashboards/x.json", json!({"uid": "bad uid!", "title": "X"})),
            ("dashboards/a/b/c/d/e/f/y.json", json!({"title": "Y"})),
            ("dashboards/a/one.json", json!({"uid": "twin", "title": "One"})),
            ("dashboards/a/two.json", json!({"uid": "twin", "title": "Two"})),
            ("contact_points/c.json", json!({"type": "webhook", "settings": {"password": "[REDACTED]"}})),
        ])
        .run(&["validate"]);
    run.expect_code(1);
    for part in ["the uid same", "an organization has one", "bad uid!", "6 folders deep", "the uid twin", "[REDACTED]"]
    {
        run.expect_stderr(part);
    }
}
