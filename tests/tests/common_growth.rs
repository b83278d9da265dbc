//! A small sample of `soak_growth` that no busy machine can upset: four times as many objects take at most eight times the processor time (linear
//! is four, quadratic is sixteen), and a program reads no file more often because there are more of them.

use std::time::Duration;

use kit::many::{ALL, Many};
use kit::sandbox::Run;

const MORE: usize = 4;

/// `validate` of so many.
fn validated(many: &Many, count: usize) -> Run {
    let run = many.sandbox(count).run(&["validate"]);
    run.expect_code(0);
    run
}

/// What is wrong with how a kind grows.
fn grown(many: &Many, count: usize) -> Option<String> {
    let (few, more) = (validated(many, count), validated(many, count * MORE));
    // What a program does before it reads the first file is in both.
    let (cpu, read) = (few.cpu.max(Duration::from_millis(5)), few.read);
    (more.cpu > cpu * 8 || more.read > read * 5).then(|| {
        format!(
            "{} {}: {:?} and {} bytes for {count}, {:?} and {} bytes for {}",
            many.program,
            many.name,
            few.cpu,
            few.read,
            more.cpu,
            more.read,
            count * MORE
        )
    })
}

#[test]
fn four_times_as_many_objects_take_no_more_than_eight_times_as_long() {
    let mut problems = Vec::new();
    for many in ALL {
        let count = match many.name {
            name if name.ends_with("57 KB") => 5,
            "alert_rules (groups of 10)" => 15,
            _ => 100,
        };
        // What other work costs a processor differs from run to run; what grows too fast does so each time.
        let tries: Vec<String> = (0..3).map_while(|_| grown(many, count)).collect();
        if tries.len() == 3 {
            problems.extend(tries);
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}
