//! Whether an organization's alerting is there. Grafana sets it up when it next polls its organizations, 60 s apart: until then every
//! request of a new one fails. That is waited for on the wait's clock, not on that of the work.

use std::time::{Duration, Instant};

use common::engine::change::{Class, Failure};
use common::net::http::Call;
use common::net::retry::{Deadline, hold, pause};

use crate::scope::Scope;

/// What is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alerting {
    There,
    /// It comes with the next poll.
    Coming,
    /// The server has none.
    Off,
}

impl Alerting {
    /// What a person should know.
    pub(crate) fn sentence(self, scope: &Scope) -> String {
        let org =
            scope.org.as_deref().map_or_else(|| "the organization".to_owned(), |org| format!("the organization {org}"));
        match self {
            Self::There => format!("{org} has alerting"),
            Self::Coming => format!("{org} is new: Grafana sets up its alerting with its next poll, within 60 s"),
            Self::Off => "alerting is switched off on this server (unified_alerting.enabled)".to_owned(),
        }
    }
}

/// Asks once.
pub(crate) fn ask(scope: &Scope) -> Result<Alerting, Failure> {
    // Who may not read the policies may still write other kinds, which then say what is missing.
    let reply = scope.client().send(&Call::get("/api/v1/provisioning/policies").accept(403).accept(404))?;
    Ok(match reply.status {
        404 if crate::dialect::unconfigured(&reply.body) => Alerting::Coming,
        404 => Alerting::Off,
        _ => Alerting::There,
    })
}

const PAUSE: Duration = Duration::from_millis(500);

/// Waits until it is there, at most for `WAIT_TIMEOUT`.
pub(crate) fn wait(scope: &Scope) -> Result<(), Failure> {
    let first = ask(scope)?;
    match first {
        Alerting::There => return Ok(()),
        Alerting::Off => return Err(Failure::rejected(first.sentence(scope))),
        Alerting::Coming => log::info!(reason:% = first.sentence(scope); "waiting"),
    }
    let (since, timeout) = (Instant::now(), scope.server.wait_timeout);
    hold(|| {
        while since.elapsed() < timeout {
            pause(PAUSE.min(timeout), Deadline::after(timeout));
            if ask(scope)? != Alerting::Coming {
                return Ok(());
            }
        }
        let text = format!("{}; it is not there after WAIT_TIMEOUT", first.sentence(scope));
        Err(Failure::new(Class::Timeout, text))
    })
}
