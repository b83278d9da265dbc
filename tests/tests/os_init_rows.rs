//! What a server prints otherwise than it was declared, one row each: made once, then nothing differs, on the second run, in a plan and after
//! an export. A new row is one line. All rows of a server are one folder of files, so a failing run names the row.

#![expect(clippy::needless_pass_by_value, reason = "a row reads better without a borrow of what it makes")]

use kit::ism::IsmFront;
use kit::proxy::HttpProxy;
use kit::sandbox::Sandbox;
use kit::servers::opensearch::{OpenSearch, Variant};
use serde_json::{Value, json};

/// Where a row can be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    /// Every server without security: that plugin leaves bodies as they are.
    Any,
    /// Servers with every module of the distribution: 3.8.
    Full,
    /// Servers with vector search.
    Vectors,
    /// Servers with the security plugin.
    Secured,
    /// Servers behind the stand-in for index management.
    Managed,
}

impl On {
    fn has(self, variant: Variant) -> bool {
        match self {
            Self::Full => variant == Variant::Core3,
            Self::Vectors => variant == Variant::Knn3,
            Self::Secured => variant.secured(),
            Self::Any | Self::Managed => !variant.secured(),
        }
    }
}

/// An index with one field.
fn field(name: &str, field: Value) -> (On, String, Value) {
    mappings(name, json!({"properties": {"f": field}}))
}

fn mappings(name: &str, mappings: Value) -> (On, String, Value) {
    (On::Any, format!("indices/row-{name}.json"), json!({"settings": {"number_of_replicas": 0}, "mappings": mappings}))
}

fn settings(name: &str, settings: Value) -> (On, String, Value) {
    (On::Any, format!("indices/row-{name}.json"), json!({"settings": settings}))
}

/// An index with one vector.
fn vector(name: &str, extra: Value) -> (On, String, Value) {
    let mut field = json!({"type": "knn_vector", "dimension": 8});
    field.as_object_mut().expect("an object").extend(extra.as_object().cloned().expect("an object"));
    let body =
        json!({"settings": {"number_of_replicas": 0, "index.knn": true}, "mappings": {"properties": {"f": field}}});
    (On::Vectors, format!("indices/row-vector-{name}.json"), body)
}

/// A policy with one action in its one state.
fn action(name: &str, action: Value) -> (On, String, Value) {
    policy(name, json!({"name": "hot", "actions": [action], "transitions": []}))
}

fn policy(name: &str, state: Value) -> (On, String, Value) {
    let body = json!({"policy": {"description": "d", "default_state": "hot", "states": [state]}});
    (On::Managed, format!("ism_policies/row-{name}.json"), body)
}

fn file(on: On, path: &str, body: Value) -> (On, String, Value) {
    (on, path.to_owned(), body)
}

fn on(on: On, row: (On, String, Value)) -> (On, String, Value) {
    (on, row.1, row.2)
}

#[rustfmt::skip]
fn rows() -> Vec<(On, String, Value)> {
    vec![
        mappings("dotted", json!({"properties": {"host.name": {"type": "keyword"}, "host.ip": {"type": "ip"}}})),
        field("dotted-nested", json!({"type": "nested", "properties": {"a.b": {"type": "keyword"}}})),
        field("scaled-float", json!({"type": "scaled_float", "scaling_factor": 100})),
        field("null-value", json!({"type": "float", "null_value": 1})),
        field("boost", json!({"type": "text", "boost": 2})),
        field("date-nanos", json!({"type": "date_nanos", "format": "strict_date_optional_time_nanos"})),
        field("date-nanos-default", json!({"type": "date_nanos", "format": "strict_date_optional_time||epoch_millis"})),
        mappings("routing", json!({"_routing": {"required": false}, "properties": {"a": {"type": "keyword"}}})),
        mappings("source-excludes", json!({"_source": {"excludes": []}})),
        mappings("source-includes", json!({"_source": {"excludes": [], "includes": []}})),
        mappings("source-enabled", json!({"_source": {"enabled": true}})),
        field("binary", json!({"type": "binary", "doc_values": false})),
        field("index-prefixes", json!({"type": "text", "index_prefixes": {}})),
        field("search-analyzer", json!({"type": "text", "analyzer": "standard", "search_analyzer": "standard"})),
        field("search-quote-analyzer", json!({"type": "text", "analyzer": "standard", "search_quote_analyzer": "standard"})),
        mappings("match-pattern", json!({"dynamic_templates": [{"s": {"match": "a*", "match_pattern": "simple", "mapping": {"type": "keyword"}}}]})),
        mappings("match-mapping-type", json!({"dynamic_templates": [{"s": {"match": "a*", "match_mapping_type": "*", "mapping": {"type": "keyword"}}}]})),
        mappings("derived", json!({"properties": {"a": {"type": "keyword"}}, "derived": {"d": {"type": "keyword", "script": {"source": "emit(params._source.a)"}}}})),
        field("rank-feature", json!({"type": "rank_feature", "positive_score_impact": true})),
        field("completion", json!({"type": "completion", "contexts": [{"name": "c", "type": "category"}]})),
        on(On::Full, field("geo-shape-ccw", json!({"type": "geo_shape", "orientation": "ccw"}))),
        on(On::Full, field("geo-shape-left", json!({"type": "geo_shape", "orientation": "left"}))),
        field("frequency-filter", json!({"type": "text", "fielddata": true, "fielddata_frequency_filter": {"min": 0.01}})),
        on(On::Full, field("join-one", json!({"type": "join", "relations": {"q": ["a"]}}))),
        on(On::Full, field("join-many", json!({"type": "join", "relations": {"q": ["z", "a", "m"], "z": "b"}}))),
        file(On::Full, "indices/row-star-tree.json", json!({
            "settings": {"number_of_replicas": 0, "index.composite_index": true, "index.append_only.enabled": true},
            "mappings": {"composite": {"st": {"type": "star_tree", "config": {"ordered_dimensions": [{"name": "s"}, {"name": "p"}], "metrics": [{"name": "n", "stats": ["sum"]}]}}},
                "properties": {"s": {"type": "integer"}, "p": {"type": "integer"}, "n": {"type": "integer"}}}})),
        field("object", json!({"type": "object", "properties": {"a": {"type": "long"}}})),
        field("object-alone", json!({"type": "object"})),
        field("object-disabled", json!({"type": "object", "enabled": false})),
        field("keyword-words", json!({"type": "keyword", "index": "true", "doc_values": true, "norms": false, "ignore_above": "256"})),
        field("text-fields", json!({"type": "text", "fields": {"k": {"type": "keyword", "ignore_above": 256}}, "copy_to": "g"})),
        field("alias-types", json!({"type": "long", "coerce": true, "ignore_malformed": false, "store": false})),
        mappings("dynamic", json!({"dynamic": false, "date_detection": false, "numeric_detection": false})),
        on(On::Full, mappings("disabled-objects", json!({"disable_objects": true, "properties": {"a.b": {"type": "long"}}}))),
        vector("method", json!({"method": {"name": "hnsw"}})),
        vector("engine", json!({"method": {"name": "hnsw", "engine": "lucene"}})),
        vector("space", json!({"space_type": "l2", "method": {"name": "hnsw", "space_type": "l2", "engine": "faiss"}})),
        vector("parameters", json!({"method": {"name": "hnsw", "engine": "faiss", "parameters": {"m": 24}}})),
        vector("float", json!({"data_type": "float"})),
        vector("byte", json!({"data_type": "byte", "method": {"name": "hnsw", "engine": "lucene"}})),
        vector("binary", json!({"data_type": "binary", "space_type": "hamming", "method": {"name": "hnsw", "engine": "faiss"}})),
        vector("not-indexed", json!({"index": false})),
        vector("on-disk", json!({"mode": "on_disk"})),
        settings("auto-expand", json!({"number_of_replicas": 1, "auto_expand_replicas": "0-1"})),
        settings("refresh-null", json!({"number_of_replicas": 0, "refresh_interval": null})),
        settings("active-shards", json!({"number_of_replicas": 1, "index.write.wait_for_active_shards": 2})),
        file(On::Any, "indices/row-alias.json", json!({"settings": {"number_of_replicas": 0}, "aliases": {"row-a": {"filter": {"term": {"x": 1}}, "routing": "1"}}})),
        file(On::Any, "index_templates/row-words.json", json!({"index_patterns": "row-t-*", "priority": "100", "version": "3", "template": {"settings": {"number_of_shards": 1}}})),
        file(On::Any, "component_templates/row-words.json", json!({"version": "3", "template": {"mappings": {"properties": {"f": {"type": "scaled_float", "scaling_factor": 100}}}}})),
        action("alias", json!({"alias": {"actions": [{"add": {"alias": "log"}}, {"remove": {"aliases": ["old"]}}]}})),
        action("rollup", json!({"rollup": {"ism_rollup": {"description": "r", "target_index": "t", "page_size": 200,
            "dimensions": [{"date_histogram": {"calendar_interval": "1h", "source_field": "ts"}}, {"terms": {"source_field": "k"}}],
            "metrics": [{"source_field": "m", "metrics": [{"sum": {}}]}]}}})),
        action("transform", json!({"transform": {"ism_transform": {"description": "t", "target_index": "t2", "page_size": 100, "data_selection_query": {"match_all": {}},
            "groups": [{"terms": {"source_field": "k"}}], "aggregations": {"q": {"sum": {"field": "m"}}}}}})),
        action("wait-for", json!({"allocation": {"require": {"temp": "warm"}, "wait_for": "false"}})),
        policy("age", json!({"name": "hot", "actions": [], "transitions": [{"state_name": "hot", "conditions": {"min_index_age": "30D"}}]})),
        file(On::Managed, "transforms/row-job.json", json!({"transform": {"description": "d", "schedule": {"interval": {"period": 5, "unit": "MINUTES"}},
            "source_index": "row-scaled-float", "target_index": "row-target", "page_size": 10, "groups": [{"terms": {"source_field": "k"}}], "aggregations": {"q": {"sum": {"field": "m"}}}}})),
        file(On::Managed, "rollups/row-rollup-job.json", json!({"rollup": {"enabled": false, "description": "d", "schedule": {"interval": {"period": 1, "unit": "Hours"}},
            "source_index": "row-scaled-float", "target_index": "row-rolled", "page_size": 200, "delay": 0, "continuous": false,
            "dimensions": [{"date_histogram": {"source_field": "ts", "fixed_interval": "60m"}}, {"terms": {"source_field": "k"}}],
            "metrics": [{"source_field": "m", "metrics": [{"avg": {}}, {"sum": {}}]}]}})),
        file(On::Secured, "internal_users/row-number.json", json!({"password": "$__env{ROW}", "attributes": {"n": 1, "b": true}})),
        file(On::Secured, "internal_users/row-service.json", json!({"attributes": {"service": "true", "enabled": "true"}})),
        file(On::Secured, "roles/row-empty.json", json!({"cluster_permissions": []})),
        file(On::Secured, "roles_mapping/row-empty.json", json!({"users": []})),
    ]
}

#[test]
fn what_is_printed_otherwise_is_unchanged() {
    Variant::each(&Variant::ALL, |variant| {
        let node = OpenSearch::of(variant).plain_http().start();
        let front = (!variant.secured()).then(|| IsmFront::of(&node));
        let bare = front.is_none().then(|| HttpProxy::to(&node.url()));
        let proxy = front.as_ref().map_or_else(|| bare.as_ref().expect("one of them is there"), IsmFront::proxy);
        let prepared = |sandbox: Sandbox| {
            let sandbox = sandbox.env("OPENSEARCH_URL", proxy.url()).env("ROW", "Granite-Otter-91-x!");
            if !variant.secured() {
                return sandbox;
            }
            sandbox.env("OPENSEARCH_USERNAME", OpenSearch::ADMIN.0).env("OPENSEARCH_PASSWORD", OpenSearch::ADMIN.1)
        };
        let mut sandbox = prepared(Sandbox::new("os-init"));
        let rows: Vec<_> = rows().into_iter().filter(|(on, ..)| on.has(variant)).collect();
        for (_, path, body) in &rows {
            sandbox.write(path, body.to_string());
        }
        let first = sandbox.run(&[]);
        first.expect_code(0);
        assert_eq!(first.count("created"), rows.len() as u64, "{} {first}", variant.name());
        proxy.clear();
        let second = sandbox.run(&[]);
        second.expect_code(0);
        assert_eq!(proxy.writes(), [""; 0], "{} {second}", variant.name());
        assert_eq!(second.count("unchanged"), rows.len() as u64, "{} {second}", variant.name());
        sandbox.run(&["plan"]).expect_code(0);
        // Everything again, as the server tells it.
        let exported = sandbox.path("exported");
        let mut arguments = vec!["export".to_owned(), exported.display().to_string()];
        let kinds: std::collections::BTreeSet<&str> =
            rows.iter().map(|(_, path, _)| path.split('/').next().expect("a folder")).collect();
        for kind in kinds {
            arguments.extend(["--kind".to_owned(), kind.to_owned()]);
        }
        sandbox.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).expect_code(0);
        sandbox.set("INTERNAL_USERS_ROW_NUMBER_PASSWORD", "Granite-Otter-91-x!");
        sandbox.set("INTERNAL_USERS_LIMITED_PASSWORD", OpenSearch::LIMITED.1);
        sandbox.set("CONFIG_DIR", exported.display().to_string());
        let last = sandbox.run(&["plan"]);
        last.expect_code(0);
        assert_eq!(proxy.writes(), [""; 0], "{} {last}", variant.name());
    });
}
