//! Internal users. The server never shows a password or a hash, so a declared password is compared by logging in with it, once; a declared
//! hash is compared by a mark that the last write left among the user's attributes. The run's own account is written last, and the run
//! goes on with its new password.

use std::rc::Rc;

use common::engine::change::{Change, Class, Difference, Failure, ObjectId, Planned, Shown};
use common::engine::diff::{Writing, diff};
use common::engine::document::{Documents, Have, Held, Making, Pair, Pending, Request, bodies, send_all};
use common::engine::kind::{Asked, Exported, Kind};
use common::files::{Object, Problem, Set};
use common::net::http::Call;
use common::output::secret::Secret;
use common::process::export::placeholder;
use common::process::settings::Login;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::cluster::{Cluster, declared};
use crate::document::strings;
use crate::lockout::lockouts;
use crate::normal::{drop_defaults, each, set};
use crate::security;
use crate::step::{Limits, body};

/// The kind.
pub(crate) const KIND: &str = "internal_users";
/// The attribute that tells which hash was written last.
const MARK: &str = "os_init_hash";
/// Refused log-ins after which no more are tried: servers that count them would lock this address out.
const MOST_REFUSED: u32 = 5;

/// Users as a kind: rows like any other, but written in an order of their own.
pub(crate) struct Users {
    rows: Documents<Cluster>,
    cluster: Rc<Cluster>,
}

impl Users {
    pub(crate) fn new(rows: Documents<Cluster>, cluster: Rc<Cluster>) -> Self {
        Self { rows, cluster }
    }
}

impl Kind for Users {
    type Step = Vec<Request>;

    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self) -> Vec<Problem> {
        self.rows.check()
    }

    fn plan(&mut self) -> Result<Vec<Planned<Self::Step>>, Failure> {
        self.rows.plan()
    }

    fn preflight(&mut self, set: &Set, asked: &[Asked<'_, Self::Step>]) -> Vec<Problem> {
        self.rows.preflight(set, asked)
    }

    fn apply(&mut self, todo: &[(&ObjectId, &Self::Step)]) -> Vec<Result<(), Failure>> {
        let own = own_name(&self.cluster);
        let (mine, others): (Vec<usize>, Vec<usize>) =
            (0..todo.len()).partition(|index| own.as_ref() == Some(&todo[*index].0.name));
        let mut results: Vec<Option<Result<(), Failure>>> = vec![None; todo.len()];
        for index in others.into_iter().chain(mine) {
            results[index] = self.rows.apply(&todo[index..=index]).pop();
        }
        results.into_iter().map(|result| result.expect("each object was written")).collect()
    }

    fn export(&mut self) -> Result<Vec<Exported>, Failure> {
        self.rows.export()
    }

    fn batch(&self) -> usize {
        usize::MAX
    }
}

fn own_name(cluster: &Cluster) -> Option<String> {
    match &*cluster.login.borrow() {
        Login::Basic(name, _) => Some(name.clone()),
        Login::Anonymous | Login::Bearer(_) => None,
    }
}

/// Users, and of those that declare a password whether it lets them in.
pub(crate) fn read(cluster: &Cluster, ask: &[Rc<Object>]) -> Result<Held, Failure> {
    let mut held = security::read(cluster, "internalusers", ask)?;
    for object in ask {
        let Some(have) = held.get_mut(&object.id.name).filter(|have| have.locked.is_none()) else { continue };
        if let Some(password) = object.value()?["password"].as_str() {
            have.meta = match holds(cluster, &object.id.name, password) {
                Ok(holds) => json!({"holds": holds}),
                Err(why) => json!({"unknown": why}),
            };
        }
    }
    Ok(held)
}

/// A hash becomes its mark, which is what both sides can show.
pub(crate) fn normal(body: &mut Value) {
    security::common(body);
    drop_defaults(body, &[("/hash", json!(""))]);
    // Attributes are kept as strings.
    each(body, "/attributes/*", &|value| {
        if value.is_number() || value.is_boolean() {
            *value = Value::String(value.to_string());
        }
    });
    mark(body);
    let sets = ["/backend_roles", "/opendistro_security_roles"];
    for pointer in sets {
        each(body, pointer, &set);
    }
    drop_defaults(body, &[(sets[0], json!([])), (sets[1], json!([])), ("/attributes", json!({}))]);
}

fn mark(body: &mut Value) {
    let Some(fields) = body.as_object_mut() else { return };
    // An export's placeholder is no hash yet.
    let given = fields.get("hash").and_then(Value::as_str).is_some_and(|hash| !hash.starts_with("$__"));
    if given && let Some(Value::String(hash)) = fields.remove("hash") {
        let attributes = fields.entry("attributes").or_insert_with(|| json!({}));
        if let Some(attributes) = attributes.as_object_mut() {
            attributes.insert(MARK.into(), print(&hash).into());
        }
    }
}

/// A fingerprint of a hash; the hash is salted itself, and cannot be told from this.
fn print(hash: &str) -> String {
    let digest = digest(&SHA256, format!("os-init:{hash}").as_bytes());
    digest.as_ref()[..12].iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn judge(pair: &Pair<'_, Limits>) -> Change {
    let have = pair.have;
    let (mut held, mut want) = (pair.held.clone(), pair.want.clone());
    let password = want.as_object_mut().and_then(|fields| fields.remove("password"));
    if password.is_some() || want.pointer(&format!("/attributes/{MARK}")).is_none() {
        // A mark that an earlier hash left says nothing about a password.
        if let Some(attributes) = held.get_mut("attributes").and_then(Value::as_object_mut) {
            attributes.remove(MARK);
        }
        drop_defaults(&mut held, &[("/attributes", json!({}))]);
    }
    let mut found: Vec<Difference> = diff(Writing::Replaces, &held, &want);
    if have.meta["holds"] == false {
        found.push(Difference::new("/password", Shown::Masked, Shown::Masked));
    }
    let change = Change::update(found);
    match have.meta["unknown"].as_str() {
        Some(why) => change.note(format!("password not verified: {why}")),
        None => change,
    }
}

/// Whether a user has this password already, found out by logging in; an error says why that is not known.
fn holds(cluster: &Cluster, name: &str, password: &str) -> Result<bool, String> {
    if *cluster.login.borrow() == Login::Basic(name.to_owned(), Secret::new(password)) {
        // This very run is logged in with it.
        return Ok(true);
    }
    let mut memory = cluster.memory.borrow_mut();
    if let Some(known) = memory.logins.get(name) {
        return Ok(*known);
    }
    // What this run has written is proven in any case: that log-in succeeds.
    if memory.refused >= MOST_REFUSED && !memory.written.contains(name) {
        return Err(format!(
            "{MOST_REFUSED} log-ins were refused, and more may lock this address out; the next run goes on"
        ));
    }
    let lets_in = logs_in(cluster, name, password).map_err(|failure| failure.message)?;
    memory.refused += u32::from(!lets_in);
    memory.logins.insert(name.to_owned(), lets_in);
    Ok(lets_in)
}

fn logs_in(cluster: &Cluster, name: &str, password: &str) -> Result<bool, Failure> {
    let client = cluster.client.with_login(&Login::Basic(name.to_owned(), Secret::new(password)));
    let reply = client.send(&Call::get("/_plugins/_security/authinfo").accept(401).accept(403))?;
    // 403 is a right password of somebody with few rights, where it names them; anybody else's says nothing about it.
    if reply.status == 403 && !reply.body.contains(&format!("name={name},")) {
        return Err(Failure::new(Class::Auth, "403, which does not come from the log-in"));
    }
    Ok(reply.status != 401)
}

pub(crate) fn check(object: &Object, body: &Value, _: &Set) -> Vec<Problem> {
    let mut problems = security::check_user(object, body);
    if object.id.name.contains(':') {
        problems.push(object.problem("", "a user's name cannot have a colon in it"));
    }
    if body["password"].is_string() && body["hash"].as_str().is_some_and(|hash| !hash.is_empty()) {
        problems.push(object.problem("/hash", "both password and hash are given: keep one of them"));
    }
    problems
}

pub(crate) fn needs(_: &Object, body: &Value, set: &Set) -> Vec<ObjectId> {
    declared(set, "roles", strings(&body["opendistro_security_roles"]))
}

/// Whether a user is a service account: the server makes its token itself, and it has no password.
fn is_service(body: &Value) -> bool {
    body.pointer("/attributes/service").is_some_and(|service| *service == "true" || *service == true)
}

pub(crate) fn preflight(cluster: &Cluster, set: &Set, todo: &[Pending<'_>]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut roles = Vec::new();
    for (object, body, change) in bodies(todo) {
        let secret = is_service(&body)
            || body["password"].is_string()
            || body["hash"].as_str().is_some_and(|hash| !hash.is_empty());
        if change.action == common::engine::change::Action::Create && !secret {
            problems.push(object.problem("", "the user does not exist yet, and a new one needs a password or a hash"));
        }
        for role in strings(&body["opendistro_security_roles"]) {
            roles.push((object, "/opendistro_security_roles".to_owned(), role));
        }
    }
    problems.extend(security::missing_roles(cluster, set, roles));
    let objects: Vec<&Object> = todo.iter().map(|(object, ..)| *object).collect();
    problems.extend(lockouts(cluster, set, &objects));
    problems
}

/// A password that holds already is not sent: the server keeps the one that it has.
pub(crate) fn step(mut making: Making<'_, Limits>) -> Vec<Request> {
    let (mut want, have) = (making.body.take(), making.have);
    if let Some(hash) = want["hash"].as_str().filter(|hash| !hash.is_empty()).map(str::to_owned) {
        mark(&mut want);
        want["hash"] = hash.into();
    }
    // Nor is one that could not be tried: what is not known is not written.
    if have.is_some_and(|have| have.meta["holds"] != false)
        && let Some(fields) = want.as_object_mut()
    {
        fields.remove("password");
    }
    security::write("internalusers", Making { body: want, ..making })
}

/// Writes a user; after its own account's the run goes on with the new password.
pub(crate) fn send(cluster: &Cluster, object: &Object, step: &[Request]) -> Result<(), Failure> {
    let name = &object.id.name;
    let result = send_all(cluster, object, step);
    let sent = step.first().and_then(|request| body(request)["password"].as_str().map(str::to_owned));
    let Some(password) = sent else { return result };
    {
        let mut memory = cluster.memory.borrow_mut();
        memory.logins.remove(name);
        memory.written.insert(name.clone());
    }
    if own_name(cluster).as_ref() != Some(name) {
        return result;
    }
    let arrived = match &result {
        Ok(()) => true,
        Err(failure) => failure.class == Class::Ambiguous && logs_in(cluster, name, &password).unwrap_or(false),
    };
    if !arrived {
        return result;
    }
    let login = Login::Basic(name.clone(), Secret::new(password));
    cluster.client.log_in_as(&login);
    *cluster.login.borrow_mut() = login;
    Ok(())
}

pub(crate) fn export(name: &str, mut body: Value, have: &Have) -> Option<(Value, Vec<String>)> {
    if have.locked.is_some() || name.starts_with('.') {
        return None;
    }
    normal(&mut body);
    let mut body = crate::document::escape(body);
    let marked =
        body.get_mut("attributes").and_then(Value::as_object_mut).and_then(|attributes| attributes.remove(MARK));
    if is_service(&body) {
        return Some((body, Vec::new()));
    }
    let field = if marked.is_some() { "hash" } else { "password" };
    let variable = placeholder(KIND, name, field);
    body.as_object_mut()?.insert(field.into(), format!("$__env{{{variable}}}").into());
    Some((body, vec![variable]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalized(mut body: Value) -> Value {
        normal(&mut body);
        body
    }

    #[test]
    fn a_hash_is_compared_by_its_mark() {
        let want = normalized(json!({"hash": "$2y$12$abc", "description": "d"}));
        let have = normalized(
            json!({"hash": "", "description": "d", "attributes": {MARK: print("$2y$12$abc")}, "reserved": false}),
        );
        assert_eq!(want, have);
        assert_ne!(want, normalized(json!({"hash": "$2y$12$abd", "description": "d"})));
        assert_eq!(normalized(want.clone()), want, "normalizing twice is normalizing once");
    }

    #[test]
    fn empty_lists_are_none() {
        let have = json!({"hash": "", "reserved": false, "hidden": false, "backend_roles": ["b", "a"], "attributes": {}, "opendistro_security_roles": [], "static": false});
        assert_eq!(normalized(have), normalized(json!({"backend_roles": ["a", "b"]})));
    }
}
