//! Dashboards: one read each on a few threads, compared whole, one write each at most, and a second that puts our name on a new one.
//! Bodies are read from their files again for each use; thousands of them take little memory.
//!
//! The forms of a file are in `form`, its inputs in `inputs`; the server's side is in `read`, `write`, `preflight` and `export`.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Mutex;

use common::engine::change::{Action, Change, Failure, ObjectId, Planned};
use common::engine::kind::{Asked, Exported, Kind};
use common::files::{Object, Problem, Set, Unique};
use common::net::http::{Call, parallel};
use serde_json::Value;

use crate::dashboard::form::Input;
use crate::dashboard::inputs::Resolver;
use crate::dashboard::preflight::{LibraryPanels, Titles, dangling};
use crate::dashboard::read::{Reader, api, model_of};
use crate::folder::{above, is_folder_file};
use crate::resource::{CLASSIC, Held};
use crate::scope::{READERS, Scope};
use crate::{datasource, permission, uid};

mod export;
pub(crate) mod form;
pub(crate) mod inputs;
mod preflight;
mod read;
mod write;

/// The declared dashboard of a uid.
pub(crate) fn declared(set: &Set, org: Option<&str>, uid: &str) -> Option<ObjectId> {
    let entry = |object: &Object| {
        if is_folder_file(object) {
            return None;
        }
        let own = object.value().ok().and_then(|body| form::read(body).ok()).and_then(|model| model.uid);
        Some((own.unwrap_or_else(|| uid::of_path(&object.parts, false)), object.id.clone()))
    };
    set.index(org, ("dashboards", "uid"), entry).get(uid).cloned()
}

struct Declared {
    object: Rc<Object>,
    uid: String,
    folder: Vec<String>,
    permissions: Option<BTreeMap<String, i64>>,
    /// Whether one of its inputs is for the server's data sources to tell.
    open_inputs: bool,
}

/// What need not be read again: one read each, whatever else is written.
#[derive(Default)]
struct Known {
    /// Those that the last plan did not find, and for which nothing was sent since: making their folders does not make them. A twin
    /// that made one meanwhile is found by the write, which never overwrites.
    absent: BTreeSet<ObjectId>,
    /// Those that were found to match, with the folder that they were found in.
    settled: BTreeMap<ObjectId, (String, Change)>,
}

impl Known {
    fn of(&self, id: &ObjectId, folder: &str) -> Option<Change> {
        if self.absent.contains(id) {
            return Some(Change::create());
        }
        self.settled.get(id).filter(|(place, _)| place == folder).map(|(_, change)| change.clone())
    }

    fn forget(&mut self, id: &ObjectId) {
        self.absent.remove(id);
        self.settled.remove(id);
    }
}

/// What is sent for one dashboard; the body is made of its file when it is sent.
pub(crate) struct Step {
    folder: String,
    /// The server's side, unless the dashboard is to be created.
    held: Option<Held>,
    /// Whether more than its entries differs.
    model: bool,
    permissions: Option<(Call, Vec<permission::Unknown>)>,
}

/// The dashboards of one organization.
pub(crate) struct Dashboards {
    scope: Rc<Scope>,
    declared: Vec<Declared>,
    /// Where each stands in `declared`.
    places: BTreeMap<ObjectId, usize>,
    sources: Vec<Rc<Object>>,
    problems: Vec<Problem>,
    resolver: Resolver,
    open: BTreeMap<ObjectId, Vec<String>>,
    known: Known,
}

impl Dashboards {
    pub(crate) fn new(scope: &Rc<Scope>, set: &Set) -> Self {
        let org = scope.org.as_deref();
        let mut this = Self {
            scope: scope.clone(),
            declared: Vec::new(),
            sources: set.of_org(org, "datasources"),
            problems: Vec::new(),
            resolver: Resolver::default(),
            places: BTreeMap::new(),
            open: BTreeMap::new(),
            known: Known::default(),
        };
        for object in set.of_org(org, "inputs") {
            this.read_inputs(&object);
        }
        let mut unique = Unique::default();
        for object in set.of_org(org, "dashboards").into_iter().filter(|object| !is_folder_file(object)) {
            let model = object.value().map_err(|failure| ("", failure.message)).and_then(form::read);
            let model = match model {
                Ok(model) => model,
                Err((pointer, text)) => {
                    this.problems.push(object.problem(pointer, text));
                    continue;
                }
            };
            this.problems.extend(model.unused.iter().map(|(at, why)| object.problem(at, *why).warning()));
            if model.body["title"].as_str().is_none_or(|title| title.trim().is_empty()) {
                this.problems.push(object.problem("/title", "a dashboard needs a title"));
            }
            let uid = model.uid.unwrap_or_else(|| uid::of_path(&object.parts, false));
            this.problems.extend(uid::wrong(&uid).map(|wrong| object.problem("/uid", wrong)));
            this.problems.extend(unique.claim(&object, "/uid", "uid", &uid));
            let folder = above(&object).to_vec();
            let permissions = model.permissions.as_ref().map(permission::read).transpose();
            let permissions = permissions.unwrap_or_else(|why| {
                this.problems.push(object.problem("/_permissions", why));
                None
            });
            let mapped = |input: &Input| input.plugin.is_none() || this.resolver.map.contains_key(&input.name);
            let open_inputs = !model.inputs.iter().all(mapped);
            this.places.insert(object.id.clone(), this.declared.len());
            this.declared.push(Declared { object, uid, folder, permissions, open_inputs });
        }
        this
    }

    /// The declared dashboards.
    pub(crate) fn ids(&self) -> Vec<ObjectId> {
        self.declared.iter().map(|dashboard| dashboard.object.id.clone()).collect()
    }

    fn read_inputs(&mut self, object: &Object) {
        let body = match object.value() {
            Ok(Value::Object(body)) => body,
            Ok(_) => return self.problems.push(object.problem("", "must be a map of input name to data source uid")),
            Err(failure) => return self.problems.push(object.problem("", failure.message)),
        };
        for (name, value) in body {
            match value {
                Value::String(uid) => drop(self.resolver.map.insert(name, uid)),
                _ => {
                    self.problems
                        .push(object.problem(&common::files::json::step(&name), "must be a data source's uid"));
                }
            }
        }
    }

    /// The uid of the folder that a dashboard lies in; `None` when that could not be told.
    fn folder_of(&self, dashboard: &Declared) -> Option<String> {
        match dashboard.folder.as_slice() {
            [] => Some(String::new()),
            path => self.scope.memory.borrow().folders.get(path).cloned(),
        }
    }

    fn look(&mut self) -> Result<Vec<Planned<Step>>, Failure> {
        if self.declared.iter().any(|dashboard| dashboard.open_inputs) {
            let sources = datasource::sources(&self.scope, &self.sources)?;
            if sources != self.resolver.sources {
                self.known.settled.clear();
                self.resolver.sources = sources;
            }
        }
        let reader = Reader {
            client: self.scope.client(),
            resolver: &self.resolver,
            namespace: self.scope.namespace(),
            resources: self.scope.server.found.borrow().resources.clone(),
            managed: self.scope.server.manages(),
            large: Mutex::default(),
        };
        let folders: Vec<Option<String>> = self.declared.iter().map(|dashboard| self.folder_of(dashboard)).collect();
        let mut jobs: Vec<(&Object, &str, bool, Option<&str>)> = Vec::new();
        for (dashboard, folder) in self.declared.iter().zip(&folders) {
            jobs.push((&dashboard.object, &dashboard.uid, dashboard.permissions.is_some(), folder.as_deref()));
        }
        let known = &self.known;
        let looked = parallel(&jobs, READERS, |(object, uid, entries, folder)| {
            let folder = folder.ok_or_else(|| Failure::rejected("its folder could not be told"))?;
            match known.of(&object.id, folder) {
                Some(change) => Ok((change, None)),
                None => reader.look(object, uid, folder, *entries).map(|looked| (looked.change.clone(), Some(looked))),
            }
        });
        drop(jobs);
        let mut planned = Vec::with_capacity(looked.len());
        for ((dashboard, folder), looked) in self.declared.iter().zip(folders).zip(looked) {
            let id = dashboard.object.id.clone();
            let mut needs = Vec::new();
            if !dashboard.folder.is_empty() {
                needs.push(self.scope.id("folders", dashboard.folder.join("/")));
            }
            let mut step = Step { folder: folder.unwrap_or_default(), held: None, model: true, permissions: None };
            let mut entries = dashboard.permissions.as_ref();
            needs.extend(entries.map(|want| permission::needs(&self.scope, want)).unwrap_or_default());
            let verdict = looked.and_then(|(mut change, read)| {
                if let Some(read) = read {
                    if let (Some(held), Some(want)) = (read.entries, entries) {
                        let found =
                            permission::compare("_permissions", &permission::named(&self.scope, held, want)?, want);
                        step.model = change.action != Action::None;
                        entries = entries.filter(|_| !found.is_empty());
                        change.differences.extend(found);
                        if !change.differences.is_empty() {
                            change.action = Action::Update;
                        }
                    }
                    match change.action {
                        Action::Create => drop(self.known.absent.insert(id.clone())),
                        Action::None => {
                            drop(self.known.settled.insert(id.clone(), (step.folder.clone(), change.clone())));
                        }
                        Action::Update => {}
                    }
                    self.open.insert(id.clone(), read.open);
                    step.held = read.held;
                }
                Ok(change)
            });
            let path = permission::of_dashboard(&dashboard.uid);
            planned.push(Planned::new(id, verdict).needing(needs).with_step(|_| {
                step.permissions = entries.map(|want| permission::request(&self.scope, &path, want)).transpose()?;
                Ok(step)
            }));
        }
        Ok(planned)
    }

    fn send(&mut self, id: &ObjectId, step: &Step) -> Result<(), Failure> {
        if let Some((_, unknown)) = &step.permissions
            && let Some((_, failure)) = unknown.first()
        {
            return Err(failure.clone());
        }
        let dashboard = &self.declared[self.places[id]];
        self.known.forget(id);
        if step.model {
            self.send_model(dashboard, step)?;
        }
        step.permissions.iter().try_for_each(|(call, _)| self.scope.client().send(call).map(drop))
    }

    fn send_model(&self, dashboard: &Declared, step: &Step) -> Result<(), Failure> {
        let model = model_of(&dashboard.object, &self.resolver)?.0;
        let (uid, folder, held) = (&dashboard.uid, &step.folder, step.held.as_ref());
        let (client, managed) = (self.scope.client(), self.scope.server.manages());
        let resources = self.scope.server.found.borrow().resources.clone();
        let api = |version: &str| api(version, resources.as_deref(), self.scope.namespace());
        let was_resource = held.is_some_and(|held| !held.metadata.is_null());
        let call = match model.resource.as_deref().or(was_resource.then_some(CLASSIC)) {
            Some(version) => api(version)?.write(uid, folder, &model.body, held, managed && held.is_some()),
            None => write::classic(uid, folder, model.body, held),
        };
        client.send(&call)?;
        if managed && held.is_none() {
            api(model.resource.as_deref().unwrap_or(CLASSIC))?.claim(client, uid)?;
        }
        Ok(())
    }
}

impl Kind for Dashboards {
    type Step = Step;

    fn name(&self) -> &'static str {
        "dashboards"
    }

    fn check(&self) -> Vec<Problem> {
        self.problems.clone()
    }

    fn plan(&mut self) -> Result<Vec<Planned<Step>>, Failure> {
        self.look()
    }

    fn preflight(&mut self, _: &Set, asked: &[Asked<'_, Step>]) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (id, _, step) in asked {
            let unknown = step.permissions.iter().flat_map(|(_, unknown)| unknown);
            for (_, failure) in unknown.filter(|(who, _)| permission::declared(&self.scope, who).is_none()) {
                let object = &self.declared[self.places[*id]].object;
                problems.push(object.problem("/_permissions", &failure.message));
            }
        }
        for dashboard in &self.declared {
            for name in self.open.get(&dashboard.object.id).into_iter().flatten() {
                let text =
                    format!("no data source stands for the input {name}: its placeholder stays; map it in inputs.json");
                problems.push(dashboard.object.problem("/__inputs", text).warning());
            }
        }
        let todo: BTreeSet<&ObjectId> = asked.iter().map(|(id, ..)| *id).collect();
        if todo.is_empty() {
            return problems;
        }
        let sources = datasource::sources(&self.scope, &self.sources).unwrap_or_default();
        let plugins = self.scope.plugins();
        let library = LibraryPanels::new(&self.scope);
        // What cannot be read here fails the write, with the server's own words.
        let uids = self.declared.iter().map(|dashboard| dashboard.uid.as_str()).collect();
        let mut titles = Titles::read(&self.scope, &uids).unwrap_or_default();
        for dashboard in &self.declared {
            let object = &dashboard.object;
            let written = todo.contains(&object.id);
            if !written && titles.is_none() {
                continue;
            }
            let Ok((model, _)) = model_of(object, &self.resolver) else { continue };
            if let (Some(titles), Some(folder)) = (&mut titles, self.folder_of(dashboard)) {
                problems.extend(titles.clash(folder, object, &model));
            }
            if written {
                problems.extend(dangling(object, &model, &sources, plugins.as_ref(), &|uid| library.has(uid)));
            }
        }
        problems
    }

    fn apply(&mut self, todo: &[(&ObjectId, &Step)]) -> Vec<Result<(), Failure>> {
        todo.iter().map(|(id, step)| self.send(id, step)).collect()
    }

    fn export(&mut self) -> Result<Vec<Exported>, Failure> {
        export::export(&self.scope)
    }
}
