//! Alert rule groups: `alert_rules/<folder>/<group>.json`, one group each, replaced as a whole.
//!
//! A rule without a uid keeps that of the server's rule of its title, else gets one by its path: a group that is written without
//! uids gets new ones each time. Up to 10.4 a group takes no rule with a new uid; those are made one by one first.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use common::engine::change::{Change, Failure, ObjectId};
use common::engine::diff::{Writing, diff};
use common::engine::document::{Have, Held, Making, Pair, Pending, Request, Row, bodies, take_field};
use common::files::{Key, Object, Problem, Set};
use common::net::http::{Call, LIST_LIMIT, parallel};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::alerting::{call, duration, exported, locked, milliseconds, provenance};
use crate::datasource::dangling;
use crate::declared::by_name;
use crate::folder::above;
use crate::identity::elsewhere;
use crate::scope::{READERS, Rules, STEP, Scope, seen};
use crate::server::part;
use crate::uid;

/// The row.
pub(crate) const ROW: Row<Scope> = Row {
    judge: Some(judge),
    check,
    unique,
    needs,
    preflight,
    export,
    ..Row::new("alert_rules", read, |making| Ok(step(making)))
};

const RULES: &str = "/api/v1/provisioning/alert-rules";

/// Takes the group out of a provisioning export, whose names differ.
pub(crate) fn unwrap(_: &str, body: Value) -> Value {
    let mut body = exported(body, "groups");
    if let Some(seconds) = body["interval"].as_str().and_then(milliseconds) {
        body["interval"] = json!(seconds / 1000);
    }
    if let Some(fields) = body.as_object_mut()
        && !fields.contains_key("title")
        && let Some(name) = fields.remove("name")
    {
        fields.insert("title".into(), name);
    }
    body.get_mut("rules").and_then(Value::as_array_mut).into_iter().flatten().for_each(unwrap_rule);
    body
}

/// The API drops a field of another name without a word.
fn unwrap_rule(rule: &mut Value) {
    let Some(fields) = rule.as_object_mut() else { return };
    let renamed =
        [("keepFiringFor", "keep_firing_for"), ("missing_series_evals_to_resolve", "missingSeriesEvalsToResolve")];
    for (exported, api) in renamed {
        if let Some(value) = fields.remove(exported) {
            fields.insert(api.into(), value);
        }
    }
    for (field, annotation) in [("dashboardUid", "__dashboardUid__"), ("panelId", "__panelId__")] {
        if let Some(value) = fields.remove(field) {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let annotations = fields.entry("annotations").or_insert_with(|| json!({}));
            annotations.as_object_mut().map(|map| map.entry(annotation).or_insert_with(|| json!(text)));
        }
    }
    if let Some(record) = fields.get_mut("record").and_then(Value::as_object_mut)
        && let Some(target) = record.remove("targetDatasourceUid")
    {
        record.insert("target_datasource_uid".into(), target);
    }
}

fn title_of(object: &Object, body: &Value) -> String {
    let file = object.parts.last().unwrap_or(&object.id.name);
    body["title"].as_str().unwrap_or(file).to_owned()
}

/// The uid of the folder that the path names: a declared directory, else a uid, declared or on the server.
fn folder_of(scope: &Scope, object: &Object) -> Result<String, Failure> {
    let path = above(object);
    if let Some(uid) = scope.memory.borrow().folders.get(path) {
        return Ok(uid.clone());
    }
    match path {
        [uid] => Ok(uid.clone()),
        _ => Err(Failure::rejected(format!("dashboards/{} is no declared folder", path.join("/")))),
    }
}

fn group_path(folder: &str, title: &str) -> String {
    format!("/api/v1/provisioning/folder/{}/rule-groups/{}", part(folder), part(title))
}

/// A rule in the list of all, without what it does: there may be tens of thousands.
#[derive(Deserialize)]
struct Listed {
    uid: Option<String>,
    title: Option<String>,
    #[serde(rename = "folderUID")]
    folder: Option<String>,
    #[serde(rename = "ruleGroup")]
    group: Option<String>,
    provenance: Option<String>,
}

fn all(scope: &Scope) -> Result<Vec<Listed>, Failure> {
    let reply = scope.client().send(&Call::get(RULES).at_most(LIST_LIMIT))?;
    Ok(reply.parsed::<Option<_>>()?.unwrap_or_default())
}

fn read(scope: &Scope, want: &[Rc<Object>]) -> Result<Held, Failure> {
    let mut held = Held::new();
    let rules = all(scope)?;
    let mut groups: BTreeMap<(String, String), Vec<&Listed>> = BTreeMap::new();
    for rule in &rules {
        groups
            .entry((rule.folder.clone().unwrap_or_default(), rule.group.clone().unwrap_or_default()))
            .or_default()
            .push(rule);
    }
    let mut wanted = Vec::new();
    for object in want {
        wanted.push((object.id.name.clone(), (folder_of(scope, object)?, title_of(object, &object.value()?))));
    }
    if want.is_empty() {
        wanted.extend(groups.keys().map(|group| (format!("{}{STEP}{}", group.0, group.1), group.clone())));
    }
    let client = scope.client();
    // Kept as text: parsed, rules take ten times the memory.
    let found = parallel(&wanted, READERS, |(_, (folder, title))| {
        let group = seen(client, &group_path(folder, title))?;
        Ok(group.map(|group| (titles(&group), Have::of(&group))))
    });
    let uids: BTreeSet<&str> = rules.iter().filter_map(|rule| rule.uid.as_deref()).collect();
    for (n, ((key, group), found)) in wanted.iter().zip(found).enumerate() {
        let ours = groups.get(group).map(Vec::as_slice).unwrap_or_default();
        let provenance = |rule: &&Listed| json!(rule.provenance);
        let (titles, have) = found?.unzip();
        let mut facts = json!({"folder": group.0, "titles": titles, "provenance": ours.first().map(provenance)});
        if let Some(object) = want.get(n).filter(|_| scope.version().0 <= 10) {
            let mut body = object.value()?;
            with_uids(object, &mut body, &facts["titles"]);
            facts["rules"] =
                uids_of(&body).filter(|uid| uids.contains(uid)).map(|uid| (uid.to_owned(), json!(true))).collect();
        }
        let have = match have {
            None => Have::absent(facts),
            Some(have) => Have {
                locked: ours.iter().find_map(|rule| locked(scope, &provenance(rule), true)),
                meta: facts,
                ..have
            },
        };
        held.insert(key.clone(), have);
    }
    Ok(held)
}

fn uids_of(group: &Value) -> impl Iterator<Item = &str> {
    group["rules"].as_array().into_iter().flatten().filter_map(|rule| rule["uid"].as_str())
}

/// The uids of a group's rules by their titles.
fn titles(group: &Value) -> Value {
    let rules = group["rules"].as_array().into_iter().flatten();
    rules.filter_map(|rule| Some((rule["title"].as_str()?.to_owned(), rule["uid"].clone()))).collect()
}

/// Gives every rule its uid; `titles` are the server's rules of the group.
fn with_uids(object: &Object, group: &mut Value, titles: &Value) {
    for rule in group.get_mut("rules").and_then(Value::as_array_mut).into_iter().flatten() {
        if rule["uid"].as_str().is_none_or(str::is_empty) {
            let title = rule["title"].as_str().unwrap_or_default().to_owned();
            let mut path = object.parts.clone();
            path.push(title.clone());
            rule["uid"] = match &titles[&title] {
                Value::String(held) => json!(held),
                _ => json!(uid::of_path(&path, false)),
            };
        }
    }
}

/// Rules by uid and their order, so that a difference names its rule; without what servers add.
fn normal(group: &Value) -> Value {
    let mut rules = Map::new();
    let mut order = Vec::new();
    for rule in group["rules"].as_array().into_iter().flatten() {
        let mut rule = rule.clone();
        let uid = rule["uid"].as_str().unwrap_or_default().to_owned();
        normal_rule(&mut rule);
        order.push(json!(uid));
        rules.insert(uid, rule);
    }
    let interval = group["interval"].as_i64().unwrap_or(60);
    json!({"interval": interval, "rules": rules, "order": order})
}

fn normal_rule(rule: &mut Value) {
    for field in ["for", "keep_firing_for"] {
        if rule.get(field).is_some() {
            duration(rule, field);
        }
    }
    for query in rule.get_mut("data").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(fields) = query.as_object_mut() {
            if let Some(range) = fields.get_mut("relativeTimeRange").and_then(Value::as_object_mut) {
                range.retain(|_, value| *value != json!(0));
            }
            if let Some(model) = fields.get_mut("model").and_then(Value::as_object_mut) {
                model.retain(|key, value| {
                    !(key == "intervalMs" && *value == json!(1000) || key == "maxDataPoints" && *value == json!(43200))
                });
            }
            fields.retain(|key, value| match key.as_str() {
                "queryType" => *value != json!(""),
                // A query of expressions needs none, and the server shows one from 0 to 0.
                "relativeTimeRange" => !value.is_null() && *value != json!({}),
                _ => true,
            });
        }
    }
    let Some(fields) = rule.as_object_mut() else { return };
    for made in ["id", "uid", "orgID", "updated", "provenance", "ruleGroup", "folderUID"] {
        fields.remove(made);
    }
    if records(fields) {
        // Of a recording rule the server empties what only an alert has.
        for emptied in ["condition", "noDataState", "execErrState", "for", "keep_firing_for"] {
            fields.remove(emptied);
        }
    }
    if let Some(settings) = fields.get_mut("notification_settings").filter(|settings| settings.is_object()) {
        normal_settings(settings);
    }
    fields.retain(|key, value| {
        let default = match key.as_str() {
            "noDataState" => NO_DATA,
            "execErrState" => ERROR,
            "for" | "keep_firing_for" => "0s",
            "isPaused" => return *value != json!(false) && !value.is_null(),
            _ => "",
        };
        !value.is_null() && *value != json!({}) && *value != json!("") && *value != json!(default)
    });
}

/// What becomes of an alert whose query has no data or fails, where a provisioning file says nothing (Grafana's own defaults).
const NO_DATA: &str = "NoData";
const ERROR: &str = "Alerting";

fn records(rule: &Map<String, Value>) -> bool {
    rule.get("record").is_some_and(|record| !record.is_null())
}

/// Durations by value, lists as sets, nothing that is empty.
fn normal_settings(settings: &mut Value) {
    for field in ["group_wait", "group_interval", "repeat_interval"] {
        if settings.get(field).is_some() {
            duration(settings, field);
        }
    }
    let Some(fields) = settings.as_object_mut() else { return };
    for list in fields.values_mut().filter_map(Value::as_array_mut) {
        list.sort_by_key(ToString::to_string);
    }
    fields.retain(|_, value| !value.is_null() && *value != json!([]) && *value != json!(""));
}

/// The API refuses an alert without these two, a provisioning file may leave them out.
fn fill(rule: &mut Value) {
    let Some(fields) = rule.as_object_mut().filter(|fields| !records(fields)) else { return };
    for (field, default) in [("noDataState", NO_DATA), ("execErrState", ERROR)] {
        if fields.get(field).and_then(Value::as_str).is_none_or(str::is_empty) {
            fields.insert(field.into(), json!(default));
        }
    }
}

fn judge(pair: &Pair<'_, Rules>) -> Change {
    let mut want = pair.want.clone();
    with_uids(pair.object, &mut want, &pair.have.meta["titles"]);
    let (mut have, mut want) = (normal(pair.held), normal(&want));
    let orders = [have["order"].take(), want["order"].take()];
    // 10.4 keeps the order in which the rules were made, whatever is sent.
    let mut notes = Vec::new();
    if pair.rules.major <= 10 {
        if orders[0] != orders[1] {
            notes.push("up to Grafana 10 the order of rules is that in which they were made".to_owned());
        }
    } else {
        [have["order"], want["order"]] = orders;
    }
    let change = Change::update(diff(Writing::Replaces, &have, &want));
    provenance(pair, notes.into_iter().fold(change, Change::note))
}

/// The group as the API takes it.
fn group_of(object: &Object, mut body: Value, facts: &Value) -> Value {
    with_uids(object, &mut body, &facts["titles"]);
    body.get_mut("rules").and_then(Value::as_array_mut).into_iter().flatten().for_each(fill);
    json!({"title": title_of(object, &body), "folderUid": facts["folder"],
        "interval": body["interval"].as_i64().unwrap_or(60), "rules": take_field(&mut body, "rules")})
}

fn step(making: Making<'_, Rules>) -> Vec<Request> {
    let facts = making.meta.clone();
    let group = group_of(making.object, making.body, &facts);
    let text = |field: &str| group[field].as_str().unwrap_or_default();
    let path = group_path(text("folderUid"), text("title"));
    let mut requests = Vec::new();
    if making.rules.major <= 10 {
        let there = |rule: &&Value| rule["uid"].as_str().is_some_and(|uid| facts["rules"].get(uid).is_some());
        for rule in group["rules"].as_array().into_iter().flatten().filter(|rule| !there(rule)) {
            let mut rule = rule.clone();
            rule["folderUID"] = group["folderUid"].clone();
            rule["ruleGroup"] = group["title"].clone();
            rule["orgID"] = json!(0);
            requests.push(Request::new(call(making.rules, Call::post(RULES, rule.to_string()))));
        }
    }
    let whole = call(making.rules, Call::put(path, Vec::new()));
    requests.push(Request::of_file(whole, move |object, body| group_of(object, body, &facts)));
    requests
}

fn unique(_: &Object, body: &Value) -> Vec<Key> {
    let rules = body["rules"].as_array().into_iter().flatten().enumerate();
    rules
        .filter_map(|(index, rule)| Some((format!("/rules/{index}/uid"), "uid", rule["uid"].as_str()?.to_owned())))
        .collect()
}

fn needs(object: &Object, body: &Value, set: &Set) -> Vec<ObjectId> {
    let name = above(object).join("/");
    let by_uid = crate::folder::of_uid(set, object, &name);
    let mut needs = vec![by_uid.unwrap_or(ObjectId { org: object.id.org.clone(), kind: "folders", name })];
    let settings = |rule: &Value| rule["notification_settings"]["receiver"].as_str().map(str::to_owned);
    let receivers: BTreeSet<String> = body["rules"].as_array().into_iter().flatten().filter_map(settings).collect();
    if !receivers.is_empty() {
        let declared = by_name(set, object.id.org.as_deref(), "contact_points");
        needs.extend(receivers.iter().filter_map(|receiver| declared.get(receiver).cloned()));
    }
    needs
}

fn check(object: &Object, body: &Value, set: &Set) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Some(groups) = body["groups"].as_array() {
        let text = format!("the export holds {} groups: write one file for each", groups.len());
        return vec![object.problem("/groups", text)];
    }
    let path = above(object);
    match path {
        [] => problems.push(object.problem("", "a group lies in a folder: alert_rules/<folder>/<group>.json")),
        [_] => {}
        _ if set.folders.contains(&(object.id.org.clone(), "dashboards", path.to_vec())) => {}
        _ => problems.push(object.problem("", format!("dashboards/{} is no declared folder", path.join("/")))),
    }
    let known = ["title", "folderUid", "interval", "rules", "orgId", "folder"];
    for key in body.as_object().into_iter().flatten().map(|(key, _)| key).filter(|key| !known.contains(&key.as_str())) {
        let text = "unknown field of a group: known are title, interval and rules";
        problems.push(object.problem(&common::files::json::step(key), text));
    }
    let folder = body["folder"].as_str().filter(|folder| path.last().is_none_or(|last| last != folder));
    let named = folder.or(body["folderUid"].as_str().filter(|uid| path != [*uid]));
    if let Some(folder) = named {
        let text = format!("the folder is the directory that the file lies in: {folder:?} is not used");
        problems.push(object.problem("/folder", text).warning());
    }
    problems.extend(elsewhere(object, body));
    let interval = &body["interval"];
    if !interval.is_null() && interval.as_i64().is_none_or(|seconds| seconds <= 0 || seconds % 10 != 0) {
        problems.push(object.problem("/interval", "must be seconds, a multiple of 10"));
    }
    let rules = body["rules"].as_array().cloned().unwrap_or_default();
    if rules.is_empty() {
        problems.push(object.problem("/rules", "a group needs a rule: Grafana keeps no empty group"));
    }
    let mut titles = BTreeSet::new();
    for (index, rule) in rules.iter().enumerate() {
        let at = |field: &str| format!("/rules/{index}/{field}");
        match rule["title"].as_str() {
            None | Some("") => problems.push(object.problem(&at("title"), "a rule needs a title")),
            Some(title) if !titles.insert(title) => {
                problems.push(object.problem(&at("title"), format!("the title {title:?} is there twice")));
            }
            Some(_) => {}
        }
        if let Some(uid) = rule["uid"].as_str() {
            problems.extend(uid::wrong(uid).map(|wrong| object.problem(&at("uid"), wrong)));
        }
        for field in ["for", "keep_firing_for"] {
            let given = rule.get(field).filter(|time| !time.is_null());
            if given.is_some_and(|time| time.as_str().and_then(milliseconds).is_none()) {
                problems.push(object.problem(&at(field), "must be a duration such as \"5m\""));
            }
        }
        check_settings(object, &rule["notification_settings"], &at("notification_settings"), &mut problems);
        let states = [
            ("noDataState", &["Alerting", "NoData", "OK", "KeepLast"]),
            ("execErrState", &["Alerting", "Error", "OK", "KeepLast"]),
        ];
        for (field, known) in states {
            if rule[field].as_str().is_some_and(|state| !state.is_empty() && !known.contains(&state)) {
                problems.push(object.problem(&at(field), format!("must be one of {}", known.join(", "))));
            }
        }
        let (field, named) = if rule["record"].is_object() {
            ("record/from", &rule["record"]["from"])
        } else {
            ("condition", &rule["condition"])
        };
        let mut queries = rule["data"].as_array().into_iter().flatten();
        if named.as_str().is_none_or(|name| !queries.any(|query| query["refId"] == name)) {
            let text =
                format!("{named} is the refId of none of the rule's queries: the rule would fail on each evaluation");
            problems.push(object.problem(&at(field), text).warning());
        }
    }
    problems
}

fn check_settings(object: &Object, settings: &Value, at: &str, problems: &mut Vec<Problem>) {
    for field in ["group_wait", "group_interval", "repeat_interval"] {
        let given = settings[field].as_str().filter(|time| !time.is_empty());
        if given.is_some_and(|time| milliseconds(time).is_none()) {
            problems.push(object.problem(&format!("{at}/{field}"), "must be a duration such as \"5m\""));
        }
    }
}

/// 10 and 11 take a group into a folder that is not there, and cannot export afterwards.
fn preflight(scope: &Scope, set: &Set, todo: &[Pending<'_>]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let uids = scope.memory.borrow().folder_uids();
    for (object, _) in todo {
        let path = above(object);
        let name = path.join("/");
        if scope.memory.borrow().folders.contains_key(path) || uids.contains(&name) {
            continue;
        }
        if matches!(scope.get(&format!("/api/folders/{}", part(&name))), Ok(None)) {
            let text = format!(
                "{name:?} is neither a directory below dashboards nor the uid of a folder, declared or on the server"
            );
            problems.push(object.problem("", text));
        }
    }
    if scope.version().0 <= 11 {
        problems.extend(titles_taken(scope, todo));
    }
    problems.extend(too_new(scope.version().0, todo));
    let sources = |body: &Value| {
        let queries =
            body["rules"].as_array().into_iter().flatten().filter_map(|rule| rule["data"].as_array()).flatten();
        queries.filter_map(|query| query["datasourceUid"].as_str().map(str::to_owned)).collect()
    };
    problems.extend(dangling(scope, set, todo, sources));
    problems
}

/// Fields that older servers drop without a word, and the version that first kept each.
fn too_new(major: u32, todo: &[Pending<'_>]) -> Vec<Problem> {
    const SINCE: [(&str, u32); 3] = [("record", 11), ("keep_firing_for", 12), ("missingSeriesEvalsToResolve", 12)];
    let mut problems = Vec::new();
    for (object, body, _) in bodies(todo) {
        for (index, rule) in body["rules"].as_array().into_iter().flatten().enumerate() {
            let mut rule = rule.clone();
            normal_rule(&mut rule);
            for (field, since) in SINCE.iter().filter(|(field, since)| major < *since && rule.get(field).is_some()) {
                let text = format!("Grafana {major} drops {field} without a word: it needs Grafana {since}");
                problems.push(object.problem(&format!("/rules/{index}/{field}"), text));
            }
        }
    }
    problems
}

/// Up to 11.6 the title of a rule is unique in its folder: one that another group bears would be refused once others were written.
fn titles_taken(scope: &Scope, todo: &[Pending<'_>]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let held = all(scope).unwrap_or_default();
    let mut theirs: BTreeMap<(&str, &str), Vec<&Listed>> = BTreeMap::new();
    for rule in &held {
        theirs
            .entry((rule.folder.as_deref().unwrap_or_default(), rule.title.as_deref().unwrap_or_default()))
            .or_default()
            .push(rule);
    }
    let mut declared: BTreeMap<(String, String), &str> = BTreeMap::new();
    for (object, body, _) in bodies(todo) {
        let (Ok(folder), group) = (folder_of(scope, object), title_of(object, &body)) else { continue };
        for (index, rule) in body["rules"].as_array().into_iter().flatten().enumerate() {
            let title = rule["title"].as_str().unwrap_or_default();
            let at = format!("/rules/{index}/title");
            let taken = |other: &&&Listed| {
                other.group.as_deref() != Some(group.as_str()) && other.uid.as_deref() != rule["uid"].as_str()
            };
            let advice = "up to Grafana 11 a title is unique in its folder: change one of the two";
            if let Some(other) = theirs.get(&(folder.as_str(), title)).into_iter().flatten().find(taken) {
                let text = format!(
                    "the group {} on the server has a rule of this title here, and {advice}",
                    json!(other.group)
                );
                problems.push(object.problem(&at, text));
            }
            if let Some(first) = declared.insert((folder.clone(), title.to_owned()), &object.file)
                && *first != object.file
            {
                problems
                    .push(object.problem(&at, format!("the title is also that of a rule in {first}, and {advice}")));
            }
        }
    }
    problems
}

fn export(_: &str, mut body: Value, have: &Have) -> Option<(Value, Vec<String>)> {
    for rule in body.get_mut("rules").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(fields) = rule.as_object_mut() {
            for made in ["id", "orgID", "updated", "provenance", "ruleGroup", "folderUID"] {
                fields.remove(made);
            }
        }
    }
    have.locked.is_none().then_some((body, Vec::new()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(wait: &str) -> Value {
        json!({"uid": "r", "title": "Up", "condition": "B", "for": wait, "noDataState": "NoData", "labels": {"a": "b"},
            "data": [{"refId": "A", "datasourceUid": "p", "relativeTimeRange": {"from": 600, "to": 0}, "model": {"expr": "up"}}]})
    }

    #[test]
    fn the_names_of_the_export_become_those_of_the_api() {
        let exported = json!({"apiVersion": 1, "groups": [{"orgId": 1, "name": "g", "folder": "F", "interval": "1m", "rules": [
            {"uid": "r", "dashboardUid": "d", "panelId": 3, "keepFiringFor": "5m", "missing_series_evals_to_resolve": 2, "record": {"metric": "m", "targetDatasourceUid": "p"}}]}]});
        let rule = json!({"uid": "r", "annotations": {"__dashboardUid__": "d", "__panelId__": "3"}, "keep_firing_for": "5m",
            "missingSeriesEvalsToResolve": 2, "record": {"metric": "m", "target_datasource_uid": "p"}});
        assert_eq!(
            unwrap("g", exported),
            json!({"title": "g", "orgId": 1, "folder": "F", "interval": 60, "rules": [rule]})
        );
    }

    #[test]
    fn what_each_version_adds_is_no_difference() {
        let mut have = rule("5m");
        for (field, value) in [
            ("id", json!(1)),
            ("orgID", json!(1)),
            ("folderUID", json!("f")),
            ("ruleGroup", json!("g")),
            ("updated", json!("2026")),
            ("isPaused", json!(false)),
            ("record", Value::Null),
            ("notification_settings", Value::Null),
            ("keep_firing_for", json!("0s")),
            ("execErrState", json!("Alerting")),
            ("annotations", json!({})),
        ] {
            have[field] = value;
        }
        have["data"][0]["queryType"] = json!("");
        have["data"][0]["model"] = json!({"expr": "up", "intervalMs": 1000, "maxDataPoints": 43200});
        let group = |rule: Value| json!({"title": "g", "interval": 60, "rules": [rule]});
        assert_eq!(diff(Writing::Replaces, &normal(&group(have)), &normal(&group(rule("300s")))), []);
        let changed = diff(Writing::Replaces, &normal(&group(rule("1m"))), &normal(&group(rule("300s"))));
        assert_eq!(changed[0].to_string(), "/rules/r/for: \"60s\" -> \"300s\"");
    }

    /// As 11.6 and 12.4 were recorded to answer.
    #[test]
    fn what_the_server_empties_is_no_difference() {
        let same = |sent: &Value, shown: Value| {
            let (mut sent, mut shown) = (sent.clone(), shown);
            fill(&mut sent);
            normal_rule(&mut sent);
            normal_rule(&mut shown);
            assert_eq!(sent, shown);
        };
        let query = json!([{"refId": "C", "datasourceUid": "__expr__", "model": {"type": "threshold"}}]);
        let shown = json!([{"refId": "C", "queryType": "", "datasourceUid": "__expr__", "relativeTimeRange": {"from": 0, "to": 0},
            "model": {"type": "threshold", "intervalMs": 1000, "maxDataPoints": 43200}}]);
        same(
            &json!({"data": query}),
            json!({"data": shown, "noDataState": "NoData", "execErrState": "Alerting", "for": "0s"}),
        );
        same(
            &json!({"record": {"metric": "m", "from": "A"}, "condition": "C", "for": "5m", "noDataState": "NoData"}),
            json!({"record": {"metric": "m", "from": "A"}, "condition": "", "for": "0s", "noDataState": "", "execErrState": ""}),
        );
        same(
            &json!({"notification_settings": {"receiver": "r", "group_interval": "300s", "group_by": ["b", "a"], "mute_time_intervals": []}}),
            json!({"noDataState": "NoData", "execErrState": "Alerting",
                "notification_settings": {"receiver": "r", "group_interval": "5m", "group_by": ["a", "b"]}}),
        );
    }
}
