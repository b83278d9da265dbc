//! What a plan keeps for an object and a write sends as it stands: how its requests are made. Nothing is decided here, and nothing sent.

use common::engine::change::Failure;
use common::engine::document::Request;
use common::net::http::Call;
use serde_json::Value;

/// A POST of a JSON body.
pub(crate) fn post(path: impl Into<String>, body: &Value) -> Request {
    Request::new(Call::post(path, body.to_string()))
}

/// A PUT of a JSON body.
pub(crate) fn put(path: impl Into<String>, body: &Value) -> Request {
    Request::new(Call::put(path, body.to_string()))
}

/// A PATCH of a JSON body.
pub(crate) fn patch(path: impl Into<String>, body: &Value) -> Request {
    Request::new(Call::patch(path, body.to_string()))
}

/// Stands in a path for the number of what the step's first request makes.
pub(crate) const MADE: &str = "{made}";

/// The request with that number, once it is known.
pub(crate) fn numbered(mut call: Call, made: Option<i64>) -> Result<Call, Failure> {
    if call.path.contains(MADE) {
        let made = made.ok_or_else(|| Failure::fatal("the server gave what it made no number"))?;
        call.path = call.path.replace(MADE, &made.to_string());
    }
    Ok(call)
}
