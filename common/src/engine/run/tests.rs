//! Cases of the runner, against a server in memory that can be told to fail.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::engine::change::{Difference, Failure, ObjectId, Shown};
use crate::engine::kind::Exported;
use crate::net::clock;
use crate::output::report::Stage;

/// What a write is to meet.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// It is done.
    Done,
    /// It is done, and the answer lost.
    DoneUnheard,
    /// It is not done, and the answer lost.
    LostUnheard,
    /// It is refused.
    Refused,
    /// It is refused, and from then on known as what nobody can change.
    Told,
    /// Somebody else makes another one, which nobody can change, and the answer is lost.
    Overtaken,
    /// It is answered as done and not kept.
    Dropped,
    /// It is answered as done, and another value kept.
    Altered,
    /// It is done, and the reading that comes next looks before it, and takes long to say so.
    Late,
}

#[derive(Default)]
struct Server {
    held: BTreeMap<String, u32>,
    fates: BTreeMap<String, VecDeque<Fate>>,
    writes: Vec<String>,
    plans: usize,
    /// Plans that fail, counted down once the first write was sent.
    unreadable: usize,
    /// A kind that cannot be read once anything was written.
    unreadable_kind: Option<&'static str>,
    /// What is there once somebody has read, for longer than a kind has to settle.
    late: BTreeMap<String, u32>,
    fixed: BTreeSet<String>,
}

struct Memory {
    kind: &'static str,
    want: Vec<(&'static str, u32, Vec<ObjectId>)>,
    server: Rc<RefCell<Server>>,
    problem: Option<&'static str>,
}

impl AnyKind for Memory {
    fn name(&self) -> &'static str {
        self.kind
    }

    fn check(&self) -> Vec<Problem> {
        Vec::new()
    }

    fn plan(&mut self) -> Result<Vec<Planned>, Failure> {
        let mut server = self.server.borrow_mut();
        server.plans += 1;
        if !server.writes.is_empty() && server.unreadable_kind == Some(self.kind) {
            return Err(Failure::new(Class::Again, "busy"));
        }
        if !server.writes.is_empty() && server.unreadable > 0 {
            server.unreadable -= 1;
            return Err(Failure::new(Class::Again, "busy"));
        }
        let compare = |(name, value, needs): &(&'static str, u32, Vec<ObjectId>)| {
            let change = match server.held.get(*name) {
                None => Change::create(),
                Some(held) if held == value => Change::none(),
                Some(held) => Change::update(vec![Difference {
                    fixable: !server.fixed.contains(*name),
                    ..Difference::new("/v", Shown::Json(held.to_string()), Shown::Json(value.to_string()))
                }]),
            };
            Planned { id: ObjectId::new(self.kind, *name), needs: needs.clone(), verdict: Ok(change), step: None }
        };
        let planned = self.want.iter().map(compare).collect();
        let late = std::mem::take(&mut server.late);
        if !late.is_empty() {
            assert!(clock::advance(self.settles_within() * 2), "a case of this has a clock of its own");
            server.held.extend(late);
        }
        Ok(planned)
    }

    fn preflight(&mut self, _: &Set, _: &[Planned]) -> Vec<Problem> {
        let about = |text: &'static str| Problem {
            id: Some(ObjectId::new(self.kind, "x")),
            warning: text.starts_with("perhaps"),
            class: if text == "busy" { Class::Again } else { Class::Rejected },
            ..Problem::of_file("x.json", text)
        };
        self.problem.map(about).into_iter().collect()
    }

    fn apply(&mut self, todo: &[&Planned]) -> Vec<Result<(), Failure>> {
        let mut server = self.server.borrow_mut();
        let mut results = Vec::new();
        for planned in todo {
            let name = planned.id.name.clone();
            let value = self.want.iter().find(|(wanted, ..)| *wanted == name).map_or(0, |(_, value, _)| *value);
            let fate = server.fates.get_mut(&name).and_then(VecDeque::pop_front).unwrap_or(Fate::Done);
            server.writes.push(name.clone());
            match fate {
                Fate::Altered => drop(server.held.insert(name, value + 1)),
                Fate::Done | Fate::DoneUnheard => drop(server.held.insert(name, value)),
                Fate::Late => drop(server.late.insert(name, value)),
                Fate::Told => drop(server.fixed.insert(name)),
                Fate::Overtaken => {
                    server.held.insert(name.clone(), value + 1);
                    server.fixed.insert(name);
                }
                Fate::LostUnheard | Fate::Refused | Fate::Dropped => {}
            }
            results.push(match fate {
                Fate::Done | Fate::Dropped | Fate::Altered | Fate::Late => Ok(()),
                Fate::DoneUnheard | Fate::LostUnheard | Fate::Overtaken => {
                    Err(Failure::new(Class::Ambiguous, "connection lost"))
                }
                Fate::Told => Err(Failure::new(Class::Again, "not while it is open")),
                Fate::Refused => Err(Failure::rejected("not like this")),
            });
        }
        results
    }

    fn export(&mut self) -> Result<Vec<Exported>, Failure> {
        Ok(Vec::new())
    }

    fn settles_within(&self) -> Duration {
        Duration::from_millis(50)
    }
}

struct World {
    server: Rc<RefCell<Server>>,
    kinds: Vec<Box<dyn AnyKind>>,
    rules: Rules,
    problem: Option<&'static str>,
}

impl World {
    fn new() -> Self {
        let rules = Rules {
            max_retries: 3,
            doubts: Doubts::Warn,
            on_drift: OnDrift::Fail,
            deadline: Deadline::after(Duration::from_secs(30)),
        };
        Self { server: Rc::default(), kinds: Vec::new(), rules, problem: None }
    }

    fn kind(mut self, kind: &'static str, want: &[(&'static str, u32)]) -> Self {
        let want = want.iter().map(|(name, value)| (*name, *value, Vec::new())).collect();
        self.kinds.push(Box::new(Memory { kind, want, server: self.server.clone(), problem: self.problem }));
        self
    }

    fn needing(mut self, kind: &'static str, name: &'static str, need: (&'static str, &'static str)) -> Self {
        let want = vec![(name, 1, vec![ObjectId::new(need.0, need.1)])];
        self.kinds.push(Box::new(Memory { kind, want, server: self.server.clone(), problem: None }));
        self
    }

    fn held(self, name: &str, value: u32) -> Self {
        self.server.borrow_mut().held.insert(name.into(), value);
        self
    }

    fn fixed(self, name: &str) -> Self {
        self.server.borrow_mut().fixed.insert(name.into());
        self
    }

    fn fate(self, name: &str, fates: &[Fate]) -> Self {
        self.server.borrow_mut().fates.insert(name.into(), fates.iter().copied().collect());
        self
    }

    fn apply(&mut self) -> (Reason, String) {
        let report = Report::new(Arc::default());
        let (reason, error) = apply(&mut self.kinds, &Set::default(), self.rules, &report);
        let entries = report.entries();
        let shown = entries.iter().map(|entry| {
            let error = entry.error.as_deref().map(|error| format!(" ({error})")).unwrap_or_default();
            format!("{} {}{error}\n", Stage::Done.word(entry.outcome), entry.id)
        });
        let shown: String = shown.collect();
        (reason, shown + &error.unwrap_or_default())
    }

    fn writes(&self) -> Vec<String> {
        std::mem::take(&mut self.server.borrow_mut().writes)
    }
}

#[test]
fn the_second_run_writes_nothing() {
    let mut world = World::new().kind("a", &[("x", 1), ("y", 2)]).held("y", 1);
    assert_eq!(world.apply(), (Reason::Ok, "created a/x\nupdated a/y\n".into()));
    assert_eq!(world.writes(), ["x", "y"]);
    assert_eq!(world.apply(), (Reason::Ok, "unchanged a/x\nunchanged a/y\n".into()));
    assert_eq!(world.writes(), [""; 0]);
}

#[test]
fn a_run_with_nothing_to_do_reads_once() {
    let mut world = World::new().kind("a", &[("x", 1)]).held("x", 1);
    world.apply();
    assert_eq!(world.server.borrow().plans, 1);
}

#[test]
fn an_ambiguous_write_is_settled_by_reading() {
    let mut world = World::new().kind("a", &[("x", 1), ("y", 1)]);
    world = world.fate("x", &[Fate::DoneUnheard]).fate("y", &[Fate::LostUnheard]);
    assert_eq!(world.apply(), (Reason::Ok, "created a/x\ncreated a/y\n".into()));
    assert_eq!(world.writes(), ["x", "y", "y"], "only what is not there is written again");
}

#[test]
fn retries_end() {
    let mut world = World::new().kind("a", &[("x", 1)]).fate("x", &[Fate::LostUnheard; 9]);
    let (reason, text) = world.apply();
    assert_eq!((reason, text.as_str()), (Reason::Unavailable, "failed a/x (connection lost)\na/x: connection lost"));
    assert_eq!(world.writes().len(), 4, "once, and MAX_RETRIES times again");
}

#[test]
fn what_the_server_does_not_keep_is_a_failure() {
    let mut world = World::new().kind("a", &[("x", 2)]).held("x", 1).fate("x", &[Fate::Dropped]);
    let (reason, text) = world.apply();
    assert_eq!(reason, Reason::Rejected);
    assert!(text.contains("the server did not keep /v: 1 -> 2"), "{text}");
    assert_eq!(world.writes().len(), 1);
}

#[test]
fn a_reading_that_began_early_is_no_late_one_however_long_it_takes() {
    clock::stand_still();
    let mut world = World::new().kind("a", &[("x", 2)]).held("x", 1).fate("x", &[Fate::Late]);
    assert_eq!(world.apply(), (Reason::Ok, "updated a/x\n".into()));
    assert_eq!(world.writes(), ["x"]);
}

#[test]
fn siblings_go_on_and_dependents_are_skipped() {
    let mut world =
        World::new().kind("a", &[("x", 1), ("y", 1)]).needing("b", "z", ("a", "x")).fate("x", &[Fate::Refused]);
    let (reason, text) = world.apply();
    assert_eq!(reason, Reason::Rejected);
    assert_eq!(
        text,
        "failed a/x (not like this)\ncreated a/y\nskipped b/z (a/x failed)\na/x: not like this; 1 skipped that need what failed"
    );
    assert_eq!(world.writes(), ["x", "y"]);
}

#[test]
fn anything_wrong_beforehand_means_no_write_at_all() {
    let world = World { problem: Some("no such processor"), ..World::new() };
    let mut world = world.kind("a", &[("x", 1), ("y", 1), ("z", 1)]).held("y", 1);
    let (reason, text) = world.apply();
    assert_eq!(reason, Reason::Rejected);
    assert!(text.starts_with("failed a/x (no such processor)\nunchanged a/y\nskipped a/z"), "{text}");
    assert!(text.ends_with("nothing was written: x.json: no such processor"), "{text}");
    assert_eq!(world.writes(), [""; 0]);
}

#[test]
fn a_preflight_that_may_pass_ends_as_unavailable() {
    let mut world = World { problem: Some("busy"), ..World::new() }.kind("a", &[("x", 1)]);
    assert_eq!(world.apply().0, Reason::Unavailable);
}

#[test]
fn a_doubt_stops_a_strict_run_alone() {
    let world = || World { problem: Some("perhaps not"), ..World::new() }.kind("a", &[("x", 1)]);
    let (mut trusting, mut strict) = (world(), world());
    assert_eq!(trusting.apply(), (Reason::Ok, "created a/x\n".into()));
    strict.rules.doubts = Doubts::Fail;
    assert_eq!(
        strict.apply(),
        (Reason::Rejected, "failed a/x (perhaps not)\nnothing was written: x.json: perhaps not".into())
    );
    assert_eq!(strict.writes(), [""; 0]);
    // What stops the run is something else: the doubt is not what is wrong with its object.
    let mut drifted = World { problem: Some("perhaps not"), ..World::new() }.kind("a", &[("x", 1), ("y", 2)]);
    drifted = drifted.held("y", 1).fixed("y");
    let (reason, text) = drifted.apply();
    assert_eq!(reason, Reason::Drift);
    assert!(text.starts_with("skipped a/x (not tried") && text.contains("drifted a/y"), "{text}");
}

#[test]
fn a_plan_has_to_do_what_differs() {
    let mut world = World::new().kind("a", &[("x", 1), ("y", 1)]).held("y", 1);
    let mut count = || Plan::read(&mut world.kinds, &Set::default(), world.rules).todo().count();
    assert_eq!(count(), 1);
    world.server.borrow_mut().held.insert("x".into(), 1);
    assert_eq!(count(), 0);
}

#[test]
fn drift_stops_the_run_or_is_left_as_asked() {
    let mut world = World::new().kind("a", &[("x", 2), ("y", 1)]).held("x", 1).fixed("x");
    let (reason, text) = world.apply();
    assert_eq!(reason, Reason::Drift);
    assert!(text.starts_with("drifted a/x\nskipped a/y"), "{text}");
    assert!(text.ends_with("or leave the server as it is with ON_DRIFT=warn"), "{text}");
    assert_eq!(world.writes(), [""; 0]);
    world.rules.on_drift = OnDrift::Warn;
    assert_eq!(world.apply(), (Reason::Ok, "drifted a/x\ncreated a/y\n".into()));
    assert_eq!(world.writes(), ["y"]);
}

#[test]
fn drift_that_a_write_brings_up_is_left_or_fails_and_is_not_sent_again() {
    let world = || World::new().kind("a", &[("x", 2), ("y", 1)]).held("x", 1).fate("x", &[Fate::Told]);
    let (mut failing, mut leaving) = (world(), world());
    let said = "/v: 1 -> 2 (cannot be changed in place): not while it is open";
    assert_eq!(
        failing.apply(),
        (Reason::Drift, format!("failed a/x ({said})\ncreated a/y\na/x: {said}")),
        "siblings go on"
    );
    assert_eq!(failing.writes(), ["x", "y"]);
    leaving.rules.on_drift = OnDrift::Warn;
    assert_eq!(leaving.apply(), (Reason::Ok, "drifted a/x\ncreated a/y\n".into()));
    assert_eq!(leaving.writes(), ["x", "y"]);
}

#[test]
fn what_a_twin_made_for_good_fails_at_once() {
    let mut world = World::new().kind("a", &[("x", 2)]).fate("x", &[Fate::Overtaken]);
    let (reason, text) = world.apply();
    assert_eq!(reason, Reason::Rejected);
    assert!(text.contains("/v: 3 -> 2 (cannot be changed in place): connection lost"), "{text}");
    assert_eq!(world.writes(), ["x"]);
}

#[test]
fn a_deadline_that_passed_is_named() {
    let mut world = World::new().kind("a", &[("x", 1)]);
    world.rules.deadline = Deadline::after(Duration::ZERO);
    let (reason, text) = world.apply();
    assert_eq!(reason, Reason::Timeout);
    assert!(text.contains("APPLY_TIMEOUT"), "{text}");
    assert_eq!(world.writes(), [""; 0]);
}

#[test]
fn dependents_wait_until_what_they_need_is_read_back() {
    let mut world = World::new().kind("a", &[("x", 1)]).needing("b", "z", ("a", "x")).fate("x", &[Fate::LostUnheard]);
    assert_eq!(world.apply(), (Reason::Ok, "created a/x\ncreated b/z\n".into()));
    assert_eq!(world.writes(), ["x", "x", "z"], "z is not tried before x is there");
}

#[test]
fn what_needs_something_that_was_not_kept_is_skipped() {
    let mut world = World::new().kind("a", &[("x", 1)]).needing("b", "z", ("a", "x")).fate("x", &[Fate::Dropped]);
    let (reason, text) = world.apply();
    assert_eq!(reason, Reason::Rejected);
    assert!(text.contains("skipped b/z (a/x failed)"), "{text}");
    assert_eq!(world.writes(), ["x"]);
}

#[test]
fn what_needs_something_of_its_own_kind_comes_after_it() {
    let child = ("child", 1, vec![ObjectId::new("a", "parent")]);
    let mut world = World::new().fate("parent", &[Fate::LostUnheard]);
    let want = vec![child, ("parent", 1, Vec::new())];
    world.kinds.push(Box::new(Memory { kind: "a", want, server: world.server.clone(), problem: None }));
    assert_eq!(world.apply().0, Reason::Ok);
    assert_eq!(world.writes(), ["parent", "parent", "child"]);
}

#[test]
fn objects_that_need_each_other_are_skipped() {
    let mut world = World::new();
    let want = vec![("x", 1, vec![ObjectId::new("a", "y")]), ("y", 1, vec![ObjectId::new("a", "x")])];
    world.kinds.push(Box::new(Memory { kind: "a", want, server: world.server.clone(), problem: None }));
    let (reason, text) = world.apply();
    assert_eq!(reason, Reason::Internal);
    assert!(text.contains("skipped a/x (it needs itself"), "{text}");
    assert_eq!(world.writes(), [""; 0]);
}

#[test]
fn nothing_is_written_on_a_plan_that_could_not_be_renewed() {
    let mut world = World::new().kind("a", &[("x", 1)]).fate("x", &[Fate::LostUnheard]);
    world.server.borrow_mut().unreadable = 3;
    assert_eq!(world.apply(), (Reason::Ok, "created a/x\n".into()));
    assert_eq!(world.writes(), ["x", "x"]);
}

#[test]
fn drift_that_a_create_leaves_fails_this_run() {
    let mut world = World::new().kind("a", &[("x", 2)]).fixed("x").fate("x", &[Fate::Altered]);
    let (reason, text) = world.apply();
    assert_eq!(reason, Reason::Rejected);
    assert!(text.contains("the server did not keep /v: 3 -> 2 (cannot be changed in place)"), "{text}");
}

#[test]
fn what_cannot_be_read_again_after_what_it_needs_was_written_fails() {
    let mut world = World::new().kind("a", &[("x", 2)]).held("x", 1).needing("b", "z", ("a", "x")).held("z", 1);
    // The read-back of a passes, the second plan of b does not.
    world.server.borrow_mut().unreadable_kind = Some("b");
    let (reason, text) = world.apply();
    assert_eq!(reason, Reason::Unavailable);
    assert!(text.contains("failed b/z (cannot read it again"), "{text}");
}
