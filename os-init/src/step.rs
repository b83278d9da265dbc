//! What a plan keeps for an object and a write sends as it stands: how its requests are made. Nothing is decided here, and nothing sent.

use std::time::Duration;

use common::engine::document::Request;
use common::net::http::Call;
use serde_json::Value;

/// How long the server may take: a second less than the client waits, so that it answers first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    milliseconds: u128,
}

impl Limits {
    /// For a client that waits so long.
    pub(crate) fn new(request: Duration) -> Self {
        let time = request.checked_sub(Duration::from_secs(1)).filter(|time| !time.is_zero());
        Self { milliseconds: time.unwrap_or(request / 2).as_millis().max(1) }
    }

    /// The path with a limit for the cluster manager: `/_scripts/s?cluster_manager_timeout=9000ms`.
    pub(crate) fn manager(self, path: &str) -> String {
        format!("{path}?cluster_manager_timeout={}ms", self.milliseconds)
    }

    /// The path with that and a limit for the nodes. Endpoints refuse a parameter that they do not know.
    pub(crate) fn both(self, path: &str) -> String {
        format!("{}&timeout={}ms", self.manager(path), self.milliseconds)
    }
}

/// A PUT of a JSON body.
pub(crate) fn put(path: impl Into<String>, body: &Value) -> Request {
    Request::new(Call::put(path, body.to_string()))
}

/// A PUT of what the file declares, which is read again when it is sent.
pub(crate) fn put_file(path: impl Into<String>) -> Request {
    Request::of_file(Call::put(path, Vec::new()), |_, body| body)
}

/// A POST of a JSON body.
pub(crate) fn post(path: impl Into<String>, body: &Value) -> Request {
    Request::new(Call::post(path, body.to_string()))
}

/// The body of a request, parsed; null for none.
pub(crate) fn body(request: &Request) -> Value {
    request.call.body.as_deref().and_then(|body| serde_json::from_slice(body).ok()).unwrap_or_default()
}
