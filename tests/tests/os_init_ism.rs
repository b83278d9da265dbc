//! ISM and snapshot management: the stand-in for the plugin in front of a real node. What it keeps is what recorded nodes kept.

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
        let node = OpenSearch::of(variant).start();
        let front = IsmFront::of(&node);
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
