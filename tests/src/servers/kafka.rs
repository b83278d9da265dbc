//! Real Kafka: one broker or several, of the oldest and the newest supported version. The truth about it comes from Kafka's own Java client.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::{
    DescribeQuorumRequest, DescribeQuorumResponse, MetadataRequest, MetadataResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{Nodes, prepare, script};
use crate::kafka_wire::Connection;
use crate::ports::Lease;
use crate::process::Guarded;

/// The versions that are tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The oldest.
    V3_9,
    /// The newest that Maven Central carries.
    V4_3,
}

impl Version {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V3_9, Self::V4_3];

    /// Its number.
    pub fn number(self) -> &'static str {
        match self {
            Self::V3_9 => "3.9.2",
            Self::V4_3 => "4.3.1",
        }
    }
}

/// How a client may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// No encryption, no login; everybody may do everything.
    Plain,
    /// Login, no encryption.
    Sasl,
    /// Login and encryption.
    SaslTls,
    /// Encryption and a client certificate.
    MutualTls,
}

impl Listener {
    fn digit(self) -> u16 {
        match self {
            Self::Plain => 2,
            Self::Sasl => 4,
            Self::SaslTls => 5,
            Self::MutualTls => 6,
        }
    }
}

/// What to start.
#[derive(Clone, Debug)]
pub struct Plan {
    version: Version,
    nodes: usize,
    settings: Vec<String>,
    zookeeper: bool,
}

impl Plan {
    /// This many nodes in place of one.
    #[must_use]
    pub fn nodes(mut self, count: usize) -> Self {
        self.nodes = count;
        self
    }

    /// One line more in every node's `server.properties`.
    #[must_use]
    pub fn setting(mut self, line: &str) -> Self {
        self.settings.push(line.to_owned());
        self
    }

    /// Brokers with a `ZooKeeper` in place of controllers of their own, as before Kafka 4.
    #[must_use]
    pub fn zookeeper(mut self) -> Self {
        self.zookeeper = true;
        self
    }

    /// Has the addresses, but starts no broker yet.
    pub fn cold(self) -> Kafka {
        prepare("kafka.sh", self.version.number());
        let nodes = Nodes::new(self.nodes, "broker.log");
        let keeper = self.zookeeper.then(|| {
            let address = nodes.node(1).ports.address(7);
            let mut command = Command::new(script("kafka.sh"));
            command.args(["zookeeper", self.version.number(), &address.port().to_string()]).arg(nodes.folder.path());
            let keeper = Guarded::spawn(&mut command, nodes.folder.path()).expect("bash is there");
            // A broker that comes before it serves hangs for as long as its session lasts, and ends.
            crate::eventually(Duration::from_secs(30), || serves(address).unwrap_or(false));
            (address, keeper)
        });
        Kafka { version: self.version, settings: self.settings, nodes, keeper }
    }

    /// Starts all nodes and waits until they answer and know each other.
    pub fn start(self) -> Kafka {
        let kafka = self.cold();
        kafka.launch();
        kafka.wait_ready();
        kafka
    }
}

/// Whether a `ZooKeeper` serves, by its own word for asking that.
fn serves(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(b"srvr")?;
    let mut said = String::new();
    stream.read_to_string(&mut said)?;
    Ok(said.contains("Mode:"))
}

/// A worker of Kafka Connect. Dropped, it ends.
pub struct Connect {
    address: SocketAddr,
    folder: tempfile::TempDir,
    process: Guarded,
    // Held for as long as the worker listens there.
    _ports: Lease,
}

impl Connect {
    /// Starts a worker beside a cluster and waits until it answers.
    pub fn beside(kafka: &Kafka) -> Self {
        // Downloading its jars is no part of the start.
        let jars = Command::new(script("kafka.sh")).args(["connect-jars", kafka.version.number()]).output();
        let jars = jars.expect("bash is there");
        assert!(jars.status.success(), "kafka.sh connect-jars: {}", String::from_utf8_lossy(&jars.stderr));
        let ports = Lease::new();
        let address = ports.address(0);
        let folder =
            tempfile::Builder::new().prefix("init-connect-").tempdir().expect("the temporary folder can be written");
        let mut command = Command::new(script("kafka.sh"));
        command.args(["connect", kafka.version.number(), &kafka.bootstrap(), &address.port().to_string()]);
        command.arg(folder.path());
        let process = Guarded::spawn(&mut command, folder.path()).expect("bash is there");
        let mut connect = Self { address, folder, process, _ports: ports };
        let end = Instant::now() + Duration::from_mins(3);
        while connect.get("/connectors").is_none() {
            assert!(connect.process.running() && Instant::now() < end, "no worker: {}", connect.log());
            crate::pause(Duration::from_millis(50));
        }
        connect
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A folder that the worker can read.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it answers to a GET; `None` where that is no JSON with status 200.
    pub fn get(&self, path: &str) -> Option<Value> {
        let output =
            Command::new("curl").args(["-sf", &format!("{}{path}", self.url())]).output().expect("curl is there");
        output.status.success().then(|| serde_json::from_slice(&output.stdout).ok()).flatten()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("connect.log")).unwrap_or_default()
    }
}

/// A Kafka cluster. Nodes are numbered from 1, as their broker ids are.
pub struct Kafka {
    version: Version,
    settings: Vec<String>,
    nodes: Nodes,
    /// The `ZooKeeper`, where there is one.
    keeper: Option<(SocketAddr, Guarded)>,
}

impl Kafka {
    /// The super user on the SASL listeners, for all three mechanisms.
    pub const ADMIN: (&str, &str) = ("admin", "admin-secret");
    /// Who may log in by PLAIN and do nothing.
    pub const LIMITED: (&str, &str) = ("limited", "limited-secret");

    /// One broker of this version, to be refined.
    pub fn of(version: Version) -> Plan {
        Plan { version, nodes: 1, settings: Vec::new(), zookeeper: false }
    }

    /// One broker that the cases of a test binary use together; each with names of its own.
    pub fn shared(version: Version) -> &'static Self {
        static SHARED: [OnceLock<Kafka>; 2] = [const { OnceLock::new() }; 2];
        SHARED[version as usize].get_or_init(|| Self::of(version).start())
    }

    /// A token for OAUTHBEARER, good for an hour: unsigned, which these brokers accept.
    pub fn token(user: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970").as_secs();
        let claims = json!({"sub": user, "iat": now, "exp": now + 3600});
        format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    /// Its version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// `host:port` of all nodes, on the listener without login.
    pub fn bootstrap(&self) -> String {
        self.bootstrap_on(Listener::Plain)
    }

    /// `host:port` of all nodes on one listener.
    pub fn bootstrap_on(&self, listener: Listener) -> String {
        (1..=self.nodes.count()).map(|node| self.address(node, listener).to_string()).collect::<Vec<_>>().join(",")
    }

    /// Where one node listens.
    pub fn address(&self, node: usize, listener: Listener) -> SocketAddr {
        self.nodes.node(node).ports.address(listener.digit())
    }

    /// Starts every node that does not run; does not wait.
    pub fn launch(&self) {
        (1..=self.nodes.count()).for_each(|node| self.launch_node(node));
    }

    /// Starts one node, if it does not run, with the data that it has; does not wait.
    pub fn launch_node(&self, node: usize) {
        let mut command = Command::new(script("kafka.sh"));
        command.args(["start", self.version.number()]);
        if let Some((address, _)) = &self.keeper {
            command.env("ZOOKEEPER", address.to_string());
        }
        self.nodes.start(node, command, &self.settings);
    }

    /// Waits until every node answers and knows all of them.
    pub fn wait_ready(&self) {
        let count = self.nodes.count();
        for node in 1..=count {
            self.nodes.wait_for(node, Duration::from_mins(1), || {
                self.brokers_known_to(node).is_ok_and(|known| known == count)
            });
        }
    }

    /// The id of the controller, as one node sees it. A broker that runs `KRaft` names any that lives: ask [`Self::leader`].
    pub fn controller(&self, node: usize) -> anyhow::Result<usize> {
        let mut connection = Connection::open(self.address(node, Listener::Plain), Duration::from_secs(2))?;
        let answer: MetadataResponse =
            connection.call(&MetadataRequest::default().with_topics(Some(Vec::new())), 12)?;
        Ok(usize::try_from(answer.controller_id.0)?)
    }

    /// The id of the controller that leads the quorum, as one node sees it.
    pub fn leader(&self, node: usize) -> anyhow::Result<usize> {
        let mut connection = Connection::open(self.address(node, Listener::Plain), Duration::from_secs(2))?;
        let partition = PartitionData::default().with_partition_index(0);
        let topic = TopicData::default()
            .with_topic_name(TopicName(StrBytes::from_static_str("__cluster_metadata")))
            .with_partitions(vec![partition]);
        let answer: DescribeQuorumResponse =
            connection.call(&DescribeQuorumRequest::default().with_topics(vec![topic]), 1)?;
        let partition = answer.topics.first().and_then(|topic| topic.partitions.first());
        Ok(usize::try_from(partition.context("the answer names no partition")?.leader_id.0)?)
    }

    /// Moves the data of all nodes, which must not run, to the other version: what an upgrade of the programs does.
    #[must_use]
    pub fn upgraded(mut self, version: Version) -> Self {
        prepare("kafka.sh", version.number());
        self.version = version;
        self
    }

    fn brokers_known_to(&self, node: usize) -> anyhow::Result<usize> {
        let mut connection = Connection::open(self.address(node, Listener::Plain), Duration::from_secs(2))?;
        let answer: MetadataResponse =
            connection.call(&MetadataRequest::default().with_topics(Some(Vec::new())), 12)?;
        Ok(answer.brokers.len())
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

    /// The process id of a node that was started and not stopped.
    pub fn process_id(&self, node: usize) -> Option<u32> {
        self.nodes.id(node)
    }

    /// Asks through Kafka's own Java client: `["all"]`, `["records", "orders"]`; the head of `setup/kafka/Oracle.java` has the list.
    #[track_caller]
    pub fn oracle(&self, question: &[&str]) -> Value {
        self.oracle_with(&self.bootstrap(), "", question)
    }

    /// The same on another listener, with the lines of a Java client's `.properties` file.
    #[track_caller]
    pub fn oracle_with(&self, bootstrap: &str, properties: &str, question: &[&str]) -> Value {
        let mut file = tempfile::NamedTempFile::new().expect("the temporary folder can be written");
        file.write_all(properties.as_bytes()).expect("the temporary folder can be written");
        let mut command = Command::new(script("kafka.sh"));
        command.args(["oracle", self.version.number(), bootstrap]).args(question).env("ORACLE_CONFIG", file.path());
        let output = command.output().expect("bash is there");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "Kafka's own client failed on {question:?}: {said}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
    }
}
