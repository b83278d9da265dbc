//! The runner: plan every kind, pre-flight, apply in order, read back. Idempotence, verification and recovery are this one loop.
//! It knows kinds and changes, and neither files nor servers.
//!
//! Each kind is read back before the next one is written: what an object needs is there, and equal, before the object is tried.

use crate::engine::change::{Action, Change, Class, Planned};
use crate::engine::kind::AnyKind;
use crate::files::{Problem, Set};
use crate::net::retry::Deadline;
use crate::ordered;
use crate::output::report::{Entry, Outcome, Report};
use crate::process::exit::Reason;

mod settle;
mod show;
mod write;

use write::Run;

/// What becomes of a difference that cannot be changed in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDrift {
    /// Nothing is written.
    Fail,
    /// It is reported and left; everything else is applied.
    Warn,
}

/// Whether a doubt that pre-flight found stops the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubts {
    /// It is a warning.
    Warn,
    /// It is an error: `STRICT=true`.
    Fail,
}

/// What the runner is told of the settings.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// `MAX_RETRIES`: how often one object's write is sent again.
    pub max_retries: u32,
    /// `STRICT`.
    pub doubts: Doubts,
    /// `ON_DRIFT`.
    pub on_drift: OnDrift,
    /// `APPLY_TIMEOUT`, from readiness on.
    pub deadline: Deadline,
}

/// How a run came out: the reason, and a sentence unless all is well.
pub type Ended = (Reason, Option<String>);

type Kinds = [Box<dyn AnyKind>];

/// Runs `plan`: reads, compares, reports; never writes.
pub fn plan(kinds: &mut Kinds, set: &Set, rules: Rules, report: &Report) -> Ended {
    let plan = Plan::read(kinds, set, rules);
    let changes = if plan.todo().next().is_some() { Reason::Changes } else { Reason::Ok };
    let ended = plan.refused(rules).unwrap_or((changes, None));
    // What is shown takes the place of what was planned: of thousands both would be as much again.
    let planned = plan.kinds.into_iter().flatten();
    let entries: Vec<_> = planned
        .map(|planned| {
            report.planned(match &planned.verdict {
                Err(failure) => Entry::new(&planned.id, Outcome::Failed, None).error(&failure.message),
                Ok(change) => Entry::new(&planned.id, outcome_of(change), Some(change)),
            })
        })
        .collect();
    // Nobody may be reading; what is found still decides the exit code.
    let _ = show::show(&entries, &plan.unread);
    ended
}

/// Runs `apply`.
pub fn apply(kinds: &mut Kinds, set: &Set, rules: Rules, report: &Report) -> Ended {
    let plan = Plan::read(kinds, set, rules);
    if let Some(ended) = plan.refused(rules) {
        plan.report_unwritten(report);
        return ended;
    }
    Run::new(rules, report, plan.kinds).finish(kinds)
}

/// What `plan` of every kind said before the first write, and what pre-flight added.
struct Plan {
    kinds: Vec<Vec<Planned>>,
    /// Kinds that could not be read at all.
    unread: Vec<super::change::Failure>,
    problems: Vec<Problem>,
}

impl Plan {
    fn read(kinds: &mut Kinds, set: &Set, rules: Rules) -> Self {
        let mut plan = Self { kinds: Vec::new(), unread: Vec::new(), problems: Vec::new() };
        for kind in kinds.iter_mut() {
            match kind.plan() {
                Ok(planned) => plan.kinds.push(planned),
                Err(failure) => {
                    plan.kinds.push(Vec::new());
                    plan.unread.push(failure.context(format!("cannot read {}", kind.name())));
                    // The same trouble would meet every other kind, one time-out after the other.
                    if rules.deadline.passed()
                        || plan
                            .unread
                            .last()
                            .is_some_and(|failure| matches!(failure.class, Class::Fatal | Class::Config))
                    {
                        break;
                    }
                }
            }
        }
        plan.kinds.resize_with(kinds.len(), Vec::new);
        if plan.unread.is_empty() {
            for (kind, planned) in kinds.iter_mut().zip(&plan.kinds) {
                plan.problems.extend(kind.preflight(set, planned));
                crate::files::locate(&mut plan.problems);
            }
        }
        for problem in &mut plan.problems {
            problem.warning &= rules.doubts == Doubts::Warn;
            if problem.warning {
                log::warn!(detail:% = problem; "pre-flight");
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
            log::error!(error = failure.message; "cannot read");
            reasons.push((failure.class.into(), failure.message.clone()));
        }
        for planned in self.kinds.iter().flatten() {
            match &planned.verdict {
                Err(failure) => reasons.push((failure.class.into(), format!("{}: {failure}", planned.id))),
                Ok(change) if change.drifted() && rules.on_drift == OnDrift::Fail => {
                    reasons.push((Reason::Drift, format!("{}: {}", planned.id, drift_text(change))));
                }
                Ok(_) => {}
            }
        }
        for problem in self.problems.iter().filter(|problem| !problem.warning) {
            log::error!(error:% = problem; "pre-flight");
            // Pre-flight may wait for what passes with time (brokers that have not registered yet).
            let ran_out = problem.class.recovers() && rules.deadline.passed();
            reasons.push((if ran_out { Reason::Timeout } else { problem.class.into() }, problem.to_string()));
        }
        let (reason, text) = Reason::gravest(reasons)?;
        let remedy = match reason {
            Reason::Drift => "; make the file as the server has it, or leave the server as it is with ON_DRIFT=warn",
            _ => "",
        };
        Some((reason, Some(format!("nothing was written: {text}{remedy}"))))
    }

    /// Reports every object of a run that stops before its first write.
    fn report_unwritten(&self, report: &Report) {
        let wrong = self.problems.iter().filter(|problem| !problem.warning);
        let bad = ordered::map(wrong.filter_map(|problem| Some((problem.id.as_ref()?, problem))));
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

fn writes(planned: &Planned) -> bool {
    planned.verdict.as_ref().is_ok_and(Change::writes)
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

#[cfg(test)]
mod tests;
