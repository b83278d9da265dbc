//! What people write by hand and Grafana prints in another way: applied, then found unchanged. On every version of the stand-in, and with
//! `GRAFANA_URL` on a live Grafana.

use kit::grafana::{Target, alert_rule};
use serde_json::{Value, json};

/// Applies files, and applies them again without a write.
#[track_caller]
fn stays(target: &Target, files: &[(&str, Value)]) {
    let sandbox = target.sandbox().config(files);
    let run = target.apply(&sandbox);
    assert!(!run.stderr.contains("is not installed"), "{}\n{run}", target.name);
    target.settled(&sandbox);
}

/// The server calls the root `general`, and gives a model without a type an empty one.
#[test]
fn library_panels_in_the_root() {
    Target::each(|target| {
        let model = json!({"type": "text", "title": "t", "options": {}});
        stays(
            target,
            &[
                ("library_panels/lp.json", json!({"uid": "lp", "name": "L", "model": model})),
                ("library_panels/named.json", json!({"name": "N", "folderUid": "general", "model": model})),
                ("library_panels/untyped.json", json!({"name": "U", "folderUid": "", "model": {"title": "t"}})),
            ],
        );
    });
}

/// Rules as provisioning files have them: an expression without a range of time, no states, durations in any unit.
#[test]
fn alert_rules_as_files_have_them() {
    Target::each(|target| {
        let mut rule = alert_rule(Some("bare"), "Bare");
        let fields = rule.as_object_mut().expect("a rule is an object");
        fields.remove("noDataState");
        fields.remove("execErrState");
        fields["for"] = json!("300s");
        rule["data"][1].as_object_mut().expect("a query is an object").remove("relativeTimeRange");
        let mut rules = vec![rule];
        if target.version().0 >= 11 {
            let query = json!([{"refId": "A", "datasourceUid": "prom", "relativeTimeRange": {"from": 600, "to": 0},
                "model": {"expr": "up", "refId": "A"}}]);
            let record = json!({"metric": "m", "from": "A"});
            rules.push(json!({"uid": "rr", "title": "R", "data": query, "record": record}));
            rules.push(
                json!({"uid": "full", "title": "F", "data": query, "record": record, "condition": "A", "for": "5m",
                "noDataState": "NoData", "execErrState": "Error"}),
            );
        }
        let mail = json!({"uid": "mail", "type": "email", "settings": {"addresses": "a@example.com"}});
        let mut notified = alert_rule(Some("notified"), "Notified");
        notified["notification_settings"] = json!({"receiver": "mail", "group_by": ["alertname", "grafana_folder"],
            "group_wait": "60s", "repeat_interval": "240m", "mute_time_intervals": []});
        rules.push(notified);
        stays(
            target,
            &[
                ("datasources/prom.json", json!({"type": "prometheus", "url": "http://p:9090"})),
                ("dashboards/Platform/_folder.json", json!({"uid": "platform"})),
                ("contact_points/mail.json", mail),
                ("alert_rules/Platform/group.json", json!({"interval": 60, "rules": rules})),
            ],
        );
    });
}

/// Up to 10 the order of rules is that in which they were made; a rule put before another comes in all the same.
#[test]
fn rules_change_their_order() {
    Target::each(|target| {
        let group = |uids: &[&str]| {
            let rules: Vec<Value> = uids.iter().map(|uid| alert_rule(Some(uid), uid)).collect();
            json!({"interval": 60, "rules": rules})
        };
        let sandbox = target.sandbox().config(&[
            ("datasources/prom.json", json!({"type": "prometheus", "url": "http://p:9090"})),
            ("dashboards/Platform/_folder.json", json!({"uid": "platform"})),
            ("alert_rules/Platform/group.json", group(&["a", "c"])),
        ]);
        target.apply(&sandbox);
        for order in [["a", "b", "c"], ["c", "b", "a"]] {
            sandbox.write("alert_rules/Platform/group.json", group(&order).to_string());
            target.apply(&sandbox);
            target.settled(&sandbox);
        }
    });
}

#[test]
fn templates_with_and_without_a_definition() {
    Target::each(|target| {
        let template = |text: &str| json!({"template": text});
        stays(
            target,
            &[
                ("message_templates/blanks.json", template("{{  define \"a1\" }}x{{ end }}")),
                ("message_templates/tab.json", template("{{\tdefine \"a3\" }}x{{ end }}")),
                ("message_templates/returns.json", template("line one\r\nline two")),
                ("message_templates/outer.json", template("  {{ define \"a6\" }}x{{ end }}  \n")),
                ("message_templates/bare.json", template("bare text")),
            ],
        );
    });
}

#[test]
fn timings_by_names_and_numbers() {
    Target::each(|target| {
        let intervals = json!([{"months": ["january:march", "5", "december"], "weekdays": ["Monday:Friday", "SUNDAY"],
            "days_of_month": ["1:7", "-1"], "years": ["2025:2027"], "location": "Europe/Berlin"}, {"times": []}, {}]);
        stays(target, &[("mute_timings/named.json", json!({"time_intervals": intervals}))]);
    });
}

/// A setting that is null is none, and types are known in any case.
#[test]
fn integrations_with_nulls() {
    Target::each(|target| {
        let slack = json!({"uid": "s", "type": "slack", "settings": {"url": "http://hooks.example.com/s", "recipient": "#a", "token": null}});
        stays(
            target,
            &[
                ("contact_points/slack.json", slack),
                ("contact_points/line.json", json!({"uid": "l", "type": "line", "settings": {"token": "t-o-k-e-n"}})),
            ],
        );
    });
}

/// Plugins by names of old, and fields that are for Grafana's own files: left out with a warning, not written in vain.
#[test]
fn data_sources_of_provisioning_files() {
    Target::each(|target| {
        let files = [
            ("datasources/pg.json", json!({"type": "postgres", "url": "db:5432", "user": "g", "database": "x"})),
            ("datasources/td.json", json!({"type": "testdata"})),
            ("datasources/ph.json", json!({"type": "phlare", "url": "http://p"})),
            (
                "datasources/loki.json",
                json!({"type": "loki", "url": "http://l", "editable": true, "orgId": 1, "version": 1}),
            ),
        ];
        let sandbox = target.sandbox().config(&files);
        let run = target.apply(&sandbox);
        run.expect_stderr("datasources/loki.json /editable");
        assert!(!run.stderr.contains("is not installed"), "{}\n{run}", target.name);
        target.settled(&sandbox);
    });
}

/// The declared default ends as the default, whoever was it before and whatever else changes of that one.
#[test]
fn the_default_data_source_is_handed_over_in_one_run() {
    Target::each(|target| {
        let old = |url: &str| json!({"type": "prometheus", "url": url});
        let sandbox = target.sandbox().config(&[("datasources/z-old.json", old("http://a:9090"))]);
        target.apply(&sandbox);
        assert_eq!(target.read("/api/datasources/uid/z-old")["isDefault"], json!(true), "{}", target.name);
        sandbox.write("datasources/z-old.json", old("http://b:9090").to_string());
        let new = json!({"type": "loki", "url": "http://l:3100", "isDefault": true});
        sandbox.write("datasources/a-new.json", new.to_string());
        target.apply(&sandbox);
        let is_default = |uid: &str| target.read(&format!("/api/datasources/uid/{uid}"))["isDefault"].clone();
        assert_eq!((is_default("a-new"), is_default("z-old")), (json!(true), json!(false)), "{}", target.name);
        target.settled(&sandbox);
    });
}

/// Grafana trims titles.
#[test]
fn titles_with_outer_blanks() {
    Target::each(|target| {
        stays(
            target,
            &[
                ("dashboards/ Spaces /_folder.json", json!({"uid": "spaces"})),
                ("dashboards/ Spaces /x.json", json!({"uid": "x", "title": "  spaces  ", "panels": []})),
            ],
        );
    });
}

/// What a minimal spec leaves out 12.4 prints as null or empty.
#[test]
fn a_minimal_v2_dashboard() {
    Target::each(|target| {
        if target.version().0 >= 12 {
            let resource = |name: &str, spec: Value| json!({"apiVersion": "dashboard.grafana.app/v2beta1", "kind": "Dashboard", "metadata": {"name": name}, "spec": spec});
            stays(
                target,
                &[
                    ("dashboards/a.json", resource("a", json!({"title": "Newer", "elements": {}}))),
                    (
                        "dashboards/b.json",
                        resource(
                            "b",
                            json!({"title": " Blanks ", "elements": {},
                        "layout": {"kind": "GridLayout", "spec": {"items": []}}, "tags": null, "timeSettings": {"from": "now-1h"}}),
                        ),
                    ),
                ],
            );
        }
    });
}

/// A folder's rights of a service account are exported by the account's name, which is the same on every server.
#[test]
fn rights_of_service_accounts_go_from_server_to_server() {
    Target::each(|target| {
        let entries =
            json!([{"role": "Viewer", "permission": "View"}, {"serviceAccount": "ci", "permission": "Admin"}]);
        let files = [
            ("service_accounts/ci.json", json!({"role": "Editor"})),
            ("dashboards/Platform/_folder.json", json!({"uid": "platform", "permissions": entries})),
        ];
        let sandbox = target.sandbox().config(&files);
        target.apply(&sandbox);
        target.settled(&sandbox);
        let out = sandbox.path("export");
        sandbox
            .run(&["export", &out.display().to_string(), "--kind", "dashboards", "--kind", "service_accounts"])
            .expect_code(0);
        let text = std::fs::read_to_string(out.join("dashboards/Platform/_folder.json")).expect("it was exported");
        let exported: Value = serde_json::from_str(&text).expect("an export is JSON");
        let named = json!({"serviceAccount": "ci", "permission": "Admin"});
        assert!(exported["permissions"].as_array().is_some_and(|all| all.contains(&named)), "{}: {text}", target.name);
        target.settled(&target.sandbox().config_from(&out));
        let other = target.another();
        other.apply(&other.sandbox().config_from(&out));
    });
}
