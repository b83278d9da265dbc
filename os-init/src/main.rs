//! os-init: makes an OpenSearch cluster match a folder of JSON files, then exits. Everything but the list of modules is elsewhere.

mod alias;
mod attachment;
mod cluster;
mod data_stream;
mod dialect;
mod document;
mod index;
mod ism;
mod kinds;
mod mapping;
mod normal;
mod overlap;
mod pipeline;
mod ready;
mod script;
mod security;
mod settings;
mod snapshot;
mod template;
#[cfg(test)]
mod transcripts;
mod user;

fn main() -> std::process::ExitCode {
    common::process::start::start(cluster::APP)
}
