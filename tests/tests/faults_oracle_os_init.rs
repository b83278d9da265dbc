//! The oracle of os-init, on real nodes with the security plugin behind the stand-in for ISM and a proxy that spoils: requests of a run meet
//! a fault, once or from then on; the way is healed and the program runs again. **It may say "done" only if the world equals the files**,
//! with what a GET does not show: a repository that works, an index on its policy, a password that lets in. The table is printed: request
//! and fault, how often it was tried, how often every answer was true, false successes, false failures (`kit::oracle`).
//!
//! Every request with every fault would take an hour: a walk through all of them takes equally long steps, so that each kind of fault meets
//! each part of the run. `ORACLE_LIVES` says how many lives are tried on each version, `ORACLE_FIRST` where the walk begins.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use kit::http1::{Request, Response};
use kit::ism::IsmFront;
use kit::oracle::{HttpFault, Length, Table, Told, told};
use kit::proxy::HttpProxy;
use kit::proxy::http::Verdict;
use kit::sandbox::{Run, Sandbox};
use kit::servers::opensearch::{OpenSearch, Variant};
use serde_json::{Value, json};

fn verdict(fault: HttpFault) -> Verdict {
    let error = |status: u16, name: &str, reason: &str| {
        let body = json!({"error": {"root_cause": [], "type": name, "reason": reason}, "status": status});
        Verdict::Answer(Response::json(status, &body))
    };
    match fault {
        HttpFault::Unavailable => error(503, "cluster_manager_not_discovered_exception", "no manager"),
        HttpFault::LostReply => Verdict::DropAnswer,
        HttpFault::Forbidden => error(403, "security_exception", "no permissions for [indices:admin/thing]"),
        HttpFault::Cut => Verdict::DropRequest,
        HttpFault::HalfReply => Verdict::CutAnswer(20),
    }
}

const PASSWORDS: [&str; 2] = ["Granite-Otter-91-x!", "Basalt-Finch-33-z!"];

/// An object of every kind, as it is declared first and as it is changed.
fn files(changed: bool) -> Vec<(&'static str, Value)> {
    let text = if changed { "two" } else { "one" };
    let (number, age) = if changed { (1902, "2d") } else { (1901, "1d") };
    let mut index = json!({"settings": {"number_of_replicas": 0, "refresh_interval": age}, "aliases": {"oracle-a": {}},
        "mappings": {"properties": {"k": {"type": "keyword"}, "m": {"type": "long"}}}});
    if changed {
        index["mappings"]["properties"]["later"] = json!({"type": "ip"});
    }
    let permission = json!({"index_patterns": ["oracle-*"], "allowed_actions": ["oracle-read"]});
    vec![
        ("cluster_settings.json", json!({"persistent": {"cluster.max_shards_per_node": number}})),
        (
            "snapshot_repositories/oracle.json",
            json!({"type": "fs", "settings": {"location": "oracle", "compress": changed}}),
        ),
        // A server refuses an action group of a role's name.
        ("action_groups/oracle-read.json", json!({"type": "index", "allowed_actions": ["read"], "description": text})),
        ("roles/oracle.json", json!({"description": text, "index_permissions": [permission]})),
        ("tenants/oracle.json", json!({"description": text})),
        ("scripts/oracle.json", json!({"script": {"lang": "painless", "source": format!("'{text}'")}})),
        ("ingest_pipelines/oracle.json", json!({"description": text, "processors": []})),
        (
            "component_templates/oracle.json",
            json!({"version": number, "template": {"settings": {"number_of_replicas": 0}}}),
        ),
        (
            "ism_policies/oracle.json",
            json!({"policy": {"description": text, "default_state": "a", "states": [{"name": "a", "transitions": [{"state_name": "a", "conditions": {"min_index_age": age}}]}]}}),
        ),
        (
            "index_templates/oracle.json",
            json!({"index_patterns": ["oracle-ds*"], "data_stream": {}, "priority": 7, "composed_of": ["oracle"], "version": number}),
        ),
        ("data_streams/oracle-ds.json", json!({})),
        ("indices/oracle-1.json", index),
        ("aliases/oracle-b.json", json!({"indices": {"oracle-1": {"filter": {"term": {"k": text}}}}})),
        ("ism_attachments/oracle.json", json!({"indices": ["oracle-1"], "update": true})),
        (
            "transforms/oracle-t.json",
            json!({"transform": {"description": text, "schedule": {"interval": {"period": 5, "unit": "Minutes"}}, "source_index": "oracle-1",
                "target_index": "oracle-to", "page_size": 10, "groups": [{"terms": {"source_field": "k"}}], "aggregations": {}}}),
        ),
        (
            "sm_policies/oracle.json",
            json!({"description": text, "creation": {"schedule": {"cron": {"expression": "0 2 * * *", "timezone": "UTC"}}},
                "deletion": {"condition": {"max_age": age}}, "snapshot_config": {"repository": "oracle"}}),
        ),
        (
            "internal_users/oracle.json",
            json!({"password": PASSWORDS[usize::from(changed)], "attributes": {"t": text}, "opendistro_security_roles": ["oracle"]}),
        ),
        ("roles_mapping/oracle.json", json!({"users": ["oracle"], "backend_roles": [text]})),
    ]
}

/// Where the objects are, in an order in which nothing is needed any more when it is deleted.
const PLACES: [&str; 14] = [
    "/_plugins/_security/api/rolesmapping/oracle",
    "/_plugins/_security/api/internalusers/oracle",
    "/_plugins/_security/api/roles/oracle",
    "/_plugins/_security/api/tenants/oracle",
    "/_plugins/_security/api/actiongroups/oracle-read",
    "/_data_stream/oracle-ds",
    "/oracle-1",
    "/_index_template/oracle",
    "/_component_template/oracle",
    "/_ingest/pipeline/oracle",
    "/_scripts/oracle",
    "/_snapshot/oracle",
    "/_alias/oracle-a",
    "/_alias/oracle-b",
];
/// The stand-in's.
const MANAGED: [&str; 3] =
    ["/_plugins/_ism/policies/oracle", "/_plugins/_transform/oracle-t", "/_plugins/_sm/policies/oracle"];

/// A real node, and what stands before it in this life.
struct World<'n> {
    node: &'n OpenSearch,
    front: IsmFront,
    proxy: HttpProxy,
}

impl<'n> World<'n> {
    /// With nothing of the files in it. What the security plugin holds stays for an update: the run that begins it puts that back, too.
    fn fresh(node: &'n OpenSearch, update: bool) -> Self {
        let stays = |place: &str| place.starts_with("/_alias") || (update && place.starts_with("/_plugins/_security"));
        PLACES.iter().filter(|place| !stays(place)).for_each(|place| drop(node.curl("DELETE", place, None)));
        node.put("/_cluster/settings", &json!({"persistent": {"cluster.max_shards_per_node": null}}));
        let front = IsmFront::of(node);
        let proxy = HttpProxy::to(&front.url());
        Self { node, front, proxy }
    }

    fn sandbox(&self, changed: bool) -> Sandbox {
        Sandbox::new("os-init")
            .config(&files(changed))
            .env("OPENSEARCH_URL", self.proxy.url())
            .env("OPENSEARCH_USERNAME", OpenSearch::ADMIN.0)
            .env("OPENSEARCH_PASSWORD", OpenSearch::ADMIN.1)
            .env("MAX_RETRIES", "1")
            .deadline(Duration::from_mins(3))
    }

    /// The state in which a run of this phase begins, and the files that it is given.
    fn begin(&self, update: bool) -> Sandbox {
        if update {
            self.sandbox(false).run(&[]).expect_code(0);
        }
        self.proxy.clear();
        self.sandbox(update)
    }

    /// Everything that the files speak of, as the server tells it, with what no GET shows.
    fn state(&self, update: bool) -> Value {
        let mut state: BTreeMap<&str, Value> = BTreeMap::new();
        for place in PLACES {
            state.insert(place, self.node.curl("GET", place, None).1);
        }
        let settings = self.node.get("/_cluster/settings?flat_settings=true");
        state.insert("settings", settings["persistent"]["cluster.max_shards_per_node"].clone());
        for place in MANAGED {
            let output = Command::new("curl").args(["-sS", "--noproxy", "*"]).arg(self.front.url() + place).output();
            let answer = output.expect("curl is installed").stdout;
            state.insert(place, serde_json::from_slice(&answer).unwrap_or_default());
        }
        // What waits for the plugin's next run is done by it.
        self.front.run_jobs();
        state.insert("works by", self.front.description_of("oracle-1").into());
        state.insert("verified", self.node.curl("POST", "/_snapshot/oracle/_verify", None).0.into());
        let login = format!("oracle:{}", PASSWORDS[usize::from(update)]);
        let output = Command::new("curl")
            .args(["-sS", "--noproxy", "*", "-o", "/dev/null", "-w", "%{http_code}", "-u", &login])
            .arg(self.node.url() + "/_plugins/_security/authinfo")
            .output();
        state.insert("lets in", String::from_utf8_lossy(&output.expect("curl is installed").stdout).into());
        without_own(json!(state))
    }
}

/// Without what is each object's own: times, identifiers, sequence numbers.
fn without_own(value: Value) -> Value {
    const OWN: [&str; 13] = [
        "uuid",
        "index_uuid",
        "index_name",
        "creation_date",
        "created",
        "last_updated_time",
        "updated_at",
        "enabled_at",
        "enabled_time",
        "start_time",
        "_seq_no",
        "_version",
        "generation",
    ];
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(key, _)| !OWN.contains(&key.as_str()));
            kept.map(|(key, value)| (key, without_own(value))).collect()
        }
        Value::Array(items) => items.into_iter().map(without_own).collect(),
        other => other,
    }
}

/// The request, without the names of objects.
fn question(request: &Request) -> String {
    let parts: Vec<&str> = request.path().split('/').filter(|part| !part.is_empty()).collect();
    let place = match parts.as_slice() {
        [] => "/".to_owned(),
        ["_plugins", plugin, "api", kind, ..] | ["_plugins", plugin, kind, ..] => format!("{plugin}/{kind}"),
        [api, ..] if api.starts_with('_') => (*api).to_owned(),
        [_, ..] => "indices".to_owned(),
    };
    format!("{} {place}", request.method)
}

/// Where the world differs from the wanted one. A run that says that it could not try a password does not say that it lets in.
fn apart(state: &Value, wanted: &Value, run: &Run) -> Vec<String> {
    let unsaid = |place: &str| place == "lets in" && run.stderr.contains("password not verified");
    let wanted = wanted.as_object().expect("a state is an object").iter();
    let differs = wanted.filter(|(place, wanted)| state[place.as_str()] != **wanted && !unsaid(place));
    differs.map(|(place, wanted)| format!("{place}: {}, not {wanted}", state[place.as_str()])).collect()
}

/// One life: the fault, the healing, the second run.
fn life(
    node: &OpenSearch,
    update: bool,
    nth: usize,
    request: &Request,
    met: (HttpFault, Length),
    wanted: &Value,
    table: &Table,
) {
    let (kind, length) = met;
    let world = World::fresh(node, update);
    let mut sandbox = world.begin(update);
    // What stays broken is waited for in vain; what fails once is given the usual time, on a slow machine too.
    if length == Length::FromThenOn {
        sandbox.set("WAIT_TIMEOUT", "2s");
        sandbox.set("APPLY_TIMEOUT", "4s");
    }
    world.proxy.rule(move |_, number| {
        let spoiled = number == nth || (length == Length::FromThenOn && number > nth);
        if spoiled { verdict(kind) } else { Verdict::Pass }
    });
    let first = sandbox.run(&[]);
    world.proxy.pass();
    sandbox.set("WAIT_TIMEOUT", "1m");
    sandbox.set("APPLY_TIMEOUT", "1m");
    let between = world.state(update);
    let second = sandbox.run(&[]);
    let after = world.state(update);
    let told = [
        Told { run: &first, holds: apart(&between, wanted, &first).is_empty(), must: kind.passes(length) },
        Told { run: &second, holds: apart(&after, wanted, &second).is_empty(), must: true },
    ];
    table.count(question(request), format!("{kind:?} {length:?}"), &told, |one| {
        let state = if std::ptr::eq(one.run, &raw const second) { &after } else { &between };
        let apart = apart(state, wanted, one.run).join("\n");
        let name = node.variant().name();
        format!("{name} update {update} request {nth} {kind:?} {length:?}: {}\n{apart}", one.run.last())
    });
}

/// The requests of a run in which nothing goes wrong, and the world after it.
fn clean(node: &OpenSearch, update: bool) -> (Vec<Request>, Value) {
    let world = World::fresh(node, update);
    let sandbox = world.begin(update);
    sandbox.run(&[]).expect_code(0);
    let requests = world.proxy.log().into_iter().map(|exchange| exchange.request).collect();
    (requests, world.state(update))
}

#[test]
fn os_init_says_done_only_when_it_is() {
    let table = Table::of("os-init");
    Variant::each(&[Variant::Security2, Variant::Security3], |variant| {
        let node = &OpenSearch::of(variant).plain_http().cheap_hashes().start();
        let mut all = Vec::new();
        let phases = [false, true].map(|update| clean(node, update));
        for (update, (requests, _)) in [false, true].into_iter().zip(&phases) {
            for (index, request) in requests.iter().enumerate() {
                let faults =
                    HttpFault::ALL.into_iter().flat_map(|kind| [(kind, Length::Once), (kind, Length::FromThenOn)]);
                all.extend(faults.map(|met| (update, index + 1, request, met)));
            }
        }
        // Each step leads to another request and, as ten faults follow each other, to another fault.
        let mut stride = (all.len() / told("ORACLE_LIVES").unwrap_or(30).clamp(1, all.len())).max(1) | 1;
        stride += if stride > 1 && stride % 5 == 0 { 2 } else { 0 };
        let walk = all.into_iter().skip(told("ORACLE_FIRST").unwrap_or(0)).step_by(stride);
        for (update, nth, request, met) in walk {
            life(node, update, nth, request, met, &phases[usize::from(update)].1, &table);
        }
    });
    table.end();
}
