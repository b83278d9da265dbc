//! grafana-init: makes a Grafana match a folder of JSON files, then exits. Everything but the list of modules is elsewhere.

mod dashboard;
mod datasource;
mod dialect;
mod folder;
mod form;
mod inputs;
mod kinds;
mod ready;
mod scope;
mod server;
mod uid;

fn main() -> std::process::ExitCode {
    common::start::start(server::APP)
}
