//! os-init where access or a repository is not as it should be: tokens, log-ins that are refused, a repository that the nodes cannot use, two
//! that write who may do what at once. Real nodes, a proxy for the faults.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kit::http1::Response;
use kit::proxy::HttpProxy;
use kit::proxy::http::{Exchange, Verdict};
use kit::sandbox::Sandbox;
use kit::servers::opensearch::{OpenSearch, Variant};
use serde_json::json;

const CORES: [Variant; 2] = [Variant::Core2, Variant::Core3];

#[test]
fn a_bearer_token_goes_with_every_request() {
    for variant in Variant::usable(&CORES) {
        let node = OpenSearch::shared(variant);
        let proxy = HttpProxy::to(&node.url());
        proxy.rule(|request, _| {
            if request.header("authorization") == Some("Bearer t0ken-of-9") {
                Verdict::Pass
            } else {
                Verdict::Answer(Response::new(401, "text/plain", "Unauthorized"))
            }
        });
        let mut sandbox = Sandbox::new("os-init").env("OPENSEARCH_URL", proxy.url());
        sandbox.write("component_templates/by-token.json", json!({"template": {}}).to_string());
        std::fs::write(sandbox.path("token"), "t0ken-of-9\n").expect("the sandbox can be written");
        sandbox.set("OPENSEARCH_TOKEN_FILE", sandbox.path("token").display().to_string());
        let run = sandbox.run(&[]);
        run.expect_code(0);
        assert!(!run.to_string().contains("t0ken-of-9"), "a secret was said");
        assert_eq!(node.curl("GET", "/_component_template/by-token", None).0, 200);
        sandbox.unset("OPENSEARCH_TOKEN_FILE");
        sandbox.set("OPENSEARCH_TOKEN", "another");
        sandbox.set("WAIT_TIMEOUT", "2s");
        let run = sandbox.run(&["wait"]);
        run.expect_code(1).expect_stderr("OPENSEARCH_TOKEN");
        assert_eq!(run.field("exit_reason"), "auth");
    }
}

#[test]
fn a_repository_that_the_nodes_cannot_use_fails_each_run_until_they_can() {
    for variant in Variant::usable(&CORES) {
        let node = OpenSearch::shared(variant);
        let proxy = HttpProxy::to(&node.url());
        let body = json!({"type": "fs", "settings": {"location": "lame"}});
        let refusal = json!({"error": {"type": "repository_verification_exception", "reason": "[lame] path  is not accessible on cluster-manager node"}, "status": 500});
        let registered = body.clone();
        proxy.rule(move |request, _| match request.method.as_str() {
            // The server registers it all the same.
            "PUT" => {
                node.put("/_snapshot/lame?verify=false", &registered);
                Verdict::Answer(Response::json(500, &refusal))
            }
            "POST" => Verdict::Answer(Response::json(500, &refusal)),
            _ => Verdict::Pass,
        });
        let sandbox = Sandbox::new("os-init").env("OPENSEARCH_URL", proxy.url());
        sandbox.write("snapshot_repositories/lame.json", body.to_string());
        for _ in ["registered", "registered anew"] {
            proxy.clear();
            let run = sandbox.run(&[]);
            run.expect_code(1).expect_stderr("is not accessible on cluster-manager node (the nodes cannot use it");
            assert_eq!(run.field("exit_reason"), "rejected", "{run}");
            assert_eq!(proxy.count("PUT"), 1, "{run}");
        }
        proxy.pass();
        proxy.clear();
        sandbox.run(&[]).expect_code(0);
        assert_eq!(proxy.writes(), [""; 0]);
        node.curl("DELETE", "/_snapshot/lame", None);
    }
}

/// Servers count refused log-ins by address and lock it out.
#[test]
fn after_five_refused_log_ins_the_rest_is_left_to_the_next_run() {
    for variant in Variant::usable(&[Variant::Security2, Variant::Security3]) {
        let node = OpenSearch::of(variant).plain_http().start();
        let proxy = HttpProxy::to(&node.url());
        let sandbox = Sandbox::new("os-init")
            .env("OPENSEARCH_URL", proxy.url())
            .env("OPENSEARCH_USERNAME", OpenSearch::ADMIN.0)
            .env("OPENSEARCH_PASSWORD", OpenSearch::ADMIN.1);
        let declare = |password: &str| {
            for number in 0..7 {
                let body = json!({"password": format!("{password}-{number}-x!")});
                sandbox.write(&format!("internal_users/many-{number}.json"), body.to_string());
            }
        };
        let log_ins = || {
            let log = proxy.log();
            // The run's own user is asked about as well: whether it keeps its rights.
            let as_itself = log[0].request.header("authorization");
            let tried = |asked: &&Exchange| {
                asked.request.path().ends_with("/authinfo") && asked.request.header("authorization") != as_itself
            };
            let status = |status| log.iter().filter(tried).filter(|asked| asked.status == status).count();
            (status(Some(200)), status(Some(401)))
        };
        declare("Granite-Otter");
        sandbox.run(&[]).expect_code(0);
        assert_eq!(log_ins(), (7, 0), "each new password is proven once");
        declare("Basalt-Finch");
        proxy.clear();
        let plan = sandbox.run(&["plan"]);
        plan.expect_code(2);
        assert_eq!(log_ins(), (0, 5), "{plan}");
        assert_eq!(plan.count("writes"), 0, "{plan}");
        proxy.clear();
        let rotated = sandbox.run(&[]);
        rotated.expect_code(0);
        assert_eq!((log_ins().1, proxy.writes().len(), rotated.count("updated")), (5, 5, 5), "{rotated}");
        rotated.expect_stderr("password not verified: 5 log-ins were refused");
        proxy.clear();
        let second = sandbox.run(&[]);
        second.expect_code(0);
        assert_eq!((log_ins(), proxy.writes().len()), ((7, 2), 2), "the rest: {second}");
        proxy.clear();
        let third = sandbox.run(&[]);
        third.expect_code(0);
        assert_eq!((log_ins(), proxy.writes().len()), ((7, 0), 0), "{third}");
    }
}

/// Security keeps each type in one document and may refuse the later of two patches: who was later sends what is still missing.
#[test]
fn two_that_patch_the_same_types_at_once_both_succeed() {
    const KINDS: [(&str, &str); 4] = [
        ("action_groups", "actiongroups"),
        ("roles", "roles"),
        ("tenants", "tenants"),
        ("roles_mapping", "rolesmapping"),
    ];
    // A server changes no action group of a role's name.
    let named =
        |kind: &str, name: &str| if kind == "action_groups" { format!("{name}-group") } else { name.to_owned() };
    Variant::each(&[Variant::Security2, Variant::Security3], |variant| {
        let node = OpenSearch::shared(variant);
        let proxy = HttpProxy::to(&node.url());
        // Most are declared by both, some by one of them.
        let all_of =
            |own: &str| ["both-1", "both-2", "both-3", own, &format!("{own}-2")].map(|name| format!("at-once-{name}"));
        for (made, text) in [(true, "one"), (false, "two")] {
            let twins = ["a", "b"].map(|own| {
                let twin = Sandbox::new("os-init")
                    .env("OPENSEARCH_URL", proxy.url())
                    .env("OPENSEARCH_USERNAME", OpenSearch::ADMIN.0)
                    .env("OPENSEARCH_PASSWORD", OpenSearch::ADMIN.1);
                for name in all_of(own) {
                    let group = json!({"description": text, "allowed_actions": ["read"], "type": "index"});
                    let role = json!({"description": text, "cluster_permissions": ["cluster_monitor"]});
                    let mapping = json!({"description": text, "backend_roles": ["b"]});
                    let bodies = [group, role, json!({"description": text}), mapping];
                    for ((kind, _), body) in KINDS.iter().zip(bodies) {
                        twin.write(&format!("{kind}/{}.json", named(kind, &name)), body.to_string());
                    }
                }
                twin
            });
            proxy.clear();
            let arrived = AtomicUsize::new(0);
            proxy.rule(move |request, _| {
                // The first patches of both reach the server together.
                if request.method == "PATCH" {
                    arrived.fetch_add(1, Ordering::SeqCst);
                    kit::eventually(Duration::from_secs(30), || arrived.load(Ordering::SeqCst) > 1);
                }
                Verdict::Pass
            });
            for running in twins.each_ref().map(|twin| twin.spawn(&[])) {
                let run = running.wait();
                run.expect_code(0);
                let word = if made { "created" } else { "updated" };
                assert!(run.count(word) >= 8, "what is its own at least: {run}");
            }
            for (kind, api) in KINDS {
                let held = node.get(&format!("/_plugins/_security/api/{api}"));
                for name in ["a", "b"].iter().flat_map(|own| all_of(own)) {
                    assert_eq!(held[named(kind, &name)]["description"], text, "{api} {name}");
                }
            }
            proxy.pass();
            proxy.clear();
            for twin in &twins {
                twin.run(&[]).expect_code(0);
            }
            assert_eq!(proxy.writes(), [""; 0]);
        }
    });
}
