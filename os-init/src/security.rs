//! Action groups, roles, tenants and role mappings. Security keeps each type in one document, so writes are serial and a conflict is tried
//! again; what it holds as reserved, hidden or static cannot be written at all. Users are in `user`.

use std::collections::BTreeSet;

use common::engine::change::{Failure, ObjectId};
use common::engine::document::{Have, Held, Making, Pending, Request, Together};
use common::files::{Object, Problem, Set};
use common::net::http::{Call, Sieve};
use serde_json::{Value, json};

use crate::cluster::{Cluster, declared, part};
use crate::document::{Ask, fields, object_of, remove, sieve, strings, unknown, wanted};
use crate::lockout::lockouts;
use crate::normal::{drop_defaults, each, set};
use crate::step::{Limits, body, put};

pub(crate) const API: &str = "/_plugins/_security/api";

/// Fields that only the server's own administrator sets.
pub(crate) const MARKS: [&str; 3] = ["reserved", "hidden", "static"];

pub(crate) fn read(cluster: &Cluster, kind: &str, ask: Ask<'_>) -> Result<Held, Failure> {
    let body = cluster.list_of_plugin(&format!("{API}/{kind}"), "security plugin", ask.is_empty(), sieve(ask, &[]))?;
    let Some(body) = body else { return Ok(Held::new()) };
    let wanted = wanted(ask);
    let mut held = Held::new();
    for (name, body) in fields(&body)? {
        if wanted(&name) {
            held.insert(name, Have { locked: locked(body.get()), ..Have::new(body.to_owned()) });
        }
    }
    Ok(held)
}

/// Why the server would refuse a write.
fn locked(body: &str) -> Option<String> {
    let body = fields(body).ok()?;
    let mark = MARKS.iter().find(|mark| body.get(**mark).is_some_and(|raw| raw.get() == "true"))?;
    Some(format!(
        "the server holds it as {mark}: only its security configuration, with the admin certificate, can change it"
    ))
}

pub(crate) fn read_action_groups(cluster: &Cluster, ask: Ask<'_>) -> Result<Held, Failure> {
    read(cluster, "actiongroups", ask)
}

pub(crate) fn read_roles(cluster: &Cluster, ask: Ask<'_>) -> Result<Held, Failure> {
    read(cluster, "roles", ask)
}

pub(crate) fn read_tenants(cluster: &Cluster, ask: Ask<'_>) -> Result<Held, Failure> {
    read(cluster, "tenants", ask)
}

pub(crate) fn read_mappings(cluster: &Cluster, ask: Ask<'_>) -> Result<Held, Failure> {
    read(cluster, "rolesmapping", ask)
}

/// What every object of security shows though nobody said it.
pub(crate) fn common(body: &mut Value) {
    remove(body, &MARKS);
    remove(body, &["_meta"]);
    crate::normal::drop_nulls(body);
}

pub(crate) fn normal_action_group(body: &mut Value) {
    common(body);
    each(body, "/allowed_actions", &set);
}

pub(crate) fn normal_role(body: &mut Value) {
    common(body);
    let sets = [
        "/cluster_permissions",
        "/index_permissions/*/index_patterns",
        "/index_permissions/*/fls",
        "/index_permissions/*/masked_fields",
        "/index_permissions/*/allowed_actions",
        "/tenant_permissions/*/tenant_patterns",
        "/tenant_permissions/*/allowed_actions",
    ];
    let empty = sets.map(|pointer| (pointer, json!([])));
    for pointer in sets {
        each(body, pointer, &set);
    }
    drop_defaults(body, &empty);
    drop_defaults(
        body,
        &[
            ("/index_permissions/*/dls", json!("")),
            ("/index_permissions", json!([])),
            ("/tenant_permissions", json!([])),
        ],
    );
    or_empty(body, "cluster_permissions");
}

/// A body of empty lists alone is one that the server takes, but not without any list.
fn or_empty(body: &mut Value, list: &str) {
    if crate::normal::is_empty(body) {
        *body = json!({list: []});
    }
}

pub(crate) fn normal_tenant(body: &mut Value) {
    common(body);
}

const MAPPED: [&str; 4] = ["/backend_roles", "/and_backend_roles", "/hosts", "/users"];

pub(crate) fn normal_mapping(body: &mut Value) {
    common(body);
    for pointer in MAPPED {
        each(body, pointer, &set);
    }
    drop_defaults(body, &MAPPED.map(|pointer| (pointer, json!([]))));
    or_empty(body, "users");
}

/// What the values of a body have to be: the server answers a wrong one with an error of its own machinery, after others were written.
#[derive(Clone, Copy)]
enum Shape {
    /// A string, or null for none.
    Text,
    /// A list of strings.
    Texts,
    /// A list of objects with these fields.
    Objects(&'static [(&'static str, Shape)]),
    /// An object of scalars.
    Map,
}

const ACTION_GROUP: [(&str, Shape); 3] =
    [("allowed_actions", Shape::Texts), ("type", Shape::Text), ("description", Shape::Text)];
const ROLE: [(&str, Shape); 4] = [
    ("cluster_permissions", Shape::Texts),
    (
        "index_permissions",
        Shape::Objects(&[
            ("index_patterns", Shape::Texts),
            ("dls", Shape::Text),
            ("fls", Shape::Texts),
            ("masked_fields", Shape::Texts),
            ("allowed_actions", Shape::Texts),
        ]),
    ),
    ("tenant_permissions", Shape::Objects(&[("tenant_patterns", Shape::Texts), ("allowed_actions", Shape::Texts)])),
    ("description", Shape::Text),
];
const TENANT: [(&str, Shape); 1] = [("description", Shape::Text)];
const MAPPING: [(&str, Shape); 5] = [
    ("users", Shape::Texts),
    ("backend_roles", Shape::Texts),
    ("and_backend_roles", Shape::Texts),
    ("hosts", Shape::Texts),
    ("description", Shape::Text),
];
const USER: [(&str, Shape); 6] = [
    ("password", Shape::Text),
    ("hash", Shape::Text),
    ("backend_roles", Shape::Texts),
    ("opendistro_security_roles", Shape::Texts),
    ("attributes", Shape::Map),
    ("description", Shape::Text),
];

/// Where a body is not of its shape.
fn misshapen(object: &Object, value: &Value, shape: Shape, pointer: &str) -> Vec<Problem> {
    let wrong = |wanted: &str| vec![object.located(pointer, format!("must be {wanted}"))];
    match (shape, value) {
        (Shape::Text, Value::String(_)) | (_, Value::Null) => Vec::new(),
        (Shape::Text, _) => wrong("a string; JSON inside it is written as text, with its quotes escaped"),
        (Shape::Texts, Value::Array(items)) if items.iter().all(Value::is_string) => Vec::new(),
        (Shape::Texts, _) => wrong("a list of strings"),
        (Shape::Map, Value::Object(fields)) if fields.values().all(|value| !value.is_array() && !value.is_object()) => {
            Vec::new()
        }
        (Shape::Map, _) => wrong("an object of strings"),
        (Shape::Objects(known), Value::Array(items)) => {
            let inner = items.iter().enumerate();
            inner.flat_map(|(index, item)| fields_of(object, item, known, &format!("{pointer}/{index}"))).collect()
        }
        (Shape::Objects(_), _) => wrong("a list of objects"),
    }
}

fn fields_of(object: &Object, value: &Value, known: &[(&str, Shape)], pointer: &str) -> Vec<Problem> {
    let Some(fields) = value.as_object() else { return vec![object.located(pointer, "must be an object")] };
    let check = |(key, value): (&String, &Value)| {
        let pointer = format!("{pointer}{}", common::files::json::step(key));
        match known.iter().find(|(name, _)| name == key) {
            Some((_, shape)) => misshapen(object, value, *shape, &pointer),
            None => vec![object.located(&pointer, unknown(key, known.iter().map(|(name, _)| *name)))],
        }
    };
    fields.iter().flat_map(check).collect()
}

fn check_shape(object: &Object, body: &Value, known: &[(&str, Shape)]) -> Vec<Problem> {
    if let Err(problems) = object_of(object, body) {
        return problems;
    }
    let mut bare = body.clone();
    remove(&mut bare, &["_meta"]);
    let mut problems = Vec::new();
    for mark in MARKS {
        match bare.as_object_mut().and_then(|fields| fields.remove(mark)) {
            None | Some(Value::Null | Value::Bool(false)) => {}
            Some(_) => {
                let text = "only the administrator's certificate may set it, and this program never does: leave it out";
                problems.push(object.located(&format!("/{mark}"), text));
            }
        }
    }
    problems.extend(fields_of(object, &bare, known, ""));
    if problems.is_empty() && bare.as_object().is_some_and(|fields| fields.values().all(Value::is_null)) {
        problems.push(object.problem("", "the body is empty: the server would refuse it"));
    }
    problems
}

pub(crate) fn check_action_group(object: &Object, body: &Value, set: &Set) -> Vec<Problem> {
    let mut problems = check_shape(object, body, &ACTION_GROUP);
    if set.get("roles", &object.id.name).is_some() {
        let text = "a role has this name, too: once it is there, the server refuses every change of the action group";
        problems.push(object.problem("", text).warning());
    }
    problems
}

pub(crate) fn check_role(object: &Object, body: &Value, _: &Set) -> Vec<Problem> {
    // Elasticsearch's own fields of a role.
    if let Some(theirs) = ["cluster", "indices", "applications", "run_as"].iter().find(|key| body.get(**key).is_some())
    {
        let text = "this is a role of Elasticsearch: write cluster_permissions for cluster, and index_permissions \
                    ([{\"index_patterns\": […], \"allowed_actions\": […]}]) for indices; applications and run_as have no counterpart";
        return vec![object.located(&format!("/{theirs}"), text)];
    }
    check_shape(object, body, &ROLE)
}

pub(crate) fn check_tenant(object: &Object, body: &Value, _: &Set) -> Vec<Problem> {
    check_shape(object, body, &TENANT)
}

pub(crate) fn check_user(object: &Object, body: &Value) -> Vec<Problem> {
    check_shape(object, body, &USER)
}

pub(crate) fn check_mapping(object: &Object, body: &Value, _: &Set) -> Vec<Problem> {
    let mut problems = check_shape(object, body, &MAPPING);
    if problems.is_empty() && MAPPED.iter().all(|pointer| body.pointer(pointer).is_none()) {
        problems.push(object.problem("", "needs users, backend_roles, and_backend_roles or hosts"));
    }
    problems
}

pub(crate) fn needs_mapping(object: &Object, body: &Value, set: &Set) -> Vec<ObjectId> {
    let mut needs = declared(set, "roles", [object.id.name.clone()]);
    needs.extend(declared(set, "internal_users", strings(&body["users"])));
    needs
}

pub(crate) fn needs_role(_: &Object, body: &Value, set: &Set) -> Vec<ObjectId> {
    let mut names = strings(&body["cluster_permissions"]);
    for list in ["index_permissions", "tenant_permissions"] {
        for permission in body[list].as_array().into_iter().flatten() {
            names.extend(strings(&permission["allowed_actions"]));
        }
    }
    let names: BTreeSet<String> = names.into_iter().collect();
    declared(set, "action_groups", names)
}

pub(crate) fn preflight_mappings(cluster: &Cluster, set: &Set, todo: &[Pending<'_>]) -> Vec<Problem> {
    let roles = todo.iter().map(|(object, ..)| (*object, String::new(), object.id.name.clone()));
    let mut problems = missing_roles(cluster, set, roles.collect());
    let objects: Vec<&Object> = todo.iter().map(|(object, ..)| *object).collect();
    problems.extend(lockouts(cluster, set, &objects));
    problems
}

/// Roles that neither a file declares nor the server has: it would refuse what names them.
pub(crate) fn missing_roles(cluster: &Cluster, set: &Set, named: Vec<(&Object, String, String)>) -> Vec<Problem> {
    let unknown: Vec<_> = named.into_iter().filter(|(_, _, role)| set.get("roles", role).is_none()).collect();
    let Some((first, ..)) = unknown.first() else { return Vec::new() };
    let sieve = Sieve::new(&[], unknown.iter().map(|(.., role)| role.clone()));
    let held = match cluster.get_kept(&format!("{API}/roles"), Some(sieve)) {
        Ok(held) => held.unwrap_or_default(),
        Err(failure) => return vec![Problem::refused(&first.id, failure)],
    };
    let missing = unknown.into_iter().filter(|(_, _, role)| held.get(role).is_none());
    missing
        .map(|(object, pointer, role)| {
            object.problem(&pointer, format!("the role {role} is neither declared nor on the server"))
        })
        .collect()
}

/// PUT replaces the object; marks that came from a GET are not sent.
pub(crate) fn write(api: &str, making: Making<'_, Limits>) -> Vec<Request> {
    let Making { object, body: mut want, .. } = making;
    remove(&mut want, &MARKS);
    remove(&mut want, &["_meta"]);
    vec![put(format!("{API}/{api}/{}", part(&object.id.name)), &want)]
}

/// Each write of one object makes every node load the whole type anew, which takes a second and more: a patch of the type is one write for
/// all of its objects.
pub(crate) const TOGETHER: Together<Cluster> = Together { most: 50, send: patch };

fn patch(cluster: &Cluster, steps: &[(&Object, &[Request])]) -> Result<(), Failure> {
    let mut path = String::new();
    let mut operations = Vec::with_capacity(steps.len());
    for (object, request) in steps.iter().flat_map(|(object, step)| step.iter().map(move |request| (object, request))) {
        path = request.call.path.rsplit_once('/').map_or_else(String::new, |(kind, _)| kind.to_owned());
        let name = common::files::json::step(&object.id.name);
        if name.contains('~') {
            return Err(Failure::rejected("servers read a name with ~ or / in a patch as another"));
        }
        operations.push(json!({"op": "add", "path": name, "value": body(request)}));
    }
    cluster.client.send(&Call::patch(path, Value::from(operations).to_string())).map(drop)
}

pub(crate) fn step_action_group(making: Making<'_, Limits>) -> Vec<Request> {
    write("actiongroups", making)
}

pub(crate) fn step_role(making: Making<'_, Limits>) -> Vec<Request> {
    write("roles", making)
}

pub(crate) fn step_tenant(making: Making<'_, Limits>) -> Vec<Request> {
    write("tenants", making)
}

pub(crate) fn step_mapping(making: Making<'_, Limits>) -> Vec<Request> {
    write("rolesmapping", making)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sets_but_for_the_order_of_permissions() {
        let mut a = json!({"index_permissions": [{"index_patterns": ["b", "a"], "allowed_actions": ["read"]}, {"index_patterns": ["c"]}], "cluster_permissions": []});
        let mut b = json!({"index_permissions": [{"index_patterns": ["a", "b"], "fls": [], "dls": null, "masked_fields": [], "allowed_actions": ["read"]}, {"index_patterns": ["c"], "allowed_actions": []}], "tenant_permissions": [], "reserved": false, "static": false, "hidden": false});
        normal_role(&mut a);
        normal_role(&mut b);
        assert_eq!(a, b);
        let mut swapped = json!({"index_permissions": [{"index_patterns": ["c"]}, {"index_patterns": ["a", "b"], "allowed_actions": ["read"]}]});
        normal_role(&mut swapped);
        assert_ne!(a, swapped);
    }

    #[test]
    fn what_may_not_be_written_says_why() {
        assert!(locked(r#"{"reserved":true,"static":false}"#).is_some_and(|why| why.contains("reserved")));
        assert!(locked(r#"{"reserved":false,"static":true}"#).is_some_and(|why| why.contains("static")));
        assert_eq!(locked(r#"{"reserved":false}"#), None);
    }
}
