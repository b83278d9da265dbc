//! Reading files from outside: regular files only, never more than a limit, in one step. Knows nothing of what is in them.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// A secret, a certificate file or a properties file has at most this many bytes.
pub const SECRET_LIMIT: u64 = 1 << 20;

/// Reads a regular file of at most `limit` bytes; a link to one is fine. The error is a whole sentence that names the path.
///
/// ```
/// let error = common::files::read_bytes(std::path::Path::new("/dev/zero"), 100).expect_err("no regular file");
/// assert!(error.contains("/dev/zero is a device"), "{error}");
/// ```
pub fn read_bytes(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    let (file, data) = open(path)?;
    let too_long = || format!("{} has more than the {limit} bytes that are read", path.display());
    if data.len() > limit {
        return Err(too_long());
    }
    // The length is only what the file system says: files below /proc say 0, and a log grows while it is read.
    let mut bytes = Vec::with_capacity(usize::try_from(data.len()).unwrap_or_default());
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| cannot_read(path, &error))?;
    if bytes.len() as u64 > limit { Err(too_long()) } else { Ok(bytes) }
}

/// Reads a text file of at most `limit` bytes; a byte order mark is dropped.
pub fn read_text(path: &Path, limit: u64) -> Result<String, String> {
    let mut text = utf8(path, read_bytes(path, limit)?)?;
    if text.starts_with(MARK) {
        text.drain(..MARK.len_utf8());
    }
    Ok(text)
}

/// Reads a part of a text file.
pub(super) fn read_part(path: &Path, part: &Range<u64>) -> Result<String, String> {
    let (mut file, _) = open(path)?;
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(part.start))
        .and_then(|_| file.take(part.end - part.start).read_to_end(&mut bytes))
        .map_err(|error| cannot_read(path, &error))?;
    utf8(path, bytes)
}

/// Reads a secret from a file: one trailing newline is dropped, an empty file is an error.
pub fn read_secret(path: &Path) -> Result<String, String> {
    let mut text = read_text(path, SECRET_LIMIT)?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.is_empty() { Err(format!("{} is empty", path.display())) } else { Ok(text) }
}

/// What some programs write before a text to say that it is UTF-8.
pub(super) const MARK: char = '\u{feff}';

fn utf8(path: &Path, bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|error| format!("{} is not valid UTF-8: {}", path.display(), error.utf8_error()))
}

/// Opens without waiting: opening a FIFO that nobody writes to would hang for ever.
fn open(path: &Path) -> Result<(File, Metadata), String> {
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let file = opened.map_err(|error| cannot_read(path, &error))?;
    let data = file.metadata().map_err(|error| cannot_read(path, &error))?;
    let kind = data.file_type();
    let (what, remedy) = match () {
        () if kind.is_file() => return Ok((file, data)),
        () if kind.is_dir() => (
            "folder",
            "is the mount's source there? (a container engine makes an empty folder in the place of a missing file)",
        ),
        () if kind.is_fifo() => ("FIFO", "put the content into a file"),
        () if kind.is_char_device() || kind.is_block_device() => ("device", "put the content into a file"),
        () => ("socket", "put the content into a file"),
    };
    Err(format!("{} is a {what} where a file is wanted: {remedy}", path.display()))
}

/// Why a file cannot be read, with owner, mode and remedy where rights are the reason.
#[must_use]
pub fn cannot_read(path: &Path, error: &std::io::Error) -> String {
    let shown = path.display();
    if error.kind() != std::io::ErrorKind::PermissionDenied {
        return format!("cannot read {shown}: {error}");
    }
    // The effective ids as the kernel tells them; asking libc would need an unsafe call.
    let me =
        std::fs::metadata("/proc/self").map_or_else(|_| "this user".into(), |me| format!("{}:{}", me.uid(), me.gid()));
    match std::fs::metadata(path) {
        Ok(file) => format!(
            "cannot read {shown}: permission denied, it belongs to {}:{} with mode {:04o} and this process runs as {me}; \
             make it readable for that user (chmod {}, or chown to {me}), or run as its owner",
            file.uid(),
            file.gid(),
            file.mode() & 0o7777,
            if file.is_dir() { "o+rx" } else { "o+r" }
        ),
        Err(_) => {
            format!("cannot read {shown}: permission denied for {me}; a folder above it is not open to that user")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_read_and_never_more_than_the_limit() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let fifo = folder.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status().expect("mkfifo is there");
        assert!(made.success());
        for (path, what) in [(fifo.as_path(), "FIFO"), (Path::new("/dev/zero"), "device"), (folder.path(), "folder")] {
            let error = read_text(path, 10).expect_err("no file");
            assert!(error.starts_with(&format!("{} is a {what} where", path.display())), "{error}");
        }
        let file = folder.path().join("f");
        std::fs::write(&file, "\u{feff}ab").expect("write");
        assert_eq!(read_text(&file, 5).as_deref(), Ok("ab"));
        assert!(read_text(&file, 4).expect_err("too long").ends_with("has more than the 4 bytes that are read"));
        assert_eq!(read_part(&file, &(4..5)).as_deref(), Ok("b"));
        // Files of the kernel say that they are empty.
        assert!(read_bytes(Path::new("/proc/self/maps"), 10).expect_err("longer").contains("more than the 10 bytes"));
        std::fs::write(&file, "\u{feff}pass\r\n").expect("write");
        assert_eq!(read_secret(&file).as_deref(), Ok("pass"));
    }
}
