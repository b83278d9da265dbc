//! What a run did: counts and objects, the last record, the result file. Gathers and shows; decides only what the counts say.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use log::Level;
use serde_json::{Map, Value, json};

use crate::engine::change::{Change, Difference, ObjectId, Shown};
use crate::net::http::Counters;
use crate::output::secret::mask;
use crate::output::{self, Record};
use crate::process::exit::{Codes, Reason};

/// What became of one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It was not there and is now.
    Created,
    /// It differed and matches now.
    Updated,
    /// It matched.
    Unchanged,
    /// It differs in what cannot be changed in place.
    Drifted,
    /// It could not be made to match, or not be read.
    Failed,
    /// It was not tried, since something it needs failed.
    Skipped,
}

impl Outcome {
    const ALL: [Self; 6] = [Self::Created, Self::Updated, Self::Unchanged, Self::Drifted, Self::Failed, Self::Skipped];

    /// The word used by `apply`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
            Self::Drifted => "drifted",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }

    /// The word used by `plan`.
    #[must_use]
    pub fn planned(self) -> &'static str {
        match self {
            Self::Created => "create",
            Self::Updated => "update",
            other => other.word(),
        }
    }
}

/// One object's line in the report.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Which object.
    pub id: ObjectId,
    /// What became of it.
    pub outcome: Outcome,
    /// Where it differed.
    pub differences: Vec<Difference>,
    /// Things to know about it.
    pub notes: Vec<String>,
    /// What went wrong.
    pub error: Option<String>,
    /// How long writing it took.
    pub took: Duration,
}

impl Entry {
    /// An entry about an object as it was planned.
    #[must_use]
    pub fn new(id: &ObjectId, outcome: Outcome, change: Option<&Change>) -> Self {
        let locked = change.and_then(|change| change.locked.clone());
        Self {
            id: id.clone(),
            outcome,
            differences: change.map(|change| change.differences.clone()).unwrap_or_default(),
            notes: change.map(|change| change.notes.clone()).unwrap_or_default(),
            error: if outcome == Outcome::Drifted { locked } else { None },
            took: Duration::ZERO,
        }
    }

    /// The same entry with an error.
    #[must_use]
    pub fn error(self, error: impl Into<String>) -> Self {
        Self { error: Some(error.into()), ..self }
    }

    /// The object's record.
    pub fn record(&self, word: &str) -> Record {
        let level = match self.outcome {
            Outcome::Created | Outcome::Updated => Level::Info,
            Outcome::Unchanged => Level::Debug,
            Outcome::Drifted => Level::Warn,
            Outcome::Failed | Outcome::Skipped => Level::Error,
        };
        let detail: Vec<String> = self.differences.iter().map(ToString::to_string).chain(self.notes.clone()).collect();
        let record = Record::new(level, "object")
            .field("kind", self.id.kind)
            .field("name", self.id.name.as_str())
            .maybe("org", self.id.org.as_deref())
            .field("action", word)
            .maybe("detail", (!detail.is_empty()).then(|| detail.join("; ")))
            .field("duration_ms", millis(self.took))
            .maybe("error", self.error.as_deref());
        if self.outcome == Outcome::Unchanged { record } else { record.always() }
    }

    fn json(&self, planned: bool) -> Value {
        let shown = |shown: &Shown| match shown {
            Shown::Absent => Value::Null,
            Shown::Masked => "(secret)".into(),
            Shown::Json(text) => serde_json::from_str(&mask(text)).unwrap_or_else(|_| mask(text).into()),
        };
        let changes: Vec<Value> = self
            .differences
            .iter()
            .map(|change| json!({"path": change.path, "from": shown(&change.from), "to": shown(&change.to)}))
            .collect();
        let mut entry = Map::new();
        if let Some(org) = &self.id.org {
            entry.insert("org".into(), org.as_ref().into());
        }
        entry.insert("kind".into(), self.id.kind.into());
        entry.insert("name".into(), self.id.name.as_str().into());
        entry.insert("action".into(), if planned { self.outcome.planned() } else { self.outcome.word() }.into());
        entry.insert("changes".into(), changes.into());
        entry.insert("error".into(), self.error.as_deref().map(mask).into());
        entry.insert("duration_ms".into(), millis(self.took).into());
        Value::Object(entry)
    }
}

/// Everything about the run so far; shared, so that a signal finds it as far as it got.
#[derive(Debug)]
pub struct Report {
    started: Instant,
    counters: Arc<Counters>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    command: String,
    entries: BTreeMap<ObjectId, Entry>,
    ready: Option<Instant>,
    waiting: bool,
}

impl Report {
    /// An empty report.
    #[must_use]
    pub fn new(counters: Arc<Counters>) -> Self {
        Self { started: Instant::now(), counters, state: Mutex::default() }
    }

    /// Where requests are counted.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names the command.
    pub fn command(&self, command: &str) {
        command.clone_into(&mut self.state().command);
    }

    /// The wait has begun.
    pub fn waits(&self) {
        self.state().waiting = true;
    }

    /// The wait is over.
    pub fn ready(&self) {
        self.state().ready = Some(Instant::now());
    }

    /// Notes an object and says its record; what is to be known of an unchanged one is said beside it, since its own record is hardly ever shown.
    pub fn add(&self, entry: Entry) {
        entry.record(entry.outcome.word()).emit();
        if entry.outcome == Outcome::Unchanged {
            for note in &entry.notes {
                output::warn("note").field("object", entry.id.to_string()).field("detail", note.as_str()).emit();
            }
        }
        self.note(entry);
    }

    /// Notes an object of a plan: its record goes to the push, while the plan itself is printed as a whole.
    pub fn planned(&self, entry: Entry) {
        entry.record(entry.outcome.planned()).keep();
        self.note(entry);
    }

    /// Notes an object silently.
    pub fn note(&self, entry: Entry) {
        self.state().entries.insert(entry.id.clone(), entry);
    }

    /// The entries so far, in order of their ids.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.state().entries.values().cloned().collect()
    }

    /// How many objects came out so.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> usize {
        self.state().entries.values().filter(|entry| entry.outcome == outcome).count()
    }

    /// The figures of the run as they stand: names and values of the last record.
    #[must_use]
    pub fn finish(&self, reason: Reason, codes: Codes, error: Option<&str>) -> Finished {
        let now = Instant::now();
        let (command, wait) = {
            let state = self.state();
            let wait = match (state.waiting, state.ready) {
                (true, Some(ready)) => ready - self.started,
                (true, None) => now - self.started,
                (false, _) => Duration::ZERO,
            };
            (state.command.clone(), wait)
        };
        let mut fields: Vec<(&'static str, Value)> = vec![
            ("command", command.into()),
            ("exit_code", reason.code(codes).into()),
            ("exit_reason", reason.to_string().into()),
        ];
        fields.extend(Outcome::ALL.map(|outcome| (outcome.word(), Value::from(self.count(outcome)))));
        fields.extend([
            ("requests", Value::from(self.counters.requests.load(Ordering::Relaxed))),
            ("writes", self.counters.writes.load(Ordering::Relaxed).into()),
            ("retries", self.counters.retries.load(Ordering::Relaxed).into()),
            ("wait_ms", millis(wait).into()),
            ("duration_ms", millis((now - self.started).saturating_sub(wait)).into()),
        ]);
        let error = error.map(mask);
        Finished { reason, code: reason.code(codes), fields, error, planned: self.state().command == "plan" }
    }
}

/// The last record of a run.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Why the run ended.
    pub reason: Reason,
    /// The exit code.
    pub code: u8,
    fields: Vec<(&'static str, Value)>,
    error: Option<String>,
    planned: bool,
}

impl Finished {
    /// The record itself.
    pub fn record(&self) -> Record {
        let level = match self.reason {
            Reason::Ok | Reason::Changes => Level::Info,
            _ => Level::Error,
        };
        let record = Record::new(level, "run finished").always();
        let record = self.fields.iter().fold(record, |record, (name, value)| record.field(name, value.clone()));
        record.maybe("error", self.error.clone())
    }

    /// One of its numbers.
    #[must_use]
    pub fn number(&self, name: &str) -> u64 {
        self.fields.iter().find(|(field, _)| *field == name).and_then(|(_, value)| value.as_u64()).unwrap_or(0)
    }

    /// Writes the result file: to a temporary name beside it, then renamed.
    pub fn write(&self, path: &Path, entries: &[Entry]) -> std::io::Result<()> {
        let mut result = Map::new();
        if let Some(origin) = output::origin() {
            result.insert("app".into(), origin.app.into());
            result.insert("version".into(), origin.version.into());
            result.insert("run_id".into(), origin.run_id.as_str().into());
            if let Some(instance) = &origin.instance {
                result.insert("instance".into(), instance.as_str().into());
            }
        }
        result.insert("ts".into(), output::now().into());
        result.insert("msg".into(), "run finished".into());
        for (name, value) in &self.fields {
            result.insert((*name).into(), value.clone());
        }
        result.insert("error".into(), self.error.clone().into());
        let entries: Vec<Value> = entries.iter().map(|entry| entry.json(self.planned)).collect();
        result.insert("objects".into(), entries.into());
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(format!(".{}.tmp", std::process::id()));
        let mut file = std::fs::File::create(&temporary)?;
        let written = file.write_all(Value::Object(result).to_string().as_bytes()).and_then(|()| file.write_all(b"\n"));
        written.and_then(|()| file.sync_all()).and_then(|()| std::fs::rename(&temporary, path)).inspect_err(|_| {
            // What is half written helps nobody; the error itself is reported by the caller.
            let _ = std::fs::remove_file(&temporary);
        })
    }
}

/// The last record as a person reads it.
#[must_use]
pub fn summary(text: &dyn Fn(&str) -> Option<String>) -> String {
    let get = |name: &str| text(name).unwrap_or_default();
    let counts: Vec<String> = Outcome::ALL
        .iter()
        .map(|outcome| (get(outcome.word()), if get("command") == "plan" { outcome.planned() } else { outcome.word() }))
        .filter(|(count, _)| count != "0")
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    let counts = if counts.is_empty() { String::new() } else { format!(": {}", counts.join(", ")) };
    let seconds = |name: &str| {
        let ms: f64 = get(name).parse().unwrap_or(0.0);
        if ms < 1000.0 { format!("{ms} ms") } else { format!("{:.1} s", ms / 1000.0) }
    };
    let waited =
        if get("wait_ms") == "0" { String::new() } else { format!(" after {} of waiting", seconds("wait_ms")) };
    let writes = match get("writes").as_str() {
        "0" => "no write".to_owned(),
        "1" => "1 write".to_owned(),
        many => format!("{many} writes"),
    };
    let figures = if get("requests") == "0" {
        String::new()
    } else {
        format!(" ({} requests, {writes}, {}{waited})", get("requests"), seconds("duration_ms"))
    };
    // Without a command the command line was wrong.
    let command =
        text("command").filter(|command| !command.is_empty()).map(|command| command + " ").unwrap_or_default();
    match text("error") {
        None => format!("{command}done{counts}{figures}"),
        Some(error) => format!(
            "{command}failed ({}, exit code {}): {error}{counts}{figures}",
            get("exit_reason"),
            get("exit_code")
        ),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let report = Report::new(Arc::default());
        report.command("apply");
        report.note(Entry::new(&ObjectId::new("topics", "a"), Outcome::Created, Some(&Change::create())));
        let change = Change::update(vec![Difference::new("/p", Shown::Masked, Shown::text("x"))]);
        report.note(Entry::new(&ObjectId::new("topics", "b"), Outcome::Failed, Some(&change)).error("refused"));
        report
    }

    #[test]
    fn the_last_record_has_every_figure() {
        let finished = report().finish(Reason::Rejected, Codes::Detailed, Some("topics/b: refused"));
        let names: Vec<&str> = finished.fields.iter().map(|(name, _)| *name).collect();
        assert_eq!(
            names.join(" "),
            "command exit_code exit_reason created updated unchanged drifted failed skipped requests writes retries wait_ms duration_ms"
        );
        assert_eq!((finished.code, finished.number("created"), finished.number("failed")), (65, 1, 1));
    }

    #[test]
    fn the_result_file_is_whole_and_masks() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("result.json");
        let report = report();
        report.finish(Reason::Rejected, Codes::Simple, None).write(&path, &report.entries()).expect("writable");
        let result: Value = serde_json::from_str(&std::fs::read_to_string(&path).expect("written")).expect("JSON");
        assert_eq!(result["objects"][1]["changes"], json!([{"path": "/p", "from": "(secret)", "to": "x"}]));
        assert_eq!((&result["exit_code"], &result["objects"][0]["action"]), (&json!(1), &json!("created")));
        assert_eq!(std::fs::read_dir(folder.path()).expect("readable").count(), 1, "no temporary file is left");
    }
}
