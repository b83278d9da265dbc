//! The monotonic clock that deadlines, pauses and settling go by. A thread can have one of its own, which moves only when it is told to:
//! so the simulation runs an hour of faults in a millisecond, on the very loops that the programs run. No wall-clock time in here.

use std::cell::Cell;
use std::time::{Duration, Instant};

thread_local! {
    static OWN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The moment on this thread's clock.
#[must_use]
pub fn now() -> Instant {
    OWN.get().unwrap_or_else(Instant::now)
}

/// Whether this thread has a clock of its own.
#[must_use]
pub fn stands_still() -> bool {
    OWN.get().is_some()
}

/// From now on this thread's clock stands still but for [`advance`] and pauses. For simulations.
pub fn stand_still() {
    OWN.set(Some(now()));
}

/// Moves a clock that stands still; says whether it is one.
#[must_use]
pub fn advance(time: Duration) -> bool {
    let own = OWN.get();
    // A clock that would overflow stays where it is: the deadline that it would pass is further still.
    OWN.set(own.map(|own| own.checked_add(time).unwrap_or(own)));
    own.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_of_its_own_moves_only_when_told() {
        std::thread::spawn(|| {
            assert!(!advance(Duration::from_secs(1)), "the system's clock is nobody's to move");
            stand_still();
            let start = now();
            assert_eq!(now(), start);
            assert!(advance(Duration::from_hours(1)));
            assert_eq!(now() - start, Duration::from_hours(1));
        })
        .join()
        .expect("no panic");
    }
}
