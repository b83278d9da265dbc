//! Waiting, in one place. Cases wait for a condition; a bare pause is for those that are about time itself.

use std::time::{Duration, Instant};

/// Does nothing for so long.
pub fn pause(time: Duration) {
    #[expect(clippy::disallowed_methods, reason = "the one place of the kit that sleeps")]
    std::thread::sleep(time);
}

/// Polls until the condition holds, and panics at the caller's line when it does not within the deadline.
#[track_caller]
pub fn eventually(deadline: Duration, mut condition: impl FnMut() -> bool) {
    eventually_some(deadline, || condition().then_some(()));
}

/// Polls until there is an answer, and panics at the caller's line when there is none within the deadline.
#[track_caller]
pub fn eventually_some<T>(deadline: Duration, mut question: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + deadline;
    loop {
        if let Some(answer) = question() {
            return answer;
        }
        assert!(Instant::now() < end, "not within {deadline:?}");
        pause(Duration::from_millis(10));
    }
}
