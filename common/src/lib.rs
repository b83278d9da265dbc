//! What os-init, k-init and grafana-init share, in rooms. Nothing here knows a service; a service is given to
//! [`start`](process::start) as an [`App`](process::start::App).

pub mod engine;
pub mod files;
pub mod net;
pub mod ordered;
pub mod output;
pub mod process;
