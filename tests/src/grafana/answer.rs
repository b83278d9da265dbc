//! What a request carries and what an answer looks like: the few shapes of error that Grafana has.
//! No routes and no state in here.

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::Profile;

const JSON: &str = "application/json";
const JSON_UTF8: &str = "application/json; charset=UTF-8";

/// One request, its path already split and decoded.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) segments: Vec<String>,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Request {
    pub(super) fn new(method: &str, target: &str, headers: Vec<(String, String)>, body: Vec<u8>) -> Request {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        Request {
            method: method.to_owned(),
            target: target.to_owned(),
            segments: path.split('/').filter(|part| !part.is_empty()).map(decode).collect(),
            query: pairs.map(|(name, value)| (decode(name), decode(&value.replace('+', " ")))).collect(),
            headers,
            body,
        }
    }

    /// The target without its query.
    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn number(&self, name: &str, default: usize) -> usize {
        self.query(name).and_then(|text| text.parse().ok()).filter(|number| *number > 0).unwrap_or(default)
    }

    /// The page that `page` and a size parameter ask for.
    pub(super) fn page<T>(&self, items: Vec<T>, size: usize) -> Vec<T> {
        items.into_iter().skip((self.number("page", 1) - 1).saturating_mul(size)).take(size).collect()
    }
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// One answer.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: Option<&'static str>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Answer {
    fn with(status: u16, content_type: Option<&'static str>, body: String) -> Answer {
        Answer { status, content_type, headers: Vec::new(), body }
    }

    #[expect(clippy::needless_pass_by_value, reason = "every caller builds the value for this call")]
    pub(super) fn json(status: u16, body: Value) -> Answer {
        Answer::with(status, Some(JSON), body.to_string())
    }

    #[expect(clippy::needless_pass_by_value, reason = "every caller builds the value for this call")]
    pub(super) fn json_utf8(status: u16, body: Value) -> Answer {
        Answer::with(status, Some(JSON_UTF8), body.to_string())
    }

    pub(super) fn text(status: u16, body: &str) -> Answer {
        Answer::with(status, Some("text/plain; charset=utf-8"), body.to_owned())
    }

    pub(super) fn raw(status: u16, body: String) -> Answer {
        Answer::with(status, Some(JSON), body)
    }

    /// A missing alert rule, and on 10 a missing template, is a 404 of no bytes.
    pub(super) fn empty(status: u16) -> Answer {
        Answer::with(status, None, String::new())
    }

    pub(super) fn message(status: u16, message: &str) -> Answer {
        Answer::json(status, json!({"message": message}))
    }

    pub(super) fn status_message(code: u16, message: &str, status: &str) -> Answer {
        Answer::json(code, json!({"message": message, "status": status}))
    }

    pub(super) fn no_route() -> Answer {
        Answer::json_utf8(404, json!({"message": "Not found"}))
    }

    pub(super) fn unauthorized(message_id: &str, message: &str) -> Answer {
        let body =
            json!({"extra": null, "message": message, "messageId": message_id, "statusCode": 401, "traceID": ""});
        Answer::json_utf8(401, body)
    }

    pub(super) fn forbidden(action: &str) -> Answer {
        let message =
            format!("You'll need additional permissions to perform this action. Permissions needed: {action}");
        let body = json!({"accessErrorId": "ACE3987922397", "message": message, "title": "Access denied"});
        Answer::json_utf8(403, body)
    }
}

impl Profile {
    /// An error that 10.4 sends with a `traceID` and later ones without.
    pub(super) fn traced(self, status: u16, message: &str) -> Answer {
        let mut body = json!({"message": message});
        if self == Profile::V10 {
            body["traceID"] = json!("");
        }
        Answer::json(status, body)
    }

    /// An error with an identifier.
    pub(super) fn identified(self, status: u16, message_id: &str, message: &str) -> Answer {
        let mut body = json!({"statusCode": status, "messageId": message_id, "message": message});
        if self == Profile::V10 {
            body["traceID"] = json!("");
        }
        Answer::json(status, body)
    }

    /// The alerting API of 10.4 answers an invalid object with prose, later ones with an identifier and details.
    pub(super) fn invalid(self, message_id: &str, message: &str, error: &str) -> Answer {
        if self == Profile::V10 {
            return self.traced(400, &format!("invalid object specification: {error}"));
        }
        let body = json!({"statusCode": 400, "messageId": message_id, "message": message, "extra": {"Error": error}});
        Answer::json(400, body)
    }
}
