//! Places in a text: lines and columns of offsets and of pointers, for JSON and YAML alike. Knows no syntax.

use std::collections::HashMap;

/// A place in a text: line and column, both counted from 1, columns in characters.
pub type At = (usize, usize);

/// A key that stands twice in one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Duplicate {
    pub(super) pointer: String,
    pub(super) first: At,
    pub(super) again: At,
}

impl Duplicate {
    /// More than these of one file help nobody.
    pub(super) const MOST: usize = 1000;

    pub(super) fn sentence(&self) -> String {
        format!("this key stands twice in its object, first in line {}", self.first.0)
    }
}

/// Turns offsets that only grow into places, each part of the text counted once.
#[derive(Debug)]
pub(super) struct Cursor<'t> {
    text: &'t str,
    offset: usize,
    at: At,
}

impl<'t> Cursor<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, offset: 0, at: (1, 1) }
    }

    pub(super) fn place(&mut self, offset: usize) -> At {
        let end = self.text.floor_char_boundary(offset).max(self.offset);
        let passed = &self.text[self.offset..end];
        self.at = match passed.rfind('\n') {
            Some(newline) => (self.at.0 + passed.matches('\n').count(), passed[newline + 1..].chars().count() + 1),
            None => (self.at.0, self.at.1 + passed.chars().count()),
        };
        self.offset = end;
        self.at
    }
}

/// Pointers of one document whose places are looked for.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// Each pointer and all those above it: what is missing is shown where it should be.
    found: HashMap<String, Option<At>>,
}

impl Wanted {
    pub(super) fn new<'p>(pointers: impl IntoIterator<Item = &'p str>) -> Self {
        let mut wanted = Self::default();
        pointers.into_iter().for_each(|pointer| wanted.add(pointer));
        wanted
    }

    pub(super) fn add(&mut self, pointer: &str) {
        let mut above = pointer;
        while self.found.insert(above.to_owned(), None).is_none() {
            let Some((shorter, _)) = above.rsplit_once('/') else { return };
            above = shorter;
        }
    }

    /// Notes where a pointer is; the first place counts.
    pub(super) fn see(&mut self, pointer: &str, at: impl FnOnce() -> At) {
        if let Some(found @ None) = self.found.get_mut(pointer) {
            *found = Some(at());
        }
    }

    /// The place of a pointer, or of the nearest one above it that is there (but not of the whole document).
    pub(super) fn place(&self, pointer: &str) -> Option<At> {
        let mut above = pointer;
        loop {
            if let Some(Some(at)) = self.found.get(above) {
                return Some(*at).filter(|_| !above.is_empty() || pointer.is_empty());
            }
            above = above.rsplit_once('/')?.0;
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::Value;

    use super::super::json::step;

    /// Every pointer into a value.
    pub(in crate::files) fn pointers(value: &Value) -> Vec<String> {
        let inner: Vec<(String, &Value)> = match value {
            Value::Object(fields) => fields.iter().map(|(key, inner)| (step(key), inner)).collect(),
            Value::Array(items) => {
                items.iter().enumerate().map(|(index, inner)| (format!("/{index}"), inner)).collect()
            }
            _ => Vec::new(),
        };
        let below = inner
            .into_iter()
            .flat_map(|(step, inner)| pointers(inner).into_iter().map(move |below| format!("{step}{below}")));
        [String::new()].into_iter().chain(below).collect()
    }
}
