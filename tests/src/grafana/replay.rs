//! Asks a stand-in what a real server was asked, and tells where it answers something else. When two answers are the same is in `same`.

use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};

use super::same::{Pairs, compare, shaped};
use super::transcript::Exchange;
use super::{Grafana, Options, Profile};

/// Every answer that differs, with what differs in it; each list is asked of a fresh stand-in.
pub fn replay(profile: Profile, questions: &[Exchange]) -> Vec<String> {
    let mut recorder = Recorder {
        server: Grafana::start(profile, Options { before_poll: u32::MAX, ..Options::default() }),
        agent: agent(),
        pairs: Pairs::default(),
        token: String::new(),
        seconds: 0,
    };
    questions.iter().enumerate().filter_map(|(number, question)| recorder.differences(number, question)).collect()
}

struct Recorder {
    server: Grafana,
    agent: ureq::Agent,
    pairs: Pairs,
    /// The last token that was made.
    token: String,
    /// How long the recorder said it paused.
    seconds: u32,
}

/// How often a Grafana looks for new organizations.
const POLL: u32 = 60;

struct Said {
    status: u16,
    content_type: Option<String>,
    body: Value,
}

impl Recorder {
    fn differences(&mut self, number: usize, question: &Exchange) -> Option<String> {
        let Exchange { method, path, note, status, content_type, .. } = question;
        self.pass_time(note);
        let said = self.ask(question).expect("the stand-in answers");
        if let Some(key) = said.body["key"].as_str() {
            key.clone_into(&mut self.token);
        }
        let mut differences = Vec::new();
        if *status != said.status || *content_type != said.content_type {
            differences.push(format!("status {} {:?}", said.status, said.content_type));
        }
        let (recorded, ours) = shaped(question, said.body);
        compare("", &recorded, &ours, &mut self.pairs, &mut differences);
        let differences = (!differences.is_empty()).then(|| differences.join("\n    "))?;
        Some(format!("{number} {method} {path} ({note}), recorded {status}:\n    {differences}"))
    }

    fn pass_time(&mut self, note: &str) {
        let pause = note.strip_suffix(" s after the last try").and_then(|before| before.rsplit(' ').next());
        self.seconds += pause.map_or(0, |seconds| seconds.parse().expect("the recorder paused for whole seconds"));
        if self.seconds > POLL {
            self.server.poll_organizations();
        }
    }

    /// The credentials that the recorder noted.
    fn authorization(&self, question: &Exchange) -> Option<String> {
        match question.note.as_str() {
            "no credentials" => None,
            // The last question of the third list goes on without them.
            "" if question.path == "/api/frontend/settings" && question.status == 401 => None,
            "wrong password" => Some(basic("admin", "wrong")),
            note if note.contains("token") && !note.starts_with("with an own") => {
                Some(format!("Bearer {}", self.token))
            }
            _ => Some(basic("admin", "admin")),
        }
    }

    fn ask(&self, question: &Exchange) -> Result<Said, ureq::Error> {
        let url = format!("{}{}", self.server.url(), self.pairs.translate_path(&question.path));
        let mut request = ureq::http::Request::builder().method(question.method.as_str()).uri(url);
        if let Some(authorization) = self.authorization(question) {
            request = request.header("Authorization", authorization);
        }
        for (name, value) in &question.headers {
            request = request.header(name, value);
        }
        let mut body = question.body.clone();
        self.pairs.translate(&mut body);
        let body = question.body_text.clone().or((!body.is_null()).then(|| body.to_string()));
        if body.is_some() {
            request = request.header("Content-Type", "application/json");
        }
        let request = request.body(body.unwrap_or_default()).expect("the recording's request is well-formed");
        let mut response = self.agent.run(request)?;
        let content_type = response.headers().get("content-type");
        let content_type = content_type.map(|value| value.to_str().expect("it is ASCII").to_owned());
        let status = response.status().as_u16();
        let text = response.body_mut().read_to_string()?;
        Ok(Said { status, content_type, body: serde_json::from_str(&text).unwrap_or_else(|_| json!(text)) })
    }
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
