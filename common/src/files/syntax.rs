//! The two languages of files behind one face: which one a file is in, its documents, and the places of pointers in them.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use serde_json::error::Category;

use super::place::{At, Duplicate, Wanted};
use super::{json, yaml};

/// The language of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// `.json`
    Json,
    /// `.yaml` or `.yml`
    Yaml,
}

/// A text that cannot be read, and where.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) at: At,
    pub(super) message: String,
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

/// One document of a text, and the keys that stand twice in it.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    pub(super) value: Value,
    pub(super) duplicates: Vec<Duplicate>,
}

impl Syntax {
    /// By the ending of a file's name, in any case.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        Self::of_ending(path.extension()?.to_str()?)
    }

    pub(super) fn of_ending(ending: &str) -> Option<Self> {
        match ending.to_ascii_lowercase().as_str() {
            "json" => Some(Self::Json),
            "yaml" | "yml" => Some(Self::Yaml),
            _ => None,
        }
    }

    /// Each document of a text, as a file's is read; the error names line, column and pointer.
    ///
    /// ```
    /// use common::files::Syntax;
    /// assert_eq!(Syntax::Yaml.values("a: yes\n---\n- 1\n"), Ok(vec![serde_json::json!({"a": "yes"}), serde_json::json!([1])]));
    /// assert_eq!(Syntax::Yaml.values("a: 1\na: 2\n"), Err("2:1 /a: this key stands twice in its object, first in line 1".to_owned()));
    /// ```
    pub fn values(self, text: &str) -> Result<Vec<Value>, String> {
        let documents =
            self.documents(text).map_err(|Unreadable { at, message }| format!("{}:{}: {message}", at.0, at.1))?;
        match documents.iter().find_map(|document| document.duplicates.first()) {
            Some(twice) => Err(format!("{}:{} {}: {}", twice.again.0, twice.again.1, twice.pointer, twice.sentence())),
            None => Ok(documents.into_iter().map(|document| document.value).collect()),
        }
    }

    /// One document of a text that was read before.
    pub(super) fn parse(self, text: &str, document: usize) -> Result<Value, Unreadable> {
        match self {
            Self::Json => serde_json::from_str(text).map_err(|error| unreadable(text, &error)),
            Self::Yaml => {
                let mut documents = yaml::documents(text)?;
                Ok(if document < documents.len() { documents.swap_remove(document).value } else { Value::Null })
            }
        }
    }

    /// All documents of a text, those without content as well; JSON has one.
    pub(super) fn documents(self, text: &str) -> Result<Vec<Parsed>, Unreadable> {
        match self {
            Self::Json => {
                let checked = check_json(text, true)?;
                let value = serde_json::from_str(text).map_err(|error| unreadable(text, &error))?;
                Ok(vec![Parsed { value, duplicates: checked }])
            }
            Self::Yaml => yaml::documents(text),
        }
    }

    /// Finds the places of pointers, by document.
    pub(super) fn locate(self, text: &str, documents: &mut BTreeMap<usize, Wanted>) {
        match self {
            Self::Json => documents.values_mut().for_each(|wanted| json::locate(text, wanted)),
            Self::Yaml => yaml::locate(text, documents),
        }
    }
}

/// More values than these in one file would take many times its length in memory.
pub(super) const VALUES_LIMIT: usize = 400_000;

/// Checks a JSON text without making a value of it; tells which keys stand twice. `whole` says that all of it will be one value.
pub(super) fn check_json(text: &str, whole: bool) -> Result<Vec<Duplicate>, Unreadable> {
    serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|error| unreadable(text, &error))?;
    let checked = json::check(text);
    match checked.too_deep {
        Some(at) => Err(Unreadable { at, message: format!("more than {} levels deep", json::DEPTH_LIMIT) }),
        None if whole && checked.values > VALUES_LIMIT => {
            Err(Unreadable { at: (1, 1), message: format!("the file has more than {VALUES_LIMIT} values: divide it") })
        }
        None => Ok(checked.duplicates),
    }
}

/// What is wrong with a JSON text, in the words of somebody who meets JSON for the first time.
fn unreadable(text: &str, error: &serde_json::Error) -> Unreadable {
    let at = (error.line(), error.column());
    let said = error.to_string();
    let said = said.rsplit_once(" at line ").map_or(said.as_str(), |(said, _)| said);
    let start = text.trim_start();
    let line = text.lines().nth(at.0.saturating_sub(1)).unwrap_or_default();
    let found = line.get(at.1.saturating_sub(1)..).and_then(|rest| rest.chars().next());
    let here = line.trim_start();
    let hint = match () {
        () if start.is_empty() => return Unreadable { at, message: "the file is empty".into() },
        () if error.classify() == Category::Eof => ": the file ends too early; is it whole?",
        () if said.starts_with("control character") => {
            ": a line break or tab stands raw inside a string; write \\n or \\t"
        }
        () if said.starts_with("trailing comma") || found == Some('}') => {
            ": remove the comma before the closing bracket"
        }
        () if here.starts_with("//") || here.starts_with("/*") || here.starts_with('#') => ": JSON has no comments",
        () if found == Some('\'') => ": strings stand between double quotes",
        () if start.starts_with("---")
            || start.lines().next().is_some_and(|line| line.contains(": ") || line.ends_with(':'))
                && !start.starts_with(['{', '[', '"']) =>
        {
            ": it looks like YAML; name the file .yaml"
        }
        () if start.starts_with(|c: char| c.is_alphabetic()) && !start.starts_with(['t', 'f', 'n']) => {
            ": it looks like a plain list; write {\"<name>\": {…}}"
        }
        () => "",
    };
    Unreadable { at, message: format!("{said}{hint}") }
}
