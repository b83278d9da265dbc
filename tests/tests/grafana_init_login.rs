//! Logging in to a Grafana: how often refused credentials are tried, and that an anonymous answer is none.

use kit::grafana::{Effect, Fault, Options, Profile, Startup, Target};
use serde_json::json;

/// Grafana locks a login for five minutes after five failures, for people too: a run with a wrong password leaves room for a person.
#[test]
fn a_password_is_tried_three_times_and_a_token_six_times() {
    let startup = Startup { unauthorized: u32::MAX, ..Startup::default() };
    let target = Target::standin(Profile::V12, Options { startup, ..Options::default() });
    let tries = || target.server().log().iter().filter(|entry| entry.status == 401).count();
    let run = target.sandbox().env("WAIT_TIMEOUT", "1m").run(&["wait"]);
    assert_eq!((run.field("exit_reason"), tries()), (json!("auth"), 3), "{run}");
    run.expect_stderr("After five failures Grafana locks a login for five minutes");
    target.server().reset_log();
    let mut sandbox = target.sandbox().env("GRAFANA_TOKEN", "glsa_wrong").env("WAIT_TIMEOUT", "1m");
    sandbox.unset("GRAFANA_USERNAME");
    sandbox.unset("GRAFANA_PASSWORD");
    let run = sandbox.run(&["wait"]);
    assert_eq!((run.field("exit_reason"), tries()), (json!("auth"), 6), "{run}");
    assert!(!run.stderr.contains("locks a login"), "{run}");
}

/// Where visitors are let in, a wrong password or token is answered 200 as one of them (11.6, 12.4): only what a visitor may not ask
/// tells.
#[test]
fn an_anonymous_answer_is_no_login() {
    Target::each_standin(&Options::default(), |target| {
        let unauthorized = json!({"message": "Unauthorized", "messageId": "auth.unauthorized"}).to_string();
        target.server().fault(Fault::on("GET", "/api/user", Effect::Answer(401, unauthorized)).times(u64::MAX));
        let sandbox = target.sandbox().env("WAIT_TIMEOUT", "700ms");
        let run = sandbox.config(&[("teams/ops.json", json!({}))]).run(&[]);
        assert_eq!(run.field("exit_reason"), json!("auth"), "{}\n{run}", target.name);
        target.refused(&run, &["refuses these credentials"]);
    });
}
