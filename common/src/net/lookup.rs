//! Name look-ups with a deadline, and TCP connections. No protocol, no retry.
//!
//! `getaddrinfo` cannot be interrupted and blocks 5 s (musl) to 10 s (glibc) per try when the upstream server is out of reach,
//! which is what a container without network, or a service that has no container yet, looks like. So each look-up runs on a
//! thread of its own, and nobody waits for it longer than allowed.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc::channel;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::net::retry::Deadline;

/// Why no connection came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// The name is unknown, or its server does not answer.
    Lookup(String),
    /// Somebody answered that nothing listens there.
    Refused(String),
    /// Nobody answered in time.
    TimedOut(String),
    /// The network says no, or something else.
    Other(String),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lookup(text) | Self::Refused(text) | Self::TimedOut(text) | Self::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for ConnectError {}

/// An answer is good for this long: one run asks for the same name with each request.
const FRESH: Duration = Duration::from_secs(5);
/// Nobody waits longer than this for a name while others might be tried.
const PATIENCE: Duration = Duration::from_millis(1500);

type Answer = Result<Vec<IpAddr>, String>;

/// Good answers, by name.
static KNOWN: Mutex<BTreeMap<String, (Instant, Vec<IpAddr>)>> = Mutex::new(BTreeMap::new());

/// The addresses of a host, within the time given.
pub fn resolve(host: &str, port: u16, limit: Duration) -> Result<Vec<SocketAddr>, ConnectError> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let ips = resolve_with(bare, limit.min(PATIENCE), system_lookup)?;
    Ok(ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
}

fn system_lookup(host: &str) -> Answer {
    match (host, 0).to_socket_addrs() {
        Ok(addresses) => Ok(addresses.map(|address| address.ip()).collect()),
        Err(error) => Err(error.to_string()),
    }
}

/// A bad answer is never kept: the container may come up at any moment. A look-up that nobody waits for any more ends by itself, in the 5
/// to 10 s that the C library gives it.
fn resolve_with(host: &str, limit: Duration, look_up: fn(&str) -> Answer) -> Result<Vec<IpAddr>, ConnectError> {
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner).get(host).cloned();
    if let Some((_, ips)) = known.filter(|(at, _)| at.elapsed() < FRESH) {
        return Ok(ips);
    }
    let cannot = |why: &str| ConnectError::Lookup(format!("cannot look up {host}: {why}"));
    let (sender, receiver) = channel();
    let name = host.to_owned();
    let work = move || {
        // Fails if nobody waits any more.
        let _ = sender.send(look_up(&name));
    };
    std::thread::Builder::new().name("lookup".into()).spawn(work).map_err(|error| cannot(&error.to_string()))?;
    match receiver.recv_timeout(limit) {
        Ok(Ok(ips)) if ips.is_empty() => Err(cannot("it has no address")),
        Ok(Ok(ips)) => {
            let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert(host.to_owned(), (Instant::now(), ips.clone()));
            Ok(ips)
        }
        Ok(Err(error)) => Err(cannot(&error)),
        Err(_) => Err(cannot("the name server does not answer")),
    }
}

/// Connects to the first of the addresses that answers, sharing the time among them.
pub fn connect(shown: &str, addresses: &[SocketAddr], limit: Duration) -> Result<TcpStream, ConnectError> {
    let deadline = Deadline::after(limit);
    let mut last = ConnectError::Other(format!("{shown} has no address"));
    for (index, address) in addresses.iter().enumerate() {
        let remaining = u32::try_from(addresses.len() - index).unwrap_or(1);
        let share = (deadline.left() / remaining).max(Duration::from_millis(1));
        match TcpStream::connect_timeout(address, share) {
            Ok(stream) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => last = why(shown, &error),
        }
    }
    Err(last)
}

/// Looks a host up and connects to it.
pub fn dial(host: &str, port: u16, limit: Duration) -> Result<TcpStream, ConnectError> {
    let deadline = Deadline::after(limit);
    let addresses = resolve(host, port, limit)?;
    connect(&format!("{host}:{port}"), &addresses, deadline.left().max(Duration::from_millis(1)))
}

fn why(shown: &str, error: &io::Error) -> ConnectError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            ConnectError::Refused(format!("nothing listens at {shown} (connection refused)"))
        }
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
            ConnectError::TimedOut(format!("{shown} does not answer (connection timed out)"))
        }
        _ => ConnectError::Other(format!("cannot connect to {shown}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn literal_addresses_need_no_look_up() {
        let found = resolve("[::1]", 9092, Duration::ZERO).expect("a literal");
        assert_eq!(found, ["[::1]:9092".parse::<SocketAddr>().expect("valid")]);
    }

    #[test]
    fn a_black_holed_look_up_costs_no_more_than_the_limit() {
        fn stuck(_: &str) -> Answer {
            std::thread::park_timeout(Duration::from_secs(5));
            Err("late".into())
        }
        let before = Instant::now();
        for _ in 0..3 {
            let error = resolve_with("black.hole.test", Duration::from_millis(30), stuck).expect_err("stuck");
            assert!(error.to_string().contains("does not answer"), "{error}");
        }
        assert!(before.elapsed() < Duration::from_secs(4), "{:?}", before.elapsed());
    }

    #[test]
    fn a_bad_answer_is_not_kept_and_a_good_one_is() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        fn late(_: &str) -> Answer {
            match ASKED.fetch_add(1, Ordering::SeqCst) {
                0 => Err("no such host".into()),
                _ => Ok(vec![IpAddr::from([127, 0, 0, 9])]),
            }
        }
        let limit = Duration::from_secs(5);
        assert!(resolve_with("late.test", limit, late).is_err());
        assert_eq!(resolve_with("late.test", limit, late), Ok(vec![IpAddr::from([127, 0, 0, 9])]));
        assert!(resolve_with("late.test", limit, late).is_ok());
        assert_eq!(ASKED.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_closed_port_is_told_from_a_silent_one() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
        let port = listener.local_addr().expect("bound").port();
        assert!(dial("127.0.0.1", port, Duration::from_secs(2)).is_ok());
        drop(listener);
        assert!(matches!(dial("127.0.0.1", port, Duration::from_secs(2)), Err(ConnectError::Refused(_))));
    }
}
