//! Whether a run would take its own rights away: after such a write nobody may be able to undo it but the administrator's certificate. What
//! is to be written is looked at before the first write. Rights that come from elsewhere (hosts, tokens) are taken to stay.

use std::collections::BTreeSet;

use common::engine::change::Failure;
use common::engine::document::take_field;
use common::files::{Object, Problem, Set};
use common::net::http::Sieve;
use serde_json::Value;

use crate::cluster::{Cluster, part};
use crate::document::strings;
use crate::security::API;

/// Roles that let somebody undo what was written.
const STRONG: [&str; 4] =
    ["all_access", "security_manager", "security_rest_api_full_access", "security_rest_api_access"];
/// The role that everybody has.
const EVERYBODYS: &str = "own_index";

/// Who the run is, as the server sees it.
struct Me {
    name: String,
    backend_roles: Vec<String>,
    /// Roles given to the user itself, where it is an internal one.
    own_roles: Vec<String>,
}

/// Problems for those of `todo`, role mappings or users, that would take the last strong role from the run's own user.
pub(crate) fn lockouts(cluster: &Cluster, set: &Set, todo: &[&Object]) -> Vec<Problem> {
    let Some(first) = todo.first() else { return Vec::new() };
    look(cluster, set, todo).unwrap_or_else(|failure| vec![Problem::refused(&first.id, failure)])
}

fn look(cluster: &Cluster, set: &Set, todo: &[&Object]) -> Result<Vec<Problem>, Failure> {
    let Some(info) = cluster.get("/_plugins/_security/authinfo")? else { return Ok(Vec::new()) };
    let name = info["user_name"].as_str().unwrap_or_default().to_owned();
    let roles = strings(&info["roles"]);
    let mine = |object: &&&Object| match object.id.kind {
        "internal_users" => object.id.name == name,
        _ => roles.contains(&object.id.name),
    };
    let touching: Vec<&&Object> = todo.iter().filter(mine).collect();
    if touching.is_empty() {
        return Ok(Vec::new());
    }
    let user =
        cluster.get(&format!("{API}/internalusers/{}", part(&name)))?.map(|mut answer| take_field(&mut answer, &name));
    let before = Me {
        backend_roles: strings(&info["backend_roles"]),
        own_roles: user.as_ref().map(|user| strings(&user["opendistro_security_roles"])).unwrap_or_default(),
        name: name.clone(),
    };
    let after = match set.get("internal_users", &name).filter(|_| user.is_some()) {
        None => {
            Me { name: name.clone(), backend_roles: before.backend_roles.clone(), own_roles: before.own_roles.clone() }
        }
        Some(object) => {
            let body = object.value()?;
            Me {
                name: name.clone(),
                backend_roles: strings(&body["backend_roles"]),
                own_roles: strings(&body["opendistro_security_roles"]),
            }
        }
    };
    let mappings = cluster
        .get_kept(&format!("{API}/rolesmapping"), Some(Sieve::new(&[], roles.iter().cloned())))?
        .unwrap_or_default();
    let mut kept = BTreeSet::new();
    for role in &roles {
        let held = mappings.get(role);
        let declared = set.get("roles_mapping", role).map(|object| object.value()).transpose()?;
        // What gave the role is not to be seen here, so that no file can take it.
        let elsewhere = !before.has(role, held);
        if elsewhere || after.has(role, declared.as_ref().or(held)) {
            kept.insert(role.as_str());
        }
    }
    let lost = |role: &&String| !kept.contains(role.as_str());
    let is_strong = |role: &str| STRONG.contains(&role);
    let (had, has) = if roles.iter().any(|role| is_strong(role)) {
        (true, kept.iter().any(|role| is_strong(role)))
    } else {
        (roles.iter().any(|role| role != EVERYBODYS), kept.iter().any(|role| *role != EVERYBODYS))
    };
    if !had || has {
        return Ok(Vec::new());
    }
    let taken: Vec<&str> = roles.iter().filter(lost).map(String::as_str).collect();
    let culprits = touching
        .into_iter()
        .filter(|object| object.id.kind == "internal_users" || taken.contains(&object.id.name.as_str()));
    Ok(culprits
        .map(|object| {
            let text = format!(
                "would take the role {} from {name}, the user of this run, and with it the right to undo that: \
                 keep {name} in users, or one of its backend roles ({}), or run as somebody else",
                taken.join(", "),
                before.backend_roles.join(", ")
            );
            object.problem("", text)
        })
        .collect())
}

impl Me {
    /// Whether a mapping, or the user itself, gives this role.
    fn has(&self, role: &str, mapping: Option<&Value>) -> bool {
        let names = |key: &str| mapping.map(|mapping| strings(&mapping[key])).unwrap_or_default();
        let all = names("and_backend_roles");
        self.own_roles.iter().any(|own| own == role)
            || names("users").iter().any(|pattern| crate::overlap::overlap(pattern, &self.name))
            || names("backend_roles")
                .iter()
                .any(|pattern| self.backend_roles.iter().any(|mine| crate::overlap::overlap(pattern, mine)))
            || (!all.is_empty() && all.iter().all(|one| self.backend_roles.contains(one)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_role_comes_by_user_backend_role_or_all_of_several() {
        let me = Me { name: "ops".into(), backend_roles: vec!["a".into(), "b".into()], own_roles: vec!["mine".into()] };
        let has = |mapping: Value| me.has("r", Some(&mapping));
        assert!(me.has("mine", None) && !me.has("r", None));
        assert!(has(json!({"users": ["o*"]})) && !has(json!({"users": ["x"]})));
        assert!(has(json!({"backend_roles": ["b"]})) && !has(json!({"backend_roles": ["c"]})));
        assert!(has(json!({"and_backend_roles": ["a", "b"]})) && !has(json!({"and_backend_roles": ["a", "c"]})));
    }
}
