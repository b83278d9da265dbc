//! The set of real-world style objects in `tests/fixtures/os-init`, one file each, and the edits that are to be seen. Only read here; what
//! a server makes of them is the cases' business.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A change of one leaf: another value at a pointer, or (without one) the end of it.
#[derive(Clone, Debug)]
pub struct Edit {
    /// Where in the body.
    pub pointer: String,
    /// The new value; `None` removes it.
    pub to: Option<Value>,
}

/// The files, by their path below the configuration folder (`roles/monitor.json`).
pub fn bodies() -> BTreeMap<String, Value> {
    let root = folder().join("os-init");
    let mut found = BTreeMap::new();
    collect(&root, &root, &mut found);
    assert!(found.len() >= 60, "only {} files lie in {}", found.len(), root.display());
    found
}

/// The edits of each file, by the same paths.
pub fn edits() -> BTreeMap<String, Vec<Edit>> {
    let Value::Object(files) = read(&folder().join("os-init-edits.json")) else { panic!("the edits are a map") };
    let edit = |edit: &Value| Edit {
        pointer: edit["pointer"].as_str().expect("an edit has a pointer").to_owned(),
        to: edit.get("to").cloned(),
    };
    let edits = |list: &Value| list.as_array().expect("the edits of a file are a list").iter().map(edit).collect();
    files.iter().map(|(path, list)| (format!("{path}.json"), edits(list))).collect()
}

impl Edit {
    /// The body with this edit made.
    #[must_use]
    pub fn of(&self, body: &Value) -> Value {
        let mut body = body.clone();
        let (parent, key) = self.pointer.rsplit_once('/').expect("a pointer has a slash");
        let key = key.replace("~1", "/").replace("~0", "~");
        match (body.pointer_mut(parent), &self.to) {
            (Some(Value::Object(fields)), Some(to)) => drop(fields.insert(key, to.clone())),
            (Some(Value::Object(fields)), None) => drop(fields.remove(&key).expect("what is removed is there")),
            (Some(Value::Array(items)), to) => {
                let index: usize = key.parse().expect("a list has numbers");
                match to {
                    Some(to) => items[index] = to.clone(),
                    None => drop(items.remove(index)),
                }
            }
            _ => panic!("nothing is at {parent}"),
        }
        body
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn read(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn collect(root: &Path, folder: &Path, found: &mut BTreeMap<String, Value>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            collect(root, &path, found);
        } else {
            let name = path.strip_prefix(root).expect("it lies below").display().to_string();
            found.insert(name, read(&path));
        }
    }
}
