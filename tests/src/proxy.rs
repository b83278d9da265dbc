//! A TCP proxy with faults, which knows nothing of what it carries; [`http`] and [`kafka`] are two that do.

pub mod http;
pub mod kafka;

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use http::HttpProxy;
pub use kafka::KafkaProxy;

use crate::listen::{Door, lock, reset, swallow};

/// What happens to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: everything passes.
    None,
    /// Each piece waits so long, in both directions.
    Delay(Duration),
    /// It is reset after so many bytes towards the server.
    CutRequest(u64),
    /// It is reset after so many bytes towards the client. With 0 the server gets the request and the client no answer.
    CutAnswer(u64),
    /// It is accepted and reset at once.
    Reset,
    /// It is accepted; everything is read, nothing is carried, nothing is answered.
    BlackHole,
}

type Rule = dyn Fn(usize) -> Fault + Send + Sync;

/// The proxy. Dropped, it cuts everything.
pub struct Proxy {
    door: Door,
    shared: Arc<Shared>,
}

struct Shared {
    target: Mutex<SocketAddr>,
    rule: Mutex<Arc<Rule>>,
}

impl Proxy {
    /// Carries everything to this address.
    pub fn to(target: SocketAddr) -> Self {
        let shared = Arc::new(Shared { target: Mutex::new(target), rule: Mutex::new(Arc::new(|_| Fault::None)) });
        let serving = Arc::clone(&shared);
        Self { door: Door::open(move |client, number| serving.carry(&client, number)), shared }
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.door.address()
    }

    /// How many clients have connected so far.
    pub fn connections(&self) -> usize {
        self.door.accepted()
    }

    /// What happens to every connection made from now on.
    pub fn set(&self, fault: Fault) {
        self.each(move |_| fault);
    }

    /// What happens to each connection made from now on, by its number, from 1.
    pub fn each(&self, rule: impl Fn(usize) -> Fault + Send + Sync + 'static) {
        *lock(&self.shared.rule) = Arc::new(rule);
    }

    /// Carries connections made from now on elsewhere.
    pub fn retarget(&self, target: SocketAddr) {
        *lock(&self.shared.target) = target;
    }

    /// Clients are refused from now on.
    pub fn refuse(&self) {
        self.door.close();
    }

    /// Clients are accepted again.
    pub fn allow(&self) {
        self.door.reopen();
    }

    /// Ends everything that is connected.
    pub fn cut(&self) {
        self.door.cut();
    }
}

impl Shared {
    fn carry(&self, client: &TcpStream, number: usize) {
        let fault = lock(&self.rule).clone()(number);
        match fault {
            Fault::Reset => return reset(client),
            Fault::BlackHole => return swallow(client),
            Fault::None | Fault::Delay(_) | Fault::CutRequest(_) | Fault::CutAnswer(_) => {}
        }
        let target = *lock(&self.target);
        let Ok(server) = connect(target) else { return reset(client) };
        let (requests, answers, delay) = match fault {
            Fault::CutRequest(bytes) => (Some(bytes), None, Duration::ZERO),
            Fault::CutAnswer(bytes) => (None, Some(bytes), Duration::ZERO),
            Fault::Delay(delay) => (None, None, delay),
            Fault::None | Fault::Reset | Fault::BlackHole => (None, None, Duration::ZERO),
        };
        std::thread::scope(|scope| {
            scope.spawn(|| pump(client, &server, requests, delay, client));
            pump(&server, client, answers, delay, client);
        });
    }
}

/// A connection to a server that is there or not.
pub(crate) fn connect(target: SocketAddr) -> io::Result<TcpStream> {
    let server = TcpStream::connect_timeout(&target, Duration::from_secs(5))?;
    server.set_nodelay(true)?;
    Ok(server)
}

/// Carries one direction to its end, or until so many bytes were carried: then the client is cut.
fn pump(mut from: &TcpStream, mut to: &TcpStream, limit: Option<u64>, delay: Duration, client: &TcpStream) {
    let mut left = limit;
    let mut chunk = [0; 16 << 10];
    while let Ok(size @ 1..) = from.read(&mut chunk) {
        crate::pause(delay);
        let allowed = left.map_or(size, |left| usize::try_from(left).unwrap_or(usize::MAX).min(size));
        if to.write_all(&chunk[..allowed]).is_err() {
            break;
        }
        left = left.map(|left| left - allowed as u64);
        if left == Some(0) {
            // Both threads wake, and the last one to let go sends the reset.
            [client, from, to].into_iter().for_each(reset);
            return;
        }
    }
    // The other direction ends when its own side closes; a side that has gone already is as good.
    drop(to.shutdown(Shutdown::Write));
}
