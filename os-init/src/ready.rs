//! When the cluster is ready: an authenticated answer, an elected manager, enough data nodes, a good enough status, no block on everything.
//! A TCP port that is open says nothing, and on one node green never comes. Nothing here writes.

use std::time::{Duration, Instant};

use common::net::http::{Client, PROBE_LIMIT, Reply, shorten};
use common::net::wait::Probe;
use serde_json::Value;

/// The cluster's health, from bad to good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    /// A primary shard is missing.
    Red,
    /// A replica is missing.
    Yellow,
    /// Nothing is missing.
    Green,
}

impl Status {
    fn of(word: &str) -> Option<Self> {
        match word {
            "red" => Some(Self::Red),
            "yellow" => Some(Self::Yellow),
            "green" => Some(Self::Green),
            _ => None,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Red => "red",
            Self::Yellow => "yellow",
            Self::Green => "green",
        }
    }
}

/// What is waited for, and what was found out about why it does not come.
#[derive(Debug)]
pub(crate) struct Ready {
    status: Status,
    nodes: u32,
    version: String,
    /// Why shards are missing, and when that was asked.
    shards: Option<(Instant, String)>,
}

/// How long an explanation of missing shards holds: asking costs more than a probe.
const EXPLANATION_HOLDS: Duration = Duration::from_secs(2);
/// The oldest release that is tested; older ones are warned about.
const OLDEST: (u32, u32) = (2, 19);

impl Ready {
    pub(crate) fn new(status: Status, nodes: u32) -> Self {
        Self { status, nodes, version: String::new(), shards: None }
    }

    /// One probe: as few requests as tell, at most four.
    pub(crate) fn probe(&mut self, client: &Client, limit: Duration) -> Probe {
        match self.look(client, limit) {
            Ok(what) => Probe::Ready(what),
            Err(probe) => probe,
        }
    }

    fn look(&mut self, client: &Client, limit: Duration) -> Result<String, Probe> {
        let end = Instant::now() + limit;
        let about = ask(client, "/", end)?;
        about["version"]["number"].as_str().unwrap_or_default().clone_into(&mut self.version);
        if self.version.is_empty() {
            return Err(Probe::NotReady(format!("{} answers, but not as OpenSearch does", client.base())));
        }
        // A node that has found no others answers 200 all the same.
        if about["cluster_uuid"] == "_na_" {
            return Err(Probe::NotReady("the cluster has no elected manager yet".into()));
        }
        let health = ask(client, "/_cluster/health?cluster_manager_timeout=1s&timeout=1s", end)?;
        let found = |name: &str| health.get(name) == Some(&Value::Bool(false));
        if found("discovered_cluster_manager") || found("discovered_master") {
            return Err(Probe::NotReady("the cluster has no elected manager yet".into()));
        }
        let nodes = health["number_of_data_nodes"].as_u64().unwrap_or(0);
        if nodes < u64::from(self.nodes) {
            let wanted = self.nodes;
            return Err(Probe::NotReady(format!("{nodes} of {wanted} data nodes have joined (MIN_DATA_NODES)")));
        }
        let word = health["status"].as_str().unwrap_or_default();
        if Status::of(word).is_none_or(|status| status < self.status) {
            let why = self.missing_shards(client, end);
            let wanted = self.status.word();
            return Err(Probe::NotReady(format!("the cluster is {word}, not {wanted} (WAIT_STATUS){why}")));
        }
        no_block(client, end)?;
        let plural = if nodes == 1 { "" } else { "s" };
        Ok(format!("OpenSearch {}, {word}, {nodes} data node{plural}", self.version))
    }

    /// Which indices are not well, and why the first missing shard is nowhere.
    fn missing_shards(&mut self, client: &Client, end: Instant) -> String {
        if let Some((_, why)) = self.shards.as_ref().filter(|(asked, _)| asked.elapsed() < EXPLANATION_HOLDS) {
            return why.clone();
        }
        let mut why = String::new();
        for (health, ill) in [("red", Status::Red), ("yellow", Status::Yellow)] {
            if ill >= self.status {
                continue;
            }
            let path = format!("/_cat/indices?health={health}&h=index&s=index&format=json&expand_wildcards=all");
            let Ok(Value::Array(rows)) = ask(client, &path, end) else { continue };
            let names: Vec<&str> = rows.iter().filter_map(|row| row["index"].as_str()).collect();
            if !names.is_empty() {
                let more = if names.len() > 5 { format!(" and {} more", names.len() - 5) } else { String::new() };
                why += &format!("; {health}: {}{more}", names[..names.len().min(5)].join(", "));
            }
        }
        if let Ok(answer) = ask(client, "/_cluster/allocation/explain", end) {
            let words = answer["allocate_explanation"].as_str().or(answer["unassigned_info"]["reason"].as_str());
            let decider = answer["node_allocation_decisions"][0]["deciders"][0]["explanation"].as_str();
            let index = answer["index"].as_str().unwrap_or_default();
            let shard = answer["shard"].as_u64().unwrap_or(0);
            if let Some(words) = words {
                why += &format!("; shard {shard} of {index}: {words}");
                why += &decider.map(|decider| format!(": {}", shorten(decider, 300))).unwrap_or_default();
            }
        }
        self.shards = Some((Instant::now(), why.clone()));
        why
    }

    /// Says so when the server is older than what is tested.
    pub(crate) fn warn_if_old(&self) {
        let mut numbers = self.version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        // 7.10.2 is what a cluster says that was told to pass for an older product.
        if version < OLDEST || version.0 >= 7 {
            let text = format!("the server says that it is {}; tested are OpenSearch 2.19 to 3.x", self.version);
            log::warn!(detail = text; "server");
        }
    }
}

fn no_block(client: &Client, end: Instant) -> Result<(), Probe> {
    let path = "/_cluster/state/blocks?filter_path=blocks.global&cluster_manager_timeout=1s";
    let state = match ask(client, path, end) {
        Ok(state) => state,
        // Who may write templates may not be allowed to read the state; then each write finds out for itself.
        Err(Probe::Denied(_)) => return Ok(()),
        Err(probe) => return Err(probe),
    };
    let Some(blocks) = state["blocks"]["global"].as_object() else { return Ok(()) };
    let said: Vec<&str> = blocks.values().filter_map(|block| block["description"].as_str()).collect();
    if said.is_empty() { Ok(()) } else { Err(Probe::NotReady(format!("the cluster is blocked: {}", said.join(", ")))) }
}

/// One question of a probe; whatever is no good answer says what the wait makes of it.
fn ask(client: &Client, path: &str, end: Instant) -> Result<Value, Probe> {
    client.ask(path, PROBE_LIMIT, end, |reply| refused(client.base(), path, reply))
}

fn refused(base: &str, path: &str, reply: &Reply) -> Probe {
    // A redirect brings a page along as well; where it leads says more.
    if reply.is_html() && reply.location.is_none() {
        return Probe::NotReady(format!("{base} answers with a web page (status {}), not with the API", reply.status));
    }
    let words = reply.words(crate::dialect::explain);
    let words = if words.is_empty() { String::new() } else { format!(": {words}") };
    match reply.status {
        401 => Probe::Denied(format!(
            "{base} refuses these credentials (401{words}): are OPENSEARCH_USERNAME and OPENSEARCH_PASSWORD, or OPENSEARCH_TOKEN, right?"
        )),
        403 => Probe::Denied(format!("{base} forbids GET {path} (403{words}): the user needs cluster_monitor")),
        300..=399 => {
            let to = reply.location.as_deref().unwrap_or("elsewhere");
            Probe::NotReady(format!("{base} redirects to {to}: does a proxy or login page stand in between?"))
        }
        status => Probe::NotReady(format!("{base} answers {status}{words}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_in_order() {
        assert!(Status::Red < Status::Yellow && Status::Yellow < Status::Green);
        for status in [Status::Red, Status::Yellow, Status::Green] {
            assert_eq!(Status::of(status.word()), Some(status));
        }
    }

    #[test]
    fn refusals_are_told_apart() {
        let reply = |status, body: &str| Reply {
            status,
            body: body.into(),
            content_type: String::new(),
            location: None,
            retry_after: None,
        };
        let says = |status, body: &str| refused("http://h", "/", &reply(status, body));
        assert!(matches!(says(401, "Unauthorized"), Probe::Denied(why) if why.contains("OPENSEARCH_PASSWORD")));
        assert!(
            matches!(says(503, "OpenSearch Security not initialized."), Probe::NotReady(why) if why.ends_with("answers 503: OpenSearch Security not initialized."))
        );
        assert!(matches!(says(200, "<html>"), Probe::NotReady(why) if why.contains("web page")));
        assert!(matches!(says(302, ""), Probe::NotReady(why) if why.contains("redirects")));
    }
}
