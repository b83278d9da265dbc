//! The runner in a world of its own: kinds with the habits of the three services, in memory, on a clock that only they move. One seed is
//! one life: runs under faults, then a server that is well again. What a kind does is in `kinds`, what the server does in `world`.
//!
//! | phase    | what happens                                                             | what must hold                                       |
//! |----------|--------------------------------------------------------------------------|------------------------------------------------------|
//! | safety   | faults, lag, a twin, a person in the UI, kills; one to three runs         | exit 0 only if the world is as declared; no second seed; nothing sent that was seen to match |
//! | liveness | the faults stop; one run, and one more                                   | exit 0 with the world as declared; then no write      |

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use common::engine::kind::AnyKind;
use common::engine::run::{Doubts, OnDrift, Rules, apply};
use common::files::Set;
use common::net::clock;
use common::net::retry::Deadline;
use common::output::report::Report;
use common::process::exit::Reason;

mod kinds;
mod tape;
mod world;

pub use tape::Tape;

use world::World;

/// A rule of ours that is broken on purpose, to know that the simulation sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// None is broken.
    None,
    /// What was written in this run counts as read back.
    SkipReadBack,
    /// A write carries no sequence number.
    DropSequence,
    /// A write that may have been done is sent again without looking.
    RetryBlindly,
    /// One kind plans nothing.
    ForgetKind,
    /// Dependents do not name what they need.
    ForgetNeeds,
    /// What is registered counts as usable.
    TrustRegistered,
    /// A check that could not be made counts as a difference.
    WriteUnknown,
}

/// All rules that are broken in turn.
pub const MUTANTS: [Mutant; 7] = [
    Mutant::SkipReadBack,
    Mutant::DropSequence,
    Mutant::RetryBlindly,
    Mutant::ForgetKind,
    Mutant::ForgetNeeds,
    Mutant::TrustRegistered,
    Mutant::WriteUnknown,
];

/// What the lives so far came to.
#[derive(Debug, Default)]
pub struct Tally {
    /// Lives.
    pub lives: u64,
    /// Runs by how they ended.
    pub ended: BTreeMap<String, u64>,
    /// Choices other than the harmless one, by name.
    pub faults: BTreeMap<&'static str, u64>,
}

/// Lives one life; the error says what did not hold, and every choice made.
pub fn live(tape: Tape, mutant: Mutant, tally: &mut Tally) -> Result<(), String> {
    let world = Rc::new(RefCell::new(World::new(tape)));
    tally.lives += 1;
    let result = phases(&world, mutant, tally);
    let world = world.borrow();
    for (fault, count) in &world.faults {
        *tally.faults.entry(fault).or_default() += count;
    }
    result.map_err(|what| format!("{what}\n{}", world.log.join("\n")))
}

fn phases(world: &Rc<RefCell<World>>, mutant: Mutant, tally: &mut Tally) -> Result<(), String> {
    let runs = 1 + world.borrow_mut().tape.below(3);
    for _ in 0..runs {
        run(world, mutant, tally)?;
    }
    world.borrow_mut().heal();
    if run(world, mutant, tally)? != Some(Reason::Ok) {
        return Err("the server is well, and the run did not end in exit 0".into());
    }
    let before = world.borrow().writes;
    if run(world, mutant, tally)? != Some(Reason::Ok) {
        return Err("the second run on a server that is well did not end in exit 0".into());
    }
    let after = world.borrow().writes;
    if after == before { Ok(()) } else { Err(format!("the second run sent {} writes", after - before)) }
}

/// One run; `None` is a run that was killed.
fn run(world: &Rc<RefCell<World>>, mutant: Mutant, tally: &mut Tally) -> Result<Option<Reason>, String> {
    world.borrow_mut().begin_run();
    let mut kinds: Vec<Box<dyn AnyKind>> = kinds::all(world, mutant);
    let rules = Rules {
        max_retries: 4,
        doubts: Doubts::Warn,
        on_drift: OnDrift::Fail,
        deadline: Deadline::after(Duration::from_mins(1)),
    };
    let report = Report::new(Arc::default());
    let (reason, text) = apply(&mut kinds, &Set::default(), rules, &report);
    let killed = world.borrow().killed;
    let reason = (!killed).then_some(reason);
    let how = reason.map_or("killed".into(), |reason| reason.to_string());
    world.borrow_mut().note(format!("run ended {how}: {}", text.unwrap_or_default()));
    *tally.ended.entry(how).or_default() += 1;
    let world = world.borrow();
    if world.seeds_twice() {
        return Err("a seed was sent twice".into());
    }
    if let Some(needless) = world.needless.first() {
        return Err(needless.clone());
    }
    if reason == Some(Reason::Ok)
        && let Some(wrong) = world.wrong()
    {
        return Err(format!("exit 0, and {wrong}"));
    }
    Ok(reason)
}

/// Looks for a shorter life that fails as well: choices are made harmless, a shrinking stretch at a time.
#[must_use]
pub fn shrink(choices: Vec<u32>, mutant: Mutant) -> (Vec<u32>, String) {
    let fails = |choices: &[u32]| live(Tape::replay(choices), mutant, &mut Tally::default()).err();
    let mut best = choices;
    let mut why = fails(&best).unwrap_or_else(|| "it does not fail again".into());
    let mut stretch = best.len();
    while stretch > 0 {
        for start in (0..best.len()).step_by(stretch) {
            let mut shorter = best.clone();
            let end = (start + stretch).min(shorter.len());
            shorter[start..end].fill(0);
            if shorter != best
                && let Some(still) = fails(&shorter)
            {
                (best, why) = (shorter, still);
            }
        }
        stretch /= 2;
    }
    (best, why)
}

/// Lives lives from `first` on, at most `most`, as long as `go_on` says; the error is the first that failed, shrunk. The calling thread's
/// clock stands still from then on.
pub fn lives(first: u64, most: u64, mutant: Mutant, mut go_on: impl FnMut() -> bool) -> (Tally, Result<(), String>) {
    clock::stand_still();
    let mut tally = Tally::default();
    for seed in first..first + most {
        if !go_on() {
            break;
        }
        let tape = Tape::seeded(seed);
        let choices = tape.choices();
        if let Err(what) = live(tape, mutant, &mut tally) {
            let (shrunk, why) = shrink(choices.borrow().clone(), mutant);
            let left = shrunk.iter().filter(|choice| **choice != 0).count();
            let first = what.lines().next().unwrap_or_default();
            return (tally, Err(format!("seed {seed}: {first}\nshrunk to {left} choices: {why}")));
        }
    }
    (tally, Ok(()))
}
