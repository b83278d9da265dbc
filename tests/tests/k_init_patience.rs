//! How often k-init asks again, and how long it leaves a broker alone: what real brokers cannot be made to do on request.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::messages::{
    ApiKey, MetadataRequest, MetadataResponse, SaslAuthenticateResponse, SaslHandshakeResponse,
};
use kafka_protocol::protocol::StrBytes;
use kit::sandbox::Sandbox;
use kit::scripted_kafka::{Answer, Call, ScriptedKafka};
use serde_json::json;

fn brokers(call: &Call, bootstrap: &str, throttle: i32) -> Answer {
    use kafka_protocol::messages::BrokerId;
    use kafka_protocol::messages::metadata_response::{MetadataResponseBroker, MetadataResponseTopic};
    let request: MetadataRequest = call.message();
    let (host, port) = bootstrap.rsplit_once(':').expect("host and port");
    let broker = MetadataResponseBroker::default()
        .with_node_id(BrokerId(1))
        .with_host(StrBytes::from_string(host.to_owned()))
        .with_port(port.parse().expect("a port"));
    let topics = request.topics.iter().flatten().map(|topic| {
        MetadataResponseTopic::default().with_name(topic.name.clone()).with_topic_authorized_operations(i32::MIN)
    });
    let answer = MetadataResponse::default()
        .with_brokers(vec![broker])
        .with_controller_id(BrokerId(1))
        .with_topics(topics.collect())
        .with_throttle_time_ms(throttle);
    call.answer(&answer)
}

#[test]
fn a_broker_that_throttles_is_left_alone_for_as_long() {
    let scripted = ScriptedKafka::new(1);
    let address = scripted.bootstrap();
    let times: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let noted = times.clone();
    scripted.on(ApiKey::Metadata, move |call| {
        noted.lock().expect("no case panics with it").push(Instant::now());
        brokers(call, &address, 600)
    });
    let sandbox = Sandbox::new("k-init")
        .env("KAFKA_BOOTSTRAP_SERVERS", scripted.bootstrap())
        .config(&[("topics/t.json", json!({}))]);
    let run = sandbox.run(&[]);
    run.expect_code(0);
    let times = times.lock().expect("no case panics with it");
    assert_eq!(times.len(), 2, "the probe and the reading\n{run}");
    assert!(times[1] - times[0] >= Duration::from_millis(590), "{:?}", times[1] - times[0]);
}

/// Lets the probe log in, cuts its connection at the first reading, and refuses so many log-ins from then on.
fn refusing(logins: usize) -> ScriptedKafka {
    let scripted = ScriptedKafka::new(1);
    let address = scripted.bootstrap();
    scripted.on(ApiKey::SaslHandshake, |call| {
        call.answer(&SaslHandshakeResponse::default().with_mechanisms(vec![StrBytes::from_static_str("PLAIN")]))
    });
    scripted.on(ApiKey::SaslAuthenticate, move |call| {
        let refused = (2..2 + logins).contains(&call.nth);
        let answer = SaslAuthenticateResponse::default()
            .with_error_code(if refused { 58 } else { 0 })
            .with_error_message(None)
            .with_auth_bytes(Bytes::new());
        call.answer(&answer)
    });
    scripted.on(ApiKey::Metadata, move |call| if call.nth == 2 { Answer::Reset } else { brokers(call, &address, 0) });
    scripted
}

fn logging_in(scripted: &ScriptedKafka) -> Sandbox {
    Sandbox::new("k-init")
        .env("KAFKA_BOOTSTRAP_SERVERS", scripted.bootstrap())
        .env("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
        .env("KAFKA_SASL_MECHANISM", "PLAIN")
        .env("KAFKA_USERNAME", "app")
        .env("KAFKA_PASSWORD", "password-of-app")
        .config(&[("topics/t.json", json!({}))])
}

/// A broker may not have replayed a credential that is seconds old: 58 has a small budget of its own, not that of `MAX_RETRIES`.
#[test]
fn a_refused_login_in_the_middle_of_a_run_is_tried_three_times() {
    let passing = refusing(2);
    logging_in(&passing).run(&[]).expect_code(0);
    assert_eq!(passing.count(ApiKey::SaslAuthenticate), 4);

    let lasting = refusing(1000);
    let run = logging_in(&lasting).env("EXIT_CODES", "detailed").run(&[]);
    run.expect_code(77).expect_stderr("58 SASL_AUTHENTICATION_FAILED");
    assert_eq!(run.field("exit_reason"), "auth");
    assert_eq!(lasting.count(ApiKey::SaslAuthenticate), 4, "the probe's, then three\n{run}");
}
