//! What is told to others at the end of a run: the records to Loki, the figures to a Pushgateway. Bounded; a failure is one
//! warning and never changes the exit code.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::change::Class;
use crate::cli::Command;
use crate::exit::Reason;
use crate::http::{Call, Client, Counters, Dialect, Limits, Reply};
use crate::output::{self, Kept};
use crate::report::{Finished, Outcome, Report};
use crate::retry::Deadline;
use crate::settings::{Common, Server};

/// Pushes what the settings ask for, both at the same time, for at most `limit`.
pub fn push(common: &Common, command: &Command, finished: &Finished, report: &Report, limit: Duration) {
    let deadline = Deadline::after(limit);
    let mut jobs: Vec<(&'static str, Box<dyn FnOnce() -> Result<(), String> + Send>)> = Vec::new();
    if let Some(loki) = common.loki.clone().filter(|_| logs(command)) {
        let tenant = common.loki_tenant.clone();
        let (records, dropped) = output::kept();
        jobs.push(("Loki", Box::new(move || push_loki(&loki, tenant, &records, dropped, deadline))));
    }
    if let Some(gateway) = common.pushgateway.clone().filter(|_| *command == Command::Apply) {
        let body = metrics(finished, report);
        let path = gateway_path(common.instance.as_deref());
        jobs.push(("Pushgateway", Box::new(move || push_gateway(&gateway, &path, body, deadline))));
    }
    let (sender, results) = channel();
    let mut waiting: Vec<&str> = Vec::new();
    for (name, job) in jobs {
        let sender = sender.clone();
        waiting.push(name);
        std::thread::spawn(move || {
            // Fails only if the time was up first.
            let _ = sender.send((name, job()));
        });
    }
    while !waiting.is_empty() {
        let Ok((name, result)) = results.recv_timeout(deadline.left()) else { break };
        waiting.retain(|waits| *waits != name);
        if let Err(error) = result {
            failed(name, &error);
        }
    }
    for name in waiting {
        failed(name, &format!("no answer within {}", crate::settings::show(limit)));
    }
}

fn failed(name: &str, error: &str) {
    output::warn("telemetry was not taken").field("target", name).field("error", error).emit();
}

fn logs(command: &Command) -> bool {
    matches!(command, Command::Apply | Command::Plan | Command::Wait | Command::Export(_))
}

const LOKI_PUSH: &str = "/loki/api/v1/push";

fn push_loki(
    server: &Server,
    tenant: Option<String>,
    records: &[Kept],
    dropped: usize,
    deadline: Deadline,
) -> Result<(), String> {
    let mut server = server.clone();
    for url in &mut server.urls {
        if let Some(base) = url.strip_suffix(LOKI_PUSH) {
            *url = base.to_owned();
        }
    }
    let client = client(&server, deadline)?;
    let mut call = Call::post(LOKI_PUSH, loki_body(records, dropped));
    if let Some(tenant) = tenant {
        call = call.header("x-scope-orgid", tenant);
    }
    // 260 is "ingestion blocked": it looks like a success and is none.
    answered(&client, &call, &[200, 204])
}

/// One stream, its timestamps strictly increasing: equal ones may change places.
fn loki_body(records: &[Kept], dropped: usize) -> String {
    let mut labels = Map::new();
    if let Some(origin) = output::origin() {
        labels.insert("service_name".into(), origin.app.into());
        if let Some(instance) = &origin.instance {
            labels.insert("instance".into(), instance.as_str().into());
        }
    }
    let mut last = 0_u128;
    let mut values: Vec<Value> = Vec::new();
    for record in records {
        last = record.at.max(last + 1);
        values.push(json!([last.to_string(), record.line]));
    }
    if dropped > 0 {
        let line = output::warn("records were left out of the push").field("dropped", dropped).json_line();
        values.push(json!([(last + 1).to_string(), line]));
    }
    json!({"streams": [{"stream": labels, "values": values}]}).to_string()
}

fn gateway_path(instance: Option<&str>) -> String {
    use base64::Engine;
    let app = output::origin().map_or("init", |origin| origin.app);
    let instance = instance.map(|instance| {
        // A value with a slash, or any odd byte, goes as base64: the Pushgateway's own way.
        let plain = instance.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        if plain {
            format!("/instance/{instance}")
        } else {
            format!("/instance@base64/{}", base64::engine::general_purpose::URL_SAFE.encode(instance))
        }
    });
    format!("/metrics/job/{app}{}", instance.unwrap_or_default())
}

fn push_gateway(server: &Server, path: &str, body: String, deadline: Deadline) -> Result<(), String> {
    let client = client(server, deadline)?;
    // POST replaces only the names sent: the time of an older success survives a failure.
    let call = Call::post(path, body).header("content-type", "text/plain; version=0.0.4");
    answered(&client, &call, &[200, 202])
}

/// The figures of a run, in Prometheus' text format.
fn metrics(finished: &Finished, report: &Report) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    let seconds = |name: &str| Duration::from_millis(finished.number(name)).as_secs_f64();
    let mut text = String::new();
    let mut gauge = |name: &str, help: &str, samples: &[(String, f64)]| {
        text += &format!("# HELP {name} {help}\n# TYPE {name} gauge\n");
        for (labels, value) in samples {
            text += &format!("{name}{labels} {value}\n");
        }
    };
    let plain = |value: f64| vec![(String::new(), value)];
    gauge("init_last_exit_code", "Exit code of the last run.", &plain(f64::from(finished.code)));
    gauge("init_last_completion_timestamp_seconds", "When the last run ended.", &plain(now));
    if finished.reason == Reason::Ok {
        gauge("init_last_success_timestamp_seconds", "When the last successful run ended.", &plain(now));
    }
    gauge("init_duration_seconds", "How long the last run worked, without the wait.", &plain(seconds("duration_ms")));
    gauge("init_wait_seconds", "How long the last run waited for its server.", &plain(seconds("wait_ms")));
    let actions =
        [Outcome::Created, Outcome::Updated, Outcome::Unchanged, Outcome::Drifted, Outcome::Failed, Outcome::Skipped];
    #[expect(clippy::cast_precision_loss, reason = "no folder holds 2^52 files")]
    let objects: Vec<(String, f64)> = actions
        .iter()
        .map(|action| (format!("{{action=\"{}\"}}", action.word()), report.count(*action) as f64))
        .collect();
    gauge("init_objects", "Objects of the last run by what became of them.", &objects);
    #[expect(clippy::cast_precision_loss, reason = "no run sends 2^52 requests")]
    let number = |name: &str| finished.number(name) as f64;
    gauge("init_writes", "Mutating requests that the last run sent.", &plain(number("writes")));
    gauge("init_retries", "Requests that the last run sent again.", &plain(number("retries")));
    let version = output::origin().map_or("", |origin| origin.version);
    gauge("init_build_info", "The program's version.", &[(format!("{{version=\"{version}\"}}"), 1.0)]);
    text
}

const DIALECT: Dialect = Dialect { judge: |_, status, _| (status >= 500).then_some(Class::Again), explain: |_| None };

fn client(server: &Server, deadline: Deadline) -> Result<Client, String> {
    // Sent again on 429, 5xx and lost connections until time is up: a line pushed twice is stored once.
    let limits = Limits { request: Duration::from_secs(3), retries: 20 };
    let client =
        Client::new(server, limits, DIALECT, Arc::new(Counters::default())).map_err(|error| format!("{error:#}"))?;
    client.set_deadline(deadline);
    Ok(client)
}

fn answered(client: &Client, call: &Call, good: &[u16]) -> Result<(), String> {
    // Not a write in the sense of this program: it may be repeated.
    let reply: Reply = client.send(&call.clone().reads()).map_err(|failure| failure.message)?;
    if good.contains(&reply.status) {
        Ok(())
    } else {
        Err(format!("status {}: {}", reply.status, crate::http::shorten(&reply.body)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_strings_and_strictly_increase() {
        let record = |at| Kept { at, line: "{}".into() };
        let body: Value =
            serde_json::from_str(&loki_body(&[record(5), record(5), record(3), record(9)], 0)).expect("JSON");
        let times: Vec<&str> = body["streams"][0]["values"]
            .as_array()
            .expect("values")
            .iter()
            .map(|value| value[0].as_str().expect("a string"))
            .collect();
        assert_eq!(times, ["5", "6", "7", "9"]);
    }

    #[test]
    fn odd_instances_go_as_base64() {
        assert_eq!(gateway_path(Some("team-a")), "/metrics/job/init/instance/team-a");
        assert_eq!(gateway_path(Some("a/b")), "/metrics/job/init/instance@base64/YS9i");
    }
}
