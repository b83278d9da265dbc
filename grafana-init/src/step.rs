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

/// The number of an object that is there. Without one, as 13 has objects of its resource API, it could not be changed.
pub(crate) fn number(facts: &Value, what: &str) -> Result<i64, Failure> {
    let number = facts["id"].as_i64().filter(|number| *number > 0);
    number.ok_or_else(|| {
        Failure::fatal(format!("the server tells no number of the {what}, by which it could be changed"))
    })
}

/// Stands in a path for the number of what the step's first request makes.
pub(crate) const MADE: &str = "{made}";

/// The request with that number, once it is known.
pub(crate) fn numbered(mut call: Call, made: Option<i64>) -> Result<Call, Failure> {
    if call.path.contains(MADE) {
        let made =
            made.filter(|made| *made > 0).ok_or_else(|| Failure::fatal("the server gave what it made no number"))?;
        call.path = call.path.replace(MADE, &made.to_string());
    }
    Ok(call)
}
