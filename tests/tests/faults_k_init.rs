//! k-init on three brokers that come late, die in the middle and disagree for a while; and on brokers that are short of something.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use kafka_protocol::messages::create_acls_response::AclCreationResult;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::{
    ApiKey, CreateAclsRequest, CreateAclsResponse, CreateTopicsRequest, CreateTopicsResponse, DescribeAclsResponse,
    DescribeClusterResponse,
};
use kit::proxy::KafkaProxy;
use kit::proxy::kafka::Verdict;
use kit::sandbox::{Sandbox, Signal};
use kit::scripted_kafka::{ScriptedKafka, View};
use kit::servers::kafka::{Kafka, Listener, Version};
use serde_json::{Value, json};

fn many(tag: &str, count: usize, body: &Value) -> Value {
    (0..count).map(|number| (format!("{tag}.{number}"), body.clone())).collect::<serde_json::Map<_, _>>().into()
}

/// Scenario 1, a staggered start of three nodes: what a topic needs is waited for, and is read back on all of them.
#[test]
fn scenario_01_brokers_that_come_one_after_the_other_are_waited_for() {
    for version in Version::ALL {
        let kafka = Kafka::of(version).nodes(3).cold();
        let sandbox = Sandbox::new("k-init")
            .env("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap())
            .deadline(Duration::from_mins(2))
            .config(&[(
                "topics.json",
                many("late", 5, &json!({"partitions": 2, "replicas": 3, "config": {"min.insync.replicas": 2}})),
            )]);
        let running = sandbox.spawn(&[]);
        kafka.launch_node(1);
        kafka.launch_node(2);
        // Two of three: there is a controller, and the third replica has nowhere to go.
        kit::eventually(Duration::from_mins(1), || running.stderr_so_far().contains("38 INVALID_REPLICATION_FACTOR"));
        kafka.launch_node(3);
        let run = running.wait();
        run.expect_code(0);
        assert_eq!(run.count("created"), 5, "{run}");
        kafka.wait_ready();
        kit::eventually(Duration::from_mins(1), || kafka.oracle(&["topics"])["late.4"]["in_sync"] == 3);

        // With a broker down a run with nothing to do succeeds, and says so.
        kafka.kill(3);
        let down = sandbox.run(&[]);
        down.expect_code(0);
        assert_eq!((down.count("unchanged"), down.count("writes")), (5, 0), "{down}");
        // Something to do: what it wrote is read back where it can be.
        sandbox.write("topics.json", many("late", 5, &json!({"config": {"retention.ms": 1000}})).to_string());
        let written = sandbox.run(&[]);
        written.expect_code(0);
        assert_eq!(written.count("updated"), 5, "{written}");
        kafka.kill(2);
        // No quorum: the write is never answered, and the end names what that means.
        let mut lost = sandbox;
        lost.set("REQUEST_TIMEOUT", "2s");
        lost.set("APPLY_TIMEOUT", "6s");
        lost.write("topics.json", json!({"late.new": {"partitions": 1}}).to_string());
        let run = lost.run(&[]);
        run.expect_code(1);
        assert!(run.elapsed < Duration::from_secs(20), "{run}");
        assert!(run.stderr.contains("quorum") || run.stderr.contains("no controller"), "{run}");
    }
}

/// A further scenario: 89 under `controller_mutation_rate`.
#[test]
fn a_used_up_mutation_quota_is_waited_for() {
    let kafka = Kafka::of(Version::V4_3).start();
    let login = |user: (&str, &str)| {
        Sandbox::new("k-init")
            .env("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_on(Listener::Sasl))
            .env("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
            .env("KAFKA_SASL_MECHANISM", "PLAIN")
            .env("KAFKA_USERNAME", user.0)
            .env("KAFKA_PASSWORD", user.1)
    };
    login(Kafka::ADMIN)
        .config(&[("quotas/user=admin.json", json!({"controller_mutation_rate": 2}))])
        .run(&[])
        .expect_code(0);
    let topics = login(Kafka::ADMIN).config(&[("topics.json", many("slow", 30, &json!({"partitions": 1})))]);
    let run = topics.run(&[]);
    run.expect_code(0);
    assert_eq!(run.count("created"), 30, "{run}");
    assert_eq!(topics.run(&[]).expect_code(0).count("unchanged"), 30);
}

/// A further scenario: the topic is another one by its id, and the same by its name.
#[test]
fn a_topic_that_was_deleted_is_made_anew_with_its_seed() {
    let kafka = Kafka::shared(Version::V4_3);
    let sandbox = Sandbox::new("k-init")
        .env("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap())
        .config(&[("topics/anew.json", json!({"partitions": 1}))]);
    sandbox.write("seeds/anew.jsonl", "{\"key\": \"a\", \"value\": 1}\n");
    sandbox.run(&[]).expect_code(0);
    kafka.oracle(&["delete", "anew"]);
    kit::eventually(Duration::from_secs(10), || kafka.oracle(&["topics"])["anew"].is_null());
    let run = sandbox.run(&[]);
    run.expect_code(0);
    assert_eq!(run.count("created"), 2, "{run}");
    assert_eq!(kafka.oracle(&["records", "anew"]).as_array().map(Vec::len), Some(1));
}

/// A further scenario: a broker that says yes to everything and keeps nothing.
#[test]
fn a_broker_that_keeps_nothing_is_found_out() {
    let liar = ScriptedKafka::new(1);
    liar.on(ApiKey::DescribeCluster, |call| {
        let answer =
            DescribeClusterResponse::default().with_error_message(None).with_cluster_authorized_operations(i32::MIN);
        call.answer(&answer)
    });
    liar.on(ApiKey::DescribeAcls, |call| call.answer(&DescribeAclsResponse::default().with_error_message(None)));
    liar.on(ApiKey::CreateAcls, |call| {
        let request: CreateAclsRequest = call.message();
        let results = request.creations.iter().map(|_| AclCreationResult::default().with_error_message(None)).collect();
        call.answer(&CreateAclsResponse::default().with_results(results))
    });
    let sandbox = Sandbox::new("k-init")
        .env("KAFKA_BOOTSTRAP_SERVERS", liar.bootstrap())
        .env("MAX_RETRIES", "1")
        .config(&[("acls/User:a.json", json!([{"resource": {"type": "topic", "name": "t"}, "operation": "Read"}]))]);
    let run = sandbox.run(&[]);
    run.expect_code(1).expect_stderr("the server took it, but it is not there");
    assert_eq!(liar.count(ApiKey::CreateAcls), 1, "a yes is not asked for twice");
}

/// As before Kafka 4: whoever is not the controller answers 41, and who it is stands in the metadata.
#[test]
fn the_controller_of_an_old_cluster_is_followed() {
    let old = ScriptedKafka::new(2);
    let made = Arc::new(AtomicBool::new(false));
    let there = made.clone();
    old.view(move |_| View { controller: 2, replicas: there.load(Ordering::SeqCst).then_some(1), ..View::default() });
    old.on(ApiKey::CreateTopics, move |call| {
        let request: CreateTopicsRequest = call.message();
        let code = if call.broker == 2 { 0 } else { 41 };
        made.fetch_or(code == 0 && !request.validate_only, Ordering::SeqCst);
        let result =
            |name| CreatableTopicResult::default().with_name(name).with_error_code(code).with_error_message(None);
        let topics = request.topics.into_iter().map(|topic| result(topic.name)).collect();
        call.answer(&CreateTopicsResponse::default().with_topics(topics))
    });
    let first = old.bootstrap().split(',').next().map(str::to_owned).expect("the first broker");
    let sandbox = Sandbox::new("k-init")
        .env("KAFKA_BOOTSTRAP_SERVERS", first)
        .config(&[("topics/t.json", json!({"partitions": 1}))]);
    let run = sandbox.run(&[]);
    run.expect_code(0);
    let asked: Vec<usize> =
        old.log().iter().filter(|call| call.head.key == ApiKey::CreateTopics as i16).map(|call| call.broker).collect();
    assert_eq!(asked, [1, 2, 2], "41 once, then the controller itself\n{run}");
}

/// Every kind, under names with a tag of their own; growing a topic and a changed setting among them.
fn all_kinds(kafka: &Kafka, bootstrap: &str, tag: &str) -> Sandbox {
    let sandbox = Sandbox::new("k-init")
        .env("KAFKA_BOOTSTRAP_SERVERS", bootstrap)
        .env("KAFKA_VERIFY_SERVERS", format!("SASL_PLAINTEXT://{}", kafka.bootstrap_on(Listener::Sasl)))
        .config(&[
            (
                "topics.json",
                json!({
                    format!("{tag}.new"): {"partitions": 1},
                    format!("{tag}.old"): {"partitions": 3, "config": {"retention.ms": 1000}},
                }),
            ),
            (
                &format!("users/{tag}.json"),
                json!({"password": "password-of-many", "mechanisms": ["SCRAM-SHA-256", "SCRAM-SHA-512"]}),
            ),
            (
                &format!("acls/User:{tag}.json"),
                json!([{"resource": {"type": "topic", "name": tag}, "operation": "Read"}]),
            ),
            (&format!("quotas/user={tag}.json"), json!({"producer_byte_rate": 1024})),
        ]);
    sandbox
        .write(&format!("seeds/{tag}.new.jsonl"), "{\"key\": \"a\", \"value\": 1}\n{\"key\": \"b\", \"value\": 2}\n");
    let old = Sandbox::new("k-init")
        .env("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap())
        .config(&[(&format!("topics/{tag}.old.json"), json!({"partitions": 1}))]);
    old.run(&[]).expect_code(0);
    sandbox
}

#[track_caller]
fn all_there(kafka: &Kafka, tags: &[String]) {
    let all = kafka.oracle(&["all"]);
    for tag in tags {
        let topics = &all["topics"];
        assert_eq!(topics[format!("{tag}.new")]["partitions"], 1, "{tag}");
        assert_eq!(topics[format!("{tag}.old")]["partitions"], 3, "{tag}");
        assert_eq!(topics[format!("{tag}.old")]["config"], json!({"retention.ms": "1000"}), "{tag}");
        assert_eq!(all["users"][tag], json!({"SCRAM-SHA-256": 4096, "SCRAM-SHA-512": 4096}), "{tag}");
        assert_eq!(all["quotas"][format!("user={tag}")], json!({"producer_byte_rate": 1024.0}), "{tag}");
        assert!(all["acls"].to_string().contains(&format!("User:{tag} ALLOW READ TOPIC LITERAL {tag} *")), "{tag}");
        let records = kafka.oracle(&["records", &format!("{tag}.new")]);
        assert_eq!(records.as_array().map(Vec::len), Some(2), "{tag}: {records}");
    }
}

/// Scenario 4, a lost reply, for each kind of write in turn.
#[test]
fn scenario_04_the_answer_to_any_write_may_be_lost() {
    for version in Version::ALL {
        let kafka = Kafka::shared(version);
        let proxy = KafkaProxy::to(&kafka.bootstrap());
        let mut tags = Vec::new();
        for key in [
            ApiKey::CreateTopics,
            ApiKey::CreatePartitions,
            ApiKey::IncrementalAlterConfigs,
            ApiKey::AlterUserScramCredentials,
            ApiKey::CreateAcls,
            ApiKey::AlterClientQuotas,
            ApiKey::Produce,
        ] {
            let tag = format!("lost{key:?}");
            let sandbox = all_kinds(kafka, &proxy.bootstrap(), &tag);
            let spoilt = AtomicBool::new(false);
            proxy.rule(move |seen| {
                let now = seen.writes && seen.head.key == key as i16 && !spoilt.swap(true, Ordering::SeqCst);
                if now { Verdict::DropAnswer } else { Verdict::Pass }
            });
            let run = sandbox.run(&[]);
            run.expect_code(0);
            assert_eq!(run.count("failed"), 0, "{key:?}\n{run}");
            proxy.pass();
            let again = sandbox.run(&[]);
            again.expect_code(0);
            assert_eq!(again.count("writes"), 0, "{key:?}\n{again}");
            tags.push(tag);
        }
        all_there(kafka, &tags);
    }
}

#[test]
fn a_run_may_be_killed_after_any_write() {
    let kafka = Kafka::shared(Version::V4_3);
    let proxy = KafkaProxy::to(&kafka.bootstrap());
    let mut tags = Vec::new();
    for last in 1.. {
        let tag = format!("killed{last}");
        let sandbox = all_kinds(kafka, &proxy.bootstrap(), &tag);
        let writes = AtomicUsize::new(0);
        proxy.rule(move |seen| {
            let now = seen.writes && writes.fetch_add(1, Ordering::SeqCst) + 1 == last;
            if now { Verdict::Hang } else { Verdict::Pass }
        });
        proxy.clear();
        let mut running = sandbox.spawn(&[]);
        kit::eventually(Duration::from_secs(30), || proxy.writes().len() >= last || !running.running());
        let ended = !running.running();
        running.signal(Signal::KILL);
        drop(running.wait());
        proxy.pass();
        let finished = sandbox.run(&[]);
        finished.expect_code(0);
        tags.push(tag);
        if ended {
            assert!(last > 8, "only {last} writes for every kind: the sweep did not see them");
            break;
        }
    }
    all_there(kafka, &tags);
}
