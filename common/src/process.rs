//! The program as a process: command line, settings, signals, the order of things, the exit code. No kind and no request in here.

pub mod cli;
pub mod exit;
pub mod export;
pub mod settings;
pub mod signal;
pub mod start;
