//! Deadlines, back-off, the one loop that repeats, and the one place where the program pauses. What class a failure is of is not decided here.
//!
//! Whoever repeats takes its patience from here: reads by `MAX_RETRIES` in the transport, writes by `MAX_RETRIES` in the runner, after a new plan.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::engine::change::{Class, Failure};
use crate::net::clock;

/// What was sent, counted for the last record.
#[derive(Debug, Default)]
pub struct Counters {
    /// Requests of any kind.
    pub requests: AtomicU64,
    /// Requests that may change the server.
    pub writes: AtomicU64,
    /// Requests that were sent again.
    pub retries: AtomicU64,
}

/// A `Retry-After` longer than this is not waited for, whatever time is left.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(30);

/// Whether a pause that the server asked for ends in time for another try.
#[must_use]
pub fn worth_waiting(asked: Option<Duration>, deadline: Deadline) -> bool {
    asked.is_none_or(|asked| asked <= LONGEST_RETRY_AFTER && asked < deadline.left())
}

/// Tries something that changes nothing until it succeeds, fails for good, was tried `retries` times more, or the deadline passes.
/// Each repetition is counted and logged at debug.
pub fn repeat<T>(
    retries: u32,
    deadline: Deadline,
    counters: &Counters,
    what: &dyn fmt::Display,
    mut attempt: impl FnMut() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut backoff = Backoff::default();
    loop {
        let failure = match attempt() {
            Ok(done) => return Ok(done),
            Err(failure) => failure,
        };
        if !failure.class.recovers() || backoff.tries() >= retries || !worth_waiting(failure.after, deadline) {
            return Err(failure);
        }
        let rest = backoff.next(failure.after);
        if rest >= deadline.left() {
            return Err(Failure { class: Class::Timeout, ..failure }.context("APPLY_TIMEOUT has run out"));
        }
        counters.retries.fetch_add(1, Ordering::Relaxed);
        log::debug!(request:% = what, reason = failure.message; "trying again");
        pause(rest, deadline);
    }
}

/// A point on the monotonic clock by which something has to be over; time while that clock is [held](hold) does not count.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    at: Instant,
    /// How long the clock had been held when this was made.
    held: Duration,
}

/// How long deadlines stood still, and since when they do.
struct Held {
    total: Duration,
    since: Option<Instant>,
}

static HELD: Mutex<Held> = Mutex::new(Held { total: Duration::ZERO, since: None });

fn elapsed(since: Instant) -> Duration {
    clock::now().saturating_duration_since(since)
}

fn held() -> Duration {
    let held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    held.total + held.since.map_or(Duration::ZERO, elapsed)
}

/// Does something that has a clock of its own: no deadline comes nearer meanwhile. Waiting for a part of the server that comes late is no
/// work, and must not use up the time for it.
pub fn hold<T>(work: impl FnOnce() -> T) -> T {
    let set = |since: Option<Instant>| {
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut held.since, since);
        held.total += before.map_or(Duration::ZERO, elapsed);
    };
    set(Some(clock::now()));
    let done = work();
    set(None);
    done
}

impl Deadline {
    /// The moment `time` from now.
    #[must_use]
    pub fn after(time: Duration) -> Self {
        let now = clock::now();
        // A setting such as WAIT_TIMEOUT=9999999h must not overflow the clock: a century is for ever.
        let at = now.checked_add(time).unwrap_or(now + Duration::from_hours(876_000));
        Self { at, held: held() }
    }

    /// What is left; zero when it has passed.
    #[must_use]
    pub fn left(self) -> Duration {
        (self.at + held().saturating_sub(self.held)).saturating_duration_since(clock::now())
    }

    /// Whether it has passed.
    #[must_use]
    pub fn passed(self) -> bool {
        self.left().is_zero()
    }

    /// The earlier of this and `time` from now.
    #[must_use]
    pub fn at_most(self, time: Duration) -> Self {
        let other = Self::after(time);
        if self.left() < other.left() { self } else { other }
    }
}

/// Random numbers for jitter: seeded once from the system, then cheap. Not for secrets.
#[derive(Debug)]
pub struct Jitter(u64);

impl Jitter {
    /// A generator seeded by the system.
    #[must_use]
    pub fn new() -> Self {
        use std::hash::{BuildHasher, Hasher};
        // A simulation is the same each time.
        if clock::stands_still() {
            return Self(0x9E37_79B9_7F4A_7C15);
        }
        // RandomState is seeded by the system once per process and stepped per use.
        Self(std::collections::hash_map::RandomState::new().build_hasher().finish() | 1)
    }

    /// The next number in 0..1 (xorshift64*).
    pub fn unit(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let top = u32::try_from(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32).unwrap_or(0);
        f64::from(top) / (f64::from(u32::MAX) + 1.0)
    }
}

impl Default for Jitter {
    fn default() -> Self {
        Self::new()
    }
}

/// Full jitter: between nothing and a bound that doubles from 200 ms to 5 s.
#[derive(Debug, Default)]
pub struct Backoff {
    tries: u32,
    jitter: Jitter,
}

impl Backoff {
    const BASE: Duration = Duration::from_millis(200);
    const CAP: Duration = Duration::from_secs(5);

    /// How many pauses were asked for so far.
    #[must_use]
    pub fn tries(&self) -> u32 {
        self.tries
    }

    /// The next pause; `after` is what the server asked for, and is the least.
    pub fn next(&mut self, after: Option<Duration>) -> Duration {
        let bound = (Self::BASE * 2_u32.saturating_pow(self.tries.min(16))).min(Self::CAP);
        self.tries += 1;
        bound.mul_f64(self.jitter.unit()).max(after.unwrap_or_default())
    }
}

/// Pauses for `time`, but not past the deadline. The signal thread ends the process meanwhile if it has to.
pub fn pause(time: Duration, deadline: Deadline) {
    let time = time.min(deadline.left());
    if !clock::advance(time) {
        #[expect(clippy::disallowed_methods, reason = "the one pause of the program; bounded by the deadline")]
        std::thread::sleep(time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_fills_its_range_and_stays_in_it() {
        let mut jitter = Jitter::new();
        let numbers: Vec<f64> = (0..2000).map(|_| jitter.unit()).collect();
        assert!(numbers.iter().all(|n| (0.0..1.0).contains(n)));
        assert!(numbers.iter().any(|n| *n < 0.1) && numbers.iter().any(|n| *n > 0.9));
    }

    #[test]
    fn backoff_grows_to_its_cap_and_honors_the_server() {
        let mut backoff = Backoff::default();
        for _ in 0..40 {
            assert!(backoff.next(None) <= Backoff::CAP);
        }
        assert!(backoff.next(Some(Duration::from_secs(9))) >= Duration::from_secs(9));
    }

    /// On a clock of its own: how often something was tried that always fails so, with which retries counted, how it ended and how long
    /// that took.
    fn tried(retries: u32, time: Duration, failure: &Failure) -> (u32, u64, Class, Duration) {
        let failure = failure.clone();
        let life = move || {
            clock::stand_still();
            let (counters, start, mut tries) = (Counters::default(), clock::now(), 0);
            let result: Result<(), Failure> = repeat(retries, Deadline::after(time), &counters, &"GET /", || {
                tries += 1;
                Err(failure.clone())
            });
            let class = result.expect_err("it always fails").class;
            (tries, counters.retries.load(Ordering::Relaxed), class, clock::now() - start)
        };
        std::thread::spawn(life).join().expect("no panic")
    }

    #[test]
    fn what_may_pass_is_tried_again_as_often_as_allowed_and_no_longer_than_there_is_time() {
        let again = Failure::new(Class::Again, "busy");
        let (hour, after) =
            (Duration::from_hours(1), |seconds| Failure { after: Some(Duration::from_secs(seconds)), ..again.clone() });
        let (tries, retries, class, _) = tried(3, hour, &again);
        assert_eq!((tries, retries, class), (4, 3, Class::Again));
        assert_eq!(tried(0, hour, &again), (1, 0, Class::Again, Duration::ZERO));
        assert_eq!(tried(3, hour, &Failure::new(Class::Rejected, "no")), (1, 0, Class::Rejected, Duration::ZERO));
        // Each pause is as long as the server asks for, up to half a minute.
        assert_eq!(tried(2, hour, &after(30)), (3, 2, Class::Again, Duration::from_mins(1)));
        assert_eq!(tried(2, hour, &after(31)), (1, 0, Class::Again, Duration::ZERO));
        // What ends after the deadline is not waited for.
        assert_eq!(tried(2, Duration::from_secs(10), &after(10)), (1, 0, Class::Again, Duration::ZERO));
        assert_eq!(tried(2, Duration::from_secs(10), &after(6)), (2, 1, Class::Again, Duration::from_secs(6)));
        let (tries, retries, class, took) = tried(1000, Duration::from_mins(1), &again);
        assert_eq!(class, Class::Timeout);
        assert!(u64::from(tries) == retries + 1 && took < Duration::from_mins(1), "{tries} in {took:?}");
    }

    #[test]
    fn the_earlier_deadline_counts() {
        std::thread::spawn(|| {
            clock::stand_still();
            let deadline = Deadline::after(Duration::from_secs(5));
            assert_eq!(deadline.at_most(Duration::from_secs(9)).left(), Duration::from_secs(5));
            assert_eq!(deadline.at_most(Duration::from_secs(2)).left(), Duration::from_secs(2));
            pause(Duration::from_secs(2), deadline);
            assert_eq!((deadline.left(), deadline.passed()), (Duration::from_secs(3), false));
            // Not past the deadline.
            pause(Duration::from_secs(9), deadline);
            assert_eq!((deadline.left(), deadline.passed()), (Duration::ZERO, true));
        })
        .join()
        .expect("no panic");
    }

    #[test]
    fn the_bound_of_a_pause_doubles_up_to_its_cap() {
        // The most of many tries is near the bound: 200 ms, 400 ms, … and 5 s.
        let most = |nth: usize| {
            let pauses = (0..400).map(|_| {
                let mut backoff = Backoff::default();
                for _ in 0..nth {
                    backoff.next(None);
                }
                backoff.next(None)
            });
            pauses.max().unwrap_or_default().as_millis()
        };
        for (nth, bound) in [(0, 200), (1, 400), (2, 800), (3, 1600), (4, 3200), (5, 5000), (30, 5000)] {
            assert!((bound * 9 / 10..=bound).contains(&most(nth)), "{nth}: {}", most(nth));
        }
        let mut backoff = Backoff::default();
        assert_eq!(backoff.tries(), 0);
        backoff.next(None);
        assert_eq!(backoff.tries(), 1);
    }

    #[test]
    fn a_held_clock_brings_no_deadline_nearer() {
        let deadline = Deadline::after(Duration::from_millis(40));
        let short = Deadline::after(Duration::from_mins(1)).at_most(Duration::from_millis(40));
        hold(|| {
            pause(Duration::from_millis(80), Deadline::after(Duration::from_mins(1)));
            assert!(!deadline.passed() && !short.passed());
        });
        assert!(!deadline.passed());
        pause(Duration::from_millis(80), Deadline::after(Duration::from_mins(1)));
        assert!(deadline.passed() && short.passed());
    }

    #[test]
    fn absurdly_long_deadlines_do_not_overflow() {
        assert!(!Deadline::after(Duration::MAX).passed());
    }
}
