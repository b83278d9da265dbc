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
use crate::document::{exported, redacted, unwrap_listed, unwrap_named};
use crate::user::{self, Users};
use crate::{alias, data_stream, index, ism, job, known, pipeline, script, security, settings, snapshot, template};

/// Where the kinds' files lie, and how a whole GET answer becomes a body.
pub(crate) static SPECS: [KindSpec; 20] = [
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
    KindSpec::new("rollups", Layout::Objects).unwrapping(|_, body| job::unwrap("rollup", body)),
    KindSpec::new("transforms", Layout::Objects).unwrapping(|_, body| job::unwrap("transform", body)),
    KindSpec::new("sm_policies", Layout::Objects).unwrapping(|_, body| snapshot::unwrap_policy(body)),
    named(user::KIND),
    named("roles_mapping"),
];

const fn named(kind: &'static str) -> KindSpec {
    KindSpec::new(kind, Layout::Objects).unwrapping(unwrap_named)
}

const REPOSITORY_SECRETS: [&str; 3] = ["/settings/access_key", "/settings/secret_key", "/settings/session_token"];

/// The endpoints. Attachments are no documents and have no row.
static ROWS: [Row<Cluster>; 19] = [
    Row {
        writing: Writing::Merges,
        judge: Some(settings::judge),
        check: settings::check,
        export: settings::export,
        single: true,
        ..Row::new(settings::KIND, settings::read, |making| Ok(settings::step(making)))
    },
    Row {
        normal: snapshot::normal_repository,
        judge: Some(snapshot::judge_repository),
        // They belong into the node's keystore; some nodes still take them here.
        secrets: &REPOSITORY_SECRETS,
        check: snapshot::check_repository,
        export: |name, body, have| redacted("snapshot_repositories", &REPOSITORY_SECRETS, name, body, have),
        knows: known::REPOSITORY,
        ..Row::new("snapshot_repositories", snapshot::read_repositories, |making| Ok(snapshot::step_repository(making)))
    },
    Row {
        normal: security::normal_action_group,
        check: security::check_action_group,
        export: exported,
        knows: known::ACTION_GROUP,
        together: Some(security::TOGETHER),
        ..Row::new("action_groups", security::read_action_groups, |making| Ok(security::step_action_group(making)))
    },
    Row {
        normal: security::normal_role,
        check: security::check_role,
        needs: security::needs_role,
        export: exported,
        knows: known::ROLE,
        together: Some(security::TOGETHER),
        ..Row::new("roles", security::read_roles, |making| Ok(security::step_role(making)))
    },
    Row {
        normal: security::normal_tenant,
        check: security::check_tenant,
        export: exported,
        knows: known::TENANT,
        together: Some(security::TOGETHER),
        ..Row::new("tenants", security::read_tenants, |making| Ok(security::step_tenant(making)))
    },
    Row {
        normal: script::normal,
        check: script::check,
        preflight: script::preflight,
        export: exported,
        knows: known::SCRIPT,
        ..Row::new("scripts", script::read, |making| Ok(script::step(&making)))
    },
    Row {
        check: pipeline::check_ingest,
        preflight: pipeline::preflight_ingest,
        export: exported,
        ..Row::new("ingest_pipelines", pipeline::read_ingest, |making| Ok(pipeline::step_ingest(&making)))
    },
    Row {
        check: pipeline::check_search,
        export: exported,
        ..Row::new("search_pipelines", pipeline::read_search, |making| Ok(pipeline::step_search(&making)))
    },
    Row {
        normal: template::normal_component,
        check: template::check_component,
        preflight: template::preflight_components,
        export: exported,
        knows: known::COMPONENT_TEMPLATE,
        ..Row::new("component_templates", template::read_components, |making| Ok(template::step_component(&making)))
    },
    Row {
        normal: ism::normal,
        secrets: &ism::SECRETS,
        check: ism::check,
        preflight: ism::preflight,
        export: |name, body, have| redacted("ism_policies", &ism::SECRETS, name, body, have),
        knows: known::ISM_POLICY,
        ..Row::new("ism_policies", ism::read, |making| Ok(ism::step(making)))
    },
    Row {
        normal: template::normal_index_template,
        check: template::check_index_template,
        needs: template::needs,
        preflight: template::preflight_index_templates,
        export: exported,
        knows: known::INDEX_TEMPLATE,
        ..Row::new("index_templates", template::read_index_templates, |making| {
            Ok(template::step_index_template(&making))
        })
    },
    Row {
        normal: data_stream::normal,
        check: data_stream::check,
        needs: data_stream::needs,
        preflight: data_stream::preflight,
        export: exported,
        ..Row::new("data_streams", data_stream::read, |making| Ok(data_stream::step(&making)))
    },
    Row {
        writing: Writing::Merges,
        normal: index::normal,
        judge: Some(index::judge),
        check: index::check,
        needs: index::needs,
        preflight: index::preflight,
        send: index::send,
        export: exported,
        ..Row::new("indices", index::read, |making| Ok(index::step(making)))
    },
    Row {
        writing: Writing::Merges,
        normal: alias::normal,
        judge: Some(alias::judge),
        check: alias::check,
        needs: alias::needs,
        preflight: alias::preflight,
        export: exported,
        ..Row::new("aliases", alias::read, |making| Ok(alias::step(making)))
    },
    Row {
        normal: job::normal_rollup_file,
        judge: Some(job::judge_rollup),
        check: job::check_rollup,
        needs: job::needs_rollup,
        export: exported,
        knows: known::ROLLUP,
        ..Row::new("rollups", job::read_rollups, |making| Ok(job::step_rollup(making)))
    },
    Row {
        normal: job::normal_transform_file,
        judge: Some(job::judge_transform),
        check: job::check_transform,
        needs: job::needs_transform,
        export: exported,
        knows: known::TRANSFORM,
        ..Row::new("transforms", job::read_transforms, |making| Ok(job::step_transform(making)))
    },
    Row {
        normal: snapshot::normal_policy,
        check: snapshot::check_policy,
        needs: snapshot::needs_policy,
        preflight: snapshot::preflight_policies,
        export: exported,
        knows: known::SM_POLICY,
        ..Row::new("sm_policies", snapshot::read_policies, |making| Ok(snapshot::step_policy(making)))
    },
    Row {
        secrets: &["/password", "/hash"],
        normal: user::normal,
        judge: Some(user::judge),
        check: user::check,
        needs: user::needs,
        preflight: user::preflight,
        export: user::export,
        send: user::send,
        knows: known::USER,
        ..Row::new(user::KIND, user::read, |making| Ok(user::step(making)))
    },
    Row {
        normal: security::normal_mapping,
        check: security::check_mapping,
        needs: security::needs_mapping,
        preflight: security::preflight_mappings,
        export: exported,
        knows: known::MAPPING,
        together: Some(security::TOGETHER),
        ..Row::new("roles_mapping", security::read_mappings, |making| Ok(security::step_mapping(making)))
    },
];

/// The kinds for a set of files, in the order of `SPECS`.
pub(crate) fn kinds(cluster: &Rc<Cluster>, set: &Rc<Set>) -> Vec<Box<dyn AnyKind>> {
    let make = |spec: &KindSpec| -> Box<dyn AnyKind> {
        let Some(row) = ROWS.iter().find(|row| row.kind == spec.name) else {
            return Box::new(Typed::new(Attachments::new(cluster.clone(), set.clone())));
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
