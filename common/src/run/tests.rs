//! Cases of the runner.
