//! What `/apis` says a server has: groups and their versions. The resources themselves are in `resource`.

use serde_json::{Value, json};

use super::Profile;
use super::answer::Answer;
use super::route::Call;

impl Profile {
    pub(super) fn dashboard_versions(self) -> &'static [&'static str] {
        match self {
            Profile::V10 | Profile::V11 => &[],
            Profile::V12 => &["v1beta1", "v0alpha1", "v2beta1", "v2alpha1"],
            Profile::V13 => &["v1", "v2", "v1beta1", "v0alpha1", "v2beta1", "v2alpha1"],
        }
    }

    pub(super) fn folder_versions(self) -> &'static [&'static str] {
        match self {
            Profile::V10 | Profile::V11 => &[],
            Profile::V12 => &["v1beta1"],
            Profile::V13 => &["v1", "v1beta1"],
        }
    }

    pub(super) fn playlist_versions(self) -> &'static [&'static str] {
        if self.has_resources() { &["v1", "v0alpha1"] } else { &["v0alpha1"] }
    }

    /// Whether there is a group of this name.
    pub(super) fn has_group(self, name: &str) -> bool {
        self.groups().iter().any(|(group, _)| *group == name)
    }

    /// Every group that this version lists, with its versions, the preferred one first.
    fn groups(self) -> Vec<(&'static str, &'static [&'static str])> {
        match self {
            Profile::V10 => {
                vec![("playlist.grafana.app", self.playlist_versions()), ("featuretoggle.grafana.app", &["v0alpha1"])]
            }
            Profile::V11 => vec![
                ("notifications.alerting.grafana.app", &["v0alpha1"]),
                ("userstorage.grafana.app", &["v0alpha1"]),
                ("playlist.grafana.app", self.playlist_versions()),
                ("featuretoggle.grafana.app", &["v0alpha1"]),
                ("iam.grafana.app", &["v0alpha1"]),
            ],
            Profile::V12 | Profile::V13 => vec![
                ("features.grafana.app", &["v0alpha1"]),
                ("dashboard.grafana.app", self.dashboard_versions()),
                ("folder.grafana.app", self.folder_versions()),
                ("iam.grafana.app", &["v0alpha1"]),
                ("userstorage.grafana.app", &["v0alpha1"]),
                ("preferences.grafana.app", &["v1alpha1"]),
                ("collections.grafana.app", &["v1alpha1"]),
                ("playlist.grafana.app", self.playlist_versions()),
                ("plugins.grafana.app", &["v0alpha1"]),
                ("example.grafana.app", &["v1alpha1", "v0alpha1"]),
                ("notifications.alerting.grafana.app", &["v0alpha1"]),
            ],
        }
    }
}

/// Every group.
pub(super) fn groups(call: &Call<'_>) -> Answer {
    let groups: Vec<Value> = call.profile.groups().into_iter().map(|group| listed(call, group)).collect();
    Answer::json(200, json!({"kind": "APIGroupList", "groups": groups}))
}

/// One group, if there is one of this name.
pub(super) fn group(call: &Call<'_>, wanted: &str) -> Option<Answer> {
    let (name, versions) = call.profile.groups().into_iter().find(|(name, _)| *name == wanted)?;
    let mut body = json!({"kind": "APIGroup", "apiVersion": "v1"});
    describe(&mut body, name, versions);
    Some(Answer::json(200, body))
}

/// The answer to any path of a group that there is not.
pub(super) fn no_group(profile: Profile) -> Answer {
    match profile {
        Profile::V10 => Answer::json(404, json!({"paths": PATHS_OF_10})),
        Profile::V11 | Profile::V12 | Profile::V13 => Answer::text(404, "404 page not found\n"),
    }
}

/// What 10.4 says it has, to any path under `/apis` that it lacks.
const PATHS_OF_10: [&str; 27] = [
    "/apis",
    "/apis/featuretoggle.grafana.app",
    "/apis/featuretoggle.grafana.app/v0alpha1",
    "/apis/playlist.grafana.app",
    "/apis/playlist.grafana.app/v0alpha1",
    "/healthz",
    "/healthz/log",
    "/healthz/ping",
    "/healthz/poststarthook/max-in-flight-filter",
    "/healthz/poststarthook/storage-object-count-tracker-hook",
    "/livez",
    "/livez/log",
    "/livez/ping",
    "/livez/poststarthook/max-in-flight-filter",
    "/livez/poststarthook/storage-object-count-tracker-hook",
    "/metrics",
    "/metrics/slis",
    "/openapi/v2",
    "/openapi/v3",
    "/openapi/v3/",
    "/readyz",
    "/readyz/log",
    "/readyz/ping",
    "/readyz/poststarthook/max-in-flight-filter",
    "/readyz/poststarthook/storage-object-count-tracker-hook",
    "/readyz/shutdown",
    "/version",
];

fn listed(call: &Call<'_>, (name, versions): (&str, &[&str])) -> Value {
    let mut body = json!({});
    describe(&mut body, name, versions);
    let host = call.request.header("host").unwrap_or("127.0.0.1");
    body["serverAddressByClientCIDRs"] = json!([{"clientCIDR": "0.0.0.0/0", "serverAddress": host}]);
    body
}

fn describe(body: &mut Value, name: &str, versions: &[&str]) {
    let entry = |version: &&str| json!({"groupVersion": format!("{name}/{version}"), "version": version});
    body["name"] = json!(name);
    body["versions"] = versions.iter().map(entry).collect();
    body["preferredVersion"] = versions.first().map(entry).into();
}
