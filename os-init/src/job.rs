//! Rollups and transforms: jobs of the index-management plugin that write one index from another. What a job is to do is fixed when it is
//! made; its description, schedule, page size and whether it is enabled change in place. Its own progress (`metadata_id`, times, the end of
//! a job that runs once) is no difference, and an update sends it back. Policies, rollups and transforms share one space of names.

use common::engine::change::{Change, Failure, ObjectId};
use common::engine::diff::{Writing, diff};
use common::engine::document::{Have, Held, Making, Pair, Request, drop_where};
use common::files::{Object, Problem, Set};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::cluster::{Cluster, declared, part};
use crate::document::{Ask, only, remove, text, wanted};
use crate::ism::{pages, replacing, sequence};
use crate::normal::{drop_defaults, drop_nulls, each, lower, unquote};
use crate::overlap::overlap;
use crate::step::{Limits, put};

/// What one of the two kinds calls things.
pub(crate) struct Names {
    kind: &'static str,
    path: &'static str,
    /// The key of a body, and with an `s` that of a list.
    inner: &'static str,
    /// What a job is to do, for good.
    fixed: [&'static str; 6],
}

pub(crate) const ROLLUPS: Names = Names {
    kind: "rollups",
    path: "/_plugins/_rollup/jobs",
    inner: "rollup",
    fixed: ["source_index", "target_index", "continuous", "dimensions", "metrics", "routing_field"],
};

pub(crate) const TRANSFORMS: Names = Names {
    kind: "transforms",
    path: "/_plugins/_transform",
    inner: "transform",
    fixed: ["source_index", "target_index", "continuous", "groups", "aggregations", "data_selection_query"],
};

/// Fields that the server makes.
const MADE: [&str; 10] = [
    "rollup_id",
    "transform_id",
    "schema_version",
    "metadata_id",
    "last_updated_time",
    "enabled_time",
    "updated_at",
    "enabled_at",
    "user",
    // Taken and ignored since 1.0; a file that has them is warned about.
    "roles",
];

/// Everything that a body may say.
const KNOWN: [&str; 18] = [
    "description",
    "enabled",
    "schedule",
    "source_index",
    "target_index",
    "target_index_settings",
    "page_size",
    "continuous",
    "delay",
    "dimensions",
    "metrics",
    "routing_field",
    "error_notification",
    "groups",
    "aggregations",
    "aggs",
    "data_selection_query",
    "roles",
];

fn normal(job: &mut Value) {
    remove(job, &MADE);
    drop_nulls(job);
    for number in ["/page_size", "/delay", "/schedule/interval/period", "/schedule/interval/start_time"] {
        each(job, number, &unquote);
    }
    each(job, "/schedule/interval/unit", &lower);
    drop_defaults(job, &[("/enabled", json!(true)), ("/continuous", json!(false)), ("/delay", json!(0))]);
    if let Some(settings) = job.get_mut("target_index_settings") {
        *settings = crate::normal::nest(crate::normal::flatten(settings, "index."));
    }
}

/// The body of a rollup, also that of a policy's action.
pub(crate) fn normal_rollup(job: &mut Value) {
    normal(job);
    each(job, "/dimensions/*/*", &dimension);
}

/// The body of a transform, also that of a policy's action.
pub(crate) fn normal_transform(job: &mut Value) {
    normal(job);
    each(job, "/groups/*/*", &dimension);
    if let Some(fields) = job.as_object_mut()
        && let Some(short) = fields.remove("aggs")
    {
        fields.insert("aggregations".into(), short);
    }
    each(job, "/data_selection_query", &query);
    drop_defaults(job, &[("/data_selection_query", json!({"match_all": {}}))]);
}

/// A dimension is called like its source unless it has a name of its own.
fn dimension(dimension: &mut Value) {
    let source = dimension["source_field"].clone();
    if let Some(fields) = dimension.as_object_mut() {
        fields.retain(|key, value| match key.as_str() {
            "target_field" => *value != source,
            "timezone" => *value != "UTC" && *value != "Etc/UTC",
            _ => !value.is_null(),
        });
    }
}

/// A query as the server prints it: short forms written out, but without the boost that it adds everywhere.
fn query(query: &mut Value) {
    match query {
        Value::Array(items) => items.iter_mut().for_each(self::query),
        Value::Object(fields) => {
            fields.retain(|key, value| key != "boost" || value.as_f64() != Some(1.0));
            for (key, value) in fields.iter_mut() {
                match key.as_str() {
                    "term" | "prefix" | "wildcard" | "regexp" | "fuzzy" => {
                        each(value, "/*", &|field| long(field, "value"));
                    }
                    "match" | "match_phrase" => each(value, "/*", &|field| long(field, "query")),
                    "range" => each(value, "/*", &range),
                    // One clause may stand without a list.
                    "must" | "should" | "filter" | "must_not" if value.is_object() => *value = json!([value.take()]),
                    _ => {}
                }
                self::query(value);
            }
        }
        _ => {}
    }
}

fn long(field: &mut Value, key: &str) {
    if !field.is_object() {
        *field = json!({key: field.take()});
    }
}

/// `gte` is short for `from` with `include_lower`.
fn range(bounds: &mut Value) {
    let Some(fields) = bounds.as_object_mut() else { return };
    for (short, name, flag, including) in [
        ("gte", "from", "include_lower", true),
        ("gt", "from", "include_lower", false),
        ("lte", "to", "include_upper", true),
        ("lt", "to", "include_upper", false),
    ] {
        if let Some(bound) = fields.remove(short) {
            fields.insert(name.into(), bound);
            fields.insert(flag.into(), including.into());
        }
    }
    for (name, flag) in [("from", "include_lower"), ("to", "include_upper")] {
        fields.retain(|key, value| key != name || !value.is_null());
        if !fields.contains_key(name) {
            fields.remove(flag);
        }
    }
}

pub(crate) fn normal_rollup_file(body: &mut Value) {
    each(body, "/rollup", &normal_rollup);
}

pub(crate) fn normal_transform_file(body: &mut Value) {
    each(body, "/transform", &normal_transform);
}

/// What the server adds to a query or an aggregation is its default; everything else is compared whole.
pub(crate) fn differences(names: &Names, have: &Value, want: &Value) -> Change {
    let (mut have, want) = (have.clone(), want);
    let inner = names.inner;
    // The server notes when an interval began, unless it was told.
    if want.pointer(&format!("/{inner}/schedule/interval/start_time")).is_none() {
        drop_where(&mut have, &format!("/{inner}/schedule/interval/start_time"), &|_| true);
    }
    let mut found = diff(Writing::Replaces, &have, want);
    let open = [format!("/{inner}/data_selection_query/"), format!("/{inner}/aggregations/")];
    found.retain(|difference| {
        difference.to != common::engine::change::Shown::Absent
            || !open.iter().any(|open| difference.path.starts_with(open.as_str()))
    });
    for difference in &mut found {
        let field = difference.path.split('/').nth(2).unwrap_or_default();
        difference.fixable = !names.fixed.contains(&field);
    }
    Change::update(found)
}

fn read(names: &Names, cluster: &Cluster, ask: Ask<'_>) -> Result<Held, Failure> {
    let wanted = wanted(ask);
    let inner = names.inner;
    let mut held = Held::new();
    pages(cluster, names.path, &format!("{inner}s"), ask.is_empty(), |fields| {
        let name = text(fields, "_id");
        if let Some(job) = fields.get(inner).filter(|_| wanted(&name)) {
            let body = RawValue::from_string(format!("{{\"{inner}\":{}}}", job.get())).expect("JSON inside JSON");
            held.insert(name, Have { meta: sequence(fields), ..Have::new(body) });
        }
    })?;
    for object in ask {
        if let Some(have) = held.get_mut(&object.id.name)
            && ended(names, cluster, &object.value()?[inner], &have.value()?[inner], &object.id.name)?
        {
            have.meta["ended"] = true.into();
        }
    }
    Ok(held)
}

/// Whether a job that runs once is disabled because it has run: then that is its progress, and nobody has stopped it.
fn ended(names: &Names, cluster: &Cluster, want: &Value, have: &Value, name: &str) -> Result<bool, Failure> {
    let disabled = have["enabled"] == false && want["enabled"] != false;
    if !disabled || have["continuous"] == true || have["metadata_id"].is_null() {
        return Ok(false);
    }
    let answer = cluster.get(&format!("{}/{}/_explain", names.path, part(name)))?.unwrap_or_default();
    Ok(answer[name][format!("{}_metadata", names.inner)]["status"] == "finished")
}

pub(crate) fn read_rollups(cluster: &Cluster, ask: Ask<'_>) -> Result<Held, Failure> {
    read(&ROLLUPS, cluster, ask)
}

pub(crate) fn read_transforms(cluster: &Cluster, ask: Ask<'_>) -> Result<Held, Failure> {
    read(&TRANSFORMS, cluster, ask)
}

fn judge(names: &Names, pair: &Pair<'_, Limits>) -> Change {
    let mut change = differences(names, pair.held, pair.want);
    if pair.have.meta["ended"] == true {
        change.differences.retain(|difference| difference.path != format!("/{}/enabled", names.inner));
        return Change::update(change.differences).note("the job has run to its end");
    }
    change
}

pub(crate) fn judge_rollup(pair: &Pair<'_, Limits>) -> Change {
    judge(&ROLLUPS, pair)
}

pub(crate) fn judge_transform(pair: &Pair<'_, Limits>) -> Change {
    judge(&TRANSFORMS, pair)
}

fn step(names: &Names, making: Making<'_, Limits>) -> Vec<Request> {
    let Making { object, body: mut want, have, .. } = making;
    let inner = names.inner;
    remove(&mut want[inner], &MADE);
    if let Some(have) = have {
        want = updated(inner, want, &have.value().unwrap_or_default()[inner]);
    }
    vec![put(format!("{}/{}{}", names.path, part(&object.id.name), replacing(have)), &want)]
}

pub(crate) fn step_rollup(making: Making<'_, Limits>) -> Vec<Request> {
    step(&ROLLUPS, making)
}

pub(crate) fn step_transform(making: Making<'_, Limits>) -> Vec<Request> {
    step(&TRANSFORMS, making)
}

/// What an update sends: the declared job, and of the server's what would be lost otherwise.
fn updated(inner: &str, mut want: Value, have: &Value) -> Value {
    if let Some(job) = want[inner].as_object_mut() {
        if !have["metadata_id"].is_null() {
            job.insert("metadata_id".into(), have["metadata_id"].clone());
        }
        let start = have.pointer("/schedule/interval/start_time").cloned();
        if let (Some(start), Some(Value::Object(interval))) =
            (start, job.get_mut("schedule").and_then(|schedule| schedule.get_mut("interval")))
        {
            interval.entry("start_time").or_insert(start);
        }
    }
    want
}

pub(crate) fn unwrap(inner: &str, body: Value) -> Value {
    match body.get(inner) {
        Some(job) if body.get("_id").is_some() => json!({inner: job}),
        _ => body,
    }
}

fn check(names: &Names, object: &Object, body: &Value, set: &Set) -> Vec<Problem> {
    let inner = names.inner;
    let mut problems = only(object, body, &[inner]);
    let Some(job) = body[inner].as_object().filter(|_| problems.is_empty()) else {
        if problems.is_empty() {
            problems.push(object.problem("", format!("the job has to stand below {inner:?}")));
        }
        return problems;
    };
    let unknown = job.keys().filter(|key| !KNOWN.contains(&key.as_str()) && !MADE.contains(&key.as_str()));
    problems.extend(unknown.map(|key| {
        object.located(&format!("/{inner}{}", common::files::json::step(key)), format!("unknown field {key}"))
    }));
    for key in ["description", "schedule", "source_index", "target_index", "page_size"] {
        if !job.contains_key(key) {
            problems.push(object.problem(&format!("/{inner}"), format!("{key} is missing")));
        }
    }
    if job.contains_key("roles") {
        let text = "roles is taken and ignored by the server: the job runs with the rights of the user of this run";
        problems.push(object.problem(&format!("/{inner}/roles"), text).warning());
    }
    for kind in ["ism_policies", "rollups", "transforms"].into_iter().filter(|kind| *kind != names.kind) {
        // Reported once, by the later of the two.
        if kind < names.kind && set.get(kind, &object.id.name).is_some() {
            let text =
                format!("{kind} has this name, too: the server keeps both in one index under their names; rename one");
            problems.push(object.problem("", text));
        }
    }
    problems
}

pub(crate) fn check_rollup(object: &Object, body: &Value, set: &Set) -> Vec<Problem> {
    check(&ROLLUPS, object, body, set)
}

pub(crate) fn check_transform(object: &Object, body: &Value, set: &Set) -> Vec<Problem> {
    check(&TRANSFORMS, object, body, set)
}

/// The indices that a job reads have to be there: a transform is refused otherwise.
fn needs(inner: &str, body: &Value, set: &Set) -> Vec<ObjectId> {
    let source = body[inner]["source_index"].as_str().unwrap_or_default();
    let matches = |kind: &'static str| {
        let names = set.of(kind).into_iter().map(|object| object.id.name.clone());
        declared(
            set,
            kind,
            names.filter(|name| source.split(',').any(|pattern| overlap(pattern, name))).collect::<Vec<_>>(),
        )
    };
    ["indices", "data_streams", "aliases"].into_iter().flat_map(matches).collect()
}

pub(crate) fn needs_rollup(_: &Object, body: &Value, set: &Set) -> Vec<ObjectId> {
    needs("rollup", body, set)
}

pub(crate) fn needs_transform(_: &Object, body: &Value, set: &Set) -> Vec<ObjectId> {
    needs("transform", body, set)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(names: &Names, normal: fn(&mut Value), have: Value, want: Value) -> Vec<String> {
        let (mut have, mut want) = (have, want);
        normal(&mut have);
        normal(&mut want);
        differences(names, &have, &want).differences.iter().map(ToString::to_string).collect()
    }

    fn transform(query: &Value) -> Value {
        json!({"transform": {"description": "d", "schedule": {"interval": {"period": 1, "unit": "Hours", "start_time": 7}},
            "source_index": "a", "target_index": "b", "page_size": 10, "data_selection_query": query,
            "groups": [{"terms": {"source_field": "k"}}], "aggs": {"q": {"percentiles": {"field": "m"}}}}})
    }

    #[test]
    fn a_transform_as_shown_is_what_was_declared() {
        let mut have = transform(&json!({"bool": {"filter": [{"term": {"k": {"value": "x", "boost": 1.0}}},
            {"range": {"t": {"from": 1, "to": null, "include_lower": true, "include_upper": true, "boost": 1.0}}}],
            "adjust_pure_negative": true, "boost": 1.0}}));
        let job = have["transform"].as_object_mut().expect("an object");
        let aggregations = job.remove("aggs").expect("declared in short");
        job.insert("aggregations".into(), aggregations);
        job["aggregations"]["q"]["percentiles"]["keyed"] = json!(true);
        job.extend([
            ("metadata_id".into(), json!("m")),
            ("enabled".into(), json!(true)),
            ("continuous".into(), json!(false)),
        ]);
        let mut want = transform(&json!({"bool": {"filter": [{"term": {"k": "x"}}, {"range": {"t": {"gte": 1}}}]}}));
        drop_where(&mut want, "/transform/schedule/interval/start_time", &|_| true);
        let compare = |want| shown(&TRANSFORMS, normal_transform_file, have.clone(), want);
        assert_eq!(compare(want.clone()), [""; 0]);
        want["transform"]["data_selection_query"]["bool"]["filter"][0]["term"]["k"] = json!("y");
        want["transform"]["description"] = json!("e");
        assert_eq!(
            compare(want),
            [
                r#"/transform/data_selection_query/bool/filter/0/term/k/value: "x" -> "y" (cannot be changed in place)"#,
                r#"/transform/description: "d" -> "e""#
            ]
        );
    }

    #[test]
    fn an_update_keeps_the_progress() {
        let have =
            json!({"metadata_id": "m", "schedule": {"interval": {"start_time": 7, "period": 1, "unit": "Hours"}}});
        let want = json!({"rollup": {"schedule": {"interval": {"period": 2, "unit": "Hours"}}}});
        assert_eq!(
            updated("rollup", want, &have),
            json!({"rollup": {"metadata_id": "m", "schedule": {"interval": {"period": 2, "unit": "Hours", "start_time": 7}}}})
        );
    }
}
