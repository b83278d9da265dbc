//! Loopback ports that stay ours: ten in a row, leased by a file lock, so that test binaries that run at the same time never meet.
//! All are below 32768, where Linux starts to hand them out to clients: a server that is restarted finds its port free.

use std::collections::hash_map::RandomState;
use std::fs::{File, create_dir_all};
use std::hash::{BuildHasher, Hasher};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// Ten ports, ours until this is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    base: u16,
    // Closing the file ends the lease, also when the process is killed.
    _lock: File,
}

impl Lease {
    pub(crate) fn new() -> Self {
        const FIRST: u64 = 2000;
        const COUNT: u64 = 1270;
        // One for each user: none can lock the files of another.
        let user = rustix::process::getuid().as_raw();
        let folder = std::env::temp_dir().join(format!("init-tests-ports-{user}"));
        create_dir_all(&folder).expect("the temporary folder can be written");
        let start = RandomState::new().build_hasher().finish();
        for step in 0..COUNT {
            let base = u16::try_from(FIRST + (start.wrapping_add(step)) % COUNT).expect("below 3270");
            let lock = File::create(folder.join(base.to_string())).expect("a lock file can be made");
            if lock.try_lock().is_err() {
                continue;
            }
            let lease = Self { base, _lock: lock };
            if (0..10).all(|digit| TcpListener::bind(lease.address(digit)).is_ok()) {
                return lease;
            }
        }
        panic!("no ten free ports in a row between 20000 and 32699");
    }

    /// The first three or four digits of each of the ports.
    pub(crate) fn base(&self) -> u16 {
        self.base
    }

    pub(crate) fn address(&self, digit: u16) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.base * 10 + digit).into()
    }
}
