//! Every body in `docs/os-init.md` is applied as it stands, to real nodes with security and the stand-in for ISM and SM: they are there
//! afterwards, asked by curl, and a second run writes nothing.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kit::http1::Response;
use kit::ism::IsmFront;
use kit::proxy::HttpProxy;
use kit::proxy::http::Verdict;
use kit::sandbox::Sandbox;
use kit::servers::opensearch::{OpenSearch, Variant};
use serde_json::Value;

/// The fenced bodies of the page, each with the path in the line above it.
fn bodies() -> Vec<(String, Value)> {
    let page = include_str!("../../docs/os-init.md");
    let mut found = Vec::new();
    for (place, block) in page.match_indices("\n```json\n") {
        let path = page[..place].rsplit('\n').next().unwrap_or_default().trim_matches('`');
        let text = &page[place + block.len()..];
        let text = &text[..text.find("\n```").expect("a fence ends")];
        found.push((path.to_owned(), serde_json::from_str(text).unwrap_or_else(|error| panic!("{path}: {error}"))));
    }
    found
}

/// Where the server answers about an object of this file.
fn address(path: &str) -> Option<String> {
    let (kind, name) = path.trim_end_matches(".json").split_once('/')?;
    let api = match kind {
        "snapshot_repositories" => "/_snapshot/",
        "action_groups" => "/_plugins/_security/api/actiongroups/",
        "roles" => "/_plugins/_security/api/roles/",
        "tenants" => "/_plugins/_security/api/tenants/",
        "scripts" => "/_scripts/",
        "ingest_pipelines" => "/_ingest/pipeline/",
        "search_pipelines" => "/_search/pipeline/",
        "component_templates" => "/_component_template/",
        "index_templates" => "/_index_template/",
        "data_streams" => "/_data_stream/",
        "indices" => "/",
        "aliases" => "/_alias/",
        "internal_users" => "/_plugins/_security/api/internalusers/",
        "roles_mapping" => "/_plugins/_security/api/rolesmapping/",
        // The stand-in's, which is asked for those below.
        "ism_policies" | "ism_attachments" | "rollups" | "transforms" | "sm_policies" => return None,
        other => panic!("an unknown kind {other} in the page"),
    };
    Some(format!("{api}{name}"))
}

#[test]
fn val_spc_103_each_documented_body_is_there_after_exit_0_and_a_second_run_writes_nothing() {
    Variant::each(&[Variant::Security2, Variant::Security3], |variant| {
        let node = OpenSearch::of(variant).plain_http().start();
        let front = IsmFront::of(&node);
        let mut files = bodies();
        assert!(files.len() >= 20, "the page shows each kind");
        // The mix that 3.4.0 with security is has no search pipelines.
        files.retain(|(path, _)| variant != Variant::Security3 || !path.starts_with("search_pipelines"));
        let mut sandbox = Sandbox::new("os-init")
            .env("OPENSEARCH_URL", front.url())
            .env("OPENSEARCH_USERNAME", OpenSearch::ADMIN.0)
            .env("OPENSEARCH_PASSWORD", OpenSearch::ADMIN.1)
            .env("SHIPPER_PASSWORD", "Qz7-Grebe-Lantern-41!");
        for (path, body) in &files {
            sandbox.write(path, format!("{body:#}"));
        }
        let first = sandbox.run(&[]);
        first.expect_code(0);
        assert_eq!(first.count("created") + first.count("updated"), files.len() as u64, "{first}");
        for (path, _) in &files {
            if let Some(address) = address(path) {
                assert_eq!(node.curl("GET", &address, None).0, 200, "{address}");
            }
        }
        assert_eq!(front.policy_of("logs-web-000001").as_deref(), Some("logs-30d"));
        front.proxy().clear();
        let version = node.state_version();
        let second = sandbox.run(&[]);
        second.expect_code(0);
        assert_eq!(front.proxy().writes(), [""; 0], "{second}");
        assert_eq!(second.count("unchanged"), files.len() as u64, "{second}");
        assert_eq!(node.state_version(), version);
        sandbox.run(&["plan"]).expect_code(0);
        a_newer_version_is_no_change(&sandbox, &front);
        // What the server holds, written as files, is what it holds.
        let exported = sandbox.path("exported");
        let export = sandbox.run(&["export", &exported.display().to_string()]);
        export.expect_code(0);
        assert!(export.stdout.contains("INTERNAL_USERS_SHIPPER_PASSWORD\n"), "{export}");
        sandbox.set("INTERNAL_USERS_SHIPPER_PASSWORD", "Qz7-Grebe-Lantern-41!");
        sandbox.set("INTERNAL_USERS_LIMITED_PASSWORD", OpenSearch::LIMITED.1);
        sandbox.set("CONFIG_DIR", exported.display().to_string());
        front.proxy().clear();
        sandbox.run(&[]).expect_code(0);
        assert_eq!(front.proxy().writes(), [""; 0]);
    });
}

/// Keys that a newer server might show, which no file can name, are its own defaults.
fn a_newer_version_is_no_change(sandbox: &Sandbox, front: &IsmFront) {
    let proxy = HttpProxy::to(&front.url());
    let server = front.url();
    let edited = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&edited);
    proxy.rule(move |request, _| {
        let lists = [
            ("/_snapshot", ""),
            ("/_plugins/_security/api/", ""),
            ("/_component_template", "component_template"),
            ("/_index_template", "index_template"),
            ("/_plugins/_ism/policies", "policy"),
            ("/_plugins/_rollup/jobs", "rollup"),
            ("/_plugins/_transform", "transform"),
            ("/_plugins/_sm/policies", "sm_policy"),
        ];
        let list = lists.iter().find(|(path, _)| request.method == "GET" && request.path().starts_with(path));
        let Some((_, inner)) = list else { return Verdict::Pass };
        let (user, password) = OpenSearch::ADMIN;
        let output = Command::new("curl")
            .args(["-sS", "--noproxy", "*", "--globoff", "-u", &format!("{user}:{password}")])
            .arg(format!("{server}{}", request.target))
            .output()
            .expect("curl is installed");
        let Ok(mut answer) = serde_json::from_slice::<Value>(&output.stdout) else { return Verdict::Pass };
        let bodies: Vec<&mut Value> = match &mut answer {
            Value::Object(fields) if inner.is_empty() => fields.values_mut().collect(),
            Value::Object(fields) => {
                let items = fields.values_mut().filter_map(Value::as_array_mut).flatten();
                items.filter_map(|item| item.get_mut(*inner)).collect()
            }
            _ => Vec::new(),
        };
        for body in bodies {
            count.fetch_add(usize::from(grown(body)), Ordering::SeqCst);
        }
        Verdict::Answer(Response::json(200, &answer))
    });
    let files = Sandbox::new("os-init").config_from(&sandbox.config_dir());
    let settings = sandbox.environment().iter().filter(|(name, _)| *name != "CONFIG_DIR");
    let grown = settings.fold(files, |files, (name, value)| files.env(name, value)).env("OPENSEARCH_URL", proxy.url());
    let run = grown.run(&[]);
    run.expect_code(0);
    assert!(edited.load(Ordering::SeqCst) >= 12, "{run}");
    assert_eq!(proxy.writes(), [""; 0], "{run}");
}

/// Adds a key to an object and to what its lists of permissions and states hold.
fn grown(value: &mut Value) -> bool {
    let Some(fields) = value.as_object_mut() else { return false };
    for list in ["index_permissions", "tenant_permissions", "states", "actions", "transitions"] {
        for item in fields.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            grown(item);
            for inner in item.as_object_mut().into_iter().flat_map(|fields| fields.values_mut()) {
                grown(inner);
            }
        }
    }
    fields.insert("since_4_0".into(), true.into());
    true
}
