//! One declared object: where it stands, and its body, kept in memory or read again. What a body means is its kind's business.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::interpolate::Resolver;
use super::json::step;
use super::problem::Problem;
use super::read::read_part;
use super::syntax::Syntax;
use super::{drop_schema, nearest, scalar};
use crate::engine::change::{Failure, ObjectId};

/// One declared object.
#[derive(Debug)]
pub struct Object {
    /// Organization, kind and name.
    pub id: ObjectId,
    /// The file it stands in, relative to the config folder, or the variable.
    pub file: String,
    /// The folders and the name, as declared by where the file lies (more than one part only in a tree).
    pub parts: Vec<String>,
    /// Where the file lies; empty if it is none.
    pub path: PathBuf,
    /// Pointers into the body whose values came from `$__env{}` or `$__file{}`: never to be shown.
    pub masked: Vec<String>,
    pub(super) whole: Vec<String>,
    /// Which of the file's documents it stands in, and where in that.
    pub(super) document: usize,
    pub(super) pointer: String,
    pub(super) body: Body,
    pub(super) unwrap: fn(&str, Value) -> Value,
    pub(super) resolver: Arc<Resolver>,
}

/// Bodies are kept as text, large ones left on disk, so that thousands of them take little memory.
#[derive(Debug)]
pub(super) enum Body {
    /// JSON, unwrapped and interpolated.
    Text(Box<str>),
    /// A part of the file, read again at each use.
    OnDisk(Part),
}

/// A part of a file, and what was in it when it was read first.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) range: Range<u64>,
    pub(super) digest: [u8; 32],
    pub(super) syntax: Option<Syntax>,
}

impl Part {
    pub(super) fn new(start: u64, text: &str, syntax: Option<Syntax>) -> Self {
        Self { range: start..start + text.len() as u64, digest: digest(text), syntax }
    }
}

fn digest(text: &str) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

impl Object {
    /// The body, parsed, unwrapped and interpolated.
    pub fn value(&self) -> Result<Value, Failure> {
        let fails = |error: &dyn std::fmt::Display| Failure::fatal(format!("{}: {error}", self.file));
        match &self.body {
            Body::Text(text) => serde_json::from_str(text).map_err(|error| fails(&error)),
            Body::OnDisk(part) => {
                let text = self.text()?;
                let syntax = part.syntax.unwrap_or(Syntax::Json);
                let mut value = syntax.parse(&text, self.document).map_err(|error| fails(&error))?;
                drop(text);
                drop_schema(&mut value);
                let mut value = (self.unwrap)(&self.id.name, value);
                // Resolved when the file was read: what is missing was told then, and stays as it is only where nothing is sent.
                self.resolver.replace(&mut value);
                Ok(value)
            }
        }
    }

    /// The text as it stands in the file. An error if it is not what was read first.
    fn text(&self) -> Result<String, Failure> {
        let Body::OnDisk(part) = &self.body else { return Ok(self.value()?.to_string()) };
        let text = read_part(&self.path, &Range { end: part.range.end + 1, ..part.range })
            .map_err(|error| Failure::fatal(format!("{}: {error}", self.file)))?;
        // A byte more than was there tells that the file has grown; inside a map, it is what follows.
        let kept = usize::try_from(part.range.end - part.range.start).unwrap_or(usize::MAX);
        let grown = part.syntax.is_none() && text.len() > kept;
        match text.get(..kept) {
            Some(same) if !grown && digest(same) == part.digest => Ok(same.to_owned()),
            _ => Err(Failure::fatal(format!(
                "{} changed while it was used: nothing that was not checked is sent; run again",
                self.file
            ))),
        }
    }

    /// The body as a typed struct. A placeholder that is a whole string may stand for a number or boolean there.
    pub fn typed<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let mut value = self.value().map_err(|failure| self.problem("", failure.message))?;
        let mut whole = self.whole.clone();
        loop {
            let error = match serde_path_to_error::deserialize(&value) {
                Ok(typed) => return Ok(typed),
                Err(error) => error,
            };
            let pointer = pointer_of(error.path());
            if let Some(index) = whole.iter().position(|known| *known == pointer) {
                whole.swap_remove(index);
                if let Some(place) = value.pointer_mut(&pointer)
                    && let Some(scalar) = place.as_str().and_then(scalar)
                {
                    *place = scalar;
                    continue;
                }
            }
            let message = sentence(&error.into_inner().to_string(), value.pointer(&pointer));
            return Err(self.located(&pointer, message));
        }
    }

    /// A problem at a pointer into this object's body.
    pub fn problem(&self, pointer: &str, message: impl Into<String>) -> Problem {
        Problem {
            pointer: format!("{}{pointer}", self.pointer),
            id: Some(self.id.clone()),
            ..Problem::of_file(&self.file, message)
        }
    }

    /// A problem that is shown with line and column as well, once [`locate`](super::locate) has looked them up.
    pub fn located(&self, pointer: &str, message: impl Into<String>) -> Problem {
        Problem { source: Some((self.path.clone(), self.document)), ..self.problem(pointer, message) }
    }

    /// Where the object begins, for a sentence.
    pub(super) fn place(&self) -> String {
        let document = if self.document > 0 { format!(" (document {})", self.document + 1) } else { String::new() };
        let pointer = if self.pointer.is_empty() { String::new() } else { format!(" {}", self.pointer) };
        format!("{}{document}{pointer}", self.file)
    }
}

fn pointer_of(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => step(key),
            Segment::Enum { variant } => step(variant),
            Segment::Unknown => String::new(),
        })
        .collect()
}

/// Serde's sentence without the value, which may be a misplaced secret, and with the remedy.
fn sentence(message: &str, value: Option<&Value>) -> String {
    if let Some((what, expected)) = message.rsplit_once(", expected ")
        && let Some(what) = what.strip_prefix("invalid type: ").or_else(|| what.strip_prefix("invalid value: "))
    {
        let what = what.split([' ', '`', '"']).next().unwrap_or(what);
        let what = if what == "floating" { "floating point number" } else { what };
        let expected = match expected {
            "i8" | "i16" | "i32" | "i64" | "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number",
            "f32" | "f64" => "a number",
            _ if expected.starts_with("struct ") || expected == "a map" => "an object",
            _ => expected,
        };
        let spelt = match value.and_then(Value::as_str) {
            Some("yes" | "Yes" | "on" | "On" | "y" | "True" | "TRUE" | "true") => ": write true",
            Some("no" | "No" | "off" | "Off" | "n" | "False" | "FALSE" | "false") => ": write false",
            _ => "",
        };
        let spelt = if expected.contains("bool") { spelt } else { "" };
        return format!("invalid type: {what}, expected {expected}{spelt}");
    }
    // "unknown field `x`, expected one of `y`, `z`"
    let mut names = message.split('`').skip(1).step_by(2);
    match (message.starts_with("unknown "), names.next()) {
        (true, Some(wrong)) => match nearest(wrong, names) {
            Some(near) => format!("{message}; did you mean `{near}`?"),
            None => message.to_owned(),
        },
        _ => message.to_owned(),
    }
}
