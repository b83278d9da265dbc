//! Real OpenSearch: one node or several, with and without security. The truth about it comes from curl. The plugins for ISM and snapshot
//! management are in no registry, so these nodes do not have them.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::{Nodes, certificates, prepare, script};
use crate::left_out;

/// What can be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// The oldest line, no plugin.
    Core2,
    /// The newest, no plugin.
    Core3,
    /// 2.x with the security plugin.
    Security2,
    /// 3.x with the security plugin.
    Security3,
    /// 3.x with the plugin for vector search, without its native library.
    Knn3,
}

impl Variant {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Core2, Self::Core3, Self::Security2, Self::Security3, Self::Knn3];

    /// The name that the script gives it; it starts with the version.
    pub fn name(self) -> &'static str {
        match self {
            Self::Core2 => "2.19.6",
            Self::Core3 => "3.8.0",
            Self::Security2 => "2.19.4-security",
            Self::Security3 => "3.4.0-security",
            Self::Knn3 => "3.4.0-knn",
        }
    }

    /// Whether it has the security plugin.
    pub fn secured(self) -> bool {
        matches!(self, Self::Security2 | Self::Security3)
    }

    /// `None` when this machine can run it, else why not: 3.x needs a JDK that not every machine has.
    pub fn missing(self) -> Option<String> {
        let output =
            Command::new(script("opensearch.sh")).args(["usable", self.name()]).output().expect("bash is there");
        (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }

    /// Those of the given ones that this machine can run; another fails the case unless it may be left out.
    #[track_caller]
    pub fn usable(wanted: &[Self]) -> Vec<Self> {
        let usable = |variant: &Self| match variant.missing() {
            None => true,
            Some(reason) => {
                left_out("opensearch-3", &reason);
                false
            }
        };
        wanted.iter().copied().filter(usable).collect()
    }

    /// The case on each of them that this machine can run, two at once: a start is mostly waiting.
    #[track_caller]
    pub fn each(wanted: &[Self], case: impl Fn(Self) + Sync) {
        for pair in Self::usable(wanted).chunks(2) {
            std::thread::scope(|scope| {
                for variant in pair {
                    scope.spawn(|| case(*variant));
                }
            });
        }
    }
}

/// What to start.
#[derive(Clone, Debug)]
pub struct Plan {
    variant: Variant,
    nodes: usize,
    https: bool,
    settings: Vec<String>,
}

impl Plan {
    /// This many nodes in place of one.
    #[must_use]
    pub fn nodes(mut self, count: usize) -> Self {
        self.nodes = count;
        self
    }

    /// HTTP in place of HTTPS though there is security: for a proxy that looks inside.
    #[must_use]
    pub fn plain_http(mut self) -> Self {
        self.https = false;
        self
    }

    /// One line more in every node's `opensearch.yml`.
    #[must_use]
    pub fn setting(mut self, line: &str) -> Self {
        self.settings.push(line.to_owned());
        self
    }

    /// Passwords whose hashes cost nothing, for cases that are not about them: the security plugin forgets who has logged in with each of its
    /// writes, so that a case of many of them waits for little else.
    #[must_use]
    pub fn cheap_hashes(self) -> Self {
        self.setting("plugins.security.password.hashing.bcrypt.rounds: 4")
    }

    /// Has the addresses, but starts nothing yet.
    pub fn cold(self) -> OpenSearch {
        prepare("opensearch.sh", self.variant.name());
        let nodes = Nodes::new(self.nodes, "node.log");
        OpenSearch { variant: self.variant, https: self.https, settings: self.settings, nodes }
    }

    /// Starts all nodes and waits until they answer and have found each other.
    pub fn start(self) -> OpenSearch {
        let opensearch = self.cold();
        opensearch.launch();
        opensearch.wait_ready();
        opensearch
    }
}

/// An OpenSearch cluster. Nodes are numbered from 1.
pub struct OpenSearch {
    variant: Variant,
    https: bool,
    settings: Vec<String>,
    nodes: Nodes,
}

impl OpenSearch {
    /// Who may do everything, with security.
    pub const ADMIN: (&str, &str) = ("admin", "Lab-Admin-Passw0rd!");
    /// Who may log in and do nothing, with security.
    pub const LIMITED: (&str, &str) = ("limited", "Lab-Limited-Passw0rd!");

    /// One node of this variant, to be refined.
    pub fn of(variant: Variant) -> Plan {
        Plan { variant, nodes: 1, https: variant.secured(), settings: Vec::new() }
    }

    /// One node that the cases of a test binary use together; each with names of its own. It speaks plain HTTP, so that proxies can look
    /// inside; who needs HTTPS starts one.
    pub fn shared(variant: Variant) -> &'static Self {
        static SHARED: [OnceLock<OpenSearch>; 5] = [const { OnceLock::new() }; 5];
        SHARED[variant as usize].get_or_init(|| Self::of(variant).plain_http().start())
    }

    /// What was started.
    pub fn variant(&self) -> Variant {
        self.variant
    }

    /// `http://127.0.0.1:PORT` (or `https`) of the first node.
    pub fn url(&self) -> String {
        self.node_url(1)
    }

    /// `http://127.0.0.1:PORT` (or `https`) of one node.
    pub fn node_url(&self, node: usize) -> String {
        let scheme = if self.https { "https" } else { "http" };
        format!("{scheme}://{}", self.nodes.node(node).ports.address(0))
    }

    /// Starts every node that does not run; does not wait.
    pub fn launch(&self) {
        (1..=self.nodes.count()).for_each(|node| self.launch_node(node));
    }

    /// Starts one node, if it does not run, with the data that it has; does not wait.
    pub fn launch_node(&self, node: usize) {
        let mut command = Command::new(script("opensearch.sh"));
        command.args(["start", self.variant.name()]).env("HTTP_TLS", self.https.to_string());
        self.nodes.start(node, command, &self.settings);
    }

    /// Waits until every node answers, knows all of them, and every primary shard is there.
    pub fn wait_ready(&self) {
        let count = self.nodes.count();
        for node in 1..=count {
            self.nodes.wait_for(node, Duration::from_mins(3), || {
                let Ok((200, health)) = self.ask(node, "GET", "/_cluster/health", None) else { return false };
                health["number_of_nodes"] == count && health["status"] != "red"
            });
        }
    }

    /// Ends a node as `kill -9` does, and waits until it has gone.
    pub fn kill(&self, node: usize) {
        self.nodes.kill(node);
    }

    /// Ends a node in an orderly way, and waits until it has gone.
    pub fn stop(&self, node: usize) {
        self.nodes.stop(node);
    }

    /// Stops a node in its tracks: it accepts connections and answers nothing.
    pub fn pause(&self, node: usize) {
        self.nodes.signal(node, Signal::STOP);
    }

    /// Lets a paused node go on.
    pub fn resume(&self, node: usize) {
        self.nodes.signal(node, Signal::CONT);
    }

    /// Where the first node keeps a repository of type `fs` whose location is this relative one.
    pub fn repository(&self, location: &str) -> PathBuf {
        self.nodes.node(1).folder.join("repo").join(location)
    }

    /// The process id of a node that was started and not stopped.
    pub fn process_id(&self, node: usize) -> Option<u32> {
        self.nodes.id(node)
    }

    /// Asks the first node by curl, as the admin: the status and the answer (a string when it is not JSON).
    #[track_caller]
    pub fn curl(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        self.ask(1, method, path, body).unwrap_or_else(|error| panic!("curl {method} {path}: {error}"))
    }

    /// The answer to a GET that has to be 200.
    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        let (status, answer) = self.curl("GET", path, None);
        assert_eq!(status, 200, "GET {path}: {answer}");
        answer
    }

    /// A write by a hand that is not ours; has to be 200 or 201.
    #[track_caller]
    pub fn put(&self, path: &str, body: &Value) {
        let (status, answer) = self.curl("PUT", path, Some(body));
        assert!(matches!(status, 200 | 201), "PUT {path}: {status} {answer}");
    }

    /// The version of the cluster state: it moves with most writes that change something.
    #[track_caller]
    pub fn state_version(&self) -> u64 {
        self.get("/_cluster/state/version")["version"].as_u64().expect("the state's version is a number")
    }

    fn ask(&self, node: usize, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value), String> {
        let mut command = Command::new("curl");
        command.args([
            "--silent",
            "--show-error",
            "--noproxy",
            "*",
            "--max-time",
            "20",
            "--globoff",
            "--write-out",
            "\n%{http_code}",
        ]);
        if method == "HEAD" {
            command.arg("--head");
        } else {
            command.args(["--request", method]);
        }
        if self.https {
            command.arg("--cacert").arg(certificates().join("ca.pem"));
        }
        if self.variant.secured() {
            command.arg("--user").arg(format!("{}:{}", Self::ADMIN.0, Self::ADMIN.1));
        }
        if body.is_some() {
            command.args(["--header", "content-type: application/json", "--data-binary", "@-"]);
        }
        command.arg(self.node_url(node) + path).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("could not run curl: {error}"))?;
        let mut stdin = child.stdin.take().expect("stdin is piped");
        if let Some(body) = body {
            // A server that answers before it has read everything makes curl close its end; its answer is what counts.
            drop(stdin.write_all(body.to_string().as_bytes()));
        }
        drop(stdin);
        let output = child.wait_with_output().map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout);
        let (answer, status) = text.rsplit_once('\n').ok_or("curl printed nothing")?;
        match status.parse() {
            Ok(status @ 100..) => {
                Ok((status, serde_json::from_str(answer).unwrap_or_else(|_| Value::String(answer.to_owned()))))
            }
            _ => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        }
    }
}
