//! Records: what the program says, in `json`, `logfmt` or `text`, on stderr, and kept for the push at the end.
//! Every line passes the mask. Which events deserve a record is not decided here.

use std::collections::VecDeque;
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::output::secret::mask;

mod bridge;
mod record;
pub mod report;
pub mod secret;
pub mod telemetry;

pub use bridge::bridge;
pub use record::{Record, debug, error, info, warn};

/// How records look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One flat JSON object a line.
    Json,
    /// `key=value` pairs.
    Logfmt,
    /// For people.
    Text,
}

/// What every record says of its run.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The program's name.
    pub app: &'static str,
    /// The program's version.
    pub version: &'static str,
    /// Random, one per run.
    pub run_id: String,
    /// `INSTANCE`, if set.
    pub instance: Option<String>,
}

struct Output {
    origin: Origin,
    state: Mutex<State>,
}

struct State {
    format: Format,
    level: log::LevelFilter,
    color: bool,
    progress: bool,
    progress_shown: bool,
    kept: VecDeque<Kept>,
    kept_bytes: usize,
    dropped: usize,
}

/// One record kept for Loki: its time in nanoseconds since 1970 and its JSON line.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Nanoseconds since 1970.
    pub at: u128,
    /// The record as a JSON line.
    pub line: String,
}

static OUTPUT: OnceLock<Output> = OnceLock::new();

/// A line is under 8 kB: Docker splits at 16 kB, and collectors mishandle the parts.
const LINE_LIMIT: usize = 8000;
/// At most this much is kept for Loki; the oldest go first, the last record never.
const KEPT_LIMIT: usize = 512 * 1024;

/// Starts the output: called once, before anything is said. Until `configure`, records come as JSON to a pipe, text to a terminal.
pub fn start(origin: Origin) {
    let terminal = std::io::stderr().is_terminal();
    let state = State {
        format: if terminal { Format::Text } else { Format::Json },
        level: log::LevelFilter::Info,
        color: terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        progress: terminal,
        progress_shown: false,
        kept: VecDeque::new(),
        kept_bytes: 0,
        dropped: 0,
    };
    // A second call would be a mistake of ours; the first one stays in force.
    let _ = OUTPUT.set(Output { origin, state: Mutex::new(state) });
}

/// Sets format and level once the settings are known.
pub fn configure(format: Option<Format>, level: log::LevelFilter) {
    with(|state| {
        if let Some(format) = format {
            state.format = format;
        }
        state.level = level;
    });
}

/// The format in force.
#[must_use]
pub fn format() -> Format {
    with(|state| state.format).unwrap_or(Format::Json)
}

/// The records kept so far, oldest first, and how many did not fit.
#[must_use]
pub fn kept() -> (Vec<Kept>, usize) {
    with(|state| (state.kept.iter().cloned().collect(), state.dropped)).unwrap_or_default()
}

/// This run's origin, once started.
#[must_use]
pub fn origin() -> Option<&'static Origin> {
    OUTPUT.get().map(|output| &output.origin)
}

fn with<T>(act: impl FnOnce(&mut State) -> T) -> Option<T> {
    let mut state = OUTPUT.get()?.state.lock().unwrap_or_else(PoisonError::into_inner);
    Some(act(&mut state))
}

/// How records look at the moment.
#[derive(Clone, Copy)]
struct Look {
    format: Format,
    level: log::LevelFilter,
    color: bool,
}

impl Look {
    fn now() -> Option<Self> {
        with(|state| Self { format: state.format, level: state.level, color: state.color })
    }
}

fn keep(state: &mut State, now: SystemTime, line: String) {
    let at = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    state.kept_bytes += line.len();
    state.kept.push_back(Kept { at, line });
    while state.kept_bytes > KEPT_LIMIT && state.kept.len() > 1 {
        let oldest = state.kept.pop_front().map_or(0, |kept| kept.line.len());
        state.kept_bytes -= oldest;
        state.dropped += 1;
    }
}

/// Whether what goes to stdout is colored.
#[must_use]
pub fn stdout_color() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The wall-clock time as it stands in records.
#[must_use]
pub fn now() -> String {
    timestamp(SystemTime::now())
}

/// Shows how far long work has come, on a terminal only; the next record takes its place.
pub fn progress(text: &str) {
    with(|state| {
        if state.progress && state.format == Format::Text {
            let mut stderr = std::io::stderr().lock();
            let _ = write!(stderr, "\r\x1b[K{}", cut(&mask(text), 100));
            let _ = stderr.flush();
            state.progress_shown = true;
        }
    });
}

/// Removes the progress line.
pub fn progress_done() {
    with(|state| {
        if std::mem::take(&mut state.progress_shown) {
            let mut stderr = std::io::stderr().lock();
            let _ = write!(stderr, "\r\x1b[K");
            let _ = stderr.flush();
        }
    });
}

/// Prints what a command was asked for, on stdout, masked. An error means that nobody reads.
pub fn print(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(mask(text).as_bytes())?;
    stdout.flush()
}

fn cut(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    format!("{}… (cut, {} bytes)", &text[..text.floor_char_boundary(limit)], text.len())
}

fn timestamp(now: SystemTime) -> String {
    humantime::format_rfc3339_millis(now).to_string()
}
