//! Every way in which a secret may come back, as whole and in part.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

use super::*;

/// What a server may make of what it was sent: the clothes of the table, one in another, and what happens to a long text.
fn echoes(secret: &str) -> Vec<(&'static str, String)> {
    let json = |text: &str| Value::from(text).to_string();
    let ascii = |text: &str| -> String {
        text.encode_utf16()
            .map(|unit| match u8::try_from(unit) {
                Ok(byte) if byte.is_ascii() => char::from(byte).to_string(),
                _ => format!("\\u{unit:04x}"),
            })
            .collect()
    };
    let go = |text: &str| json(text).replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    let html = |text: &str| {
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&quot;")
            .replace('\'', "&#39;")
    };
    let numbers = |text: &str| -> String { text.chars().map(|c| format!("&#{};", u32::from(c))).collect() };
    let percent = |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02X}")).collect() };
    let hex = |text: &str| -> String { text.bytes().map(|byte| format!("{byte:02x}")).collect() };
    let wrapped = |text: &str| -> String {
        let chars: Vec<char> = text.chars().collect();
        chars.chunks(6).map(|chunk| chunk.iter().collect::<String>() + "\r\n ").collect()
    };
    let url = percent_encoding::utf8_percent_encode(secret, percent_encoding::NON_ALPHANUMERIC).to_string();
    let half = &secret[..secret.ceil_char_boundary(secret.len() / 2)];
    let tail = &secret[secret.floor_char_boundary(secret.len() / 2)..];
    vec![
        ("raw", secret.to_owned()),
        ("base64", STANDARD.encode(secret)),
        ("base64 of a pair", STANDARD.encode(format!("admin:{secret}"))),
        ("base64 of a triple", STANDARD.encode(format!("ab:{secret}:cd"))),
        ("base64 in lines", wrapped(&STANDARD.encode(secret))),
        ("base64url", URL_SAFE_NO_PAD.encode(format!("x{secret}"))),
        ("base64 in a URL", STANDARD.encode(secret).replace('+', "%2B").replace('/', "%2F")),
        ("hex", hex(secret)),
        ("HEX", hex(secret).to_uppercase()),
        ("url", url.clone()),
        ("url of url", url.replace('%', "%25")),
        ("url, small", url.to_lowercase()),
        ("percent", percent(secret)),
        ("form", url.replace("%20", "+")),
        ("json", json(secret)),
        ("json in json", json(&json(secret))),
        ("json, ASCII", ascii(&json(secret))),
        ("json, slash", json(secret).replace('/', "\\/")),
        ("json of Go", go(secret)),
        ("html", html(secret)),
        ("html numbers", numbers(secret)),
        ("html of json", html(&json(secret))),
        ("json of html", json(&html(secret))),
        ("UPPER", secret.to_uppercase()),
        ("lower", secret.to_lowercase()),
        ("one blank", secret.split_whitespace().collect::<Vec<_>>().join(" ")),
        ("wrapped", wrapped(secret)),
        ("half", half.to_owned()),
        ("other half", tail.to_owned()),
        ("half in base64", STANDARD.encode(half)),
        ("other half in base64", STANDARD.encode(format!("..{tail}"))),
        ("half in hex", hex(half)),
    ]
}

const SECRETS: [&str; 8] = [
    "sk_live_0123456789abcdefXYZ",
    "pa\"ss\\word <&> 'quoted' / slash",
    "correct  horse  battery  staple",
    "Größe-und-Straße-ÄÖÜ-€uro-😀😀",
    "100%25 sure%41 & %zz; + plus=minus",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl",
    "line one of it\nline two of it\n\tand three",
    r"C:\new\table\u0041\x41 back\\slash",
];

/// The longest run of a secret that a text shows, read as a person or a program would.
fn shown(secret: &str, text: &str) -> usize {
    let (secret, text) = (View::of(secret).bytes(), View::of(text).bytes());
    let text = String::from_utf8_lossy(&text).into_owned();
    let run = |from: usize| {
        (from + 1..=secret.len()).take_while(|to| text.contains(&*String::from_utf8_lossy(&secret[from..*to]))).count()
    };
    (0..secret.len()).map(run).max().unwrap_or_default()
}

#[test]
fn no_echo_of_a_secret_passes() {
    let mut tried = 0;
    for secret in SECRETS {
        hide(secret);
        for (dress, echo) in echoes(secret) {
            for text in
                [echo.clone(), format!("status 400: cannot use {echo} here"), format!("{}{echo}", "x".repeat(290))]
            {
                let masked = mask(&text);
                assert!(masked.contains(HIDDEN), "{dress} of {secret:?}: {masked}");
                assert!(shown(secret, &masked) < RUN, "{dress} of {secret:?}: {masked}");
                let left = masked.replace(HIDDEN, "").len();
                assert!(left <= text.len() - echo.len() + 24, "{dress} of {secret:?} leaves {masked}");
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 8 * 32 * 3);
}

#[test]
fn what_stands_around_a_secret_stays() {
    hide("hunter2-canary-7Q");
    assert_eq!(mask("refused hunter2-canary-7Q, as told"), "refused ***, as told");
    assert_eq!(mask(r#"{"p":"hunter2-canary-7Q","q":"é"}"#), r#"{"p":"***","q":"é"}"#);
    assert_eq!(mask("é hunter2-canary-7Qé hunter2-canary-7Q"), "é ***é ***");
    assert_eq!(format!("{:?}", Secret::new("hunter2-canary-7Q")), "Secret");
}

#[test]
fn a_part_of_a_secret_is_hidden_and_less_than_eight_characters_are_not() {
    hide("0a1b2c3d4e5f6g7h");
    assert_eq!(mask("cut: 0a1b2c3d"), "cut: ***");
    assert_eq!(mask("cut: 0a1b2c3"), "cut: 0a1b2c3");
}

#[test]
fn short_values_do_not_eat_ordinary_text() {
    hide("12");
    assert_eq!(mask("port 1234"), "port 1234");
    hide("zx7q5");
    assert_eq!(mask("zx7q5 and zx7q"), "*** and zx7q");
}

#[test]
fn a_url_is_hidden_without_the_words_that_any_url_has() {
    hide("https://user-9:pass-9@hooks.example.test/services/T00/B11/q8w7e6r5t4");
    assert_eq!(mask("https://hooks.example.test answered"), "https://hooks.example.test answered");
    assert_eq!(mask("POST /services/T00/B11/q8w7e6r5t4"), "POST ***");
    assert_eq!(mask("user-9:pass-9"), "***");
    hide("http://metrics-store:9090");
    assert_eq!(mask("datasources/metrics-store"), "datasources/metrics-store");
    assert_eq!(mask("no http://metrics-store:9090"), "no ***");
}

#[test]
fn each_line_of_a_key_is_hidden() {
    hide("-----BEGIN-7Q-----\nMIIBVgIBADANBg7Q\nshort7\n");
    assert_eq!(mask("MIIBVgIBADANBg7Q and short7"), "*** and ***");
}

#[test]
fn a_long_text_is_masked_in_parts() {
    hide("needle-in-a-haystack");
    let hay = "hay and straw\n".repeat(20_000);
    let masked = mask(&format!("{hay}needle-in-a-haystack\n{hay}needle-in-a-haystack"));
    assert_eq!(masked, format!("{hay}***\n{hay}***"));
}

#[test]
fn many_secrets_and_long_ones_take_time_in_proportion() {
    let time = |count: usize| {
        let started = std::time::Instant::now();
        for n in 0..count {
            hide(&format!("{count}-number-{n}-of-many-passwords"));
        }
        let long: String = (0..count).map(|n| format!("{count} line {n} of a long file {}\n", n * 7919)).collect();
        hide(&long);
        assert!(mask(&long).len() < long.len() / 2);
        started.elapsed()
    };
    time(100);
    let (once, four) = (time(1000), time(4000));
    assert!(four < once * 12 + std::time::Duration::from_millis(200), "{once:?} and {four:?}");
}
