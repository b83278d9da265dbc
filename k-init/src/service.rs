//! k-init as a service: when its cluster is ready, and which kinds it has.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use common::engine::change::{Class, Failure};
use common::engine::kind::{AnyKind, Service};
use common::files::{KindSpec, Layout, Set};
use common::net::retry::Deadline;
use common::net::wait::{PASSWORD_TRIES, Probe, TOKEN_TRIES};
use common::process::settings::Env;
use common::process::start::Context;
use kafka_protocol::messages::MetadataResponse;

use crate::acl::{self, Acls};
use crate::broker_default::{self, BrokerDefaults};
use crate::client::{How, Trouble};
use crate::cluster::{Cluster, Link, Shared, brokers_only};
use crate::error::Right;
use crate::quota::{self, Quotas};
use crate::resource::Verified;
use crate::sasl::Login;
use crate::seed::{self, Seeds};
use crate::settings::{self, Door};
use crate::topic::{self, Topics};
use crate::user::{self, Users};

/// The kinds in the order in which they are applied.
pub(crate) const KINDS: &[KindSpec] = &[
    KindSpec::new(topic::KIND, Layout::Objects),
    KindSpec::new(user::KIND, Layout::Objects),
    KindSpec::new(acl::KIND, Layout::Objects),
    KindSpec::new(quota::KIND, Layout::Objects),
    KindSpec::new(broker_default::KIND, Layout::Single),
    KindSpec::new(seed::KIND, Layout::Lines),
];

/// Makes the service out of the settings.
pub(crate) fn service(env: &mut Env, context: &Context) -> Option<Box<dyn Service>> {
    let settings = settings::read(env)?;
    let limits = context.limits();
    let link = Arc::new(Link::new(settings.access, context.counters.clone(), limits.request, limits.retries));
    let cluster = Rc::new(RefCell::new(Cluster::new(link, settings.bootstrap)));
    Some(Box::new(Kafka {
        cluster,
        min_brokers: settings.min_brokers,
        verify: settings.verify,
        scan_max: settings.scan_max,
        offline: context.offline,
    }))
}

struct Kafka {
    cluster: Shared,
    min_brokers: Option<u32>,
    verify: Option<Door>,
    scan_max: u64,
    offline: bool,
}

impl Service for Kafka {
    /// Ready is one broker that let us in and knows a controller; with `MIN_BROKERS`, that many brokers.
    fn probe(&mut self, limit: Duration) -> Probe {
        let mut cluster = self.cluster.borrow_mut();
        let deadline = Deadline::after(limit);
        let connection = match cluster.main.connect(deadline) {
            Ok(connection) => connection,
            Err(trouble) => return unready(trouble),
        };
        let answer = match connection.call(&brokers_only(), deadline) {
            Ok(answer) => answer,
            Err(failure) => {
                cluster.main.disconnect();
                if failure.class == Class::Fatal {
                    return Probe::Hopeless(failure);
                }
                let hint = if cluster.link.access.login.is_none() {
                    "; does this listener want a login (KAFKA_SECURITY_PROTOCOL)?"
                } else {
                    ""
                };
                return Probe::NotReady(format!("{failure}{hint}"));
            }
        };
        cluster.note_brokers(&answer);
        judged(&answer, self.min_brokers)
    }

    fn login_tries(&self) -> u32 {
        match self.cluster.borrow().link.access.login {
            Some(Login::Plain { .. } | Login::Scram { .. }) => PASSWORD_TRIES,
            Some(Login::Bearer { .. }) | None => TOKEN_TRIES,
        }
    }

    fn begin(&mut self, deadline: Deadline) -> Result<(), Failure> {
        let mut cluster = self.cluster.borrow_mut();
        cluster.link.begin(deadline);
        if cluster.too_old() {
            cluster.warn("this broker is older than Kafka 3.5, the oldest version that is expected to work (3.9 to 4.x are tested)");
        }
        Ok(())
    }

    fn kinds(&mut self, set: &Rc<Set>) -> Vec<Box<dyn AnyKind>> {
        let cluster = &self.cluster;
        let users = Users::of(set, self.verify.clone(), &cluster.borrow().link, self.offline);
        let (alter, configs) = (Some(Right::Alter), Some(Right::AlterConfigs));
        vec![
            Box::new(Verified::new(topic::KIND, None, Topics::of(set), set, cluster)),
            Box::new(Verified::new(user::KIND, alter, users, set, cluster)),
            Box::new(Verified::new(acl::KIND, alter, Acls::of(set), set, cluster)),
            Box::new(Verified::new(quota::KIND, configs, Quotas::of(set), set, cluster)),
            Box::new(Verified::new(broker_default::KIND, configs, BrokerDefaults::of(set), set, cluster)),
            Box::new(Seeds::of(set, cluster, self.scan_max, self.offline)),
        ]
    }
}

fn judged(answer: &MetadataResponse, min_brokers: Option<u32>) -> Probe {
    let count = answer.brokers.len();
    let wanted = usize::try_from(min_brokers.unwrap_or(1)).unwrap_or(usize::MAX);
    if answer.controller_id.0 < 0 {
        return Probe::NotReady(format!("the cluster has no controller yet ({count} brokers)"));
    }
    if count < wanted {
        return Probe::NotReady(format!("{count} of {wanted} brokers have registered (MIN_BROKERS)"));
    }
    let cluster = answer.cluster_id.as_ref().map_or("?", |id| id.as_str());
    Probe::Ready(format!("Kafka cluster {cluster}, {count} broker{}", if count == 1 { "" } else { "s" }))
}

fn unready(trouble: Trouble) -> Probe {
    match trouble.how {
        How::Closed => Probe::Closed(trouble.text),
        How::NotReady => Probe::NotReady(trouble.text),
        How::Denied => Probe::Denied(trouble.text),
        How::NoMechanism => Probe::Hopeless(Failure::new(Class::Auth, trouble.text)),
        How::Hopeless => Probe::Hopeless(Failure::fatal(trouble.text)),
    }
}
