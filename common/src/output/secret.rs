//! Secrets: values that must never be shown. Every text that leaves the process passes `mask`.

use std::fmt;
use std::sync::RwLock;

use serde_json::Value;

/// Values to hide, longest first, so that one that contains another is hidden whole.
static KNOWN: RwLock<Vec<String>> = RwLock::new(Vec::new());

/// Shorter values would turn up by chance in ordinary words and numbers; they are hidden by their path alone.
const SHORTEST: usize = 5;

/// What is shown instead.
const HIDDEN: &str = "***";

/// A secret setting. Its `Debug` shows nothing; reading it is a deliberate act.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a value and hides it in every text from now on.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        let value = value.into();
        hide(&value);
        Self(value)
    }

    /// The value itself, for sending it to the server.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Hides a value in every text from now on, also where it stands JSON-escaped, line by line if it has several.
pub fn hide(value: &str) {
    let escaped = Value::from(value).to_string();
    let escaped = escaped[1..escaped.len() - 1].to_owned();
    let twice = Value::from(escaped.as_str()).to_string();
    let twice = twice[1..twice.len() - 1].to_owned();
    let lines = value.lines().map(|line| line.trim().to_owned());
    let mut known = KNOWN.write().unwrap_or_else(std::sync::PoisonError::into_inner);
    for form in lines.chain([value.to_owned(), escaped, twice]) {
        if form.len() >= SHORTEST && !known.contains(&form) {
            known.push(form);
        }
    }
    known.sort_by_key(|form| std::cmp::Reverse(form.len()));
}

/// The text with every known secret replaced.
#[must_use]
pub fn mask(text: &str) -> String {
    let known = KNOWN.read().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut masked = text.to_owned();
    for secret in known.iter() {
        if masked.contains(secret.as_str()) {
            masked = masked.replace(secret.as_str(), HIDDEN);
        }
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_hidden_raw_and_escaped() {
        let secret = Secret::new("pa\"ss\\word-7Q");
        assert_eq!(mask("x pa\"ss\\word-7Q y"), "x *** y");
        let json = Value::from(secret.reveal()).to_string();
        assert_eq!(mask(&json), "\"***\"");
        assert_eq!(mask(&Value::from(json).to_string()), "\"\\\"***\\\"\"");
        assert_eq!(format!("{secret:?}"), "Secret");
    }

    #[test]
    fn short_values_do_not_eat_ordinary_text() {
        hide("12");
        assert_eq!(mask("port 1234"), "port 1234");
    }

    #[test]
    fn each_line_of_a_key_is_hidden() {
        hide("-----BEGIN-7Q-----\nMIIBVgIBADANBg7Q\n");
        assert_eq!(mask("MIIBVgIBADANBg7Q"), "***");
    }
}
