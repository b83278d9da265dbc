//! The whole of `docker/compose.yml` on a real engine, with the servers of `docker/compose.test.yml`: real Kafka, OpenSearch, Prometheus and
//! Pushgateway, stand-ins for Grafana, Loki and index state management. It is provisioned by the first `up` and left alone by the second.

use std::io::Write as _;

use kit::engine::{Project, Said};
use serde_json::{Value, json};

const PROGRAMS: [&str; 3] = ["os-init", "k-init", "grafana-init"];
const APPS: [&str; 3] = ["os-app", "k-app", "grafana-app"];

fn last(project: &Project, program: &str) -> Value {
    project.logs(program).last()
}

fn print(label: &str, said: &Said, project: &Project) {
    let mut out = std::io::stdout();
    writeln!(out, "{label}: {:.1} s", said.elapsed.as_secs_f64()).expect("stdout is there");
    for program in PROGRAMS {
        let last = last(project, program);
        let (wait, work) = (&last["wait_ms"], &last["duration_ms"]);
        let (writes, requests) = (&last["writes"], &last["requests"]);
        writeln!(out, "  {program}: waited {wait} ms, worked {work} ms, {writes} writes, {requests} requests")
            .expect("stdout is there");
    }
}

#[test]
fn the_stack_is_provisioned_once_and_seen() {
    let project = Project::new(&["kafka", "opensearch", "grafana", "telemetry"]);
    let first = project.up(&[]);
    first.expect_code(0);
    for (program, app) in PROGRAMS.into_iter().zip(APPS) {
        let state = &project.inspect(program)["State"];
        // In 16 MB, which is the limit of each.
        assert_eq!([&state["ExitCode"], &state["OOMKilled"]], [&json!(0), &json!(false)], "{program}");
        let began = &project.inspect(app)["State"]["StartedAt"];
        assert!(
            state["FinishedAt"].as_str() < began.as_str(),
            "{app} began at {began}, {program} ended {}",
            state["FinishedAt"]
        );
        assert!(project.running(app), "{app} does not run");
        let last = last(&project, program);
        assert!(last["created"].as_u64() > Some(0), "{program}: {last}");
    }
    print("first up", &first, &project);

    // Seen from elsewhere: what the servers hold, and what telemetry got.
    let topics = project.inside("kafka", &["sh", "-c", "ls /var/lib/kafka/data"]);
    assert!(topics.contains("orders-0"), "{topics}");
    let templates = project.inside("opensearch", &["curl", "-sf", "http://localhost:9200/_cat/templates?h=name"]);
    assert!(templates.contains("orders"), "{templates}");
    let policy =
        project.inside("opensearch", &["curl", "-sf", "http://localhost:9200/_plugins/_ism/policies/logs-14d"]);
    assert!(policy.contains("Logs: a day or 30 GB an index"), "{policy}");
    let metrics = project.inside("pushgateway", &["curl", "-sf", "http://localhost:9091/metrics"]);
    for program in PROGRAMS {
        let metric = format!("init_last_exit_code{{instance=\"\",job=\"{program}\"}} 0");
        assert!(metrics.contains(&metric), "no {metric} in\n{metrics}");
    }
    let pushed = project.inside("loki", &["cat", "/loki/pushed"]);
    assert!(pushed.contains("run finished"), "{pushed}");

    let second = project.up(&[]);
    second.expect_code(0);
    print("second up", &second, &project);
    for program in PROGRAMS {
        let last = last(&project, program);
        let counts = ["exit_code", "writes", "created", "updated", "failed"].map(|name| last[name].clone());
        assert_eq!(counts, [0, 0, 0, 0, 0].map(|zero: u8| json!(zero)), "{program}: {last}");
    }
}
