//! Walks the folder and notes every problem of every file; knows layouts, not what a body means.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use serde_json::Value;

use super::name::decode;
use super::read::{cannot_read, read_text};
use super::{
    Body, KEEP_LIMIT, KindSpec, Layout, MAP_LIMIT, Missing, OBJECT_LIMIT, Object, Problem, Set, drop_schema, nearest,
};
use crate::engine::change::ObjectId;
use crate::files::interpolate::interpolate;
use crate::files::json::{duplicates, step};

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
            self.unreadable(path, &error);
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
                self.unreadable(folder, &error);
                return Vec::new();
            }
        };
        let mut entries = Vec::new();
        for entry in read {
            let path = match entry {
                Ok(entry) => entry.path(),
                Err(error) => {
                    self.unreadable(folder, &error);
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
                Err(error) => self.unreadable(&path, &error),
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

    fn unreadable(&mut self, path: &Path, error: &std::io::Error) {
        // The sentence has the whole path: before it, the path of the folder itself would only be said twice.
        let file = if path == self.root { String::new() } else { self.shown(path) };
        self.problems.push(Problem::of_file(file, cannot_read(path, error)));
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
