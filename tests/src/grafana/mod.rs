//! A stand-in for a Grafana server, for tests and for the demonstration. **It is not Grafana.**
//!
//! It follows what real servers were seen to answer: the profiles 10, 11 and 12 replay three lists of recorded answers each, of 10.4.3, 11.6.2
//! and 12.4.0 (`transcripts/grafana-*.json`, the test `standin_grafana`), odd behavior included: the first data
//! source becomes the default, a data source PUT clears what it leaves out, a dashboard without `folderUid` moves to the
//! root, 10 ignores `parentUid` unless nested folders are on, 12 takes an unknown parent, and so on.
//! What was seen without a recording of it is in the tests `standin_grafana_traps` and `standin_grafana_access`.
//!
//! What it does not know:
//! * Profile 13 is 12 with the differences that Grafana's documentation and source name; no 13 was asked.
//! * Bodies of errors that no recording holds are after Grafana's source or invented; the status follows the notes taken
//!   on real servers. A caller should not read those messages.
//! * Dashboard migrations: a write through `v1` resources gets the defaults and the schema version that 12.4 gives, panels
//!   are left as they are. Conversions between `v1` and `v2` resources keep titles and little else.
//! * Rights are the four basic roles, by route and version (`right`); permissions are stored and shown, never enforced.
//! * Nothing is rendered, queried, alerted on or sent; settings of integrations and plugins are not validated beyond a
//!   few; the alerting exports exist in JSON only.
//!
//! Kept out of here: anything about the programs under test; only `target` and `every_kind` bring the
//! two together.

mod account;
mod alert_rule;
mod answer;
mod contact_point;
mod correlation;
mod dashboard;
mod datasource;
mod discovery;
mod duration;
mod edit;
mod every_kind;
mod fault;
mod field;
mod folder;
mod library;
mod login;
mod managed_fields;
mod manager;
mod model;
mod mute_timing;
mod notification;
mod org;
mod permission;
mod playlist;
mod playlist_resource;
mod plugin;
mod policy;
mod preferences;
mod public_dashboard;
mod replay;
mod resource;
mod right;
mod route;
mod rule_body;
mod rule_group;
mod same;
mod search;
mod server;
mod state;
mod target;
mod team;
mod template;
mod transcript;
mod user;
mod world;

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use every_kind::{HOOK_PASSWORD, alert_rule};
pub use fault::{Effect, Fault};
pub use plugin::Plugin;
pub use replay::replay;
pub use state::Role;
pub use target::Target;
pub use transcript::Exchange;
pub use world::changed;

use fault::Faults;
use state::State;

use crate::listen::lock;

/// Which Grafana the stand-in follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// 10.4.3, as recorded.
    V10,
    /// 11.6.2, as recorded.
    V11,
    /// 12.4.0, as recorded.
    V12,
    /// 13.0, after its documentation.
    V13,
}

impl Profile {
    /// All of them, oldest first.
    pub const ALL: [Profile; 4] = [Profile::V10, Profile::V11, Profile::V12, Profile::V13];

    /// The profile of a major version.
    pub fn of_major(major: u32) -> Option<Profile> {
        Profile::ALL.into_iter().find(|profile| profile.version().split('.').next() == Some(&major.to_string()))
    }

    /// The version that the server says it has.
    pub fn version(self) -> &'static str {
        match self {
            Profile::V10 => "10.4.3",
            Profile::V11 => "11.6.2",
            Profile::V12 => "12.4.0",
            Profile::V13 => "13.0.0",
        }
    }

    /// Whether dashboards and folders live behind `/apis`.
    fn has_resources(self) -> bool {
        self >= Profile::V12
    }
}

/// How a server starts: what it answers before it is ready.
#[derive(Debug, Clone, Default)]
pub struct Startup {
    /// How long connections are refused.
    pub refused: Duration,
    /// How many health probes then say that the database fails (503); everything else is 503 meanwhile.
    pub failing: u32,
    /// How many authenticated requests are then refused as 401, while the health probe is good.
    pub unauthorized: u32,
}

/// What is set on a server before it starts.
#[derive(Debug, Clone)]
pub struct Options {
    /// The port; 0 takes a free one.
    pub port: u16,
    /// The password of the server's administrator `admin`.
    pub admin_password: String,
    /// The toggle `nestedFolders` of version 10; later ones always nest.
    pub nested_folders: bool,
    /// Plugins besides the built-in ones.
    pub plugins: Vec<Plugin>,
    /// Built-in plugins that this server lacks, by id.
    pub without_plugins: Vec<String>,
    /// What it answers before it is ready.
    pub startup: Startup,
    /// How many questions about the notifications of a new organization come before Grafana's next poll makes its Alertmanager
    /// (a real one polls every minute).
    pub before_poll: u32,
    /// Whether strangers are let in as Viewers of the first organization.
    pub anonymous: bool,
}

impl Options {
    /// The usual ones, with nested folders on every version.
    pub fn nesting() -> Options {
        Options { nested_folders: true, ..Options::default() }
    }
}

impl Default for Options {
    fn default() -> Options {
        Options {
            port: 0,
            admin_password: "admin".to_owned(),
            nested_folders: false,
            plugins: Vec::new(),
            without_plugins: Vec::new(),
            startup: Startup::default(),
            before_poll: 1,
            anonymous: false,
        }
    }
}

/// One request as the server got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The method.
    pub method: String,
    /// The path with its query, as sent.
    pub path: String,
    /// The status of the answer, also of one that was not delivered; 0 when a fault kept the request from the server.
    pub status: u16,
    /// The body, lossily as text.
    pub body: String,
}

impl Entry {
    /// Whether the request could change anything.
    pub fn is_write(&self) -> bool {
        !matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS")
    }
}

/// What the connections share.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    faults: Mutex<Faults>,
    log: Mutex<Vec<Entry>>,
    startup: Mutex<Startup>,
}

/// A running stand-in; it stops when it is dropped.
#[derive(Debug)]
pub struct Grafana {
    shared: Arc<Shared>,
    listener: server::Listener,
}

impl Grafana {
    /// Starts a fresh server on 127.0.0.1.
    pub fn start(profile: Profile, options: Options) -> Grafana {
        Grafana::try_start(profile, options).expect("a port on 127.0.0.1 is free")
    }

    /// Starts a fresh server; fails when the port is taken.
    pub fn try_start(profile: Profile, options: Options) -> io::Result<Grafana> {
        let startup = options.startup.clone();
        let port = options.port;
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new(profile, options)),
            faults: Mutex::new(Faults::default()),
            log: Mutex::new(Vec::new()),
            startup: Mutex::new(startup.clone()),
        });
        let listener = server::listen(port, startup.refused, Arc::clone(&shared))?;
        Ok(Grafana { shared, listener })
    }

    /// Where it listens, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.listener.address())
    }

    /// Every request since the start or the last reset, in order of arrival.
    pub fn log(&self) -> Vec<Entry> {
        lock(&self.shared.log).clone()
    }

    /// The requests of the log that could change anything.
    pub fn writes(&self) -> Vec<Entry> {
        self.log().into_iter().filter(Entry::is_write).collect()
    }

    /// Empties the log.
    pub fn reset_log(&self) {
        lock(&self.shared.log).clear();
    }

    /// Adds a fault. The first one that matches a request acts on it.
    pub fn fault(&self, fault: Fault) {
        lock(&self.shared.faults).add(fault);
    }

    /// Takes all faults away.
    pub fn clear_faults(&self) {
        lock(&self.shared.faults).clear();
    }
}
