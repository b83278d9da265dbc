//! Real nodes: each variant that this machine can run starts, keeps its data, and lets in whom it should.

use std::process::Command;
use std::time::Duration;

use kit::proxy::HttpProxy;
use kit::servers::certificates;
use kit::servers::opensearch::{OpenSearch, Variant};
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn every_variant_holds_what_curl_put_there() {
    // Those with security are asked below.
    Variant::each(&[Variant::Core2, Variant::Core3, Variant::Knn3], |variant| holds(OpenSearch::shared(variant)));
}

fn holds(opensearch: &OpenSearch) {
    let number = opensearch.get("/")["version"]["number"].clone();
    assert!(opensearch.variant().name().starts_with(number.as_str().expect("a version is a string")));
    opensearch.put("/_index_template/kit", &json!({"index_patterns": ["kit-*"]}));
    opensearch.put("/_ingest/pipeline/kit", &json!({"processors": [{"set": {"field": "a", "value": "b"}}]}));
    opensearch.put("/_snapshot/kit", &json!({"type": "fs", "settings": {"location": "kit"}}));
    opensearch.put("/kit-1", &json!({}));
    let version = opensearch.state_version();
    opensearch.put("/_index_template/kit", &json!({"index_patterns": ["kit-*"]}));
    assert_eq!(opensearch.state_version(), version, "the same again changes nothing");
    let (status, answer) = opensearch.curl("GET", "/_plugins/_ism/policies", None);
    assert_eq!(status, 400, "{answer}");
    assert_eq!(opensearch.curl("HEAD", "/kit-1", None).0, 200);
    assert_eq!(opensearch.curl("HEAD", "/kit-2", None).0, 404);
}

#[test]
fn security_knows_its_users_and_certificates() {
    Variant::each(&[Variant::Security2, Variant::Security3], |variant| {
        let opensearch = OpenSearch::of(variant).start();
        let tls = certificates();
        let status = |extra: &[&str]| {
            let mut command = Command::new("curl");
            command.args([
                "--silent",
                "--noproxy",
                "*",
                "--max-time",
                "20",
                "--output",
                "/dev/null",
                "--write-out",
                "%{http_code}",
                "--cacert",
            ]);
            let output = command
                .arg(tls.join("ca.pem"))
                .args(extra)
                .arg(opensearch.url() + "/_index_template")
                .output()
                .expect("curl is there");
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let user = |(name, password): (&str, &str)| format!("{name}:{password}");
        assert_eq!(status(&[]), "401");
        assert_eq!(status(&["--user", "admin:wrong"]), "401");
        assert_eq!(status(&["--user", &user(OpenSearch::LIMITED)]), "403");
        assert_eq!(status(&["--user", &user(OpenSearch::ADMIN)]), "200");
        let admin = |ending: &str| tls.join(format!("os-admin.{ending}")).display().to_string();
        assert_eq!(status(&["--cert", &admin("crt"), "--key", &admin("key")]), "200");
        holds(&opensearch);
    });
}

#[test]
fn a_node_keeps_its_data_over_kill_and_pause() {
    let opensearch = OpenSearch::of(Variant::Core2).setting("action.auto_create_index: false").cold();
    opensearch.launch();
    opensearch.wait_ready();
    opensearch.put("/kept", &json!({}));
    let (status, _) = opensearch.curl("POST", "/other/_doc", Some(&json!({})));
    assert_eq!(status, 404, "the setting is in force");
    opensearch.kill(1);
    assert_eq!(opensearch.process_id(1), None);
    opensearch.launch_node(1);
    opensearch.wait_ready();
    assert_eq!(opensearch.curl("HEAD", "/kept", None).0, 200);
    opensearch.pause(1);
    let output =
        Command::new("curl").args(["--silent", "--noproxy", "*", "--max-time", "1"]).arg(opensearch.url()).output();
    assert_eq!(output.expect("curl is there").status.code(), Some(28), "a paused node accepts and stays silent");
    opensearch.resume(1);
    assert_eq!(opensearch.get("/_cluster/health")["number_of_nodes"], 1);
    opensearch.stop(1);
}

#[test]
fn two_nodes_are_one_cluster_and_a_proxy_sees_plain_http_with_security() {
    let opensearch = OpenSearch::of(Variant::Security2).nodes(2).plain_http().start();
    opensearch.put("/spread", &json!({"settings": {"number_of_replicas": 1}}));
    kit::eventually(LIMIT, || opensearch.get("/_cluster/health")["status"] == "green");
    let proxy = HttpProxy::to(&opensearch.node_url(2));
    let (user, password) = OpenSearch::ADMIN;
    let target = proxy.url() + "/_cat/nodes?h=name&s=name";
    let output = Command::new("curl")
        .args(["--silent", "--noproxy", "*", "--user", &format!("{user}:{password}"), &target])
        .output();
    assert_eq!(String::from_utf8_lossy(&output.expect("curl is there").stdout), "n1\nn2\n");
    assert_eq!(proxy.log()[0].status, Some(200));
}
