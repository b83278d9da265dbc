//! grafana-init killed at each request, on every version: the next run ends in the state that an undisturbed one ends in. Requests that fail
//! are in `faults_oracle`.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use kit::grafana::{Effect, Fault, HOOK_PASSWORD, Options, Profile, Target, changed};
use kit::sandbox::Sandbox;

fn start(profile: Profile) -> Target {
    Target::standin(profile, Options::nesting())
}

/// Runs once and kills the program when the server has done the nth request of a method and not answered it.
fn kill(target: &Target, sandbox: &Sandbox, method: &str, nth: u64) {
    let server = target.server();
    server.reset_log();
    server.fault(Fault::on(method, "/", Effect::Delay(Duration::from_secs(5))).nth(nth));
    let seen = || server.log().iter().filter(|entry| entry.method == method).count();
    let wanted = usize::try_from(nth).expect("a few");
    let run = sandbox.spawn(&[]).kill_when(|| seen() >= wanted);
    assert_eq!(run.signal(), Some(9), "{} {method} {nth}\n{run}", target.name);
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

fn every_kill(profile: Profile, update: bool) {
    let clean = start(profile);
    let requests = sent(&clean, &sandbox(&clean, update));
    let wanted = clean.world();
    for (method, count) in requests {
        for nth in 1..=count {
            let target = start(profile);
            let sandbox = sandbox(&target, update);
            kill(&target, &sandbox, method, nth);
            let what = format!("{} {method} {nth} of {count}, update {update}", target.name);
            let token = sandbox.path("token");
            whole(&token);
            let run = sandbox.run(&[]);
            assert_eq!(run.code(), Some(0), "{what}\n{run}");
            assert!(token.exists(), "{what}");
            whole(&token);
            assert_eq!(target.world(), wanted, "{what}");
            target.settled(&sandbox);
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

/// Scenario 4, while everything is made.
#[test]
fn killed_at_any_request_the_next_run_makes_the_rest() {
    together(|profile| every_kill(profile, false));
}

/// Scenario 4, while every kind is changed.
#[test]
fn killed_at_any_request_the_next_run_changes_the_rest() {
    together(|profile| every_kill(profile, true));
}
