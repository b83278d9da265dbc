//! The oracle: every request of a run meets every fault, once or from then on; the server is healed and the program runs again. **It may say
//! "done" only if the world equals the files**, with what a GET does not show: secrets, and tokens that let in. The table is printed: kind,
//! request and fault, how often it was tried, how often every answer was true, false successes, false failures (`kit::oracle`).
//!
//! `ORACLE_STEP=10` tries every tenth request only, for a look by hand.

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
        ["api", "folders", .., "permissions"] => "permissions",
        ["api", "folders", ..] => "folders",
        ["api", "dashboards" | "search", ..] => "dashboards",
        ["api", "library-elements", ..] => "library_panels",
        ["api", "serviceaccounts", ..] => "service_accounts",
        ["api", "org", "preferences"] => "preferences",
        ["api", kind @ ("datasources" | "teams" | "plugins"), ..] => kind,
        _ => "readiness and look-ups",
    };
    format!("{kind} {}", entry.method)
}

fn sandbox(target: &Target, update: bool) -> Sandbox {
    let fresh = || {
        target.sandbox().env("HOOK_PASSWORD", HOOK_PASSWORD).env("MAX_RETRIES", "1").deadline(Duration::from_mins(3))
    };
    let sandbox = fresh();
    let files = target.every_kind(&sandbox.path("token"));
    if !update {
        return sandbox.config(&files);
    }
    let before = fresh().config(&target.every_kind(&sandbox.path("token")));
    target.apply(&before);
    sandbox.config(&changed(files))
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
    answer.status() == 200 && target.world() == *wanted
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
    let wanted = clean.world();
    for (nth, entry) in requests.iter().enumerate().step_by(told("ORACLE_STEP").unwrap_or(1)) {
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
