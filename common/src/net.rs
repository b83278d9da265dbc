//! What touches the network: look-ups, connections, HTTP, waiting and repeating. What an answer means to a kind is not decided here.

pub mod clock;
pub mod http;
pub mod lookup;
pub mod retry;
pub mod rotation;
pub mod tls;
pub mod wait;
