//! What twice as many objects cost: `validate` of every kind, `plan` of those whose bodies or references meet. Processor time may grow 2.3
//! times, memory stays below 48 MiB. Prints its table. The plain suite has a small sample of it, `common_growth`.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use kit::grafana::{Grafana, Options, Profile};
use kit::many::{ALL, Many};
use kit::sandbox::{Run, Sandbox};
use kit::servers::opensearch::{OpenSearch, Variant};

const DOUBLING: f64 = 2.3;
const MEMORY: u64 = 48 << 20;

/// One doubling, and how it came out.
struct Doubled {
    what: String,
    runs: [Run; 2],
}

impl Doubled {
    fn new(what: &str, count: usize, sandbox: impl Fn(usize) -> Sandbox, command: &str) -> Self {
        let run = |count| {
            let sandbox = sandbox(count).deadline(Duration::from_mins(10));
            // The quicker of two, since another's work on the machine costs a little processor time too.
            let [one, other] = [(); 2].map(|()| sandbox.run(&[command]));
            if one.cpu < other.cpu { one } else { other }
        };
        Self { what: format!("{command} {what}: {count}, {}", count * 2), runs: [run(count), run(count * 2)] }
    }

    fn ratio(&self) -> f64 {
        self.runs[1].cpu.as_secs_f64() / self.runs[0].cpu.as_secs_f64()
    }

    /// What is wrong with it; its line goes into the table.
    fn judge(&self, table: &mut String) -> Option<String> {
        let [once, twice] = &self.runs;
        let line = format!(
            "{:<60} {:>9.1?} {:>9.1?}  {:.2}  {:>5.1} MiB  {:>6.1} MB read",
            self.what,
            once.cpu,
            twice.cpu,
            self.ratio(),
            mega(twice.peak_rss, 1 << 20),
            mega(twice.read, 1_000_000)
        );
        let _ = writeln!(table, "{line}");
        let failed = self.runs.iter().find(|run| !matches!(run.code(), Some(0 | 2)));
        match failed {
            Some(run) => Some(format!("{line}\n{run}")),
            None if self.ratio() > DOUBLING || twice.peak_rss > MEMORY => Some(line),
            None => None,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn mega(bytes: u64, unit: u64) -> f64 {
    bytes as f64 / unit as f64
}

fn judge(title: &str, all: &[Doubled]) {
    let mut table = format!("\n{title}: processor time of both, ratio, memory and bytes read of the larger\n");
    let bad: Vec<String> = all.iter().filter_map(|doubled| doubled.judge(&mut table)).collect();
    let _ = writeln!(std::io::stderr(), "{table}");
    assert!(
        bad.is_empty(),
        "more than {DOUBLING} times for twice as many, more than 48 MiB, or failed:\n{}",
        bad.join("\n")
    );
}

/// Small objects in thousands, large ones in hundreds: enough to take a while, so that what a start costs does not hide the growth.
fn count(many: &Many) -> usize {
    match many.name {
        name if name.ends_with("57 KB") => 200,
        "alert_rules (groups of 10)" => 200,
        "library_panels" | "dashboards" => 800,
        // Up to 20,000: the largest set that is promised.
        "topics" => 10_000,
        _ => 2500,
    }
}

#[test]
fn validate_of_twice_as_many_takes_twice_as_long() {
    let all: Vec<Doubled> =
        ALL.iter().map(|many| Doubled::new(many.name, count(many), |count| many.sandbox(count), "validate")).collect();
    judge("validate", &all);
}

/// A list of the server is looked through once, not once for each object.
#[test]
fn plan_on_servers_that_hold_all_of_it_takes_twice_as_long_for_twice_as_many() {
    let servers = RefCell::new(Vec::new());
    let held = |profile: Profile, many: Many, count: usize| {
        let server = Grafana::start(profile, Options::default());
        let sandbox = many.sandbox(count).env("GRAFANA_URL", server.url()).env("APPLY_TIMEOUT", "9m");
        let sandbox = sandbox.env("GRAFANA_USERNAME", "admin").env("GRAFANA_PASSWORD", "admin");
        let sandbox = sandbox.deadline(Duration::from_mins(10));
        sandbox.run(&[]).expect_code(0);
        servers.borrow_mut().push(server);
        sandbox
    };
    let kinds = [("alert_rules (groups of 10)", 100), ("contact_points", 400)];
    let all: Vec<Doubled> = [Profile::V10, Profile::V12]
        .into_iter()
        .flat_map(|profile| kinds.map(|(name, count)| (profile, name, count)))
        .map(|(profile, name, count)| {
            let what = format!("{name} on {profile:?}");
            Doubled::new(&what, count, |count| held(profile, Many::of(name), count), "plan")
        })
        .collect();
    judge("plan on servers that hold all of it", &all);
}

#[test]
fn plan_of_twice_as_many_takes_twice_as_long() {
    let node = OpenSearch::of(Variant::Core2).start();
    let grafana = Grafana::start(Profile::V12, Options::default());
    let sandbox = |many: Many, count: usize| {
        let sandbox = many.sandbox(count).env("OPENSEARCH_URL", node.url()).env("GRAFANA_URL", grafana.url());
        let sandbox = sandbox.env("GRAFANA_USERNAME", "admin").env("GRAFANA_PASSWORD", "admin");
        sandbox.env("APPLY_TIMEOUT", "9m").env("REQUEST_TIMEOUT", "60s")
    };
    let kinds = [
        ("indices, as many index_templates", 100),
        ("indices of 57 KB", 100),
        ("index_templates of 57 KB", 100),
        ("component_templates of 57 KB", 100),
        // Each refers to one of as many others.
        ("library_panels, each in a folder of its own", 800),
        ("public_dashboards", 800),
        ("correlations", 800),
    ];
    let all: Vec<Doubled> = kinds
        .iter()
        .map(|(name, count)| {
            let many = Many::of(name);
            Doubled::new(name, *count, |count| sandbox(many, count), "plan")
        })
        .collect();
    judge("plan on servers that hold nothing", &all);
    for (doubled, (name, _)) in all.iter().zip(kinds) {
        let [once, twice] = &doubled.runs;
        // Each file is read once to check it and once to use it, and the server's answers are no longer than what they are about.
        assert!(twice.read <= once.read * 23 / 10, "{name} read {} and {} bytes", once.read, twice.read);
    }
}
