//! The large set of real-world style files (`tests/fixtures`) on real nodes with security, ISM and SM by the stand-in in front: a second run
//! writes nothing and asks little, an edited leaf is one write of that object and of no other, putting it back is one more, and what
//! `export` says of the whole cluster makes another one the same. Writes are counted by the proxy.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use kit::fixture_set::{bodies, edits};
use kit::http1::Request;
use kit::ism::IsmFront;
use kit::proxy::http::Exchange;
use kit::sandbox::{Run, Sandbox};
use kit::servers::opensearch::{OpenSearch, Variant};
use serde_json::Value;

const SECURED: [Variant; 2] = [Variant::Security2, Variant::Security3];
/// Where each kind is written; without a name for those that are one request for all.
const PLACES: [(&str, &str, &str); 16] = [
    ("snapshot_repositories", "PUT", "/_snapshot/"),
    ("action_groups", "PUT", "/_plugins/_security/api/actiongroups/"),
    ("roles", "PUT", "/_plugins/_security/api/roles/"),
    ("tenants", "PUT", "/_plugins/_security/api/tenants/"),
    ("scripts", "PUT", "/_scripts/"),
    ("ingest_pipelines", "PUT", "/_ingest/pipeline/"),
    ("search_pipelines", "PUT", "/_search/pipeline/"),
    ("component_templates", "PUT", "/_component_template/"),
    ("ism_policies", "PUT", "/_plugins/_ism/policies/"),
    ("index_templates", "PUT", "/_index_template/"),
    ("data_streams", "PUT", "/_data_stream/"),
    ("sm_policies", "PUT", "/_plugins/_sm/policies/"),
    ("internal_users", "PUT", "/_plugins/_security/api/internalusers/"),
    ("roles_mapping", "PUT", "/_plugins/_security/api/rolesmapping/"),
    ("indices", "PUT", "/"),
    ("cluster_settings", "PUT", "/_cluster/settings"),
];

/// The set as far as this server can have it.
fn set(variant: Variant) -> BTreeMap<String, Value> {
    let mut files = bodies();
    match variant {
        // The mix that 3.4.0 with security is has no search pipelines.
        Variant::Security3 | Variant::Core3 | Variant::Knn3 => {
            files.retain(|path, _| !path.starts_with("search_pipelines"));
        }
        Variant::Security2 | Variant::Core2 => files.retain(|path, _| !path.ends_with("-3x.json")),
    }
    files
}

fn sandbox(url: &str) -> Sandbox {
    Sandbox::new("os-init")
        .env("OPENSEARCH_URL", url)
        .env("OPENSEARCH_USERNAME", OpenSearch::ADMIN.0)
        .env("OPENSEARCH_PASSWORD", OpenSearch::ADMIN.1)
        .env("SHIPPER_PASSWORD", "Qz7-Grebe-Lantern-41!")
        .env("VIEWER_PASSWORD", "Wv3-Otter-Granite-58!")
        .env("APPLY_TIMEOUT", "2m")
        .deadline(Duration::from_mins(3))
}

/// A node with the set in it.
fn filled(variant: Variant) -> (OpenSearch, IsmFront, Sandbox, BTreeMap<String, Value>) {
    let node = OpenSearch::of(variant).plain_http().start();
    let front = IsmFront::of(&node);
    let files = set(variant);
    let sandbox = sandbox(&front.url());
    for (path, body) in &files {
        sandbox.write(path, format!("{body:#}"));
    }
    let first = sandbox.run(&[]);
    first.expect_code(0);
    assert_eq!(writes(&front).len(), files.len(), "one write for each object: {first}");
    (node, front, sandbox, files)
}

/// `METHOD target` of each write; a patch of the security plugin is a write of each object in it.
fn writes(front: &IsmFront) -> Vec<String> {
    let written = |exchange: Exchange| {
        let Request { method, target, .. } = &exchange.request;
        if method != "PATCH" {
            return vec![format!("{method} {target}")];
        }
        let operations = exchange.request.json();
        let name = |operation: &Value| format!("PUT {target}{}", operation["path"].as_str().unwrap_or_default());
        operations.as_array().expect("a patch is a list").iter().map(name).collect()
    };
    front.proxy().log().into_iter().filter(|exchange| exchange.request.writes()).flat_map(written).collect()
}

/// `kind/name` of what a write was about; aliases are changed without their name in the path.
fn written(write: &str) -> String {
    let (method, target) = write.split_once(' ').expect("method and target");
    let path = target.split('?').next().unwrap_or_default();
    if path == "/_aliases" {
        return "aliases".to_owned();
    }
    let place = PLACES.iter().find(|(kind, with, start)| {
        let creates = *kind == "sm_policies" && method == "POST";
        (*with == method || creates) && path.starts_with(start) && (*start != "/" || !path.starts_with("/_"))
    });
    let (kind, _, start) = place.unwrap_or_else(|| panic!("an unexpected write: {write}"));
    let name = path[start.len()..].trim_end_matches("/_settings").trim_end_matches("/_mapping");
    if name.is_empty() { (*kind).to_owned() } else { format!("{kind}/{name}") }
}

/// The same for an edited file.
fn expected(path: &str, pointer: &str) -> String {
    let object = path.trim_end_matches(".json");
    if object.starts_with("aliases/") || (object.starts_with("indices/") && pointer.starts_with("/aliases/")) {
        return "aliases".to_owned();
    }
    object.to_owned()
}

#[track_caller]
fn expect_writes(front: &IsmFront, run: &Run, mut wanted: Vec<String>, what: &str) {
    run.expect_code(0);
    let mut sent: Vec<String> = writes(front).iter().map(|write| written(write)).collect();
    sent.sort();
    wanted.sort();
    assert_eq!(sent, wanted, "{what}: {run}");
    assert_eq!(run.count("updated"), wanted.len() as u64, "{what}: {run}");
}

/// Acceptance scenario 2, edit detection: one leaf of every file at once is one write for each of them, by name.
#[test]
fn every_edited_leaf_is_one_write_and_putting_it_back_is_one_more() {
    for variant in Variant::usable(&SECURED) {
        let (_node, front, sandbox, files) = filled(variant);
        let edits = edits();
        let rounds = edits.values().map(Vec::len).max().unwrap_or(0);
        let mut tried = 0;
        for round in 0..rounds {
            let mut wanted = Vec::new();
            for (path, body) in &files {
                let Some(edit) = edits.get(path).and_then(|edits| edits.get(round)) else { continue };
                sandbox.write(path, edit.of(body).to_string());
                wanted.push((path, body, expected(path, &edit.pointer)));
            }
            tried += wanted.len();
            let names = |wanted: &[(&String, &Value, String)]| wanted.iter().map(|(.., name)| name.clone()).collect();
            front.proxy().clear();
            let run = sandbox.run(&[]);
            expect_writes(&front, &run, names(&wanted), &format!("edit {round}"));
            if round == 0 {
                front.proxy().clear();
                let run = sandbox.run(&[]);
                run.expect_code(0);
                assert_eq!(front.proxy().writes(), [""; 0], "edit {round} has settled: {run}");
            }
            for (path, body, _) in &wanted {
                sandbox.write(path, body.to_string());
            }
            front.proxy().clear();
            let run = sandbox.run(&[]);
            expect_writes(&front, &run, names(&wanted), &format!("edit {round} put back"));
        }
        assert!(tried > 120, "only {tried} edits were tried");
        front.proxy().clear();
        let run = sandbox.run(&[]);
        run.expect_code(0);
        assert_eq!(front.proxy().writes(), [""; 0], "{run}");
    }
}

/// What marks a version: of every index, of every policy, and of the whole state.
fn versions(node: &OpenSearch, front: &IsmFront, files: &BTreeMap<String, Value>) -> Vec<Value> {
    let filter =
        "metadata.indices.*.mapping_version,metadata.indices.*.settings_version,metadata.indices.*.aliases_version";
    let mut all = vec![
        node.get(&format!("/_cluster/state/metadata?filter_path={filter}")),
        node.state_version().into(),
        node.get("/_plugins/_security/api/internalusers"),
    ];
    let policies = files.keys().filter_map(|path| path.strip_prefix("ism_policies/")?.strip_suffix(".json"));
    all.extend(policies.map(|policy| front.sequence(policy).into()));
    all
}

/// Acceptance scenario 1, the second run writes nothing: no mutating request, no version moves, at most two requests a kind.
#[test]
fn a_second_run_of_every_kind_writes_nothing_and_asks_little() {
    for variant in Variant::usable(&SECURED) {
        let (node, front, sandbox, files) = filled(variant);
        let before = versions(&node, &front, &files);
        front.proxy().clear();
        let second = sandbox.run(&[]);
        second.expect_code(0);
        assert_eq!(front.proxy().writes(), [""; 0], "{second}");
        assert_eq!(versions(&node, &front, &files), before);
        assert_eq!(second.count("unchanged"), files.len() as u64, "{second}");
        let mut kinds: Vec<&str> = files.keys().map(|path| path.split(['/', '.']).next().unwrap_or_default()).collect();
        kinds.dedup();
        let probes = 3;
        let log_ins = 2;
        let all = front.proxy().requests() as u64;
        assert!(all <= 2 * kinds.len() as u64 + probes + log_ins, "{all} requests for {} kinds: {second}", kinds.len());
    }
}

/// Exports every kind into a folder and gives each file's text.
/// The variables that an export asks for, with what was declared in their place.
fn secrets(exported: &Value, declared: &Value) -> Vec<(String, String)> {
    match (exported, declared) {
        (Value::String(text), Value::String(value)) if !value.starts_with("$__env{") => {
            let name = text.strip_prefix("$__env{").and_then(|name| name.strip_suffix('}'));
            name.map(|name| (name.to_owned(), value.clone())).into_iter().collect()
        }
        (Value::Object(fields), _) => fields.iter().flat_map(|(key, inner)| secrets(inner, &declared[key])).collect(),
        (Value::Array(items), _) => {
            items.iter().enumerate().flat_map(|(index, inner)| secrets(inner, &declared[index])).collect()
        }
        _ => Vec::new(),
    }
}

fn export(sandbox: &Sandbox, name: &str) -> BTreeMap<String, String> {
    let folder = sandbox.path(name);
    let target = folder.display().to_string();
    let kinds: Vec<&str> = PLACES.iter().map(|(kind, ..)| *kind).chain(["aliases"]).collect();
    let mut arguments = vec!["export", target.as_str()];
    arguments.extend(kinds.iter().flat_map(|kind| ["--kind", kind]));
    sandbox.run(&arguments).expect_code(0);
    let mut found = BTreeMap::new();
    collect(&folder, &folder, &mut found);
    found
}

fn collect(root: &Path, folder: &Path, found: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).expect("the export can be read") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            collect(root, &path, found);
        } else {
            let name = path.strip_prefix(root).expect("it lies below").display().to_string();
            found.insert(name, std::fs::read_to_string(&path).expect("an exported file can be read"));
        }
    }
}

#[test]
fn an_export_applied_to_an_empty_cluster_and_exported_again_is_the_same() {
    for variant in Variant::usable(&SECURED) {
        let (_node, front, mut first, files) = filled(variant);
        let exported = export(&first, "whole");
        assert!(exported.len() >= files.len(), "{} files of {} objects", exported.len(), files.len());
        let other = OpenSearch::of(variant).plain_http().start();
        let other_front = IsmFront::of(&other);
        for (name, value) in [
            ("INTERNAL_USERS_SHIPPER_PASSWORD", "Qz7-Grebe-Lantern-41!"),
            ("INTERNAL_USERS_VIEWER_PASSWORD", "Wv3-Otter-Granite-58!"),
            ("INTERNAL_USERS_HASHED_HASH", "$2y$12$Fm7gQh4trqrJnWSBk8VYxe3EqYmbwmttzPBA5qI1hLyqvBOJQSgYW"),
            ("INTERNAL_USERS_LIMITED_PASSWORD", OpenSearch::LIMITED.1),
        ] {
            first.set(name, value);
        }
        for (name, text) in &exported {
            let (text, declared) = (serde_json::from_str(text).expect("JSON"), files.get(name).unwrap_or(&Value::Null));
            for (name, value) in secrets(&text, declared) {
                first.set(&name, value);
            }
        }
        first.set("CONFIG_DIR", first.path("whole").display().to_string());
        front.proxy().clear();
        let same = first.run(&[]);
        same.expect_code(0);
        assert_eq!(front.proxy().writes(), [""; 0], "the export is what the cluster holds: {same}");
        first.set("OPENSEARCH_URL", other_front.url());
        first.run(&[]).expect_code(0);
        let again = export(&first, "again");
        let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&exported), names(&again));
        for (name, text) in &exported {
            assert_eq!(Some(text), again.get(name), "{name}");
        }
    }
}
