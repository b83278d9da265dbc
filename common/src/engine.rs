//! Plan, apply, read back: the seam between the runner and the kinds, and the loop over it. No file, no socket and no service's name in here.

pub mod change;
pub mod diff;
pub mod document;
pub mod kind;
pub mod run;
