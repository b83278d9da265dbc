//! Single alert rules: `/api/v1/provisioning/alert-rules`. Their groups are in `rule_group`, what a rule is in `rule_body`.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Profile;
use super::answer::Answer;
use super::field::text;
use super::route::Call;
use super::rule_body::{Sent, invalid, kept, read, shown};
use super::rule_group;
use super::state::Rule;

pub(super) fn route(call: &mut Call<'_>, method: &str, rest: &[&str]) -> Option<Answer> {
    Some(match (method, rest) {
        ("GET", ["alert-rules"]) => {
            let mut rules = call.org().rules.clone();
            rules.sort_by_key(|rule| (rule.folder.clone(), rule.group.clone()));
            Answer::json(200, rules.iter().map(|rule| shown(call, rule, true)).collect())
        }
        ("GET", ["alert-rules", "export"]) => rule_group::export(call, |_| true),
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
        (_, ["folder", folder, "rule-groups", group, rest @ ..]) => {
            return rule_group::route(call, method, folder, group, rest);
        }
        _ => return None,
    })
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

pub(super) fn text_of(rule: &Rule) -> &str {
    rule.body.get("title").and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn conflict(profile: Profile, uid: &str, title: &str, folder: &str, other: &Rule, why: &str) -> Answer {
    let (other_uid, other_title, other_folder) = (&other.uid, text_of(other), &other.folder);
    let message = format!(
        "[alerting.alert-rule.conflict] alert rule [rule_uid: '{uid}', title: '{title}', namespace_uid: '{folder}'] \
         conflicts with existing [rule_uid: '{other_uid}', title: '{other_title}', namespace_uid: '{other_folder}']: {why}"
    );
    profile.traced(400, &message)
}

fn create(call: &mut Call<'_>) -> Answer {
    let (profile, body) = (call.profile, call.body.clone());
    let rule = match read(call, &body, Sent::Alone) {
        Ok(rule) => rule,
        Err(refusal) => return refusal,
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
        body: kept(rule),
        updated: Timestamp::now(),
        provenance: call.provenance().to_owned(),
    };
    call.org().rules.push(rule.clone());
    Answer::json(201, shown(call, &rule, true))
}

fn update(call: &mut Call<'_>, uid: &str) -> Answer {
    let body = call.body.clone();
    let Some(at) = call.org().rules.iter().position(|rule| rule.uid == uid) else { return Answer::empty(404) };
    let read = match read(call, &body, Sent::Alone) {
        Ok(rule) => rule,
        Err(refusal) => return refusal,
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
    rule.body = kept(read);
    rule.updated = Timestamp::now();
    provenance.clone_into(&mut rule.provenance);
    let rule = rule.clone();
    Answer::json(200, shown(call, &rule, true))
}
