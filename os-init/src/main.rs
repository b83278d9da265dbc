//! os-init: makes an OpenSearch cluster match a folder of JSON files, then exits. Everything but the list of modules is elsewhere.

mod alias;
mod cluster;
mod dialect;
mod document;
mod index;
mod kinds;
mod mapping;
mod normal;
mod overlap;
mod pipeline;
mod ready;
mod template;

fn main() -> std::process::ExitCode {
    common::start::start(cluster::APP)
}
