//! The brokers as one thing to talk to: the bootstrap connection, the controller where a `ZooKeeper` cluster has one, the leaders for seeds.
//! Reconnecting and repeating of what was surely not done live here; what a kind asks and how it judges do not.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use common::engine::change::{Class, Failure};
use common::net::retry::{self, Counters, Deadline, pause};
use common::net::rotation::Rotation;
use common::output::secret::Secret;
use kafka_protocol::messages::{DescribeClusterRequest, FetchRequest, MetadataRequest, MetadataResponse};

use crate::client::{Access, Address, Connection, How, SILENT, Trouble};
use crate::error::{self, Right};
use crate::sasl::{Login, Scram};
use crate::wire::Api;

/// What every connection of a run shares.
pub(crate) struct Link {
    access: Mutex<Access>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) request: Duration,
    pub(crate) retries: u32,
    deadline: Mutex<Option<Deadline>>,
    brokers: Mutex<Vec<Broker>>,
}

impl Link {
    pub(crate) fn new(access: Access, counters: Arc<Counters>, request: Duration, retries: u32) -> Self {
        Self {
            access: Mutex::new(access),
            counters,
            request,
            retries,
            deadline: Mutex::new(None),
            brokers: Mutex::default(),
        }
    }

    /// How to come in, at the moment.
    pub(crate) fn access(&self) -> Access {
        self.access.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on logs in with this password, where it is that of our own user: this run has changed it.
    pub(crate) fn password_of(&self, user: &str, scram: Scram, password: &Secret) {
        let mut access = self.access.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Login::Scram { scram: own, user: me, password: mine, delegated: false }) = &mut access.login
            && me == user
            && *own == scram
        {
            *mine = password.clone();
        }
    }

    /// Takes note of the brokers that an answer names.
    pub(crate) fn note_brokers(&self, answer: &MetadataResponse) {
        let brokers = answer
            .brokers
            .iter()
            .map(|broker| {
                let port = u16::try_from(broker.port).unwrap_or(0);
                Broker { id: broker.node_id.0, address: Address { host: broker.host.to_string(), port } }
            })
            .collect();
        *self.brokers.lock().unwrap_or_else(PoisonError::into_inner) = brokers;
    }

    /// The brokers as Metadata named them last.
    pub(crate) fn brokers(&self) -> Vec<Broker> {
        self.brokers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The run's deadline, once it has begun.
    pub(crate) fn deadline(&self) -> Deadline {
        self.deadline.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or_else(|| Deadline::after(self.request))
    }

    pub(crate) fn begin(&self, deadline: Deadline) {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = Some(deadline);
    }

    /// What the broker is told, a second shorter than we wait ourselves, so that it answers first.
    pub(crate) fn server_timeout(&self) -> i32 {
        let ours = self.request.min(self.deadline().left());
        let theirs = ours.checked_sub(Duration::from_secs(1)).unwrap_or(ours / 2).max(Duration::from_millis(100));
        i32::try_from(theirs.as_millis()).unwrap_or(i32::MAX)
    }
}

/// One broker, or any of the bootstrap servers.
pub(crate) struct Node {
    pub(crate) link: Arc<Link>,
    addresses: Rotation<Address>,
    connect: Duration,
    connection: Option<Connection>,
}

/// Refused logins in the middle of a run: a broker may not have replayed a credential that is seconds old.
const LOGIN_TRIES: u32 = 3;
pub(crate) const CONNECT: Duration = Duration::from_secs(2);

impl Node {
    pub(crate) fn new(link: &Arc<Link>, addresses: Vec<Address>, connect: Duration) -> Self {
        Self { link: link.clone(), addresses: Rotation::new(addresses), connect, connection: None }
    }

    /// Connects, if it is not connected, to the first address that answers; the trouble is the last one's.
    pub(crate) fn connect(&mut self, deadline: Deadline) -> Result<&mut Connection, Trouble> {
        if self.connection.is_none() {
            let mut trouble = None;
            for tried in 0..self.addresses.count() {
                // An address that took all the time leaves the next one its turn in the next call.
                if tried > 0 && deadline.passed() {
                    break;
                }
                let place = self.addresses.place();
                let limit = deadline.at_most(self.connect);
                match Connection::open(self.address(), &self.link.access(), &self.link.counters, limit) {
                    Ok(connection) => {
                        self.connection = Some(connection);
                        trouble = None;
                        break;
                    }
                    Err(found) => {
                        self.addresses.leave(place);
                        let worse = trouble.as_ref().is_none_or(|last: &Trouble| last.how == How::Closed);
                        if worse {
                            trouble = Some(found);
                        }
                    }
                }
            }
            if let Some(trouble) = trouble {
                return Err(trouble);
            }
        }
        Ok(self.connection.as_mut().expect("it was made just now"))
    }

    /// Forgets the connection, so that the next request makes a new one.
    pub(crate) fn disconnect(&mut self) {
        self.connection = None;
    }

    /// Where the connection leads, while there is one.
    pub(crate) fn address(&self) -> &Address {
        self.addresses.at(self.addresses.place()).expect("settings without an address end before anything is asked")
    }

    pub(crate) fn connection(&self) -> Option<&Connection> {
        self.connection.as_ref()
    }

    /// Asks once. The failure's class says whether it may have been done.
    pub(crate) fn ask<Q: Api>(&mut self, request: &Q) -> Result<Q::Answer, Failure> {
        let run = self.open()?;
        let limit = self.link.request;
        let connection = self.connect(run).map_err(|trouble| trouble.failure())?;
        connection.unmuted(run);
        let answer = connection.call(request, run.at_most(limit));
        if answer.is_err() {
            self.connection = None;
            self.addresses.leave(self.addresses.place());
        }
        answer
    }

    /// Whether a request will do here; connects if that is due.
    pub(crate) fn offers<Q: Api>(&mut self) -> Result<bool, Failure> {
        let run = self.open()?;
        Ok(self.connect(run).map_err(|trouble| trouble.failure())?.offers::<Q>())
    }

    /// Connects if that is due, within the run's deadline, which it returns.
    fn open(&mut self) -> Result<Deadline, Failure> {
        let run = self.link.deadline();
        if run.passed() {
            return Err(Failure::new(Class::Timeout, "APPLY_TIMEOUT ran out"));
        }
        let mut refused = 0;
        loop {
            match self.connect(run) {
                Ok(_) => return Ok(run),
                Err(trouble) if trouble.how == How::Denied && refused + 1 < LOGIN_TRIES => {
                    refused += 1;
                    pause(Duration::from_millis(300), run);
                }
                Err(trouble) => return Err(trouble.failure()),
            }
        }
    }

    /// Asks, and asks again after a failure that may pass. For what changes nothing.
    pub(crate) fn read<Q: Api>(&mut self, request: &Q) -> Result<Q::Answer, Failure> {
        let link = self.link.clone();
        repeat(&link, Q::NAME, || self.ask(request))
    }
}

/// Repeats a reading that failed in a way that may pass, at most `MAX_RETRIES` times within the run's deadline.
pub(crate) fn repeat<T>(link: &Link, what: &str, attempt: impl FnMut() -> Result<T, Failure>) -> Result<T, Failure> {
    retry::repeat(link.retries, link.deadline(), &link.counters, &what, attempt)
}

/// One broker as Metadata names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broker {
    pub(crate) id: i32,
    pub(crate) address: Address,
}

/// All brokers.
pub(crate) struct Cluster {
    pub(crate) link: Arc<Link>,
    pub(crate) main: Node,
    controller: Option<Node>,
    leaders: BTreeMap<i32, Node>,
    /// Partitions that this run made.
    pub(crate) made: u32,
    /// Why seeds are written without transactions, once that is known.
    pub(crate) no_transactions: Option<String>,
    rights: Option<i32>,
    /// Said once a run each.
    told: BTreeSet<String>,
}

/// The cluster as the kinds share it.
pub(crate) type Shared = Rc<RefCell<Cluster>>;

impl Cluster {
    pub(crate) fn new(link: Arc<Link>, bootstrap: Vec<Address>) -> Self {
        let main = Node::new(&link, bootstrap, CONNECT);
        Self {
            link,
            main,
            controller: None,
            leaders: BTreeMap::new(),
            made: 0,
            no_transactions: None,
            rights: None,
            told: BTreeSet::new(),
        }
    }

    /// Reads the brokers anew, and who the controller is.
    pub(crate) fn refresh(&mut self) -> Result<i32, Failure> {
        let answer = self.main.read(&brokers_only())?;
        self.link.note_brokers(&answer);
        Ok(answer.controller_id.0)
    }

    /// Sends what changes, or validates, cluster-wide things. On `KRaft` any broker passes it on; a broker of a `ZooKeeper` cluster
    /// answers 41 unless it is the controller, which is then asked in its place: 41 says that nothing was done.
    ///
    /// What only validates is a reading, and repeated as one; what changes something is sent once.
    pub(crate) fn administer<Q: Api>(
        &mut self,
        request: &Q,
        not_controller: impl Fn(&Q::Answer) -> bool,
    ) -> Result<Q::Answer, Failure> {
        if request.writes() {
            return self.administer_once(request, &not_controller);
        }
        let link = self.link.clone();
        repeat(&link, Q::NAME, || self.administer_once(request, &not_controller))
    }

    fn administer_once<Q: Api>(
        &mut self,
        request: &Q,
        not_controller: &dyn Fn(&Q::Answer) -> bool,
    ) -> Result<Q::Answer, Failure> {
        let answer = match &mut self.controller {
            Some(controller) => controller.ask(request),
            None => self.main.ask(request),
        };
        if answer.is_err() {
            // It may be dead, and another one by now.
            self.controller = None;
        }
        let answer = answer.map_err(|failure| {
            // A broker without a controller accepts these requests and never answers (4.3: nothing in 20 s at a time-out of 10 s).
            let hint = if failure.is(SILENT) { "; have the controllers lost their quorum?" } else { "" };
            Failure { message: format!("{}{hint}", failure.message), ..failure }
        })?;
        if !not_controller(&answer) {
            return Ok(answer);
        }
        let id = self.refresh()?;
        let Some(broker) = self.link.brokers().into_iter().find(|broker| broker.id == id) else {
            let text = "the cluster has no controller at the moment (41 NOT_CONTROLLER)";
            return Err(Failure::new(Class::Again, text));
        };
        let mut node = Node::new(&self.link, vec![broker.address], CONNECT);
        let answer = node.ask(request)?;
        self.controller = Some(node);
        Ok(answer)
    }

    /// The broker that leads a partition, by its id.
    pub(crate) fn broker(&mut self, id: i32) -> Result<&mut Node, Failure> {
        if !self.leaders.contains_key(&id) {
            let known = self.link.brokers().into_iter().find(|broker| broker.id == id);
            let broker = if let Some(broker) = known {
                broker
            } else {
                self.refresh()?;
                let found = self.link.brokers().into_iter().find(|broker| broker.id == id);
                found.ok_or_else(|| {
                    Failure::new(Class::Again, format!("broker {id} is not in the cluster at the moment"))
                })?
            };
            self.leaders.insert(id, Node::new(&self.link, vec![broker.address], CONNECT));
        }
        Ok(self.leaders.get_mut(&id).expect("it was put there just now"))
    }

    /// The other brokers, each with a second to connect, for reading back what was written.
    pub(crate) fn peers(&self) -> Vec<(Broker, Node)> {
        let brokers = self.link.brokers();
        if brokers.len() < 2 {
            return Vec::new();
        }
        let here = self.main.address();
        let others = brokers.into_iter().filter(|broker| broker.address != *here);
        others
            .map(|broker| {
                let node = Node::new(&self.link, vec![broker.address.clone()], Duration::from_secs(1));
                (broker, node)
            })
            .collect()
    }

    /// Warns once a run.
    pub(crate) fn warn(&mut self, text: &str) {
        if self.told.insert(text.to_owned()) {
            log::warn!(detail = text; "note");
        }
    }

    /// Whether the cluster-wide rights that a write needs are missing, as far as the broker tells.
    pub(crate) fn lacks(&mut self, right: Right) -> Result<bool, Failure> {
        if self.rights.is_none() {
            let rights = if self.main.offers::<DescribeClusterRequest>()? {
                let request = DescribeClusterRequest::default().with_include_cluster_authorized_operations(true);
                let answer = self.main.read(&request)?;
                if answer.error_code == 0 { answer.cluster_authorized_operations } else { i32::MIN }
            } else {
                i32::MIN
            };
            self.rights = Some(rights);
        }
        Ok(error::lacks(self.rights.unwrap_or(i32::MIN), right))
    }

    /// Whether the broker is older than what is supported: Fetch 15 came with Kafka 3.5 (KIP-903).
    pub(crate) fn too_old(&self) -> bool {
        let highest = self.main.connection().and_then(|connection| connection.highest(FetchRequest::KEY));
        highest.is_some_and(|highest| highest < 15)
    }
}

/// Asks for the brokers and no topic. (An empty list means none; the default would create topics by asking.)
pub(crate) fn brokers_only() -> MetadataRequest {
    MetadataRequest::default().with_topics(Some(Vec::new())).with_allow_auto_topic_creation(false)
}
