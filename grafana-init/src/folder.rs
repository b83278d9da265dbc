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

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use common::change::{Change, Difference, Failure, ObjectId, Planned, Shown};
use common::files::{Object, Problem, Set};
use common::http::Call;
use common::kind::{Exported, Kind};
use serde_json::{Value, json};

use crate::scope::Scope;
use crate::server::part;
use crate::{permission, uid};

/// Folders below folders that Grafana allows, the one in the root counted.
const DEEPEST: usize = 5;
/// The file that says more about its directory.
pub(crate) const FILE: &str = "_folder";

struct Declared {
    path: Vec<String>,
    id: ObjectId,
    uid: Option<String>,
    title: String,
    permissions: Option<BTreeMap<String, i64>>,
}

/// What a write has to do to one folder.
#[derive(Clone, Debug, Default)]
struct Todo {
    uid: String,
    title: String,
    parent: String,
    exists: bool,
    moves: bool,
    renames: bool,
    permissions: Option<BTreeMap<String, i64>>,
}

/// The folders of one organization.
pub(crate) struct Folders {
    scope: Rc<Scope>,
    declared: Vec<Declared>,
    problems: Vec<Problem>,
    todo: BTreeMap<ObjectId, Todo>,
}

impl Folders {
    pub(crate) fn new(scope: &Rc<Scope>, set: &Set) -> Self {
        let org = scope.org.as_deref();
        let objects = set.of_org(org, "dashboards");
        let mut paths: BTreeSet<Vec<String>> = BTreeSet::new();
        let walked = set.folders.iter().filter(|(of, kind, _)| of.as_deref() == org && *kind == "dashboards");
        for path in walked.map(|(_, _, path)| path.as_slice()).chain(objects.iter().map(|object| above(object))) {
            paths.extend((1..=path.len()).map(|length| path[..length].to_vec()));
        }
        let mut problems = Vec::new();
        let mut declared = Vec::new();
        for path in paths {
            let file = objects.iter().find(|object| is_folder_file(object) && above(object) == path);
            let mut folder = Declared {
                id: scope.id("folders", path.join("/")),
                uid: None,
                title: path.last().cloned().unwrap_or_default(),
                permissions: None,
                path,
            };
            if let Some(object) = file {
                folder.read(object, &mut problems);
            }
            declared.push(folder);
        }
        for object in objects.iter().filter(|object| is_folder_file(object) && above(object).is_empty()) {
            problems.push(object.problem("", "there is no folder here: the root cannot be named or have a uid"));
        }
        let mut this = Self { scope: scope.clone(), declared, problems, todo: BTreeMap::new() };
        this.check_all();
        this
    }

    /// The declared folders.
    pub(crate) fn ids(&self) -> Vec<ObjectId> {
        self.declared.iter().map(|folder| folder.id.clone()).collect()
    }

    fn check_all(&mut self) {
        let mut uids: BTreeMap<String, &Declared> = BTreeMap::new();
        let mut titles: BTreeMap<(Vec<String>, &str), &Declared> = BTreeMap::new();
        let mut problems = Vec::new();
        for folder in &self.declared {
            let shown = format!("dashboards/{}", folder.path.join("/"));
            if folder.path.len() > DEEPEST {
                let text = format!("{} folders deep: Grafana nests at most {DEEPEST}", folder.path.len());
                problems.push(Problem::of_file(&shown, text));
            }
            let uid = folder.uid.clone().unwrap_or_else(|| uid::of_path(&folder.path, true));
            if let Some(other) = uids.insert(uid.clone(), folder) {
                let text = format!("the uid {uid} is also that of dashboards/{}", other.path.join("/"));
                problems.push(Problem::of_file(&shown, text));
            }
            let parent = folder.path[..folder.path.len() - 1].to_vec();
            if let Some(other) = titles.insert((parent, &folder.title), folder)
                && (other.uid.is_none() || folder.uid.is_none())
            {
                let other = other.path.join("/");
                let text = format!("the title {:?} is also that of dashboards/{other}: give both a uid", folder.title);
                problems.push(Problem::of_file(&shown, text));
            }
        }
        self.problems.extend(problems);
    }

    fn look(&mut self) -> Result<Vec<Planned>, Failure> {
        let scope = self.scope.clone();
        let nested = nested(&scope)?;
        let mut tree = Tree { scope: &scope, lists: BTreeMap::new(), there: BTreeSet::from([String::new()]) };
        let mut uids: BTreeMap<Vec<String>, String> = BTreeMap::new();
        let mut titles: BTreeMap<Vec<String>, String> = BTreeMap::new();
        let mut planned = Vec::new();
        self.todo.clear();
        for folder in &self.declared {
            let above = &folder.path[..folder.path.len() - 1];
            let title = match titles.get(above).filter(|_| !nested) {
                Some(parent) => format!("{parent} / {}", folder.title),
                None => folder.title.clone(),
            };
            titles.insert(folder.path.clone(), title.clone());
            let parent = if !nested || above.is_empty() { Some(String::new()) } else { uids.get(above).cloned() };
            let needs: Vec<ObjectId> =
                if above.is_empty() { Vec::new() } else { vec![scope.id("folders", above.join("/"))] };
            let verdict = match parent {
                None => Err(Failure::rejected("its parent folder could not be told")),
                Some(parent) => tree.find(folder, &title, &parent).and_then(|(uid, found)| {
                    uids.insert(folder.path.clone(), uid.clone());
                    let (change, todo) = compare(&scope, folder, uid, &title, &parent, found)?;
                    self.todo.insert(folder.id.clone(), todo);
                    Ok(change)
                }),
            };
            let flat = !nested && folder.path.len() > 1;
            let verdict = verdict.map(|change| if flat { change.note(FLAT) } else { change });
            planned.push(Planned { id: folder.id.clone(), needs, verdict });
        }
        scope.memory.borrow_mut().folders = uids;
        Ok(planned)
    }

    fn write(&self, id: &ObjectId) -> Result<(), Failure> {
        let todo = self.todo.get(id).expect("plan told what to do to each folder it returned");
        let path = format!("/api/folders/{}", part(&todo.uid));
        if !todo.exists {
            let mut body = json!({"uid": todo.uid, "title": todo.title});
            if !todo.parent.is_empty() {
                body["parentUid"] = json!(todo.parent);
            }
            self.scope.post("/api/folders", &body)?;
        }
        if todo.moves {
            self.scope.post(&format!("{path}/move"), &json!({"parentUid": todo.parent}))?;
        }
        if todo.renames {
            self.scope.put(&path, &json!({"title": todo.title, "overwrite": true}))?;
        }
        if let Some(permissions) = &todo.permissions {
            permission::write(&self.scope, &todo.uid, permissions)?;
        }
        Ok(())
    }
}

const FLAT: &str = "this server has no nested folders: it is titled by its path, in the root";

impl Declared {
    fn read(&mut self, object: &Rc<Object>, problems: &mut Vec<Problem>) {
        let body = match object.value() {
            Ok(Value::Object(body)) => body,
            Ok(_) => {
                return problems.push(object.problem("", "must be an object: {\"uid\", \"title\", \"permissions\"}"));
            }
            Err(failure) => return problems.push(object.problem("", failure.message)),
        };
        for (key, value) in &body {
            match (key.as_str(), value.as_str()) {
                ("uid", Some(own)) => {
                    self.uid = Some(own.to_owned());
                    problems.extend(uid::wrong(own).map(|wrong| object.problem("/uid", wrong)));
                }
                ("title", Some(title)) if !title.trim().is_empty() => title.trim().clone_into(&mut self.title),
                ("uid" | "title", _) => problems.push(object.problem(&format!("/{key}"), "must be a text")),
                ("permissions", _) => match permission::read(value) {
                    Ok(set) => self.permissions = Some(set),
                    Err(why) => problems.push(object.problem("/permissions", why)),
                },
                _ => {
                    let text = "unknown field: known are uid, title and permissions";
                    problems.push(object.problem(&common::json::step(key), text));
                }
            }
        }
    }
}

/// The directories above an object of the tree.
pub(crate) fn above(object: &Object) -> &[String] {
    &object.parts[..object.parts.len().saturating_sub(1)]
}

/// Whether a file speaks of its directory.
pub(crate) fn is_folder_file(object: &Object) -> bool {
    object.parts.last().is_some_and(|name| name == FILE)
}

#[derive(Clone, Debug)]
struct Found {
    title: String,
    parent: String,
}

/// The server's folders as far as they were asked for.
struct Tree<'t> {
    scope: &'t Scope,
    lists: BTreeMap<String, Vec<(String, String)>>,
    /// Uids of folders that are there, and the root.
    there: BTreeSet<String>,
}

impl Tree<'_> {
    fn find(&mut self, folder: &Declared, title: &str, parent: &str) -> Result<(String, Option<Found>), Failure> {
        let siblings = self.children(parent)?;
        let same = |(uid, held): &&(String, String)| match &folder.uid {
            Some(own) => uid == own,
            None => held == title,
        };
        let matches: Vec<&(String, String)> = siblings.iter().filter(same).collect();
        let (uid, found) = match matches.as_slice() {
            [(uid, title)] => (uid.clone(), Some(Found { title: title.clone(), parent: parent.to_owned() })),
            [] => {
                let uid = folder.uid.clone().unwrap_or_else(|| uid::of_path(&folder.path, true));
                let body = self.scope.get(&format!("/api/folders/{}", part(&uid)))?;
                let text = |body: &Value, field: &str| body[field].as_str().unwrap_or_default().to_owned();
                let found = body.map(|body| Found { title: text(&body, "title"), parent: text(&body, "parentUid") });
                (uid, found)
            }
            several => {
                let uids: Vec<&str> = several.iter().map(|(uid, _)| uid.as_str()).collect();
                return Err(Failure::rejected(format!(
                    "{} folders on the server are titled {title:?} here ({}): say which by a uid in _folder.json",
                    several.len(),
                    uids.join(", ")
                )));
            }
        };
        if found.is_some() {
            self.there.insert(uid.clone());
        }
        Ok((uid, found))
    }

    fn children(&mut self, parent: &str) -> Result<Vec<(String, String)>, Failure> {
        if !self.there.contains(parent) {
            return Ok(Vec::new());
        }
        if let Some(list) = self.lists.get(parent) {
            return Ok(list.clone());
        }
        let list = children(self.scope, parent)?;
        self.lists.insert(parent.to_owned(), list.clone());
        Ok(list)
    }
}

/// Uid and title of every folder directly under another, or in the root.
pub(crate) fn children(scope: &Scope, parent: &str) -> Result<Vec<(String, String)>, Failure> {
    const PAGE: usize = 1000;
    let mut all = Vec::new();
    for page in 1.. {
        let of = if parent.is_empty() { String::new() } else { format!("&parentUid={}", part(parent)) };
        let list = scope.must(&format!("/api/folders?limit={PAGE}&page={page}{of}"))?;
        let rows = list.as_array().map(Vec::as_slice).unwrap_or_default();
        let text = |row: &Value, field: &str| row[field].as_str().unwrap_or_default().to_owned();
        all.extend(rows.iter().map(|row| (text(row, "uid"), text(row, "title"))));
        if rows.len() < PAGE {
            break;
        }
    }
    // An unstable order may show one twice.
    all.sort();
    all.dedup();
    Ok(all)
}

fn compare(
    scope: &Scope,
    folder: &Declared,
    uid: String,
    title: &str,
    parent: &str,
    found: Option<Found>,
) -> Result<(Change, Todo), Failure> {
    let mut todo =
        Todo { uid, title: title.to_owned(), parent: parent.to_owned(), exists: found.is_some(), ..Todo::default() };
    let Some(found) = found else {
        todo.permissions.clone_from(&folder.permissions);
        return Ok((Change::create(), todo));
    };
    let mut differences = Vec::new();
    if found.title != title {
        todo.renames = true;
        differences.push(Difference::new("/title", Shown::text(&found.title), Shown::text(title)));
    }
    if found.parent != parent {
        todo.moves = true;
        differences.push(Difference::new("/parentUid", Shown::text(&found.parent), Shown::text(parent)));
    }
    if let Some(want) = &folder.permissions {
        let found = permission::differences(scope, &todo.uid, want)?;
        todo.permissions = (!found.is_empty()).then(|| want.clone());
        differences.extend(found);
    }
    let mut change = Change::update(differences);
    if change.writes()
        && let Some(body) = scope.get(&format!("/api/folders/{}", part(&todo.uid)))?
        && let Some(manager) = body["managedBy"].as_str().filter(|manager| !manager.is_empty())
    {
        change = change.locked(format!("it is managed by {manager}, which alone can change it"));
    }
    Ok((change, todo))
}

/// Whether folders nest. Up to 10 that is a feature toggle, and without it `parentUid` is ignored without a word.
pub(crate) fn nested(scope: &Scope) -> Result<bool, Failure> {
    if let Some(known) = scope.memory.borrow().nested {
        return Ok(known);
    }
    let nested = match scope.version().0 {
        11.. => true,
        10 => {
            let settings = scope.must("/api/frontend/settings")?;
            if let Some(toggles) = settings.get("featureToggles") {
                toggles["nestedFolders"] == true
            } else {
                // Without the list: a parent that is not there has children only where it is ignored.
                let path = "/api/folders?limit=1&parentUid=no-folder-has-this-uid";
                let reply = scope.client().send(&Call::get(path).accept(404).accept(400))?;
                let ignored = reply.json().is_ok_and(|list| list.as_array().is_some_and(|list| !list.is_empty()));
                !ignored && !children(scope, "")?.is_empty()
            }
        }
        _ => false,
    };
    scope.memory.borrow_mut().nested = Some(nested);
    Ok(nested)
}

impl Kind for Folders {
    fn name(&self) -> &'static str {
        "dashboards"
    }

    fn check(&self) -> Vec<Problem> {
        self.problems.clone()
    }

    fn plan(&mut self) -> Result<Vec<Planned>, Failure> {
        self.look()
    }

    fn apply(&mut self, todo: &[&Planned]) -> Vec<Result<(), Failure>> {
        todo.iter().map(|planned| self.write(&planned.id)).collect()
    }

    fn export(&mut self) -> Result<Vec<Exported>, Failure> {
        let mut exported = Vec::new();
        for (uid, path) in paths(&self.scope)? {
            let title = path.last().cloned().unwrap_or_default();
            let body = json!({"uid": uid, "title": title.1});
            let mut parts = vec!["dashboards".to_owned()];
            parts.extend(path.into_iter().map(|(name, _)| name));
            parts.push(format!("{FILE}.json"));
            let text = serde_json::to_string_pretty(&body).expect("a value prints as JSON") + "\n";
            exported.push(Exported { path: parts, text, placeholders: Vec::new() });
        }
        Ok(exported)
    }
}

/// Every folder of the server by uid: the directories that lead to it, each with its name on disk and its title.
pub(crate) fn paths(scope: &Scope) -> Result<BTreeMap<String, Vec<(String, String)>>, Failure> {
    let mut all = BTreeMap::new();
    let deep = nested(scope)?;
    let mut open: Vec<(String, Vec<(String, String)>)> = vec![(String::new(), Vec::new())];
    while let Some((parent, above)) = open.pop() {
        let mut names = BTreeSet::new();
        for (uid, title) in children(scope, &parent)? {
            let mut name = title.clone();
            // Equal titles are two directories: the second is told apart by its uid.
            if !names.insert(name.clone()) || name.starts_with('.') {
                format!("{title} {uid}").trim_start_matches('.').clone_into(&mut name);
            }
            let mut path = above.clone();
            path.push((name, title));
            if deep {
                open.push((uid.clone(), path.clone()));
            }
            all.insert(uid, path);
        }
    }
    Ok(all)
}
