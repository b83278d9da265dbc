//! YAML 1.2 by the core schema, made of a parser's events into the same values, duplicates and places that JSON gives.
//! Bounded: what aliases copy, how deep it goes and how many values it has. Knows no kinds.

use std::collections::{BTreeMap, HashMap};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput};
use serde_json::{Map, Value};

use super::json::push_step;
use super::place::{At, Duplicate, Wanted};
use super::syntax::{Parsed, Unreadable, VALUES_LIMIT};

mod scalar;
mod write;

pub use write::write;

/// As deep as `serde_json` reads JSON.
const DEPTH_LIMIT: usize = 128;
/// What aliases, anchors and `<<` may copy in one file.
const COPIES_LIMIT: usize = 100_000;
const COPIED_BYTES_LIMIT: usize = 10 * 1024 * 1024;

/// All documents of a text, also those without content.
pub(super) fn documents(text: &str) -> Result<Vec<Parsed>, Unreadable> {
    let mut reader = Reader::new(text);
    let mut found: Vec<Parsed> = reader.read_all()?;
    // The first places are looked up in a second walk: few files have duplicates, and all would pay for remembering.
    let mut firsts: BTreeMap<usize, Wanted> = BTreeMap::new();
    for (index, document) in found.iter().enumerate().filter(|(_, document)| !document.duplicates.is_empty()) {
        let pointers = document.duplicates.iter().map(|twice| twice.pointer.as_str());
        firsts.insert(index, Wanted::new(pointers));
    }
    locate(text, &mut firsts);
    for (index, wanted) in firsts {
        for twice in &mut found[index].duplicates {
            twice.first = wanted.place(&twice.pointer).unwrap_or(twice.again);
        }
    }
    Ok(found)
}

/// Finds the places of what pointers name: of the key in a mapping, of the value in a sequence.
pub(super) fn locate(text: &str, documents: &mut BTreeMap<usize, Wanted>) {
    if !documents.is_empty() {
        let mut reader = Reader::new(text);
        reader.wanted = std::mem::take(documents);
        // What cannot be read was said before.
        let _ = reader.read_all();
        *documents = reader.wanted;
    }
}

/// What an anchor names.
struct Anchored {
    value: Value,
    /// The text of a scalar, which may be a key elsewhere.
    text: Option<String>,
    size: Size,
}

/// How much a copy of a value takes.
#[derive(Clone, Copy, Default)]
struct Size {
    values: usize,
    bytes: usize,
}

struct Reader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    anchors: HashMap<usize, Anchored>,
    copied: Size,
    values: usize,
    depth: usize,
    pointer: String,
    document: usize,
    duplicates: Vec<Duplicate>,
    wanted: BTreeMap<usize, Wanted>,
}

type Read<T> = Result<T, Unreadable>;

impl<'t> Reader<'t> {
    fn new(text: &'t str) -> Self {
        Self {
            parser: Parser::new_from_str(text),
            anchors: HashMap::new(),
            copied: Size::default(),
            values: 0,
            depth: 0,
            pointer: String::new(),
            document: 0,
            duplicates: Vec::new(),
            wanted: BTreeMap::new(),
        }
    }

    fn read_all(&mut self) -> Read<Vec<Parsed>> {
        let mut found = Vec::new();
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(found),
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
                _ => {
                    let at = place(span.start);
                    self.see(at);
                    let value = self.node(event, at)?;
                    found.push(Parsed { value, duplicates: std::mem::take(&mut self.duplicates) });
                    self.anchors.clear();
                    self.document += 1;
                }
            }
        }
    }

    fn next(&mut self) -> Read<(Event<'t>, Span)> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(unreadable(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn see(&mut self, at: At) {
        if let Some(wanted) = self.wanted.get_mut(&self.document) {
            wanted.see(&self.pointer, || at);
        }
    }

    /// The value that begins with an event.
    fn node(&mut self, event: Event<'t>, at: At) -> Read<Value> {
        self.values += 1;
        if self.values > VALUES_LIMIT {
            return Err(wrong(at, format!("the file has more than {VALUES_LIMIT} values: divide it")));
        }
        if self.depth == DEPTH_LIMIT {
            return Err(wrong(at, format!("more than {DEPTH_LIMIT} levels deep")));
        }
        let before = self.values;
        match event {
            Event::Alias(anchor) => self.copy(anchor, at),
            Event::Scalar(.., Some(_)) | Event::SequenceStart(_, Some(_)) | Event::MappingStart(_, Some(_)) => {
                Err(wrong(at, "tags are not read: put a text between quotes, leave other values as they are"))
            }
            Event::Scalar(text, style, anchor, None) => {
                let value = match style {
                    ScalarStyle::Plain => scalar::resolve(&text).map_err(|why| wrong(at, why))?,
                    _ => Value::String(text.clone().into_owned()),
                };
                self.anchor(anchor, &value, Some(&text), 1, at)?;
                Ok(value)
            }
            Event::SequenceStart(anchor, None) => {
                self.depth += 1;
                let value = Value::Array(self.sequence()?);
                self.depth -= 1;
                self.anchor(anchor, &value, None, self.values - before + 1, at)?;
                Ok(value)
            }
            Event::MappingStart(anchor, None) => {
                self.depth += 1;
                let value = Value::Object(self.mapping()?);
                self.depth -= 1;
                self.anchor(anchor, &value, None, self.values - before + 1, at)?;
                Ok(value)
            }
            _ => Err(wrong(at, "a value is missing here")),
        }
    }

    fn sequence(&mut self) -> Read<Vec<Value>> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                return Ok(items);
            }
            let outer = self.pointer.len();
            self.pointer += &format!("/{}", items.len());
            self.see(place(span.start));
            items.push(self.node(event, place(span.start))?);
            self.pointer.truncate(outer);
        }
    }

    fn mapping(&mut self) -> Read<Map<String, Value>> {
        let mut fields = Map::new();
        let mut merged = Vec::new();
        loop {
            let (event, span) = self.next()?;
            let at = place(span.start);
            let (key, merge) = match event {
                Event::MappingEnd => break,
                Event::Scalar(text, style, anchor, None) => {
                    self.anchor(anchor, &Value::String(text.to_string()), Some(&text), 1, at)?;
                    let merge = text == "<<" && style == ScalarStyle::Plain;
                    (text.into_owned(), merge)
                }
                Event::Alias(anchor) => match self.anchors.get(&anchor) {
                    Some(Anchored { text: Some(text), .. }) => (text.clone(), false),
                    _ => return Err(wrong(at, "a key is a text, not a list or map")),
                },
                Event::Scalar(.., Some(_)) => return Err(wrong(at, "tags are not read: put a text between quotes")),
                _ => return Err(wrong(at, "a key is a text, not a list or map")),
            };
            let outer = self.pointer.len();
            push_step(&mut self.pointer, &key);
            if merge {
                let (event, span) = self.next()?;
                merged.push((self.node(event, place(span.start))?, at));
            } else {
                if fields.contains_key(&key) && self.duplicates.len() < Duplicate::MOST {
                    self.duplicates.push(Duplicate { pointer: self.pointer.clone(), first: at, again: at });
                }
                self.see(at);
                let (event, span) = self.next()?;
                let value = self.node(event, place(span.start))?;
                fields.insert(key, value);
            }
            self.pointer.truncate(outer);
        }
        for (value, at) in merged {
            merge(&mut fields, value, at)?;
        }
        Ok(fields)
    }

    /// Remembers what an anchor names; anchors begin at 1.
    fn anchor(&mut self, anchor: usize, value: &Value, text: Option<&str>, values: usize, at: At) -> Read<()> {
        if anchor > 0 {
            let size = Size { values, bytes: bytes_of(value) };
            self.charge(size, at)?;
            let anchored = Anchored { value: value.clone(), text: text.map(str::to_owned), size };
            self.anchors.insert(anchor, anchored);
        }
        Ok(())
    }

    fn copy(&mut self, anchor: usize, at: At) -> Read<Value> {
        let Some(Anchored { size, .. }) = self.anchors.get(&anchor) else {
            return Err(wrong(at, "an alias names what stands complete before it in the same document"));
        };
        self.charge(*size, at)?;
        Ok(self.anchors[&anchor].value.clone())
    }

    fn charge(&mut self, size: Size, at: At) -> Read<()> {
        self.copied.values += size.values;
        self.copied.bytes += size.bytes;
        if self.copied.values > COPIES_LIMIT || self.copied.bytes > COPIED_BYTES_LIMIT {
            return Err(wrong(
                at,
                format!("anchors and aliases copy more than {COPIES_LIMIT} values or 10 MiB: write out what is meant"),
            ));
        }
        Ok(())
    }
}

/// Adds what `<<` names, one map or a list of them; what is written out counts, and of the list what comes first.
fn merge(fields: &mut Map<String, Value>, value: Value, at: At) -> Read<()> {
    let maps = match value {
        Value::Array(maps) => maps,
        one => vec![one],
    };
    for map in maps {
        let Value::Object(map) = map else {
            return Err(wrong(at, "<< takes a map or a list of maps, by alias: <<: *name"));
        };
        for (key, value) in map {
            fields.entry(key).or_insert(value);
        }
    }
    Ok(())
}

fn bytes_of(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(bytes_of).sum(),
        Value::Object(fields) => fields.iter().map(|(key, inner)| key.len() + bytes_of(inner)).sum(),
        _ => 8,
    }
}

fn place(marker: Marker) -> At {
    (marker.line(), marker.col() + 1)
}

fn wrong(at: At, message: impl Into<String>) -> Unreadable {
    Unreadable { at, message: message.into() }
}

fn unreadable(error: &ScanError) -> Unreadable {
    let hint = match error.info() {
        info if info.contains("tab") => ": YAML is indented by blanks alone",
        info if info.contains("unknown anchor") => ": an alias (*name) needs its anchor (&name) before it",
        info if info.contains("mapping values are not allowed") => {
            ": a text with a colon and a blank in it stands between quotes"
        }
        _ => "",
    };
    wrong(place(*error.marker()), format!("{}{hint}", error.info()))
}

#[cfg(test)]
mod tests;
