//! The wire: each connection's requests in turn, and what a fault does to them. It knows nothing of Grafana beyond handing a
//! request on.

use std::fmt;
use std::io::{self, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::answer::{Answer, Request};
use super::fault::Effect;
use super::{Entry, Shared, route};
use crate::http1::{Response, read_request};
use crate::listen::{Door, lock, reset};

/// Where a stand-in is reached.
pub(super) struct Listener {
    door: Arc<Door>,
}

impl Listener {
    pub(super) fn address(&self) -> SocketAddr {
        self.door.address()
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Listener({})", self.address())
    }
}

/// Listens on a port, or on a free one for 0, and answers once `refused` is over.
pub(super) fn listen(port: u16, refused: Duration, shared: Arc<Shared>) -> io::Result<Listener> {
    let handler = move |stream: TcpStream, _: usize| {
        // A connection that breaks is the client's affair.
        drop(converse(&stream, &shared));
    };
    let door = Arc::new(if port == 0 {
        Door::open(handler)
    } else {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        drop(TcpListener::bind(address)?);
        Door::open_at(address, handler)
    });
    if !refused.is_zero() {
        door.close();
        let later = Arc::clone(&door);
        thread::spawn(move || {
            crate::pause(refused);
            later.reopen();
        });
    }
    Ok(Listener { door })
}

fn converse(stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(request) = read_request(&mut reader, |interim| write(stream, interim))? {
        let close = request.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        let request = Request::new(&request.method, &request.target, request.headers, request.body);
        if !answer(stream, &request, shared)? || close {
            return Ok(());
        }
    }
    Ok(())
}

fn write(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes)
}

/// Answers one request; false when the connection is over.
fn answer(mut stream: &TcpStream, request: &Request, shared: &Shared) -> io::Result<bool> {
    let fault = lock(&shared.faults).next(&request.method, request.path());
    let (effect, headers) = fault.map_or((None, Vec::new()), |(effect, headers)| (Some(effect), headers));
    let said = match &effect {
        Some(Effect::ResetBefore) => {
            record(request, 0, shared);
            reset(stream);
            return Ok(false);
        }
        Some(Effect::Answer(status, body)) => Answer::raw(*status, body.clone()),
        Some(Effect::ApplyThenAnswer(status, body)) => {
            carry_out(request, shared);
            Answer::raw(*status, body.clone())
        }
        Some(Effect::ApplyThenDrop | Effect::Delay(_) | Effect::Truncate) | None => carry_out(request, shared),
    };
    record(request, said.status, shared);
    let response = response(said, headers);
    match effect {
        Some(Effect::ApplyThenDrop) => return Ok(false),
        Some(Effect::Truncate) => {
            let half = &response.body[..response.body.len() / 2];
            write(stream, &[response.head().as_bytes(), half].concat())?;
            return Ok(false);
        }
        Some(Effect::Delay(time)) => crate::pause(time),
        Some(Effect::Answer(..) | Effect::ApplyThenAnswer(..) | Effect::ResetBefore) | None => {}
    }
    response.write(&mut stream, &request.method)?;
    Ok(true)
}

fn response(said: Answer, more: Vec<(String, String)>) -> Response {
    let mut headers = said.headers;
    headers.extend(more);
    let own = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    if let Some(content_type) = said.content_type.filter(|_| !own) {
        headers.push(("Content-Type".to_owned(), content_type.to_owned()));
    }
    Response { status: said.status, headers, body: said.body.into_bytes() }
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
