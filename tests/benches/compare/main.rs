//! The programs beside what people use today: both sides in one run, alternating, several rounds. `./test bench` runs it with the released
//! binaries; it prints one table and writes `docs/benchmarks.md`, `docs/pictures/growth.svg` and the README's table.
//!
//!     cargo bench --profile dev --package init-tests --bench compare -- [--quick] [kafka opensearch …]
//!
//! With `--quick` or with parts named nothing is written. It fails only if a program or a server does: figures are judged by their reader.

mod chart;
mod compose;
mod grafana;
mod growth;
mod http;
mod kafka;
mod opensearch;
mod page;
mod sides;
mod table;
mod waiting;
mod weight;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use sides::Scale;
use table::{Table, say};

type Part = fn(&mut Table, Scale);

const PARTS: &[(&str, Part)] = &[
    ("weight", weight::measure),
    ("waiting", waiting::measure),
    ("kafka", kafka::measure),
    ("opensearch", opensearch::measure),
    ("grafana", grafana::measure),
    ("growth", growth::measure),
    ("compose", compose::measure),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let scale = Scale { quick: arguments.iter().any(|argument| argument == "--quick") };
    let named: Vec<&str> =
        arguments.iter().map(String::as_str).filter(|argument| !argument.starts_with("--")).collect();
    if let Some(unknown) = named.iter().find(|name| !PARTS.iter().any(|(part, _)| part == *name)) {
        let parts: Vec<&str> = PARTS.iter().map(|(part, _)| *part).collect();
        panic!("there is no part {unknown}: {}", parts.join(", "));
    }
    let mut table = Table::default();
    let mut failed = Vec::new();
    for (part, measure) in PARTS.iter().filter(|(part, _)| named.is_empty() || named.contains(part)) {
        say(&format!("\n== {part}"));
        let started = Instant::now();
        // What one part has found is not lost because another fails.
        if catch_unwind(AssertUnwindSafe(|| measure(&mut table, scale))).is_err() {
            table.note(format!("the part {part} failed"));
            failed.push(*part);
        }
        say(&format!("== {part} took {:.0?}", started.elapsed()));
    }
    table.print();
    if named.is_empty() && !scale.quick {
        page::write(&table);
    }
    assert!(failed.is_empty(), "these parts failed: {}", failed.join(", "));
}
