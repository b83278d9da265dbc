//! os-init on real nodes, old and new: the main job, started before the server, twice in a row, and what the files cannot change.

use std::time::Duration;

use kit::proxy::HttpProxy;
use kit::sandbox::Sandbox;
use kit::servers::opensearch::{OpenSearch, Variant};
use serde_json::{Value, json};

const CORES: [Variant; 2] = [Variant::Core2, Variant::Core3];

/// What a small observability stack would declare; names start with `prefix`, so that cases can share a node.
fn stack(prefix: &str) -> Vec<(String, Value)> {
    let mut files = vec![
        (
            format!("component_templates/{prefix}-base.json"),
            json!({"template": {"settings": {"number_of_shards": 1, "number_of_replicas": 0, "index": {"refresh_interval": "5s"}}}, "version": 2}),
        ),
        (
            format!("ingest_pipelines/{prefix}-clean.json"),
            json!({"description": "d", "processors": [{"set": {"field": "a", "value": 1}}]}),
        ),
        (
            format!("indices/{prefix}-web-000001.json"),
            json!({"aliases": {format!("{prefix}-web"): {"is_write_index": true}}, "settings": {"default_pipeline": format!("{prefix}-clean")},
                "mappings": {"dynamic": false, "properties": {"d": {"type": "date", "format": "strict_date_optional_time||epoch_millis"},
                    "k": {"type": "keyword", "copy_to": "t", "doc_values": true}, "t": {"type": "text", "norms": true},
                    "o": {"type": "object", "properties": {"n": {"type": "long", "index": true}}}}}}),
        ),
        (format!("data_streams/{prefix}-ds-one.json"), json!({})),
        (
            format!("aliases/{prefix}-all.json"),
            json!({"indices": {format!("{prefix}-web-000001"): {"filter": {"term": {"k": "x"}}, "routing": "1"}}}),
        ),
        (
            format!("scripts/{prefix}-add.json"),
            json!({"script": {"lang": "painless", "source": "ctx._source.n += params.c"}}),
        ),
        (
            format!("index_templates/{prefix}-ds.json"),
            json!({"index_patterns": [format!("{prefix}-ds-*")], "data_stream": {}, "composed_of": [format!("{prefix}-base")], "priority": 60}),
        ),
    ];
    for number in 0..20 {
        files.push((
            format!("index_templates/{prefix}-t{number:02}.json"),
            json!({"index_patterns": format!("{prefix}-t{number:02}-*"), "composed_of": [format!("{prefix}-base")], "priority": 50,
                "template": {"settings": {"index.mapping.total_fields.limit": 1000 + number}, "aliases": {format!("{prefix}-t"): {"routing": "r"}}},
                "_meta": {"number": number}}),
        ));
    }
    files
}

fn sandbox(url: &str, files: &[(String, Value)]) -> Sandbox {
    let sandbox = Sandbox::new("os-init").env("OPENSEARCH_URL", url);
    for (path, body) in files {
        sandbox.write(path, format!("{body:#}"));
    }
    sandbox
}

/// Acceptance scenario 1, second run, in short; with every kind in `faults_os_init_edits`.
#[test]
fn val_spc_101_a_second_run_exits_0_and_writes_nothing() {
    for variant in Variant::usable(&CORES) {
        let node = OpenSearch::shared(variant);
        let proxy = HttpProxy::to(&node.url());
        let files = stack("twice");
        let sandbox = sandbox(&proxy.url(), &files);
        let plan = sandbox.run(&["plan"]);
        plan.expect_code(2);
        assert_eq!(proxy.writes(), [""; 0], "plan never writes");
        let first = sandbox.run(&[]);
        first.expect_code(0);
        assert_eq!(first.count("created"), files.len() as u64, "{first}");
        assert_eq!(first.count("writes"), files.len() as u64, "one write for each object: {first}");
        proxy.clear();
        let second = sandbox.run(&[]);
        second.expect_code(0);
        assert_eq!(proxy.writes(), [""; 0], "{second}");
        assert!(proxy.requests() <= 3 + 2 * 7, "at most two requests a kind: {second}");
    }
}

/// Acceptance scenario 5, cold start; with security in `os_init_security`. The cases that cannot share a node come after it on the same one.
#[test]
fn val_spc_102_started_first_it_waits_for_the_server_and_succeeds() {
    Variant::each(&[Variant::Core2, Variant::Core3, Variant::Knn3], |variant| {
        let node = OpenSearch::of(variant).cold();
        let sandbox = sandbox(&node.url(), &stack("cold")).deadline(Duration::from_mins(3));
        let mut running = sandbox.spawn(&[]);
        kit::eventually(Duration::from_secs(10), || running.stderr_so_far().contains("connection refused"));
        assert!(running.running(), "it blocks while nothing listens");
        node.launch();
        let run = running.wait();
        run.expect_code(0);
        assert!(run.count("wait_ms") > 500, "{run}");
        assert_eq!(node.curl("GET", "/_index_template/cold-t00", None).0, 200);
        a_hidden_index_is_exported(&node);
        if variant == Variant::Knn3 {
            a_setting_is_not_its_namesakes_beginning(&node);
        } else {
            a_catch_all_template_is_no_obstacle(&node);
        }
    });
}

#[test]
fn val_spc_103_after_exit_0_each_declared_resource_answers_200() {
    for variant in Variant::usable(&CORES) {
        let node = OpenSearch::shared(variant);
        let files = stack("there");
        sandbox(&node.url(), &files).run(&[]).expect_code(0);
        for (path, _) in files {
            let (kind, name) = path.trim_end_matches(".json").split_once('/').expect("kind and name");
            let api = match kind {
                "component_templates" => "_component_template/",
                "index_templates" => "_index_template/",
                "ingest_pipelines" => "_ingest/pipeline/",
                "data_streams" => "_data_stream/",
                "aliases" => "_alias/",
                "scripts" => "_scripts/",
                _ => "",
            };
            assert_eq!(node.curl("GET", &format!("/{api}{name}"), None).0, 200, "{path}");
        }
    }
}

/// Acceptance scenario 2, edit detection, in short; every file of a large set in `faults_os_init_edits`.
#[test]
fn one_edit_is_one_write_and_restoring_it_is_one_more() {
    for variant in Variant::usable(&CORES) {
        let node = OpenSearch::shared(variant);
        let proxy = HttpProxy::to(&node.url());
        let files = stack("edit");
        let sandbox = sandbox(&proxy.url(), &files);
        sandbox.run(&[]).expect_code(0);
        let edits: [(&str, &str, Value); 7] = [
            ("component_templates/edit-base.json", "/version", json!(3)),
            ("component_templates/edit-base.json", "/template/settings/index/refresh_interval", json!("7s")),
            ("index_templates/edit-t00.json", "/_meta/number", json!("zero")),
            ("index_templates/edit-t00.json", "/template/aliases/edit-t/routing", json!("s")),
            ("ingest_pipelines/edit-clean.json", "/processors/0/set/value", json!(2)),
            ("aliases/edit-all.json", "/indices/edit-web-000001/filter/term/k", json!("y")),
            ("scripts/edit-add.json", "/script/source", json!("ctx._source.n -= params.c")),
        ];
        for (path, pointer, value) in edits {
            let (_, body) = files.iter().find(|(known, _)| known == path).expect("a file of the stack");
            let mut edited = body.clone();
            *edited.pointer_mut(pointer).expect("a leaf of it") = value;
            for text in [&edited, body] {
                sandbox.write(path, text.to_string());
                proxy.clear();
                let run = sandbox.run(&[]);
                run.expect_code(0);
                assert_eq!(proxy.writes().len(), 1, "{path} {pointer}: {run}");
                assert_eq!(run.count("updated"), 1, "{run}");
            }
        }
    }
}

#[test]
fn a_key_that_leaves_the_file_leaves_the_server_where_a_write_replaces() {
    for variant in Variant::usable(&CORES) {
        let node = OpenSearch::shared(variant);
        let sandbox = sandbox(&node.url(), &[]);
        sandbox.write(
            "component_templates/gone.json",
            json!({"template": {}, "version": 1, "_meta": {"a": 1}}).to_string(),
        );
        sandbox.run(&[]).expect_code(0);
        sandbox.write("component_templates/gone.json", json!({"template": {}, "version": 1}).to_string());
        sandbox.run(&[]).expect_code(0);
        let answer = node.get("/_component_template/gone");
        assert!(answer.pointer("/component_templates/0/component_template/_meta").is_none(), "{answer}");
    }
}

#[test]
fn settings_mappings_and_aliases_of_an_index_change_in_place() {
    for variant in Variant::usable(&CORES) {
        let node = OpenSearch::shared(variant);
        let proxy = HttpProxy::to(&node.url());
        let sandbox = sandbox(&proxy.url(), &[]);
        let body = |interval: &str, field: &str, alias: &str| {
            json!({"settings": {"refresh_interval": interval, "number_of_replicas": 0},
                "mappings": {"properties": {field: {"type": "keyword"}}}, "aliases": {alias: {}}})
            .to_string()
        };
        sandbox.write("indices/place.json", body("1s", "a", "place-a"));
        sandbox.run(&[]).expect_code(0);
        let uuid = node.get("/place")["place"]["settings"]["index"]["uuid"].clone();
        for (interval, field, alias, writes) in
            [("9s", "a", "place-a", 1), ("9s", "b", "place-a", 1), ("9s", "b", "place-b", 1), ("1s", "c", "place-c", 3)]
        {
            sandbox.write("indices/place.json", body(interval, field, alias));
            proxy.clear();
            let run = sandbox.run(&[]);
            run.expect_code(0);
            assert_eq!(proxy.writes().len(), writes, "{run}");
        }
        let answer = node.get("/place");
        assert_eq!(answer["place"]["settings"]["index"]["uuid"], uuid);
        assert_eq!(
            answer["place"]["mappings"]["properties"].as_object().map(serde_json::Map::len),
            Some(3),
            "nothing is removed"
        );
    }
}

/// Acceptance scenario 8, immutable change.
#[test]
fn what_an_index_keeps_for_good_is_drift_and_nothing_is_written() {
    for variant in Variant::usable(&CORES) {
        let node = OpenSearch::shared(variant);
        node.put("/good", &json!({"settings": {"number_of_shards": 1, "number_of_replicas": 0}, "mappings": {"properties": {"f": {"type": "keyword"}}}}));
        node.put("/good/_doc/1?refresh=true", &json!({"f": "x"}));
        let uuid = node.get("/good")["good"]["settings"]["index"]["uuid"].clone();
        let proxy = HttpProxy::to(&node.url());
        let mut sandbox = sandbox(&proxy.url(), &[]);
        sandbox.write(
            "indices/good.json",
            json!({"settings": {"number_of_shards": 3, "refresh_interval": "8s"}, "mappings": {"properties": {"f": {"type": "text"}}}}).to_string(),
        );
        sandbox.write("component_templates/good.json", json!({"template": {}}).to_string());
        let run = sandbox.run(&[]);
        run.expect_code(1);
        assert_eq!(run.field("exit_reason"), "drift");
        run.expect_stderr(r#"/settings/index/number_of_shards: \"1\" -> \"3\" (cannot be changed in place)"#);
        run.expect_stderr(r#"/mappings/properties/f/type: \"keyword\" -> \"text\" (cannot be changed in place)"#);
        assert_eq!(proxy.writes(), [""; 0]);
        sandbox.set("ON_DRIFT", "warn");
        let run = sandbox.run(&[]);
        run.expect_code(0);
        assert_eq!(run.count("drifted"), 1, "{run}");
        assert_eq!(run.count("created"), 1, "{run}");
        let answer = node.get("/good");
        assert_eq!(answer["good"]["settings"]["index"]["uuid"], uuid);
        assert_eq!(answer["good"]["settings"]["index"]["refresh_interval"], "8s", "what can change does");
        assert_eq!(node.get("/good/_count")["count"], 1);
        proxy.clear();
        sandbox.run(&[]).expect_code(0);
        assert_eq!(proxy.writes(), [""; 0]);
        // Leaves the shared node without it.
        node.curl("DELETE", "/good", None);
    }
}

/// Acceptance scenario 7, rolled-over alias.
#[test]
fn a_series_that_has_rolled_over_is_satisfied() {
    for variant in Variant::usable(&CORES) {
        let node = OpenSearch::shared(variant);
        let proxy = HttpProxy::to(&node.url());
        let sandbox = sandbox(&proxy.url(), &[]);
        let body = json!({"aliases": {"rolled": {"is_write_index": true}}, "settings": {"number_of_replicas": 0, "refresh_interval": "3s"}});
        sandbox.write("indices/rolled-000001.json", body.to_string());
        let dated = json!({"aliases": {"dated": {"is_write_index": true}}, "settings": {"number_of_replicas": 0}});
        sandbox.write("indices/%3Cdated-%7Bnow%2Fd%7D-000001%3E.json", dated.to_string());
        sandbox.run(&[]).expect_code(0);
        node.curl("POST", "/rolled/_rollover", Some(&json!({})));
        node.curl("POST", "/dated/_rollover", Some(&json!({})));
        node.curl("DELETE", "/rolled-000001", None);
        proxy.clear();
        let run = sandbox.run(&[]);
        run.expect_code(0);
        assert_eq!(proxy.writes(), [""; 0], "{run}");
        assert_eq!(node.curl("HEAD", "/rolled-000001", None).0, 404);
    }
}

/// Acceptance scenario 7, an index that has the alias's name.
#[test]
fn an_index_of_the_aliass_name_is_explained() {
    for variant in Variant::usable(&CORES) {
        let node = OpenSearch::shared(variant);
        node.put("/taken", &json!({"settings": {"number_of_replicas": 0}}));
        let proxy = HttpProxy::to(&node.url());
        let sandbox = sandbox(&proxy.url(), &[]);
        sandbox.write("indices/taken-000001.json", json!({"aliases": {"taken": {"is_write_index": true}}}).to_string());
        let run = sandbox.run(&[]);
        run.expect_code(1).expect_stderr("taken should be an alias, but an index has that name");
        sandbox.remove("indices/taken-000001.json");
        sandbox.write("aliases/taken.json", json!({"indices": {"taken": {}}}).to_string());
        sandbox.run(&[]).expect_code(1).expect_stderr("an index is called taken, so no alias can be");
        assert_eq!(proxy.writes(), [""; 0]);
        node.curl("DELETE", "/taken", None);
    }
}

#[test]
fn what_the_server_would_refuse_is_found_before_the_first_write() {
    for variant in Variant::usable(&CORES) {
        let node = OpenSearch::shared(variant);
        node.put("/_index_template/claimed", &json!({"index_patterns": ["claimed-*"], "priority": 7}));
        node.put("/_index_template/swap-a", &json!({"index_patterns": ["swap-*"], "priority": 1}));
        node.put("/_index_template/swap-b", &json!({"index_patterns": ["swap-*"], "priority": 2}));
        let proxy = HttpProxy::to(&node.url());
        let cases = [
            (
                "ingest_pipelines/x.json",
                json!({"processors": [{"nope": {}}]}),
                "No processor type exists with name [nope]",
            ),
            (
                "component_templates/x.json",
                json!({"template": {"settings": {"index.nonsense": 1}}}),
                "unknown setting [index.nonsense]",
            ),
            ("component_templates/x.json", json!({"templates": {}}), "did you mean template?"),
            (
                "component_templates/x.json",
                json!({"template": {"mappings": {"properties": {"a": {"type": "nope"}}}}}),
                "No handler for type [nope]",
            ),
            ("index_templates/x.json", json!({"index_patterns": ["x-*"], "composed_of": ["nowhere"]}), "nowhere"),
            (
                "index_templates/x.json",
                json!({"index_patterns": ["claimed-x-*"], "priority": 7}),
                "overlaps claimed-* of claimed with the same priority 7",
            ),
            ("data_streams/x-stream.json", json!({}), "no index template with data_stream matches"),
            (
                "aliases/x.json",
                json!({"indices": {"no-such-index": {}}}),
                "the index no-such-index is neither declared nor on the server",
            ),
            ("roles/x.json", json!({"cluster_permissions": ["cluster_all"]}), "does not have the security plugin"),
            (
                "ism_policies/x.json",
                json!({"policy": {"default_state": "a", "states": [{"name": "a"}]}}),
                "does not have the index-management plugin",
            ),
        ];
        for (path, body, words) in cases {
            let sandbox = sandbox(&proxy.url(), &[]);
            sandbox.write(path, body.to_string());
            sandbox.write("component_templates/good-one.json", json!({"template": {}}).to_string());
            let run = sandbox.run(&[]);
            run.expect_code(1);
            assert!(run.field("error").as_str().is_some_and(|error| error.contains(words)), "{words}: {run}");
            assert_eq!(proxy.writes(), [""; 0], "{path}: {run}");
        }
        let sandbox = sandbox(&proxy.url(), &[]);
        sandbox.write("index_templates/swap-a.json", json!({"index_patterns": ["swap-*"], "priority": 2}).to_string());
        sandbox.write("index_templates/swap-b.json", json!({"index_patterns": ["swap-*"], "priority": 1}).to_string());
        sandbox.run(&[]).expect_code(1).expect_stderr("in a second run");
        assert_eq!(proxy.writes(), [""; 0]);
    }
}

#[test]
fn what_the_server_drops_is_named() {
    for variant in Variant::usable(&CORES) {
        let node = OpenSearch::shared(variant);
        let sandbox = sandbox(&node.url(), &[]);
        // A routing that is no string is accepted and lost.
        sandbox.write(
            "component_templates/lost.json",
            json!({"template": {"aliases": {"l": {"routing": 1}}}}).to_string(),
        );
        sandbox.run(&[]).expect_code(1).expect_stderr("the server did not keep /template/aliases/l/index_routing");
    }
}

/// Somebody's catch-all template stands in nobody's way, and can be edited.
fn a_catch_all_template_is_no_obstacle(node: &OpenSearch) {
    let sandbox = sandbox(&node.url(), &[]);
    for interval in ["5s", "10s"] {
        let body = json!({"index_patterns": ["*"], "priority": 0, "template": {"settings": {"number_of_replicas": 0, "refresh_interval": interval}}});
        sandbox.write("index_templates/default.json", body.to_string());
        sandbox.run(&[]).expect_code(0);
    }
    sandbox
        .write("component_templates/late.json", json!({"template": {"settings": {"number_of_shards": 1}}}).to_string());
    sandbox.run(&[]).expect_code(0);
    // Not even one of the highest priority.
    sandbox.remove("index_templates/default.json");
    node.curl("DELETE", "/_data_stream/cold-ds-one", None);
    node.put(
            "/_index_template/top",
            &json!({"index_patterns": ["*"], "priority": 9_007_199_254_740_991_u64, "template": {"settings": {"number_of_replicas": 0}}}),
        );
    sandbox.write(
        "component_templates/later.json",
        json!({"template": {"settings": {"number_of_shards": 1}}}).to_string(),
    );
    sandbox.run(&[]).expect_code(0);
}

/// The documented bootstrap: everything but the alias comes from the template.
#[test]
fn a_series_without_settings_goes_on_after_its_first_rollover() {
    for variant in Variant::usable(&CORES) {
        let node = OpenSearch::shared(variant);
        node.put(
            "/_index_template/bare",
            &json!({"index_patterns": ["bare-0*"], "priority": 3, "template": {"settings": {"number_of_replicas": 0}}}),
        );
        let proxy = HttpProxy::to(&node.url());
        let sandbox = sandbox(&proxy.url(), &[]);
        sandbox.write("indices/bare-000001.json", json!({"aliases": {"bare": {"is_write_index": true}}}).to_string());
        sandbox.run(&[]).expect_code(0);
        node.curl("POST", "/bare/_rollover", Some(&json!({})));
        for gone in [false, true] {
            if gone {
                node.curl("DELETE", "/bare-000001", None);
            }
            proxy.clear();
            let run = sandbox.run(&[]);
            run.expect_code(0);
            assert_eq!(proxy.writes(), [""; 0], "{run}");
        }
    }
}

#[test]
fn what_can_change_does_beside_what_cannot() {
    for variant in Variant::usable(&CORES) {
        let node = OpenSearch::shared(variant);
        node.put(
            "/half",
            &json!({"settings": {"number_of_replicas": 0}, "mappings": {"properties": {"a": {"type": "keyword"}}}}),
        );
        let mut sandbox = sandbox(&node.url(), &[]);
        let body =
            json!({"mappings": {"properties": {"a": {"type": "text"}, "b": {"type": "long"}, "o.c": {"type": "ip"}}}});
        sandbox.write("indices/half.json", body.to_string());
        sandbox.set("ON_DRIFT", "warn");
        let run = sandbox.run(&[]);
        run.expect_code(0);
        let fields = &node.get("/half")["half"]["mappings"]["properties"];
        assert_eq!((&fields["a"]["type"], &fields["b"]["type"]), (&json!("keyword"), &json!("long")), "{run}");
        assert_eq!(fields["o"]["properties"]["c"]["type"], "ip");
        node.curl("DELETE", "/half", None);
    }
}

/// Neither setting is among those that are known beforehand.
#[test]
fn a_setting_that_only_the_server_knows_to_be_kept_is_drift() {
    for variant in Variant::usable(&CORES) {
        let node = OpenSearch::shared(variant);
        let proxy = HttpProxy::to(&node.url());
        let mut sandbox = sandbox(&proxy.url(), &[]);
        let names = ["kept-1", "kept-2"];
        for name in names {
            node.put(&format!("/{name}"), &json!({"settings": {"number_of_replicas": 0}}));
            let body = json!({"settings": {"index.queries.cache.enabled": false, "index.mapping.coerce": false, "refresh_interval": "7s"},
                "mappings": {"properties": {"b": {"type": "long"}}}, "aliases": {"kept": {}}});
            sandbox.write(&format!("indices/{name}.json"), body.to_string());
        }
        let failed = sandbox.run(&[]);
        failed.expect_code(1).expect_stderr("take the server's value into the file");
        failed.expect_stderr(
            r#"/settings/index/queries/cache/enabled: (absent) -> \"false\" (cannot be changed in place)"#,
        );
        failed.expect_stderr(r#"/settings/index/mapping/coerce: (absent) -> \"false\" (cannot be changed in place)"#);
        assert_eq!(failed.field("exit_reason"), "drift", "{failed}");
        assert_eq!(proxy.writes().len(), 2, "each is refused once: {failed}");
        assert_eq!(node.get("/kept-1")["kept-1"]["mappings"], json!({}));
        sandbox.set("ON_DRIFT", "warn");
        for rest in [6, 0] {
            proxy.clear();
            let left = sandbox.run(&[]);
            left.expect_code(0);
            assert_eq!(left.count("drifted"), 2, "{left}");
            assert_eq!(proxy.writes().len(), 2 + rest, "settings, mappings and aliases of both: {left}");
            for name in names {
                let held = &node.get(&format!("/{name}"))[name];
                assert_eq!(held["settings"]["index"]["refresh_interval"], "7s");
                assert_eq!(held["mappings"]["properties"]["b"]["type"], "long");
                assert_eq!(held["aliases"]["kept"], json!({}));
            }
        }
        node.curl("DELETE", "/kept-1,kept-2", None);
    }
}

/// A setting whose name another one's begins with is not sent along.
fn a_setting_is_not_its_namesakes_beginning(node: &OpenSearch) {
    let proxy = HttpProxy::to(&node.url());
    let sandbox = sandbox(&proxy.url(), &[]);
    for search in [100, 200] {
        let body =
            json!({"settings": {"number_of_replicas": 0, "index.knn": true, "index.knn.algo_param.ef_search": search}});
        sandbox.write("indices/vectors.json", body.to_string());
        sandbox.run(&[]).expect_code(0);
    }
    assert_eq!(proxy.writes().len(), 2);
}

#[test]
fn an_alias_leaves_an_index_by_null() {
    for variant in Variant::usable(&CORES) {
        let node = OpenSearch::shared(variant);
        for index in ["swap-v1", "swap-v2"] {
            node.put(&format!("/{index}"), &json!({"settings": {"number_of_replicas": 0}}));
        }
        let proxy = HttpProxy::to(&node.url());
        let sandbox = sandbox(&proxy.url(), &[]);
        sandbox.write("aliases/swapped.json", json!({"indices": {"swap-v1": {"is_write_index": true}}}).to_string());
        sandbox.run(&[]).expect_code(0);
        let swap = json!({"indices": {"swap-v1": null, "swap-v2": {"is_write_index": true}, "swap-v0": null}});
        sandbox.write("aliases/swapped.json", swap.to_string());
        proxy.clear();
        let run = sandbox.run(&[]);
        run.expect_code(0);
        assert_eq!(proxy.writes().len(), 1, "one atomic request: {run}");
        let answer = node.get("/_alias/swapped");
        assert_eq!(answer.as_object().map(|found| found.keys().collect::<Vec<_>>()), Some(vec![&"swap-v2".to_owned()]));
        proxy.clear();
        sandbox.run(&[]).expect_code(0);
        assert_eq!(proxy.writes(), [""; 0]);
        for index in ["swap-v1", "swap-v2"] {
            node.curl("DELETE", &format!("/{index}"), None);
        }
    }
}

/// On a fresh cluster nothing is there yet that the server could compose with.
#[test]
fn nothing_is_written_where_new_parts_do_not_fit_together() {
    for variant in Variant::usable(&CORES) {
        let node = OpenSearch::shared(variant);
        let proxy = HttpProxy::to(&node.url());
        let component = |field: Value| json!({"template": {"mappings": {"properties": {"a": field}}}});
        let cases = [
            vec![
                ("component_templates/fit-one.json", component(json!({"type": "keyword"}))),
                ("component_templates/fit-two.json", component(json!({"properties": {"b": {"type": "long"}}}))),
                (
                    "index_templates/fit.json",
                    json!({"index_patterns": ["fit-*"], "priority": 71, "composed_of": ["fit-one", "fit-two"]}),
                ),
            ],
            vec![("indices/fit-codec.json", json!({"settings": {"codec": "nope"}}))],
            vec![("indices/fit-type.json", json!({"mappings": {"properties": {"a": {"type": "nope"}}}}))],
            vec![(
                "indices/fit-analyzer.json",
                json!({"mappings": {"properties": {"a": {"type": "text", "analyzer": "mine"}}}}),
            )],
            vec![("scripts/fit.json", json!({"script": {"lang": "mustache", "source": "{\"query\": {{#a}} }"}}))],
        ];
        for files in cases {
            let sandbox = sandbox(&proxy.url(), &[]);
            for (path, body) in &files {
                sandbox.write(path, body.to_string());
            }
            proxy.clear();
            let run = sandbox.run(&[]);
            run.expect_code(1).expect_stderr("the server would refuse it");
            assert_eq!(proxy.writes(), [""; 0], "{run}");
        }
        // What a template brings along is there for the index.
        let sandbox = sandbox(&proxy.url(), &[]);
        let analysis = json!({"analyzer": {"mine": {"type": "custom", "tokenizer": "standard"}}});
        sandbox.write(
            "index_templates/fit-brings.json",
            json!({"index_patterns": ["fit-brought*"], "priority": 72, "template": {"settings": {"number_of_replicas": 0, "analysis": analysis}}}).to_string(),
        );
        sandbox.write(
            "indices/fit-brought.json",
            json!({"mappings": {"properties": {"a": {"type": "text", "analyzer": "mine"}}}}).to_string(),
        );
        sandbox.run(&[]).expect_code(0);
        proxy.clear();
        sandbox.run(&[]).expect_code(0);
        assert_eq!(proxy.writes(), [""; 0]);
        node.curl("DELETE", "/fit-brought", None);
    }
}

#[test]
fn a_pipeline_that_names_nobodys_pipeline_is_warned_about() {
    let node = OpenSearch::shared(Variant::Core2);
    let mut sandbox = sandbox(&node.url(), &[]);
    let body =
        json!({"processors": [{"set": {"field": "a", "value": 1, "on_failure": [{"pipeline": {"name": "nobodys"}}]}}]});
    sandbox.write("ingest_pipelines/caller.json", body.to_string());
    sandbox.set("STRICT", "true");
    sandbox.run(&[]).expect_code(1).expect_stderr("nobodys, which neither a file declares nor the server has");
    sandbox.write("ingest_pipelines/nobodys.json", json!({"processors": []}).to_string());
    sandbox.run(&[]).expect_code(0);
}

/// A repository that the nodes cannot use fails every run, not only the one that registers it.
#[test]
fn a_repository_that_does_not_work_is_never_unchanged() {
    for variant in Variant::usable(&CORES) {
        let node = OpenSearch::shared(variant);
        let sandbox = sandbox(&node.url(), &[]);
        // Its name is no reason to take another error for this one.
        let body = |read_only: bool| json!({"type": "fs", "settings": {"location": "verified", "readonly": read_only}});
        sandbox.write("snapshot_repositories/verified-backups.json", body(false).to_string());
        sandbox.run(&[]).expect_code(0);
        sandbox.run(&[]).expect_code(0);
        let place = node.repository("verified");
        std::fs::remove_dir_all(&place).expect("the node has made it");
        std::fs::write(&place, "in the way").expect("the folder can be written");
        for _ in 0..2 {
            let broken = sandbox.run(&[]);
            broken.expect_code(1).expect_stderr("verified-backups");
            assert_eq!(broken.count("failed"), 1, "{broken}");
        }
        sandbox.run(&["plan"]).expect_code(2);
        std::fs::remove_file(&place).expect("it is ours");
        sandbox.run(&[]).expect_code(0);
        sandbox.run(&["plan"]).expect_code(0);
        node.curl("DELETE", "/_snapshot/verified-backups", None);
    }
}

fn a_hidden_index_is_exported(node: &OpenSearch) {
    node.put("/hidden-one", &json!({"settings": {"index.hidden": true, "number_of_replicas": 0}}));
    let sandbox = sandbox(&node.url(), &[]);
    let out = sandbox.path("out");
    sandbox.run(&["export", &out.display().to_string(), "--kind", "indices"]).expect_code(0);
    assert!(out.join("indices/hidden-one.json").is_file());
}
