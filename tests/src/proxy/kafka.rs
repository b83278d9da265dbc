//! A proxy for Kafka that counts requests by their API key and can spoil a chosen one. It gives every broker a port of its own and puts those
//! ports into the answers that name brokers, so that a client stays on it. Connections with TLS cannot be looked into.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use kafka_protocol::messages::{
    ApiKey, DescribeClusterResponse, FindCoordinatorResponse, MetadataResponse, RequestKind,
};
use kafka_protocol::protocol::StrBytes;

use super::connect;
use crate::kafka_wire::{Head, decode_answer, decode_request, encode_answer, framed, read_frame, writes};
use crate::listen::{Door, lock, reset};

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It passes, and so does its answer.
    Pass,
    /// It passes; when its answer has arrived, the connection is reset.
    DropAnswer,
    /// The connection is reset before the broker sees it.
    DropRequest,
    /// It passes; its answer waits so long.
    Delay(Duration),
    /// It passes; its answer arrives at the proxy and stays there ([`KafkaProxy::held`]), and so does every later one.
    Hang,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Which broker it went to: its place in the list, from 1.
    pub broker: usize,
    /// Its API key, version and number.
    pub head: Head,
    /// The how manieth of its API key it is since the log was cleared, from 1.
    pub nth: usize,
    /// Whether it changes something.
    pub writes: bool,
    /// All of it.
    pub frame: Vec<u8>,
}

impl Seen {
    /// The message itself.
    pub fn message(&self) -> anyhow::Result<RequestKind> {
        decode_request(&self.frame)
    }
}

type Rule = dyn Fn(&Seen) -> Verdict + Send + Sync;

/// The proxy. Dropped, it cuts everything.
pub struct KafkaProxy {
    doors: Vec<Door>,
    shared: Arc<Shared>,
}

struct Shared {
    brokers: Vec<SocketAddr>,
    fronts: OnceLock<BTreeMap<SocketAddr, SocketAddr>>,
    rule: Mutex<Arc<Rule>>,
    log: Mutex<Vec<Seen>>,
    held: AtomicBool,
}

impl KafkaProxy {
    /// Stands before these brokers (`host:port,host:port`, as they name themselves).
    pub fn to(bootstrap: &str) -> Self {
        let parse =
            |address: &str| address.parse().unwrap_or_else(|error| panic!("{address:?} is no address: {error}"));
        let shared = Arc::new(Shared {
            brokers: bootstrap.split(',').map(parse).collect(),
            fronts: OnceLock::new(),
            rule: Mutex::new(Arc::new(|_| Verdict::Pass)),
            log: Mutex::default(),
            held: AtomicBool::new(false),
        });
        let door = |broker: usize| {
            let serving = Arc::clone(&shared);
            Door::open(move |client, _| serving.carry(&client, broker))
        };
        let doors: Vec<Door> = (1..=shared.brokers.len()).map(door).collect();
        let fronts = shared.brokers.iter().copied().zip(doors.iter().map(Door::address)).collect();
        shared.fronts.set(fronts).expect("nothing else sets it");
        Self { doors, shared }
    }

    /// Where clients connect: `host:port,host:port`.
    pub fn bootstrap(&self) -> String {
        self.doors.iter().map(|door| door.address().to_string()).collect::<Vec<_>>().join(",")
    }

    /// How many clients have connected so far, to any broker.
    pub fn connections(&self) -> usize {
        self.doors.iter().map(Door::accepted).sum()
    }

    /// Decides on each request from now on.
    pub fn rule(&self, rule: impl Fn(&Seen) -> Verdict + Send + Sync + 'static) {
        *lock(&self.shared.rule) = Arc::new(rule);
    }

    /// Lets everything pass again.
    pub fn pass(&self) {
        self.rule(|_| Verdict::Pass);
    }

    /// Spoils the nth request (from 1) of one API key; everything else passes.
    pub fn spoil(&self, key: ApiKey, nth: usize, verdict: Verdict) {
        self.rule(move |seen| if seen.head.key == key as i16 && seen.nth == nth { verdict } else { Verdict::Pass });
    }

    /// Holds the answer to the nth write (from 1) that is made from now on: the moment to kill the client after so many writes.
    pub fn hold_write(&self, nth: usize) {
        self.shared.held.store(false, Ordering::SeqCst);
        let writes = AtomicUsize::new(0);
        self.rule(move |seen| {
            let hold = seen.writes && writes.fetch_add(1, Ordering::SeqCst) + 1 == nth;
            if hold { Verdict::Hang } else { Verdict::Pass }
        });
    }

    /// Whether an answer is being held: the broker has done what it was asked, and the client does not know.
    pub fn held(&self) -> bool {
        self.shared.held.load(Ordering::SeqCst)
    }

    /// Clients of one broker (from 1) are refused from now on.
    pub fn refuse(&self, broker: usize) {
        self.doors[broker - 1].close();
    }

    /// Clients of one broker are accepted again.
    pub fn allow(&self, broker: usize) {
        self.doors[broker - 1].reopen();
    }

    /// Ends everything that is connected.
    pub fn cut(&self) {
        self.doors.iter().for_each(Door::cut);
    }

    /// Every request since the log was cleared.
    pub fn log(&self) -> Vec<Seen> {
        lock(&self.shared.log).clone()
    }

    /// Forgets every request; numbers start again.
    pub fn clear(&self) {
        lock(&self.shared.log).clear();
    }

    /// How many requests there were.
    pub fn requests(&self) -> usize {
        lock(&self.shared.log).len()
    }

    /// How many requests had this API key.
    pub fn count(&self, key: ApiKey) -> usize {
        lock(&self.shared.log).iter().filter(|seen| seen.head.key == key as i16).count()
    }

    /// The names of the requests that changed something.
    pub fn writes(&self) -> Vec<String> {
        let name = |seen: &Seen| {
            ApiKey::try_from(seen.head.key).map_or_else(|()| seen.head.key.to_string(), |key| format!("{key:?}"))
        };
        lock(&self.shared.log).iter().filter(|seen| seen.writes).map(name).collect()
    }
}

type Waiting = Mutex<VecDeque<(Head, Verdict)>>;

impl Shared {
    fn carry(&self, client: &TcpStream, broker: usize) {
        let Ok(server) = connect(self.brokers[broker - 1]) else { return reset(client) };
        let waiting = Waiting::default();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                self.carry_requests(client, &server, broker, &waiting);
                reset(&server);
            });
            self.carry_answers(&server, client, &waiting);
            reset(client);
        });
    }

    fn carry_requests(&self, mut client: &TcpStream, mut server: &TcpStream, broker: usize, waiting: &Waiting) {
        while let Ok(Some(frame)) = read_frame(&mut client) {
            let Some(head) = Head::of(&frame) else { return };
            let seen = {
                let mut log = lock(&self.log);
                let nth = 1 + log.iter().filter(|seen| seen.head.key == head.key).count();
                let seen = Seen { broker, head, nth, writes: writes(&frame), frame };
                log.push(seen.clone());
                seen
            };
            let rule = Arc::clone(&lock(&self.rule));
            let verdict = rule(&seen);
            if verdict == Verdict::DropRequest {
                return;
            }
            if !matches!(seen.message(), Ok(RequestKind::Produce(request)) if request.acks == 0) {
                lock(waiting).push_back((head, verdict));
            }
            if server.write_all(&framed(&seen.frame)).is_err() {
                return;
            }
        }
    }

    fn carry_answers(&self, mut server: &TcpStream, mut client: &TcpStream, waiting: &Waiting) {
        while let Ok(Some(frame)) = read_frame(&mut server) {
            let Some((head, verdict)) = lock(waiting).pop_front() else { return };
            match verdict {
                Verdict::Pass | Verdict::DropRequest => {}
                Verdict::Delay(time) => crate::pause(time),
                Verdict::DropAnswer => return,
                Verdict::Hang => {
                    self.held.store(true, Ordering::SeqCst);
                    // Ends when the client gives up: its side then closes the one to the broker.
                    while let Ok(Some(_)) = read_frame(&mut server) {}
                    return;
                }
            }
            let frame = self.rename(head, &frame).unwrap_or(frame);
            if client.write_all(&framed(&frame)).is_err() {
                return;
            }
        }
    }

    /// The answer with our ports in place of the brokers'; `None` for one that names none, or in a version that cannot be read.
    fn rename(&self, head: Head, frame: &[u8]) -> Option<Vec<u8>> {
        let Head { version, correlation, .. } = head;
        match ApiKey::try_from(head.key).ok()? {
            ApiKey::Metadata => {
                let mut answer: MetadataResponse = decode_answer(frame, version).ok()?;
                answer.brokers.iter_mut().for_each(|broker| self.front(&mut broker.host, &mut broker.port));
                encode_answer(correlation, &answer, version).ok()
            }
            ApiKey::FindCoordinator => {
                let mut answer: FindCoordinatorResponse = decode_answer(frame, version).ok()?;
                self.front(&mut answer.host, &mut answer.port);
                answer
                    .coordinators
                    .iter_mut()
                    .for_each(|coordinator| self.front(&mut coordinator.host, &mut coordinator.port));
                encode_answer(correlation, &answer, version).ok()
            }
            ApiKey::DescribeCluster => {
                let mut answer: DescribeClusterResponse = decode_answer(frame, version).ok()?;
                answer.brokers.iter_mut().for_each(|broker| self.front(&mut broker.host, &mut broker.port));
                encode_answer(correlation, &answer, version).ok()
            }
            _ => None,
        }
    }

    fn front(&self, host: &mut StrBytes, port: &mut i32) {
        let named: Option<SocketAddr> = format!("{}:{port}", host.as_str()).parse().ok();
        if let Some(front) = named.and_then(|named| self.fronts.get()?.get(&named)) {
            *host = StrBytes::from_string(front.ip().to_string());
            *port = front.port().into();
        }
    }
}
