//! Ingest and search pipelines: kept verbatim by the server, which writes even equal ones anew; so equal ones are never sent.

#![expect(clippy::needless_pass_by_value, reason = "a row's write is given the body for good")]

use std::rc::Rc;

use common::engine::change::{Change, Failure};
use common::engine::document::{Held, Meta};
use common::files::{Object, Problem, Set};
use common::net::http::{Call, parallel};
use serde_json::{Value, json};

use crate::cluster::{Cluster, part};
use crate::document::{by_name, object_of};

fn read(cluster: &Cluster, path: &str, objects: &[Rc<Object>]) -> Result<Held, Failure> {
    cluster.list(path)?.map_or_else(|| Ok(Held::new()), |body| by_name(&body, objects))
}

pub(crate) fn read_ingest(cluster: &Cluster, objects: &[Rc<Object>]) -> Result<Held, Failure> {
    read(cluster, "/_ingest/pipeline", objects)
}

pub(crate) fn read_search(cluster: &Cluster, objects: &[Rc<Object>]) -> Result<Held, Failure> {
    read(cluster, "/_search/pipeline", objects)
}

pub(crate) fn write_ingest(cluster: &Cluster, object: &Object, want: Value, _: Option<&Meta>) -> Result<(), Failure> {
    cluster.put(&format!("/_ingest/pipeline/{}{}", part(&object.id.name), cluster.bounded()), &want).map(drop)
}

pub(crate) fn write_search(cluster: &Cluster, object: &Object, want: Value, _: Option<&Meta>) -> Result<(), Failure> {
    cluster.put(&format!("/_search/pipeline/{}{}", part(&object.id.name), cluster.bounded()), &want).map(drop)
}

pub(crate) fn check_ingest(object: &Object, body: &Value, _: &Set) -> Vec<Problem> {
    match object_of(object, body) {
        Err(problems) => problems,
        Ok(fields) if !fields.get("processors").is_some_and(Value::is_array) => {
            vec![object.problem("", "processors is missing: the list of what the pipeline does")]
        }
        Ok(_) => Vec::new(),
    }
}

pub(crate) fn check_search(object: &Object, body: &Value, _: &Set) -> Vec<Problem> {
    object_of(object, body).err().unwrap_or_default()
}

/// Lets the server build each pipeline and run it on an empty document; what the document meets does not matter.
pub(crate) fn preflight_ingest(cluster: &Cluster, _: &Set, todo: &[(&Object, Value, &Change)]) -> Vec<Problem> {
    let bodies: Vec<(&Object, String)> = todo
        .iter()
        .map(|(object, body, _)| (*object, json!({"pipeline": body, "docs": [{"_source": {}}]}).to_string()))
        .collect();
    let client = &cluster.client;
    let ask = |(object, body): &(&Object, String)| {
        let failure = client.send(&Call::post("/_ingest/pipeline/_simulate", body.as_str()).reads()).err()?;
        Some(object.problem("", format!("the server would refuse it: {}", failure.message)))
    };
    parallel(&bodies, 4, ask).into_iter().flatten().collect()
}
