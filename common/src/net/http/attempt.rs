//! What can become of one attempt, below HTTP: the one table from the transport's errors to sentences.

use std::io::{BufRead, BufReader, Read};
use std::time::{Duration, SystemTime};

use super::call::{Call, Reply};
use super::sieve::Sieve;
use crate::net::lookup::ConnectError;
use crate::net::tls;

/// What became of one attempt.
#[derive(Debug)]
pub enum Attempt {
    /// An answer, of whatever status.
    Answered(Reply),
    /// No connection: the request was not sent.
    NotSent(String),
    /// Cannot come about however often it is tried: a certificate, a URL.
    Impossible(String),
    /// The connection ended or time ran out after sending: it may have been done.
    Lost(String),
    /// Something answered that is not HTTP, or too much of it.
    Nonsense(String),
}

pub(super) fn read_answer(response: ureq::http::Response<ureq::Body>, call: &Call, host: &str) -> Attempt {
    let limit = call.limit;
    let (head, body) = response.into_parts();
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    if let Some(length) = body.content_length().filter(|length| *length > limit) {
        return Attempt::Nonsense(format!("{host} answered with {length} bytes, more than the {limit} that are read"));
    }
    let mut reader = body.into_reader().take(limit + 1);
    let read = match call.sieve.as_ref().filter(|_| head.status.is_success()) {
        None => {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).map(|_| text(bytes))
        }
        Some(sieve) => sifted(sieve, &mut BufReader::with_capacity(BUFFER, &mut reader)),
    };
    let body = match read {
        _ if reader.limit() == 0 => {
            return Attempt::Nonsense(format!("{host} answered with more than the {limit} bytes that are read"));
        }
        Ok(body) => body,
        Err(error) => {
            return Attempt::Lost(format!("the connection to {host} broke in the middle of the answer: {error}"));
        }
    };
    Attempt::Answered(Reply {
        status: head.status.as_u16(),
        body,
        content_type: header("content-type").unwrap_or_default(),
        location: header("location"),
        retry_after: header("retry-after").and_then(|text| retry_after(&text, SystemTime::now())),
    })
}

/// As much as is looked at together; what is no JSON is told by it.
const BUFFER: usize = 32 * 1024;

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// What the sieve holds. A page that is no JSON is left to whoever looks at its beginning.
fn sifted(sieve: &Sieve, reader: &mut impl BufRead) -> std::io::Result<String> {
    let begin = reader.fill_buf()?.to_vec();
    match sieve.sift(reader) {
        Ok(kept) => Ok(kept),
        Err(error) if error.is_io() => Err(error.into()),
        Err(_) => Ok(text(begin)),
    }
}

/// What a test answers, as it would be read.
#[cfg(feature = "testing")]
pub(super) fn as_read(attempt: Attempt, call: &Call) -> Attempt {
    match (attempt, &call.sieve) {
        (Attempt::Answered(reply), Some(sieve)) if (200..300).contains(&reply.status) => {
            let body = sifted(sieve, &mut reply.body.as_bytes()).unwrap_or_default();
            Attempt::Answered(Reply { body, ..reply })
        }
        (attempt, _) => attempt,
    }
}

/// The one table of what can go wrong below HTTP.
pub(super) fn trouble(error: &ureq::Error, host: &str, https: bool) -> Attempt {
    use std::io::ErrorKind as Kind;
    use ureq::Error as E;
    use ureq::Timeout as T;
    match error {
        E::Timeout(T::Resolve) => Attempt::NotSent(format!("cannot look up {host}: the name server does not answer")),
        E::Timeout(T::Connect) => Attempt::NotSent(format!("{host} does not answer (connection timed out)")),
        E::Timeout(_) => Attempt::Lost(format!("{host} accepted the connection but did not answer in time")),
        E::HostNotFound => Attempt::NotSent(format!("cannot look up {host}: unknown name")),
        E::Other(inner) => match inner.downcast_ref::<ConnectError>() {
            Some(why) => Attempt::NotSent(why.to_string()),
            None => Attempt::Lost(format!("{host}: {inner}")),
        },
        E::Rustls(inner) => of_tls(inner, host),
        E::Io(io) => match (tls::inside(io), io.kind()) {
            (Some(inner), _) => of_tls(inner, host),
            (None, Kind::ConnectionRefused) => {
                Attempt::NotSent(format!("nothing listens at {host} (connection refused)"))
            }
            (None, Kind::TimedOut | Kind::WouldBlock) => Attempt::Lost(format!("{host} did not answer in time")),
            (None, Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::AddrNotAvailable) => {
                Attempt::NotSent(format!("cannot reach {host}: {io}"))
            }
            (None, Kind::UnexpectedEof | Kind::ConnectionReset | Kind::BrokenPipe | Kind::ConnectionAborted) => {
                let hint = if https {
                    "; if it does not expect TLS, the URL must begin with http://"
                } else {
                    "; if it expects TLS, the URL must begin with https://"
                };
                Attempt::Lost(format!("{host} closed the connection without an answer{hint}"))
            }
            (None, _) => Attempt::Lost(format!("{host}: {io}")),
        },
        E::ConnectionFailed => Attempt::NotSent(format!("cannot connect to {host}")),
        E::Protocol(inner) => {
            let hint = if https { "" } else { " (if it expects TLS, the URL must begin with https://)" };
            Attempt::Nonsense(format!("{host} does not answer with HTTP{hint}: {inner}"))
        }
        E::LargeResponseHeader(..) => Attempt::Nonsense(format!("{host} answered with headers that are too long")),
        E::Http(_) | E::BadUri(_) | E::Tls(_) | E::Pem(_) => Attempt::Impossible(format!("{host}: {error}")),
        other => Attempt::Lost(format!("{host}: {other}")),
    }
}

fn of_tls(error: &rustls::Error, host: &str) -> Attempt {
    let (why, hopeless) = tls::explain(error);
    // The handshake comes before the request: nothing was sent.
    if hopeless { Attempt::Impossible(format!("{host}: {why}")) } else { Attempt::NotSent(format!("{host}: {why}")) }
}

pub(super) fn host_of(base: &str) -> String {
    let rest = base.split_once("://").map_or(base, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest).to_owned()
}

/// `Retry-After`: seconds, or a date; never negative.
pub(super) fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}
