//! The writing half of a run: apply in order, plan again, settle each object.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::{Ended, Kinds, Rules, not_kept, outcome_of, pending, reason_of, recovers, writes};
use crate::engine::change::{Action, Change, Class, Failure, ObjectId, Planned};
use crate::engine::kind::Kind;
use crate::net::retry::{Backoff, pause};
use crate::output;
use crate::output::report::{Entry, Outcome, Report};
use crate::process::exit::Reason;

/// What is known of an object that was to be written.
struct State {
    change: Change,
    took: Duration,
    result: Result<(), Failure>,
    skipped: Option<String>,
    /// Read back and equal, so that it is not looked at again while others lag.
    settled: bool,
}

impl State {
    fn new(change: &Change, result: Result<(), Failure>) -> Self {
        Self { change: change.clone(), took: Duration::ZERO, result, skipped: None, settled: false }
    }
}

pub(super) struct Run<'r> {
    rules: Rules,
    report: &'r Report,
    plans: Vec<Vec<Planned>>,
    states: BTreeMap<ObjectId, State>,
    done: usize,
    all: usize,
    told: Instant,
}

impl<'r> Run<'r> {
    pub(super) fn new(rules: Rules, report: &'r Report, plans: Vec<Vec<Planned>>) -> Self {
        let all = plans.iter().flatten().filter(|planned| writes(planned)).count();
        Self { rules, report, plans, states: BTreeMap::new(), done: 0, all, told: Instant::now() }
    }

    pub(super) fn finish(mut self, kinds: &mut Kinds) -> Ended {
        self.write(kinds);
        self.verify(kinds);
        output::progress_done();
        self.conclude()
    }

    /// The first pass: every kind in order, planned again once an earlier one has written.
    fn write(&mut self, kinds: &mut Kinds) {
        let mut wrote = false;
        for (index, kind) in kinds.iter_mut().enumerate() {
            let may_write = if wrote { pending } else { writes };
            if !self.plans[index].iter().any(may_write) {
                continue;
            }
            if wrote {
                match kind.plan() {
                    Ok(planned) => self.plans[index] = planned,
                    Err(failure) => {
                        self.fail_kind(index, &failure);
                        continue;
                    }
                }
            }
            wrote |= self.write_kind(index, kind.as_mut(), None);
        }
    }

    /// Writes what one kind has to; with `only`, no more than that. Says whether anything was sent.
    fn write_kind(&mut self, index: usize, kind: &mut dyn Kind, only: Option<&BTreeSet<ObjectId>>) -> bool {
        let planned = std::mem::take(&mut self.plans[index]);
        let mut todo = Vec::new();
        for planned in planned.iter().filter(|planned| writes(planned)) {
            if only.is_some_and(|only| !only.contains(&planned.id)) {
                continue;
            }
            let Ok(change) = &planned.verdict else { continue };
            match self.blocked(planned) {
                Some(why) => drop(
                    self.states.insert(planned.id.clone(), State { skipped: Some(why), ..State::new(change, Ok(())) }),
                ),
                None => todo.push(planned),
            }
        }
        for batch in todo.chunks(kind.batch().max(1)) {
            let started = Instant::now();
            let results = if self.rules.deadline.passed() {
                vec![Err(Failure::new(Class::Timeout, "APPLY_TIMEOUT ran out before it was tried")); batch.len()]
            } else {
                kind.apply(batch)
            };
            let took = started.elapsed();
            for (planned, result) in batch.iter().zip(results) {
                let Ok(change) = &planned.verdict else { continue };
                self.done += 1;
                let state = State { took, ..State::new(change, result) };
                self.states
                    .entry(planned.id.clone())
                    .and_modify(|old| {
                        old.result.clone_from(&state.result);
                        old.took += took;
                        old.skipped = None;
                        old.settled = false;
                    })
                    .or_insert(state);
            }
            self.tell(kind.name());
        }
        let sent = !todo.is_empty();
        self.plans[index] = planned;
        sent
    }

    /// Why an object cannot be tried: something it needs failed.
    fn blocked(&self, planned: &Planned) -> Option<String> {
        planned.needs.iter().find_map(|need| match self.states.get(need) {
            Some(State { skipped: Some(_), .. }) => Some(format!("{need} was skipped")),
            Some(State { result: Err(failure), .. }) if !recovers(failure.class) => Some(format!("{need} failed")),
            _ => None,
        })
    }

    /// Fails what a kind had to write; what failed before is the cause, and stays in the sentence.
    fn fail_kind(&mut self, index: usize, failure: &Failure) {
        for planned in self.plans[index].iter().filter(|planned| writes(planned)) {
            let Ok(change) = &planned.verdict else { continue };
            let state = self.states.entry(planned.id.clone()).or_insert_with(|| State::new(change, Ok(())));
            let mut failure = failure.clone();
            if let Err(cause) = &state.result {
                failure.message += &format!("; before that: {cause}");
            }
            state.result = Err(failure);
        }
    }

    fn tell(&mut self, kind: &str) {
        if self.told.elapsed() > Duration::from_millis(100) && self.all > 1 {
            output::progress(&format!("{}/{} {kind}", self.done.min(self.all), self.all));
            self.told = Instant::now();
        }
    }

    /// Plans again what was written, until each object is settled: equal, failed, or out of time.
    fn verify(&mut self, kinds: &mut Kinds) {
        let mut backoff = Backoff::default();
        // A server that lags mostly does so for a few milliseconds (Kafka's brokers replay what their controller has accepted).
        let mut poll = Duration::from_millis(5);
        let since = Instant::now();
        loop {
            let (mut again, mut lagging) = (BTreeSet::new(), false);
            let mut asked = None;
            for (index, kind) in kinds.iter_mut().enumerate() {
                if !self.plans[index].iter().any(|planned| self.open(&planned.id)) {
                    continue;
                }
                match kind.plan() {
                    Ok(planned) => self.plans[index] = planned,
                    Err(failure) if recovers(failure.class) && !self.rules.deadline.passed() => {
                        lagging = true;
                        continue;
                    }
                    Err(failure) => {
                        self.fail_kind(index, &failure.context("cannot read it back"));
                        continue;
                    }
                }
                for planned in &self.plans[index] {
                    let Some(state) = self.states.get_mut(&planned.id).filter(|state| state.skipped.is_none()) else {
                        continue;
                    };
                    let left = match &planned.verdict {
                        Ok(change) if !change.writes() => {
                            state.result = Ok(());
                            state.settled = true;
                            state.change.notes.extend(
                                change
                                    .notes
                                    .iter()
                                    .filter(|note| !state.change.notes.contains(note))
                                    .cloned()
                                    .collect::<Vec<_>>(),
                            );
                            continue;
                        }
                        Ok(change) => {
                            state.settled = false;
                            change.clone()
                        }
                        Err(failure) => {
                            state.result = Err(failure.clone());
                            if recovers(failure.class) {
                                lagging = true;
                            }
                            continue;
                        }
                    };
                    match &state.result {
                        Err(failure) if recovers(failure.class) => {
                            asked = asked.max(failure.after);
                            again.insert(planned.id.clone());
                        }
                        Err(_) => {}
                        Ok(()) if since.elapsed() < kind.settles_within() && !self.rules.deadline.passed() => {
                            lagging = true;
                        }
                        Ok(()) => state.result = Err(not_kept(&left)),
                    }
                }
            }
            if self.rules.deadline.passed() {
                return;
            }
            if !again.is_empty() {
                if backoff.tries() >= self.rules.max_retries {
                    return;
                }
                pause(backoff.next(asked), self.rules.deadline);
                for (index, kind) in kinds.iter_mut().enumerate() {
                    if self.plans[index].iter().any(|planned| again.contains(&planned.id)) {
                        if let Ok(planned) = kind.plan() {
                            self.plans[index] = planned;
                        }
                        self.write_kind(index, kind.as_mut(), Some(&again));
                    }
                }
            } else if lagging {
                pause(poll, self.rules.deadline);
                poll = (poll * 2).min(Duration::from_millis(250));
            } else {
                return;
            }
        }
    }

    /// Whether an object was written, or was to be, and is neither seen to be equal nor refused.
    fn open(&self, id: &ObjectId) -> bool {
        self.states.get(id).is_some_and(|state| {
            state.skipped.is_none()
                && !state.settled
                && state.result.as_ref().err().is_none_or(|failure| recovers(failure.class))
        })
    }

    fn conclude(self) -> Ended {
        let mut failed: Vec<(Reason, String)> = Vec::new();
        let mut skipped = 0;
        for planned in self.plans.iter().flatten() {
            let entry = match self.states.get(&planned.id) {
                None => match &planned.verdict {
                    Ok(change) => Entry::new(&planned.id, outcome_of(change), Some(change)),
                    Err(failure) => {
                        failed.push((reason_of(failure.class), format!("{}: {failure}", planned.id)));
                        Entry::new(&planned.id, Outcome::Failed, None).error(&failure.message)
                    }
                },
                Some(State { change, skipped: Some(why), .. }) => {
                    skipped += 1;
                    Entry::new(&planned.id, Outcome::Skipped, Some(change)).error(why)
                }
                Some(State { change, result: Ok(()), took, .. }) => {
                    let outcome = match (change.action, change.drifted()) {
                        (Action::Create, _) => Outcome::Created,
                        (_, true) => Outcome::Drifted,
                        _ => Outcome::Updated,
                    };
                    Entry { took: *took, ..Entry::new(&planned.id, outcome, Some(change)) }
                }
                Some(State { change, result: Err(failure), took, .. }) => {
                    failed.push((reason_of(failure.class), format!("{}: {failure}", planned.id)));
                    Entry {
                        took: *took,
                        ..Entry::new(&planned.id, Outcome::Failed, Some(change)).error(&failure.message)
                    }
                }
            };
            self.report.add(entry);
        }
        let Some((first, text)) = failed.first().cloned() else { return (Reason::Ok, None) };
        let timed_out = self.rules.deadline.passed();
        let reason = if timed_out { Reason::Timeout } else { first };
        let more = match failed.len() - 1 {
            0 => String::new(),
            n => format!(" (and {n} more)"),
        };
        let skips = if skipped > 0 { format!("; {skipped} skipped that need what failed") } else { String::new() };
        (reason, Some(format!("{text}{more}{skips}")))
    }
}
