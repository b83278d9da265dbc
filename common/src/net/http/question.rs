//! One question of a readiness probe: what becomes of it below HTTP, and when an answer is one. What a refusal means is the service's business.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::Client;
use super::attempt::Attempt;
use super::call::{Call, Reply};
use crate::engine::change::Failure;
use crate::net::wait::Probe;

impl Client {
    /// Asks once, until `end`, for JSON of at most so many bytes; `refused` says what the wait makes of any other answer.
    pub fn ask(
        &self,
        path: &str,
        most: u64,
        end: Instant,
        refused: impl FnOnce(&Reply) -> Probe,
    ) -> Result<Value, Probe> {
        let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let reply = match self.attempt(&Call::get(path).at_most(most), left) {
            Attempt::Answered(reply) => reply,
            Attempt::NotSent(why) => return Err(Probe::Closed(why)),
            Attempt::Lost(why) | Attempt::Nonsense(why) => return Err(Probe::NotReady(why)),
            Attempt::Impossible(why) => return Err(Probe::Hopeless(Failure::fatal(why))),
        };
        if reply.status == 200 && !reply.is_html() {
            return reply.json().map_err(|failure| Probe::NotReady(failure.message));
        }
        Err(refused(&reply))
    }
}
