//! What can be known of dashboards before the first of them is written: titles that the server would refuse, and references that it
//! would take though nothing is there. The latter are warnings: a dashboard may come before its data source.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use common::engine::change::Failure;
use common::files::{Object, Problem};
use serde_json::Value;

use crate::dashboard::form::{Model, references};
use crate::datasource::{Source, absent, stands};
use crate::scope::Scope;
use crate::server::part;

/// Titles by folder, on servers where one is unique in its folder: gone by 11.2. Before, the second would be refused once the first
/// was written.
pub(super) struct Titles {
    declared: BTreeMap<(String, String), String>,
    /// Uids of dashboards that no file declares.
    foreign: BTreeMap<(String, String), String>,
    /// Where folders stand: up to 10 a dashboard beside one bears another title.
    folders: BTreeSet<(String, String)>,
}

impl Titles {
    /// What the server holds; `None` where titles need not be unique.
    pub(super) fn read(scope: &Scope, declared: &BTreeSet<&str>) -> Result<Option<Self>, Failure> {
        if scope.version() >= (11, 2) {
            return Ok(None);
        }
        let text = |row: &Value, field: &str| row[field].as_str().unwrap_or_default().to_owned();
        let rows = scope.pages("/api/search?type=dash-db&sort=alpha-asc", "limit", "")?;
        let memory = scope.memory.borrow();
        let folders = if scope.version().0 <= 10 { memory.folder_titles.clone() } else { BTreeSet::new() };
        let foreign = rows.iter().filter(|row| !row["uid"].as_str().is_some_and(|uid| declared.contains(uid)));
        let foreign = foreign.map(|row| ((text(row, "folderUid"), text(row, "title")), text(row, "uid"))).collect();
        Ok(Some(Self { declared: BTreeMap::new(), foreign, folders }))
    }

    /// What is wrong with the title of one more declared dashboard.
    pub(super) fn clash(&mut self, folder: String, object: &Object, model: &Model) -> Option<Problem> {
        let place = (folder, model.body["title"].as_str().unwrap_or_default().to_owned());
        if self.folders.contains(&place) {
            let text =
                "a folder beside it has this title, and up to Grafana 10 the two share one list: change one of the two";
            return Some(object.problem("/title", text));
        }
        let rule = "up to Grafana 11.1 a title is unique in its folder: change one of the two";
        if let Some(uid) = self.foreign.get(&place) {
            return Some(
                object.problem("/title", format!("the dashboard {uid} on the server has this title here, and {rule}")),
            );
        }
        let first = self.declared.insert(place, object.file.clone())?;
        Some(object.problem("/title", format!("the title is also that of {first}, and {rule}")))
    }
}

/// Which library panels there will be; each that no file declares is asked for once.
pub(super) struct LibraryPanels<'s> {
    scope: &'s Scope,
    asked: RefCell<BTreeMap<String, bool>>,
}

impl<'s> LibraryPanels<'s> {
    pub(super) fn new(scope: &'s Scope) -> Self {
        Self { scope, asked: RefCell::default() }
    }

    pub(super) fn has(&self, uid: &str) -> bool {
        let ask = || {
            let path = format!("/api/library-elements/{}", part(uid));
            // Where it cannot be told, it is not said to be missing.
            !matches!(self.scope.get(&path), Ok(None))
        };
        self.scope.declared.library.contains_key(uid)
            || *self.asked.borrow_mut().entry(uid.to_owned()).or_insert_with(ask)
    }
}

/// Panels of old that Grafana itself shows as their successors: there is nothing to install.
const MIGRATED: [&str; 7] = [
    "graph",
    "grafana-piechart-panel",
    "grafana-singlestat-panel",
    "grafana-worldmap-panel",
    "natel-discrete-panel",
    "singlestat",
    "table-old",
];

/// What a dashboard refers to and nothing stands for.
pub(super) fn dangling(
    object: &Object,
    model: &Model,
    sources: &[Source],
    plugins: Option<&BTreeSet<String>>,
    library: &dyn Fn(&str) -> bool,
) -> Vec<Problem> {
    let all = references(&model.body);
    let mut texts = BTreeSet::new();
    for uid in all.sources.iter().filter(|uid| !stands(sources, uid)) {
        texts.insert(absent(uid));
    }
    for uid in all.library.iter().filter(|uid| !library(uid)) {
        texts.insert(format!("shows the library panel {uid}, which is neither declared nor on the server"));
    }
    let lacks = |kind: &&String| plugins.is_some_and(|plugins| !plugins.contains(*kind));
    for kind in all.plugins.iter().filter(|kind| !MIGRATED.contains(&kind.as_str())).filter(lacks) {
        texts.insert(format!(
            "the panel plugin {kind} is not installed on the server: install it, or the panel stays empty"
        ));
    }
    texts.into_iter().map(|text| object.problem("", text).warning()).collect()
}
