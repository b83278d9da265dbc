//! Plugins: checked, never installed. One that is missing or too old stops the run before its first write.

use std::rc::Rc;

use common::engine::change::{Change, Difference, Failure, Shown};
use common::engine::document::{Have, Held, Pair, Request, Row};
use common::files::{Object, Problem, Set};
use serde_json::{Value, json};

use crate::scope::{Rules, Scope};
use crate::server::part;

/// The row.
pub(crate) const ROW: Row<Scope> =
    Row { judge: Some(judge), check, export: |_, _, _| None, ..Row::new("plugins", read, |_| never()) };

fn read(scope: &Scope, want: &[Rc<Object>]) -> Result<Held, Failure> {
    let mut held = Held::new();
    for object in want {
        let found = scope.get(&format!("/api/plugins/{}/settings", part(&object.id.name)))?;
        let version = found.as_ref().map_or(Value::Null, |found| found["info"]["version"].clone());
        let body = json!({"installed": found.is_some(), "version": version});
        held.insert(object.id.name.clone(), Have::of(&body));
    }
    Ok(held)
}

/// Drift in any case: nothing that this program writes installs a plugin.
fn judge(pair: &Pair<'_, Rules>) -> Change {
    let (have, want) = (pair.held, pair.want);
    // One that comes with Grafana itself has no version of its own.
    let found = have["version"].as_str().filter(|version| !version.is_empty());
    let wanted = want["minVersion"].as_str();
    let difference = if have["installed"] == false {
        Difference::fixed("", Shown::Absent, Shown::text(wanted.unwrap_or("any version")))
    } else if wanted.is_some_and(|wanted| found.is_some_and(|found| numbers(found) < numbers(wanted))) {
        Difference::fixed(
            "/minVersion",
            Shown::text(found.unwrap_or_default()),
            Shown::text(wanted.unwrap_or_default()),
        )
    } else {
        return Change::none();
    };
    let name = &pair.object.id.name;
    let text =
        format!("the plugin {name} has to be installed on the server (GF_INSTALL_PLUGINS={name}, then a restart)");
    Change::update(vec![difference]).locked(text)
}

fn numbers(version: &str) -> Vec<u64> {
    let digits = |part: &str| part.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0);
    version.split(['.', '-', '+']).map(digits).collect()
}

/// What is not as declared is locked, and what is locked has no step.
fn never() -> Result<Vec<Request>, Failure> {
    Err(Failure::fatal("plugins are checked, never written"))
}

fn check(object: &Object, body: &Value, _: &Set) -> Vec<Problem> {
    match body.as_object() {
        None => vec![object.problem("", "must be an object: {} or {\"minVersion\": \"1.2\"}")],
        Some(fields) => fields
            .iter()
            .filter(|(key, value)| *key != "minVersion" || !value.is_string())
            .map(|(key, _)| object.problem(&common::files::json::step(key), "known is minVersion, a text"))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::numbers;

    #[test]
    fn versions_compare_by_number() {
        assert!(numbers("1.10.0") > numbers("1.9.3"));
        assert!(numbers("2.0.0-beta1") >= numbers("2.0"));
    }
}
