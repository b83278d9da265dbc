//! The oracle: every request of a run meets every fault, once or from then on; the server is healed and the program runs again. **It may say
//! "done" only if the world equals the files**, with what a GET does not show: secrets, and tokens that let in. The table is printed: kind,
//! request and fault, how often it was tried, how often every answer was true, false successes, false failures.
//!
//! A false success is an exit 0, of either run, on a world that differs. A false failure is a second run that fails though nothing is wrong
//! any more, or a first run that fails though its one failing request may be sent again.
//!
//! `ORACLE_STEP=10` tries every tenth request only, for a look by hand.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use kit::grafana::{Effect, Entry, Fault, HOOK_PASSWORD, Options, Profile, Target, changed};
use kit::sandbox::{Run, Sandbox};
use serde_json::{Value, json};

/// What one request, or each from then on, meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Answered 503, not done.
    Unavailable,
    /// Done, and the connection ends before the answer.
    LostReply,
    /// Answered 403, not done.
    Forbidden,
    /// The connection ends before it is done.
    Cut,
    /// Done, and the answer ends in its middle.
    HalfReply,
}

const KINDS: [Kind; 5] = [Kind::Unavailable, Kind::LostReply, Kind::Forbidden, Kind::Cut, Kind::HalfReply];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Length {
    Once,
    FromThenOn,
}

impl Kind {
    fn effect(self) -> Effect {
        let message = |text: &str| json!({"message": text}).to_string();
        match self {
            Kind::Unavailable => Effect::Answer(503, message("unavailable")),
            Kind::LostReply => Effect::ApplyThenDrop,
            Kind::Forbidden => Effect::Answer(403, message("Permissions needed: all")),
            Kind::Cut => Effect::ResetBefore,
            Kind::HalfReply => Effect::Truncate,
        }
    }
}

/// One row of the table.
#[derive(Default)]
struct Row {
    tried: u32,
    truthful: u32,
    false_successes: Vec<String>,
    false_failures: Vec<String>,
}

type Table = BTreeMap<(String, Kind, Length), Row>;

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
fn life(profile: Profile, update: bool, nth: usize, kind: Kind, length: Length, wanted: &Value, row: &mut Row) {
    let target = start(profile);
    let mut sandbox = sandbox(&target, update);
    // What stays broken is waited for in vain; what fails once is given the usual time, on a slow machine too.
    if length == Length::FromThenOn {
        sandbox.set("WAIT_TIMEOUT", "5s");
        sandbox.set("APPLY_TIMEOUT", "5s");
    }
    let fault = Fault::anywhere("/", kind.effect()).nth(u64::try_from(nth).expect("a few"));
    target.server().fault(if length == Length::Once { fault } else { fault.times(u64::MAX) });
    let first = sandbox.run(&[]);
    target.server().clear_faults();
    sandbox.set("WAIT_TIMEOUT", "1m");
    sandbox.set("APPLY_TIMEOUT", "1m");
    let first_true = is_true(&target, &sandbox, wanted);
    let second = sandbox.run(&[]);
    let second_true = is_true(&target, &sandbox, wanted);
    row.tried += 1;
    let at = |run: &Run| format!("{} update {update} request {nth}: {}", target.name, run.last());
    let passing = length == Length::Once && kind != Kind::Forbidden;
    let mut wrong = false;
    for (run, holds, must) in [(&first, first_true, passing), (&second, second_true, true)] {
        if run.code() == Some(0) && !holds {
            row.false_successes.push(at(run));
            wrong = true;
        } else if run.code() != Some(0) && must {
            row.false_failures.push(at(run));
            wrong = true;
        }
    }
    row.truthful += u32::from(!wrong);
}

fn step() -> usize {
    std::env::var("ORACLE_STEP").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// One kind of fault at every request of one phase on one version.
fn phase(profile: Profile, update: bool, kind: Kind, table: &Mutex<Table>) {
    let clean = start(profile);
    let files = sandbox(&clean, update);
    clean.server().reset_log();
    clean.apply(&files);
    let requests = clean.server().log();
    let wanted = clean.world();
    for (nth, entry) in requests.iter().enumerate().step_by(step()) {
        for length in [Length::Once, Length::FromThenOn] {
            let mut row = Row::default();
            life(profile, update, nth + 1, kind, length, &wanted, &mut row);
            let mut table = table.lock().expect("no life panics while it holds the table");
            let known = table.entry((question(entry), kind, length)).or_default();
            known.tried += row.tried;
            known.truthful += row.truthful;
            known.false_successes.extend(row.false_successes);
            known.false_failures.extend(row.false_failures);
        }
    }
}

fn print(table: &Table) {
    let mut out = std::io::stdout();
    let mut say = |line: &str| drop(writeln!(out, "{line}"));
    say("| kind, request | fault | tried | true | false successes | false failures |\n|---|---|---|---|---|---|");
    for ((question, kind, length), row) in table {
        let Row { tried, truthful, false_successes, false_failures } = row;
        let (successes, failures) = (false_successes.len(), false_failures.len());
        say(&format!("| {question} | {kind:?} {length:?} | {tried} | {truthful} | {successes} | {failures} |"));
    }
}

#[test]
fn grafana_init_says_done_only_when_it_is() {
    let table = Mutex::new(Table::new());
    // A life is mostly waiting: more of them at once than there are cores.
    thread::scope(|scope| {
        for (profile, kind) in Profile::RECORDED.into_iter().flat_map(|profile| KINDS.map(|kind| (profile, kind))) {
            let table = &table;
            scope.spawn(move || [false, true].map(|update| phase(profile, update, kind, table)));
        }
    });
    let table = table.into_inner().expect("no life panics while it holds the table");
    print(&table);
    let wrong: Vec<&String> =
        table.values().flat_map(|row| row.false_successes.iter().chain(&row.false_failures)).collect();
    assert!(wrong.is_empty(), "{} answers were not true:\n{wrong:#?}", wrong.len());
}
