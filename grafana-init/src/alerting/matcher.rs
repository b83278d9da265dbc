//! Matchers of a route in all their spellings, and the syntax of their regular expressions. Pure.

use std::collections::BTreeSet;

use serde_json::Value;

/// Name, operator and value.
pub(crate) type Matcher = (String, String, String);

const OPERATORS: [&str; 4] = ["=~", "!~", "!=", "="];

/// The matchers of a route in all their spellings, as a sorted set.
pub(crate) fn matchers(route: &Value) -> BTreeSet<Matcher> {
    let mut all = BTreeSet::new();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for one in ["object_matchers", "matchers"].iter().filter_map(|field| route[*field].as_array()).flatten() {
        all.insert(match one {
            Value::Array(parts) => {
                let part = |index: usize| parts.get(index).map(text).unwrap_or_default();
                (part(0), part(1), part(2))
            }
            one => parse(one.as_str().unwrap_or_default()),
        });
    }
    for (field, operator) in [("match", "="), ("match_re", "=~")] {
        for (name, value) in route[field].as_object().into_iter().flatten() {
            all.insert((name.clone(), operator.to_owned(), text(value)));
        }
    }
    all
}

fn parse(matcher: &str) -> Matcher {
    let at = matcher.find(['=', '!']).unwrap_or(matcher.len());
    let (name, rest) = matcher.split_at(at);
    let operator = OPERATORS.iter().find(|operator| rest.starts_with(**operator)).copied().unwrap_or_default();
    let value = rest[operator.len()..].trim();
    let value = serde_json::from_str::<String>(value).unwrap_or_else(|_| value.to_owned());
    (name.trim().trim_matches('"').to_owned(), operator.to_owned(), value)
}

/// What is wrong with the matchers of a route: the server only says "bad request data".
pub(crate) fn wrong(route: &Value) -> Option<String> {
    matchers(route).into_iter().find_map(|(name, operator, value)| {
        if name.is_empty() || !OPERATORS.contains(&operator.as_str()) {
            return Some(format!(
                "a matcher is a label, one of =, !=, =~, !~, and a value: {name:?} {operator:?} {value:?} is none"
            ));
        }
        let expression = operator.ends_with('~').then(|| wrong_expression(&value)).flatten()?;
        Some(format!("{value:?} is no regular expression: {expression}"))
    })
}

/// Where a text surely is no regular expression of RE2; what is not understood here passes.
fn wrong_expression(text: &str) -> Option<String> {
    let mut groups = 0_u32;
    let mut chars = text.chars().peekable();
    let mut repeatable = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                None => return Some("it ends with a backslash".into()),
                Some(digit @ '1'..='9') => return Some(format!("\\{digit} refers back, which RE2 cannot")),
                Some(_) => {}
            },
            '[' => {
                if chars.peek() == Some(&'^') {
                    chars.next();
                }
                // A bracket that comes first stands for itself.
                let mut first = true;
                loop {
                    match chars.next() {
                        None => return Some("a [ is not closed".into()),
                        Some('\\') => drop(chars.next()),
                        Some('[') if chars.peek() == Some(&':') => while chars.next().is_some_and(|c| c != ']') {},
                        Some(']') if !first => break,
                        Some(_) => {}
                    }
                    first = false;
                }
            }
            '(' => {
                groups += 1;
                if chars.peek() == Some(&'?') {
                    chars.next();
                    let named = chars.next();
                    if matches!(named, Some('=' | '!')) || named == Some('<') && matches!(chars.peek(), Some('=' | '!'))
                    {
                        return Some("it looks around, which RE2 cannot".into());
                    }
                }
            }
            ')' => match groups.checked_sub(1) {
                Some(left) => groups = left,
                None => return Some("a ) closes nothing".into()),
            },
            '*' | '+' | '?' if !repeatable => return Some(format!("{c} has nothing to repeat")),
            _ => {}
        }
        repeatable = !matches!(c, '(' | '|');
    }
    (groups > 0).then(|| "a ( is not closed".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn matchers_parse() {
        let parsed = |text| {
            let (name, operator, value) = parse(text);
            [name, operator, value]
        };
        assert_eq!(parsed("a!~\"x=y\""), ["a", "!~", "x=y"]);
        assert_eq!(parsed("a = b"), ["a", "=", "b"]);
        assert_eq!(parsed("nothing"), ["nothing", "", ""]);
    }

    #[test]
    fn what_is_no_expression_is_told() {
        for bad in ["(", "a)", "[a", "*a", "a|+", "\\", "(?=x)", "(?<!x)", "(a)\\1"] {
            assert!(wrong_expression(bad).is_some(), "{bad}");
        }
        for good in [
            "a|b",
            "",
            "a{2,3}",
            "[]a]",
            "[^]]+",
            "(?i)x.*",
            "(?P<n>a)",
            "\\(",
            "[[:alpha:]]+",
            "a**",
            "x{",
            "(a|)",
            "a??",
            "[a\\]]",
        ] {
            assert_eq!(wrong_expression(good), None, "{good}");
        }
        assert!(wrong(&json!({"object_matchers": [["a", "=~", "("]]})).is_some());
        assert!(wrong(&json!({"matchers": ["a"]})).is_some());
        assert_eq!(wrong(&json!({"match": {"a": "("}, "match_re": {"b": "x|y"}})), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fall(text in "[\\[\\]()?*+|a:^\\\\<=!]{0,30}") {
            let _ = wrong_expression(&text);
        }
    }
}
