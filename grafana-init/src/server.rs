//! One Grafana: its settings, its client, what readiness found. Which kinds it has, and what a run does with it, is not known here.

use std::cell::RefCell;
use std::time::Duration;

use common::net::http::Client;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ring::hmac;

use crate::ready::Found;

/// What is done about secrets that no API shows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Secrets {
    /// Sent when the object is made or a key is missing.
    Keep,
    /// Compared by a digest that is kept beside them, made with the key of `GRAFANA_DIGEST_KEY`.
    Digest(&'static hmac::Key),
    /// Sent on every run.
    Always,
}

/// The settings of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) secrets: Secrets,
    /// `GRAFANA_PROVENANCE=none`: alerting stays editable in the web interface.
    pub(crate) editable: bool,
}

/// Names the organization that a request is for.
pub(crate) const ORG_HEADER: &str = "x-grafana-org-id";

/// The connection that all organizations share.
pub(crate) struct Server {
    pub(crate) client: Client,
    pub(crate) settings: Settings,
    pub(crate) found: RefCell<Found>,
    /// How long parts of the server that come late are waited for.
    pub(crate) wait_timeout: Duration,
}

impl Server {
    /// Major and minor version.
    pub(crate) fn version(&self) -> (u32, u32) {
        self.found.borrow().number()
    }
}

/// A name as one step of a path, or as a value of a query.
pub(crate) fn part(name: &str) -> String {
    const SAFE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    utf8_percent_encode(name, SAFE).to_string()
}
