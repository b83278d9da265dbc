//! Where the programs under test are, and building them where nobody has.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// The binary of one of the workspace's programs: in `INIT_BIN_DIR` when that is set, else built (once a process) beside this test binary.
pub fn program_path(program: &str) -> PathBuf {
    static BUILT: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    if let Some(folder) = std::env::var_os("INIT_BIN_DIR").filter(|folder| !folder.is_empty()) {
        let path = PathBuf::from(folder).join(program);
        return path.canonicalize().unwrap_or_else(|error| panic!("INIT_BIN_DIR has no {}: {error}", path.display()));
    }
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    built.entry(program.to_owned()).or_insert_with(|| build(program)).clone()
}

fn build(program: &str) -> PathBuf {
    // <target>/debug/deps/<this>
    let this = std::env::current_exe().expect("the running binary has a path");
    let profile = this.ancestors().nth(2).expect("a test binary lies in <target>/<profile>/deps");
    let target = profile.parent().expect("a profile's folder lies in the target folder");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--quiet", "--package", program, "--target-dir"])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    if profile.ends_with("release") {
        command.arg("--release");
    }
    let output = command.output().expect("cargo runs this test, so it can be run");
    assert!(output.status.success(), "could not build {program}:\n{}", String::from_utf8_lossy(&output.stderr));
    profile.join(program)
}
