//! Real servers, started from `tests/setup`, each with a fresh folder and leased ports, and stopped when dropped. What a case asks them
//! to find out the truth goes through tools that are not ours: Kafka's own Java client, and curl.

pub mod kafka;
pub mod kfake;
pub mod opensearch;
pub mod oracle;
pub mod prometheus;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

pub use kafka::Kafka;
pub use opensearch::OpenSearch;
pub use oracle::Oracle;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::ports::Lease;
use crate::process::Guarded;

/// Where downloads are kept between runs, by the servers' scripts too.
pub fn cache() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").expect("HOME or INIT_TEST_CACHE is set"));
    std::env::var_os("INIT_TEST_CACHE").map_or_else(|| home().join(".cache/init-sidecars-tests"), PathBuf::from)
}

/// The script of one server.
fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("setup").join(name)
}

/// Downloads what the server is made of, once a process, so that a start is a start.
fn prepare(name: &str, variant: &str) {
    static PREPARED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut prepared = lock(&PREPARED);
    if prepared.insert(format!("{name} {variant}")) {
        let output = Command::new(script(name)).args(["fetch", variant]).output().expect("bash is there");
        assert!(output.status.success(), "{name} fetch {variant}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The addresses and folders of a server's nodes, and the processes of those that run.
struct Nodes {
    all: Vec<Node>,
    folder: TempDir,
    log: &'static str,
}

struct Node {
    ports: Lease,
    folder: PathBuf,
    process: Mutex<Option<Guarded>>,
}

impl Nodes {
    fn new(count: usize, log: &'static str) -> Self {
        let folder =
            tempfile::Builder::new().prefix("init-server-").tempdir().expect("the temporary folder can be written");
        let node = |number: usize| Node {
            ports: Lease::new(),
            folder: folder.path().join(format!("node-{number}")),
            process: Mutex::new(None),
        };
        Self { all: (1..=count).map(node).collect(), folder, log }
    }

    fn node(&self, number: usize) -> &Node {
        number.checked_sub(1).and_then(|index| self.all.get(index)).expect("nodes are numbered from 1")
    }

    fn bases(&self) -> String {
        self.all.iter().map(|node| node.ports.base().to_string()).collect::<Vec<_>>().join(" ")
    }

    /// Starts a node that does not run; `command` is its script, to which `PORTBASE DIR` and the settings are added.
    fn start(&self, number: usize, mut command: Command, settings: &[String]) {
        let node = self.node(number);
        let mut process = lock(&node.process);
        if process.as_mut().is_some_and(Guarded::running) {
            return;
        }
        command.env("NODES", self.bases()).arg(node.ports.base().to_string()).arg(&node.folder).args(settings);
        *process = Some(Guarded::spawn(&mut command, self.folder.path()).expect("bash is there"));
    }

    /// Polls until the node is ready; fails with its log when it has ended or the time is over.
    fn wait_for(&self, number: usize, deadline: Duration, mut ready: impl FnMut() -> bool) {
        let node = self.node(number);
        let end = Instant::now() + deadline;
        while !ready() {
            let ended = !lock(&node.process).as_mut().is_some_and(Guarded::running);
            assert!(!ended, "node {number} has ended; its log ends with\n{}", self.log_end(number));
            assert!(
                Instant::now() < end,
                "node {number} was not ready within {deadline:?}; its log ends with\n{}",
                self.log_end(number)
            );
            crate::pause(Duration::from_millis(20));
        }
    }

    fn log_end(&self, number: usize) -> String {
        let text = fs::read_to_string(self.node(number).folder.join(self.log)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    fn signal(&self, number: usize, signal: Signal) {
        let mut process = lock(&self.node(number).process);
        process.as_mut().unwrap_or_else(|| panic!("node {number} was not started")).send(signal);
    }

    /// SIGTERM, and until it has ended.
    fn stop(&self, number: usize) {
        let mut process = lock(&self.node(number).process);
        if let Some(mut running) = process.take() {
            running.send(Signal::TERM);
            running.wait();
        }
    }

    /// SIGKILL, and until it has ended.
    fn kill(&self, number: usize) {
        *lock(&self.node(number).process) = None;
    }

    fn id(&self, number: usize) -> Option<u32> {
        lock(&self.node(number).process).as_ref().map(Guarded::id)
    }

    fn count(&self) -> usize {
        self.all.len()
    }
}

/// The folder with the certificates that the servers use and trust: `ca.pem`, `client.crt`, `client.key` and so on (`certificates.sh` has
/// the list).
pub fn certificates() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let output = Command::new(script("kafka.sh")).arg("tls").output().expect("bash is there");
        assert!(output.status.success(), "kafka.sh tls: {}", String::from_utf8_lossy(&output.stderr));
        PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
    })
}
