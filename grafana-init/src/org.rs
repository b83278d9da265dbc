//! Organizations: made when they are missing, never renamed or removed. What is in them are the other kinds' objects.

use std::rc::Rc;

use common::engine::change::{Change, Failure, ObjectId, Planned};
use common::engine::kind::{Exported, Kind};
use common::files::Problem;
use common::net::http::Call;
use serde_json::json;

use crate::scope::{Scope, is_number};

/// The named organizations of the files.
pub(crate) struct Orgs {
    scopes: Vec<(ObjectId, Rc<Scope>)>,
    /// Whether files at the top go into the connection's own organization.
    top: bool,
}

impl Orgs {
    pub(crate) fn new(scopes: &[Rc<Scope>], top: bool) -> Self {
        let named = |scope: &Rc<Scope>| Some((ObjectId::new("orgs", scope.org.as_deref()?), scope.clone()));
        Self { scopes: scopes.iter().filter_map(named).collect(), top }
    }
}

impl Kind for Orgs {
    type Step = Call;

    fn name(&self) -> &'static str {
        "orgs"
    }

    fn check(&self) -> Vec<Problem> {
        Vec::new()
    }

    fn plan(&mut self) -> Result<Vec<Planned<Call>>, Failure> {
        let plan = |(id, scope): &(ObjectId, Rc<Scope>)| {
            let verdict = scope.find().and_then(|there| match there {
                true => Ok(Change::none()),
                // A number is given by the server: it cannot be made.
                false if is_number(&id.name) => Err(Failure::rejected("there is no organization of that number")),
                false => Ok(Change::create()),
            });
            let verdict = verdict
                .map_err(|failure| failure.context("organizations need a server administrator's user and password"));
            if scope.is_own() && self.top {
                let text = "it is the organization that the files at the top go into: put them in one place";
                return Planned::new(id.clone(), Err(Failure::rejected(text)));
            }
            let make = |_: &Change| Ok(Call::post("/api/orgs", json!({"name": id.name}).to_string()));
            Planned::new(id.clone(), verdict).with_step(make)
        };
        Ok(self.scopes.iter().map(plan).collect())
    }

    fn apply(&mut self, todo: &[(&ObjectId, &Call)]) -> Vec<Result<(), Failure>> {
        let make = |(wanted, call): &(&ObjectId, &Call)| {
            let (_, scope) =
                self.scopes.iter().find(|(id, _)| id == *wanted).expect("only what plan returned is applied");
            let made = scope.server.client.send(call)?;
            if let Some(id) = made.json()?["orgId"].as_i64() {
                scope.found(id);
            }
            Ok(())
        };
        todo.iter().map(make).collect()
    }

    fn export(&mut self) -> Result<Vec<Exported>, Failure> {
        // An organization is its folder: the other kinds write into it.
        Ok(Vec::new())
    }
}
