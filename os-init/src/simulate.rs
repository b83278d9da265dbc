//! What the server makes of a template's body, asked by `_index_template/_simulate` without a write: its own normal form of settings,
//! mappings and aliases, or why it would refuse them. Nothing is decided here.

use std::collections::BTreeSet;

use common::engine::change::{Class, Failure};
use common::net::http::{Call, Client, LIST_LIMIT, parallel};
use serde_json::{Value, json};

use crate::document::strings;
use crate::overlap::overlap;

/// A pattern that matches nobody's indices.
const NOWHERE: &str = "os-init-pre-flight-of-a-template";
/// The highest priority that every client can write down; hardly anybody holds it, and who does is looked up.
const TOP: i64 = 9_007_199_254_740_991;

/// Simulates a template: `template`, and `composed_of` or `data_stream` if need be. Its patterns and priority are replaced by nobody's.
pub(crate) fn simulate(client: &Client, body: &Value) -> Result<Value, Failure> {
    let ask = |priority: i64| -> Result<Value, Failure> {
        let mut body = body.clone();
        body["index_patterns"] = json!([NOWHERE]);
        body["priority"] = priority.into();
        let reply = client.send(&Call::post("/_index_template/_simulate", body.to_string()).reads())?;
        Ok(reply.json()?["template"].take())
    };
    match ask(TOP) {
        // A template for all indices may have this priority, too.
        Err(failure) if failure.class == Class::Rejected => match free_priority(client)? {
            TOP => Err(failure),
            free => ask(free),
        },
        other => other,
    }
}

/// Simulates each, a few at a time; the answers are in order.
pub(crate) fn simulate_each(client: &Client, bodies: &[Value]) -> Vec<Result<Value, Failure>> {
    parallel(bodies, 4, |body| simulate(client, body))
}

fn free_priority(client: &Client) -> Result<i64, Failure> {
    let path = "/_index_template?filter_path=index_templates.index_template.priority,index_templates.index_template.index_patterns";
    let answer = client.send(&Call::get(path).accept(404).at_most(LIST_LIMIT))?.json()?;
    let templates =
        answer["index_templates"].as_array().into_iter().flatten().map(|template| &template["index_template"]);
    let in_the_way = templates
        .filter(|template| strings(&template["index_patterns"]).iter().any(|pattern| overlap(pattern, NOWHERE)));
    let held: BTreeSet<i64> = in_the_way.filter_map(|template| template["priority"].as_i64()).collect();
    Ok((0..=TOP).rev().find(|priority| !held.contains(priority)).unwrap_or(TOP))
}
