//! grafana-init cut off and killed at each request, on every version: the next run ends in the state that an undisturbed one ends in.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use kit::grafana::{Effect, Fault, HOOK_PASSWORD, Options, Profile, Target};
use kit::sandbox::Sandbox;
use serde_json::{Value, json};

/// What becomes of one request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cut {
    /// The connection ends before the server does it.
    Before,
    /// The server does it; the connection ends before the answer.
    After,
    /// The server does it; the answer ends in the middle.
    Midway,
    /// The server does it; the program is killed before it hears of that.
    Killed,
}

const CUTS: [Cut; 4] = [Cut::Before, Cut::After, Cut::Midway, Cut::Killed];

fn start(profile: Profile) -> Target {
    Target::standin(profile, Options::nesting())
}

/// Everything that two runs must agree on: without numbers, times, versions and what a server makes up.
fn state(target: &Target) -> Value {
    let mut all: Vec<Value> = [
        "/api/datasources",
        "/api/search?limit=5000",
        "/api/folders/platform",
        "/api/folders/platform/permissions",
        "/api/dashboards/uid/home",
        "/api/library-elements/lp",
        "/api/teams/search?name=ops",
        "/api/serviceaccounts/search?query=ci",
        "/api/v1/provisioning/contact-points/export?format=json&decrypt=true",
        "/api/v1/provisioning/mute-timings",
        "/api/v1/provisioning/templates",
        "/api/v1/provisioning/policies",
        "/api/v1/provisioning/alert-rules",
        "/api/org/preferences",
    ]
    .map(|path| target.read(path))
    .into();
    all.iter_mut().for_each(strip);
    Value::Array(all)
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for made in [
                "id",
                "version",
                "created",
                "updated",
                "updatedBy",
                "createdBy",
                "sortMeta",
                "tokens",
                "avatarUrl",
                "folderId",
            ] {
                fields.remove(made);
            }
            // Teams, service accounts and mail integrations get theirs from the server.
            if fields.get("uid").and_then(Value::as_str).is_some_and(|uid| uid.len() == 14) {
                fields.remove("uid");
            }
            for number in ["teamId", "teamUid", "userId", "userUid", "dashboardId"] {
                fields.remove(number);
            }
            fields.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

/// Runs once with the nth of the requests that `counts` picks cut off.
fn disturb(target: &Target, sandbox: &Sandbox, method: &str, nth: u64, cut: Cut) {
    let server = target.server();
    server.reset_log();
    let effect = match cut {
        Cut::Before => Effect::ResetBefore,
        Cut::After => Effect::ApplyThenDrop,
        Cut::Midway => Effect::Truncate,
        Cut::Killed => Effect::Delay(Duration::from_secs(5)),
    };
    server.fault(Fault::on(method, "/", effect).nth(nth));
    if cut == Cut::Killed {
        let seen = || server.log().iter().filter(|entry| entry.method == method).count();
        let wanted = usize::try_from(nth).expect("a few");
        let run = sandbox.spawn(&[]).kill_when(|| seen() >= wanted);
        assert_eq!(run.signal(), Some(9), "{} {method} {nth}\n{run}", target.name);
    } else {
        drop(sandbox.run(&[]));
    }
    server.clear_faults();
}

/// A token's file holds a whole token, or is not there.
fn whole(token: &Path) {
    if let Ok(text) = fs::read_to_string(token) {
        assert!(text.starts_with("glsa_") && text.len() > 20, "half a token: {text:?}");
    }
}

/// For each method, how many requests of it a run sends.
fn sent(target: &Target, sandbox: &Sandbox) -> Vec<(&'static str, u64)> {
    target.server().reset_log();
    target.apply(sandbox);
    let log = target.server().log();
    let of = |method: &'static str| (method, log.iter().filter(|entry| entry.method == method).count() as u64);
    ["GET", "POST", "PUT", "PATCH"].map(of).into_iter().filter(|(_, count)| *count > 0).collect()
}

/// The same files with every object changed, so that each kind's update is sent.
fn changed(files: Vec<(&'static str, Value)>) -> Vec<(&'static str, Value)> {
    let change = |(path, mut body): (&'static str, Value)| {
        match path.split('/').next().expect("a path has a first part") {
            "teams" => body["email"] = json!("other@example.com"),
            "service_accounts" => body["role"] = json!("Viewer"),
            "datasources" => body["url"] = json!("http://other:9090"),
            "library_panels" => body["model"]["options"] = json!({"content": "other"}),
            "dashboards" if path.ends_with("_folder.json") => {
                body = json!({"uid": "platform", "title": "Renamed", "permissions": [{"team": "ops", "permission": "Admin"}]});
            }
            "dashboards" => body["title"] = json!("Another home"),
            "contact_points" if path.ends_with("hook.json") => body["settings"]["url"] = json!("http://other/x"),
            "contact_points" => body[0]["settings"]["addresses"] = json!("other@example.com"),
            "mute_timings" => body["time_intervals"] = json!([{"weekdays": ["monday"]}]),
            "message_templates" => body["template"] = json!("other text"),
            "notification_policy.json" => body["group_interval"] = json!("7m"),
            "alert_rules" => body["interval"] = json!(120),
            "preferences.json" => body["theme"] = json!("light"),
            _ => {}
        }
        (path, body)
    };
    files.into_iter().map(change).collect()
}

fn sandbox(target: &Target, update: bool) -> Sandbox {
    let sandbox = target.sandbox().env("MAX_RETRIES", "0").env("HOOK_PASSWORD", HOOK_PASSWORD);
    let files = target.every_kind(&sandbox.path("token"));
    if update {
        let first =
            target.sandbox().env("HOOK_PASSWORD", HOOK_PASSWORD).config(&target.every_kind(&sandbox.path("token")));
        target.apply(&first);
    }
    sandbox.config(&if update { changed(files) } else { files })
}

fn every_cut(profile: Profile, update: bool, methods: &[&str], cuts: &[Cut]) {
    let clean = start(profile);
    let requests = sent(&clean, &sandbox(&clean, update));
    let wanted = state(&clean);
    if update {
        assert!(
            requests.iter().any(|(method, _)| *method == "PUT")
                && requests.iter().any(|(method, _)| *method == "PATCH")
        );
    }
    for (method, count) in requests.into_iter().filter(|(method, _)| methods.contains(method)) {
        for nth in 1..=count {
            for cut in cuts {
                let target = start(profile);
                let sandbox = sandbox(&target, update);
                disturb(&target, &sandbox, method, nth, *cut);
                let what = format!("{} {method} {nth} of {count}, {cut:?}, update {update}", target.name);
                let token = sandbox.path("token");
                whole(&token);
                let run = sandbox.run(&[]);
                assert_eq!(run.code(), Some(0), "{what}\n{run}");
                assert!(token.exists(), "{what}");
                whole(&token);
                assert_eq!(state(&target), wanted, "{what}");
                target.settled(&sandbox);
            }
        }
    }
}

fn together(case: impl Fn(Profile) + Sync) {
    thread::scope(|scope| {
        for profile in Profile::ALL {
            let case = &case;
            scope.spawn(move || case(profile));
        }
    });
}

/// Scenario 4, while everything is made: at each POST and PUT.
#[test]
fn cut_or_killed_at_any_write_the_next_run_makes_the_rest() {
    together(|profile| every_cut(profile, false, &["POST", "PUT", "PATCH"], &CUTS));
}

/// Scenario 4, while every kind is changed: at each POST, PUT and PATCH.
#[test]
fn cut_or_killed_at_any_update_the_next_run_changes_the_rest() {
    together(|profile| every_cut(profile, true, &["POST", "PUT", "PATCH"], &CUTS));
}

/// Scenario 4, at each read: of the files, of what is there, and of what was written.
#[test]
fn cut_or_killed_at_any_read_the_next_run_does_the_rest() {
    together(|profile| every_cut(profile, true, &["GET"], &[Cut::Midway, Cut::Killed]));
}
