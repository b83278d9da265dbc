//! What the HTTP programs are compared with: one bare connection that is kept, one curl process that keeps its connection, one curl a request.

use std::fmt::Write as _;
use std::io::{BufReader, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kit::http1::{Response, read_response};
use serde_json::Value;
use tempfile::TempDir;

use crate::sides::{process, timed};

/// One request of a comparison; without a body it is a question.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) body: Option<Value>,
}

impl Call {
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self { method: "GET".to_owned(), path: path.into(), body: None }
    }

    pub(crate) fn put(path: impl Into<String>, body: Value) -> Self {
        Self { method: "PUT".to_owned(), path: path.into(), body: Some(body) }
    }
}

/// A server's address and who asks.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) login: Option<(String, String)>,
}

impl Server {
    /// Sends all of it on one connection, one after the other: how long that takes. Connecting and putting the requests together is not counted.
    #[track_caller]
    pub(crate) fn bare(&self, calls: &[Call]) -> Duration {
        let address = self.url.trim_start_matches("http://").parse().expect("a server of the kit has an address");
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).expect("the server listens");
        stream.set_nodelay(true).expect("a connection can be told");
        let mut answers = BufReader::new(stream.try_clone().expect("a connection can be shared"));
        let messages: Vec<String> = calls.iter().map(|call| self.message(call)).collect();
        let (answered, time) = timed(|| {
            let mut answered: Vec<Response> = Vec::with_capacity(calls.len());
            for (call, message) in calls.iter().zip(&messages) {
                stream.write_all(message.as_bytes()).expect("the server reads");
                answered.push(read_response(&mut answers, &call.method).expect("the server answers"));
            }
            answered
        });
        for (call, answer) in calls.iter().zip(&answered) {
            let said = String::from_utf8_lossy(&answer.body);
            assert!((200..300).contains(&answer.status), "{} {}: {} {said}", call.method, call.path, answer.status);
        }
        time
    }

    fn message(&self, call: &Call) -> String {
        let body = call.body.as_ref().map(ToString::to_string).unwrap_or_default();
        let mut text = format!("{} {} HTTP/1.1\r\nhost: server\r\n", call.method, call.path);
        if let Some((user, password)) = &self.login {
            let _ = write!(text, "authorization: Basic {}\r\n", STANDARD.encode(format!("{user}:{password}")));
        }
        let _ = write!(text, "content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        text
    }

    /// `curl -K`: one process, one connection. Statuses are not judged, as by whoever uses it that way.
    pub(crate) fn one_curl(&self, calls: &[Call]) -> Duration {
        let (folder, files) = bodies(calls);
        let mut transfers = Vec::new();
        for (call, file) in calls.iter().zip(&files) {
            let mut text =
                format!("url = \"{}{}\"\nrequest = {}\noutput = /dev/null\n", self.url, call.path, call.method);
            if let Some((user, password)) = &self.login {
                let _ = writeln!(text, "user = \"{user}:{password}\"");
            }
            if call.body.is_some() {
                let _ = write!(text, "header = \"content-type: application/json\"\ndata = \"@{}\"\n", file.display());
            }
            transfers.push(text);
        }
        let list = folder.path().join("transfers");
        std::fs::write(&list, transfers.join("next\n")).expect("the temporary folder can be written");
        process(Command::new("curl").args(["--silent", "--globoff", "--noproxy", "*", "--config"]).arg(list))
    }

    /// A shell loop with one curl a request.
    pub(crate) fn many_curls(&self, calls: &[Call]) -> Duration {
        let (folder, files) = bodies(calls);
        let login =
            self.login.as_ref().map(|(user, password)| format!("--user '{user}:{password}'")).unwrap_or_default();
        let mut script = String::from("set -e\n");
        for (call, file) in calls.iter().zip(&files) {
            let body = match call.body {
                Some(_) => format!("--header 'content-type: application/json' --data '@{}'", file.display()),
                None => String::new(),
            };
            let _ = writeln!(
                script,
                "curl --silent --globoff --noproxy '*' --output /dev/null {login} --request {} {body} '{}{}'",
                call.method, self.url, call.path
            );
        }
        let path = folder.path().join("loop.sh");
        std::fs::write(&path, script).expect("the temporary folder can be written");
        process(Command::new("sh").arg(path))
    }
}

fn bodies(calls: &[Call]) -> (TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let mut files = Vec::new();
    for (number, call) in calls.iter().enumerate() {
        let file = folder.path().join(format!("{number}.json"));
        if let Some(body) = &call.body {
            std::fs::write(&file, body.to_string()).expect("the temporary folder can be written");
        }
        files.push(file);
    }
    (folder, files)
}
