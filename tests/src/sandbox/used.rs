//! What a process has used so far, as the kernel tells it; of one that has ended, until it is waited for.

use std::fs;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

/// The latest look.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Used {
    /// The most memory that was resident at once, in bytes.
    pub(super) peak_rss: u64,
    /// Processor time of all its threads.
    pub(super) cpu: Duration,
    /// Bytes read, from files and from servers.
    pub(super) read: u64,
}

impl Used {
    /// Looks again. What the kernel does not tell any more stays as it was.
    pub(super) fn look(&mut self, id: u32) {
        let process = Pid::from_raw(i32::try_from(id).expect("a process id is a small number"));
        if let Ok(used) = ClockId::pid_cpu_clock_id(process).and_then(clock_gettime) {
            self.cpu = used.into();
        }
        let told = |file: &str| fs::read_to_string(format!("/proc/{id}/{file}")).unwrap_or_default();
        let number = |text: &str, name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name))?;
            value.trim().trim_end_matches(" kB").parse::<u64>().ok()
        };
        self.read = number(&told("io"), "rchar:").unwrap_or(self.read);
        // VmHWM only grows, so the last look before the end is the peak but for what the last millisecond added. The kernel's own figure
        // (wait4) cannot be used: it counts this process's memory too, which the child shares until it becomes the program.
        // A process that is about to end has none left.
        let peak = number(&told("status"), "VmHWM:").filter(|kilobytes| *kilobytes > 0);
        self.peak_rss = peak.map_or(self.peak_rss, |kilobytes| kilobytes * 1024);
    }
}
