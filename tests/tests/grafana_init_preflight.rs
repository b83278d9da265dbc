//! What grafana-init finds out before its first write: in the files alone, and about a server that would refuse or mistake them.

use kit::grafana::{Effect, Fault, Options, Profile, Target, alert_rule};
use kit::sandbox::Sandbox;
use serde_json::json;

/// Up to 11.1 a title is unique in its folder: a clash among files and with what is on the server is found before the first write. Later
/// versions take both.
#[test]
fn a_title_that_would_be_refused_is_found_before_the_first_write() {
    Target::each_standin(&Options::nesting(), |target| {
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
        target.refused(
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
    Target::each_standin(&Options::nesting(), |target| {
        let group = |uid: &str, title: &str| json!({"rules": [alert_rule(Some(uid), title)]});
        target.write("POST", "/api/folders", &json!({"uid": "f", "title": "F"}));
        let theirs = json!({"title": "theirs", "folderUid": "f", "interval": 60, "rules": [alert_rule(None, "Taken")]});
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
        target.refused(
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
    Target::each_standin(&Options::nesting(), |target| {
        let rule = alert_rule(Some("r"), "R");
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
        target.refused(&sandbox.run(&[]), &parts);
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
        let sandbox = target.sandbox().config(&[
            ("dashboards/A/one.json", json!({"uid": "one", "title": "One", "panels": []})),
            ("dashboards/A/B/two.json", json!({"uid": "two", "title": "Two", "panels": []})),
        ]);
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

#[test]
fn bad_files_are_named_together_before_any_connection() {
    let run = Sandbox::new("grafana-init")
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
        "is also that of datasources/a.json",
        "an organization has one",
        "bad uid!",
        "41 characters",
        "6 folders deep",
        "is also that of dashboards/a/one.json",
        "[REDACTED]",
        "/intervall",
        "must be a duration",
    ] {
        run.expect_stderr(part);
    }
}

/// What there may be once is told before any connection, for every kind, with both places.
#[test]
fn what_stands_twice_is_told_for_every_kind() {
    let rule = |uid: &str, title: &str| alert_rule(Some(uid), title);
    let loki = |name: &str| json!({"type": "loki", "name": name, "url": "http://l"});
    let panel = json!({"uid": "same", "name": "P", "model": {"type": "text"}});
    let hook =
        |uid: &str, name: &str| json!({"uid": uid, "name": name, "type": "webhook", "settings": {"url": "http://h"}});
    let dashboard = json!({"uid": "same", "title": "D"});
    let cases = [
        ("teams", json!({"name": "same"}), json!({"name": "same"})),
        ("service_accounts", json!({"name": "same", "role": "Viewer"}), json!({"name": "same", "role": "Viewer"})),
        ("datasources", loki("same"), loki("same")),
        ("library_panels", panel.clone(), panel),
        ("contact_points", hook("a", "same"), hook("b", "same")),
        ("contact_points", hook("same", "a"), hook("same", "b")),
        (
            "mute_timings",
            json!({"name": "same", "time_intervals": [{}]}),
            json!({"name": "same", "time_intervals": [{}]}),
        ),
        ("message_templates", json!({"name": "same", "template": "x"}), json!({"name": "same", "template": "x"})),
        ("dashboards", dashboard.clone(), dashboard),
        ("alert_rules/f", json!({"rules": [rule("same", "A")]}), json!({"rules": [rule("same", "B")]})),
    ];
    for (kind, first, second) in cases {
        let (one, two) = (format!("{kind}/one.json"), format!("{kind}/two.json"));
        let sandbox = Sandbox::new("grafana-init").config(&[(&one, first), (&two, second)]);
        let run = sandbox.run(&["validate"]);
        run.expect_code(1).expect_stderr("is also that of");
        assert!(run.stderr.contains(&one) && run.stderr.contains(&two), "{kind}\n{run}");
    }
    let twice = json!({"rules": [rule("same", "A"), rule("same", "B")]});
    let sandbox = Sandbox::new("grafana-init").config(&[("alert_rules/f/g.json", twice)]);
    sandbox.run(&["validate"]).expect_code(1).expect_stderr("is there twice");
}

/// What the server only calls "bad request data", or refuses once others were written, is told before any connection.
#[test]
fn bodies_that_the_server_refuses_are_told_in_words() {
    for (file, body, says) in [
        ("mute_timings/t.json", json!({"time_intervals": [{"weekdays": ["nope"]}]}), "/time_intervals/0/weekdays/0"),
        ("mute_timings/t.json", json!({"time_intervals": [{"location": "Nowhere/X"}]}), "is no time zone"),
        ("message_templates/t.json", json!({"template": "{{ define \"a\" }}{{ .X "}), "is not closed by }}"),
        ("message_templates/t.json", json!({"template": "{{- define \"a\" }}x{{ end }}"}), "write {{ define"),
        ("notification_policy.json", json!({"receiver": "r", "group_wait": "soon"}), "/group_wait"),
        (
            "notification_policy.json",
            json!({"receiver": "r", "routes": [{"object_matchers": [["a", "=~", "("]]}]}),
            "a ( is not closed",
        ),
        ("contact_points/c.json", json!({"type": "slakc", "settings": {}}), "did you mean slack?"),
        ("contact_points/c.json", json!({"type": "webhook", "settings": {}}), "webhook needs the setting url"),
        ("preferences.json", json!({"theme": "darc"}), "did you mean dark?"),
        ("preferences.json", json!({"timezone": "Europe/Berln"}), "did you mean Europe/Berlin?"),
    ] {
        let run = Sandbox::new("grafana-init").config(&[(file, body)]).run(&["validate"]);
        run.expect_code(1).expect_stderr(says);
    }
}

/// The same organization by its name and at the top would be two masters of one thing.
#[test]
fn an_organization_has_one_place() {
    Target::each_standin(&Options::nesting(), |target| {
        let files = [("teams/a.json", json!({})), ("orgs/Main Org./teams/a.json", json!({}))];
        let run = target.sandbox().config(&files).run(&[]);
        target.refused(&run, &["it is the organization that the files at the top go into"]);
    });
}
