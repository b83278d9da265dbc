//! What all of Kafka's kinds share: reading on the bootstrap connection, reading back on every other broker what this run wrote, and
//! sending a batch until each part of it is settled. What differs between kinds is in their own files.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use common::engine::change::{Change, Class, Failure, ObjectId, Planned};
use common::engine::kind::{AnyKind, Asked, Exported, Kind, Typed};
use common::files::{Object, Problem, Set};
use common::net::retry::pause;
use common::ordered;

use crate::cluster::{Cluster, Node, Shared};
use crate::error::{self, Code, Right};

/// Whether what is sent is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The broker says what it would do, and does nothing.
    Validate,
    Write,
}

impl Mode {
    pub(crate) fn validates(self) -> bool {
        self == Self::Validate
    }
}

/// One kind of thing that the cluster's metadata holds.
pub(crate) trait Resource: Sync {
    /// What is sent for one object.
    type Step: Send;

    /// Whether a broker can be asked beforehand if it would take it.
    const VALIDATES: bool;
    /// Whether reading it tells who the brokers are, too.
    const NAMES_BROKERS: bool = false;

    /// Compares what is declared with what this broker says; with `only`, no more than those, as another broker than the first sees them.
    fn compare(&self, node: &mut Node, only: Option<&BTreeSet<String>>) -> Result<Vec<Planned<Self::Step>>, Failure>;

    /// Told what is about to be written.
    fn begin(&mut self, _: &mut Cluster, _: &[&Self::Step]) {}

    /// Sends the steps as they stand; one result for each.
    fn send(&self, cluster: &mut Cluster, todo: &[&Self::Step], mode: Mode) -> Vec<Result<(), Failure>>;

    fn export(&self, cluster: &mut Cluster) -> Result<Vec<Exported>, Failure>;
}

/// Takes every object of a kind apart: what they declare, and what is wrong with those that cannot be taken apart.
pub(crate) fn declared<W>(
    set: &Set,
    kind: &'static str,
    mut want: impl FnMut(&Object) -> Result<W, Vec<Problem>>,
) -> (Vec<W>, Vec<Problem>) {
    let (mut wants, mut problems) = (Vec::new(), Vec::new());
    for object in set.of(kind) {
        match want(&object) {
            Ok(want) => wants.push(want),
            Err(found) => problems.extend(found),
        }
    }
    (wants, problems)
}

/// A resource as a kind: read on the bootstrap connection, and read back on every other broker what this run wrote.
pub(crate) struct Verified<R> {
    kind: &'static str,
    /// The cluster-wide right that writing this kind takes, where it is one.
    right: Option<Right>,
    resource: R,
    /// What the files alone say.
    problems: Vec<Problem>,
    /// Whether any file is of this kind; otherwise nothing is asked.
    declared: bool,
    cluster: Shared,
    written: BTreeSet<String>,
}

impl<R: Resource + 'static> Verified<R> {
    pub(crate) fn of(
        kind: &'static str,
        right: Option<Right>,
        (resource, problems): (R, Vec<Problem>),
        set: &Set,
        cluster: &Shared,
    ) -> Box<dyn AnyKind> {
        let declared = !set.of(kind).is_empty();
        let (cluster, written) = (cluster.clone(), BTreeSet::new());
        Box::new(Typed::new(Self { kind, right, resource, problems, declared, cluster, written }))
    }
}

/// Brokers that are read back from at a time.
const AT_A_TIME: usize = 4;

impl<R: Resource> Kind for Verified<R> {
    type Step = R::Step;

    fn name(&self) -> &'static str {
        self.kind
    }

    fn check(&self) -> Vec<Problem> {
        self.problems.clone()
    }

    fn plan(&mut self) -> Result<Vec<Planned<R::Step>>, Failure> {
        if !self.declared {
            return Ok(Vec::new());
        }
        let mut cluster = self.cluster.borrow_mut();
        let mut planned = self.resource.compare(&mut cluster.main, None)?;
        if self.written.is_empty() {
            if let Some(right) = self.right
                && planned.iter().any(writes)
                && cluster.lacks(right)?
            {
                for planned in planned.iter_mut().filter(|planned| writes(planned)) {
                    planned.verdict = Err(error::denied(&format!("{right:?}"), CLUSTER));
                    planned.step = None;
                }
            }
            return Ok(planned);
        }
        // What the first broker does not show yet need not be asked of the others.
        let shown = planned.iter().filter(|planned| planned.verdict.is_ok() && !writes(planned));
        let names =
            ordered::set(shown.map(|planned| planned.id.name.clone()).filter(|name| self.written.contains(name)));
        if !names.is_empty() {
            // Brokers may have come since the probe: a topic may have waited for one.
            if !R::NAMES_BROKERS {
                drop(cluster.refresh());
            }
            let resource = &self.resource;
            let lags = elsewhere(&mut cluster, &|node| {
                let seen = resource.compare(node, Some(&names))?;
                Ok(seen.into_iter().map(|Planned { id, verdict, .. }| (id.name, verdict)).collect())
            });
            for planned in &mut planned {
                if let Some(lag) = lags.get(&planned.id.name) {
                    planned.verdict = Err(Failure::new(Class::Again, lag.clone()));
                }
            }
        }
        Ok(planned)
    }

    fn preflight(&mut self, _: &Set, planned: &[Asked<'_, R::Step>]) -> Vec<Problem> {
        if !R::VALIDATES || planned.is_empty() {
            return Vec::new();
        }
        let steps: Vec<&R::Step> = planned.iter().map(|(_, _, step)| *step).collect();
        let results = self.resource.send(&mut self.cluster.borrow_mut(), &steps, Mode::Validate);
        let refused = planned.iter().zip(results);
        refused.filter_map(|((id, ..), result)| Some(Problem::refused(id, result.err()?))).collect()
    }

    fn apply(&mut self, todo: &[(&ObjectId, &R::Step)]) -> Vec<Result<(), Failure>> {
        self.written.extend(todo.iter().map(|(id, _)| id.name.clone()));
        let steps: Vec<&R::Step> = todo.iter().map(|(_, step)| *step).collect();
        let cluster = &mut self.cluster.borrow_mut();
        self.resource.begin(cluster, &steps);
        self.resource.send(cluster, &steps, Mode::Write)
    }

    fn export(&mut self) -> Result<Vec<Exported>, Failure> {
        self.resource.export(&mut self.cluster.borrow_mut())
    }

    /// What the controller has taken, every broker shows once it has caught up, which a pause of its JVM delays by seconds. A broker makes a
    /// folder for each new partition before it shows anything that came later (4.3: 2 ms each on an idle machine).
    fn settles_within(&self) -> Duration {
        Duration::from_secs(15) + Duration::from_millis(10) * self.cluster.borrow().made
    }

    fn batch(&self) -> usize {
        1000
    }
}

fn writes<S>(planned: &Planned<S>) -> bool {
    planned.verdict.as_ref().is_ok_and(Change::writes)
}

type Verdicts = Vec<(String, Result<Change, Failure>)>;

/// Asks every other broker for what was written, and tells what lags by name. A broker that cannot be reached is a warning.
fn elsewhere(
    cluster: &mut Cluster,
    ask: &(dyn Fn(&mut Node) -> Result<Verdicts, Failure> + Sync),
) -> BTreeMap<String, String> {
    let mut peers = cluster.peers();
    let found = Mutex::new(BTreeMap::new());
    let run = cluster.link.deadline();
    for chunk in peers.chunks_mut(AT_A_TIME) {
        if run.passed() {
            cluster.warn("what was written was not read back on every broker: APPLY_TIMEOUT ran out");
            break;
        }
        std::thread::scope(|scope| {
            for (broker, node) in chunk {
                let found = &found;
                scope.spawn(move || {
                    let reached = node.connect(node.link.deadline().at_most(Duration::from_secs(1))).map(|_| ());
                    let result = match reached {
                        Ok(()) => ask(node),
                        Err(trouble) => Err(Failure::new(Class::Fatal, trouble.text)),
                    };
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    found.insert(broker.id, (broker.address.clone(), result));
                });
            }
        });
    }
    let mut lags = BTreeMap::new();
    for (id, (address, result)) in found.into_inner().unwrap_or_else(PoisonError::into_inner) {
        let seen = match result {
            Ok(seen) => seen,
            Err(failure) => {
                cluster.warn(&format!("what was written was not read back on broker {id} at {address}: {failure}"));
                continue;
            }
        };
        for (name, verdict) in seen {
            let lag = match verdict {
                Ok(change) if !change.writes() => continue,
                Ok(change) => change.detail(),
                Err(failure) => failure.message,
            };
            lags.insert(name, format!("broker {id} at {address} does not show it yet: {lag}"));
        }
    }
    lags
}

/// What a broker said to one part of a batch.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub(crate) code: Option<Code>,
    pub(crate) said: Option<String>,
}

impl Answered {
    pub(crate) fn new(code: i16, said: Option<&kafka_protocol::protocol::StrBytes>) -> Self {
        Self { code: error::of(code), said: said.map(ToString::to_string) }
    }
}

/// The parts of one request.
pub(crate) struct Batch<T> {
    parts: Vec<T>,
    about: Vec<Part>,
    right: &'static str,
}

/// What one part is about.
struct Part {
    /// The object's place among those that are written.
    place: usize,
    /// How many records the controller makes of it.
    weight: usize,
    /// What fails if it fails.
    what: String,
    /// On what the right is needed.
    on: String,
}

/// The resource that cluster-wide rights are on.
pub(crate) const CLUSTER: &str = "Cluster:kafka-cluster";

impl<T: Clone> Batch<T> {
    /// A batch whose parts take this right.
    pub(crate) fn new(right: &'static str) -> Self {
        Self { parts: Vec::new(), about: Vec::new(), right }
    }

    /// `place` is the object's among those that are written, `weight` how many records the controller makes of the part: topics, partitions,
    /// settings, bindings.
    pub(crate) fn push(&mut self, (place, weight): (usize, usize), on: impl Into<String>, what: String, part: T) {
        self.about.push(Part { place, weight, what, on: on.into() });
        self.parts.push(part);
    }

    /// Sends the parts, and again what was surely not done and is waited for (38: brokers are missing, 89: the quota is used up),
    /// until the run's deadline. Everything else comes back as it is, for the runner to settle by reading: a part's failure is its
    /// object's, the first one if there are several.
    pub(crate) fn settle(
        &self,
        cluster: &mut Cluster,
        results: &mut [Result<(), Failure>],
        mut send: impl FnMut(&mut Cluster, &[T]) -> Result<Vec<Answered>, Failure>,
    ) {
        if self.parts.is_empty() {
            return;
        }
        let mut found: Vec<Result<(), Failure>> = vec![Ok(()); self.about.len()];
        for request in requests(&self.about) {
            settle(cluster, &self.about, self.right, request, &mut found, &mut |cluster, indices| {
                let batch: Vec<T> = indices.iter().map(|index| self.parts[*index].clone()).collect();
                send(cluster, &batch)
            });
        }
        for (part, result) in self.about.iter().zip(found) {
            if results[part.place].is_ok() {
                results[part.place] = result;
            }
        }
    }
}

/// The most records that one request is to make: the controller writes 10,000 at once, and refuses what would be more.
const HEAVIEST: usize = 9000;

/// The parts of each request, in order.
fn requests(all: &[Part]) -> Vec<Vec<usize>> {
    let mut requests: Vec<Vec<usize>> = Vec::new();
    let mut weight = usize::MAX;
    for (index, part) in all.iter().enumerate() {
        weight = weight.saturating_add(part.weight);
        if weight > HEAVIEST {
            requests.push(Vec::new());
            weight = part.weight;
        }
        requests.last_mut().expect("the first part is too much for no request").push(index);
    }
    requests
}

/// [`Batch::settle`] without its type, so that it is in the binary once: `send` gets the places of what to send.
fn settle(
    cluster: &mut Cluster,
    all: &[Part],
    right: &str,
    mut pending: Vec<usize>,
    results: &mut [Result<(), Failure>],
    send: &mut dyn FnMut(&mut Cluster, &[usize]) -> Result<Vec<Answered>, Failure>,
) {
    let link = cluster.link.clone();
    let mut rest = Duration::from_millis(100);
    let mut told: Option<Instant> = None;
    while !pending.is_empty() {
        let answers = match send(cluster, &pending) {
            Ok(answers) if answers.len() == pending.len() => answers,
            Ok(_) => {
                let failure = Failure::new(Class::Ambiguous, "the broker's answer does not cover what was asked");
                for index in &pending {
                    results[*index] = Err(failure.clone());
                }
                break;
            }
            // What was waited for says more than that the time is over.
            Err(failure) if failure.class == Class::Timeout && pending.iter().all(|index| results[*index].is_err()) => {
                break;
            }
            Err(failure) => {
                for index in &pending {
                    results[*index] = Err(failure.clone());
                }
                break;
            }
        };
        let mut waiting = Vec::new();
        for (index, answer) in pending.iter().zip(answers) {
            let part = &all[*index];
            results[*index] = match answer.code {
                None => Ok(()),
                Some(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed) => {
                    Err(error::denied(right, &part.on))
                }
                Some(other) => Err(error::failure(&part.what, other, answer.said.as_deref())),
            };
            if matches!(answer.code, Some(Code::InvalidReplicationFactor | Code::ThrottlingQuotaExceeded)) {
                waiting.push(*index);
            }
        }
        pending = waiting;
        let Some(first) = pending.first() else { break };
        if let Err(failure) = &results[*first] {
            if link.deadline().passed() {
                break;
            }
            if told.is_none_or(|told| told.elapsed() > Duration::from_secs(5)) {
                log::info!(reason = failure.message; "waiting");
                told = Some(Instant::now());
            }
        }
        link.counters.retries.fetch_add(1, Ordering::Relaxed);
        pause(rest, link.deadline());
        rest = (rest * 2).min(Duration::from_millis(500));
        if link.deadline().passed() {
            break;
        }
    }
}
