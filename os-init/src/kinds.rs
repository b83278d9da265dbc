//! The kinds in the order in which they are applied: where their files lie, and what the server offers for each. A row says everything that
//! is odd about its kind by a function; the order is what the API enforces (component before template, role before mapping), and that users
//! get in last.

use std::rc::Rc;

use common::engine::diff::Writing;
use common::engine::document::{Documents, Row};
use common::engine::kind::{AnyKind, Typed};
use common::files::{KindSpec, Layout, Set};

use crate::attachment::{self, Attachments};
use crate::cluster::Cluster;
use crate::document::{exported, strings, unwrap_listed, unwrap_named};
use crate::user::{self, Users};
use crate::{alias, data_stream, index, ism, pipeline, script, security, settings, snapshot, template};

/// Where the kinds' files lie, and how a whole GET answer becomes a body.
pub(crate) static SPECS: [KindSpec; 18] = [
    KindSpec::new(settings::KIND, Layout::Single),
    named("snapshot_repositories"),
    named("action_groups"),
    named("roles"),
    named("tenants"),
    KindSpec::new("scripts", Layout::Objects).unwrapping(|_, body| script::unwrap(body)),
    named("ingest_pipelines"),
    named("search_pipelines"),
    KindSpec::new("component_templates", Layout::Objects)
        .unwrapping(|_, body| unwrap_listed(body, "component_templates", "component_template")),
    KindSpec::new("ism_policies", Layout::Objects).unwrapping(|_, body| ism::unwrap(body)),
    KindSpec::new("index_templates", Layout::Objects)
        .unwrapping(|_, body| unwrap_listed(body, "index_templates", "index_template")),
    KindSpec::new("data_streams", Layout::Objects).unwrapping(|_, body| data_stream::unwrap(body)),
    named("indices"),
    KindSpec::new("aliases", Layout::Objects).unwrapping(alias::unwrap),
    KindSpec::new(attachment::KIND, Layout::Objects),
    KindSpec::new("sm_policies", Layout::Objects).unwrapping(|_, body| snapshot::unwrap_policy(body)),
    named(user::KIND),
    named("roles_mapping"),
];

const fn named(kind: &'static str) -> KindSpec {
    KindSpec::new(kind, Layout::Objects).unwrapping(unwrap_named)
}

/// The endpoints. Attachments are no documents and have no row.
static ROWS: [Row<Cluster>; 17] = [
    Row {
        writing: Writing::Merges,
        compare: Some(settings::compare),
        check: settings::check,
        export: settings::export,
        single: true,
        ..Row::new(settings::KIND, settings::read, settings::write)
    },
    Row {
        normal: snapshot::normal_repository,
        // They belong into the node's keystore; some nodes still take them here.
        secrets: &["/settings/access_key", "/settings/secret_key", "/settings/session_token"],
        check: snapshot::check_repository,
        export: exported,
        ..Row::new("snapshot_repositories", snapshot::read_repositories, snapshot::write_repository)
    },
    Row {
        normal: security::normal_action_group,
        check: security::check,
        export: exported,
        ..Row::new("action_groups", security::read_action_groups, security::write_action_group)
    },
    Row {
        normal: security::normal_role,
        check: security::check,
        needs: security::needs_role,
        export: exported,
        ..Row::new("roles", security::read_roles, security::write_role)
    },
    Row {
        normal: security::normal_tenant,
        check: security::check,
        export: exported,
        ..Row::new("tenants", security::read_tenants, security::write_tenant)
    },
    Row {
        normal: script::normal,
        check: script::check,
        export: exported,
        ..Row::new("scripts", script::read, script::write)
    },
    Row {
        check: pipeline::check_ingest,
        preflight: pipeline::preflight_ingest,
        preflight_batch: 64,
        export: exported,
        ..Row::new("ingest_pipelines", pipeline::read_ingest, pipeline::write_ingest)
    },
    Row {
        check: pipeline::check_search,
        export: exported,
        ..Row::new("search_pipelines", pipeline::read_search, pipeline::write_search)
    },
    Row {
        normal: template::normal_component,
        check: template::check_component,
        preflight: template::preflight_components,
        preflight_batch: 64,
        export: exported,
        ..Row::new("component_templates", template::read_components, template::write_component)
    },
    Row {
        normal: ism::normal,
        compare: Some(ism::compare),
        check: ism::check,
        preflight: ism::preflight,
        export: exported,
        ..Row::new("ism_policies", ism::read, ism::write)
    },
    Row {
        normal: template::normal_index_template,
        check: template::check_index_template,
        needs: template::needs,
        preflight: template::preflight_index_templates,
        export: exported,
        ..Row::new("index_templates", template::read_index_templates, template::write_index_template)
    },
    Row {
        normal: data_stream::normal,
        check: data_stream::check,
        needs: data_stream::needs,
        preflight: data_stream::preflight,
        export: exported,
        ..Row::new("data_streams", data_stream::read, data_stream::write)
    },
    Row {
        writing: Writing::Merges,
        normal: index::normal,
        compare: Some(index::compare),
        check: index::check,
        needs: index::needs,
        preflight: index::preflight,
        export: exported,
        ..Row::new("indices", index::read, index::write)
    },
    Row {
        writing: Writing::Merges,
        normal: alias::normal,
        check: alias::check,
        needs: alias::needs,
        preflight: alias::preflight,
        export: exported,
        ..Row::new("aliases", alias::read, alias::write)
    },
    Row {
        normal: snapshot::normal_policy,
        check: snapshot::check_policy,
        needs: snapshot::needs_policy,
        preflight: snapshot::preflight_policies,
        export: exported,
        ..Row::new("sm_policies", snapshot::read_policies, snapshot::write_policy)
    },
    Row {
        secrets: &["/password", "/hash"],
        normal: user::normal,
        compare: Some(user::compare),
        check: user::check,
        needs: user::needs,
        preflight: user::preflight,
        export: user::export,
        ..Row::new(user::KIND, user::read, user::write)
    },
    Row {
        normal: security::normal_mapping,
        check: security::check_mapping,
        needs: security::needs_mapping,
        preflight: security::preflight_mappings,
        export: exported,
        ..Row::new("roles_mapping", security::read_mappings, security::write_mapping)
    },
];

/// The kinds for a set of files, in the order of `SPECS`.
pub(crate) fn kinds(cluster: &Rc<Cluster>, set: &Rc<Set>) -> Vec<Box<dyn AnyKind>> {
    remember(cluster, set);
    let make = |spec: &KindSpec| -> Box<dyn AnyKind> {
        let Some(row) = ROWS.iter().find(|row| row.kind == spec.name) else {
            return Box::new(Attachments::new(cluster.clone(), set.clone()));
        };
        let rows = Documents::new(row, cluster.clone(), set.clone(), None);
        if row.kind == user::KIND {
            Box::new(Typed::new(Users::new(rows, cluster.clone())))
        } else {
            Box::new(Typed::new(rows))
        }
    };
    SPECS.iter().map(make).collect()
}

/// What pre-flight may count on, though the server does not have it yet.
fn remember(cluster: &Cluster, set: &Set) {
    let mut memory = cluster.memory.borrow_mut();
    for object in set.all() {
        let name = object.id.name.clone();
        match object.id.kind {
            "component_templates" => drop(memory.components.insert(name)),
            "indices" => drop(memory.indices.insert(name)),
            "snapshot_repositories" => drop(memory.repositories.insert(name)),
            "roles" => drop(memory.roles.insert(name)),
            "index_templates" => match object.value() {
                Ok(body) if body.get("data_stream").is_some() => {
                    memory.streams.extend(strings(&body["index_patterns"]));
                }
                _ => {}
            },
            kind @ ("ingest_pipelines" | "search_pipelines") => drop(memory.pipelines.insert((kind, name))),
            _ => {}
        }
    }
}

/// How a kind's bodies are brought into normal form.
#[cfg(test)]
pub(crate) fn normal_of(kind: &str) -> fn(&mut serde_json::Value) {
    ROWS.iter().find(|row| row.kind == kind).expect("a kind with a row").normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_but_attachments_has_a_row_in_order() {
        let rows: Vec<&str> = ROWS.iter().map(|row| row.kind).collect();
        let specs: Vec<&str> = SPECS.iter().map(|spec| spec.name).filter(|name| *name != attachment::KIND).collect();
        assert_eq!(rows, specs);
    }
}
