//! What a case does to a server behind the API's back: edits as somebody makes them in the web interface or in files, and
//! looks at what the API does not show. Edits are not in the log.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::answer::Request;
use super::state::{Org, Role};
use super::{Grafana, Options, Profile, manager, route};
use crate::listen::lock;

impl Grafana {
    fn in_org<T>(&self, org: i64, act: impl FnOnce(&mut Org) -> T) -> T {
        act(lock(&self.shared.state).orgs.get_mut(&org).expect("the case names an organization that is there"))
    }

    /// Which Grafana it follows.
    pub fn profile(&self) -> Profile {
        lock(&self.shared.state).profile
    }

    /// What was set on it before it started.
    pub fn options(&self) -> Options {
        lock(&self.shared.state).options.clone()
    }

    /// Sends a request as the administrator, past the wire, the log and the faults; answers status and body.
    pub fn request(&self, org: i64, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let mut state = lock(&self.shared.state);
        let admin = format!("admin:{}", state.options.admin_password);
        let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, admin);
        let headers = vec![
            ("Authorization".to_owned(), format!("Basic {encoded}")),
            ("X-Grafana-Org-Id".to_owned(), org.to_string()),
        ];
        let request = Request::new(method, path, headers, body.to_string().into_bytes());
        let answer = route::answer(&request, &mut state);
        (answer.status, serde_json::from_str(&answer.body).unwrap_or(Value::Null))
    }

    /// Edits a dashboard as a person in the browser does: its history grows, its folder stays.
    pub fn edit_dashboard(&self, org: i64, uid: &str, edit: impl FnOnce(&mut Value)) {
        let path = format!("/api/dashboards/uid/{uid}");
        let (status, mut body) = self.request(org, "GET", &path, &Value::Null);
        assert_eq!(status, 200, "there is no dashboard {uid}");
        edit(&mut body["dashboard"]);
        let save = json!({"dashboard": body["dashboard"], "folderUid": body["meta"]["folderUid"], "overwrite": true,
            "message": "edited by hand"});
        let (status, answer) = self.request(org, "POST", "/api/dashboards/db", &save);
        assert_eq!(status, 200, "{answer}");
    }

    /// Makes a dashboard one that a file on the server's disk provides; from 12 on its resource says so, too.
    pub fn provision_dashboard(&self, org: i64, uid: &str) {
        let resources = self.profile().has_resources();
        self.in_org(org, |org| {
            let dashboard = org.dashboards.get_mut(uid).expect("the dashboard is there");
            dashboard.provisioned = true;
            if resources {
                manager::put(&mut dashboard.made, "classic-file-provisioning", "default");
            }
        });
    }

    /// Makes a dashboard one that somebody manages (12 and later): a kind that Grafana knows, and whose.
    pub fn manage_dashboard(&self, org: i64, uid: &str, kind: &str, id: &str) {
        self.in_org(org, |org| {
            manager::put(&mut org.dashboards.get_mut(uid).expect("the dashboard is there").made, kind, id);
        });
    }

    /// Makes a folder one that somebody manages (12 and later).
    pub fn manage_folder(&self, org: i64, uid: &str, kind: &str, id: &str) {
        self.in_org(org, |org| {
            manager::put(&mut org.folders.get_mut(uid).expect("the folder is there").made, kind, id);
        });
    }

    /// Makes a data source one that a file on the server's disk provides.
    pub fn provision_datasource(&self, org: i64, uid: &str) {
        self.in_org(org, |org| {
            let mut sources = org.datasources.iter_mut();
            let source = sources.find(|source| source.fields["uid"] == json!(uid)).expect("the data source is there");
            source.read_only = true;
        });
    }

    /// Sets a secret of a data source.
    pub fn set_secret(&self, org: i64, uid: &str, key: &str, value: &str) {
        self.in_org(org, |org| {
            let mut sources = org.datasources.iter_mut();
            let source = sources.find(|source| source.fields["uid"] == json!(uid)).expect("the data source is there");
            source.secrets.insert(key.to_owned(), value.to_owned());
        });
    }

    /// A secret of a data source, which no API shows.
    pub fn secret(&self, org: i64, uid: &str, key: &str) -> Option<String> {
        self.in_org(org, |org| {
            let source = org.datasources.iter().find(|source| source.fields["uid"] == json!(uid))?;
            source.secrets.get(key).cloned()
        })
    }

    /// Sets a secret setting of the contact point integration with this uid.
    pub fn set_contact_point_secret(&self, org: i64, uid: &str, key: &str, value: &str) {
        self.in_org(org, |org| {
            let one = org.integrations.iter_mut().find(|one| one.uid == uid).expect("the integration is there");
            one.secrets.insert(key.to_owned(), value.to_owned());
        });
    }

    /// Appends a route to the notification policy.
    pub fn add_policy_route(&self, org: i64, route: Value) {
        self.in_org(org, |org| match org.policy["routes"].as_array_mut() {
            Some(routes) => routes.push(route),
            None => org.policy["routes"] = json!([route]),
        });
    }

    /// Makes every alerting object one that a file provides.
    pub fn provision_alerting(&self, org: i64) {
        self.in_org(org, |org| {
            let file = "file".to_owned();
            org.integrations.iter_mut().for_each(|one| one.provenance.clone_from(&file));
            org.timings.values_mut().chain(org.templates.values_mut()).for_each(|one| one.provenance.clone_from(&file));
            org.rules.iter_mut().for_each(|rule| rule.provenance.clone_from(&file));
            org.policy_provenance = file;
        });
    }

    /// Grafana's poll: from now on every organization has an Alertmanager.
    pub fn poll_organizations(&self) {
        lock(&self.shared.state).orgs.values_mut().for_each(|org| org.before_poll = 0);
    }

    /// Lets the five minutes pass for which failed logins count.
    pub fn forget_failed_logins(&self) {
        lock(&self.shared.state).failed_logins.clear();
    }

    /// Lets a service account's token expire.
    pub fn expire_token(&self, org: i64, name: &str) {
        self.in_org(org, |org| {
            let mut tokens = org.accounts.iter_mut().flat_map(|account| &mut account.tokens);
            tokens.find(|token| token.name == name).expect("the token is there").expires = Some(Timestamp::now());
        });
    }

    /// Deletes a service account's token.
    pub fn delete_token(&self, org: i64, name: &str) {
        self.in_org(org, |org| {
            for account in &mut org.accounts {
                account.tokens.retain(|token| token.name != name);
            }
        });
    }

    /// Makes a service account with one token and gives the key.
    pub fn add_token(&self, org: i64, account: &str, role: Role) -> String {
        let account_body = json!({"name": account, "role": role.name()});
        let (status, made) = self.request(org, "POST", "/api/serviceaccounts", &account_body);
        assert_eq!(status, 201, "{made}");
        let path = format!("/api/serviceaccounts/{}/tokens", made["id"]);
        let (status, token) = self.request(org, "POST", &path, &json!({"name": format!("{account}-token")}));
        assert_eq!(status, 200, "{token}");
        token["key"].as_str().expect("a new token has a key").to_owned()
    }
}
