//! os-init with 200 mixed objects on real nodes with security, ISM and SM by the stand-in in front: its work, beside the time that the
//! server itself takes to answer the same writes, sent one after another on one connection in the same run. Prints; fails only if a program
//! does or if a second run writes.

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use kit::http1::{Request, read_response};
use kit::ism::IsmFront;
use kit::sandbox::{Run, Sandbox};
use kit::servers::opensearch::{OpenSearch, Variant};
use serde_json::{Value, json};

/// Pairs that are measured, after one that warms the node up.
const ROUNDS: usize = 3;

fn main() {
    for variant in Variant::usable(&[Variant::Security2, Variant::Security3]) {
        measure(variant);
    }
}

fn say(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn work(run: &Run) -> f64 {
    Duration::from_millis(run.count("duration_ms")).as_secs_f64() * 1000.0
}

fn measure(variant: Variant) {
    let node = OpenSearch::of(variant).plain_http().start();
    let front = IsmFront::of(&node);
    let (mut ratios, mut firsts, mut bares, mut seconds) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut without_users = Vec::new();
    let (mut objects, mut reads, mut log_ins, mut memory) = (0, 0, 0, 0);
    for round in 0..=ROUNDS {
        let name = format!("ours{round}");
        let sandbox = Sandbox::new("os-init")
            .config(&files(&name))
            .env("OPENSEARCH_URL", front.url())
            .env("OPENSEARCH_USERNAME", OpenSearch::ADMIN.0)
            .env("OPENSEARCH_PASSWORD", OpenSearch::ADMIN.1)
            .env("APPLY_TIMEOUT", "5m")
            .deadline(Duration::from_mins(6));
        front.proxy().clear();
        let first = sandbox.run(&[]);
        first.expect_code(0);
        let writes: Vec<Request> = front.proxy().log().into_iter().map(|exchange| exchange.request).collect();
        let bare = bare(&front.url(), &writes, &name, &format!("bare{round}"));
        front.proxy().clear();
        let second = sandbox.run(&[]);
        second.expect_code(0);
        assert_eq!(front.proxy().writes(), [""; 0], "the second run writes nothing");
        objects = second.count("unchanged");
        let log = front.proxy().log();
        log_ins = log.iter().filter(|exchange| exchange.request.path().ends_with("/authinfo")).count();
        reads = log.len() - log_ins;
        memory = memory.max(first.peak_rss).max(second.peak_rss);
        // A password is compared by logging in, which takes as long as the node's hash is meant to take.
        sandbox.remove("internal_users.json");
        let third = sandbox.run(&[]);
        third.expect_code(0);
        if round > 0 {
            without_users.push(work(&third));
            ratios.push(work(&first) / bare);
            firsts.push(work(&first));
            bares.push(bare);
            seconds.push(work(&second));
        }
    }
    let megabytes = memory / 1_000_000;
    say(&format!("{}, {objects} mixed objects, medians of {ROUNDS} pairs:", variant.name()));
    say(&format!("  the server's answers to the same writes  {:.0} ms", median(bares)));
    say(&format!(
        "  os-init, first run: work                 {:.0} ms, {:.2} times that (at most 1.1)",
        median(firsts),
        median(ratios)
    ));
    say(&format!(
        "  os-init, second run: work                {:.0} ms, {reads} requests and {log_ins} log-ins, 0 writes",
        median(seconds)
    ));
    say(&format!("  the same without the users               {:.0} ms (60: log-ins apart)", median(without_users)));
    say(&format!("  memory                                   {megabytes} MB (48)"));
}

/// The sum of the server's own times for the writes of a run, for other names, in milliseconds.
fn bare(url: &str, requests: &[Request], from: &str, to: &str) -> f64 {
    let address = url.trim_start_matches("http://").parse().expect("the front has an address");
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).expect("the front listens");
    stream.set_nodelay(true).expect("a connection can be told");
    let mut answers = BufReader::new(stream.try_clone().expect("a connection can be shared"));
    let mut sum = Duration::ZERO;
    for request in requests.iter().filter(|request| request.writes()) {
        let body = String::from_utf8_lossy(&request.body).replace(from, to);
        let mut message = format!("{} {} HTTP/1.1\r\n", request.method, request.target.replace(from, to));
        for (name, value) in request.headers.iter().filter(|(name, _)| name != "content-length") {
            message += &format!("{name}: {value}\r\n");
        }
        message += &format!("content-length: {}\r\n\r\n{body}", body.len());
        let started = Instant::now();
        stream.write_all(message.as_bytes()).expect("the front reads");
        let answer = read_response(&mut answers, &request.method).expect("the front answers");
        sum += started.elapsed();
        assert!(matches!(answer.status, 200 | 201), "{} {}: {}", request.method, request.target, answer.status);
    }
    sum.as_secs_f64() * 1000.0
}

/// 200 objects of twelve kinds.
fn files(name: &str) -> Vec<(&'static str, Value)> {
    let map = |count: usize, body: &dyn Fn(usize) -> Value| -> Value {
        (0..count).map(|n| (format!("{name}-{n:02}"), body(n))).collect::<serde_json::Map<_, _>>().into()
    };
    let fields: serde_json::Map<String, Value> =
        (0..20).map(|n| (format!("field_{n}"), json!({"type": if n % 2 == 0 { "keyword" } else { "long" }}))).collect();
    let policy = |n: usize| {
        json!({"policy": {"description": "d", "default_state": "hot", "states": [
            {"name": "hot", "actions": [{"rollover": {"min_size": "50GB"}}], "transitions": [{"state_name": "gone", "conditions": {"min_index_age": "30d"}}]},
            {"name": "gone", "actions": [{"delete": {}}]}], "ism_template": {"index_patterns": [format!("{name}-none-{n:02}-*")], "priority": 9}}})
    };
    vec![
        ("action_groups.json", map(10, &|_| json!({"allowed_actions": ["indices:data/read/get"], "type": "index"}))),
        (
            "roles.json",
            map(
                25,
                &|_| json!({"cluster_permissions": ["cluster_monitor"], "index_permissions": [{"index_patterns": ["a-*"], "allowed_actions": ["read"]}]}),
            ),
        ),
        ("tenants.json", map(15, &|_| json!({"description": "d"}))),
        (
            "scripts.json",
            map(10, &|n| json!({"script": {"lang": "painless", "source": format!("ctx._source.a += {n}")}})),
        ),
        ("ingest_pipelines.json", map(15, &|n| json!({"processors": [{"set": {"field": "a", "value": n}}]}))),
        ("component_templates.json", map(35, &|_| json!({"template": {"mappings": {"properties": fields}}}))),
        ("ism_policies.json", map(15, &policy)),
        (
            "index_templates.json",
            map(35, &|n| {
                json!({"index_patterns": [format!("{name}-{n:02}-*")], "priority": 100, "composed_of": [format!("{name}-{n:02}")],
                    "template": {"settings": {"number_of_shards": 1, "number_of_replicas": 0}}})
            }),
        ),
        ("indices.json", map(5, &|_| json!({"aliases": {format!("{name}-all"): {}}}))),
        (
            "sm_policies.json",
            map(
                5,
                &|_| json!({"creation": {"schedule": {"cron": {"expression": "0 8 * * *", "timezone": "UTC"}}}, "snapshot_config": {"repository": "r"}}),
            ),
        ),
        (
            "internal_users.json",
            map(5, &|n| json!({"password": format!("Granite-Otter-{n}-x!"), "backend_roles": ["b"]})),
        ),
        ("roles_mapping.json", map(25, &|_| json!({"backend_roles": ["b"]}))),
    ]
}
