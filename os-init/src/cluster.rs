//! The cluster as the kinds see it: its client, and what this run remembers of it. No kind is known here.
//! When it is ready is in `ready`, how its errors read in `dialect`, what it holds in `kinds`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use common::engine::change::{Failure, ObjectId};
use common::engine::document::Server;
use common::files::Set;
use common::net::http::{Call, Client, LIST_LIMIT, Reply, Sieve};
use common::process::settings::Login;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::dialect::{NO_HANDLER, UNREADABLE};
use crate::step::Limits;

/// What the kinds talk to.
pub(crate) struct Cluster {
    pub(crate) client: Client,
    /// How the run logs in; changes when it changes its own password.
    pub(crate) login: RefCell<Login>,
    /// How long the server may take for a write.
    pub(crate) limits: Limits,
    pub(crate) memory: RefCell<Memory>,
}

/// What a run learns that no list shows.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Users whose declared password was tried: whether it let them in.
    pub(crate) logins: BTreeMap<String, bool>,
    /// Log-ins that were refused so far.
    pub(crate) refused: u32,
    /// Users whose password this run has written.
    pub(crate) written: BTreeSet<String>,
    /// Where the settings stand of which the server has said that an open index keeps them.
    pub(crate) non_dynamic: BTreeSet<String>,
}

impl Server for Cluster {
    type Rules = Limits;

    fn rules(&self) -> Limits {
        self.limits
    }

    fn send(&self, call: &Call) -> Result<Reply, Failure> {
        self.client.send(call)
    }
}

impl Cluster {
    /// Reads a list, or what the sieve holds of it; a 404 is an empty one.
    pub(crate) fn list(&self, path: &str, sieve: Option<Sieve>) -> Result<Option<String>, Failure> {
        match self.send(&Call::get(path).at_most(LIST_LIMIT).keeping(sieve)) {
            Ok(reply) => Ok(Some(reply.body)),
            Err(failure) if failure.status == Some(404) && !failure.is(UNREADABLE) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Reads a list of a plugin that may not be there. To apply files to it is an error; an export has nothing of it.
    pub(crate) fn list_of_plugin(
        &self,
        path: &str,
        plugin: &str,
        exporting: bool,
        sieve: Option<Sieve>,
    ) -> Result<Option<String>, Failure> {
        match self.list(path, sieve) {
            Err(failure) if failure.is(NO_HANDLER) => {
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
        self.get_kept(path, None)
    }

    /// The same of an answer that may be long: what the sieve holds.
    pub(crate) fn get_kept(&self, path: &str, sieve: Option<Sieve>) -> Result<Option<Value>, Failure> {
        let reply = self.send(&Call::get(path).accept(404).at_most(LIST_LIMIT).keeping(sieve))?;
        if reply.status == 404 { Ok(None) } else { reply.json().map(Some) }
    }

    /// Writes by POST.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.send(&Call::post(path, body.to_string()))?.json()
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
