//! What each role can do: the table of docs/grafana-init.md, on every version of the stand-in.

use kit::grafana::{Options, Role, Target, alert_rule};
use kit::sandbox::Sandbox;
use serde_json::{Value, json};

fn as_role(target: &Target, account: &str, role: Role, files: &[(&str, Value)]) -> Sandbox {
    let mut sandbox = target.sandbox().env("GRAFANA_TOKEN", target.server().add_token(1, account, role)).config(files);
    sandbox.unset("GRAFANA_USERNAME");
    sandbox.unset("GRAFANA_PASSWORD");
    sandbox
}

/// Grafana answers an Editor 403, not 404, for a folder that is not there: the write decides.
#[test]
fn an_editor_makes_folders_dashboards_panels_and_rules() {
    Target::each_standin(&Options::nesting(), |target| {
        let panel = json!({"name": "L", "folderUid": "new", "model": {"type": "text", "title": "t", "options": {}}});
        let mut files = vec![
            ("dashboards/New/_folder.json", json!({"uid": "new"})),
            ("dashboards/New/Below/x.json", json!({"uid": "x", "title": "X", "panels": []})),
            ("library_panels/lp.json", panel),
        ];
        // Up to 10 the API of alerting is an administrator's.
        if target.version().0 > 10 {
            files.push(("alert_rules/New/g.json", json!({"rules": [alert_rule(Some("up"), "Up")]})));
            files.push(("mute_timings/n.json", json!({"time_intervals": [{"weekdays": ["monday"]}]})));
        }
        let sandbox = as_role(target, "editor", Role::Editor, &files);
        target.apply(&sandbox);
        target.settled(&sandbox);
    });
}

/// Rights that are missing end the run as `auth`, before the first write.
#[test]
fn what_an_editor_may_not_ends_as_auth() {
    Target::each_standin(&Options::nesting(), |target| {
        let mut kinds = vec![("teams/t.json", json!({})), ("preferences.json", json!({"theme": "dark"}))];
        if target.version().0 <= 10 {
            kinds.push(("mute_timings/n.json", json!({"time_intervals": [{"weekdays": ["monday"]}]})));
        }
        for (file, body) in kinds {
            let sandbox = as_role(target, file, Role::Editor, &[(file, body)]);
            let run = sandbox.run(&[]);
            assert_eq!(
                (run.code(), run.field("exit_reason")),
                (Some(1), json!("auth")),
                "{} {file}\n{run}",
                target.name
            );
            assert_eq!(run.count("writes"), 0, "{} {file}\n{run}", target.name);
        }
    });
}

/// An input that `inputs.json` maps needs no look at the data sources.
#[test]
fn mapped_inputs_need_no_right_to_list_data_sources() {
    Target::each_standin(&Options::nesting(), |target| {
        let dashboard = json!({"uid": "d", "title": "D", "panels": [{"type": "text", "datasource": {"uid": "${DS_P}"}}],
            "__inputs": [{"name": "DS_P", "type": "datasource", "pluginId": "prometheus"}]});
        let files = [("dashboards/d.json", dashboard), ("inputs.json", json!({"DS_P": "prom"}))];
        let sandbox = as_role(target, "editor", Role::Editor, &files);
        target.apply(&sandbox);
        target.server().reset_log();
        target.settled(&sandbox);
        let asked = target.server().log().iter().any(|entry| entry.path.starts_with("/api/datasources"));
        assert!(!asked, "{}", target.name);
    });
}
