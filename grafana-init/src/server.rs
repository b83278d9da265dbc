//! One Grafana: its settings, its client, what readiness found. Which kinds it has, and what a run does with it, is not known here.

use std::cell::{OnceCell, RefCell};
use std::time::Duration;

use common::engine::change::Failure;
use common::net::http::Client;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ring::hmac;

use crate::ready::Found;
use crate::scope::must;

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
    /// `GRAFANA_MANAGED=true`: dashboards and folders say who owns them.
    pub(crate) managed: bool,
}

/// Names the organization that a request is for.
pub(crate) const ORG_HEADER: &str = "x-grafana-org-id";

/// The connection that all organizations share.
pub(crate) struct Server {
    pub(crate) client: Client,
    pub(crate) settings: Settings,
    pub(crate) found: RefCell<Found>,
    /// The version in which it prefers folders as resources, once it was asked.
    pub(crate) folders: OnceCell<String>,
    /// How long parts of the server that come late are waited for.
    pub(crate) wait_timeout: Duration,
}

impl Server {
    /// Major and minor version.
    pub(crate) fn version(&self) -> (u32, u32) {
        self.found.borrow().number()
    }

    /// Whether dashboards and folders are to say who owns them, and the server has where to say it.
    pub(crate) fn manages(&self) -> bool {
        self.settings.managed && self.found.borrow().resources.is_some()
    }

    /// The version in which it prefers folders as resources; asked once.
    pub(crate) fn folders(&self) -> Result<String, Failure> {
        if let Some(version) = self.folders.get() {
            return Ok(version.clone());
        }
        let group = must(&self.client, "/apis/folder.grafana.app/")?;
        let version = group["preferredVersion"]["version"].as_str();
        let version = version
            .ok_or_else(|| Failure::rejected("this server has no folders as resources: unset GRAFANA_MANAGED"))?;
        Ok(self.folders.get_or_init(|| version.to_owned()).clone())
    }
}

/// A name as one step of a path, or as a value of a query.
pub(crate) fn part(name: &str) -> String {
    const SAFE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    utf8_percent_encode(name, SAFE).to_string()
}
