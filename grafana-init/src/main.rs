//! grafana-init
fn main() {}
