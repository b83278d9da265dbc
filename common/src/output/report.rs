//! What a run did: counts and objects, and the last record. Gathers and shows; decides only what the counts say.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use log::Level;
use log::kv::{self, ToValue};
use serde_json::{Map, Value, json};

use crate::engine::change::{Change, Difference, ObjectId, Shown};
use crate::net::retry::Counters;
use crate::output::secret::mask;
use crate::output::{self, ALWAYS};
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
    /// All of them, in the order in which they are counted.
    pub const ALL: [Self; 6] =
        [Self::Created, Self::Updated, Self::Unchanged, Self::Drifted, Self::Failed, Self::Skipped];
}

/// Whether an outcome is still ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// `plan` says what would become of an object.
    Planned,
    /// `apply` says what became of it.
    Done,
}

impl Stage {
    /// The word for an outcome: `create` in a plan is `created` when it is done.
    #[must_use]
    pub fn word(self, outcome: Outcome) -> &'static str {
        match (self, outcome) {
            (Self::Planned, Outcome::Created) => "create",
            (Self::Done, Outcome::Created) => "created",
            (Self::Planned, Outcome::Updated) => "update",
            (Self::Done, Outcome::Updated) => "updated",
            (_, Outcome::Unchanged) => "unchanged",
            (_, Outcome::Drifted) => "drifted",
            (_, Outcome::Failed) => "failed",
            (_, Outcome::Skipped) => "skipped",
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

    /// Makes the object's record, with the word of the stage that it is about.
    pub fn record<T>(&self, stage: Stage, act: impl FnOnce(&log::Record<'_>) -> T) -> T {
        let (level, target) = match self.outcome {
            Outcome::Unchanged => (Level::Debug, module_path!()),
            Outcome::Created | Outcome::Updated => (Level::Info, ALWAYS),
            Outcome::Drifted => (Level::Warn, ALWAYS),
            Outcome::Failed | Outcome::Skipped => (Level::Error, ALWAYS),
        };
        let detail = self.detail();
        let fields = [
            ("msg", "object".into()),
            ("kind", self.id.kind.into()),
            ("name", self.id.name.as_str().into()),
            ("org", self.id.org.to_value()),
            ("action", stage.word(self.outcome).into()),
            ("detail", detail.to_value()),
            ("duration_ms", millis(self.took).into()),
            ("error", self.error.to_value()),
        ];
        output::record(level, target, format_args!("{self}"), &fields, act)
    }

    fn detail(&self) -> Option<String> {
        let parts: Vec<String> =
            self.differences.iter().flat_map(Difference::lines).chain(self.notes.clone()).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// The object as it stands in the result file.
    pub(super) fn json(&self, stage: Stage) -> Value {
        let shown = |shown: &Shown| match shown {
            Shown::Absent => Value::Null,
            Shown::Masked => "(secret)".into(),
            Shown::Json(text) => serde_json::from_str(&mask(text)).unwrap_or_else(|_| mask(text).into()),
        };
        let changes: Vec<Value> = self
            .differences
            .iter()
            .map(|change| json!({"path": mask(&change.path), "from": shown(&change.from), "to": shown(&change.to)}))
            .collect();
        let mut entry = Map::new();
        if let Some(org) = &self.id.org {
            entry.insert("org".into(), mask(org).into());
        }
        entry.insert("kind".into(), self.id.kind.into());
        entry.insert("name".into(), mask(&self.id.name).into());
        entry.insert("action".into(), stage.word(self.outcome).into());
        entry.insert("changes".into(), changes.into());
        entry.insert("error".into(), self.error.as_deref().map(mask).into());
        entry.insert("duration_ms".into(), millis(self.took).into());
        Value::Object(entry)
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<9} {}", Stage::Done.word(self.outcome), self.id)?;
        for more in self.detail().iter().chain(&self.error) {
            write!(f, "  {more}")?;
        }
        if self.took >= Duration::from_millis(100) {
            write!(f, "  ({} ms)", self.took.as_millis())?;
        }
        Ok(())
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
    entries: BTreeMap<ObjectId, Arc<Entry>>,
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
        entry.record(Stage::Done, |record| log::logger().log(record));
        if entry.outcome == Outcome::Unchanged {
            for note in &entry.notes {
                log::warn!(object:% = entry.id, detail = note; "note");
            }
        }
        self.note(entry);
    }

    /// Notes an object of a plan: its record goes to the push, while the plan itself is printed as a whole.
    pub fn planned(&self, entry: Entry) -> Arc<Entry> {
        entry.record(Stage::Planned, output::keep);
        self.note(entry)
    }

    /// Notes an object silently.
    pub fn note(&self, entry: Entry) -> Arc<Entry> {
        let entry = Arc::new(entry);
        self.state().entries.insert(entry.id.clone(), entry.clone());
        entry
    }

    /// The entries so far, in order of their ids.
    #[must_use]
    pub fn entries(&self) -> Vec<Arc<Entry>> {
        self.state().entries.values().cloned().collect()
    }

    /// How many objects came out so.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> usize {
        self.state().entries.values().filter(|entry| entry.outcome == outcome).count()
    }

    /// The figures of the run as they stand.
    #[must_use]
    pub fn finish(&self, reason: Reason, codes: Codes, error: Option<&str>) -> Figures {
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
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        Figures {
            ts: output::now(),
            stage: if command == "plan" { Stage::Planned } else { Stage::Done },
            command,
            reason,
            code: reason.code(codes),
            counts: Outcome::ALL.map(|outcome| (outcome, self.count(outcome) as u64)),
            requests: count(&self.counters.requests),
            writes: count(&self.counters.writes),
            retries: count(&self.counters.retries),
            wait,
            work: (now - self.started).saturating_sub(wait),
            error: error.map(str::to_owned),
        }
    }
}

/// How a run ended, in figures: what the last record says.
#[derive(Clone, Debug)]
pub struct Figures {
    ts: String,
    command: String,
    /// Whether the counts are of a plan.
    pub stage: Stage,
    /// Why the run ended.
    pub reason: Reason,
    /// The exit code.
    pub code: u8,
    /// Objects by what became of them, each outcome once.
    pub counts: [(Outcome, u64); 6],
    /// Requests of any kind.
    pub requests: u64,
    /// Requests that may have changed the server.
    pub writes: u64,
    /// Requests that were sent again.
    pub retries: u64,
    /// How long the server was waited for.
    pub wait: Duration,
    /// How long the run took without the wait.
    pub work: Duration,
    error: Option<String>,
}

impl Figures {
    /// Makes the last record.
    pub fn record<T>(&self, act: impl FnOnce(&log::Record<'_>) -> T) -> T {
        let level = match self.reason {
            Reason::Ok | Reason::Changes => Level::Info,
            _ => Level::Error,
        };
        output::record(level, ALWAYS, format_args!("{self}"), &self.fields(), act)
    }

    /// Everything that the last record and the result file say, in this order.
    pub(super) fn fields(&self) -> Vec<(&'static str, kv::Value<'_>)> {
        let mut fields = vec![
            ("ts", self.ts.as_str().into()),
            ("msg", "run finished".into()),
            ("command", self.command.as_str().into()),
            ("exit_code", self.code.into()),
            ("exit_reason", kv::Value::from_display(&self.reason)),
        ];
        fields.extend(self.counts.map(|(outcome, count)| (Stage::Done.word(outcome), count.into())));
        fields.extend([
            ("requests", self.requests.into()),
            ("writes", self.writes.into()),
            ("retries", self.retries.into()),
            ("wait_ms", millis(self.wait).into()),
            ("duration_ms", millis(self.work).into()),
            ("error", self.error.to_value()),
        ]);
        fields
    }
}

/// The last record as a person reads it.
impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without a command the command line was wrong.
        if !self.command.is_empty() {
            write!(f, "{} ", self.command)?;
        }
        match &self.error {
            None => f.write_str("done")?,
            Some(error) => write!(f, "failed ({}, exit code {}): {error}", self.reason, self.code)?,
        }
        let counted = self.counts.iter().filter(|(_, count)| *count > 0);
        for (n, (outcome, count)) in counted.enumerate() {
            write!(f, "{} {count} {}", if n == 0 { ":" } else { "," }, self.stage.word(*outcome))?;
        }
        if self.requests > 0 {
            let writes = match self.writes {
                0 => "no write".to_owned(),
                1 => "1 write".to_owned(),
                many => format!("{many} writes"),
            };
            write!(f, " ({} requests, {writes}, {}", self.requests, spent(self.work))?;
            if millis(self.wait) > 0 {
                write!(f, " after {} of waiting", spent(self.wait))?;
            }
            f.write_str(")")?;
        }
        Ok(())
    }
}

fn spent(time: Duration) -> String {
    match time.as_millis() {
        ms @ ..1000 => format!("{ms} ms"),
        _ => format!("{:.1} s", time.as_secs_f64()),
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
        let figures = report().finish(Reason::Rejected, Codes::Detailed, Some("topics/b: refused"));
        let names: Vec<&str> = figures.fields().iter().map(|(name, _)| *name).collect();
        assert_eq!(
            names.join(" "),
            "ts msg command exit_code exit_reason created updated unchanged drifted failed skipped requests writes retries \
             wait_ms duration_ms error"
        );
        assert_eq!(
            (figures.code, figures.counts[0], figures.counts[4]),
            (65, (Outcome::Created, 1), (Outcome::Failed, 1))
        );
        let text = "apply failed (rejected, exit code 65): topics/b: refused: 1 created, 1 failed";
        assert_eq!(figures.to_string(), text);
    }

    #[test]
    fn figures_are_told_as_a_person_would() {
        let figures = Figures {
            requests: 3,
            wait: Duration::from_millis(1500),
            work: Duration::from_millis(20),
            counts: Outcome::ALL.map(|outcome| (outcome, 0)),
            ..report().finish(Reason::Ok, Codes::Simple, None)
        };
        assert_eq!(figures.to_string(), "apply done (3 requests, no write, 20 ms after 1.5 s of waiting)");
    }

    #[test]
    fn an_entry_says_what_what_about_and_how_long() {
        let change = Change::update(vec![Difference::new("/p", Shown::text("a"), Shown::text("b"))]).note("keys move");
        let entry = Entry::new(&ObjectId::new("topics", "a"), Outcome::Updated, Some(&change));
        let entry = Entry { took: Duration::from_millis(120), ..entry };
        assert_eq!(entry.to_string(), r#"updated   topics/a  /p: "a" -> "b"; keys move  (120 ms)"#);
    }
}
