//! Clusters that are not Apache Kafka's: franz-go's kfake, held to the versions of another broker. Where Go is missing there are none, and that is
//! said.

use std::io::Write;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::{prepare, script};
use crate::process::Guarded;

/// Whom it plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// Redpanda 24.3, by the versions that it answers.
    Redpanda,
    /// Kafka 2.8.
    V2_8,
    /// Itself, with all that it has.
    Newest,
}

impl Variant {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Redpanda, Self::V2_8, Self::Newest];

    fn name(self) -> &'static str {
        match self {
            Self::Redpanda => "redpanda",
            Self::V2_8 => "2.8",
            Self::Newest => "newest",
        }
    }
}

/// A running one. Dropped, it ends. Its listener wants a PLAIN login as [`super::Kafka::ADMIN`].
pub struct Kfake {
    bootstrap: String,
    _process: Guarded,
    _folder: TempDir,
}

impl Kfake {
    /// Starts one; `None`, said on stderr, where there is no Go to build it.
    pub fn start(variant: Variant) -> Option<Self> {
        let usable = Command::new(script("kfake.sh")).arg("usable").output().expect("bash is there");
        if !usable.status.success() {
            let reason = String::from_utf8_lossy(&usable.stderr);
            writeln!(std::io::stderr(), "LEFT OUT: {}", reason.trim()).expect("stderr can be written");
            return None;
        }
        prepare("kfake.sh", variant.name());
        let folder =
            tempfile::Builder::new().prefix("init-kfake-").tempdir().expect("the temporary folder can be written");
        let file = folder.path().join("addresses");
        let mut command = Command::new(script("kfake.sh"));
        command.args(["start", variant.name()]).arg(&file);
        let process = Guarded::spawn(&mut command, folder.path()).expect("bash is there");
        crate::eventually(Duration::from_secs(30), || file.exists());
        let bootstrap = std::fs::read_to_string(&file).expect("it was written whole");
        Some(Self { bootstrap, _process: process, _folder: folder })
    }

    /// `host:port` of its brokers.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }
}
