//! Dashboards, folders and library panels of grafana-init on every version of the stand-in, and with `GRAFANA_URL` on a live Grafana.

use std::fs;

use kit::grafana::Target;
use serde_json::{Value, json};

fn dashboard(uid: &str, title: &str) -> Value {
    json!({"uid": uid, "title": title, "panels": []})
}

fn folder_of(target: &Target, uid: &str) -> Value {
    target.read(&format!("/api/dashboards/uid/{uid}"))["meta"]["folderUid"].clone()
}

/// Scenario 5: files with one numeric id, and with that of another dashboard of the server, land under their own uids and folders.
#[test]
fn numeric_ids_of_elsewhere_lead_nowhere() {
    Target::each(|target| {
        let foreign = json!({"dashboard": {"uid": "foreign", "title": "Foreign", "tags": ["theirs"]}, "folderUid": ""});
        target.write("POST", "/api/dashboards/db", &foreign);
        let before = target.read("/api/dashboards/uid/foreign");
        let with_id = |uid: &str, id: &Value| {
            let mut model = dashboard(uid, &format!("Title of {uid}"));
            model["id"] = id.clone();
            model
        };
        let taken = &before["dashboard"]["id"];
        let sandbox = target.sandbox().config(&[
            ("dashboards/A/one.json", with_id("one", &json!(77))),
            ("dashboards/A/two.json", with_id("two", &json!(77))),
            ("dashboards/B/three.json", with_id("three", taken)),
            ("dashboards/B/four.json", json!({"dashboard": with_id("four", taken), "overwrite": true})),
            ("dashboards/B/no uid.json", json!({"title": "No uid", "id": taken})),
        ]);
        let run = target.apply(&sandbox);
        assert_eq!((run.count("created"), run.count("updated")), (7, 0), "{}\n{run}", target.name);
        assert_eq!(target.read("/api/dashboards/uid/foreign"), before, "{}", target.name);
        assert_eq!(folder_of(target, "one"), folder_of(target, "two"));
        assert_eq!(folder_of(target, "three"), folder_of(target, "four"));
        assert_ne!(folder_of(target, "one"), folder_of(target, "three"));
        let titles: Vec<Value> = ["one", "two", "three", "four"]
            .iter()
            .map(|uid| target.read(&format!("/api/dashboards/uid/{uid}"))["dashboard"]["title"].clone())
            .collect();
        assert_eq!(json!(titles), json!(["Title of one", "Title of two", "Title of three", "Title of four"]));
        target.settled(&sandbox);
    });
}

/// Scenario 6: a tree is moved and renamed in place. Its dashboards keep number, history and permissions; a dashboard moved to the root
/// and between folders is the same one.
#[test]
fn trees_move_and_are_renamed_in_place() {
    Target::each(|target| {
        let sandbox = target.sandbox().config(&[
            ("dashboards/A/_folder.json", json!({"uid": "a"})),
            ("dashboards/B/_folder.json", json!({"uid": "b"})),
            (
                "dashboards/A/Sub/_folder.json",
                json!({"uid": "sub", "permissions": [{"role": "Viewer", "permission": "Edit"}]}),
            ),
            ("dashboards/A/Sub/Deep/_folder.json", json!({"uid": "deep"})),
            ("dashboards/A/Sub/Deep/d.json", dashboard("d", "D")),
            ("dashboards/A/wanders.json", dashboard("wanders", "Wanders")),
        ]);
        target.apply(&sandbox);
        target.edit_dashboard("d", |model| model["tags"] = json!(["second"]));
        target.apply(&sandbox);
        let acl = json!({"items": [{"role": "Editor", "permission": 4}]});
        target.write("POST", "/api/dashboards/uid/d/permissions", &acl);
        let history = |target: &Target| {
            let versions = target.read("/api/dashboards/uid/d/versions");
            let rows = versions.get("versions").unwrap_or(&versions);
            (target.read("/api/dashboards/uid/d")["dashboard"]["id"].clone(), rows.as_array().map(Vec::len))
        };
        let own = |target: &Target, path: &str| -> Vec<(Value, Value)> {
            let rows = target.read(path);
            let own = rows.as_array().expect("a list").iter().filter(|row| row["inherited"] != json!(true));
            own.map(|row| (row["role"].clone(), row["permission"].clone())).collect()
        };
        let (before, rights) = (history(target), own(target, "/api/dashboards/uid/d/permissions"));
        fs::create_dir_all(sandbox.config_dir().join("dashboards/B")).expect("the sandbox can be written");
        let place = |path: &str| sandbox.config_dir().join("dashboards").join(path);
        fs::rename(place("A/Sub"), place("B/New")).expect("the sandbox can be written");
        fs::rename(place("A/wanders.json"), place("wanders.json")).expect("the sandbox can be written");
        let moved =
            json!({"uid": "sub", "title": "Renamed", "permissions": [{"role": "Viewer", "permission": "Edit"}]});
        sandbox.write("dashboards/B/New/_folder.json", moved.to_string());
        let run = target.apply(&sandbox);
        assert_eq!((run.count("created"), run.count("updated")), (0, 2), "{}\n{run}", target.name);
        let sub = target.read("/api/folders/sub");
        assert_eq!((&sub["title"], &sub["parentUid"]), (&json!("Renamed"), &json!("b")), "{}", target.name);
        assert_eq!(target.read("/api/folders/deep")["parentUid"], json!("sub"), "{}", target.name);
        assert_eq!(
            (folder_of(target, "d"), folder_of(target, "wanders")),
            (json!("deep"), json!("")),
            "{}",
            target.name
        );
        assert_eq!(
            (history(target), own(target, "/api/dashboards/uid/d/permissions")),
            (before, rights),
            "{}",
            target.name
        );
        assert_eq!(own(target, "/api/folders/sub/permissions"), [(json!("Viewer"), json!(2))], "{}", target.name);
        target.settled(&sandbox);
        fs::rename(place("wanders.json"), place("B/wanders.json")).expect("the sandbox can be written");
        assert_eq!(target.apply(&sandbox).count("writes"), 1, "{}", target.name);
        assert_eq!(folder_of(target, "wanders"), json!("b"), "{}", target.name);
        target.settled(&sandbox);
    });
}

/// Left out, the folder of a dashboard (every version) and of a library panel (10 to 12) would become the root with the next change.
#[test]
fn what_is_changed_stays_in_its_folder() {
    Target::each(|target| {
        let library = |text: &str| json!({"uid": "lp", "name": "Lib", "folderUid": "f", "model": {"type": "text", "title": "Lib", "options": {"content": text}}});
        let sandbox = target.sandbox().config(&[
            ("dashboards/F/_folder.json", json!({"uid": "f"})),
            ("dashboards/F/d.json", dashboard("d", "D")),
            ("library_panels/lp.json", library("one")),
        ]);
        target.apply(&sandbox);
        sandbox.write("dashboards/F/d.json", dashboard("d", "Another title").to_string());
        sandbox.write("library_panels/lp.json", library("two").to_string());
        let run = target.apply(&sandbox);
        assert_eq!((run.count("updated"), run.count("writes")), (2, 2), "{}\n{run}", target.name);
        let panel = target.read("/api/library-elements/lp")["result"].clone();
        assert_eq!((folder_of(target, "d"), &panel["folderUid"]), (json!("f"), &json!("f")), "{}", target.name);
        assert_eq!(panel["model"]["options"]["content"], json!("two"), "{}", target.name);
        target.settled(&sandbox);
    });
}

#[test]
fn a_dashboard_of_a_megabyte_is_no_problem() {
    Target::each(|target| {
        let panels: Vec<Value> = (1..=1000)
            .map(|id| {
                let expr = format!("sum by (job) (rate(requests_total{{id=\"{id}\"}}[5m])) {}", "or vector(0) ".repeat(70));
                json!({"id": id, "type": "timeseries", "title": "P", "gridPos": {"h": 8, "w": 12, "x": 0, "y": id}, "targets": [{"refId": "A", "expr": expr}]})
            })
            .collect();
        let model = json!({"uid": "large", "title": "Large", "panels": panels});
        assert!(model.to_string().len() > 1_000_000, "{} bytes", model.to_string().len());
        let sandbox = target.sandbox().config(&[("dashboards/Big/large.json", model)]);
        let run = target.apply(&sandbox);
        assert_eq!(run.count("writes"), 2, "{}\n{run}", target.name);
        target.settled(&sandbox);
        target.edit_dashboard("large", |model| model["panels"][999]["title"] = json!("by hand"));
        let plan = sandbox.run(&["plan"]);
        plan.expect_code(2);
        assert!(plan.stdout.contains("/panels/999/title"), "{}\n{plan}", target.name);
        assert_eq!(target.apply(&sandbox).count("writes"), 1, "{}", target.name);
        assert!(run.peak_rss < 48_000_000, "{} bytes", run.peak_rss);
    });
}

/// The folders of one title under different parents are different ones; one that is there already is adopted, none is made twice.
#[test]
fn folders_are_adopted_by_their_title_where_they_stand() {
    Target::each(|target| {
        target.write("POST", "/api/folders", &json!({"uid": "old", "title": "Team"}));
        let sandbox = target.sandbox().config(&[
            ("dashboards/Team/d.json", dashboard("d", "D")),
            ("dashboards/Other/Team/e.json", dashboard("e", "E")),
        ]);
        let run = target.apply(&sandbox);
        assert_eq!(run.count("created"), 4, "two folders and two dashboards on {}\n{run}", target.name);
        assert_eq!(folder_of(target, "d"), json!("old"), "{}", target.name);
        assert_ne!(folder_of(target, "e"), json!("old"), "{}", target.name);
        target.settled(&sandbox);
    });
}
