//! The kinds, in the order in which they are applied, for the connection's own organization and for each named one.
//! What a kind does is in its own file.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use common::change::ObjectId;
use common::document::{Documents, Row};
use common::files::{KindSpec, Layout, Set};
use common::kind::Kind;

use crate::dashboard::Dashboards;
use crate::folder::Folders;
use crate::scope::{Scope, Scoped};
use crate::server::Server;

/// The folder's kinds.
pub(crate) const SPECS: [KindSpec; 3] = [
    KindSpec::new("inputs", Layout::Single),
    KindSpec::new("datasources", Layout::Objects),
    KindSpec::new("dashboards", Layout::Tree),
];

/// The kinds for a set of files.
pub(crate) fn kinds(server: &Rc<Server>, set: &Rc<Set>) -> Vec<Box<dyn Kind>> {
    let mut kinds: Vec<Box<dyn Kind>> = Vec::new();
    let own = Scope::new(server, None);
    of_org(&mut kinds, &own, set);
    let named: BTreeSet<&Arc<str>> = set.orgs.iter().collect();
    for org in named {
        of_org(&mut kinds, &Scope::new(server, Some(org.clone())), set);
    }
    kinds
}

fn of_org(kinds: &mut Vec<Box<dyn Kind>>, scope: &Rc<Scope>, set: &Rc<Set>) {
    row(kinds, scope, set, &crate::datasource::ROW);
    let folders = Folders::new(scope, set);
    let ids = folders.ids();
    kinds.push(Box::new(Scoped::new(scope, Box::new(folders), ids)));
    let dashboards = Dashboards::new(scope, set);
    let ids = dashboards.ids();
    kinds.push(Box::new(Scoped::new(scope, Box::new(dashboards), ids)));
}

fn row(kinds: &mut Vec<Box<dyn Kind>>, scope: &Rc<Scope>, set: &Rc<Set>, row: &'static Row<Scope>) {
    let org = scope.org.as_deref();
    let ids: Vec<ObjectId> = set.of_org(org, row.kind).iter().map(|object| object.id.clone()).collect();
    let inner = Documents::new(row, scope.clone(), set.clone(), org);
    kinds.push(Box::new(Scoped::new(scope, Box::new(inner), ids)));
}
