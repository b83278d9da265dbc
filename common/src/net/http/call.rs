//! One request and one answer, as data.

use std::time::Duration;

use ureq::http::Method;

use super::OBJECT_LIMIT;
use crate::engine::change::Failure;

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
        serde_json::from_str(&self.body).map_err(|error| {
            let what = if self.is_html() { "a web page".to_owned() } else { format!("{:?}", shorten(&self.body)) };
            Failure::fatal(format!(
                "the server answered status {} with {what} where JSON was expected ({error})",
                self.status
            ))
        })
    }
}

/// Enough of a body to recognize it by.
#[must_use]
pub fn shorten(body: &str) -> String {
    let body = body.split_whitespace().collect::<Vec<_>>().join(" ");
    if body.len() <= 300 { body } else { format!("{}…", &body[..body.floor_char_boundary(300)]) }
}
