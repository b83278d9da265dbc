//! Walks the folder and notes every problem of every file; knows layouts, not what a body means.

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use serde_json::Value;

use super::foreign::{Declared, Document, File, Foreign, Place, Sink};
use super::interpolate::{self, Resolver};
use super::name::decode;
use super::object::{Body, Part};
use super::syntax::{Syntax, Unreadable};
use super::{KEEP_LIMIT, KindSpec, Layout, Missing, OBJECT_LIMIT, Object, Problem, Set, drop_schema, nearest};
use crate::engine::change::ObjectId;

mod entries;
mod map;

use entries::{Entry, Walk};

/// More objects than these are more than one run can hold.
const OBJECTS_LIMIT: usize = 100_000;

/// Reads the whole folder, or one file that is the map form of the kind that its name says. The set is complete only if no problem but warnings came back.
#[must_use]
pub fn load(root: &Path, specs: &[KindSpec], foreign: &Foreign, missing: Missing) -> (Set, Vec<Problem>) {
    let mut loader = Loader {
        root,
        specs,
        foreign,
        missing,
        set: Set { kinds: specs.iter().map(|spec| spec.name).collect(), ..Set::default() },
        problems: Vec::new(),
        left_out: BTreeMap::new(),
        resolver: Arc::default(),
        walk: Walk::default(),
    };
    loader.all();
    loader.finish()
}

pub(super) struct Loader<'l> {
    root: &'l Path,
    specs: &'l [KindSpec],
    foreign: &'l Foreign,
    missing: Missing,
    set: Set,
    pub(super) problems: Vec<Problem>,
    /// What was left out, by reason.
    pub(super) left_out: BTreeMap<String, Vec<String>>,
    resolver: Arc<Resolver>,
    walk: Walk,
}

/// Where an object was found and what it is called.
struct Found<'f> {
    spec: KindSpec,
    org: Option<&'f Arc<str>>,
    parts: Vec<String>,
    place: Place,
}

/// What was found there.
enum Content<'c> {
    /// JSON text that begins at this offset of its file.
    Json(u64, &'c str),
    /// A whole file that was read already: where its text begins, its language, its text and the value of one of its documents.
    Parsed(u64, Syntax, &'c str, Value),
    /// A part of something that stays in memory.
    Value(Value),
}

impl Loader<'_> {
    fn all(&mut self) {
        let foreign = self.foreign;
        for object in &foreign.declared {
            self.declare(object.clone());
        }
        match std::fs::metadata(self.root) {
            Ok(data) if !data.is_dir() => {
                let name = self.root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                self.entry(&Entry { path: self.root.to_owned(), name, folder: false }, None);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !foreign.declared.is_empty() => {}
            _ => self.top(self.root, None),
        }
    }

    /// Puts the objects in order; the same name twice is then side by side.
    fn finish(mut self) -> (Set, Vec<Problem>) {
        if let Some(full) = self.walk.full {
            // What was found up to there is about a folder that nobody meant.
            return (Set::default(), vec![full]);
        }
        let rank = |kind: &str| self.specs.iter().position(|spec| spec.name == kind);
        self.set
            .objects
            .sort_by(|a, b| (&a.id.org, rank(a.id.kind), &a.id.name).cmp(&(&b.id.org, rank(b.id.kind), &b.id.name)));
        let problems = &mut self.problems;
        self.set.objects.dedup_by(|again, first| {
            let twice = again.id == first.id;
            if twice {
                let message = format!("{} is declared twice: here and in {}", again.id, first.place());
                let problem = if again.pointer.is_empty() { Object::problem } else { Object::located };
                problems.push(problem(again, "", message));
            }
            twice
        });
        self.set.notes =
            self.left_out.into_iter().map(|(reason, what)| format!("{reason}: {}", what.join(", "))).collect();
        super::locate(&mut self.problems);
        (self.set, self.problems)
    }

    fn top(&mut self, folder: &Path, org: Option<&Arc<str>>) {
        for entry in self.entries(folder) {
            self.entry(&entry, org);
        }
        self.walk.leave();
    }

    fn entry(&mut self, entry: &Entry, org: Option<&Arc<str>>) {
        let (stem, ending) = entry.split();
        let usable = |spec: &&KindSpec| spec.name == stem && (org.is_none() || spec.layout != Layout::Orgs);
        let spec = self.specs.iter().find(usable).copied();
        let foreign = self.foreign;
        let other = foreign.folders.iter().find(|(name, _)| *name == stem && org.is_none());
        match (spec, other, entry.folder) {
            (Some(spec), _, true) if ending.is_empty() && spec.layout == Layout::Orgs => self.orgs(&entry.path),
            (Some(spec), _, true) if ending.is_empty() => self.folder(&entry.path, spec, org, &mut Vec::new()),
            (Some(spec), _, false) if Syntax::of_ending(&ending).is_some() => self.file(&entry.path, spec, org),
            (Some(spec), _, false) if is_data(&ending) => self.not_read(&entry.path, spec, &ending),
            (_, Some((_, read)), true) if ending.is_empty() => {
                let files = self.files(&entry.path);
                read(&files, &mut Sink { loader: self });
            }
            (_, _, true) if is_data(&ending) => self.folder_for_file(&entry.path),
            (_, _, true) => self.unknown(entry, &stem),
            (_, _, false) if Syntax::of_ending(&ending).is_some() => self.unknown(entry, &stem),
            _ => {}
        }
    }

    fn unknown(&mut self, entry: &Entry, stem: &str) {
        let foreign = self.foreign.folders.iter().map(|(name, _)| *name);
        let names: Vec<&str> = self.specs.iter().map(|spec| spec.name).chain(foreign).collect();
        let hint = match nearest(stem, names.iter().copied()) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("known are {}", names.join(", ")),
        };
        let what = if entry.folder { "folder" } else { "file" };
        self.problem(&entry.path, format!("unknown {what} {}: {hint}", entry.name));
    }

    fn orgs(&mut self, folder: &Path) {
        for entry in self.entries(folder) {
            let (_, ending) = entry.split();
            if !entry.folder {
                if is_data(&ending) {
                    self.problem(&entry.path, "an organization is a folder of kinds, not a file");
                }
                continue;
            }
            if let Some(name) = self.named(&entry.path, &entry.name) {
                let org: Arc<str> = name.into();
                self.set.orgs.push(org.clone());
                self.top(&entry.path, Some(&org));
            }
        }
        self.walk.leave();
    }

    fn folder(&mut self, folder: &Path, spec: KindSpec, org: Option<&Arc<str>>, above: &mut Vec<String>) {
        if !above.is_empty() {
            self.tree_folder(spec.name, org, above);
        }
        for entry in self.entries(folder) {
            let (stem, ending) = entry.split();
            let lines = spec.layout == Layout::Lines;
            let taken = if lines { ending == "jsonl" } else { Syntax::of_ending(&ending).is_some() };
            if entry.folder && is_data(&ending) {
                self.folder_for_file(&entry.path);
                continue;
            }
            if !entry.folder && !taken {
                if is_data(&ending) {
                    self.not_read(&entry.path, spec, &ending);
                }
                continue;
            }
            let Some(name) = self.named(&entry.path, if entry.folder { &entry.name } else { &stem }) else { continue };
            above.push(name);
            if entry.folder {
                self.folder(&entry.path, spec, org, above);
            } else if lines {
                self.lines(&entry.path, spec, org, above);
            } else {
                self.whole(&entry.path, spec, org, above);
            }
            above.pop();
        }
        self.walk.leave();
    }

    /// The object's name that a file's name stands for: decoded once, then its placeholders replaced.
    fn named(&mut self, path: &Path, stem: &str) -> Option<String> {
        match decode(stem) {
            Ok(name) => self.name(&self.place(path), name),
            Err(error) => {
                self.problem(path, error);
                None
            }
        }
    }

    fn name(&mut self, place: &Place, name: String) -> Option<String> {
        match self.resolver.name(&name) {
            Ok(name) if name.is_empty() => {
                self.problems.push(place.problem("the name is empty"));
                None
            }
            Ok(name) => Some(name),
            Err(reasons) => {
                let warning = self.missing == Missing::Warns;
                self.problems.extend(reasons.into_iter().map(|why| Problem { warning, ..place.problem(why) }));
                warning.then_some(name)
            }
        }
    }

    /// A file that is one object, or documents of another tool.
    fn whole(&mut self, path: &Path, spec: KindSpec, org: Option<&Arc<str>>, parts: &[String]) {
        let found = Found { spec, org, parts: parts.to_vec(), place: self.place(path) };
        let syntax = Syntax::of(path).unwrap_or(Syntax::Json);
        let foreign = self.reader(spec.name).is_some() && org.is_none();
        if syntax == Syntax::Json && !foreign {
            if let Some((start, text)) = self.json(path, OBJECT_LIMIT) {
                self.object(found, Content::Json(start, &text));
            }
            return;
        }
        let Some(text) = self.text(path, OBJECT_LIMIT) else { return };
        let start = self.walk.start();
        let documents = self.documents_of(path, syntax, &text, Some(spec.name));
        let rest = if foreign { self.not_foreign(documents) } else { documents };
        if let Some(document) = self.only_one(rest) {
            let content = Content::Parsed(start, syntax, &text, document.value);
            self.object(Found { place: document.place, ..found }, content);
        }
    }

    fn reader(&self, kind: &str) -> Option<&super::foreign::ReadDocument> {
        let foreign = self.foreign;
        foreign.inside.iter().find(|(kinds, _)| kinds.contains(&kind)).map(|(_, read)| read)
    }

    /// Hands documents to the reader of the kind that they lie with; what is none of its own comes back.
    fn not_foreign(&mut self, documents: Vec<Document>) -> Vec<Document> {
        let foreign = self.foreign;
        let mut rest = Vec::new();
        for document in documents {
            let kind = document.kind.unwrap_or_default();
            let reader = foreign.inside.iter().find(|(kinds, _)| kinds.contains(&kind));
            if !reader.is_some_and(|(_, read)| read(&document, &mut Sink { loader: self })) {
                rest.push(document);
            }
        }
        rest
    }

    fn only_one(&mut self, documents: Vec<Document>) -> Option<Document> {
        let mut documents = documents.into_iter();
        let first = documents.next();
        if let Some(second) = documents.next() {
            let message = "a second document begins here: one file holds one object or one map of objects";
            self.problems.push(second.place.problem(message));
            return None;
        }
        first
    }

    fn lines(&mut self, path: &Path, spec: KindSpec, org: Option<&Arc<str>>, parts: &[String]) {
        if let Some(text) = self.text(path, OBJECT_LIMIT) {
            let found = Found { spec, org, parts: parts.to_vec(), place: self.place(path) };
            let start = self.walk.start();
            self.add(found, Vec::new(), Vec::new(), Body::OnDisk(Part::new(start, &text, None)));
        }
    }

    fn object(&mut self, found: Found<'_>, content: Content<'_>) {
        let Found { spec, ref place, .. } = found;
        let (mut value, kept) = match content {
            // Nothing to replace, and the syntax is checked: no need to make a value of it now.
            Content::Json(start, text) if text.len() > KEEP_LIMIT && !interpolate::maybe(text) => {
                return self.add(
                    found,
                    Vec::new(),
                    Vec::new(),
                    Body::OnDisk(Part::new(start, text, Some(Syntax::Json))),
                );
            }
            Content::Json(start, text) => match Syntax::Json.parse(text, 0) {
                Ok(value) => (value, Some((start, text, Syntax::Json))),
                Err(Unreadable { message, .. }) => return self.problems.push(place.problem(message)),
            },
            Content::Parsed(start, syntax, text, value) => (value, Some((start, text, syntax))),
            Content::Value(value) => (value, None),
        };
        if let Some(what) = resource(&value).filter(|_| spec.layout != Layout::Tree) {
            let message = format!("this is a Kubernetes resource ({what}), which {} does not take", spec.name);
            return self.problems.push(place.problem(message));
        }
        drop_schema(&mut value);
        let id = id(&found);
        let mut value = (spec.unwrap)(&id.name, value);
        let replaced = self.resolver.replace(&mut value);
        for (inner, reason) in replaced.missing {
            let pointer = format!("{}{inner}", place.pointer);
            let warning = self.missing == Missing::Warns;
            self.problems.push(Problem {
                pointer,
                warning,
                id: Some(id.clone()),
                source: None,
                ..place.problem(reason)
            });
        }
        let body = match kept {
            Some((start, text, syntax)) if text.len() > KEEP_LIMIT => {
                Body::OnDisk(Part::new(start, text, Some(syntax)))
            }
            Some(_) => Body::Text(value.to_string().into()),
            None => {
                let text = value.to_string();
                self.walk.keep(text.len(), &found.place.file);
                Body::Text(text.into())
            }
        };
        self.add(found, replaced.masked, replaced.whole, body);
    }

    fn add(&mut self, found: Found<'_>, masked: Vec<String>, whole: Vec<String>, body: Body) {
        if self.set.objects.len() == OBJECTS_LIMIT {
            let message = format!("more than {OBJECTS_LIMIT} objects: divide them between several runs");
            self.walk.stop(Problem::of_file(&found.place.file, message));
            return;
        }
        let id = id(&found);
        let Found { spec, parts, place, .. } = found;
        self.set.objects.push(Rc::new(Object {
            id,
            file: place.file,
            parts,
            path: place.path,
            masked,
            whole,
            document: place.document,
            pointer: place.pointer,
            body,
            unwrap: spec.unwrap,
            resolver: self.resolver.clone(),
        }));
    }

    /// Adds an object that is declared by something else than a file of its kind.
    pub(super) fn declare(&mut self, object: Declared) {
        let Declared { org, kind, name, body, place } = object;
        let spec = self.spec(kind);
        if let Some(name) = self.name(&place, name) {
            let parts =
                if spec.layout == Layout::Tree { name.split('/').map(str::to_owned).collect() } else { vec![name] };
            self.object(Found { spec, org: org.as_ref(), parts, place }, Content::Value(body));
        }
    }

    pub(super) fn foreign_file(&mut self, kind: &str, org: Option<&Arc<str>>, file: &File, parts: &[String]) {
        let spec = self.spec(kind);
        self.whole(&file.path, spec, org, parts);
    }

    pub(super) fn tree_folder(&mut self, kind: &str, org: Option<&Arc<str>>, parts: &[String]) {
        let spec = self.spec(kind);
        if spec.layout == Layout::Tree {
            self.set.folders.insert((org.cloned(), spec.name, parts.to_vec()));
        }
    }

    fn spec(&self, kind: &str) -> KindSpec {
        let found = self.specs.iter().find(|spec| spec.name == kind);
        *found.expect("a service declares objects of its own kinds")
    }

    pub(super) fn folder_for_file(&mut self, path: &Path) {
        let text = "is a folder where a file is wanted: is the mount's source there? \
                    (a container engine makes an empty folder in the place of a missing file)";
        self.problem(path, text);
    }

    fn not_read(&mut self, path: &Path, spec: KindSpec, ending: &str) {
        let wanted = match spec.layout {
            Layout::Lines => ".jsonl files, one record a line",
            _ => "JSON and YAML (.json, .yaml, .yml)",
        };
        self.problem(path, format!("{} takes {wanted}, not .{ending}: convert or remove this file", spec.name));
    }

    fn problem(&mut self, path: &Path, message: impl Into<String>) {
        self.problems.push(Problem::of_file(self.shown(path), message));
    }

    fn place(&self, path: &Path) -> Place {
        Place { file: self.shown(path), path: path.to_owned(), ..Place::default() }
    }

    fn shown(&self, path: &Path) -> String {
        let inner = path.strip_prefix(self.root).unwrap_or(path);
        let shown = if inner.as_os_str().is_empty() { path } else { inner };
        shown.display().to_string()
    }
}

/// Endings that hold data, in this project or in others: a file of such a name is never passed over in silence.
pub(super) fn is_data(ending: &str) -> bool {
    matches!(ending, "json" | "yaml" | "yml" | "jsonl" | "jsonc" | "json5" | "toml")
}

/// What a body is if it is a resource of Kubernetes and none of Grafana's, which has the same envelope.
fn resource(value: &Value) -> Option<String> {
    let (version, kind) = (value.get("apiVersion")?.as_str()?, value.get("kind")?.as_str()?);
    let foreign = value.get("metadata").is_some() && !version.contains("grafana.app");
    foreign.then(|| format!("{version} {kind}"))
}

fn id(found: &Found<'_>) -> ObjectId {
    let name = match found.spec.layout {
        Layout::Tree => found.parts.join("/"),
        Layout::Single => found.spec.name.to_owned(),
        Layout::Objects | Layout::Lines | Layout::Orgs => found.parts.last().cloned().unwrap_or_default(),
    };
    ObjectId { org: found.org.cloned(), kind: found.spec.name, name }
}
