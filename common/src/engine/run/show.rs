//! How a plan is printed: for people, or a record an object.

use std::sync::Arc;

use crate::engine::change::{Difference, Failure};
use crate::output;
use crate::output::report::{Entry, Outcome, Stage};

/// Prints the plan on stdout; `unread` are the kinds that are missing in it, and why.
pub(super) fn show(entries: &[Arc<Entry>], unread: &[Failure]) -> std::io::Result<()> {
    if output::format() != output::Format::Text {
        let lines: String =
            entries.iter().map(|entry| entry.record(Stage::Planned, output::stdout_line) + "\n").collect();
        return output::print(&lines);
    }
    let color = output::stdout_color();
    let mut text = String::new();
    for entry in entries {
        let (sign, paint) = match entry.outcome {
            Outcome::Created => ("+", "\x1b[32m"),
            Outcome::Updated => ("~", "\x1b[33m"),
            Outcome::Drifted | Outcome::Failed | Outcome::Skipped => ("!", "\x1b[31m"),
            Outcome::Unchanged if entry.notes.is_empty() => continue,
            Outcome::Unchanged => ("=", ""),
        };
        let (paint, off) = if color && !paint.is_empty() { (paint, "\x1b[0m") } else { ("", "") };
        text += &format!(
            "{paint}{sign} {:<9}{off} {}\n",
            Stage::Planned.word(entry.outcome),
            output::visible(&entry.id.to_string())
        );
        let lines = entry.differences.iter().flat_map(Difference::lines);
        for line in lines.chain(entry.error.clone()).chain(entry.notes.clone()) {
            text += &format!("              {}\n", output::visible(&line));
        }
    }
    let count = |outcome: Outcome| entries.iter().filter(|entry| entry.outcome == outcome).count();
    let counts: Vec<String> =
        [Outcome::Created, Outcome::Updated, Outcome::Drifted, Outcome::Failed, Outcome::Unchanged]
            .into_iter()
            .filter(|outcome| count(*outcome) > 0)
            .map(|outcome| format!("{} {}", count(outcome), Stage::Planned.word(outcome)))
            .collect();
    let nothing = [Outcome::Created, Outcome::Updated, Outcome::Drifted, Outcome::Failed]
        .iter()
        .all(|outcome| count(*outcome) == 0);
    for failure in unread {
        text += &format!("! {failure}\n");
    }
    let head = match (unread.is_empty(), nothing) {
        (false, _) => "not the whole plan: ",
        (true, true) => "nothing to do: ",
        (true, false) => "plan: ",
    };
    text += &format!("{head}{}\n", counts.join(", "));
    output::print(&text)
}
