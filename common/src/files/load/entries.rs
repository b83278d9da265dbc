//! What lies in folders, within bounds: each folder once on its way down, so deep, so many entries, so many bytes. Reads no meaning.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::super::foreign::File;
use super::super::read::{MARK, cannot_read, read_bytes};
use super::super::{OBJECT_LIMIT, Problem};
use super::{Loader, is_data};

const DEPTH_LIMIT: usize = 32;
const ENTRIES_LIMIT: usize = 50_000;
const BYTES_LIMIT: u64 = 1 << 30;
/// Of what cannot be read again by itself when it is sent.
const KEPT_LIMIT: usize = 64 << 20;

/// One file or folder.
pub(super) struct Entry {
    pub(super) path: PathBuf,
    pub(super) name: String,
    pub(super) folder: bool,
}

impl Entry {
    /// The name without the ending, and the ending in lower case.
    pub(super) fn split(&self) -> (String, String) {
        match self.name.rsplit_once('.') {
            Some((stem, ending)) => (stem.to_owned(), ending.to_ascii_lowercase()),
            None => (self.name.clone(), String::new()),
        }
    }
}

/// How far the walk has got.
#[derive(Default)]
pub(super) struct Walk {
    /// Device and number of the folders on the way down: a link must not lead back to one of them.
    above: Vec<(u64, u64)>,
    entries: usize,
    bytes: u64,
    kept: usize,
    /// Why the walk ended before its end.
    pub(super) full: Option<Problem>,
    /// Whether the text that was read last began with a byte order mark.
    marked: bool,
}

impl Walk {
    /// Goes up again from the folder whose entries were asked for.
    pub(super) fn leave(&mut self) {
        self.above.pop();
    }

    /// Where in its file the text begins that was read last.
    pub(super) fn start(&self) -> u64 {
        if self.marked { MARK.len_utf8() as u64 } else { 0 }
    }

    /// Counts a body that stays in memory.
    pub(super) fn keep(&mut self, bytes: usize, file: &str) {
        self.kept += bytes;
        if self.kept > KEPT_LIMIT {
            let message = format!(
                "objects in maps of YAML and in other tools' files stay in memory, and have more than {} MiB together: \
                 give large ones files of their own",
                KEPT_LIMIT >> 20
            );
            self.stop(Problem::of_file(file, message));
        }
    }

    pub(super) fn stop(&mut self, problem: Problem) {
        self.full.get_or_insert(problem);
    }
}

impl Loader<'_> {
    /// The entries of a folder, sorted, hidden ones left out. Every call is followed by [`Walk::leave`].
    pub(super) fn entries(&mut self, folder: &Path) -> Vec<Entry> {
        let identity = std::fs::metadata(folder).map(|data| (data.dev(), data.ino()));
        let back = identity.as_ref().is_ok_and(|identity| self.walk.above.contains(identity));
        self.walk.above.push(identity.unwrap_or_default());
        if self.walk.full.is_some() {
            return Vec::new();
        }
        if back {
            self.problem(folder, "a link that leads back to a folder above it: remove it");
            return Vec::new();
        }
        if self.walk.above.len() > DEPTH_LIMIT + 1 {
            self.problem(folder, format!("more than {DEPTH_LIMIT} folders deep"));
            return Vec::new();
        }
        let read = match std::fs::read_dir(folder) {
            Ok(read) => read,
            Err(error) => {
                self.unreadable(folder, &error);
                return Vec::new();
            }
        };
        let mut entries = Vec::new();
        for entry in read {
            let path = match entry {
                Ok(entry) => entry.path(),
                Err(error) => {
                    self.unreadable(folder, &error);
                    continue;
                }
            };
            self.walk.entries += 1;
            if self.walk.entries > ENTRIES_LIMIT {
                let message = format!(
                    "more than {ENTRIES_LIMIT} files and folders: is the mount right, and does a link lead out of it? \
                     Put many objects into one file ({{\"<name>\": {{…}}}})"
                );
                self.walk.stop(Problem::of_file(self.shown(folder), message));
                return Vec::new();
            }
            let Some(name) = path.file_name().and_then(|name| name.to_str()).map(str::to_owned) else {
                self.problem(&path, "the file's name is not valid UTF-8: percent-encode it");
                continue;
            };
            if name.starts_with('.') {
                continue;
            }
            // Follows links: a ConfigMap's files are links through `..data`.
            match std::fs::metadata(&path) {
                Ok(data) => entries.push(Entry { folder: data.is_dir(), path, name }),
                Err(error) => self.unreadable(&path, &error),
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        entries
    }

    /// Every file below a folder of another tool.
    pub(in crate::files) fn files(&mut self, folder: &Path) -> Vec<File> {
        let mut found = Vec::new();
        self.files_below(folder, &mut Vec::new(), &mut found);
        found
    }

    fn files_below(&mut self, folder: &Path, above: &mut Vec<String>, found: &mut Vec<File>) {
        for entry in self.entries(folder) {
            let (stem, ending) = entry.split();
            if entry.folder && is_data(&ending) {
                self.folder_for_file(&entry.path);
            } else if entry.folder {
                above.push(entry.name);
                self.files_below(&entry.path, above, found);
                above.pop();
            } else {
                found.push(File { path: entry.path, folders: above.clone(), stem, ending });
            }
        }
        self.walk.leave();
    }

    /// The text of a file without its byte order mark; what is wrong is noted.
    pub(super) fn text(&mut self, path: &Path, limit: u64) -> Option<String> {
        if self.walk.full.is_some() {
            return None;
        }
        let read = read_bytes(path, limit).and_then(|bytes| {
            self.walk.bytes += bytes.len() as u64;
            String::from_utf8(bytes).map_err(|error| format!("not valid UTF-8: {}", error.utf8_error()))
        });
        if self.walk.bytes > BYTES_LIMIT {
            let message = format!("the files have more than {} MiB together", BYTES_LIMIT >> 20);
            self.walk.stop(Problem::of_file(self.shown(path), message));
        }
        match read {
            Ok(mut text) => {
                self.walk.marked = text.starts_with(MARK);
                if self.walk.marked {
                    text.drain(..MARK.len_utf8());
                }
                Some(text)
            }
            Err(error) => {
                self.problem(path, error);
                None
            }
        }
    }

    fn unreadable(&mut self, path: &Path, error: &std::io::Error) {
        // The sentence has the whole path: before it, the path of the folder itself would only be said twice.
        let file = if path == self.root { String::new() } else { self.shown(path) };
        self.problems.push(Problem::of_file(file, cannot_read(path, error)));
    }
}

/// One YAML file has at most this many bytes, whatever form it is in.
pub(super) const YAML_LIMIT: u64 = OBJECT_LIMIT;
