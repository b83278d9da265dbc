//! The folder of files: found, read, parsed, checked for everything that needs no server, all problems at once.
//! What a body means is its kind's business.

use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::engine::change::{Class, Failure, ObjectId};
use crate::files::interpolate::interpolate;
use crate::files::json::{locate, step};

pub mod interpolate;
pub mod json;
mod load;
mod name;
mod read;

pub use load::load;
pub use name::{decode, encode};
pub use read::{SECRET_LIMIT, cannot_read, read_bytes, read_secret, read_text};

/// How a kind's objects lie in the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `<kind>/<name>.json`, subfolders only group; or `<kind>.json`, a map.
    Objects,
    /// `<kind>.json` is the one object.
    Single,
    /// `<kind>/**/<name>.json`, where the subfolders are part of the name, joined by `/`.
    Tree,
    /// `<kind>/<name>.jsonl`: lines, read by the kind itself.
    Lines,
    /// `<kind>/<name>/…`: a whole folder of kinds for each organization.
    Orgs,
}

/// A kind as the folder knows it.
#[derive(Clone, Copy, Debug)]
pub struct KindSpec {
    /// The folder's name.
    pub name: &'static str,
    /// How its objects lie in it.
    pub layout: Layout,
    /// Takes the object out of what the API's GET answers, given the object's name; leaves a plain body as it is.
    pub unwrap: fn(&str, Value) -> Value,
}

impl KindSpec {
    /// A kind whose GET answer is its body.
    #[must_use]
    pub const fn new(name: &'static str, layout: Layout) -> Self {
        Self { name, layout, unwrap: |_, body| body }
    }

    /// The same kind with a way to unwrap a whole GET answer.
    #[must_use]
    pub const fn unwrapping(self, unwrap: fn(&str, Value) -> Value) -> Self {
        Self { unwrap, ..self }
    }
}

/// Something wrong, or dubious, with what was declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, relative to the config folder; empty if it is about none in particular.
    pub file: String,
    /// Line and column, where known.
    pub at: Option<(usize, usize)>,
    /// The JSON pointer inside the file.
    pub pointer: String,
    /// What is wrong and what to do.
    pub message: String,
    /// A warning stops nothing unless `STRICT` is set.
    pub warning: bool,
    /// The object it is about, where it is about one.
    pub id: Option<ObjectId>,
    /// What kind of failure it is, which decides the reason that the run ends with.
    pub class: Class,
}

impl Problem {
    /// A problem with a file as a whole.
    pub fn of_file(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            at: None,
            pointer: String::new(),
            message: message.into(),
            warning: false,
            id: None,
            class: Class::Rejected,
        }
    }

    /// What the server said to an object when it was asked without writing.
    #[must_use]
    pub fn refused(id: &ObjectId, failure: Failure) -> Self {
        Self { id: Some(id.clone()), class: failure.class, ..Self::of_file(id.to_string(), failure.message) }
    }

    /// The same, as a warning that `STRICT` makes an error.
    #[must_use]
    pub fn warning(self) -> Self {
        Self { warning: true, ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some((line, column)) = self.at {
            write!(f, ":{line}:{column}")?;
        }
        if !self.pointer.is_empty() {
            write!(f, "{}{}", if self.file.is_empty() { "" } else { " " }, self.pointer)?;
        }
        write!(f, "{}{}", if self.file.is_empty() && self.pointer.is_empty() { "" } else { ": " }, self.message)
    }
}

/// One declared object.
#[derive(Debug)]
pub struct Object {
    /// Organization, kind and name.
    pub id: ObjectId,
    /// The file it stands in, relative to the config folder.
    pub file: String,
    /// The folders and the name, as declared by where the file lies (more than one part only in a tree).
    pub parts: Vec<String>,
    /// Where the file lies.
    pub path: PathBuf,
    /// Pointers into the body whose values came from `$__env{}` or `$__file{}`: never to be shown.
    pub masked: Vec<String>,
    whole: Vec<String>,
    pointer: String,
    body: Body,
    unwrap: fn(&str, Value) -> Value,
}

/// Bodies are kept as text, large ones left on disk, so that thousands of them take little memory.
#[derive(Debug)]
enum Body {
    Text(Box<str>),
    OnDisk,
}

impl Object {
    /// The body, parsed, unwrapped and interpolated.
    pub fn value(&self) -> Result<Value, Failure> {
        match &self.body {
            Body::Text(text) => {
                serde_json::from_str(text).map_err(|error| Failure::fatal(format!("{}: {error}", self.file)))
            }
            Body::OnDisk => {
                let text = read_text(&self.path, OBJECT_LIMIT)
                    .map_err(|error| Failure::fatal(format!("{}: {error}", self.file)))?;
                let mut value: Value = serde_json::from_str(&text)
                    .map_err(|error| Failure::fatal(format!("{} changed while it was used: {error}", self.file)))?;
                drop_schema(&mut value);
                let mut value = (self.unwrap)(&self.id.name, value);
                interpolate(&mut value);
                Ok(value)
            }
        }
    }

    /// The body as a typed struct. A placeholder that is a whole string may stand for a number or boolean there.
    pub fn typed<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let mut value = self.value().map_err(|failure| self.problem("", failure.message))?;
        let mut whole = self.whole.clone();
        loop {
            let error = match serde_path_to_error::deserialize(value.clone()) {
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
            let message = with_nearest(&error.into_inner().to_string());
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

    /// A problem with line and column as well.
    pub fn located(&self, pointer: &str, message: impl Into<String>) -> Problem {
        let mut problem = self.problem(pointer, message);
        problem.at = read_text(&self.path, OBJECT_LIMIT).ok().and_then(|text| locate(&text, &problem.pointer));
        problem
    }

    /// The pointers that were one placeholder and nothing else.
    #[must_use]
    pub fn placeholders(&self) -> &[String] {
        &self.whole
    }
}

/// A string as the number or boolean that it spells.
#[must_use]
pub fn scalar(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok().filter(|value: &Value| value.is_number() || value.is_boolean())
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

/// Adds the nearest known name to serde's "unknown field `x`, expected one of `y`, `z`".
fn with_nearest(message: &str) -> String {
    let mut names = message.split('`').skip(1).step_by(2);
    match (message.starts_with("unknown "), names.next()) {
        (true, Some(wrong)) => match nearest(wrong, names) {
            Some(near) => format!("{message}; did you mean `{near}`?"),
            None => message.to_owned(),
        },
        _ => message.to_owned(),
    }
}

/// The name that was probably meant.
pub fn nearest<'n>(wrong: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let distance = |name: &str| strsim::damerau_levenshtein(&wrong.to_lowercase(), &name.to_lowercase());
    known
        .into_iter()
        .map(|name| (distance(name), name))
        .filter(|(distance, name)| *distance <= 2.max(name.len() / 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Everything declared, in a fixed order: organizations, then kinds in table order, then names.
#[derive(Debug, Default)]
pub struct Set {
    objects: Vec<Rc<Object>>,
    /// Folders found in trees, also those without a file: organization, kind and path.
    pub folders: Vec<(Option<Arc<str>>, &'static str, Vec<String>)>,
    /// Organizations that have a folder.
    pub orgs: Vec<Arc<str>>,
}

impl Set {
    /// The objects of a kind outside of any named organization.
    #[must_use]
    pub fn of(&self, kind: &str) -> Vec<Rc<Object>> {
        self.of_org(None, kind)
    }

    /// The objects of a kind in an organization.
    #[must_use]
    pub fn of_org(&self, org: Option<&str>, kind: &str) -> Vec<Rc<Object>> {
        let matches = |object: &&Rc<Object>| object.id.kind == kind && object.id.org.as_deref() == org;
        self.objects.iter().filter(matches).cloned().collect()
    }

    /// One object by kind and name, outside of any named organization.
    #[must_use]
    pub fn get(&self, kind: &str, name: &str) -> Option<&Rc<Object>> {
        self.objects.iter().find(|object| object.id.org.is_none() && object.id.kind == kind && object.id.name == name)
    }

    /// All objects.
    #[must_use]
    pub fn all(&self) -> &[Rc<Object>] {
        &self.objects
    }
}

/// What is to be done about a `$__env{}` or `$__file{}` that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// It is an error: the body is about to be sent.
    Fails,
    /// It is a warning: `validate` runs where the secrets are not.
    Warns,
}

/// One object, or one answer of a server about one.
pub const OBJECT_LIMIT: u64 = 10 * 1024 * 1024;
const MAP_LIMIT: u64 = 64 * 1024 * 1024;
/// Bodies longer than this stay on disk between uses.
const KEEP_LIMIT: usize = 4 * 1024;

fn drop_schema(value: &mut Value) {
    if let Value::Object(map) = value {
        map.remove("$schema");
    }
}

#[cfg(test)]
mod tests;
