//! Snapshot-management policies: what is stored of one, and what cannot be read back afterwards.

use serde_json::{Value, json};

use super::{Answer, Release, Request, State, Stored, error, insists, now, page, unchanged};

impl State {
    pub(super) fn list_snapshots(&self, request: &Request) -> Answer {
        if self.seq == 0 {
            return (404, error(404, "status_exception", "Snapshot management config index not found"));
        }
        // One that cannot be read takes the whole list with it.
        if self.snapshots.values().any(|stored| unreadable(&stored.body)) {
            return (404, error(404, "status_exception", "Failed to parse snapshot management policy"));
        }
        let (from, size) = page(request);
        let all = self.snapshots.iter().map(|(name, stored)| {
            json!({"_id": id(name), "_seq_no": stored.seq, "_primary_term": 1, "sm_policy": stored.body})
        });
        let policies: Vec<Value> = all.skip(from).take(size).collect();
        (200, json!({"policies": policies, "total_policies": self.snapshots.len()}))
    }

    pub(super) fn get_snapshot(&self, name: &str) -> Answer {
        match self.snapshots.get(name) {
            None => (404, error(404, "status_exception", "Snapshot management policy not found")),
            Some(stored) if unreadable(&stored.body) => {
                (500, error(500, "status_exception", "Snapshot management policy not found"))
            }
            Some(stored) => (200, shown(name, stored)),
        }
    }

    pub(super) fn create_snapshot(&mut self, name: &str, body: &Value) -> Answer {
        // A policy that only deletes is allowed since 3.3.
        let (field, reason) = match self.release {
            Release::V2 => ("creation", "Must provide the creation configuration."),
            Release::V3 => ("snapshot_config", "snapshot_config field must not be null"),
        };
        if body.get(field).is_none() {
            return (400, error(400, "illegal_argument_exception", reason));
        }
        let schedule = &body["creation"]["schedule"];
        if schedule["cron"].is_object() && schedule["cron"]["timezone"].is_null() {
            return (500, error(500, "null_pointer_exception", "zone"));
        }
        if schedule["interval"].is_object() {
            let reason = "mapping set to strict, dynamic introduction of [interval] within [sm_policy.creation.schedule] is not allowed";
            return (500, error(500, "status_exception", reason));
        }
        if let Some(held) = self.snapshots.get(name) {
            let reason = format!(
                "[{}]: version conflict, document already exists (current version [{}])",
                id(name),
                held.version
            );
            return super::conflict(&reason);
        }
        let body = self.made(name, body);
        let stored = Stored { seq: self.next(), version: 1, body };
        self.snapshots.insert(name.to_owned(), stored.clone());
        (201, shown(name, &stored))
    }

    pub(super) fn update_snapshot(&mut self, name: &str, request: &Request, body: &Value) -> Answer {
        if insists(request).is_none() {
            let reason = "Validation Failed: 1: Sequence number and primary term must be provided when updating a snapshot management policy;";
            return (400, error(400, "action_request_validation_exception", reason));
        }
        let held = self.snapshots.get(name).map(|stored| (stored.seq, stored.version));
        if let Err(answer) = unchanged(&id(name), request, held) {
            return answer;
        }
        let body = self.made(name, body);
        let stored = Stored { seq: self.next(), version: held.map_or(1, |(_, version)| version + 1), body };
        self.snapshots.insert(name.to_owned(), stored.clone());
        (200, shown(name, &stored))
    }

    pub(super) fn delete_snapshot(&mut self, name: &str) -> Answer {
        match self.snapshots.get(name).map(|stored| unreadable(&stored.body)) {
            None => (404, error(404, "status_exception", "Snapshot management policy not found")),
            Some(true) => (500, error(500, "status_exception", "Snapshot management policy could not be parsed")),
            Some(false) => {
                self.snapshots.remove(name);
                (200, json!({"_id": id(name), "result": "deleted"}))
            }
        }
    }

    fn made(&self, name: &str, given: &Value) -> Value {
        let mut body = given.clone();
        body["name"] = name.into();
        body["schema_version"] = json!(self.release.schema());
        body["schedule"] = json!({"interval": {"start_time": now(), "period": 1, "unit": "Minutes"}});
        body["last_updated_time"] = now().into();
        body["enabled_time"] = now().into();
        if body.get("enabled").is_none() {
            body["enabled"] = true.into();
        }
        let schedule = body.pointer("/creation/schedule").cloned();
        if let Some(Value::Object(deletion)) = body.get_mut("deletion") {
            if let Some(schedule) = schedule {
                deletion.entry("schedule").or_insert(schedule);
            }
            if let Some(Value::Object(condition)) = deletion.get_mut("condition") {
                condition.entry("min_count").or_insert(json!(1));
                if let Some(Value::String(age)) = condition.get_mut("max_age") {
                    *age = printed(age);
                }
            }
        }
        if let Some(Value::Object(notification)) = body.get_mut("notification") {
            let conditions = notification.entry("conditions").or_insert_with(|| json!({}));
            for (key, default) in
                [("creation", true), ("deletion", false), ("failure", false), ("time_limit_exceeded", false)]
            {
                if conditions.get(key).is_none() {
                    conditions[key] = default.into();
                }
            }
        }
        body
    }
}

fn id(name: &str) -> String {
    format!("{name}-sm-policy")
}

fn shown(name: &str, stored: &Stored) -> Value {
    json!({"_id": id(name), "_version": stored.version, "_seq_no": stored.seq, "_primary_term": 1, "sm_policy": stored.body})
}

fn unreadable(body: &Value) -> bool {
    body.pointer("/deletion/condition/max_age").and_then(Value::as_str).is_some_and(|age| age.contains('.'))
}

/// A duration in its largest unit, with one decimal if need be.
fn printed(text: &str) -> String {
    const UNITS: [(&str, u64); 4] = [("d", 86400), ("h", 3600), ("m", 60), ("s", 1)];
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = UNITS.iter().find(|(unit, _)| *unit == &text[digits.len()..]);
    let (Ok(count), Some((_, length))) = (digits.parse::<u64>(), unit) else { return text.to_owned() };
    let seconds = count * length;
    let Some((unit, length)) = UNITS.iter().find(|(_, length)| seconds >= *length) else { return text.to_owned() };
    match (seconds % length) * 10 / length {
        0 => format!("{}{unit}", seconds / length),
        tenth => format!("{}.{tenth}{unit}", seconds / length),
    }
}
