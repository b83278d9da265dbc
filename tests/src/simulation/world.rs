//! The server of a life: what it holds, what it shows, what its requests meet. Who asks, and why, is not known here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use common::engine::change::{Class, Failure};
use common::net::clock;

use super::tape::Tape;

/// A thing on the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Thing {
    /// What it was set to.
    pub(super) value: u32,
    /// What it took over from another thing when it was made, or is held to: an index its template, an attachment its policy's version.
    pub(super) of: u32,
    /// Moves with every write.
    pub(super) seq: u32,
    /// Whether it works, which no list shows.
    pub(super) works: bool,
}

pub(super) type Name = (&'static str, &'static str);

/// What is declared, in order.
pub(super) const TEMPLATE: Name = ("templates", "t");
pub(super) const INDEX: Name = ("indices", "i");
pub(super) const REPOSITORY: Name = ("repositories", "r");
pub(super) const POLICY: Name = ("policies", "p");
pub(super) const ATTACHMENT: Name = ("attachments", "a");
pub(super) const USER: Name = ("users", "u");
pub(super) const TOPIC: Name = ("topics", "s");
/// The value that every declared thing is to have.
pub(super) const WANT: u32 = 7;
/// What the seeds' topic is to start with.
pub(super) const SEEDS: [u32; 2] = [1, 2];

/// The server.
#[derive(Debug)]
pub(super) struct World {
    pub(super) tape: Tape,
    pub(super) things: BTreeMap<Name, Thing>,
    /// What reads still show of things that were written a moment ago.
    shown: BTreeMap<Name, (Instant, Option<Thing>)>,
    pub(super) records: Vec<u32>,
    /// Writers of records so far: who began before the last one is fenced.
    pub(super) epoch: u32,
    pub(super) writes: u64,
    pub(super) killed: bool,
    healed: bool,
    /// One in so many requests of this life meets a fault: where they are rare, a life comes far.
    rarely: u32,
    /// When a person or a twin touched a thing last, and when this run looked at it last.
    touched: BTreeMap<Name, Instant>,
    read: BTreeMap<Name, Instant>,
    /// Things of which this run saw an old state, or which it has written.
    unsure: BTreeSet<Name>,
    /// Writes of what was seen to match.
    pub(super) needless: Vec<String>,
    pub(super) log: Vec<String>,
    pub(super) faults: BTreeMap<&'static str, u64>,
}

/// What a request meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Done,
    Busy,
    LostBefore,
    LostAfter,
    Denied,
    NotKept,
    Late,
    Killed,
}

const FATES: [(Fate, &str); 8] = [
    (Fate::Done, "done"),
    (Fate::Busy, "answered 503"),
    (Fate::LostBefore, "lost before it was done"),
    (Fate::LostAfter, "done, and the answer lost"),
    (Fate::Denied, "answered 403"),
    (Fate::NotKept, "acknowledged, and not done"),
    (Fate::Late, "done, and shown later"),
    (Fate::Killed, "killed"),
];

impl World {
    pub(super) fn new(mut tape: Tape) -> Self {
        let rarely = [16, 8, 4][usize::try_from(tape.below(3)).expect("few")];
        let mut world = Self {
            tape,
            rarely,
            things: BTreeMap::new(),
            shown: BTreeMap::new(),
            records: Vec::new(),
            epoch: 0,
            writes: 0,
            killed: false,
            healed: false,
            touched: BTreeMap::new(),
            read: BTreeMap::new(),
            unsure: BTreeSet::new(),
            needless: Vec::new(),
            log: Vec::new(),
            faults: BTreeMap::new(),
        };
        // Some things are there from before, as declared or not. An index is not: its shape is for good.
        for name in [TEMPLATE, REPOSITORY, POLICY, USER] {
            if world.tape.once_in(3) {
                let value = if world.tape.once_in(2) { WANT } else { 1 };
                world.things.insert(name, Thing { value, of: 0, seq: 1, works: true });
            }
        }
        world
    }

    pub(super) fn note(&mut self, text: String) {
        self.log.push(text);
    }

    pub(super) fn begin_run(&mut self) {
        self.killed = false;
        self.read.clear();
        self.unsure.clear();
    }

    /// The faults stop; what was late is shown, what did not work does.
    pub(super) fn heal(&mut self) {
        self.healed = true;
        self.shown.clear();
        self.note("the server is well".into());
    }

    /// A fate that is no good, now and then; time goes by.
    fn fate(&mut self, what: &str) -> Fate {
        if self.killed {
            return Fate::Killed;
        }
        pass(1);
        if self.healed {
            return Fate::Done;
        }
        let took = self.tape.below(8);
        pass(u64::from(took) * 30);
        self.somebody_else();
        let fate = if self.tape.once_in(self.rarely) {
            // Kills are rarer than the rest: they end the run.
            let drawn = self.tape.below(u32::try_from(FATES.len() * 2).expect("few"));
            FATES.get(usize::try_from(drawn).expect("few")).map_or(Fate::Busy, |(fate, _)| *fate)
        } else {
            Fate::Done
        };
        let (_, said) = FATES.iter().find(|(known, _)| *known == fate).expect("every fate has a word");
        if fate != Fate::Done {
            *self.faults.entry(said).or_default() += 1;
        }
        self.note(format!("{what}: {said}"));
        self.killed = fate == Fate::Killed;
        fate
    }

    /// A person in the UI, or a twin with the same files, between two of our requests.
    fn somebody_else(&mut self) {
        if !self.tape.once_in(25) {
            return;
        }
        match self.tape.below(4) {
            // A person changes what may be changed.
            0 => self.touch(POLICY, "a person edits", |thing| thing.value = 3),
            1 => self.touch(TEMPLATE, "a person edits", |thing| thing.value = 4),
            2 => self.touch(USER, "a person sets a password of", |thing| thing.value = 5),
            // A twin writes the records that are not there yet.
            _ => {
                self.epoch += 1;
                for record in SEEDS {
                    if !self.records.contains(&record) {
                        self.records.push(record);
                    }
                }
                self.touched.insert(TOPIC, clock::now());
                *self.faults.entry("a twin seeds").or_default() += 1;
                self.note("a twin seeds".into());
            }
        }
    }

    fn touch(&mut self, name: Name, what: &'static str, change: impl FnOnce(&mut Thing)) {
        // An index that was made keeps its template's shape: only before that does an edit of the template matter for good.
        if name == TEMPLATE && !self.things.contains_key(&INDEX) {
            return;
        }
        if let Some(thing) = self.things.get_mut(&name) {
            change(thing);
            thing.seq += 1;
            self.touched.insert(name, clock::now());
            *self.faults.entry(what).or_default() += 1;
            self.note(format!("{what} {}", name.1));
        }
    }

    /// What a read of a thing shows, for the kind that answers for it.
    pub(super) fn get(&mut self, name: Name) -> Result<Option<Thing>, Failure> {
        let thing = self.peek(name)?;
        self.read.insert(name, clock::now());
        Ok(thing)
    }

    /// What a read of a thing shows to another kind.
    pub(super) fn peek(&mut self, name: Name) -> Result<Option<Thing>, Failure> {
        self.ask(&format!("GET {}/{}", name.0, name.1))?;
        match self.shown.get(&name) {
            Some((until, old)) if *until > clock::now() => {
                self.unsure.insert(name);
                Ok(old.clone())
            }
            _ => Ok(self.things.get(&name).cloned()),
        }
    }

    /// A read of something else than a thing: a verification, a log-in, an explanation.
    pub(super) fn ask(&mut self, what: &str) -> Result<(), Failure> {
        match self.fate(what) {
            Fate::Done | Fate::LostAfter | Fate::NotKept | Fate::Late => Ok(()),
            Fate::Busy | Fate::LostBefore => Err(Failure::new(Class::Again, format!("{what}: 503"))),
            Fate::Denied => Err(Failure::new(Class::Auth, format!("{what}: 403"))),
            Fate::Killed => Err(Failure::fatal("killed")),
        }
    }

    /// A write; `change` is done to the world, or not.
    pub(super) fn write(
        &mut self,
        name: Name,
        change: impl FnOnce(&mut Self) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let what = format!("PUT {}/{}", name.0, name.1);
        let fate = self.fate(&what);
        if !self.killed {
            self.writes += 1;
        }
        let lost = || Failure::new(Class::Ambiguous, format!("{what}: the answer was lost"));
        match fate {
            Fate::Done => change(self),
            Fate::Late => {
                let old = self.things.get(&name).cloned();
                let late = Duration::from_millis(u64::from(self.tape.below(60)) * 100);
                let done = change(self);
                self.shown.insert(name, (clock::now() + late, old));
                done
            }
            Fate::LostAfter => change(self).and_then(|()| Err(lost())),
            Fate::LostBefore => Err(lost()),
            Fate::Busy => Err(Failure::new(Class::Again, format!("{what}: 503"))),
            Fate::NotKept => Ok(()),
            Fate::Denied => Err(Failure::new(Class::Auth, format!("{what}: 403"))),
            Fate::Killed => {
                // The request may have gone out.
                if self.tape.once_in(2) {
                    change(self)?;
                }
                Err(Failure::fatal("killed"))
            }
        }
    }

    /// Sets a thing, for a caller who knows its sequence number; with none, whatever it is.
    pub(super) fn put(&mut self, name: Name, seq: Option<u32>, of: u32) -> Result<(), Failure> {
        let held = self.things.get(&name).map_or(0, |thing| thing.seq);
        if seq.is_some_and(|seq| seq != held) {
            return Err(Failure::new(Class::Ambiguous, format!("{} is at {held}: 409", name.1)));
        }
        let untouched = self.touched.get(&name) < self.read.get(&name);
        let first = self.unsure.insert(name);
        if first && untouched && self.things.get(&name).is_some_and(|thing| thing.value == WANT && thing.of == of) {
            self.needless.push(format!("{} was sent though it matched", name.1));
        }
        let works = name != REPOSITORY || self.healed || !self.tape.once_in(4);
        self.things.insert(name, Thing { value: WANT, of, seq: held + 1, works });
        Ok(())
    }

    /// Makes the index, as the template says at this moment.
    pub(super) fn make_index(&mut self) -> Result<(), Failure> {
        if self.things.contains_key(&INDEX) {
            return Err(Failure::new(Class::Ambiguous, "it is there already: 400"));
        }
        let shape = self.things.get(&TEMPLATE).map_or(0, |template| template.value);
        self.things.insert(INDEX, Thing { value: WANT, of: shape, seq: 1, works: true });
        Ok(())
    }

    /// Sends records in one transaction, which a later writer fences; without an epoch nothing does.
    pub(super) fn append(&mut self, records: &[u32], epoch: Option<u32>) -> Result<(), Failure> {
        if epoch.is_some_and(|epoch| epoch != self.epoch) {
            return Err(Failure::new(Class::Again, "fenced by a later writer"));
        }
        self.epoch += 1;
        self.records.extend(records);
        Ok(())
    }

    /// Whether a thing works at last: what did not may do so later.
    pub(super) fn works(&mut self, name: Name) -> bool {
        let now_works = self.healed || self.tape.once_in(2);
        let Some(thing) = self.things.get_mut(&name) else { return false };
        thing.works |= now_works;
        thing.works
    }

    /// What a read found is a moment old.
    pub(super) fn looked(&mut self, name: Name) {
        self.read.insert(name, clock::now());
    }

    /// This run said that it does not know about a thing.
    pub(super) fn excuse(&mut self, name: Name) {
        self.touched.insert(name, clock::now());
    }

    pub(super) fn seeds_twice(&self) -> bool {
        self.records.len() != self.records.iter().collect::<BTreeSet<_>>().len()
    }

    /// What is not as declared, if anything: what nobody else touched since this run looked at it last.
    pub(super) fn wrong(&self) -> Option<String> {
        let excused = |name: Name| match (self.touched.get(&name), self.read.get(&name)) {
            (Some(touched), Some(read)) => touched >= read,
            (Some(_), None) => true,
            (None, _) => false,
        };
        let policy = self.things.get(&POLICY).map_or(0, |thing| thing.seq);
        for name in [TEMPLATE, INDEX, REPOSITORY, POLICY, ATTACHMENT, USER] {
            if excused(name) || (name == ATTACHMENT && excused(POLICY)) {
                continue;
            }
            let Some(thing) = self.things.get(&name) else { return Some(format!("{} is not there", name.1)) };
            let of = match name {
                INDEX => WANT,
                ATTACHMENT => policy,
                _ => thing.of,
            };
            if thing.value != WANT || thing.of != of || !thing.works {
                return Some(format!("{} is {thing:?}, policy at {policy}", name.1));
            }
        }
        let missing = SEEDS.iter().any(|record| !self.records.contains(record));
        (missing && !excused(TOPIC)).then(|| format!("records are {:?}", self.records))
    }
}

/// Time goes by on the simulation's clock.
fn pass(milliseconds: u64) {
    assert!(clock::advance(Duration::from_millis(milliseconds)), "a life is lived on a clock that stands still");
}
