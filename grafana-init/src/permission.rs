//! Permissions of a folder or dashboard: a set of who may do what. A declared list replaces all managed entries; inherited ones are not its own.

use std::collections::BTreeMap;

use common::engine::change::{Class, Difference, Failure, ObjectId, Shown};
use common::files::json::step;
use common::net::http::{Call, Client};
use serde_json::{Value, json};

use crate::scope::{Scope, must};
use crate::server::part;

const LEVELS: [(&str, i64); 3] = [("View", 1), ("Edit", 2), ("Admin", 4)];

/// Who may be named: a role, a team or a service account by name, a user by login.
const WHO: [&str; 4] = ["role", "team", "user", "serviceAccount"];

/// A declared list as who → level, `who` being `role:Editor`, `team:ops`, `user:login`, `serviceAccount:ci`.
pub(crate) fn read(list: &Value) -> Result<BTreeMap<String, i64>, String> {
    let items = list.as_array().ok_or("must be a list of {\"role\" or \"team\" or \"user\": …, \"permission\": …}")?;
    let mut set = BTreeMap::new();
    for item in items {
        let who: Vec<String> =
            WHO.iter().filter_map(|kind| Some(format!("{kind}:{}", item[*kind].as_str()?))).collect();
        let [who] = who.as_slice() else {
            return Err(format!(
                "{item} must name one of role, team (by name), user (by login) or serviceAccount (by name)"
            ));
        };
        if let Some(role) = who.strip_prefix("role:").filter(|role| !["Viewer", "Editor", "Admin"].contains(role)) {
            return Err(format!("{role:?} is no role: Viewer, Editor and Admin are"));
        }
        let given = &item["permission"];
        let level = LEVELS.iter().find(|(name, level)| *given == json!(name) || *given == json!(level));
        // Grafana drops an entry of another level without a word (10.4 to 12.4).
        let (_, level) =
            level.ok_or_else(|| format!("{given} is no permission: 1 (View), 2 (Edit) and 4 (Admin) are"))?;
        if set.insert(who.clone(), *level).is_some() {
            return Err(format!("{who} is named twice"));
        }
    }
    Ok(set)
}

fn held(rows: &Value) -> BTreeMap<String, i64> {
    let text = |row: &Value, field: &str| row[field].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let who = |row: &Value| {
        text(row, "role")
            .map(|role| format!("role:{role}"))
            .or_else(|| text(row, "team").map(|team| format!("team:{team}")))
            .or_else(|| text(row, "userLogin").map(|login| format!("user:{login}")))
    };
    let own = rows.as_array().into_iter().flatten().filter(|row| row["inherited"] != true);
    own.filter_map(|row| Some((who(row)?, row["permission"].as_i64()?))).collect()
}

/// The entries of its own that the object of a path has.
pub(crate) fn own(client: &Client, path: &str) -> Result<BTreeMap<String, i64>, Failure> {
    Ok(held(&must(client, path)?))
}

/// The entries with service accounts by their names, which are the same on every server, where their logins are not; `want` may name one by its
/// login all the same.
pub(crate) fn named(
    scope: &Scope,
    held: BTreeMap<String, i64>,
    want: &BTreeMap<String, i64>,
) -> Result<BTreeMap<String, i64>, Failure> {
    let account = |who: &String| who.strip_prefix("user:sa-").is_some() && !want.contains_key(who);
    if !held.keys().any(account) {
        return Ok(held);
    }
    let names = crate::service_account::names(scope)?;
    let name = |(who, level): (String, i64)| match who.strip_prefix("user:").and_then(|login| names.get(login)) {
        Some(name) if account(&who) => (format!("serviceAccount:{name}"), level),
        _ => (who, level),
    };
    Ok(held.into_iter().map(name).collect())
}

/// A folder's own entries as a file declares them; `None` when this caller may not see them.
pub(crate) fn exported(scope: &Scope, folder: &str) -> Result<Option<Value>, Failure> {
    let reply = scope.client().send(&Call::get(of_folder(folder)).accept(403))?;
    if reply.status == 403 {
        return Ok(None);
    }
    let entry = |(who, level): (String, i64)| {
        let (kind, name) = who.split_once(':').expect("held made it of kind and name");
        json!({kind: name, "permission": LEVELS.iter().find(|(_, known)| *known == level).map(|(name, _)| *name)})
    };
    Ok(Some(named(scope, held(&reply.json()?), &BTreeMap::new())?.into_iter().map(entry).collect()))
}

/// The declared objects that entries name.
pub(crate) fn needs(scope: &Scope, want: &BTreeMap<String, i64>) -> Vec<ObjectId> {
    want.keys().filter_map(|who| declared(scope, who)).cloned().collect()
}

/// The declared object that an entry names.
pub(crate) fn declared<'s>(scope: &'s Scope, who: &str) -> Option<&'s ObjectId> {
    match who.split_once(':') {
        Some(("team", name)) => scope.declared.teams.get(name),
        Some(("serviceAccount", name)) => scope.declared.accounts.get(name),
        _ => None,
    }
}

/// Where the server's entries differ from the declared ones, which stand in the field given.
pub(crate) fn compare(field: &str, have: &BTreeMap<String, i64>, want: &BTreeMap<String, i64>) -> Vec<Difference> {
    let mut who: Vec<&String> = have.keys().chain(want.keys()).collect();
    who.sort();
    who.dedup();
    let shown = |level: Option<&i64>| match level {
        Some(level) => Shown::text(LEVELS.iter().find(|(_, known)| known == level).map_or("?", |(name, _)| name)),
        None => Shown::Absent,
    };
    who.into_iter()
        .filter(|who| have.get(*who) != want.get(*who))
        .map(|who| Difference::new(format!("/{field}{}", step(who)), shown(have.get(who)), shown(want.get(who))))
        .collect()
}

/// Where a folder has them.
pub(crate) fn of_folder(uid: &str) -> String {
    format!("/api/folders/{}/permissions", part(uid))
}

/// Where a dashboard has them.
pub(crate) fn of_dashboard(uid: &str) -> String {
    format!("/api/dashboards/uid/{}/permissions", part(uid))
}

/// The request that replaces all entries, and whom it lacks: who is not there, with the reason.
pub(crate) fn request(
    scope: &Scope,
    path: &str,
    want: &BTreeMap<String, i64>,
) -> Result<(Call, Vec<Unknown>), Failure> {
    let (mut items, mut unknown) = (Vec::new(), Vec::new());
    for (who, level) in want {
        let (kind, name) = who.split_once(':').expect("read made it of kind and name");
        let (field, found) = match kind {
            "role" => ("role", Ok(json!(name))),
            "team" => ("teamId", crate::team::team_id(scope, name).map(Value::from)),
            "serviceAccount" => ("userId", crate::service_account::id_of_name(scope, name).map(Value::from)),
            _ => ("userId", crate::team::user_id(scope, name).map(Value::from)),
        };
        match found {
            Ok(id) => items.push(json!({field: id, "permission": level})),
            Err(failure) if failure.class == Class::Rejected => unknown.push((who.clone(), failure)),
            Err(failure) => return Err(failure),
        }
    }
    Ok((Call::post(path, json!({"items": items}).to_string()), unknown))
}

/// Who is not there, and what is said of it.
pub(crate) type Unknown = (String, Failure);

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn entries_are_a_set() {
        let want =
            read(&json!([{"role": "Viewer", "permission": "View"}, {"team": "ops", "permission": 4}])).expect("good");
        let rows = json!([
            {"role": "Editor", "permission": 2, "userLogin": "", "team": ""},
            {"team": "ops", "permission": 1}, {"role": "Viewer", "permission": 1},
            {"userLogin": "admin", "permission": 4, "inherited": true}]);
        let shown: Vec<String> = compare("permissions", &held(&rows), &want).iter().map(ToString::to_string).collect();
        expect![[r#"
            /permissions/role:Editor: "Edit" -> (absent)
            /permissions/team:ops: "View" -> "Admin""#]]
        .assert_eq(&shown.join("\n"));
    }

    #[test]
    fn what_grafana_would_drop_is_an_error() {
        for bad in [
            json!([{"role": "Viewer", "permission": 3}]),
            json!([{"permission": 1}]),
            json!({}),
            json!([{"role": "Owner", "permission": 1}]),
        ] {
            assert!(read(&bad).is_err(), "{bad}");
        }
    }
}
