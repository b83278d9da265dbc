//! k-init
fn main() {}
