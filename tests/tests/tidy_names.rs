//! Every name that users see, setting or kind, is known to its program and documented. The lists are the interface: a name that goes
//! from them, or changes, breaks somebody's set-up. What a name does has its own cases.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use kit::sandbox::{Run, Sandbox};
use serde_json::json;

const PROGRAMS: [&str; 3] = ["os-init", "k-init", "grafana-init"];

/// Settings of all three programs.
const SETTINGS: &[&str] = &[
    "CONFIG_DIR",
    "WAIT_TIMEOUT",
    "APPLY_TIMEOUT",
    "REQUEST_TIMEOUT",
    "MAX_RETRIES",
    "STRICT",
    "ON_DRIFT",
    "LOG_LEVEL",
    "LOG_FORMAT",
    "RUST_LOG",
    "RESULT_FILE",
    "EXIT_CODES",
    "LOKI_URL",
    "LOKI_USERNAME",
    "LOKI_PASSWORD",
    "LOKI_TOKEN",
    "LOKI_CA_FILE",
    "LOKI_TENANT",
    "LOKI_REQUIRED",
    "PUSHGATEWAY_URL",
    "PUSHGATEWAY_USERNAME",
    "PUSHGATEWAY_PASSWORD",
    "PUSHGATEWAY_TOKEN",
    "PUSHGATEWAY_CA_FILE",
    "INSTANCE",
];

/// Settings of one program.
const OWN_SETTINGS: [&[&str]; 3] = [
    &[
        "OPENSEARCH_URL",
        "OPENSEARCH_USERNAME",
        "OPENSEARCH_PASSWORD",
        "OPENSEARCH_PASSWORD_FILE",
        "OPENSEARCH_TOKEN",
        "OPENSEARCH_CA_FILE",
        "OPENSEARCH_CERT_FILE",
        "OPENSEARCH_KEY_FILE",
        "OPENSEARCH_INSECURE",
        "OPENSEARCH_VERIFY_HOSTNAME",
        "WAIT_STATUS",
        "MIN_DATA_NODES",
    ],
    &[
        "KAFKA_BOOTSTRAP_SERVERS",
        "KAFKA_SECURITY_PROTOCOL",
        "KAFKA_SASL_MECHANISM",
        "KAFKA_USERNAME",
        "KAFKA_PASSWORD",
        "KAFKA_PASSWORD_FILE",
        "KAFKA_TOKEN",
        "KAFKA_CLIENT_CONFIG",
        "KAFKA_VERIFY_SERVERS",
        "SEED_SCAN_MAX",
        "KAFKA_CONNECT_PASSWORD",
        "KAFKA_CA_FILE",
        "KAFKA_CERT_FILE",
        "KAFKA_KEY_FILE",
        "KAFKA_INSECURE",
        "KAFKA_VERIFY_HOSTNAME",
        "KAFKA_OAUTH_TOKEN_URL",
        "KAFKA_OAUTH_CLIENT_ID",
        "KAFKA_OAUTH_CLIENT_SECRET",
        "KAFKA_OAUTH_SCOPE",
        "KAFKA_OAUTH_EXTENSIONS",
        "KAFKA_CONNECT_URL",
        "KAFKA_CREATE_TOPICS",
        "SECRETS_DIR",
        "MIN_BROKERS",
    ],
    &[
        "GRAFANA_URL",
        "GRAFANA_USERNAME",
        "GRAFANA_PASSWORD",
        "GRAFANA_PASSWORD_FILE",
        "GRAFANA_TOKEN",
        "GRAFANA_CA_FILE",
        "GRAFANA_CERT_FILE",
        "GRAFANA_KEY_FILE",
        "GRAFANA_INSECURE",
        "GRAFANA_VERIFY_HOSTNAME",
        "GRAFANA_ORG_ID",
        "GRAFANA_SECRETS",
        "GRAFANA_DIGEST_KEY",
        "GRAFANA_PROVENANCE",
        "GRAFANA_MANAGED",
    ],
];

/// The folders of one program.
const KINDS: [&[&str]; 3] = [
    &[
        "cluster_settings",
        "snapshot_repositories",
        "action_groups",
        "roles",
        "tenants",
        "scripts",
        "ingest_pipelines",
        "search_pipelines",
        "component_templates",
        "ism_policies",
        "index_templates",
        "data_streams",
        "indices",
        "aliases",
        "ism_attachments",
        "rollups",
        "transforms",
        "sm_policies",
        "internal_users",
        "roles_mapping",
    ],
    &[
        "broker_defaults",
        "brokers",
        "topics",
        "users",
        "acls",
        "quotas",
        "client_metrics",
        "groups",
        "seeds",
        "connectors",
    ],
    &[
        "plugins",
        "orgs",
        "teams",
        "service_accounts",
        "datasources",
        "library_panels",
        "dashboards",
        "contact_points",
        "mute_timings",
        "message_templates",
        "notification_policy",
        "alert_rules",
        "preferences",
    ],
];

/// README.md and everything in docs/, in one text.
fn documentation() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the repository");
    let docs =
        fs::read_dir(root.join("docs")).into_iter().flatten().map(|entry| entry.expect("docs/ can be read").path());
    let pages = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let read = |path| fs::read_to_string(path).expect("a page is text");
    pages.chain([root.join("README.md")]).map(read).collect()
}

#[track_caller]
fn none(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn every_setting_and_kind_is_documented() {
    let text = documentation();
    let words: BTreeSet<&str> = text.split(|it: char| !it.is_alphanumeric() && it != '_').collect();
    let names = SETTINGS.iter().chain(OWN_SETTINGS.into_iter().flatten()).chain(KINDS.into_iter().flatten());
    // What is the same for each prefix, and `_FILE` beside each secret, is documented once.
    let documented = |name: &&&str| {
        let shared = [
            "USERNAME",
            "PASSWORD",
            "PASSWORD_FILE",
            "TOKEN",
            "CA_FILE",
            "CERT_FILE",
            "KEY_FILE",
            "INSECURE",
            "VERIFY_HOSTNAME",
        ];
        let suffix = name.split_once('_').map(|(_, suffix)| suffix).filter(|suffix| shared.contains(suffix));
        words.contains(**name)
            || suffix.is_some_and(|suffix| {
                words.contains(suffix.strip_suffix("_FILE").unwrap_or(suffix)) || words.contains(suffix)
            })
    };
    let missing =
        names.filter(|name| !documented(name)).map(|name| format!("{name} is in neither README.md nor docs/"));
    none(&missing.collect::<Vec<_>>());
}

/// A name that is one letter too long is answered with the right one: so the program knows it.
fn suggests(run: &Run, name: &str) -> bool {
    let wanted = format!("did you mean {name}?");
    run.records().iter().any(|record| record.to_string().contains(&wanted))
}

#[test]
fn every_setting_is_known_to_its_programs() {
    let mut unknown = Vec::new();
    for (program, own) in PROGRAMS.into_iter().zip(OWN_SETTINGS) {
        let mut sandbox = Sandbox::new(program).config(&[example(program)]);
        let names: Vec<&&str> = SETTINGS.iter().chain(own).collect();
        for name in &names {
            sandbox.set(&format!("{name}Q"), "1");
        }
        let run = sandbox.run(&["validate"]);
        run.expect_code(0);
        unknown.extend(
            names.iter().filter(|name| !suggests(&run, name)).map(|name| format!("{program} does not know {name}")),
        );
    }
    none(&unknown);
}

#[test]
fn every_kind_is_known_to_its_program() {
    let mut unknown = Vec::new();
    for (program, kinds) in PROGRAMS.into_iter().zip(KINDS) {
        let sandbox = Sandbox::new(program).config(&[example(program)]);
        for kind in kinds {
            sandbox.write(&format!("{kind}q/x.json"), "{}");
        }
        let run = sandbox.run(&["validate"]);
        run.expect_code(1);
        unknown.extend(
            kinds.iter().filter(|kind| !suggests(&run, kind)).map(|kind| format!("{program} does not know {kind}")),
        );
    }
    none(&unknown);
}

/// One good file for each program.
fn example(program: &str) -> (&'static str, serde_json::Value) {
    match program {
        "os-init" => ("index_templates/tidy.json", json!({"index_patterns": ["tidy-*"]})),
        "k-init" => ("topics/tidy.json", json!({"partitions": 1})),
        _ => (
            "datasources/tidy.json",
            json!({"name": "tidy", "type": "prometheus", "access": "proxy", "url": "http://prometheus:9090"}),
        ),
    }
}
