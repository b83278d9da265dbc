//! Data sources: read one by one (the list hides fields), compared whole, written whole, since a PUT clears what it leaves out.
//!
//! | field of the file   | on the server      | is                                                          |
//! |---------------------|--------------------|-------------------------------------------------------------|
//! | `isDefault` left out | either             | left: the first of an organization becomes it unasked (10+) |
//! | `url` left out       | set                | drift: a PUT keeps it                                       |
//! | another uid, same name | there            | drift: no write changes a uid (12 answers 500)              |
//! | a secret            | key there          | as `GRAFANA_SECRETS` says                                   |

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use common::engine::change::{Change, Difference, Failure, Shown};
use common::engine::diff::{Writing, diff};
use common::engine::document::{Have, Held, Making, Pair, Pending, Request, Row, bodies, take_field};
use common::files::json::step as step_of;
use common::files::{Key, Object, Problem, Set};
use common::net::http::{Call, Client, LIST_LIMIT, parallel};
use ring::hmac::{self, Key as Key256};
use serde_json::{Map, Value, json};

use crate::identity::{PROVISIONED, elsewhere, identity};
use crate::scope::{READERS, Rules, Scope, answer, get};
use crate::server::{Secrets, part};
use crate::step::{post, put};
use crate::uid;

/// The row.
pub(crate) const ROW: Row<Scope> = Row {
    secrets: &["/secureJsonData"],
    normal,
    judge: Some(judge),
    check,
    unique,
    preflight,
    export,
    send,
    ..Row::new("datasources", read, step)
};

/// Where the digest of the secrets is kept.
const DIGEST: &str = "initSecretDigest";
/// Fields that the server makes.
const MADE: [&str; 10] = [
    "id",
    "orgId",
    "version",
    "typeLogoUrl",
    "typeName",
    "readOnly",
    "accessControl",
    "apiVersion",
    "secureJsonFields",
    "created",
];

fn read(scope: &Scope, want: &[Rc<Object>]) -> Result<Held, Failure> {
    let mut held = Held::new();
    if want.is_empty() {
        for row in rows(&scope.must("/api/datasources")?) {
            let uid = row["uid"].as_str().unwrap_or_default();
            if let Some(body) = scope.get(&path(uid))? {
                held.insert(body["name"].as_str().unwrap_or(uid).to_owned(), have(body));
            }
        }
        return Ok(held);
    }
    let bodies: Result<Vec<Value>, Failure> = want.iter().map(|object| object.value()).collect();
    let wanted: Vec<(String, String)> =
        want.iter().zip(bodies?).map(|(object, body)| identity(object, &body)).collect();
    let client: &Client = scope.client();
    let found = parallel(&wanted, READERS, |(uid, _)| get(client, &path(uid)));
    let mut list = None;
    for ((object, (_, name)), found) in want.iter().zip(&wanted).zip(found) {
        let mut found = found?;
        if found.is_none() {
            // The uid is free; whether the name is as well only the list tells.
            if list.is_none() {
                list = Some(scope.must("/api/datasources")?);
            }
            let namesake = rows(list.as_ref().unwrap_or(&Value::Null)).find(|row| row["name"] == json!(name));
            if let Some(other) = namesake.and_then(|row| row["uid"].as_str()) {
                found = scope.get(&path(other))?;
            }
        }
        if let Some(found) = found {
            held.insert(object.id.name.clone(), have(found));
        }
    }
    Ok(held)
}

fn rows(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn path(uid: &str) -> String {
    format!("/api/datasources/uid/{}", part(uid))
}

fn have(body: Value) -> Have {
    let locked = (body["readOnly"] == true).then(|| PROVISIONED.to_owned());
    let meta = json!({"uid": body["uid"], "isDefault": body["isDefault"], "keys": body["secureJsonFields"]});
    // The comparison needs to know which secrets are there; the normal form has no place for it otherwise.
    let mut body = body;
    let secrets = take_field(&mut body, "secureJsonFields");
    if let Some(fields) = body.as_object_mut() {
        fields.insert("secureJsonData".into(), secrets);
    }
    Have { meta, locked, ..Have::of(&body) }
}

/// Plugins by names that older Grafanas had for them: the server takes both and shows the plugin's own id.
const ALIASES: [(&str, &str); 3] = [
    ("phlare", "grafana-pyroscope-datasource"),
    ("postgres", "grafana-postgresql-datasource"),
    ("testdata", "grafana-testdata-datasource"),
];

/// A plugin's own id.
pub(crate) fn plugin_id(kind: &str) -> &str {
    ALIASES.iter().find(|(alias, _)| *alias == kind).map_or(kind, |(_, id)| id)
}

/// Every field that the API takes; it drops others without a word.
const FIELDS: [&str; 15] = [
    "uid",
    "name",
    "type",
    "access",
    "url",
    "user",
    "password",
    "database",
    "basicAuth",
    "basicAuthUser",
    "basicAuthPassword",
    "withCredentials",
    "isDefault",
    "jsonData",
    "secureJsonData",
];

/// Drops what the server makes, drops itself, and what is empty; `secureJsonData` stays for the comparison.
fn normal(body: &mut Value) {
    let Some(fields) = body.as_object_mut() else { return };
    if let Some(kind) = fields.get("type").and_then(Value::as_str) {
        let id = json!(plugin_id(kind));
        fields.insert("type".into(), id);
    }
    fields.retain(|key, value| match key.as_str() {
        key if !FIELDS.contains(&key) => false,
        "access" => *value != json!("proxy") && *value != json!(""),
        "basicAuth" | "withCredentials" => *value != json!(false),
        "jsonData" | "secureJsonData" => *value != json!({}) && !value.is_null(),
        "isDefault" => true,
        _ => !value.is_null() && *value != json!(""),
    });
}

fn judge(pair: &Pair<'_, Rules>) -> Change {
    let (uid, name) = identity(pair.object, pair.want);
    let (mut have, mut want) = (pair.held.clone(), pair.want.clone());
    let own_uid = want["uid"].is_string();
    want["uid"] = json!(uid);
    want["name"] = json!(name);
    if !own_uid && have["name"] == want["name"] {
        want["uid"] = have["uid"].clone();
    }
    if want.get("isDefault").is_none()
        && let Some(is) = have.get("isDefault").cloned()
    {
        // Where another is to be the default, this one hands over: sent as it is, it would take that back.
        want["isDefault"] = json!(is == true && !pair.rules.default_source);
    }
    let held = take(&mut have, "secureJsonData");
    let secrets = take(&mut want, "secureJsonData");
    let digest = have.get_mut("jsonData").and_then(Value::as_object_mut).and_then(|data| data.remove(DIGEST));
    normal(&mut have);
    let mut differences = diff(Writing::Replaces, &have, &want);
    for difference in &mut differences {
        let cleared = difference.to == Shown::Absent && matches!(difference.path.as_str(), "/url" | "/basicAuthUser");
        if cleared || difference.path == "/uid" {
            difference.fixable = false;
        }
    }
    if digest.is_some() && !matches!(pair.rules.settings.secrets, Secrets::Digest(_)) {
        // It is of no use any more, and a Viewer can read it.
        differences.push(Difference::new(format!("/jsonData/{DIGEST}"), Shown::Masked, Shown::Absent));
    }
    let mut notes = Vec::new();
    let mut missing = false;
    for key in secrets.keys().filter(|key| !held.contains_key(*key)) {
        missing = true;
        let path = format!("/secureJsonData{}", step_of(key));
        differences.push(Difference::new(path, Shown::Absent, Shown::Masked));
    }
    for key in held.keys().filter(|key| !secrets.contains_key(*key)) {
        notes.push(format!(
            "the server holds a secret {key} that the file does not name; only deleting the data source removes it"
        ));
    }
    if !secrets.is_empty() && !missing {
        let changed = || Difference::new("/secureJsonData", Shown::Masked, Shown::Masked);
        match pair.rules.settings.secrets {
            Secrets::Keep => notes.push("its secrets are not compared (GRAFANA_SECRETS=keep)".into()),
            Secrets::Digest(key) if digest.as_ref().is_none_or(|held| *held != keyed(key, &uid, &secrets)) => {
                differences.push(changed());
            }
            Secrets::Always if !pair.written => differences.push(changed()),
            Secrets::Digest(_) | Secrets::Always => {}
        }
    }
    notes.into_iter().fold(Change::update(differences), Change::note)
}

fn take(body: &mut Value, field: &str) -> Map<String, Value> {
    match body.as_object_mut().and_then(|fields| fields.remove(field)) {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

fn step(making: Making<'_, Rules>) -> Result<Vec<Request>, Failure> {
    let rules = making.rules;
    let mut body = making.body;
    let (uid, name) = identity(making.object, &body);
    let declared = body.get("isDefault").cloned();
    normal(&mut body);
    let fields = body.as_object_mut().ok_or_else(|| Failure::rejected("a data source is a JSON object"))?;
    fields.insert("name".into(), json!(name));
    fields.entry("access").or_insert(json!("proxy"));
    let secrets = fields.get("secureJsonData").and_then(Value::as_object).cloned().unwrap_or_default();
    if let Secrets::Digest(key) = rules.settings.secrets
        && !secrets.is_empty()
    {
        let data = fields.entry("jsonData").or_insert(json!({}));
        data[DIGEST] = json!(keyed(key, &uid, &secrets));
    }
    if making.have.is_none() {
        fields.insert("uid".into(), json!(uid));
        let made = post("/api/datasources", &body);
        // 10 and later make the first one of an organization the default, whatever is sent.
        let set_back =
            (declared == Some(json!(false))).then(|| Request { about: json!(true), ..put(path(&uid), &body) });
        return Ok(std::iter::once(made).chain(set_back).collect());
    }
    let facts = making.meta;
    let held = facts["uid"].as_str().unwrap_or(&uid).to_owned();
    fields.insert("uid".into(), json!(held));
    if declared.is_none() {
        fields.insert("isDefault".into(), json!(facts["isDefault"] == true && !rules.default_source));
    }
    if matches!(rules.settings.secrets, Secrets::Keep)
        && let Some(secrets) = fields.get_mut("secureJsonData").and_then(Value::as_object_mut)
    {
        secrets.retain(|key, _| facts["keys"].get(key).is_none());
    }
    Ok(vec![put(path(&held), &body)])
}

/// What sets the default back is sent only where the answer says that it was taken.
fn send(scope: &Scope, object: &Object, step: &[Request]) -> Result<(), Failure> {
    let mut default = false;
    for request in step {
        if request.about.is_null() || default {
            let reply = answer(&scope.client().send(&request.complete(object)?)?)?;
            default = reply["datasource"]["isDefault"] == true;
        }
    }
    Ok(())
}

fn check(object: &Object, body: &Value, _: &Set) -> Vec<Problem> {
    let Some(fields) = body.as_object() else { return vec![object.problem("", "a data source is a JSON object")] };
    let mut problems: Vec<Problem> = elsewhere(object, body).into_iter().collect();
    if fields.get("type").and_then(Value::as_str).is_none_or(str::is_empty) {
        problems.push(object.problem("/type", "the plugin's id is missing (prometheus, loki, …)"));
    }
    let (uid, _) = identity(object, body);
    if let Some(wrong) = uid::wrong(&uid) {
        problems.push(object.problem("/uid", wrong));
    }
    for (key, value) in fields.get("secureJsonData").and_then(Value::as_object).into_iter().flatten() {
        if !value.is_string() {
            problems.push(object.problem(&format!("/secureJsonData{}", step_of(key)), "a secret is a string"));
        }
    }
    for key in fields.keys().filter(|key| !FIELDS.contains(&key.as_str()) && !MADE.contains(&key.as_str())) {
        let why = match key.as_str() {
            "editable" => {
                "is for Grafana's own provisioning files: what is applied here can always be edited".to_owned()
            }
            key => format!("is no field of a data source, and is left out{}", hint(key)),
        };
        problems.push(object.problem(&step_of(key), why).warning());
    }
    problems
}

fn unique(object: &Object, body: &Value) -> Vec<Key> {
    let (uid, name) = identity(object, body);
    let mut keys = vec![("/uid".to_owned(), "uid", uid), ("/name".to_owned(), "name", name)];
    if body["isDefault"] == true {
        keys.push(("/isDefault".to_owned(), "place as the default (an organization has one)", String::new()));
    }
    keys
}

/// What was probably meant by a field that is none.
fn hint(key: &str) -> String {
    // `is_default` is how files of old spell it.
    let mut camel = String::new();
    for word in key.split('_') {
        let mut letters = word.chars();
        match letters.next().filter(|_| !camel.is_empty()) {
            Some(first) => camel.extend(first.to_uppercase().chain(letters)),
            None => camel += word,
        }
    }
    match common::files::nearest(&camel, FIELDS) {
        Some(near) => format!(": did you mean {near}?"),
        None => format!(": settings of the plugin stand in jsonData/{key}"),
    }
}

/// Grafana takes a data source of a type that it does not know, and then cannot use it; and one that leads to another that is not there.
fn preflight(scope: &Scope, set: &Set, todo: &[Pending<'_>]) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Some(plugins) = scope.plugins().filter(|_| !todo.is_empty()) {
        for (object, body, _) in bodies(todo) {
            let kind = plugin_id(body["type"].as_str().unwrap_or_default());
            if !plugins.contains(kind) {
                let text = format!(
                    "the plugin {kind} is not installed on the server: install it, or the data source will not work"
                );
                problems.push(object.problem("/type", text).warning());
            }
        }
    }
    let leads = |body: &Value| {
        let mut uids = BTreeSet::new();
        led_to(&body["jsonData"], &mut uids);
        uids
    };
    problems.extend(dangling(scope, set, todo, leads));
    problems
}

/// `tracesToLogsV2` and its like name a data source.
fn led_to(value: &Value, uids: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            uids.extend(fields.get("datasourceUid").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|inner| led_to(inner, uids));
        }
        Value::Array(items) => items.iter().for_each(|item| led_to(item, uids)),
        _ => {}
    }
}

/// A warning for each data source that an object refers to and that is neither declared nor on the server.
pub(crate) fn dangling(
    scope: &Scope,
    set: &Set,
    todo: &[Pending<'_>],
    refers: impl Fn(&Value) -> BTreeSet<String>,
) -> Vec<Problem> {
    let all: Vec<(&Object, BTreeSet<String>)> = bodies(todo).map(|(object, body, _)| (object, refers(&body))).collect();
    if all.iter().all(|(_, uids)| uids.is_empty()) {
        return Vec::new();
    }
    // What cannot be listed is not said to be missing.
    let declared = set.of_org(scope.org.as_deref(), "datasources");
    let Ok(sources) = sources(scope, &declared) else { return Vec::new() };
    let missing = |(object, uids): (&Object, BTreeSet<String>)| -> Vec<Problem> {
        uids.into_iter()
            .filter(|uid| !stands(&sources, uid))
            .map(|uid| object.problem("", absent(&uid)).warning())
            .collect()
    };
    all.into_iter().flat_map(missing).collect()
}

/// What is said of a reference to a data source that is nowhere.
pub(crate) fn absent(uid: &str) -> String {
    format!("refers to the data source {uid}, which is neither declared nor on the server")
}

/// Whether something stands for a reference to a data source.
pub(crate) fn stands(sources: &[Source], uid: &str) -> bool {
    uid.is_empty()
        || uid.contains('$')
        || matches!(uid, "grafana" | "__expr__" | "default" | "-100")
        || uid.starts_with("-- ")
        || sources.iter().any(|source| source.uid == uid || source.name == uid)
}

fn export(name: &str, mut body: Value, have: &Have) -> Option<(Value, Vec<String>)> {
    if have.locked.is_some() {
        return None;
    }
    let mut names = Vec::new();
    let keys = take(&mut body, "secureJsonData");
    if let Some(data) = body.get_mut("jsonData").and_then(Value::as_object_mut) {
        data.remove(DIGEST);
    }
    let secrets: Map<String, Value> = keys
        .keys()
        .map(|key| {
            let placeholder = common::process::export::placeholder("datasources", name, key);
            names.push(placeholder.clone());
            (key.clone(), json!(format!("$__env{{{placeholder}}}")))
        })
        .collect();
    body.as_object_mut()?.insert("secureJsonData".into(), Value::Object(secrets));
    Some((body, names))
}

/// A digest of a data source's secrets. It stands where Viewers can read it, and visitors where they are let in: without the key it
/// cannot be guessed at.
fn keyed(key: &Key256, uid: &str, secrets: &Map<String, Value>) -> String {
    let sorted: BTreeMap<&String, &Value> = secrets.iter().collect();
    let tag = hmac::sign(key, json!([uid, sorted]).to_string().as_bytes());
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A data source as references need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) uid: String,
    pub(crate) name: String,
    pub(crate) plugin: String,
    pub(crate) default: bool,
}

/// The data sources there will be: those declared, and the server's others.
pub(crate) fn sources(scope: &Scope, declared: &[Rc<Object>]) -> Result<Vec<Source>, Failure> {
    let of = |body: &Value, uid: String, name: String| Source {
        uid,
        name,
        plugin: plugin_id(body["type"].as_str().unwrap_or_default()).to_owned(),
        default: body["isDefault"] == true,
    };
    let mut all = Vec::new();
    for object in declared {
        let body = object.value()?;
        let (uid, name) = identity(object, &body);
        all.push(of(&body, uid, name));
    }
    // Who may not list them knows those that are declared.
    let reply = scope.client().send(&Call::get("/api/datasources").accept(403).at_most(LIST_LIMIT))?;
    let list = if reply.status == 403 { Value::Null } else { reply.json()? };
    let text = |row: &Value, field: &str| row[field].as_str().unwrap_or_default().to_owned();
    for row in rows(&list) {
        let theirs = of(row, text(row, "uid"), text(row, "name"));
        match all.iter_mut().find(|source| source.uid == theirs.uid || source.name == theirs.name) {
            Some(source) => source.uid = theirs.uid,
            None => all.push(Source { default: theirs.default && !all.iter().any(|source| source.default), ..theirs }),
        }
    }
    Ok(all)
}
