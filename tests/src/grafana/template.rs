//! Message templates: `/api/v1/provisioning/templates`.

use serde_json::{Map, Value, json};

use super::Profile;
use super::answer::Answer;
use super::field::text;
use super::notification::{missing, refusal, shown};
use super::route::Call;
use super::state::Named;

pub(super) fn route(call: &mut Call<'_>, method: &str, rest: &[&str]) -> Option<Answer> {
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
    if let Some((line, what)) = broken(&content) {
        let shown_name = if profile.has_resources() { "" } else { name };
        let error = format!("invalid template: template: {shown_name}:{line}: {what}");
        let message = "Template is in invalid format. Correct the payload and try again.";
        return profile.invalid("alerting.notifications.templates.invalidFormat", message, &error);
    }
    let body = Map::from_iter([("name".to_owned(), json!(name)), ("template".to_owned(), json!(content))]);
    let named = Named { body: Value::Object(body), provenance: call.provenance().to_owned() };
    call.org().templates.insert(name.to_owned(), named.clone());
    Answer::json(202, shown(profile, &named))
}

/// A text without a definition of its own becomes one. A definition that trims the blanks before it is not seen as one.
fn wrapped(name: &str, template: &str) -> String {
    let template = template.trim();
    if template.split("{{").skip(1).any(|action| action.trim_start().starts_with("define")) {
        return template.to_owned();
    }
    let lines: Vec<String> = template.split('\n').map(|line| format!("  {line}")).collect();
    format!("{{{{ define \"{name}\" }}}}\n{}\n{{{{ end }}}}", lines.join("\n"))
}

/// The line of the first mistake and what it is: an action that is not closed, or a definition within another one. It is all that the
/// stand-in knows of template syntax.
fn broken(template: &str) -> Option<(usize, String)> {
    let mut rest = template;
    let mut line = 1;
    let mut first = true;
    while let Some(at) = rest.find("{{") {
        line += rest[..at].matches('\n').count();
        let action = &rest[at + 2..];
        let word = action.trim_start_matches(['-', ' ']).split_whitespace().next().unwrap_or_default();
        let close = action.find("}}");
        let next = action.find("{{");
        if close.is_none() || next.is_some_and(|next| close.is_some_and(|close| next < close)) {
            let function = !word.starts_with(['.', '$', '"']);
            return Some((
                line,
                if function { format!("function {word:?} not defined") } else { "unclosed action".to_owned() },
            ));
        }
        if word == "define" && !first && action.starts_with('-') {
            return Some((line, "unexpected <define> in command".to_owned()));
        }
        first = false;
        rest = action;
    }
    None
}
