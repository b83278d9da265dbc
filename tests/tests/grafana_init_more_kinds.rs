//! Playlists, correlations and public dashboards; folders of Git Sync and bare specs of `v2`. On every version of the stand-in, and with
//! `GRAFANA_URL` on a live Grafana.

use std::fs;

use kit::grafana::{Options, Profile, Target};
use kit::many::Many;
use serde_json::{Value, json};

fn files() -> Vec<(&'static str, Value)> {
    let loki = json!({"type": "loki", "url": "http://l"});
    vec![
        ("datasources/a.json", loki.clone()),
        ("datasources/b.json", loki),
        ("dashboards/d1.json", json!({"uid": "d1", "title": "D1", "panels": []})),
        (
            "playlists/wall.json",
            json!({"name": "Wall", "interval": "5m", "items": [{"type": "dashboard_by_uid", "value": "d1"}, {"type": "dashboard_by_tag", "value": "wall"}]}),
        ),
        (
            "correlations/to-b.json",
            json!({"sourceUID": "a", "targetUID": "b", "label": "to b", "config": {"type": "query", "field": "message",
                "target": {"expr": "{x=\"y\"}"}, "transformations": [{"type": "regex", "expression": "(.*)", "mapValue": "v"}]}}),
        ),
        ("public_dashboards/d1.json", json!({"isEnabled": true, "annotationsEnabled": true, "share": "public"})),
    ]
}

#[test]
fn they_are_made_and_left_alone_and_repaired() {
    Target::each(|target| {
        let sandbox = target.sandbox().config(&files());
        let run = target.apply(&sandbox);
        assert_eq!(run.count("created"), 6, "{}\n{run}", target.name);
        target.settled(&sandbox);
        let mut changed = files();
        changed[3].1["interval"] = json!("10m");
        changed[4].1["description"] = json!("why");
        changed[5].1["isEnabled"] = json!(false);
        for (file, body) in &changed[3..] {
            sandbox.write(file, body.to_string());
        }
        let run = target.apply(&sandbox);
        assert_eq!((run.count("updated"), run.count("writes")), (3, 3), "{}\n{run}", target.name);
        target.settled(&sandbox);
        assert_eq!(target.read("/api/playlists/wall")["interval"], json!("10m"), "{}", target.name);
        assert_eq!(
            target.read("/api/dashboards/uid/d1/public-dashboards")["isEnabled"],
            json!(false),
            "{}",
            target.name
        );
        let out = sandbox.path("export");
        sandbox.run(&["export", &out.display().to_string()]).expect_code(0);
        target.settled(&target.sandbox().config_from(&out));
    });
}

/// Their list comes in pages of at most a thousand, and the server takes a second one of the same label.
#[test]
fn more_correlations_than_a_page_are_made_once() {
    let target = Target::standin(Profile::V12, Options::default());
    let sandbox = target.sandbox();
    Many::of("correlations").write(&sandbox, 1100);
    assert_eq!(target.apply(&sandbox).count("created"), 1101);
    target.settled(&sandbox);
}

/// Their list has no pages, and ends at a thousand unless more are asked for.
#[test]
fn an_export_has_more_playlists_than_a_list_shows_by_itself() {
    let target = Target::standin(Profile::V10, Options::default());
    let sandbox = target.sandbox();
    Many::of("playlists").write(&sandbox, 1100);
    target.apply(&sandbox);
    let out = sandbox.path("export");
    sandbox.run(&["export", &out.display().to_string()]).expect_code(0);
    let files = fs::read_dir(out.join("playlists")).expect("playlists are exported");
    assert_eq!(files.count(), 1100);
}

/// Git Sync keeps folders as resources under the very name that we use; a spec of `v2` may stand alone.
#[test]
fn folders_of_git_sync_and_bare_specs() {
    Target::each(|target| {
        let folder = json!({"apiVersion": "folder.grafana.app/v1beta1", "kind": "Folder", "metadata": {"name": "synced"},
            "spec": {"title": "Synced"}});
        let mut files = vec![("dashboards/dir/_folder.json", folder)];
        if target.version().0 >= 12 {
            let layout = json!({"kind": "GridLayout", "spec": {"items": []}});
            files.push(("dashboards/dir/v2.json", json!({"title": "V2", "elements": {}, "layout": layout})));
        }
        let sandbox = target.sandbox().config(&files);
        target.apply(&sandbox);
        assert_eq!(target.read("/api/folders/synced")["title"], json!("Synced"), "{}", target.name);
        target.settled(&sandbox);
    });
}

/// A dashboard may have entries of its own, beside the model in any form; they are replaced as a whole.
#[test]
fn entries_of_one_dashboard() {
    Target::each(|target| {
        let path = "/api/dashboards/uid/d1/permissions";
        let own = || -> Vec<(Value, Value)> {
            let rows = target.read(path);
            let own = rows.as_array().expect("a list").iter().filter(|row| row["inherited"] != true);
            own.map(|row| (row.get("role").or(row.get("team")).cloned().unwrap_or_default(), row["permission"].clone()))
                .collect()
        };
        let file = |permissions: Value| json!({"dashboard": {"uid": "d1", "title": "D1", "panels": []}, "_permissions": permissions});
        let files = |permissions| [("teams/ops.json", json!({})), ("dashboards/F/d1.json", file(permissions))];
        let sandbox = target.sandbox().config(&files(json!([{"role": "Viewer", "permission": "View"}])));
        target.apply(&sandbox);
        assert_eq!(own(), [(json!("Viewer"), json!(1))], "{}", target.name);
        target.settled(&sandbox);
        // Its entries alone: the model is not written again.
        let version = target.read("/api/dashboards/uid/d1")["dashboard"]["version"].clone();
        let sandbox = sandbox.config(&files(json!([{"team": "ops", "permission": "Edit"}])));
        let run = target.apply(&sandbox);
        assert_eq!((run.count("updated"), run.count("writes")), (1, 1), "{}\n{run}", target.name);
        assert_eq!(target.read("/api/dashboards/uid/d1")["dashboard"]["version"], version, "{}", target.name);
        target.settled(&sandbox);
        target.write("POST", path, &json!({"items": []}));
        let plan = sandbox.run(&["plan", "--log-format", "text"]);
        plan.expect_code(2);
        assert!(plan.stdout.contains("/_permissions/team:ops: (absent) -> \"Edit\""), "{}\n{plan}", target.name);
        target.apply(&sandbox);
        target.settled(&sandbox);
    });
}
