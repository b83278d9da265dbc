//! k-init and the brokers beyond the one that it talks to: those that join while it works are read back from as well, or named.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kafka_protocol::messages::create_acls_response::AclCreationResult;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::describe_acls_response::{AclDescription, DescribeAclsResource};
use kafka_protocol::messages::{
    ApiKey, CreateAclsRequest, CreateAclsResponse, CreateTopicsRequest, CreateTopicsResponse, DescribeAclsResponse,
    DescribeClusterResponse,
};
use kafka_protocol::protocol::StrBytes;
use kit::sandbox::Sandbox;
use kit::scripted_kafka::{Answer, Call, ScriptedKafka, View};
use serde_json::json;

/// Read on topic t for User:a, which is there once it was made.
fn bindings(call: &Call, written: bool) -> Answer {
    let read = AclDescription::default()
        .with_principal(StrBytes::from_static_str("User:a"))
        .with_host(StrBytes::from_static_str("*"))
        .with_operation(3)
        .with_permission_type(3);
    let topic = DescribeAclsResource::default()
        .with_resource_type(2)
        .with_resource_name(StrBytes::from_static_str("t"))
        .with_pattern_type(3)
        .with_acls(vec![read]);
    let resources = if written { vec![topic] } else { Vec::new() };
    call.answer(&DescribeAclsResponse::default().with_error_message(None).with_resources(resources))
}

/// Two brokers, of which the second registers when something has been written.
fn growing() -> ScriptedKafka {
    let scripted = ScriptedKafka::new(2);
    let written: [Arc<AtomicBool>; 2] = Default::default();
    let [topics, acls] = written.clone();
    scripted.view({
        let written = written.clone();
        // Topics are there once they were made.
        move |_| {
            let written = written.iter().any(|written| written.load(Ordering::SeqCst));
            View { brokers: if written { 2 } else { 1 }, replicas: written.then_some(1), ..View::default() }
        }
    });
    scripted.on(ApiKey::CreateTopics, move |call| {
        let request: CreateTopicsRequest = call.message();
        topics.fetch_or(!request.validate_only, Ordering::SeqCst);
        let result = |name| CreatableTopicResult::default().with_name(name).with_error_message(None);
        let made = request.topics.into_iter().map(|topic| result(topic.name)).collect();
        call.answer(&CreateTopicsResponse::default().with_topics(made))
    });
    scripted.on(ApiKey::DescribeCluster, |call| {
        let answer = DescribeClusterResponse::default().with_error_message(None);
        call.answer(&answer.with_cluster_authorized_operations(i32::MIN))
    });
    scripted.on(ApiKey::DescribeAcls, {
        let [_, made] = written;
        move |call| bindings(call, made.load(Ordering::SeqCst))
    });
    scripted.on(ApiKey::CreateAcls, move |call| {
        let request: CreateAclsRequest = call.message();
        acls.store(true, Ordering::SeqCst);
        let made = request.creations.iter().map(|_| AclCreationResult::default().with_error_message(None)).collect();
        call.answer(&CreateAclsResponse::default().with_results(made))
    });
    scripted
}

#[test]
fn a_broker_that_joins_after_the_probe_is_read_back_from_or_named() {
    let topics = ("topics/t.json", json!({"partitions": 1}));
    let acls = ("acls/User:a.json", json!([{"resource": {"type": "topic", "name": "t"}, "operation": "Read"}]));
    // Reading topics names the brokers by itself; reading bindings does not.
    for (file, key) in [(topics, ApiKey::Metadata), (acls, ApiKey::DescribeAcls)] {
        for reachable in [true, false] {
            let scripted = growing();
            if !reachable {
                scripted.refuse(2);
            }
            let first = scripted.bootstrap().split(',').next().map(str::to_owned).expect("the first broker");
            let sandbox =
                Sandbox::new("k-init").env("KAFKA_BOOTSTRAP_SERVERS", first).config(std::slice::from_ref(&file));
            let run = sandbox.run(&[]);
            run.expect_code(0);
            let asked = scripted.log().iter().filter(|call| call.broker == 2 && call.head.key == key as i16).count();
            assert_eq!(asked, usize::from(reachable), "{run}");
            assert_eq!(run.stderr.contains("was not read back on broker 2"), !reachable, "{run}");
        }
    }
}
