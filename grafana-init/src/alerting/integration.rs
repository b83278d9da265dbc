//! What Grafana's integrations are called, what each cannot do without, and which of its settings are secrets. Pure.

use common::files::nearest;
use serde_json::Value;

/// An integration: its type, and its required settings, one of each group.
type Integration = (&'static str, &'static [&'static [&'static str]]);

/// After Grafana's notifiers of 10.4 to 12.4; the types are as the server prints them.
const INTEGRATIONS: [Integration; 23] = [
    ("LINE", &[&["token"]]),
    ("dingding", &[&["url"]]),
    ("discord", &[&["url"]]),
    ("email", &[&["addresses"]]),
    ("googlechat", &[&["url"]]),
    ("jira", &[]),
    ("kafka", &[&["kafkaRestProxy"], &["kafkaTopic"]]),
    ("mqtt", &[&["brokerUrl"], &["topic"]]),
    ("oncall", &[&["url"]]),
    ("opsgenie", &[&["apiKey"]]),
    ("pagerduty", &[&["integrationKey"]]),
    ("prometheus-alertmanager", &[&["url"]]),
    ("pushover", &[&["userKey"], &["apiToken"]]),
    ("sensugo", &[&["url"], &["apikey"]]),
    ("slack", &[&["url", "token"]]),
    ("sns", &[]),
    ("teams", &[&["url"]]),
    ("telegram", &[&["bottoken"], &["chatid"]]),
    ("threema", &[&["gateway_id"], &["recipient_id"], &["api_secret"]]),
    ("victorops", &[&["url"]]),
    ("webex", &[]),
    ("webhook", &[&["url"]]),
    ("wecom", &[]),
];

/// The type as the server prints it.
pub(crate) fn canonical(kind: &str) -> &str {
    INTEGRATIONS.iter().map(|(name, _)| *name).find(|name| name.eq_ignore_ascii_case(kind)).unwrap_or(kind)
}

/// What the server would refuse about an integration; the pointer is below it, and doubtful is what a newer server may know.
pub(crate) fn wrong(one: &Value) -> Vec<(&'static str, String, bool)> {
    let Some(kind) = one["type"].as_str().filter(|kind| !kind.is_empty()) else {
        return vec![("/type", "an integration needs a type (webhook, email, slack, …)".into(), false)];
    };
    let Some(settings) = one["settings"].as_object() else {
        return vec![("/settings", "an integration needs settings".into(), false)];
    };
    let Some((name, required)) = INTEGRATIONS.iter().find(|(name, _)| *name == canonical(kind)) else {
        return match nearest(kind, INTEGRATIONS.iter().map(|(name, _)| *name)) {
            Some(near) => vec![("/type", format!("unknown integration {kind:?}: did you mean {near}?"), false)],
            None => vec![("/type", format!("no integration {kind:?} is known here: the server decides"), true)],
        };
    };
    let set = |key: &&str| settings.get(*key).is_some_and(|value| !value.is_null() && *value != "");
    let missing = required.iter().filter(|group| !group.iter().any(set));
    missing.map(|group| ("/settings", format!("{name} needs the setting {}", group.join(" or ")), false)).collect()
}

/// Settings that are secrets, of whatever type of integration; the address is one for the types whose token stands in it.
const SECRETS: [&str; 19] = [
    "access_key",
    "apiKey",
    "apiToken",
    "api_secret",
    "api_token",
    "apikey",
    "authorization_credentials",
    "basicAuthPassword",
    "bot_token",
    "bottoken",
    "clientKey",
    "client_secret",
    "integrationKey",
    "password",
    "secret",
    "secret_key",
    "sessionToken",
    "token",
    "userKey",
];
const SECRET_ADDRESS: [&str; 7] = ["dingding", "discord", "googlechat", "slack", "teams", "victorops", "wecom"];

/// Whether a setting of a type is a secret.
pub(crate) fn is_secret(kind: &str, key: &str) -> bool {
    SECRETS.contains(&key) || key == "url" && SECRET_ADDRESS.contains(&kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_server_refuses_is_told() {
        let says =
            |one: Value| wrong(&one).into_iter().map(|(at, text, _)| format!("{at}: {text}")).collect::<Vec<_>>();
        let of = |kind: &str, settings: Value| says(json!({"type": kind, "settings": settings}));
        assert_eq!(of("slakc", json!({})), ["/type: unknown integration \"slakc\": did you mean slack?"]);
        assert_eq!(of("slack", json!({"recipient": "#a"})), ["/settings: slack needs the setting url or token"]);
        assert_eq!(of("slack", json!({"token": "t"})), [""; 0]);
        assert_eq!(of("line", json!({"token": "t"})), [""; 0]);
        assert_eq!(of("kafka", json!({"kafkaTopic": ""})).len(), 2);
        assert_eq!(wrong(&json!({"type": "carrierpigeon", "settings": {}})).first().map(|one| one.2), Some(true));
        assert_eq!(canonical("line"), "LINE");
    }
}
