//! Files as documents: one map of a kind's objects, or what another tool wrote. Texts are parsed here; what is in them goes back to the walk.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::foreign::{Document, Place};
use super::super::place::Duplicate;
use super::super::syntax::{Syntax, Unreadable, VALUES_LIMIT, check_json};
use super::super::{KindSpec, Layout, MAP_LIMIT, OBJECT_LIMIT, Problem};
use super::entries::YAML_LIMIT;
use super::{Content, Found, Loader};

impl Loader<'_> {
    /// A kind's own file at the top: its one object, or a map of name to object.
    pub(super) fn file(&mut self, path: &Path, spec: KindSpec, org: Option<&Arc<str>>) {
        let syntax = Syntax::of(path).unwrap_or(Syntax::Json);
        match spec.layout {
            Layout::Lines | Layout::Orgs => self.problem(path, format!("{} is a folder, not a file", spec.name)),
            Layout::Single => self.whole(path, spec, org, &[spec.name.to_owned()]),
            Layout::Objects | Layout::Tree if syntax == Syntax::Json => self.json_map(path, spec, org),
            Layout::Objects | Layout::Tree => {
                let documents = self.documents(path, Some(spec.name));
                let rest = if org.is_none() { self.not_foreign(documents) } else { documents };
                match self.only_one(rest) {
                    Some(Document { value: Value::Object(map), place, .. }) => {
                        for (name, value) in map {
                            let place = place.below(&name);
                            self.map_entry(spec, org, place, name, Content::Value(value));
                        }
                    }
                    Some(document) => self.no_map(&document.place, &document.value),
                    None => {}
                }
            }
        }
    }

    /// A map in JSON, an entry at a time: as values, all of it would take many times the file's length.
    fn json_map(&mut self, path: &Path, spec: KindSpec, org: Option<&Arc<str>>) {
        let Some((start, text)) = self.json(path, MAP_LIMIT) else { return };
        let place = self.place(path);
        // What another tool wrote is looked at as a whole, and is no larger than one object.
        let whole = text.len() as u64 <= OBJECT_LIMIT && text.matches(',').count() < VALUES_LIMIT;
        if whole && org.is_none() && self.reader(spec.name).is_some() {
            let value = serde_json::from_str(&text).unwrap_or_default();
            let document = Document { place: place.clone(), kind: Some(spec.name), stem: spec.name.to_owned(), value };
            if self.not_foreign(vec![document]).is_empty() {
                return;
            }
        }
        if !text.trim_start().starts_with('{') {
            let value = serde_json::from_str(&text).unwrap_or_default();
            return self.no_map(&place, &value);
        }
        let each = Each(|name: String, body: &RawValue| {
            let offset = body.get().as_ptr() as usize - text.as_ptr() as usize;
            let content = Content::Json(start + offset as u64, body.get());
            self.map_entry(spec, org, place.below(&name), name, content);
        });
        // The syntax was checked before, so that nothing can fail here but the walk itself, which notes why.
        let _ = serde_json::Deserializer::from_str(&text).deserialize_map(each);
    }

    fn map_entry(&mut self, spec: KindSpec, org: Option<&Arc<str>>, place: Place, name: String, content: Content<'_>) {
        if name == "$schema" || self.walk.full.is_some() {
            return;
        }
        if let Content::Json(_, text) = &content
            && text.len() as u64 > OBJECT_LIMIT
        {
            self.problems
                .push(place.problem(format!("the object has more than the {OBJECT_LIMIT} bytes that are read")));
            return;
        }
        let Some(name) = self.name(&place, name) else { return };
        let parts = match spec.layout {
            Layout::Tree => name.split('/').map(str::to_owned).collect(),
            _ => vec![name],
        };
        self.object(Found { spec, org, parts, place }, content);
    }

    fn no_map(&mut self, place: &Place, value: &Value) {
        let (what, remedy) = match value {
            Value::Array(_) => ("a list", ": write {\"<name>\": {…}} in place of [{…}]"),
            Value::String(_) => ("a text", ": write {\"<name>\": {…}}"),
            Value::Null => ("null", ""),
            _ => ("a single value", ""),
        };
        self.problems.push(place.problem(format!("must be a map of name to object, not {what}{remedy}")));
    }

    /// A JSON text whose syntax is good and whose keys are unique, and at which offset of the file it begins.
    pub(super) fn json(&mut self, path: &Path, limit: u64) -> Option<(u64, String)> {
        let text = self.text(path, limit)?;
        let start = self.walk.start();
        match check_json(&text, limit == OBJECT_LIMIT) {
            Ok(duplicates) if duplicates.is_empty() => Some((start, text)),
            Ok(duplicates) => {
                self.twice(&self.place(path), &duplicates);
                None
            }
            Err(error) => {
                self.unparsed(path, error);
                None
            }
        }
    }

    /// The documents of a file that hold anything.
    pub(in crate::files) fn documents(&mut self, path: &Path, kind: Option<&'static str>) -> Vec<Document> {
        let Some(syntax) = Syntax::of(path) else {
            self.problem(path, "is neither JSON nor YAML (.json, .yaml, .yml)");
            return Vec::new();
        };
        self.text(path, YAML_LIMIT).map_or_else(Vec::new, |text| self.documents_of(path, syntax, &text, kind))
    }

    pub(super) fn documents_of(
        &mut self,
        path: &Path,
        syntax: Syntax,
        text: &str,
        kind: Option<&'static str>,
    ) -> Vec<Document> {
        let parsed = match syntax.documents(text) {
            Ok(parsed) => parsed,
            Err(error) => {
                self.unparsed(path, error);
                return Vec::new();
            }
        };
        let mut found = Vec::new();
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let filled = |parsed: &super::super::syntax::Parsed| syntax == Syntax::Json || !parsed.value.is_null();
        if !parsed.iter().any(filled) {
            self.problem(path, "the file is empty");
        }
        for (document, parsed) in parsed.into_iter().enumerate().filter(|(_, parsed)| filled(parsed)) {
            let place = Place { document, ..self.place(path) };
            if parsed.duplicates.is_empty() {
                found.push(Document { place, kind, stem: stem.clone(), value: parsed.value });
            } else {
                self.twice(&place, &parsed.duplicates);
            }
        }
        found
    }

    fn twice(&mut self, place: &Place, duplicates: &[Duplicate]) {
        for twice in duplicates {
            let problem = Problem::of_file(&place.file, twice.sentence());
            self.problems.push(Problem { at: Some(twice.again), pointer: twice.pointer.clone(), ..problem });
        }
    }

    fn unparsed(&mut self, path: &Path, error: Unreadable) {
        self.problems.push(Problem { at: Some(error.at), ..Problem::of_file(self.shown(path), error.message) });
    }
}

/// Hands out the entries of a map as they come.
struct Each<F>(F);

impl<'de, F: FnMut(String, &'de RawValue)> Visitor<'de> for Each<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((name, body)) = map.next_entry()? {
            (self.0)(name, body);
        }
        Ok(())
    }
}
