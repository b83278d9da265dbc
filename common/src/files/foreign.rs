//! What a service takes besides its kinds' own files: folders and documents of other tools, and objects that stand in a variable.
//! How they are found and read is here; what they mean is said by the service, as a function that is given documents and declares objects.
//!
//! ```
//! use common::files::foreign::{Declared, Foreign};
//!
//! // A folder `pantry/` whose documents are lists: `{"jars": [{"name": …, "size": …}]}`.
//! let foreign = Foreign::default().folder("pantry", |files, sink| {
//!     for file in files {
//!         for document in sink.documents(file) {
//!             sink.only(&document.place, &document.value, &["jars"]);
//!             for (place, jar) in document.place.list(&document.value, "jars") {
//!                 let Some(name) = jar["name"].as_str() else {
//!                     sink.problem(place.problem("a jar needs a name"));
//!                     continue;
//!                 };
//!                 // The same set as `jars/<name>.json`: placeholders, duplicates, references.
//!                 sink.object(Declared::new("jars", name, serde_json::json!({"size": jar["size"]}), place));
//!             }
//!         }
//!     }
//! });
//! # assert_eq!(format!("{foreign:?}"), "Foreign { folders: [\"pantry\"], inside: [], declared: [] }");
//! ```

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::json::step;
use super::load::Loader;
use super::nearest;
use super::problem::Problem;

/// Reads a folder of another tool: it is given every file below it.
pub type ReadFolder = Box<dyn Fn(&[File], &mut Sink<'_, '_>)>;
/// Reads a document that lies inside a kind's folder or file; `false` if it is an ordinary body or map of that kind.
pub type ReadDocument = Box<dyn Fn(&Document, &mut Sink<'_, '_>) -> bool>;

/// What a service takes besides its kinds' own files.
#[derive(Default)]
pub struct Foreign {
    pub(super) folders: Vec<(&'static str, ReadFolder)>,
    pub(super) inside: Vec<(&'static [&'static str], ReadDocument)>,
    pub(super) declared: Vec<Declared>,
}

impl Foreign {
    /// Takes a folder beside the kinds, by its name at the top.
    #[must_use]
    pub fn folder(mut self, name: &'static str, read: impl Fn(&[File], &mut Sink<'_, '_>) + 'static) -> Self {
        self.folders.push((name, Box::new(read)));
        self
    }

    /// Takes documents of another tool inside the folders and files of some kinds. A file there may hold several documents.
    #[must_use]
    pub fn inside(
        mut self,
        kinds: &'static [&'static str],
        read: impl Fn(&Document, &mut Sink<'_, '_>) -> bool + 'static,
    ) -> Self {
        self.inside.push((kinds, Box::new(read)));
        self
    }

    /// Takes objects that stand in no file; the config folder need not be there then.
    #[must_use]
    pub fn declared(mut self, objects: impl IntoIterator<Item = Declared>) -> Self {
        self.declared.extend(objects);
        self
    }
}

impl fmt::Debug for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folders: Vec<&str> = self.folders.iter().map(|(name, _)| *name).collect();
        let inside: Vec<&str> = self.inside.iter().flat_map(|(kinds, _)| kinds.iter().copied()).collect();
        let declared = &self.declared;
        f.debug_struct("Foreign")
            .field("folders", &folders)
            .field("inside", &inside)
            .field("declared", declared)
            .finish()
    }
}

/// A file below a folder of another tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Where it lies.
    pub path: PathBuf,
    /// The folders between the one that was asked for and the file.
    pub folders: Vec<String>,
    /// Its name without the ending.
    pub stem: String,
    /// Its ending in lower case, without the dot; may be empty.
    pub ending: String,
}

/// Where something stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The file, relative to the config folder, or the name of a variable.
    pub file: String,
    /// Which of the file's documents, counted from 0.
    pub document: usize,
    /// The JSON pointer inside it.
    pub pointer: String,
    pub(super) path: PathBuf,
}

impl Place {
    /// A variable of the environment.
    #[must_use]
    pub fn variable(name: &str) -> Self {
        Self { file: name.to_owned(), ..Self::default() }
    }

    /// A place further in.
    #[must_use]
    pub fn below(&self, key: &str) -> Self {
        Self { pointer: format!("{}{}", self.pointer, step(key)), ..self.clone() }
    }

    /// The elements of a list that is a field of the value at this place, each with its own place.
    pub fn list<'v>(&self, value: &'v Value, field: &str) -> impl Iterator<Item = (Self, &'v Value)> {
        let list = self.below(field);
        let items = value.get(field).and_then(Value::as_array).into_iter().flatten().enumerate();
        items.map(move |(index, item)| (list.below(&index.to_string()), item))
    }

    /// A problem with what stands here, which is shown with line and column.
    pub fn problem(&self, message: impl Into<String>) -> Problem {
        let source = (!self.path.as_os_str().is_empty()).then(|| (self.path.clone(), self.document));
        Problem { pointer: self.pointer.clone(), source, ..Problem::of_file(&self.file, message) }
    }
}

/// One document of a file, its placeholders not replaced yet: that happens to each object that is declared.
#[derive(Clone, Debug)]
pub struct Document {
    /// Where it stands.
    pub place: Place,
    /// The kind in whose folder or file it lies; `None` in a folder of another tool.
    pub kind: Option<&'static str>,
    /// The file's name without the ending.
    pub stem: String,
    /// The value, not empty.
    pub value: Value,
}

/// An object found in what another tool reads.
#[derive(Clone, Debug)]
pub struct Declared {
    /// The organization; `None` is the connection's own.
    pub org: Option<Arc<str>>,
    /// The kind, one of the service's.
    pub kind: &'static str,
    /// The name; placeholders in it are replaced.
    pub name: String,
    /// The body as a file of the kind would hold it; placeholders in it are replaced, and `$__file{…}` is the way to name a secret.
    pub body: Value,
    /// Where the body stands.
    pub place: Place,
}

impl Declared {
    /// An object outside of any named organization.
    pub fn new(kind: &'static str, name: impl Into<String>, body: Value, place: Place) -> Self {
        Self { org: None, kind, name: name.into(), body, place }
    }
}

/// Where a reader of another tool's files puts what it finds.
pub struct Sink<'s, 'l> {
    pub(super) loader: &'s mut Loader<'l>,
}

impl Sink<'_, '_> {
    /// The documents of a file that hold anything. What cannot be read is noted as a problem.
    pub fn documents(&mut self, file: &File) -> Vec<Document> {
        self.loader.documents(&file.path, None)
    }

    /// Every file below a folder anywhere, sorted by path.
    pub fn files(&mut self, folder: &Path) -> Vec<File> {
        self.loader.files(folder)
    }

    /// Declares an object.
    pub fn object(&mut self, object: Declared) {
        self.loader.declare(object);
    }

    /// Declares the object that a whole file is, kept as a file of the kind's own folder would be. `parts` are its folders (in a tree) and name.
    pub fn file(&mut self, kind: &'static str, org: Option<&Arc<str>>, file: &File, parts: &[String]) {
        self.loader.foreign_file(kind, org, file, parts);
    }

    /// Notes that a tree has a folder.
    pub fn tree_folder(&mut self, kind: &'static str, org: Option<&Arc<str>>, parts: &[String]) {
        self.loader.tree_folder(kind, org, parts);
    }

    /// Says once for all that have the same reason that something is left out: "opensearch-security: left to the node: config.yml, audit.yml".
    pub fn leave_out(&mut self, reason: impl Into<String>, what: impl Into<String>) {
        self.loader.left_out.entry(reason.into()).or_default().push(what.into());
    }

    /// Notes a problem, or a warning.
    pub fn problem(&mut self, problem: Problem) {
        self.loader.problems.push(problem);
    }

    /// Notes a problem for each field that is not known; also if the value is no object.
    pub fn only(&mut self, place: &Place, value: &Value, known: &[&str]) {
        let Some(fields) = value.as_object() else {
            self.problem(place.problem("must be an object"));
            return;
        };
        for key in fields.keys().filter(|key| !known.contains(&key.as_str())) {
            let hint = match nearest(key, known.iter().copied()) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("known are {}", known.join(", ")),
            };
            self.problem(place.below(key).problem(format!("unknown field {key}: {hint}")));
        }
    }
}

impl fmt::Debug for Sink<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sink")
    }
}
