//! Faults that a case asks for: which request they meet and what happens to it. How a connection carries that out is the
//! server's part.

use std::time::Duration;

/// What happens to a request.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Answered with a status and a body, not carried out.
    Answer(u16, String),
    /// Carried out, and then answered with another status and body.
    ApplyThenAnswer(u16, String),
    /// The connection is cut before the request is carried out.
    ResetBefore,
    /// Carried out, and the connection is cut before the answer.
    ApplyThenDrop,
    /// Carried out and answered after a pause.
    Delay(Duration),
    /// Carried out; the answer is cut in the middle of its body.
    Truncate,
}

/// A fault and the requests that it meets.
#[derive(Debug, Clone)]
pub struct Fault {
    method: Option<String>,
    path: String,
    first: u64,
    times: u64,
    every: u64,
    headers: Vec<(String, String)>,
    effect: Effect,
    seen: u64,
}

impl Fault {
    /// On every request with this method whose path begins so; the path is compared without the query.
    pub fn on(method: &str, path: &str, effect: Effect) -> Fault {
        Fault { method: Some(method.to_owned()), ..Fault::anywhere(path, effect) }
    }

    /// On every request, whatever its method, whose path begins so.
    pub fn anywhere(path: &str, effect: Effect) -> Fault {
        let path = path.to_owned();
        Fault { method: None, path, first: 1, times: u64::MAX, every: 1, headers: Vec::new(), effect, seen: 0 }
    }

    /// Only on the nth matching request, counted from 1.
    #[must_use]
    pub fn nth(self, nth: u64) -> Fault {
        Fault { first: nth, times: 1, ..self }
    }

    /// Only on the first so many matching requests.
    #[must_use]
    pub fn times(self, times: u64) -> Fault {
        Fault { times, ..self }
    }

    /// Only on every nth matching request.
    #[must_use]
    pub fn every(self, every: u64) -> Fault {
        Fault { first: every, every, ..self }
    }

    /// With this header on the answer, such as `Retry-After`; a `Content-Type` takes the place of the usual one.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Fault {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn meets(&mut self, method: &str, path: &str) -> bool {
        if self.method.as_deref().is_some_and(|own| own != method) || !path.starts_with(&self.path) {
            return false;
        }
        self.seen += 1;
        if self.seen < self.first {
            return false;
        }
        let later = self.seen - self.first;
        later.is_multiple_of(self.every) && later / self.every < self.times
    }
}

/// The faults of one server.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// What happens to this request. Every fault counts it; the first that meets it acts.
    pub(super) fn next(&mut self, method: &str, path: &str) -> Option<(Effect, Vec<(String, String)>)> {
        let mut met: Option<(Effect, Vec<(String, String)>)> = None;
        for fault in &mut self.0 {
            if fault.meets(method, path) && met.is_none() {
                met = Some((fault.effect.clone(), fault.headers.clone()));
            }
        }
        met
    }
}
