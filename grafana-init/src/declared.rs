//! What the files of one organization declare, as far as other kinds refer to it by name. Made once, before any connection.

use std::rc::Rc;

use common::files::{Index, Object, Set};

use crate::identity::{identity, name_of};

/// The names of an organization's objects.
#[derive(Debug, Default)]
pub(crate) struct Declared {
    pub(crate) teams: Index,
    pub(crate) accounts: Index,
    pub(crate) receivers: Index,
    pub(crate) timings: Index,
    /// Library panels by their uids.
    pub(crate) library: Index,
    /// Whether a data source is to be the default.
    pub(crate) default_source: bool,
}

impl Declared {
    pub(crate) fn of(set: &Set, org: Option<&str>) -> Self {
        let names = |kind| by_name(set, org, kind);
        let default = |object: &Rc<Object>| object.value().is_ok_and(|body| body["isDefault"] == true);
        Self {
            teams: names("teams"),
            accounts: names("service_accounts"),
            receivers: names("contact_points"),
            timings: names("mute_timings"),
            library: by_uid(set, org, "library_panels"),
            default_source: set.of_org(org, "datasources").iter().any(default),
        }
    }
}

/// The objects of a kind by their names. What cannot be read is told where it is checked.
pub(crate) fn by_name(set: &Set, org: Option<&str>, kind: &'static str) -> Index {
    set.index(org, (kind, "name"), |object| Some((name_of(object, &object.value().ok()?), object.id.clone())))
}

/// The same by their uids.
pub(crate) fn by_uid(set: &Set, org: Option<&str>, kind: &'static str) -> Index {
    set.index(org, (kind, "uid"), |object| Some((identity(object, &object.value().ok()?).0, object.id.clone())))
}
