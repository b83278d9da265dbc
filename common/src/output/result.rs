//! `RESULT_FILE`: the last record with every object, as one JSON object. Where it is written and how; what it says comes from the report.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Result, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::report::{Entry, Figures};
use crate::net::retry::{Deadline, pause};

/// How long a pipe that nobody empties is waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// Writes the result: a regular file is replaced as a whole, by a temporary one and a rename; what exists and is none (a pipe, a device,
/// `/dev/stdout`) is written to.
pub fn write(path: &Path, figures: &Figures, entries: &[Arc<Entry>]) -> Result<()> {
    let text = format!("{}\n", Value::Object(result(figures, entries)));
    // `/dev/stdout` may lead to a regular file, which is the shell's and holds what others wrote.
    if path.starts_with("/dev") || path.starts_with("/proc") {
        return append(path, text.as_bytes());
    }
    match path.canonicalize() {
        Ok(real) if real.is_file() => replace(&real, text.as_bytes()),
        Ok(real) => append(&real, text.as_bytes()),
        Err(error) if error.kind() == ErrorKind::NotFound && !path.is_symlink() => replace(path, text.as_bytes()),
        Err(error) => Err(error),
    }
}

fn result(figures: &Figures, entries: &[Arc<Entry>]) -> Map<String, Value> {
    let mut result = Map::new();
    if let Some(origin) = super::origin() {
        let own = [("app", origin.app), ("version", origin.version), ("run_id", &origin.run_id)];
        let own = own.into_iter().chain(origin.instance.as_deref().map(|instance| ("instance", instance)));
        result.extend(own.map(|(name, value)| (name.to_owned(), super::secret::mask(value).into())));
    }
    result.extend(super::fields(&figures.fields()));
    let objects: Vec<Value> = entries.iter().map(|entry| entry.json(figures.stage)).collect();
    result.insert("objects".into(), objects.into());
    result
}

fn replace(path: &Path, text: &[u8]) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // A name that nobody can guess, and made by this call: what another left there is neither used nor followed.
    let temporary =
        path.with_file_name(format!(".{name}.{}.tmp", super::origin().map_or("0", |origin| &origin.run_id)));
    let mut file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
    let written = file.write_all(text).and_then(|()| file.sync_all());
    written.and_then(|()| std::fs::rename(&temporary, path)).inspect_err(|_| {
        // What is half written helps nobody; the error itself is reported by the caller.
        let _ = std::fs::remove_file(&temporary);
    })
}

fn append(path: &Path, mut text: &[u8]) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    // Without O_NONBLOCK the opening of a pipe waits for a reader.
    let mut file = OpenOptions::new().append(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let deadline = Deadline::after(PATIENCE);
    while !text.is_empty() {
        match file.write(text) {
            Ok(length) => text = &text[length..],
            Err(error) if error.kind() == ErrorKind::WouldBlock && !deadline.passed() => {
                pause(Duration::from_millis(5), deadline);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
