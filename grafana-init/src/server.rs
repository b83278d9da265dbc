//! The program's settings and its service: one Grafana, its clients, what readiness found. What it holds is in `kinds`.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use common::engine::change::Failure;
use common::engine::kind::{AnyKind, Service};
use common::files::Set;
use common::net::http::Client;
use common::net::retry::Deadline;
use common::net::wait::Probe;
use common::process::settings::Env;
use common::process::start::{App, Context};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::ready::{self, Found};

/// The program.
pub(crate) const APP: App = App {
    name: "grafana-init",
    version: env!("CARGO_PKG_VERSION"),
    about: "makes a Grafana match a folder of JSON files",
    variables: "  GRAFANA_URL=http://grafana:3000 GRAFANA_USERNAME GRAFANA_PASSWORD GRAFANA_TOKEN
  GRAFANA_CA_FILE GRAFANA_CERT_FILE GRAFANA_KEY_FILE GRAFANA_INSECURE=false
  GRAFANA_ORG_ID GRAFANA_SECRETS=keep GRAFANA_PROVENANCE=api",
    kinds: &crate::kinds::SPECS,
    service,
};

/// What is done about secrets that no API shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Secrets {
    /// Sent when the object is made or a key is missing.
    Keep,
    /// Compared by a salted digest that is kept beside them.
    Digest,
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

fn service(env: &mut Env, context: &Context) -> Option<Box<dyn Service>> {
    let server = env.server("GRAFANA", Some("http://grafana:3000"))?;
    let modes = [("keep", Secrets::Keep), ("digest", Secrets::Digest), ("always", Secrets::Always)];
    let secrets = env.choice("GRAFANA_SECRETS", &modes).unwrap_or(Secrets::Keep);
    let editable = env.choice("GRAFANA_PROVENANCE", &[("api", false), ("none", true)]).unwrap_or(false);
    let org = env.number("GRAFANA_ORG_ID");
    if org == Some(0) {
        env.problem("GRAFANA_ORG_ID must be 1 or more: it is the number that Grafana's list of organizations shows");
    }
    let client = match Client::new(&server, context.limits(), crate::dialect::DIALECT, context.counters.clone()) {
        Ok(client) => client,
        Err(error) => {
            env.problem(format!("GRAFANA: {error:#}"));
            return None;
        }
    };
    let client = match org {
        Some(org) => client.with_header(ORG_HEADER, org.to_string()),
        None => client,
    };
    let server = Server { client, settings: Settings { secrets, editable }, found: RefCell::default() };
    Some(Box::new(Grafana { server: Rc::new(server) }))
}

/// Names the organization that a request is for.
pub(crate) const ORG_HEADER: &str = "x-grafana-org-id";

/// The connection that all organizations share.
pub(crate) struct Server {
    pub(crate) client: Client,
    pub(crate) settings: Settings,
    pub(crate) found: RefCell<Found>,
}

impl Server {
    /// Major and minor version.
    pub(crate) fn version(&self) -> (u32, u32) {
        self.found.borrow().number()
    }
}

struct Grafana {
    server: Rc<Server>,
}

impl Service for Grafana {
    fn probe(&mut self, limit: Duration) -> Probe {
        match ready::probe(&self.server.client, limit) {
            Ok(found) => {
                let what = match found.version.as_str() {
                    "" => "Grafana (it hides its version)".to_owned(),
                    version => format!("Grafana {version}"),
                };
                *self.server.found.borrow_mut() = found;
                Probe::Ready(what)
            }
            Err(probe) => probe,
        }
    }

    fn login_tries(&self) -> u32 {
        self.server.client.login_tries()
    }

    fn begin(&mut self, deadline: Deadline) -> Result<(), Failure> {
        self.server.client.set_deadline(deadline);
        self.server.found.borrow().warn_if_old();
        Ok(())
    }

    fn kinds(&mut self, set: &Rc<Set>) -> Vec<Box<dyn AnyKind>> {
        crate::kinds::kinds(&self.server, set)
    }

    fn export_kinds(&mut self) -> Result<Vec<Box<dyn AnyKind>>, Failure> {
        crate::kinds::export_kinds(&self.server)
    }
}

/// A name as one step of a path, or as a value of a query.
pub(crate) fn part(name: &str) -> String {
    const SAFE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    utf8_percent_encode(name, SAFE).to_string()
}
