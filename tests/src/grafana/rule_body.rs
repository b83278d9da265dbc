//! An alert rule's body: what is read of it, what is refused, and how it is shown. Where rules are kept is in `alert_rule` and `rule_group`.

use serde_json::{Map, Value, json};

use super::Profile;
use super::answer::Answer;
use super::duration::duration;
use super::field::{flag, object, seconds, text};
use super::route::Call;
use super::state::Rule;

const MAX_UID: usize = 40;

/// How a rule reaches the server: the words of a refusal differ.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Sent {
    Alone,
    InGroup,
}

pub(super) fn invalid(profile: Profile, what: &str) -> Answer {
    profile.traced(400, &format!("invalid alert rule: {what}"))
}

/// The fields of a rule from any body that carries them.
pub(super) fn read(call: &mut Call<'_>, body: &Value, sent: Sent) -> Result<Map<String, Value>, Answer> {
    let profile = call.profile;
    if text(body, "title").is_empty() {
        return Err(invalid(profile, "title is empty"));
    }
    check_uid(profile, text(body, "uid"), sent)?;
    let records = profile >= Profile::V11 && body["record"].is_object();
    if !records {
        check_states(profile, body, sent)?;
    }
    check_receiver(call, &body["notification_settings"])?;
    if records && profile == Profile::V11 && sent == Sent::Alone {
        // As 11.6 is set by default; a whole group it takes.
        return Err(invalid(profile, "recording rules cannot be created on this instance"));
    }
    let queries = body["data"].as_array().cloned().unwrap_or_default();
    if queries.is_empty() {
        return Err(invalid(profile, "no queries or expressions are found"));
    }
    let wait = |field: &str| {
        let sent = Some(text(body, field)).filter(|text| !text.is_empty()).unwrap_or("0s");
        duration(sent).ok_or_else(|| invalid(profile, &format!("not a valid duration string: {sent:?}")))
    };
    let mut rule = Map::new();
    for field in ["title", "condition", "noDataState", "execErrState"] {
        rule.insert(field.to_owned(), json!(text(body, field)));
    }
    rule.insert("for".to_owned(), json!(wait("for")?));
    if profile.has_resources() {
        rule.insert("keep_firing_for".to_owned(), json!(wait("keep_firing_for")?));
        let count = &body["missingSeriesEvalsToResolve"];
        if count.as_i64().is_some_and(|count| count > 0) {
            rule.insert("missingSeriesEvalsToResolve".to_owned(), count.clone());
        }
    }
    for field in ["labels", "annotations"] {
        let map = object(body, field);
        if !map.is_empty() {
            rule.insert(field.to_owned(), Value::Object(map));
        }
    }
    rule.insert("isPaused".to_owned(), json!(flag(body, "isPaused")));
    rule.insert("notification_settings".to_owned(), notification_settings(&body["notification_settings"]));
    if profile >= Profile::V11 {
        rule.insert("record".to_owned(), body["record"].clone());
    }
    let queries = queries.iter().map(|query| {
        let range = &query["relativeTimeRange"];
        let range = json!({"from": range["from"].as_i64().unwrap_or(0), "to": range["to"].as_i64().unwrap_or(0)});
        json!({"refId": query["refId"], "queryType": text(query, "queryType"), "model": query["model"],
            "relativeTimeRange": range, "datasourceUid": query["datasourceUid"]})
    });
    rule.insert("data".to_owned(), queries.collect());
    Ok(rule)
}

fn check_uid(profile: Profile, uid: &str, sent: Sent) -> Result<(), Answer> {
    if uid.len() <= MAX_UID {
        return Ok(());
    }
    Err(match sent {
        Sent::Alone => {
            let what = format!("cannot create rule with UID '{uid}': UID is longer than {MAX_UID} symbols");
            profile.traced(400, &format!("invalid alert rule\n{what}"))
        }
        Sent::InGroup => {
            invalid(profile, &format!("cannot create rule with UID \"{uid}\": UID is longer than {MAX_UID} symbols"))
        }
    })
}

fn check_states(profile: Profile, body: &Value, sent: Sent) -> Result<(), Answer> {
    let states = [("execErrState", "Error", "Error"), ("noDataState", "NoData", "NoData")];
    for (field, own, name) in states {
        let state = text(body, field);
        if ["OK", "Alerting", "KeepLast", own].contains(&state) {
            continue;
        }
        let what = format!("unknown {name} state option {state}");
        return Err(match (profile, sent) {
            (Profile::V10, _) => profile.traced(500, &what),
            (_, Sent::Alone) => invalid(profile, &what),
            (_, Sent::InGroup) => {
                profile.traced(400, &format!("failed to insert alert rules: invalid alert rule: {what}"))
            }
        });
    }
    Ok(())
}

fn check_receiver(call: &mut Call<'_>, settings: &Value) -> Result<(), Answer> {
    let profile = call.profile;
    if !settings.is_object() {
        return Ok(());
    }
    let groups: Vec<&str> = settings["group_by"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let whole = groups.is_empty()
        || groups.contains(&"...")
        || ["alertname", "grafana_folder"].iter().all(|label| groups.contains(label));
    if profile == Profile::V10 && !whole {
        let message = "group by override must contain two required labels: 'alertname' and 'grafana_folder' or '...' \
                       (group by all)";
        return Err(profile.traced(500, message));
    }
    let receiver = text(settings, "receiver").to_owned();
    if profile >= Profile::V12 && !call.org().integrations.iter().any(|one| one.name == receiver) {
        return Err(profile.traced(400, &format!("invalid alert rule\nreceiver {receiver} does not exist")));
    }
    Ok(())
}

/// Durations in Prometheus' form, nothing empty.
fn notification_settings(sent: &Value) -> Value {
    let Some(settings) = sent.as_object() else { return Value::Null };
    let mut settings = settings.clone();
    settings.retain(|_, value| !(value.is_null() || *value == json!([]) || *value == json!("")));
    for field in ["group_wait", "group_interval", "repeat_interval"] {
        if let Some(shown) = settings.get(field).and_then(Value::as_str).and_then(duration) {
            settings.insert(field.to_owned(), json!(shown));
        }
    }
    Value::Object(settings)
}

/// A rule as it is kept: queries get the two numbers that a query always has, and a rule that records has no state.
pub(super) fn kept(mut rule: Map<String, Value>) -> Map<String, Value> {
    for query in rule.get_mut("data").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(model) = query["model"].as_object_mut() {
            model.entry("intervalMs").or_insert(json!(1000));
            model.entry("maxDataPoints").or_insert(json!(43200));
        }
    }
    if rule.get("record").is_some_and(Value::is_object) {
        for field in ["condition", "noDataState", "execErrState"] {
            rule.insert(field.to_owned(), json!(""));
        }
        rule.insert("for".to_owned(), json!("0s"));
    }
    rule
}

pub(super) fn shown(call: &Call<'_>, rule: &Rule, with_provenance: bool) -> Value {
    let mut body = rule.body.clone();
    body.insert("id".to_owned(), json!(rule.id));
    body.insert("uid".to_owned(), json!(rule.uid));
    body.insert("orgID".to_owned(), json!(call.org_id));
    body.insert("folderUID".to_owned(), json!(rule.folder));
    body.insert("ruleGroup".to_owned(), json!(rule.group));
    body.insert("updated".to_owned(), json!(seconds(rule.updated)));
    if with_provenance && !rule.provenance.is_empty() {
        body.insert("provenance".to_owned(), json!(rule.provenance));
    }
    Value::Object(body)
}
