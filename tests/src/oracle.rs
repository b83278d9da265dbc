//! What the oracles share: one rule for who said "done" when, and the table of it. What a world is, and how it is spoiled, is each oracle's own.
//!
//! A false success is an exit 0, of either run of a life, on a world that differs from the files. A false failure is a second run that fails
//! though nothing is wrong any more, or a first run that fails though its one failing request may be sent again.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Mutex;

use crate::listen::lock;
use crate::sandbox::Run;
use crate::table;

/// For how many requests a fault lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// One.
    Once,
    /// All until the server is healed.
    FromThenOn,
}

/// What a request of HTTP meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpFault {
    /// Answered 503, not done.
    Unavailable,
    /// Done, and the connection ends before the answer.
    LostReply,
    /// Answered 403, not done.
    Forbidden,
    /// The connection ends before it is done.
    Cut,
    /// Done, and the answer ends in its middle.
    HalfReply,
}

impl HttpFault {
    /// Each of them.
    pub const ALL: [Self; 5] = [Self::Unavailable, Self::LostReply, Self::Forbidden, Self::Cut, Self::HalfReply];

    /// Whether a run that meets it has to end with 0 all the same.
    pub fn passes(self, length: Length) -> bool {
        length == Length::Once && self != Self::Forbidden
    }
}

/// One run of a life.
pub struct Told<'a> {
    /// The run.
    pub run: &'a Run,
    /// Whether the world was as declared after it.
    pub holds: bool,
    /// Whether it had to end with 0.
    pub must: bool,
}

#[derive(Default)]
struct Row {
    tried: usize,
    truthful: usize,
    false_successes: Vec<String>,
    false_failures: Vec<String>,
}

/// The lives by what they met.
pub struct Table {
    program: &'static str,
    rows: Mutex<BTreeMap<[String; 2], Row>>,
}

impl Table {
    /// No life so far.
    pub fn of(program: &'static str) -> Self {
        Self { program, rows: Mutex::default() }
    }

    /// Judges one life: its request, its fault, its two runs, and what is to be said of one that was not true.
    pub fn count(&self, request: String, fault: String, told: &[Told<'_>; 2], say: impl Fn(&Told<'_>) -> String) {
        let mut rows = lock(&self.rows);
        let row = rows.entry([request, fault]).or_default();
        row.tried += 1;
        let mut truthful = true;
        for one in told {
            let wrong = match one.run.code() {
                Some(0) if !one.holds => &mut row.false_successes,
                code if code != Some(0) && one.must => &mut row.false_failures,
                _ => continue,
            };
            wrong.push(say(one));
            truthful = false;
        }
        row.truthful += usize::from(truthful);
    }

    /// Prints the table; fails if an answer was not true.
    #[track_caller]
    pub fn end(self) {
        let rows = self.rows.into_inner().expect("no life panics while it holds the table");
        let mut out = std::io::stdout();
        let mut print = |line: &str| writeln!(out, "{line}").expect("stdout is there");
        print("| request | fault | tried | true | false successes | false failures |\n|---|---|---|---|---|---|");
        let mut sums = [0; 4];
        for ([request, fault], row) in &rows {
            let counts = [row.tried, row.truthful, row.false_successes.len(), row.false_failures.len()];
            let [tried, truthful, successes, failures] = counts;
            print(&format!("| {request} | {fault} | {tried} | {truthful} | {successes} | {failures} |"));
            sums = [0, 1, 2, 3].map(|column| sums[column] + counts[column]);
        }
        let [tried, truthful, successes, failures] = sums;
        print(&format!("{tried} lives, {truthful} true, {successes} false successes, {failures} false failures"));
        let what = format!("lives of {} with a fault", self.program);
        table::say(&what, &format!("{truthful} of {tried}"), "exit 0 only where all is as declared");
        let wrong: Vec<&str> = rows
            .values()
            .flat_map(|row| row.false_successes.iter().chain(&row.false_failures))
            .map(String::as_str)
            .collect();
        assert!(wrong.is_empty(), "{} answers were not true:\n{}", wrong.len(), wrong.join("\n\n"));
    }
}

/// A number that a variable of the environment gives.
pub fn told(variable: &str) -> Option<usize> {
    std::env::var(variable).ok()?.parse().ok()
}
