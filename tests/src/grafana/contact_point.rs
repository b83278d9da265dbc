//! Contact points: `/api/v1/provisioning/contact-points`, one row for each integration.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Profile;
use super::answer::Answer;
use super::field::{flag, object, text};
use super::policy;
use super::route::Call;
use super::state::{Integration, Role};

const REDACTED: &str = "[REDACTED]";

/// Integration types and which of their settings are secret.
const KINDS: &[(&str, &[&str])] = &[
    ("webhook", &["password", "authorization_credentials"]),
    ("email", &[]),
    ("slack", &["url", "token"]),
    ("pagerduty", &["integrationKey"]),
    ("opsgenie", &["apiKey"]),
    ("telegram", &["bottoken"]),
    ("discord", &["url"]),
    ("teams", &[]),
    ("googlechat", &["url"]),
    ("pushover", &["apiToken", "userKey"]),
    ("threema", &["api_secret"]),
    ("victorops", &["url"]),
    ("line", &["token"]),
    ("kafka", &["password"]),
    ("sensugo", &["apikey"]),
    ("webex", &["bot_token"]),
    ("wecom", &["url", "secret"]),
    ("prometheus-alertmanager", &["basicAuthPassword"]),
    ("dingding", &["url"]),
    ("mqtt", &["password"]),
    ("sns", &[]),
    ("oncall", &["password", "authorization_credentials"]),
    ("jira", &["password", "api_token"]),
];

impl Profile {
    /// What a new organization has: up to 11.6 a default mail receiver, from 12.4 on none.
    pub(super) fn first_integrations(self) -> Vec<Integration> {
        if self.has_resources() {
            return Vec::new();
        }
        vec![Integration {
            uid: String::new(),
            name: "email receiver".to_owned(),
            kind: "email".to_owned(),
            settings: Map::from_iter([("addresses".to_owned(), json!("<example@email.com>"))]),
            secrets: BTreeMap::new(),
            silent_resolve: false,
            provenance: String::new(),
        }]
    }
}

pub(super) fn route(call: &mut Call<'_>, method: &str, rest: &[&str]) -> Option<Answer> {
    Some(match (method, rest) {
        ("GET", []) => {
            let rows: Vec<Value> = named(call).iter().map(|one| shown(call.profile, one, true)).collect();
            let by_name = call.request.query("name").is_some_and(|name| !name.is_empty());
            if rows.is_empty() && by_name && call.profile == Profile::V10 {
                let message = "Internal Server Error - please inspect Grafana server log for details";
                return Some(Answer::json_utf8(500, json!({"error": "Server Error", "message": message})));
            }
            Answer::json(200, json!(rows))
        }
        ("GET", ["export"]) => export(call),
        ("POST", []) => create(call),
        ("PUT", [uid]) => update(call, uid),
        ("DELETE", [uid]) => delete(call, uid),
        _ => return None,
    })
}

/// All integrations, or those of the name that the query gives, in the order of the list.
fn named(call: &mut Call<'_>) -> Vec<Integration> {
    let name = call.request.query("name").filter(|name| !name.is_empty()).map(str::to_owned);
    let mut all = call.org().integrations.clone();
    all.retain(|one| name.as_ref().is_none_or(|name| one.name == *name));
    all.sort_by_key(|one| (one.name.clone(), one.uid.clone()));
    all
}

fn secret_keys(kind: &str) -> &'static [&'static str] {
    KINDS.iter().find(|(known, _)| *known == kind).map_or(&[], |(_, keys)| keys)
}

fn shown(profile: Profile, one: &Integration, with_provenance: bool) -> Value {
    let mut settings = one.settings.clone();
    for key in secret_keys(&one.kind) {
        // 10.4 stores every secret of the type, the empty ones too.
        if one.secrets.contains_key(*key) || profile == Profile::V10 {
            settings.insert((*key).to_owned(), json!(REDACTED));
        }
    }
    let mut body = json!({"uid": one.uid, "name": one.name, "type": one.kind, "settings": settings,
        "disableResolveMessage": one.silent_resolve});
    if with_provenance && !one.provenance.is_empty() {
        body["provenance"] = json!(one.provenance);
    }
    body
}

fn export(call: &mut Call<'_>) -> Answer {
    let decrypt = call.request.query("decrypt") == Some("true");
    if decrypt && call.actor.role < Role::Admin {
        return Answer::forbidden("alert.provisioning.secrets:read");
    }
    let org_id = call.org_id;
    let mut points: Vec<Value> = Vec::new();
    for one in named(call) {
        let mut settings = one.settings.clone();
        for (key, value) in one.secrets.iter().filter(|(_, value)| !value.is_empty()) {
            settings.insert(key.clone(), json!(if decrypt { value } else { REDACTED }));
        }
        let receiver = json!({"uid": one.uid, "type": one.kind, "settings": settings,
            "disableResolveMessage": one.silent_resolve});
        match points.last_mut().filter(|point| point["name"] == json!(one.name)) {
            Some(point) => point["receivers"].as_array_mut().expect("it was made as one").push(receiver),
            None => points.push(json!({"orgId": org_id, "name": one.name, "receivers": [receiver]})),
        }
    }
    Answer::json(200, json!({"apiVersion": 1, "contactPoints": points}))
}

/// What is wrong with an integration. The words for an unknown type are recorded, the others are not.
fn check(profile: Profile, body: &Value) -> Option<Answer> {
    let (name, kind) = (text(body, "name"), text(body, "type"));
    let refuse = |what: &str| Some(profile.traced(400, &format!("invalid object specification: {what}")));
    if !KINDS.iter().any(|(known, _)| *known == kind) {
        return if profile.has_resources() {
            refuse(&format!("unknown integration type: {kind}"))
        } else {
            let uid = text(body, "uid");
            refuse(&format!(
                "failed to validate integration \"{name}\" (UID {uid}) of type \"{kind}\": notifier {kind} is not supported"
            ))
        };
    }
    if name.is_empty() {
        return refuse("contact point name is required");
    }
    let needs = match kind {
        "webhook" => "url",
        "email" => "addresses",
        _ => return None,
    };
    if text(&body["settings"], needs).is_empty() {
        refuse(&format!("could not find {needs} in settings"))
    } else {
        None
    }
}

/// Takes the secrets out of the settings; what is sent as redacted keeps what `before` holds.
fn split(body: &Value, before: &BTreeMap<String, String>) -> (Map<String, Value>, BTreeMap<String, String>) {
    let mut settings = object(body, "settings");
    let mut secrets = BTreeMap::new();
    for key in secret_keys(text(body, "type")) {
        let Some(value) = settings.remove(*key).and_then(|value| value.as_str().map(str::to_owned)) else { continue };
        if value != REDACTED {
            secrets.insert((*key).to_owned(), value);
        } else if let Some(kept) = before.get(*key) {
            secrets.insert((*key).to_owned(), kept.clone());
        }
    }
    (settings, secrets)
}

fn create(call: &mut Call<'_>) -> Answer {
    let (profile, body) = (call.profile, call.body.clone());
    if let Some(wrong) = check(profile, &body) {
        return wrong;
    }
    let mut uid = text(&body, "uid").to_owned();
    if let Some(holder) = call.org().integrations.iter().find(|one| !uid.is_empty() && one.uid == uid) {
        let name = &holder.name;
        let advice = "Please use unique identifiers for receivers across all contact points";
        if profile == Profile::V10 {
            let message =
                format!("receiver configuration with UID '{uid}' already exist in contact point '{name}'. {advice}");
            return profile.traced(500, &message);
        }
        let message =
            format!("Receiver configuration with UID '{uid}' already exists in contact point '{name}'. {advice}.");
        return Answer::json(
            409,
            json!({"statusCode": 409, "messageId": "alerting.notifications.contact-points.uidInUse",
            "message": message, "extra": {"Name": name, "UID": uid}}),
        );
    }
    if uid.is_empty() {
        uid = call.state.new_uid();
    }
    let (settings, secrets) = split(&body, &BTreeMap::new());
    let one = Integration {
        uid,
        name: text(&body, "name").to_owned(),
        kind: text(&body, "type").to_owned(),
        settings,
        secrets,
        silent_resolve: flag(&body, "disableResolveMessage"),
        provenance: call.provenance().to_owned(),
    };
    call.org().integrations.push(one.clone());
    Answer::json(202, shown(profile, &one, false))
}

/// From `api` to none is refused: as a 500 up to 12.4, as a 403 from 13.
fn locked(call: &Call<'_>, stored: &str) -> Option<Answer> {
    if stored != "api" || !call.provenance().is_empty() {
        return None;
    }
    let message = "cannot change provenance from 'api' to ''";
    Some(if call.profile == Profile::V13 {
        call.profile.identified(403, "alerting.provenanceMismatch", message)
    } else {
        call.profile.traced(500, message)
    })
}

fn update(call: &mut Call<'_>, uid: &str) -> Answer {
    let (profile, body) = (call.profile, call.body.clone());
    let Some(at) = call.org().integrations.iter().position(|one| one.uid == uid) else {
        return profile.traced(404, &format!("object not found: contact point with uid '{uid}' not found"));
    };
    if let Some(wrong) = check(profile, &body) {
        return wrong;
    }
    let mut one = call.org().integrations[at].clone();
    if let Some(refusal) = locked(call, &one.provenance) {
        return refusal;
    }
    let (settings, secrets) = split(&body, &one.secrets);
    one.settings = settings;
    one.secrets = secrets;
    text(&body, "name").clone_into(&mut one.name);
    text(&body, "type").clone_into(&mut one.kind);
    one.silent_resolve = flag(&body, "disableResolveMessage");
    call.provenance().clone_into(&mut one.provenance);
    call.org().integrations[at] = one;
    Answer::message(202, "contactpoint updated")
}

fn delete(call: &mut Call<'_>, uid: &str) -> Answer {
    let Some(at) = call.org().integrations.iter().position(|one| one.uid == uid) else {
        return Answer::message(202, "contactpoint deleted");
    };
    let name = call.org().integrations[at].name.clone();
    let alone = call.org().integrations.iter().filter(|one| one.name == name).count() == 1;
    if alone && policy::mentions(&call.org().policy, "receiver", &name) {
        return if call.profile == Profile::V10 {
            call.profile.traced(500, "contact point is currently used by a notification policy")
        } else {
            call.profile.identified(
                409,
                "alerting.notifications.contact-points.referenced",
                "Contact point is currently referenced by a notification policy.",
            )
        };
    }
    call.org().integrations.remove(at);
    Answer::message(202, "contactpoint deleted")
}
