//! The wire: HTTP/1.1 with keep-alive, a thread for each connection, and what a fault does to one. It knows nothing of
//! Grafana beyond handing a request on.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::answer::{Answer, Request};
use super::fault::Effect;
use super::{Entry, Shared, lock, route};
use crate::ports::Lease;

/// How long an idle connection waits before it looks whether the server has stopped.
const TICK: Duration = Duration::from_millis(200);
/// No request of a client is larger.
const MAX_BODY: u64 = 64 << 20;

/// The accepting thread.
#[derive(Debug)]
pub(super) struct Listener {
    port: u16,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    _lease: Option<Lease>,
}

impl Listener {
    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread out of accept; it does not matter whether somebody is there to answer.
        let _woken = TcpStream::connect_timeout(&address(self.port), TICK);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Listens on a port, or on a free one for 0, and answers once `refused` is over.
pub(super) fn listen(port: u16, refused: Duration, shared: Arc<Shared>) -> io::Result<Listener> {
    let lease = (port == 0).then(Lease::new);
    let port = lease.as_ref().map_or(port, |lease| lease.address(0).port());
    let mut socket = Some(TcpListener::bind(address(port))?);
    if !refused.is_zero() {
        socket = None;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let thread = thread::spawn(move || {
        let socket = if let Some(open) = socket {
            open
        } else {
            crate::pause(refused);
            TcpListener::bind(address(port)).expect("a leased port is nobody else's")
        };
        accept(&socket, &stopped, &shared);
    });
    Ok(Listener { port, stop, thread: Some(thread), _lease: lease })
}

fn accept(socket: &TcpListener, stopped: &Arc<AtomicBool>, shared: &Arc<Shared>) {
    for stream in socket.incoming() {
        if stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let (stopped, shared) = (Arc::clone(stopped), Arc::clone(shared));
        thread::spawn(move || {
            // A connection that breaks is the client's affair.
            let _closed = converse(&stream, &stopped, &shared);
        });
    }
}

fn converse(stream: &TcpStream, stopped: &AtomicBool, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        stream.set_read_timeout(Some(TICK))?;
        while !has_input(&mut reader)? {
            if stopped.load(Ordering::SeqCst) {
                return Ok(());
            }
        }
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let Some(request) = read_request(&mut reader)? else { return Ok(()) };
        if stopped.load(Ordering::SeqCst) {
            return Ok(());
        }
        let close = request.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if !answer(stream, &request, shared)? || close {
            return stream.shutdown(Shutdown::Both);
        }
    }
}

/// Whether something can be read, or the other side has closed; false when the time is over.
fn has_input(reader: &mut BufReader<&TcpStream>) -> io::Result<bool> {
    match reader.fill_buf() {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(false),
        Err(error) => Err(error),
    }
}

fn read_request(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return Ok(None) };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request {
        method: method.to_owned(),
        target: target.to_owned(),
        segments: path.split('/').filter(|part| !part.is_empty()).map(decode).collect(),
        query: query.split('&').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (decode(k), decode(v))).collect(),
        ..Request::default()
    };
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let header = header.trim_end();
        if header.is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':') {
            request.headers.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
    if request.header("expect").is_some() {
        let mut wire: &TcpStream = reader.get_ref();
        wire.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    request.body = read_body(reader, &request)?;
    Ok(Some(request))
}

fn decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

fn read_body(reader: &mut BufReader<&TcpStream>, request: &Request) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if request.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size)?;
            let size = u64::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
            reader.by_ref().take(size.min(MAX_BODY)).read_to_end(&mut body)?;
            let mut end = String::new();
            reader.read_line(&mut end)?;
            if size == 0 {
                return Ok(body);
            }
        }
    }
    let length: u64 = request.header("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
    reader.by_ref().take(length.min(MAX_BODY)).read_to_end(&mut body)?;
    Ok(body)
}

/// Answers one request; false when the connection is over.
fn answer(stream: &TcpStream, request: &Request, shared: &Shared) -> io::Result<bool> {
    let path = request.target.split('?').next().unwrap_or_default();
    let fault = lock(&shared.faults).next(&request.method, path);
    let Some((effect, headers)) = fault else {
        let answer = carry_out(request, shared);
        record(request, answer.status, shared);
        return send(stream, request, &answer).map(|()| true);
    };
    match effect {
        Effect::Answer(status, body) => {
            record(request, status, shared);
            let answer = Answer { headers, ..Answer::raw(status, body) };
            send(stream, request, &answer).map(|()| true)
        }
        Effect::ApplyThenAnswer(status, body) => {
            carry_out(request, shared);
            record(request, status, shared);
            let answer = Answer { headers, ..Answer::raw(status, body) };
            send(stream, request, &answer).map(|()| true)
        }
        Effect::ResetBefore => {
            record(request, 0, shared);
            Ok(false)
        }
        Effect::ApplyThenDrop => {
            let answer = carry_out(request, shared);
            record(request, answer.status, shared);
            Ok(false)
        }
        Effect::Delay(time) => {
            let answer = carry_out(request, shared);
            record(request, answer.status, shared);
            crate::pause(time);
            send(stream, request, &answer).map(|()| true)
        }
        Effect::Truncate => {
            let answer = carry_out(request, shared);
            record(request, answer.status, shared);
            let whole = head(&answer);
            let half = &answer.body.as_bytes()[..answer.body.len() / 2];
            let mut wire: &TcpStream = stream;
            wire.write_all(&[whole.as_bytes(), half].concat())?;
            Ok(false)
        }
    }
}

fn carry_out(request: &Request, shared: &Shared) -> Answer {
    if let Some(early) = route::startup(request, &mut lock(&shared.startup)) {
        return early;
    }
    route::answer(request, &mut lock(&shared.state))
}

fn record(request: &Request, status: u16, shared: &Shared) {
    let entry = Entry {
        method: request.method.clone(),
        path: request.target.clone(),
        status,
        body: String::from_utf8_lossy(&request.body).into_owned(),
    };
    lock(&shared.log).push(entry);
}

fn head(answer: &Answer) -> String {
    use std::fmt::Write as _;

    let mut head = format!("HTTP/1.1 {} {}\r\n", answer.status, reason(answer.status));
    let own = answer.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    if let Some(content_type) = answer.content_type.filter(|_| !own) {
        let _infallible = write!(head, "Content-Type: {content_type}\r\n");
    }
    for (name, value) in &answer.headers {
        let _infallible = write!(head, "{name}: {value}\r\n");
    }
    let _infallible = write!(head, "Content-Length: {}\r\n\r\n", answer.body.len());
    head
}

fn send(mut stream: &TcpStream, request: &Request, answer: &Answer) -> io::Result<()> {
    let mut bytes = head(answer).into_bytes();
    if request.method != "HEAD" {
        bytes.extend_from_slice(answer.body.as_bytes());
    }
    stream.write_all(&bytes)
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        409 => "Conflict",
        412 => "Precondition Failed",
        422 => "Unprocessable Entity",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Status",
    }
}
