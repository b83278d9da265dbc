//! What is said of a declared topic and the cluster's; no broker is needed.

use super::*;
use expect_test::{Expect, expect};

fn wanted(body: Value) -> Want {
    let body: Body = serde_json::from_value(body).expect("a good body");
    let (config, _) = config::declared(&body.config);
    Want {
        name: "t".into(),
        partitions: body.partitions,
        replicas: body.replicas,
        config,
        masked: vec!["/config/secret".into()],
    }
}

fn held(partitions: i32, replicas: i16) -> Have {
    Have { partitions, replicas, operations: i32::MIN, in_sync: 1, ..Have::default() }
}

fn check(want: Value, have: Option<&Have>, expected: &Expect) {
    let change = compared(&wanted(want), have);
    let mut lines = vec![format!("{:?}", change.action)];
    lines.extend(change.differences.iter().map(ToString::to_string));
    lines.extend(change.notes);
    expected.assert_eq(&lines.join("\n"));
}

#[test]
fn an_absent_topic_is_created_with_what_is_declared() {
    check(
        json!({"partitions": 3, "replicas": 2, "config": {"a": 1, "gone": null, "secret": "x"}}),
        None,
        &expect![[r#"
            Create
            /partitions: (absent) -> 3
            /replicas: (absent) -> 2
            /config/a: (absent) -> "1"
            /config/secret: (absent) -> (secret)"#]],
    );
    check(json!({}), None, &expect!["Create"]);
}

#[test]
fn what_is_the_same_or_not_declared_is_no_difference() {
    check(json!({"partitions": 3, "replicas": 2}), Some(&held(3, 2)), &expect!["None"]);
    check(json!({}), Some(&held(7, 3)), &expect!["None"]);
}

#[test]
fn more_partitions_grow_and_fewer_are_drift() {
    check(
        json!({"partitions": 5}),
        Some(&held(3, 1)),
        &expect![[r"
            Update
            /partitions: 3 -> 5
            growing from 3 to 5 partitions moves keys: new records of a key may go to another partition than its old ones"]],
    );
    check(
        json!({"partitions": 2, "replicas": 3}),
        Some(&held(3, 1)),
        &expect![[r"
            Update
            /partitions: 3 -> 2 (cannot be changed in place)
            /replicas: 1 -> 3 (cannot be changed in place)"]],
    );
}

#[test]
fn rights_are_asked_for_what_changes_only() {
    let mut have = held(1, 1);
    have.operations = 1 << Right::AlterConfigs as i32;
    let says = |body: Value, have: &Have| {
        let change = compared(&wanted(body), Some(have));
        missing_right("t", &change, have.operations).map(|failure| failure.message)
    };
    assert!(says(json!({"partitions": 2}), &have).is_some_and(|text| text.starts_with("needs Alter on Topic:t")));
    assert_eq!(says(json!({"config": {"a": 1}}), &have), None);
    have.operations = 1 << 8;
    assert!(
        says(json!({"config": {"a": 1}}), &have).is_some_and(|text| text.starts_with("needs AlterConfigs on Topic:t"))
    );
    assert_eq!(says(json!({"partitions": 1}), &have), None, "nothing changes");
    have.operations = i32::MIN;
    assert_eq!(says(json!({"partitions": 2}), &have), None, "the broker did not say");
}

#[test]
fn a_topic_is_ready_when_enough_replicas_are_in_sync() {
    let mut have = held(1, 3);
    assert_eq!(unready(&have, 1), None);
    assert_eq!(unready(&have, 2).as_deref(), Some("1 of 3 replicas are in sync, and min.insync.replicas is 2"));
    assert_eq!(unready(&Have { replicas: 1, ..have.clone() }, 2), None, "Kafka takes the smaller of the two");
    have.broken = Some("partition 0 has no leader".into());
    assert_eq!(unready(&have, 1).as_deref(), Some("partition 0 has no leader"));
}

#[test]
fn names_are_kafkas() {
    for good in ["a", "orders.v1_x-Y", &"x".repeat(249)] {
        assert_eq!(legal(good), Ok(()));
    }
    for bad in [".", "..", "a b", "é", "__cluster_metadata", &"x".repeat(250)] {
        assert!(legal(bad).is_err(), "{bad}");
    }
}
