//! The bytes of a connection: a socket whose steps end by a deadline, TLS over it, and what its errors say. No frames.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use common::net::retry::Deadline;
use common::net::tls;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::{Address, How, Trouble};

/// A socket whose every step ends by one deadline.
pub(super) struct Timed {
    pub(super) socket: TcpStream,
    pub(super) deadline: Deadline,
}

impl Timed {
    fn left(&self) -> io::Result<Duration> {
        let left = self.deadline.left();
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left.max(Duration::from_millis(1))) }
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(self.left()?))?;
        self.socket.read(buffer)
    }
}

impl Write for Timed {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(self.left()?))?;
        self.socket.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

/// Plain text or TLS over such a socket.
pub(super) enum Stream {
    Plain(Timed),
    Tls(Box<StreamOwned<ClientConnection, Timed>>),
}

impl Stream {
    /// Every step from now on ends by this deadline.
    pub(super) fn until(&mut self, deadline: Deadline) {
        match self {
            Self::Plain(timed) => timed.deadline = deadline,
            Self::Tls(stream) => stream.sock.deadline = deadline,
        }
    }

    pub(super) fn deadline(&self) -> Deadline {
        match self {
            Self::Plain(timed) => timed.deadline,
            Self::Tls(stream) => stream.sock.deadline,
        }
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let stream: &mut dyn Write = match self {
            Self::Plain(timed) => timed,
            Self::Tls(stream) => stream,
        };
        stream.write_all(bytes)?;
        stream.flush()
    }

    pub(super) fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Plain(timed) => timed.read_exact(bytes),
            Self::Tls(stream) => stream.read_exact(bytes),
        }
    }
}

/// What a request ends with that nobody answered.
pub(crate) const SILENT: &str = "no answer in time (connected, but silent)";

/// What became of a request that got no answer.
pub(super) struct Lost {
    /// Whether the broker may have got it.
    pub(super) sent: bool,
    /// Whether the other side is no broker, rather than a broker in trouble.
    pub(super) stranger: bool,
    pub(super) hopeless: bool,
    pub(super) text: String,
}

/// What an error of a socket says about the other side.
pub(super) fn explained(sent: bool, error: &io::Error) -> Lost {
    let mut lost = Lost { sent, stranger: false, hopeless: false, text: String::new() };
    if let Some(inner) = tls::inside(error) {
        (lost.text, lost.hopeless) = tls::explain(inner);
        return lost;
    }
    lost.text = match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock if sent => SILENT.into(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "it does not read what is sent".into(),
        io::ErrorKind::UnexpectedEof => "it closed the connection without an answer".into(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
            "it reset the connection".into()
        }
        _ => error.to_string(),
    };
    lost
}

/// The TLS handshake, by the socket's deadline.
pub(super) fn handshake(
    address: &Address,
    config: &Arc<ClientConfig>,
    mut timed: Timed,
) -> Result<Box<StreamOwned<ClientConnection, Timed>>, Trouble> {
    let hopeless = |text: String| Trouble::new(How::Hopeless, format!("{address}: {text}"));
    let name =
        ServerName::try_from(address.host.clone()).map_err(|error| hopeless(format!("no name for TLS: {error}")))?;
    let mut connection = ClientConnection::new(config.clone(), name).map_err(|error| hopeless(error.to_string()))?;
    while connection.is_handshaking() {
        let error = match connection.complete_io(&mut timed) {
            Ok((0, 0)) => io::ErrorKind::UnexpectedEof.into(),
            Ok(_) => continue,
            Err(error) => error,
        };
        let Lost { hopeless, text, .. } = explained(true, &error);
        let how = if hopeless { How::Hopeless } else { How::NotReady };
        let hint = if tls::inside(&error).is_some() { "" } else { "; is it a plain-text port?" };
        return Err(Trouble::new(how, format!("{address}: TLS handshake: {text}{hint}")));
    }
    Ok(Box::new(StreamOwned::new(connection, timed)))
}
