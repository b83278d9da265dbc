//! One record: its fields, and how it reads as JSON, as logfmt and to a person. Where it goes is its parent's business.

use std::io::Write;
use std::time::SystemTime;

use log::Level;
use serde_json::Value;

use super::{Format, LINE_LIMIT, Look, Origin, cut, format, keep, origin, timestamp, with};
use crate::output::secret::mask;

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
            "run finished" => crate::output::report::summary(&text),
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

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
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

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

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
        crate::net::retry::pause(
            std::time::Duration::from_millis(3),
            crate::net::retry::Deadline::after(std::time::Duration::MAX),
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
        crate::output::secret::hide("hunter2-canary");
        let record = info("log in").field("error", "refused hunter2-canary");
        let line = record.json_line();
        assert!(line.contains("refused ***"), "{line}");
    }
}
