//! Plain scalars of YAML 1.2 by its core schema, less what readers of 1.1 would take for something else: that is a text.

use serde_json::{Number, Value};

/// What a plain scalar is; an error for what JSON cannot say.
pub(super) fn resolve(text: &str) -> Result<Value, String> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => match text.bytes().next() {
            Some(b'0'..=b'9' | b'-' | b'+' | b'.') => number(text)?.map_or_else(|| text.into(), Value::Number),
            _ => text.into(),
        },
    })
}

/// The number that a text spells, if it spells one.
fn number(text: &str) -> Result<Option<Number>, String> {
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix)
            && !digits.is_empty()
            && digits.chars().all(|digit| digit.is_digit(radix))
        {
            let wide = |_| format!("{text} has more than 64 bits");
            return u64::from_str_radix(digits, radix).map(|number| Some(number.into())).map_err(wide);
        }
    }
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    if matches!(digits, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Err(format!("{text} is no number that JSON has: put it between quotes if it is a text"));
    }
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (digits, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let good_exponent = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !digits.is_empty() && all_digits(digits)
    });
    let some = !whole.is_empty() || fraction.is_some_and(|fraction| !fraction.is_empty());
    // A zero in front makes it octal for readers of 1.1: nobody knows what the writer meant, so it is what stands there.
    let octal = whole.len() > 1 && whole.starts_with('0');
    if !all_digits(whole) || !fraction.is_none_or(all_digits) || !good_exponent || !some || octal {
        return Ok(None);
    }
    let mut json = format!("{sign}{}", if whole.is_empty() { "0" } else { whole });
    if let Some(fraction) = fraction {
        json += ".";
        json += if fraction.is_empty() { "0" } else { fraction };
    }
    if let Some(exponent) = exponent {
        json += "e";
        json += exponent;
    }
    serde_json::from_str(&json).map(Some).map_err(|_| format!("{text} is too large for a number"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn scalars_are_what_the_core_schema_says() {
        for (text, value) in [
            ("", json!(null)),
            ("~", json!(null)),
            ("Null", json!(null)),
            ("True", json!(true)),
            ("false", json!(false)),
            ("0", json!(0)),
            ("-7", json!(-7)),
            ("+7", json!(7)),
            ("18446744073709551615", json!(u64::MAX)),
            ("0x1F", json!(31)),
            ("0o17", json!(15)),
            ("1.50", json!(1.5)),
            (".5", json!(0.5)),
            ("5.", json!(5.0)),
            ("1e3", json!(1000.0)),
            ("-1.5E-3", json!(-0.0015)),
            ("0.1", json!(0.1)),
        ] {
            assert_eq!(resolve(text), Ok(value), "{text}");
        }
        let texts = [
            "yes",
            "no",
            "on",
            "off",
            "y",
            "NO",
            "tRUE",
            "012",
            "00",
            "1:30",
            "190:20:30",
            "1_000",
            "0b11",
            "0x",
            "0xg",
            ".",
            "-",
            "+",
            "e3",
            "1e",
            "1.2.3",
            "2024-01-01",
            "1,5",
            "--1",
            "0o8",
            "-0x1",
            "nan",
            "null x",
        ];
        for text in texts {
            assert_eq!(resolve(text), Ok(json!(text)), "{text}");
        }
        for text in [".inf", "-.inf", "+.Inf", ".nan", ".NaN", "1e999", "0x1ffffffffffffffff"] {
            assert!(resolve(text).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn numbers_survive_as_in_json(number in proptest::num::f64::NORMAL, whole: i64, large: u64) {
            for value in [json!(number), json!(whole), json!(large)] {
                proptest::prop_assert_eq!(resolve(&value.to_string()), Ok(value));
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "[-+.0-9xoeE_:a-fnil]{0,12}") {
            let _ = resolve(&text);
        }
    }
}
