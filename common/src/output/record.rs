//! One record: its fields, and how it reads as JSON, as logfmt and to a person. Where it goes is its parent's business.

use std::fmt::Arguments;

use log::Level;
use log::kv::{self, Key, Source, VisitSource, VisitValue};
use serde_json::Value;

use super::{Format, LINE_LIMIT, Origin, cut, now};
use crate::output::secret::mask;

/// Makes a record of fields that are gathered by a function; all others are made by `log`'s macros.
pub fn record<T>(
    level: Level,
    target: &str,
    text: Arguments<'_>,
    fields: &[(&str, kv::Value<'_>)],
    act: impl FnOnce(&log::Record<'_>) -> T,
) -> T {
    act(&log::Record::builder().level(level).target(target).args(text).key_values(&fields).build())
}

/// Key-values as JSON, secrets masked, in the order given.
#[must_use]
pub fn fields(source: &dyn Source) -> Vec<(String, Value)> {
    let mut fields = Fields(Vec::new());
    // The visitor below never fails.
    let _ = source.visit(&mut fields);
    fields.0
}

struct Fields(Vec<(String, Value)>);

impl<'kvs> VisitSource<'kvs> for Fields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: kv::Value<'kvs>) -> Result<(), kv::Error> {
        let mut json = Json(Value::Null);
        value.visit(&mut json)?;
        self.0.push((key.to_string(), json.0));
        Ok(())
    }
}

struct Json(Value);

impl VisitValue<'_> for Json {
    fn visit_any(&mut self, value: kv::Value<'_>) -> Result<(), kv::Error> {
        self.0 = mask(&value.to_string()).into();
        Ok(())
    }

    fn visit_null(&mut self) -> Result<(), kv::Error> {
        self.0 = Value::Null;
        Ok(())
    }

    fn visit_u64(&mut self, value: u64) -> Result<(), kv::Error> {
        self.0 = value.into();
        Ok(())
    }

    fn visit_i64(&mut self, value: i64) -> Result<(), kv::Error> {
        self.0 = value.into();
        Ok(())
    }

    fn visit_bool(&mut self, value: bool) -> Result<(), kv::Error> {
        self.0 = value.into();
        Ok(())
    }
}

/// A record as it is shown.
pub(super) struct Line {
    ts: String,
    level: Level,
    /// What a person reads: the message, and each field that adds to it.
    sentence: String,
    /// `ts`, `level`, `msg`, the origin and the record's own, masked.
    fields: Vec<(String, Value)>,
}

impl Line {
    pub(super) fn of(record: &log::Record<'_>, origin: &Origin) -> Self {
        let mut own = fields(record.key_values());
        own.retain(|(_, value)| !value.is_null());
        let mut take = |name: &str| {
            let at = own.iter().position(|(field, _)| field == name)?;
            Some(plain(&own.remove(at).1))
        };
        // The last record is kept, written and said at different moments and is one record all the same.
        let ts = take("ts").unwrap_or_else(now);
        let text = mask(&record.args().to_string());
        let (msg, sentence) = match take("msg") {
            Some(msg) => (msg, Some(text)),
            None => (text, None),
        };
        if !origin.owns(record.target()) {
            own.insert(0, ("target".into(), record.target().into()));
        }
        let sentence = sentence.unwrap_or_else(|| {
            own.iter().fold(msg.clone(), |line, (name, value)| match name.as_str() {
                "reason" | "error" | "detail" => format!("{line}: {}", plain(value)),
                _ => format!("{line} {name}={}", plain(value)),
            })
        });
        let mut fields: Vec<(String, Value)> = [
            ("ts", ts.as_str()),
            ("level", &record.level().as_str().to_lowercase()),
            ("msg", &msg),
            ("app", origin.app),
            ("version", origin.version),
            ("run_id", &origin.run_id),
        ]
        .map(|(name, value)| (name.to_owned(), value.into()))
        .into();
        fields.extend(origin.instance.as_deref().map(|instance| ("instance".into(), mask(instance).into())));
        fields.extend(own);
        Self { ts, level: record.level(), sentence, fields }
    }

    /// The record as it is printed on stderr.
    pub(super) fn shown(&self, format: Format, color: bool) -> String {
        match format {
            Format::Json => self.json(LINE_LIMIT),
            Format::Logfmt => self.logfmt(LINE_LIMIT),
            Format::Text => self.text(color),
        }
    }

    /// The record as a JSON object of at most so many bytes: long fields are cut, the line stays whole.
    pub(super) fn json(&self, limit: usize) -> String {
        self.within(limit, json)
    }

    /// The same as `key=value` pairs.
    pub(super) fn logfmt(&self, limit: usize) -> String {
        self.within(limit, logfmt)
    }

    fn within(&self, line_limit: usize, show: fn(&[(String, Value)]) -> String) -> String {
        let mut limit = line_limit;
        loop {
            let cut_fields = self.fields.iter().map(|(name, value)| match value {
                Value::String(text) => (name.clone(), cut(text, limit).into()),
                other => (name.clone(), other.clone()),
            });
            let line = show(&cut_fields.collect::<Vec<_>>());
            if limit < 32 || line.len() <= line_limit {
                return line;
            }
            limit /= 2;
        }
    }

    fn text(&self, color: bool) -> String {
        let (paint, off) = match (color, self.level) {
            (false, _) => ("", ""),
            (true, Level::Error) => ("\x1b[31m", "\x1b[0m"),
            (true, Level::Warn) => ("\x1b[33m", "\x1b[0m"),
            (true, Level::Info) => ("\x1b[32m", "\x1b[0m"),
            (true, _) => ("\x1b[2m", "\x1b[0m"),
        };
        let clock = self.ts.get(11..19).unwrap_or_default();
        format!("{clock} {paint}{:<5}{off} {}", self.level, visible(&cut(&self.sentence, LINE_LIMIT)))
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// On one line and without a server's escape sequences, which could paint over a terminal.
#[must_use]
pub fn visible(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\r' | '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.chars().map(shown).collect()
}

fn json(fields: &[(String, Value)]) -> String {
    let fields: Vec<String> =
        fields.iter().map(|(name, value)| format!("{}:{value}", Value::from(name.as_str()))).collect();
    format!("{{{}}}", fields.join(","))
}

fn logfmt(fields: &[(String, Value)]) -> String {
    let fields: Vec<String> = fields
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
    use super::*;

    fn origin() -> Origin {
        Origin { app: "t-init", version: "1.2.3", run_id: "cafe".into(), instance: None }
    }

    fn line(fields: &[(&str, kv::Value<'_>)]) -> Line {
        record(Level::Info, "t_init::part", format_args!("x"), fields, |record| Line::of(record, &origin()))
    }

    #[test]
    fn a_record_is_one_flat_object_under_the_limit() {
        let long = "é\n\"".repeat(9000);
        let text =
            line(&[("ts", "1970-01-01T00:00:00.000Z".into()), ("detail", long.as_str().into()), ("n", 3.into())])
                .json(LINE_LIMIT);
        assert!(text.len() <= LINE_LIMIT && !text.contains('\n'), "{}", text.len());
        let value: Value = serde_json::from_str(&text).expect("valid JSON");
        assert_eq!(value["ts"], "1970-01-01T00:00:00.000Z");
        assert_eq!((&value["app"], &value["n"]), (&"t-init".into(), &3.into()));
        assert!(value["detail"].as_str().is_some_and(|detail| detail.contains("(cut, ")));
        assert!(value.get("target").is_none(), "only a library's record names where it comes from");
    }

    #[test]
    fn many_long_fields_stay_under_the_limit_too() {
        let long = "y".repeat(9000);
        let line = line(&["a", "b", "c"].map(|name| (name, long.as_str().into())));
        assert!(line.json(LINE_LIMIT).len() <= LINE_LIMIT && line.logfmt(LINE_LIMIT).len() <= LINE_LIMIT);
        let text = line.json(4096);
        assert!(text.len() <= 4096, "{}", text.len());
        assert!(serde_json::from_str::<Value>(&text).is_ok(), "still whole: {text}");
    }

    #[test]
    fn a_server_cannot_paint_over_the_terminal() {
        let ts = ("ts", "1970-01-01T00:00:00.000Z".into());
        let text = line(&[ts, ("error", "two\nlines \x1b[2Jand a wipe".into())]).text(false);
        assert_eq!(text, "00:00:00 INFO  x: two lines \u{fffd}[2Jand a wipe");
    }

    #[test]
    fn a_message_for_people_stands_in_place_of_the_fields() {
        let line =
            line(&[("msg", "object".into()), ("ts", "1970-01-01T00:00:00Z".into()), ("error", kv::Value::null())]);
        assert_eq!(line.text(false), "00:00:00 INFO  x");
        assert_eq!(
            line.logfmt(LINE_LIMIT),
            "ts=1970-01-01T00:00:00Z level=info msg=object app=t-init version=1.2.3 run_id=cafe",
            "a field without a value is left out"
        );
    }

    #[test]
    fn a_library_is_named() {
        let line = record(Level::Warn, "ureq::run", format_args!("odd"), &[], |record| Line::of(record, &origin()));
        assert!(line.json(LINE_LIMIT).contains(r#""target":"ureq::run""#));
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
        let line = line(&[("error", "refused hunter2-canary".into())]);
        assert!(line.json(LINE_LIMIT).contains("refused ***") && line.text(false).contains("refused ***"));
    }
}
