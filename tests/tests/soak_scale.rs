//! Large sets: thousands of topics and templates (dashboards are in `soak_grafana`), in bounded memory, and nothing to write the second time.
//! Times are printed, not judged; the program's own `APPLY_TIMEOUT` is the only clock.

use std::io::Write as _;

use kit::sandbox::{Run, Sandbox};
use kit::servers::kafka::{Kafka, Version};
use kit::servers::opensearch::{OpenSearch, Variant};
use serde_json::{Map, Value, json};

/// What a set of any size may take.
const MEMORY: u64 = 48_000_000;

fn twice(sandbox: &Sandbox, objects: u64, what: &str) -> Run {
    let first = sandbox.run(&[]);
    first.expect_code(0);
    let second = sandbox.run(&[]);
    second.expect_code(0);
    let line = format!(
        "{objects} {what}: first {} ms, {} MB; second {} ms, {} requests, {} MB",
        first.count("duration_ms"),
        first.peak_rss / 1_000_000,
        second.count("duration_ms"),
        second.count("requests"),
        second.peak_rss / 1_000_000
    );
    let _ = writeln!(std::io::stderr(), "{line}");
    assert!(second.count("unchanged") >= objects, "{second}");
    assert_eq!(second.count("writes"), 0, "{second}");
    for run in [&first, &second] {
        assert!(run.peak_rss < MEMORY, "{} bytes\n{}", run.peak_rss, run.last());
    }
    second
}

#[test]
fn five_thousand_topics() {
    let kafka = Kafka::of(Version::V4_3).start();
    for count in [2500, 5000] {
        let map: Map<String, Value> = (0..count)
            .map(|n| (format!("scale-{n:05}"), json!({"partitions": 1, "config": {"retention.ms": 86_400_000}})))
            .collect();
        let sandbox = Sandbox::new("k-init")
            .config(&[("topics.json", Value::Object(map))])
            .env("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap())
            .deadline(std::time::Duration::from_mins(4));
        let second = twice(&sandbox, count, "topics");
        // One metadata for each 250 topics, so that its answer stays within bounds, and one reading of the settings for each thousand.
        let readings = count.div_ceil(250) + count.div_ceil(1000);
        assert!(second.count("requests") <= 4 + readings, "{second}");
    }
}

#[test]
fn two_thousand_templates() {
    let server = OpenSearch::of(Variant::Core2).start();
    let fields: Map<String, Value> = (0..40).map(|n| (format!("field_{n}"), json!({"type": "keyword"}))).collect();
    for count in [1000, 2000] {
        let sandbox = Sandbox::new("os-init")
            .env("OPENSEARCH_URL", server.url())
            .env("APPLY_TIMEOUT", "20m")
            .deadline(std::time::Duration::from_mins(25));
        for n in 0..count {
            let body = json!({"template": {"mappings": {"properties": fields}}});
            sandbox.write(&format!("component_templates/scale-{n:04}.json"), body.to_string());
        }
        let second = twice(&sandbox, count, "component templates");
        assert!(second.count("requests") < 12, "requests do not grow with the number of templates\n{second}");
    }
}
