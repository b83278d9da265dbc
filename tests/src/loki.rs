//! A stand-in for Loki: the push API with the rules that Loki 3.4.6 was measured to enforce, a store, and as much of `LogQL` as
//! [`logql`] knows. It is not Loki: nothing is kept on a disk, limits are the defaults, and time has no other side than this machine's.
//!
//! What was measured: 204 for what is taken; 400 for a time stamp that is no string, a bad label name, a line that is too long, too old,
//! too new or too far behind its stream, and the good lines beside a bad one are kept all the same; 401 without a tenant where there
//! are several; 404 for a trailing slash; 422 without a stream; 429 at a limit. An equal line of an equal time is kept once.

pub mod logql;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::authority::Identity;
use crate::http1::{Request, Response};
use crate::listen::lock;
use crate::scripted_http::{Answer, ScriptedHttp};

/// Labels of a stream or of a line.
pub type Labels = BTreeMap<String, String>;

/// One line as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// Nanoseconds since 1970.
    pub at: i128,
    /// The text.
    pub text: String,
    /// Structured metadata.
    pub metadata: Labels,
}

/// Everything kept for one tenant.
pub type Store = BTreeMap<Labels, BTreeSet<Line>>;

/// Who may push.
#[derive(Clone, Debug, Default)]
pub struct Doors {
    /// Whether a request needs `X-Scope-OrgID`.
    pub tenants: bool,
    /// The `Authorization` that is let in, if it matters.
    pub authorization: Option<String>,
}

/// The stand-in. Dropped, it is gone.
pub struct Loki {
    server: ScriptedHttp,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    doors: Doors,
    stores: Mutex<BTreeMap<String, Store>>,
    /// What the next pushes get in place of the usual answer, the last first.
    faults: Mutex<Vec<Answer>>,
}

const LABELS: usize = 15;
const NAME: usize = 1024;
const VALUE: usize = 2048;
const LINE: usize = 256 * 1024;
const WEEK: i128 = 7 * 24 * 3600 * NANOS;
const TEN_MINUTES: i128 = 600 * NANOS;
const HOUR: i128 = 3600 * NANOS;
const NANOS: i128 = 1_000_000_000;

impl Loki {
    /// One tenant, no password.
    pub fn new() -> Self {
        Self::guarded(Doors::default())
    }

    /// With doors.
    pub fn guarded(doors: Doors) -> Self {
        Self::serve(doors, |script| ScriptedHttp::new(script))
    }

    /// Over TLS.
    pub fn tls(identity: Identity) -> Self {
        Self::serve(Doors::default(), |script| ScriptedHttp::tls(identity, script))
    }

    fn serve(
        doors: Doors,
        start: impl FnOnce(Box<dyn Fn(&Request, usize) -> Answer + Send + Sync>) -> ScriptedHttp,
    ) -> Self {
        let shared = Arc::new(Shared { doors, ..Shared::default() });
        let serving = Arc::clone(&shared);
        Self { server: start(Box::new(move |request, _| serving.answer(request))), shared }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Request> {
        self.server.log()
    }

    /// Answers the next pushes so, in order, storing nothing; from then on as usual.
    pub fn next(&self, answers: impl IntoIterator<Item = Answer>) {
        let mut answers: Vec<Answer> = answers.into_iter().collect();
        answers.reverse();
        *lock(&self.shared.faults) = answers;
    }

    /// What is kept for a tenant; `""` where there is only one.
    pub fn store(&self, tenant: &str) -> Store {
        lock(&self.shared.stores).get(tenant).cloned().unwrap_or_default()
    }

    /// All lines kept for the only tenant, oldest first.
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<Line> = self.store("").into_values().flatten().collect();
        lines.sort();
        lines.into_iter().map(|line| line.text).collect()
    }
}

impl Default for Loki {
    fn default() -> Self {
        Self::new()
    }
}

fn refusal(status: u16, text: &str) -> Answer {
    Answer::Say(Response::new(status, "text/plain; charset=utf-8", format!("{text}\n")))
}

fn now() -> i128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_nanos().cast_signed()
}

impl Shared {
    fn answer(&self, request: &Request) -> Answer {
        let right = self.doors.authorization.as_deref();
        if right.is_some() && request.header("authorization") != right {
            return refusal(401, "Unauthorized");
        }
        let tenant = match (self.doors.tenants, request.header("x-scope-orgid")) {
            (false, _) => "",
            (true, Some(tenant)) if !tenant.is_empty() => tenant,
            (true, _) => return refusal(401, "no org id"),
        };
        match (request.method.as_str(), request.path()) {
            ("POST", "/loki/api/v1/push") => match lock(&self.faults).pop() {
                Some(fault) => fault,
                None => self.push(tenant, request),
            },
            ("GET", "/loki/api/v1/query" | "/loki/api/v1/query_range") => self.query(tenant, request),
            // Measured: for the first fifteen seconds, while pushes are taken already.
            ("GET", "/ready") => refusal(503, "Ingester not ready: waiting for 15s after being ready"),
            _ => refusal(404, "404 page not found"),
        }
    }

    fn query(&self, tenant: &str, request: &Request) -> Answer {
        let query = request
            .target
            .split_once('?')
            .and_then(|(_, query)| query.split('&').find_map(|pair| pair.strip_prefix("query=")))
            .map(|query| percent_encoding::percent_decode_str(query).decode_utf8_lossy().into_owned())
            .unwrap_or_default();
        let store = lock(&self.stores).get(tenant).cloned().unwrap_or_default();
        match logql::run(&query, &store, now()) {
            Ok(data) => Answer::json(200, &json!({"status": "success", "data": data})),
            Err(error) => refusal(400, &error),
        }
    }

    fn push(&self, tenant: &str, request: &Request) -> Answer {
        if !request.header("content-type").is_some_and(|kind| kind.starts_with("application/json")) {
            return refusal(400, "snappy: corrupt input");
        }
        let streams = match parse(&request.body) {
            Ok(streams) => streams,
            Err(error) => return refusal(400, &error),
        };
        if streams.is_empty() {
            return refusal(422, "error at least one valid stream is required for ingestion");
        }
        let mut stores = lock(&self.stores);
        let store = stores.entry(tenant.to_owned()).or_default();
        let mut wrong = None;
        for (labels, lines) in streams {
            match check_labels(labels) {
                Ok(labels) => wrong = keep(store.entry(labels).or_default(), lines).err().or(wrong),
                Err(error) => wrong = Some(error),
            }
        }
        match wrong {
            // What was good is kept all the same.
            Some(error) => refusal(400, &error),
            None => Answer::Say(Response { status: 204, headers: Vec::new(), body: Vec::new() }),
        }
    }
}

type Pushed = Vec<(Labels, Vec<Line>)>;

/// The syntax of a push: one thing wrong, and nothing of it is looked at.
fn parse(body: &[u8]) -> Result<Pushed, String> {
    let body: Value = serde_json::from_slice(body).map_err(|error| format!("loghttp.PushRequest: {error}"))?;
    let streams = body["streams"].as_array().ok_or("loghttp.PushRequest: streams is no list")?;
    streams.iter().map(stream).collect()
}

fn stream(stream: &Value) -> Result<(Labels, Vec<Line>), String> {
    let labels = strings(&stream["stream"]).ok_or("loghttp.PushRequest.Streams: a label that is no string")?;
    let values = stream["values"].as_array().ok_or("loghttp.PushRequest.Streams: values is no list")?;
    Ok((labels, values.iter().map(line).collect::<Result<_, _>>()?))
}

fn line(value: &Value) -> Result<Line, String> {
    let parts = value.as_array().ok_or("loghttp.Entry: a value that is no list")?;
    let (at, text, metadata) = match parts.as_slice() {
        [at, text] => (at, text, Labels::new()),
        [at, text, metadata] => {
            (at, text, strings(metadata).ok_or("loghttp.Entry: structured metadata takes strings only")?)
        }
        _ => return Err("loghttp.Entry: a value has two or three parts".into()),
    };
    let at = at
        .as_str()
        .and_then(|at| at.parse().ok())
        .ok_or("loghttp.Entry: the time stamp must be a string of nanoseconds")?;
    let text = text.as_str().ok_or("loghttp.Entry: the line must be a string")?;
    Ok(Line { at, text: text.to_owned(), metadata })
}

fn strings(value: &Value) -> Option<Labels> {
    value.as_object()?.iter().map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

fn check_labels(mut labels: Labels) -> Result<Labels, String> {
    let good = |name: &str| {
        let mut letters = name.chars();
        letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
            && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    };
    if let Some(name) = labels.keys().find(|name| !good(name)) {
        return Err(format!("error parsing labels: unexpected name {name:?}"));
    }
    if labels.len() > LABELS {
        return Err(format!("entry has {} label names; limit {LABELS}", labels.len()));
    }
    if labels.iter().any(|(name, value)| name.len() > NAME || value.len() > VALUE) {
        return Err("stream has a label name or value too long".into());
    }
    // It does not count as one of the fifteen.
    labels.entry("service_name".into()).or_insert_with(|| "unknown_service".into());
    Ok(labels)
}

fn keep(stream: &mut BTreeSet<Line>, lines: Vec<Line>) -> Result<(), String> {
    let now = now();
    let mut wrong = Ok(());
    for line in lines {
        let newest = stream.iter().map(|line| line.at).max().unwrap_or(line.at);
        let why = if line.text.len() > LINE {
            "max entry size exceeded"
        } else if line.at < now - WEEK {
            "greater_than_max_sample_age: entry has timestamp too old"
        } else if line.at > now + TEN_MINUTES {
            "too_far_in_future: entry has timestamp too new"
        } else if line.at < newest - HOUR {
            "too_far_behind: entry too far behind"
        } else {
            stream.insert(line);
            continue;
        };
        wrong = Err(why.to_owned());
    }
    wrong
}

/// Asks a Loki, this one or a real one, and returns the `result` of its answer.
pub fn ask(url: &str, query: &str) -> Result<Vec<Value>, String> {
    let encoded = percent_encoding::utf8_percent_encode(query, percent_encoding::NON_ALPHANUMERIC);
    let end = if query.trim_start().starts_with('{') { "query_range" } else { "query" };
    let config = ureq::Agent::config_builder()
        .proxy(None)
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(10)))
        .build();
    let mut answer = ureq::Agent::new_with_config(config)
        .get(format!("{url}/loki/api/v1/{end}?query={encoded}"))
        .call()
        .map_err(|error| error.to_string())?;
    let text = answer.body_mut().read_to_string().map_err(|error| error.to_string())?;
    let body: Value = serde_json::from_str(&text).map_err(|_| text)?;
    Ok(body["data"]["result"].as_array().cloned().unwrap_or_default())
}

/// Pushes any body to a Loki, this one or a real one, and returns the status.
pub fn push(url: &str, content_type: &str, body: &str) -> u16 {
    let config = ureq::Agent::config_builder()
        .proxy(None)
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(10)))
        .build();
    ureq::Agent::new_with_config(config)
        .post(format!("{}/loki/api/v1/push", url.trim_end_matches('/')))
        .header("content-type", content_type)
        .send(body)
        .expect("a Loki that is there answers")
        .status()
        .as_u16()
}
