//! grafana-init: makes a Grafana match a folder of JSON files, then exits. Everything but the list of modules is elsewhere.

mod alerting;
mod correlation;
#[cfg(test)]
mod damaged;
mod dashboard;
mod datasource;
mod declared;
mod dialect;
mod folder;
mod identity;
mod kinds;
mod library;
mod org;
mod permission;
mod playlist;
mod plugin;
mod preferences;
mod provisioning;
mod public_dashboard;
mod ready;
mod resource;
mod scope;
mod server;
mod service;
mod service_account;
mod step;
mod team;
mod uid;
mod zone;

fn main() -> std::process::ExitCode {
    common::process::start::start(service::APP)
}
