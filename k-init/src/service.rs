//! k-init as a service: when its cluster is ready, and which kinds it has.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use common::engine::change::{Class, Failure};
use common::engine::kind::{AnyKind, Service, Typed};
use common::files::foreign::{Declared, Foreign};
use common::files::{KindSpec, Layout, Set};
use common::net::http::Client;
use common::net::retry::Deadline;
use common::net::wait::{PASSWORD_TRIES, Probe, TOKEN_TRIES};
use common::process::settings::Env;
use common::process::start::Context;
use kafka_protocol::messages::MetadataResponse;

use crate::acl::{self, Acls};
use crate::client::{How, Trouble};
use crate::cluster::{Cluster, Link, Shared, brokers_only};
use crate::connector::{self, Connectors};
use crate::error::Right;
use crate::quota::{self, Quotas};
use crate::resource::Verified;
use crate::sasl::Login;
use crate::seed::{self, Seeds};
use crate::setting::{self, BROKER_DEFAULTS, BROKERS, CLIENT_METRICS, GROUPS};
use crate::settings::{self, Door};
use crate::strimzi;
use crate::topic::{self, Topics};
use crate::user::{self, Users};

/// The kinds in the order in which they are applied.
pub(crate) const KINDS: &[KindSpec] = &[
    KindSpec::new(BROKER_DEFAULTS.kind, Layout::Single),
    KindSpec::new(BROKERS.kind, Layout::Objects),
    KindSpec::new(topic::KIND, Layout::Objects),
    KindSpec::new(user::KIND, Layout::Objects),
    KindSpec::new(acl::KIND, Layout::Objects),
    KindSpec::new(quota::KIND, Layout::Objects),
    KindSpec::new(CLIENT_METRICS.kind, Layout::Objects),
    KindSpec::new(GROUPS.kind, Layout::Objects),
    KindSpec::new(seed::KIND, Layout::Lines),
    KindSpec::new(connector::KIND, Layout::Objects),
];

/// Makes the service out of the settings.
pub(crate) fn service(env: &mut Env, context: &Context) -> Option<Box<dyn Service>> {
    let settings = settings::read(env)?;
    let limits = context.limits();
    let link = Arc::new(Link::new(settings.access, context.counters.clone(), limits.request, limits.retries));
    let cluster = Rc::new(RefCell::new(Cluster::new(link, settings.bootstrap)));
    let connect =
        match settings.connect.map(|server| Client::new(&server, limits, connector::DIALECT, context.counters.clone()))
        {
            None => None,
            Some(Ok(client)) => Some(Rc::new(client)),
            Some(Err(error)) => {
                env.problem(format!("KAFKA_CONNECT_…_FILE: {error:#}"));
                return None;
            }
        };
    Some(Box::new(Kafka {
        cluster,
        secrets: settings.secrets,
        created: settings.created,
        connect,
        connects: false,
        min_brokers: settings.min_brokers,
        verify: settings.verify,
        scan_max: settings.scan_max,
        offline: context.offline,
    }))
}

struct Kafka {
    cluster: Shared,
    /// Where the Secrets that Strimzi's resources name are mounted.
    secrets: PathBuf,
    /// `KAFKA_CREATE_TOPICS`.
    created: Vec<Declared>,
    /// Kafka Connect, if it is named.
    connect: Option<Rc<Client>>,
    /// Whether a connector is declared, so that Connect has to be there.
    connects: bool,
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
                if matches!(failure.class, Class::Fatal | Class::Config) {
                    return Probe::Hopeless(failure);
                }
                let hint = if cluster.link.access().login.is_none() {
                    "; does this listener want a login (KAFKA_SECURITY_PROTOCOL)?"
                } else {
                    ""
                };
                return Probe::NotReady(format!("{failure}{hint}"));
            }
        };
        cluster.link.note_brokers(&answer);
        let judged = judged(&answer, self.min_brokers);
        match (&self.connect, &judged) {
            (Some(client), Probe::Ready(_)) if self.connects => {
                connector::probe(client, deadline.left()).err().unwrap_or(judged)
            }
            _ => judged,
        }
    }

    fn login_tries(&self) -> u32 {
        match self.cluster.borrow().link.access().login {
            Some(Login::Plain { .. } | Login::Scram { .. }) => PASSWORD_TRIES,
            Some(Login::Bearer { .. }) | None => TOKEN_TRIES,
        }
    }

    fn begin(&mut self, deadline: Deadline) -> Result<(), Failure> {
        let mut cluster = self.cluster.borrow_mut();
        cluster.link.begin(deadline);
        if let Some(connect) = &self.connect {
            connect.set_deadline(deadline);
        }
        if cluster.too_old() {
            cluster.warn("this broker is older than Kafka 3.5, the oldest version that is expected to work (3.9 to 4.x are tested)");
        }
        Ok(())
    }

    fn foreign(&self) -> Foreign {
        strimzi::foreign(self.secrets.clone()).declared(self.created.clone())
    }

    fn kinds(&mut self, set: &Rc<Set>) -> Vec<Box<dyn AnyKind>> {
        self.connects = !set.of(connector::KIND).is_empty();
        let cluster = &self.cluster;
        let users = Users::of(set, self.verify.clone(), &cluster.borrow().link, self.offline);
        let (alter, configs) = (Some(Right::Alter), Some(Right::AlterConfigs));
        let settings =
            |row: setting::Row, right| Verified::of(row.kind, right, setting::Settings::of(row, set), set, cluster);
        vec![
            settings(BROKER_DEFAULTS, configs),
            settings(BROKERS, configs),
            Verified::of(topic::KIND, None, Topics::of(set), set, cluster),
            Verified::of(user::KIND, alter, users, set, cluster),
            Verified::of(acl::KIND, alter, Acls::of(set), set, cluster),
            Verified::of(quota::KIND, configs, Quotas::of(set), set, cluster),
            settings(CLIENT_METRICS, configs),
            settings(GROUPS, None),
            Box::new(Typed::new(Seeds::of(set, cluster, self.scan_max, self.offline))),
            Box::new(Typed::new(Connectors::of(set, self.connect.clone()))),
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
