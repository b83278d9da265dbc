//! Cases of reading and writing YAML.

use super::*;
use expect_test::{Expect, expect};
use serde_json::json;

fn one(text: &str) -> Value {
    let mut found = documents(text).unwrap_or_else(|error| panic!("{:?}: {}", error.at, error.message));
    assert_eq!(found.len(), 1, "{text}");
    assert_eq!(found[0].duplicates, []);
    found.remove(0).value
}

fn wrong_in(text: &str, expected: &Expect) {
    let error = documents(text).expect_err("cannot be read");
    expected.assert_eq(&format!("{}:{}: {}", error.at.0, error.at.1, error.message));
}

#[test]
fn maps_lists_and_scalars_are_those_of_json() {
    let text = "# a comment\na: 1\nb:\n  - x\n  - {c: [true, ~], d: 'it''s'}\n\"e\\u00e9\": |\n  two\n  lines\nf: >-\n  one\n  line\n1: yes\n";
    let value = json!({"a": 1, "b": ["x", {"c": [true, null], "d": "it's"}], "eé": "two\nlines\n", "f": "one line", "1": "yes"});
    assert_eq!(one(text), value);
    assert_eq!(one("\"{not json}\""), json!("{not json}"));
    assert_eq!(one("{\"a\": \"b\", \"c\": [1.50, \"\\t\"]}"), json!({"a": "b", "c": [1.5, "\t"]}));
    assert_eq!(one("a: x\r\nb: y\r\n"), json!({"a": "x", "b": "y"}));
    assert_eq!(one("? long\n: value"), json!({"long": "value"}));
}

#[test]
fn anchors_aliases_and_merges_work_within_a_document() {
    let text = "base: &base {retention.ms: 1, cleanup.policy: delete}\nother: &other\n  a: 2\n  retention.ms: 5\nt:\n  <<: [*base, *other]\n  cleanup.policy: compact\nu: [*base, &n 3, *n]\n*n : key\n\"<<\": text";
    let value = json!({
        "base": {"retention.ms": 1, "cleanup.policy": "delete"},
        "other": {"a": 2, "retention.ms": 5},
        "t": {"retention.ms": 1, "cleanup.policy": "compact", "a": 2},
        "u": [{"retention.ms": 1, "cleanup.policy": "delete"}, 3, 3],
        "3": "key",
        "<<": "text",
    });
    assert_eq!(one(text), value);
}

#[test]
fn what_json_cannot_say_is_an_error_with_its_place() {
    wrong_in(
        "a: !!str 1",
        &expect!["1:4: tags are not read: put a text between quotes, leave other values as they are"],
    );
    wrong_in("a: .nan", &expect!["1:4: .nan is no number that JSON has: put it between quotes if it is a text"]);
    wrong_in("a:\n  ? [x]\n  : 1", &expect!["2:5: a key is a text, not a list or map"]);
    wrong_in("a: &a [*a]", &expect!["1:8: an alias names what stands complete before it in the same document"]);
    wrong_in("a: 1\n<<: 3", &expect!["2:1: << takes a map or a list of maps, by alias: <<: *name"]);
    wrong_in(
        "a: *b",
        &expect!["1:4: while parsing node, found unknown anchor: an alias (*name) needs its anchor (&name) before it"],
    );
    wrong_in(
        "---\na: &b 1\n---\nc: *b",
        &expect!["4:4: an alias names what stands complete before it in the same document"],
    );
    wrong_in(
        "a: b: c",
        &expect![
            "1:5: mapping values are not allowed in this context: a text with a colon and a blank in it stands between quotes"
        ],
    );
    wrong_in(
        "a:\n\t- b",
        &expect!["2:2: tabs disallowed within this context (block indentation): YAML is indented by blanks alone"],
    );
    wrong_in("a: [1, 2", &expect!["2:1: while parsing a flow sequence, expected ',' or ']'"]);
    wrong_in(&"[".repeat(200), &expect!["1:129: more than 128 levels deep"]);
}

#[test]
fn copies_are_bounded() {
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..10 {
        let aliases = vec![format!("*a{}", n - 1); 10].join(", ");
        laughs += &format!("a{n}: &a{n} [{aliases}]\n");
    }
    let error = documents(&laughs).expect_err("a billion");
    assert!(
        error.message.starts_with("anchors and aliases copy more than 100000 values or 10 MiB"),
        "{}",
        error.message
    );
    let long = format!("a: &a {}\nb: [{}]", "x".repeat(100_000), vec!["*a"; 200].join(", "));
    assert!(documents(&long).is_err());
    let fine = format!("a: &a {{x: 1}}\nb: [{}]", vec!["*a"; 10_000].join(", "));
    assert!(documents(&fine).is_ok());
}

#[test]
fn duplicates_show_both_places_and_pointers_are_located() {
    let found = documents("a: 1\nb:\n  - c: 1\n    d: 2\n    c: 3\n---\nx: 1\na: 2\nx: 3\n").expect("two documents");
    let twice = |index: usize| &found[index].duplicates[0];
    assert_eq!((twice(0).pointer.as_str(), twice(0).first, twice(0).again), ("/b/0/c", (3, 5), (5, 5)));
    assert_eq!((twice(1).pointer.as_str(), twice(1).first, twice(1).again), ("/x", (7, 1), (9, 1)));

    let text = "a:\n  b: [1, é, 2]\n---\na: &x {c: 1}\nd: *x\n";
    let mut documents = BTreeMap::from([(0, Wanted::new(["/a/b/2"])), (1, Wanted::new(["/a/c", "/d/c", "/e"]))]);
    locate(text, &mut documents);
    assert_eq!(documents[&0].place("/a/b/2"), Some((2, 13)));
    assert_eq!(documents[&1].place("/a/c"), Some((4, 8)));
    // An alias has no inside of its own.
    assert_eq!(documents[&1].place("/d/c"), Some((5, 1)));
    assert_eq!(documents[&1].place("/e"), None);
}

#[test]
fn documents_without_content_are_told_as_such() {
    let values: Vec<Value> =
        documents("---\n---\na: 1\n...\n---\n").expect("reads").into_iter().map(|found| found.value).collect();
    assert_eq!(values, [json!(null), json!({"a": 1}), json!(null)]);
    assert!(documents("# nothing\n").expect("reads").is_empty());
    assert!(documents("").expect("reads").is_empty());
}

#[test]
fn what_is_written_is_what_a_person_would_write() {
    let value = json!({
        "a b": [1, "x", [], {}, [["deep"]], {"k": "v", "l": [null]}],
        "script": "if (x) {\n  y();\n}\n", "open": "a\nb", "quoted": ["yes", "012", "1:30", " x", "a: b", "#", "", "é\u{7f}"],
        "n": {"f": 1.5, "t": true}
    });
    expect![[r##"
        a b:
          - 1
          - x
          - []
          - {}
          - - - deep
          - k: v
            l:
              - null
        "n":
          f: 1.5
          t: true
        open: |-
          a
          b
        quoted:
          - "yes"
          - "012"
          - "1:30"
          - " x"
          - "a: b"
          - "#"
          - ""
          - "é\u007f"
        script: |
          if (x) {
            y();
          }
    "##]]
    .assert_eq(&write(&value));
}

proptest::proptest! {
    #[test]
    fn what_is_written_is_read_back(value in crate::engine::diff::tests::any_json()) {
        let text = write(&value);
        let read = documents(&text).map(|mut found| found.remove(0).value);
        proptest::prop_assert_eq!(read.map_err(|error| error.message), Ok(value), "{}", text);
    }

    #[test]
    fn json_is_yaml(value in crate::engine::diff::tests::any_json()) {
        let text = serde_json::to_string_pretty(&value).expect("a value prints as JSON");
        let read = documents(&text).map(|mut found| found.remove(0).value);
        proptest::prop_assert_eq!(read.map_err(|error| error.message), Ok(value), "{}", text);
    }

    #[test]
    fn strings_of_any_kind_are_read_back(text in "[ -~\n\t\r\u{80}-\u{200}\u{feff}\u{2028}\u{85}&*#:,?|>'\"%@`{}\\[\\]!-]{0,24}") {
        let value = json!({&text: [text], "k": text});
        let written = write(&value);
        let read = documents(&written).map(|mut found| found.remove(0).value);
        proptest::prop_assert_eq!(read.map_err(|error| error.message), Ok(value), "{}", written);
    }
}
