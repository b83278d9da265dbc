//! The runner: plan every kind, pre-flight, apply in order, plan again. Idempotence, verification and recovery are this one loop.
//! It knows kinds and changes, and neither files nor servers.
//!
//! | planned again as | its write was        | then                                                    |
//! |------------------|----------------------|---------------------------------------------------------|
//! | equal            | anything             | created or updated: the read-back is the proof          |
//! | different        | good                 | polled until the kind's `settles_within` is over, failed |
//! | different        | again or ambiguous   | written again, at most `MAX_RETRIES` times              |
//! | different        | refused              | failed                                                  |

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::change::{Action, Change, Class, Failure, ObjectId, Planned};
use crate::exit::Reason;
use crate::files::Problem;
use crate::kind::Kind;
use crate::output;
use crate::report::{Entry, Outcome, Report};
use crate::retry::{Backoff, Deadline, pause};

/// What the runner is told of the settings.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// `MAX_RETRIES`.
    pub max_retries: u32,
    /// `STRICT`.
    pub strict: bool,
    /// `ON_DRIFT=warn`.
    pub drift_warns: bool,
    /// `APPLY_TIMEOUT`, from readiness on.
    pub deadline: Deadline,
}

/// How a run came out: the reason, and a sentence unless all is well.
pub type Ended = (Reason, Option<String>);

type Kinds = [Box<dyn Kind>];

/// Runs `plan`: reads, compares, reports; never writes.
pub fn plan(kinds: &mut Kinds, rules: Rules, report: &Report) -> Ended {
    let plan = Plan::read(kinds, rules);
    let mut entries = Vec::new();
    for planned in plan.kinds.iter().flatten() {
        let entry = match &planned.verdict {
            Err(failure) => Entry::new(&planned.id, Outcome::Failed, None).error(&failure.message),
            Ok(change) => Entry::new(&planned.id, outcome_of(change), Some(change)),
        };
        report.note(entry.clone());
        entries.push(entry);
    }
    // Nobody may be reading; what is found still decides the exit code.
    let _ = show(&entries);
    if let Some(ended) = plan.refused(rules) {
        return ended;
    }
    if plan.todo().next().is_some() { (Reason::Changes, None) } else { (Reason::Ok, None) }
}

/// Runs `apply`.
pub fn apply(kinds: &mut Kinds, rules: Rules, report: &Report) -> Ended {
    let plan = Plan::read(kinds, rules);
    if let Some(ended) = plan.refused(rules) {
        plan.report_unwritten(report);
        return ended;
    }
    let mut run =
        Run { rules, report, plans: plan.kinds, states: BTreeMap::new(), done: 0, all: 0, told: Instant::now() };
    run.all = run.plans.iter().flatten().filter(|planned| writes(planned)).count();
    run.write(kinds);
    run.verify(kinds);
    output::progress_done();
    run.conclude()
}

/// What `plan` of every kind said before the first write, and what pre-flight added.
struct Plan {
    kinds: Vec<Vec<Planned>>,
    /// Kinds that could not be read at all.
    unread: Vec<Failure>,
    problems: Vec<Problem>,
}

impl Plan {
    fn read(kinds: &mut Kinds, rules: Rules) -> Self {
        let mut plan = Self { kinds: Vec::new(), unread: Vec::new(), problems: Vec::new() };
        for kind in kinds.iter_mut() {
            match kind.plan() {
                Ok(planned) => plan.kinds.push(planned),
                Err(failure) => {
                    plan.kinds.push(Vec::new());
                    plan.unread.push(failure.context(format!("cannot read {}", kind.name())));
                    // The same trouble would meet every other kind, one time-out after the other.
                    if rules.deadline.passed()
                        || plan.unread.last().is_some_and(|failure| failure.class == Class::Fatal)
                    {
                        break;
                    }
                }
            }
        }
        plan.kinds.resize_with(kinds.len(), Vec::new);
        if plan.unread.is_empty() {
            for (kind, planned) in kinds.iter_mut().zip(&plan.kinds) {
                plan.problems.extend(kind.preflight(planned));
            }
        }
        for problem in &mut plan.problems {
            problem.warning &= !rules.strict;
            if problem.warning {
                output::warn("pre-flight").field("detail", problem.to_string()).emit();
            }
        }
        plan
    }

    fn todo(&self) -> impl Iterator<Item = &Planned> {
        self.kinds.iter().flatten().filter(|planned| writes(planned))
    }

    /// Why nothing may be written, if so; says each reason.
    fn refused(&self, rules: Rules) -> Option<Ended> {
        let mut reasons: Vec<(Reason, String)> = Vec::new();
        for failure in &self.unread {
            output::error("cannot read").field("error", failure.message.as_str()).emit();
            reasons.push((reason_of(failure.class), failure.message.clone()));
        }
        for planned in self.kinds.iter().flatten() {
            match &planned.verdict {
                Err(failure) => reasons.push((reason_of(failure.class), format!("{}: {failure}", planned.id))),
                Ok(change) if change.drifted() && !rules.drift_warns => {
                    reasons.push((Reason::Drift, format!("{}: {}", planned.id, drift_text(change))));
                }
                Ok(_) => {}
            }
        }
        for problem in self.problems.iter().filter(|problem| !problem.warning) {
            output::error("pre-flight").field("error", problem.to_string()).emit();
            reasons.push((Reason::Rejected, problem.to_string()));
        }
        let (first, text) = reasons.first().cloned()?;
        let reason = reasons.iter().map(|(reason, _)| *reason).find(|reason| *reason == Reason::Auth).unwrap_or(first);
        let more = match reasons.len() {
            1 => String::new(),
            n => format!(" (and {} more)", n - 1),
        };
        Some((reason, Some(format!("nothing was written: {text}{more}"))))
    }

    /// Reports every object of a run that stops before its first write.
    fn report_unwritten(&self, report: &Report) {
        let bad: BTreeMap<&ObjectId, &Problem> = self
            .problems
            .iter()
            .filter(|problem| !problem.warning)
            .filter_map(|problem| Some((problem.id.as_ref()?, problem)))
            .collect();
        for planned in self.kinds.iter().flatten() {
            let entry = match (&planned.verdict, bad.get(&planned.id)) {
                (Err(failure), _) => Entry::new(&planned.id, Outcome::Failed, None).error(&failure.message),
                (Ok(change), Some(problem)) => {
                    Entry::new(&planned.id, Outcome::Failed, Some(change)).error(&problem.message)
                }
                (Ok(change), None) if change.drifted() => Entry::new(&planned.id, Outcome::Drifted, Some(change)),
                (Ok(change), None) if change.action == Action::None => {
                    Entry::new(&planned.id, Outcome::Unchanged, Some(change))
                }
                (Ok(change), None) => Entry::new(&planned.id, Outcome::Skipped, Some(change))
                    .error("not tried: nothing is written when something is wrong beforehand"),
            };
            report.add(entry);
        }
    }
}

/// What is known of an object that was to be written.
struct State {
    change: Change,
    took: Duration,
    result: Result<(), Failure>,
    skipped: Option<String>,
}

struct Run<'r> {
    rules: Rules,
    report: &'r Report,
    plans: Vec<Vec<Planned>>,
    states: BTreeMap<ObjectId, State>,
    done: usize,
    all: usize,
    told: Instant,
}

impl Run<'_> {
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
                Some(why) => drop(self.states.insert(
                    planned.id.clone(),
                    State { change: change.clone(), took: Duration::ZERO, result: Ok(()), skipped: Some(why) },
                )),
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
                let state = State { change: change.clone(), took, result, skipped: None };
                self.states
                    .entry(planned.id.clone())
                    .and_modify(|old| {
                        old.result.clone_from(&state.result);
                        old.took += took;
                        old.skipped = None;
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

    fn fail_kind(&mut self, index: usize, failure: &Failure) {
        for planned in self.plans[index].iter().filter(|planned| writes(planned)) {
            let Ok(change) = &planned.verdict else { continue };
            let state =
                State { change: change.clone(), took: Duration::ZERO, result: Err(failure.clone()), skipped: None };
            self.states.insert(planned.id.clone(), state);
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
        let mut poll = Duration::from_millis(20);
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
                        Ok(change) => change.clone(),
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

    /// Whether an object was written, or was to be, and is not settled as refused.
    fn open(&self, id: &ObjectId) -> bool {
        self.states.get(id).is_some_and(|state| {
            state.skipped.is_none() && state.result.as_ref().err().is_none_or(|failure| recovers(failure.class))
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

fn writes(planned: &Planned) -> bool {
    planned.verdict.as_ref().is_ok_and(Change::writes)
}

/// Whether what an object's plan says may be another once earlier kinds were written.
fn pending(planned: &Planned) -> bool {
    !planned.needs.is_empty() || writes(planned)
}

fn recovers(class: Class) -> bool {
    matches!(class, Class::Again | Class::Ambiguous)
}

pub(crate) fn reason_of(class: Class) -> Reason {
    match class {
        Class::Auth => Reason::Auth,
        Class::Timeout => Reason::Timeout,
        Class::Again | Class::Ambiguous | Class::Rejected | Class::Fatal => Reason::Rejected,
    }
}

fn outcome_of(change: &Change) -> Outcome {
    match change {
        change if change.drifted() => Outcome::Drifted,
        Change { action: Action::None, .. } => Outcome::Unchanged,
        Change { action: Action::Create, .. } => Outcome::Created,
        Change { action: Action::Update, .. } => Outcome::Updated,
    }
}

fn drift_text(change: &Change) -> String {
    if let Some(why) = &change.locked {
        why.clone()
    } else {
        let fixed: Vec<String> =
            change.differences.iter().filter(|difference| !difference.fixable).map(ToString::to_string).collect();
        fixed.join("; ")
    }
}

fn not_kept(change: &Change) -> Failure {
    match change.action {
        Action::Create => Failure::rejected("the server took it, but it is not there"),
        _ => Failure::rejected(format!("the server did not keep {}", change.detail())),
    }
}

/// Prints the plan on stdout.
fn show(entries: &[Entry]) -> std::io::Result<()> {
    if output::format() != output::Format::Text {
        let lines: String = entries.iter().map(|entry| entry.record(entry.outcome.planned()).line() + "\n").collect();
        return output::print(&lines);
    }
    let color = output::stdout_color();
    let mut text = String::new();
    for entry in entries {
        let (sign, paint) = match entry.outcome {
            Outcome::Created => ("+", "\x1b[32m"),
            Outcome::Updated => ("~", "\x1b[33m"),
            Outcome::Drifted | Outcome::Failed | Outcome::Skipped => ("!", "\x1b[31m"),
            Outcome::Unchanged if entry.notes.is_empty() => continue,
            Outcome::Unchanged => ("=", ""),
        };
        let (paint, off) = if color && !paint.is_empty() { (paint, "\x1b[0m") } else { ("", "") };
        text += &format!("{paint}{sign} {:<9}{off} {}\n", entry.outcome.planned(), entry.id);
        let lines = entry.differences.iter().map(ToString::to_string);
        for line in lines.chain(entry.error.clone()).chain(entry.notes.clone()) {
            text += &format!("              {line}\n");
        }
    }
    let count = |outcome: Outcome| entries.iter().filter(|entry| entry.outcome == outcome).count();
    let counts: Vec<String> =
        [Outcome::Created, Outcome::Updated, Outcome::Drifted, Outcome::Failed, Outcome::Unchanged]
            .into_iter()
            .filter(|outcome| count(*outcome) > 0)
            .map(|outcome| {
                format!(
                    "{} {}",
                    count(outcome),
                    if outcome == Outcome::Unchanged { "unchanged" } else { outcome.planned() }
                )
            })
            .collect();
    let nothing = [Outcome::Created, Outcome::Updated, Outcome::Drifted, Outcome::Failed]
        .iter()
        .all(|outcome| count(*outcome) == 0);
    let head = if nothing { "nothing to do: " } else { "plan: " };
    text += &format!("{head}{}\n", counts.join(", "));
    output::print(&text)
}

#[cfg(test)]
mod tests;
