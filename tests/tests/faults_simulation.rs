//! The long simulation: 20,000 lives, or ten minutes of them. `SIMULATION_FIRST` and `SIMULATION_LIVES` choose others: a night's worth, or
//! the one that failed.

use std::io::Write;
use std::time::{Duration, Instant};

use kit::simulation::{MUTANTS, Mutant, lives};
use kit::table::Row;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

/// Each rule of the runner that is broken on purpose, and after how many lives that is seen.
#[test]
fn broken_rules_are_found() {
    let mut row = Row::new("rules broken on purpose");
    for mutant in MUTANTS {
        let (tally, result) = lives(0, 1000, mutant, || true);
        row.count(result.is_ok().then(|| format!("{mutant:?} is not seen in {} lives", tally.lives)));
    }
    row.end("seen within 1,000 lives");
}

/// Past the capture of passing cases: the table is what one looks for.
fn say(line: &str) {
    drop(writeln!(std::io::stdout(), "{line}"));
}

#[test]
fn twenty_thousand_lives_hold_what_is_promised() {
    let (first, most) = (number("SIMULATION_FIRST", 1_000_000), number("SIMULATION_LIVES", 20_000));
    let limit = if most > 20_000 { Duration::from_hours(12) } else { Duration::from_mins(10) };
    let started = Instant::now();
    let (tally, result) = lives(first, most, Mutant::None, || started.elapsed() < limit);
    say(&format!("simulated lives: {} in {} s", tally.lives, started.elapsed().as_secs()));
    tally.ended.iter().for_each(|(end, count)| say(&format!("  runs that ended {end:<12} {count:>8}")));
    tally.faults.iter().for_each(|(fault, count)| say(&format!("  {fault:<27} {count:>8}")));
    say(&format!("  wrong: {}", u8::from(result.is_err())));
    let held = tally.lives - u64::from(result.is_err());
    kit::table::say("simulated lives", &format!("{held} of {}", tally.lives), "exit 0 only if the server matches");
    assert_eq!(result, Ok(()));
}
