//! The folders that files declare: the directories below `dashboards`, and what `_folder.json` says of them. No request is made here.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use common::engine::change::ObjectId;
use common::files::{Object, Problem, Set};
use serde_json::Value;

use crate::scope::Scope;
use crate::{permission, uid};

/// Folders below folders that Grafana allows, the one in the root counted.
const DEEPEST: usize = 5;
/// The file that says more about its directory.
pub(crate) const FILE: &str = "_folder";

/// One declared folder.
pub(super) struct Declared {
    pub(super) path: Vec<String>,
    pub(super) id: ObjectId,
    pub(super) uid: Option<String>,
    pub(super) title: String,
    pub(super) permissions: Option<BTreeMap<String, i64>>,
}

impl Declared {
    /// The path of the folder above.
    pub(super) fn above(&self) -> &[String] {
        &self.path[..self.path.len() - 1]
    }

    /// The uid it gets where none is found by its title.
    pub(super) fn own_uid(&self) -> String {
        self.uid.clone().unwrap_or_else(|| uid::of_path(&self.path, true))
    }

    fn read(&mut self, object: &Rc<Object>, problems: &mut Vec<Problem>) {
        let body = match object.value() {
            Ok(Value::Object(body)) => body,
            Ok(_) => {
                return problems.push(object.problem("", "must be an object: {\"uid\", \"title\", \"permissions\"}"));
            }
            Err(failure) => return problems.push(object.problem("", failure.message)),
        };
        // Git Sync writes a resource under this very name.
        let body = match body.get("apiVersion").and_then(Value::as_str) {
            Some(version) if version.starts_with("folder.grafana.app/") => {
                let of = |outer: &str, inner: &str| body.get(outer).and_then(|value| value.get(inner)).cloned();
                let fields = [("uid", of("metadata", "name")), ("title", of("spec", "title"))];
                fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
            }
            _ => body,
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
                    problems.push(object.problem(&common::files::json::step(key), text));
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

/// The declared folder of a uid that a `_folder.json` gives, in the organization of another object.
pub(crate) fn of_uid(set: &Set, object: &Object, uid: &str) -> Option<ObjectId> {
    let entry = |file: &Object| {
        let body = is_folder_file(file).then(|| file.value().ok()).flatten()?;
        let uid = body["uid"].as_str().or(body["metadata"]["name"].as_str())?.to_owned();
        Some((uid, ObjectId { org: file.id.org.clone(), kind: "folders", name: above(file).join("/") }))
    };
    set.index(object.id.org.as_deref(), ("dashboards", "folder's uid"), entry).get(uid).cloned()
}

/// Every directory below `dashboards` of an organization, those above before those in them, and what is wrong with them.
pub(super) fn declared(scope: &Scope, set: &Set) -> (Vec<Declared>, Vec<Problem>) {
    let org = scope.org.as_deref();
    let objects = set.of_org(org, "dashboards");
    let mut paths: BTreeSet<Vec<String>> = BTreeSet::new();
    let walked = set.folders.iter().filter(|(of, kind, _)| of.as_deref() == org && *kind == "dashboards");
    for path in walked.map(|(_, _, path)| path.as_slice()).chain(objects.iter().map(|object| above(object))) {
        paths.extend((1..=path.len()).map(|length| path[..length].to_vec()));
    }
    let files: BTreeMap<&[String], &Rc<Object>> =
        objects.iter().filter(|object| is_folder_file(object)).map(|object| (above(object), object)).collect();
    let mut problems = Vec::new();
    let mut all = Vec::new();
    for path in paths {
        let file = files.get(path.as_slice()).copied();
        let mut folder = Declared {
            id: scope.id("folders", path.join("/")),
            uid: None,
            // Grafana trims titles.
            title: path.last().map(|name| name.trim().to_owned()).unwrap_or_default(),
            permissions: None,
            path,
        };
        if let Some(object) = file {
            folder.read(object, &mut problems);
        }
        all.push(folder);
    }
    if let Some(object) = files.get(&[][..]) {
        problems.push(object.problem("", "there is no folder here: the root cannot be named or have a uid"));
    }
    problems.extend(clashes(&all));
    (all, problems)
}

fn clashes(all: &[Declared]) -> Vec<Problem> {
    let mut uids: BTreeMap<String, &Declared> = BTreeMap::new();
    let mut titles: BTreeMap<(&[String], &str), &Declared> = BTreeMap::new();
    let mut problems = Vec::new();
    for folder in all {
        let shown = format!("dashboards/{}", folder.path.join("/"));
        if folder.path.len() > DEEPEST {
            let text = format!("{} folders deep: Grafana nests at most {DEEPEST}", folder.path.len());
            problems.push(Problem::of_file(&shown, text));
        }
        let uid = folder.own_uid();
        if let Some(other) = uids.insert(uid.clone(), folder) {
            let text = format!("the uid {uid} is also that of dashboards/{}", other.path.join("/"));
            problems.push(Problem::of_file(&shown, text));
        }
        if let Some(other) = titles.insert((folder.above(), &folder.title), folder)
            && (other.uid.is_none() || folder.uid.is_none())
        {
            let other = other.path.join("/");
            let text = format!("the title {:?} is also that of dashboards/{other}: give both a uid", folder.title);
            problems.push(Problem::of_file(&shown, text));
        }
    }
    problems
}
