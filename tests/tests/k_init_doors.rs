//! REQ-AUTO-03 for k-init, the wrong doors: each ends with a sentence of its own, in time, in little memory, with exit code 1.

use std::time::Duration;

use kafka_protocol::messages::ApiKey;
use kit::authority::{Authority, Subject};
use kit::proxy::kafka::Verdict;
use kit::proxy::{Fault, KafkaProxy, Proxy};
use kit::sandbox::{Run, Sandbox};
use kit::scripted_kafka::{Answer, ScriptedKafka};
use kit::servers::kafka::{Kafka, Listener, Version};
use serde_json::json;

fn at(bootstrap: &str) -> Sandbox {
    Sandbox::new("k-init")
        .env("KAFKA_BOOTSTRAP_SERVERS", bootstrap)
        .env("WAIT_TIMEOUT", "1500ms")
        .deadline(Duration::from_secs(10))
        .config(&[("topics/t.json", json!({"partitions": 1}))])
}

#[track_caller]
fn says(run: &Run, part: &str) {
    run.expect_code(1);
    let error = run.field("error");
    assert!(error.as_str().is_some_and(|error| error.contains(part)), "{error} lacks {part:?}\n{run}");
    assert!(run.elapsed < Duration::from_secs(6), "{run}");
    assert!(run.peak_rss < 20 << 20, "{} bytes\n{run}", run.peak_rss);
}

#[test]
fn req_auto_03_plain_text_to_a_tls_port_and_the_reverse() {
    let kafka = Kafka::shared(Version::V4_3);
    says(&at(&kafka.bootstrap_on(Listener::SaslTls)).run(&[]), "TLS");
    let reverse = at(&kafka.bootstrap()).env("KAFKA_SECURITY_PROTOCOL", "SSL");
    says(&reverse.run(&[]), "plain-text port");
    let silent_login = at(&kafka.bootstrap_on(Listener::Sasl));
    says(&silent_login.run(&[]), "want a login");
    let login = at(&kafka.bootstrap())
        .env("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
        .env("KAFKA_SASL_MECHANISM", "PLAIN")
        .env("KAFKA_USERNAME", "admin")
        .env("KAFKA_PASSWORD", "admin-secret");
    says(&login.run(&[]), "takes no login");
}

#[test]
fn req_auto_03_a_port_that_is_not_kafkas() {
    for (bytes, part) in [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), "speaks HTTP"),
        (vec![0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 1], "announced an answer of 2147483647 bytes"),
        (vec![0x15, 3, 3, 0, 2, 2, 80], "speaks TLS"),
        // A good frame whose list of versions claims two thousand millions of them.
        (
            [&[0, 0, 0, 11, 0, 0, 0, 1, 0, 0], &[0xff, 0xff, 0xff, 0xff, 0x0f][..]].concat(),
            "announces more than it holds",
        ),
    ] {
        let scripted = ScriptedKafka::new(1);
        scripted.on(ApiKey::ApiVersions, move |_| Answer::RawSilent(bytes.clone()));
        says(&at(&scripted.bootstrap()).run(&[]), part);
    }
}

#[test]
fn req_auto_03_a_port_that_accepts_and_stays_silent() {
    let kafka = Kafka::shared(Version::V4_3);
    let proxy = Proxy::to(kafka.address(1, Listener::Plain));
    proxy.set(Fault::BlackHole);
    says(&at(&proxy.address().to_string()).run(&[]), "connected, but silent");
    proxy.set(Fault::Reset);
    says(&at(&proxy.address().to_string()).run(&[]), "reset");
    proxy.refuse();
    says(&at(&proxy.address().to_string()).run(&[]), "nothing listens");
    says(&at("no-such-host.invalid:9092").run(&[]), "cannot look up no-such-host.invalid");
}

#[test]
fn req_auto_03_certificates_that_do_not_fit_end_at_once() {
    let authority = Authority::new();
    for (subject, part) in [(Subject::Expired, "has expired"), (Subject::Elsewhere, "another name")] {
        let scripted = ScriptedKafka::tls(1, authority.issue(subject));
        let sandbox = at(&scripted.bootstrap()).env("KAFKA_SECURITY_PROTOCOL", "SSL").env("WAIT_TIMEOUT", "60s");
        let ca = sandbox.path("ca.pem");
        std::fs::write(&ca, authority.pem()).expect("the sandbox can be written");
        says(&sandbox.env("KAFKA_CA_FILE", ca.display().to_string()).run(&[]), part);
    }
    let scripted = ScriptedKafka::tls(1, authority.issue(Subject::Localhost));
    let stranger = at(&scripted.bootstrap()).env("KAFKA_SECURITY_PROTOCOL", "SSL").env("WAIT_TIMEOUT", "60s");
    says(&stranger.run(&[]), "not trusted");
}

#[test]
fn req_auto_03_a_mechanism_that_the_broker_has_not() {
    let kafka = Kafka::of(Version::V4_3).setting("sasl.enabled.mechanisms=SCRAM-SHA-512").start();
    let sandbox = at(&kafka.bootstrap_on(Listener::Sasl))
        .env("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
        .env("KAFKA_SASL_MECHANISM", "PLAIN")
        .env("KAFKA_USERNAME", "admin")
        .env("KAFKA_PASSWORD", "admin-secret")
        .env("WAIT_TIMEOUT", "60s");
    let run = sandbox.run(&[]);
    says(&run, "does not offer PLAIN (33 UNSUPPORTED_SASL_MECHANISM)");
    says(&run, "it offers SCRAM-SHA-512");
}

#[test]
fn req_auto_03_credentials_that_are_refused() {
    let kafka = Kafka::shared(Version::V4_3);
    let login = |mechanism: &str| {
        at(&kafka.bootstrap_on(Listener::Sasl))
            .env("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
            .env("KAFKA_SASL_MECHANISM", mechanism)
            .env("EXIT_CODES", "simple")
    };
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let run = login(mechanism).env("KAFKA_USERNAME", "admin").env("KAFKA_PASSWORD", "not-the-password").run(&[]);
        says(&run, "58 SASL_AUTHENTICATION_FAILED");
        assert_eq!(run.field("exit_reason"), "auth");
        assert!(!run.stderr.contains("not-the-password"), "{run}");
    }
}

/// The broker names itself by an address that nobody listens at: everything but seeds goes over the bootstrap connection.
#[test]
fn an_advertised_address_that_cannot_be_reached_matters_to_seeds_alone() {
    let kafka = Kafka::shared(Version::V4_3);
    let proxy = KafkaProxy::to(&kafka.bootstrap());
    let advertised = proxy.bootstrap();
    let front = Proxy::to(advertised.parse().expect("one address"));
    let sandbox = Sandbox::new("k-init")
        .env("KAFKA_BOOTSTRAP_SERVERS", front.address().to_string())
        .env("MAX_RETRIES", "1")
        .config(&[
            ("topics/far.json", json!({"partitions": 1})),
            ("acls/User:far.json", json!([{"resource": {"type": "topic", "name": "far"}, "operation": "Read"}])),
            ("users/far.json", json!({"password": "a-password-for-far"})),
        ]);
    sandbox.write("seeds/far.jsonl", "{\"value\": 1}\n");
    // The door shuts for new clients while the one through the front is held up in it.
    proxy.spoil(ApiKey::Metadata, 1, Verdict::Delay(Duration::from_millis(500)));
    let running = sandbox.spawn(&[]);
    kit::eventually(Duration::from_secs(10), || proxy.count(ApiKey::Metadata) == 1);
    proxy.refuse(1);
    let run = running.wait();
    run.expect_code(1);
    let actions = run.actions();
    let wanted =
        [("topics/far", "created"), ("acls/User:far", "created"), ("users/far", "created"), ("seeds/far", "failed")];
    for (name, action) in wanted {
        assert_eq!(actions.get(name).map(String::as_str), Some(action), "{name}\n{run}");
    }
    run.expect_stderr(&format!("nothing listens at {advertised}")).expect_stderr("advertised.listeners");
    proxy.allow(1);
    proxy.pass();
    let healed = sandbox.run(&[]);
    healed.expect_code(0);
    assert_eq!(healed.count("created"), 1, "{healed}");
}
