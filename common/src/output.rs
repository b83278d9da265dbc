//! Records: what the program says, in `json`, `logfmt` or `text`, on stderr, and kept for the push at the end.
//! Every line passes the mask. Which events deserve a record is not decided here.

use std::collections::VecDeque;
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use log::Level;
use serde_json::Value;

use crate::secret::mask;

/// How records look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One flat JSON object a line.
    Json,
    /// `key=value` pairs.
    Logfmt,
    /// For people.
    Text,
}

/// What every record says of its run.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The program's name.
    pub app: &'static str,
    /// The program's version.
    pub version: &'static str,
    /// Random, one per run.
    pub run_id: String,
    /// `INSTANCE`, if set.
    pub instance: Option<String>,
}

struct Output {
    origin: Origin,
    state: Mutex<State>,
}

struct State {
    format: Format,
    level: log::LevelFilter,
    color: bool,
    progress: bool,
    progress_shown: bool,
    kept: VecDeque<Kept>,
    kept_bytes: usize,
    dropped: usize,
}

/// One record kept for Loki: its time in nanoseconds since 1970 and its JSON line.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Nanoseconds since 1970.
    pub at: u128,
    /// The record as a JSON line.
    pub line: String,
}

static OUTPUT: OnceLock<Output> = OnceLock::new();

/// A line is under 8 kB: Docker splits at 16 kB, and collectors mishandle the parts.
const LINE_LIMIT: usize = 8000;
/// At most this much is kept for Loki; the oldest go first, the last record never.
const KEPT_LIMIT: usize = 512 * 1024;

/// Starts the output: called once, before anything is said. Until `configure`, records come as JSON to a pipe, text to a terminal.
pub fn start(origin: Origin) {
    let terminal = std::io::stderr().is_terminal();
    let state = State {
        format: if terminal { Format::Text } else { Format::Json },
        level: log::LevelFilter::Info,
        color: terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        progress: terminal,
        progress_shown: false,
        kept: VecDeque::new(),
        kept_bytes: 0,
        dropped: 0,
    };
    // A second call would be a mistake of ours; the first one stays in force.
    let _ = OUTPUT.set(Output { origin, state: Mutex::new(state) });
}

/// Sets format and level once the settings are known.
pub fn configure(format: Option<Format>, level: log::LevelFilter) {
    with(|state| {
        if let Some(format) = format {
            state.format = format;
        }
        state.level = level;
    });
}

/// The format in force.
#[must_use]
pub fn format() -> Format {
    with(|state| state.format).unwrap_or(Format::Json)
}

/// The records kept so far, oldest first, and how many did not fit.
#[must_use]
pub fn kept() -> (Vec<Kept>, usize) {
    with(|state| (state.kept.iter().cloned().collect(), state.dropped)).unwrap_or_default()
}

/// This run's origin, once started.
#[must_use]
pub fn origin() -> Option<&'static Origin> {
    OUTPUT.get().map(|output| &output.origin)
}

fn with<T>(act: impl FnOnce(&mut State) -> T) -> Option<T> {
    let mut state = OUTPUT.get()?.state.lock().unwrap_or_else(PoisonError::into_inner);
    Some(act(&mut state))
}

/// How records look at the moment.
#[derive(Clone, Copy)]
struct Look {
    format: Format,
    level: log::LevelFilter,
    color: bool,
}

impl Look {
    fn now() -> Option<Self> {
        with(|state| Self { format: state.format, level: state.level, color: state.color })
    }
}

/// A record under construction.
#[must_use]
pub struct Record {
    /// When it was made: printed, kept and written elsewhere it carries the same time.
    at: SystemTime,
    level: Level,
    always: bool,
    fields: Vec<(String, Value)>,
}

/// A record of level `info`.
pub fn info(msg: &str) -> Record {
    Record::new(Level::Info, msg)
}

/// A record of level `warn`.
pub fn warn(msg: &str) -> Record {
    Record::new(Level::Warn, msg)
}

/// A record of level `error`.
pub fn error(msg: &str) -> Record {
    Record::new(Level::Error, msg)
}

/// A record of level `debug`.
pub fn debug(msg: &str) -> Record {
    Record::new(Level::Debug, msg)
}

impl Record {
    /// A record of any level.
    pub fn new(level: Level, msg: &str) -> Self {
        Self { at: SystemTime::now(), level, always: false, fields: vec![("msg".into(), msg.into())] }
    }

    /// Adds a field: a scalar under a name in `snake_case`.
    pub fn field(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// Adds a field if there is a value.
    pub fn maybe(self, name: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.field(name, value),
            None => self,
        }
    }

    /// Prints it whatever `LOG_LEVEL` says.
    pub fn always(mut self) -> Self {
        self.always = true;
        self
    }

    /// Says it on stderr and keeps it for the push.
    pub fn emit(self) {
        self.keep();
        self.say();
    }

    /// Keeps it for the push, without saying it yet.
    pub fn keep(&self) {
        let Some(look) = Look::now() else { return };
        if self.wanted(look) {
            let line = json(&self.pairs(LINE_LIMIT));
            with(|state| keep(state, self.at, line));
        }
    }

    /// Says it on stderr.
    pub fn say(&self) {
        let Some(look) = Look::now() else { return };
        if !self.wanted(look) {
            return;
        }
        // Put together before the lock is taken: should it panic, the record that says so must still get through.
        let line = match look.format {
            Format::Json => json(&self.pairs(LINE_LIMIT)),
            Format::Logfmt => logfmt(&self.pairs(LINE_LIMIT)),
            Format::Text => self.text(look.color),
        };
        with(|state| {
            let clear = if std::mem::take(&mut state.progress_shown) { "\r\x1b[K" } else { "" };
            // Nobody may be reading stderr any more; that must not change what the run does.
            let _ = writeln!(std::io::stderr().lock(), "{clear}{line}");
        });
    }

    fn wanted(&self, look: Look) -> bool {
        self.always || self.level <= look.level
    }

    /// The record as one line for stdout: logfmt where that is the format in force, else JSON.
    #[must_use]
    pub fn line(&self) -> String {
        self.line_within(LINE_LIMIT)
    }

    /// The same in at most so many bytes: long fields are cut, the line stays whole.
    #[must_use]
    pub fn line_within(&self, limit: usize) -> String {
        let pairs = self.pairs(limit);
        if format() == Format::Logfmt { logfmt(&pairs) } else { json(&pairs) }
    }

    /// The record as one JSON line, whatever the format in force.
    #[must_use]
    pub fn json_line(&self) -> String {
        json(&self.pairs(LINE_LIMIT))
    }

    /// All fields in the order printed, secrets masked, long ones cut until the line is within its limit.
    fn pairs(&self, line_limit: usize) -> Vec<(String, Value)> {
        self.pairs_of(origin(), line_limit)
    }

    fn pairs_of(&self, origin: Option<&Origin>, line_limit: usize) -> Vec<(String, Value)> {
        let mut limit = line_limit;
        loop {
            let pairs = self.pairs_cut(origin, limit);
            if limit < 32 || json(&pairs).len().max(logfmt(&pairs).len()) <= line_limit {
                return pairs;
            }
            limit /= 2;
        }
    }

    fn pairs_cut(&self, origin: Option<&Origin>, limit: usize) -> Vec<(String, Value)> {
        let own = |name: &str, value: &str| (name.to_owned(), Value::from(value));
        let mut pairs = vec![own("ts", &timestamp(self.at)), own("level", &self.level.as_str().to_lowercase())];
        let mut fields = self.fields.iter().map(|(name, value)| match value {
            Value::String(text) => (name.clone(), cut(&mask(text), limit).into()),
            other => (name.clone(), other.clone()),
        });
        pairs.extend(fields.next());
        if let Some(origin) = origin {
            pairs.extend([own("app", origin.app), own("version", origin.version), own("run_id", &origin.run_id)]);
            pairs.extend(origin.instance.as_deref().map(|instance| own("instance", &cut(instance, limit))));
        }
        pairs.extend(fields);
        pairs
    }

    fn text(&self, color: bool) -> String {
        let (paint, off) = match (color, self.level) {
            (false, _) => ("", ""),
            (true, Level::Error) => ("\x1b[31m", "\x1b[0m"),
            (true, Level::Warn) => ("\x1b[33m", "\x1b[0m"),
            (true, Level::Info) => ("\x1b[32m", "\x1b[0m"),
            (true, _) => ("\x1b[2m", "\x1b[0m"),
        };
        let clock = timestamp(self.at).get(11..19).unwrap_or_default().to_owned();
        format!("{clock} {paint}{:<5}{off} {}", self.level, visible(&cut(&mask(&self.sentence()), LINE_LIMIT)))
    }

    /// What a person reads: the message, and each field that adds to it.
    fn sentence(&self) -> String {
        let get = |name: &str| self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value);
        let text = |name: &str| get(name).map(plain);
        let msg = text("msg").unwrap_or_default();
        match msg.as_str() {
            "object" => {
                let org = text("org").map(|org| format!("orgs/{org}/")).unwrap_or_default();
                let mut line = format!(
                    "{:<9} {org}{}/{}",
                    text("action").unwrap_or_default(),
                    text("kind").unwrap_or_default(),
                    text("name").unwrap_or_default()
                );
                for name in ["detail", "error"] {
                    if let Some(more) = text(name) {
                        line += &format!("  {more}");
                    }
                }
                if let Some(ms) = get("duration_ms").and_then(Value::as_u64).filter(|ms| *ms >= 100) {
                    line += &format!("  ({ms} ms)");
                }
                line
            }
            "run finished" => crate::report::summary(&text),
            _ => {
                let mut line = msg;
                for (name, value) in self.fields.iter().skip(1) {
                    match name.as_str() {
                        "reason" | "error" | "detail" => line += &format!(": {}", plain(value)),
                        _ => line += &format!(" {name}={}", plain(value)),
                    }
                }
                line
            }
        }
    }
}

fn keep(state: &mut State, now: SystemTime, line: String) {
    let at = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    state.kept_bytes += line.len();
    state.kept.push_back(Kept { at, line });
    while state.kept_bytes > KEPT_LIMIT && state.kept.len() > 1 {
        let oldest = state.kept.pop_front().map_or(0, |kept| kept.line.len());
        state.kept_bytes -= oldest;
        state.dropped += 1;
    }
}

/// Whether what goes to stdout is colored.
#[must_use]
pub fn stdout_color() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The wall-clock time as it stands in records.
#[must_use]
pub fn now() -> String {
    timestamp(SystemTime::now())
}

/// Shows how far long work has come, on a terminal only; the next record takes its place.
pub fn progress(text: &str) {
    with(|state| {
        if state.progress && state.format == Format::Text {
            let mut stderr = std::io::stderr().lock();
            let _ = write!(stderr, "\r\x1b[K{}", cut(&mask(text), 100));
            let _ = stderr.flush();
            state.progress_shown = true;
        }
    });
}

/// Removes the progress line.
pub fn progress_done() {
    with(|state| {
        if std::mem::take(&mut state.progress_shown) {
            let mut stderr = std::io::stderr().lock();
            let _ = write!(stderr, "\r\x1b[K");
            let _ = stderr.flush();
        }
    });
}

/// Prints what a command was asked for, on stdout, masked. An error means that nobody reads.
pub fn print(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(mask(text).as_bytes())?;
    stdout.flush()
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn cut(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    format!("{}… (cut, {} bytes)", &text[..text.floor_char_boundary(limit)], text.len())
}

/// On one line and without a server's escape sequences, which could paint over a terminal.
fn visible(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\r' | '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.chars().map(shown).collect()
}

fn timestamp(now: SystemTime) -> String {
    jiff::Timestamp::try_from(now).map_or_else(|_| "1970-01-01T00:00:00Z".into(), |ts| format!("{ts:.3}"))
}

fn json(pairs: &[(String, Value)]) -> String {
    let fields: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}:{value}", Value::from(name.as_str()))).collect();
    format!("{{{}}}", fields.join(","))
}

fn logfmt(pairs: &[(String, Value)]) -> String {
    let fields: Vec<String> = pairs
        .iter()
        .map(|(name, value)| {
            let text = plain(value);
            let bare = !text.is_empty() && text.chars().all(|c| c > ' ' && !matches!(c, '"' | '=' | '\\' | '\u{7f}'));
            if bare { format!("{name}={text}") } else { format!("{name}={}", Value::from(text)) }
        })
        .collect();
    fields.join(" ")
}

/// Turns the libraries' logs into records too, so that no line is ever unparsable.
struct Bridge(env_filter::Filter);

impl log::Log for Bridge {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.0.matches(record) {
            Record::new(record.level(), &record.args().to_string()).field("target", record.target()).always().emit();
        }
    }

    fn flush(&self) {}
}

/// Lets the libraries' logs through as `RUST_LOG` says, else as `LOG_LEVEL` does, but never below warnings then:
/// their debug lines are about sockets, not about the work.
pub fn bridge(rust_log: Option<&str>, level: log::LevelFilter) -> Result<(), String> {
    let mut builder = env_filter::Builder::new();
    match rust_log {
        Some(directives) => {
            builder.try_parse(directives).map_err(|error| format!("RUST_LOG: {error}"))?;
        }
        None => {
            builder.filter_level(level.min(log::LevelFilter::Warn));
        }
    }
    let filter = builder.build();
    log::set_max_level(filter.filter());
    // Fails only if set twice; the first one stays.
    let _ = log::set_boxed_logger(Box::new(Bridge(filter)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> Origin {
        Origin { app: "t-init", version: "1.2.3", run_id: "cafe".into(), instance: None }
    }

    fn record() -> Record {
        Record { at: UNIX_EPOCH, ..info("x") }
    }

    #[test]
    fn a_record_is_one_flat_object_under_the_limit() {
        let record = record().field("detail", "é\n\"".repeat(9000)).field("n", 3);
        let line = json(&record.pairs_of(Some(&origin()), LINE_LIMIT));
        assert!(line.len() <= LINE_LIMIT && !line.contains('\n'), "{}", line.len());
        let value: Value = serde_json::from_str(&line).expect("valid JSON");
        assert_eq!(value["ts"], "1970-01-01T00:00:00.000Z");
        assert_eq!((&value["app"], &value["n"]), (&"t-init".into(), &3.into()));
        assert!(value["detail"].as_str().is_some_and(|detail| detail.contains("(cut, ")));
    }

    #[test]
    fn many_long_fields_stay_under_the_limit_too() {
        let long = || "y".repeat(9000);
        let record = record().field("a", long()).field("b", long()).field("c", long());
        assert!(json(&record.pairs(LINE_LIMIT)).len() <= LINE_LIMIT);
        let line = record.line_within(4096);
        assert!(line.len() <= 4096, "{}", line.len());
        assert!(serde_json::from_str::<Value>(&line).is_ok(), "still whole: {line}");
    }

    #[test]
    fn a_server_cannot_paint_over_the_terminal() {
        let text = record().field("error", "two\nlines \x1b[2Jand a wipe").text(false);
        assert_eq!(text, "00:00:00 INFO  x: two lines \u{fffd}[2Jand a wipe");
    }

    #[test]
    fn every_copy_of_a_record_carries_the_same_time() {
        let record = info("x");
        let first = record.json_line();
        crate::retry::pause(
            std::time::Duration::from_millis(3),
            crate::retry::Deadline::after(std::time::Duration::MAX),
        );
        assert_eq!(first, record.json_line());
    }

    #[test]
    fn logfmt_quotes_what_needs_it() {
        let pairs = [("a", Value::from("b c")), ("d", 1.into()), ("e", "".into()), ("f", "x=\"y\"".into())];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value));
        assert_eq!(logfmt(&pairs), r#"a="b c" d=1 e="" f="x=\"y\"""#);
    }

    #[test]
    fn secrets_do_not_pass() {
        crate::secret::hide("hunter2-canary");
        let record = info("log in").field("error", "refused hunter2-canary");
        let line = record.json_line();
        assert!(line.contains("refused ***"), "{line}");
    }
}
