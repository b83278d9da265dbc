//! A question that no recording holds is an error of the test: what grafana-init asks for a set of every kind, twice and changed, is asked
//! in the recordings too, but for what [`BELIEVED`] lists.

use std::collections::BTreeSet;

use kit::grafana::{Options, Profile, Target, changed};

/// Questions after Grafana's documentation, which no recorder has asked, and why they are believed.
const BELIEVED: [&str; 2] = [
    // Who is meant by a login, and who is in a team: plain look-ups, documented alike for every version, and seen to work on all three.
    "GET /api/org/users/lookup",
    "GET /api/teams/*/members",
];

/// A question without the names of objects: its method and its words, `*` for every other part of the path.
fn shape(method: &str, path: &str) -> String {
    const WORDS: [&str; 36] = [
        "api",
        "apis",
        "alert-rules",
        "contact-points",
        "correlations",
        "counts",
        "dashboards",
        "datasources",
        "db",
        "export",
        "folder",
        "folders",
        "frontend",
        "health",
        "items",
        "library-elements",
        "lookup",
        "members",
        "move",
        "mute-timings",
        "name",
        "namespaces",
        "org",
        "orgs",
        "permissions",
        "playlists",
        "plugins",
        "policies",
        "preferences",
        "provisioning",
        "public-dashboards",
        "rule-groups",
        "search",
        "serviceaccounts",
        "settings",
        "teams",
    ];
    const MORE: [&str; 8] = ["templates", "tokens", "uid", "user", "users", "v1", "versions", "default"];
    let path = path.split('?').next().unwrap_or_default();
    let parts = path.split('/').filter(|part| !part.is_empty());
    let parts: Vec<&str> =
        parts.map(|part| if WORDS.contains(&part) || MORE.contains(&part) { part } else { "*" }).collect();
    format!("{method} /{}", parts.join("/"))
}

#[test]
fn what_grafana_init_asks_was_asked_of_real_servers() {
    let mut unasked = BTreeSet::new();
    for profile in Profile::RECORDED {
        let transcripts = profile.transcripts();
        let recorded: BTreeSet<String> =
            transcripts.iter().flat_map(|(_, list)| list).map(|one| shape(&one.method, &one.path)).collect();
        let target = Target::standin(profile, Options::nesting());
        let sandbox = target.with_every_kind();
        target.apply(&sandbox);
        let files = changed(target.every_kind(&sandbox.path("token")));
        let sandbox = sandbox.config(&files);
        target.apply(&sandbox);
        for entry in target.server().log() {
            let asked = shape(&entry.method, &entry.path);
            if !recorded.contains(&asked) && !BELIEVED.contains(&asked.as_str()) {
                unasked.insert(format!("{} {asked}", target.name));
            }
        }
    }
    assert!(unasked.is_empty(), "no recording holds {unasked:#?}");
}
