//! Action groups, roles, tenants and role mappings. Security keeps each type in one document, so writes are serial and a conflict is tried
//! again; what it holds as reserved, hidden or static cannot be written at all. Users are in `user`.

use std::collections::BTreeSet;
use std::rc::Rc;

use common::engine::change::{Change, Failure, ObjectId};
use common::engine::document::{Have, Held, Meta};
use common::files::{Object, Problem, Set};
use serde_json::{Value, json};

use crate::cluster::{Cluster, declared, part};
use crate::document::{fields, object_of, remove, strings, wanted};
use crate::normal::{drop_defaults, each, set};

const API: &str = "/_plugins/_security/api";

/// Fields that only the server's own administrator sets.
pub(crate) const MARKS: [&str; 3] = ["reserved", "hidden", "static"];

pub(crate) fn read(cluster: &Cluster, kind: &str, objects: &[Rc<Object>]) -> Result<Held, Failure> {
    let body = cluster.list_of_plugin(&format!("{API}/{kind}"), "security plugin", objects.is_empty())?;
    let Some(body) = body else { return Ok(Held::new()) };
    let wanted = wanted(objects);
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

pub(crate) fn read_action_groups(cluster: &Cluster, objects: &[Rc<Object>]) -> Result<Held, Failure> {
    read(cluster, "actiongroups", objects)
}

pub(crate) fn read_roles(cluster: &Cluster, objects: &[Rc<Object>]) -> Result<Held, Failure> {
    read(cluster, "roles", objects)
}

pub(crate) fn read_tenants(cluster: &Cluster, objects: &[Rc<Object>]) -> Result<Held, Failure> {
    read(cluster, "tenants", objects)
}

pub(crate) fn read_mappings(cluster: &Cluster, objects: &[Rc<Object>]) -> Result<Held, Failure> {
    read(cluster, "rolesmapping", objects)
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
}

pub(crate) fn check(object: &Object, body: &Value, _: &Set) -> Vec<Problem> {
    let problems = object_of(object, body).err().unwrap_or_default();
    let mut bare = body.clone();
    common(&mut bare);
    if problems.is_empty() && crate::normal::is_empty(&bare) {
        return vec![object.problem("", "the body is empty: the server would refuse it")];
    }
    problems
}

pub(crate) fn check_mapping(object: &Object, body: &Value, set: &Set) -> Vec<Problem> {
    let mut problems = check(object, body, set);
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

pub(crate) fn preflight_mappings(cluster: &Cluster, _: &Set, todo: &[(&Object, Value, &Change)]) -> Vec<Problem> {
    let roles = todo.iter().map(|(object, ..)| (*object, String::new(), object.id.name.clone()));
    missing_roles(cluster, roles.collect())
}

/// Roles that neither a file declares nor the server has: it would refuse what names them.
pub(crate) fn missing_roles(cluster: &Cluster, named: Vec<(&Object, String, String)>) -> Vec<Problem> {
    let unknown: Vec<_> =
        named.into_iter().filter(|(_, _, role)| !cluster.memory.borrow().roles.contains(role)).collect();
    if unknown.is_empty() {
        return Vec::new();
    }
    let held = match read(cluster, "roles", &[]) {
        Ok(held) => held,
        Err(failure) => return vec![Problem::of_file("roles", failure.message)],
    };
    let missing = unknown.into_iter().filter(|(_, _, role)| !held.contains_key(role));
    missing
        .map(|(object, pointer, role)| {
            object.problem(&pointer, format!("the role {role} is neither declared nor on the server"))
        })
        .collect()
}

/// PUT replaces the object; marks that came from a GET are not sent.
pub(crate) fn put(cluster: &Cluster, kind: &str, object: &Object, mut want: Value) -> Result<(), Failure> {
    remove(&mut want, &MARKS);
    cluster.put(&format!("{API}/{kind}/{}", part(&object.id.name)), &want).map(drop)
}

pub(crate) fn write_action_group(
    cluster: &Cluster,
    object: &Object,
    want: Value,
    _: Option<&Meta>,
) -> Result<(), Failure> {
    put(cluster, "actiongroups", object, want)
}

pub(crate) fn write_role(cluster: &Cluster, object: &Object, want: Value, _: Option<&Meta>) -> Result<(), Failure> {
    put(cluster, "roles", object, want)
}

pub(crate) fn write_tenant(cluster: &Cluster, object: &Object, want: Value, _: Option<&Meta>) -> Result<(), Failure> {
    put(cluster, "tenants", object, want)
}

pub(crate) fn write_mapping(cluster: &Cluster, object: &Object, want: Value, _: Option<&Meta>) -> Result<(), Failure> {
    put(cluster, "rolesmapping", object, want)
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
