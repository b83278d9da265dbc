//! The folder of files: found, read, parsed, checked for everything that needs no server, all problems at once.
//! What a body means is its kind's business.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::change::{Failure, ObjectId};
use crate::interpolate::interpolate;
use crate::json::{duplicates, locate, step};
use crate::settings::cannot_read;

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
}

impl Problem {
    /// A problem with a file as a whole.
    pub fn of_file(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self { file: file.into(), at: None, pointer: String::new(), message: message.into(), warning: false, id: None }
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
            file: self.file.clone(),
            at: None,
            pointer: format!("{}{pointer}", self.pointer),
            message: message.into(),
            warning: false,
            id: Some(self.id.clone()),
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
const DEPTH_LIMIT: usize = 32;

/// Reads the whole folder. The set is complete only if no problem but warnings came back.
#[must_use]
pub fn load(root: &Path, specs: &[KindSpec], missing: Missing) -> (Set, Vec<Problem>) {
    let mut loader = Loader { root, specs, missing, set: Set::default(), problems: Vec::new(), seen: BTreeMap::new() };
    loader.top(root, None);
    let rank = |kind: &str| specs.iter().position(|spec| spec.name == kind);
    loader
        .set
        .objects
        .sort_by(|a, b| (&a.id.org, rank(a.id.kind), &a.id.name).cmp(&(&b.id.org, rank(b.id.kind), &b.id.name)));
    loader.set.folders.sort();
    (loader.set, loader.problems)
}

struct Loader<'l> {
    root: &'l Path,
    specs: &'l [KindSpec],
    missing: Missing,
    set: Set,
    problems: Vec<Problem>,
    /// Where each name was declared first.
    seen: BTreeMap<ObjectId, String>,
}

struct Entry {
    path: PathBuf,
    name: String,
    folder: bool,
}

impl Loader<'_> {
    fn top(&mut self, folder: &Path, org: Option<&Arc<str>>) {
        for entry in self.entries(folder) {
            let (stem, ending) = match (entry.folder, entry.name.rsplit_once('.')) {
                (false, Some((stem, ending))) => (stem.to_owned(), ending.to_owned()),
                _ => (entry.name.clone(), String::new()),
            };
            let spec = self
                .specs
                .iter()
                .find(|spec| spec.name == stem && (org.is_none() || spec.layout != Layout::Orgs))
                .copied();
            match (spec, entry.folder, ending.as_str()) {
                (Some(spec), true, _) if spec.layout == Layout::Orgs => self.orgs(&entry.path),
                (Some(spec), true, _) => self.folder(&entry.path, spec, org, &mut Vec::new()),
                (Some(spec), false, "json") => self.file(&entry.path, spec, org),
                (Some(spec), false, "yaml" | "yml" | "jsonc") => self.only_json(&entry.path, spec),
                (None, true, _) | (None, false, "json") => self.unknown(&entry, &stem),
                _ => {}
            }
        }
    }

    fn unknown(&mut self, entry: &Entry, stem: &str) {
        let names = self.specs.iter().map(|spec| spec.name);
        let hint = match nearest(stem, names.clone()) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("known are {}", names.collect::<Vec<_>>().join(", ")),
        };
        let what = if entry.folder { "folder" } else { "file" };
        self.problem(&entry.path, format!("unknown {what} {}: {hint}", entry.name));
    }

    fn orgs(&mut self, folder: &Path) {
        for entry in self.entries(folder) {
            if !entry.folder {
                if entry.name.ends_with(".json") {
                    self.problem(&entry.path, "an organization is a folder of kinds, not a file");
                }
                continue;
            }
            match decode(&entry.name) {
                Ok(name) => {
                    let org: Arc<str> = name.into();
                    self.set.orgs.push(org.clone());
                    self.top(&entry.path, Some(&org));
                }
                Err(error) => self.problem(&entry.path, error),
            }
        }
    }

    fn folder(&mut self, folder: &Path, spec: KindSpec, org: Option<&Arc<str>>, above: &mut Vec<String>) {
        if above.len() > DEPTH_LIMIT {
            self.problem(folder, "more than 32 folders deep: does a link lead back up?");
            return;
        }
        if spec.layout == Layout::Tree && !above.is_empty() {
            self.set.folders.push((org.cloned(), spec.name, above.clone()));
        }
        let wanted = if spec.layout == Layout::Lines { "jsonl" } else { "json" };
        for entry in self.entries(folder) {
            let (stem, ending) = match entry.name.rsplit_once('.') {
                Some((stem, ending)) if !entry.folder => (stem, ending),
                _ => (entry.name.as_str(), ""),
            };
            if !entry.folder && ending != wanted {
                match ending {
                    "yaml" | "yml" | "jsonc" | "json" | "jsonl" => self.only_json(&entry.path, spec),
                    _ => {}
                }
                continue;
            }
            let name = match decode(stem) {
                Ok(name) => name,
                Err(error) => {
                    self.problem(&entry.path, error);
                    continue;
                }
            };
            above.push(name);
            if entry.folder {
                self.folder(&entry.path, spec, org, above);
            } else if spec.layout == Layout::Lines {
                self.lines(&entry.path, spec, org, above);
            } else if let Some((text, value)) = self.parse(&entry.path, OBJECT_LIMIT) {
                self.object(&entry.path, spec, org, above, "", value, text.len());
            }
            above.pop();
        }
    }

    fn file(&mut self, path: &Path, spec: KindSpec, org: Option<&Arc<str>>) {
        match spec.layout {
            Layout::Lines | Layout::Orgs => {
                self.problem(path, format!("{} is a folder, not a file", spec.name));
            }
            Layout::Single => {
                if let Some((text, value)) = self.parse(path, OBJECT_LIMIT) {
                    self.object(path, spec, org, &[spec.name.to_owned()], "", value, text.len());
                }
            }
            Layout::Objects | Layout::Tree => {
                let Some((_, value)) = self.parse(path, MAP_LIMIT) else { return };
                let Value::Object(map) = value else {
                    self.problem(path, "must be a map of name to object");
                    return;
                };
                for (name, value) in map {
                    let parts: Vec<String> = match spec.layout {
                        Layout::Tree => name.split('/').map(str::to_owned).collect(),
                        _ => vec![name.clone()],
                    };
                    self.object(path, spec, org, &parts, &step(&name), value, 0);
                }
            }
        }
    }

    fn lines(&mut self, path: &Path, spec: KindSpec, org: Option<&Arc<str>>, parts: &[String]) {
        if let Err(error) = std::fs::File::open(path) {
            self.problem(path, cannot_read(path, &error));
            return;
        }
        let object = Object {
            id: id(spec, org, parts),
            file: self.shown(path),
            parts: parts.to_vec(),
            path: path.to_owned(),
            masked: Vec::new(),
            whole: Vec::new(),
            pointer: String::new(),
            body: Body::OnDisk,
            unwrap: spec.unwrap,
        };
        self.add(object, (spec.layout == Layout::Lines).then_some(()).map(|()| ""));
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one call site each for a file, a map entry and a single; all of it is the object's place"
    )]
    fn object(
        &mut self,
        path: &Path,
        spec: KindSpec,
        org: Option<&Arc<str>>,
        parts: &[String],
        pointer: &str,
        mut value: Value,
        length: usize,
    ) {
        drop_schema(&mut value);
        let id = id(spec, org, parts);
        let mut value = (spec.unwrap)(&id.name, value);
        let replaced = interpolate(&mut value);
        for (inner, reason) in replaced.missing {
            let mut problem = Problem::of_file(self.shown(path), reason);
            problem.pointer = format!("{pointer}{inner}");
            problem.warning = self.missing == Missing::Warns;
            problem.id = Some(id.clone());
            self.problems.push(problem);
        }
        let body = if length > KEEP_LIMIT { Body::OnDisk } else { Body::Text(value.to_string().into()) };
        let object = Object {
            id,
            file: self.shown(path),
            parts: parts.to_vec(),
            path: path.to_owned(),
            masked: replaced.masked,
            whole: replaced.whole,
            pointer: pointer.to_owned(),
            body,
            unwrap: spec.unwrap,
        };
        self.add(object, Some(pointer));
    }

    fn add(&mut self, object: Object, pointer: Option<&str>) {
        let place = format!("{}{}", object.file, pointer.map(|pointer| format!(" {pointer}")).unwrap_or_default());
        let place = place.trim_end().to_owned();
        if let Some(first) = self.seen.get(&object.id).cloned() {
            let message = format!("{} is declared twice: here and in {first}", object.id);
            self.problems.push(Problem {
                pointer: pointer.unwrap_or_default().to_owned(),
                ..Problem::of_file(&object.file, message)
            });
        } else {
            self.seen.insert(object.id.clone(), place);
            self.set.objects.push(Rc::new(object));
        }
    }

    /// Reads and parses one file; what is wrong is noted with line and column.
    fn parse(&mut self, path: &Path, limit: u64) -> Option<(String, Value)> {
        let text = match read_text(path, limit) {
            Ok(text) => text,
            Err(error) => {
                self.problem(path, error);
                return None;
            }
        };
        let mut value: Value = match serde_json::from_str(&text) {
            Ok(value) => value,
            Err(error) => {
                let at = Some((error.line(), error.column()));
                let message = error.to_string();
                let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
                let message = if text.trim().is_empty() { "the file is empty" } else { message };
                self.problems.push(Problem { at, ..Problem::of_file(self.shown(path), message) });
                return None;
            }
        };
        let twice = duplicates(&text);
        for (pointer, at) in &twice {
            let problem = Problem::of_file(self.shown(path), "this key stands twice in its object");
            self.problems.push(Problem { at: Some(*at), pointer: pointer.clone(), ..problem });
        }
        if !twice.is_empty() {
            return None;
        }
        drop_schema(&mut value);
        Some((text, value))
    }

    fn entries(&mut self, folder: &Path) -> Vec<Entry> {
        let read = match std::fs::read_dir(folder) {
            Ok(read) => read,
            Err(error) => {
                self.problem(folder, cannot_read(folder, &error));
                return Vec::new();
            }
        };
        let mut entries = Vec::new();
        for entry in read {
            let path = match entry {
                Ok(entry) => entry.path(),
                Err(error) => {
                    self.problem(folder, cannot_read(folder, &error));
                    continue;
                }
            };
            let Some(name) = path.file_name().and_then(|name| name.to_str()).map(str::to_owned) else {
                self.problem(&path, "the file's name is not valid UTF-8: percent-encode it");
                continue;
            };
            if name.starts_with('.') {
                continue;
            }
            // Follows links: a ConfigMap's files are links through `..data`.
            match std::fs::metadata(&path) {
                Ok(data) => entries.push(Entry { folder: data.is_dir(), path, name }),
                Err(error) => self.problem(&path, cannot_read(&path, &error)),
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        entries
    }

    fn only_json(&mut self, path: &Path, spec: KindSpec) {
        let wanted = if spec.layout == Layout::Lines { "only .jsonl files, one record a line" } else { "only JSON" };
        self.problem(path, format!("{} takes {wanted}: convert or remove this file", spec.name));
    }

    fn problem(&mut self, path: &Path, message: impl Into<String>) {
        self.problems.push(Problem::of_file(self.shown(path), message));
    }

    fn shown(&self, path: &Path) -> String {
        let inner = path.strip_prefix(self.root).unwrap_or(path);
        let shown = if inner.as_os_str().is_empty() { path } else { inner };
        shown.display().to_string()
    }
}

fn id(spec: KindSpec, org: Option<&Arc<str>>, parts: &[String]) -> ObjectId {
    let name = match spec.layout {
        Layout::Tree => parts.join("/"),
        Layout::Single => spec.name.to_owned(),
        Layout::Objects | Layout::Lines | Layout::Orgs => parts.last().cloned().unwrap_or_default(),
    };
    ObjectId { org: org.cloned(), kind: spec.name, name }
}

fn drop_schema(value: &mut Value) {
    if let Value::Object(map) = value {
        drop_key(map, "$schema");
    }
}

fn drop_key(map: &mut Map<String, Value>, key: &str) {
    map.remove(key);
}

/// Reads a text file of at most `limit` bytes; a byte order mark is dropped.
pub fn read_text(path: &Path, limit: u64) -> Result<String, String> {
    let length = std::fs::metadata(path).map_err(|error| cannot_read(path, &error))?.len();
    if length > limit {
        return Err(format!("the file has {length} bytes, more than the {limit} that one may have"));
    }
    let bytes = std::fs::read(path).map_err(|error| cannot_read(path, &error))?;
    let text = String::from_utf8(bytes).map_err(|error| format!("not valid UTF-8: {}", error.utf8_error()))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// Decodes a file name: `%XX` strictly, UTF-8, no NUL; `+` is literal.
pub fn decode(name: &str) -> Result<String, String> {
    let hex = |at: usize| name.as_bytes().get(at).is_some_and(u8::is_ascii_hexdigit);
    if let Some((at, _)) = name.match_indices('%').find(|(at, _)| !hex(at + 1) || !hex(at + 2)) {
        return Err(format!("the name has a % at byte {at} that is not %XX: write %25 for a literal %"));
    }
    let decoded = percent_encoding::percent_decode_str(name)
        .decode_utf8()
        .map_err(|_| "the name does not decode to UTF-8".to_owned())?;
    if decoded.contains('\0') {
        return Err("the name holds a NUL".into());
    }
    if decoded.is_empty() {
        return Err("the name is empty".into());
    }
    Ok(decoded.into_owned())
}

/// Encodes an object's name as a file's, so that `decode` gives it back and it cannot leave its folder.
#[must_use]
pub fn encode(name: &str) -> String {
    use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
    const UNSAFE: AsciiSet =
        CONTROLS.add(b'/').add(b'\\').add(b'%').add(b':').add(b'*').add(b'?').add(b'"').add(b'<').add(b'>').add(b'|');
    let encoded = utf8_percent_encode(name, &UNSAFE).to_string();
    // A leading dot would hide the file, or be `..`; a leading underscore is free.
    match encoded.strip_prefix('.') {
        Some(rest) => format!("%2E{rest}"),
        None => encoded,
    }
}

#[cfg(test)]
mod tests;
