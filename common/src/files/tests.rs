//! Cases of reading a folder of files.

use std::collections::BTreeMap;
use std::path::Path;

use super::foreign::Foreign;
use super::object::Body;
use super::*;
use expect_test::{Expect, expect};
use serde::Deserialize;

const SPECS: &[KindSpec] = &[
    KindSpec::new("topics", Layout::Objects),
    KindSpec::new("defaults", Layout::Single),
    KindSpec::new("dashboards", Layout::Tree),
    KindSpec::new("seeds", Layout::Lines),
    KindSpec::new("orgs", Layout::Orgs),
];

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in files {
        let path = root.path().join(name);
        std::fs::create_dir_all(path.parent().expect("below the root")).expect("create");
        std::fs::write(path, text).expect("write");
    }
    root
}

fn check(files: &[(&str, &str)], expected: &Expect) {
    let root = folder(files);
    let (set, problems) = load(root.path(), SPECS, &Foreign::default(), Missing::Fails);
    let mut lines: Vec<String> = set.all().iter().map(|object| object.id.to_string()).collect();
    lines.extend(problems.iter().map(|problem| format!("! {problem}")));
    expected.assert_eq(&lines.join("\n"));
}

#[test]
fn both_forms_mix_and_subfolders_group() {
    check(
        &[
            ("topics/a.json", "{}"),
            ("topics/team/b%2Fc.json", "{}"),
            ("topics.json", r#"{"$schema": "x", "d%2F": {}}"#),
            ("defaults.json", "{}"),
            ("dashboards/Ops/Deep/x.json", "{}"),
            ("seeds/t.jsonl", "not even read\n"),
            ("orgs/Main Org./dashboards/y.json", "{}"),
            ("topics/README.md", "skipped"),
            (".hidden.json", "skipped"),
        ],
        &expect![[r"
            topics/a
            topics/b/c
            topics/d%2F
            defaults/defaults
            dashboards/Ops/Deep/x
            seeds/t
            orgs/Main Org./dashboards/y"]],
    );
}

#[test]
fn every_problem_of_every_file_is_named() {
    check(
        &[
            ("topics/a.json", "{\n  \"x\": 1,\n  \"x\": 2\n}"),
            ("topics/b.json", "{\"x\": }"),
            ("topics/c.json", ""),
            ("topics/d.yaml", "x: 1"),
            ("topics/e%zz.json", "{}"),
            ("topics.json", "[]"),
            ("topcis/f.json", "{}"),
            ("extra.json", "{}"),
            ("seeds/s.json", "{}"),
            ("topics/g.json", r#"{"a": "$__env{NO_SUCH_7Q}"}"#),
        ],
        &expect![[r#"
            topics/d
            topics/g
            ! extra.json: unknown file extra.json: known are topics, defaults, dashboards, seeds, orgs
            ! seeds/s.json: seeds takes .jsonl files, one record a line, not .json: convert or remove this file
            ! topcis: unknown folder topcis: did you mean topics?
            ! topics/a.json:3:3 /x: this key stands twice in its object, first in line 2
            ! topics/b.json:1:7: expected value: remove the comma before the closing bracket
            ! topics/c.json:1:0: the file is empty
            ! topics/e%zz.json: the name has a % at byte 1 that is not %XX: write %25 for a literal %
            ! topics/g.json /a: $__env{NO_SUCH_7Q}: the variable NO_SUCH_7Q is not set
            ! topics.json:1:1: must be a map of name to object, not a list: write {"<name>": {…}} in place of [{…}]"#]],
    );
}

#[test]
fn the_same_name_twice_shows_both_places() {
    check(
        &[("topics/a.json", "{}"), ("topics/x/a.json", "{}"), ("topics.json", r#"{"a": {}}"#)],
        &expect![[r"
            topics/a
            ! topics/x/a.json: topics/a is declared twice: here and in topics/a.json
            ! topics.json:1:2 /a: topics/a is declared twice: here and in topics/a.json"]],
    );
}

#[test]
fn a_config_map_mount_is_read_through_its_links() {
    let root = folder(&[("..2026_01/topics.json", r#"{"a": {}}"#)]);
    std::os::unix::fs::symlink("..2026_01", root.path().join("..data")).expect("link");
    std::os::unix::fs::symlink("..data/topics.json", root.path().join("topics.json")).expect("link");
    let (set, problems) = load(root.path(), SPECS, &Foreign::default(), Missing::Fails);
    assert_eq!((set.all().len(), problems.len()), (1, 0), "{problems:?}");
}

#[test]
fn a_missing_folder_is_one_problem() {
    let (_, problems) = load(Path::new("/no/such"), SPECS, &Foreign::default(), Missing::Fails);
    assert_eq!(problems.len(), 1);
    assert!(problems[0].to_string().starts_with("cannot read /no/such: "), "{}", problems[0]);
}

#[derive(Deserialize, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
struct Topic {
    partitions: Option<u32>,
    #[serde(default)]
    config: BTreeMap<String, Value>,
}

#[test]
fn typed_bodies_point_at_what_is_wrong() {
    let root = folder(&[
        ("topics/a.json", "{\n \"partitions\": \"three\"}"),
        ("topics/b.json", "{\"partitons\": 3}"),
        ("topics.json", "{\n\"c\": {\"config\": 3}}"),
    ]);
    let (set, _) = load(root.path(), SPECS, &Foreign::default(), Missing::Fails);
    let mut problems: Vec<Problem> =
        set.all().iter().map(|object| object.typed::<Topic>().expect_err("wrong")).collect();
    locate(&mut problems);
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    expect![[r"
        topics/a.json:2:2 /partitions: invalid type: string, expected a whole number
        topics/b.json:1:2 /partitons: unknown field `partitons`, expected `partitions` or `config`; did you mean `partitions`?
        topics.json:2:7 /c/config: invalid type: integer, expected an object"]]
    .assert_eq(&problems.join("\n"));
}

#[test]
fn a_whole_placeholder_may_be_a_number_where_one_is_wanted() {
    let root = folder(&[("n", "3\n")]);
    let placeholder = format!("$__file{{{}}}", root.path().join("n").display());
    let body = serde_json::json!({"partitions": placeholder, "config": {"k": placeholder}});
    std::fs::create_dir(root.path().join("topics")).expect("create");
    std::fs::remove_file(root.path().join("n"))
        .map(|()| std::fs::write(root.path().join("n"), "3\n"))
        .expect("write")
        .expect("write");
    std::fs::write(root.path().join("topics/a.json"), body.to_string()).expect("write");
    let (set, problems) = load(root.path(), SPECS, &Foreign::default(), Missing::Fails);
    assert!(problems.is_empty(), "{problems:?}");
    let object = &set.all()[0];
    let topic: Topic = object.typed().expect("three is a number");
    assert_eq!((topic.partitions, &topic.config["k"]), (Some(3), &Value::from("3")));
    assert_eq!(object.masked, ["/config/k", "/partitions"]);
}

#[test]
fn large_bodies_are_read_again_from_disk() {
    let long = "x".repeat(KEEP_LIMIT);
    let root = folder(&[("topics/a.json", &serde_json::json!({"$schema": "s", "long": long}).to_string())]);
    let (set, _) = load(root.path(), SPECS, &Foreign::default(), Missing::Fails);
    assert!(matches!(set.all()[0].body, Body::OnDisk(_)));
    assert_eq!(set.all()[0].value().expect("still there"), serde_json::json!({"long": long}));
}

#[test]
fn a_file_that_changes_while_it_is_used_is_an_error_and_a_secret_that_vanishes_is_kept() {
    let long = "x".repeat(KEEP_LIMIT);
    let root = folder(&[("secret", "s3cret-7Q\n")]);
    let placeholder = format!("$__file{{{}}}", root.path().join("secret").display());
    let write = |name: &str, text: &str| {
        std::fs::create_dir_all(root.path().join("c/topics")).expect("create");
        std::fs::write(root.path().join("c").join(name), text).expect("write");
    };
    let body = serde_json::json!({"secret": placeholder, "long": long});
    write("topics/json.json", &body.to_string());
    write("topics/yaml.yaml", &format!("# a comment\n{}", yaml::write(&body)));
    write("topics.json", &serde_json::json!({"map": body, "other": {"long": long}}).to_string());
    let (set, problems) = load(&root.path().join("c"), SPECS, &Foreign::default(), Missing::Fails);
    assert!(problems.is_empty(), "{problems:?}");
    std::fs::remove_file(root.path().join("secret")).expect("there");
    let resolved = serde_json::json!({"secret": "s3cret-7Q", "long": long});
    for name in ["json", "yaml", "map"] {
        let object = set.get("topics", name).expect("declared");
        assert!(matches!(object.body, Body::OnDisk(_)), "{name}");
        assert_eq!(object.value().expect("kept"), resolved, "{name}");
    }
    for (name, file) in [("json", "topics/json.json"), ("yaml", "topics/yaml.yaml"), ("other", "topics.json")] {
        let path = root.path().join("c").join(file);
        let text = std::fs::read_to_string(&path).expect("there");
        let object = set.get("topics", name).expect("declared");
        std::fs::write(&path, text.replace("xxx", "xyx")).expect("write");
        let error = object.value().expect_err("another text").message;
        assert!(error.starts_with(&format!("{file} changed while it was used")), "{error}");
        std::fs::write(&path, &text[..text.len() / 2]).expect("write");
        assert!(object.value().expect_err("cut").message.contains("changed while it was used"));
    }
}

proptest::proptest! {
    #[test]
    fn names_survive_the_file_system(name in "[^\0]{1,30}") {
        let encoded = encode(&name);
        proptest::prop_assert_eq!(decode(&encoded), Ok(name));
        proptest::prop_assert!(!encoded.contains('/') && !encoded.starts_with('.'));
    }
}
