//! The program: its settings, its server, and the kinds that it has. Everything that a kind needs is in `cluster`, which knows none of them.

use std::cell::RefCell;
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

use crate::cluster::Cluster;
use crate::ready::{Ready, Status};
use crate::step::Limits;

/// The program.
pub(crate) const APP: App = App {
    name: "os-init",
    version: env!("CARGO_PKG_VERSION"),
    about: "makes an OpenSearch cluster match a folder of JSON files",
    variables: "  OPENSEARCH_URL=http://opensearch:9200 OPENSEARCH_USERNAME OPENSEARCH_PASSWORD OPENSEARCH_TOKEN
  OPENSEARCH_CA_FILE OPENSEARCH_CERT_FILE OPENSEARCH_KEY_FILE OPENSEARCH_INSECURE=false
  OPENSEARCH_VERIFY_HOSTNAME=true
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
        limits: Limits::new(context.common.request_timeout),
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

    fn foreign(&self) -> Foreign {
        crate::security_folder::foreign()
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
