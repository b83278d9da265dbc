//! What os-init, k-init and grafana-init share: settings, files, waiting, retrying, comparing, running, reporting.
//! Nothing here knows a service; a service is given to [`start`] as an [`App`](start::App).

pub mod change;
pub mod cli;
pub mod diff;
pub mod document;
pub mod exit;
pub mod export;
pub mod files;
pub mod http;
pub mod interpolate;
pub mod json;
pub mod kind;
pub mod net;
pub mod output;
pub mod report;
pub mod retry;
pub mod run;
pub mod secret;
pub mod settings;
pub mod signal;
pub mod start;
pub mod telemetry;
pub mod tls;
pub mod wait;
