//! A stand-in for OpenSearch's index-management plugin, which no package registry carries: a front that answers `/_plugins/_ism`,
//! `/_plugins/_sm`, `/_plugins/_transform` and `/_plugins/_rollup` as recorded answers of 2.19.4 and 3.4.0 do, and passes everything else to
//! a real node. It keeps policies and jobs and says which index has which policy; it runs none of them unless told ([`IsmFront::run_jobs`]),
//! attaches nothing by `ism_template`, and asks nobody for credentials on its own paths.

mod job;
mod policy;
mod snapshot;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{BufReader, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use crate::http1::{Request, Response, read_response};
use crate::listen::lock;
use crate::proxy::http::Verdict;
use crate::proxy::{HttpProxy, connect};
use crate::servers::OpenSearch;

/// Which release's plugin is stood in for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// 2.19.
    V2,
    /// 3.4.
    V3,
}

impl Release {
    /// The number that GET shows as `schema_version`.
    fn schema(self) -> u64 {
        match self {
            Self::V2 => 21,
            Self::V3 => 25,
        }
    }
}

/// What the plugin answers, below `/_plugins/`.
const OURS: [&str; 4] = ["_ism/", "_sm/", "_transform", "_rollup/"];

/// How long an attachment takes to be shown: the plugin reads it back from an index that is refreshed once a second.
const SHOWN_AFTER: Duration = Duration::from_millis(600);

/// The front. Dropped, it cuts everything.
pub struct IsmFront {
    proxy: HttpProxy,
    state: Arc<Mutex<State>>,
}

impl IsmFront {
    /// In front of `http://HOST:PORT`, a node that speaks plain HTTP.
    pub fn to(target: &str, release: Release) -> Self {
        let proxy = HttpProxy::to(target);
        let node = target.trim_start_matches("http://").trim_end_matches('/').parse();
        let node = node.unwrap_or_else(|error| panic!("{target:?} is no address of a plain HTTP server: {error}"));
        let state = Arc::new(Mutex::new(State::new(release)));
        let shared = Arc::clone(&state);
        proxy.rule(move |request, _| match request.path().strip_prefix("/_plugins/") {
            Some(path) if OURS.iter().any(|ours| path.starts_with(ours)) => {
                let indices = |pattern: &str| indices(node, request, pattern);
                let (status, body) = lock(&shared).answer(request, path, &indices);
                Verdict::Answer(Response::json(status, &body))
            }
            _ => Verdict::Pass,
        });
        Self { proxy, state }
    }

    /// In front of a node of the kit.
    pub fn of(node: &OpenSearch) -> Self {
        let release = if node.variant().name().starts_with("2.") { Release::V2 } else { Release::V3 };
        Self::to(&node.url(), release)
    }

    /// Where clients connect.
    pub fn url(&self) -> String {
        self.proxy.url()
    }

    /// The proxy that it is made of, for its log. Its rule is taken.
    pub fn proxy(&self) -> &HttpProxy {
        &self.proxy
    }

    /// Makes another client's write of a policy come between: its sequence number moves, its body does not.
    pub fn bump(&self, policy: &str) {
        lock(&self.state).bump(policy);
    }

    /// Makes another client's write of a policy come between, with a body of its own.
    pub fn overtake(&self, policy: &str, body: &Value) {
        let mut state = lock(&self.state);
        let stored = policy::stored(policy, body, state.release).expect("the other client's policy is a good one");
        state.bump(policy);
        state.policies.get_mut(policy).expect("the policy is there").body = stored;
    }

    /// The policy of an index, whether it is shown already or not.
    pub fn policy_of(&self, index: &str) -> Option<String> {
        lock(&self.state).attached.get(index).map(|managed| managed.policy.clone())
    }

    /// The description of the policy that an index works by: that of the version it holds, whatever the policy says by now.
    pub fn description_of(&self, index: &str) -> Option<String> {
        lock(&self.state).attached.get(index)?.held.body["description"].as_str().map(str::to_owned)
    }

    /// Does what the plugin's job does every few minutes: what waits to be changed is changed, and each index says which version it holds.
    pub fn run_jobs(&self) {
        lock(&self.state).run_jobs();
    }

    /// A transform or rollup has come to its end by itself: the plugin disables it and notes its progress.
    pub fn finish(&self, job: &str) {
        lock(&self.state).finish(job);
    }

    /// A policy's sequence number, which moves with each write.
    pub fn sequence(&self, policy: &str) -> Option<u64> {
        lock(&self.state).policies.get(policy).map(|stored| stored.seq)
    }
}

/// One stored document.
#[derive(Clone, Debug)]
struct Stored {
    seq: u64,
    version: u64,
    body: Value,
}

/// An index that a policy manages.
#[derive(Clone, Debug)]
struct Managed {
    policy: String,
    since: Instant,
    /// The version of the policy that the index holds.
    held: Stored,
    /// The policy that it is to change to when its job runs next.
    next: Option<String>,
    /// Whether its job has run, from when on explain shows the version.
    ran: bool,
}

/// Status and body.
type Answer = (u16, Value);
/// Name and uuid of the indices that patterns match; `None` when they name only what is not there.
type Indices<'i> = &'i dyn Fn(&str) -> Option<Vec<(String, String)>>;

#[derive(Debug)]
struct State {
    release: Release,
    seq: u64,
    policies: BTreeMap<String, Stored>,
    snapshots: BTreeMap<String, Stored>,
    /// Transforms and rollups, which share one space of names with the policies.
    jobs: BTreeMap<String, (job::Flavor, Stored)>,
    attached: BTreeMap<String, Managed>,
}

impl State {
    fn new(release: Release) -> Self {
        Self {
            release,
            seq: 0,
            policies: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            jobs: BTreeMap::new(),
            attached: BTreeMap::new(),
        }
    }

    fn bump(&mut self, policy: &str) {
        let seq = self.next();
        if let Some(stored) = self.policies.get_mut(policy) {
            stored.seq = seq;
            stored.version += 1;
        }
    }

    fn next(&mut self) -> u64 {
        self.seq += 1;
        self.seq - 1
    }

    fn answer(&mut self, request: &Request, path: &str, indices: Indices<'_>) -> Answer {
        let name = path.rsplit('/').next().unwrap_or_default();
        let name = percent_decode_str(name).decode_utf8_lossy().into_owned();
        let body = request.json();
        match (request.method.as_str(), path) {
            ("GET", "_ism/policies") => self.list(request, "policy"),
            ("GET", "_sm/policies") => self.list_snapshots(request),
            ("GET", "_ism/explain") => self.explain_all(),
            (method, path) if path.starts_with("_ism/policies/") => match method {
                "GET" => self.get(&name),
                "PUT" => self.put(&name, request, &body),
                "DELETE" => self.delete(&name),
                _ => no_route(request),
            },
            (method, path) if path.starts_with("_sm/policies/") => match method {
                "GET" => self.get_snapshot(&name),
                "POST" => self.create_snapshot(&name, &body),
                "PUT" => self.update_snapshot(&name, request, &body),
                "DELETE" => self.delete_snapshot(&name),
                _ => no_route(request),
            },
            ("POST", path) if path.starts_with("_ism/add/") => self.add(&name, &body, indices),
            ("POST", path) if path.starts_with("_ism/change_policy/") => self.change(&name, &body, indices),
            ("GET", path) if path.starts_with("_ism/explain/") => {
                self.explain(&name, parameter(request, "show_policy") == Some("true"), indices)
            }
            _ => self.answer_job(request, path, &body),
        }
    }

    fn list(&self, request: &Request, inner: &str) -> Answer {
        let (from, size) = page(request);
        let all = self.policies.iter().map(|(name, stored)| {
            let mut body = stored.body.clone();
            body["schema_version"] = json!(self.release.schema());
            json!({"_id": name, "_seq_no": stored.seq, "_primary_term": 1, inner: body})
        });
        let policies: Vec<Value> = all.skip(from).take(size).collect();
        (200, json!({"policies": policies, "total_policies": self.policies.len()}))
    }

    fn get(&self, name: &str) -> Answer {
        let Some(stored) = self.policies.get(name) else {
            if self.seq == 0 {
                return missing_index(".opendistro-ism-config");
            }
            return (404, error(404, "status_exception", "Policy not found"));
        };
        let mut body = stored.body.clone();
        body["schema_version"] = json!(self.release.schema());
        let (version, seq) = (stored.version, stored.seq);
        (200, json!({"_id": name, "_version": version, "_seq_no": seq, "_primary_term": 1, "policy": body}))
    }

    fn put(&mut self, name: &str, request: &Request, body: &Value) -> Answer {
        let body = match policy::stored(name, body, self.release) {
            Ok(body) => body,
            Err(answer) => return answer,
        };
        if let Some(answer) = self.overlap(name, &body) {
            return answer;
        }
        let held = self.held(name);
        if let Err(answer) = unchanged(name, request, held) {
            return answer;
        }
        let seq = self.next();
        let version = held.map_or(1, |(_, version)| version + 1);
        self.policies.insert(name.to_owned(), Stored { seq, version, body: body.clone() });
        let status = if held.is_some() { 200 } else { 201 };
        (
            status,
            json!({"_id": name, "_version": version, "_primary_term": 1, "_seq_no": seq, "policy": {"policy": body}}),
        )
    }

    /// Sequence number and version of the document of this name: policies, transforms and rollups are kept in one index.
    fn held(&self, name: &str) -> Option<(u64, u64)> {
        let stored = self.policies.get(name).or_else(|| self.jobs.get(name).map(|(_, stored)| stored))?;
        Some((stored.seq, stored.version))
    }

    fn delete(&mut self, name: &str) -> Answer {
        match self.policies.remove(name) {
            Some(stored) => {
                let (seq, version) = (self.next(), stored.version + 1);
                (
                    200,
                    json!({"_id": name, "_version": version, "result": "deleted", "_seq_no": seq, "_primary_term": 1}),
                )
            }
            None => (404, error(404, "status_exception", "Policy not found")),
        }
    }

    fn overlap(&self, name: &str, body: &Value) -> Option<Answer> {
        for (priority, pattern) in policy::claims(body) {
            for stored in self.policies.iter().filter(|(other, _)| *other != name).map(|(_, stored)| stored) {
                let meets = |(other, claimed): &(i64, String)| *other == priority && policy::overlap(&pattern, claimed);
                if policy::claims(&stored.body).iter().any(meets) {
                    let reason = format!(
                        "New policy {name} has an ISM template with index pattern [{pattern}] matching existing policy templates, please use a different priority than {priority}"
                    );
                    let mut answer = error(400, "index_management_exception", &reason);
                    answer["error"]["caused_by"] =
                        json!({"type": "exception", "reason": format!("java.lang.IllegalArgumentException: {reason}")});
                    return Some((400, answer));
                }
            }
        }
        None
    }

    fn add(&mut self, pattern: &str, body: &Value, indices: Indices<'_>) -> Answer {
        let policy = body["policy_id"].as_str().unwrap_or_default().to_owned();
        let Some(held) = self.policies.get(&policy).cloned() else {
            return (404, error(404, "status_exception", &format!("Could not find policy={policy}")));
        };
        let Some(found) = indices(pattern) else { return missing_index(pattern) };
        let mut failed = Vec::new();
        let mut updated = 0;
        for (index, uuid) in found {
            match self.attached.entry(index) {
                Entry::Occupied(taken) => {
                    let reason = "This index already has a policy, use the update policy API to update index policies";
                    failed.push(json!({"index_name": taken.key(), "index_uuid": uuid, "reason": reason}));
                }
                Entry::Vacant(free) => {
                    let since = Instant::now();
                    free.insert(Managed { policy: policy.clone(), since, held: held.clone(), next: None, ran: false });
                    self.next();
                    updated += 1;
                }
            }
        }
        (200, json!({"updated_indices": updated, "failures": !failed.is_empty(), "failed_indices": failed}))
    }

    fn change(&mut self, pattern: &str, body: &Value, indices: Indices<'_>) -> Answer {
        let policy = body["policy_id"].as_str().unwrap_or_default().to_owned();
        if !self.policies.contains_key(&policy) {
            return (404, error(404, "status_exception", &format!("Could not find policy={policy}")));
        }
        let Some(found) = indices(pattern) else { return missing_index(pattern) };
        let mut failed = Vec::new();
        let mut updated = 0;
        for (index, uuid) in found {
            if let Some(managed) = self.attached.get_mut(&index) {
                managed.next = Some(policy.clone());
                updated += 1;
            } else {
                let reason = "This index is not being managed";
                failed.push(json!({"index_name": index, "index_uuid": uuid, "reason": reason}));
            }
        }
        (200, json!({"updated_indices": updated, "failures": !failed.is_empty(), "failed_indices": failed}))
    }

    fn run_jobs(&mut self) {
        for managed in self.attached.values_mut() {
            if let Some(policy) = managed.next.take()
                && let Some(stored) = self.policies.get(&policy)
            {
                managed.held = stored.clone();
                managed.policy = policy;
            }
            managed.ran = true;
        }
    }

    fn explain(&self, pattern: &str, show_policy: bool, indices: Indices<'_>) -> Answer {
        match indices(pattern) {
            Some(found) if !found.is_empty() => {
                (200, self.explained(found.into_iter().map(|(index, _)| index), show_policy))
            }
            // The plugin asks for the documents of no index, which a request must not.
            _ => {
                let reason = "Validation Failed: 1: no documents to get;";
                (400, error(400, "action_request_validation_exception", reason))
            }
        }
    }

    fn explain_all(&self) -> Answer {
        (200, self.explained(self.attached.keys().cloned(), false))
    }

    fn explained(&self, indices: impl Iterator<Item = String>, show_policy: bool) -> Value {
        let mut answer = Map::new();
        let mut count = 0;
        for index in indices {
            let shown = self.attached.get(&index).filter(|managed| managed.since.elapsed() >= SHOWN_AFTER);
            let policy = shown.map(|managed| managed.policy.clone());
            count += usize::from(policy.is_some());
            let mut entry = json!({
                "index.plugins.index_state_management.policy_id": policy,
                "index.opendistro.index_state_management.policy_id": policy,
                "enabled": policy.as_ref().map(|_| true),
            });
            if let Some(managed) = shown {
                entry["policy_id"] = managed.policy.as_str().into();
                entry["index"] = index.as_str().into();
                entry["index_uuid"] = "AAAAAAAAAAAAAAAAAAAAAA".into();
                if managed.ran {
                    entry["policy_seq_no"] = managed.held.seq.into();
                    entry["policy_primary_term"] = 1.into();
                    entry["index_creation_date"] = now().into();
                    // A policy without a transition is done at once; 3.4 then ends its job.
                    if !managed.held.body.to_string().contains("state_name") {
                        entry["policy_completed"] = true.into();
                        entry["enabled"] = (self.release == Release::V2).into();
                    }
                }
                if show_policy {
                    let mut body = managed.held.body.clone();
                    body["schema_version"] = self.release.schema().into();
                    entry["policy"] = body;
                }
            }
            answer.insert(index, entry);
        }
        answer.insert("total_managed_indices".into(), count.into());
        Value::Object(answer)
    }
}

/// The sequence number and primary term that a request insists on.
fn insists(request: &Request) -> Option<u64> {
    parameter(request, "if_primary_term")?;
    parameter(request, "if_seq_no")?.parse().ok()
}

/// A write passes when it knows what it replaces, or replaces nothing.
fn unchanged(id: &str, request: &Request, held: Option<(u64, u64)>) -> Result<(), Answer> {
    match (insists(request), held) {
        (None, None) => Ok(()),
        (Some(wanted), Some((seq, _))) if wanted == seq => Ok(()),
        (None, Some((_, version))) => {
            Err(conflict(&format!("[{id}]: version conflict, document already exists (current version [{version}])")))
        }
        (Some(wanted), Some((seq, _))) => Err(conflict(&format!(
            "[{id}]: version conflict, required seqNo [{wanted}], primary term [1]. current document has seqNo [{seq}] and primary term [1]"
        ))),
        (Some(wanted), None) => Err(conflict(&format!(
            "[{id}]: version conflict, required seqNo [{wanted}], primary term [1]. but no document was found"
        ))),
    }
}

fn conflict(reason: &str) -> Answer {
    let place = json!({"type": "version_conflict_engine_exception", "reason": reason, "index": ".opendistro-ism-config",
        "shard": "0", "index_uuid": "AAAAAAAAAAAAAAAAAAAAAA"});
    let mut error = place.clone();
    error["root_cause"] = json!([place]);
    (409, json!({"error": error, "status": 409}))
}

fn missing_index(name: &str) -> Answer {
    let place = json!({"type": "index_not_found_exception", "reason": format!("no such index [{name}]"), "index": name,
        "resource.id": name, "resource.type": "index_expression", "index_uuid": "_na_"});
    let mut error = place.clone();
    error["root_cause"] = json!([place]);
    (404, json!({"error": error, "status": 404}))
}

fn error(status: u16, kind: &str, reason: &str) -> Value {
    let cause = json!({"type": kind, "reason": reason});
    json!({"error": {"root_cause": [cause], "type": kind, "reason": reason}, "status": status})
}

fn no_route(request: &Request) -> Answer {
    let text = format!("no handler found for uri [{}] and method [{}]", request.target, request.method);
    (400, json!({"error": text}))
}

fn parameter<'r>(request: &'r Request, name: &str) -> Option<&'r str> {
    let (_, query) = request.target.split_once('?')?;
    query.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name).map(|(_, value)| value))
}

fn page(request: &Request) -> (usize, usize) {
    let number = |name, default| parameter(request, name).and_then(|text| text.parse().ok()).unwrap_or(default);
    (number("from", 0), number("size", 20))
}

fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Asks the real node, with the client's own credentials, for what each of the patterns matches.
fn indices(node: SocketAddr, request: &Request, patterns: &str) -> Option<Vec<(String, String)>> {
    let mut found: Option<Vec<(String, String)>> = None;
    for pattern in patterns.split(',') {
        if let Some(more) = matching(node, request, pattern) {
            found.get_or_insert_default().extend(more);
        }
    }
    found
}

/// What one pattern matches; `None` when it is a plain name that is not there.
fn matching(node: SocketAddr, request: &Request, pattern: &str) -> Option<Vec<(String, String)>> {
    let pattern = percent_encoding::utf8_percent_encode(pattern, percent_encoding::NON_ALPHANUMERIC);
    let mut message =
        format!("GET /_cat/indices/{pattern}?format=json&h=index,uuid&s=index HTTP/1.1\r\nhost: {node}\r\n");
    if let Some(authorization) = request.header("authorization") {
        message += &format!("authorization: {authorization}\r\n");
    }
    message += "\r\n";
    let mut stream = connect(node).ok()?;
    stream.write_all(message.as_bytes()).ok()?;
    let answer = read_response(&mut BufReader::new(stream), "GET").ok().filter(|answer| answer.status == 200)?;
    let rows: Value = serde_json::from_slice(&answer.body).ok()?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Some(rows.as_array()?.iter().map(|row| (text(&row["index"]), text(&row["uuid"]))).collect())
}
