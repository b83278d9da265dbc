//! The folder of files: found, read, parsed, checked for everything that needs no server, all problems at once.
//! What a body means is its kind's business.

use std::cell::RefCell;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use serde_json::Value;

use crate::engine::change::ObjectId;

pub mod foreign;
pub mod interpolate;
pub mod json;
mod load;
mod name;
mod object;
mod place;
mod problem;
mod read;
mod syntax;
pub mod yaml;

pub use load::load;
pub use name::{decode, encode};
pub use object::Object;
pub use place::At;
pub use problem::{Problem, locate};
pub use read::{SECRET_LIMIT, cannot_read, read_bytes, read_secret, read_text};
pub use syntax::Syntax;

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

/// Finds what there may be once only: the first object that claims a key has it, and each further one is told whose it is.
#[derive(Debug, Default)]
pub struct Unique(BTreeMap<(&'static str, String), String>);

impl Unique {
    /// Claims a key, which `what` names ("uid"), at a place in an object; an empty key is a place that one object may take.
    ///
    /// ```
    /// # use common::files::Unique;
    /// # fn check(object: &common::files::Object) {
    /// let mut unique = Unique::default();
    /// assert!(unique.claim(object, "/uid", "uid", "a").is_none());
    /// assert!(unique.claim(object, "/other", "uid", "a").is_some());
    /// # }
    /// ```
    pub fn claim(&mut self, object: &Object, pointer: &str, what: &'static str, key: &str) -> Option<Problem> {
        let shown = if key.is_empty() { what.to_owned() } else { format!("{what} {key:?}") };
        match self.0.entry((what, key.to_owned())) {
            Entry::Vacant(free) => {
                free.insert(object.file.clone());
                None
            }
            Entry::Occupied(first) if *first.get() == object.file => {
                Some(object.problem(pointer, format!("the {shown} is there twice")))
            }
            Entry::Occupied(first) => {
                Some(object.problem(pointer, format!("the {shown} is also that of {}", first.get())))
            }
        }
    }
}

/// A key that one object of a kind may have: where it stands in the body, what it is called, and the key.
pub type Key = (String, &'static str, String);

/// Everything declared, in a fixed order: organizations, then kinds in table order, then names.
#[derive(Debug, Default)]
pub struct Set {
    objects: Vec<Rc<Object>>,
    /// Folders found in trees, also those without a file: organization, kind and path.
    pub folders: BTreeSet<(Option<Arc<str>>, &'static str, Vec<String>)>,
    /// Organizations that have a folder.
    pub orgs: Vec<Arc<str>>,
    /// What was found and left out, a sentence each.
    pub notes: Vec<String>,
    /// The kinds in table order, which is that of the objects.
    kinds: Vec<&'static str>,
    indices: RefCell<BTreeMap<(Option<String>, &'static str, &'static str), Index>>,
}

/// Objects by a key of theirs.
pub type Index = Rc<BTreeMap<String, ObjectId>>;

impl Set {
    /// The objects of a kind outside of any named organization.
    #[must_use]
    pub fn of(&self, kind: &str) -> Vec<Rc<Object>> {
        self.of_org(None, kind)
    }

    /// The objects of a kind in an organization.
    #[must_use]
    pub fn of_org(&self, org: Option<&str>, kind: &str) -> Vec<Rc<Object>> {
        let rank = self.rank(kind);
        let before = |object: &Rc<Object>| (object.id.org.as_deref(), self.rank(object.id.kind)) < (org, rank);
        let same = |object: &&Rc<Object>| object.id.org.as_deref() == org && object.id.kind == kind;
        self.objects[self.objects.partition_point(before)..].iter().take_while(same).cloned().collect()
    }

    /// One object by kind and name, outside of any named organization.
    #[must_use]
    pub fn get(&self, kind: &str, name: &str) -> Option<&Rc<Object>> {
        let key = (None, self.rank(kind), name);
        let of = |object: &Rc<Object>| object.id.org.as_deref().map(|_| ());
        let found = self
            .objects
            .binary_search_by(|object| (of(object), self.rank(object.id.kind), object.id.name.as_str()).cmp(&key));
        found.ok().map(|index| &self.objects[index])
    }

    /// The objects of a kind in an organization by the keys that `what` names; of several with one key the first. It is made once, for each of many
    /// objects may refer to any of many.
    pub fn index<E: IntoIterator<Item = (String, ObjectId)>>(
        &self,
        org: Option<&str>,
        (kind, what): (&'static str, &'static str),
        entries: impl Fn(&Object) -> E,
    ) -> Index {
        let make = || {
            let mut all = BTreeMap::new();
            for (key, id) in self.of_org(org, kind).iter().flat_map(|object| entries(object)) {
                all.entry(key).or_insert(id);
            }
            Rc::new(all)
        };
        self.indices.borrow_mut().entry((org.map(str::to_owned), kind, what)).or_insert_with(make).clone()
    }

    fn rank(&self, kind: &str) -> usize {
        self.kinds.iter().position(|known| *known == kind).unwrap_or(usize::MAX)
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

/// A string as the number or boolean that it spells.
#[must_use]
pub fn scalar(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok().filter(|value: &Value| value.is_number() || value.is_boolean())
}

fn drop_schema(value: &mut Value) {
    if let Value::Object(map) = value {
        map.remove("$schema");
    }
}

#[cfg(test)]
mod tests;
