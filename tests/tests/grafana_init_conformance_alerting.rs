//! Alerting of grafana-init on every version of the stand-in, and with `GRAFANA_URL` on a live Grafana: bodies as the provisioning export
//! prints them, provenance, rule groups.

use kit::grafana::{Target, alert_rule};
use kit::sandbox::Sandbox;
use serde_json::{Value, json};

const PROVISIONING: &str = "/api/v1/provisioning";

/// The alerting kinds alone, without secrets.
fn alerting() -> Vec<(&'static str, Value)> {
    vec![
        ("datasources/prom.json", json!({"type": "prometheus", "url": "http://p:9090"})),
        ("dashboards/Platform/_folder.json", json!({"uid": "platform"})),
        (
            "contact_points/mail.json",
            json!({"uid": "mail", "type": "email", "settings": {"addresses": "a@example.com", "singleEmail": false}}),
        ),
        (
            "mute_timings/nights.json",
            json!({"time_intervals": [{"times": [{"start_time": "22:00", "end_time": "24:00"}], "weekdays": ["monday:friday"]}]}),
        ),
        ("message_templates/plain.json", json!({"template": "{{ define \"plain\" }}text{{ end }}"})),
        (
            "notification_policy.json",
            json!({"receiver": "mail", "group_by": ["alertname"], "group_interval": "10m", "routes": [
                {"receiver": "mail", "object_matchers": [["team", "=", "ops"]], "mute_time_intervals": ["nights"]}]}),
        ),
        (
            "alert_rules/Platform/group.json",
            json!({"interval": 60, "rules": [alert_rule(Some("up-rule"), "Up"), alert_rule(Some("down-rule"), "Down")]}),
        ),
    ]
}

/// Every alerting file of a folder takes the text that the server's own export prints.
fn paste(target: &Target, sandbox: &Sandbox) {
    for (file, path) in [
        ("contact_points/mail.json", "contact-points/export?format=json&name=mail"),
        ("mute_timings/nights.json", "mute-timings/nights/export?format=json"),
        ("message_templates/plain.json", "templates/plain"),
        ("notification_policy.json", "policies/export?format=json"),
        ("alert_rules/Platform/group.json", "folder/platform/rule-groups/group/export?format=json"),
    ] {
        let body = target.read(&format!("{PROVISIONING}/{path}"));
        assert!(path.starts_with("templates") || body["apiVersion"] == json!(1), "{} {path}: {body}", target.name);
        sandbox.write(file, body.to_string());
    }
}

#[test]
fn what_the_provisioning_export_prints_is_taken_as_it_is() {
    Target::each(|target| {
        let sandbox = target.sandbox().config(&alerting());
        target.apply(&sandbox);
        paste(target, &sandbox);
        target.settled(&sandbox);
        let other = target.another();
        let fresh = other.sandbox().config_from(&sandbox.config_dir());
        other.apply(&fresh);
        other.settled(&fresh);
        assert_eq!(other.read(&format!("{PROVISIONING}/policies")), target.read(&format!("{PROVISIONING}/policies")));
    });
}

/// The provenance of each alerting object.
fn provenances(target: &Target) -> Vec<Value> {
    let first = |path: &str, name: &str| {
        let list = target.read(&format!("{PROVISIONING}/{path}"));
        let row = list.as_array().and_then(|rows| rows.iter().find(|row| row["name"] == json!(name)).cloned());
        row.unwrap_or_default()["provenance"].clone()
    };
    vec![
        first("contact-points", "mail"),
        first("mute-timings", "nights"),
        first("templates", "plain"),
        target.read(&format!("{PROVISIONING}/policies"))["provenance"].clone(),
        target.read(&format!("{PROVISIONING}/alert-rules/up-rule"))["provenance"].clone(),
    ]
}

/// `none` leaves no provenance, so that people may edit in the browser; an edit is still seen and repaired. Without the setting the same
/// files take the objects over, and what the API made `none` cannot take back: that is found before the first write.
#[test]
fn alerting_stays_editable_where_that_is_asked_for() {
    Target::each(|target| {
        let mut sandbox = target.sandbox().env("GRAFANA_PROVENANCE", "none").config(&alerting());
        target.apply(&sandbox);
        let none = |value: &Value| value.is_null() || *value == json!("");
        assert!(provenances(target).iter().all(none), "{}: {:?}", target.name, provenances(target));
        target.settled(&sandbox);
        let change = |sandbox: &Sandbox, addresses: &str| {
            let mail =
                json!({"uid": "mail", "type": "email", "settings": {"addresses": addresses, "singleEmail": false}});
            sandbox.write("contact_points/mail.json", mail.to_string());
            let nights = json!({"time_intervals": [{"days_of_month": [(addresses.as_bytes()[0] - b'a').to_string()]}]});
            sandbox.write("mute_timings/nights.json", nights.to_string());
            let text = format!("{{{{ define \"plain\" }}}}{addresses}{{{{ end }}}}");
            sandbox.write("message_templates/plain.json", json!({"template": text}).to_string());
        };
        change(&sandbox, "b@example.com");
        assert_eq!(target.apply(&sandbox).count("writes"), 3, "{}", target.name);
        assert!(provenances(target).iter().all(none), "{}: {:?}", target.name, provenances(target));
        sandbox.unset("GRAFANA_PROVENANCE");
        target.settled(&sandbox);
        change(&sandbox, "c@example.com");
        assert_eq!(target.apply(&sandbox).count("writes"), 3, "{}", target.name);
        assert_eq!(provenances(target)[..3], [json!("api"), json!("api"), json!("api")], "{}", target.name);
        sandbox.set("GRAFANA_PROVENANCE", "none");
        change(&sandbox, "d@example.com");
        let run = sandbox.run(&[]);
        run.expect_code(1).expect_stderr("GRAFANA_PROVENANCE=none cannot take that back");
        assert_eq!((run.count("writes"), run.count("drifted")), (0, 3), "{}\n{run}", target.name);
    });
}

/// 10.4 answers 500 to a group with a rule of a new uid: there each is made by itself first. A group written without uids would get new
/// ones each time: a rule keeps that of its title.
#[test]
fn rules_with_new_uids_come_into_groups_and_keep_them() {
    Target::each(|target| {
        let sandbox = target.sandbox().config(&alerting());
        target.apply(&sandbox);
        let group = |rules: Value| json!({"interval": 120, "rules": rules}).to_string();
        let three =
            json!([alert_rule(Some("up-rule"), "Up"), alert_rule(Some("new-rule"), "New"), alert_rule(None, "Down")]);
        sandbox.write("alert_rules/Platform/group.json", group(three));
        let run = target.apply(&sandbox);
        let writes = if target.version().0 <= 10 { 2 } else { 1 };
        assert_eq!((run.count("updated"), run.count("writes")), (1, writes), "{}\n{run}", target.name);
        let held = target.read(&format!("{PROVISIONING}/folder/platform/rule-groups/group"));
        let uids: Vec<&Value> = held["rules"].as_array().expect("rules").iter().map(|rule| &rule["uid"]).collect();
        // 10.4 keeps the order in which the rules were made.
        let order = if target.version().0 <= 10 { [0, 2, 1] } else { [0, 1, 2] };
        let order = order.map(|at| ["up-rule", "new-rule", "down-rule"][at]);
        assert_eq!((json!(uids), &held["interval"]), (json!(order), &json!(120)), "{}", target.name);
        target.settled(&sandbox);
        sandbox.write("alert_rules/Platform/group.json", group(json!([alert_rule(Some("new-rule"), "New")])));
        target.apply(&sandbox);
        let held = target.read(&format!("{PROVISIONING}/folder/platform/rule-groups/group"));
        assert_eq!(held["rules"].as_array().map(Vec::len), Some(1), "the file is the whole group on {}", target.name);
        target.settled(&sandbox);
    });
}

/// What a write replaces as a whole loses what the file no longer has, and `plan` names each thing that goes.
#[test]
fn the_plan_names_all_that_a_replacement_drops() {
    Target::each(|target| {
        let sandbox = target.sandbox().config(&alerting());
        let route = |team: usize| json!({"receiver": "mail", "object_matchers": [["team", "=", format!("team-{team}")]], "mute_time_intervals": ["nights"]});
        let routes: Vec<Value> = (0..9).map(route).collect();
        let policy = json!({"receiver": "mail", "group_by": ["alertname"], "group_interval": "10m", "routes": routes});
        sandbox.write("notification_policy.json", policy.to_string());
        target.apply(&sandbox);
        sandbox.write("notification_policy.json", json!({"receiver": "mail"}).to_string());
        sandbox.write(
            "alert_rules/Platform/group.json",
            json!({"interval": 60, "rules": [alert_rule(Some("up-rule"), "Up")]}).to_string(),
        );
        sandbox.write("mute_timings/nights.json", json!({"time_intervals": []}).to_string());
        let plan = sandbox.run(&["plan"]);
        plan.expect_code(2);
        let gone =
            ["/group_by: ", "/group_interval: ", "[\\\"nights\\\"]", "/rules/down-rule: ", "22:00"].map(str::to_owned);
        for gone in
            gone.into_iter().chain((0..9).flat_map(|team| [format!("/routes/{team}: "), format!("team-{team}")]))
        {
            assert!(plan.stdout.contains(&gone), "{} lacks {gone:?}\n{plan}", target.name);
        }
    });
}
