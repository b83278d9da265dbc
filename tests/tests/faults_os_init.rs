//! os-init when things go wrong on the way: answers that are lost after the write was done, others who are quicker, a cluster that is not
//! ready or not well, blocks that lift. Real nodes, a proxy for the faults, the stand-in for ISM.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use kit::http1::Response;
use kit::ism::IsmFront;
use kit::proxy::HttpProxy;
use kit::proxy::http::Verdict;
use kit::sandbox::Sandbox;
use kit::scripted_http::{Answer, ScriptedHttp};
use kit::servers::opensearch::{OpenSearch, Variant};
use serde_json::{Value, json};

fn policy(description: &str) -> Value {
    json!({"policy": {"description": description, "default_state": "a", "states": [{"name": "a"}]}})
}

/// Acceptance scenario 4, commit then drop.
#[test]
fn a_write_whose_answer_is_lost_is_looked_up_and_not_repeated() {
    for variant in Variant::usable(&[Variant::Security2, Variant::Security3]) {
        let node = OpenSearch::of(variant).plain_http().start();
        let front = IsmFront::of(&node);
        let proxy = HttpProxy::to(&front.url());
        let lost = Arc::new(AtomicBool::new(false));
        for (path, body) in [
            ("indices/lost-1.json", json!({"settings": {"number_of_replicas": 0}})),
            ("ism_policies/lost.json", policy("d")),
            ("roles/lost.json", json!({"cluster_permissions": ["cluster_monitor"]})),
            ("index_templates/lost.json", json!({"index_patterns": ["lost-*"]})),
            ("ingest_pipelines/lost.json", json!({"processors": [{"set": {"field": "a", "value": 1}}]})),
            ("data_streams/lost-stream.json", json!({})),
        ] {
            if path.starts_with("data_streams") {
                node.put(
                    "/_index_template/streams",
                    &json!({"index_patterns": ["lost-stream*"], "data_stream": {}, "priority": 5}),
                );
            }
            lost.store(false, Ordering::SeqCst);
            let once = Arc::clone(&lost);
            proxy.rule(move |request, _| {
                if request.writes() && !once.swap(true, Ordering::SeqCst) { Verdict::DropAnswer } else { Verdict::Pass }
            });
            proxy.clear();
            let sandbox = Sandbox::new("os-init")
                .config(&[(path, body)])
                .env("OPENSEARCH_URL", proxy.url())
                .env("OPENSEARCH_USERNAME", OpenSearch::ADMIN.0)
                .env("OPENSEARCH_PASSWORD", OpenSearch::ADMIN.1);
            let run = sandbox.run(&[]);
            run.expect_code(0);
            assert!(lost.load(Ordering::SeqCst), "an answer was lost");
            assert_eq!(proxy.writes().len(), 1, "{path}: {run}");
            assert_eq!(run.count("created"), 1, "{run}");
        }
    }
}

/// Acceptance scenario 3, ISM conflicts: read again and written; not written again when somebody else wrote just that.
#[test]
fn a_policy_that_moved_between_read_and_write_is_read_again() {
    for variant in Variant::usable(&[Variant::Core2, Variant::Core3]) {
        let node = OpenSearch::shared(variant);
        let front = Arc::new(IsmFront::of(node));
        let proxy = HttpProxy::to(&front.url());
        let sandbox = Sandbox::new("os-init").env("OPENSEARCH_URL", proxy.url());
        sandbox.write("ism_policies/moved.json", policy("one").to_string());
        sandbox.run(&[]).expect_code(0);
        for (description, same) in [("two", false), ("three", true)] {
            sandbox.write("ism_policies/moved.json", policy(description).to_string());
            let (quicker, done) = (Arc::clone(&front), AtomicBool::new(false));
            proxy.rule(move |request, _| {
                if request.method == "PUT" && !done.swap(true, Ordering::SeqCst) {
                    if same { quicker.overtake("moved", &policy(description)) } else { quicker.bump("moved") }
                }
                Verdict::Pass
            });
            proxy.clear();
            let run = sandbox.run(&[]);
            run.expect_code(0);
            let log = proxy.log();
            let puts = log.iter().filter(|exchange| exchange.request.method == "PUT");
            let statuses: Vec<Option<u16>> = puts.map(|exchange| exchange.status).collect();
            let wanted: &[Option<u16>] = if same { &[Some(409)] } else { &[Some(409), Some(200)] };
            assert_eq!(statuses, wanted, "{run}");
        }
    }
}

/// Acceptance scenario 9, concurrent twins; the rotated password is in `os_init_security`.
#[test]
fn two_at_once_on_an_empty_cluster_both_succeed() {
    for variant in Variant::usable(&[Variant::Security2, Variant::Security3]) {
        let node = OpenSearch::of(variant).plain_http().start();
        let front = IsmFront::of(&node);
        let twin = || {
            let sandbox = Sandbox::new("os-init")
                .env("OPENSEARCH_URL", front.url())
                .env("OPENSEARCH_USERNAME", OpenSearch::ADMIN.0)
                .env("OPENSEARCH_PASSWORD", OpenSearch::ADMIN.1)
                .deadline(Duration::from_mins(4))
                .env("APPLY_TIMEOUT", "220s");
            for number in 0..15 {
                let name = format!("twin-{number:02}.json");
                sandbox
                    .write(&format!("roles/{name}"), json!({"cluster_permissions": ["cluster_monitor"]}).to_string());
                sandbox.write(&format!("tenants/{name}"), json!({"description": "d"}).to_string());
                sandbox.write(&format!("roles_mapping/{name}"), json!({"backend_roles": ["b"]}).to_string());
                sandbox.write(
                    &format!("internal_users/{name}"),
                    json!({"password": format!("Granite-Otter-{number}-x!")}).to_string(),
                );
                sandbox.write(
                    &format!("index_templates/{name}"),
                    json!({"index_patterns": [format!("tw{number:02}-*")]}).to_string(),
                );
                sandbox.write(&format!("ism_policies/{name}"), policy("d").to_string());
            }
            sandbox.write("indices/twin-index.json", json!({"settings": {"number_of_replicas": 0}}).to_string());
            sandbox
        };
        let (one, two) = (twin(), twin());
        let (first, second) = (one.spawn(&[]), two.spawn(&[]));
        first.wait().expect_code(0);
        second.wait().expect_code(0);
        for number in 0..15 {
            for api in [
                "_plugins/_security/api/roles",
                "_plugins/_security/api/tenants",
                "_plugins/_security/api/rolesmapping",
                "_plugins/_security/api/internalusers",
                "_index_template",
            ] {
                assert_eq!(node.curl("GET", &format!("/{api}/twin-{number:02}"), None).0, 200, "{api} {number}");
            }
        }
        front.proxy().clear();
        one.run(&[]).expect_code(0);
        assert_eq!(front.proxy().writes(), [""; 0]);
    }
}

/// Acceptance scenario 5, cold start, said by a proxy; the real start is `val_spc_102` in `os_init_main`.
#[test]
fn everything_that_a_starting_cluster_says_is_waited_out() {
    let node = OpenSearch::shared(Variant::Core2);
    let proxy = HttpProxy::to(&node.url());
    let text = |status, body: &str| Verdict::Answer(Response::new(status, "text/plain", body));
    let about =
        json!({"name": "n", "cluster_uuid": "_na_", "version": {"number": "2.19.4", "distribution": "opensearch"}});
    proxy.rule(move |_, number| match number {
        1 => Verdict::DropRequest,
        2 => text(503, "OpenSearch Security not initialized."),
        3 => Verdict::Answer(Response::new(200, "text/html", "<!doctype html><html></html>")),
        4 => Verdict::Answer(Response::json(200, &about)),
        5 => Verdict::Answer(Response::json(
            429,
            &json!({"error": {"type": "circuit_breaking_exception", "reason": "Data too large"}, "status": 429}),
        )),
        6 => Verdict::Answer(Response::json(
            503,
            &json!({"error": {"type": "cluster_manager_not_discovered_exception", "reason": null}, "status": 503}),
        )),
        7 => text(401, "Unauthorized"),
        10 => Verdict::Answer(Response::json(
            200,
            &json!({"blocks": {"global": {"1": {"description": "state not recovered / initialized"}}}}),
        )),
        _ => Verdict::Pass,
    });
    let sandbox = Sandbox::new("os-init").env("OPENSEARCH_URL", proxy.url());
    let run = sandbox.run(&["wait"]);
    run.expect_code(0);
    assert!(proxy.requests() > 10, "{run}");
}

/// Acceptance scenario 5, too short a wait.
#[test]
fn a_wait_that_is_too_short_names_the_last_cause() {
    let server =
        ScriptedHttp::new(|_, _| Answer::Say(Response::new(503, "text/plain", "OpenSearch Security not initialized.")));
    let sandbox = Sandbox::new("os-init").env("OPENSEARCH_URL", server.url()).env("WAIT_TIMEOUT", "700ms");
    let run = sandbox.run(&["wait"]);
    run.expect_code(1).expect_stderr("OpenSearch Security not initialized");
    assert_eq!(run.field("exit_reason"), "wait_timeout");
}

/// Acceptance scenario 6, one node and a replica.
#[test]
fn one_node_with_a_replica_is_ready_at_yellow_and_says_why_it_is_not_green() {
    for variant in Variant::usable(&[Variant::Core2, Variant::Core3]) {
        let node = OpenSearch::of(variant).start();
        node.put("/replicated", &json!({"settings": {"number_of_replicas": 1}}));
        let mut sandbox = Sandbox::new("os-init").env("OPENSEARCH_URL", node.url());
        sandbox.run(&["wait"]).expect_code(0);
        sandbox.set("WAIT_STATUS", "green");
        sandbox.set("WAIT_TIMEOUT", "3s");
        let run = sandbox.run(&["wait"]);
        run.expect_code(1).expect_stderr("the cluster is yellow, not green").expect_stderr("replicated");
        sandbox.set("WAIT_STATUS", "yellow");
        sandbox.set("MIN_DATA_NODES", "2");
        sandbox.run(&["wait"]).expect_code(1).expect_stderr("1 of 2 data nodes");
    }
}

/// Acceptance scenario 10, the disk-block variant.
#[test]
fn a_create_index_block_that_lifts_is_waited_out() {
    for variant in Variant::usable(&[Variant::Core2, Variant::Core3]) {
        let node = OpenSearch::shared(variant);
        let proxy = HttpProxy::to(&node.url());
        let tries = AtomicUsize::new(0);
        let answer = json!({"error": {"type": "index_create_block_exception", "reason": "blocked by: [FORBIDDEN/10/cluster create-index blocked (api)];"}, "status": 403});
        proxy.rule(move |request, _| {
            if request.method == "PUT" && tries.fetch_add(1, Ordering::SeqCst) < 3 {
                Verdict::Answer(Response::json(403, &answer))
            } else {
                Verdict::Pass
            }
        });
        let sandbox = Sandbox::new("os-init").env("OPENSEARCH_URL", proxy.url());
        sandbox.write("indices/blocked.json", json!({"settings": {"number_of_replicas": 0}}).to_string());
        let run = sandbox.run(&[]);
        run.expect_code(0);
        assert_eq!(run.count("retries"), 3, "{run}");
    }
}

/// Acceptance scenario 10, indices that are refused.
#[test]
fn indices_that_ism_refuses_are_listed() {
    for variant in Variant::usable(&[Variant::Core2, Variant::Core3]) {
        let node = OpenSearch::shared(variant);
        let front = IsmFront::of(node);
        let proxy = HttpProxy::to(&front.url());
        node.put("/refused-1", &json!({"settings": {"number_of_replicas": 0}}));
        let answer = json!({"updated_indices": 0, "failures": true, "failed_indices": [{"index_name": "refused-1", "index_uuid": "u", "reason": "This index is closed"}]});
        proxy.rule(move |request, _| {
            if request.path().contains("/_ism/add/") {
                Verdict::Answer(Response::json(200, &answer))
            } else {
                Verdict::Pass
            }
        });
        let sandbox = Sandbox::new("os-init").env("OPENSEARCH_URL", proxy.url());
        sandbox.write("ism_policies/refusing.json", policy("d").to_string());
        sandbox.write("ism_attachments/refusing.json", json!({"indices": ["refused-*"]}).to_string());
        sandbox.run(&[]).expect_code(1).expect_stderr("not for these indices: refused-1 (This index is closed)");
    }
}
