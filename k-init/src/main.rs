//! k-init: makes a Kafka cluster match a folder of JSON files, then exits.

mod acl;
mod client;
mod cluster;
mod config;
mod connector;
mod decompress;
mod error;
mod jaas;
mod oauth;
mod producer;
mod properties;
mod quota;
mod records;
mod resource;
mod sasl;
mod seed;
mod service;
mod setting;
mod settings;
mod strimzi;
mod topic;
mod user;
mod wire;

fn main() -> std::process::ExitCode {
    common::process::start::start(common::process::start::App {
        name: "k-init",
        version: env!("CARGO_PKG_VERSION"),
        about: "makes a Kafka cluster match a folder of JSON files",
        variables: settings::HELP,
        kinds: service::KINDS,
        service: service::service,
    })
}
