//! What grafana-init takes for large sets, beside one keep-alive connection that reads the same dashboards one after the other, in one run.
//! Prints; fails only if the program does. No registry has a Grafana server: the stand-in answers, at once and then in the 11 ms that
//! a real 12.4 took (63 reads, one after the other: 0.70 s).

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant};

use kit::grafana::{Effect, Fault, Options, Profile, Target};
use kit::sandbox::{Run, Sandbox};
use serde_json::{Value, json};

const ROUNDS: usize = 5;
const REAL: Duration = Duration::from_millis(11);

fn main() {
    let mut table = String::from("\nmeasured on this machine, both sides in this run:\n");
    let mut row = |what: &str, measured: &str, bound: &str| {
        let line = format!("  {what:<62} {measured:<34} {bound}");
        let _ = writeln!(std::io::stdout(), "{line}");
        let _ = writeln!(table, "{line}");
    };
    for (answers, delay) in [("answers at once", Duration::ZERO), ("answers in 11 ms", REAL)] {
        let target = server();
        let sandbox = target.sandbox();
        fill(&sandbox, 300);
        let first = target.apply(&sandbox);
        if !delay.is_zero() {
            target.server().fault(Fault::anywhere("/api/", Effect::Delay(delay)));
        }
        let (mut serial, mut ours, mut last) = (Vec::new(), Vec::new(), first.clone());
        // In turn, since the machine's speed drifts.
        for _ in 0..ROUNDS {
            serial.push(one_after_the_other(&target, 300));
            last = target.settled(&sandbox);
            ours.push(work(&last));
        }
        let (serial, ours) = (middle(serial), middle(ours));
        let what = format!("300 dashboards in 30 nested folders, a server that {answers}");
        row(&what, "", "");
        if delay.is_zero() {
            row("  first run: work", &shown(&first), "one read, one write, one read-back each");
        }
        row(
            "  one connection, every dashboard read once",
            &format!("{} ms", serial.as_millis()),
            "the floor for one reader",
        );
        let bound = if delay.is_zero() {
            "for comparison: the stand-in carries out one at a time".to_owned()
        } else {
            format!("{} ms (half)", serial.as_millis() / 2)
        };
        row("  second run: work", &shown_in(&last, ours), &bound);
    }
    for count in [500, 1000, 2000] {
        let target = server();
        let sandbox = target.sandbox().env("APPLY_TIMEOUT", "5m").deadline(Duration::from_mins(6));
        fill(&sandbox, count);
        let first = target.apply(&sandbox);
        let second = target.settled(&sandbox);
        row(&format!("{count} dashboards: first run"), &shown(&first), "linear, 48 MB");
        row(&format!("{count} dashboards: second run"), &shown(&second), "linear, 48 MB, 0 writes");
    }
    let _ = writeln!(std::io::stdout(), "{table}");
}

fn server() -> Target {
    Target::standin(Profile::V12, Options::default())
}

fn fill(sandbox: &Sandbox, dashboards: usize) {
    let panels: Vec<Value> = (0..10)
        .map(|id| json!({"id": id, "type": "timeseries", "title": "P", "targets": [{"refId": "A", "expr": "rate(x_total[5m])"}]}))
        .collect();
    for n in 0..dashboards {
        let path = format!("dashboards/Group {}/Team {}/d{n}.json", n % 5, n % 30);
        sandbox
            .write(&path, json!({"uid": format!("d{n}"), "title": format!("Title {n}"), "panels": panels}).to_string());
    }
}

fn one_after_the_other(target: &Target, dashboards: usize) -> Duration {
    let started = Instant::now();
    for n in 0..dashboards {
        target.read(&format!("/api/dashboards/uid/d{n}"));
    }
    started.elapsed()
}

fn work(run: &Run) -> Duration {
    Duration::from_millis(run.count("duration_ms"))
}

fn middle(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn shown(run: &Run) -> String {
    shown_in(run, work(run))
}

fn shown_in(run: &Run, time: Duration) -> String {
    let (requests, writes, memory) = (run.count("requests"), run.count("writes"), run.peak_rss / 1_000_000);
    format!("{} ms, {requests} requests, {writes} writes, {memory} MB", time.as_millis())
}
