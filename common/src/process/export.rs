//! `export`: what the server holds, written as files that `apply` finds unchanged. Only names and files; bodies come from the kinds.

use std::collections::BTreeMap;
use std::path::Path;

use ring::digest::{SHA256, digest};

use crate::engine::kind::{AnyKind, Exported};
use crate::engine::run::Ended;
use crate::files::{Syntax, encode, yaml};
use crate::ordered;
use crate::output;
use crate::process::exit::Reason;

/// The folder must be empty or not there yet: nothing of the user's is ever overwritten.
pub fn check_folder(folder: &Path) -> Result<(), String> {
    if !folder.exists() {
        std::fs::create_dir_all(folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    }
    // Also what was just made: `new/..` is the current folder.
    let mut entries =
        std::fs::read_dir(folder).map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(format!("{} is not empty: export writes to a new folder", folder.display())),
    }
}

/// Exports the kinds named, or all but `indices`, which only data would make worth having. Everything is read before the first file is written.
pub fn run(kinds: &mut [Box<dyn AnyKind>], only: &[String], folder: &Path, syntax: Syntax) -> Ended {
    let mut all = Vec::new();
    for kind in kinds {
        let name = kind.name();
        let wanted = if only.is_empty() { name != "indices" } else { only.iter().any(|only| only == name) };
        if !wanted {
            continue;
        }
        match kind.export() {
            Ok(exported) => all.extend(exported),
            Err(failure) => {
                return (failure.class.into(), Some(format!("cannot export {name}: {failure}")));
            }
        }
    }
    tell_apart(&mut all);
    let variables = ordered::set(all.iter().flat_map(|object| object.placeholders.clone()));
    let (mut files, mut problems) = (0, Vec::new());
    for object in gather_long_names(all) {
        let object = in_syntax(object, syntax);
        let path = object.path.iter().fold(folder.to_owned(), |path, part| path.join(file_name(part)));
        let parent = path.parent().unwrap_or(folder);
        match std::fs::create_dir_all(parent).and_then(|()| std::fs::write(&path, object.text)) {
            Ok(()) => files += 1,
            Err(error) => problems.push(format!("cannot write {}: {error}", path.display())),
        }
    }
    for problem in &problems {
        log::error!(error = problem; "export");
    }
    log::info!(files = files, folder:% = folder.display(); "exported");
    let lines: String = variables.iter().map(|name| format!("{name}\n")).collect();
    let _ = output::print(&lines);
    match problems.into_iter().next() {
        None => (Reason::Ok, None),
        Some(problem) => (Reason::Internal, Some(problem)),
    }
}

/// Puts objects whose names no file can have into the map form of their kind, where a name has any length. Deeper down the tree a name is a
/// title that the body says as well: there it may be shortened.
fn gather_long_names(exported: Vec<Exported>) -> Vec<Exported> {
    let mut maps: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut files = Vec::new();
    for object in exported {
        match object.path.as_slice() {
            [kind, name] if encode(name).len() > LONGEST_NAME => {
                let name = serde_json::Value::from(name.strip_suffix(".json").unwrap_or(name));
                maps.entry(kind.clone()).or_default().push(format!("{name}: {}", object.text.trim()));
            }
            _ => files.push(object),
        }
    }
    files.extend(maps.into_iter().map(|(kind, objects)| {
        let text = format!("{{\n{}\n}}\n", objects.join(",\n"));
        Exported { path: vec![format!("{kind}.json")], text, placeholders: Vec::new() }
    }));
    files
}

/// The longest name that file systems take, in bytes.
const LONGEST_NAME: usize = 255;

/// A name as a file's, with its ending. One that is too long keeps its beginning and gets a digest of the whole.
fn file_name(part: &str) -> String {
    let encoded = encode(part);
    if encoded.len() <= LONGEST_NAME {
        return encoded;
    }
    let (stem, ending) = encoded.rsplit_once('.').filter(|(_, ending)| ending.len() < 8).unwrap_or((&encoded, ""));
    let end = if ending.is_empty() {
        format!("-{}", short_digest(part))
    } else {
        format!("-{}.{ending}", short_digest(part))
    };
    // Not in the middle of an escape: `%` begins one of three bytes.
    let kept = &stem[..stem.floor_char_boundary(LONGEST_NAME - end.len())];
    let kept = match kept.rfind('%') {
        Some(at) if at + 3 > kept.len() => &kept[..at],
        _ => kept,
    };
    format!("{kept}{end}")
}

/// Eight digits that tell a name from others, the same in every run.
fn short_digest(name: &str) -> String {
    digest(&SHA256, name.as_bytes()).as_ref().iter().take(4).map(|byte| format!("{byte:02X}")).collect()
}

/// The same object in the language wanted. Lines (`.jsonl`) stay as they are.
fn in_syntax(mut object: Exported, syntax: Syntax) -> Exported {
    if syntax == Syntax::Yaml
        && let Some(file) = object.path.last_mut()
        && let Some(stem) = file.strip_suffix(".json")
        && let Ok(value) = serde_json::from_str(&object.text)
    {
        object.text = yaml::write(&value);
        *file = format!("{stem}.yaml");
    }
    object
}

/// Names that differ in what a variable cannot have make one placeholder: each of them gets a digest of its path, which does not
/// depend on the others.
fn tell_apart(all: &mut [Exported]) {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for object in all.iter() {
        for name in ordered::set(&object.placeholders) {
            *seen.entry(name.clone()).or_default() += 1;
        }
    }
    for object in all.iter_mut() {
        let Exported { path, text, placeholders } = object;
        for name in placeholders.iter_mut().filter(|name| seen[*name] > 1) {
            let own = format!("{name}_{}", short_digest(&path.join("/")));
            *text = text.replace(&format!("$__env{{{name}}}"), &format!("$__env{{{own}}}"));
            *name = own;
        }
    }
}

/// The environment variable that stands for a secret: `<KIND>_<NAME>_<FIELD>` in capitals.
#[must_use]
pub fn placeholder(kind: &str, name: &str, field: &str) -> String {
    let upper = |text: &str| -> String {
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
    };
    format!("{}_{}_{}", upper(kind), upper(name), upper(field))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_variable_names() {
        assert_eq!(placeholder("users", "app-1", "password"), "USERS_APP_1_PASSWORD");
    }

    #[test]
    fn an_export_in_yaml_is_what_the_loader_reads() {
        let path = vec!["topics".to_owned(), "a.json".to_owned()];
        let object = Exported { path, text: "{\"a\": \"yes\", \"b\": [1]}\n".into(), placeholders: Vec::new() };
        assert_eq!(in_syntax(object.clone(), Syntax::Json).path, object.path);
        let yaml = in_syntax(object.clone(), Syntax::Yaml);
        assert_eq!((yaml.path[1].as_str(), yaml.text.as_str()), ("a.yaml", "a: \"yes\"\nb:\n  - 1\n"));
        assert_eq!(Syntax::Yaml.values(&yaml.text), Syntax::Json.values(&object.text));
    }

    #[test]
    fn names_that_make_one_variable_are_told_apart_by_their_own_names() {
        let user = |name: &str| {
            let variable = placeholder("users", name, "password");
            let text = format!("{{\"password\": \"$__env{{{variable}}}\"}}");
            Exported { path: vec!["users".into(), format!("{name}.json")], text, placeholders: vec![variable] }
        };
        let named = |names: &[&str]| -> Vec<String> {
            let mut all: Vec<Exported> = names.iter().map(|name| user(name)).collect();
            tell_apart(&mut all);
            for object in &all {
                assert!(object.text.contains(&format!("$__env{{{}}}", object.placeholders[0])), "{}", object.text);
            }
            all.into_iter().flat_map(|object| object.placeholders).collect()
        };
        let three = named(&["app-a", "app.a", "app_a", "other"]);
        assert_eq!(three[3], "USERS_OTHER_PASSWORD");
        assert_eq!(ordered::set(&three).len(), 4, "{three:?}");
        assert_eq!(named(&["app-a", "app_a"]), [three[0].clone(), three[2].clone()], "the same whoever else is there");
        assert_eq!(ordered::set(named(&["ü", "é"])).len(), 2);
    }

    #[test]
    fn any_name_makes_a_file() {
        assert_eq!(file_name("Мониторинг.json"), "Мониторинг.json");
        for name in ["监控系统的仪表板".repeat(20), "😀".repeat(200), "a/".repeat(200), "x".repeat(400)] {
            let (one, other) = (file_name(&format!("{name}.json")), file_name(&format!("{name}1.json")));
            assert!(one.len() <= LONGEST_NAME && one.ends_with(".json") && one != other, "{one}");
            let folder = tempfile::tempdir().expect("a temporary folder");
            std::fs::write(folder.path().join(one), "").expect("a name that the file system takes");
        }
    }

    #[test]
    fn a_name_that_no_file_can_have_goes_into_the_map() {
        let object = |name: &str| Exported {
            path: vec!["acls".into(), format!("{name}.json")],
            text: "[]\n".into(),
            placeholders: Vec::new(),
        };
        let (short, long) = ("User:a".to_owned(), format!("User:CN={}", "x".repeat(250)));
        let files = gather_long_names(vec![object(&short), object(&long)]);
        assert_eq!(files[1].path, ["acls.json"]);
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&files[1].text).expect("JSON"),
            serde_json::json!({long: []})
        );
    }

    #[test]
    fn what_leads_back_to_a_folder_of_the_users_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("mine.json"), "{}").expect("write");
        let said = check_folder(&folder.path().join("new/..")).expect_err("not empty");
        assert!(said.contains("is not empty"), "{said}");
    }

    #[test]
    fn a_folder_with_anything_in_it_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert_eq!(check_folder(folder.path()), Ok(()));
        assert_eq!(check_folder(&folder.path().join("new/deep")), Ok(()));
        assert!(check_folder(folder.path()).is_err());
    }
}
