//! os-init
fn main() {}
