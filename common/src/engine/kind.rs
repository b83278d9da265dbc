//! The seam between the runner and the servers: what a kind of object can do, and what a service is.
//! `plan` reads and never writes; `apply` writes and decides nothing; judgment is in each kind's pure comparison.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use crate::engine::change::{Change, Failure, ObjectId, Planned};
use crate::files::foreign::Foreign;
use crate::files::{Problem, Set};
use crate::net::retry::Deadline;
use crate::net::wait::Probe;

/// One kind of object on one server (in one organization). Its plan says, for each object, what `apply` sends as it stands: `Step`.
pub trait Kind {
    /// What is sent for one object: request bodies, bindings to add, settings to set.
    type Step;

    /// The kind's folder name.
    fn name(&self) -> &'static str;

    /// Checks the files alone; opens no connection. Bodies, names and references across files.
    fn check(&self) -> Vec<Problem>;

    /// Compares every declared object with the server's, and reads all that a success means: usable, in sync, able to log in. Reads only;
    /// called again after writes. An error says that the kind could not be read at all.
    fn plan(&mut self) -> Result<Vec<Planned<Self::Step>>, Failure>;

    /// Asks the server, without writing, whether it would take what `planned` (this kind's part of the plan) wants; `set` is
    /// everything that is declared. Problems that are warnings do not stop the run unless `STRICT` is set.
    fn preflight(&mut self, set: &Set, planned: &[Asked<'_, Self::Step>]) -> Vec<Problem> {
        let _ = (set, planned);
        Vec::new()
    }

    /// Sends the steps in the order given, of the kind's latest plan; one result for each. Neither compares nor reads to find out what to do.
    fn apply(&mut self, todo: &[(&ObjectId, &Self::Step)]) -> Vec<Result<(), Failure>>;

    /// Everything of this kind that the server holds and files can declare.
    fn export(&mut self) -> Result<Vec<Exported>, Failure>;

    /// How long a write may take to become visible to `plan` before it counts as not kept by the server.
    fn settles_within(&self) -> Duration {
        SETTLES_WITHIN
    }

    /// How many objects one call of `apply` should get at most: 1 gives progress per object, more lets a kind batch.
    fn batch(&self) -> usize {
        1
    }
}

/// What pre-flight is told of one object that is to be written: which one, what differs, and the step.
pub type Asked<'a, S> = (&'a ObjectId, &'a Change, &'a S);

const SETTLES_WITHIN: Duration = Duration::from_secs(3);

/// A [`Kind`] as the runner sees it: without the type of its steps.
pub trait AnyKind {
    /// [`Kind::name`].
    fn name(&self) -> &'static str;

    /// [`Kind::check`].
    fn check(&self) -> Vec<Problem>;

    /// [`Kind::plan`]; the steps stay behind.
    fn plan(&mut self) -> Result<Vec<Planned>, Failure>;

    /// [`Kind::preflight`].
    fn preflight(&mut self, set: &Set, planned: &[Planned]) -> Vec<Problem> {
        let _ = (set, planned);
        Vec::new()
    }

    /// [`Kind::apply`], of the steps of the latest plan.
    fn apply(&mut self, todo: &[&Planned]) -> Vec<Result<(), Failure>>;

    /// [`Kind::export`].
    fn export(&mut self) -> Result<Vec<Exported>, Failure>;

    /// [`Kind::settles_within`].
    fn settles_within(&self) -> Duration {
        SETTLES_WITHIN
    }

    /// [`Kind::batch`].
    fn batch(&self) -> usize {
        1
    }
}

/// Keeps a kind's steps from its plan to its writes.
pub struct Typed<K: Kind> {
    kind: K,
    steps: BTreeMap<ObjectId, K::Step>,
}

impl<K: Kind> Typed<K> {
    /// The kind for the runner.
    pub fn new(kind: K) -> Self {
        Self { kind, steps: BTreeMap::new() }
    }
}

impl<K: Kind> AnyKind for Typed<K> {
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn check(&self) -> Vec<Problem> {
        self.kind.check()
    }

    fn plan(&mut self) -> Result<Vec<Planned>, Failure> {
        // A plan that fails leaves no step of an earlier one behind.
        self.steps.clear();
        let planned = self.kind.plan()?;
        let mut bare = Vec::with_capacity(planned.len());
        for Planned { id, needs, verdict, step } in planned {
            if let Some(step) = step {
                self.steps.insert(id.clone(), step);
            }
            bare.push(Planned { id, needs, verdict, step: None });
        }
        Ok(bare)
    }

    fn preflight(&mut self, set: &Set, planned: &[Planned]) -> Vec<Problem> {
        let asked: Vec<Asked<'_, K::Step>> = planned
            .iter()
            .filter_map(|planned| {
                let change = planned.verdict.as_ref().ok().filter(|change| change.writes())?;
                let (id, step) = self.steps.get_key_value(&planned.id)?;
                Some((id, change, step))
            })
            .collect();
        self.kind.preflight(set, &asked)
    }

    fn apply(&mut self, todo: &[&Planned]) -> Vec<Result<(), Failure>> {
        let step = |planned: &&Planned| {
            let step = self.steps.get_key_value(&planned.id);
            step.expect("a plan has a step for each object that it says to write")
        };
        let steps: Vec<(&ObjectId, &K::Step)> = todo.iter().map(step).collect();
        self.kind.apply(&steps)
    }

    fn export(&mut self) -> Result<Vec<Exported>, Failure> {
        self.kind.export()
    }

    fn settles_within(&self) -> Duration {
        self.kind.settles_within()
    }

    fn batch(&self) -> usize {
        self.kind.batch()
    }
}

/// One object as `export` writes it.
#[derive(Clone, Debug)]
pub struct Exported {
    /// The path below the export folder, each part already a plain name; the last gets its ending (`.json`) here.
    pub path: Vec<String>,
    /// The file's text.
    pub text: String,
    /// Names of the environment variables that the text refers to by `$__env{…}`.
    pub placeholders: Vec<String>,
}

/// One program's server: how to tell that it is ready, and which kinds it has.
pub trait Service {
    /// One readiness probe, taking at most `limit`.
    fn probe(&mut self, limit: Duration) -> Probe;

    /// How often credentials that are refused are tried before the wait gives up ([`crate::net::wait::PASSWORD_TRIES`] for a user and a
    /// password).
    fn login_tries(&self) -> u32;

    /// Called once, when the wait is over: every request from now on ends by `deadline`.
    fn begin(&mut self, deadline: Deadline) -> Result<(), Failure>;

    /// What it takes besides its kinds' own files: other tools' folders and documents, objects that stand in a variable.
    fn foreign(&self) -> Foreign {
        Foreign::default()
    }

    /// The kinds in the order in which they are applied. Makes no connection: `validate` calls this too.
    fn kinds(&mut self, set: &Rc<Set>) -> Vec<Box<dyn AnyKind>>;

    /// The kinds for `export`, where those for a set of files will not do (several organizations, say).
    fn export_kinds(&mut self) -> Result<Vec<Box<dyn AnyKind>>, Failure> {
        Ok(self.kinds(&Rc::new(Set::default())))
    }
}
