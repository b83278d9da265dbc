//! The table that `./test faults` prints: a line for each kind of attack, how many were tried and how many held. Cases count, nothing is judged here.

use std::io::Write;
use std::sync::Mutex;

use crate::listen::lock;

/// What was tried of one kind, and what did not hold.
pub struct Row {
    what: &'static str,
    tried: usize,
    wrong: Vec<String>,
}

impl Row {
    /// A line of the table, empty so far.
    pub fn new(what: &'static str) -> Self {
        Self { what, tried: 0, wrong: Vec::new() }
    }

    /// Counts one try: `None` held, or what was wrong.
    pub fn count(&mut self, wrong: Option<String>) {
        self.tried += 1;
        self.wrong.extend(wrong);
    }

    /// Prints the line, past the capture of passing cases and into the file that `INIT_TABLE` names; fails if anything did not hold.
    #[track_caller]
    pub fn end(self, bound: &str) {
        let Self { what, tried, wrong } = self;
        say(what, &format!("{} of {tried}", tried - wrong.len()), bound);
        assert!(wrong.is_empty(), "{what}: {} of {tried}\n{}", wrong.len(), wrong.join("\n"));
    }
}

/// Prints a line whose figure is not a share of what was tried.
pub fn say(what: &str, held: &str, bound: &str) {
    let line = format!("| {what:<34} | {held:>17} | {bound:<34} |\n");
    let mut out = std::io::stdout();
    out.write_all(line.as_bytes()).expect("stdout is there");
    if let Ok(path) = std::env::var("INIT_TABLE") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
        file.and_then(|mut file| file.write_all(line.as_bytes())).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
}

/// Does work for each of these on a few threads, and counts what came of it.
pub fn each<T: Sync>(row: &mut Row, tries: &[T], work: impl Fn(&T) -> Option<String> + Sync) {
    let (next, row) = (Mutex::new(tries.iter()), Mutex::new(row));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some(one) = lock(&next).next() else { return };
                    let wrong = work(one);
                    lock(&row).count(wrong);
                }
            });
        }
    });
}
