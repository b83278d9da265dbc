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

use std::collections::{BTreeMap, BTreeSet};

use common::engine::change::{Action, Change, Class, Difference, Failure, ObjectId, Shown};
use common::engine::diff::same;
use common::engine::document::{Have, Held, Making, Pair, Pending, Request, bodies, send_all, take_field};
use common::files::json::step as step_of;
use common::files::{Object, Problem, Set};
use serde_json::{Map, Value, json};

use crate::cluster::{Cluster, chunks, declared, part};
use crate::compose::compose;
use crate::dialect::NON_DYNAMIC;
use crate::document::{Ask, only, strings};
use crate::normal::{Flat, alias, flatten, nest, setting_path, settings_differences};
use crate::simulate::{self, failing, nobodys, simulate, would_refuse};
use crate::step::{Limits, post, put};
use crate::{mapping, template};

/// Settings that an index keeps for good or until it is closed: those that people set. Of any other the server's refusal tells ([`send`]).
const FOR_GOOD: [&str; 18] = [
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
    "index.append_only.enabled",
    "index.composite_index",
    "index.derived_source.enabled",
    "index.merge.policy",
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
    // The server counts replicas itself where it is told to expand them.
    let expands = |value: &Value| value.as_str().is_some_and(|range| range != "false");
    if flat.get("index.auto_expand_replicas").is_some_and(expands) {
        flat.remove("index.number_of_replicas");
    }
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
    /// Another index, this one, writes all of them.
    Elsewhere(String),
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
    let mut elsewhere = aliases.iter().map(|alias| writer(alias).filter(|index| index != name));
    match elsewhere.next().flatten() {
        Some(index) if elsewhere.all(|other| other.is_some()) => Series::Elsewhere(index),
        _ => Series::Here,
    }
}

pub(crate) fn read(cluster: &Cluster, ask: Ask<'_>) -> Result<Held, Failure> {
    if ask.is_empty() {
        return export_all(cluster);
    }
    let (dated, plain): (Vec<_>, Vec<_>) = ask.iter().partition(|object| object.id.name.starts_with('<'));
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
    for object in ask {
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
    for object in ask {
        let name = &object.id.name;
        let aliases = wanted.get(name).map(Vec::as_slice).unwrap_or_default();
        let have = match series(name, aliases, &found) {
            Series::Taken(alias) => {
                let reason = format!(
                    "{alias} should be an alias, but an index has that name, which an early writer may have made: reindex it into {name}, delete it, then run again"
                );
                Have { locked: Some(reason), ..Have::of(&json!({"aliases": {}})) }
            }
            Series::Elsewhere(index) => Have { meta: json!({"elsewhere": index}), ..Have::of(&json!({})) },
            Series::Here => match bodies.remove(name) {
                Some(body) => {
                    let kept = &cluster.memory.borrow().non_dynamic;
                    Have { meta: json!({"form": form(cluster, object, &body)?, "kept": kept}), ..Have::of(&body) }
                }
                None => continue,
            },
        };
        held.insert(name.clone(), have);
    }
    Ok(held)
}

/// What the server makes of the declared mappings, asked where a plain comparison finds something in them; null where it was not asked, or
/// refuses them, which pre-flight then says.
fn form(cluster: &Cluster, object: &Object, body: &Value) -> Result<Value, Failure> {
    let mut want = object.value()?;
    let Some(declared) = want.get("mappings").cloned() else { return Ok(Value::Null) };
    let mut have = body["mappings"].clone();
    mapping::normal(&mut have);
    mapping::normal(&mut want["mappings"]);
    if mapping::differences(&have, &want["mappings"], None).is_empty() {
        return Ok(Value::Null);
    }
    // The index's own analyzers and flags: mappings may name them.
    let settings = Value::Object(settings_of(body).into_iter().collect());
    let template = json!({"template": {"settings": settings, "mappings": declared}});
    match simulate(&cluster.client, template) {
        Ok(mut form) => {
            let mut form = take_field(&mut form, "mappings");
            mapping::normal(&mut form);
            Ok(form)
        }
        Err(failure) if failure.class == Class::Rejected => Ok(Value::Null),
        Err(failure) => Err(failure),
    }
}

fn export_all(cluster: &Cluster) -> Result<Held, Failure> {
    let answer = cluster.get("/*?expand_wildcards=open,closed,hidden")?.unwrap_or_default();
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

pub(crate) fn judge(pair: &Pair<'_, Limits>) -> Change {
    let have = pair.have;
    if let Some(index) = have.meta["elsewhere"].as_str() {
        return Change::none().note(format!("the series goes on in {index}"));
    }
    let form = Some(&have.meta["form"]).filter(|form| form.is_object());
    let mut found = differences(pair.held, pair.want, form);
    let kept = strings(&have.meta["kept"]);
    for difference in &mut found {
        difference.fixable &= !kept.contains(&difference.path);
    }
    Change::update(found)
}

pub(crate) fn differences(have: &Value, want: &Value, form: Option<&Value>) -> Vec<Difference> {
    let mut found: Vec<Difference> =
        setting_differences(have, want).into_iter().map(|(_, difference)| difference).collect();
    found.extend(mapping::differences(&have["mappings"], &want["mappings"], form));
    found.extend(alias_differences(&have["aliases"], &want["aliases"]));
    found
}

/// Each setting that differs, by its whole name.
fn setting_differences(have: &Value, want: &Value) -> Vec<(String, Difference)> {
    let mut found = settings_differences("/settings", &settings_of(have), &settings_of(want));
    for (name, difference) in &mut found {
        let is = |fixed: &&str| name == fixed || (fixed.ends_with('.') && name.starts_with(*fixed));
        difference.fixable = !FOR_GOOD.iter().any(is);
    }
    found
}

fn alias_differences(have: &Value, want: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    for (name, want) in want.as_object().into_iter().flatten() {
        let path = format!("/aliases{}", step_of(name));
        let Some(have) = have.get(name) else {
            found.push(Difference::new(path, Shown::Absent, Shown::json(want)));
            continue;
        };
        for (key, want) in want.as_object().into_iter().flatten() {
            if !have.get(key).is_some_and(|have| same(have, want)) {
                let path = format!("{path}{}", step_of(key));
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
    let name = object.id.name.trim_start_matches('<').to_owned();
    needs.extend(template::declared_for(set, &[name]).iter().map(|template| template.id.clone()));
    needs
}

const PIPELINES: [(&str, &str); 3] = [
    ("index.default_pipeline", "ingest_pipelines"),
    ("index.final_pipeline", "ingest_pipelines"),
    ("index.search.default_pipeline", "search_pipelines"),
];

/// The server takes the name of a pipeline that is not there, and refuses documents later; the body it judges by a simulation.
pub(crate) fn preflight(cluster: &Cluster, set: &Set, todo: &[Pending<'_>]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (object, body, _) in bodies(todo) {
        let flat = settings_of(&body);
        for (setting, kind) in PIPELINES {
            let Some(name) = flat.get(setting).and_then(Value::as_str).filter(|name| *name != "_none") else {
                continue;
            };
            if crate::pipeline::is_nowhere(cluster, set, kind, name) {
                let text =
                    format!("{setting} names the pipeline {name}, which neither a file declares nor the server has");
                problems.push(object.problem(&setting_path("/settings", setting), text).warning());
            }
        }
    }
    problems.extend(refused(cluster, set, todo));
    problems
}

/// Bodies that the server would refuse: alone, and together with the template that a new index gets.
fn refused(cluster: &Cluster, set: &Set, todo: &[Pending<'_>]) -> Vec<Problem> {
    let text = |object: &Object| Ok(nobodys(json!({"template": simulated(&[], &object.value()?)})));
    let mut problems = Vec::new();
    for (pending, failure) in failing(&cluster.client, todo, text, simulate::ask) {
        // An analyzer, a field to sort by: a template may bring along what the body names. An index that is there has it already.
        let again = if failure.class == Class::Rejected { refused_whole(cluster, set, pending) } else { Err(failure) };
        problems.extend(again.err().map(|failure| would_refuse((pending, failure))));
    }
    problems
}

/// Whether a body is refused together with what is beneath it.
fn refused_whole(cluster: &Cluster, set: &Set, (object, change): &Pending<'_>) -> Result<(), Failure> {
    let beneath = match change.action {
        Action::Create => template::beneath(cluster, set, &object.id.name)?,
        _ => held_settings(cluster, &object.id.name),
    };
    simulate(&cluster.client, json!({"template": simulated(&beneath, &object.value()?)})).map(drop)
}

/// A body as a template would have it: names of its own and what the server makes do not belong there.
fn simulated(beneath: &[Value], body: &Value) -> Value {
    let mut body = compose(beneath.iter().chain([body]));
    let mut settings = settings_of(&body);
    // A simulated index has no replicas, whatever is said of them: it could never have two active copies.
    settings.retain(|name, value| !value.is_null() && name != "index.write.wait_for_active_shards");
    body["settings"] = Value::Object(settings.into_iter().collect());
    body
}

fn held_settings(cluster: &Cluster, name: &str) -> Vec<Value> {
    let answer = cluster.get(&format!("/{}/_settings", part(name))).ok().flatten().unwrap_or_default();
    answer
        .as_object()
        .into_iter()
        .flatten()
        .map(|(_, body)| json!({"settings": Value::Object(settings_of(body).into_iter().collect())}))
        .collect()
}

/// What is sent: everything for a new index; for one that is there, each setting, field and alias that differs and can change.
pub(crate) fn step(making: Making<'_, Limits>) -> Vec<Request> {
    let Making { object, body: want, have, change, rules, .. } = making;
    let name = part(&object.id.name);
    let Some(have) = have else { return vec![create(&name, want, rules)] };
    let held = have.value().unwrap_or_default();
    let (mut have, mut wanted) = (held.clone(), want.clone());
    normal(&mut have);
    normal(&mut wanted);
    let fixable: BTreeSet<&str> = change
        .differences
        .iter()
        .filter(|difference| difference.fixable)
        .map(|difference| difference.path.as_str())
        .collect();
    let mut step = Vec::new();
    let declared = settings_of(&want);
    let settings: Map<String, Value> = setting_differences(&have, &wanted)
        .into_iter()
        .filter(|(_, difference)| fixable.contains(difference.path.as_str()))
        .map(|(name, _)| (name.clone(), declared.get(&name).cloned().unwrap_or_default()))
        .collect();
    if !settings.is_empty() {
        step.push(put(rules.both(&format!("/{name}/_settings")), &Value::Object(settings)));
    }
    let mut mappings = want["mappings"].clone();
    mapping::nest(&mut mappings);
    if let Some(changed) = mapping::changed(&held["mappings"], &mappings, &fixable) {
        step.push(put(rules.both(&format!("/{name}/_mapping")), &changed));
    }
    let mut actions = Vec::new();
    for (alias, declared) in want["aliases"].as_object().into_iter().flatten() {
        let path = format!("/aliases{}", step_of(alias));
        if fixable.iter().any(|fixable| is_at_or_below(fixable, &path)) {
            actions.push(crate::alias::add(&object.id.name, alias, &have["aliases"][alias], declared));
        }
    }
    if !actions.is_empty() {
        step.push(post(rules.both("/_aliases"), &json!({"actions": actions})));
    }
    step
}

/// Sends a step; what the server says that an open index keeps is drift in the next plan.
pub(crate) fn send(cluster: &Cluster, object: &Object, step: &[Request]) -> Result<(), Failure> {
    let sent = send_all(cluster, object, step);
    let code = sent.as_ref().err().and_then(|failure| failure.code.as_deref());
    if let Some(names) = code.and_then(|code| code.strip_prefix(NON_DYNAMIC)) {
        let paths = names.split(", ").map(|name| setting_path("/settings", name));
        cluster.memory.borrow_mut().non_dynamic.extend(paths);
    }
    sent
}

fn is_at_or_below(path: &str, root: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What asks for a default is left out: a new index has it anyway. That few copies are active within the time is no failure: whether the
/// primary is there is for the cluster's health to say.
fn create(name: &str, mut want: Value, rules: Limits) -> Request {
    let settings: Map<String, Value> = flatten(&want["settings"], "index.")
        .into_iter()
        .filter(|(name, value)| !is_made(name) && !value.is_null())
        .collect();
    if let Some(fields) = want.as_object_mut().filter(|fields| fields.contains_key("settings")) {
        fields.insert("settings".into(), Value::Object(settings));
    }
    put(rules.both(&format!("/{name}")), &want)
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
        let shown: Vec<String> = differences(&have, &want, None).iter().map(ToString::to_string).collect();
        expected.assert_eq(&shown.join("\n"));
        assert_eq!(differences(&want, &want, None), []);
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
            Series::Elsewhere(_) => "elsewhere",
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
