//! One request and one answer, as data.

use std::time::Duration;

use ureq::http::Method;

use super::OBJECT_LIMIT;
use super::sieve::Sieve;
use crate::engine::change::Failure;
use crate::output::secret::mask;

/// One request.
#[derive(Clone, Debug)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// Path and query below the base URL, beginning with `/`, already encoded.
    pub path: String,
    /// The body.
    pub body: Option<Vec<u8>>,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// Statuses that are answers, though not 2xx.
    pub accept: Vec<u16>,
    /// Whether it may change the server.
    pub writes: bool,
    /// The longest answer that is read.
    pub limit: u64,
    /// What is kept of a good one while it is read; otherwise all of it.
    pub sieve: Option<Sieve>,
}

impl Call {
    fn new(method: Method, path: impl Into<String>) -> Self {
        let writes = method != Method::GET && method != Method::HEAD;
        Self {
            method,
            path: path.into(),
            body: None,
            headers: Vec::new(),
            accept: Vec::new(),
            writes,
            limit: OBJECT_LIMIT,
            sieve: None,
        }
    }

    /// A GET.
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// A PUT with a JSON body.
    pub fn put(path: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self::new(Method::PUT, path).body(body)
    }

    /// A POST with a JSON body.
    pub fn post(path: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self::new(Method::POST, path).body(body)
    }

    /// A PATCH with a JSON body.
    pub fn patch(path: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self::new(Method::PATCH, path).body(body)
    }

    fn body(self, body: impl Into<Vec<u8>>) -> Self {
        let call = Self { body: Some(body.into()), ..self };
        call.header("content-type", "application/json")
    }

    /// One more header; a second one of the same name replaces the first.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.into()));
        self
    }

    /// Takes a status other than 2xx as an answer.
    #[must_use]
    pub fn accept(mut self, status: u16) -> Self {
        self.accept.push(status);
        self
    }

    /// A POST that only asks (`_simulate`, say).
    #[must_use]
    pub fn reads(self) -> Self {
        Self { writes: false, ..self }
    }

    /// Reads an answer of at most so many bytes.
    #[must_use]
    pub fn at_most(self, limit: u64) -> Self {
        Self { limit, ..self }
    }

    /// Keeps of a good answer what the sieve holds.
    #[must_use]
    pub fn keeping(self, sieve: Option<Sieve>) -> Self {
        Self { sieve, ..self }
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The body as text.
    pub body: String,
    /// `Content-Type`, empty if there was none.
    pub content_type: String,
    /// `Location` of a redirect.
    pub location: Option<String>,
    /// `Retry-After`, as a time from now.
    pub retry_after: Option<Duration>,
}

impl Reply {
    /// Whether the body looks like a web page: a login page or a proxy, not an API.
    #[must_use]
    pub fn is_html(&self) -> bool {
        self.content_type.starts_with("text/html")
            || self.body.trim_start().starts_with("<!")
            || self.body.trim_start().starts_with("<html")
    }

    /// The body as JSON; an answer that is none is nothing to go on.
    pub fn json(&self) -> Result<serde_json::Value, Failure> {
        self.parsed()
    }

    /// The same, as what of it is asked for.
    pub fn parsed<'b, T: serde::Deserialize<'b>>(&'b self) -> Result<T, Failure> {
        serde_json::from_str(&self.body).map_err(|error| {
            let what = self.words(|_| None);
            let status = self.status;
            Failure::fatal(format!("the server answered status {status} with {what} where JSON was expected ({error})"))
        })
    }

    /// What of the body may be quoted: the server's own words out of a JSON error, or one short line of plain text. A page or a dump may hold
    /// what the request carried, in whatever clothes.
    #[must_use]
    pub fn words(&self, explain: impl FnOnce(&str) -> Option<String>) -> String {
        let body = self.body.trim();
        let is_json = || serde_json::from_str::<serde::de::IgnoredAny>(body).is_ok();
        if body.is_empty() {
            String::new()
        } else if self.is_html() {
            "a web page".to_owned()
        } else if is_json() {
            explain(body)
                .map_or_else(|| format!("{} bytes of JSON without a reason", body.len()), |words| shorten(&words, 1000))
        } else if body.len() <= LONGEST_LINE && !body.contains(char::is_control) {
            shorten(&explain(body).unwrap_or_else(|| body.to_owned()), 1000)
        } else {
            format!("{} bytes that are not JSON", body.len())
        }
    }
}

/// The longest line of plain text that is quoted: a sentence, not a page.
const LONGEST_LINE: usize = 200;

/// At most so many bytes of a text, on one line. Secrets are hidden before it is cut, since the half of one looks like none.
#[must_use]
pub fn shorten(text: &str, limit: usize) -> String {
    // Much more than is shown, and little enough to be masked in no time.
    let text = &text[..text.floor_char_boundary(16 * limit)];
    let text = mask(text).split_whitespace().collect::<Vec<_>>().join(" ");
    if text.len() <= limit { text } else { format!("{}…", &text[..text.floor_char_boundary(limit)]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(content_type: &str, body: &str) -> String {
        let reason = |body: &str| {
            let value: serde_json::Value = serde_json::from_str(body).ok()?;
            value["reason"].as_str().map(str::to_owned)
        };
        let content_type = content_type.to_owned();
        Reply { status: 400, body: body.into(), content_type, location: None, retry_after: None }.words(reason)
    }

    #[test]
    fn only_the_words_of_a_json_error_and_a_short_line_are_quoted() {
        assert_eq!(words("application/json", r#"{"reason":"no such thing","sent":"x"}"#), "no such thing");
        assert_eq!(words("application/json", r#"{"sent":"x"}"#), "12 bytes of JSON without a reason");
        assert_eq!(words("text/plain", "not ready\n"), "not ready");
        assert_eq!(words("text/plain", "GET / HTTP/1.1\nAuthorization: x"), "31 bytes that are not JSON");
        assert_eq!(words("text/plain", &"x".repeat(201)), "201 bytes that are not JSON");
        assert_eq!(words("text/html; charset=utf-8", "<p>x</p>"), "a web page");
        assert_eq!(words("", ""), "");
    }

    #[test]
    fn a_secret_is_hidden_before_the_text_is_cut() {
        crate::output::secret::hide("cut-in-the-middle-9Z");
        let text = format!("{} cut-in-the-middle-9Z", "x".repeat(290));
        assert_eq!(shorten(&text, 300), format!("{} ***", "x".repeat(290)));
    }
}
