//! The kinds, in the order in which they are applied, for the connection's own organization and for each named one.
//! What a kind does is in its own file.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use common::engine::change::{Failure, ObjectId};
use common::engine::document::{Documents, Row};
use common::engine::kind::{AnyKind, Typed};
use common::files::{KindSpec, Layout, Object, Set};
use common::net::http::Call;
use serde_json::Value;

use crate::dashboard::Dashboards;
use crate::folder::Folders;
use crate::org::Orgs;
use crate::scope::{Scope, Scoped};
use crate::server::Server;

/// The folder's kinds.
pub(crate) const SPECS: [KindSpec; 14] = [
    KindSpec::new("plugins", Layout::Objects),
    KindSpec::new("orgs", Layout::Orgs),
    KindSpec::new("teams", Layout::Objects),
    KindSpec::new("service_accounts", Layout::Objects),
    KindSpec::new("datasources", Layout::Objects),
    KindSpec::new("library_panels", Layout::Objects).unwrapping(crate::library::unwrap),
    KindSpec::new("inputs", Layout::Single),
    KindSpec::new("dashboards", Layout::Tree),
    KindSpec::new("contact_points", Layout::Objects).unwrapping(crate::alerting::contact::unwrap),
    KindSpec::new("mute_timings", Layout::Objects).unwrapping(crate::alerting::unwrap_timing),
    KindSpec::new("message_templates", Layout::Objects).unwrapping(crate::alerting::unwrap_template),
    KindSpec::new("notification_policy", Layout::Single).unwrapping(crate::alerting::policy::unwrap),
    KindSpec::new("alert_rules", Layout::Tree).unwrapping(crate::alerting::rule::unwrap),
    KindSpec::new("preferences", Layout::Single),
];

/// The kinds for a set of files.
pub(crate) fn kinds(server: &Rc<Server>, set: &Rc<Set>) -> Vec<Box<dyn AnyKind>> {
    let named: BTreeSet<&Arc<str>> = set.orgs.iter().collect();
    let scopes: Vec<Rc<Scope>> = named.into_iter().map(|org| Scope::new(server, Some(org.clone()))).collect();
    of_scopes(&Scope::new(server, None), &scopes, set)
}

/// The kinds for an export: of the connection's own organization, and of all others where the caller may list them.
pub(crate) fn export_kinds(server: &Rc<Server>) -> Result<Vec<Box<dyn AnyKind>>, Failure> {
    let own = server.found.borrow().org;
    let reply = server.client.send(&Call::get("/api/orgs?perpage=1000").accept(401).accept(403))?;
    let list = if reply.status == 200 { reply.json()? } else { Value::Null };
    let mut scopes = Vec::new();
    for row in list.as_array().into_iter().flatten() {
        if let (Some(id), Some(name)) = (row["id"].as_i64().filter(|id| *id != own), row["name"].as_str()) {
            let scope = Scope::new(server, Some(name.into()));
            scope.found(id);
            scopes.push(scope);
        }
    }
    Ok(of_scopes(&Scope::new(server, None), &scopes, &Rc::default()))
}

fn of_scopes(own: &Rc<Scope>, named: &[Rc<Scope>], set: &Rc<Set>) -> Vec<Box<dyn AnyKind>> {
    let mut kinds: Vec<Box<dyn AnyKind>> = Vec::new();
    row(&mut kinds, own, set, &crate::plugin::ROW);
    kinds.push(Box::new(Orgs::new(named)));
    of_org(&mut kinds, own, set);
    for scope in named {
        row(&mut kinds, scope, set, &crate::plugin::ROW);
        of_org(&mut kinds, scope, set);
    }
    kinds
}

fn of_org(kinds: &mut Vec<Box<dyn AnyKind>>, scope: &Rc<Scope>, set: &Rc<Set>) {
    note_names(scope, set);
    row(kinds, scope, set, &crate::team::ROW);
    row(kinds, scope, set, &crate::service_account::ROW);
    row(kinds, scope, set, &crate::datasource::ROW);
    // Library panels lie in folders, dashboards show library panels.
    let folders = Folders::new(scope, set);
    let ids = folders.ids();
    kinds.push(Box::new(Scoped::new(scope, Box::new(folders), ids)));
    row(kinds, scope, set, &crate::library::ROW);
    let dashboards = Dashboards::new(scope, set);
    let ids = dashboards.ids();
    kinds.push(Box::new(Scoped::new(scope, Box::new(dashboards), ids)));
    row(kinds, scope, set, &crate::alerting::contact::ROW);
    row(kinds, scope, set, &crate::alerting::TIMINGS);
    row(kinds, scope, set, &crate::alerting::TEMPLATES);
    row(kinds, scope, set, &crate::alerting::policy::ROW);
    row(kinds, scope, set, &crate::alerting::rule::ROW);
    row(kinds, scope, set, &crate::preferences::ROW);
}

/// Notes which names there will be, for the kinds that refer to others.
fn note_names(scope: &Scope, set: &Set) {
    let names = |kind: &str| -> BTreeSet<String> {
        let named = |object: Rc<Object>| Some(crate::identity::name_of(&object, &object.value().ok()?));
        set.of_org(scope.org.as_deref(), kind).into_iter().filter_map(named).collect()
    };
    let mut memory = scope.memory.borrow_mut();
    memory.teams = names("teams");
    memory.receivers = names("contact_points");
    memory.timings = names("mute_timings");
    let bodies = |kind: &str| {
        set.of_org(scope.org.as_deref(), kind).into_iter().filter_map(|object| Some((object.value().ok()?, object)))
    };
    memory.library =
        bodies("library_panels").map(|(body, object)| crate::identity::identity(&object, &body).0).collect();
    memory.default_source = bodies("datasources").any(|(body, _)| body["isDefault"] == true);
}

fn row(kinds: &mut Vec<Box<dyn AnyKind>>, scope: &Rc<Scope>, set: &Rc<Set>, row: &'static Row<Scope>) {
    let org = scope.org.as_deref();
    let ids: Vec<ObjectId> = set.of_org(org, row.kind).iter().map(|object| object.id.clone()).collect();
    let inner = Documents::new(row, scope.clone(), set.clone(), org);
    kinds.push(Box::new(Scoped::new(scope, Box::new(Typed::new(inner)), ids)));
}
