//! Brokers that answer Kafka's frames as a case tells them to, well or badly. Without a script they answer ApiVersions (everything that the
//! protocol crate knows) and Metadata (themselves, the first as controller, and no topic). No state: a fake that keeps topics is its case's own.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsResponse, BrokerId, MetadataRequest, MetadataResponse, RequestHeader,
};
use kafka_protocol::protocol::{Decodable, HeaderVersion, Request, StrBytes};

use crate::authority::{Duplex, Identity, accept};
use crate::kafka_wire::{Head, encode_answer, framed, read_frame, writes};
use crate::listen::{Door, lock, reset, swallow};

/// The error code for a topic that is not there.
const UNKNOWN_TOPIC: i16 = 3;

/// One request.
#[derive(Clone, Debug)]
pub struct Call {
    /// Which broker got it, from 1.
    pub broker: usize,
    /// Its API key, version and number.
    pub head: Head,
    /// The how manieth of its API key it is, over all brokers, from 1.
    pub nth: usize,
    /// All of it.
    pub frame: Vec<u8>,
}

impl Call {
    /// The message; fails the test when it is another one.
    pub fn message<Q: Request>(&self) -> Q {
        assert_eq!(self.head.key, Q::KEY, "another request was expected");
        let mut rest = Bytes::copy_from_slice(&self.frame);
        RequestHeader::decode(&mut rest, Q::header_version(self.head.version))
            .expect("the client's header can be read");
        Q::decode(&mut rest, self.head.version).expect("the client's request can be read")
    }

    /// A good answer, in the version that was asked in.
    pub fn answer<A: kafka_protocol::protocol::Encodable + HeaderVersion>(&self, message: &A) -> Answer {
        let frame = encode_answer(self.head.correlation, message, self.head.version);
        Answer::Frame(frame.expect("the answer can be written in the version that was asked in"))
    }
}

/// What is done with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A frame; its length is put before it. [`Call::answer`] makes one.
    Frame(Vec<u8>),
    /// The same, so much later.
    Late(Duration, Vec<u8>),
    /// So many bytes of the frame (its length first); then the connection ends.
    Cut(usize, Vec<u8>),
    /// These bytes and nothing else; then the connection ends. `0x7fffffff` makes a fine length.
    Raw(Vec<u8>),
    /// These bytes, then nothing, until the client gives up.
    RawSilent(Vec<u8>),
    /// The connection is reset.
    Reset,
    /// Nothing, until the client gives up.
    Silent,
}

type Script = dyn Fn(&Call) -> Answer + Send + Sync;

/// What a broker knows of the cluster.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// How many of the brokers have joined, from the first on.
    pub brokers: usize,
    /// Which is the controller.
    pub controller: i32,
    /// On how many brokers the one partition of every topic lies, the first of them its leader; `None`: there is no topic.
    pub replicas: Option<i32>,
}

impl Default for View {
    fn default() -> Self {
        Self { brokers: usize::MAX, controller: 1, replicas: None }
    }
}

/// The brokers. Dropped, they cut everything.
pub struct ScriptedKafka {
    doors: Vec<Door>,
    shared: Arc<Shared>,
}

struct Shared {
    identity: Option<Identity>,
    addresses: OnceLock<Vec<SocketAddr>>,
    scripts: Mutex<BTreeMap<i16, Arc<Script>>>,
    log: Mutex<Vec<Call>>,
}

impl ScriptedKafka {
    /// This many brokers.
    pub fn new(brokers: usize) -> Self {
        Self::serve(brokers, None)
    }

    /// This many brokers behind TLS.
    pub fn tls(brokers: usize, identity: Identity) -> Self {
        Self::serve(brokers, Some(identity))
    }

    fn serve(brokers: usize, identity: Option<Identity>) -> Self {
        let shared =
            Arc::new(Shared { identity, addresses: OnceLock::new(), scripts: Mutex::default(), log: Mutex::default() });
        let door = |broker: usize| {
            let serving = Arc::clone(&shared);
            Door::open(move |stream, _| serving.connection(stream, broker))
        };
        let doors: Vec<Door> = (1..=brokers).map(door).collect();
        shared.addresses.set(doors.iter().map(Door::address).collect()).expect("nothing else sets it");
        Self { doors, shared }
    }

    /// What happens to requests of one API key from now on.
    pub fn on(&self, key: ApiKey, script: impl Fn(&Call) -> Answer + Send + Sync + 'static) {
        lock(&self.shared.scripts).insert(key as i16, Arc::new(script));
    }

    /// Answers ApiVersions with these: key, lowest, highest version.
    pub fn offer(&self, versions: &[(i16, i16, i16)]) {
        let keys: Vec<ApiVersion> =
            versions.iter().map(|(key, lowest, highest)| api_version(*key, *lowest, *highest)).collect();
        self.on(ApiKey::ApiVersions, move |call| api_versions(call, keys.clone()));
    }

    /// Answers Metadata with what the asked broker knows at that moment.
    pub fn view(&self, view: impl Fn(&Call) -> View + Send + Sync + 'static) {
        let addresses = self.shared.addresses().to_vec();
        self.on(ApiKey::Metadata, move |call| metadata(call, &addresses, view(call)));
    }

    /// Where clients connect: `host:port,host:port`.
    pub fn bootstrap(&self) -> String {
        self.doors.iter().map(|door| door.address().to_string()).collect::<Vec<_>>().join(",")
    }

    /// How many clients have connected so far, to any broker.
    pub fn connections(&self) -> usize {
        self.doors.iter().map(Door::accepted).sum()
    }

    /// Clients of one broker (from 1) are refused from now on.
    pub fn refuse(&self, broker: usize) {
        self.doors[broker - 1].close();
    }

    /// Clients of one broker are accepted again.
    pub fn allow(&self, broker: usize) {
        self.doors[broker - 1].reopen();
    }

    /// Every request so far.
    pub fn log(&self) -> Vec<Call> {
        lock(&self.shared.log).clone()
    }

    /// How many requests had this API key.
    pub fn count(&self, key: ApiKey) -> usize {
        lock(&self.shared.log).iter().filter(|call| call.head.key == key as i16).count()
    }

    /// How many requests would have changed something.
    pub fn writes(&self) -> usize {
        lock(&self.shared.log).iter().filter(|call| writes(&call.frame)).count()
    }
}

impl Shared {
    fn connection(&self, stream: TcpStream, broker: usize) {
        let Ok(socket) = stream.try_clone() else { return };
        let Ok(mut stream) = accept(stream, self.identity.as_ref()) else { return };
        while let Ok(Some(frame)) = read_frame(&mut stream) {
            let Some(head) = Head::of(&frame) else { return };
            let call = {
                let mut log = lock(&self.log);
                let nth = 1 + log.iter().filter(|call| call.head.key == head.key).count();
                let call = Call { broker, head, nth, frame };
                log.push(call.clone());
                call
            };
            let script = lock(&self.scripts).get(&head.key).cloned();
            let answer = script.map_or_else(|| self.usual(&call), |script| script(&call));
            if !send(answer, &mut stream, &socket) {
                return;
            }
        }
    }

    fn usual(&self, call: &Call) -> Answer {
        match ApiKey::try_from(call.head.key) {
            Ok(ApiKey::ApiVersions) => {
                let all = ApiKey::iter().map(|key| (key as i16, key.valid_versions()));
                api_versions(call, all.map(|(key, versions)| api_version(key, versions.min, versions.max)).collect())
            }
            Ok(ApiKey::Metadata) => metadata(call, self.addresses(), View::default()),
            // As a broker does with what it does not know.
            Ok(_) | Err(()) => Answer::Reset,
        }
    }

    fn addresses(&self) -> &[SocketAddr] {
        self.addresses.get().map(Vec::as_slice).unwrap_or_default()
    }
}

fn metadata(call: &Call, addresses: &[SocketAddr], view: View) -> Answer {
    let request: MetadataRequest = call.message();
    let brokers = addresses.iter().zip(1..).take(view.brokers).map(|(address, id)| {
        let host = StrBytes::from_string(address.ip().to_string());
        MetadataResponseBroker::default().with_node_id(BrokerId(id)).with_host(host).with_port(address.port().into())
    });
    let topics = request.topics.iter().flatten().map(|topic| {
        let found = MetadataResponseTopic::default()
            .with_name(topic.name.clone())
            .with_topic_id(topic.topic_id)
            .with_topic_authorized_operations(i32::MIN);
        let Some(replicas) = view.replicas else { return found.with_error_code(UNKNOWN_TOPIC) };
        let nodes = || (1..=replicas).map(BrokerId).collect();
        let partition = MetadataResponsePartition::default();
        let partition = partition.with_leader_id(BrokerId(1)).with_replica_nodes(nodes()).with_isr_nodes(nodes());
        found.with_partitions(vec![partition])
    });
    let answer = MetadataResponse::default()
        .with_brokers(brokers.collect())
        .with_controller_id(BrokerId(view.controller))
        .with_cluster_id(Some(StrBytes::from_static_str("scripted")))
        .with_topics(topics.collect());
    call.answer(&answer)
}

fn api_version(key: i16, lowest: i16, highest: i16) -> ApiVersion {
    ApiVersion::default().with_api_key(key).with_min_version(lowest).with_max_version(highest)
}

fn api_versions(call: &Call, keys: Vec<ApiVersion>) -> Answer {
    call.answer(&ApiVersionsResponse::default().with_api_keys(keys))
}

/// Whether the connection goes on.
fn send(answer: Answer, stream: &mut Box<dyn Duplex>, socket: &TcpStream) -> bool {
    let mut say = |bytes: &[u8]| stream.write_all(bytes).and_then(|()| stream.flush()).is_ok();
    match answer {
        Answer::Frame(frame) => say(&framed(&frame)),
        Answer::Late(time, frame) => {
            crate::pause(time);
            say(&framed(&frame))
        }
        Answer::Cut(bytes, frame) => {
            let whole = framed(&frame);
            say(&whole[..bytes.min(whole.len())]);
            false
        }
        Answer::Raw(bytes) => {
            say(&bytes);
            false
        }
        Answer::RawSilent(bytes) => {
            say(&bytes);
            swallow(stream);
            false
        }
        Answer::Reset => {
            reset(socket);
            false
        }
        Answer::Silent => {
            swallow(stream);
            false
        }
    }
}
