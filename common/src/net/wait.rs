//! Waiting until a server is ready: the schedule of probes, what is waited out and what ends the run at once.
//! What a probe asks is the service's business.

use std::time::{Duration, Instant};

use crate::engine::change::{Class, Failure};
use crate::net::retry::{Deadline, Jitter, pause};

/// What one readiness probe found.
#[derive(Clone, Debug)]
pub enum Probe {
    /// Ready; the text says what answered ("OpenSearch 3.8.0, yellow, 1 data node").
    Ready(String),
    /// Nothing listens there, or the name is unknown. Asked again within 100 ms.
    Closed(String),
    /// Something answered that is not ready yet. Asked again within 250 ms.
    NotReady(String),
    /// Credentials were refused. Tried a few times, five seconds apart: security may still be loading.
    Denied(String),
    /// Waiting cannot help: a wrong certificate, say.
    Hopeless(Failure),
}

/// Longest time one probe may take.
pub const PROBE_LIMIT: Duration = Duration::from_secs(2);
/// How often a user and a password are tried: servers lock a login after a few failures (Grafana after five), for people too.
pub const PASSWORD_TRIES: u32 = 3;
/// How often anything else is tried that lets in: a token locks nobody out.
pub const TOKEN_TRIES: u32 = 6;
const DENIED_PAUSE: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const CLOSED_CAP: Duration = Duration::from_millis(60);
const NOT_READY_CAP: Duration = Duration::from_millis(200);
const REPEAT_REASON: Duration = Duration::from_secs(5);

/// Probes until the server is ready or the deadline passes; the error carries the last real cause. Refused credentials are tried
/// `login_tries` times.
pub fn until_ready(
    timeout: Duration,
    login_tries: u32,
    mut probe: impl FnMut(Duration) -> Probe,
) -> Result<String, Failure> {
    let deadline = Deadline::after(timeout);
    let mut schedule = Schedule::default();
    let mut told = Told::default();
    let mut denied = 0;
    let mut last_reason: Option<String> = None;
    loop {
        let limit = PROBE_LIMIT.min(deadline.left()).max(Duration::from_millis(1));
        let (class, reason, rest) = match probe(limit) {
            Probe::Ready(what) => return Ok(what),
            Probe::Hopeless(failure) => return Err(Failure { class: Class::Config, ..failure }),
            Probe::Denied(reason) => {
                denied += 1;
                if denied >= login_tries {
                    return Err(Failure::new(Class::Auth, reason));
                }
                (Class::Auth, reason, DENIED_PAUSE)
            }
            Probe::Closed(reason) => (Class::Timeout, reason, schedule.next(CLOSED_CAP)),
            Probe::NotReady(reason) => (Class::Timeout, reason, schedule.next(NOT_READY_CAP)),
        };
        // The last probe may be cut short by the deadline, and then knows less than the one before it.
        let cut_short = limit < PROBE_LIMIT && deadline.passed();
        let reason = last_reason.take().filter(|_| cut_short).unwrap_or(reason);
        told.tell(&reason);
        let last = rest >= deadline.left();
        if class == Class::Timeout || !last {
            pause(rest, deadline);
        }
        if last {
            return Err(Failure::new(
                class,
                format!("not ready within {}: {reason}", crate::process::settings::show(timeout)),
            ));
        }
        last_reason = Some(reason);
    }
}

/// Says why we wait: at once for a new reason, every few seconds for a standing one.
#[derive(Default)]
struct Told {
    last: Option<(String, Instant)>,
}

impl Told {
    fn tell(&mut self, reason: &str) {
        let now = Instant::now();
        // A cause may carry changing details; a burst of new ones is held to one a second.
        let quiet = match &self.last {
            None => Duration::ZERO,
            Some((last, _)) if last == reason => REPEAT_REASON,
            Some(_) => Duration::from_secs(1),
        };
        if self.last.as_ref().is_none_or(|(_, at)| now.duration_since(*at) >= quiet) {
            log::info!(reason = reason; "waiting");
            self.last = Some((reason.to_owned(), now));
        }
    }
}

/// Pauses between probes: 20 ms growing by half to the cap given, ±20 %.
#[derive(Default)]
struct Schedule {
    rest: Option<Duration>,
    jitter: Jitter,
}

impl Schedule {
    fn next(&mut self, cap: Duration) -> Duration {
        let rest = self.rest.map_or(FIRST_PAUSE, |rest| rest.mul_f64(1.5)).min(cap);
        self.rest = Some(rest);
        rest.mul_f64(0.8 + 0.4 * self.jitter.unit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_keeps_to_its_caps() {
        let mut schedule = Schedule::default();
        let first = schedule.next(CLOSED_CAP);
        assert!((16..=24).contains(&first.as_millis()), "{first:?}");
        for _ in 0..20 {
            assert!(schedule.next(CLOSED_CAP) <= CLOSED_CAP.mul_f64(1.2));
        }
        for _ in 0..20 {
            assert!(schedule.next(NOT_READY_CAP) <= NOT_READY_CAP.mul_f64(1.2));
        }
    }

    #[test]
    fn a_time_out_names_the_last_cause() {
        let failure =
            until_ready(Duration::from_millis(60), TOKEN_TRIES, |_| Probe::Closed("connection refused".into()))
                .expect_err("never ready");
        assert_eq!(failure.class, Class::Timeout);
        assert!(failure.message.contains("connection refused"), "{failure}");
    }

    #[test]
    fn a_probe_that_the_deadline_cuts_short_does_not_hide_the_cause() {
        let mut probes = 0;
        let failure = until_ready(Duration::from_millis(100), TOKEN_TRIES, |limit| {
            probes += 1;
            if probes == 1 {
                return Probe::NotReady("the disk is full".into());
            }
            pause(limit, Deadline::after(Duration::MAX));
            Probe::NotReady("no answer in time".into())
        });
        assert_eq!(failure.expect_err("never ready").message, "not ready within 100ms: the disk is full");
    }

    #[test]
    fn a_hopeless_probe_ends_the_wait_at_once() {
        let mut probes = 0;
        let failure = until_ready(Duration::from_mins(1), TOKEN_TRIES, |_| {
            probes += 1;
            Probe::Hopeless(Failure::fatal("the certificate is for another name"))
        });
        assert!(failure.is_err());
        assert_eq!(probes, 1);
    }

    #[test]
    fn readiness_is_reported_with_what_answered() {
        let mut left = 3;
        let ready = until_ready(Duration::from_mins(1), TOKEN_TRIES, |_| {
            left -= 1;
            if left == 0 { Probe::Ready("Kafka".into()) } else { Probe::NotReady("starting".into()) }
        });
        assert_eq!(ready.expect("ready at the third probe"), "Kafka");
    }
}
