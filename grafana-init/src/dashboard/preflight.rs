//! What can be known of dashboards before the first of them is written: titles that the server would refuse, and references that it
//! would take though nothing is there. The latter are warnings: a dashboard may come before its data source.

use std::collections::{BTreeMap, BTreeSet};

use common::engine::change::Failure;
use common::files::{Object, Problem};
use serde_json::Value;

use crate::dashboard::form::{Model, references};
use crate::datasource::Source;
use crate::scope::Scope;

/// Titles by folder, on servers where one is unique in its folder: gone by 11.2. Before, the second would be refused once the first
/// was written.
pub(super) struct Titles {
    declared: BTreeMap<(String, String), String>,
    /// Uids of dashboards that no file declares.
    foreign: BTreeMap<(String, String), String>,
}

impl Titles {
    /// What the server holds; `None` where titles need not be unique.
    pub(super) fn read(scope: &Scope) -> Result<Option<Self>, Failure> {
        if scope.version() >= (11, 2) {
            return Ok(None);
        }
        let text = |row: &Value, field: &str| row[field].as_str().unwrap_or_default().to_owned();
        let rows = scope.pages("/api/search?type=dash-db&sort=alpha-asc", "limit", "")?;
        let declared = &scope.memory.borrow().dashboards;
        let foreign = rows.iter().filter(|row| !row["uid"].as_str().is_some_and(|uid| declared.contains(uid)));
        let foreign = foreign.map(|row| ((text(row, "folderUid"), text(row, "title")), text(row, "uid"))).collect();
        Ok(Some(Self { declared: BTreeMap::new(), foreign }))
    }

    /// What is wrong with the title of one more declared dashboard.
    pub(super) fn clash(&mut self, folder: String, object: &Object, model: &Model) -> Option<Problem> {
        let place = (folder, model.body["title"].as_str().unwrap_or_default().to_owned());
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

/// What a dashboard refers to and nothing stands for.
pub(super) fn dangling(
    object: &Object,
    model: &Model,
    sources: &[Source],
    plugins: Option<&BTreeSet<String>>,
) -> Vec<Problem> {
    let (wanted, types) = references(&model.body);
    let known = |uid: &str| {
        uid.is_empty()
            || uid.contains('$')
            || matches!(uid, "grafana" | "__expr__" | "default" | "-100")
            || uid.starts_with("-- ")
            || sources.iter().any(|source| source.uid == uid || source.name == uid)
    };
    let mut problems = Vec::new();
    let missing: BTreeSet<&String> = wanted.iter().filter(|uid| !known(uid)).collect();
    for uid in missing {
        let text = format!("refers to the data source {uid}, which is neither declared nor on the server");
        problems.push(object.problem("", text).warning());
    }
    let lacks = |kind: &&String| plugins.is_some_and(|plugins| !plugins.contains(*kind));
    let missing: BTreeSet<&String> = types.iter().filter(lacks).collect();
    for kind in missing {
        let text =
            format!("the panel plugin {kind} is not installed on the server: install it, or the panel stays empty");
        problems.push(object.problem("", text).warning());
    }
    problems
}
