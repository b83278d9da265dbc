//! The HTTP client of os-init, grafana-init and the telemetry: bounded, counted, classified.
//!
//! A read is tried again inside. A write is sent once, and what came of it comes back as a [`Failure`] whose class the runner acts on. What a status means for a service is told by its [`Dialect`].

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use ureq::http::Request;
use ureq::unversioned::transport::{Connector, TcpConnector};

use crate::engine::change::{Class, Failure};
use crate::net::retry::{Counters, Deadline, repeat, worth_waiting};
use crate::net::rotation::Rotation;
use crate::net::tls::client_config;
use crate::net::wait::{PASSWORD_TRIES, TOKEN_TRIES};
use crate::process::settings::{Login, Server};

mod attempt;
mod call;
mod connect;
mod pages;
mod question;
mod secure;
mod sieve;

pub use attempt::Attempt;
pub use call::{Call, Reply, shorten};
pub use pages::Pages;
pub use sieve::Sieve;

use attempt::{host_of, read_answer, trouble};
use connect::{Names, authorization};
use secure::Secure;

/// The limits of one request.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `REQUEST_TIMEOUT`.
    pub request: Duration,
    /// `MAX_RETRIES`.
    pub retries: u32,
}

/// How a service's answers are to be read.
#[derive(Clone, Copy, Debug)]
pub struct Dialect {
    /// A class for a status and body where the usual table is wrong.
    pub judge: fn(call: &Call, status: u16, body: &str) -> Option<Class>,
    /// The server's own name for the error, out of its body.
    pub code: fn(body: &str) -> Option<String>,
    /// The server's own words out of an error body.
    pub explain: fn(body: &str) -> Option<String>,
}

/// The longest answer about one object.
pub const OBJECT_LIMIT: u64 = 10 * 1024 * 1024;
/// The longest answer that lists objects.
pub const LIST_LIMIT: u64 = 64 * 1024 * 1024;
/// The longest answer to a probe.
pub const PROBE_LIMIT: u64 = 64 * 1024;
/// Shorter than a probe, so that a host that drops packets is told from one that accepts and says nothing.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1500);

/// A client of one server (or of several equal ones).
pub struct Client {
    agent: ureq::Agent,
    bases: Rotation<String>,
    authorization: Mutex<Option<String>>,
    headers: Vec<(&'static str, String)>,
    limits: Limits,
    dialect: Dialect,
    counters: Arc<Counters>,
    deadline: Mutex<Deadline>,
    /// Who answers in place of a server.
    #[cfg(feature = "testing")]
    answers: Option<Answers>,
}

/// What answers a request in a test without a server.
#[cfg(feature = "testing")]
type Answers = Arc<dyn Fn(&Call) -> Attempt + Send + Sync>;

impl Client {
    /// A client; no connection is made. Fails on unreadable certificates.
    pub fn new(server: &Server, limits: Limits, dialect: Dialect, counters: Arc<Counters>) -> Result<Self> {
        let config = ureq::Agent::config_builder()
            .proxy(None)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("init-sidecars/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_await_100(None)
            .input_buffer_size(32 * 1024)
            .output_buffer_size(32 * 1024)
            .build();
        Ok(Self {
            agent: ureq::Agent::with_parts(
                config,
                TcpConnector::default().chain(Secure(client_config(&server.tls)?)),
                Names,
            ),
            bases: Rotation::new(server.urls.clone()),
            authorization: Mutex::new(authorization(&server.login)),
            headers: Vec::new(),
            limits,
            dialect,
            counters,
            deadline: Mutex::new(Deadline::after(Duration::MAX)),
            #[cfg(feature = "testing")]
            answers: None,
        })
    }

    /// A client of the same server that sends one more header with each request, in place of one of that name.
    #[must_use]
    pub fn with_header(&self, name: &'static str, value: impl Into<String>) -> Self {
        let mut headers = self.headers.clone();
        headers.retain(|(known, _)| *known != name);
        headers.push((name, value.into()));
        Self { headers, ..self.copy() }
    }

    /// A client of the same server that logs in differently.
    #[must_use]
    pub fn with_login(&self, login: &Login) -> Self {
        Self { authorization: Mutex::new(authorization(login)), ..self.copy() }
    }

    fn copy(&self) -> Self {
        Self {
            agent: self.agent.clone(),
            bases: self.bases.clone(),
            authorization: Mutex::new(self.authorization.lock().unwrap_or_else(PoisonError::into_inner).clone()),
            headers: self.headers.clone(),
            limits: self.limits,
            dialect: self.dialect,
            counters: self.counters.clone(),
            deadline: Mutex::new(self.deadline()),
            #[cfg(feature = "testing")]
            answers: self.answers.clone(),
        }
    }

    /// The same client, but no request leaves the process: each is answered by this.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn answered_by(&self, answers: impl Fn(&Call) -> Attempt + Send + Sync + 'static) -> Self {
        Self { answers: Some(Arc::new(answers)), ..self.copy() }
    }

    /// How often its credentials may be tried while they are refused.
    #[must_use]
    pub fn login_tries(&self) -> u32 {
        let authorization = self.authorization.lock().unwrap_or_else(PoisonError::into_inner);
        if authorization.as_deref().is_some_and(|value| value.starts_with("Basic ")) {
            PASSWORD_TRIES
        } else {
            TOKEN_TRIES
        }
    }

    /// Whether it logs in at all.
    #[must_use]
    pub fn logs_in(&self) -> bool {
        self.authorization.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// From now on logs in differently: the caller's own password was just changed.
    pub fn log_in_as(&self, login: &Login) {
        *self.authorization.lock().unwrap_or_else(PoisonError::into_inner) = authorization(login);
    }

    /// Every request from now on ends by the deadline.
    pub fn set_deadline(&self, deadline: Deadline) {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = deadline;
    }

    /// The deadline in force.
    #[must_use]
    pub fn deadline(&self) -> Deadline {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The base URL in use.
    #[must_use]
    pub fn base(&self) -> &str {
        self.bases.at(self.bases.place()).map_or("", String::as_str)
    }

    /// Sends a request and returns a good or accepted answer. A read is sent again after what may pass; a write is the runner's to repeat.
    pub fn send(&self, call: &Call) -> Result<Reply, Failure> {
        if call.writes {
            return self.send_once(call);
        }
        let what = format!("{} {}", call.method, call.path);
        repeat(self.limits.retries, self.deadline(), &self.counters, &what, || self.send_once(call))
    }

    fn send_once(&self, call: &Call) -> Result<Reply, Failure> {
        let left = self.deadline().left();
        if left.is_zero() {
            let message = format!("{} {}: APPLY_TIMEOUT has run out", call.method, call.path);
            return Err(Failure::new(Class::Timeout, message));
        }
        let attempt = self.attempt(call, self.limits.request.min(left));
        self.judge(call, attempt)
    }

    /// The decision table. 409 and the like are for the service's [`Dialect`].
    fn judge(&self, call: &Call, attempt: Attempt) -> Result<Reply, Failure> {
        let (class, why) = match attempt {
            Attempt::Answered(reply) => return self.judge_answer(call, reply),
            Attempt::NotSent(why) => (Class::Again, why),
            Attempt::Impossible(why) => (Class::Config, why),
            Attempt::Nonsense(why) => (Class::Fatal, why),
            Attempt::Lost(why) => (Class::Ambiguous, why),
        };
        Err(Failure::new(class, format!("{} {}: {why}", call.method, call.path)))
    }

    fn judge_answer(&self, call: &Call, reply: Reply) -> Result<Reply, Failure> {
        let status = reply.status;
        if (200..300).contains(&status) || call.accept.contains(&status) {
            if reply.is_html() {
                let message = format!(
                    "{} {}: answered with a web page, not with the API's JSON: does a proxy or login page stand in between?",
                    call.method, call.path
                );
                return Err(Failure::fatal(message));
            }
            return Ok(reply);
        }
        let class = (self.dialect.judge)(call, status, &reply.body).unwrap_or(match status {
            401 | 403 => Class::Auth,
            408 | 425 | 429 => Class::Again,
            500 | 502..=504 => Class::Ambiguous,
            400..=499 => Class::Rejected,
            _ => Class::Fatal,
        });
        let code = (self.dialect.code)(&reply.body);
        let words = reply.words(self.dialect.explain);
        let words = if words.is_empty() { String::new() } else { format!(": {words}") };
        let to = reply.location.map(|location| format!(" to {location}")).unwrap_or_default();
        let message = format!("{} {}: status {status}{to}{words}", call.method, call.path);
        let message = match reply.retry_after.filter(|_| !worth_waiting(reply.retry_after, self.deadline())) {
            Some(after) => format!("{message} (Retry-After asks for {} s, more than is left)", after.as_secs()),
            None => message,
        };
        Err(Failure { after: reply.retry_after, status: Some(status), code, ..Failure::new(class, message) })
    }

    /// Sends once, whatever comes of it, within the time given. A server that does not answer is left for the next of those given.
    pub fn attempt(&self, call: &Call, limit: Duration) -> Attempt {
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        if call.writes {
            self.counters.writes.fetch_add(1, Ordering::Relaxed);
        }
        #[cfg(feature = "testing")]
        if let Some(answers) = &self.answers {
            return attempt::as_read(answers(call), call);
        }
        let place = self.bases.place();
        let base = self.bases.at(place).map_or("", String::as_str);
        let url = format!("{base}{}", call.path);
        let mut request = Request::builder().method(call.method.clone()).uri(&url);
        let authorization = self.authorization.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        for (name, value) in self.headers.iter().chain(&call.headers) {
            request = request.header(*name, value);
        }
        let request = match request.body(call.body.clone().unwrap_or_default()) {
            Ok(request) => request,
            Err(error) => return Attempt::Impossible(format!("cannot be sent: {error}")),
        };
        let host = host_of(base);
        let sent = if call.body.is_some() {
            let request = self.agent.configure_request(request).timeout_global(Some(limit)).build();
            self.agent.run(request)
        } else {
            let request = self.agent.configure_request(request.map(|_| ())).timeout_global(Some(limit)).build();
            self.agent.run(request)
        };
        let attempt = match sent {
            Ok(response) => read_answer(response, call, &host),
            Err(error) => trouble(&error, &host, base.starts_with("https:")),
        };
        if matches!(attempt, Attempt::NotSent(_) | Attempt::Lost(_) | Attempt::Nonsense(_)) {
            self.bases.leave(place);
        }
        attempt
    }
}

/// Runs `work` on each item, a few at a time, and returns the results in order.
pub fn parallel<T: Sync, R: Send>(items: &[T], threads: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Option<R>>> = items.iter().map(|_| Mutex::new(None)).collect();
    let worker = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { return };
            let result = work(item);
            *results[index].lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        }
    };
    std::thread::scope(|scope| {
        // This thread is one of them: a single item needs no other.
        for _ in 1..threads.min(items.len()) {
            scope.spawn(worker);
        }
        worker();
    });
    let taken = |slot: Mutex<Option<R>>| slot.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.into_iter().map(|slot| taken(slot).expect("every item was worked on")).collect()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::attempt::retry_after;
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(retry_after("3", now), Some(Duration::from_secs(3)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:50:37 GMT", now), Some(Duration::from_mins(1)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
    }

    #[test]
    fn parallel_keeps_the_order() {
        let items: Vec<usize> = (0..100).collect();
        assert_eq!(parallel(&items, 4, |n| n * 2), items.iter().map(|n| n * 2).collect::<Vec<_>>());
    }

    #[test]
    fn a_second_header_of_a_name_replaces_the_first() {
        let call = Call::post("/x", "{}").header("content-type", "text/plain");
        assert_eq!(call.headers, [("content-type", "text/plain".to_owned())]);
        assert!(call.writes && !call.reads().writes);
    }
}
