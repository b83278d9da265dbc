//! Comparing two JSON values in normal form: every place where they differ, by pointer. Pure, and cannot fail.
//!
//! | way      | key only declared | key only on the server | both      |
//! |----------|-------------------|------------------------|-----------|
//! | replaces | difference        | difference             | compared  |
//! | merges   | difference        | left alone             | compared  |
//!
//! What is normal for a kind (defaults, server-made fields, sets) is that kind's business, on both sides, beforehand.

use serde_json::{Number, Value};

use crate::engine::change::{Difference, Shown};
use crate::files::json::push_step;

/// What a write does to what is not in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    /// It is removed: objects are compared whole.
    Replaces,
    /// It stays: only declared keys are compared.
    Merges,
}

/// Every difference between what the server has and what is wanted.
#[must_use]
pub fn diff(writing: Writing, have: &Value, want: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(writing, have, want, &mut String::new(), &mut found);
    found
}

/// Whether two values are the same: numbers by value, objects in any order.
#[must_use]
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => same_number(a, b),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

/// Hides the values of differences at, below or around the pointers given.
pub fn mask(differences: &mut [Difference], pointers: &[String]) {
    for difference in differences {
        let path = format!("{}/", difference.path);
        let touches = |pointer: &String| {
            let pointer = format!("{pointer}/");
            path.starts_with(&pointer) || pointer.starts_with(&path)
        };
        if pointers.iter().any(touches) {
            *difference = difference.clone().masked();
        }
    }
}

fn compare(writing: Writing, have: &Value, want: &Value, path: &mut String, found: &mut Vec<Difference>) {
    let length = path.len();
    match (have, want) {
        (Value::Object(have), Value::Object(want)) => {
            let mut keys: Vec<&String> = want.keys().collect();
            if writing == Writing::Replaces {
                keys.extend(have.keys().filter(|key| !want.contains_key(*key)));
                keys.sort();
            }
            for key in keys {
                push_step(path, key);
                match (have.get(key), want.get(key)) {
                    (Some(have), Some(want)) => compare(writing, have, want, path, found),
                    (have, want) => found.push(Difference::new(path.clone(), Shown::maybe(have), Shown::maybe(want))),
                }
                path.truncate(length);
            }
        }
        // Elements have no names: only where both sides have as many can they be told apart one by one.
        (Value::Array(have), Value::Array(want)) if have.len() == want.len() => {
            for (index, (have, want)) in have.iter().zip(want).enumerate() {
                *path += &format!("/{index}");
                compare(Writing::Replaces, have, want, path, found);
                path.truncate(length);
            }
        }
        _ if same(have, want) => {}
        _ => found.push(Difference::new(path.clone(), Shown::json(have), Shown::json(want))),
    }
}

fn same_number(a: &Number, b: &Number) -> bool {
    if let (Some(a), Some(b)) = (a.as_i64(), b.as_i64()) {
        return a == b;
    }
    if let (Some(a), Some(b)) = (a.as_u64(), b.as_u64()) {
        return a == b;
    }
    a.as_f64() == b.as_f64()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use proptest::prelude::*;
    use serde_json::json;

    fn check(writing: Writing, have: &Value, want: &Value, expected: &Expect) {
        let shown: Vec<String> = diff(writing, have, want).iter().map(ToString::to_string).collect();
        expected.assert_eq(&shown.join("\n"));
    }

    #[test]
    fn replaced_objects_are_compared_whole() {
        check(
            Writing::Replaces,
            &json!({"a": 1, "b": {"x/y": "1"}, "gone": true}),
            &json!({"b": {"x/y": 1, "z": null}, "a": 1.0}),
            &expect![[r#"
                /b/x~1y: "1" -> 1
                /b/z: (absent) -> null
                /gone: true -> (absent)"#]],
        );
    }

    #[test]
    fn merged_objects_are_compared_where_declared() {
        check(
            Writing::Merges,
            &json!({"a": 1, "b": {"x": 1, "mine": 2}}),
            &json!({"b": {"x": 2}}),
            &expect!["/b/x: 1 -> 2"],
        );
    }

    #[test]
    fn arrays_are_compared_by_element_only_when_equally_long() {
        check(Writing::Merges, &json!([1, {"a": 1, "b": 2}]), &json!([1, {"a": 1}]), &expect!["/1/b: 2 -> (absent)"]);
        check(Writing::Replaces, &json!([1, 2]), &json!([1]), &expect!["/: [1,2] -> [1]"]);
    }

    #[test]
    fn secrets_are_masked_at_below_and_around_their_pointer() {
        let mut found = diff(
            Writing::Replaces,
            &json!({"a": {"p": "x"}, "b": ["q"], "c": 1}),
            &json!({"a": {"p": "y"}, "b": [], "c": 2}),
        );
        mask(&mut found, &["/a/p".into(), "/b/0/deep".into()]);
        let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["/a/p: (secret) -> (secret)", "/b: (secret) -> (secret)", "/c: 1 -> 2"]);
    }

    #[test]
    fn numbers_are_compared_by_value_and_to_the_last_digit() {
        for (a, b) in [
            ("1", "1.0"),
            ("18446744073709551615", "18446744073709551615"),
            ("[1, {\"a\": 2}]", "[1.0, {\"a\": 2.0}]"),
            ("-0.0", "0"),
        ] {
            let (a, b): (Value, Value) = (a.parse().expect("JSON"), b.parse().expect("JSON"));
            assert!(same(&a, &b) && same(&b, &a), "{a} {b}");
        }
        // The first two pairs are one number each for a float.
        for (a, b) in [
            ("9007199254740993", "9007199254740992"),
            ("18446744073709551615", "18446744073709551614"),
            ("-1", "18446744073709551615"),
            ("1", "\"1\""),
            ("[1]", "[1, 2]"),
            ("{\"a\": 1}", "{\"a\": 1, \"b\": 2}"),
            ("{\"a\": 1}", "{\"b\": 1}"),
        ] {
            let (a, b): (Value, Value) = (a.parse().expect("JSON"), b.parse().expect("JSON"));
            assert!(!same(&a, &b) && !same(&b, &a), "{a} {b}");
        }
    }

    pub(crate) fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-c/~]{0,3}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c/~]{0,2}", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    fn merge(have: &Value, want: &Value) -> Value {
        match (have, want) {
            (Value::Object(have), Value::Object(want)) => {
                let mut merged = have.clone();
                for (key, want) in want {
                    let value = have.get(key).map_or_else(|| want.clone(), |have| merge(have, want));
                    merged.insert(key.clone(), value);
                }
                Value::Object(merged)
            }
            _ => want.clone(),
        }
    }

    proptest! {
        #[test]
        fn nothing_differs_from_itself(value in any_json()) {
            prop_assert_eq!(diff(Writing::Replaces, &value, &value), vec![]);
            prop_assert_eq!(diff(Writing::Merges, &value, &value), vec![]);
        }

        #[test]
        fn replaced_values_differ_unless_they_are_the_same(a in any_json(), b in any_json()) {
            prop_assert_eq!(diff(Writing::Replaces, &a, &b).is_empty(), same(&a, &b));
        }

        #[test]
        fn what_was_merged_does_not_differ(have in any_json(), want in any_json()) {
            prop_assert_eq!(diff(Writing::Merges, &merge(&have, &want), &want), vec![]);
        }
    }
}
