//! Reading a list of any length without holding it: of a JSON document that arrives, only the entries that are asked for are kept. What they
//! mean is the reader's business.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Read;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// What is kept of a good answer: below a path, the entries of an object by their names, or the elements of a list by their `name`.
#[derive(Clone, Debug)]
pub struct Sieve {
    path: &'static [&'static str],
    names: Arc<BTreeSet<String>>,
}

impl Sieve {
    /// Keeps what has one of these names; `&["component_templates"]` is the path to the list in `{"component_templates": [{"name": …}]}`.
    pub fn new(path: &'static [&'static str], names: impl IntoIterator<Item = String>) -> Self {
        Self { path, names: Arc::new(names.into_iter().collect()) }
    }

    /// The document without what is not kept.
    pub(super) fn sift(&self, document: impl Read) -> serde_json::Result<String> {
        let mut kept = String::new();
        let mut json = serde_json::Deserializer::from_reader(document);
        Level { path: self.path, names: &self.names, kept: &mut kept }.deserialize(&mut json)?;
        json.end()?;
        Ok(kept)
    }
}

struct Level<'s> {
    path: &'s [&'static str],
    names: &'s BTreeSet<String>,
    kept: &'s mut String,
}

impl Level<'_> {
    fn separate(&mut self, begin: usize) {
        if self.kept.len() > begin {
            self.kept.push(',');
        }
    }
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or a list")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        self.kept.push('{');
        let begin = self.kept.len();
        while let Some(key) = map.next_key::<String>()? {
            let wanted = self.path.first().map_or_else(|| self.names.contains(&key), |step| key == *step);
            if !wanted {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            self.separate(begin);
            *self.kept += &Value::from(key).to_string();
            self.kept.push(':');
            match self.path {
                [_, path @ ..] => map.next_value_seed(Level { path, names: self.names, kept: &mut *self.kept })?,
                [] => *self.kept += map.next_value::<Box<RawValue>>()?.get(),
            }
        }
        self.kept.push('}');
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        self.kept.push('[');
        let begin = self.kept.len();
        while let Some(item) = list.next_element::<Box<RawValue>>()? {
            let fields: BTreeMap<String, &RawValue> = serde_json::from_str(item.get()).unwrap_or_default();
            let name: Option<String> = fields.get("name").and_then(|name| serde_json::from_str(name.get()).ok());
            if name.is_some_and(|name| self.names.contains(&name)) {
                self.separate(begin);
                *self.kept += item.get();
            }
        }
        self.kept.push(']');
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sifted(path: &'static [&'static str], document: &str) -> String {
        let sieve = Sieve::new(path, ["a", "\"c\\"].map(str::to_owned));
        sieve.sift(document.as_bytes()).unwrap_or_else(|error| format!("error: {error}"))
    }

    #[test]
    fn only_entries_of_these_names_are_kept_and_they_as_they_came() {
        let map = r#" { "b": {"a": [1, {}]}, "a" : {"x": 1.10} , "\"c\\": null, "d": "a"} "#;
        assert_eq!(sifted(&[], map), r#"{"a":{"x": 1.10},"\"c\\":null}"#);
        assert_eq!(
            sifted(
                &["metadata", "scripts"],
                r#"{"metadata": {"other": {"a": 1}, "scripts": {"a": 1, "b": 2}}, "a": 3}"#
            ),
            r#"{"metadata":{"scripts":{"a":1}}}"#
        );
        let list =
            r#"{"list": [{"name": "b"}, {"name": "a", "n": 1}, 7, {"no": "a"}, {"n": 2, "name": "a"}], "more": []}"#;
        assert_eq!(sifted(&["list"], list), r#"{"list":[{"name": "a", "n": 1},{"n": 2, "name": "a"}]}"#);
        assert_eq!(sifted(&["list"], "{}"), "{}");
    }

    #[test]
    fn what_is_no_document_is_an_error() {
        for document in ["", "[", "{\"a\": 1}}", "null", "<html>", "{\"b\": [1, }"] {
            assert!(sifted(&[], document).starts_with("error: "), "{document}");
        }
    }
}
