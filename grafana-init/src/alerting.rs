//! What the alerting kinds share (provenance, durations), and the two that are found by name: mute timings and message templates.

use std::collections::BTreeMap;
use std::rc::Rc;

use common::engine::change::{Action, Change, Failure};
use common::engine::diff::{Writing, diff};
use common::engine::document::{Have, Held, Making, Pair, Request, Row};
use common::files::{Object, Problem, Set};
use common::net::http::Call;
use serde_json::{Value, json};

use crate::identity::{PROVISIONED, name_of, unique_name};
use crate::scope::{Rules, Scope};
use crate::server::part;

pub(crate) mod contact;
mod gotemplate;
mod integration;
mod interval;
mod matcher;
pub(crate) mod policy;
pub(crate) mod readiness;
pub(crate) mod rule;

/// Mute timings.
pub(crate) const TIMINGS: Row<Scope> = Row {
    normal: normal_timing,
    judge: Some(judge_named),
    check: check_timing,
    unique: unique_name,
    ..Row::new("mute_timings", read_timings, |making| Ok(step_timing(making)))
};

/// Message templates.
pub(crate) const TEMPLATES: Row<Scope> = Row {
    normal: normal_template,
    judge: Some(judge_named),
    check: check_template,
    unique: unique_name,
    ..Row::new("message_templates", read_templates, |making| Ok(step_template(&making)))
};

/// An alerting write with the provenance that is set.
pub(crate) fn call(rules: Rules, call: Call) -> Call {
    // Its presence decides, whatever it says.
    if rules.settings.editable { call.header("x-disable-provenance", "true") } else { call }
}

/// Why an object of that provenance cannot be written. `released` kinds let the header take `api` back.
pub(crate) fn locked(scope: &Scope, provenance: &Value, released: bool) -> Option<String> {
    match provenance.as_str().unwrap_or_default() {
        "" => None,
        "api" if !scope.settings().editable || released => None,
        "api" => Some("it was made through the API, and GRAFANA_PROVENANCE=none cannot take that back: unset it, or delete the object in Grafana".to_owned()),
        "file" => Some(PROVISIONED.to_owned()),
        other => Some(format!("its provenance is {other}, which alone can change it")),
    }
}

/// Says where the provenance is another than a write would give: that is compared with nothing, and stays until the object changes.
pub(crate) fn provenance(pair: &Pair<'_, Rules>, change: Change) -> Change {
    match (pair.have.meta["provenance"].as_str().unwrap_or_default(), pair.rules.settings.editable) {
        _ if change.action != Action::None => change,
        ("", false) => {
            change.note("it can be edited in Grafana: it was made without a provenance, which its next change brings")
        }
        ("api", true) => change.note(
            "it cannot be edited in Grafana: it was made with the provenance api, before GRAFANA_PROVENANCE=none",
        ),
        _ => change,
    }
}

/// The one object in a provisioning export, if the body is such.
pub(crate) fn exported(mut body: Value, list: &str) -> Value {
    match body.get_mut(list).and_then(Value::as_array_mut).map(std::mem::take) {
        Some(mut items) if items.len() == 1 => items.remove(0),
        Some(items) => json!({list: items}),
        None => body,
    }
}

/// Takes the timing out of an export.
pub(crate) fn unwrap_timing(_: &str, body: Value) -> Value {
    exported(body, "muteTimes")
}

/// Takes the template out of an export.
pub(crate) fn unwrap_template(_: &str, body: Value) -> Value {
    exported(body, "templates")
}

/// Everything of a list by the name of the object that declares it, or by its own for an export.
fn by_name(scope: &Scope, path: &str, want: &[Rc<Object>]) -> Result<Held, Failure> {
    let list = scope.must(path)?;
    let mut held = Held::new();
    let mut declared: BTreeMap<String, &str> = BTreeMap::new();
    for object in want {
        declared.insert(name_of(object, &object.value()?), &object.id.name);
    }
    for row in list.as_array().into_iter().flatten() {
        let own = row["name"].as_str().unwrap_or_default();
        let key = (*declared.get(own).unwrap_or(&own)).to_owned();
        let locked = locked(scope, &row["provenance"], false);
        held.insert(key, Have { locked, meta: json!({"provenance": row["provenance"]}), ..Have::of(row) });
    }
    Ok(held)
}

fn judge_named(pair: &Pair<'_, Rules>) -> Change {
    let mut want = pair.want.clone();
    want["name"] = json!(name_of(pair.object, &want));
    if let Some(text) = want["template"].as_str() {
        want["template"] = json!(defined(text, want["name"].as_str().unwrap_or_default()));
    }
    provenance(pair, Change::update(diff(Writing::Replaces, pair.held, &want)))
}

fn drop_made(body: &mut Value) {
    if let Some(fields) = body.as_object_mut() {
        for made in ["version", "provenance", "orgId", "kind", "apiVersion"] {
            fields.remove(made);
        }
    }
}

const TIMINGS_PATH: &str = "/api/v1/provisioning/mute-timings";

fn read_timings(scope: &Scope, want: &[Rc<Object>]) -> Result<Held, Failure> {
    by_name(scope, TIMINGS_PATH, want)
}

fn normal_timing(body: &mut Value) {
    drop_made(body);
    body.get_mut("time_intervals").and_then(Value::as_array_mut).into_iter().flatten().for_each(interval::normal);
}

fn step_timing(making: Making<'_, Rules>) -> Vec<Request> {
    let mut want = making.body;
    drop_made(&mut want);
    let name = name_of(making.object, &want);
    want["name"] = json!(name);
    let sent = match making.have {
        None => Call::post(TIMINGS_PATH, want.to_string()),
        Some(_) => Call::put(format!("{TIMINGS_PATH}/{}", part(&name)), want.to_string()),
    };
    vec![Request::new(call(making.rules, sent))]
}

fn check_timing(object: &Object, body: &Value, _: &Set) -> Vec<Problem> {
    let Some(intervals) = body["time_intervals"].as_array() else {
        return vec![object.problem("/time_intervals", "a list of intervals is missing")];
    };
    let mut problems = Vec::new();
    for (index, interval) in intervals.iter().enumerate() {
        for wrong in interval::wrong(interval) {
            let problem = object.problem(&format!("/time_intervals/{index}{}", wrong.pointer), wrong.text);
            problems.push(if wrong.doubtful { problem.warning() } else { problem });
        }
    }
    problems
}

const TEMPLATES_PATH: &str = "/api/v1/provisioning/templates";

fn read_templates(scope: &Scope, want: &[Rc<Object>]) -> Result<Held, Failure> {
    by_name(scope, TEMPLATES_PATH, want)
}

fn normal_template(body: &mut Value) {
    drop_made(body);
    if let Some(text) = body["template"].as_str().map(|text| text.trim().to_owned()) {
        body["template"] = json!(text);
    }
}

/// A text without a definition is wrapped in one by the server, which sees a definition by `\{\{\s*define` alone.
fn defined(text: &str, name: &str) -> String {
    if defines(text, "{{") {
        return text.to_owned();
    }
    // Only the line feed parts lines: a carriage return stays.
    let lines: Vec<String> = text.split('\n').map(|line| format!("  {line}")).collect();
    format!("{{{{ define \"{name}\" }}}}\n{}\n{{{{ end }}}}", lines.join("\n"))
}

/// Whether a definition begins so.
fn defines(text: &str, begin: &str) -> bool {
    text.split(begin)
        .skip(1)
        .any(|rest| rest.trim_start_matches(['\t', '\n', '\u{c}', '\r', ' ']).starts_with("define"))
}

fn step_template(making: &Making<'_, Rules>) -> Vec<Request> {
    let name = name_of(making.object, &making.body);
    let body = json!({"template": making.body["template"]});
    let sent = Call::put(format!("{TEMPLATES_PATH}/{}", part(&name)), body.to_string());
    vec![Request::new(call(making.rules, sent))]
}

fn check_template(object: &Object, body: &Value, _: &Set) -> Vec<Problem> {
    let Some(text) = body["template"].as_str().map(str::trim).filter(|text| !text.is_empty()) else {
        return vec![object.problem("/template", "the template's text is missing")];
    };
    if !defines(text, "{{") && defines(text, "{{-") {
        let why = "Grafana sees no definition that begins with {{- define: write {{ define";
        return vec![object.problem("/template", why)];
    }
    gotemplate::wrong(text).into_iter().map(|wrong| object.problem("/template", wrong)).collect()
}

/// A duration in milliseconds, as Prometheus writes durations.
pub(crate) fn milliseconds(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 7] = [
        ("ms", 1),
        ("y", 31_536_000_000),
        ("w", 604_800_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
    ];
    let mut rest = text.trim();
    let mut total: u64 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() && rest != "0" {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let (unit, size) = UNITS.iter().find(|(unit, _)| rest.starts_with(unit))?;
        total = total.checked_add(number.checked_mul(*size)?)?;
        rest = &rest[unit.len()..];
    }
    Some(total)
}

/// Puts a duration in one form, so that "300s" and "5m" are equal; zero is dropped where it is the default.
pub(crate) fn duration(body: &mut Value, field: &str) {
    if let Some(time) = body[field].as_str().and_then(milliseconds) {
        body[field] = json!(if time.is_multiple_of(1000) { format!("{}s", time / 1000) } else { format!("{time}ms") });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_equal_by_value() {
        assert_eq!(milliseconds("300s"), milliseconds("5m"));
        assert_eq!(milliseconds("1h30m"), Some(5_400_000));
        assert_eq!(milliseconds("0"), Some(0));
        assert_eq!(milliseconds("5"), None);
        assert_eq!(milliseconds(""), None);
    }

    #[test]
    fn a_bare_text_is_wrapped_as_the_server_does() {
        assert_eq!(defined("plain text", "t2"), "{{ define \"t2\" }}\n  plain text\n{{ end }}");
        for own in ["{{ define \"a\" }}x{{ end }}", "{{  define \"a1\" }}x{{ end }}", "{{\tdefine \"a3\" }}x{{ end }}"]
        {
            assert_eq!(defined(own, "t2"), own);
        }
        assert_eq!(defined("line one\r\nline two", "t5"), "{{ define \"t5\" }}\n  line one\r\n  line two\n{{ end }}");
    }
}
