//! How Grafana's answers read: what a status means for a write, and the server's own words. No request is made here.
//!
//! A status alone says little (10 to 13 answer 409, 412, an empty `412 {}` or a 500 "database is locked" for writes that were
//! done as well as for such that were not): those come back as ambiguous, and the next read decides. Where the words say that something is
//! there already, it may be a twin's; else the same request would be refused each time.

use common::engine::change::Class;
use common::net::http::{Call, Dialect};
use serde_json::Value;

/// The service's dialect.
pub(crate) const DIALECT: Dialect = Dialect { judge, code, explain };

fn judge(_call: &Call, status: u16, body: &str) -> Option<Class> {
    let has = |text: &str| body.contains(text);
    match status {
        // Up to 11.1: another dashboard of the folder bears the title; no read changes that.
        412 if has("name-exists") => Some(Class::Rejected),
        400 | 409 | 412 if TAKEN.iter().any(|text| has(text)) => Some(Class::Taken),
        409 | 412 => Some(Class::Ambiguous),
        // 10.4 to 12.4 answer these refusals as 500.
        500 if has("max depth") || has("cannot change provenance") || has("could not find alert rule") => {
            Some(Class::Rejected)
        }
        _ => None,
    }
}

/// How 10 to 12 say that a name or uid is taken.
const TAKEN: [&str; 7] = [
    "already exists",
    "name taken",
    "AlreadyExists",
    "nameExists",
    "uidInUse",
    "alert-rule.conflict",
    "UNIQUE constraint",
];

/// `messageId`, Grafana's own name for an error, where the answer has one.
fn code(body: &str) -> Option<String> {
    let value: Value = serde_json::from_str(body).ok()?;
    value["messageId"].as_str().map(str::to_owned)
}

/// Whether a 404 says that the organization's alerting is not set up yet, rather than that there is no such path. Up to 12.4 the answer has
/// no name of the error, only this sentence.
pub(crate) fn unconfigured(body: &str) -> bool {
    body.contains("Alertmanager configuration") || body.contains("configMissing")
}

/// The server's own words: `message` of every shape of error body, with what its `extra` adds.
pub(crate) fn explain(body: &str) -> Option<String> {
    let value: Value = serde_json::from_str(body).ok()?;
    if value.as_object().is_some_and(serde_json::Map::is_empty) {
        return Some("an error without a word".to_owned());
    }
    // `/api/health` while Grafana starts.
    if let Some(state) = value["database"].as_str() {
        return Some(format!("database: {state}"));
    }
    let message = value["message"].as_str().filter(|message| !message.is_empty())?;
    let detail = value["extra"]["Error"].as_str().filter(|detail| !message.contains(detail));
    let hints = [
        ("name-exists", "up to Grafana 11.1 a title is unique in its folder: change one of the two titles"),
        ("Permissions needed", "give the user or service account that right, see docs/grafana-init.md"),
        ("Access denied", "give the user or service account that right, see docs/grafana-init.md"),
    ];
    let hint = hints.iter().find(|(text, _)| body.contains(text)).map(|(_, hint)| format!(" ({hint})"));
    let detail = detail.map(|detail| format!(": {detail}")).unwrap_or_default();
    Some(format!("{message}{detail}{}", hint.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_status_means_different_things() {
        let class = |status, body| judge(&Call::post("/api/folders", ""), status, body);
        assert_eq!(class(412, "{}"), Some(Class::Ambiguous));
        assert_eq!(class(409, r#"{"message":"Organization name taken"}"#), Some(Class::Taken));
        assert_eq!(class(409, r#"{"message":"the object has been modified"}"#), Some(Class::Ambiguous));
        assert_eq!(class(412, r#"{"status":"name-exists"}"#), Some(Class::Rejected));
        assert_eq!(class(500, r#"{"message":"database is locked"}"#), None);
        assert_eq!(class(500, r#"{"message":"max depth is 4"}"#), Some(Class::Rejected));
        assert_eq!(class(400, "{}"), None);
        assert_eq!(class(400, r#"{"messageId":"serviceaccounts.ErrAlreadyExists"}"#), Some(Class::Taken));
    }

    #[test]
    fn each_shape_of_body_gives_its_words() {
        assert_eq!(explain("{}").as_deref(), Some("an error without a word"));
        assert_eq!(explain(r#"{"message":"Not found"}"#).as_deref(), Some("Not found"));
        assert_eq!(
            explain(r#"{"message":"Invalid.","extra":{"Error":"no receiver"}}"#).as_deref(),
            Some("Invalid.: no receiver")
        );
        assert_eq!(explain("bad gateway"), None);
    }
}
