//! A million damaged texts for each parser of files: nothing panics, nothing hangs, nothing takes more than its bound, and what is read
//! twice is read alike. `PARSER_CASES` and `PARSER_FIRST` choose others; a case is its seed.

use std::io::Write;
use std::time::{Duration, Instant};

use common::files::interpolate::Resolver;
use common::files::{Syntax, decode, encode, yaml};
use kit::simulation::Tape;
use serde_json::{Value, json};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

/// What damage is done with: tokens that mean something to one of the languages.
const TOKENS: [&str; 48] = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ": ",
    ",",
    "\"",
    "'",
    "\\",
    "\\u0041",
    "\\ud800",
    "\n",
    "\r\n",
    "\n  ",
    "\t",
    " ",
    "- ",
    "? ",
    "&a ",
    "*a",
    "<<: *a",
    "!!str ",
    "!<x>",
    "|",
    ">-",
    "|+2",
    "#",
    " #",
    "---\n",
    "\n...\n",
    "%YAML 1.2\n",
    "~",
    "null",
    "true",
    "-1",
    "1e999",
    "0x",
    ".inf",
    "\u{feff}",
    "\u{2028}",
    "é",
    "\0",
    "$__env{",
    "$__file{",
    "}",
    "$$__env{X}",
    ":-",
];

fn damaged(tape: &mut Tape, seeds: &[&str]) -> String {
    let below = |tape: &mut Tape, end: usize| tape.below(u32::try_from(end.max(1)).unwrap_or(u32::MAX)) as usize;
    let mut text = seeds[below(tape, seeds.len())].to_owned();
    for _ in 0..=below(tape, 6) {
        let at = |tape: &mut Tape, text: &str| text.floor_char_boundary(below(tape, text.len() + 1));
        let (one, other) = (at(tape, &text), at(tape, &text));
        let (start, end) = (one.min(other), one.max(other));
        match below(tape, 4) {
            0 => text.insert_str(start, TOKENS[below(tape, TOKENS.len())]),
            1 => text.replace_range(start..end, TOKENS[below(tape, TOKENS.len())]),
            2 => text.truncate(end),
            _ => {
                let piece = text[start..end].to_owned();
                let again = at(tape, &text);
                text.insert_str(again, &piece);
            }
        }
        if text.len() > 4096 {
            text.truncate(text.floor_char_boundary(4096));
        }
    }
    text
}

/// Runs a million cases, or ten minutes of them.
fn cases(what: &str, seeds: &[&str], check: impl Fn(&str) -> bool) {
    let (first, most) = (number("PARSER_FIRST", 1), number("PARSER_CASES", 1_000_000));
    let (started, mut taken, mut slowest) = (Instant::now(), 0, Duration::ZERO);
    let mut tried = 0;
    for seed in first..first + most {
        if started.elapsed() > Duration::from_mins(10) {
            break;
        }
        let text = damaged(&mut Tape::seeded(seed), seeds);
        let before = Instant::now();
        // A panic shows the text and with it the case.
        taken += u64::from(check(&text));
        slowest = slowest.max(before.elapsed());
        tried += 1;
    }
    drop(writeln!(std::io::stdout(), "{what:<14} {tried:>9} cases, {taken:>8} read, slowest {slowest:?}"));
    kit::table::say(&format!("damaged texts: {what}"), &format!("{tried} of {tried}"), "no panic, read alike twice");
    assert!(taken > 0 && taken < tried, "{what}: {taken} of {tried} were read: the damage is too much or too little");
}

const JSON: [&str; 3] = [
    r#"{"a": [1, -2.5e3, "x\n\u00e9", {"b": null, "c": [true, false]}], "d/~": {"e": {}}, "f": "$__env{X}"}"#,
    r#"[[[[{"a": {"a": {"a": []}}}]]], "é", 18446744073709551615]"#,
    "{\n  \"topics\": {\"orders\": {\"partitions\": 3, \"config\": {\"retention.ms\": 604800000}}}\n}\n",
];

const YAML: [&str; 4] = [
    "base: &a {x: 1, y: [1, 2]}\nt:\n  <<: *a\n  z: |\n    two\n    lines\n  f: >-\n    folded\nu: [*a, 'it''s', \"\\u0041\"]\n",
    "# c\n---\n- a: 1\n  b:\n    - c\n    - - d\n- ? k\n  : v\n...\n---\nx: yes\ny: 012\n",
    "orders:\n  partitions: 3\n  config:\n    cleanup.policy: compact\n    retention.ms: 604800000\n",
    "{\"a\": [1, 2, {\"b\": null}], \"c\": \"d\"}",
];

/// What was read can be written and is the same again, in both languages.
fn round_trip(syntax: Syntax, text: &str) -> bool {
    let Ok(values) = syntax.values(text) else { return false };
    for value in values {
        let written = yaml::write(&value);
        assert_eq!(Syntax::Yaml.values(&written), Ok(vec![value.clone()]), "{text:?} gave {written:?}");
        assert_eq!(Syntax::Json.values(&value.to_string()), Ok(vec![value]), "{text:?}");
    }
    true
}

#[test]
fn a_million_damaged_texts_of_json() {
    cases("JSON", &JSON, |text| {
        let read = round_trip(Syntax::Json, text);
        // Our own walk over the text takes what the parser takes, but for keys that stand twice.
        let parsed: Result<Value, _> = serde_json::from_str(text);
        assert!(parsed.is_ok() || !read, "{text:?}");
        read
    });
}

#[test]
fn a_million_damaged_texts_of_yaml() {
    cases("YAML", &YAML, |text| round_trip(Syntax::Yaml, text));
}

#[test]
fn a_million_damaged_placeholders() {
    let seeds = [
        "$__env{PATH}",
        "a $__env{NO_SUCH:-b} c $$__env{X} $__file{/no/such}",
        "$__file{/no} $__ $__env{",
        "$$$__env{PATH:-x}}",
    ];
    let resolver = Resolver::default();
    cases("placeholders", &seeds, |text| {
        let mut value = json!({"a": text});
        let replaced = resolver.replace(&mut value);
        let named = resolver.name(text);
        assert_eq!(replaced.missing.is_empty(), named.is_ok(), "{text:?}");
        if let Ok(name) = named {
            assert_eq!(value["a"], name, "{text:?}");
        }
        if !text.contains("$__") {
            assert_eq!(value["a"], text);
        }
        replaced.missing.is_empty()
    });
}

#[test]
fn a_million_damaged_names() {
    cases("percent names", &["a%2Fb", "%E2%82%AC %25", "x+y.z", "..%2e", "Мониторинг%00", "%zz%4"], |text| {
        if !text.is_empty() && !text.contains('\0') {
            assert_eq!(decode(&encode(text)).as_deref(), Ok(text));
        }
        decode(text).is_ok_and(|name| !name.is_empty() && !name.contains('\0'))
    });
}
