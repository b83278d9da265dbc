//! Correlations of data sources: `/api/datasources/uid/{uid}/correlations` and `/api/datasources/correlations`.

use serde_json::{Value, json};

use super::Profile;
use super::answer::Answer;
use super::field::text;
use super::route::Call;
use super::state::Correlation;

pub(super) fn all(call: &mut Call<'_>) -> Answer {
    let (profile, org_id) = (call.profile, call.org_id);
    let size = call.request.number("limit", 100);
    let rows: Vec<Value> = call.org().correlations.iter().map(|one| shown(profile, org_id, one)).collect();
    let (total, page) = (rows.len(), call.request.number("page", 1));
    let rows = call.request.page(rows, size);
    Answer::json(200, json!({"correlations": rows, "totalCount": total, "page": page, "limit": size}))
}

pub(super) fn route(call: &mut Call<'_>, method: &str, source: &str, rest: &[&str]) -> Option<Answer> {
    let (profile, org_id) = (call.profile, call.org_id);
    Some(match (method, rest) {
        ("GET", []) => {
            let own = call.org().correlations.iter().filter(|one| one.source == source);
            Answer::json(200, own.map(|one| shown(profile, org_id, one)).collect())
        }
        ("POST", []) => create(call, source),
        (_, [uid]) => {
            let at = call.org().correlations.iter().position(|one| one.source == source && one.uid == *uid)?;
            match method {
                "GET" => Answer::json(200, shown(profile, org_id, &call.org().correlations[at])),
                "PATCH" => update(call, at),
                _ => return None,
            }
        }
        _ => return None,
    })
}

/// 10.4 keeps the type within the configuration, later ones beside it.
fn shown(profile: Profile, org_id: i64, one: &Correlation) -> Value {
    let mut body = json!({"uid": one.uid, "sourceUID": one.source, "orgId": org_id, "targetUID": one.target,
        "label": one.label, "description": one.description, "config": one.config, "provisioned": false});
    if profile == Profile::V10 {
        body["config"]["type"] = json!(one.kind);
    } else {
        body["type"] = json!(one.kind);
    }
    body
}

fn exists(call: &mut Call<'_>, uid: &str) -> bool {
    call.org().datasources.iter().any(|source| source.fields["uid"] == json!(uid))
}

fn create(call: &mut Call<'_>, source: &str) -> Answer {
    let (profile, body) = (call.profile, call.body.clone());
    let beside = if profile == Profile::V10 { &body["config"] } else { &body };
    let kind = text(beside, "type").to_owned();
    let known = kind == "query" || kind == "external" && profile >= Profile::V11;
    let target = body["targetUID"].as_str().map(str::to_owned);
    if !known || kind == "query" && target.is_none() {
        return profile.traced(400, "bad request data");
    }
    if !exists(call, source) || target.as_ref().is_some_and(|target| !exists(call, target)) {
        return profile.traced(404, "Data source not found");
    }
    let mut config = body["config"].clone();
    if let Some(config) = config.as_object_mut() {
        config.remove("type");
    }
    let one = Correlation {
        // Whatever was sent, it gets a uid of the server's own.
        uid: call.state.new_uid(),
        source: source.to_owned(),
        target,
        label: text(&body, "label").to_owned(),
        description: text(&body, "description").to_owned(),
        config,
        kind,
    };
    call.org().correlations.push(one.clone());
    written(call, &one, "Correlation created")
}

fn update(call: &mut Call<'_>, at: usize) -> Answer {
    let body = call.body.clone();
    let one = &mut call.org().correlations[at];
    for (field, value) in [("label", &mut one.label), ("description", &mut one.description)] {
        if let Some(sent) = body[field].as_str() {
            sent.clone_into(value);
        }
    }
    for (field, sent) in body["config"].as_object().into_iter().flatten().filter(|(field, _)| *field != "type") {
        one.config[field] = sent.clone();
    }
    let one = one.clone();
    written(call, &one, "Correlation updated")
}

fn written(call: &Call<'_>, one: &Correlation, message: &str) -> Answer {
    Answer::json(200, json!({"result": shown(call.profile, call.org_id, one), "message": message}))
}
