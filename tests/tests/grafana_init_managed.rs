//! `GRAFANA_MANAGED=true`: dashboards and folders say who owns them, on Grafana 12 and later. By Grafana's source, not by a recording; the
//! stand-in's rules are in its `manager`.

use std::collections::BTreeMap;

use kit::grafana::{Effect, Fault, Options, Profile, Role, Target};
use kit::sandbox::Sandbox;
use serde_json::{Value, json};

const DASHBOARDS: &str = "/apis/dashboard.grafana.app/v0alpha1/namespaces/default/dashboards";
const FOLDERS: &str = "/apis/folder.grafana.app/v1beta1/namespaces/default/folders";
const UIDS: [&str; 6] = ["a", "b", "classic", "nested", "newer", "root"];

/// A folder in another, a classic dashboard in each and in the root, and one of the new schema.
fn files() -> Vec<(&'static str, Value)> {
    let classic = |uid: &str| json!({"uid": uid, "title": uid, "schemaVersion": 36, "panels": []});
    let spec = json!({"title": "Newer", "elements": {}});
    let newer = json!({"apiVersion": "dashboard.grafana.app/v2beta1", "kind": "Dashboard", "metadata": {"name": "newer"}, "spec": spec});
    vec![
        ("dashboards/A/_folder.json", json!({"uid": "a", "permissions": [{"role": "Viewer", "permission": "View"}]})),
        ("dashboards/A/B/_folder.json", json!({"uid": "b"})),
        ("dashboards/A/classic.json", classic("classic")),
        ("dashboards/A/newer.json", newer),
        ("dashboards/A/B/nested.json", classic("nested")),
        ("dashboards/root.json", classic("root")),
    ]
}

/// Runs a case on the stand-ins that have resources.
fn each(case: impl Fn(&Target)) {
    Target::each_standin(&Options::nesting(), |target| {
        if target.version().0 >= 12 {
            case(target);
        }
    });
}

fn managed(target: &Target) -> Sandbox {
    target.sandbox().env("GRAFANA_MANAGED", "true").config(&files())
}

fn resource(target: &Target, uid: &str) -> Value {
    let list = if ["a", "b"].contains(&uid) { FOLDERS } else { DASHBOARDS };
    target.read(&format!("{list}/{uid}"))
}

/// Who manages each, as kind and identity.
fn managers(target: &Target) -> BTreeMap<&'static str, String> {
    let manager = |uid: &str| {
        let annotations = &resource(target, uid)["metadata"]["annotations"];
        let text = |name: &str| annotations[name].as_str().unwrap_or("-").to_owned();
        format!("{} {}", text("grafana.app/managedBy"), text("grafana.app/managerId"))
    };
    UIDS.into_iter().map(|uid| (uid, manager(uid))).collect()
}

#[track_caller]
fn all_are(target: &Target, manager: &str) {
    assert_eq!(managers(target), UIDS.into_iter().map(|uid| (uid, manager.to_owned())).collect(), "{}", target.name);
}

const OURS: &str = "kubectl grafana-init";
const NOBODY: &str = "- -";

/// Made and named in the first run with the permissions that they have without a name; the second run reads each once and writes nothing.
#[test]
fn what_is_made_says_who_owns_it() {
    each(|target| {
        let sandbox = managed(target);
        let run = target.apply(&sandbox);
        assert_eq!(run.count("created"), 6, "{}\n{run}", target.name);
        all_are(target, OURS);
        assert_eq!(resource(target, "classic")["spec"]["schemaVersion"], 36, "{}", target.name);
        let plain = target.another();
        plain.apply(&plain.sandbox().config(&files()));
        for uid in UIDS {
            let kind = if ["a", "b"].contains(&uid) { "folders" } else { "dashboards/uid" };
            let entries = |target: &Target| {
                let rows = target.read(&format!("/api/{kind}/{uid}/permissions"));
                let rows = rows.as_array().into_iter().flatten();
                rows.map(|row| format!("{} {} {}", row["role"], row["userLogin"], row["permission"]))
                    .collect::<Vec<_>>()
            };
            assert_eq!(entries(target), entries(&plain), "{} {uid}", target.name);
        }
        target.settled(&sandbox);
        for uid in UIDS {
            let asked = target.server().log().into_iter().filter(|entry| entry.path.ends_with(&format!("/{uid}")));
            let asked: Vec<String> = asked.map(|entry| entry.path).collect();
            assert!(matches!(asked.as_slice(), [one] if one.starts_with("/apis/")), "{} {uid} {asked:?}", target.name);
        }
    });
}

/// What somebody saves through the old API lands and takes the name away: one update puts both right.
#[test]
fn edits_are_put_right_under_the_same_name() {
    each(|target| {
        let sandbox = managed(target);
        target.apply(&sandbox);
        target.edit_dashboard("classic", |model| model["title"] = json!("by hand"));
        target.write("PUT", "/api/folders/b", &json!({"title": "by hand", "overwrite": true}));
        target.write("POST", "/api/folders/b/move", &json!({"parentUid": ""}));
        let plan = sandbox.run(&["plan", "--log-format", "text"]);
        plan.expect_code(2);
        for line in
            [r#"/managedBy: (absent) -> "kubectl (grafana-init)""#, r#""by hand" -> "classic""#, r#""by hand" -> "B""#]
        {
            assert!(plan.stdout.contains(line), "{} lacks {line}\n{plan}", target.name);
        }
        target.server().reset_log();
        let run = target.apply(&sandbox);
        assert_eq!((run.count("updated"), run.count("writes")), (2, 2), "{}\n{run}", target.name);
        assert!(
            target.server().writes().iter().all(|write| write.path.starts_with("/apis/")),
            "{}\n{run}",
            target.name
        );
        all_are(target, OURS);
        assert_eq!(resource(target, "b")["metadata"]["annotations"]["grafana.app/folder"], "a", "{}", target.name);
        target.settled(&sandbox);
    });
}

/// Files move and rename what is managed; what others keep beside it stays.
#[test]
fn managed_ones_are_moved_and_renamed() {
    each(|target| {
        let sandbox = managed(target);
        target.apply(&sandbox);
        let mut folder = resource(target, "b");
        folder["spec"]["description"] = json!("theirs");
        folder["metadata"]["labels"]["team"] = json!("ops");
        folder["metadata"]["annotations"]["example.com/note"] = json!("theirs");
        target.write("PUT", &format!("{FOLDERS}/b"), &folder);
        target.settled(&sandbox);
        for (path, body) in files() {
            if path.starts_with("dashboards/A/B/") {
                sandbox.remove(path);
                sandbox.write(&path.replace("A/B/", "C/"), body.to_string());
            }
        }
        std::fs::remove_dir(sandbox.config_dir().join("dashboards/A/B")).expect("its files were moved");
        let run = target.apply(&sandbox);
        assert_eq!((run.count("created"), run.count("writes")), (0, 1), "{}\n{run}", target.name);
        all_are(target, OURS);
        let moved = resource(target, "b");
        assert_eq!(moved["spec"], json!({"title": "C", "description": "theirs"}), "{}", target.name);
        assert_eq!(moved["metadata"]["labels"]["team"], "ops", "{}", target.name);
        let annotations = &moved["metadata"]["annotations"];
        assert_eq!(annotations["example.com/note"], "theirs", "{}", target.name);
        assert_eq!(annotations["grafana.app/folder"], Value::Null, "{}", target.name);
        // A dashboard goes to another folder.
        sandbox.remove("dashboards/root.json");
        let root =
            files().into_iter().find(|(path, _)| *path == "dashboards/root.json").expect("it is among the files");
        sandbox.write("dashboards/A/root.json", root.1.to_string());
        target.apply(&sandbox);
        let annotations = resource(target, "root")["metadata"]["annotations"].clone();
        assert_eq!(annotations["grafana.app/folder"], "a", "{}", target.name);
        all_are(target, OURS);
        target.settled(&sandbox);
    });
}

/// What was there without a name gets it in one write each. Without the setting it is taken off of what is written the next time.
#[test]
fn the_name_is_put_on_and_taken_off() {
    each(|target| {
        let mut sandbox = managed(target);
        sandbox.unset("GRAFANA_MANAGED");
        target.apply(&sandbox);
        all_are(target, NOBODY);
        let asked = || target.server().log().len();
        target.settled(&sandbox);
        let before = asked();
        sandbox.set("GRAFANA_MANAGED", "true");
        let run = target.apply(&sandbox);
        assert_eq!((run.count("updated"), run.count("writes")), (6, 6), "{}\n{run}", target.name);
        all_are(target, OURS);
        target.settled(&sandbox);

        // The resource of the new schema tells it for nothing; the others only when they are written.
        sandbox.unset("GRAFANA_MANAGED");
        let run = target.apply(&sandbox);
        assert_eq!((run.count("updated"), run.count("writes")), (1, 1), "{}\n{run}", target.name);
        assert_eq!(managers(target)["newer"], NOBODY, "{}", target.name);
        target.settled(&sandbox);
        assert_eq!(asked(), before, "{}: as many requests as without a name", target.name);
        for (path, body) in files() {
            let renamed = match path {
                "dashboards/A/_folder.json" => {
                    json!({"uid": "a", "title": "Another", "permissions": body["permissions"]})
                }
                "dashboards/A/B/_folder.json" => json!({"uid": "b", "title": "Another"}),
                "dashboards/A/newer.json" => continue,
                _ => json!({"uid": body["uid"], "title": "Another", "schemaVersion": 36, "panels": []}),
            };
            sandbox.write(path, renamed.to_string());
        }
        let plan = sandbox.run(&["plan", "--log-format", "text"]);
        let off = r#"/managedBy: "kubectl (grafana-init)" -> (absent)"#;
        assert_eq!(plan.stdout.matches(off).count(), 5, "{}\n{plan}", target.name);
        let run = target.apply(&sandbox);
        assert_eq!((run.count("updated"), run.count("writes")), (5, 5), "{}\n{run}", target.name);
        all_are(target, NOBODY);
        assert_eq!(resource(target, "classic")["spec"]["schemaVersion"], 36, "{}", target.name);
        target.settled(&sandbox);
    });
}

/// Somebody else's name is left where it is, and what bears it is not written; unless he allows that: then it is, under his name.
#[test]
fn the_names_of_others_stay() {
    each(|target| {
        for setting in ["true", "false"] {
            let target = target.another();
            let server = target.server();
            let sandbox = target.sandbox().env("GRAFANA_MANAGED", setting).config(&files()[..3]);
            sandbox.run(&["apply"]).expect_code(0);
            let plain = target.sandbox().config(&[("dashboards/open.json", json!({"uid": "open", "title": "Open"}))]);
            target.apply(&plain);
            let mut open = resource(&target, "open");
            for (name, value) in [("managedBy", "terraform"), ("managerId", "tf"), ("managerAllowsEdits", "true")] {
                open["metadata"]["annotations"][format!("grafana.app/{name}")] = json!(value);
            }
            target.write("PUT", &format!("{DASHBOARDS}/open"), &open);
            target
                .apply(&target.sandbox().config(&[("dashboards/file.json", json!({"uid": "file", "title": "File"}))]));
            server.provision_dashboard(1, "file");
            sandbox.write("dashboards/file.json", json!({"uid": "file", "title": "File"}).to_string());
            server.manage_folder(1, "b", "kubectl", "somebody");
            server.manage_dashboard(1, "classic", "terraform", "somebody");
            sandbox.write("dashboards/open.json", json!({"uid": "open", "title": "Open"}).to_string());
            target.settled(&sandbox);
            sandbox.write("dashboards/open.json", json!({"uid": "open", "title": "Opened"}).to_string());
            assert_eq!(target.apply(&sandbox).count("writes"), 1, "{}", target.name);
            let open = resource(&target, "open");
            assert_eq!(open["metadata"]["annotations"]["grafana.app/managerId"], "tf", "{}", target.name);
            assert_eq!(open["spec"]["title"], "Opened", "{}", target.name);

            sandbox.write("dashboards/A/B/_folder.json", json!({"uid": "b", "title": "Other"}).to_string());
            sandbox.write("dashboards/A/classic.json", json!({"uid": "classic", "title": "Other"}).to_string());
            sandbox.write("dashboards/file.json", json!({"uid": "file", "title": "Other"}).to_string());
            server.reset_log();
            let run = sandbox.run(&[]);
            let reasons =
                ["managed by kubectl (somebody)", "managed by terraform (somebody)", "provisioned from a file"];
            target.refused(&run, &reasons);
        }
    });
}

/// Whoever only writes dashboards can name them, too: what is there no one tells an Editor at first.
#[test]
fn an_editor_names_what_he_makes() {
    each(|target| {
        let key = target.server().add_token(1, "editor", Role::Editor);
        let mut sandbox =
            target.sandbox().env("GRAFANA_MANAGED", "true").env("GRAFANA_TOKEN", key).config(&files()[1..]);
        sandbox.unset("GRAFANA_USERNAME");
        sandbox.unset("GRAFANA_PASSWORD");
        target.apply(&sandbox);
        target.settled(&sandbox);
    });
}

/// A run that ends between making and naming leaves what the next one names; a conflict in between is read again.
#[test]
fn what_was_made_without_a_name_gets_it_later() {
    each(|target| {
        let mut sandbox = managed(target).env("MAX_RETRIES", "0");
        let refused = || Effect::Answer(500, json!({"message": "no"}).to_string());
        target.server().fault(Fault::on("PUT", "/apis/", refused()));
        assert_eq!(sandbox.run(&[]).code(), Some(1), "{}", target.name);
        target.server().clear_faults();
        sandbox.unset("MAX_RETRIES");
        let conflict =
            json!({"kind": "Status", "message": "the object has been modified", "reason": "Conflict", "code": 409});
        target.server().fault(Fault::on("PUT", "/apis/", Effect::Answer(409, conflict.to_string())).nth(1));
        target.apply(&sandbox);
        all_are(target, OURS);
        target.settled(&sandbox);
    });
}

/// The answer to any one request is lost though it was done, or is a refusal: a run that says "done" has named everything, and the next one does.
#[test]
fn whatever_answer_is_lost_all_is_named() {
    let start = || Target::standin(Profile::V12, Options::default());
    let clean = start();
    clean.apply(&managed(&clean));
    let requests = u64::try_from(clean.server().log().len()).expect("a few");
    for nth in 1..=requests {
        for effect in [Effect::ApplyThenDrop, Effect::Answer(503, "{}".to_owned())] {
            let target = start();
            let sandbox = managed(&target);
            target.server().fault(Fault::anywhere("/", effect).nth(nth));
            let run = sandbox.run(&[]);
            target.server().clear_faults();
            if run.code() != Some(0) {
                target.apply(&sandbox);
            }
            all_are(&target, OURS);
            target.settled(&sandbox);
        }
    }
}

/// One file fits all versions: where there is nowhere to say it, one warning does.
#[test]
fn older_servers_get_a_warning() {
    Target::each_standin(&Options::nesting(), |target| {
        let mut files = files();
        files.retain(|(path, _)| target.version().0 >= 12 || !path.ends_with("newer.json"));
        let sandbox = target.sandbox().env("GRAFANA_MANAGED", "true").config(&files);
        let run = target.apply(&sandbox);
        let said = run.stderr.matches("GRAFANA_MANAGED=true needs Grafana 12").count();
        assert_eq!(said, usize::from(target.version().0 < 12), "{}\n{run}", target.name);
        target.settled(&sandbox);
    });
}

/// Another organization has its resources in a place of its own.
#[test]
fn each_organization_names_its_own() {
    each(|target| {
        let classic = json!({"uid": "classic", "title": "Classic", "panels": []});
        let sandbox = target.sandbox().env("GRAFANA_MANAGED", "true");
        let sandbox = sandbox.config(&[("orgs/Second/dashboards/A/classic.json", classic)]);
        target.apply(&sandbox);
        let path = DASHBOARDS.replace("/default/", "/org-2/");
        let (_, whole) = target.server().request(2, "GET", &format!("{path}/classic"), &Value::Null);
        let annotations = &whole["metadata"]["annotations"];
        assert_eq!(annotations["grafana.app/managerId"], "grafana-init", "{} {whole}", target.name);
        let folder = annotations["grafana.app/folder"].as_str().expect("it lies in a folder");
        let path = FOLDERS.replace("/default/", "/org-2/");
        let (_, whole) = target.server().request(2, "GET", &format!("{path}/{folder}"), &Value::Null);
        let annotations = &whole["metadata"]["annotations"];
        assert_eq!(annotations["grafana.app/managerId"], "grafana-init", "{} {whole}", target.name);
        target.settled(&sandbox);
    });
}

/// Two runs at once make and name everything once.
#[test]
fn twins_name_everything_once() {
    each(|target| {
        let (one, other) = (managed(target), managed(target));
        let runs = [one.spawn(&[]), other.spawn(&[])].map(kit::sandbox::Running::wait);
        for run in &runs {
            run.expect_code(0);
        }
        let all = target.read("/api/search?limit=5000");
        assert_eq!(all.as_array().map(Vec::len), Some(6), "{} {all}", target.name);
        all_are(target, OURS);
        target.settled(&one);
    });
}

/// What is exported belongs to nobody yet.
#[test]
fn an_export_names_nobody() {
    each(|target| {
        let sandbox = managed(target);
        target.apply(&sandbox);
        let out = sandbox.path("export");
        sandbox.run(&["export", &out.display().to_string()]).expect_code(0);
        let mut names = Vec::new();
        let mut open = vec![out];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).expect("the export is there") {
                let path = entry.expect("the export can be listed").path();
                if path.is_dir() {
                    open.push(path);
                    continue;
                }
                let text = std::fs::read_to_string(&path).expect("an exported file is text");
                assert!(!text.contains("managed") && !text.contains("kubectl"), "{}: {text}", target.name);
                names.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
            }
        }
        assert!(names.contains(&"classic.json".to_owned()), "{} {names:?}", target.name);
    });
}
