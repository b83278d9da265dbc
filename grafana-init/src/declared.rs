//! What the files of one organization declare, as far as other kinds refer to it by name. Made once, before any connection.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use common::engine::change::ObjectId;
use common::files::{Object, Set};
use serde_json::Value;

use crate::identity::{identity, name_of};

/// The names of an organization's objects.
#[derive(Debug, Default)]
pub(crate) struct Declared {
    pub(crate) teams: BTreeMap<String, ObjectId>,
    pub(crate) accounts: BTreeMap<String, ObjectId>,
    pub(crate) receivers: BTreeMap<String, ObjectId>,
    pub(crate) timings: BTreeMap<String, ObjectId>,
    /// Uids of library panels.
    pub(crate) library: BTreeSet<String>,
    /// Whether a data source is to be the default.
    pub(crate) default_source: bool,
}

impl Declared {
    pub(crate) fn of(set: &Set, org: Option<&str>) -> Self {
        let names = |kind: &str| by_name(set, org, kind);
        Self {
            teams: names("teams"),
            accounts: names("service_accounts"),
            receivers: names("contact_points"),
            timings: names("mute_timings"),
            library: bodies(set, org, "library_panels").map(|(object, body)| identity(&object, &body).0).collect(),
            default_source: bodies(set, org, "datasources").any(|(_, body)| body["isDefault"] == true),
        }
    }
}

/// The objects of a kind by their names. What cannot be read is told where it is checked.
pub(crate) fn by_name(set: &Set, org: Option<&str>, kind: &str) -> BTreeMap<String, ObjectId> {
    bodies(set, org, kind).map(|(object, body)| (name_of(&object, &body), object.id.clone())).collect()
}

fn bodies(set: &Set, org: Option<&str>, kind: &str) -> impl Iterator<Item = (Rc<Object>, Value)> {
    set.of_org(org, kind).into_iter().filter_map(|object| object.value().ok().map(|body| (object, body)))
}
