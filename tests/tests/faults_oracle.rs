//! The oracle: every request of a run meets every fault, once or from then on; the server is healed and the program runs again. **It may say
//! "done" only if the world equals the files**, with what a GET does not show: secrets, and tokens that let in. The table is printed: kind,
//! request and fault, how often it was tried, how often every answer was true, false successes, false failures (`kit::oracle`).
//!
//! On the newest recorded version every request is tried, on the older ones every third. `ORACLE_STEP=10` tries every tenth on each, for a look by
//! hand.

use std::fs;
use std::thread;
use std::time::Duration;

use kit::grafana::{Effect, Entry, Fault, HOOK_PASSWORD, Options, Profile, Target, changed};
use kit::oracle::{HttpFault, Length, Table, Told, told};
use kit::sandbox::Sandbox;
use serde_json::{Value, json};

fn effect(fault: HttpFault) -> Effect {
    let message = |text: &str| json!({"message": text}).to_string();
    match fault {
        HttpFault::Unavailable => Effect::Answer(503, message("unavailable")),
        HttpFault::LostReply => Effect::ApplyThenDrop,
        HttpFault::Forbidden => Effect::Answer(403, message("Permissions needed: all")),
        HttpFault::Cut => Effect::ResetBefore,
        HttpFault::HalfReply => Effect::Truncate,
    }
}

/// The kind and the request, without the names of objects.
fn question(entry: &Entry) -> String {
    let path = entry.path.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let kind = match parts.as_slice() {
        ["api", "v1", "provisioning", "folder" | "alert-rules", ..] => "alert_rules",
        ["api", "v1", "provisioning", "contact-points", ..] => "contact_points",
        ["api", "v1", "provisioning", "mute-timings", ..] => "mute_timings",
        ["api", "v1", "provisioning", "templates", ..] => "message_templates",
        ["api", "v1", "provisioning", "policies", ..] => "notification_policy",
        ["api", "datasources", .., "correlations"] | ["api", "datasources", _, _, "correlations", _] => "correlations",
        ["api", "dashboards", .., "public-dashboards"] | ["api", "dashboards", _, _, "public-dashboards", _] => {
            "public_dashboards"
        }
        ["api", "playlists", ..] | ["apis", "playlist.grafana.app", ..] => "playlists",
        ["api", "folders", .., "permissions"] => "permissions",
        ["api", "folders", ..] => "folders",
        ["api", "dashboards" | "search", ..] => "dashboards",
        ["api", "library-elements", ..] => "library_panels",
        ["api", "serviceaccounts", ..] => "service_accounts",
        ["api", "org", "preferences"] => "preferences",
        ["api", kind @ ("datasources" | "teams" | "plugins" | "orgs"), ..] => kind,
        _ => "readiness and look-ups",
    };
    format!("{kind} {}", entry.method)
}

/// What no other case has beside the rest: a secret that no GET shows, another organization, and what belongs to other objects.
fn further(update: bool) -> Vec<(&'static str, Value)> {
    let of = |first: &'static str, then: &'static str| if update { then } else { first };
    let secret = json!({"httpHeaderValue1": of("Bearer quiet-otter", "Bearer loud-badger")});
    vec![
        ("datasources/kept.json", json!({"type": "loki", "url": "http://l", "secureJsonData": secret})),
        ("orgs/Second Org/datasources/loki.json", json!({"type": "loki", "url": of("http://one", "http://two")})),
        (
            "playlists/wall.json",
            json!({"name": "Wall", "interval": of("5m", "10m"), "items": [{"type": "dashboard_by_uid", "value": "home"}]}),
        ),
        (
            "correlations/to-kept.json",
            json!({"sourceUID": "prom", "targetUID": "kept", "label": "to kept", "description": of("one", "two"),
                "config": {"type": "query", "field": "job", "target": {"expr": "{x=\"y\"}"}}}),
        ),
        ("public_dashboards/home.json", json!({"isEnabled": !update, "share": "public"})),
    ]
}

fn sandbox(target: &Target, update: bool) -> Sandbox {
    let fresh = || {
        let sandbox = target.sandbox().env("HOOK_PASSWORD", HOOK_PASSWORD).env("MAX_RETRIES", "1");
        // A secret that is changed is told by its digest alone.
        sandbox
            .env("GRAFANA_SECRETS", "digest")
            .env("GRAFANA_DIGEST_KEY", "a-key-of-this-case")
            .deadline(Duration::from_mins(3))
    };
    let sandbox = fresh();
    let files = |update| {
        let files = target.every_kind(&sandbox.path("token"));
        let mut files = if update { changed(files) } else { files };
        files.extend(further(update));
        files
    };
    if update {
        target.apply(&fresh().config(&files(false)));
    }
    let files = files(update);
    sandbox.config(&files)
}

/// All that the case looks at, with what `Target::world` does not show.
fn world(target: &Target) -> Value {
    let server = target.server();
    let of = |org: i64, path: &str, made: &[&str]| {
        let (_, mut body) = server.request(org, "GET", path, &Value::Null);
        let mut all: Vec<&mut Value> = match body.get("correlations") {
            Some(_) => body["correlations"].as_array_mut().into_iter().flatten().collect(),
            None => vec![&mut body],
        };
        for fields in all.iter_mut().filter_map(|one| one.as_object_mut()) {
            fields.retain(|field, _| !made.contains(&field.as_str()));
        }
        body
    };
    let second = server.request(1, "GET", "/api/orgs/name/Second%20Org", &Value::Null).1["id"].as_i64();
    json!({
        "rest": target.world(),
        "secret": server.secret(1, "kept", "httpHeaderValue1"),
        "playlist": of(1, "/api/playlists/wall", &["id", "createdAt", "updatedAt"]),
        "correlations": of(1, "/api/datasources/correlations", &["uid"]),
        "public": of(1, "/api/dashboards/uid/home/public-dashboards", &["uid", "accessToken", "createdAt", "updatedAt"]),
        "second": second.map(|org| of(org, "/api/datasources/uid/loki", &["id", "version"])),
    })
}

fn start(profile: Profile) -> Target {
    Target::standin(profile, Options::nesting())
}

/// Whether the world is the wanted one, the token included.
fn is_true(target: &Target, sandbox: &Sandbox, wanted: &Value) -> bool {
    let token = fs::read_to_string(sandbox.path("token")).unwrap_or_default();
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into();
    let asked = agent.get(format!("{}/api/org", target.server().url()));
    let answer =
        asked.header("Authorization", format!("Bearer {}", token.trim())).call().expect("the stand-in answers");
    answer.status() == 200 && world(target) == *wanted
}

/// One life: the fault, the healing, the second run.
fn life(
    profile: Profile,
    update: bool,
    (nth, entry): (usize, &Entry),
    met: (HttpFault, Length),
    wanted: &Value,
    table: &Table,
) {
    let (kind, length) = met;
    let target = start(profile);
    let mut sandbox = sandbox(&target, update);
    // What stays broken is waited for in vain; what fails once is given the usual time, on a slow machine too.
    if length == Length::FromThenOn {
        sandbox.set("WAIT_TIMEOUT", "5s");
        sandbox.set("APPLY_TIMEOUT", "5s");
    }
    let fault = Fault::anywhere("/", effect(kind)).nth(u64::try_from(nth).expect("a few"));
    target.server().fault(if length == Length::Once { fault } else { fault.times(u64::MAX) });
    let first = sandbox.run(&[]);
    target.server().clear_faults();
    sandbox.set("WAIT_TIMEOUT", "1m");
    sandbox.set("APPLY_TIMEOUT", "1m");
    let first_true = is_true(&target, &sandbox, wanted);
    let second = sandbox.run(&[]);
    let told = [
        Told { run: &first, holds: first_true, must: kind.passes(length) },
        Told { run: &second, holds: is_true(&target, &sandbox, wanted), must: true },
    ];
    table.count(question(entry), format!("{kind:?} {length:?}"), &told, |one| {
        format!("{} update {update} request {nth}: {}", target.name, one.run.last())
    });
}

/// One kind of fault at every request of one phase on one version.
fn phase(profile: Profile, update: bool, kind: HttpFault, table: &Table) {
    let clean = start(profile);
    let files = sandbox(&clean, update);
    clean.server().reset_log();
    clean.apply(&files);
    let requests = clean.server().log();
    let wanted = world(&clean);
    let step = told("ORACLE_STEP").unwrap_or(if profile == Profile::V12 { 1 } else { 3 });
    for (nth, entry) in requests.iter().enumerate().step_by(step) {
        for length in [Length::Once, Length::FromThenOn] {
            life(profile, update, (nth + 1, entry), (kind, length), &wanted, table);
        }
    }
}

#[test]
fn grafana_init_says_done_only_when_it_is() {
    let table = Table::of("grafana-init");
    // A life is mostly waiting: more of them at once than there are cores.
    thread::scope(|scope| {
        for (profile, kind) in
            Profile::RECORDED.into_iter().flat_map(|profile| HttpFault::ALL.map(|kind| (profile, kind)))
        {
            let table = &table;
            scope.spawn(move || [false, true].map(|update| phase(profile, update, kind, table)));
        }
    });
    table.end();
}
