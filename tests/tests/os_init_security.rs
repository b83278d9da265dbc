//! Users, roles and mappings on real nodes with the security plugin, and the ways to log in.

use std::time::Duration;

use kit::proxy::HttpProxy;
use kit::sandbox::Sandbox;
use kit::servers::opensearch::{OpenSearch, Variant};
use serde_json::{Value, json};

const SECURED: [Variant; 2] = [Variant::Security2, Variant::Security3];

fn sandbox(url: &str, files: &[(&str, Value)]) -> Sandbox {
    Sandbox::new("os-init")
        .config(files)
        .env("OPENSEARCH_URL", url)
        .env("OPENSEARCH_USERNAME", OpenSearch::ADMIN.0)
        .env("OPENSEARCH_PASSWORD", OpenSearch::ADMIN.1)
}

/// Acceptance scenario 9, rotated password.
#[test]
fn a_rotated_secret_is_one_write_and_other_users_are_left() {
    for variant in Variant::usable(&SECURED) {
        let node = OpenSearch::shared(variant);
        let proxy = HttpProxy::to(&node.url());
        let hash = "$2y$12$Fm7gQh4trqrJnWSBk8VYxe3EqYmbwmttzPBA5qI1hLyqvBOJQSgYW";
        let mut sandbox = sandbox(
            &proxy.url(),
            &[
                (
                    "roles/reader.json",
                    json!({"index_permissions": [{"index_patterns": ["a-*"], "allowed_actions": ["read"]}]}),
                ),
                (
                    "internal_users/one.json",
                    json!({"password": "$__env{ONE}", "opendistro_security_roles": ["reader"]}),
                ),
                ("internal_users/two.json", json!({"password": "$__env{TWO}"})),
                ("internal_users/by-hash.json", json!({"hash": hash, "attributes": {"k": "v"}})),
                ("roles_mapping/reader.json", json!({"users": ["one", "two"]})),
            ],
        )
        .env("ONE", "Granite-Otter-91-x!")
        .env("TWO", "Marble-Heron-17-y!");
        sandbox.run(&[]).expect_code(0);
        proxy.clear();
        let second = sandbox.run(&[]);
        second.expect_code(0);
        assert_eq!(proxy.writes(), [""; 0], "{second}");
        sandbox.set("ONE", "Basalt-Finch-33-z!");
        let plan = sandbox.run(&["plan"]);
        plan.expect_code(2);
        proxy.clear();
        let rotated = sandbox.run(&[]);
        rotated.expect_code(0);
        assert_eq!(proxy.writes(), ["PUT /_plugins/_security/api/internalusers/one"], "{rotated}");
        for secret in ["Basalt-Finch", "Granite-Otter", "Marble-Heron", hash] {
            assert!(!format!("{plan}{rotated}").contains(secret), "a secret was said");
        }
        proxy.clear();
        sandbox.run(&[]).expect_code(0);
        assert_eq!(proxy.writes(), [""; 0]);
        sandbox
            .write("internal_users/by-hash.json", json!({"hash": format!("{}2", &hash[..hash.len() - 1])}).to_string());
        sandbox.run(&[]).expect_code(0);
        assert_eq!(proxy.writes(), ["PUT /_plugins/_security/api/internalusers/by-hash"]);
        weak_and_reserved(node, &proxy);
        own_account(node, &proxy);
        a_password_that_could_not_be_tried_is_not_written(&proxy);
        a_run_does_not_lock_itself_out(node, &proxy);
    }
}

fn weak_and_reserved(node: &OpenSearch, proxy: &HttpProxy) {
    proxy.clear();
    let weak = sandbox(&proxy.url(), &[("internal_users/weak.json", json!({"password": "abcdef"}))]);
    weak.run(&[]).expect_code(1).expect_stderr("Weak password");
    proxy.clear();
    let reserved =
        sandbox(&proxy.url(), &[("roles/all_access.json", json!({"cluster_permissions": ["cluster_monitor"]}))]);
    let run = reserved.run(&[]);
    run.expect_code(1).expect_stderr("the server holds it as");
    assert_eq!(run.field("exit_reason"), "drift");
    let missing = sandbox(&proxy.url(), &[("roles_mapping/nobodys.json", json!({"users": ["x"]}))]);
    missing.run(&[]).expect_code(1).expect_stderr("the role nobodys is neither declared nor on the server");
    assert_eq!(proxy.writes(), [""; 0]);
    assert_eq!(node.curl("GET", "/_plugins/_security/api/internalusers/weak", None).0, 404);
}

/// The run's own account comes last, and what follows is done with the new password.
fn own_account(node: &OpenSearch, proxy: &HttpProxy) {
    node.put(
        "/_plugins/_security/api/internalusers/deploy",
        &json!({"password": "First-Secret-of-22!", "backend_roles": ["admin"]}),
    );
    let mut sandbox = sandbox(
        &proxy.url(),
        &[
            ("internal_users/deploy.json", json!({"password": "Second-Secret-of-23!", "backend_roles": ["admin"]})),
            ("internal_users/later.json", json!({"password": "Third-Secret-of-24!"})),
            ("roles/late.json", json!({"cluster_permissions": ["cluster_monitor"]})),
            ("roles_mapping/late.json", json!({"users": ["later"]})),
        ],
    );
    sandbox.set("OPENSEARCH_USERNAME", "deploy");
    sandbox.set("OPENSEARCH_PASSWORD", "First-Secret-of-22!");
    proxy.clear();
    sandbox.run(&[]).expect_code(0);
    let users: Vec<String> = proxy.writes().into_iter().filter(|write| write.contains("internalusers")).collect();
    assert_eq!(
        users,
        ["PUT /_plugins/_security/api/internalusers/later", "PUT /_plugins/_security/api/internalusers/deploy"]
    );
    sandbox.set("OPENSEARCH_PASSWORD", "Second-Secret-of-23!");
    proxy.clear();
    sandbox.run(&[]).expect_code(0);
    assert_eq!(proxy.writes(), [""; 0]);
}

/// Acceptance scenario 5, cold start, over HTTPS.
#[test]
fn val_spc_102_started_first_it_waits_and_certificates_are_checked_and_log_in() {
    Variant::each(&SECURED, |variant| {
        let node = OpenSearch::of(variant).cold();
        let tls = kit::servers::certificates();
        let file = |name: &str| tls.join(name).display().to_string();
        let files = [("tenants/by-certificate.json", json!({"description": "d"}))];
        let by_password =
            sandbox(&node.url(), &files).env("OPENSEARCH_CA_FILE", file("ca.pem")).deadline(Duration::from_mins(3));
        let mut running = by_password.spawn(&[]);
        kit::eventually(Duration::from_secs(10), || running.stderr_so_far().contains("connection refused"));
        assert!(running.running(), "it blocks while nothing listens");
        node.launch();
        let waited = running.wait();
        waited.expect_code(0);
        assert!(waited.count("wait_ms") > 500, "{waited}");
        assert_eq!((waited.count("created"), by_password.run(&[]).count("unchanged")), (1, 1), "{waited}");
        let without_ca = sandbox(&node.url(), &files);
        without_ca.run(&[]).expect_code(1).expect_stderr("certificate");
        let by_certificate = Sandbox::new("os-init")
            .config(&files)
            .env("OPENSEARCH_URL", node.url())
            .env("OPENSEARCH_CA_FILE", file("ca.pem"))
            .env("OPENSEARCH_CERT_FILE", file("os-admin.crt"))
            .env("OPENSEARCH_KEY_FILE", file("os-admin.key"));
        let run = by_certificate.run(&[]);
        run.expect_code(0);
        assert_eq!(run.count("unchanged"), 1, "{run}");
        let limited = sandbox(&node.url(), &files)
            .env("OPENSEARCH_CA_FILE", file("ca.pem"))
            .env("OPENSEARCH_USERNAME", OpenSearch::LIMITED.0)
            .env("OPENSEARCH_PASSWORD", OpenSearch::LIMITED.1)
            .env("WAIT_TIMEOUT", "8s");
        let run = limited.run(&[]);
        run.expect_code(1);
        assert_eq!(run.field("exit_reason"), "auth", "{run}");
    });
}

/// A check that could not be made is a note: no write, and nothing is said to be equal that is not known to be.
fn a_password_that_could_not_be_tried_is_not_written(proxy: &HttpProxy) {
    use kit::proxy::http::Verdict;
    let files = [("internal_users/untried.json", json!({"password": "Granite-Otter-91-x!"}))];
    let mut sandbox = sandbox(&proxy.url(), &files);
    sandbox.set("MAX_RETRIES", "1");
    sandbox.run(&[]).expect_code(0);
    proxy.clear();
    proxy.rule(|request, _| match request.path() {
        "/_plugins/_security/authinfo" => Verdict::Answer(kit::http1::Response::json(503, &json!({"status": 503}))),
        _ => Verdict::Pass,
    });
    let plan = sandbox.run(&["plan"]);
    plan.expect_code(0);
    assert!(plan.stdout.contains("password not verified"), "{plan}");
    sandbox.run(&[]).expect_code(0);
    assert_eq!(proxy.writes(), [""; 0]);
    proxy.pass();
}

/// Who takes the last way to its own rights locks everybody out. For a moment others have none: not beside another case.
fn a_run_does_not_lock_itself_out(node: &OpenSearch, proxy: &HttpProxy) {
    proxy.clear();
    let mapping = |body: Value| sandbox(&proxy.url(), &[("roles_mapping/all_access.json", body)]);
    let locked = mapping(json!({"backend_roles": ["cn=ops"]}));
    for command in ["plan", "apply"] {
        locked.run(&[command]).expect_code(1);
    }
    locked.run(&[]).expect_stderr("would take the role all_access from admin, the user of this run");
    assert_eq!(proxy.writes(), [""; 0]);
    mapping(json!({"backend_roles": ["cn=ops"], "users": ["admin"]})).run(&[]).expect_code(0);
    mapping(json!({"backend_roles": ["cn=ops", "admin"]})).run(&[]).expect_code(0);
    // The same by the run's own user.
    node.put(
        "/_plugins/_security/api/internalusers/locked",
        &json!({"password": "First-Secret-of-22!", "backend_roles": ["admin"]}),
    );
    let body = json!({"password": "First-Secret-of-22!", "backend_roles": ["nobody"]});
    let mut own = sandbox(&proxy.url(), &[("internal_users/locked.json", body)]);
    own.set("OPENSEARCH_USERNAME", "locked");
    own.set("OPENSEARCH_PASSWORD", "First-Secret-of-22!");
    proxy.clear();
    own.run(&[]).expect_code(1).expect_stderr("would take the role all_access from locked");
    assert_eq!(proxy.writes(), [""; 0]);
}

/// A write of security's takes a second, whatever is in it: objects of a kind go together, and one that is refused stops no other.
#[test]
fn many_objects_of_a_kind_are_one_write_and_each_has_its_own_end() {
    Variant::each(&SECURED, |variant| {
        let node = OpenSearch::shared(variant);
        let proxy = HttpProxy::to(&node.url());
        let declared = |number: usize| {
            let name = format!("many-{number:02}");
            [
                (format!("action_groups/{name}.json"), json!({"allowed_actions": ["read"], "type": "index"})),
                (format!("roles/{name}.json"), json!({"cluster_permissions": ["cluster_monitor"]})),
                (format!("tenants/{name}.json"), json!({"description": "d"})),
                (format!("roles_mapping/{name}.json"), json!({"backend_roles": ["b"]})),
            ]
        };
        let sandbox = sandbox(&proxy.url(), &[]);
        for (path, body) in (0..12).flat_map(declared) {
            sandbox.write(&path, body.to_string());
        }
        let first = sandbox.run(&[]);
        first.expect_code(0);
        let patched = ["actiongroups", "roles", "tenants", "rolesmapping"];
        let writes = patched.map(|kind| format!("PATCH /_plugins/_security/api/{kind}"));
        assert_eq!((proxy.writes(), first.count("created")), (writes.to_vec(), 48), "{first}");
        proxy.clear();
        sandbox.run(&[]).expect_code(0);
        assert_eq!(proxy.writes(), [""; 0]);
        // One that the server refuses, among changes of others.
        for number in 0..3 {
            let body = json!({"cluster_permissions": ["cluster_all"]});
            sandbox.write(&format!("roles/many-{number:02}.json"), body.to_string());
        }
        let bad = json!({"index_permissions": [{"index_patterns": ["a"], "masked_fields": ["a::b::c::d"], "allowed_actions": ["read"]}]});
        sandbox.write("roles/many-bad.json", bad.to_string());
        let mixed = sandbox.run(&[]);
        mixed.expect_code(1).expect_stderr("roles/many-bad");
        assert_eq!((mixed.count("updated"), mixed.count("failed")), (3, 1), "{mixed}");
        assert_eq!(proxy.count("PATCH"), 1, "{mixed}");
        let role = node.get("/_plugins/_security/api/roles/many-02");
        assert_eq!(role["many-02"]["cluster_permissions"], json!(["cluster_all"]));
        // Servers read these names in a patch as others.
        sandbox.remove("roles/many-bad.json");
        for name in ["odd~00", "odd~01"] {
            sandbox.write(&format!("tenants/{name}.json"), json!({"description": "d"}).to_string());
        }
        proxy.clear();
        let odd = sandbox.run(&[]);
        odd.expect_code(0);
        assert_eq!((proxy.count("PUT"), proxy.count("PATCH")), (2, 0), "{odd}");
    });
}

/// What only the server's machinery would complain about, in the middle of applying, is known from the files.
#[test]
fn shapes_are_checked_without_a_server() {
    let cases = [
        ("roles/a.json", json!({"index_permissions": [{"index_patterns": "movies*"}]}), "must be a list of strings"),
        (
            "roles/a.json",
            json!({"index_permissions": [{"index_patterns": ["a"], "dls": {"term": {}}}]}),
            "must be a string",
        ),
        (
            "roles/a.json",
            json!({"cluster_permissions": ["x"], "reserved": true}),
            "only the administrator's certificate",
        ),
        ("roles/a.json", json!({"cluster_permission": []}), "did you mean cluster_permissions?"),
        ("roles_mapping/a.json", json!({"users": "x"}), "must be a list of strings"),
        ("internal_users/a.json", json!({"password": "x-y-z-1", "attributes": ["n"]}), "must be an object of strings"),
        (
            "sm_policies/a.json",
            json!({"creation": {"schedule": {"cron": {"expression": "0 8 * * *"}}}, "snapshot_config": {"repository": "r"}}),
            "timezone is missing",
        ),
        (
            "sm_policies/a.json",
            json!({"creation": {"schedule": {"interval": {"period": 1}}}, "snapshot_config": {"repository": "r"}}),
            "takes a cron schedule alone",
        ),
        ("snapshot_repositories/a.json", json!({"type": "fs", "settings": "oops"}), "must be an object"),
        (
            "ism_policies/a.json",
            json!({"policy": {"policy_id": "b", "default_state": "s", "states": [{"name": "s"}]}}),
            "is not the file's name",
        ),
        (
            "index_templates/a.json",
            json!({"index_patterns": ["a-*"], "settings": {"number_of_shards": 1}}),
            "put settings, mappings and aliases under template",
        ),
    ];
    for (path, body, words) in cases {
        let run = Sandbox::new("os-init").config(&[(path, body)]).run(&["validate"]);
        run.expect_code(1).expect_stderr(words);
    }
    let namesakes = [
        ("action_groups/a.json", json!({"allowed_actions": ["read"]})),
        ("roles/a.json", json!({"cluster_permissions": ["cluster_monitor"]})),
    ];
    let run = Sandbox::new("os-init").config(&namesakes).run(&["validate"]);
    run.expect_code(0).expect_stderr("a role has this name, too");
}

/// The security plugin's own folder is taken as it is; what is the node's or the server's is left to them.
#[test]
fn the_plugins_own_folder_is_taken_as_it_is() {
    let roles = |meta: &str, patterns: &str| {
        format!(
            "_meta: {{type: {meta}, config_version: 2}}\nreader:\n  reserved: false\n  index_permissions:\n    - index_patterns: {patterns}\n      allowed_actions: [read]\nkept: {{reserved: true, cluster_permissions: [x]}}\n"
        )
    };
    let sandbox = Sandbox::new("os-init");
    sandbox.write("opensearch-security/roles.yml", roles("roles", "[\"a-*\"]"));
    sandbox.write("opensearch-security/config.yml", "_meta: {type: config, config_version: 2}\n");
    sandbox.write(
        "tenants.json",
        json!({"_meta": {"type": "tenants", "config_version": 2}, "t": {"description": "d"}}).to_string(),
    );
    let good = sandbox.run(&["validate"]);
    good.expect_code(0).expect_stderr("left to the node: config.yml").expect_stderr("roles/kept");
    good.expect_stderr("\"objects\":2");
    sandbox.write("opensearch-security/roles.yml", roles("tenants", "movies"));
    let bad = sandbox.run(&["validate"]);
    bad.expect_code(1).expect_stderr("opensearch-security/roles.yml:5").expect_stderr("must say type roles");
}
