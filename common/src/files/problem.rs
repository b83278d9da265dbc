//! What is wrong, or dubious, with what was declared, and where. Knows nothing of servers.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::place::{At, Wanted};
use super::syntax::Syntax;
use super::{MAP_LIMIT, read_text};
use crate::engine::change::{Class, Failure, ObjectId};

/// Something wrong, or dubious, with what was declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, relative to the config folder; empty if it is about none in particular.
    pub file: String,
    /// Line and column, where known.
    pub at: Option<At>,
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
    /// The file, and which of its documents, where [`locate`] looks for line and column.
    pub source: Option<(PathBuf, usize)>,
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
            source: None,
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

/// Looks up line and column of all problems that want them, each file read once.
pub fn locate(problems: &mut [Problem]) {
    let mut files: BTreeMap<PathBuf, Vec<&mut Problem>> = BTreeMap::new();
    for problem in problems.iter_mut().filter(|problem| problem.at.is_none()) {
        if let Some((path, _)) = &problem.source {
            files.entry(path.clone()).or_default().push(problem);
        }
    }
    for (path, problems) in files {
        let (Some(syntax), Ok(text)) = (Syntax::of(&path), read_text(&path, MAP_LIMIT)) else { continue };
        let mut documents: BTreeMap<usize, Wanted> = BTreeMap::new();
        for problem in &problems {
            let document = problem.source.as_ref().map_or(0, |(_, document)| *document);
            documents.entry(document).or_default().add(&problem.pointer);
        }
        syntax.locate(&text, &mut documents);
        for problem in problems {
            let document = problem.source.as_ref().map_or(0, |(_, document)| *document);
            problem.at = documents.get(&document).and_then(|wanted| wanted.place(&problem.pointer));
        }
    }
}
