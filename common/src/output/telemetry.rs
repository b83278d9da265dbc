//! What is told to others at the end of a run: the records to Loki, the figures to a Pushgateway. Bounded; a failure is one
//! warning and never changes the exit code. What the records and figures say is decided elsewhere.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use log::Level;
use serde_json::{Map, Value, json};

use crate::net::http::{Attempt, Call, Client, Dialect, Limits, shorten};
use crate::net::retry::Counters;
use crate::net::retry::{Deadline, pause};
use crate::output::report::{Figures, Stage};
use crate::output::{self, Kept};
use crate::process::cli::Command;
use crate::process::exit::Reason;
use crate::process::settings::{Common, Login, Server};
use crate::process::signal::Event;

/// Both pushes together, whatever becomes of them.
pub const LIMIT: Duration = Duration::from_secs(3);
/// The same once a signal came: the process is to be gone within a second of it.
pub const LIMIT_AFTER_SIGNAL: Duration = Duration::from_millis(800);
/// The threads stop this much earlier than `push` does, so that their own words get through.
const MARGIN: Duration = Duration::from_millis(50);

/// An address that refuses, or has no name, is given up after this: whoever is only slow has the whole limit.
const PATIENCE: Duration = Duration::from_millis(300);

const LOKI: &str = "Loki";
const PUSHGATEWAY: &str = "Pushgateway";

type Job = Box<dyn FnOnce(Deadline) -> Result<(), String> + Send>;

/// The pushes at the end of one run; together they take at most [`LIMIT`], and a signal that comes meanwhile shortens that.
pub struct Push<'r> {
    common: &'r Common,
    /// `None` when the command line was wrong: its record goes to Loki, as a container with a typo in its command is a failed run
    /// like any other, but a Pushgateway's figures are those of `apply` alone.
    command: Option<&'r Command>,
    deadline: Deadline,
    records_pushed: bool,
    sender: &'r Sender<Event>,
    events: &'r Receiver<Event>,
}

impl<'r> Push<'r> {
    /// Nothing is pushed yet; the time runs from now on.
    #[must_use]
    pub fn new(
        common: &'r Common,
        command: Option<&'r Command>,
        reason: Reason,
        sender: &'r Sender<Event>,
        events: &'r Receiver<Event>,
    ) -> Self {
        let limit = if matches!(reason, Reason::Signal(_)) { LIMIT_AFTER_SIGNAL } else { LIMIT };
        Self { common, command, deadline: Deadline::after(limit), records_pushed: false, sender, events }
    }

    /// Pushes the records alone; says why they were lost, if they were.
    #[must_use]
    pub fn records(&mut self) -> Option<String> {
        self.records_pushed = true;
        let jobs = self.loki().into_iter().collect();
        self.push(jobs).into_iter().next()
    }

    /// Pushes what is not pushed yet, both at the same time.
    pub fn rest(&mut self, figures: &Figures) {
        let records = if self.records_pushed { None } else { self.loki() };
        let jobs = records.into_iter().chain(self.pushgateway(figures)).collect();
        self.push(jobs);
    }

    /// Does the jobs at the same time; returns why some failed, each of which was warned about.
    fn push(&mut self, jobs: Vec<(&'static str, Job)>) -> Vec<String> {
        let mut lost = Vec::new();
        let mut failed = |name: &str, error: &str| {
            log::warn!(target = name, error = error; "telemetry was not taken");
            lost.push(error.to_owned());
        };
        let mut waiting: Vec<&str> = Vec::new();
        for (name, job) in jobs {
            let sender = self.sender.clone();
            let thread_deadline = self.deadline.at_most(self.deadline.left().saturating_sub(MARGIN));
            let spawned = std::thread::Builder::new().name(name.into()).spawn(move || {
                #[cfg(debug_assertions)]
                crate::process::signal::crash_if_asked(name);
                // Fails only if main is gone already.
                let _ = sender.send(Event::Pushed(name, job(thread_deadline)));
            });
            match spawned {
                Ok(_) => waiting.push(name),
                Err(error) => failed(name, &format!("cannot start a thread: {error}")),
            }
        }
        while !waiting.is_empty() {
            match self.events.recv_timeout(self.deadline.left()) {
                Ok(Event::Pushed(name, result)) => {
                    waiting.retain(|waits| *waits != name);
                    if let Err(error) = result {
                        failed(name, &error);
                    }
                }
                // The run itself is over and keeps its code; only the goodbye is cut short.
                Ok(Event::Signal(_)) => self.deadline = self.deadline.at_most(LIMIT_AFTER_SIGNAL),
                // Which of the two crashed is not known, and the other one may still get through.
                Ok(Event::Crash(text)) => failed("Loki or Pushgateway", &format!("crashed: {text}")),
                Ok(Event::Done(_) | Event::Told(_)) => {}
                Err(_) => break,
            }
        }
        for name in waiting {
            failed(name, "no answer in time");
        }
        lost
    }

    fn loki(&self) -> Option<(&'static str, Job)> {
        let common = self.common;
        let mut loki = usable(common.loki.as_ref()).filter(|_| logs(self.command))?;
        for url in &mut loki.urls {
            if let Some(base) = url.strip_suffix(LOKI_PUSH) {
                *url = base.to_owned();
            }
        }
        let (records, dropped) = output::take_kept();
        let mut call = Call::post(LOKI_PUSH, loki_body(app(), common.instance.as_deref(), &records, dropped));
        if let Some(tenant) = &common.loki_tenant {
            call = call.header("x-scope-orgid", tenant);
        }
        // 260 is "ingestion blocked": it looks like a success and is none.
        Some((LOKI, Box::new(move |deadline| send(&loki, &call, &[200, 204], deadline))))
    }

    fn pushgateway(&self, figures: &Figures) -> Option<(&'static str, Job)> {
        let gateway = usable(self.common.pushgateway.as_ref()).filter(|_| self.command == Some(&Command::Apply))?;
        // POST replaces only the names sent: the time of an older success survives a failure.
        let path = gateway_path(app(), self.common.instance.as_deref());
        let call = Call::post(path, metrics(figures)).header("content-type", "text/plain; version=0.0.4");
        Some((PUSHGATEWAY, Box::new(move |deadline| send(&gateway, &call, &[200, 202], deadline))))
    }
}

fn app() -> &'static str {
    output::origin().map_or("init", |origin| origin.app)
}

/// A server without a URL is a setting that is wrong and was complained of.
fn usable(server: Option<&Server>) -> Option<Server> {
    server.filter(|server| !server.urls.is_empty()).cloned()
}

fn logs(command: Option<&Command>) -> bool {
    match command {
        None | Some(Command::Apply | Command::Plan | Command::Wait | Command::Export(_)) => true,
        Some(Command::Validate | Command::Healthcheck | Command::Help | Command::Version) => false,
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Sends until it is taken, refused for good, or time is up. A body sent twice does no harm: Loki keeps an equal line of an equal
/// time once, and a gauge is set to what it was set to.
fn send(server: &Server, call: &Call, good: &[u16], deadline: Deadline) -> Result<(), String> {
    let limits = Limits { request: LIMIT, retries: 0 };
    let plain = Dialect { judge: |_, _, _| None, code: |_| None, explain: |_| None };
    let client =
        Client::new(server, limits, plain, Arc::new(Counters::default())).map_err(|error| format!("{error:#}"))?;
    let (mut rest, soon) = (FIRST_PAUSE, deadline.at_most(PATIENCE));
    loop {
        let (why, asked, end) = match client.attempt(call, deadline.left()) {
            Attempt::Answered(reply) if good.contains(&reply.status) && !reply.is_html() => return Ok(()),
            Attempt::Answered(reply) => {
                let to = reply.location.as_ref().map(|location| format!(" to {location}")).unwrap_or_default();
                let words = match server.login {
                    Login::Anonymous if !reply.is_html() => shorten(&reply.body, 300),
                    _ => reply.words(message),
                };
                let why = format!("{} answered {}{to}: {words}", client.base(), reply.status);
                // A 400 of Loki may have kept a part of the lines (3.4.6 does): it is never sent again as a whole.
                if reply.status != 429 && reply.status < 500 {
                    return Err(why);
                }
                (why, reply.retry_after, deadline)
            }
            Attempt::Impossible(why) | Attempt::Nonsense(why) => return Err(why),
            Attempt::NotSent(why) => (why, None, soon),
            Attempt::Lost(why) => (why, None, deadline),
        };
        rest = rest.max(asked.unwrap_or_default());
        if rest >= end.left() {
            return Err(why);
        }
        pause(rest, deadline);
        rest = (rest * 2).min(LONGEST_PAUSE);
    }
}

/// The server's own words out of a JSON error.
fn message(body: &str) -> Option<String> {
    let value: Value = serde_json::from_str(body).ok()?;
    ["message", "error", "reason"].iter().find_map(|name| value[*name].as_str().map(str::to_owned))
}

const LOKI_PUSH: &str = "/loki/api/v1/push";

/// One stream, its timestamps strictly increasing: equal ones may change places.
fn loki_body(app: &str, instance: Option<&str>, records: &[Kept], dropped: usize) -> String {
    let mut labels = Map::new();
    labels.insert("service_name".into(), app.into());
    if let Some(instance) = instance {
        labels.insert("instance".into(), instance.into());
    }
    let mut last = 0_u128;
    let mut values: Vec<Value> = Vec::new();
    if dropped > 0 {
        let text = format_args!("the oldest records were left out of the push");
        let line = output::record(Level::Warn, module_path!(), text, &[("dropped", dropped.into())], output::json_line);
        last = records.first().map_or(1, |record| record.at.saturating_sub(1));
        values.push(json!([last.to_string(), line]));
    }
    for record in records {
        last = record.at.max(last + 1);
        values.push(json!([last.to_string(), record.line]));
    }
    json!({"streams": [{"stream": labels, "values": values}]}).to_string()
}

fn gateway_path(app: &str, instance: Option<&str>) -> String {
    use base64::Engine;
    let instance = instance.map(|instance| {
        // A value with a slash, or any odd byte, goes as base64: the Pushgateway's own way. A dot could make `..` of the path.
        let plain = instance.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
        if plain {
            format!("/instance/{instance}")
        } else {
            format!("/instance@base64/{}", base64::engine::general_purpose::URL_SAFE.encode(instance))
        }
    });
    format!("/metrics/job/{app}{}", instance.unwrap_or_default())
}

/// The figures of a run, in Prometheus' text format.
fn metrics(figures: &Figures) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    let mut text = String::new();
    let mut gauge = |name: &str, help: &str, samples: &[(String, f64)]| {
        text += &format!("# HELP {name} {help}\n# TYPE {name} gauge\n");
        for (labels, value) in samples {
            text += &format!("{name}{labels} {value}\n");
        }
    };
    let plain = |value: f64| vec![(String::new(), value)];
    gauge("init_last_exit_code", "Exit code of the last run.", &plain(f64::from(figures.code)));
    gauge("init_last_completion_timestamp_seconds", "When the last run ended.", &plain(now));
    if figures.reason == Reason::Ok {
        gauge("init_last_success_timestamp_seconds", "When the last successful run ended.", &plain(now));
    }
    gauge(
        "init_duration_seconds",
        "How long the last run worked, without the wait.",
        &plain(figures.work.as_secs_f64()),
    );
    gauge("init_wait_seconds", "How long the last run waited for its server.", &plain(figures.wait.as_secs_f64()));
    #[expect(clippy::cast_precision_loss, reason = "no run counts to 2^52")]
    let number = |count: u64| count as f64;
    let objects: Vec<(String, f64)> = figures
        .counts
        .iter()
        .map(|(outcome, count)| (format!("{{action=\"{}\"}}", Stage::Done.word(*outcome)), number(*count)))
        .collect();
    gauge("init_objects", "Objects of the last run by what became of them.", &objects);
    gauge("init_writes", "Mutating requests that the last run sent.", &plain(number(figures.writes)));
    gauge("init_retries", "Requests that the last run sent again.", &plain(number(figures.retries)));
    let version = output::origin().map_or("", |origin| origin.version);
    gauge("init_build_info", "The program's version.", &[(format!("{{version=\"{version}\"}}"), 1.0)]);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(records: &[Kept], dropped: usize) -> Vec<String> {
        let body: Value = serde_json::from_str(&loki_body("t-init", None, records, dropped)).expect("JSON");
        let values = body["streams"][0]["values"].as_array().expect("values").clone();
        values.iter().map(|value| value[0].as_str().expect("a string").to_owned()).collect()
    }

    #[test]
    fn timestamps_are_strings_and_strictly_increase() {
        let record = |at| Kept { at, line: "{}".into() };
        assert_eq!(times(&[record(5), record(5), record(3), record(9)], 0), ["5", "6", "7", "9"]);
        assert_eq!(times(&[record(5), record(5)], 3), ["4", "5", "6"], "what is missing is said where it is missing");
    }

    #[test]
    fn odd_instances_go_as_base64() {
        assert_eq!(gateway_path("t-init", Some("team-a")), "/metrics/job/t-init/instance/team-a");
        assert_eq!(gateway_path("t-init", Some("a/b")), "/metrics/job/t-init/instance@base64/YS9i");
        assert_eq!(gateway_path("t-init", Some("..")), "/metrics/job/t-init/instance@base64/Li4=");
    }
}
