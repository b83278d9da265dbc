//! The Grafana stand-in against the recorded answers of real servers: every question of a transcript, in its order, gets the
//! recorded status, content type and body. What cannot be equal is listed in [`MADE_UP`], [`TIMES`] and [`shape`], and nowhere else.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use kit::grafana::{Grafana, Options, Profile};
use serde_json::{Map, Value, json};

/// Fields that hold a moment.
const TIMES: [&str; 8] = [
    "created",
    "updated",
    "createdAt",
    "updatedAt",
    "creationTimestamp",
    "time",
    "grafana.app/updatedTimestamp",
    "buildstamp",
];

/// Fields that hold what a server makes up: compared by their first meeting, from then on the same pair must meet again.
const MADE_UP: [&str; 14] = [
    "id",
    "uid",
    "folderId",
    "dashboardId",
    "userUid",
    "grafana.app/createdBy",
    "grafana.app/updatedBy",
    "grafana.app/deprecatedInternalID",
    "resourceVersion",
    // A checksum over the server's own form of the object.
    "version",
    // A cursor into the server's storage.
    "continueToken",
    // A number for the server's log.
    "accessErrorId",
    // The recording masks it.
    "key",
    // The server's own port.
    "serverAddress",
];

const RECORDED_10: &str = include_str!("../transcripts/grafana-10.4.3.json");
const RECORDED_11: &str = include_str!("../transcripts/grafana-11.6.2.json");
const RECORDED_12: &str = include_str!("../transcripts/grafana-12.4.0.json");

#[track_caller]
fn same(profile: Profile, transcript: &str) {
    let differences = replay(profile, transcript);
    assert!(differences.is_empty(), "{} answers differ:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn version_10_answers_as_recorded() {
    same(Profile::V10, RECORDED_10);
}

#[test]
fn version_11_answers_as_recorded() {
    same(Profile::V11, RECORDED_11);
}

#[test]
fn version_12_answers_as_recorded() {
    same(Profile::V12, RECORDED_12);
}

#[test]
fn the_comparison_tells_neighboring_versions_apart() {
    // The recordings differ from each other in about 90 and 105 answers.
    assert!(replay(Profile::V10, RECORDED_11).len() > 80);
    assert!(replay(Profile::V11, RECORDED_12).len() > 80);
}

fn agent() -> ureq::Agent {
    let settings = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(20)))
        .max_redirects(0)
        .proxy(None)
        // The recorder's name; 12.4 keeps it as the manager of fields.
        .user_agent("Python-urllib/3.11");
    settings.build().into()
}

fn basic(login: &str, password: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{login}:{password}")))
}

struct Answer {
    status: u16,
    content_type: Option<String>,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| json!(self.body))
    }
}

fn ask(
    agent: &ureq::Agent,
    method: &str,
    url: &str,
    headers: &[(String, String)],
    body: Option<String>,
) -> Result<Answer, ureq::Error> {
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    if body.is_some() {
        request = request.header("Content-Type", "application/json");
    }
    let request = request.body(body.unwrap_or_default()).expect("the recording's request is well-formed");
    let mut response = agent.run(request)?;
    let content_type = response.headers().get("content-type");
    let content_type = content_type.map(|value| value.to_str().expect("it is ASCII").to_owned());
    let status = response.status().as_u16();
    Ok(Answer { status, content_type, body: response.body_mut().read_to_string()? })
}

/// Every answer that differs, with what differs in it.
fn replay(profile: Profile, transcript: &str) -> Vec<String> {
    let server = Grafana::start(profile, Options::default());
    let questions: Vec<Value> = serde_json::from_str(transcript).expect("the transcript is JSON");
    assert!(questions.len() > 170, "a transcript holds about 175 questions");
    let agent = agent();
    let mut pairs = Pairs::default();
    let mut token = String::new();
    let mut wrong = Vec::new();
    for (number, question) in questions.iter().enumerate() {
        let note = question["note"].as_str().unwrap_or_default();
        let (method, path) = (text(question, "method"), text(question, "path"));
        let mut headers: Vec<(String, String)> = Vec::new();
        match note {
            "no credentials" => {}
            "wrong password" => headers.push(("Authorization".to_owned(), basic("admin", "wrong"))),
            _ if note.contains("token") => headers.push(("Authorization".to_owned(), format!("Bearer {token}"))),
            _ => headers.push(("Authorization".to_owned(), basic("admin", "admin"))),
        }
        for (name, value) in question["headers"].as_object().into_iter().flatten() {
            headers.push((name.clone(), value.as_str().expect("a header is text").to_owned()));
        }
        let mut body = question["body"].clone();
        if let Some(version) = body["metadata"]["resourceVersion"].as_str().and_then(|version| pairs.ours(version)) {
            body["metadata"]["resourceVersion"] = json!(version);
        }
        let body = question["body_text"].as_str().map(str::to_owned).or((!body.is_null()).then(|| body.to_string()));
        let got =
            ask(&agent, method, &format!("{}{path}", server.url()), &headers, body).expect("the stand-in answers");
        let answer = shape(path, &got.json());
        if let Some(key) = got.json()["key"].as_str() {
            key.clone_into(&mut token);
        }
        let mut differences = Vec::new();
        if question["status"] != json!(got.status) || question["content_type"] != json!(got.content_type) {
            differences.push(format!("status {} {:?}", got.status, got.content_type));
        }
        compare("", &question["answer"], &answer, &mut pairs, &mut differences);
        if !differences.is_empty() {
            let differences = differences.join("\n    ");
            wrong.push(format!(
                "{number} {method} {path} ({note}), recorded {}:\n    {differences}",
                question["status"]
            ));
        }
    }
    wrong
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().expect("every question has it")
}

/// The recordings hold these four answers cut down; ours is cut the same way.
fn shape(path: &str, answer: &Value) -> Value {
    let only = |value: &Value, fields: &[&str]| -> Value {
        fields.iter().map(|field| ((*field).to_owned(), value[*field].clone())).collect::<Map<_, _>>().into()
    };
    if path == "/api/plugins?embedded=0" {
        let plugins = answer.as_array().expect("the plugins are a list");
        return plugins.iter().take(20).map(|plugin| only(plugin, &["id", "type"])).collect();
    }
    match path {
        "/api/plugins/prometheus/settings" | "/api/plugins/absent/settings" => {
            only(answer, &["id", "type", "message", "enabled"])
        }
        "/api/frontend/settings" => only(answer, &["buildInfo"]),
        _ => answer.clone(),
    }
}

/// What a real server made up, and what the stand-in made up in its place.
#[derive(Default)]
struct Pairs {
    ours: BTreeMap<String, String>,
    theirs: BTreeMap<String, String>,
}

impl Pairs {
    fn ours(&self, recorded: &str) -> Option<&String> {
        self.ours.get(recorded)
    }

    fn meet(&mut self, recorded: &str, ours: &str) -> bool {
        let known = self.ours.entry(recorded.to_owned()).or_insert_with(|| ours.to_owned());
        let back = self.theirs.entry(ours.to_owned()).or_insert_with(|| recorded.to_owned());
        known == ours && back == recorded
    }
}

/// Whether a text or number looks made up: nothing that a person would choose or count to.
fn is_made_up(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_i64().is_some_and(|number| number > 1_000_000_000_000),
        Value::String(text) => {
            let text = text.strip_prefix("user:").unwrap_or(text);
            let digits = |count: usize| text.len() >= count && text.chars().all(|one| one.is_ascii_digit());
            let hex = |one: char| one.is_ascii_digit() || ('a'..='f').contains(&one) || one == '-';
            let short = text.len() == 14 && text.chars().all(|one| one.is_ascii_lowercase() || one.is_ascii_digit());
            short
                || digits(15)
                || ((text.len() == 16 || text.len() == 36) && text.chars().all(hex))
                || ["ACE", "glsa_", "127.0.0.1:", "eyJ"].iter().any(|start| text.starts_with(start))
        }
        _ => false,
    }
}

fn compare(at: &str, recorded: &Value, ours: &Value, pairs: &mut Pairs, differences: &mut Vec<String>) {
    let field = at.rsplit('/').next().unwrap_or_default();
    match (recorded, ours) {
        (Value::Object(left), Value::Object(right)) => {
            for key in left.keys().chain(right.keys().filter(|key| !left.contains_key(*key))) {
                match (left.get(key), right.get(key)) {
                    (Some(left), Some(right)) => {
                        compare(&format!("{at}/{}", key.replace('/', "~")), left, right, pairs, differences);
                    }
                    (Some(left), None) => differences.push(format!("{at}/{key}: {left} is missing")),
                    (None, right) => differences.push(format!("{at}/{key}: {right:?} is too much")),
                }
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                compare(&format!("{at}/{index}"), left, right, pairs, differences);
            }
        }
        _ if recorded == ours => {}
        _ if TIMES.contains(&field.replace('~', "/").as_str()) && is_time(recorded) && is_time(ours) => {}
        _ if MADE_UP.contains(&field.replace('~', "/").as_str()) && is_made_up(recorded) && is_made_up(ours) => {
            let free = ["accessErrorId", "continueToken", "serverAddress", "key"].contains(&field);
            if !free && !pairs.meet(&plain(recorded), &plain(ours)) {
                differences.push(format!("{at}: {recorded} and {ours} were not paired before"));
            }
        }
        _ => differences.push(format!("{at}: recorded {recorded}, ours {ours}")),
    }
}

fn plain(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.strip_prefix("user:").map_or(text.clone(), str::to_owned)
}

fn is_time(value: &Value) -> bool {
    match value {
        Value::Number(_) => true,
        Value::String(text) => text.starts_with("20") && text.ends_with('Z') && text.contains('T'),
        _ => false,
    }
}
