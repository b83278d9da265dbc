//! Folders: directories below `dashboards`, found by uid or by title under their parent, moved and renamed in place.
//! Never deleted, never made anew: dashboards keep their history and their permissions.
//!
//! | uid in `_folder.json` | on the server                         | then                             |
//! |-----------------------|---------------------------------------|----------------------------------|
//! | given                 | that uid, wherever it is              | moved, renamed                   |
//! | none                  | one of that title under that parent   | adopted                          |
//! | none                  | several of that title                 | an error that names them         |
//! | none                  | none, but the uid of the slug rule    | ours, moved away: moved back     |
//! | either                | nothing                               | created                          |
//!
//! What the files say is in `declared`, what the server holds in `tree`, what is sent in `todo`.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use common::engine::change::{Change, Difference, Failure, ObjectId, Planned, Shown};
use common::engine::kind::{Asked, Exported, Kind};
use common::files::{Problem, Set};
use common::net::http::parallel;
use serde_json::json;

use crate::permission;
use crate::resource::{Api, Resource};
use crate::scope::{READERS, Scope};

mod declared;
mod todo;
mod tree;

pub(crate) use declared::{FILE, above, is_folder_file, of_uid};
pub(crate) use tree::paths;

use declared::Declared;
use todo::{Step, Todo};
use tree::{Found, Sought, Tree};

/// The folders of one organization.
pub(crate) struct Folders {
    scope: Rc<Scope>,
    declared: Vec<Declared>,
    problems: Vec<Problem>,
    /// Uids of folders that this run made.
    made: BTreeSet<String>,
    /// Uids of folders that the last plan did not find, and for which nothing was sent since. A twin that made one meanwhile is found by the
    /// write, which makes nothing twice.
    absent: BTreeSet<String>,
}

/// What was read of a folder: its own entries, and its resource.
type Held = (Option<BTreeMap<String, i64>>, Option<Resource>);

/// Where a declared folder belongs on this server.
struct Place {
    title: String,
    /// The uid of the parent; `None` when that could not be told.
    parent: Option<String>,
}

impl Folders {
    pub(crate) fn new(scope: &Rc<Scope>, set: &Set) -> Self {
        let (declared, problems) = declared::declared(scope, set);
        Self { scope: scope.clone(), declared, problems, made: BTreeSet::new(), absent: BTreeSet::new() }
    }

    /// The declared folders.
    pub(crate) fn ids(&self) -> Vec<ObjectId> {
        self.declared.iter().map(|folder| folder.id.clone()).collect()
    }

    /// Reads the tree from the root down, the folders of one depth at once.
    fn look(&mut self) -> Result<Vec<Planned<Step>>, Failure> {
        let scope = self.scope.clone();
        let nested = tree::nests(&scope)?;
        let api = scope.server.manages().then(|| scope.folders()).transpose()?;
        let mut tree = Tree::new(scope.client(), &self.made, &self.absent);
        let mut uids: BTreeMap<Vec<String>, String> = BTreeMap::new();
        let mut titles: BTreeMap<Vec<String>, String> = BTreeMap::new();
        let mut verdicts: BTreeMap<&ObjectId, Result<(Change, Todo), Failure>> = BTreeMap::new();
        let deepest = self.declared.iter().map(|folder| folder.path.len()).max().unwrap_or_default();
        for depth in 1..=deepest {
            let level: Vec<&Declared> = self.declared.iter().filter(|folder| folder.path.len() == depth).collect();
            let places: Vec<Place> = level.iter().map(|folder| place(folder, nested, &titles, &uids)).collect();
            for (folder, place) in level.iter().zip(&places) {
                titles.insert(folder.path.clone(), place.title.clone());
            }
            let known: Vec<(&Declared, &Place, &str)> = level
                .iter()
                .zip(&places)
                .filter_map(|(folder, place)| Some((*folder, place, place.parent.as_deref()?)))
                .collect();
            let sought: Vec<Sought> = known
                .iter()
                .map(|(folder, place, parent)| Sought {
                    uid: folder.uid.as_deref(),
                    own: folder.own_uid(),
                    title: &place.title,
                    parent,
                })
                .collect();
            let found = tree.find(&sought)?;
            let held = self.held(api.as_ref(), &known, &found);
            for (((folder, place, parent), found), held) in known.into_iter().zip(found).zip(held) {
                let verdict = found.and_then(|(uid, found)| {
                    uids.insert(folder.path.clone(), uid.clone());
                    let (entries, resource) = held?;
                    let (change, mut todo) = compare(folder, uid, &place.title, parent, found, entries.as_ref());
                    if !todo.exists || todo.moves || todo.renames {
                        self.unique(&tree, &todo)?;
                    }
                    Ok((todo.judge(&scope, resource, change)?, todo))
                });
                verdicts.insert(&folder.id, verdict);
            }
        }
        let mut planned = Vec::with_capacity(self.declared.len());
        let mut folder_titles = BTreeSet::new();
        let mut absent = BTreeSet::new();
        for folder in &self.declared {
            let above = folder.above();
            let mut needs = folder.permissions.as_ref().map(|want| permission::needs(&scope, want)).unwrap_or_default();
            if !above.is_empty() {
                needs.push(scope.id("folders", above.join("/")));
            }
            let unknown = || Err(Failure::rejected("its parent folder could not be told"));
            let verdict = verdicts.remove(&folder.id).unwrap_or_else(unknown);
            let flat = !nested && folder.path.len() > 1;
            let verdict = verdict.and_then(|(change, mut todo)| {
                let step = change.writes().then(|| todo.step(&scope)).transpose()?;
                folder_titles.insert((todo.parent, todo.title));
                absent.extend(Some(todo.uid).filter(|_| !todo.exists));
                Ok((if flat { change.note(FLAT) } else { change }, step))
            });
            let (verdict, step) = match verdict {
                Ok((change, step)) => (Ok(change), step),
                Err(failure) => (Err(failure), None),
            };
            planned.push(Planned { id: folder.id.clone(), needs, verdict, step });
        }
        let mut memory = scope.memory.borrow_mut();
        memory.folder_titles = folder_titles;
        memory.folders = uids;
        drop(memory);
        self.absent = absent;
        Ok(planned)
    }

    /// Of those that are there: the entries, where some are declared, and the resource, where folders carry our name.
    fn held(
        &self,
        api: Option<&Api>,
        known: &[(&Declared, &Place, &str)],
        found: &[Result<(String, Option<Found>), Failure>],
    ) -> Vec<Result<Held, Failure>> {
        let asked: Vec<Option<(&str, Option<&BTreeMap<String, i64>>)>> = known
            .iter()
            .zip(found)
            .map(|((folder, ..), found)| match found {
                Ok((uid, Some(_))) => Some((uid.as_str(), folder.permissions.as_ref())),
                _ => None,
            })
            .collect();
        let client = self.scope.client();
        let held = parallel(&asked, READERS, |asked| {
            let Some((uid, want)) = asked else { return Ok((None, None)) };
            let entries = want.map(|_| permission::own(client, &permission::of_folder(uid))).transpose()?;
            let resource = api.map(|api| api.get(client, uid)).transpose()?.flatten();
            Ok((entries, resource))
        });
        let named = |(held, asked): (Result<Held, Failure>, &Option<(&str, Option<&BTreeMap<String, i64>>)>)| {
            let (mut entries, resource) = held?;
            if let (Some(held), Some((_, Some(want)))) = (entries.take(), asked) {
                entries = Some(permission::named(&self.scope, held, want)?);
            }
            Ok((entries, resource))
        };
        held.into_iter().zip(&asked).map(named).collect()
    }

    /// Up to 11.6 the root is a folder titled General, and up to 10.4 a title is unique among its siblings; the write would be refused
    /// after others were done.
    fn unique(&self, tree: &Tree, todo: &Todo) -> Result<(), Failure> {
        let major = self.scope.version().0;
        if major <= 11 && todo.parent.is_empty() && todo.title.eq_ignore_ascii_case("general") {
            let text = "up to Grafana 11 General is the title of the root, and of no other folder: give another title in _folder.json";
            return Err(Failure::rejected(text));
        }
        if major > 10 {
            return Ok(());
        }
        let Some(other) = tree.namesake(&todo.parent, &todo.title, &todo.uid) else { return Ok(()) };
        if self.declared.iter().any(|folder| folder.own_uid() == other) {
            return Ok(());
        }
        Err(Failure::rejected(format!(
            "the folder {other} on the server is titled {:?} as well, and up to Grafana 10 a title is unique where it stands: \
             change one of the two, or give {other} as the uid in _folder.json",
            todo.title
        )))
    }

    fn send(&mut self, step: &Step) -> Result<(), Failure> {
        if let Some((_, failure)) = step.unknown.first() {
            return Err(failure.clone());
        }
        if let Some(uid) = &step.makes {
            self.absent.remove(uid);
        }
        for (index, call) in step.calls.iter().enumerate() {
            self.scope.client().send(call)?;
            if let Some(uid) = step.makes.as_ref().filter(|_| index == 0) {
                self.made.insert(uid.clone());
                if self.scope.server.manages() {
                    self.scope.folders()?.claim(self.scope.client(), uid)?;
                }
            }
        }
        Ok(())
    }
}

const FLAT: &str = "this server has no nested folders: it is titled by its path, in the root";

fn place(
    folder: &Declared,
    nested: bool,
    titles: &BTreeMap<Vec<String>, String>,
    uids: &BTreeMap<Vec<String>, String>,
) -> Place {
    let above = folder.above();
    let title = match titles.get(above).filter(|_| !nested) {
        Some(parent) => format!("{parent} / {}", folder.title),
        None => folder.title.clone(),
    };
    let parent = if !nested || above.is_empty() { Some(String::new()) } else { uids.get(above).cloned() };
    Place { title, parent }
}

fn compare(
    folder: &Declared,
    uid: String,
    title: &str,
    parent: &str,
    found: Option<Found>,
    held: Option<&BTreeMap<String, i64>>,
) -> (Change, Todo) {
    let mut todo =
        Todo { uid, title: title.to_owned(), parent: parent.to_owned(), exists: found.is_some(), ..Todo::default() };
    let Some(found) = found else {
        todo.permissions.clone_from(&folder.permissions);
        return (Change::create(), todo);
    };
    if found.unread {
        return (Change::none().note("it was made, but this user may not read it back yet (403 folders:read)"), todo);
    }
    let mut differences = Vec::new();
    if found.title != title {
        todo.renames = true;
        differences.push(Difference::new("/title", Shown::text(&found.title), Shown::text(title)));
    }
    if found.parent != parent {
        todo.moves = true;
        differences.push(Difference::new("/parentUid", Shown::text(&found.parent), Shown::text(parent)));
    }
    if let (Some(held), Some(want)) = (held, &folder.permissions) {
        let found = permission::compare("permissions", held, want);
        todo.permissions = (!found.is_empty()).then(|| want.clone());
        differences.extend(found);
    }
    (Change::update(differences), todo)
}

impl Kind for Folders {
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

    /// Entries are written once the folder is there: who is nobody is found before.
    fn preflight(&mut self, _: &Set, asked: &[Asked<'_, Step>]) -> Vec<Problem> {
        let nobody = |(id, _, step): &Asked<'_, Step>| -> Vec<Problem> {
            let file = format!("dashboards/{}/{FILE}.json", id.name);
            let unknown = step.unknown.iter().filter(|(who, _)| permission::declared(&self.scope, who).is_none());
            unknown.map(|(_, failure)| Problem::of_file(&file, &failure.message)).collect()
        };
        asked.iter().flat_map(nobody).collect()
    }

    fn apply(&mut self, todo: &[(&ObjectId, &Step)]) -> Vec<Result<(), Failure>> {
        todo.iter().map(|(_, step)| self.send(step)).collect()
    }

    fn export(&mut self) -> Result<Vec<Exported>, Failure> {
        let mut exported = Vec::new();
        for (uid, path) in paths(&self.scope)? {
            let title = path.last().cloned().unwrap_or_default();
            let mut body = json!({"uid": uid, "title": title.1});
            if let Some(permissions) = permission::exported(&self.scope, &uid)? {
                body["permissions"] = permissions;
            }
            let mut parts = vec!["dashboards".to_owned()];
            parts.extend(path.into_iter().map(|(name, _)| name));
            parts.push(format!("{FILE}.json"));
            let text = serde_json::to_string_pretty(&body).expect("a value prints as JSON") + "\n";
            exported.push(Exported { path: parts, text, placeholders: Vec::new() });
        }
        Ok(exported)
    }
}
