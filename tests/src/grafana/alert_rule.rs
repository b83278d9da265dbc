//! Alert rules and their groups: `/api/v1/provisioning/alert-rules` and `…/folder/{uid}/rule-groups/{name}`.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::Profile;
use super::answer::Answer;
use super::duration::duration;
use super::field::{flag, object, seconds, text};
use super::route::Call;
use super::state::Rule;

const TICK: i64 = 10;

pub(super) fn route(call: &mut Call<'_>, method: &str, rest: &[&str]) -> Option<Answer> {
    Some(match (method, rest) {
        ("GET", ["alert-rules"]) => {
            let rules = call.org().rules.clone();
            Answer::json(200, rules.iter().map(|rule| shown(call, rule, true)).collect())
        }
        ("GET", ["alert-rules", "export"]) => export(call, |_| true),
        ("GET", ["folder", folder, "rule-groups", group, "export"]) => {
            export(call, |rule| rule.folder == *folder && rule.group == *group)
        }
        ("POST", ["alert-rules"]) => create(call),
        ("GET", ["alert-rules", uid]) => match call.org().rules.iter().find(|rule| rule.uid == *uid).cloned() {
            Some(rule) => Answer::json(200, shown(call, &rule, true)),
            None => Answer::empty(404),
        },
        ("PUT", ["alert-rules", uid]) => update(call, uid),
        ("DELETE", ["alert-rules", uid]) => {
            call.org().rules.retain(|rule| rule.uid != *uid);
            Answer::empty(204)
        }
        ("GET", ["folder", folder, "rule-groups", group]) => group_body(call, folder, group),
        ("PUT", ["folder", folder, "rule-groups", group]) => replace_group(call, folder, group),
        ("DELETE", ["folder", folder, "rule-groups", group]) => {
            call.org().rules.retain(|rule| rule.folder != *folder || rule.group != *group);
            Answer::empty(204)
        }
        _ => return None,
    })
}

/// The fields of a rule as they are stored, from any body that carries them.
fn read(profile: Profile, body: &Value) -> Result<Map<String, Value>, String> {
    let or = |field: &str, default: &str| match text(body, field) {
        "" => json!(default),
        given => json!(given),
    };
    if text(body, "title").is_empty() {
        return Err("title is empty".to_owned());
    }
    let queries = body["data"].as_array().cloned().unwrap_or_default();
    if queries.is_empty() {
        return Err("no queries or expressions are found".to_owned());
    }
    let wait = |field: &str| {
        let sent = or(field, "0s");
        let sent = sent.as_str().unwrap_or_default();
        duration(sent).ok_or_else(|| format!("not a valid duration string: {sent:?}"))
    };
    let mut rule = Map::new();
    rule.insert("title".to_owned(), json!(text(body, "title")));
    rule.insert("condition".to_owned(), json!(text(body, "condition")));
    rule.insert("noDataState".to_owned(), or("noDataState", "NoData"));
    rule.insert("execErrState".to_owned(), or("execErrState", "Alerting"));
    rule.insert("for".to_owned(), json!(wait("for")?));
    if profile.has_resources() {
        rule.insert("keep_firing_for".to_owned(), json!(wait("keep_firing_for")?));
        let count = &body["missing_series_evals_to_resolve"];
        if count.as_i64().is_some_and(|count| count > 0) {
            rule.insert("missing_series_evals_to_resolve".to_owned(), count.clone());
        }
    }
    for field in ["labels", "annotations"] {
        let map = object(body, field);
        if !map.is_empty() {
            rule.insert(field.to_owned(), Value::Object(map));
        }
    }
    rule.insert("isPaused".to_owned(), json!(flag(body, "isPaused")));
    rule.insert("notification_settings".to_owned(), body["notification_settings"].clone());
    if profile >= Profile::V11 {
        rule.insert("record".to_owned(), body["record"].clone());
    }
    let queries = queries.iter().map(|query| {
        json!({"refId": query["refId"], "queryType": text(query, "queryType"), "model": query["model"],
            "relativeTimeRange": query["relativeTimeRange"], "datasourceUid": query["datasourceUid"]})
    });
    rule.insert("data".to_owned(), queries.collect());
    Ok(rule)
}

/// Stored queries get the two numbers that a query always has.
fn with_defaults(mut rule: Map<String, Value>) -> Map<String, Value> {
    for query in rule.get_mut("data").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(model) = query["model"].as_object_mut() {
            model.entry("intervalMs").or_insert(json!(1000));
            model.entry("maxDataPoints").or_insert(json!(43200));
        }
    }
    rule
}

fn shown(call: &Call<'_>, rule: &Rule, with_provenance: bool) -> Value {
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
fn export(call: &mut Call<'_>, wanted: impl Fn(&Rule) -> bool) -> Answer {
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
        if let Some(time) = body.remove("keep_firing_for") {
            body.insert("keepFiringFor".to_owned(), time);
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

fn invalid(profile: Profile, what: &str) -> Answer {
    profile.traced(400, &format!("invalid alert rule: {what}"))
}

/// Up to 11.6 a title is unique in its folder.
fn title_taken(call: &mut Call<'_>, title: &str, folder: &str, uid: &str) -> Option<Answer> {
    if call.profile >= Profile::V12 {
        return None;
    }
    let rules = &call.org().rules;
    let namesake =
        rules.iter().find(|rule| rule.uid != uid && rule.folder == folder && text_of(rule) == title)?.clone();
    let why = "rule title under the same organisation and folder should be unique";
    Some(conflict(call.profile, uid, title, folder, &namesake, why))
}

fn text_of(rule: &Rule) -> &str {
    rule.body.get("title").and_then(Value::as_str).unwrap_or_default()
}

fn conflict(profile: Profile, uid: &str, title: &str, folder: &str, other: &Rule, why: &str) -> Answer {
    let (other_uid, other_title, other_folder) = (&other.uid, text_of(other), &other.folder);
    let message = format!(
        "[alerting.alert-rule.conflict] alert rule [rule_uid: '{uid}', title: '{title}', namespace_uid: '{folder}'] \
         conflicts with existing [rule_uid: '{other_uid}', title: '{other_title}', namespace_uid: '{other_folder}']: {why}"
    );
    profile.traced(400, &message)
}

fn create(call: &mut Call<'_>) -> Answer {
    let (profile, body) = (call.profile, call.body.clone());
    let rule = match read(profile, &body) {
        Ok(rule) => rule,
        Err(what) => return invalid(profile, &what),
    };
    let (folder, group) = (text(&body, "folderUID").to_owned(), text(&body, "ruleGroup").to_owned());
    if folder.is_empty() || group.is_empty() {
        return invalid(profile, "folderUID and ruleGroup must be set");
    }
    if profile >= Profile::V12 && !call.org().folders.contains_key(&folder) {
        return invalid(profile, "folder does not exist");
    }
    let mut uid = text(&body, "uid").to_owned();
    let title = text(&body, "title").to_owned();
    if let Some(other) = call.org().rules.iter().find(|rule| !uid.is_empty() && rule.uid == uid).cloned() {
        if profile >= Profile::V12 {
            let error = "UNIQUE constraint failed: alert_rule.org_id, alert_rule.uid";
            let org_id = call.org_id;
            let message =
                format!("Failed to save alert rule '{uid}' in organization {org_id} due to conflict: {error}");
            return Answer::json(
                409,
                json!({"statusCode": 409, "messageId": "alerting.alert-rule.conflict",
                "message": message, "extra": {"Error": error, "OrgID": org_id, "RuleUID": uid}}),
            );
        }
        let same = other.folder == folder && text_of(&other) == title;
        let why = if same {
            "rule title under the same organisation and folder should be unique"
        } else {
            "rule UID under the same organisation should be unique"
        };
        return conflict(profile, &uid, &title, &folder, &other, why);
    }
    if let Some(refusal) = title_taken(call, &title, &folder, &uid) {
        return refusal;
    }
    if uid.is_empty() {
        uid = call.state.new_uid();
    }
    call.org().intervals.entry((folder.clone(), group.clone())).or_insert(60);
    let rule = Rule {
        id: call.state.next("rule"),
        uid,
        folder,
        group,
        body: with_defaults(rule),
        updated: Timestamp::now(),
        provenance: call.provenance().to_owned(),
    };
    call.org().rules.push(rule.clone());
    Answer::json(201, shown(call, &rule, true))
}

fn update(call: &mut Call<'_>, uid: &str) -> Answer {
    let (profile, body) = (call.profile, call.body.clone());
    let Some(at) = call.org().rules.iter().position(|rule| rule.uid == uid) else { return Answer::empty(404) };
    let read = match read(profile, &body) {
        Ok(rule) => rule,
        Err(what) => return invalid(profile, &what),
    };
    let (folder, group) = (text(&body, "folderUID").to_owned(), text(&body, "ruleGroup").to_owned());
    if let Some(refusal) = title_taken(call, text(&body, "title"), &folder, uid) {
        return refusal;
    }
    call.org().intervals.entry((folder.clone(), group.clone())).or_insert(60);
    let provenance = call.provenance();
    let rule = &mut call.org().rules[at];
    rule.folder = folder;
    rule.group = group;
    rule.body = with_defaults(read);
    rule.updated = Timestamp::now();
    provenance.clone_into(&mut rule.provenance);
    let rule = rule.clone();
    Answer::json(200, shown(call, &rule, true))
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
        match read(profile, rule) {
            Ok(read) => wanted.push((uid.to_owned(), read)),
            Err(what) => return invalid(profile, &what),
        }
    }
    if let Some(refusal) = clash_in_group(call, folder, group, &wanted) {
        return refusal;
    }
    let echo: Vec<Value> = wanted.iter().map(|(uid, rule)| echoed(uid, rule)).collect();
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
fn echoed(uid: &str, rule: &Map<String, Value>) -> Value {
    let mut body = Value::Object(rule.clone());
    body["id"] = json!(0);
    body["uid"] = json!(uid);
    body["orgID"] = json!(0);
    body["folderUID"] = json!("");
    body["ruleGroup"] = json!("");
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
            body: with_defaults(rule),
            updated: Timestamp::now(),
            provenance: provenance.to_owned(),
        });
    }
    before.retain(|rule| rule.folder != folder || rule.group != group);
    before.extend(stored);
    call.org().rules = before;
}
