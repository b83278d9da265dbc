//! What a command of the engine, of Compose or of a script said, and how it ended. It runs commands and knows none of them.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// What a command said, and how it ended.
#[derive(Debug)]
pub struct Said {
    /// The exit code; -1 when a signal ended it.
    pub code: i32,
    /// All of stdout.
    pub stdout: String,
    /// All of stderr.
    pub stderr: String,
    /// How long it took.
    pub elapsed: Duration,
}

impl Said {
    /// Fails the test, showing what was said, unless the exit code is this.
    #[track_caller]
    pub fn expect_code(&self, code: i32) -> &Self {
        assert_eq!(
            self.code, code,
            "after {:?}\n--- stdout\n{}\n--- stderr\n{}",
            self.elapsed, self.stdout, self.stderr
        );
        self
    }

    /// The log records on stderr.
    pub fn records(&self) -> Vec<Value> {
        records(&self.stderr)
    }

    /// The last record, which has to be `run finished`.
    #[track_caller]
    pub fn last(&self) -> Value {
        finished(&self.records(), &self.stderr)
    }
}

fn records(text: &str) -> Vec<Value> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).filter(Value::is_object).collect()
}

#[track_caller]
fn finished(records: &[Value], said: &str) -> Value {
    let last = records.last().cloned().unwrap_or_default();
    assert_eq!(last["msg"], "run finished", "the last record is another:\n{said}");
    last
}

/// Runs a command to its end.
#[track_caller]
pub fn say(command: &mut Command) -> Said {
    let start = Instant::now();
    let output =
        command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("could not run {command:?}: {error}"));
    Said {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        elapsed: start.elapsed(),
    }
}
