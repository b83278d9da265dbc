//! Stderr on a thread of its own: a pipe that nobody reads must hold up neither the work nor the answer to a signal.
//! What is written is bytes; how they look is not decided here.

use std::io::Write;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

/// What may wait to be written: more than a pipe holds, and little of what the program may use.
const LIMIT: usize = 1024 * 1024;
/// How long the work waits for a reader who has fallen behind before records are lost.
const PATIENCE: Duration = Duration::from_secs(1);

/// The way to stderr.
#[derive(Default)]
pub(super) struct Stderr {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    bytes: Vec<u8>,
    writing: bool,
    /// No thread could be had: written on the spot.
    direct: bool,
    /// Nobody has read for as long as we wait; until somebody does, what does not fit is lost at once.
    stalled: bool,
    lost: usize,
    /// The only thread that may still speak, once the end has come.
    speaker: Option<ThreadId>,
}

impl Stderr {
    /// Starts the thread that writes.
    pub(super) fn start(&'static self) {
        let spawned = thread::Builder::new().name("stderr".into()).spawn(|| self.write_for_ever());
        self.queue().direct = spawned.is_err();
    }

    /// Hands over one record; it is lost if nobody reads.
    pub(super) fn push(&self, bytes: &[u8]) {
        let full = |queue: &mut Queue| queue.bytes.len() + bytes.len() > LIMIT;
        let mut queue = self.queue();
        if queue.speaker.is_some_and(|speaker| speaker != thread::current().id()) {
            return;
        }
        if queue.direct {
            // Nobody may be reading stderr any more; that must not change what the run does.
            let _ = std::io::stderr().write_all(bytes);
            return;
        }
        if !queue.stalled {
            let waited = self.changed.wait_timeout_while(queue, PATIENCE, |queue| full(queue));
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if full(&mut queue) {
            queue.stalled = true;
            queue.lost += 1;
        } else {
            queue.bytes.extend_from_slice(bytes);
            self.changed.notify_all();
        }
    }

    /// From now on, only the calling thread speaks.
    pub(super) fn claim(&self) {
        self.queue().speaker = Some(thread::current().id());
    }

    /// How many records were lost since the last call, once somebody reads again.
    pub(super) fn take_lost(&self) -> usize {
        let mut queue = self.queue();
        if queue.stalled { 0 } else { std::mem::take(&mut queue.lost) }
    }

    /// Waits until all is written, or for as long as given.
    pub(super) fn drain(&self, limit: Duration) {
        let busy = |queue: &mut Queue| queue.writing || !queue.bytes.is_empty();
        drop(self.changed.wait_timeout_while(self.queue(), limit, busy));
    }

    fn write_for_ever(&self) {
        let mut queue = self.queue();
        loop {
            queue.writing = false;
            queue.stalled = false;
            self.changed.notify_all();
            queue =
                self.changed.wait_while(queue, |queue| queue.bytes.is_empty()).unwrap_or_else(PoisonError::into_inner);
            let bytes = std::mem::take(&mut queue.bytes);
            queue.writing = true;
            self.changed.notify_all();
            drop(queue);
            // As above.
            let _ = std::io::stderr().write_all(&bytes);
            queue = self.queue();
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for &Stderr {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
