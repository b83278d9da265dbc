//! Sets of any number of objects of one kind, as cases about growth need them: what a kind takes for n objects and for twice as many is what
//! shows whether its cost is linear. Bodies are as small as a user's are, unless a case says how large.

use serde_json::{Map, Value, json};

use crate::fixture::NOBODY;
use crate::grafana::alert_rule;
use crate::sandbox::Sandbox;

/// A path below the configuration folder and what is in it.
pub type File = (String, Value);

/// One kind of one program.
#[derive(Clone, Copy)]
pub struct Many {
    /// The program.
    pub program: &'static str,
    /// The kind, and what it is made of where that is not said by its name.
    pub name: &'static str,
    files: fn(usize) -> Vec<File>,
}

impl Many {
    /// The program with so many objects of the kind, and what they refer to.
    pub fn sandbox(&self, count: usize) -> Sandbox {
        // Connectors are checked only where there is somebody to give them to.
        let sandbox = Sandbox::of_many_files(self.program).env("KAFKA_CONNECT_URL", format!("http://{NOBODY}"));
        self.write(&sandbox, count);
        sandbox
    }

    /// Writes so many objects of the kind, and what they refer to, into a sandbox.
    pub fn write(&self, sandbox: &Sandbox, count: usize) {
        for (path, body) in self.files(count) {
            // Seeds are lines, everything else is one value.
            match body {
                Value::String(lines) => sandbox.write(&path, lines),
                body => sandbox.write(&path, body.to_string()),
            }
        }
    }

    /// The files of so many objects of the kind, and of what they refer to.
    pub fn files(&self, count: usize) -> Vec<File> {
        (self.files)(count)
    }

    /// The kind of this name, of any program.
    #[track_caller]
    pub fn of(name: &str) -> Self {
        *ALL.iter().find(|many| many.name == name).unwrap_or_else(|| panic!("no kind is called {name}"))
    }
}

/// All kinds of which there may be many.
pub const ALL: &[Many] = &[
    kafka("topics", |n| each(n, "topics/t", |_| topic())),
    kafka("users", |n| each(n, "users/u", |n| json!({"password": format!("correct-horse-{n}")}))),
    kafka("acls", |n| each(n, "acls/User:u", |n| acl(&format!("t{n}")))),
    kafka("quotas", |n| each(n, "quotas/user=u", |_| json!({"producer_byte_rate": 1_048_576}))),
    kafka("client_metrics", |n| {
        each(n, "client_metrics/m", |_| json!({"interval.ms": 30000, "metrics": "org.apache.kafka."}))
    }),
    kafka("groups", |n| each(n, "groups/g", |_| json!({"share.auto.offset.reset": "earliest"}))),
    kafka("brokers", |n| each(n, "brokers/1", |_| json!({"log.cleaner.backoff.ms": 17000}))),
    kafka("connectors", |n| {
        let config = |n| json!({"connector.class": "FileStreamSource", "tasks.max": "1", "file": "/dev/null", "topic": format!("t{n}")});
        each(n, "connectors/c", config)
    }),
    kafka("seeds (records of one topic)", |n| {
        let lines = (0..n).map(|n| format!("{{\"key\": \"k{n}\", \"value\": {{\"n\": {n}}}}}\n"));
        vec![
            ("topics/seeded.json".to_owned(), topic()),
            ("seeds/seeded.jsonl".to_owned(), Value::String(lines.collect())),
        ]
    }),
    search("snapshot_repositories", |n| {
        each(n, "snapshot_repositories/r", |n| json!({"type": "fs", "settings": {"location": format!("r{n}")}}))
    }),
    search("action_groups", |n| {
        each(n, "action_groups/g", |_| json!({"allowed_actions": ["indices:data/read/get"], "type": "index"}))
    }),
    search("roles", |n| each(n, "roles/r", |n| role(&format!("r{n}-*")))),
    search("tenants", |n| each(n, "tenants/t", |_| json!({"description": "d"}))),
    search("scripts", |n| {
        each(n, "scripts/s", |n| json!({"script": {"lang": "painless", "source": format!("ctx._source.a += {n}")}}))
    }),
    search("ingest_pipelines", |n| {
        each(n, "ingest_pipelines/p", |n| json!({"processors": [{"set": {"field": "a", "value": n}}]}))
    }),
    search("search_pipelines", |n| {
        each(
            n,
            "search_pipelines/p",
            |n| json!({"request_processors": [{"filter_query": {"query": {"term": {"n": n}}}}]}),
        )
    }),
    search("component_templates", |n| each(n, "component_templates/c", |_| mapped(40))),
    search("component_templates of 57 KB", |n| each(n, "component_templates/c", |_| wide())),
    search("ism_policies", |n| each(n, "ism_policies/p", |n| policy(&format!("p{n}-*")))),
    search("ism_attachments", |n| {
        let mut files = each(n, "ism_policies/p", |n| policy(&format!("p{n}-*")));
        files.extend(each(n, "ism_attachments/p", |n| json!({"indices": [format!("p{n}-*")], "update": true})));
        files
    }),
    search("index_templates", |n| {
        let mut files = each(n, "component_templates/c", |_| mapped(10));
        files.extend(each(n, "index_templates/i", |n| template(n, &format!("c{n:05}"))));
        files
    }),
    search("index_templates of 57 KB", |n| {
        each(
            n,
            "index_templates/i",
            |n| json!({"index_patterns": [format!("i{n}-*")], "priority": 100, "template": wide()["template"]}),
        )
    }),
    search("data_streams", |n| {
        let mut files = each(n, "data_streams/logs-", |_| json!({}));
        let all = json!({"index_patterns": ["logs-*"], "priority": 200, "data_stream": {}});
        files.push(("index_templates/logs.json".to_owned(), all));
        files
    }),
    search("indices", |n| each(n, "indices/i", |_| json!({"settings": {"number_of_shards": 1}}))),
    search("indices of 57 KB", |n| each(n, "indices/i", |_| wide()["template"].clone())),
    search("indices, as many index_templates", |n| {
        let mut files = each(n, "index_templates/i", |n| template(n, "base"));
        files.push(("component_templates/base.json".to_owned(), mapped(40)));
        files.extend(each(n, "indices/i", |_| json!({"settings": {"number_of_replicas": 0}})));
        files
    }),
    search("aliases", |n| {
        let mut files = each(n, "aliases/a", |_| json!({"indices": {"i": {}}}));
        files.push(("indices/i.json".to_owned(), json!({})));
        files
    }),
    search("rollups", |n| each(n, "rollups/r", rollup)),
    search("transforms", |n| {
        let mut files = each(n, "transforms/t", transform);
        files.push(("indices/source.json".to_owned(), json!({})));
        files
    }),
    search("sm_policies", |n| {
        each(
            n,
            "sm_policies/s",
            |_| json!({"creation": {"schedule": {"cron": {"expression": "0 8 * * *", "timezone": "UTC"}}}, "snapshot_config": {"repository": "r"}}),
        )
    }),
    search("internal_users", |n| {
        each(n, "internal_users/u", |n| json!({"password": format!("Granite-Otter-{n}-x!"), "backend_roles": ["b"]}))
    }),
    search("roles_mapping", |n| {
        let mut files = each(n, "roles/r", |n| role(&format!("r{n}-*")));
        files.extend(each(n, "roles_mapping/r", |_| json!({"backend_roles": ["b"]})));
        files
    }),
    grafana("teams", |n| each(n, "teams/t", |n| json!({"email": format!("t{n}@example.com")}))),
    grafana("service_accounts", |n| each(n, "service_accounts/s", |_| json!({"role": "Editor"}))),
    grafana("datasources", |n| each(n, "datasources/d", data_source)),
    grafana("correlations", |n| {
        let correlation = |n| {
            json!({"sourceUID": "prom", "targetUID": "prom", "label": format!("to {n}"),
            "config": {"type": "query", "field": "job", "target": {"expr": "up"}}})
        };
        let mut files = each(n, "correlations/c", correlation);
        files.push(("datasources/prom.json".to_owned(), data_source(0)));
        files
    }),
    grafana("orgs", |n| (0..n).map(|n| (format!("orgs/Org {n}/preferences.json"), json!({"theme": "dark"}))).collect()),
    grafana("playlists", |n| {
        let items = json!([{"type": "dashboard_by_tag", "value": "wall"}]);
        each(n, "playlists/p", |n| json!({"name": format!("Wall {n}"), "interval": "5m", "items": items}))
    }),
    grafana("public_dashboards", |n| {
        let mut files: Vec<File> = (0..n).map(dashboard).collect();
        files.extend(
            (0..n).map(|n| (format!("public_dashboards/d{n}.json"), json!({"isEnabled": true, "share": "public"}))),
        );
        files
    }),
    grafana("library_panels", |n| {
        each(
            n,
            "library_panels/l",
            |n| json!({"name": format!("Panel {n}"), "model": {"type": "text", "title": "T", "options": {"content": "hi"}}}),
        )
    }),
    grafana("library_panels, each in a folder of its own", |n| {
        let panel = |n| json!({"name": format!("Panel {n}"), "folderUid": format!("f{n}"), "model": {"type": "text", "title": "T"}});
        let mut files = each(n, "library_panels/l", panel);
        files.extend((0..n).map(|n| (format!("dashboards/F{n}/_folder.json"), json!({"uid": format!("f{n}")}))));
        files
    }),
    grafana("dashboards", |n| (0..n).map(dashboard).collect()),
    grafana("folders", |n| {
        (0..n)
            .map(|n| {
                (format!("dashboards/F{n}/_folder.json"), json!({"uid": format!("f{n}"), "title": format!("F {n}")}))
            })
            .collect()
    }),
    grafana("contact_points", |n| {
        each(n, "contact_points/c", |_| json!({"type": "webhook", "settings": {"url": "http://hook/x"}}))
    }),
    grafana("mute_timings", |n| {
        each(
            n,
            "mute_timings/m",
            |_| json!({"time_intervals": [{"times": [{"start_time": "22:00", "end_time": "24:00"}]}]}),
        )
    }),
    grafana("message_templates", |n| each(n, "message_templates/m", |_| json!({"template": "plain text"}))),
    grafana("alert_rules (groups of 10)", |n| {
        let mut files = vec![("datasources/prom.json".to_owned(), data_source(0)), dashboard(0)];
        files.extend((0..n).map(|group| (format!("alert_rules/Team 0/g{group:05}.json"), rules(group))));
        files
    }),
];

const fn kafka(name: &'static str, files: fn(usize) -> Vec<File>) -> Many {
    Many { program: "k-init", name, files }
}

const fn search(name: &'static str, files: fn(usize) -> Vec<File>) -> Many {
    Many { program: "os-init", name, files }
}

const fn grafana(name: &'static str, files: fn(usize) -> Vec<File>) -> Many {
    Many { program: "grafana-init", name, files }
}

/// `PATH00000.json` and so on.
fn each(count: usize, path: &str, body: impl Fn(usize) -> Value) -> Vec<File> {
    (0..count).map(|n| (format!("{path}{n:05}.json"), body(n))).collect()
}

/// A topic of one partition with two settings.
pub fn topic() -> Value {
    json!({"partitions": 1, "config": {"retention.ms": 604_800_000, "cleanup.policy": "delete"}})
}

/// Two bindings on a topic.
pub fn acl(topic: &str) -> Value {
    json!([{"resource": {"type": "topic", "name": topic}, "operations": ["Read", "Describe"]}])
}

/// A role that reads one pattern.
pub fn role(pattern: &str) -> Value {
    json!({"cluster_permissions": ["cluster_monitor"], "index_permissions": [{"index_patterns": [pattern], "allowed_actions": ["read"]}]})
}

/// A component template of 57 KB, with as many fields as a server takes in one index.
fn wide() -> Value {
    let field = |n: usize| (format!("field_of_a_wide_mapping_{n:04}"), json!({"type": "keyword", "ignore_above": 256}));
    let fields: Map<String, Value> = (0..850).map(field).collect();
    json!({"template": {"mappings": {"properties": fields}}})
}

/// A component template with so many fields.
pub fn mapped(fields: usize) -> Value {
    let kind = |n: usize| json!({"type": if n.is_multiple_of(2) { "keyword" } else { "long" }});
    let fields: Map<String, Value> = (0..fields).map(|n| (format!("field_number_{n:04}"), kind(n))).collect();
    json!({"template": {"mappings": {"properties": fields}}})
}

/// An index template for a pattern of its own, composed of one component.
pub fn template(n: usize, component: &str) -> Value {
    json!({
        "index_patterns": [format!("i{n:05}*")], "priority": 100, "composed_of": [component],
        "template": {"settings": {"number_of_shards": 1, "refresh_interval": "5s"}}
    })
}

/// A policy that rolls over and deletes.
pub fn policy(pattern: &str) -> Value {
    json!({"policy": {"description": "d", "default_state": "hot", "states": [
        {"name": "hot", "actions": [{"rollover": {"min_size": "50GB"}}], "transitions": [{"state_name": "gone", "conditions": {"min_index_age": "30d"}}]},
        {"name": "gone", "actions": [{"delete": {}}]}], "ism_template": {"index_patterns": [pattern], "priority": 9}}})
}

fn rollup(n: usize) -> Value {
    json!({"rollup": {
        "description": "d", "enabled": true, "schedule": {"interval": {"period": 1, "unit": "Hours"}}, "source_index": "source",
        "target_index": format!("rolled{n}"), "page_size": 200, "delay": 0, "continuous": true,
        "dimensions": [{"date_histogram": {"source_field": "@timestamp", "fixed_interval": "60m", "timezone": "UTC"}}],
        "metrics": [{"source_field": "status", "metrics": [{"value_count": {}}]}]}})
}

fn transform(n: usize) -> Value {
    json!({"transform": {
        "description": "d", "enabled": true, "schedule": {"interval": {"period": 5, "unit": "Minutes"}}, "source_index": "source",
        "target_index": format!("target{n}"), "data_selection_query": {"match_all": {}}, "page_size": 100,
        "groups": [{"terms": {"source_field": "team", "target_field": "team"}}],
        "aggregations": {"worst": {"max": {"field": "status"}}}}})
}

/// A data source; the first is called `prom`.
pub fn data_source(n: usize) -> Value {
    let uid = if n == 0 { "prom".to_owned() } else { format!("prom{n}") };
    json!({"uid": uid, "name": format!("Prometheus {n}"), "type": "prometheus", "access": "proxy", "url": "http://p:9090", "isDefault": n == 0})
}

/// A dashboard of ten panels, in one of thirty folders.
pub fn dashboard(n: usize) -> File {
    let panel = |id| json!({"id": id, "type": "timeseries", "title": "P", "targets": [{"refId": "A", "expr": "rate(x_total[5m])"}]});
    let panels: Vec<Value> = (0..10).map(panel).collect();
    (
        format!("dashboards/Team {}/d{n}.json", n % 30),
        json!({"uid": format!("d{n}"), "title": format!("Title {n}"), "panels": panels}),
    )
}

/// A group of ten alert rules.
pub fn rules(group: usize) -> Value {
    let rule = |n: usize| alert_rule(Some(&format!("g{group}r{n}")), &format!("Rule {group} {n}"));
    json!({"interval": 60, "rules": (0..10).map(rule).collect::<Vec<_>>()})
}
