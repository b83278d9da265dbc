//! The folders that the server holds: which lie in which, and whether it nests them at all. Reads only.

use std::collections::{BTreeMap, BTreeSet};

use common::engine::change::Failure;
use common::net::http::{Call, Client, parallel};
use serde_json::Value;

use crate::scope::{READERS, Scope, pages};
use crate::server::part;

/// A folder as the server holds it.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) title: String,
    pub(super) parent: String,
    /// This run made it, and the caller may not read it yet.
    pub(super) unread: bool,
}

/// What is looked for.
pub(super) struct Sought<'s> {
    /// The uid that its file gives.
    pub(super) uid: Option<&'s str>,
    /// The uid that it has, or gets, where none of its title is found.
    pub(super) own: String,
    pub(super) title: &'s str,
    pub(super) parent: &'s str,
}

/// The server's folders as far as they were asked for.
pub(super) struct Tree<'t> {
    client: &'t Client,
    /// Uids of folders that this run made.
    made: &'t BTreeSet<String>,
    /// Uids that were not there, and for which nothing was sent since: making the folder above does not make them.
    absent: &'t BTreeSet<String>,
    /// Uid and title of what lies in each folder.
    lists: BTreeMap<String, Vec<(String, String)>>,
    /// Uids of folders that are there, and the root.
    there: BTreeSet<String>,
}

impl<'t> Tree<'t> {
    pub(super) fn new(client: &'t Client, made: &'t BTreeSet<String>, absent: &'t BTreeSet<String>) -> Self {
        Self { client, made, absent, lists: BTreeMap::new(), there: BTreeSet::from([String::new()]) }
    }

    /// Finds folders of one depth: by their uid wherever they are, else by their title where they belong. What is in the parents is
    /// read first, one list for each; only what is not in them is asked for one by one.
    pub(super) fn find(&mut self, sought: &[Sought]) -> Result<Vec<Result<(String, Option<Found>), Failure>>, Failure> {
        let asked = |one: &&Sought| !self.absent.contains(&one.own);
        let parents: BTreeSet<&str> = sought.iter().filter(asked).map(|one| one.parent).collect();
        let unread: Vec<&str> = parents
            .into_iter()
            .filter(|parent| self.there.contains(*parent) && !self.lists.contains_key(*parent))
            .collect();
        let lists = parallel(&unread, READERS, |parent| children(self.client, parent));
        for (parent, list) in unread.into_iter().zip(lists) {
            self.lists.insert(parent.to_owned(), list?);
        }
        let found = parallel(sought, READERS, |one| match listed(self.inside(one.parent), one) {
            Ok(Some(found)) => Ok(found),
            Ok(None) if self.absent.contains(&one.own) => Ok((one.own.clone(), None)),
            Ok(None) => self.elsewhere(one),
            Err(failure) => Err(failure),
        });
        let there = found.iter().filter_map(|found| match found {
            Ok((uid, Some(_))) => Some(uid.clone()),
            _ => None,
        });
        self.there.extend(there);
        Ok(found)
    }

    /// The other folder of a title in a folder, if there is one.
    pub(super) fn namesake(&self, parent: &str, title: &str, uid: &str) -> Option<&str> {
        let mut others = self.inside(parent).iter().filter(|(other, held)| other != uid && held == title);
        others.next().map(|(other, _)| other.as_str())
    }

    /// A folder by its uid. 403 is the answer to an Editor for one that is not there, and for a moment for one that he has just made.
    fn elsewhere(&self, sought: &Sought) -> Result<Answer, Failure> {
        let path = format!("/api/folders/{}", part(&sought.own));
        let reply = self.client.send(&Call::get(path).accept(403).accept(404))?;
        let found = match reply.status {
            403 if self.made.contains(&sought.own) => {
                Some(Found { title: sought.title.to_owned(), parent: sought.parent.to_owned(), unread: true })
            }
            403 | 404 => None,
            _ => {
                let body = reply.json()?;
                let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
                Some(Found { title: text("title"), parent: text("parentUid"), unread: false })
            }
        };
        Ok((sought.own.clone(), found))
    }

    fn inside(&self, parent: &str) -> &[(String, String)] {
        self.lists.get(parent).map(Vec::as_slice).unwrap_or_default()
    }
}

type Answer = (String, Option<Found>);

fn listed(siblings: &[(String, String)], sought: &Sought) -> Result<Option<Answer>, Failure> {
    let same = |(uid, held): &&(String, String)| match sought.uid {
        Some(own) => uid == own,
        None => held == sought.title,
    };
    let matches: Vec<&(String, String)> = siblings.iter().filter(same).collect();
    match matches.as_slice() {
        [] => Ok(None),
        [(uid, title)] => {
            let found = Found { title: title.clone(), parent: sought.parent.to_owned(), unread: false };
            Ok(Some((uid.clone(), Some(found))))
        }
        several => {
            let uids: Vec<&str> = several.iter().map(|(uid, _)| uid.as_str()).collect();
            Err(Failure::rejected(format!(
                "{} folders on the server are titled {:?} here ({}): say which by a uid in _folder.json",
                several.len(),
                sought.title,
                uids.join(", ")
            )))
        }
    }
}

/// Uid and title of every folder directly under another, or in the root.
fn children(client: &Client, parent: &str) -> Result<Vec<(String, String)>, Failure> {
    let rows = pages(client, &format!("/api/folders?parentUid={}", part(parent)), "limit", "")?;
    let text = |row: &Value, field: &str| row[field].as_str().unwrap_or_default().to_owned();
    // What is shared with a user looks like a folder of the root (11.6, 12.4).
    let real = rows.iter().filter(|row| row["uid"] != "sharedwithme");
    let mut all: Vec<(String, String)> = real.map(|row| (text(row, "uid"), text(row, "title"))).collect();
    // An unstable order may show one twice.
    all.sort();
    all.dedup();
    Ok(all)
}

/// Whether folders nest. In 10 that is a feature toggle, and without it `parentUid` is ignored without a word.
pub(super) fn nests(scope: &Scope) -> Result<bool, Failure> {
    if let Some(known) = scope.memory.borrow().nested {
        return Ok(known);
    }
    let nested = match scope.version().0 {
        11.. => true,
        10 => toggled(scope)?,
        _ => false,
    };
    scope.memory.borrow_mut().nested = Some(nested);
    Ok(nested)
}

fn toggled(scope: &Scope) -> Result<bool, Failure> {
    let settings = scope.must("/api/frontend/settings")?;
    if let Some(toggles) = settings.get("featureToggles") {
        return Ok(toggles["nestedFolders"] == true);
    }
    // A proxy may cut the settings down. A parent that is not there has children only where it is ignored; where there is no folder
    // at all nothing can be told, and titles that are paths are right either way.
    let call = Call::get("/api/folders?limit=1&parentUid=no-folder-has-this-uid").accept(404).accept(400);
    let ignored =
        scope.client().send(&call)?.json().is_ok_and(|list| list != Value::Array(Vec::new()) && list.is_array());
    Ok(!ignored && !children(scope.client(), "")?.is_empty())
}

/// Far deeper than Grafana allows, and far more than anybody has.
const DEPTH_LIMIT: usize = 32;
const FOLDERS_LIMIT: usize = 20_000;

/// Every folder of the server by uid: the directories that lead to it, each with its name on disk and its title.
pub(crate) fn paths(scope: &Scope) -> Result<BTreeMap<String, Vec<(String, String)>>, Failure> {
    let mut all = BTreeMap::new();
    let deep = nests(scope)?;
    let mut open: Vec<(String, Vec<(String, String)>)> = vec![(String::new(), Vec::new())];
    while let Some((parent, above)) = open.pop() {
        let mut names = BTreeSet::new();
        for (uid, title) in children(scope.client(), &parent)? {
            let mut name = title.clone();
            // Equal titles are two directories: the second is told apart by its uid.
            if !names.insert(name.clone()) || name.starts_with('.') {
                format!("{title} {uid}").trim_start_matches('.').clone_into(&mut name);
            }
            let mut path = above.clone();
            path.push((name, title));
            if path.len() > DEPTH_LIMIT || all.len() == FOLDERS_LIMIT {
                return Err(Failure::fatal(format!(
                    "the folders have no end: more than {FOLDERS_LIMIT} of them, or more than {DEPTH_LIMIT} one in another"
                )));
            }
            if deep {
                open.push((uid.clone(), path.clone()));
            }
            all.insert(uid, path);
        }
    }
    Ok(all)
}
