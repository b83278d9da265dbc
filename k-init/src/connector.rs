//! Connectors of Kafka Connect: their config, replaced whole, and the state that they are to be in. Asks Connect's own HTTP API; no Kafka here.
//!
//! | declared | Connect has                      | then                                                   |
//! |----------|----------------------------------|--------------------------------------------------------|
//! | config   | none                             | put, then proven by the status                         |
//! | config   | another, or one with more keys   | put: what the file does not name is gone               |
//! | config   | the same, every task runs        | nothing                                                |
//! | config   | the same, a task has failed      | a failure, with the first line of its trace            |
//! | state    | another                          | resume, pause or stop                                  |
//! | no state | paused or stopped                | left so                                                |

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use common::engine::change::{Action, Change, Class, Difference, Failure, ObjectId, Planned, Shown};
use common::engine::diff;
use common::engine::kind::{Asked, Exported, Kind};
use common::files::json::step;
use common::files::{Object, Problem, Set, encode};
use common::net::http::{Attempt, Call, Client, Dialect, LIST_LIMIT};
use common::net::wait::Probe;
use common::ordered;
use common::process::export::placeholder;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The folder's name.
pub(crate) const KIND: &str = "connectors";

/// How Connect's errors read: `{"error_code": 409, "message": "…"}`.
pub(crate) const DIALECT: Dialect = Dialect {
    judge: |_, status, _| match status {
        // The workers are sharing out the connectors anew.
        409 => Some(Class::Again),
        // What Connect says to a config that it cannot load, among others.
        500 => Some(Class::Ambiguous),
        _ => None,
    },
    explain: |body| Some(serde_json::from_str::<Value>(body).ok()?.get("message")?.as_str()?.to_owned()),
    code: |_| None,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Running,
    Paused,
    Stopped,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }

    fn verb(self) -> &'static str {
        match self {
            Self::Running => "resume",
            Self::Paused => "pause",
            Self::Stopped => "stop",
        }
    }

    fn of(word: &str) -> Option<Self> {
        [Self::Running, Self::Paused, Self::Stopped].into_iter().find(|state| state.word().eq_ignore_ascii_case(word))
    }
}

type Config = BTreeMap<String, String>;

struct Want {
    config: Config,
    state: Option<State>,
    masked: Vec<String>,
    /// Where the config stands in the file.
    at: &'static str,
}

/// All declared connectors.
pub(crate) struct Connectors {
    wants: BTreeMap<String, Want>,
    problems: Vec<Problem>,
    client: Option<Rc<Client>>,
    written: BTreeSet<String>,
}

impl Connectors {
    pub(crate) fn of(set: &Set, client: Option<Rc<Client>>) -> Self {
        let mut connectors = Self { wants: BTreeMap::new(), problems: Vec::new(), client, written: BTreeSet::new() };
        for object in set.of(KIND) {
            if connectors.client.is_none() {
                connectors
                    .problems
                    .push(object.problem("", "set KAFKA_CONNECT_URL: connectors are given to Kafka Connect"));
            }
            match want(&object) {
                Ok(want) => drop(connectors.wants.insert(object.id.name.clone(), want)),
                Err(problems) => connectors.problems.extend(problems),
            }
        }
        connectors
    }

    fn client(&self) -> Result<&Client, Failure> {
        self.client.as_deref().ok_or_else(|| Failure::fatal("KAFKA_CONNECT_URL is not set"))
    }

    fn refused(&self, name: &str) -> Result<Vec<(String, String)>, Failure> {
        let (client, Some(want)) = (self.client()?, self.wants.get(name)) else { return Ok(Vec::new()) };
        let class = want.config.get(CLASS).map_or("", String::as_str);
        let path = format!("/connector-plugins/{}/config/validate", encode(class));
        let answer = client.send(&Call::put(path, body(name, &want.config)).reads())?.json()?;
        let mut found = Vec::new();
        for config in answer["configs"].as_array().into_iter().flatten() {
            let key = config["value"]["name"].as_str().unwrap_or_default();
            let errors = config["value"]["errors"].as_array().into_iter().flatten().filter_map(Value::as_str);
            found.extend(errors.map(|error| (format!("{}{}", want.at, step(key)), error.to_owned())));
        }
        Ok(found)
    }
}

const CLASS: &str = "connector.class";

/// What is sent for a connector: its config, then the state that it has not by itself.
fn requests(name: &str, want: &Want, change: &Change) -> Vec<Call> {
    let path = format!("/connectors/{}", encode(name));
    let created = change.action == Action::Create;
    let mut calls = Vec::new();
    if created || change.differences.iter().any(|difference| difference.path != "/state") {
        calls.push(Call::put(format!("{path}/config"), body(name, &want.config)));
    }
    let stated = change.differences.iter().any(|difference| difference.path == "/state");
    if let Some(state) = want.state.filter(|state| stated && !(created && *state == State::Running)) {
        calls.push(Call::put(format!("{path}/{}", state.verb()), Vec::new()));
    }
    calls
}

fn body(name: &str, config: &Config) -> Vec<u8> {
    let mut body = json!(config);
    body["name"] = name.into();
    body.to_string().into_bytes()
}

fn want(object: &Object) -> Result<Want, Vec<Problem>> {
    let body: Map<String, Value> = object.typed().map_err(|problem| vec![problem])?;
    let name = object.id.name.as_str();
    let whole = body.get("config").is_some_and(Value::is_object);
    let mut problems = Vec::new();
    let mut state = None;
    if whole {
        for (key, value) in &body {
            match (key.as_str(), value) {
                ("config", _) => {}
                ("name", value) if value == name => {}
                ("name", _) => problems.push(object.located("/name", format!("the file's name says {name}"))),
                ("state", value) => match State::deserialize(value) {
                    Ok(found) => state = Some(found),
                    Err(_) => problems.push(object.located("/state", "must be running, paused or stopped")),
                },
                (other, _) => {
                    problems.push(object.located(&step(other), "beside `config` there are only `name` and `state`"));
                }
            }
        }
    }
    let at = if whole { "/config" } else { "" };
    let declared = if whole { body["config"].as_object().cloned().unwrap_or_default() } else { body };
    let mut config = Config::new();
    for (key, value) in declared {
        let text = match value {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Bool(value) => value.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                let place = format!("{at}{}", step(&key));
                problems.push(object.located(&place, "must be a string, a number or a boolean"));
                continue;
            }
        };
        if key == "name" && text != name {
            problems.push(object.located(&format!("{at}/name"), format!("the file's name says {name}")));
        } else if key != "name" {
            config.insert(key, text);
        }
    }
    if !config.contains_key(CLASS) {
        problems.push(object.problem(at, format!("needs {CLASS}")));
    }
    if problems.is_empty() { Ok(Want { config, state, masked: object.masked.clone(), at }) } else { Err(problems) }
}

/// Whether a value is nobody's business by its key's name; what Connect itself puts in (`${file:…}`) is no secret.
fn secret(key: &str, value: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let named = ["password", "secret", "token", "jaas.config", "credentials", "private.key", "api.key"];
    !value.starts_with("${") && named.iter().any(|end| key.ends_with(end))
}

/// A connector as Connect has it.
#[derive(Clone, Debug, Default)]
struct Have {
    config: Config,
    state: String,
    /// State and first line of the trace of the connector and of each task.
    parts: Vec<(String, String, String)>,
    /// How many tasks there are to be.
    tasks: usize,
}

impl Have {
    fn of(answer: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (info, status) = (&answer["info"], &answer["status"]);
        let config = info["config"].as_object().into_iter().flatten();
        let config = config.filter(|(key, _)| *key != "name").map(|(key, value)| (key.clone(), text(value)));
        let part = |what: String, part: &Value| {
            let trace = part["trace"].as_str().and_then(|trace| trace.lines().next()).unwrap_or_default();
            (what, text(&part["state"]), trace.to_owned())
        };
        let mut parts = vec![part("the connector".into(), &status["connector"])];
        let tasks = status["tasks"].as_array().into_iter().flatten();
        parts.extend(tasks.map(|task| part(format!("task {}", task["id"]), task)));
        Self {
            config: ordered::map(config),
            state: text(&status["connector"]["state"]),
            parts,
            tasks: info["tasks"].as_array().map_or(0, Vec::len),
        }
    }

    /// Why it does not do what it should, once its config is right. `fresh`: this run has written it.
    fn trouble(&self, want: Option<State>, fresh: bool) -> Result<(), Failure> {
        if let Some((what, _, trace)) = self.parts.iter().find(|(_, state, _)| state == "FAILED") {
            return Err(Failure::rejected(format!("{what} has failed: {trace}")));
        }
        // A stopped connector has no tasks, and its list of them may be what it was; one that was paused before it started gets its tasks when
        // it is resumed.
        let state = want.or(State::of(&self.state));
        let (idle, runs) = (state == Some(State::Stopped), state == Some(State::Running));
        let told = self.parts.len() - 1;
        let settled = |state: &str| State::of(state).is_some_and(|state| want.is_none_or(|want| want == state));
        let lag = self.parts.iter().find(|(_, state, _)| !settled(state));
        match lag {
            Some((what, state, _)) => {
                let state = if state.is_empty() { "not there" } else { state };
                Err(Failure::new(Class::Again, format!("{what} is {} yet", state.to_lowercase())))
            }
            None if !idle && (told < self.tasks || fresh && runs && told == 0) => {
                Err(Failure::new(Class::Again, "its tasks have not been started yet"))
            }
            None => Ok(()),
        }
    }
}

fn compared(want: &Want, have: Option<&Have>) -> Change {
    let none = Config::new();
    let held = have.map_or(&none, |have| &have.config);
    let mut differences = Vec::new();
    for key in ordered::set(want.config.keys().chain(held.keys())) {
        let (to, from) = (want.config.get(key), held.get(key));
        if to == from {
            continue;
        }
        let shown = |value: Option<&String>| value.map_or(Shown::Absent, |value| Shown::text(value));
        let difference = Difference::new(format!("{}{}", want.at, step(key)), shown(from), shown(to));
        let hidden = [to, from].into_iter().flatten().any(|value| secret(key, value));
        differences.push(if hidden { difference.masked() } else { difference });
    }
    let state = have.and_then(|have| State::of(&have.state));
    if let Some(wanted) = want.state.filter(|wanted| Some(*wanted) != state) {
        let shown = |state: Option<State>| state.map_or(Shown::Absent, |state| Shown::text(state.word()));
        differences.push(Difference::new("/state", shown(state), shown(Some(wanted))));
    }
    diff::mask(&mut differences, &want.masked);
    match have {
        None => Change { differences, ..Change::create() },
        Some(_) => Change::update(differences),
    }
}

fn read(client: &Client) -> Result<BTreeMap<String, Have>, Failure> {
    let all = client.send(&Call::get("/connectors?expand=info&expand=status").at_most(LIST_LIMIT))?.json()?;
    let all = all.as_object().ok_or_else(|| Failure::fatal("Kafka Connect's list of connectors is none"))?;
    Ok(ordered::map(all.iter().map(|(name, answer)| (name.clone(), Have::of(answer)))))
}

/// Whether Connect answers, for who declares connectors.
pub(crate) fn probe(client: &Client, limit: Duration) -> Result<(), Probe> {
    let not_ready = |why: String| Err(Probe::NotReady(format!("Kafka Connect: {why}")));
    match client.attempt(&Call::get("/connectors"), limit) {
        Attempt::Answered(reply) if reply.status == 200 && !reply.is_html() => Ok(()),
        Attempt::Answered(reply) if matches!(reply.status, 401 | 403) => Err(Probe::Denied(format!(
            "Kafka Connect: status {}: check KAFKA_CONNECT_USERNAME and its password",
            reply.status
        ))),
        Attempt::Answered(reply) => not_ready(format!("status {}", reply.status)),
        Attempt::Impossible(why) => Err(Probe::Hopeless(Failure::fatal(format!("Kafka Connect: {why}")))),
        Attempt::NotSent(why) | Attempt::Lost(why) | Attempt::Nonsense(why) => not_ready(why),
    }
}

impl Kind for Connectors {
    /// The requests, in order.
    type Step = Vec<Call>;

    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self) -> Vec<Problem> {
        self.problems.clone()
    }

    fn plan(&mut self) -> Result<Vec<Planned<Vec<Call>>>, Failure> {
        if self.wants.is_empty() {
            return Ok(Vec::new());
        }
        let held = read(self.client()?)?;
        let planned = self.wants.iter().map(|(name, want)| {
            let have = held.get(name);
            let change = compared(want, have);
            let verdict = match have {
                Some(have) if !change.writes() => {
                    have.trouble(want.state, self.written.contains(name)).map(|()| change)
                }
                _ => Ok(change),
            };
            Planned::new(ObjectId::new(KIND, name), verdict).with_step(|change| Ok(requests(name, want, change)))
        });
        Ok(planned.collect())
    }

    fn preflight(&mut self, _: &Set, planned: &[Asked<'_, Vec<Call>>]) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (id, ..) in planned {
            match self.refused(&id.name) {
                Ok(refused) => problems.extend(
                    refused
                        .into_iter()
                        .map(|(pointer, text)| Problem { pointer, ..Problem::refused(id, Failure::rejected(text)) }),
                ),
                Err(failure) => problems.push(Problem::refused(id, failure)),
            }
        }
        problems
    }

    fn apply(&mut self, todo: &[(&ObjectId, &Vec<Call>)]) -> Vec<Result<(), Failure>> {
        self.written.extend(todo.iter().map(|(id, _)| id.name.clone()));
        let send = |(_, calls): &(&ObjectId, &Vec<Call>)| {
            let client = self.client()?;
            calls.iter().try_for_each(|call| client.send(call).map(drop))
        };
        todo.iter().map(send).collect()
    }

    fn export(&mut self) -> Result<Vec<Exported>, Failure> {
        let Some(client) = self.client.as_deref() else { return Ok(Vec::new()) };
        let mut exported = Vec::new();
        for (name, have) in read(client)? {
            let mut placeholders = Vec::new();
            let config: Map<String, Value> = have
                .config
                .into_iter()
                .map(|(key, value)| {
                    if !secret(&key, &value) {
                        return (key, value.into());
                    }
                    let variable = placeholder(KIND, &name, &key);
                    let text = format!("$__env{{{variable}}}");
                    placeholders.push(variable);
                    (key, text.into())
                })
                .collect();
            let body = match State::of(&have.state).filter(|state| *state != State::Running) {
                Some(state) => json!({"config": config, "state": state.word()}),
                None => json!(config),
            };
            let path = vec![KIND.to_owned(), format!("{name}.json")];
            exported.push(Exported { path, text: format!("{body:#}\n"), placeholders });
        }
        Ok(exported)
    }

    /// A worker starts a connector, asks it for its tasks and shares them out among its like.
    fn settles_within(&self) -> Duration {
        Duration::from_secs(20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn have(state: &str, tasks: &[&str], config: &Value) -> Have {
        let task =
            |(id, state): (usize, &&str)| json!({"id": id, "state": state, "trace": "org.x.Boom: no file\n\tat y"});
        Have::of(&json!({
            "info": {"config": config, "tasks": tasks.iter().map(|_| json!({})).collect::<Vec<_>>()},
            "status": {"connector": {"state": state}, "tasks": tasks.iter().enumerate().map(task).collect::<Vec<_>>()},
        }))
    }

    fn check(config: Value, state: Option<State>, have: Option<&Have>, expected: &Expect) {
        let config = serde_json::from_value(config).expect("strings");
        let want = Want { config, state, masked: Vec::new(), at: "" };
        let change = compared(&want, have);
        let mut lines = vec![format!("{:?}", change.action)];
        lines.extend(change.differences.iter().map(ToString::to_string));
        expected.assert_eq(&lines.join("\n"));
    }

    #[test]
    fn a_config_is_replaced_whole_and_secrets_are_hidden() {
        let held = have("RUNNING", &["RUNNING"], &json!({"name": "c", "a": "1", "old": "x", "db.password": "p"}));
        check(
            json!({"a": "2", "db.password": "q", "file.password": "${file:/s:k}"}),
            Some(State::Paused),
            Some(&held),
            &expect![[r#"
                Update
                /a: "1" -> "2"
                /db.password: (secret) -> (secret)
                /file.password: (absent) -> "${file:/s:k}"
                /old: "x" -> (absent)
                /state: "running" -> "paused""#]],
        );
        check(json!({"a": "1", "old": "x", "db.password": "p"}), None, Some(&held), &expect!["None"]);
        check(
            json!({"a": "1"}),
            None,
            None,
            &expect![[r#"
                Create
                /a: (absent) -> "1""#]],
        );
    }

    #[test]
    fn the_status_proves_it() {
        let trouble = |state: &str, tasks: &[&str], want, fresh| {
            have(state, tasks, &json!({})).trouble(want, fresh).map_err(|failure| (failure.class, failure.message))
        };
        assert_eq!(trouble("RUNNING", &["RUNNING", "RUNNING"], Some(State::Running), true), Ok(()));
        assert_eq!(trouble("PAUSED", &["PAUSED"], None, false), Ok(()), "left as it is");
        assert_eq!(trouble("STOPPED", &[], Some(State::Stopped), true), Ok(()));
        assert_eq!(trouble("PAUSED", &[], Some(State::Paused), true), Ok(()), "paused before it started");
        let failed = trouble("RUNNING", &["RUNNING", "FAILED"], None, false);
        assert_eq!(failed, Err((Class::Rejected, "task 1 has failed: org.x.Boom: no file".into())));
        for (state, tasks, text) in [
            ("RUNNING", &["UNASSIGNED"][..], "task 0 is unassigned yet"),
            ("", &[], "the connector is not there yet"),
            ("RUNNING", &[], "its tasks have not been started yet"),
        ] {
            assert_eq!(trouble(state, tasks, Some(State::Running), true), Err((Class::Again, text.into())));
        }
    }
}
