//! The cluster as the kinds see it: its client, what this run remembers of it, and the program's settings.
//! When it is ready is in `ready`, how its errors read in `dialect`, what it holds in `kinds`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use common::engine::change::{Class, Failure, ObjectId};
use common::engine::document::Server;
use common::engine::kind::{AnyKind, Service};
use common::files::Set;
use common::net::http::{Call, Client, LIST_LIMIT, Reply};
use common::net::retry::Deadline;
use common::net::wait::Probe;
use common::process::settings::{Env, Login};
use common::process::start::{App, Context};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::ready::{Ready, Status};

/// The program.
pub(crate) const APP: App = App {
    name: "os-init",
    version: env!("CARGO_PKG_VERSION"),
    about: "makes an OpenSearch cluster match a folder of JSON files",
    variables: "  OPENSEARCH_URL=http://opensearch:9200 OPENSEARCH_USERNAME OPENSEARCH_PASSWORD OPENSEARCH_TOKEN
  OPENSEARCH_CA_FILE OPENSEARCH_CERT_FILE OPENSEARCH_KEY_FILE OPENSEARCH_INSECURE=false
  WAIT_STATUS=yellow MIN_DATA_NODES=1",
    kinds: &crate::kinds::SPECS,
    service,
};

fn service(env: &mut Env, context: &Context) -> Option<Box<dyn Service>> {
    let server = env.server("OPENSEARCH", Some("http://opensearch:9200"))?;
    let levels = [("red", Status::Red), ("yellow", Status::Yellow), ("green", Status::Green)];
    let status = env.choice("WAIT_STATUS", &levels).unwrap_or(Status::Yellow);
    let nodes = env.number("MIN_DATA_NODES").unwrap_or(1);
    if nodes == 0 {
        env.problem("MIN_DATA_NODES must be 1 or more: without a data node nothing can be written");
    }
    let client = match Client::new(&server, context.limits(), crate::dialect::DIALECT, context.counters.clone()) {
        Ok(client) => client,
        Err(error) => {
            env.problem(format!("OPENSEARCH: {error:#}"));
            return None;
        }
    };
    let cluster = Cluster {
        client,
        login: RefCell::new(server.login),
        request: context.common.request_timeout,
        memory: RefCell::default(),
    };
    Some(Box::new(OpenSearch { cluster: Rc::new(cluster), ready: Ready::new(status, nodes) }))
}

struct OpenSearch {
    cluster: Rc<Cluster>,
    ready: Ready,
}

impl Service for OpenSearch {
    fn probe(&mut self, limit: Duration) -> Probe {
        self.ready.probe(&self.cluster.client, limit)
    }

    fn login_tries(&self) -> u32 {
        self.cluster.client.login_tries()
    }

    fn begin(&mut self, deadline: Deadline) -> Result<(), Failure> {
        self.cluster.client.set_deadline(deadline);
        self.ready.warn_if_old();
        Ok(())
    }

    fn kinds(&mut self, set: &Rc<Set>) -> Vec<Box<dyn AnyKind>> {
        crate::kinds::kinds(&self.cluster, set)
    }
}

/// What the kinds talk to.
pub(crate) struct Cluster {
    pub(crate) client: Client,
    /// How the run logs in; changes when it changes its own password.
    pub(crate) login: RefCell<Login>,
    request: Duration,
    pub(crate) memory: RefCell<Memory>,
}

/// What one part of a run has to tell another.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Component templates that files declare.
    pub(crate) components: BTreeSet<String>,
    /// Pipelines that files declare, by kind and name.
    pub(crate) pipelines: BTreeSet<(&'static str, String)>,
    /// Indices that files declare.
    pub(crate) indices: BTreeSet<String>,
    /// Snapshot repositories that files declare.
    pub(crate) repositories: BTreeSet<String>,
    /// Roles that files declare.
    pub(crate) roles: BTreeSet<String>,
    /// Patterns of declared templates that make data streams.
    pub(crate) streams: Vec<String>,
    /// ISM policies that this run changes or has changed.
    pub(crate) changing: BTreeSet<String>,
    /// Those whose indices were moved to the new version.
    pub(crate) moved: BTreeSet<String>,
    /// Users whose declared password was tried: whether it let them in.
    pub(crate) logins: BTreeMap<String, bool>,
    /// Log-ins that were refused so far.
    pub(crate) refused: u32,
}

impl Server for Cluster {
    type Rules = ();

    fn rules(&self) {}

    fn send(&self, call: &Call) -> Result<Reply, Failure> {
        self.client.send(call)
    }
}

impl Cluster {
    /// Sends one request.
    pub(crate) fn send(&self, call: &Call) -> Result<Reply, Failure> {
        self.client.send(call)
    }

    /// Reads a list; a 404 is an empty one.
    pub(crate) fn list(&self, path: &str) -> Result<Option<String>, Failure> {
        let reply = self.send(&Call::get(path).accept(404).at_most(LIST_LIMIT))?;
        if reply.status == 404 && reply.body.contains("Failed to parse") {
            let words = crate::dialect::explain(&reply.body).unwrap_or_default();
            return Err(Failure::fatal(format!("GET {path}: status 404: {words}")));
        }
        Ok((reply.status != 404).then_some(reply.body))
    }

    /// Reads a list of a plugin that may not be there. To apply files to it is an error; an export has nothing of it.
    pub(crate) fn list_of_plugin(&self, path: &str, plugin: &str, exporting: bool) -> Result<Option<String>, Failure> {
        match self.list(path) {
            Err(failure) if failure.class == Class::Fatal && failure.message.contains("no handler found") => {
                if exporting {
                    return Ok(None);
                }
                Err(Failure::fatal(format!(
                    "the cluster does not have the {plugin}: install it, or remove these files"
                )))
            }
            other => other,
        }
    }

    /// Reads a small JSON answer; `None` on 404.
    pub(crate) fn get(&self, path: &str) -> Result<Option<Value>, Failure> {
        let reply = self.send(&Call::get(path).accept(404).at_most(LIST_LIMIT))?;
        if reply.status == 404 { Ok(None) } else { reply.json().map(Some) }
    }

    /// Asks by POST something that changes nothing.
    pub(crate) fn ask(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.send(&Call::post(path, body.to_string()).reads())?.json()
    }

    /// Writes by PUT.
    pub(crate) fn put(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.send(&Call::put(path, body.to_string()))?.json()
    }

    /// Writes by POST.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.send(&Call::post(path, body.to_string()))?.json()
    }

    /// How long the server may take: a second less than the client waits, so that it answers first.
    pub(crate) fn patience(&self) -> String {
        let time = self.request.checked_sub(Duration::from_secs(1)).filter(|time| !time.is_zero());
        format!("{}ms", time.unwrap_or(self.request / 2).as_millis().max(1))
    }

    /// The parameter that bounds how long a write may wait for the cluster manager, as a query.
    pub(crate) fn bounded(&self) -> String {
        format!("?cluster_manager_timeout={}", self.patience())
    }
}

/// A name as one step of a path.
pub(crate) fn part(name: &str) -> String {
    const SAFE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    utf8_percent_encode(name, SAFE).to_string()
}

/// Names joined by commas, in pieces that fit into a request line (the server takes 4096 bytes).
pub(crate) fn chunks(names: &[String]) -> Vec<String> {
    const LONGEST: usize = 3000;
    let mut chunks: Vec<String> = Vec::new();
    for name in names {
        let name = part(name);
        match chunks.last_mut() {
            Some(last) if last.len() + 1 + name.len() <= LONGEST => {
                last.push(',');
                last.push_str(&name);
            }
            _ => chunks.push(name),
        }
    }
    chunks
}

/// The objects given, of those that are declared: what is not declared cannot fail in this run.
pub(crate) fn declared(set: &Set, kind: &'static str, names: impl IntoIterator<Item = String>) -> Vec<ObjectId> {
    names.into_iter().filter(|name| set.get(kind, name).is_some()).map(|name| ObjectId::new(kind, name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_as_one_step() {
        assert_eq!(part("<logs-{now/d}-000001>"), "%3Clogs-%7Bnow%2Fd%7D-000001%3E");
        assert_eq!(part("logs-2026.11_a~b"), "logs-2026.11_a~b");
    }

    #[test]
    fn long_lists_are_cut_between_names() {
        let names: Vec<String> = (0..1000).map(|n| format!("index-{n:06}")).collect();
        let chunks = chunks(&names);
        assert!(chunks.len() > 1 && chunks.iter().all(|chunk| chunk.len() <= 3000));
        assert_eq!(chunks.join(",").split(',').count(), 1000);
    }
}
