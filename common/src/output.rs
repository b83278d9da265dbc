//! What the program says: records through `log`, on stderr and kept for the push at the end, and what a command prints on stdout.
//! Every line passes the mask. Which events deserve a record is not decided here.
//!
//! Records are made by `log`'s macros, with fields as key-values: `log::info!(reason = why; "waiting")`. A record with a field `msg`
//! shows its message to people only, and is called by that field everywhere else.

use std::collections::VecDeque;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use log::{Level, LevelFilter};

use crate::output::secret::mask;

mod record;
pub mod report;
pub mod result;
pub mod secret;
mod stderr;
pub mod telemetry;

pub use record::{fields, record, visible};

use record::Line;
use stderr::Stderr;

/// The target of records that are printed whatever `LOG_LEVEL` says: `log::warn!(target: ALWAYS, error = why; "cannot write RESULT_FILE")`.
pub const ALWAYS: &str = "always";

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

impl Origin {
    /// Whether a record comes from the program itself, not from a library.
    fn owns(&self, target: &str) -> bool {
        let root = target.split("::").next().unwrap_or_default();
        root == ALWAYS || root == OWN_CRATE || root == self.app.replace('-', "_")
    }
}

/// This crate, as it stands in targets.
const OWN_CRATE: &str = env!("CARGO_CRATE_NAME");

struct Output {
    origin: Origin,
    format: Format,
    color: bool,
    progress_shown: AtomicBool,
    stderr: Stderr,
    kept: Mutex<Keep>,
}

/// One record kept for Loki: its time in nanoseconds since 1970 and its JSON line.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Nanoseconds since 1970.
    pub at: u128,
    /// The record as a JSON line.
    pub line: String,
}

#[derive(Default)]
struct Keep {
    records: VecDeque<Kept>,
    bytes: usize,
    dropped: usize,
    /// The push has taken the records: what is said from then on is not kept.
    taken: bool,
}

/// Set once, before the work begins, and never changed: `log` has one logger for a process.
static OUTPUT: OnceLock<Output> = OnceLock::new();

/// A line is under 8 kB: Docker splits at 16 kB, and collectors mishandle the parts.
const LINE_LIMIT: usize = 8000;
/// At most this much is kept for Loki; the oldest go first, the last record never.
const KEPT_LIMIT: usize = 512 * 1024;

/// Starts the output; a second call changes nothing. `level` is for the program's own records. The libraries' records are let through
/// as `rust_log` says (`RUST_LOG`), else warnings and errors alone: their other lines are about sockets, not about the work.
pub fn start(origin: Origin, format: Option<Format>, level: LevelFilter, rust_log: Option<&str>) {
    // Who comes second waits until the first is through: a crash has something to say at once.
    static STARTED: Once = Once::new();
    STARTED.call_once(|| start_once(origin, format, level, rust_log));
}

fn start_once(origin: Origin, format: Option<Format>, level: LevelFilter, rust_log: Option<&str>) {
    let terminal = std::io::stderr().is_terminal();
    let own = origin.app.replace('-', "_");
    let output = Output {
        origin,
        format: format.unwrap_or(if terminal { Format::Text } else { Format::Json }),
        color: terminal && colors(),
        progress_shown: AtomicBool::new(false),
        stderr: Stderr::default(),
        kept: Mutex::default(),
    };
    if OUTPUT.set(output).is_err() {
        return;
    }
    let Some(output) = OUTPUT.get() else { return };
    output.stderr.start();
    let mut builder = env_logger::Builder::new();
    match rust_log {
        Some(directives) => builder.parse_filters(directives),
        None => builder.filter_level(level.min(LevelFilter::Warn)),
    };
    builder.filter_module(OWN_CRATE, level).filter_module(&own, level).filter_module(ALWAYS, LevelFilter::Info);
    builder.target(env_logger::Target::Pipe(Box::new(&output.stderr)));
    builder.format(|buffer, record| {
        let line = Line::of(record, &output.origin);
        output.keep(line.json(LINE_LIMIT));
        let lost = output.stderr.take_lost();
        if lost > 0 {
            let shown = |record: &log::Record<'_>| Line::of(record, &output.origin).shown(output.format, output.color);
            let text = format_args!("records were lost: nobody read stderr in time");
            writeln!(buffer, "{}", self::record(Level::Warn, ALWAYS, text, &[("records", lost.into())], shown))?;
        }
        let clear = if output.progress_shown.swap(false, Ordering::Relaxed) { CLEAR } else { "" };
        writeln!(buffer, "{clear}{}", line.shown(output.format, output.color))
    });
    let logger = builder.build();
    // ureq 3.5 traces every byte that it sends, in hexadecimal and sixteen at a time: passwords in pieces that no mask can find.
    log::set_max_level(logger.filter().min(LevelFilter::Debug));
    // Fails only if set twice, which the lock above rules out.
    let _ = log::set_boxed_logger(Box::new(logger));
}

/// The format in force.
#[must_use]
pub fn format() -> Format {
    OUTPUT.get().map_or(Format::Json, |output| output.format)
}

/// This run's origin, once started.
#[must_use]
pub fn origin() -> Option<&'static Origin> {
    OUTPUT.get().map(|output| &output.origin)
}

/// Keeps a record for the push without saying it: a plan is printed as a whole, the last record is said after the push.
pub fn keep(record: &log::Record<'_>) {
    if let Some(output) = OUTPUT.get()
        && log::logger().enabled(record.metadata())
    {
        output.keep(Line::of(record, &output.origin).json(LINE_LIMIT));
    }
}

/// The records kept so far, oldest first, and how many did not fit. What is said from now on is not kept any more.
#[must_use]
pub fn take_kept() -> (Vec<Kept>, usize) {
    let Some(output) = OUTPUT.get() else { return (Vec::new(), 0) };
    let mut kept = output.kept.lock().unwrap_or_else(PoisonError::into_inner);
    kept.taken = true;
    (std::mem::take(&mut kept.records).into(), kept.dropped)
}

/// A record as one line in at most so many bytes: logfmt where that is the format in force, else JSON.
#[must_use]
pub fn line(record: &log::Record<'_>, limit: usize) -> String {
    let Some(output) = OUTPUT.get() else { return String::new() };
    let line = Line::of(record, &output.origin);
    if output.format == Format::Logfmt { line.logfmt(limit) } else { line.json(limit) }
}

/// A record as one line of stdout.
#[must_use]
pub fn stdout_line(record: &log::Record<'_>) -> String {
    line(record, LINE_LIMIT)
}

/// A record as one JSON line, whatever the format in force.
#[must_use]
pub fn json_line(record: &log::Record<'_>) -> String {
    OUTPUT.get().map_or_else(String::new, |output| Line::of(record, &output.origin).json(LINE_LIMIT))
}

/// Says the last record: nothing comes behind it, though the work may still be running after a signal or a crash. Waits until all is
/// written, for as long as given: nobody may be reading stderr.
pub fn say_last(limit: Duration, say: impl FnOnce()) {
    if let Some(output) = OUTPUT.get() {
        output.stderr.claim();
        say();
        output.stderr.drain(limit);
    }
}

impl Output {
    fn keep(&self, line: String) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.taken {
            return;
        }
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        kept.bytes += line.len();
        kept.records.push_back(Kept { at, line });
        while kept.bytes > KEPT_LIMIT && kept.records.len() > 1 {
            let oldest = kept.records.pop_front().map_or(0, |oldest| oldest.line.len());
            kept.bytes -= oldest;
            kept.dropped += 1;
        }
    }
}

fn colors() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether what goes to stdout is colored.
#[must_use]
pub fn stdout_color() -> bool {
    std::io::stdout().is_terminal() && colors()
}

/// The wall-clock time as it stands in records.
#[must_use]
pub fn now() -> String {
    humantime::format_rfc3339_millis(SystemTime::now()).to_string()
}

/// Back to the line's beginning, and all of it away.
const CLEAR: &str = "\r\x1b[K";

/// Shows how far long work has come, on a terminal only; the next record takes its place.
pub fn progress(text: &str) {
    if let Some(output) = OUTPUT.get().filter(|output| output.format == Format::Text && std::io::stderr().is_terminal())
    {
        output.stderr.push(format!("{CLEAR}{}", cut(&mask(text), 100)).as_bytes());
        output.progress_shown.store(true, Ordering::Relaxed);
    }
}

/// Removes the progress line.
pub fn progress_done() {
    if let Some(output) = OUTPUT.get().filter(|output| output.progress_shown.swap(false, Ordering::Relaxed)) {
        output.stderr.push(CLEAR.as_bytes());
    }
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
