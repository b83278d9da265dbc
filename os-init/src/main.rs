//! os-init: makes an OpenSearch cluster match a folder of JSON files, then exits. Everything but the list of modules is elsewhere.

mod alias;
mod attachment;
mod cluster;
mod compose;
#[cfg(test)]
mod damaged;
mod data_stream;
mod dialect;
mod document;
mod index;
mod ism;
mod job;
mod kinds;
mod known;
mod lockout;
mod mapping;
mod normal;
mod overlap;
mod pipeline;
mod ready;
mod script;
mod security;
mod security_folder;
mod service;
mod settings;
mod simulate;
mod snapshot;
mod step;
mod template;
#[cfg(test)]
mod transcripts;
mod user;

fn main() -> std::process::ExitCode {
    common::process::start::start(service::APP)
}
