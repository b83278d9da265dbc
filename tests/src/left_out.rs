//! What a machine cannot check: named, counted by `./test`, and a failure unless it is allowed. No case decides for itself that it may pass unseen.

use std::fs::OpenOptions;
use std::io::Write as _;

/// Says that something is left out, and why. Fails the test unless `INIT_ALLOW_LEFT_OUT`, a list with blanks, has its name. What is left out goes into
/// the file `INIT_LEFT_OUT`, which `./test` counts.
///
/// ```no_run
/// kit::left_out("systemd", "there is no systemd-analyze to check the unit with");
/// ```
#[track_caller]
pub fn left_out(name: &str, reason: &str) {
    let allowed = std::env::var("INIT_ALLOW_LEFT_OUT").unwrap_or_default();
    assert!(
        allowed.split_whitespace().any(|it| it == name),
        "{reason}\nINIT_ALLOW_LEFT_OUT={name} allows this to be left out"
    );
    if let Some(path) = std::env::var_os("INIT_LEFT_OUT") {
        let mut list = OpenOptions::new().create(true).append(true).open(&path).expect("./test has a folder for it");
        writeln!(list, "{name}").expect("./test has a folder for it");
    }
}
