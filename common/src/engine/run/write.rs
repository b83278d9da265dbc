//! The writing half of a run: kind by kind, each read back and settled before the next. What a read-back means is in `settle`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::settle::{Next, Standing, judge, out_of_time};
use super::{Ended, Kinds, OnDrift, Rules, drift_text, outcome_of, writes};
use crate::engine::change::{Action, Change, Class, Failure, ObjectId, Planned};
use crate::engine::kind::AnyKind;
use crate::net::clock;
use crate::net::retry::{Backoff, pause, worth_waiting};
use crate::output;
use crate::output::report::{Entry, Outcome, Report};
use crate::process::exit::Reason;

/// How far an object has come.
enum Stage {
    /// It is to be written.
    Pending,
    /// It was sent, and what came back; it is not yet read back as equal.
    Sent(Result<(), Failure>),
    /// It was read back as equal.
    Settled,
    /// It is not as declared, and nothing more is done about it.
    Failed(Failure),
    /// It was not tried, for this reason.
    Skipped(String),
}

/// What is known of an object that is to be written.
struct State {
    change: Change,
    took: Duration,
    sends: u32,
    stage: Stage,
}

pub(super) struct Run<'r> {
    rules: Rules,
    report: &'r Report,
    plans: Vec<Vec<Planned>>,
    states: BTreeMap<ObjectId, State>,
    all: usize,
    done: usize,
    progress_shown_at: Instant,
}

impl<'r> Run<'r> {
    pub(super) fn new(rules: Rules, report: &'r Report, plans: Vec<Vec<Planned>>) -> Self {
        let all = plans.iter().flatten().filter(|planned| writes(planned)).count();
        Self { rules, report, plans, states: BTreeMap::new(), all, done: 0, progress_shown_at: clock::now() }
    }

    /// Writes and settles every kind in order. A kind is planned again once an earlier one was written, if that may matter to it.
    pub(super) fn finish(mut self, kinds: &mut Kinds) -> Ended {
        let mut wrote = false;
        for (index, kind) in kinds.iter_mut().enumerate() {
            let matters = |planned: &Planned| writes(planned) || (wrote && !planned.needs.is_empty());
            if !self.plans[index].iter().any(matters) {
                continue;
            }
            if wrote && let Err(failure) = self.plan_again(index, kind.as_mut()) {
                let failure = failure.context("cannot read it again, now that what it may need was written");
                for planned in self.plans[index].iter_mut().filter(|planned| matters(planned)) {
                    planned.verdict = Err(failure.clone());
                }
                self.register(index);
                continue;
            }
            wrote |= self.write(index, kind.as_mut());
        }
        output::progress_done();
        self.conclude()
    }

    fn plan_again(&mut self, index: usize, kind: &mut dyn AnyKind) -> Result<(), Failure> {
        self.plans[index] = kind.plan()?;
        Ok(())
    }

    /// Notes every object of a kind that is to be written, or that cannot be read, and is not known yet.
    fn register(&mut self, index: usize) {
        for planned in &self.plans[index] {
            let (change, stage) = match &planned.verdict {
                Ok(change) if change.writes() => (change.clone(), Stage::Pending),
                Ok(_) => continue,
                Err(failure) => (Change::none(), Stage::Failed(failure.clone())),
            };
            let new = State { change, took: Duration::ZERO, sends: 0, stage };
            self.states.entry(planned.id.clone()).or_insert(new);
        }
    }

    /// Writes a kind: first what needs nothing of the same kind, and the rest once that is read back. Says whether anything was sent.
    fn write(&mut self, index: usize, kind: &mut dyn AnyKind) -> bool {
        let mut sent = false;
        loop {
            self.register(index);
            let ready = self.ready(index);
            if ready.is_empty() {
                return sent;
            }
            sent = true;
            self.send(index, kind, &ready);
            self.settle(index, kind);
        }
    }

    /// What can be tried now; what cannot, because something it needs failed, is skipped.
    fn ready(&mut self, index: usize) -> BTreeSet<ObjectId> {
        let (mut ready, mut waiting, mut skipped) = (BTreeSet::new(), Vec::new(), Vec::new());
        for planned in self.plans[index].iter().filter(|planned| self.is_pending(&planned.id)) {
            let blocked = planned.needs.iter().find_map(|need| match &self.states.get(need)?.stage {
                Stage::Skipped(_) => Some(format!("{need} was skipped")),
                Stage::Failed(_) | Stage::Sent(_) => Some(format!("{need} failed")),
                Stage::Pending | Stage::Settled => None,
            });
            match blocked {
                Some(why) => skipped.push((planned.id.clone(), why)),
                None if planned.needs.iter().any(|need| self.is_pending(need)) => waiting.push(planned.id.clone()),
                None => drop(ready.insert(planned.id.clone())),
            }
        }
        let skipped_any = !skipped.is_empty();
        for (id, why) in skipped {
            self.set(&id, Stage::Skipped(why));
        }
        match (ready.is_empty(), skipped_any, waiting.is_empty()) {
            // What was just skipped may be what the others wait for.
            (true, true, false) => self.ready(index),
            (true, false, false) => {
                for id in waiting {
                    self.set(&id, Stage::Skipped("it needs itself, by way of what it needs".into()));
                }
                ready
            }
            _ => ready,
        }
    }

    fn is_pending(&self, id: &ObjectId) -> bool {
        self.states.get(id).is_some_and(|state| matches!(state.stage, Stage::Pending))
    }

    fn set(&mut self, id: &ObjectId, stage: Stage) {
        if let Some(state) = self.states.get_mut(id) {
            state.stage = stage;
        }
    }

    /// Sends what the kind's latest plan has for these objects.
    fn send(&mut self, index: usize, kind: &mut dyn AnyKind, which: &BTreeSet<ObjectId>) {
        let planned = std::mem::take(&mut self.plans[index]);
        let todo: Vec<&Planned> =
            planned.iter().filter(|planned| writes(planned) && which.contains(&planned.id)).collect();
        for batch in todo.chunks(kind.batch().max(1)) {
            let started = clock::now();
            let results = if self.rules.deadline.passed() {
                vec![Err(Failure::new(Class::Timeout, "APPLY_TIMEOUT ran out before it was tried")); batch.len()]
            } else {
                kind.apply(batch)
            };
            let took = clock::now() - started;
            for (planned, result) in batch.iter().zip(results) {
                let Some(state) = self.states.get_mut(&planned.id) else { continue };
                state.took += took;
                if state.sends > 0 {
                    self.report.counters().retries.fetch_add(1, Ordering::Relaxed);
                } else {
                    self.done += 1;
                }
                state.sends += 1;
                state.stage = Stage::Sent(result);
            }
            self.show_progress(kind.name());
        }
        self.plans[index] = planned;
    }

    fn show_progress(&mut self, kind: &str) {
        if clock::now() - self.progress_shown_at > Duration::from_millis(100) && self.all > 1 {
            output::progress(&format!("{}/{} {kind}", self.done.min(self.all), self.all));
            self.progress_shown_at = clock::now();
        }
    }

    /// Reads a kind back until each of its objects that were sent is settled or has failed.
    fn settle(&mut self, index: usize, kind: &mut dyn AnyKind) {
        let mut backoff = Backoff::default();
        // A server that lags mostly does so for a few milliseconds (Kafka's brokers replay what their controller has accepted).
        let mut poll = Duration::from_millis(5);
        let mut since = clock::now();
        let mut unread = 0;
        self.rest(index, &mut backoff);
        loop {
            let mut last = None;
            let (mut again, mut lagging) = (BTreeSet::new(), false);
            // A server that is slow to answer may have looked long before it did: only a reading that began late is a late one.
            let asked = clock::now();
            match self.plan_again(index, kind) {
                Ok(()) => {
                    unread = 0;
                    self.learn(index);
                    let late = asked - since >= kind.settles_within();
                    for (id, next) in self.judged(index, late) {
                        match next {
                            Next::Settled(notes) => self.settled(&id, notes),
                            Next::Failed(failure) => self.set(&id, Stage::Failed(failure)),
                            Next::Lagging => lagging = true,
                            Next::Again => drop(again.insert(id)),
                        }
                    }
                }
                // Each of these was repeated by the transport already: a server that stays so is not waited for until the end.
                Err(failure)
                    if failure.class.recovers()
                        && (unread < self.rules.max_retries || clock::now() - since < kind.settles_within()) =>
                {
                    unread += 1;
                    lagging = true;
                    last = Some(failure);
                }
                // What was last seen says more than that there was no time to look once more.
                Err(failure) if failure.class == Class::Timeout => {
                    self.run_out(index, None);
                    return;
                }
                Err(failure) => self.fail_open(index, &failure.context("cannot read it back")),
            }
            if again.is_empty() && !lagging {
                return;
            }
            if self.rules.deadline.passed() {
                self.run_out(index, last.as_ref());
                return;
            }
            if again.is_empty() {
                pause(poll, self.rules.deadline);
                poll = (poll * 2).min(Duration::from_millis(250));
                continue;
            }
            // A write goes out on the plan that was just made.
            self.log_repeats(&again);
            self.send(index, kind, &again);
            since = clock::now();
            self.rest(index, &mut backoff);
        }
    }

    /// Leaves the server alone before it is read back, where the read-back may lead to another write.
    fn rest(&self, index: usize, backoff: &mut Backoff) {
        let asked = |planned: &Planned| match self.states.get(&planned.id)? {
            state @ State { stage: Stage::Sent(Err(failure)), .. } if failure.class.recovers() => {
                self.may_repeat(state).then_some(failure.after)
            }
            _ => None,
        };
        if let Some(after) = self.plans[index].iter().filter_map(asked).max() {
            pause(backoff.next(after), self.rules.deadline);
        }
    }

    /// Whether one more write is allowed, and the pause that the server asked for ends in time for it.
    fn may_repeat(&self, state: &State) -> bool {
        let after = match &state.stage {
            Stage::Sent(Err(failure)) => failure.after,
            _ => None,
        };
        state.sends <= self.rules.max_retries && worth_waiting(after, self.rules.deadline)
    }

    /// Takes over what a write that failed has told: a difference that no write can change is drift from now on.
    fn learn(&mut self, index: usize) {
        for planned in &self.plans[index] {
            let Some(State { change, stage: Stage::Sent(Err(_)), .. }) = self.states.get_mut(&planned.id) else {
                continue;
            };
            let Ok(left) = &planned.verdict else { continue };
            for known in &mut change.differences {
                known.fixable &= !left.differences.iter().any(|left| left.path == known.path && !left.fixable);
            }
        }
    }

    /// What the latest plan makes of each object that was sent.
    fn judged(&self, index: usize, late: bool) -> Vec<(ObjectId, Next)> {
        let judged = |planned: &Planned| {
            let state = self.states.get(&planned.id)?;
            let Stage::Sent(write) = &state.stage else { return None };
            let may_repeat = self.may_repeat(state);
            let standing = Standing { before: &state.change, write, late, may_repeat, on_drift: self.rules.on_drift };
            Some((planned.id.clone(), judge(standing, &planned.verdict)))
        };
        self.plans[index].iter().filter_map(judged).collect()
    }

    fn settled(&mut self, id: &ObjectId, notes: Vec<String>) {
        let Some(state) = self.states.get_mut(id) else { return };
        for note in notes {
            if !state.change.notes.contains(&note) {
                state.change.notes.push(note);
            }
        }
        state.stage = Stage::Settled;
    }

    fn log_repeats(&self, again: &BTreeSet<ObjectId>) {
        for id in again {
            if let Some(State { stage: Stage::Sent(Err(failure)), .. }) = self.states.get(id) {
                log::debug!(object:% = id, reason = failure.message; "trying again");
            }
        }
    }

    /// Fails what a kind still had to do; a write that failed before is the cause, and stays.
    fn fail_open(&mut self, index: usize, failure: &Failure) {
        for planned in &self.plans[index] {
            let Some(state) = self.states.get_mut(&planned.id) else { continue };
            match &state.stage {
                Stage::Sent(Err(cause)) => state.stage = Stage::Failed(cause.clone()),
                Stage::Pending | Stage::Sent(Ok(())) => state.stage = Stage::Failed(failure.clone()),
                Stage::Settled | Stage::Failed(_) | Stage::Skipped(_) => {}
            }
        }
    }

    fn run_out(&mut self, index: usize, last: Option<&Failure>) {
        for planned in &self.plans[index] {
            let Some(state) = self.states.get_mut(&planned.id) else { continue };
            if let Stage::Sent(write) = &state.stage {
                let last = last.or(planned.verdict.as_ref().err());
                state.stage = Stage::Failed(out_of_time(write, last));
            }
        }
    }

    fn conclude(self) -> Ended {
        let mut failed: Vec<(Reason, String)> = Vec::new();
        let mut skipped = 0;
        let mut first_skipped = None;
        let Self { plans, mut states, rules, report, .. } = self;
        for planned in plans.into_iter().flatten() {
            let fail = |failure: &Failure| (Reason::from(failure.class), format!("{}: {failure}", planned.id));
            let entry = match states.remove(&planned.id) {
                None => match &planned.verdict {
                    Ok(change) => {
                        // Somebody else's change, made while this run worked.
                        if change.drifted() && rules.on_drift == OnDrift::Fail {
                            failed.push((Reason::Drift, format!("{}: {}", planned.id, drift_text(change))));
                        }
                        Entry::new(&planned.id, outcome_of(change), Some(change))
                    }
                    Err(failure) => {
                        failed.push(fail(failure));
                        Entry::new(&planned.id, Outcome::Failed, None).error(&failure.message)
                    }
                },
                Some(State { change, took, stage, .. }) => {
                    let entry = |outcome| Entry { took, ..Entry::new(&planned.id, outcome, Some(&change)) };
                    match stage {
                        Stage::Settled => entry(match (change.action, change.drifted()) {
                            (Action::Create, _) => Outcome::Created,
                            (_, true) => Outcome::Drifted,
                            _ => Outcome::Updated,
                        }),
                        Stage::Skipped(why) => {
                            skipped += 1;
                            first_skipped.get_or_insert_with(|| format!("{}: {why}", planned.id));
                            entry(Outcome::Skipped).error(why)
                        }
                        Stage::Failed(failure) | Stage::Sent(Err(failure)) => {
                            let (reason, text) = fail(&failure);
                            // Drift that was known beforehand would have ended the run.
                            let is_drift = rules.on_drift == OnDrift::Fail && change.drifted();
                            failed.push((if is_drift { Reason::Drift } else { reason }, text));
                            entry(Outcome::Failed).error(&failure.message)
                        }
                        Stage::Pending | Stage::Sent(Ok(())) => {
                            let failure = Failure::new(Class::Timeout, "it was not read back");
                            failed.push(fail(&failure));
                            entry(Outcome::Failed).error(&failure.message)
                        }
                    }
                }
            };
            report.add(entry);
        }
        let skips = if skipped > 0 { format!("; {skipped} skipped that need what failed") } else { String::new() };
        match (Reason::gravest(failed), first_skipped) {
            (None, None) => (Reason::Ok, None),
            // A kind that lists needs in a circle: our own mistake.
            (None, Some(text)) => (Reason::Internal, Some(text)),
            (Some((reason, text)), _) => (reason, Some(format!("{text}{skips}"))),
        }
    }
}
