//! The notification policy tree: `/api/v1/provisioning/policies`.

use serde_json::{Map, Value, json};

use super::Profile;
use super::answer::Answer;
use super::duration::duration;
use super::field::text;
use super::route::Call;
use super::state::Org;

impl Profile {
    pub(super) fn first_receiver(self) -> &'static str {
        if self.has_resources() { "empty" } else { "grafana-default-email" }
    }

    pub(super) fn first_policy(self) -> Value {
        json!({"receiver": self.first_receiver(), "group_by": ["grafana_folder", "alertname"]})
    }
}

pub(super) fn route(call: &mut Call<'_>, method: &str, rest: &[&str]) -> Option<Answer> {
    Some(match (method, rest) {
        ("GET", []) => {
            let mut body = call.org().policy.clone();
            if !call.org().policy_provenance.is_empty() {
                body["provenance"] = json!(call.org().policy_provenance);
            }
            Answer::json(200, body)
        }
        ("GET", ["export"]) => {
            let mut tree = call.org().policy.clone();
            tree["orgId"] = json!(call.org_id);
            Answer::json(200, json!({"apiVersion": 1, "policies": [tree]}))
        }
        ("PUT", []) => update(call),
        ("DELETE", []) => {
            let first = call.profile.first_policy();
            let org = call.org();
            org.policy = first;
            org.policy_provenance.clear();
            Answer::message(202, "policies reset")
        }
        _ => return None,
    })
}

fn update(call: &mut Call<'_>) -> Answer {
    let profile = call.profile;
    let invalid = |error: &str| {
        let message = format!("Invalid format of the submitted route: {error}. Correct the payload and try again.");
        profile.invalid("alerting.notifications.routes.invalidFormat", &message, error)
    };
    let Some(tree) = normal(profile, &call.body) else { return profile.traced(400, "bad request data") };
    if text(&tree, "receiver").is_empty() {
        return invalid("root route must specify a default receiver");
    }
    let first = profile.first_receiver();
    if let Some(error) = dangling(call.org(), &tree, first) {
        return invalid(&error);
    }
    let provenance = call.provenance();
    let stored = call.org().policy_provenance.clone();
    if stored == "api" && provenance.is_empty() {
        let message = "cannot change provenance from 'api' to ''";
        return profile.identified(403, "alerting.provenanceMismatch", message);
    }
    let org = call.org();
    org.policy = tree;
    provenance.clone_into(&mut org.policy_provenance);
    Answer::message(202, "policies updated")
}

fn dangling(org: &Org, route: &Value, first: &str) -> Option<String> {
    let receiver = text(route, "receiver");
    let known = receiver.is_empty() || receiver == first || org.integrations.iter().any(|one| one.name == receiver);
    if !known {
        return Some(format!("receiver '{receiver}' does not exist"));
    }
    for field in ["mute_time_intervals", "active_time_intervals"] {
        let names = route[field].as_array().into_iter().flatten().filter_map(Value::as_str);
        for name in names {
            if !org.timings.contains_key(name) {
                return Some(format!("mute time interval '{name}' does not exist"));
            }
        }
    }
    route["routes"].as_array().into_iter().flatten().find_map(|route| dangling(org, route, first))
}

/// Whether any route of the tree names this receiver or timing.
pub(super) fn mentions(route: &Value, field: &str, name: &str) -> bool {
    let own = match &route[field] {
        Value::String(text) => text == name,
        Value::Array(list) => list.contains(&json!(name)),
        _ => false,
    };
    own || route["routes"].as_array().into_iter().flatten().any(|route| mentions(route, field, name))
}

/// A route as the server gives it back: matchers in order, durations in Prometheus' form, nothing empty. None for one that cannot be read.
fn normal(profile: Profile, route: &Value) -> Option<Value> {
    let mut out = Map::new();
    for field in ["receiver", "match", "match_re", "group_by", "mute_time_intervals", "active_time_intervals"] {
        let value = &route[field];
        let empty = match value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            _ => false,
        };
        // 10.4 does not know active timings.
        if !(empty || field == "active_time_intervals" && profile == Profile::V10) {
            out.insert(field.to_owned(), value.clone());
        }
    }
    for field in ["group_wait", "group_interval", "repeat_interval"] {
        if let Some(value) = route.get(field).filter(|value| !value.is_null()) {
            out.insert(field.to_owned(), json!(duration(value.as_str()?)?));
        }
    }
    if route["continue"] == json!(true) {
        out.insert("continue".to_owned(), json!(true));
    }
    if let Some(matchers) = route["matchers"].as_array().filter(|list| !list.is_empty()) {
        let mut read: Vec<_> =
            matchers.iter().map(|matcher| parse_matcher(matcher.as_str()?)).collect::<Option<_>>()?;
        read.sort();
        out.insert(
            "matchers".to_owned(),
            read.iter().map(|(name, op, value)| format!("{name}{op}{value:?}")).collect(),
        );
    }
    if let Some(matchers) = route["object_matchers"].as_array().filter(|list| !list.is_empty()) {
        let mut sorted = matchers.clone();
        if !sorted.iter().all(|matcher| is_matcher(&matcher[1], &matcher[2])) {
            return None;
        }
        sorted.sort_by_key(Value::to_string);
        out.insert("object_matchers".to_owned(), json!(sorted));
    }
    let routes = route["routes"].as_array().into_iter().flatten();
    let routes: Vec<Value> = routes.map(|route| normal(profile, route)).collect::<Option<_>>()?;
    if !routes.is_empty() {
        out.insert("routes".to_owned(), json!(routes));
    }
    Some(Value::Object(out))
}

/// Whether the value suits the operator. Of a regular expression only the brackets are looked at.
fn is_matcher(op: &Value, value: &Value) -> bool {
    let (Some(op), Some(value)) = (op.as_str(), value.as_str()) else { return false };
    if !["=~", "!~"].contains(&op) {
        return ["=", "!="].contains(&op);
    }
    let mut open = Vec::new();
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            '(' | '[' if open.last() != Some(&'[') => open.push(character),
            ']' if open.last() == Some(&'[') => drop(open.pop()),
            ')' if open.last() != Some(&'[') && open.pop().is_none() => return false,
            _ => {}
        }
    }
    open.is_empty()
}

fn parse_matcher(text: &str) -> Option<(String, &'static str, String)> {
    let at = text.find(['=', '!'])?;
    let (name, rest) = text.split_at(at);
    let op = ["=~", "!~", "!=", "="].into_iter().find(|op| rest.starts_with(op))?;
    let value = rest[op.len()..].trim();
    let value = value.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(value);
    Some((name.trim().to_owned(), op, value.replace("\\\"", "\"").replace("\\\\", "\\")))
}
