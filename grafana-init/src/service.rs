//! The program and its service: settings read, readiness probed, kinds handed out. What the kinds do is theirs.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use common::engine::change::Failure;
use common::engine::kind::{AnyKind, Service};
use common::files::Set;
use common::files::foreign::Foreign;
use common::net::http::Client;
use common::net::retry::Deadline;
use common::net::wait::Probe;
use common::process::settings::Env;
use common::process::start::{App, Context};
use ring::hmac;

use crate::ready;
use crate::server::{ORG_HEADER, Secrets, Server, Settings};

/// The program.
pub(crate) const APP: App = App {
    name: "grafana-init",
    version: env!("CARGO_PKG_VERSION"),
    about: "makes a Grafana match a folder of JSON files",
    variables: "  GRAFANA_URL=http://grafana:3000 GRAFANA_USERNAME GRAFANA_PASSWORD GRAFANA_TOKEN
  GRAFANA_CA_FILE GRAFANA_CERT_FILE GRAFANA_KEY_FILE GRAFANA_INSECURE=false
  GRAFANA_VERIFY_HOSTNAME=true
  GRAFANA_ORG_ID GRAFANA_SECRETS=keep GRAFANA_DIGEST_KEY GRAFANA_PROVENANCE=api
  GRAFANA_MANAGED=false",
    kinds: &crate::kinds::SPECS,
    service,
};

fn service(env: &mut Env, context: &Context) -> Option<Box<dyn Service>> {
    let server = env.server("GRAFANA", Some("http://grafana:3000"))?;
    let secrets = secrets(env);
    let editable = env.choice("GRAFANA_PROVENANCE", &[("api", false), ("none", true)]).unwrap_or(false);
    let managed = env.flag("GRAFANA_MANAGED");
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
    let settings = Settings { secrets, editable, managed };
    let wait_timeout = context.common.wait_timeout;
    let server = Server { client, settings, found: RefCell::default(), folders: OnceCell::new(), wait_timeout };
    Some(Box::new(Grafana { server: Rc::new(server) }))
}

fn secrets(env: &mut Env) -> Secrets {
    let key = env.secret("GRAFANA_DIGEST_KEY");
    // The one key of the process, for as long as it lives.
    let key = key.map(|key| &*Box::leak(Box::new(hmac::Key::new(hmac::HMAC_SHA256, key.reveal().as_bytes()))));
    let modes =
        [("keep", Some(Secrets::Keep)), ("digest", key.map(Secrets::Digest)), ("always", Some(Secrets::Always))];
    let chosen = env.choice("GRAFANA_SECRETS", &modes).unwrap_or(Some(Secrets::Keep));
    chosen.unwrap_or_else(|| {
        env.problem(
            "GRAFANA_SECRETS=digest needs GRAFANA_DIGEST_KEY: every Viewer can read the digest, and only the key keeps passwords \
             from being guessed by it",
        );
        Secrets::Keep
    })
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
        if self.server.settings.managed && !self.server.manages() {
            let text = "GRAFANA_MANAGED=true needs Grafana 12 or later: this server has no resource API, so its dashboards and folders do not say who owns them";
            log::warn!(detail = text; "server");
        }
        Ok(())
    }

    fn foreign(&self) -> Foreign {
        crate::provisioning::foreign()
    }

    fn kinds(&mut self, set: &Rc<Set>) -> Vec<Box<dyn AnyKind>> {
        crate::kinds::kinds(&self.server, set)
    }

    fn export_kinds(&mut self) -> Result<Vec<Box<dyn AnyKind>>, Failure> {
        crate::kinds::export_kinds(&self.server)
    }
}
