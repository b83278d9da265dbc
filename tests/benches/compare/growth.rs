//! How the cost grows with the number of objects: `validate` and `plan` of every kind, and whole runs of three. Judged by processor time and by
//! memory, which other work on the machine hardly changes.

use std::time::Duration;

use kit::fixture;
use kit::grafana::{Grafana, Options, Profile};
use kit::ism::IsmFront;
use kit::many::{ALL, Many};
use kit::sandbox::{Run, Sandbox};
use kit::servers::kafka::{Connect, Kafka, Version};
use kit::servers::opensearch::{OpenSearch, Variant};

use crate::sides::Scale;
use crate::table::{Curve, Point, Table, mebibytes, say};

/// What a doubling may cost.
const DOUBLING: f64 = 2.3;
/// A size that would take longer is not tried.
const PATIENCE: Duration = Duration::from_mins(1);
/// The same for `plan`, whose time is mostly the server's.
const PLAN_PATIENCE: Duration = Duration::from_secs(10);
/// What is over sooner is run twice and the quicker counts, since other work on the machine costs a little processor time too.
const TWICE: Duration = Duration::from_secs(3);

pub(crate) fn measure(table: &mut Table, scale: Scale) {
    let sizes: &[usize] = scale.pick(&[10, 100, 1000, 5000, 20_000], &[10, 40]);
    let servers = Servers::start();
    for many in ALL {
        both(table, many, sizes_of(many, sizes), &servers);
    }
    languages(table, sizes.last().copied().unwrap_or_default());
    whole_runs(table, &servers, sizes);
    judge(table);
}

/// The same set as one map in each language. YAML may cost three times as much as JSON, and 64 MiB.
fn languages(table: &mut Table, size: usize) {
    let best = |file: &str, text: String| {
        let sandbox = patient(Sandbox::new("k-init"));
        sandbox.write(file, text);
        let runs = (0..3).map(|_| sandbox.run(&["validate"]));
        let best = runs.min_by_key(|run| run.cpu).expect("three runs were made");
        best.expect_code(0);
        best
    };
    let topic = |n: usize| {
        format!(
            "\"topic-{n}\": {{\n  \"partitions\": 3,\n  \"config\": {{\n    \"retention.ms\": {n},\n    \"cleanup.policy\": \"compact\"\n  }}\n}}"
        )
    };
    let json = best("topics.json", format!("{{{}}}", (0..size).map(topic).collect::<Vec<_>>().join(",\n")));
    let topic =
        |n| format!("topic-{n}:\n  partitions: 3\n  config:\n    retention.ms: {n}\n    cleanup.policy: compact\n");
    let yaml = best("topics.yaml", (0..size).map(topic).collect());
    let (times, most) = (yaml.cpu.as_secs_f64() / json.cpu.as_secs_f64(), mebibytes(yaml.peak_rss));
    let line = format!(
        "validate of {size} topics in one file: JSON {:.0?} and {:.1} MiB; YAML {:.0?} and {most:.1} MiB, {times:.1} times as long (bound 3, 64 MiB)",
        json.cpu,
        mebibytes(json.peak_rss),
        yaml.cpu,
    );
    say(&line);
    table.note(line);
}

/// Large bodies in a number that their size allows; what takes a file and a folder for each as well, below the limit of both.
fn sizes_of<'s>(many: &Many, sizes: &'s [usize]) -> &'s [usize] {
    let most = match many.name {
        name if name.ends_with("57 KB") => 1000,
        name if name.ends_with("in a folder of its own") => 5000,
        _ => usize::MAX,
    };
    let count = sizes.iter().take_while(|size| **size <= most).count();
    &sizes[..count]
}

/// Servers that hold nothing.
struct Servers {
    // Before the broker, so that it goes first.
    connect: Connect,
    kafka: Kafka,
    // Before the node, so that it goes first.
    front: IsmFront,
    _node: OpenSearch,
    grafana: Grafana,
}

impl Servers {
    fn start() -> Self {
        let node = OpenSearch::of(Variant::Security2).plain_http().start();
        let kafka = Kafka::of(Version::V4_3).start();
        Self {
            connect: Connect::beside(&kafka),
            kafka,
            front: IsmFront::of(&node),
            _node: node,
            grafana: Grafana::start(Profile::V12, Options::default()),
        }
    }

    fn of(&self, sandbox: Sandbox) -> Sandbox {
        patient(sandbox)
            .env("KAFKA_BOOTSTRAP_SERVERS", self.kafka.bootstrap())
            .env("KAFKA_CONNECT_URL", self.connect.url())
            .env("OPENSEARCH_URL", self.front.url())
            .env("OPENSEARCH_USERNAME", OpenSearch::ADMIN.0)
            .env("OPENSEARCH_PASSWORD", OpenSearch::ADMIN.1)
            .env("GRAFANA_URL", self.grafana.url())
            .env("GRAFANA_USERNAME", "admin")
            .env("GRAFANA_PASSWORD", "admin")
    }
}

fn patient(sandbox: Sandbox) -> Sandbox {
    let sandbox = sandbox.unsearched().env("APPLY_TIMEOUT", "10m").env("REQUEST_TIMEOUT", "60s");
    sandbox.deadline(Duration::from_mins(12))
}

/// `validate` and `plan` of the same files at growing sizes.
fn both(table: &mut Table, many: &Many, sizes: &[usize], servers: &Servers) {
    let mut curves = [Growing::of(many, "validate", PATIENCE), Growing::of(many, "plan", PLAN_PATIENCE)];
    // There are as many brokers as a cluster has: `plan` of one that is not there is an error.
    curves[1].ended = many.name == "brokers";
    for &size in sizes {
        if curves.each_mut().map(|curve| curve.ends_before(size, table)) == [true, true] {
            break;
        }
        let sandbox = servers.of(many.sandbox(size));
        for curve in &mut curves {
            curve.run(size, &sandbox, table);
        }
    }
    for growing in curves {
        if !growing.curve.points.is_empty() {
            add(table, growing.curve);
        }
    }
}

/// One command at growing sizes, until the next would take too long.
struct Growing {
    curve: Curve,
    patience: Duration,
    ended: bool,
}

impl Growing {
    fn of(many: &Many, command: &'static str, patience: Duration) -> Self {
        let curve = Curve { program: many.program, kind: many.name.to_owned(), command, points: Vec::new() };
        Self { curve, patience, ended: false }
    }

    fn ends_before(&mut self, size: usize, table: &mut Table) -> bool {
        let Curve { command, kind, points, .. } = &self.curve;
        if let Some(last) = points.last().filter(|last| !self.ended && expected(last, size) > self.patience) {
            let (objects, elapsed) = (last.objects, last.elapsed);
            table.note(format!("{command} of {size} {kind} was not tried: {objects} took {elapsed:.1?}"));
            self.ended = true;
        }
        self.ended
    }

    fn run(&mut self, size: usize, sandbox: &Sandbox, table: &mut Table) {
        if self.ended {
            return;
        }
        let Curve { command, kind, points, .. } = &mut self.curve;
        let mut run = sandbox.run(&[*command]);
        if run.elapsed < TWICE {
            let other = sandbox.run(&[*command]);
            run = if other.cpu < run.cpu { other } else { run };
        }
        if matches!(run.code(), Some(0 | 2)) {
            return points.push(point(size, &run));
        }
        let error = run.last()["error"].as_str().unwrap_or_default().to_owned();
        table.note(format!("{command} of {size} {kind} failed: {error}"));
        self.ended = true;
    }
}

fn point(objects: usize, run: &Run) -> Point {
    let last = run.last();
    let requests = last["requests"].as_u64().unwrap_or_default();
    Point { objects, cpu: run.cpu, elapsed: run.elapsed, memory: run.peak_rss, requests }
}

fn add(table: &mut Table, curve: Curve) {
    let shown: Vec<String> = curve
        .points
        .iter()
        .map(|at| format!("{}: {:.0?}, {:.1} MiB, {} requests", at.objects, at.cpu, mebibytes(at.memory), at.requests))
        .collect();
    say(&format!("{} {} {}: {}", curve.program, curve.command, curve.kind, shown.join("; ")));
    table.curves.push(curve);
}

/// As the worst that is allowed would have it.
fn expected(last: &Point, size: usize) -> Duration {
    last.elapsed.mul_f64(ratio(size, last.objects))
}

#[expect(clippy::cast_precision_loss, reason = "numbers of objects are small")]
fn ratio(larger: usize, smaller: usize) -> f64 {
    larger as f64 / smaller as f64
}

/// First and second runs of one kind each, against a server that keeps what it is given.
fn whole_runs(table: &mut Table, servers: &Servers, sizes: &[usize]) {
    let mut whole = |kind: &str, most: usize, server: &dyn Fn(Sandbox) -> (Sandbox, Box<dyn std::any::Any>)| {
        let many = Many::of(kind);
        let (mut first, mut second): (Vec<Point>, Vec<Point>) = (Vec::new(), Vec::new());
        for &size in sizes.iter().filter(|size| **size <= most) {
            if first.last().is_some_and(|last| expected(last, size) > PATIENCE * 2) {
                break;
            }
            let (sandbox, _server) = server(patient(many.sandbox(size)));
            let run = sandbox.run(&[]);
            run.expect_code(0);
            first.push(point(size, &run));
            let run = sandbox.run(&[]);
            run.expect_code(0);
            assert_eq!(run.count("writes"), 0, "{run}");
            second.push(point(size, &run));
        }
        for (command, points) in [("first run", first), ("second run", second)] {
            add(table, Curve { program: many.program, kind: kind.to_owned(), command, points });
        }
    };
    // More partitions than that take more mapped files than Linux gives a process by default.
    whole("topics", 5000, &|sandbox| (servers.of(sandbox), Box::new(())));
    whole("component_templates", usize::MAX, &|sandbox| {
        let server = fixture::cluster();
        (sandbox.env("OPENSEARCH_URL", server.url()), Box::new(server))
    });
    whole("dashboards", usize::MAX, &|sandbox| {
        let server = Grafana::start(Profile::V12, Options::default());
        let sandbox = sandbox.env("GRAFANA_URL", server.url());
        (sandbox.env("GRAFANA_USERNAME", "admin").env("GRAFANA_PASSWORD", "admin"), Box::new(server))
    });
}

impl Curve {
    /// How many times the processor time of the second largest size the largest takes, per doubling; nothing where both are too short to tell.
    pub(crate) fn per_doubling(&self) -> Option<f64> {
        let [.., smaller, larger] = self.points.as_slice() else { return None };
        let grown = larger.cpu.as_secs_f64() / smaller.cpu.as_secs_f64();
        let doublings = ratio(larger.objects, smaller.objects).log2();
        (smaller.cpu >= Duration::from_millis(20)).then(|| grown.powf(1.0 / doublings))
    }

    /// What so many objects may take, in MiB.
    pub(crate) fn memory_bound(point: &Point) -> f64 {
        if point.objects > 5000 { 64.0 } else { 48.0 }
    }

    pub(crate) fn holds(&self) -> bool {
        self.per_doubling().is_none_or(|ratio| ratio <= DOUBLING)
            && self.points.iter().all(|point| mebibytes(point.memory) <= Self::memory_bound(point))
    }
}

/// The worst of each program and command.
fn judge(table: &mut Table) {
    let curves = std::mem::take(&mut table.curves);
    let each = ["k-init", "os-init", "grafana-init"]
        .iter()
        .flat_map(|program| ["validate", "plan", "first run", "second run"].map(|command| (*program, command)));
    let of = |(program, command): (&str, &str)| -> Vec<&Curve> {
        curves.iter().filter(|curve| curve.program == program && curve.command == command).collect()
    };
    for (program, command) in each.clone() {
        let steepest = of((program, command))
            .into_iter()
            .filter_map(|curve| Some((curve.per_doubling()?, curve)))
            .max_by(|left, right| left.0.total_cmp(&right.0));
        if let Some((ratio, curve)) = steepest {
            let most = curve.points.last().map_or(0, |point| point.objects);
            let what = "growth: processor time for twice as many objects, the steepest kind";
            let found = format!("{ratio:.2} × ({most} {})", curve.kind);
            let row = table.fact(what, &format!("{program} {command}"), found);
            row.bound(format!("≤ {DOUBLING} ×"), ratio <= DOUBLING);
        }
    }
    for (program, command) in each {
        let heaviest = of((program, command))
            .into_iter()
            .flat_map(|curve| curve.points.iter().map(move |point| (point, curve)))
            .max_by(|left, right| by_bound(left.0).total_cmp(&by_bound(right.0)));
        if let Some((point, curve)) = heaviest {
            let (used, bound) = (mebibytes(point.memory), Curve::memory_bound(point));
            let found = format!("{used:.1} MiB ({} {})", point.objects, curve.kind);
            let row = table.fact("growth: peak memory, the heaviest kind", &format!("{program} {command}"), found);
            row.bound(format!("≤ {bound} MiB"), used <= bound);
        }
    }
    table.curves = curves;
}

fn by_bound(point: &Point) -> f64 {
    mebibytes(point.memory) / Curve::memory_bound(point)
}
