//! One organization of the server as its kinds see it: its client, its number, and what the kinds tell each other.
//! Which kinds there are is not known here.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use common::engine::change::{Change, Class, Failure, ObjectId, Planned};
use common::engine::document;
use common::engine::kind::{AnyKind, Exported};
use common::files::{Problem, Set};
use common::net::http::{Call, Client, LIST_LIMIT, Pages, Reply};
use serde_json::Value;

use crate::alerting::readiness::{self, Alerting};
use crate::declared::Declared;
use crate::resource::Api;
use crate::server::{ORG_HEADER, Server, Settings, part};

/// How many reads run at once. Writes are serial: together they make a fresh Grafana answer nonsense (12.4, 11.6).
pub(crate) const READERS: usize = 4;

/// An organization; without a name the connection's own.
pub(crate) struct Scope {
    pub(crate) server: Rc<Server>,
    pub(crate) org: Option<Arc<str>>,
    /// The number of a named organization, once it is known; 0 before.
    id: Cell<i64>,
    client: OnceCell<Client>,
    pub(crate) declared: Declared,
    pub(crate) memory: RefCell<Memory>,
}

/// What making a request depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// The server's major version.
    pub(crate) major: u32,
    /// The organization's number.
    org: i64,
    pub(crate) settings: Settings,
    /// Whether a declared data source is to be the default.
    pub(crate) default_source: bool,
}

impl Rules {
    /// The namespace of the resource API.
    pub(crate) fn namespace(self) -> String {
        if self.org == 1 { "default".to_owned() } else { format!("org-{}", self.org) }
    }
}

/// What a run learns of an organization.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Uids of declared folders by their path below `dashboards`, as of the last plan.
    pub(crate) folders: BTreeMap<Vec<String>, String>,
    /// Folders that are declared, by the uid of their parent and their title, as of the last plan.
    pub(crate) folder_titles: BTreeSet<(String, String)>,
    /// Whether folders nest on this server.
    pub(crate) nested: Option<bool>,
    /// Ids of installed plugins, once they were asked for; an error when they cannot be listed.
    pub(crate) plugins: Option<Result<BTreeSet<String>, Failure>>,
    /// Whether alerting was seen to be there.
    pub(crate) alerting: bool,
}

impl Memory {
    /// The uids of declared folders.
    pub(crate) fn folder_uids(&self) -> BTreeSet<String> {
        self.folders.values().cloned().collect()
    }
}

impl document::Server for Scope {
    type Rules = Rules;

    fn rules(&self) -> Rules {
        Rules {
            major: self.version().0,
            org: self.number(),
            settings: self.settings(),
            default_source: self.declared.default_source,
        }
    }

    fn send(&self, call: &Call) -> Result<Reply, Failure> {
        self.client().send(call)
    }
}

impl Scope {
    pub(crate) fn new(server: &Rc<Server>, org: Option<Arc<str>>, set: &Set) -> Rc<Self> {
        Rc::new(Self {
            server: server.clone(),
            declared: Declared::of(set, org.as_deref()),
            org,
            id: Cell::new(0),
            client: OnceCell::new(),
            memory: RefCell::default(),
        })
    }

    /// The client for this organization. Of a named one it is there once [`Scope::find`] or [`Scope::found`] knew its number.
    pub(crate) fn client(&self) -> &Client {
        match self.org {
            None => &self.server.client,
            Some(_) => self.client.get().expect("an organization's kinds are asked only once it was found"),
        }
    }

    pub(crate) fn settings(&self) -> Settings {
        self.server.settings
    }

    pub(crate) fn version(&self) -> (u32, u32) {
        self.server.version()
    }

    /// Whether a named organization is the connection's own.
    pub(crate) fn is_own(&self) -> bool {
        self.org.is_none() || self.id.get() == self.server.found.borrow().org
    }

    /// Whether an organization of that number is this one.
    pub(crate) fn is_number(&self, number: &Value) -> bool {
        *number == self.number()
    }

    fn number(&self) -> i64 {
        if self.org.is_none() { self.server.found.borrow().org } else { self.id.get() }
    }

    /// The namespace of the resource API.
    pub(crate) fn namespace(&self) -> String {
        document::Server::rules(self).namespace()
    }

    /// The folders as resources.
    pub(crate) fn folders(&self) -> Result<Api, Failure> {
        Ok(Api::folders(self.server.folders()?, self.namespace()))
    }

    /// An object of this organization.
    pub(crate) fn id(&self, kind: &'static str, name: impl Into<String>) -> ObjectId {
        ObjectId { org: self.org.clone(), kind, name: name.into() }
    }

    /// From now on the organization's number is known.
    pub(crate) fn found(&self, id: i64) {
        self.id.set(id);
        self.client.get_or_init(|| self.server.client.with_header(ORG_HEADER, id.to_string()));
    }

    /// Whether the organization is there; asks only as long as it is not.
    pub(crate) fn find(&self) -> Result<bool, Failure> {
        let Some(name) = &self.org else { return Ok(true) };
        if self.id.get() != 0 {
            return Ok(true);
        }
        let path = match name.strip_prefix(NUMBERED) {
            Some(number) => format!("/api/orgs/{number}"),
            None => format!("/api/orgs/name/{}", part(name)),
        };
        let call = Call::get(path).accept(404);
        let reply = self.server.client.send(&call)?;
        if reply.status == 404 {
            return Ok(false);
        }
        let id = reply.json()?["id"].as_i64().filter(|id| *id > 0);
        let id = id.ok_or_else(|| Failure::fatal("an organization without a number"))?;
        self.found(id);
        Ok(true)
    }

    /// Reads a JSON answer; `None` on 404.
    pub(crate) fn get(&self, path: &str) -> Result<Option<Value>, Failure> {
        get(self.client(), path)
    }

    /// Reads a list or another answer that has to be there.
    pub(crate) fn must(&self, path: &str) -> Result<Value, Failure> {
        must(self.client(), path)
    }

    /// Reads every page of a list.
    pub(crate) fn pages(&self, path: &str, size: &str, rows: &str) -> Result<Vec<Value>, Failure> {
        pages(self.client(), path, size, rows)
    }

    /// The plugins that are installed; `None` when this caller may not list them.
    pub(crate) fn plugins(&self) -> Option<BTreeSet<String>> {
        if let Some(known) = &self.memory.borrow().plugins {
            return known.clone().ok();
        }
        let listed = self.must("/api/plugins?embedded=0").map(|list| {
            let ids =
                list.as_array().into_iter().flatten().filter_map(|plugin| plugin["id"].as_str().map(str::to_owned));
            ids.collect::<BTreeSet<String>>()
        });
        self.memory.borrow_mut().plugins = Some(listed.clone());
        listed.ok()
    }
}

/// Before the number of an organization that a provisioning file names by it.
const NUMBERED: &str = "orgId ";

/// The name of an organization of which only the number is known.
pub(crate) fn by_number(number: i64) -> String {
    format!("{NUMBERED}{number}")
}

/// Whether an organization is named by its number.
pub(crate) fn is_number(org: &str) -> bool {
    org.starts_with(NUMBERED)
}

/// Reads a JSON answer; `None` on 404.
pub(crate) fn get(client: &Client, path: &str) -> Result<Option<Value>, Failure> {
    let reply = client.send(&Call::get(path).accept(404))?;
    if reply.status == 404 { Ok(None) } else { reply.json().map(Some) }
}

/// Reads a JSON answer; `None` also where the caller may not look: Grafana answers an Editor 403 for what is not there, so a write has
/// to decide (10.4 to 12.4).
pub(crate) fn seen(client: &Client, path: &str) -> Result<Option<Value>, Failure> {
    let reply = client.send(&Call::get(path).accept(403).accept(404))?;
    if reply.status < 300 { reply.json().map(Some) } else { Ok(None) }
}

/// Reads a list or another answer that has to be there.
pub(crate) fn must(client: &Client, path: &str) -> Result<Value, Failure> {
    client.send(&Call::get(path).at_most(LIST_LIMIT))?.json()
}

/// Rows of one page; the least that any of the lists allows (folders).
const PAGE: usize = 1000;

/// Reads every page of a list. `path` has a query already; `size` is what the list calls the length of a page, `rows` points at
/// the rows of an answer.
pub(crate) fn pages(client: &Client, path: &str, size: &str, rows: &str) -> Result<Vec<Value>, Failure> {
    let (mut all, mut pages) = (Vec::new(), Pages::of(PAGE));
    for page in 1.. {
        let reply = client.send(&Call::get(format!("{path}&{size}={PAGE}&page={page}")).at_most(LIST_LIMIT))?;
        let mut answer = reply.json()?;
        let found = answer.pointer_mut(rows).and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
        let another = pages.another(path, &reply.body, found.len())?;
        all.extend(found);
        if !another {
            break;
        }
    }
    Ok(all)
}

/// Some good answers have no body.
pub(crate) fn answer(reply: &Reply) -> Result<Value, Failure> {
    if reply.body.trim().is_empty() { Ok(Value::Null) } else { reply.json() }
}

/// Parts the steps of an exported name in a tree; no name on a server holds it.
pub(crate) const STEP: char = '\u{1}';

/// A kind in its organization: everything is to be created in one that is not there yet.
pub(crate) struct Scoped {
    scope: Rc<Scope>,
    inner: Box<dyn AnyKind>,
    /// The declared objects, named as the kind names them.
    ids: Vec<ObjectId>,
    /// Whether it needs the organization's alerting to be there.
    alerts: bool,
}

impl Scoped {
    pub(crate) fn new(scope: &Rc<Scope>, inner: Box<dyn AnyKind>, ids: Vec<ObjectId>) -> Self {
        Self { scope: scope.clone(), inner, ids, alerts: false }
    }

    /// The same for a kind of alerting.
    pub(crate) fn alerting(self) -> Self {
        Self { alerts: true, ..self }
    }

    /// The exported objects at the places where their kind's files lie: a tree's name has several parts.
    fn laid_out(&mut self) -> Result<Vec<Exported>, Failure> {
        let mut exported = self.inner.export()?;
        for one in &mut exported {
            one.path = one.path.iter().flat_map(|part| part.split(STEP)).map(str::to_owned).collect();
        }
        Ok(exported)
    }
}

impl AnyKind for Scoped {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn check(&self) -> Vec<Problem> {
        self.inner.check()
    }

    fn plan(&mut self) -> Result<Vec<Planned>, Failure> {
        if self.ids.is_empty() {
            return Ok(Vec::new());
        }
        let org = self.scope.org.as_ref().map(|org| ObjectId::new("orgs", org.as_ref()));
        if !self.scope.find()? {
            let planned =
                |id: &ObjectId| Planned::new(id.clone(), Ok(Change::create())).needing(org.iter().cloned().collect());
            return Ok(self.ids.iter().map(planned).collect());
        }
        if self.alerts && !self.scope.memory.borrow().alerting {
            readiness::wait(&self.scope)?;
            self.scope.memory.borrow_mut().alerting = true;
        }
        let mut planned = self.inner.plan()?;
        for planned in &mut planned {
            planned.needs.extend(org.clone());
        }
        Ok(planned)
    }

    fn preflight(&mut self, set: &Set, planned: &[Planned]) -> Vec<Problem> {
        match self.scope.find() {
            Ok(true) => self.inner.preflight(set, planned),
            // There is nothing yet to ask about.
            Ok(false) | Err(_) => Vec::new(),
        }
    }

    fn apply(&mut self, todo: &[&Planned]) -> Vec<Result<(), Failure>> {
        match self.scope.find() {
            Ok(true) => self.inner.apply(todo),
            Ok(false) => vec![Err(Failure::new(Class::Again, "its organization is not there yet")); todo.len()],
            Err(failure) => vec![Err(failure); todo.len()],
        }
    }

    fn export(&mut self) -> Result<Vec<Exported>, Failure> {
        if !self.scope.find()? {
            return Ok(Vec::new());
        }
        if self.alerts {
            let there = readiness::ask(&self.scope)?;
            if there != Alerting::There {
                log::warn!(kind = self.inner.name(), detail:% = there.sentence(&self.scope); "not exported");
                return Ok(Vec::new());
            }
        }
        let mut exported = self.laid_out()?;
        let Some(org) = self.scope.org.clone() else { return Ok(exported) };
        for one in &mut exported {
            one.path.splice(0..0, ["orgs".to_owned(), org.to_string()]);
        }
        Ok(exported)
    }
}
