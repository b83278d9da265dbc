//! The test kit: everything that a case needs besides its own question. It knows servers, processes and wires, and nothing of how
//! the programs under test work; it may not use their code.
//!
//! * [`sandbox`] runs a real binary with a folder, an environment and a deadline.
//! * [`servers`] runs real Kafka brokers and OpenSearch nodes.
//! * [`grafana`] is a stand-in for Grafana servers 10 to 13.
//! * [`proxy`] stands between the two and counts, cuts, delays, drops.
//! * [`loki`] stands in for a Loki.
//! * [`engine`] runs a container engine, images and Compose projects.
//! * [`fixture`] is what several cases start from, [`fixture_set`] a large set of OpenSearch's objects, [`many`] any number of objects of a kind; [`schema`] checks a document against a JSON Schema.
//! * [`table`] is what `./test faults` prints, [`dressed`] what becomes of a secret that is said back.
//! * [`scripted_http`] and [`scripted_kafka`] are servers that say exactly what a case wants.

#![expect(
    clippy::missing_panics_doc,
    reason = "whatever goes wrong in the kit fails the test, with a sentence that says what"
)]
#![expect(clippy::must_use_candidate, reason = "cases call these for their questions; an unused answer harms nobody")]

pub mod authority;
pub mod dressed;
pub mod engine;
pub mod fixture;
pub mod fixture_set;
pub mod grafana;
pub mod http1;
pub mod ism;
pub mod kafka_wire;
mod left_out;
mod listen;
pub mod loki;
pub mod many;
pub mod oracle;
mod ports;
mod process;
pub mod proxy;
pub mod sandbox;
pub mod schema;
pub mod scripted_http;
pub mod scripted_kafka;
pub mod servers;
pub mod simulation;
pub mod table;
mod wait;

pub use left_out::left_out;
pub use wait::{eventually, eventually_some, pause};
