//! os-init where access or a repository is not as it should be: tokens, log-ins that are refused, a repository that the nodes cannot use.
//! Real nodes, a proxy for the faults.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kit::http1::Response;
use kit::proxy::HttpProxy;
use kit::proxy::http::Verdict;
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
fn a_repository_that_failed_its_verification_is_verified_again() {
    for variant in Variant::usable(&CORES) {
        let node = OpenSearch::shared(variant);
        let proxy = HttpProxy::to(&node.url());
        let body = json!({"type": "fs", "settings": {"location": "lame"}});
        let refusal = json!({"error": {"type": "repository_verification_exception", "reason": "[lame] path  is not accessible on cluster-manager node"}, "status": 500});
        for (failures, code) in [(2, 0), (usize::MAX, 1)] {
            let (asked, registered, refusal) = (Arc::new(AtomicUsize::new(0)), body.clone(), refusal.clone());
            let count = Arc::clone(&asked);
            proxy.rule(move |request, _| match request.method.as_str() {
                // The server registers it all the same.
                "PUT" => {
                    node.put("/_snapshot/lame?verify=false", &registered);
                    Verdict::Answer(Response::json(500, &refusal))
                }
                "POST" if count.fetch_add(1, Ordering::SeqCst) < failures => {
                    Verdict::Answer(Response::json(500, &refusal))
                }
                _ => Verdict::Pass,
            });
            proxy.clear();
            let sandbox = Sandbox::new("os-init").env("OPENSEARCH_URL", proxy.url());
            sandbox.write("snapshot_repositories/lame.json", body.to_string());
            let run = sandbox.run(&[]);
            run.expect_code(code);
            assert_eq!(asked.load(Ordering::SeqCst), 3, "{run}");
            assert_eq!(proxy.count("PUT"), 1, "{run}");
            if code != 0 {
                run.expect_stderr("the repository is registered, but the nodes cannot use it");
                run.expect_stderr("is not accessible on cluster-manager node");
            }
            assert_eq!(node.curl("GET", "/_snapshot/lame", None).0, 200);
            node.curl("DELETE", "/_snapshot/lame", None);
        }
    }
}

/// Servers count refused log-ins by address and lock it out.
#[test]
fn after_five_refused_log_ins_the_rest_count_as_changed() {
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
            let status = |status| {
                log.iter().filter(|asked| asked.request.path().ends_with("/authinfo") && asked.status == status).count()
            };
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
        assert_eq!(rotated.count("updated"), 7, "{rotated}");
        assert_eq!((log_ins().1, proxy.writes().len()), (5, 7), "{rotated}");
        proxy.clear();
        let second = sandbox.run(&[]);
        second.expect_code(0);
        assert_eq!(proxy.writes(), [""; 0], "{second}");
        assert_eq!(log_ins(), (7, 0), "{second}");
    }
}
