//! What one stand-in holds: users, organizations, and each organization's objects.
//! Plain data and the few look-ups that several kinds share; what a request does to it is in the kinds' own files.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::field::{mix, slug};
use super::{Options, Profile};

/// After so many failures a login is refused until the oldest of them is forgotten: Grafana's defaults.
const FAILURES: usize = 5;
const LOCKED_FOR: Duration = Duration::from_mins(5);

/// A role in an organization, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// No right of its own.
    None,
    /// Reads.
    Viewer,
    /// Writes folders, dashboards and rules.
    Editor,
    /// Everything inside one organization.
    Admin,
}

impl Role {
    pub(super) fn name(self) -> &'static str {
        match self {
            Role::None => "None",
            Role::Viewer => "Viewer",
            Role::Editor => "Editor",
            Role::Admin => "Admin",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Role> {
        [Role::None, Role::Viewer, Role::Editor, Role::Admin].into_iter().find(|role| role.name() == text)
    }
}

#[derive(Debug, Clone)]
pub(super) struct User {
    pub(super) id: i64,
    pub(super) uid: String,
    pub(super) login: String,
    pub(super) email: String,
    pub(super) name: String,
    pub(super) password: String,
    pub(super) server_admin: bool,
    pub(super) made: Timestamp,
}

#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) key: String,
    pub(super) created: Timestamp,
    pub(super) expires: Option<Timestamp>,
    pub(super) used: Option<Timestamp>,
}

#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) id: i64,
    pub(super) uid: String,
    pub(super) name: String,
    pub(super) login: String,
    pub(super) role: Role,
    pub(super) disabled: bool,
    pub(super) created: Timestamp,
    pub(super) updated: Timestamp,
    pub(super) tokens: Vec<Token>,
}

#[derive(Debug, Clone)]
pub(super) struct Team {
    pub(super) id: i64,
    pub(super) uid: String,
    pub(super) name: String,
    pub(super) email: String,
    /// User id and permission (0 member, 4 admin).
    pub(super) members: Vec<(i64, i64)>,
    pub(super) preferences: Map<String, Value>,
}

#[derive(Debug, Clone)]
pub(super) struct DataSource {
    pub(super) id: i64,
    /// What the API shows, without the two below and `typeLogoUrl`.
    pub(super) fields: Map<String, Value>,
    pub(super) secrets: BTreeMap<String, String>,
    pub(super) read_only: bool,
}

/// Who holds a right on a folder or a dashboard.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Holder {
    User(i64),
    Team(i64),
    Role(String),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Grant {
    pub(super) holder: Holder,
    pub(super) level: i64,
}

#[derive(Debug, Clone)]
pub(super) struct Folder {
    pub(super) uid: String,
    pub(super) id: i64,
    pub(super) title: String,
    pub(super) description: String,
    pub(super) parent: Option<String>,
    pub(super) version: i64,
    pub(super) made: Made,
    pub(super) grants: Vec<Grant>,
}

/// Who made a thing and who changed it, and what the resource API adds to that.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub(super) created: Timestamp,
    pub(super) updated: Timestamp,
    pub(super) created_by: Actor,
    pub(super) updated_by: Option<Actor>,
    pub(super) resource_uid: String,
    pub(super) resource_version: i64,
    pub(super) annotations: Map<String, Value>,
    pub(super) labels: Map<String, Value>,
    pub(super) managed_fields: Option<Value>,
}

#[derive(Debug, Clone)]
pub(super) struct Revision {
    pub(super) row: i64,
    pub(super) version: i64,
    pub(super) parent: i64,
    pub(super) created: Timestamp,
    pub(super) by: String,
    pub(super) message: String,
    pub(super) data: Value,
}

#[derive(Debug, Clone)]
pub(super) struct Dashboard {
    pub(super) uid: String,
    pub(super) id: i64,
    pub(super) folder: Option<String>,
    /// The model without `id`, `uid` and `version`.
    pub(super) spec: Map<String, Value>,
    /// The version of the resource API that wrote it; `v0alpha1` for the old API.
    pub(super) stored_as: String,
    pub(super) version: i64,
    /// Counts every write of the server, so that a later write sorts behind an earlier one.
    pub(super) touched: i64,
    pub(super) made: Made,
    pub(super) revisions: Vec<Revision>,
    pub(super) grants: Vec<Grant>,
    pub(super) provisioned: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Element {
    pub(super) id: i64,
    pub(super) uid: String,
    pub(super) name: String,
    pub(super) kind: i64,
    pub(super) folder: Option<String>,
    pub(super) model: Map<String, Value>,
    pub(super) version: i64,
    pub(super) created: Timestamp,
    pub(super) updated: Timestamp,
    pub(super) by: Actor,
}

/// One integration of a contact point; several may share a name.
#[derive(Debug, Clone)]
pub(super) struct Integration {
    pub(super) uid: String,
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) settings: Map<String, Value>,
    pub(super) secrets: BTreeMap<String, String>,
    pub(super) silent_resolve: bool,
    pub(super) provenance: String,
}

/// A mute timing or a template.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) body: Value,
    pub(super) provenance: String,
}

#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) id: i64,
    pub(super) uid: String,
    pub(super) folder: String,
    pub(super) group: String,
    pub(super) body: Map<String, Value>,
    pub(super) updated: Timestamp,
    pub(super) provenance: String,
}

#[derive(Debug, Clone)]
pub(super) struct Playlist {
    pub(super) id: i64,
    pub(super) uid: String,
    pub(super) name: String,
    pub(super) interval: String,
    pub(super) items: Vec<Value>,
    pub(super) generation: i64,
    pub(super) made: Made,
}

#[derive(Debug, Clone)]
pub(super) struct Correlation {
    pub(super) uid: String,
    pub(super) source: String,
    pub(super) target: Option<String>,
    pub(super) label: String,
    pub(super) description: String,
    pub(super) config: Value,
    pub(super) kind: String,
}

#[derive(Debug, Clone)]
pub(super) struct PublicDashboard {
    pub(super) uid: String,
    pub(super) access_token: String,
    pub(super) by: i64,
    pub(super) created: Timestamp,
    pub(super) updated: Timestamp,
    pub(super) settings: Value,
}

#[derive(Debug, Clone)]
pub(super) struct Org {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) members: BTreeMap<i64, Role>,
    /// How many more questions about its notifications come before Grafana's next poll.
    pub(super) before_poll: u32,
    pub(super) preferences: Map<String, Value>,
    pub(super) teams: Vec<Team>,
    pub(super) accounts: Vec<Account>,
    pub(super) datasources: Vec<DataSource>,
    pub(super) folders: BTreeMap<String, Folder>,
    pub(super) dashboards: BTreeMap<String, Dashboard>,
    pub(super) elements: BTreeMap<String, Element>,
    pub(super) playlists: BTreeMap<String, Playlist>,
    pub(super) correlations: Vec<Correlation>,
    /// By the dashboard's uid.
    pub(super) public_dashboards: BTreeMap<String, PublicDashboard>,
    pub(super) integrations: Vec<Integration>,
    pub(super) timings: BTreeMap<String, Named>,
    pub(super) templates: BTreeMap<String, Named>,
    pub(super) policy: Value,
    pub(super) policy_provenance: String,
    pub(super) rules: Vec<Rule>,
    /// Seconds by folder and group.
    pub(super) intervals: BTreeMap<(String, String), i64>,
}

/// Who sends a request.
#[derive(Debug, Clone)]
pub(super) struct Actor {
    pub(super) id: i64,
    pub(super) uid: String,
    pub(super) login: String,
    pub(super) role: Role,
    pub(super) server_admin: bool,
    pub(super) is_user: bool,
}

/// Everything a stand-in holds.
#[derive(Debug)]
pub(super) struct State {
    pub(super) profile: Profile,
    pub(super) options: Options,
    pub(super) users: Vec<User>,
    pub(super) orgs: BTreeMap<i64, Org>,
    /// Who failed to log in, and when.
    pub(super) failed_logins: Vec<(String, Instant)>,
    counters: BTreeMap<&'static str, i64>,
}

impl State {
    pub(super) fn new(profile: Profile, options: Options) -> State {
        let mut state = State {
            profile,
            options,
            users: Vec::new(),
            orgs: BTreeMap::new(),
            failed_logins: Vec::new(),
            counters: BTreeMap::new(),
        };
        let uid = state.new_uid();
        let admin = User {
            id: state.next("user"),
            uid,
            login: "admin".to_owned(),
            email: "admin@localhost".to_owned(),
            name: String::new(),
            password: state.options.admin_password.clone(),
            server_admin: true,
            made: Timestamp::now(),
        };
        state.users.push(admin);
        state.add_org("Main Org.", 1);
        state
    }

    pub(super) fn add_org(&mut self, name: &str, admin: i64) -> i64 {
        let id = self.next("org");
        let org = Org {
            id,
            name: name.to_owned(),
            members: BTreeMap::from([(admin, Role::Admin)]),
            // Those that are there when a server starts have one at once.
            before_poll: if self.orgs.is_empty() { 0 } else { self.options.before_poll },
            preferences: Map::new(),
            teams: Vec::new(),
            accounts: Vec::new(),
            datasources: Vec::new(),
            folders: BTreeMap::new(),
            dashboards: BTreeMap::new(),
            elements: BTreeMap::new(),
            playlists: BTreeMap::new(),
            correlations: Vec::new(),
            public_dashboards: BTreeMap::new(),
            integrations: self.profile.first_integrations(),
            timings: BTreeMap::new(),
            templates: BTreeMap::new(),
            policy: self.profile.first_policy(),
            policy_provenance: String::new(),
            rules: Vec::new(),
            intervals: BTreeMap::new(),
        };
        self.orgs.insert(id, org);
        id
    }

    /// The next number of a sequence; like a table's own, it never gives one twice.
    pub(super) fn next(&mut self, sequence: &'static str) -> i64 {
        let counter = self.counters.entry(sequence).or_insert(0);
        *counter += 1;
        *counter
    }

    /// The internal number of a folder or dashboard: up to 11 both come from one table, from 12 on it is a long
    /// number that only grows.
    pub(super) fn next_object(&mut self) -> i64 {
        let next = self.next("object");
        if self.profile.has_resources() { 3_448_263_858_360_320 + next * 50_331_648 } else { next }
    }

    /// A uid in the form that Grafana makes: 14 characters, the first between `a` and `g`.
    pub(super) fn new_uid(&mut self) -> String {
        const DIGITS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        let mut bits = mix(self.next("uid"));
        let mut uid = String::from(char::from(b'a' + u8::try_from(bits % 7).expect("below seven")));
        for _ in 0..13 {
            uid.push(char::from(DIGITS[usize::try_from(bits % 36).expect("below 36")]));
            bits = bits.rotate_left(5).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        uid
    }

    /// A new record of who made a thing.
    pub(super) fn made(&mut self, by: &Actor) -> Made {
        let now = Timestamp::now();
        let (left, right) = (mix(self.next("uuid")), mix(self.next("uuid")));
        let (low, middle, version) = (left >> 32, (left >> 16) & 0xffff, left & 0xfff | 0x4000);
        let (variant, node) = ((right >> 48) & 0x3fff | 0x8000, right & 0xffff_ffff_ffff);
        Made {
            created: now,
            updated: now,
            created_by: by.clone(),
            updated_by: None,
            resource_uid: format!("{low:08x}-{middle:04x}-{version:04x}-{variant:04x}-{node:012x}"),
            resource_version: self.resource_version(),
            annotations: Map::new(),
            labels: Map::new(),
            managed_fields: None,
        }
    }

    pub(super) fn resource_version(&mut self) -> i64 {
        1_795_389_504_000_000 + self.next("resource version") * 1009
    }

    pub(super) fn touch(&mut self, made: &mut Made, by: &Actor) {
        made.updated = Timestamp::now();
        made.updated_by = Some(by.clone());
        made.resource_version = self.resource_version();
    }

    /// Whether a login has failed so often of late that even its password is refused.
    pub(super) fn is_locked(&self, login: &str) -> bool {
        let late = self.failed_logins.iter().filter(|(who, when)| who == login && when.elapsed() < LOCKED_FOR);
        late.count() >= FAILURES
    }

    /// Who holds a key, with the organization it belongs to.
    pub(super) fn token(&mut self, key: &str) -> Option<(i64, Account, Token)> {
        for org in self.orgs.values_mut() {
            for account in &mut org.accounts {
                let holder = account.clone();
                if let Some(token) = account.tokens.iter_mut().find(|token| token.key == key) {
                    token.used = Some(Timestamp::now());
                    return Some((org.id, holder, token.clone()));
                }
            }
        }
        None
    }
}

impl Org {
    /// Whether its notifications can be asked for; counts the question.
    pub(super) fn has_alertmanager(&mut self) -> bool {
        let before = self.before_poll;
        self.before_poll = before.saturating_sub(1);
        before == 0
    }

    /// The folder and those above it, the nearest first. An orphan's chain ends where the parent is missing.
    pub(super) fn ancestors(&self, folder: Option<&str>) -> Vec<&Folder> {
        let mut chain: Vec<&Folder> = Vec::new();
        let mut next = folder;
        while let Some(found) = next.and_then(|uid| self.folders.get(uid)) {
            if chain.iter().any(|above| above.uid == found.uid) {
                break;
            }
            chain.push(found);
            next = found.parent.as_deref();
        }
        chain
    }

    /// The numeric id, title and address of a folder as other objects show it.
    pub(super) fn place(&self, folder: Option<&str>) -> (Value, String, String) {
        match folder.and_then(|uid| self.folders.get(uid)) {
            Some(found) => (json!(found.id), found.title.clone(), folder_url(found)),
            None => (json!(0), "General".to_owned(), String::new()),
        }
    }
}

pub(super) fn folder_url(folder: &Folder) -> String {
    format!("/dashboards/f/{}/{}", folder.uid, slug(&folder.title))
}
