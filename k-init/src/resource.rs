//! What all of Kafka's kinds share: reading on the bootstrap connection, reading back on every other broker what this run wrote, and
//! sending a batch until each part of it is settled. What differs between kinds is in their own files.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use common::engine::change::{Change, Class, Failure, Planned};
use common::engine::kind::{AnyKind, Exported};
use common::files::{Object, Problem, Set};
use common::net::retry::{Backoff, pause};

use crate::cluster::{Cluster, Node, Shared};
use crate::error::{self, Right, code};

/// One kind of thing that the cluster's metadata holds.
pub(crate) trait Resource: Sync {
    /// Compares what is declared with what this broker says; with `only`, no more than those, as another broker than the first sees them.
    fn compare(&self, node: &mut Node, only: Option<&BTreeSet<String>>) -> Result<Vec<Planned>, Failure>;

    /// Asks without writing whether the broker would take it, where it can be asked.
    fn preflight(&self, _: &mut Cluster, _: &[Planned]) -> Vec<Problem> {
        Vec::new()
    }

    fn write(&mut self, cluster: &mut Cluster, todo: &[&Planned]) -> Vec<Result<(), Failure>>;

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

/// A resource as the runner takes it. Behind a pointer, so that what is the same for all kinds is in the binary once.
pub(crate) struct Verified {
    kind: &'static str,
    /// The cluster-wide right that writing this kind takes, where it is one.
    right: Option<Right>,
    resource: Box<dyn Resource>,
    /// What the files alone say.
    problems: Vec<Problem>,
    /// Whether any file is of this kind; otherwise nothing is asked.
    declared: bool,
    cluster: Shared,
    written: BTreeSet<String>,
}

impl Verified {
    pub(crate) fn new(
        kind: &'static str,
        right: Option<Right>,
        (resource, problems): (impl Resource + 'static, Vec<Problem>),
        set: &Set,
        cluster: &Shared,
    ) -> Self {
        let declared = !set.of(kind).is_empty();
        let (resource, cluster) = (Box::new(resource), cluster.clone());
        Self { kind, right, resource, problems, declared, cluster, written: BTreeSet::new() }
    }
}

/// Brokers that are read back from at a time.
const AT_A_TIME: usize = 4;

impl AnyKind for Verified {
    fn name(&self) -> &'static str {
        self.kind
    }

    fn check(&self) -> Vec<Problem> {
        self.problems.clone()
    }

    fn plan(&mut self) -> Result<Vec<Planned>, Failure> {
        if !self.declared {
            return Ok(Vec::new());
        }
        let mut cluster = self.cluster.borrow_mut();
        let mut planned = self.resource.compare(&mut cluster.main, None)?;
        if self.written.is_empty() {
            if let Some(right) = self.right
                && planned.iter().any(|planned| planned.verdict.as_ref().is_ok_and(Change::writes))
                && cluster.lacks(right)?
            {
                for planned in &mut planned {
                    if planned.verdict.as_ref().is_ok_and(Change::writes) {
                        planned.verdict = Err(error::denied(&format!("{right:?}"), "Cluster:kafka-cluster"));
                    }
                }
            }
            return Ok(planned);
        }
        // What the first broker does not show yet need not be asked of the others.
        let shown = |planned: &&Planned| planned.verdict.as_ref().is_ok_and(|change| !change.writes());
        let names: BTreeSet<String> = planned
            .iter()
            .filter(shown)
            .map(|planned| planned.id.name.clone())
            .filter(|name| self.written.contains(name))
            .collect();
        if !names.is_empty() {
            elsewhere(self.resource.as_ref(), &mut cluster, &names, &mut planned);
        }
        Ok(planned)
    }

    fn preflight(&mut self, _: &Set, planned: &[Planned]) -> Vec<Problem> {
        if planned.is_empty() {
            return Vec::new();
        }
        self.resource.preflight(&mut self.cluster.borrow_mut(), planned)
    }

    fn apply(&mut self, todo: &[&Planned]) -> Vec<Result<(), Failure>> {
        self.written.extend(todo.iter().map(|planned| planned.id.name.clone()));
        self.resource.write(&mut self.cluster.borrow_mut(), todo)
    }

    fn export(&mut self) -> Result<Vec<Exported>, Failure> {
        self.resource.export(&mut self.cluster.borrow_mut())
    }

    /// A broker makes a folder for each new partition before it shows anything that came later (4.3: 2 ms each on an idle machine).
    fn settles_within(&self) -> Duration {
        Duration::from_secs(5) + Duration::from_millis(10) * self.cluster.borrow().made
    }

    fn batch(&self) -> usize {
        // The controller takes up to 10,000 records at once; a topic is one and one more for each partition and setting.
        1000
    }
}

/// Asks every other broker for what was written. One that cannot be reached is a warning, one that lags makes the object lag.
fn elsewhere(resource: &dyn Resource, cluster: &mut Cluster, names: &BTreeSet<String>, planned: &mut [Planned]) {
    let mut peers = cluster.peers();
    let found = Mutex::new(Vec::new());
    for chunk in peers.chunks_mut(AT_A_TIME) {
        std::thread::scope(|scope| {
            for (broker, node) in chunk {
                let found = &found;
                scope.spawn(move || {
                    let reached = node.connect(node.link.deadline().at_most(Duration::from_secs(1))).map(|_| ());
                    let result = match reached {
                        Ok(()) => resource.compare(node, Some(names)),
                        Err(trouble) => Err(Failure::new(Class::Fatal, trouble.text)),
                    };
                    found.lock().unwrap_or_else(PoisonError::into_inner).push((broker.clone(), result));
                });
            }
        });
    }
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by_key(|(broker, _)| broker.id);
    for (broker, result) in found {
        let seen = match result {
            Ok(seen) => seen,
            Err(failure) => {
                cluster.warn(&format!(
                    "what was written was not read back on broker {} at {}: {failure}",
                    broker.id, broker.address
                ));
                continue;
            }
        };
        for seen in seen {
            let lag = match &seen.verdict {
                Ok(change) if !change.writes() => continue,
                Ok(change) => change.detail(),
                Err(failure) => failure.message.clone(),
            };
            if let Some(planned) = planned.iter_mut().find(|planned| planned.id == seen.id) {
                let text = format!("broker {} at {} does not show it yet: {lag}", broker.id, broker.address);
                planned.verdict = Err(Failure::new(Class::Again, text));
            }
        }
    }
}

/// What a broker said to one part of a batch.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub(crate) code: i16,
    pub(crate) said: Option<String>,
}

impl Answered {
    pub(crate) fn new(code: i16, said: Option<&kafka_protocol::protocol::StrBytes>) -> Self {
        Self { code, said: said.map(ToString::to_string) }
    }
}

/// Whether anything of an object's plan is to be written, and what.
pub(crate) fn to_write(planned: &Planned) -> Option<&Change> {
    planned.verdict.as_ref().ok().filter(|change| change.writes())
}

/// What the broker refused of what it was asked to validate.
pub(crate) fn refused<'p>(
    planned: impl IntoIterator<Item = &'p Planned>,
    results: Vec<Result<(), Failure>>,
) -> Vec<Problem> {
    let failures = planned.into_iter().zip(results);
    failures.filter_map(|(planned, result)| Some(Problem::refused(&planned.id, result.err()?))).collect()
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

    pub(crate) fn push(&mut self, place: usize, on: impl Into<String>, what: String, part: T) {
        self.about.push(Part { place, what, on: on.into() });
        self.parts.push(part);
    }

    /// Sends the parts, and again what was surely not done and passes with time (38: brokers are missing, 89: the quota is used up),
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
        let found = settle(cluster, &self.about, self.right, &mut |cluster, indices| {
            let batch: Vec<T> = indices.iter().map(|index| self.parts[*index].clone()).collect();
            send(cluster, &batch)
        });
        for (part, result) in self.about.iter().zip(found) {
            if results[part.place].is_ok() {
                results[part.place] = result;
            }
        }
    }
}

/// [`Batch::settle`] without its type, so that it is in the binary once: `send` gets the places of what to send.
fn settle(
    cluster: &mut Cluster,
    all: &[Part],
    right: &str,
    send: &mut dyn FnMut(&mut Cluster, &[usize]) -> Result<Vec<Answered>, Failure>,
) -> Vec<Result<(), Failure>> {
    let link = cluster.link.clone();
    let mut results: Vec<Result<(), Failure>> = vec![Ok(()); all.len()];
    let mut pending: Vec<usize> = (0..all.len()).collect();
    let mut rest = Duration::from_millis(100);
    let mut told: Option<Instant> = None;
    let mut backoff = Backoff::default();
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
            Err(failure)
                if failure.class == Class::Again && backoff.tries() < link.retries && !link.deadline().passed() =>
            {
                link.counters.retries.fetch_add(1, Ordering::Relaxed);
                pause(backoff.next(failure.after), link.deadline());
                continue;
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
                code::NONE => Ok(()),
                code::TOPIC_DENIED | code::CLUSTER_DENIED => Err(error::denied(right, &part.on)),
                other => Err(error::failure(&part.what, other, answer.said.as_deref())),
            };
            if matches!(answer.code, code::TOO_FEW_BROKERS | code::THROTTLED) {
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
    results
}
