//! Answers and files at the edge: numbers that are none, lists without end, names that are taken, tokens of elsewhere, what a file says that
//! decides nothing. On every version of the stand-in.

use std::fs;

use kit::grafana::{Effect, Fault, Options, Role, Target, alert_rule};
use kit::sandbox::Sandbox;
use serde_json::{Value, json};

fn answer(path: &str, status: u16, body: &Value) -> Fault {
    Fault::on("GET", path, Effect::Answer(status, body.to_string())).header("Content-Type", "application/json")
}

/// A list whose every page is full and the same would be read for ever.
#[test]
fn a_list_without_end_is_an_error() {
    Target::each_standin(&Options::nesting(), |target| {
        let rows: Vec<Value> = (0..1000).map(|n| json!({"uid": format!("f{n}"), "title": format!("F{n}")})).collect();
        target.server().fault(answer("/api/folders", 200, &json!(rows)));
        let model = json!({"uid": "x", "title": "X", "panels": []});
        let run = target.sandbox().config(&[("dashboards/New/x.json", model)]).run(&[]);
        target.refused(&run, &["the list has no end"]);
        assert!(run.count("requests") < 20, "{}\n{run}", target.name);
    });
}

/// Where a server tells no number, or 0, nothing is sent to the number 0.
#[test]
fn the_number_0_is_none() {
    let run = Sandbox::new("grafana-init").env("GRAFANA_ORG_ID", "0").config(&[("teams/ops.json", json!({}))]);
    run.run(&["validate"]).expect_code(1).expect_stderr("GRAFANA_ORG_ID must be 1 or more");
    Target::each_standin(&Options::nesting(), |target| {
        for id in [json!(0), Value::Null] {
            let team = json!({"teams": [{"id": id, "name": "ops", "email": ""}]});
            target.server().fault(answer("/api/teams/search", 200, &team).times(2));
            let run = target.sandbox().config(&[("teams/ops.json", json!({"email": "ops@example.com"}))]).run(&[]);
            target.refused(&run, &["tells no number of the team"]);
            target.server().clear_faults();
        }
    });
}

/// What a script's number cannot hold is sent and found digit by digit.
#[test]
fn whole_numbers_above_2_to_the_53_stay() {
    Target::each_standin(&Options::nesting(), |target| {
        let number = 9_007_199_254_740_993_u64;
        let sandbox = target.sandbox().config(&[
            ("dashboards/x.json", json!({"uid": "x", "title": "X", "panels": [], "n": number})),
            ("datasources/d.json", json!({"type": "loki", "url": "http://l", "jsonData": {"n": number}})),
        ]);
        target.apply(&sandbox);
        target.settled(&sandbox);
        assert_eq!(target.read("/api/dashboards/uid/x")["dashboard"]["n"], json!(number), "{}", target.name);
        assert_eq!(target.read("/api/datasources/uid/d")["jsonData"]["n"], json!(number), "{}", target.name);
    });
}

/// A name that another object bears is refused each time: one write, whatever `MAX_RETRIES` says.
#[test]
fn a_name_that_is_taken_is_written_once() {
    Target::each_standin(&Options::nesting(), |target| {
        let source = |uid: &str, name: &str| json!({"uid": uid, "name": name, "type": "loki", "url": "http://l", "access": "proxy"});
        target.write("POST", "/api/datasources", &source("a", "A"));
        target.write("POST", "/api/datasources", &source("b", "B"));
        let swapped = [("datasources/a.json", source("a", "B")), ("datasources/b.json", source("b", "A"))];
        target.server().reset_log();
        let run = target.sandbox().config(&swapped).run(&[]);
        run.expect_code(1).expect_stderr("already exists");
        assert_eq!(run.field("exit_reason"), json!("rejected"), "{}\n{run}", target.name);
        assert_eq!((run.count("writes"), target.server().writes().len()), (2, 2), "{}\n{run}", target.name);
    });
}

/// A token of another organization lets in somewhere else: the account gets one of its own.
#[test]
fn a_token_of_another_organization_is_none() {
    Target::each_standin(&Options::nesting(), |target| {
        let made = target.write("POST", "/api/orgs", &json!({"name": "Other"}));
        let foreign = target.server().add_token(made["orgId"].as_i64().expect("a number"), "theirs", Role::Admin);
        let mut sandbox = target.sandbox();
        sandbox.unset("GRAFANA_ORG_ID");
        let token = sandbox.path("token");
        fs::write(&token, &foreign).expect("the sandbox can be written to");
        let account = json!({"role": "Viewer", "tokens": [{"name": "ci", "file": token}]});
        let sandbox = sandbox.config(&[("service_accounts/ci.json", account)]);
        target.apply(&sandbox);
        assert_ne!(fs::read_to_string(&token).expect("it is there"), foreign, "{}", target.name);
        target.settled(&sandbox);
    });
}

/// A Viewer may write nothing, and hears which right is missing.
#[test]
fn a_viewer_ends_as_auth() {
    Target::each_standin(&Options::nesting(), |target| {
        for (file, body) in [
            ("dashboards/x.json", json!({"uid": "x", "title": "X", "panels": []})),
            ("dashboards/New/_folder.json", json!({"uid": "new"})),
            ("library_panels/lp.json", json!({"name": "L", "model": {"type": "text", "title": "t"}})),
            ("datasources/d.json", json!({"type": "loki", "url": "http://l"})),
            ("playlists/p.json", json!({"interval": "5m", "items": [{"type": "dashboard_by_tag", "value": "t"}]})),
            ("mute_timings/n.json", json!({"time_intervals": [{"weekdays": ["monday"]}]})),
            ("teams/t.json", json!({})),
            ("service_accounts/s.json", json!({"role": "Viewer"})),
            ("preferences.json", json!({"theme": "dark"})),
        ] {
            let token = target.server().add_token(1, file, Role::Viewer);
            let mut sandbox = target.sandbox().env("GRAFANA_TOKEN", token).config(&[(file, body)]);
            sandbox.unset("GRAFANA_USERNAME");
            sandbox.unset("GRAFANA_PASSWORD");
            let run = sandbox.run(&[]);
            assert_eq!(run.field("exit_reason"), json!("auth"), "{} {file}\n{run}", target.name);
            assert_eq!(run.count("created"), 0, "{} {file}\n{run}", target.name);
        }
    });
}

/// Up to 11.6 the root is a folder titled General, and no other is.
#[test]
fn a_directory_general_is_told_beforehand() {
    Target::each_standin(&Options::nesting(), |target| {
        let sandbox =
            target.sandbox().config(&[("dashboards/General/x.json", json!({"uid": "x", "title": "X", "panels": []}))]);
        if target.version().0 <= 11 {
            target.refused(&sandbox.run(&[]), &["General is the title of the root"]);
        } else {
            target.apply(&sandbox);
            target.settled(&sandbox);
        }
    });
}

/// Alerting that is off, or that a new organization does not have yet, is a warning of an export and no end of it.
#[test]
fn an_export_goes_on_without_alerting() {
    let young = Options { before_poll: u32::MAX, ..Options::nesting() };
    for (options, off) in [(Options::nesting(), true), (young, false)] {
        Target::each_standin(&options, |target| {
            target.write(
                "POST",
                "/api/datasources",
                &json!({"uid": "l", "name": "L", "type": "loki", "access": "proxy"}),
            );
            if off {
                target.server().fault(answer("/api/v1/provisioning/policies", 404, &json!({"message": "Not found"})));
            } else {
                target.write("POST", "/api/orgs", &json!({"name": "Young"}));
            }
            let sandbox = target.sandbox();
            let out = sandbox.path("export");
            let run = sandbox.run(&["export", &out.display().to_string()]);
            run.expect_code(0).expect_stderr(if off {
                "alerting is switched off"
            } else {
                "the organization Young is new"
            });
            assert!(out.join("datasources/L.json").is_file(), "{}\n{run}", target.name);
            if off {
                let timing = json!({"time_intervals": [{"weekdays": ["monday"]}]});
                let run = target.sandbox().config(&[("mute_timings/n.json", timing)]).run(&[]);
                run.expect_code(1).expect_stderr("alerting is switched off on this server");
            }
        });
    }
}

/// A folder or an organization that a file names beside its directory decides nothing, and that is said.
#[test]
fn what_a_rule_file_says_of_its_place_is_not_used() {
    let group = |folder: &str, org: u32| json!({"orgId": org, "folder": folder, "rules": [alert_rule(Some("r"), "R")]});
    let says = |file: &str, body: Value| Sandbox::new("grafana-init").config(&[(file, body)]).run(&["validate"]).stderr;
    let run = says("alert_rules/F/g.json", group("Elsewhere", 2));
    assert!(run.contains("Elsewhere") && run.contains("orgs/<its name>/"), "{run}");
    let quiet = says("alert_rules/F/g.json", group("F", 1));
    assert!(!quiet.contains("is not used"), "{quiet}");
    let source = says("datasources/d.json", json!({"type": "loki", "orgId": 3}));
    assert!(source.contains("organization 3"), "{source}");
}

/// Provenance is compared with nothing: an object that matches keeps the one that it was made with, and `plan` says so.
#[test]
fn the_other_provenance_is_said() {
    Target::each_standin(&Options::nesting(), |target| {
        let hook = json!({"uid": "hook", "type": "webhook", "settings": {"url": "http://h"}});
        let mut sandbox = target.sandbox().config(&[
            ("contact_points/hook.json", hook),
            ("mute_timings/n.json", json!({"time_intervals": [{"weekdays": ["monday"]}]})),
            ("notification_policy.json", json!({"receiver": "hook"})),
            ("dashboards/F/_folder.json", json!({"uid": "f"})),
            ("alert_rules/f/g.json", json!({"rules": [alert_rule(Some("r"), "R")]})),
        ]);
        sandbox.set("GRAFANA_PROVENANCE", "none");
        target.apply(&sandbox);
        assert!(!sandbox.run(&["plan"]).stdout.contains("provenance"), "{}", target.name);
        sandbox.set("GRAFANA_PROVENANCE", "api");
        let plan = sandbox.run(&["plan", "--log-format", "text"]);
        plan.expect_code(0);
        assert_eq!(plan.stdout.matches("it can be edited in Grafana").count(), 4, "{}\n{plan}", target.name);
        target.settled(&sandbox);
    });
}
