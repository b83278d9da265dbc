//! What the plugin makes of a policy that it is sent: what it refuses, and what GET shows for what it takes.

use serde_json::{Map, Value, json};

/// What a policy may say.
const KNOWN: [&str; 10] = [
    "policy_id",
    "description",
    "last_updated_time",
    "schema_version",
    "error_notification",
    "default_state",
    "states",
    "ism_template",
    "user",
    "seq_no",
];

use super::{Answer, Release, error, job, now};

/// The policy as GET shows it, but for the schema's number.
pub(super) fn stored(name: &str, body: &Value, release: Release) -> Result<Value, Answer> {
    let policy = body.as_object().and_then(|fields| fields.values().next());
    let Some(policy) = policy.and_then(Value::as_object) else {
        let reason = "Failed to parse object: expecting token of type [START_OBJECT] but found [VALUE_STRING]";
        let mut answer = error(400, "parsing_exception", reason);
        for place in ["/error", "/error/root_cause/0"] {
            let place = answer.pointer_mut(place).expect("it was just made");
            place["line"] = 1.into();
            place["col"] = 17.into();
        }
        return Err((400, answer));
    };
    if let Some(unknown) = policy.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        return Err(illegal(&format!("Invalid field: [{unknown}] found in Policy.")));
    }
    let mut states = Vec::new();
    for state in policy.get("states").and_then(Value::as_array).into_iter().flatten() {
        states.push(self::state(state, release)?);
    }
    let default = policy.get("default_state").and_then(Value::as_str).unwrap_or_default();
    if !states.iter().any(|state| state["name"] == default) {
        return Err(illegal("Policy must have a valid default state"));
    }
    let mut notification = policy.get("error_notification").cloned().unwrap_or_default();
    message(&mut notification);
    webhook(&mut notification);
    Ok(json!({
        "policy_id": name,
        "description": policy.get("description").cloned().unwrap_or_default(),
        "last_updated_time": now(),
        "schema_version": policy.get("schema_version").cloned().unwrap_or(json!(1)),
        "error_notification": notification,
        "default_state": default,
        "states": states,
        "ism_template": templates(policy.get("ism_template")),
    }))
}

fn illegal(reason: &str) -> Answer {
    (400, error(400, "illegal_argument_exception", reason))
}

fn templates(given: Option<&Value>) -> Value {
    let given = match given {
        None | Some(Value::Null) => return Value::Null,
        Some(Value::Array(templates)) => templates.clone(),
        Some(one) => vec![one.clone()],
    };
    let shown = given.into_iter().map(|mut template| {
        if template.get("priority").is_none() {
            template["priority"] = 0.into();
        }
        template["last_updated_time"] = now().into();
        template
    });
    shown.collect()
}

fn state(given: &Value, release: Release) -> Result<Value, Answer> {
    let mut actions = Vec::new();
    for action in given["actions"].as_array().into_iter().flatten() {
        actions.push(self::action(action, release)?);
    }
    let mut transitions = given["transitions"].as_array().cloned().unwrap_or_default();
    for transition in &mut transitions {
        if let Some(conditions) = transition.get_mut("conditions").and_then(Value::as_object_mut) {
            sizes(conditions)?;
            if let Some(Value::String(age)) = conditions.get_mut("min_index_age") {
                *age = age.to_lowercase();
            }
        }
    }
    Ok(json!({"name": given["name"], "actions": actions, "transitions": transitions}))
}

/// Sizes lose their capitals, and may not be fractions.
fn sizes(fields: &mut Map<String, Value>) -> Result<(), Answer> {
    for key in ["min_size", "min_primary_shard_size", "max_shard_size"] {
        let Some(Value::String(size)) = fields.get_mut(key) else { continue };
        if let Some((number, _)) =
            size.split_once(|c: char| c.is_ascii_alphabetic()).filter(|(number, _)| number.contains('.'))
        {
            let reason = format!(
                "Failed to parse bytes value [{size}]. Fractional bytes values have been deprecated since Legacy 6.2. Use non-fractional bytes values instead: found for setting [{key}]"
            );
            let mut answer = error(400, "parse_exception", &reason);
            answer["error"]["caused_by"] =
                json!({"type": "number_format_exception", "reason": format!("For input string: \"{number}\"")});
            return Err((400, answer));
        }
        *size = size.to_lowercase();
    }
    Ok(())
}

fn action(given: &Value, release: Release) -> Result<Value, Answer> {
    const KNOWN: [&str; 19] = [
        "rollover",
        "delete",
        "read_only",
        "read_write",
        "open",
        "close",
        "replica_count",
        "force_merge",
        "index_priority",
        "shrink",
        "snapshot",
        "allocation",
        "notification",
        "alias",
        "rollup",
        "transform",
        "retry",
        "timeout",
        "custom",
    ];
    const NEWER: [&str; 2] = ["stop_replication", "convert_index_to_remote"];
    let mut shown = Map::new();
    let given = given.as_object().cloned().unwrap_or_default();
    let retry = given.get("retry");
    let or = |key: &str, default: Value| retry.and_then(|retry| retry.get(key)).cloned().unwrap_or(default);
    shown.insert(
        "retry".into(),
        json!({"count": or("count", json!(3)), "backoff": or("backoff", json!("exponential")), "delay": or("delay", json!("1m"))}),
    );
    for (kind, mut value) in given {
        let known = KNOWN.contains(&kind.as_str()) || (release == Release::V3 && NEWER.contains(&kind.as_str()));
        if !known {
            return Err(illegal(&format!("Invalid field: [{kind}] found in Actions.")));
        }
        if kind == "retry" {
            continue;
        }
        if let Some(fields) = value.as_object_mut() {
            sizes(fields)?;
            for key in ["min_doc_count", "priority", "number_of_replicas"] {
                if let Some(number) = fields.get(key).and_then(Value::as_str).and_then(|text| text.parse::<i64>().ok())
                {
                    fields.insert(key.into(), number.into());
                }
            }
            fill(&kind, fields);
        }
        if kind == "notification" {
            message(&mut value);
            webhook(&mut value);
        }
        shown.insert(kind, value);
    }
    Ok(Value::Object(shown))
}

/// What an action shows though nobody said it.
fn fill(kind: &str, fields: &mut Map<String, Value>) {
    let mut default = |key: &str, value: Value| {
        fields.entry(key).or_insert(value);
    };
    match kind {
        "rollover" => default("copy_alias", json!(false)),
        "allocation" => {
            for key in ["require", "include", "exclude"] {
                default(key, json!({}));
            }
            default("wait_for", json!(false));
            if let Some(wait) = fields.get("wait_for").and_then(Value::as_str).map(|text| text == "true") {
                fields.insert("wait_for".into(), wait.into());
            }
        }
        "shrink" => {
            default("switch_aliases", json!(false));
            for alias in fields.get_mut("aliases").and_then(Value::as_array_mut).into_iter().flatten() {
                for properties in alias.as_object_mut().into_iter().flatten().map(|(_, properties)| properties) {
                    if properties.get("is_write_index").is_none() {
                        properties["is_write_index"] = Value::Null;
                    }
                }
            }
            fields.get_mut("target_index_name_template").map(script);
        }
        "rollup" => job::dimensions(fields.get_mut("ism_rollup").and_then(|rollup| rollup.get_mut("dimensions"))),
        "transform" => {
            let transform = fields.get_mut("ism_transform");
            if let Some(all) = transform.and_then(|transform| transform.pointer_mut("/data_selection_query/match_all"))
            {
                all["boost"] = json!(1.0);
            }
            job::dimensions(fields.get_mut("ism_transform").and_then(|transform| transform.get_mut("groups")));
        }
        "alias" => {
            for change in fields.get_mut("actions").and_then(Value::as_array_mut).into_iter().flatten() {
                for properties in change.as_object_mut().into_iter().flatten().map(|(_, properties)| properties) {
                    let Some(properties) = properties.as_object_mut() else { continue };
                    if let Some(alias) = properties.remove("alias") {
                        properties.insert("aliases".into(), json!([alias]));
                    }
                }
            }
        }
        _ => {}
    }
}

fn message(holder: &mut Value) {
    holder.get_mut("message_template").map(script);
}

fn script(template: &mut Value) {
    if let Value::Object(fields) = template {
        fields.entry("lang").or_insert(json!("mustache"));
    }
}

fn webhook(holder: &mut Value) {
    if let Some(Value::Object(fields)) = holder.pointer_mut("/destination/custom_webhook") {
        for key in ["path", "password", "scheme", "host", "url", "username"] {
            fields.entry(key).or_insert(Value::Null);
        }
        for key in ["header_params", "query_params"] {
            fields.entry(key).or_insert(json!({}));
        }
        fields.entry("port").or_insert(json!(-1));
    }
}

/// Each pattern that a policy claims, with its priority.
pub(super) fn claims(policy: &Value) -> Vec<(i64, String)> {
    let templates = policy["ism_template"].as_array().into_iter().flatten();
    templates
        .flat_map(|template| {
            let priority = template["priority"].as_i64().unwrap_or(0);
            let patterns = template["index_patterns"].as_array().into_iter().flatten().filter_map(Value::as_str);
            patterns.filter(|pattern| !pattern.starts_with('-')).map(move |pattern| (priority, pattern.to_owned()))
        })
        .collect()
}

/// Whether some name matches both patterns.
pub(super) fn overlap(a: &str, b: &str) -> bool {
    match (a.strip_prefix('*'), b.strip_prefix('*')) {
        _ if a.is_empty() && b.is_empty() => true,
        (Some(rest), _) => overlap(rest, b) || (!b.is_empty() && overlap(a, after(b))),
        (None, Some(rest)) => overlap(a, rest) || (!a.is_empty() && overlap(after(a), b)),
        (None, None) => !a.is_empty() && a.chars().next() == b.chars().next() && overlap(after(a), after(b)),
    }
}

fn after(text: &str) -> &str {
    let mut rest = text.chars();
    rest.next();
    rest.as_str()
}
