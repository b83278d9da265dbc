//! Groups of alert rules: `/api/v1/provisioning/folder/{uid}/rule-groups/{name}` and the exports. What a rule is, is in `rule_body`.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::Profile;
use super::alert_rule::{conflict, text_of};
use super::answer::Answer;
use super::duration::duration;
use super::field::text;
use super::route::Call;
use super::rule_body::{Sent, invalid, kept, read, shown};
use super::state::Rule;

const TICK: i64 = 10;

pub(super) fn route(call: &mut Call<'_>, method: &str, folder: &str, group: &str, rest: &[&str]) -> Option<Answer> {
    let within = |rule: &Rule| rule.folder == folder && rule.group == group;
    Some(match (method, rest) {
        ("GET", []) => group_body(call, folder, group),
        ("GET", ["export"]) => {
            let mut answer = export(call, within);
            if call.profile >= Profile::V12 {
                // 12.4 leaves the folder's title empty here.
                let mut body: Value = serde_json::from_str(&answer.body).expect("the export is JSON");
                for group in body["groups"].as_array_mut().into_iter().flatten() {
                    group["folder"] = json!("");
                }
                answer.body = body.to_string();
            }
            answer
        }
        ("PUT", []) => replace_group(call, folder, group),
        ("DELETE", []) => {
            call.org().rules.retain(|rule| !within(rule));
            Answer::empty(204)
        }
        _ => return None,
    })
}

fn group_body(call: &mut Call<'_>, folder: &str, group: &str) -> Answer {
    let profile = call.profile;
    let mut rules = call.org().rules.clone();
    rules.retain(|rule| rule.folder == folder && rule.group == group);
    if rules.is_empty() {
        return if profile == Profile::V10 {
            profile.traced(404, "rulegroup not found")
        } else {
            profile.identified(404, "alerting.alert-rule.notFound", "NotFound")
        };
    }
    let interval = call.org().intervals.get(&(folder.to_owned(), group.to_owned())).copied().unwrap_or(60);
    let rows: Vec<Value> = rules.iter().map(|rule| shown(call, rule, false)).collect();
    Answer::json(200, json!({"title": group, "folderUid": folder, "interval": interval, "rules": rows}))
}

/// The export has names of its own for some fields, and leaves out what is empty.
pub(super) fn export(call: &mut Call<'_>, wanted: impl Fn(&Rule) -> bool) -> Answer {
    let rules: Vec<Rule> = call.org().rules.iter().filter(|rule| wanted(rule)).cloned().collect();
    let mut groups: Vec<Value> = Vec::new();
    for rule in rules {
        let Some(title) = call.org().folders.get(&rule.folder).map(|folder| folder.title.clone()) else {
            // 10.4 and 11.6 let a group into a folder that is not there, and then cannot export.
            return call.profile.traced(500, "failed to get alert rules with folder titles: folder not found");
        };
        let seconds = call.org().intervals.get(&(rule.folder.clone(), rule.group.clone())).copied().unwrap_or(60);
        let interval = duration(&format!("{seconds}s")).unwrap_or_default();
        let mut body = rule.body.clone();
        body.insert("uid".to_owned(), json!(rule.uid));
        for (field, exported) in
            [("keep_firing_for", "keepFiringFor"), ("missingSeriesEvalsToResolve", "missing_series_evals_to_resolve")]
        {
            if let Some(value) = body.remove(field) {
                body.insert(exported.to_owned(), value);
            }
        }
        for query in body.get_mut("data").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(query) = query.as_object_mut().filter(|query| query.get("queryType") == Some(&json!(""))) {
                query.remove("queryType");
            }
        }
        body.retain(|key, value| {
            !(value.is_null() || matches!(key.as_str(), "for" | "keepFiringFor") && *value == json!("0s"))
        });
        let same = |group: &&mut Value| group["folder"] == json!(title) && group["name"] == json!(rule.group);
        match groups.iter_mut().find(same) {
            Some(group) => group["rules"].as_array_mut().expect("it was made as one").push(Value::Object(body)),
            None => groups.push(json!({"orgId": call.org_id, "name": rule.group, "folder": title,
                "interval": interval, "rules": [body]})),
        }
    }
    Answer::json(200, json!({"apiVersion": 1, "groups": groups}))
}

/// Replaces a whole group: rules that are not in the body are gone.
fn replace_group(call: &mut Call<'_>, folder: &str, group: &str) -> Answer {
    let (profile, body) = (call.profile, call.body.clone());
    let interval = body["interval"].as_i64().unwrap_or(0);
    if interval <= 0 || interval % TICK != 0 {
        let what =
            format!("interval ({interval}s) should be non-zero and divided exactly by scheduler interval: {TICK}");
        return invalid(profile, &what);
    }
    if profile >= Profile::V12 && !call.org().folders.contains_key(folder) {
        return invalid(profile, "folder does not exist");
    }
    let sent = body["rules"].as_array().cloned().unwrap_or_default();
    let mut wanted = Vec::new();
    for rule in &sent {
        let uid = text(rule, "uid");
        if profile == Profile::V10 && !uid.is_empty() && !call.org().rules.iter().any(|known| known.uid == uid) {
            // 10.4 takes a new rule with a uid of its own only by POST.
            let message = format!(
                "failed to calculate diff for alert rules: failed to update rule with UID {uid} because could not find alert rule"
            );
            return profile.traced(500, &message);
        }
        match read(call, rule, Sent::InGroup) {
            Ok(read) => wanted.push((uid.to_owned(), read)),
            Err(refusal) => return refusal,
        }
    }
    if let Some(refusal) = clash_in_group(call, folder, group, &wanted) {
        return refusal;
    }
    let echo: Vec<Value> = wanted.iter().zip(&sent).map(|((_, rule), sent)| echoed(rule, sent)).collect();
    store_group(call, folder, group, wanted);
    call.org().intervals.insert((folder.to_owned(), group.to_owned()), interval);
    Answer::json(200, json!({"title": group, "folderUid": folder, "interval": interval, "rules": echo}))
}

fn clash_in_group(
    call: &mut Call<'_>,
    folder: &str,
    group: &str,
    wanted: &[(String, Map<String, Value>)],
) -> Option<Answer> {
    if call.profile >= Profile::V12 {
        return None;
    }
    let why = "rule title under the same organisation and folder should be unique";
    let mut titles = Vec::new();
    for (uid, rule) in wanted {
        let title = rule.get("title").and_then(Value::as_str).unwrap_or_default();
        let elsewhere = |other: &&Rule| {
            let kept = wanted.iter().any(|(uid, _)| *uid == other.uid);
            other.folder == folder && other.group != group && !kept && text_of(other) == title
        };
        if let Some(other) = call.org().rules.iter().find(elsewhere).cloned() {
            return Some(conflict(call.profile, uid, title, folder, &other, why));
        }
        if titles.contains(&title) {
            return Some(call.profile.traced(400, &format!("[alerting.alert-rule.conflict] {why}: '{title}'")));
        }
        titles.push(title);
    }
    None
}

/// The answer to a PUT is made before anything is stored.
fn echoed(rule: &Map<String, Value>, sent: &Value) -> Value {
    let mut body = Value::Object(rule.clone());
    body["id"] = json!(0);
    body["orgID"] = json!(sent["orgID"].as_i64().unwrap_or(0));
    for field in ["uid", "folderUID", "ruleGroup"] {
        body[field] = json!(text(sent, field));
    }
    body["updated"] = json!("0001-01-01T00:00:00Z");
    body
}

fn store_group(call: &mut Call<'_>, folder: &str, group: &str, wanted: Vec<(String, Map<String, Value>)>) {
    let provenance = call.provenance();
    let mut before = std::mem::take(&mut call.org().rules);
    let mut stored = Vec::new();
    for (uid, rule) in wanted {
        let known = before.iter().position(|one| !uid.is_empty() && one.uid == uid).map(|at| before.remove(at));
        let id = known.map_or_else(|| call.state.next("rule"), |rule| rule.id);
        // A rule without a uid is a new one each time.
        let uid = if uid.is_empty() { call.state.new_uid() } else { uid };
        stored.push(Rule {
            id,
            uid,
            folder: folder.to_owned(),
            group: group.to_owned(),
            body: kept(rule),
            updated: Timestamp::now(),
            provenance: provenance.to_owned(),
        });
    }
    before.retain(|rule| rule.folder != folder || rule.group != group);
    if call.profile == Profile::V10 {
        // A rule that is there keeps its place: an order cannot be changed, and a new rule comes last.
        stored.sort_by_key(|rule: &Rule| rule.id);
    }
    before.extend(stored);
    call.org().rules = before;
}
