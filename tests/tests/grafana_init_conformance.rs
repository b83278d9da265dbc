//! Every kind of grafana-init on every version of the stand-in, and with `GRAFANA_URL` on a live Grafana: applied, applied again without
//! a write, edited by hand and repaired, exported. Other files of this name go into one kind each.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use kit::grafana::{HOOK_PASSWORD, Target};
use kit::sandbox::Sandbox;
use serde_json::{Value, json};

/// Dashboards in the shapes that lie in people's repositories: rows of old, rows within panels, exports, envelopes, resources, numbers
/// with a fraction, nulls and leftovers of other servers.
fn found_in_repositories(sandbox: &Sandbox, count: usize) {
    let panel = |id: usize| {
        json!({"id": id, "type": "timeseries", "title": "Requests", "gridPos": {"h": 8, "w": 12, "x": 0, "y": id}, "interval": null,
            "datasource": {"type": "prometheus", "uid": "prom"}, "fieldConfig": {"defaults": {"min": 0.0, "max": 1.5}, "overrides": []},
            "targets": [{"refId": "A", "expr": "rate(http_requests_total{job=~\"$job\"}[5m])", "step": 10, "hide": false}]})
    };
    for n in 0..count {
        let mut model = json!({"id": n % 7, "title": format!("Team {n}"), "version": 40 - n % 30, "iteration": 1_579_000_000 + n,
            "schemaVersion": 16 + n % 24, "editable": true, "gnetId": null, "graphTooltip": 0, "style": "dark", "refresh": "5s",
            "time": {"from": "now-1h", "to": "now"}, "timepicker": {"refresh_intervals": ["5s", "1m"]}, "timezone": "",
            "annotations": {"list": [{"builtIn": 1, "datasource": "-- Grafana --", "enable": true, "hide": true,
                "iconColor": "rgba(0, 211, 255, 1)", "name": "Annotations & Alerts", "type": "dashboard"}]},
            "templating": {"list": [{"name": "job", "type": "query", "datasource": {"type": "prometheus", "uid": "prom"},
                "query": "label_values(job)", "current": {}, "options": [], "regex": "", "includeAll": true, "sort": 1}]},
            "links": [], "tags": ["team", format!("n{}", n % 3)]});
        let body = match n % 5 {
            0 => {
                model["rows"] =
                    json!([{"title": "Row", "collapse": false, "height": 250, "panels": [panel(1), panel(2)]}]);
                model
            }
            1 => {
                model["panels"] = json!([{"id": 9, "type": "row", "title": "Row", "collapsed": true, "gridPos": {"h": 1, "w": 24, "x": 0, "y": 0},
                    "panels": [panel(1), {"id": 3, "gridPos": {"h": 3, "w": 3, "x": 0, "y": 3}, "title": "Lib", "libraryPanel": {"uid": "lp", "name": "Lib"}}]}]);
                json!({"dashboard": model, "overwrite": true, "folderId": 0, "message": "from a script"})
            }
            2 => {
                model["__inputs"] = json!([{"name": "DS_PROMETHEUS", "label": "Prometheus", "type": "datasource", "pluginId": "prometheus"}]);
                model["__requires"] = json!([{"type": "grafana", "id": "grafana", "version": "9.5.0"}]);
                model["__elements"] = json!({});
                model["panels"] = json!([panel(1)]);
                model["panels"][0]["datasource"] = json!({"type": "prometheus", "uid": "${DS_PROMETHEUS}"});
                model
            }
            3 => {
                model["panels"] = json!([panel(1), panel(2)]);
                json!({"apiVersion": "dashboard.grafana.app/v1beta1", "kind": "Dashboard", "metadata": {"name": format!("resource-{n}")}, "spec": model})
            }
            _ => {
                model["uid"] = json!(format!("own-{n}"));
                model["panels"] = json!([panel(1)]);
                model["panels"][0]["datasource"] = json!("Prometheus");
                model
            }
        };
        sandbox.write(&format!("dashboards/Teams/Team {}/d {n}.json", n % 12), body.to_string());
    }
}

/// What changes with every write: versions of dashboards, folders, library panels and data sources.
fn versions(target: &Target) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for row in target.read("/api/search?limit=5000").as_array().expect("a list") {
        let uid = row["uid"].as_str().expect("a uid");
        let (path, pointer) = match row["type"].as_str() {
            Some("dash-db") => (format!("/api/dashboards/uid/{uid}"), "/meta/version"),
            _ => (format!("/api/folders/{uid}"), "/version"),
        };
        all.insert(path.clone(), target.read(&path).pointer(pointer).cloned().expect("it has a version"));
    }
    for path in ["/api/library-elements/lp", "/api/datasources/uid/prom", "/api/v1/provisioning/alert-rules"] {
        all.insert(path.to_owned(), target.read(path));
    }
    all
}

/// Scenario 1: a second run over every kind and a few hundred dashboards sends nothing but GET, and every version stays.
#[test]
fn every_kind_is_applied_and_then_left_alone() {
    Target::each(|target| {
        let sandbox = target.with_every_kind();
        found_in_repositories(&sandbox, 200);
        let plan = sandbox.run(&["plan"]);
        plan.expect_code(2);
        assert_eq!(plan.count("writes"), 0, "{plan}");
        let first = target.apply(&sandbox);
        let token = sandbox.path("token");
        assert!(fs::read_to_string(&token).expect("the token was kept").starts_with("glsa_"), "{}", target.name);
        assert_eq!(fs::metadata(&token).expect("it is there").permissions().mode() & 0o777, 0o600);
        let before = versions(target);
        let second = target.settled(&sandbox);
        let all = ["created", "updated", "unchanged"].map(|action| first.count(action)).iter().sum::<u64>();
        assert_eq!((second.count("unchanged"), all > 220), (all, true), "{}\n{second}", target.name);
        assert_eq!(versions(target), before, "{}", target.name);
        sandbox.run(&["plan"]).expect_code(0);
    });
}

/// Scenario 9: `plan` shows every edit with its path and ends with 2; `apply` repairs what is declared and leaves the rest. The policy's
/// file is the truth, and `plan` shows the route that it drops.
#[test]
fn edits_by_hand_are_shown_by_plan_and_repaired_by_apply() {
    Target::each(|target| {
        let sandbox = target.with_every_kind();
        target.apply(&sandbox);
        target.write("POST", "/api/folders", &json!({"uid": "theirs", "title": "Theirs"}));
        let theirs = json!({"dashboard": {"uid": "theirs-too", "title": "Theirs"}, "folderUid": "theirs"});
        target.write("POST", "/api/dashboards/db", &theirs);
        target.edit_dashboard("home", |model| model["panels"][0]["gridPos"]["h"] = json!(3));
        let mut policy = target.read("/api/v1/provisioning/policies");
        let routes = policy["routes"].as_array_mut().expect("the file's route");
        routes.push(json!({"receiver": "mail", "object_matchers": [["foreign", "=", "yes"]]}));
        target.write("PUT", "/api/v1/provisioning/policies", &policy);
        let mut hook = json!({"uid": "hook", "name": "hook", "type": "webhook", "settings": {"url": "http://h/x", "username": "u"}});
        hook["settings"]["password"] = json!("changed-by-hand");
        target.write("PUT", "/api/v1/provisioning/contact-points/hook", &hook);
        let acl = json!({"items": [{"role": "Editor", "permission": 4}]});
        target.write("POST", "/api/folders/platform/permissions", &acl);
        target.write(
            "PUT",
            "/api/org/preferences",
            &json!({"homeDashboardUID": "home", "theme": "light", "timezone": "utc"}),
        );
        let plan = sandbox.run(&["plan"]);
        plan.expect_code(2);
        for part in ["/panels/0/gridPos/h", "foreign", "/permissions/role:Editor", "/theme", "/settings/password"] {
            assert!(plan.stdout.contains(part), "{} {part}\n{plan}", target.name);
        }
        assert!(!plan.to_string().contains("changed-by-hand"), "{plan}");
        assert_eq!(plan.count("writes"), 0, "{plan}");
        let run = target.apply(&sandbox);
        assert_eq!((run.count("updated"), run.count("writes")), (5, 5), "{}\n{run}", target.name);
        assert_eq!(target.read("/api/dashboards/uid/theirs-too")["meta"]["folderUid"], json!("theirs"));
        target.settled(&sandbox);
    });
}

/// Every file of a folder by its path.
fn tree(folder: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).expect("the export can be read") {
            let path = entry.expect("the export can be read").path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("it is below").display().to_string();
                all.insert(name, fs::read_to_string(&path).expect("the export can be read"));
            }
        }
    }
    all
}

/// What an export holds of the organization of the case; a live server has others.
fn own(export: &Path) -> BTreeMap<String, String> {
    if export.join("orgs").exists() {
        fs::remove_dir_all(export.join("orgs")).expect("the export is ours");
    }
    tree(export)
}

#[test]
fn what_is_exported_is_found_unchanged_and_makes_another_server_the_same() {
    Target::each(|target| {
        let from = target.with_every_kind();
        found_in_repositories(&from, 10);
        target.apply(&from);
        let out = from.path("export");
        let export = from.run(&["export", &out.display().to_string()]);
        export.expect_code(0);
        assert!(export.stdout.contains("CONTACT_POINTS_HOOK_PASSWORD"), "{export}");
        let files = own(&out);
        let parsed = |file: &str| -> Value {
            let text = files.get(file).unwrap_or_else(|| panic!("{} lacks {file}: {:?}", target.name, files.keys()));
            serde_json::from_str(text).expect("an export is JSON")
        };
        assert_eq!(parsed("teams/ops.json")["members"].as_array().map(Vec::len), Some(1), "{}", target.name);
        let permissions = json!([{"role": "Viewer", "permission": "View"}, {"team": "ops", "permission": "Edit"}]);
        assert_eq!(parsed("dashboards/Platform/_folder.json")["permissions"], permissions, "{}", target.name);
        assert_eq!(parsed("service_accounts/ci.json"), json!({"role": "Editor", "isDisabled": false}));
        let with = |sandbox: Sandbox| sandbox.config_from(&out).env("CONTACT_POINTS_HOOK_PASSWORD", HOOK_PASSWORD);
        let run = target.settled(&with(target.sandbox()));
        assert_eq!(run.count("unchanged"), u64::try_from(files.len()).expect("a few"), "{}\n{run}", target.name);
        let other = target.another();
        let fresh = with(other.sandbox());
        other.apply(&fresh);
        other.settled(&fresh);
        let again = from.path("again");
        fresh.run(&["export", &again.display().to_string()]).expect_code(0);
        assert_eq!(own(&again), files, "{}", target.name);
    });
}
