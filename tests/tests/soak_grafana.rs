//! Large sets of dashboards on every version: requests and time grow with their number, memory hardly does, large ones are no problem.
//! Times are printed; what is asserted is what a noisy machine cannot change.

use std::io::Write as _;
use std::time::Duration;

use kit::grafana::{Options, Target};
use kit::sandbox::{Run, Sandbox};
use serde_json::{Value, json};

/// What a set of any size may take.
const MEMORY: u64 = 48_000_000;

fn sandbox(target: &Target) -> Sandbox {
    target.sandbox().env("APPLY_TIMEOUT", "10m").deadline(Duration::from_mins(12))
}

fn fill(sandbox: &Sandbox, dashboards: usize, panels: usize) {
    let text = "rate(requests_total{job=~\"$job\"}[5m]) or vector(0) ".repeat(10);
    let panels: Vec<Value> = (0..panels)
        .map(|id| json!({"id": id, "type": "timeseries", "title": "P", "targets": [{"refId": "A", "expr": text}]}))
        .collect();
    for n in 0..dashboards {
        let body = json!({"uid": format!("d{n}"), "title": format!("Title {n}"), "panels": panels});
        sandbox.write(&format!("dashboards/Group {}/Team {}/d{n}.json", n % 5, n % 30), body.to_string());
    }
}

fn say(target: &Target, what: &str, run: &Run) {
    let (requests, writes, time) = (run.count("requests"), run.count("writes"), run.count("duration_ms"));
    let memory = run.peak_rss / 1_000_000;
    let line = format!("{} {what}: {time} ms, {requests} requests, {writes} writes, {memory} MB", target.name);
    drop(writeln!(std::io::stderr(), "{line}"));
}

#[test]
fn two_thousand_dashboards_take_twice_what_a_thousand_take() {
    Target::each_standin(&Options::nesting(), |target| {
        let mut requests = Vec::new();
        for count in [1000, 2000] {
            let target = target.another();
            let sandbox = sandbox(&target);
            fill(&sandbox, count, 10);
            let first = target.apply(&sandbox);
            say(&target, &format!("{count} dashboards, first run"), &first);
            let second = target.settled(&sandbox);
            say(&target, &format!("{count} dashboards, second run"), &second);
            assert!(first.peak_rss.max(second.peak_rss) < MEMORY, "{}\n{}", target.name, second.last());
            requests.push((first.count("requests"), second.count("requests")));
        }
        let [(first, second), (twice, again)] = requests.as_slice() else { panic!("two sizes were run") };
        assert!(*twice <= first * 2 && *again <= second * 2, "{} {requests:?}", target.name);
    });
}

#[test]
fn twenty_dashboards_of_a_megabyte_are_no_problem() {
    Target::each_standin(&Options::nesting(), |target| {
        // The released programs are static and take 12 MB here; glibc would keep what each thread has freed.
        let sandbox = sandbox(target).env("MALLOC_ARENA_MAX", "1");
        fill(&sandbox, 20, 1700);
        let size =
            std::fs::metadata(sandbox.config_dir().join("dashboards/Group 0/Team 0/d0.json")).expect("written").len();
        assert!(size > 1_000_000, "{size} bytes");
        let first = target.apply(&sandbox);
        say(target, "20 dashboards of 1 MB, first run", &first);
        let second = target.settled(&sandbox);
        say(target, "20 dashboards of 1 MB, second run", &second);
        assert!(first.peak_rss.max(second.peak_rss) < MEMORY, "{}\n{}", target.name, second.last());
    });
}
