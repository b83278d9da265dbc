//! What os-init, k-init and grafana-init share, in rooms. Nothing here knows a service; a service is given to
//! [`start`](process::start) as an [`App`](process::start::App).

pub mod engine;
pub mod files;
pub mod net;
pub mod ordered;
pub mod output;
pub mod process;
#[cfg(feature = "testing")]
pub mod testing;

/// What musl has of its own gives memory back to the kernel after every small body and takes it anew for the next: most of a run's own time.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;
