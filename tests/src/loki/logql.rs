//! As much of `LogQL` as the documentation uses: stream selectors, line filters, `| json`, label filters, `unwrap`, and the
//! `…_over_time` functions, grouped or summed up. What it does not know is an error, never a guess.
//!
//! `| json` does as Loki 3.4.6 was measured to: nested keys are joined by `_`, lists are left out, a name that is a label of the stream
//! already gets `_extracted`, and a line that is no JSON gets `__error__`, on which a metric query fails.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Labels, Store};

/// A line on its way through the stages.
struct Entry {
    at: i128,
    text: String,
    labels: Labels,
    value: Option<f64>,
}

/// The `data` of Loki's answer.
pub fn run(query: &str, store: &Store, now: i128) -> Result<Value, String> {
    let mut parser = Parser { rest: query };
    let data = if parser.peek() == Some('{') {
        let entries = parser.log_query(store)?;
        streams(&entries)
    } else {
        vector(parser.metric(store, now)?, now)
    };
    parser.end()?;
    Ok(data)
}

fn streams(entries: &[Entry]) -> Value {
    let mut streams: BTreeMap<&Labels, Vec<Value>> = BTreeMap::new();
    for entry in entries {
        streams.entry(&entry.labels).or_default().push(json!([entry.at.to_string(), entry.text]));
    }
    let result: Vec<Value> =
        streams.into_iter().map(|(labels, values)| json!({"stream": labels, "values": values})).collect();
    json!({"resultType": "streams", "result": result})
}

type Vector = BTreeMap<Labels, f64>;

fn vector(vector: Vector, now: i128) -> Value {
    let result: Vec<Value> = vector
        .into_iter()
        .map(|(labels, value)| json!({"metric": labels, "value": [now / 1_000_000_000, value.to_string()]}))
        .collect();
    json!({"resultType": "vector", "result": result})
}

struct Parser<'a> {
    rest: &'a str,
}

#[derive(Clone, Copy)]
enum Op {
    Equal,
    NotEqual,
    Matches,
    MatchesNot,
    Less,
    AtMost,
    More,
    AtLeast,
}

impl Parser<'_> {
    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.rest.chars().next()
    }

    fn take(&mut self, token: &str) -> bool {
        self.peek();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn need(&mut self, token: &str) -> Result<(), String> {
        if self.take(token) { Ok(()) } else { Err(format!("parse error: expected {token} at {:?}", self.rest)) }
    }

    fn end(&mut self) -> Result<(), String> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(format!("parse error: unexpected {:?}", self.rest)),
        }
    }

    fn word(&mut self) -> Result<String, String> {
        self.peek();
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        if word.is_empty() { Err(format!("parse error: expected a name at {rest:?}")) } else { Ok(word.to_owned()) }
    }

    /// `"…"` with JSON's escapes, or `` `…` `` as it is.
    fn string(&mut self) -> Result<String, String> {
        if self.take("`") {
            let (text, rest) = self.rest.split_once('`').ok_or("parse error: a string has no end")?;
            self.rest = rest;
            return Ok(text.to_owned());
        }
        self.peek();
        let mut values = serde_json::Deserializer::from_str(self.rest).into_iter::<String>();
        let text =
            values.next().and_then(Result::ok).ok_or(format!("parse error: expected a string at {:?}", self.rest))?;
        self.rest = &self.rest[values.byte_offset()..];
        Ok(text)
    }

    fn op(&mut self) -> Result<Op, String> {
        let ops = [
            ("=~", Op::Matches),
            ("!~", Op::MatchesNot),
            ("!=", Op::NotEqual),
            ("==", Op::Equal),
            (">=", Op::AtLeast),
            ("<=", Op::AtMost),
            ("=", Op::Equal),
            (">", Op::More),
            ("<", Op::Less),
        ];
        for (token, op) in ops {
            if self.take(token) {
                return Ok(op);
            }
        }
        Err(format!("parse error: expected a comparison at {:?}", self.rest))
    }

    fn log_query(&mut self, store: &Store) -> Result<Vec<Entry>, String> {
        self.need("{")?;
        let mut matchers = Vec::new();
        while !self.take("}") {
            let (name, op, value) = (self.word()?, self.op()?, self.string()?);
            matchers.push(compare(name, op, value)?);
            self.take(",");
        }
        if matchers.is_empty() {
            return Err("parse error: queries require at least one matcher".into());
        }
        let chosen = store.iter().filter(|(labels, _)| matchers.iter().all(|matches| matches(labels)));
        let mut entries: Vec<Entry> = chosen
            .flat_map(|(labels, lines)| lines.iter().map(move |line| (labels, line)))
            .map(|(labels, line)| {
                let labels = labels.iter().chain(&line.metadata).map(|(k, v)| (k.clone(), v.clone())).collect();
                Entry { at: line.at, text: line.text.clone(), labels, value: None }
            })
            .collect();
        entries.sort_by_key(|entry| entry.at);
        self.stages(&mut entries)?;
        Ok(entries)
    }

    fn stages(&mut self, entries: &mut Vec<Entry>) -> Result<(), String> {
        loop {
            if self.take("|=") {
                let part = self.string()?;
                entries.retain(|entry| entry.text.contains(&part));
            } else if self.take("!=") {
                let part = self.string()?;
                entries.retain(|entry| !entry.text.contains(&part));
            } else if self.take("|") {
                let word = self.word()?;
                match word.as_str() {
                    "json" => entries.iter_mut().for_each(extract),
                    "unwrap" => {
                        let name = self.word()?;
                        entries.retain_mut(|entry| {
                            entry.value = entry.labels.get(&name).and_then(|value| value.parse().ok());
                            entry.value.is_some()
                        });
                    }
                    _ => self.label_filter(word, entries)?,
                }
            } else {
                return Ok(());
            }
        }
    }

    fn label_filter(&mut self, name: String, entries: &mut Vec<Entry>) -> Result<(), String> {
        let op = self.op()?;
        if matches!(self.peek(), Some('"' | '`')) {
            let matches = compare(name, op, self.string()?)?;
            entries.retain(|entry| matches(&entry.labels));
            return Ok(());
        }
        let end = self.rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(self.rest.len());
        let (number, rest) = self.rest.split_at(end);
        let number: f64 = number.parse().map_err(|_| format!("parse error: expected a value at {:?}", self.rest))?;
        self.rest = rest;
        // A line without the label does not pass a comparison of numbers, whatever it asks.
        entries.retain(|entry| {
            let Some(value) = entry.labels.get(&name).and_then(|value| value.parse::<f64>().ok()) else { return false };
            match op {
                Op::Less => value < number,
                Op::AtMost => value <= number,
                Op::More => value > number,
                Op::AtLeast => value >= number,
                Op::Equal => value.total_cmp(&number).is_eq(),
                Op::NotEqual => value.total_cmp(&number).is_ne(),
                Op::Matches | Op::MatchesNot => false,
            }
        });
        Ok(())
    }

    fn metric(&mut self, store: &Store, now: i128) -> Result<Vector, String> {
        let function = self.word()?;
        if let Some(over) = function.strip_suffix("_over_time") {
            self.need("(")?;
            let entries = self.log_query(store)?;
            let range = self.range()?;
            self.need(")")?;
            let by = if self.take("by") { Some(self.names()?) } else { None };
            return over_time(over, &entries, now - range, by.as_deref());
        }
        let by = if self.take("by") { self.names()? } else { Vec::new() };
        self.need("(")?;
        let inner = self.metric(store, now)?;
        self.need(")")?;
        let join: fn(f64, f64) -> f64 = match function.as_str() {
            "sum" => |a, b| a + b,
            "max" => f64::max,
            "min" => f64::min,
            _ => return Err(format!("parse error: unknown function {function}")),
        };
        let mut joined = Vector::new();
        for (labels, value) in inner {
            let labels = labels.into_iter().filter(|(name, _)| by.contains(name)).collect();
            joined.entry(labels).and_modify(|sum| *sum = join(*sum, value)).or_insert(value);
        }
        Ok(joined)
    }

    fn names(&mut self) -> Result<Vec<String>, String> {
        self.need("(")?;
        let mut names = Vec::new();
        while !self.take(")") {
            names.push(self.word()?);
            self.take(",");
        }
        Ok(names)
    }

    /// `[1h]`, in nanoseconds.
    fn range(&mut self) -> Result<i128, String> {
        self.need("[")?;
        let word = self.word()?;
        self.need("]")?;
        let (number, unit) = word.split_at(word.len() - 1);
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return Err(format!("parse error: not a duration: {word}")),
        };
        let number: i128 = number.parse().map_err(|_| format!("parse error: not a duration: {word}"))?;
        Ok(number * seconds * 1_000_000_000)
    }
}

fn over_time(function: &str, entries: &[Entry], since: i128, by: Option<&[String]>) -> Result<Vector, String> {
    let mut groups: BTreeMap<Labels, Vec<&Entry>> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.at > since) {
        if let Some(error) = entry.labels.get("__error__") {
            return Err(format!("pipeline error: '{error}' for series: use | __error__=\"\" to leave such lines out"));
        }
        let mut labels = entry.labels.clone();
        if let Some(by) = by {
            labels.retain(|name, _| by.contains(name));
        }
        groups.entry(labels).or_default().push(entry);
    }
    if function == "absent" {
        return Ok(if groups.is_empty() { Vector::from([(Labels::new(), 1.0)]) } else { Vector::new() });
    }
    let mut vector = Vector::new();
    for (labels, entries) in groups {
        let values: Vec<f64> = entries.iter().filter_map(|entry| entry.value).collect();
        #[expect(clippy::cast_precision_loss, reason = "no case has 2^52 lines")]
        let value = match function {
            "count" => entries.len() as f64,
            "sum" => values.iter().sum(),
            "max" => values.iter().copied().fold(f64::MIN, f64::max),
            "last" => values.last().copied().ok_or("parse error: last_over_time needs unwrap")?,
            _ => return Err(format!("parse error: unknown function {function}_over_time")),
        };
        vector.insert(labels, value);
    }
    Ok(vector)
}

fn compare(name: String, op: Op, value: String) -> Result<Box<dyn Fn(&Labels) -> bool>, String> {
    // A label that is not there is empty.
    let of = move |labels: &Labels| labels.get(&name).cloned().unwrap_or_default();
    match op {
        Op::Equal => Ok(Box::new(move |labels| of(labels) == value)),
        Op::NotEqual => Ok(Box::new(move |labels| of(labels) != value)),
        Op::Matches | Op::MatchesNot => {
            let wanted = matches!(op, Op::Matches);
            let plain = |part: &str| part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
            if value == ".+" {
                return Ok(Box::new(move |labels| of(labels).is_empty() != wanted));
            }
            if !value.split('|').all(plain) {
                return Err(format!("the stand-in knows alternatives of plain words and .+ alone, not {value:?}"));
            }
            Ok(Box::new(move |labels| value.split('|').any(|part| part == of(labels)) == wanted))
        }
        Op::Less | Op::AtMost | Op::More | Op::AtLeast => Err("parse error: strings have no order".into()),
    }
}

fn extract(entry: &mut Entry) {
    match serde_json::from_str::<Value>(&entry.text) {
        Ok(Value::Object(fields)) => {
            let own = entry.labels.clone();
            for (name, value) in fields {
                flatten(&name, &value, &own, &mut entry.labels);
            }
        }
        _ => drop(entry.labels.insert("__error__".into(), "JSONParserErr".into())),
    }
}

fn flatten(name: &str, value: &Value, own: &Labels, into: &mut Labels) {
    let text = match value {
        Value::Object(fields) => {
            for (inner, value) in fields {
                flatten(&format!("{name}_{inner}"), value, own, into);
            }
            return;
        }
        Value::Array(_) | Value::Null => return,
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let name = if own.contains_key(name) { format!("{name}_extracted") } else { name.to_owned() };
    into.insert(name, text);
}
