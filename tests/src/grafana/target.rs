//! What a case of grafana-init is run against: a stand-in, or the live Grafana that `GRAFANA_URL` names. There a case works in an
//! organization of its own, which is deleted in the end: nothing of anybody's is touched. Questions go over the wire as a user's would.

use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use serde_json::{Value, json};

use super::{Grafana, Options, Profile};
use crate::sandbox::{Run, Sandbox};

/// One live case at a time: writes that meet make a Grafana answer nonsense (11.6, 12.4).
static LIVE: Mutex<()> = Mutex::new(());

/// A server under test.
pub struct Target {
    standin: Option<Grafana>,
    /// Whether it is a live server's organization, and the turn at that server for the first of a case.
    live: bool,
    _turn: Option<MutexGuard<'static, ()>>,
    /// What a failure names it by.
    pub name: String,
    url: String,
    pub(super) username: String,
    password: String,
    agent: ureq::Agent,
    org: i64,
    version: (u32, u32),
}

impl Target {
    /// A fresh stand-in.
    pub fn standin(profile: Profile, options: Options) -> Target {
        let password = options.admin_password.clone();
        let standin = Grafana::start(profile, options);
        Target {
            url: standin.url(),
            standin: Some(standin),
            live: false,
            _turn: None,
            name: format!("{profile:?}"),
            username: "admin".to_owned(),
            password,
            agent: agent(),
            org: 1,
            version: numbers(profile.version()),
        }
    }

    /// Runs a case on a fresh stand-in of every version.
    pub fn each_standin(options: &Options, case: impl Fn(&Target)) {
        for profile in Profile::ALL {
            case(&Target::standin(profile, options.clone()));
        }
    }

    /// Runs a case on a fresh stand-in of every version, with nested folders, and in a fresh organization of the live server if there
    /// is one.
    pub fn each(case: impl Fn(&Target)) {
        Target::each_standin(&Options::nesting(), &case);
        match live_url() {
            Some(url) => {
                let turn = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
                case(&Target::live(url, Some(turn)));
            }
            None => drop(writeln!(std::io::stdout(), "GRAFANA_URL is not set: the live run was left out")),
        }
    }

    /// A fresh organization of the live server if there is one, else a stand-in.
    pub fn live_or(profile: Profile, options: &Options) -> Target {
        live_url().map_or_else(|| Target::standin(profile, options.clone()), |url| Target::live(url, None))
    }

    /// Another fresh server of the same kind: an organization of its own on the live one.
    #[must_use]
    pub fn another(&self) -> Target {
        match &self.standin {
            Some(server) => Target::standin(server.profile(), server.options()),
            None => Target::live(self.url.clone(), None),
        }
    }

    fn live(url: String, turn: Option<MutexGuard<'static, ()>>) -> Target {
        let login = |name: &str| set(name).unwrap_or_else(|| "admin".to_owned());
        let mut target = Target {
            standin: None,
            live: true,
            _turn: turn,
            name: format!("live {url}"),
            url,
            username: login("GRAFANA_USERNAME"),
            password: login("GRAFANA_PASSWORD"),
            agent: agent(),
            org: 1,
            version: (0, 0),
        };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970");
        let org = json!({"name": format!("conformance {}", now.as_nanos())});
        let (status, made) = target.ask("POST", "/api/orgs", &org);
        assert_eq!(status, 200, "GRAFANA_USERNAME has to be a server administrator: {made}");
        target.org = made["orgId"].as_i64().expect("a new organization has a number");
        let health = target.read("/api/health");
        target.version = numbers(health["version"].as_str().unwrap_or_default());
        target
    }

    /// Its address, and who asks with which password.
    pub fn login(&self) -> (&str, &str, &str) {
        (&self.url, &self.username, &self.password)
    }

    /// Major and minor version of the server.
    pub fn version(&self) -> (u32, u32) {
        self.version
    }

    /// Whether it is a live server rather than a stand-in.
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// The stand-in behind it.
    pub fn server(&self) -> &Grafana {
        self.standin.as_ref().expect("only cases for stand-ins ask for it")
    }

    /// grafana-init with this server's address and credentials.
    pub fn sandbox(&self) -> Sandbox {
        Sandbox::new("grafana-init")
            .env("GRAFANA_URL", &self.url)
            .env("GRAFANA_USERNAME", &self.username)
            .env("GRAFANA_PASSWORD", &self.password)
            .env("GRAFANA_ORG_ID", self.org.to_string())
            .env("WAIT_TIMEOUT", "20s")
    }

    /// Sends a request as the administrator; answers status and body.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let login = base64::engine::general_purpose::STANDARD.encode(format!("{}:{}", self.username, self.password));
        let request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        let request = request
            .header("Authorization", format!("Basic {login}"))
            .header("X-Grafana-Org-Id", self.org.to_string())
            .header("Content-Type", "application/json");
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut response = self
            .agent
            .run(request.body(body).expect("the case's request is well-formed"))
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let status = response.status().as_u16();
        let text = response.body_mut().read_to_string().expect("the answer can be read");
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Reads what has to be there.
    #[track_caller]
    pub fn read(&self, path: &str) -> Value {
        let (status, body) = self.ask("GET", path, &Value::Null);
        assert_eq!(status, 200, "{}: GET {path}: {body}", self.name);
        body
    }

    /// Writes as somebody else would, and gives the answer.
    #[track_caller]
    pub fn write(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.ask(method, path, body);
        assert!((200..300).contains(&status), "{}: {method} {path}: {status} {answer}", self.name);
        answer
    }

    /// Edits a dashboard as a person in the browser does: its folder stays.
    #[track_caller]
    pub fn edit_dashboard(&self, uid: &str, edit: impl FnOnce(&mut Value)) {
        let mut whole = self.read(&format!("/api/dashboards/uid/{uid}"));
        edit(&mut whole["dashboard"]);
        let save = json!({"dashboard": whole["dashboard"], "folderUid": whole["meta"]["folderUid"], "overwrite": true});
        self.write("POST", "/api/dashboards/db", &save);
    }

    /// Runs it to a good end.
    #[track_caller]
    pub fn apply(&self, sandbox: &Sandbox) -> Run {
        let run = sandbox.run(&[]);
        assert_eq!(run.code(), Some(0), "{}\n{run}", self.name);
        run
    }

    /// Fails unless the run ended with 1 before its first write, and said all of this.
    #[track_caller]
    pub fn refused(&self, run: &Run, parts: &[&str]) {
        assert_eq!((run.code(), run.count("writes")), (Some(1), 0), "{}\n{run}", self.name);
        assert_eq!(self.server().writes(), [], "{}\n{run}", self.name);
        for part in parts {
            assert!(run.stderr.contains(part), "{} lacks {part:?}\n{run}", self.name);
        }
    }

    /// Runs it to a good end that needed no write: neither it nor the server's log has seen one.
    #[track_caller]
    pub fn settled(&self, sandbox: &Sandbox) -> Run {
        if let Some(server) = &self.standin {
            server.reset_log();
        }
        let run = self.apply(sandbox);
        assert_eq!(run.count("writes"), 0, "{}\n{run}", self.name);
        if let Some(server) = &self.standin {
            assert_eq!(server.writes(), [], "{}\n{run}", self.name);
        }
        run
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if self.live && self.org != 1 {
            let (status, answer) = self.ask("DELETE", &format!("/api/orgs/{}", self.org), &Value::Null);
            if status != 200 {
                drop(writeln!(std::io::stderr(), "the organization {} was not deleted: {answer}", self.org));
            }
        }
    }
}

fn agent() -> ureq::Agent {
    let settings = ureq::Agent::config_builder().http_status_as_error(false).proxy(None);
    settings.timeout_global(Some(Duration::from_secs(20))).build().into()
}

fn set(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn live_url() -> Option<String> {
    Some(set("GRAFANA_URL")?.trim_end_matches('/').to_owned())
}

fn numbers(version: &str) -> (u32, u32) {
    let mut parts = version.split(['.', '-', '+']).map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}
