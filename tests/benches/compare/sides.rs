//! Running the sides of a comparison: in turn, in another order each round, and timed from outside. No knowledge of servers.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kit::sandbox::Run;

use crate::table::Samples;

/// How large a run is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// To try a bench out: everything small, nothing written.
    pub(crate) quick: bool,
}

impl Scale {
    /// One of two numbers.
    pub(crate) fn pick<T>(self, whole: T, quick: T) -> T {
        if self.quick { quick } else { whole }
    }
}

/// One side: what it does in a round, with the times of its steps by their names.
pub(crate) struct Side<'s> {
    pub(crate) name: &'static str,
    pub(crate) run: Box<dyn FnMut(usize) -> Times + 's>,
}

/// The steps of one round.
pub(crate) type Times = Vec<(&'static str, Duration)>;

impl<'s> Side<'s> {
    pub(crate) fn new(name: &'static str, run: impl FnMut(usize) -> Times + 's) -> Self {
        Self { name, run: Box::new(run) }
    }
}

/// The samples of each side's steps.
#[derive(Default)]
pub(crate) struct Found(BTreeMap<(&'static str, &'static str), Samples>);

impl Found {
    /// Empty for a side that did not take part.
    pub(crate) fn of(&self, side: &'static str, step: &'static str) -> Samples {
        self.0.get(&(side, step)).cloned().unwrap_or_default()
    }
}

/// All sides in turn, starting with another one each round, since the machine's speed drifts. The first round warms up and does not count.
pub(crate) fn alternate(rounds: usize, sides: &mut [Side<'_>]) -> Found {
    let mut found = Found::default();
    for round in 0..=rounds {
        for side in &mut *sides {
            for (step, time) in (side.run)(round) {
                if round > 0 {
                    found.0.entry((side.name, step)).or_default().push(time);
                }
            }
        }
        sides.rotate_left(1);
    }
    found
}

/// How long the work took, without the wait for the server, by the program's own last record.
pub(crate) fn work(run: &Run) -> Duration {
    Duration::from_millis(run.count("duration_ms"))
}

/// How long a step takes.
pub(crate) fn timed<T>(step: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    let done = step();
    (done, started.elapsed())
}

/// A whole process, which has to succeed.
#[track_caller]
pub(crate) fn process(command: &mut Command) -> Duration {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let (output, time) = timed(|| command.output());
    let output = output.unwrap_or_else(|error| panic!("could not run {command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    time
}

/// A Python of its own with the pinned packages, made once; the reason where that cannot be had.
pub(crate) fn python() -> Result<std::path::PathBuf, String> {
    const PINNED: &str = include_str!("peers/requirements.txt");
    let home = kit::servers::cache().join("peers");
    let (python, stamp) = (home.join("bin/python"), home.join("requirements.txt"));
    if std::fs::read_to_string(&stamp).is_ok_and(|made| made == PINNED) {
        return Ok(python);
    }
    let run = |command: &mut Command| match command.stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(error.to_string()),
    };
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home))?;
    let wanted = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/compare/peers/requirements.txt");
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(wanted))?;
    std::fs::write(&stamp, PINNED).map_err(|error| error.to_string())?;
    Ok(python)
}

/// A peer's script, which lies beside this file.
pub(crate) fn script(python: &Path, name: &str) -> Command {
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/compare/peers").join(name));
    command
}
