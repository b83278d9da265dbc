//! Mute timings and message templates: what is found by name in `/api/v1/provisioning`.

use serde_json::{Map, Value, json};

use super::Profile;
use super::answer::Answer;
use super::field::{fingerprint, text};
use super::policy;
use super::route::Call;
use super::state::Named;

pub(super) fn route(call: &mut Call<'_>, method: &str, kind: &str, rest: &[&str]) -> Option<Answer> {
    if kind == "mute-timings" { timings(call, method, rest) } else { templates(call, method, rest) }
}

fn shown(profile: Profile, named: &Named) -> Value {
    let mut body = named.body.clone();
    if !named.provenance.is_empty() {
        body["provenance"] = json!(named.provenance);
    }
    if profile >= Profile::V11 {
        body["version"] = json!(version(named));
    }
    body
}

fn version(named: &Named) -> String {
    fingerprint(&named.body.to_string())
}

/// Why a stored object must not be written: its provenance, or a version that is out of date.
fn refusal(call: &Call<'_>, stored: Option<&Named>) -> Option<Answer> {
    let stored = stored?;
    let sent = text(&call.body, "version");
    if call.profile >= Profile::V11 && !sent.is_empty() && sent != version(stored) {
        let message = "Provided version does not match the stored one";
        return Some(call.profile.identified(409, "alerting.notifications.conflict", message));
    }
    if stored.provenance == "api" && call.provenance().is_empty() {
        let message = "cannot change provenance from 'api' to ''";
        return Some(call.profile.identified(403, "alerting.provenanceMismatch", message));
    }
    None
}

fn missing(profile: Profile, message_id: &str) -> Answer {
    // 12 and 11 say it in one word, 10.4 in two.
    profile.identified(404, message_id, if profile == Profile::V10 { "Not found" } else { "NotFound" })
}

fn timings(call: &mut Call<'_>, method: &str, rest: &[&str]) -> Option<Answer> {
    const MISSING: &str = "alerting.notifications.time-intervals.notFound";

    let profile = call.profile;
    Some(match (method, rest) {
        ("GET", []) => Answer::json(200, call.org().timings.values().map(|one| shown(profile, one)).collect()),
        ("GET", ["export"] | [_, "export"]) => {
            let org_id = call.org_id;
            let one = rest.first().filter(|_| rest.len() == 2);
            let rows: Vec<Value> = call
                .org()
                .timings
                .iter()
                .filter(|(name, _)| one.is_none_or(|one| name.as_str() == *one))
                .map(|(_, one)| {
                    let mut body = one.body.clone();
                    body["orgId"] = json!(org_id);
                    body
                })
                .collect();
            Answer::json(200, json!({"apiVersion": 1, "muteTimes": rows}))
        }
        ("GET", [name]) => match call.org().timings.get(*name) {
            Some(one) => Answer::json(200, shown(profile, one)),
            None => missing(profile, MISSING),
        },
        ("POST", []) => {
            let name = text(&call.body, "name").to_owned();
            if call.org().timings.contains_key(&name) {
                let message =
                    "Time interval with this name already exists. Use a different name or update existing one.";
                return Some(profile.identified(400, "alerting.notifications.time-intervals.nameExists", message));
            }
            store_timing(call, &name, 201)
        }
        ("PUT", [name]) => {
            let stored = call.org().timings.get(*name).cloned();
            if stored.is_none() {
                return Some(missing(profile, MISSING));
            }
            refusal(call, stored.as_ref()).unwrap_or_else(|| store_timing(call, name, 202))
        }
        ("DELETE", [name]) => {
            let tree = call.org().policy.clone();
            if policy::mentions(&tree, "mute_time_intervals", name) {
                let message = "Time interval is used by notification policies";
                return Some(profile.identified(409, "alerting.notifications.time-intervals.used", message));
            }
            call.org().timings.remove(*name);
            Answer::empty(204)
        }
        _ => return None,
    })
}

fn store_timing(call: &mut Call<'_>, name: &str, status: u16) -> Answer {
    let intervals = call.body["time_intervals"].as_array().cloned().unwrap_or_default();
    if name.is_empty() {
        let message = "Invalid format of the submitted time interval";
        return call.profile.invalid("alerting.notifications.time-intervals.invalidFormat", message, "missing name");
    }
    let body = json!({"name": name, "time_intervals": intervals});
    let named = Named { body, provenance: call.provenance().to_owned() };
    call.org().timings.insert(name.to_owned(), named.clone());
    Answer::json(status, shown(call.profile, &named))
}

fn templates(call: &mut Call<'_>, method: &str, rest: &[&str]) -> Option<Answer> {
    let profile = call.profile;
    Some(match (method, rest) {
        ("GET", []) => {
            let rows: Vec<Value> = call.org().templates.values().map(|one| shown(profile, one)).collect();
            Answer::json(200, if rows.is_empty() { Value::Null } else { json!(rows) })
        }
        ("GET", [name]) => match call.org().templates.get(*name) {
            Some(one) => Answer::json(200, shown(profile, one)),
            None if profile == Profile::V10 => Answer::empty(404),
            None => missing(profile, "alerting.notifications.templates.notFound"),
        },
        ("PUT", [name]) => {
            let stored = call.org().templates.get(*name).cloned();
            refusal(call, stored.as_ref()).unwrap_or_else(|| store_template(call, name))
        }
        ("DELETE", [name]) => {
            call.org().templates.remove(*name);
            Answer::empty(204)
        }
        _ => return None,
    })
}

fn store_template(call: &mut Call<'_>, name: &str) -> Answer {
    let profile = call.profile;
    let content = wrapped(name, text(&call.body, "template"));
    if let Some((line, word)) = broken(&content) {
        let shown_name = if profile.has_resources() { "" } else { name };
        let error = format!("invalid template: template: {shown_name}:{line}: function \"{word}\" not defined");
        let message = "Template is in invalid format. Correct the payload and try again.";
        return profile.invalid("alerting.notifications.templates.invalidFormat", message, &error);
    }
    let body = Map::from_iter([("name".to_owned(), json!(name)), ("template".to_owned(), json!(content))]);
    let named = Named { body: Value::Object(body), provenance: call.provenance().to_owned() };
    call.org().templates.insert(name.to_owned(), named.clone());
    Answer::json(202, shown(profile, &named))
}

/// A text without a definition of its own becomes one.
fn wrapped(name: &str, template: &str) -> String {
    let template = template.trim();
    let defines =
        template.split("{{").skip(1).any(|action| action.trim_start_matches(['-', ' ']).starts_with("define"));
    if defines {
        return template.to_owned();
    }
    let lines: Vec<String> = template.lines().map(|line| format!("  {line}")).collect();
    format!("{{{{ define \"{name}\" }}}}\n{}\n{{{{ end }}}}", lines.join("\n"))
}

/// The line and first word of an action that is not closed. It is all that the stand-in knows of template syntax.
fn broken(template: &str) -> Option<(usize, String)> {
    let mut rest = template;
    let mut line = 1;
    while let Some(at) = rest.find("{{") {
        line += rest[..at].matches('\n').count();
        let action = &rest[at + 2..];
        let close = action.find("}}");
        let next = action.find("{{");
        if close.is_none() || next.is_some_and(|next| close.is_some_and(|close| next < close)) {
            return Some((line, action.split_whitespace().next().unwrap_or_default().to_owned()));
        }
        rest = action;
    }
    None
}
