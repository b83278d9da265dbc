//! What os-init does on any cluster with index state management: on real nodes behind the stand-in for that plugin, and on a live cluster
//! that `OPENSEARCH_URL` names (with `OPENSEARCH_USERNAME` and `OPENSEARCH_PASSWORD`, and `OPENSEARCH_CA_FILE` for one's own authority).
//! There only objects whose names begin with `init-tests-` are made, and deleted again.

use std::process::Command;

use kit::ism::IsmFront;
use kit::sandbox::Sandbox;
use kit::servers::opensearch::{OpenSearch, Variant};
use serde_json::{Value, json};

/// The settings that lead to a cluster, and what has to live as long.
struct Target {
    settings: Vec<(&'static str, String)>,
    _server: Option<(OpenSearch, IsmFront)>,
}

fn each(case: impl Fn(&Target) + Sync) {
    Variant::each(&[Variant::Core2, Variant::Core3], |variant| {
        let node = OpenSearch::of(variant).start();
        let front = IsmFront::of(&node);
        case(&Target { settings: vec![("OPENSEARCH_URL", front.url())], _server: Some((node, front)) });
    });
    // `./test` says when this is left out.
    let names = ["OPENSEARCH_URL", "OPENSEARCH_USERNAME", "OPENSEARCH_PASSWORD", "OPENSEARCH_CA_FILE"];
    let set = |name| Some((name, std::env::var(name).ok().filter(|value| !value.is_empty())?));
    let settings: Vec<_> = names.into_iter().filter_map(set).collect();
    if settings.iter().any(|(name, _)| *name == "OPENSEARCH_URL") {
        case(&Target { settings, _server: None });
    }
}

impl Target {
    fn sandbox(&self, files: &[(&str, Value)]) -> Sandbox {
        let sandbox = Sandbox::new("os-init").config(files);
        self.settings.iter().fold(sandbox, |sandbox, (name, value)| sandbox.env(name, value.as_str()))
    }

    /// The status and the body that curl gets.
    fn curl(&self, method: &str, path: &str) -> (u16, Value) {
        let setting = |wanted| self.settings.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str());
        let mut command = Command::new("curl");
        command.args(["-sS", "--noproxy", "*", "--max-time", "20", "-w", "\n%{http_code}", "-X", method]);
        if let Some(user) = setting("OPENSEARCH_USERNAME") {
            command.args(["-u", &format!("{user}:{}", setting("OPENSEARCH_PASSWORD").unwrap_or_default())]);
        }
        if let Some(file) = setting("OPENSEARCH_CA_FILE") {
            command.args(["--cacert", file]);
        }
        let url = setting("OPENSEARCH_URL").expect("each target has one").trim_end_matches('/');
        let output = command.arg(format!("{url}{path}")).output().expect("curl is installed");
        let text = String::from_utf8_lossy(&output.stdout);
        let (body, status) = text.rsplit_once('\n').expect("curl writes the status");
        (status.parse().expect("a status is a number"), serde_json::from_str(body).unwrap_or_default())
    }
}

/// A series with its policy, and what else a team declares for it.
fn files(age: &str) -> Vec<(&'static str, Value)> {
    vec![
        ("ingest_pipelines/init-tests-access.json", json!({"processors": [{"set": {"field": "team", "value": "a"}}]})),
        (
            "component_templates/init-tests-base.json",
            json!({"template": {"mappings": {"properties": {"at": {"type": "date"}}}}}),
        ),
        (
            "index_templates/init-tests-access.json",
            json!({"index_patterns": ["init-tests-access-*"], "priority": 900, "composed_of": ["init-tests-base"],
                "template": {"settings": {"number_of_replicas": 0, "default_pipeline": "init-tests-access"}}}),
        ),
        (
            "ism_policies/init-tests-access.json",
            json!({"policy": {"description": "of a test", "default_state": "hot", "states": [
                {"name": "hot", "actions": [], "transitions": [{"state_name": "gone", "conditions": {"min_index_age": age}}]},
                {"name": "gone", "actions": [{"delete": {}}], "transitions": []}]}}),
        ),
        ("indices/init-tests-access-000001.json", json!({"aliases": {"init-tests-access": {"is_write_index": true}}})),
        ("ism_attachments/init-tests-access.json", json!({"indices": ["init-tests-access-*"]})),
    ]
}

/// In an order in which nothing is needed any more when it goes.
const PLACES: [&str; 5] = [
    "/init-tests-access-000001",
    "/_index_template/init-tests-access",
    "/_component_template/init-tests-base",
    "/_ingest/pipeline/init-tests-access",
    "/_plugins/_ism/policies/init-tests-access",
];

#[test]
fn a_series_with_its_policy_is_made_once_and_an_edit_is_one_write() {
    each(|target| {
        // A live cluster may hold what an earlier run that was ended has left.
        for place in PLACES {
            target.curl("DELETE", place);
        }
        let sandbox = target.sandbox(&files("30d"));
        let first = sandbox.run(&[]);
        first.expect_code(0);
        assert_eq!(first.count("writes"), 6, "{first}");
        for place in PLACES {
            assert_eq!(target.curl("GET", place).0, 200, "{place}");
        }
        let (_, explained) = target.curl("GET", "/_plugins/_ism/explain/init-tests-access-000001");
        let policy = &explained["init-tests-access-000001"]["index.plugins.index_state_management.policy_id"];
        assert_eq!(policy, "init-tests-access", "{explained}");
        let second = sandbox.run(&[]);
        second.expect_code(0);
        assert_eq!((second.count("writes"), second.count("unchanged")), (0, 6), "{second}");
        let edited = target.sandbox(&files("31d"));
        edited.run(&["plan"]).expect_code(2);
        let third = edited.run(&[]);
        third.expect_code(0);
        assert_eq!((third.count("writes"), third.count("updated")), (1, 1), "{third}");
        for place in PLACES {
            assert_eq!(target.curl("DELETE", place).0, 200, "{place}");
        }
    });
}

/// Bodies are read when they are looked at: four times as many large ones take no more memory, which a container has 16 MiB of.
#[test]
fn memory_does_not_grow_with_the_number_of_large_bodies() {
    let node = OpenSearch::of(Variant::Core2).start();
    let large = kit::many::ALL.iter().filter(|many| many.name.ends_with("57 KB"));
    for many in large {
        let planned = |count: usize| {
            let run = many.sandbox(count).env("OPENSEARCH_URL", node.url()).run(&["plan"]);
            run.expect_code(2);
            run.peak_rss
        };
        let (few, more) = (planned(8), planned(32));
        assert!(more < few + (6 << 20), "{}: {few} bytes for 8, {more} for 32", many.name);
    }
}
