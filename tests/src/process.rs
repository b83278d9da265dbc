//! A child process that cannot outlive the test binary: not after a panic, not after Ctrl-C, not after `kill -9`.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// Nothing happens to a child that has ended: its number may be somebody else's by now.
pub(crate) fn send(child: &mut Child, signal: Signal) {
    if matches!(child.try_wait(), Ok(None)) {
        kill_process(Pid::from_child(child), signal)
            .expect("our own child, which has not been waited for, can be signaled");
    }
}

/// A server process and the shell that ends it, and removes its folder, should this process vanish.
pub(crate) struct Guarded {
    child: Child,
    watchdog: Child,
}

impl Guarded {
    pub(crate) fn spawn(command: &mut Command, folder: &Path) -> io::Result<Self> {
        // Groups of their own, so that Ctrl-C in a terminal reaches the test binary only.
        let child = command.stdin(Stdio::null()).process_group(0).spawn()?;
        let watchdog = Command::new("sh")
            .args(["-c", r#"trap "" INT TERM HUP; read -r _; kill -9 "$1"; sleep 0.2; rm -rf "$2""#, "watchdog"])
            .arg(child.id().to_string())
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok(Self { child, watchdog })
    }

    pub(crate) fn send(&mut self, signal: Signal) {
        send(&mut self.child, signal);
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it is still there; the reason is in its log.
    pub(crate) fn running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until it has ended, however long that takes.
    pub(crate) fn wait(&mut self) {
        drop(self.child.wait());
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // The watchdog first: once the child was waited for, its number may be somebody else's.
        drop(self.watchdog.kill());
        drop(self.watchdog.wait());
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
