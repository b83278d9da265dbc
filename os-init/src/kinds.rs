//! The kinds in the order in which they are applied: where their files lie, and what the server offers for each. A row says everything that
//! is odd about its kind by a function; the order is what the API enforces (component before template, role before mapping), and that users
//! get in last.

use std::rc::Rc;

use common::diff::Writing;
use common::document::{Documents, Row};
use common::files::{KindSpec, Layout, Set};
use common::kind::Kind;

use crate::cluster::Cluster;
use crate::document::{exported, unwrap_listed, unwrap_named};
use crate::{alias, index, pipeline, template};

/// Where the kinds' files lie, and how a whole GET answer becomes a body.
pub(crate) static SPECS: [KindSpec; 6] = [
    KindSpec::new("ingest_pipelines", Layout::Objects).unwrapping(unwrap_named),
    KindSpec::new("search_pipelines", Layout::Objects).unwrapping(unwrap_named),
    KindSpec::new("component_templates", Layout::Objects)
        .unwrapping(|_, body| unwrap_listed(body, "component_templates", "component_template")),
    KindSpec::new("index_templates", Layout::Objects)
        .unwrapping(|_, body| unwrap_listed(body, "index_templates", "index_template")),
    KindSpec::new("indices", Layout::Objects).unwrapping(unwrap_named),
    KindSpec::new("aliases", Layout::Objects).unwrapping(alias::unwrap),
];

static ROWS: [Row<Cluster>; 6] = [
    Row {
        check: pipeline::check_ingest,
        preflight: pipeline::preflight_ingest,
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
        export: exported,
        ..Row::new("component_templates", template::read_components, template::write_component)
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
        writing: Writing::Merges,
        normal: index::normal,
        compare: Some(index::compare),
        check: index::check,
        needs: index::needs,
        preflight: index::preflight,
        export: index::export,
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
];

/// The kinds for a set of files.
pub(crate) fn kinds(cluster: &Rc<Cluster>, set: &Rc<Set>) -> Vec<Box<dyn Kind>> {
    remember(cluster, set);
    ROWS.iter().map(|row| Box::new(Documents::new(row, cluster.clone(), set.clone(), None)) as Box<dyn Kind>).collect()
}

/// What pre-flight may count on, though the server does not have it yet.
fn remember(cluster: &Cluster, set: &Set) {
    let mut memory = cluster.memory.borrow_mut();
    for object in set.all() {
        let name = object.id.name.clone();
        match object.id.kind {
            "component_templates" => drop(memory.components.insert(name)),
            "indices" => drop(memory.indices.insert(name)),
            kind @ ("ingest_pipelines" | "search_pipelines") => drop(memory.pipelines.insert((kind, name))),
            _ => {}
        }
    }
}
