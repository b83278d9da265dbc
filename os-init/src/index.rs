//! Indices: made once, then only added to. Settings, mappings and aliases merge; what an index keeps for good is drift, and no index is
//! ever made anew. A body with a write alias starts a rollover series: once that alias has a write index, the series is there, whatever
//! its index is called by now.
//!
//! | declared index      | its write aliases             | then                                                   |
//! |---------------------|-------------------------------|--------------------------------------------------------|
//! | there               | it is their write index, none | compared                                               |
//! | there or not        | another index writes them     | the series goes on elsewhere: nothing to do            |
//! | not there           | nobody writes them            | created                                                |
//! | there or not        | one is an index's name        | drift: an early writer made an index of the alias's name |

use std::collections::BTreeMap;
use std::rc::Rc;

use common::engine::change::{Change, Class, Difference, Failure, ObjectId, Shown};
use common::engine::diff::same;
use common::engine::document::{Have, Held, Meta};
use common::files::json::step;
use common::files::{Object, Problem, Set};
use serde_json::{Map, Value, json};

use crate::cluster::{Cluster, chunks, declared, part};
use crate::document::only;
use crate::normal::{Flat, alias, flatten, nest, settings_differences};
use crate::{mapping, overlap};

/// Settings that an index keeps for good or until it is closed.
const FOR_GOOD: [&str; 14] = [
    "index.number_of_shards",
    "index.number_of_routing_shards",
    "index.routing_partition_size",
    "index.codec",
    "index.analysis.",
    "index.similarity.",
    "index.sort.",
    "index.soft_deletes.enabled",
    "index.store.",
    "index.replication.type",
    "index.knn",
    "index.mode",
    "index.shard.check_on_startup",
    "index.load_fixed_bitset_filters_eagerly",
];

/// Settings that the server makes.
const MADE: [&str; 5] = ["index.creation_date", "index.uuid", "index.provided_name", "index.version.", "index.resize."];

fn is_made(name: &str) -> bool {
    MADE.iter().any(|made| name.starts_with(made))
}

fn settings_of(body: &Value) -> Flat {
    let mut flat = flatten(&body["settings"], "index.");
    flat.retain(|name, _| !is_made(name));
    flat
}

/// The aliases that a body makes its index the write index of.
fn write_aliases(body: &Value) -> Vec<String> {
    let aliases = body["aliases"].as_object().into_iter().flatten();
    aliases.filter(|(_, alias)| alias["is_write_index"] == true).map(|(name, _)| name.clone()).collect()
}

/// Where a body's write aliases stand, by the indices that a look-up of them found.
enum Series {
    /// The declared index writes them, or they have no write index yet.
    Here,
    /// Another index writes all of them.
    Elsewhere,
    /// This one is no alias but an index.
    Taken(String),
}

fn series(name: &str, aliases: &[String], found: &Map<String, Value>) -> Series {
    if let Some(alias) = aliases.iter().find(|alias| found.contains_key(*alias)) {
        return Series::Taken(alias.clone());
    }
    let writer = |alias: &String| {
        let holders: Vec<(&String, &Value)> =
            found.iter().filter_map(|(index, body)| Some((index, body["aliases"].get(alias)?))).collect();
        let explicit = holders.iter().find(|(_, alias)| alias["is_write_index"] == true);
        // An only index without a flag is written to as well.
        let only = holders.first().filter(|(_, alias)| holders.len() == 1 && alias["is_write_index"].is_null());
        explicit.or(only).map(|(index, _)| (*index).clone())
    };
    let elsewhere = |alias| writer(alias).is_some_and(|index| index != name);
    if !aliases.is_empty() && aliases.iter().all(elsewhere) { Series::Elsewhere } else { Series::Here }
}

pub(crate) fn read(cluster: &Cluster, objects: &[Rc<Object>]) -> Result<Held, Failure> {
    if objects.is_empty() {
        return export_all(cluster);
    }
    let (dated, plain): (Vec<_>, Vec<_>) = objects.iter().partition(|object| object.id.name.starts_with('<'));
    let names: Vec<String> = plain.iter().map(|object| object.id.name.clone()).collect();
    let mut bodies: BTreeMap<String, Value> = BTreeMap::new();
    for chunk in chunks(&names) {
        let answer =
            cluster.get(&format!("/{chunk}?ignore_unavailable=true&expand_wildcards=none"))?.unwrap_or_default();
        bodies.extend(
            answer.as_object().cloned().unwrap_or_default().into_iter().filter(|(name, _)| names.contains(name)),
        );
    }
    for object in dated {
        // A name with a date in it is told by the server, which is asked for one at a time.
        let answer = cluster.get(&format!("/{}?ignore_unavailable=true", part(&object.id.name)))?.unwrap_or_default();
        if let Some((_, body)) = answer.as_object().and_then(|found| found.iter().next()) {
            bodies.insert(object.id.name.clone(), body.clone());
        }
    }
    let mut wanted = BTreeMap::new();
    for object in objects {
        let aliases = write_aliases(&object.value()?);
        if !aliases.is_empty() {
            wanted.insert(object.id.name.clone(), aliases);
        }
    }
    let names: Vec<String> = wanted.values().flatten().cloned().collect();
    let mut found = Map::new();
    for chunk in chunks(&names) {
        let path = format!(
            "/{chunk}?ignore_unavailable=true&expand_wildcards=all&filter_path=*.aliases,*.settings.index.uuid"
        );
        found.extend(cluster.get(&path)?.and_then(|answer| answer.as_object().cloned()).unwrap_or_default());
    }
    let mut held = Held::new();
    for object in objects {
        let name = &object.id.name;
        let aliases = wanted.get(name).map(Vec::as_slice).unwrap_or_default();
        let have = match series(name, aliases, &found) {
            Series::Taken(alias) => {
                let reason = format!(
                    "{alias} should be an alias, but an index has that name, which an early writer may have made: reindex it into {name}, delete it, then run again"
                );
                Have { locked: Some(reason), ..Have::of(&json!({"aliases": {}})) }
            }
            Series::Elsewhere => Have { meta: json!({"elsewhere": true}), ..Have::of(&object.value()?) },
            Series::Here => match bodies.remove(name) {
                Some(body) => Have { meta: body.clone(), ..Have::of(&body) },
                None => continue,
            },
        };
        held.insert(name.clone(), have);
    }
    Ok(held)
}

fn export_all(cluster: &Cluster) -> Result<Held, Failure> {
    let answer = cluster.get("/*?expand_wildcards=open,closed")?.unwrap_or_default();
    let indices = answer.as_object().cloned().unwrap_or_default();
    Ok(indices.into_iter().map(|(name, body)| (name, Have::of(&body))).collect())
}

pub(crate) fn normal(body: &mut Value) {
    let settings = nest(settings_of(body));
    let Some(fields) = body.as_object_mut() else { return };
    if fields.contains_key("settings") {
        fields.insert("settings".into(), settings);
    }
    if let Some(mappings) = fields.get_mut("mappings") {
        mapping::normal(mappings);
    }
    if let Some(Value::Object(aliases)) = fields.get_mut("aliases") {
        aliases.values_mut().for_each(alias);
    }
}

pub(crate) fn compare(_: &Cluster, _: &Object, have: &Value, want: &Value) -> Change {
    Change::update(differences(have, want))
}

pub(crate) fn differences(have: &Value, want: &Value) -> Vec<Difference> {
    let mut found = settings_differences("/settings", &settings_of(have), &settings_of(want));
    for difference in &mut found {
        let name = difference.path.trim_start_matches("/settings/").replace('/', ".");
        difference.fixable =
            !FOR_GOOD.iter().any(|fixed| name == *fixed || (fixed.ends_with('.') && name.starts_with(fixed)));
    }
    found.extend(mapping::differences(&have["mappings"], &want["mappings"]));
    found.extend(alias_differences(&have["aliases"], &want["aliases"]));
    found
}

fn alias_differences(have: &Value, want: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    for (name, want) in want.as_object().into_iter().flatten() {
        let path = format!("/aliases{}", step(name));
        let Some(have) = have.get(name) else {
            found.push(Difference::new(path, Shown::Absent, Shown::json(want)));
            continue;
        };
        for (key, want) in want.as_object().into_iter().flatten() {
            if !have.get(key).is_some_and(|have| same(have, want)) {
                let path = format!("{path}{}", step(key));
                found.push(Difference::new(path, Shown::maybe(have.get(key)), Shown::json(want)));
            }
        }
    }
    found
}

pub(crate) fn check(object: &Object, body: &Value, _: &Set) -> Vec<Problem> {
    let mut problems = only(object, body, &["settings", "mappings", "aliases"]);
    let name = object.id.name.trim_start_matches('<');
    if name.starts_with(['-', '_', '+']) || name.contains(['*', '?', '"', ',', ' ', '#', '\\']) {
        problems.push(object.problem("", "is no name that an index can have"));
    } else if !object.id.name.starts_with('<') && name.chars().any(char::is_uppercase) {
        problems.push(object.problem("", "an index's name must be lowercase"));
    }
    problems
}

pub(crate) fn needs(object: &Object, body: &Value, set: &Set) -> Vec<ObjectId> {
    let mut needs = Vec::new();
    let flat = settings_of(body);
    for (setting, kind) in PIPELINES {
        let name = flat.get(setting).and_then(Value::as_str).map(str::to_owned);
        needs.extend(declared(set, kind, name));
    }
    // Only a new index gets what a template says, so the templates that match come first.
    for template in set.of("index_templates") {
        let Ok(value) = template.value() else { continue };
        let name = object.id.name.trim_start_matches('<');
        if crate::document::strings(&value["index_patterns"]).iter().any(|pattern| overlap::overlap(pattern, name)) {
            needs.push(template.id.clone());
        }
    }
    needs
}

const PIPELINES: [(&str, &str); 3] = [
    ("index.default_pipeline", "ingest_pipelines"),
    ("index.final_pipeline", "ingest_pipelines"),
    ("index.search.default_pipeline", "search_pipelines"),
];

/// The server takes the name of a pipeline that is not there, and refuses documents later.
pub(crate) fn preflight(cluster: &Cluster, _: &Set, todo: &[(&Object, Value, &Change)]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (object, body, _) in todo {
        let flat = settings_of(body);
        for (setting, kind) in PIPELINES {
            let Some(name) = flat.get(setting).and_then(Value::as_str).filter(|name| *name != "_none") else {
                continue;
            };
            if cluster.memory.borrow().pipelines.contains(&(kind, name.to_owned())) {
                continue;
            }
            let path = if kind == "ingest_pipelines" { "_ingest" } else { "_search" };
            if let Ok(None) = cluster.get(&format!("/{path}/pipeline/{}", part(name))) {
                let text =
                    format!("{setting} names the pipeline {name}, which neither a file declares nor the server has");
                problems.push(object.problem(&crate::normal::setting_path("/settings", setting), text).warning());
            }
        }
    }
    problems
}

pub(crate) fn write(cluster: &Cluster, object: &Object, want: Value, have: Option<&Meta>) -> Result<(), Failure> {
    let name = part(&object.id.name);
    let Some(Meta { meta: have }) = have else { return create(cluster, object, want) };
    let (mut have, mut wanted) = (have.clone(), want.clone());
    normal(&mut have);
    normal(&mut wanted);
    let bounded = format!("{}&timeout={}", cluster.bounded(), cluster.patience());
    let mut settings = Map::new();
    let mut others = differences(&have, &wanted);
    others.retain(|difference| difference.fixable);
    let declared = settings_of(&want);
    for (setting, value) in declared {
        let root = crate::normal::setting_path("/settings", setting.trim_end_matches('*'));
        if others.iter().any(|difference| difference.path.starts_with(&root)) {
            settings.insert(setting, value);
        }
    }
    if !settings.is_empty() {
        cluster.put(&format!("/{name}/_settings{bounded}"), &Value::Object(settings))?;
    }
    if others.iter().any(|difference| difference.path.starts_with("/mappings")) {
        cluster.put(&format!("/{name}/_mapping{bounded}"), &want["mappings"])?;
    }
    let mut actions = Vec::new();
    for (alias, declared) in want["aliases"].as_object().into_iter().flatten() {
        let path = format!("/aliases{}", step(alias));
        if others.iter().any(|difference| difference.path == path || difference.path.starts_with(&format!("{path}/"))) {
            actions.push(crate::alias::add(&object.id.name, alias, &have["aliases"][alias], declared));
        }
    }
    if !actions.is_empty() {
        cluster.post(&format!("/_aliases{bounded}"), &json!({"actions": actions}))?;
    }
    Ok(())
}

fn create(cluster: &Cluster, object: &Object, mut want: Value) -> Result<(), Failure> {
    let settings = settings_of(&want);
    if let Some(fields) = want.as_object_mut().filter(|fields| fields.contains_key("settings")) {
        fields.insert("settings".into(), Value::Object(settings.into_iter().collect()));
    }
    let query = format!("{}&timeout={}", cluster.bounded(), cluster.patience());
    let answer = cluster.put(&format!("/{}{query}", part(&object.id.name)), &want)?;
    if answer["shards_acknowledged"] == false {
        let index = answer["index"].as_str().unwrap_or(&object.id.name).to_owned();
        let explained =
            cluster.ask("/_cluster/allocation/explain", &json!({"index": index, "shard": 0, "primary": true}));
        let why = explained.ok().and_then(|answer| answer["allocate_explanation"].as_str().map(str::to_owned));
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        let text =
            format!("the index was made, but its primary shard did not start within {}{why}", cluster.patience());
        return Err(Failure::new(Class::Rejected, text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    #[track_caller]
    fn check(have: &Value, want: &Value, expected: &Expect) {
        let (mut have, mut want) = (have.clone(), want.clone());
        normal(&mut have);
        normal(&mut want);
        let shown: Vec<String> = differences(&have, &want).iter().map(ToString::to_string).collect();
        expected.assert_eq(&shown.join("\n"));
        assert_eq!(differences(&want, &want), []);
    }

    #[test]
    fn only_what_is_declared_counts() {
        check(
            &json!({"settings": {"index": {"number_of_shards": "1", "refresh_interval": "1s", "uuid": "x", "codec": "default"}}, "mappings": {}, "aliases": {"mine": {}}}),
            &json!({"settings": {"number_of_shards": 3, "index.refresh_interval": "5s", "index.uuid": "y", "index.codec": "best_compression"}, "aliases": {"a": {"routing": "r"}}}),
            &expect![[r#"
                /settings/index/codec: "default" -> "best_compression" (cannot be changed in place)
                /settings/index/number_of_shards: "1" -> "3" (cannot be changed in place)
                /settings/index/refresh_interval: "1s" -> "5s"
                /aliases/a: (absent) -> {"index_routing":"r","search_routing":"r"}"#]],
        );
    }

    #[test]
    fn a_series_is_where_its_write_index_is() {
        let aliases = ["logs".to_owned()];
        let found = |value: Value| value.as_object().cloned().expect("an object");
        let write = json!({"aliases": {"logs": {"is_write_index": true}}});
        let read = json!({"aliases": {"logs": {"is_write_index": false}}});
        let bare = json!({"aliases": {"logs": {}}});
        let is = |series| match series {
            Series::Here => "here",
            Series::Elsewhere => "elsewhere",
            Series::Taken(_) => "taken",
        };
        let at = |value| is(series("logs-000001", &aliases, &found(value)));
        assert_eq!(at(json!({})), "here");
        assert_eq!(at(json!({"logs-000001": write})), "here");
        assert_eq!(at(json!({"logs-000001": read, "logs-000007": write})), "elsewhere");
        assert_eq!(at(json!({"logs-000007": write})), "elsewhere");
        assert_eq!(at(json!({"logs-000007": bare})), "elsewhere");
        assert_eq!(at(json!({"logs-000001": read})), "here");
        assert_eq!(at(json!({"logs": {"aliases": {}}})), "taken");
    }
}
