//! ISM and snapshot management: the stand-in for the plugin in front of a real node. What it keeps is what recorded nodes kept. The cases
//! share a node of each version, where each has indices of its own; what the plugin holds is each case's front's.

use kit::ism::IsmFront;
use kit::sandbox::{Run, Sandbox};
use kit::servers::opensearch::{OpenSearch, Variant};
use serde_json::{Value, json};

const CORES: [Variant; 2] = [Variant::Core2, Variant::Core3];

fn policy(age: &str) -> Value {
    json!({"policy": {"description": "d", "default_state": "hot", "states": [
        {"name": "hot", "actions": [{"rollover": {"min_size": "50GB", "min_doc_count": "1000"}}], "transitions": [{"state_name": "gone", "conditions": {"min_index_age": age}}]},
        {"name": "gone", "actions": [{"delete": {}}]}], "ism_template": {"index_patterns": ["unused-*"], "priority": 9}}})
}

fn writes(front: &IsmFront) -> Vec<String> {
    front.proxy().writes()
}

fn run(front: &IsmFront, files: &[(&str, Value)]) -> Run {
    front.proxy().clear();
    Sandbox::new("os-init").config(files).env("OPENSEARCH_URL", front.url()).run(&[])
}

/// Acceptance scenario 10, late policy. While the attachment settles, no other kind is read again.
#[test]
fn a_late_policy_is_attached_and_its_change_moves_only_its_own_indices() {
    for variant in Variant::usable(&CORES) {
        let node = OpenSearch::shared(variant);
        let front = IsmFront::of(node);
        for index in ["late-1", "late-2", "other-1", ".late-dot"] {
            node.put(&format!("/{index}"), &json!({"settings": {"number_of_replicas": 0}}));
        }
        let attachment = json!({"indices": ["late-*"], "update": true});
        let first = run(
            &front,
            &[
                ("ism_policies/other.json", policy("1d")),
                ("ism_attachments/other.json", json!({"indices": ["late-2"]})),
            ],
        );
        // Both policies have a pattern and a priority of their own.
        first.expect_code(0);
        let mut mine = policy("1d");
        mine["policy"]["ism_template"]["index_patterns"] = json!(["late-new-*"]);
        let files = [("ism_policies/mine.json", mine.clone()), ("ism_attachments/mine.json", attachment.clone())];
        let attached = run(&front, &files);
        attached.expect_code(0);
        assert_eq!(
            writes(&front),
            ["PUT /_plugins/_ism/policies/mine", "POST /_plugins/_ism/add/late-1"],
            "{attached}"
        );
        let lists = |path| front.proxy().log().iter().filter(|asked| asked.request.path() == path).count();
        // Read, pre-flight, read back; then only the attachment is polled.
        assert!(lists("/_plugins/_ism/policies") <= 3, "{attached}");
        assert_eq!(front.policy_of("late-1").as_deref(), Some("mine"));
        assert_eq!(front.policy_of("late-2").as_deref(), Some("other"), "left alone");
        assert_eq!((front.policy_of("other-1"), front.policy_of(".late-dot")), (None, None));
        run(&front, &files).expect_code(0);
        assert_eq!(writes(&front), [""; 0]);
        mine["policy"]["states"][0]["transitions"][0]["conditions"]["min_index_age"] = json!("2d");
        let changed = run(&front, &[("ism_policies/mine.json", mine), ("ism_attachments/mine.json", attachment)]);
        changed.expect_code(0);
        let sent = writes(&front);
        assert_eq!(sent.len(), 2, "{changed}");
        assert!(sent[0].starts_with("PUT /_plugins/_ism/policies/mine?if_seq_no="), "{sent:?}");
        assert_eq!(sent[1], "POST /_plugins/_ism/change_policy/late-1");
    }
}

/// `explain` answers 400 where nothing matches: nothing matches is nothing to attach, also beside an index of this very run.
#[test]
fn a_pattern_that_matches_nothing_yet_is_nothing_to_attach() {
    for variant in Variant::usable(&CORES) {
        let node = OpenSearch::shared(variant);
        let front = IsmFront::of(node);
        let mut files = vec![
            ("ism_policies/keep.json", policy("1d")),
            ("ism_attachments/keep.json", json!({"indices": ["clog-*"], "update": true})),
        ];
        let first = run(&front, &files);
        first.expect_code(0);
        run(&front, &files).expect_code(0);
        assert_eq!(writes(&front), [""; 0]);
        files.push(("indices/clog-1.json", json!({"settings": {"number_of_replicas": 0}})));
        let later = run(&front, &files);
        later.expect_code(0);
        assert_eq!(front.policy_of("clog-1").as_deref(), Some("keep"), "{later}");
        run(&front, &files).expect_code(0);
        assert_eq!(writes(&front), [""; 0]);
    }
}

/// Which version an index works by is read in every run: a move that an earlier run did not make is made by the next.
#[test]
fn an_index_on_an_old_version_is_moved_by_whichever_run_finds_it() {
    for variant in Variant::usable(&CORES) {
        let node = OpenSearch::shared(variant);
        let front = IsmFront::of(node);
        node.put("/old-1", &json!({"settings": {"number_of_replicas": 0}}));
        let described = |text: &str| {
            let mut body = policy("1d");
            body["policy"]["description"] = json!(text);
            body
        };
        let attachment = |update: bool| json!({"indices": ["old-*"], "update": update});
        run(&front, &[("ism_policies/p.json", described("one")), ("ism_attachments/p.json", attachment(true))])
            .expect_code(0);
        front.run_jobs();
        // Somebody else changes the policy, or a run that was cut between the two.
        run(&front, &[("ism_policies/p.json", described("two"))]).expect_code(0);
        run(&front, &[("ism_attachments/p.json", attachment(false))]).expect_code(0);
        assert_eq!(writes(&front), [""; 0], "not without update");
        let moving = run(&front, &[("ism_attachments/p.json", attachment(true))]);
        moving.expect_code(0).expect_stderr("at the next ISM run");
        assert_eq!(writes(&front), ["POST /_plugins/_ism/change_policy/old-1"]);
        assert_eq!(front.description_of("old-1").as_deref(), Some("one"), "not yet");
        front.run_jobs();
        run(&front, &[("ism_attachments/p.json", attachment(true))]).expect_code(0);
        assert_eq!(writes(&front), [""; 0], "the job has moved it");
        assert_eq!(front.description_of("old-1").as_deref(), Some("two"));
    }
}

/// Before the job's first run explain shows no version, but the policy that the index holds.
#[test]
fn before_the_first_job_the_held_policy_tells_the_version() {
    for variant in Variant::usable(&CORES) {
        let node = OpenSearch::shared(variant);
        let front = IsmFront::of(node);
        node.put("/new-1", &json!({"settings": {"number_of_replicas": 0}}));
        let files = |age: &str| {
            [
                ("ism_policies/p.json", policy(age)),
                ("ism_attachments/p.json", json!({"indices": ["new-*"], "update": true})),
            ]
        };
        run(&front, &files("1d")).expect_code(0);
        run(&front, &files("1d")).expect_code(0);
        assert_eq!(writes(&front), [""; 0]);
        let changed = run(&front, &files("2d"));
        changed.expect_code(0);
        assert_eq!(writes(&front).len(), 2, "{changed}");
    }
}

#[test]
fn a_data_stream_gets_its_policy_too() {
    for variant in Variant::usable(&CORES) {
        let node = OpenSearch::shared(variant);
        let front = IsmFront::of(node);
        node.put("/_index_template/met", &json!({"index_patterns": ["met-*"], "data_stream": {}, "priority": 5}));
        node.put("/_data_stream/met-a", &json!({}));
        node.put("/.met-dot", &json!({"settings": {"number_of_replicas": 0}}));
        for indices in ["met-*", "met-a"] {
            let files =
                [("ism_policies/p.json", policy("1d")), ("ism_attachments/p.json", json!({"indices": [indices]}))];
            run(&front, &files).expect_code(0);
            run(&front, &files).expect_code(0);
            assert_eq!(writes(&front), [""; 0]);
            assert_eq!(front.policy_of(".ds-met-a-000001").as_deref(), Some("p"));
            assert_eq!(front.policy_of(".met-dot"), None);
        }
    }
}

#[test]
fn jobs_are_made_changed_and_left_to_their_progress() {
    for variant in Variant::usable(&CORES) {
        let node = OpenSearch::shared(variant);
        let front = IsmFront::of(node);
        let files = |description: &str, enabled: bool, group: &str| {
            let schedule = json!({"interval": {"period": 1, "unit": "Hours"}});
            [
                ("indices/src.json", json!({"settings": {"number_of_replicas": 0}})),
                (
                    "rollups/r.json",
                    json!({"rollup": {"description": description, "enabled": enabled, "schedule": schedule, "source_index": "src",
                        "target_index": "rolled", "page_size": 10, "delay": 0, "dimensions": [{"date_histogram": {"source_field": "t", "fixed_interval": "1h"}}],
                        "metrics": [{"source_field": "m", "metrics": [{"sum": {}}]}]}}),
                ),
                (
                    "transforms/t.json",
                    json!({"transform": {"description": description, "enabled": enabled, "schedule": schedule, "source_index": "src",
                        "target_index": "turned", "page_size": 10, "groups": [{"terms": {"source_field": group}}], "aggregations": {}}}),
                ),
            ]
        };
        let unchanged = |body: &[(&str, Value)]| {
            let run = run(&front, body);
            run.expect_code(0);
            assert_eq!(writes(&front), [""; 0], "{run}");
        };
        run(&front, &files("one", true, "k")).expect_code(0);
        unchanged(&files("one", true, "k"));
        let changed = run(&front, &files("two", true, "k"));
        changed.expect_code(0);
        assert_eq!(changed.count("updated"), 2, "{changed}");
        unchanged(&files("two", true, "k"));
        // A job that has come to its end is disabled by the plugin itself.
        front.finish("r");
        front.finish("t");
        unchanged(&files("two", true, "k"));
        let off = run(&front, &files("two", false, "k"));
        off.expect_code(0);
        unchanged(&files("two", false, "k"));
        let fixed = run(&front, &files("two", false, "other"));
        fixed.expect_code(1).expect_stderr("cannot be changed in place");
        assert_eq!(fixed.field("exit_reason"), "drift");
        assert_eq!(writes(&front), [""; 0]);
    }
}

#[test]
fn policies_and_jobs_share_their_names() {
    let transform = json!({"transform": {"description": "d", "schedule": {"interval": {"period": 1, "unit": "Hours"}},
        "source_index": "a", "target_index": "b", "page_size": 10, "groups": [{"terms": {"source_field": "k"}}], "aggregations": {}}});
    let files = [("ism_policies/same.json", policy("1d")), ("transforms/same.json", transform)];
    let run = Sandbox::new("os-init").config(&files).run(&["validate"]);
    run.expect_code(1).expect_stderr("ism_policies has this name, too");
}

#[test]
fn equal_policies_are_never_sent_again_whatever_get_adds() {
    let node = OpenSearch::shared(Variant::Core2);
    let front = IsmFront::of(node);
    run(&front, &[("ism_policies/p.json", policy("1d"))]).expect_code(0);
    let seq = front.sequence("p");
    run(&front, &[("ism_policies/p.json", policy("1d"))]).expect_code(0);
    // What GET answers, pasted into a file, is the same policy.
    let answer = Sandbox::new("os-init").env("OPENSEARCH_URL", front.url());
    let exported = answer.path("exported");
    answer.run(&["export", &exported.display().to_string(), "--kind", "ism_policies"]).expect_code(0);
    let pasted = std::fs::read_to_string(exported.join("ism_policies/p.json")).expect("it was exported");
    run(&front, &[("ism_policies/p.json", serde_json::from_str(&pasted).expect("JSON"))]).expect_code(0);
    assert_eq!(front.sequence("p"), seq);
    run(&front, &[("ism_policies/p.json", policy("2d"))]).expect_code(0);
    assert_ne!(front.sequence("p"), seq);
}

#[test]
fn policies_that_claim_the_same_are_found_before_the_first_write() {
    let node = OpenSearch::shared(Variant::Core2);
    let front = IsmFront::of(node);
    let run = run(&front, &[("ism_policies/a.json", policy("1d")), ("ism_policies/b.json", policy("2d"))]);
    run.expect_code(1).expect_stderr("overlaps unused-* of a with the same priority 9");
    assert_eq!(writes(&front), [""; 0]);
}

#[test]
fn a_duration_that_the_server_could_not_read_back_is_refused() {
    let node = OpenSearch::shared(Variant::Core2);
    let front = IsmFront::of(node);
    let policy = |age: &str| {
        json!({"creation": {"schedule": {"cron": {"expression": "0 8 * * *", "timezone": "UTC"}}},
            "deletion": {"condition": {"max_age": age}}, "snapshot_config": {"repository": "r"}})
    };
    let refused = run(&front, &[("sm_policies/s.json", policy("36h"))]);
    refused.expect_code(1).expect_stderr("use whole units, 1d or 2d");
    assert_eq!(front.proxy().requests(), 0, "found in the file");
    run(&front, &[("sm_policies/s.json", policy("48h"))]).expect_code(0);
    run(&front, &[("sm_policies/s.json", policy("2d"))]).expect_code(0);
    assert_eq!(writes(&front), [""; 0], "48h is what the server calls 2d");
    run(&front, &[("sm_policies/s.json", policy("3d"))]).expect_code(0);
    assert_eq!(writes(&front).len(), 1);
}
