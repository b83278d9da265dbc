//! The figures that the README promises, measured on this machine beside what people use otherwise, in one run.
//! Prints; fails only if a program does. `./test bench` runs it with the released binaries.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{BrokerId, CreateTopicsRequest, ListOffsetsRequest, ListOffsetsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use kit::kafka_wire::Connection;
use kit::proxy::http::HttpProxy;
use kit::proxy::kafka::KafkaProxy;
use kit::sandbox::{Run, Sandbox, program_path};
use kit::scripted_http::{Answer, ScriptedHttp};
use kit::servers::kafka::{Kafka, Listener, Version};
use kit::servers::opensearch::{OpenSearch, Variant};
use serde_json::{Value, json};

fn main() {
    let mut table = Table::default();
    sizes(&mut table);
    waiting(&mut table);
    fifty_topics(&mut table);
    templates(&mut table);
    reference_set(&mut table);
    table.print();
}

/// What was measured, beside what it should reach.
#[derive(Default)]
struct Table(Vec<(String, String, String)>);

impl Table {
    fn row(&mut self, what: impl Into<String>, measured: impl Into<String>, bound: impl Into<String>) {
        let (what, measured, bound) = (what.into(), measured.into(), bound.into());
        say(&format!("{what:<58} {measured:<26} {bound}"));
        self.0.push((what, measured, bound));
    }

    fn print(&self) {
        let mut text = String::from("\nmeasured on this machine, both sides in this run:\n");
        for (what, measured, bound) in &self.0 {
            let _ = writeln!(text, "  {what:<58} {measured:<26} {bound}");
        }
        say(&text);
    }
}

fn say(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

fn sizes(table: &mut Table) {
    for program in ["os-init", "k-init", "grafana-init"] {
        let bytes = std::fs::metadata(program_path(program)).expect("it is built").len();
        table.row(format!("{program}: size of the binary"), format!("{bytes} bytes"), "at most 2750000");
    }
}

/// The middle and the last of some durations, in milliseconds.
fn spread(mut times: Vec<Duration>) -> (f64, f64) {
    times.sort();
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    (ms(times[times.len() / 2]), ms(times[times.len() - 1]))
}

const TRIALS: u64 = 50;

/// From the moment a port opens to the first connection, and from the moment a server is ready to the program's exit.
fn waiting(table: &mut Table) {
    let (mut noticed, mut ready) = (Vec::new(), Vec::new());
    for trial in 0..TRIALS {
        let good = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&good);
        let server = ScriptedHttp::new(move |request, _| {
            if seen.load(Ordering::SeqCst) { healthy(request.path()) } else { Answer::json(503, &json!({})) }
        });
        server.refuse();
        let sandbox = Sandbox::new("grafana-init").env("GRAFANA_URL", server.url()).env("GRAFANA_TOKEN", "glsa_bench");
        let running = sandbox.spawn(&["wait"]);
        // A different phase of the program's schedule in each trial.
        kit::pause(Duration::from_millis(150 + trial * 17));
        server.allow();
        let opened = Instant::now();
        kit::eventually(Duration::from_secs(10), || server.connections() > 0);
        noticed.push(opened.elapsed());
        kit::pause(Duration::from_millis(100 + trial * 23));
        good.store(true, Ordering::SeqCst);
        let flipped = Instant::now();
        running.wait().expect_code(0);
        ready.push(flipped.elapsed());
    }
    let (middle, last) = spread(noticed);
    table.row(
        format!("a port opens: noticed after ({TRIALS} trials)"),
        format!("p50 {middle:.0} ms, max {last:.0} ms"),
        "150 ms (other wait tools: p50 470 ms)",
    );
    let (middle, last) = spread(ready);
    table.row(
        format!("ready: exit 0 after ({TRIALS} trials)"),
        format!("p50 {middle:.0} ms, max {last:.0} ms"),
        "300 ms",
    );
}

fn healthy(path: &str) -> Answer {
    match path {
        "/api/health" => Answer::json(200, &json!({"database": "ok", "version": "11.6.2", "commit": "x"})),
        _ => Answer::json(200, &json!({"id": 1, "name": "Main Org."})),
    }
}

fn work(run: &Run) -> Duration {
    Duration::from_millis(run.count("duration_ms"))
}

const ROUNDS: usize = 7;

fn fifty_topics(table: &mut Table) {
    let kafka = Kafka::of(Version::V4_3).start();
    let mut floor = Vec::new();
    for round in 0..ROUNDS {
        floor.push(bare_create(&kafka, &format!("floor-{round}-")));
        rested(&kafka, &format!("floor-{round}-"));
    }
    let (mut first, mut second, mut rss) = (Vec::new(), Vec::new(), 0);
    let proxy = KafkaProxy::to(&kafka.bootstrap());
    let (mut trips, mut again) = (0, 0);
    for round in 0..ROUNDS {
        let map: serde_json::Map<String, Value> =
            (0..50).map(|n| (format!("ours-{round}-{n}"), topic_body())).collect();
        let sandbox = Sandbox::new("k-init")
            .config(&[("topics.json", Value::Object(map))])
            .env("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap());
        let run = sandbox.run(&[]);
        run.expect_code(0);
        first.push(work(&run));
        trips = trips.max(run.count("requests"));
        rested(&kafka, &format!("ours-{round}-"));
        let run = sandbox.run(&[]);
        run.expect_code(0);
        second.push(work(&run));
        rss = rss.max(run.peak_rss);
        proxy.clear();
        let counted = Sandbox::new("k-init")
            .config_from(&sandbox.config_dir())
            .env("KAFKA_BOOTSTRAP_SERVERS", proxy.bootstrap())
            .run(&[]);
        counted.expect_code(0);
        assert_eq!(proxy.writes(), Vec::<String>::new(), "the second run writes nothing");
        again = proxy.requests();
    }
    let (floor, _) = spread(floor);
    table.row("Kafka 4.3.1, 50 topics: one bare CreateTopics", format!("{floor:.0} ms"), "the floor");
    if let Some(python) = peers(&["confluent-kafka"]) {
        let measured = |round| {
            let time = python_topics(&python, &kafka, round);
            rested(&kafka, &format!("python-{round}-"));
            time
        };
        let times: Vec<Duration> = (0..ROUNDS).map(measured).collect();
        let (middle, _) = spread(times);
        table.row("  confluent-kafka script, whole process", format!("{middle:.0} ms"), "to be beaten");
    }
    let (middle, _) = spread(first);
    table.row(
        "  k-init, first run: work",
        format!("{middle:.0} ms, {trips} requests"),
        format!("{:.0} ms (2 x floor), 60 ms, 12 requests", floor * 2.0),
    );
    let (middle, _) = spread(second);
    table.row("  k-init, second run: work", format!("{middle:.0} ms, {again} requests, 0 writes"), "20 ms, 8 requests");
    table.row("  k-init, memory", format!("{:.1} MB", mb(rss)), "16 MB");
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn topic_body() -> Value {
    json!({"partitions": 3, "replicas": 1, "config": {"retention.ms": 604_800_000, "cleanup.policy": "delete"}})
}

fn bare_create(kafka: &Kafka, prefix: &str) -> Duration {
    let config = |name: &'static str, value: &'static str| {
        CreatableTopicConfig::default()
            .with_name(StrBytes::from_static_str(name))
            .with_value(Some(StrBytes::from_static_str(value)))
    };
    let topics = (0..50).map(|n| {
        CreatableTopic::default()
            .with_name(TopicName(StrBytes::from_string(format!("{prefix}{n}"))))
            .with_num_partitions(3)
            .with_replication_factor(1)
            .with_configs(vec![config("retention.ms", "604800000"), config("cleanup.policy", "delete")])
    });
    let request = CreateTopicsRequest::default().with_topics(topics.collect()).with_timeout_ms(9000);
    let mut connection =
        Connection::open(kafka.address(1, Listener::Plain), Duration::from_secs(20)).expect("it listens");
    let started = Instant::now();
    connection.call(&request, 5).expect("it answers");
    started.elapsed()
}

/// Waits until the broker has made the folders of these topics, which takes it some hundred milliseconds after it has answered: meanwhile it
/// does not show what is made after them.
fn rested(kafka: &Kafka, prefix: &str) {
    let partition = |index| ListOffsetsPartition::default().with_partition_index(index).with_timestamp(-1);
    let topic = |n| {
        ListOffsetsTopic::default()
            .with_name(TopicName(StrBytes::from_string(format!("{prefix}{n}"))))
            .with_partitions((0..3).map(partition).collect())
    };
    let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics((0..50).map(topic).collect());
    let mut connection =
        Connection::open(kafka.address(1, Listener::Plain), Duration::from_secs(20)).expect("it listens");
    kit::eventually(Duration::from_secs(30), || {
        let answer: ListOffsetsResponse = connection.call(&request, 5).expect("it answers");
        answer.topics.iter().flat_map(|topic| &topic.partitions).all(|partition| partition.error_code == 0)
    });
}

fn python_topics(python: &Path, kafka: &Kafka, round: usize) -> Duration {
    let script = "import sys
from confluent_kafka.admin import AdminClient, NewTopic
admin = AdminClient({'bootstrap.servers': sys.argv[1]})
topics = [NewTopic(f'{sys.argv[2]}{n}', num_partitions=3, replication_factor=1, config={'retention.ms': '604800000', 'cleanup.policy': 'delete'}) for n in range(50)]
for future in admin.create_topics(topics).values():
    future.result()
";
    let started = Instant::now();
    let status = Command::new(python).args(["-c", script, &kafka.bootstrap(), &format!("python-{round}-")]).status();
    assert!(status.expect("python runs").success(), "the script failed");
    started.elapsed()
}

/// A Python with the packages named, made once; nothing where that cannot be had.
fn peers(packages: &[&str]) -> Option<PathBuf> {
    let cache = std::env::var_os("INIT_TEST_CACHE")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/init-sidecars-tests")))?;
    let home = cache.join("peers");
    let python = home.join("bin/python");
    let quiet = |command: &mut Command| {
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    if !python.exists() && !quiet(Command::new("python3").args(["-m", "venv"]).arg(&home)) {
        say("python3 -m venv is not to be had: the comparison with Python is left out");
        return None;
    }
    if !quiet(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(packages)) {
        say("the Python packages are not to be had: the comparison with Python is left out");
        return None;
    }
    Some(python)
}

/// 92 component and 50 index templates, of some forty fields each.
fn template_files() -> Vec<(String, Value)> {
    let fields: serde_json::Map<String, Value> =
        (0..40).map(|n| (format!("field_{n}"), json!({"type": if n % 2 == 0 { "keyword" } else { "long" }}))).collect();
    let mut files = Vec::new();
    for n in 0..92 {
        files
            .push((format!("component_templates/part-{n}"), json!({"template": {"mappings": {"properties": fields}}})));
    }
    for n in 0..50 {
        let body = json!({
            "index_patterns": [format!("bench-{n}-*")], "priority": 100, "composed_of": [format!("part-{n}")],
            "template": {"settings": {"number_of_shards": 1, "refresh_interval": "5s"}}
        });
        files.push((format!("index_templates/bench-{n}"), body));
    }
    files
}

fn templates(table: &mut Table) {
    let server = OpenSearch::of(Variant::Core2).start();
    let files = template_files();
    let (mut floor, mut first, mut second, mut requests) = (Vec::new(), Vec::new(), Vec::new(), 0);
    let named: Vec<(String, Value)> = files.iter().map(|(path, body)| (format!("{path}.json"), body.clone())).collect();
    let named: Vec<(&str, Value)> = named.iter().map(|(path, body)| (path.as_str(), body.clone())).collect();
    let sandbox = Sandbox::new("os-init").config(&named).env("OPENSEARCH_URL", server.url());
    // In turn, since the machine's speed drifts; a first pair warms the node up.
    for round in 0..4 {
        let bare = curl_templates(&server, &files);
        clear_templates(&server);
        let run = sandbox.run(&[]);
        run.expect_code(0);
        let again = sandbox.run(&[]);
        again.expect_code(0);
        assert_eq!(again.count("writes"), 0, "the second run writes nothing");
        clear_templates(&server);
        if round > 0 {
            floor.push(bare);
            first.push(work(&run));
            second.push(work(&again));
            requests = again.count("requests");
        }
    }
    let (floor, _) = spread(floor);
    table.row("OpenSearch 2.19.6, 142 templates: curl, one connection", format!("{floor:.0} ms"), "the floor");
    let (middle, _) = spread(first);
    table.row("  os-init, first run: work", format!("{middle:.0} ms"), format!("{:.0} ms (1.1 x floor)", floor * 1.1));
    let (middle, _) = spread(second);
    table.row(
        "  os-init, second run: work",
        format!("{middle:.0} ms, {requests} requests"),
        "60 ms, 2 requests per kind and the probe's",
    );
}

fn clear_templates(server: &OpenSearch) {
    server.curl("DELETE", "/_index_template/bench-*", None);
    server.curl("DELETE", "/_component_template/part-*", None);
}

/// One process, one connection: what the server itself needs.
fn curl_templates(server: &OpenSearch, files: &[(String, Value)]) -> Duration {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut transfers = Vec::new();
    for (path, body) in files {
        let (kind, name) = path.split_once('/').expect("kind and name");
        let api = if kind == "component_templates" { "_component_template" } else { "_index_template" };
        let file = folder.path().join(format!("{name}.json"));
        std::fs::write(&file, body.to_string()).expect("written");
        transfers.push(format!(
            "url = \"{}/{api}/{name}\"\nrequest = PUT\nheader = \"content-type: application/json\"\ndata = \"@{}\"\noutput = /dev/null\nfail\n",
            server.url(),
            file.display()
        ));
    }
    let config = transfers.join("next\n");
    let list = folder.path().join("curl.conf");
    std::fs::write(&list, config).expect("written");
    let started = Instant::now();
    let status = Command::new("curl").args(["-s", "-K"]).arg(&list).status();
    assert!(status.expect("curl is there").success(), "curl failed");
    started.elapsed()
}

/// The reference set on warm servers: what the second run costs.
fn reference_set(table: &mut Table) {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docker/demo");
    let kafka = Kafka::of(Version::V4_3).start();
    let variant = if Variant::Core3.missing().is_none() { Variant::Core3 } else { Variant::Core2 };
    let search = OpenSearch::of(variant).start();
    let front = kit::ism::IsmFront::of(&search);
    let grafana = kit::grafana::Grafana::start(kit::grafana::Profile::V12, kit::grafana::Options::default());
    let wire = KafkaProxy::to(&kafka.bootstrap());
    let http = [HttpProxy::to(&front.url()), HttpProxy::to(&grafana.url())];
    let sandboxes = [
        Sandbox::new("k-init").config_from(&config.join("k-init")).env("KAFKA_BOOTSTRAP_SERVERS", wire.bootstrap()),
        Sandbox::new("os-init").config_from(&config.join("os-init")).env("OPENSEARCH_URL", http[0].url()),
        Sandbox::new("grafana-init")
            .config_from(&config.join("grafana-init"))
            .env("GRAFANA_URL", http[1].url())
            .env("GRAFANA_USERNAME", "admin")
            .env("GRAFANA_PASSWORD", "admin"),
    ];
    for sandbox in &sandboxes {
        let first = sandbox.run(&[]);
        first.expect_code(0);
        wire.clear();
        http.iter().for_each(HttpProxy::clear);
        let second = sandbox.run(&[]);
        second.expect_code(0);
        let written = wire.writes().len() + http.iter().map(|proxy| proxy.writes().len()).sum::<usize>();
        let sent = wire.requests() + http.iter().map(HttpProxy::requests).sum::<usize>();
        let name = first.last()["app"].as_str().unwrap_or_default().to_owned();
        let objects = second.count("unchanged");
        table.row(
            format!("{name}, reference set of {objects} objects: second run"),
            format!("{} ms, {sent} requests, {written} writes", work(&second).as_millis()),
            "100 ms, 0 writes",
        );
        table.row(
            format!("  {name}, memory (first, second)"),
            format!("{:.1}, {:.1} MB", mb(first.peak_rss), mb(second.peak_rss)),
            "16 MB",
        );
    }
}
