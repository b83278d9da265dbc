//! From the moment that a server can be used to the moment that somebody knows: the programs beside the shell's ways, which know ports alone.
//! Each waits for a port of its own, and all ports open at the same moment.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kit::sandbox::{Running, Sandbox, program_path};
use kit::scripted_http::{Answer, ScriptedHttp};
use kit::scripted_kafka::ScriptedKafka;
use serde_json::json;

use crate::sides::{Scale, process, python};
use crate::table::{Samples, Table, shown};

const LOOP: &str = "until nc -z; do sleep 1; done";

pub(crate) fn measure(table: &mut Table, scale: Scale) {
    random_moment(table, scale.pick(100, 4));
    opens_and_closes(table, scale.pick(5, 1));
    late_name(table, scale.pick(5, 1));
    silent_first(table, scale.pick(5, 1));
}

/// One that is no program of ours waits for an address; nothing where it is not installed.
fn peer(name: &str, host: &str, port: u16) -> Option<(Sandbox, Vec<String>)> {
    let installed = |tool: &str| {
        let found = ["/usr/local/bin", "/usr/bin", "/bin"].map(|folder| PathBuf::from(folder).join(tool));
        found.into_iter().find(|path| path.exists())
    };
    if name == LOOP {
        installed("nc")?;
        let script = format!("until nc -z {host} {port}; do sleep 1; done");
        return Some((Sandbox::of(&installed("sh")?), vec!["-c".to_owned(), script]));
    }
    let arguments = ["--timeout=0", &format!("{host}:{port}")].map(str::to_owned);
    Some((Sandbox::of(&installed("wait-for-it")?), arguments.into()))
}

fn start((sandbox, arguments): &(Sandbox, Vec<String>)) -> Running {
    sandbox.spawn(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

const PEERS: [&str; 2] = ["wait-for-it", LOOP];

/// What a Grafana says to a probe.
fn healthy(path: &str) -> Answer {
    match path {
        "/api/health" => Answer::json(200, &json!({"database": "ok", "version": "12.4.0", "commit": "c"})),
        _ => Answer::json(200, &json!({"id": 1, "name": "Main Org.", "login": "admin", "isGrafanaAdmin": true})),
    }
}

/// A Grafana that answers 503 until it is ready.
struct Slow {
    server: ScriptedHttp,
    ready: Arc<AtomicBool>,
}

impl Slow {
    fn new() -> Self {
        let ready = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ready);
        let server = ScriptedHttp::new(move |request, _| {
            if seen.load(Ordering::SeqCst) { healthy(request.path()) } else { Answer::json(503, &json!({})) }
        });
        Self { server, ready }
    }

    fn url(&self) -> String {
        self.server.url()
    }
}

fn grafana_init(url: &str) -> Sandbox {
    Sandbox::new("grafana-init").env("GRAFANA_URL", url).env("GRAFANA_TOKEN", "glsa_bench")
}

fn k_init(bootstrap: &str) -> Sandbox {
    Sandbox::new("k-init").env("KAFKA_BOOTSTRAP_SERVERS", bootstrap)
}

/// A number in a range that differs from trial to trial and not from run to run.
fn moment(trial: u64, low: u64, high: u64) -> Duration {
    // A linear congruential step is random enough to meet every phase of a schedule.
    let random = trial.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407) >> 33;
    Duration::from_millis(low + random % (high - low))
}

fn random_moment(table: &mut Table, trials: u64) {
    let (mut noticed, mut ready, mut kafka_ready) = (Samples::default(), Samples::default(), Samples::default());
    let mut others = PEERS.map(|name| (name, Samples::default()));
    for trial in 0..trials {
        let slow = Slow::new();
        let brokers = ScriptedKafka::new(1);
        let doors = PEERS.map(|_| ScriptedHttp::routes([]));
        slow.server.refuse();
        brokers.refuse(1);
        doors.iter().for_each(ScriptedHttp::refuse);
        let ours = grafana_init(&slow.url()).spawn(&["wait"]);
        let kafka = k_init(&brokers.bootstrap()).spawn(&["wait"]);
        let waiting: Vec<_> =
            PEERS.iter().zip(&doors).map(|(name, door)| peer(name, "127.0.0.1", door.address().port())).collect();
        let waiting: Vec<Option<Running>> = waiting.iter().map(|peer| peer.as_ref().map(start)).collect();
        kit::pause(moment(trial, 200, 1700));
        slow.server.allow();
        brokers.allow(1);
        doors.iter().for_each(ScriptedHttp::allow);
        let opened = Instant::now();
        // Each is waited for on a thread of its own, so that none waits for another's end.
        std::thread::scope(|scope| {
            let ends: Vec<_> = waiting
                .into_iter()
                .map(|running| running.map(|running| scope.spawn(move || ended(running, opened))))
                .collect();
            let kafka = scope.spawn(move || ended(kafka, opened));
            kit::eventually(Duration::from_secs(10), || slow.server.connections() > 0);
            noticed.push(opened.elapsed());
            kit::pause(moment(trial + 1000, 50, 500));
            slow.ready.store(true, Ordering::SeqCst);
            let flipped = Instant::now();
            ready.push(ended(ours, flipped));
            kafka_ready.push(kafka.join().expect("it is waited for"));
            for (end, (_, samples)) in ends.into_iter().zip(&mut others) {
                if let Some(end) = end {
                    samples.push(end.join().expect("it is waited for"));
                }
            }
        });
    }
    let shown_in =
        |samples: &Samples| format!("p50 {}, p99 {}", shown(samples.percentile(50)), shown(samples.percentile(99)));
    let what = format!("a port opens at a random moment ({trials} trials): until it is noticed");
    let holds = noticed.percentile(50) <= 50.0 && noticed.percentile(99) <= 150.0;
    table.fact(&what, "grafana-init wait", shown_in(&noticed)).bound("p50 ≤ 50 ms, p99 ≤ 150 ms", holds);
    for (name, samples) in others {
        if samples.median() > 0.0 {
            table.fact(&what, &format!("{name} (its end)"), shown_in(&samples));
        } else {
            table.note(format!("{name} is left out: it is not installed"));
        }
    }
    let what = format!("a server becomes ready at a random moment ({trials} trials): until the program has ended");
    for (name, samples) in [("grafana-init wait", ready), ("k-init wait", kafka_ready)] {
        table.fact(&what, name, shown_in(&samples)).bound("p99 ≤ 250 ms", samples.percentile(99) <= 250.0);
    }
}

/// From a moment to the program's good end.
fn ended(running: Running, from: Instant) -> Duration {
    running.wait().expect_code(0);
    from.elapsed()
}

/// A published port without a server behind it accepts and closes.
fn opens_and_closes(table: &mut Table, trials: usize) {
    let what = "a port that accepts and closes at once, for two seconds: taken for a server that is ready";
    let door = ScriptedHttp::new(|_, _| Answer::Close);
    let address: SocketAddr = door.address();
    let fooled = |start: &dyn Fn() -> Running| {
        let mut count = 0;
        for _ in 0..trials {
            let mut running = start();
            let end = Instant::now() + Duration::from_secs(2);
            while running.running() && Instant::now() < end {
                kit::pause(Duration::from_millis(10));
            }
            count += usize::from(!running.running());
        }
        count
    };
    for (name, sandbox) in
        [("grafana-init wait", grafana_init(&door.url())), ("k-init wait", k_init(&address.to_string()))]
    {
        let count = fooled(&|| sandbox.spawn(&["wait"]));
        table.fact(what, name, format!("{count} of {trials}")).bound("never", count == 0);
    }
    for name in PEERS {
        if let Some(peer) = peer(name, "127.0.0.1", address.port()) {
            table.fact(what, name, format!("{} of {trials}", fooled(&|| start(&peer))));
        }
    }
}

/// A name that is not there yet, where the resolver does not answer: as for a service of a Compose project whose container starts late, on a
/// host whose own resolver cannot be reached.
fn late_name(table: &mut Table, trials: usize) {
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let (hosts, resolver) = (folder.path().join("hosts"), folder.path().join("resolv.conf"));
    let say = |text: &str| std::fs::write(&hosts, text).expect("the temporary folder can be written");
    // Nobody is at this address: it is for documentation.
    std::fs::write(&resolver, "nameserver 192.0.2.1\noptions timeout:1 attempts:1\n").expect("the same folder");
    // In a mount namespace of its own, where both files are ours.
    let inside = |program: &str| {
        let script = format!(
            "mount --bind {} /etc/hosts && mount --bind {} /etc/resolv.conf && exec {program}",
            hosts.display(),
            resolver.display()
        );
        ["--mount", "sh", "-c", &script].map(str::to_owned).to_vec()
    };
    say("127.0.0.1 localhost\n");
    let mut allowed = Command::new("unshare");
    if !allowed.args(inside("true")).output().is_ok_and(|output| output.status.success()) {
        table.note("the name that appears late is left out: a mount namespace cannot be made here, root is needed");
        return;
    }
    let unshare = PathBuf::from("/usr/bin/unshare");
    let door = ScriptedHttp::new(|request, _| healthy(request.path()));
    let port = door.address().port();
    let ours = program_path("grafana-init").display().to_string();
    let sides = [
        ("grafana-init wait", format!("{ours} wait")),
        ("wait-for-it", format!("wait-for-it --timeout=0 late:{port}")),
        (LOOP, format!("sh -c 'until nc -z late {port}; do sleep 1; done'")),
    ];
    let what = "a name appears late, no resolver answers: until the end";
    for (name, program) in sides {
        if name != "grafana-init wait" && peer(name, "late", port).is_none() {
            continue;
        }
        let sandbox =
            Sandbox::of(&unshare).env("GRAFANA_URL", format!("http://late:{port}")).env("GRAFANA_TOKEN", "glsa_bench");
        let arguments = inside(&program);
        let mut samples = Samples::default();
        for trial in 0..trials {
            say("127.0.0.1 localhost\n");
            let running = sandbox.spawn(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
            kit::pause(moment(u64::try_from(trial).expect("a small number"), 1500, 3500));
            say("127.0.0.1 localhost late\n");
            samples.push(ended(running, Instant::now()));
        }
        table.row(what, name, &samples, &Samples::default());
    }
}

/// The first of two addresses accepts and says nothing.
fn silent_first(table: &mut Table, trials: usize) {
    let what = "the first of two addresses is silent: from the start to the end";
    let silent = ScriptedHttp::new(|_, _| Answer::Silent);
    let good = ScriptedHttp::new(|request, _| healthy(request.path()));
    let brokers = ScriptedKafka::new(1);
    let bootstrap = format!("{},{}", silent.address(), brokers.bootstrap());
    let both = format!("{},{}", silent.url(), good.url());
    for (name, sandbox) in [("grafana-init wait", grafana_init(&both)), ("k-init wait", k_init(&bootstrap))] {
        let sandbox = sandbox.env("WAIT_TIMEOUT", "15s");
        let runs: Vec<_> = (0..trials).map(|_| sandbox.run(&["wait"])).collect();
        let mut samples = Samples::default();
        for run in &runs {
            samples.push(run.elapsed);
        }
        let good = runs.iter().filter(|run| run.code() == Some(0)).count();
        table.row(what, name, &samples, &Samples::default()).bound(format!("{good} of {trials} ready"), good == trials);
    }
    if let Ok(python) = python() {
        let script = format!(
            "from confluent_kafka.admin import AdminClient\nAdminClient({{'bootstrap.servers': '{bootstrap}'}}).list_topics(timeout=30)"
        );
        let mut samples = Samples::default();
        (0..trials).for_each(|_| samples.push(process(Command::new(&python).args(["-c", &script]))));
        table.row(what, "confluent-kafka, list topics", &samples, &Samples::default());
    }
}
