//! A loopback listener for everything in the kit that accepts connections: it counts them, can be closed so that clients are refused, opened
//! again on the same port, and can cut what is connected. What is said on a connection is its user's.

use std::collections::BTreeMap;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

use crate::ports::Lease;
use crate::wait::eventually_some;

pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

type Handler = dyn Fn(TcpStream, usize) + Send + Sync;

/// Serves one connection a thread.
pub(crate) struct Door {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Mutex<Option<JoinHandle<()>>>,
    _ports: Option<Lease>,
}

struct Shared {
    handler: Box<Handler>,
    closed: AtomicBool,
    accepted: AtomicUsize,
    live: Mutex<BTreeMap<usize, TcpStream>>,
}

impl Door {
    /// The handler gets each connection and its number, from 1; the connection ends with it.
    pub(crate) fn open(handler: impl Fn(TcpStream, usize) + Send + Sync + 'static) -> Self {
        let ports = Lease::new();
        Self::at(ports.address(0), Some(ports), handler)
    }

    /// The same on an address of the caller's, which has to be free.
    pub(crate) fn open_at(address: SocketAddr, handler: impl Fn(TcpStream, usize) + Send + Sync + 'static) -> Self {
        Self::at(address, None, handler)
    }

    fn at(
        address: SocketAddr,
        ports: Option<Lease>,
        handler: impl Fn(TcpStream, usize) + Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            handler: Box::new(handler),
            closed: AtomicBool::new(true),
            accepted: AtomicUsize::new(0),
            live: Mutex::new(BTreeMap::new()),
        });
        let door = Self { address, shared, acceptor: Mutex::new(None), _ports: ports };
        door.reopen();
        door
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many were accepted so far.
    pub(crate) fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// From now on clients are refused; those that are connected stay.
    pub(crate) fn close(&self) {
        if let Some(acceptor) = lock(&self.acceptor).take() {
            self.shared.closed.store(true, Ordering::SeqCst);
            // Wakes the acceptor. Should it fail, the acceptor has ended already.
            drop(TcpStream::connect_timeout(&self.address, Duration::from_secs(1)));
            drop(acceptor.join());
        }
    }

    /// Accepts again after [`Door::close`].
    pub(crate) fn reopen(&self) {
        let mut acceptor = lock(&self.acceptor);
        if acceptor.is_none() {
            self.shared.closed.store(false, Ordering::SeqCst);
            let listener = listen(self.address);
            let shared = Arc::clone(&self.shared);
            *acceptor = Some(std::thread::spawn(move || shared.accept(&listener)));
        }
    }

    /// Ends everything that is connected.
    pub(crate) fn cut(&self) {
        for stream in lock(&self.shared.live).values() {
            cut(stream);
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.close();
        self.cut();
    }
}

impl Shared {
    fn accept(self: Arc<Self>, listener: &TcpListener) {
        while let Ok((stream, _)) = listener.accept() {
            if self.closed.load(Ordering::SeqCst) {
                return;
            }
            let shared = Arc::clone(&self);
            let number = self.accepted.fetch_add(1, Ordering::SeqCst) + 1;
            // A client that has gone already needs no thread.
            let (Ok(()), Ok(twin)) = (stream.set_nodelay(true), stream.try_clone()) else { continue };
            lock(&self.live).insert(number, twin);
            std::thread::spawn(move || {
                (shared.handler)(stream, number);
                lock(&shared.live).remove(&number);
            });
        }
    }
}

/// A program that another thread is just starting holds a copy of every listener of this process until it runs: a port that was
/// closed a moment ago can be taken for a moment more.
fn listen(address: SocketAddr) -> TcpListener {
    eventually_some(Duration::from_secs(10), || match TcpListener::bind(address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => None,
        listener => Some(listener.expect("the port is leased, or the caller saw to it that it is free")),
    })
}

/// Ends a connection at once, whoever else holds it.
pub(crate) fn cut(stream: &TcpStream) {
    // A socket that the other side has closed already has nothing left to end.
    drop(stream.shutdown(Shutdown::Both));
}

/// Makes the end of a connection a reset, and wakes who reads from it. The reset goes out when the last holder has let go.
pub(crate) fn reset(stream: &TcpStream) {
    // As above: a socket that is gone cannot be reset.
    if set_socket_linger(stream, Some(Duration::ZERO)).is_ok() {
        drop(stream.shutdown(Shutdown::Read));
    }
}

/// Reads and drops everything until the other side closes.
pub(crate) fn swallow(mut stream: impl io::Read) {
    // However it ends, it has ended.
    drop(io::copy(&mut stream, &mut io::sink()));
}
