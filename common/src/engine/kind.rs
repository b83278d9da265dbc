//! The seam between the runner and the servers: what a kind of object can do, and what a service is.
//! `plan` reads and never writes; `apply` writes and decides nothing; judgment is in each kind's pure comparison.

use std::rc::Rc;
use std::time::Duration;

use crate::engine::change::{Failure, Planned};
use crate::files::{Problem, Set};
use crate::net::retry::Deadline;
use crate::net::wait::Probe;

/// One kind of object on one server (in one organization).
pub trait AnyKind {
    /// The kind's folder name.
    fn name(&self) -> &'static str;

    /// Checks the files alone; opens no connection. Bodies, names and references across files.
    fn check(&self) -> Vec<Problem>;

    /// Compares every declared object with the server's. Reads only; called again after writes.
    /// An error says that the kind could not be read at all.
    fn plan(&mut self) -> Result<Vec<Planned>, Failure>;

    /// Asks the server, without writing, whether it would take what `planned` (this kind's part of the plan) wants; `set` is
    /// everything that is declared.
    /// Problems that are warnings do not stop the run unless `STRICT` is set.
    fn preflight(&mut self, set: &Set, planned: &[Planned]) -> Vec<Problem> {
        let _ = (set, planned);
        Vec::new()
    }

    /// Writes, in the order given; one result for each. Called only with objects whose change [writes](crate::engine::change::Change::writes),
    /// as the kind's latest `plan` returned them.
    fn apply(&mut self, todo: &[&Planned]) -> Vec<Result<(), Failure>>;

    /// Everything of this kind that the server holds and files can declare.
    fn export(&mut self) -> Result<Vec<Exported>, Failure>;

    /// How long a write may take to become visible to `plan` before it counts as not kept by the server.
    fn settles_within(&self) -> Duration {
        Duration::from_secs(3)
    }

    /// How many objects one call of `apply` should get at most: 1 gives progress per object, more lets a kind batch.
    fn batch(&self) -> usize {
        1
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

    /// The kinds in the order in which they are applied. Makes no connection: `validate` calls this too.
    fn kinds(&mut self, set: &Rc<Set>) -> Vec<Box<dyn AnyKind>>;

    /// The kinds for `export`, where those for a set of files will not do (several organizations, say).
    fn export_kinds(&mut self) -> Result<Vec<Box<dyn AnyKind>>, Failure> {
        Ok(self.kinds(&Rc::new(Set::default())))
    }
}
