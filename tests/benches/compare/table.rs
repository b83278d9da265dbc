//! What was measured: samples, rows, the table that is printed. It knows nothing of what is measured, and judges nothing but a row's own bound.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

/// Milliseconds of one side, one figure a round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn push(&mut self, time: Duration) {
        self.0.push(time.as_secs_f64() * 1000.0);
        self.0.sort_by(f64::total_cmp);
    }

    pub(crate) fn median(&self) -> f64 {
        self.percentile(50)
    }

    /// The smallest figure that so many of a hundred do not exceed; zero without any.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let place = (self.0.len() * percent).div_ceil(100).saturating_sub(1);
        self.0.get(place).copied().unwrap_or_default()
    }

    /// Each figure so many times: an extrapolation.
    pub(crate) fn times(&self, factor: f64) -> Self {
        Self(self.0.iter().map(|sample| sample * factor).collect())
    }

    fn spread(&self) -> String {
        match (self.0.first(), self.0.last()) {
            (Some(low), Some(high)) => format!("{} – {}", shown(*low), shown(*high)),
            _ => String::new(),
        }
    }
}

/// Three digits of some milliseconds, in the unit that a reader would choose.
pub(crate) fn shown(ms: f64) -> String {
    match ms {
        ms if ms >= 10_000.0 => format!("{:.1} s", ms / 1000.0),
        ms if ms >= 1000.0 => format!("{:.2} s", ms / 1000.0),
        ms if ms >= 10.0 => format!("{ms:.0} ms"),
        ms => format!("{ms:.1} ms"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
pub(crate) fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// What is done, by every side.
    pub(crate) work: String,
    /// Who does it.
    pub(crate) side: String,
    /// The median, or what was found.
    pub(crate) found: String,
    /// The median as a number, where it is one.
    pub(crate) milliseconds: Option<f64>,
    pub(crate) spread: String,
    /// How many times the first side of the same work.
    pub(crate) ratio: Option<f64>,
    pub(crate) bound: String,
    pub(crate) holds: Option<bool>,
}

impl Row {
    /// At most so many times the first side.
    pub(crate) fn at_most(&mut self, limit: f64) -> &mut Self {
        let holds = self.ratio.is_some_and(|ratio| ratio <= limit);
        self.bound(format!("≤ {limit} ×"), holds)
    }

    pub(crate) fn bound(&mut self, text: impl Into<String>, holds: bool) -> &mut Self {
        let text = text.into();
        self.bound = if self.bound.is_empty() { text } else { format!("{}, {text}", self.bound) };
        self.holds = Some(self.holds.unwrap_or(true) && holds);
        self
    }

    fn cells(&self) -> [String; 7] {
        let ratio = self.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
        let held = match self.holds {
            None => "",
            Some(true) => "yes",
            Some(false) => "**no**",
        };
        [&self.work, &self.side, &self.found, &self.spread, &ratio, &self.bound, held].map(ToString::to_string)
    }
}

/// All rows, in order.
#[derive(Default)]
pub(crate) struct Table {
    pub(crate) rows: Vec<Row>,
    /// What was left out and why, versions, how something was counted.
    pub(crate) notes: Vec<String>,
    /// What grows with the number of objects.
    pub(crate) curves: Vec<Curve>,
}

/// One kind's cost at several sizes.
#[derive(Clone, Debug)]
pub(crate) struct Curve {
    pub(crate) program: &'static str,
    pub(crate) kind: String,
    /// `validate`, `plan` or `second run`.
    pub(crate) command: &'static str,
    pub(crate) points: Vec<Point>,
}

/// The cost of one size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    pub(crate) objects: usize,
    pub(crate) cpu: Duration,
    pub(crate) elapsed: Duration,
    pub(crate) memory: u64,
    pub(crate) requests: u64,
}

const HEAD: [&str; 7] = ["work", "side", "median", "spread", "ratio", "bound", "reached"];

impl Table {
    /// A row of figures. The first of a work is what the others are compared with.
    pub(crate) fn row(&mut self, work: &str, side: &str, samples: &Samples, base: &Samples) -> &mut Row {
        let ratio = (base.median() > 0.0).then(|| samples.median() / base.median());
        let milliseconds = Some(samples.median());
        let row = Row { ratio, milliseconds, spread: samples.spread(), ..plain(work, side, shown(samples.median())) };
        self.add(row)
    }

    /// A row of something that was found out.
    pub(crate) fn fact(&mut self, work: &str, side: &str, found: impl Into<String>) -> &mut Row {
        self.add(plain(work, side, found.into()))
    }

    pub(crate) fn note(&mut self, text: impl Into<String>) {
        let text = text.into();
        say(&format!("note: {text}"));
        self.notes.push(text);
    }

    fn add(&mut self, row: Row) -> &mut Row {
        say(&format!("{}: {}: {} ({})", row.work, row.side, row.found, row.spread));
        self.rows.push(row);
        self.rows.last_mut().expect("it was just pushed")
    }

    /// The rows of this work in Markdown; the work is said once.
    pub(crate) fn markdown(rows: &[&Row]) -> String {
        let mut text = format!("| {} |\n|{}\n", HEAD.join(" | "), "---|".repeat(HEAD.len()));
        let mut before = "";
        for row in rows {
            let mut cells = row.cells();
            if row.work == before {
                cells[0].clear();
            }
            before = &row.work;
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
        text
    }

    /// For a terminal.
    pub(crate) fn print(&self) {
        let rows: Vec<[String; 7]> = self.rows.iter().map(Row::cells).collect();
        let width = |column: usize| {
            rows.iter().map(|row| row[column].chars().count()).chain([HEAD[column].len()]).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
        let line = |cells: &[String; 7]| {
            let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        say("\nmeasured on this machine, all sides in this run:\n");
        say(&line(&HEAD.map(str::to_owned)));
        for row in &rows {
            say(&line(row));
        }
        for note in &self.notes {
            say(&format!("* {note}"));
        }
    }
}

fn plain(work: &str, side: &str, found: String) -> Row {
    Row {
        work: work.to_owned(),
        side: side.to_owned(),
        found,
        milliseconds: None,
        spread: String::new(),
        ratio: None,
        bound: String::new(),
        holds: None,
    }
}

pub(crate) fn say(text: &str) {
    // Nobody may be reading.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
