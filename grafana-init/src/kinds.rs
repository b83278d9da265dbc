//! The kinds, in the order in which they are applied, for the connection's own organization and for each named one.
//! What a kind does is in its own file.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use common::engine::change::{Class, Failure, ObjectId};
use common::engine::document::{Documents, Row};
use common::engine::kind::{AnyKind, Typed};
use common::files::{KindSpec, Layout, Set};

use crate::dashboard::Dashboards;
use crate::folder::Folders;
use crate::org::Orgs;
use crate::scope::{Scope, Scoped};
use crate::server::Server;

/// The folder's kinds.
pub(crate) const SPECS: [KindSpec; 17] = [
    KindSpec::new("plugins", Layout::Objects),
    KindSpec::new("orgs", Layout::Orgs),
    KindSpec::new("teams", Layout::Objects),
    KindSpec::new("service_accounts", Layout::Objects),
    KindSpec::new("datasources", Layout::Objects),
    KindSpec::new("library_panels", Layout::Objects).unwrapping(crate::library::unwrap),
    KindSpec::new("inputs", Layout::Single),
    KindSpec::new("dashboards", Layout::Tree),
    KindSpec::new("playlists", Layout::Objects).unwrapping(crate::playlist::unwrap),
    KindSpec::new("correlations", Layout::Objects),
    KindSpec::new("public_dashboards", Layout::Objects),
    KindSpec::new("contact_points", Layout::Objects).unwrapping(crate::alerting::contact::unwrap),
    KindSpec::new("mute_timings", Layout::Objects).unwrapping(crate::alerting::unwrap_timing),
    KindSpec::new("message_templates", Layout::Objects).unwrapping(crate::alerting::unwrap_template),
    KindSpec::new("notification_policy", Layout::Single).unwrapping(crate::alerting::policy::unwrap),
    KindSpec::new("alert_rules", Layout::Tree).unwrapping(crate::alerting::rule::unwrap),
    KindSpec::new("preferences", Layout::Single),
];

/// The kinds for a set of files.
pub(crate) fn kinds(server: &Rc<Server>, set: &Rc<Set>) -> Vec<Box<dyn AnyKind>> {
    // A provisioning file may name an organization that has no folder.
    let named: BTreeSet<&Arc<str>> =
        set.orgs.iter().chain(set.all().iter().filter_map(|object| object.id.org.as_ref())).collect();
    let scopes: Vec<Rc<Scope>> = named.into_iter().map(|org| Scope::new(server, Some(org.clone()), set)).collect();
    of_scopes(&Scope::new(server, None, set), &scopes, set)
}

/// The kinds for an export: of the connection's own organization, and of all others where the caller may list them.
pub(crate) fn export_kinds(server: &Rc<Server>) -> Result<Vec<Box<dyn AnyKind>>, Failure> {
    let set = Rc::default();
    let own = Scope::new(server, None, &set);
    let mine = server.found.borrow().org;
    let mut scopes = Vec::new();
    match own.pages("/api/orgs?", "perpage", "") {
        Ok(rows) => {
            for row in rows {
                if let (Some(id), Some(name)) = (row["id"].as_i64().filter(|id| *id != mine), row["name"].as_str()) {
                    let scope = Scope::new(server, Some(name.into()), &set);
                    scope.found(id);
                    scopes.push(scope);
                }
            }
        }
        Err(failure) if failure.class == Class::Auth => {
            log::warn!(detail:% = failure; "only the connection's own organization is exported: a server administrator may list the others");
        }
        Err(failure) => return Err(failure),
    }
    Ok(of_scopes(&own, &scopes, &set))
}

fn of_scopes(own: &Rc<Scope>, named: &[Rc<Scope>], set: &Rc<Set>) -> Vec<Box<dyn AnyKind>> {
    let mut kinds: Vec<Box<dyn AnyKind>> = Vec::new();
    kinds.push(row(own, set, &crate::plugin::ROW));
    kinds.push(Box::new(Typed::new(Orgs::new(named, set.all().iter().any(|object| object.id.org.is_none())))));
    kinds.extend(named.iter().map(|scope| row(scope, set, &crate::plugin::ROW)));
    for scope in std::iter::once(own).chain(named) {
        of_org(&mut kinds, scope, set);
    }
    // The alerting of a new organization comes late; everything else goes before it.
    for scope in std::iter::once(own).chain(named) {
        alerting(&mut kinds, scope, set);
    }
    kinds
}

fn of_org(kinds: &mut Vec<Box<dyn AnyKind>>, scope: &Rc<Scope>, set: &Rc<Set>) {
    kinds.push(row(scope, set, &crate::team::ROW));
    kinds.push(row(scope, set, &crate::service_account::ROW));
    kinds.push(row(scope, set, &crate::datasource::ROW));
    // Library panels lie in folders, dashboards show library panels.
    let folders = Folders::new(scope, set);
    let ids = folders.ids();
    kinds.push(Box::new(Scoped::new(scope, Box::new(Typed::new(folders)), ids)));
    kinds.push(row(scope, set, &crate::library::ROW));
    let dashboards = Dashboards::new(scope, set);
    let ids = dashboards.ids();
    kinds.push(Box::new(Scoped::new(scope, Box::new(Typed::new(dashboards)), ids)));
    kinds.push(row(scope, set, &crate::playlist::ROW));
    kinds.push(row(scope, set, &crate::correlation::ROW));
    kinds.push(row(scope, set, &crate::public_dashboard::ROW));
    kinds.push(row(scope, set, &crate::preferences::ROW));
}

fn alerting(kinds: &mut Vec<Box<dyn AnyKind>>, scope: &Rc<Scope>, set: &Rc<Set>) {
    let rows = [
        &crate::alerting::contact::ROW,
        &crate::alerting::TIMINGS,
        &crate::alerting::TEMPLATES,
        &crate::alerting::policy::ROW,
        &crate::alerting::rule::ROW,
    ];
    for row in rows {
        kinds.push(Box::new(scoped(scope, set, row).alerting()));
    }
}

fn row(scope: &Rc<Scope>, set: &Rc<Set>, row: &'static Row<Scope>) -> Box<dyn AnyKind> {
    Box::new(scoped(scope, set, row))
}

fn scoped(scope: &Rc<Scope>, set: &Rc<Set>, row: &'static Row<Scope>) -> Scoped {
    let org = scope.org.as_deref();
    let ids: Vec<ObjectId> = set.of_org(org, row.kind).iter().map(|object| object.id.clone()).collect();
    Scoped::new(scope, Box::new(Typed::new(Documents::new(row, scope.clone(), set.clone(), org))), ids)
}
