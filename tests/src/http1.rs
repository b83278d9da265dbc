//! Just enough of HTTP/1.1 for a scripted server and a recording proxy: messages with a length, chunked ones, and answers that end with the
//! connection. A message is held whole.

use std::io::{self, BufRead, Read, Write};

/// A request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `PUT`, …
    pub method: String,
    /// The path with its query, as it was sent.
    pub target: String,
    /// Names in lower case, in order.
    pub headers: Vec<(String, String)>,
    /// Without any chunking.
    pub body: Vec<u8>,
}

impl Request {
    /// The first header of this name (in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// The target without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The body as JSON; null when it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Whether it may change something: any method but GET and HEAD, unless it is a POST to one of the servers' questions.
    pub fn writes(&self) -> bool {
        const QUESTIONS: [&str; 10] = [
            "/_search",
            "/_msearch",
            "/_mget",
            "/_count",
            "/_simulate",
            "/_explain",
            // Whether a repository works.
            "/_verify",
            "/_render/template",
            "/_validate/query",
            "/api/ds/query",
        ];
        match self.method.as_str() {
            "GET" | "HEAD" | "OPTIONS" => false,
            "POST" => {
                !QUESTIONS.iter().any(|question| self.path().ends_with(question)) && !self.path().contains("/_simulate")
            }
            _ => true,
        }
    }
}

/// An answer to be sent or as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// 200, …
    pub status: u16,
    /// Names as given; the length is added by [`Response::write`].
    pub headers: Vec<(String, String)>,
    /// Without any chunking.
    pub body: Vec<u8>,
}

impl Response {
    /// Any body.
    pub fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: vec![("content-type".to_owned(), content_type.to_owned())], body: body.into() }
    }

    /// A JSON body.
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::new(status, "application/json", body.to_string())
    }

    /// One header more.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Everything before the body; the length is that of the body, whatever is sent of it.
    pub fn head(&self) -> String {
        let mut head = format!("HTTP/1.1 {} Scripted\r\n", self.status);
        for (name, value) in &self.headers {
            if !is_framing(name) {
                head += &format!("{name}: {value}\r\n");
            }
        }
        if self.status != 204 {
            // An answer to HEAD arrives with the length of the body that it does not have.
            let stated = find(&self.headers, "content-length").filter(|_| self.body.is_empty());
            head +=
                &format!("content-length: {}\r\n", stated.map_or_else(|| self.body.len().to_string(), str::to_owned));
        }
        head + "\r\n"
    }

    /// Sends all of it; an answer to HEAD has no body.
    pub fn write(&self, stream: &mut (impl Write + ?Sized), method: &str) -> io::Result<()> {
        let mut message = self.head().into_bytes();
        if method != "HEAD" && self.status != 204 && self.status != 304 {
            message.extend_from_slice(&self.body);
        }
        stream.write_all(&message)?;
        stream.flush()
    }
}

fn is_framing(name: &str) -> bool {
    ["content-length", "transfer-encoding", "connection"].iter().any(|framing| name.eq_ignore_ascii_case(framing))
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not HTTP: {what}"))
}

/// `None` at a clean end.
fn line(stream: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    stream.take(64 << 10).read_until(b'\n', &mut bytes)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let text = String::from_utf8(bytes).map_err(|_| invalid("a line is no text"))?;
    Ok(Some(text.strip_suffix('\n').ok_or_else(|| invalid("a line has no end"))?.trim_end_matches('\r').to_owned()))
}

fn headers(stream: &mut impl BufRead) -> io::Result<Vec<(String, String)>> {
    let mut headers = Vec::new();
    loop {
        let line = line(stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if line.is_empty() {
            return Ok(headers);
        }
        let (name, value) = line.split_once(':').ok_or_else(|| invalid("a header without a colon"))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

/// The body, or `None` when the headers state no length.
fn body(stream: &mut impl BufRead, headers: &[(String, String)]) -> io::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    if find(headers, "transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        loop {
            let size = line(stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            let size = size.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16).map_err(|_| invalid("a chunk's size"))?;
            if size == 0 {
                while !line(stream)?.ok_or(io::ErrorKind::UnexpectedEof)?.is_empty() {}
                return Ok(Some(body));
            }
            exactly(stream, size, &mut body)?;
            line(stream)?;
        }
    }
    let Some(length) = find(headers, "content-length") else { return Ok(None) };
    exactly(stream, length.parse().map_err(|_| invalid("the length"))?, &mut body)?;
    Ok(Some(body))
}

fn exactly(stream: &mut impl BufRead, size: u64, into: &mut Vec<u8>) -> io::Result<()> {
    if stream.take(size).read_to_end(into)? as u64 == size { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Reads one request; `None` at a clean end. Who expects a `100 Continue` is told to go on at once by `reply`.
pub fn read_request(
    stream: &mut impl BufRead,
    reply: impl FnOnce(&[u8]) -> io::Result<()>,
) -> io::Result<Option<Request>> {
    let Some(first) = line(stream)? else { return Ok(None) };
    let mut words = first.split(' ');
    let (Some(method), Some(target), Some(version)) = (words.next(), words.next(), words.next()) else {
        return Err(invalid("the request line"));
    };
    if !version.starts_with("HTTP/1.") {
        return Err(invalid("the version"));
    }
    let headers = headers(stream)?;
    if find(&headers, "expect").is_some_and(|expected| expected.eq_ignore_ascii_case("100-continue")) {
        reply(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let body = body(stream, &headers)?.unwrap_or_default();
    Ok(Some(Request { method: method.to_owned(), target: target.to_owned(), headers, body }))
}

/// Reads the answer to a request of this method, past any `100 Continue`.
pub fn read_response(stream: &mut impl BufRead, method: &str) -> io::Result<Response> {
    loop {
        let first = line(stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let status: u16 =
            first.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or_else(|| invalid("the status line"))?;
        let headers = headers(stream)?;
        if status == 100 {
            continue;
        }
        let body = if method == "HEAD" || matches!(status, 204 | 304) {
            Vec::new()
        } else if let Some(body) = body(stream, &headers)? {
            body
        } else {
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest)?;
            rest
        };
        return Ok(Response { status, headers, body });
    }
}
