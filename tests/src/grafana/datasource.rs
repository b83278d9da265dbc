//! Data sources: `/api/datasources`.
//!
//! What a PUT does to what it leaves out is xorm's doing (10.4 to 12.4): booleans, `database`, `user` and `jsonData` are
//! cleared, `url` and `basicAuthUser` stay, and secrets stay key by key.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Profile;
use super::answer::Answer;
use super::field::{flag, object, text};
use super::plugin;
use super::route::Call;
use super::state::DataSource;

pub(super) fn route(call: &mut Call<'_>, method: &str, rest: &[&str]) -> Option<Answer> {
    match (method, rest) {
        ("GET", []) => Some(list(call)),
        ("POST", []) => Some(create(call)),
        (_, ["uid", uid]) => Some(one(call, method, |source| text_of(source, "uid") == *uid)),
        (_, ["name", name]) => Some(one(call, method, |source| text_of(source, "name") == *name)),
        (_, [id]) if call.profile <= Profile::V12 => {
            let id: i64 = id.parse().ok()?;
            Some(one(call, method, |source| source.id == id))
        }
        _ => None,
    }
}

fn text_of<'a>(source: &'a DataSource, field: &str) -> &'a str {
    source.fields.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn one(call: &mut Call<'_>, method: &str, is: impl Fn(&DataSource) -> bool) -> Answer {
    let Some(at) = call.org().datasources.iter().position(is) else {
        return Answer::message(404, "Data source not found");
    };
    let source = call.org().datasources[at].clone();
    match method {
        "GET" => Answer::json(200, shown(call, &source)),
        "PUT" => update(call, at),
        "DELETE" if source.read_only => Answer::message(403, "Cannot delete read-only data source"),
        "DELETE" => {
            call.org().datasources.remove(at);
            Answer::json(200, json!({"message": "Data source deleted", "id": source.id}))
        }
        _ => Answer::no_route(),
    }
}

fn list(call: &mut Call<'_>) -> Answer {
    let profile = call.profile;
    let mut sources = call.org().datasources.clone();
    sources.sort_by_key(|source| text_of(source, "name").to_lowercase());
    let rows: Vec<Value> = sources
        .iter()
        .map(|source| {
            let kind = text_of(source, "type");
            let mut row = source.fields.clone();
            for hidden in ["basicAuthUser", "withCredentials", "version"] {
                row.remove(hidden);
            }
            row.insert("id".to_owned(), json!(source.id));
            row.insert("typeLogoUrl".to_owned(), json!(plugin::logo(profile, kind)));
            row.insert("typeName".to_owned(), json!(plugin::type_name(kind)));
            row.insert("readOnly".to_owned(), json!(source.read_only));
            Value::Object(row)
        })
        .collect();
    Answer::json(200, json!(rows))
}

fn shown(call: &Call<'_>, source: &DataSource) -> Value {
    let mut body = source.fields.clone();
    body.insert("id".to_owned(), json!(source.id));
    body.insert("typeLogoUrl".to_owned(), json!(plugin::logo(call.profile, text_of(source, "type"))));
    body.insert("readOnly".to_owned(), json!(source.read_only));
    let keys: BTreeMap<&String, bool> = source.secrets.keys().map(|key| (key, true)).collect();
    body.insert("secureJsonFields".to_owned(), json!(keys));
    if call.profile >= Profile::V11 {
        body.insert("apiVersion".to_owned(), json!(""));
    }
    Value::Object(body)
}

fn written(call: &Call<'_>, source: &DataSource, message: &str) -> Answer {
    let name = text_of(source, "name");
    Answer::json(200, json!({"datasource": shown(call, source), "id": source.id, "message": message, "name": name}))
}

/// Why a body is no data source.
fn unfit(profile: Profile, body: &Value) -> Option<Answer> {
    if ["name", "type", "access"].into_iter().any(|field| text(body, field).is_empty()) {
        return Some(profile.traced(400, "bad request data"));
    }
    let mut escapes = text(body, "url").split('%').skip(1);
    let broken =
        escapes.any(|escape| !escape.as_bytes().get(..2).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit)));
    broken.then(|| profile.traced(400, "Validation error, invalid URL"))
}

fn create(call: &mut Call<'_>) -> Answer {
    let body = call.body.clone();
    let profile = call.profile;
    if let Some(refusal) = unfit(profile, &body) {
        return refusal;
    }
    let taken = |call: &mut Call<'_>, field: &str| {
        let wanted = text(&body, field);
        !wanted.is_empty() && call.org().datasources.iter().any(|source| text_of(source, field) == wanted)
    };
    if taken(call, "name") {
        return profile.traced(409, "data source with the same name already exists");
    }
    if taken(call, "uid") {
        return profile.traced(409, "data source with the same uid already exists");
    }
    let uid = match text(&body, "uid") {
        "" => call.state.new_uid(),
        given => given.to_owned(),
    };
    let first = call.org().datasources.is_empty();
    let id = call.state.next("data source");
    let org_id = call.org_id;
    let mut fields = writable(&body);
    fields.insert("uid".to_owned(), json!(uid));
    fields.insert("orgId".to_owned(), json!(org_id));
    fields.insert("version".to_owned(), json!(1));
    if first {
        // 10.4 and later: the first one of an organization becomes the default unasked.
        fields.insert("isDefault".to_owned(), json!(true));
    }
    let source = DataSource { id, fields, secrets: secrets(&body), read_only: false };
    store(call, None, source.clone());
    written(call, &source, "Datasource added")
}

fn update(call: &mut Call<'_>, at: usize) -> Answer {
    let body = call.body.clone();
    let profile = call.profile;
    if let Some(refusal) = unfit(profile, &body) {
        return refusal;
    }
    let mut source = call.org().datasources[at].clone();
    if source.read_only {
        return Answer::message(403, "Cannot update read-only data source");
    }
    let uid = text(&body, "uid");
    if !uid.is_empty() && uid != text_of(&source, "uid") && profile >= Profile::V12 {
        return profile.traced(500, "Failed to update datasource");
    }
    let others = || call.state.orgs[&call.org_id].datasources.iter().filter(|other| other.id != source.id);
    if others().any(|other| text_of(other, "name") == text(&body, "name")) {
        return profile.traced(409, "data source with the same name already exists");
    }
    if others().any(|other| !uid.is_empty() && text_of(other, "uid") == uid) {
        return profile.traced(409, "data source with the same uid already exists");
    }
    let stored = source.fields["version"].as_i64().unwrap_or(1);
    let sent = body.get("version").and_then(Value::as_i64).unwrap_or(0);
    if sent != 0 && sent < stored {
        let message = "Datasource has already been updated by someone else. Please reload and try again";
        return profile.traced(409, message);
    }
    let mut fields = writable(&body);
    for kept in ["url", "basicAuthUser"] {
        if text(&body, kept).is_empty() {
            fields.insert(kept.to_owned(), source.fields[kept].clone());
        }
    }
    let uid = if uid.is_empty() { source.fields["uid"].clone() } else { json!(uid) };
    fields.insert("uid".to_owned(), uid);
    fields.insert("orgId".to_owned(), source.fields["orgId"].clone());
    // Without a version in the body the stored one becomes 1 again: it is no drift detector.
    fields.insert("version".to_owned(), json!(sent + 1));
    source.fields = fields;
    source.secrets.extend(secrets(&body));
    store(call, Some(at), source.clone());
    written(call, &source, "Datasource updated")
}

fn store(call: &mut Call<'_>, at: Option<usize>, source: DataSource) {
    let sources = &mut call.org().datasources;
    if source.fields["isDefault"] == json!(true) {
        for other in sources.iter_mut() {
            other.fields.insert("isDefault".to_owned(), json!(false));
        }
    }
    match at {
        Some(at) => sources[at] = source,
        None => sources.push(source),
    }
}

fn writable(body: &Value) -> Map<String, Value> {
    let mut fields = Map::new();
    for field in ["name", "access", "url", "user", "database", "basicAuthUser"] {
        fields.insert(field.to_owned(), json!(text(body, field)));
    }
    fields.insert("type".to_owned(), json!(plugin::canonical(text(body, "type"))));
    for field in ["basicAuth", "withCredentials", "isDefault"] {
        fields.insert(field.to_owned(), json!(flag(body, field)));
    }
    fields.insert("jsonData".to_owned(), Value::Object(object(body, "jsonData")));
    fields
}

fn secrets(body: &Value) -> BTreeMap<String, String> {
    object(body, "secureJsonData")
        .into_iter()
        .filter_map(|(key, value)| value.as_str().map(|value| (key, value.to_owned())))
        .collect()
}
