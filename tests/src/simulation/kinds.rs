//! The kinds of a life, written as the programs' own are: a plan that reads, a step that carries what is sent. The habits are those of the
//! services: a template that acts only when an index is made, a version that an attachment has to follow, a password that only a log-in
//! shows, a repository that is there and does not work, records that are sent once.

use std::cell::RefCell;
use std::rc::Rc;

use common::engine::change::{Change, Class, Difference, Failure, ObjectId, Planned, Shown};
use common::engine::kind::{AnyKind, Exported, Kind, Typed};
use common::files::Problem;

use super::Mutant;
use super::world::{ATTACHMENT, INDEX, Name, POLICY, REPOSITORY, SEEDS, TEMPLATE, TOPIC, Thing, USER, WANT, World};

pub(super) fn all(world: &Rc<RefCell<World>>, mutant: Mutant) -> Vec<Box<dyn AnyKind>> {
    [REPOSITORY, TEMPLATE, POLICY, INDEX, ATTACHMENT, TOPIC, USER]
        .into_iter()
        .map(|name| {
            let kind = One { world: world.clone(), name, mutant, written: false };
            Box::new(Typed::new(kind)) as Box<dyn AnyKind>
        })
        .collect()
}

/// A kind with one object.
struct One {
    world: Rc<RefCell<World>>,
    name: Name,
    mutant: Mutant,
    written: bool,
}

/// What is sent.
#[derive(Debug)]
enum Step {
    /// Set it, if it is still at this sequence number.
    Put { seq: Option<u32>, of: u32 },
    /// Make it, as its template says at that moment.
    Make,
    /// Send these records, as long as no later writer has begun.
    Append { records: Vec<u32>, epoch: u32 },
}

fn differs(path: &str, from: u32, to: u32) -> Difference {
    Difference::new(path, Shown::Json(from.to_string()), Shown::Json(to.to_string()))
}

impl One {
    fn id(name: Name) -> ObjectId {
        ObjectId::new(name.0, name.1)
    }

    fn needs(&self) -> Vec<ObjectId> {
        match self.name {
            _ if self.mutant == Mutant::ForgetNeeds => Vec::new(),
            INDEX => vec![Self::id(TEMPLATE)],
            ATTACHMENT => vec![Self::id(POLICY), Self::id(INDEX)],
            _ => Vec::new(),
        }
    }

    /// What `plan` says, and what would be sent.
    fn read(&self) -> Result<(Change, Step), Failure> {
        let mut world = self.world.borrow_mut();
        let numbered = |seq: u32| (self.mutant != Mutant::DropSequence).then_some(seq);
        if self.name == TOPIC {
            world.ask("read records")?;
            let missing: Vec<u32> = SEEDS.into_iter().filter(|record| !world.records.contains(record)).collect();
            world.looked(TOPIC);
            let change = match missing.len() {
                0 => Change::none(),
                2 => Change::create(),
                left => Change::update(vec![differs("/records", 2 - u32::try_from(left).expect("few"), 2)]),
            };
            let epoch = world.epoch;
            return Ok((change, Step::Append { records: missing, epoch }));
        }
        let Some(held) = world.get(self.name)? else {
            let of = if self.name == ATTACHMENT { world.peek(POLICY)?.map_or(0, |policy| policy.seq) } else { 0 };
            let step = if self.name == INDEX { Step::Make } else { Step::Put { seq: numbered(0), of } };
            return Ok((Change::create(), step));
        };
        let step = Step::Put { seq: numbered(held.seq), of: held.of };
        match self.name {
            INDEX if held.of != WANT => {
                let shape = Difference { fixable: false, ..differs("/shape", held.of, WANT) };
                Ok((Change::update(vec![shape]), step))
            }
            ATTACHMENT => {
                let version = world.peek(POLICY)?.map_or(0, |policy| policy.seq);
                let differences = if held.of == version { vec![] } else { vec![differs("/version", held.of, version)] };
                Ok((Change::update(differences), Step::Put { seq: numbered(held.seq), of: version }))
            }
            REPOSITORY => self.verified(&mut world, &held).map(|change| (change, step)),
            USER => self.logged_in(&mut world, &held).map(|change| (change, step)),
            _ => Ok((compared(&held), step)),
        }
    }

    /// A repository that is there has to work as well.
    fn verified(&self, world: &mut World, held: &Thing) -> Result<Change, Failure> {
        let change = compared(held);
        if change.writes() || self.mutant == Mutant::TrustRegistered {
            return Ok(change);
        }
        world.ask("verify")?;
        // Nodes come to reach it once they are well, without a write.
        let works = world.works(REPOSITORY);
        if works { Ok(change) } else { Err(Failure::new(Class::Rejected, "the nodes cannot use it")) }
    }

    /// Only a log-in shows a password. One that could not be tried is a note, and no difference.
    fn logged_in(&self, world: &mut World, held: &Thing) -> Result<Change, Failure> {
        match world.ask("log in") {
            Ok(()) => Ok(compared(held)),
            Err(failure) if world.killed => Err(failure),
            Err(_) if self.mutant == Mutant::WriteUnknown => Ok(Change::update(vec![differs("/password", 0, 0)])),
            Err(failure) => {
                world.excuse(USER);
                Ok(Change::none().note(format!("not verified: {failure}")))
            }
        }
    }
}

fn compared(held: &Thing) -> Change {
    Change::update(if held.value == WANT { vec![] } else { vec![differs("/value", held.value, WANT)] })
}

impl Kind for One {
    type Step = Step;

    fn name(&self) -> &'static str {
        self.name.0
    }

    fn check(&self) -> Vec<Problem> {
        Vec::new()
    }

    fn plan(&mut self) -> Result<Vec<Planned<Step>>, Failure> {
        if self.mutant == Mutant::ForgetKind && self.name == ATTACHMENT {
            return Ok(Vec::new());
        }
        let planned = |change| Planned::new(Self::id(self.name), Ok(change)).needing(self.needs());
        if self.mutant == Mutant::SkipReadBack && self.written {
            return Ok(vec![planned(Change::none())]);
        }
        match self.read() {
            Ok((change, step)) => Ok(vec![planned(change).with_step(|_| Ok(step))]),
            Err(failure) if failure.class == Class::Rejected => {
                Ok(vec![Planned::new(Self::id(self.name), Err(failure)).needing(self.needs())])
            }
            Err(failure) => Err(failure),
        }
    }

    fn apply(&mut self, todo: &[(&ObjectId, &Step)]) -> Vec<Result<(), Failure>> {
        self.written = true;
        let send = |world: &mut World, step: &Step, fenced: bool| {
            world.write(self.name, |world| match step {
                Step::Put { seq, of } => world.put(self.name, *seq, *of),
                Step::Make => world.make_index(),
                Step::Append { records, epoch } => world.append(records, fenced.then_some(*epoch)),
            })
        };
        let apply = |(_, step): &(&ObjectId, &Step)| {
            let mut world = self.world.borrow_mut();
            let fenced = self.mutant != Mutant::DropSequence;
            match send(&mut world, step, fenced) {
                Err(failure) if failure.class == Class::Ambiguous && self.mutant == Mutant::RetryBlindly => {
                    send(&mut world, step, false)
                }
                result => result,
            }
        };
        todo.iter().map(apply).collect()
    }

    fn export(&mut self) -> Result<Vec<Exported>, Failure> {
        Ok(Vec::new())
    }
}
