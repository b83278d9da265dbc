//! What the server makes of a template's body, asked by `_index_template/_simulate` without a write: its own normal form of settings,
//! mappings and aliases, or why it would refuse them. Nothing is decided here.

use std::collections::BTreeSet;

use common::engine::change::{Class, Failure};
use common::engine::document::{Pending, take_field};
use common::files::{Object, Problem};
use common::net::http::{Call, Client, LIST_LIMIT, Reply, parallel};
use serde_json::{Value, json};

use crate::document::strings;
use crate::overlap::overlap;

/// A pattern that matches nobody's indices.
const NOWHERE: &str = "os-init-pre-flight-of-a-template";
/// The highest priority that every client can write down; hardly anybody holds it, and who does is looked up.
const TOP: i64 = 9_007_199_254_740_991;

/// Simulates a template: `template`, and `composed_of` or `data_stream` if need be. Its patterns and priority are replaced by nobody's.
pub(crate) fn simulate(client: &Client, body: Value) -> Result<Value, Failure> {
    Ok(take_field(&mut ask(client, &nobodys(body))?.json()?, "template"))
}

/// The template as one that no index has.
pub(crate) fn nobodys(mut body: Value) -> String {
    body["index_patterns"] = json!([NOWHERE]);
    body["priority"] = TOP.into();
    body.to_string()
}

/// Asks about a template that is nobody's.
pub(crate) fn ask(client: &Client, template: &str) -> Result<Reply, Failure> {
    let ask = |template: &str| client.send(&Call::post("/_index_template/_simulate", template).reads());
    match ask(template) {
        // A template for all indices may have this priority, too.
        Err(failure) if failure.class == Class::Rejected => match free_priority(client)? {
            TOP => Err(failure),
            free => {
                let mut body: Value = serde_json::from_str(template).expect("a value prints as JSON");
                body["priority"] = free.into();
                ask(&body.to_string())
            }
        },
        other => other,
    }
}

/// Asks about objects, a few at a time, and returns those that failed, in order. `text` makes what is asked; no more of it is held than a
/// few large bodies take.
pub(crate) fn failing<'t>(
    client: &Client,
    todo: &'t [Pending<'t>],
    mut text: impl FnMut(&Object) -> Result<String, Failure>,
    ask: fn(&Client, &str) -> Result<Reply, Failure>,
) -> Vec<(&'t Pending<'t>, Failure)> {
    const HELD: usize = 256 * 1024;
    let mut failed = Vec::new();
    let mut todo = todo.iter().peekable();
    while todo.peek().is_some() {
        let (mut batch, mut held) = (Vec::new(), 0);
        while held < HELD
            && let Some(pending) = todo.next()
        {
            match text(pending.0) {
                Ok(text) => {
                    held += text.len();
                    batch.push((pending, text));
                }
                Err(failure) => failed.push((pending, failure)),
            }
        }
        let texts: Vec<&str> = batch.iter().map(|(_, text)| text.as_str()).collect();
        let answers = parallel(&texts, 4, |text| ask(client, text).map(drop));
        failed.extend(batch.iter().zip(answers).filter_map(|((pending, _), answer)| Some((*pending, answer.err()?))));
    }
    failed
}

/// The problem of an object that the server would not take.
pub(crate) fn would_refuse(((object, _), failure): (&Pending<'_>, Failure)) -> Problem {
    Problem::refused(&object.id, failure.context("the server would refuse it"))
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
