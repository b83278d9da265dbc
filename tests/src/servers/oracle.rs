//! Kafka's own Java client, started once and asked as often as a case likes: for those that have too many questions for a JVM each. What it is
//! asked is in the head of `setup/kafka/Oracle.java`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use super::{Kafka, script};

/// A running one. Dropped, it ends, as it does when its questions end.
pub struct Oracle {
    process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Oracle {
    /// Starts one beside a cluster.
    pub fn beside(kafka: &Kafka) -> Self {
        let mut command = Command::new(script("kafka.sh"));
        command.args(["oracle", kafka.version().number(), &kafka.bootstrap(), "serve"]);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("bash is there");
        let questions = process.stdin.take().expect("it was piped");
        let answers = BufReader::new(process.stdout.take().expect("it was piped"));
        Self { process, questions, answers }
    }

    /// Asks one question.
    #[track_caller]
    pub fn ask(&mut self, question: &[&str]) -> Value {
        writeln!(self.questions, "{}", Value::from(question)).expect("it still reads: what went wrong is on stderr");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("it still writes: what went wrong is on stderr");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{question:?}: {error}: {line:?}"))
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
