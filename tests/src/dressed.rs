//! What becomes of a secret that a server or a proxy says back: in which clothes, and in what kind of answer.

use serde_json::json;

/// What a server or a proxy may make of the secret that it was sent.
pub fn dressed(secret: &str) -> Vec<(&'static str, String)> {
    use base64::Engine;
    let base64 = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let percent: String = secret.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let ascii: String = secret.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    let html: String = secret.chars().map(|c| format!("&#{};", u32::from(c))).collect();
    let (half, rest) = secret.split_at(secret.len() / 2);
    vec![
        ("as it is", secret.to_owned()),
        ("base64", base64(secret)),
        ("base64 of more", base64(&format!("a:{secret}:b"))),
        ("base64url", base64(secret).replace('+', "-").replace('/', "_")),
        ("base64 in lines", base64(secret).replace('a', "a\n")),
        ("hex", hex.clone()),
        ("HEX", hex.to_uppercase()),
        ("percent", percent.clone()),
        ("percent of percent", percent.replace('%', "%25")),
        ("JSON, ASCII", ascii.clone()),
        ("JSON in JSON", ascii.replace('\\', "\\\\")),
        ("HTML", html.clone()),
        ("HTML of HTML", html.replace('&', "&amp;")),
        ("capitals", secret.to_uppercase()),
        ("wrapped", format!("{half}\r\n    {rest}")),
        ("a half", half.to_owned()),
        ("the other half", rest.to_owned()),
        ("at the 300th byte", format!("{}{secret}", ".".repeat(288))),
        ("at the 1000th byte", format!("{}{secret}", ".".repeat(988))),
    ]
}

/// The kinds of answers that may hold it: name, content type, body.
pub fn shapes(echo: &str) -> [(&'static str, &'static str, String); 4] {
    [
        (
            "an error",
            "application/json",
            json!({"error": {"reason": echo}, "message": echo, "status": 400}).to_string(),
        ),
        ("JSON", "application/json", json!({"sent": echo}).to_string()),
        ("text", "text/plain", echo.to_owned()),
        ("a page", "text/html", format!("<html><body>{echo}</body></html>")),
    ]
}
