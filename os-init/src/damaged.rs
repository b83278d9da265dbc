//! Damaged files and damaged answers, for every kind: whatever is missing, doubled or of another type, a run ends with a sentence, not with
//! a panic. A server of answers as 2.19 and 3.4 give them, made from a file of the set; what its words are worth is not judged here.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::net::http::{Call, Client};
use common::output::secret::Secret;
use common::process::settings::Login;
use common::testing::{self, Edit, Reached, damage};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::dialect::DIALECT;
use crate::kinds::{SPECS, kinds};
use crate::step::Limits;
use crate::transcripts::unwrapped;

/// A body of a kind.
type Sample = (&'static str, String, Value);

/// The set of files that the cases on real nodes use as well, and what it does not have.
static SAMPLES: LazyLock<Vec<Sample>> = LazyLock::new(|| {
    let more = [
        (
            "cluster_settings",
            "cluster_settings",
            json!({"persistent": {"cluster": {"max_shards_per_node": 500}, "action.auto_create_index": "false"}, "transient": {"indices.recovery.max_bytes_per_sec": null}}),
        ),
        ("ism_attachments", "hot", json!({"indices": ["logs-*", "stream"], "update": true})),
        (
            "rollups",
            "hourly",
            json!({"rollup": {"enabled": true, "description": "d", "schedule": {"interval": {"period": 1, "unit": "Hours", "start_time": 1}}, "source_index": "logs-*", "target_index": "r", "target_index_settings": {"number_of_replicas": 0}, "page_size": 200, "delay": 0, "continuous": true, "dimensions": [{"date_histogram": {"source_field": "@timestamp", "fixed_interval": "60m", "timezone": "UTC"}}, {"terms": {"source_field": "team"}}], "metrics": [{"source_field": "status", "metrics": [{"value_count": {}}]}]}}),
        ),
        (
            "transforms",
            "teams",
            json!({"transform": {"enabled": true, "description": "d", "schedule": {"interval": {"period": 5, "unit": "Minutes"}}, "source_index": "logs-1", "target_index": "tt", "data_selection_query": {"term": {"k": "v"}}, "page_size": 10, "groups": [{"terms": {"source_field": "k", "target_field": "k"}}], "aggs": {"q": {"sum": {"field": "m"}}}}}),
        ),
        (
            "indices",
            "series-000001",
            json!({"aliases": {"series": {"is_write_index": true}}, "mappings": {"properties": {"a": {"type": "keyword", "fields": {"t": {"type": "text"}}}, "b": {"properties": {"c": {"type": "long"}}}}}, "settings": {"index": {"number_of_shards": 1, "analysis": {"analyzer": {"x": {"type": "custom", "tokenizer": "standard"}}}}}}),
        ),
    ];
    let more = more.into_iter().map(|(kind, name, body)| (kind, name.to_owned(), body));
    crate::transcripts::files().into_iter().chain(more).collect()
});

static CLIENT: LazyLock<Client> = LazyLock::new(|| testing::client(DIALECT));

/// What a server that holds this object says to a request.
fn said((kind, name, body): &Sample, call: &Call) -> Value {
    let path = call.path.split('?').next().unwrap_or_default();
    let document = |key: &str, id: &str| json!({"_id": id, "_version": 2, "_seq_no": 7, "_primary_term": 1, key: body.get(key).unwrap_or(body)});
    let named = || json!({name.as_str(): body});
    let first = path.split('/').nth(1).unwrap_or_default();
    match (first, path.split('/').nth(2), *kind) {
        ("_cluster", Some("settings"), _) => body.clone(),
        ("_cluster", ..) => json!({"metadata": {"stored_scripts": {name.as_str(): body["script"]}}}),
        ("_snapshot", _, _) if path.ends_with("_verify") => json!({"nodes": {"n": {"name": "n"}}}),
        ("_component_template", ..) => json!({"component_templates": [{"name": name, "component_template": body}]}),
        ("_index_template", Some(_), _) => {
            json!({"template": body["template"], "overlapping": [{"name": "o", "index_patterns": ["a*"]}]})
        }
        ("_index_template", ..) => json!({"index_templates": [
            {"name": name, "index_template": body},
            {"name": "other", "index_template": {"index_patterns": ["series*", "o*"], "priority": 10, "data_stream": {}, "composed_of": ["c"], "template": {"settings": {"index": {"number_of_shards": "2"}}}}},
        ]}),
        ("_ingest" | "_search", Some("pipeline"), _) if path.ends_with("_simulate") => {
            json!({"docs": [{"doc": {"_source": {}}}]})
        }
        ("_plugins", Some("_security"), _) if path.ends_with("authinfo") => json!({
            "user": "User [name=admin, backend_roles=[admin], requestedTenant=null]", "user_name": "admin", "backend_roles": ["admin"], "roles": ["all_access"], "principal": null,
        }),
        ("_plugins", Some("_ism"), _) if path.contains("/explain") => json!({
            "logs-1": {"index.plugins.index_state_management.policy_id": "hot", "index": "logs-1", "policy_id": "hot", "policy_seq_no": 6, "policy_primary_term": 1, "enabled": true, "policy": {"last_updated_time": 5}},
            "logs-2": {"index.plugins.index_state_management.policy_id": null},
            ".ds-stream-000001": {"policy_id": "other", "policy_seq_no": 1, "policy_primary_term": 1},
            "total_managed_indices": 2,
        }),
        ("_plugins", Some("_ism"), _) if call.writes && !path.contains("/policies") => json!({
            "updated_indices": 1, "failures": true, "failed_indices": [{"index_name": "logs-2", "reason": "already has a policy"}],
        }),
        ("_plugins", Some("_ism"), "ism_policies") if path.ends_with("policies") => {
            json!({"policies": [document("policy", name)], "total_policies": 1})
        }
        ("_plugins", Some("_ism"), _) => document("policy", name),
        ("_plugins", Some("_sm"), _) => {
            json!({"policies": [document("sm_policy", &format!("{name}-sm-policy"))], "total_policies": 1})
        }
        ("_plugins", Some("_rollup"), _) => json!({"rollups": [document("rollup", name)], "total_rollups": 1}),
        ("_plugins", Some("_transform"), _) => {
            json!({"transforms": [document("transform", name)], "total_transforms": 1})
        }
        ("_data_stream", ..) => {
            json!({"data_streams": [{"name": name, "timestamp_field": {"name": "@timestamp"}, "indices": [{"index_name": ".ds-s-000001", "index_uuid": "u"}], "generation": 1, "status": "GREEN", "template": "t"}]})
        }
        ("_alias", ..) => {
            json!({"logs-1": {"aliases": {name.as_str(): {"is_write_index": true, "filter": {"term": {"a": "b"}}}}}})
        }
        ("_plugins" | "_ingest" | "_search" | "_snapshot" | "_scripts", ..) => named(),
        _ if path.ends_with("/_alias") => {
            let indices = body["indices"].as_object().into_iter().flatten();
            indices.map(|(index, alias)| (index.clone(), json!({"aliases": {name.as_str(): alias}}))).collect()
        }
        _ => json!({name.as_str(): {
            "aliases": body["aliases"], "mappings": body["mappings"], "data_stream": name,
            "settings": {"index": {"number_of_shards": "1", "number_of_replicas": "1", "uuid": "u", "creation_date": "1", "version": {"created": "1"}, "provided_name": name, "settings": body["settings"]}},
        }}),
    }
}

/// A run with a file and answers, each damaged by the edits that bear its number: 0 is the file, then the answers in order.
fn run(sample: &Sample, edits: &[(u8, Edit)]) -> Reached {
    let of = |edits: &[(u8, Edit)], number: usize| -> Vec<Edit> {
        edits.iter().filter(|(document, _)| usize::from(*document) == number).map(|(_, edit)| *edit).collect()
    };
    let (kind, name, mut file) = sample.clone();
    let body = unwrapped(kind, &name, &file);
    for edit in of(edits, 0) {
        damage(&mut file, edit);
    }
    let Some(set) = testing::set(&SPECS, [(kind, name.clone(), file)]) else { return Reached::default() };
    let (asked, edits, held) = (AtomicUsize::new(1), edits.to_vec(), (kind, name, body));
    let client = CLIENT.answered_by(move |call| {
        let answer = said(&held, call);
        match of(&edits, asked.fetch_add(1, Ordering::Relaxed)).as_slice() {
            [] => testing::answer(200, &answer),
            edits => testing::damaged_answer(answer, edits),
        }
    });
    let cluster = Rc::new(Cluster {
        client,
        login: RefCell::new(Login::Basic("admin".into(), Secret::new("a-password-of-ours"))),
        limits: Limits::new(Duration::from_secs(10)),
        memory: RefCell::default(),
    });
    let set = Rc::new(set);
    let mut kinds = kinds(&cluster, &set);
    kinds.retain(|known| known.name() == kind);
    testing::run(&mut kinds, &set)
}

#[test]
fn what_is_whole_comes_to_its_end() {
    for sample in &*SAMPLES {
        let reached = run(sample, &[]);
        assert!(reached.checked && reached.planned == 1, "{}/{}: {reached:?}", sample.0, sample.1);
    }
}

/// The file and each of the answers in turn, as a whole: null, a number, a list, a text, an object of something else.
#[test]
fn what_is_of_another_type_ends_with_a_sentence() {
    for sample in &*SAMPLES {
        for (document, what) in (0..8).flat_map(|document| [0, 3, 10, 18, 19].map(|what| (document, what))) {
            run(sample, &[(document, (0, what))]);
        }
    }
}

proptest! {
    #[test]
    fn damaged_bodies_never_panic(sample in 0..SAMPLES.len(), edits in prop::collection::vec((0..6_u8, any::<Edit>()), 0..5)) {
        run(&SAMPLES[sample], &edits);
    }
}
