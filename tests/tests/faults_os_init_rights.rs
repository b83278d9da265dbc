//! The table of least rights in `docs/os-init.md`, on real nodes with the security plugin: a user with just these rights can make, keep and
//! change each kind, and with each one less the run ends as `auth` and names the right. ISM's kinds are not among them: the stand-in asks
//! nobody for rights.

use kit::proxy::HttpProxy;
use kit::sandbox::{Run, Sandbox};
use kit::servers::opensearch::{OpenSearch, Variant};
use serde_json::{Value, json};

const ROLE: &str = "/_plugins/_security/api/roles/least";
const PASSWORD: &str = "Granite-Otter-91-x!";
/// What every run needs.
const ALWAYS: [&str; 2] = ["cluster:monitor/main", "cluster:monitor/health"];

/// What a kind's run is made of: its file, the same after an edit, and what is there before it.
struct Case {
    kind: &'static str,
    path: &'static str,
    bodies: [Value; 2],
    before: Vec<(&'static str, Value)>,
}

fn case(kind: &'static str, path: &'static str, first: Value, second: Value) -> Case {
    Case { kind, path, bodies: [first, second], before: Vec::new() }
}

fn cases() -> Vec<Case> {
    let index = ("/least-base", json!({"settings": {"number_of_replicas": 0}}));
    let stream =
        ("/_index_template/least-ds", json!({"index_patterns": ["least-ds*"], "data_stream": {}, "priority": 9}));
    let pipeline = |value: u64| json!({"processors": [{"set": {"field": "a", "value": value}}]});
    let filter = |value: u64| json!({"request_processors": [{"filter_query": {"query": {"term": {"a": value}}}}]});
    let component = |version: u64| json!({"version": version, "template": {"settings": {"number_of_shards": 1}}});
    let template =
        |version: u64| json!({"version": version, "index_patterns": ["least-t*"], "composed_of": ["least-c"]});
    vec![
        case(
            "cluster_settings",
            "cluster_settings.json",
            json!({"persistent": {"cluster.max_shards_per_node": 1900}}),
            json!({"persistent": {"cluster.max_shards_per_node": 1901}}),
        ),
        case(
            "snapshot_repositories",
            "snapshot_repositories/least.json",
            json!({"type": "fs", "settings": {"location": "least"}}),
            json!({"type": "fs", "settings": {"location": "least", "compress": true}}),
        ),
        case(
            "scripts",
            "scripts/least.json",
            json!({"script": {"lang": "painless", "source": "1"}}),
            json!({"script": {"lang": "painless", "source": "2"}}),
        ),
        case("ingest_pipelines", "ingest_pipelines/least.json", pipeline(1), pipeline(2)),
        case("search_pipelines", "search_pipelines/least.json", filter(1), filter(2)),
        case("component_templates", "component_templates/least.json", component(1), component(2)),
        Case {
            before: vec![("/_component_template/least-c", component(1))],
            ..case("index_templates", "index_templates/least.json", template(1), template(2))
        },
        Case { before: vec![stream], ..case("data_streams", "data_streams/least-ds.json", json!({}), json!({})) },
        case(
            "indices",
            "indices/least-i.json",
            json!({"settings": {"number_of_replicas": 0}, "aliases": {"least-a": {}}}),
            json!({"settings": {"number_of_replicas": 0, "refresh_interval": "7s"}, "aliases": {"least-a": {}, "least-b": {}},
                "mappings": {"properties": {"f": {"type": "long"}}}}),
        ),
        Case {
            before: vec![index],
            ..case(
                "aliases",
                "aliases/least-alias.json",
                json!({"indices": {"least-base": {}}}),
                json!({"indices": {"least-base": {"filter": {"term": {"a": 1}}}}}),
            )
        },
    ]
}

/// Where what a case makes is deleted.
const MADE: [&str; 9] = [
    "/_data_stream/least-ds",
    "/least-i,least-base?ignore_unavailable=true",
    "/_index_template/least*",
    "/_component_template/least*",
    "/_ingest/pipeline/least",
    "/_search/pipeline/least",
    "/_scripts/least",
    "/_snapshot/least",
    "/_plugins/_security/api/tenants/least",
];

/// Cluster and index permissions of a kind, as the page says.
fn documented(kind: &str) -> [Vec<String>; 2] {
    let page = include_str!("../../docs/os-init.md");
    let line = page.lines().find(|line| line.starts_with(&format!("| `{kind}` |"))).expect("each kind has a row");
    let mut columns = line.split(" | ").skip(1).map(|column| {
        let words = column.split('`').skip(1).step_by(2);
        words.filter(|word| word.contains(':')).map(str::to_owned).collect()
    });
    [columns.next().expect("cluster permissions"), columns.next().expect("index permissions")]
}

struct Server<'s> {
    node: &'s OpenSearch,
    proxy: HttpProxy,
}

impl Server<'_> {
    fn grant(&self, rights: &[Vec<String>; 2]) {
        let [cluster, index] = rights;
        let index = json!([{"index_patterns": ["least-*"], "allowed_actions": index}]);
        self.node.put(ROLE, &json!({"cluster_permissions": cluster, "index_permissions": index}));
    }

    fn fresh(&self, case: &Case) {
        for place in MADE {
            self.node.curl("DELETE", place, None);
        }
        self.node.curl(
            "PUT",
            "/_cluster/settings",
            Some(&json!({"persistent": {"cluster.max_shards_per_node": null}})),
        );
        for (path, body) in &case.before {
            self.node.put(path, body);
        }
    }

    /// Makes the object, finds it unchanged, changes it; stops at the first run that fails.
    fn life(&self, path: &str, bodies: &[Value; 2]) -> Run {
        let sandbox = Sandbox::new("os-init")
            .env("OPENSEARCH_URL", self.proxy.url())
            .env("OPENSEARCH_USERNAME", "least")
            .env("OPENSEARCH_PASSWORD", PASSWORD);
        let mut last = None;
        for body in [&bodies[0], &bodies[0], &bodies[1]] {
            sandbox.write(path, body.to_string());
            let run = sandbox.run(&[]);
            let failed = run.code() != Some(0);
            last = Some(run);
            if failed {
                break;
            }
        }
        last.expect("it ran at least once")
    }
}

#[test]
fn the_documented_rights_are_enough_and_each_is_needed() {
    Variant::each(&[Variant::Security2, Variant::Security3], |variant| {
        let node = OpenSearch::shared(variant);
        let server = Server { node, proxy: HttpProxy::to(&node.url()) };
        node.put("/_plugins/_security/api/internalusers/least", &json!({"password": PASSWORD}));
        server.grant(&[Vec::new(), Vec::new()]);
        node.put("/_plugins/_security/api/rolesmapping/least", &json!({"users": ["least"]}));
        let mut named = 0;
        for case in cases() {
            // The mix that 3.4.0 with security is has no search pipelines.
            if variant == Variant::Security3 && case.kind == "search_pipelines" {
                continue;
            }
            let [mut cluster, index] = documented(case.kind);
            cluster.extend(ALWAYS.map(str::to_owned));
            let all = [cluster, index];
            server.fresh(&case);
            server.grant(&all);
            server.life(case.path, &case.bodies).expect_code(0);
            let rights = all
                .iter()
                .flatten()
                .filter(|right| case.kind == "component_templates" || !ALWAYS.contains(&right.as_str()));
            for taken in rights {
                let less = all.clone().map(|list| list.into_iter().filter(|right| right != taken).collect());
                server.fresh(&case);
                server.grant(&less);
                let run = server.life(case.path, &case.bodies);
                let told = format!("{} {} without {taken}: {run}", variant.name(), case.kind);
                assert_eq!((run.code(), run.field("exit_reason")), (Some(1), json!("auth")), "{told}");
                assert!(run.field("error").as_str().is_some_and(|error| error.contains(taken.as_str())), "{told}");
                named += 1;
            }
        }
        assert!(named >= 18, "{}: {named} rights were taken and named", variant.name());
        the_security_kinds_need_a_role(&server);
    });
}

/// The REST API of the security plugin is open to roles that the node's settings name, and to nobody else.
fn the_security_kinds_need_a_role(server: &Server<'_>) {
    let bodies = [json!({"description": "one"}), json!({"description": "two"})];
    server.grant(&[ALWAYS.map(str::to_owned).to_vec(), Vec::new()]);
    let refused = server.life("tenants/least.json", &bodies);
    refused.expect_code(1);
    assert_eq!(refused.field("exit_reason"), "auth", "{refused}");
    let with_it = json!({"backend_roles": ["admin"], "users": ["least"]});
    server.node.put("/_plugins/_security/api/rolesmapping/all_access", &with_it);
    server.life("tenants/least.json", &bodies).expect_code(0);
}
