//! Transforms and rollups: what is stored of a job, and what GET shows of it. Good answers about rollups were not recorded (a transform had
//! the name, and both share one space of names): their fields are those of the plugin's published source.

use serde_json::{Map, Value, json};

use super::{Answer, Request, State, Stored, error, no_route, now, page, unchanged};

/// Which of the two a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flavor {
    Transform,
    Rollup,
}

impl Flavor {
    fn of(path: &str) -> Option<(Self, &str)> {
        let job = path.strip_prefix("_transform").map(|rest| (Self::Transform, rest));
        job.or_else(|| path.strip_prefix("_rollup/jobs").map(|rest| (Self::Rollup, rest)))
    }

    /// The key that a body stands below.
    fn inner(self) -> &'static str {
        match self {
            Self::Transform => "transform",
            Self::Rollup => "rollup",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Transform => "Transform",
            Self::Rollup => "Rollup",
        }
    }

    /// What a body may say, beside what both kinds know.
    fn known(self) -> &'static [&'static str] {
        match self {
            Self::Transform => {
                &["transform_id", "updated_at", "enabled_at", "data_selection_query", "groups", "aggregations"]
            }
            Self::Rollup => &["rollup_id", "last_updated_time", "enabled_time", "delay", "dimensions", "metrics"],
        }
    }
}

const KNOWN: [&str; 11] = [
    "enabled",
    "schedule",
    "schema_version",
    "description",
    "source_index",
    "target_index",
    "metadata_id",
    "roles",
    "page_size",
    "continuous",
    "user",
];

impl State {
    pub(super) fn answer_job(&mut self, request: &Request, path: &str, body: &Value) -> Answer {
        let Some((flavor, rest)) = Flavor::of(path) else { return no_route(request) };
        let mut steps = rest.trim_start_matches('/').splitn(2, '/');
        let name = steps.next().unwrap_or_default();
        let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy().into_owned();
        match (request.method.as_str(), name.as_str(), steps.next()) {
            ("GET", "", None) => self.list_jobs(flavor, request),
            ("GET", name, None) => {
                self.job(flavor, name).map_or_else(|| missing(flavor), |stored| (200, shown(flavor, name, stored)))
            }
            ("PUT", name, None) => self.put_job(flavor, name, request, body),
            ("POST", name, Some(verb @ ("_start" | "_stop"))) => self.switch(flavor, name, verb == "_start"),
            ("GET", name, Some("_explain")) => self.explain_job(flavor, name),
            _ => no_route(request),
        }
    }

    fn job(&self, flavor: Flavor, name: &str) -> Option<&Stored> {
        self.jobs.get(name).filter(|(held, _)| *held == flavor).map(|(_, stored)| stored)
    }

    fn list_jobs(&self, flavor: Flavor, request: &Request) -> Answer {
        let (from, size) = page(request);
        let inner = flavor.inner();
        let all = self.jobs.iter().filter(|(_, (held, _))| *held == flavor);
        let jobs: Vec<Value> = all
            .clone()
            .skip(from)
            .take(size)
            .map(|(name, (_, stored))| {
                json!({"_id": name, "_seq_no": stored.seq, "_primary_term": 1, inner: stored.body})
            })
            .collect();
        (200, json!({format!("total_{inner}s"): all.count(), format!("{inner}s"): jobs}))
    }

    fn put_job(&mut self, flavor: Flavor, name: &str, request: &Request, body: &Value) -> Answer {
        let body = match self.made_job(flavor, name, &body[flavor.inner()]) {
            Ok(body) => body,
            Err(reason) => return (400, error(400, "illegal_argument_exception", &reason)),
        };
        let held = self.held(name);
        if let Err(answer) = unchanged(name, request, held) {
            return answer;
        }
        let seq = self.next();
        let version = held.map_or(1, |(_, version)| version + 1);
        let stored = Stored { seq, version, body };
        let answer = shown(flavor, name, &stored);
        self.jobs.insert(name.to_owned(), (flavor, stored));
        (if held.is_some() { 200 } else { 201 }, answer)
    }

    fn made_job(&self, flavor: Flavor, name: &str, given: &Value) -> Result<Value, String> {
        let mut job: Map<String, Value> = given.as_object().cloned().unwrap_or_default();
        let title = flavor.title();
        let unknown = |key: &&String| !KNOWN.contains(&key.as_str()) && !flavor.known().contains(&key.as_str());
        if let Some(unknown) = job.keys().find(unknown) {
            let place = if flavor == Flavor::Transform { "Transforms" } else { title };
            return Err(format!("Invalid field [{unknown}] found in {place}."));
        }
        job.remove("roles");
        let enabled = job.get("enabled") != Some(&Value::Bool(false));
        let Some(interval) = job.get_mut("schedule").and_then(|schedule| schedule.get_mut("interval")) else {
            return Err(format!("{title} schedule is null"));
        };
        if interval["start_time"].is_null() {
            interval["start_time"] = now().into();
        }
        job.insert(format!("{}_id", flavor.inner()), name.into());
        job.insert("schema_version".into(), self.release.schema().into());
        job.insert("enabled".into(), enabled.into());
        let time = if enabled { now().into() } else { Value::Null };
        let (updated, since) = match flavor {
            Flavor::Transform => ("updated_at", "enabled_at"),
            Flavor::Rollup => ("last_updated_time", "enabled_time"),
        };
        job.insert(updated.into(), now().into());
        job.insert(since.into(), time);
        job.entry("metadata_id").or_insert(Value::Null);
        job.entry("continuous").or_insert(Value::Bool(false));
        match flavor {
            Flavor::Transform => {
                let query = job.entry("data_selection_query").or_insert(json!({"match_all": {}}));
                if let Some(all) = query.get_mut("match_all") {
                    all["boost"] = json!(1.0);
                }
                dimensions(job.get_mut("groups"));
            }
            Flavor::Rollup => {
                job.entry("delay").or_insert(Value::Null);
                dimensions(job.get_mut("dimensions"));
            }
        }
        Ok(Value::Object(job))
    }

    fn switch(&mut self, flavor: Flavor, name: &str, enabled: bool) -> Answer {
        let seq = self.next();
        let Some((_, stored)) = self.jobs.get_mut(name).filter(|(held, _)| *held == flavor) else {
            return missing(flavor);
        };
        stored.body["enabled"] = enabled.into();
        stored.body["enabled_at"] = if enabled { now().into() } else { Value::Null };
        stored.seq = seq;
        stored.version += 1;
        (200, json!({"acknowledged": true}))
    }

    pub(super) fn finish(&mut self, name: &str) {
        let seq = self.next();
        let (_, stored) = self.jobs.get_mut(name).expect("the job is there");
        stored.body["enabled"] = false.into();
        stored.body["metadata_id"] = "progress".into();
        stored.seq = seq;
    }

    /// By the plugin's published source: no recording of it exists.
    fn explain_job(&self, flavor: Flavor, name: &str) -> Answer {
        let Some(stored) = self.job(flavor, name) else { return (200, json!({name: null})) };
        let inner = flavor.inner();
        let status = if stored.body["metadata_id"].is_null() { "init" } else { "finished" };
        let metadata = json!({format!("{inner}_id"): name, "status": status, "failure_reason": null});
        (200, json!({name: {"metadata_id": stored.body["metadata_id"], format!("{inner}_metadata"): metadata}}))
    }
}

fn missing(flavor: Flavor) -> Answer {
    (404, error(404, "status_exception", &format!("{} not found", flavor.title())))
}

fn shown(flavor: Flavor, name: &str, stored: &Stored) -> Value {
    let (seq, version) = (stored.seq, stored.version);
    json!({"_id": name, "_version": version, "_seq_no": seq, "_primary_term": 1, flavor.inner(): stored.body})
}

/// What a dimension shows though nobody said it; the same in the rollup and transform actions of a policy.
pub(super) fn dimensions(dimensions: Option<&mut Value>) {
    for dimension in dimensions.and_then(Value::as_array_mut).into_iter().flatten() {
        for (kind, fields) in dimension.as_object_mut().into_iter().flatten() {
            let Some(fields) = fields.as_object_mut() else { continue };
            if let Some(source) = fields.get("source_field").cloned() {
                fields.entry("target_field").or_insert(source);
            }
            if kind == "date_histogram" {
                fields.entry("timezone").or_insert("UTC".into());
                fields.entry("format").or_insert(Value::Null);
            }
        }
    }
}
