//! k-init on real brokers, kind by kind: what differs, what may not be changed, what is wrong beforehand, what rights are missing.

use kit::proxy::KafkaProxy;
use kit::sandbox::Sandbox;
use kit::servers::kafka::{Kafka, Listener, Version};
use serde_json::{Value, json};

fn sandbox(kafka: &Kafka) -> Sandbox {
    Sandbox::new("k-init").env("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap())
}

fn logged_in(kafka: &Kafka, (user, password): (&str, &str)) -> Sandbox {
    Sandbox::new("k-init")
        .env("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_on(Listener::Sasl))
        .env("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
        .env("KAFKA_SASL_MECHANISM", "PLAIN")
        .env("KAFKA_USERNAME", user)
        .env("KAFKA_PASSWORD", password)
}

/// Scenario 6: one bad item, and all of them are named.
#[test]
fn scenario_06_one_bad_item_in_fifty_and_nothing_is_written() {
    for version in Version::ALL {
        let kafka = Kafka::shared(version);
        kafka.oracle(&["create", "bad.41", "4", "1"]);
        let proxy = KafkaProxy::to(&kafka.bootstrap());
        let mut topics = serde_json::Map::new();
        for number in 0..50 {
            topics.insert(format!("bad.{number}"), json!({"partitions": 1, "replicas": 1}));
        }
        topics["bad.37"] = json!({"partitions": 1, "config": {"segment.bytes": 13}});
        topics["bad.41"] = json!({"partitions": 2});
        let acl = |operation: &str| json!([{"resource": {"type": "group", "name": "g"}, "operation": operation}]);
        let sandbox = sandbox(kafka)
            .env("KAFKA_BOOTSTRAP_SERVERS", proxy.bootstrap())
            .config(&[("topics.json", Value::Object(topics)), ("acls/User:bad.json", acl("Write"))]);
        let run = sandbox.run(&[]);
        run.expect_code(1).expect_stderr("Write on a group means nothing");
        assert_eq!(proxy.requests(), 0, "what the files alone show is said before any connection");

        sandbox.write("acls/User:bad.json", acl("Read").to_string());
        let run = sandbox.run(&[]);
        run.expect_code(1)
            .expect_stderr("bad.37")
            .expect_stderr("40 INVALID_CONFIG")
            .expect_stderr("/partitions: 4 -> 2 (cannot be changed in place)");
        assert_eq!(proxy.writes(), [""; 0], "{run}");
        assert!(kafka.oracle(&["topics"])["bad.0"].is_null());

        sandbox.write("topics/bad.more.json", "{}");
        sandbox.remove("topics/bad.more.json");
        let mut warned = sandbox;
        warned.set("ON_DRIFT", "warn");
        warned.write(
            "topics.json",
            json!({"bad.41": {"partitions": 2, "config": {"retention.ms": 5}}, "bad.0": {}}).to_string(),
        );
        let run = warned.run(&[]);
        run.expect_code(0);
        assert_eq!(run.actions()["topics/bad.41"], "drifted");
        let topics = kafka.oracle(&["topics"]);
        assert_eq!(
            topics["bad.41"],
            json!({"partitions": 4, "replicas": 1, "in_sync": 1, "config": {"retention.ms": "5"}})
        );
    }
}

/// Scenario 7: defaults of every source, values as the broker renders them; then one hand edit.
#[test]
fn scenario_07_defaults_of_brokers_are_no_difference_and_one_hand_edit_is_one() {
    for version in Version::ALL {
        let kafka = Kafka::of(version).setting("log.retention.ms=777000").start();
        let sandbox = sandbox(&kafka).config(&[(
            "topics/noise.json",
            json!({"partitions": 2, "config": {"cleanup.policy": "delete, compact", "min.cleanable.dirty.ratio": "1.50e-1", "retention.ms": "777000"}}),
        )]);
        sandbox.run(&[]).expect_code(0);
        let topic = &kafka.oracle(&["topics"])["noise"];
        assert_eq!(topic["config"]["retention.ms"], "777000", "an equal default is pinned once");
        kafka.oracle(&["set", "noise", "segment.ms=3600000"]);
        let quiet = sandbox.run(&["plan"]);
        quiet.expect_code(0);
        kafka.oracle(&["set", "noise", "retention.ms=1"]);
        let plan = sandbox.run(&["plan"]);
        plan.expect_code(2);
        assert!(plan.stdout.contains(r#"/config/retention.ms: \"1\" -> \"777000\""#), "{plan}");
        // null unsets, growing grows; what no file names stays.
        sandbox.write(
            "topics/noise.json",
            json!({"partitions": 3, "config": {"retention.ms": null, "flush.ms": null}}).to_string(),
        );
        sandbox.run(&[]).expect_code(0).expect_stderr("growing from 2 to 3 partitions moves keys");
        let topic = &kafka.oracle(&["topics"])["noise"];
        assert_eq!((&topic["partitions"], &topic["config"]["retention.ms"]), (&json!(3), &Value::Null));
        assert_eq!(topic["config"]["segment.ms"], "3600000");
    }
}

/// Scenario 3, password drift: another hand changes a password with equal iterations.
#[test]
fn scenario_03_a_changed_password_is_found_by_logging_in() {
    for version in Version::ALL {
        let kafka = Kafka::shared(version);
        let proxy = KafkaProxy::to(&kafka.bootstrap());
        let user = |password: &str| json!({"password": password, "mechanisms": ["SCRAM-SHA-512"], "iterations": 4096});
        let mut mine = sandbox(kafka)
            .env("KAFKA_BOOTSTRAP_SERVERS", proxy.bootstrap())
            .env("KAFKA_VERIFY_SERVERS", format!("SASL_PLAINTEXT://{}", kafka.bootstrap_on(Listener::Sasl)))
            .config(&[("users/drift.json", user("the-declared-one")), ("users/steady.json", user("a-steady-one"))]);
        mine.run(&[]).expect_code(0).expect_stderr("without TLS");
        let other =
            sandbox(kafka).config(&[("users/drift.json", json!({"password": "$__env{OTHER}", "iterations": 8192}))]);
        let mut other = other.env("OTHER", "out-of-band-one");
        other.run(&[]).expect_code(0);
        other.write("users/drift.json", user("$__env{OTHER}").to_string());
        other.run(&[]).expect_code(0);
        other.unset("OTHER");
        other.run(&["validate"]).expect_code(0).expect_stderr("OTHER");

        let plan = mine.run(&["plan"]);
        plan.expect_code(2);
        assert!(!plan.stderr.contains("the-declared-one") && !plan.stdout.contains("the-declared-one"), "{plan}");
        assert_eq!((plan.count("updated"), plan.count("unchanged")), (1, 1), "{plan}");
        proxy.clear();
        let run = mine.run(&[]);
        run.expect_code(0);
        assert_eq!(run.actions().get("users/drift").map(String::as_str), Some("updated"), "{run}");
        assert_eq!(proxy.writes(), ["AlterUserScramCredentials"], "the steady user is not written again");
        mine.run(&["plan"]).expect_code(0);

        mine.unset("KAFKA_VERIFY_SERVERS");
        let blind = mine.run(&["plan"]);
        blind.expect_code(0);
        assert!(blind.stdout.contains("password not verified"), "{blind}");
    }
}

#[test]
fn bindings_that_no_file_names_are_left_and_named() {
    for version in Version::ALL {
        let kafka = Kafka::shared(version);
        kafka.oracle(&["grant", "User:extra", "Topic", "mine", "Write"]);
        let sandbox = sandbox(kafka).config(&[(
            "acls/User%3Aextra.json",
            json!([{"resource": {"type": "topic", "name": "mine"}, "operation": "Read"}]),
        )]);
        let plan = sandbox.run(&["plan"]);
        plan.expect_code(2);
        assert!(plan.stdout.contains("has allow Write on topic mine, which no file names"), "{plan}");
        sandbox.run(&[]).expect_code(0).expect_stderr("allow Write on topic mine, which no file names");
        let acls = kafka.oracle(&["acls"]).to_string();
        assert!(
            acls.contains("User:extra ALLOW WRITE TOPIC") && acls.contains("User:extra ALLOW READ TOPIC"),
            "{acls}"
        );
        sandbox.run(&["plan"]).expect_code(0);
    }
}

#[test]
fn a_quota_key_is_removed_by_null_and_others_stay() {
    let kafka = Kafka::shared(Version::V4_3);
    let sandbox = sandbox(kafka).config(&[
        ("quotas/user=q,client-id=<default>.json", json!({"producer_byte_rate": 1024, "consumer_byte_rate": 2048})),
        ("quotas/ip=10.9.8.7.json", json!({"connection_creation_rate": 10})),
    ]);
    sandbox.run(&[]).expect_code(0);
    sandbox.write("quotas/user=q,client-id=<default>.json", json!({"producer_byte_rate": null}).to_string());
    sandbox.run(&[]).expect_code(0);
    let quotas = kafka.oracle(&["quotas"]).to_string();
    assert!(
        quotas.contains("\"consumer_byte_rate\":2048.0") && !quotas.contains("producer_byte_rate\":1024"),
        "{quotas}"
    );
    assert!(quotas.contains("ip=10.9.8.7"), "{quotas}");
    sandbox.write("quotas/ip=10.9.8.7.json", json!({"producer_byte_rate": 0.5}).to_string());
    sandbox
        .run(&["validate"])
        .expect_code(1)
        .expect_stderr("has only connection_creation_rate")
        .expect_stderr("must be a whole number");
}

/// Scenario 8, least privilege: right and resource of each denied object.
#[test]
fn scenario_08_missing_rights_are_named_as_right_and_resource() {
    for version in Version::ALL {
        let kafka = Kafka::shared(version);
        kafka.oracle(&["create", "rights.seen", "1", "1"]);
        kafka.oracle(&["create", "rights.hidden", "1", "1"]);
        for right in ["DESCRIBE", "DESCRIBE_CONFIGS"] {
            kafka.oracle(&["grant", "User:limited", "Topic", "rights.seen", right]);
        }
        let run = logged_in(kafka, Kafka::LIMITED)
            .env("EXIT_CODES", "detailed")
            .config(&[
                ("topics/rights.seen.json", json!({"config": {"retention.ms": 5}})),
                ("topics/rights.hidden.json", json!({"partitions": 1})),
                ("quotas/user=x.json", json!({"producer_byte_rate": 1})),
                ("users/x.json", json!({"password": "a-password-for-x"})),
            ])
            .run(&[]);
        run.expect_code(77)
            .expect_stderr("needs AlterConfigs on Topic:rights.seen")
            .expect_stderr("needs Describe on Topic:rights.hidden")
            .expect_stderr("needs DescribeConfigs on Cluster:kafka-cluster")
            .expect_stderr("needs Describe on Cluster:kafka-cluster");
        assert!(!run.stderr.contains("Request(processor"), "{run}");
        // What only the validation finds is a missing right all the same.
        let created = logged_in(kafka, Kafka::LIMITED)
            .env("EXIT_CODES", "detailed")
            .config(&[("topics/rights.new.json", json!({}))]);
        created.run(&[]).expect_code(77).expect_stderr("needs Describe on Topic:rights.new");
        kafka.oracle(&["grant", "User:limited", "Topic", "rights.new", "DESCRIBE"]);
        let run = created.run(&[]);
        run.expect_code(77).expect_stderr("needs Create on Topic:rights.new");
        assert_eq!(run.field("exit_reason"), "auth");
    }
}

/// Scenario 8, the other end: no authorizer at all.
#[test]
fn scenario_08_without_an_authorizer_acls_are_one_clear_line() {
    let kafka = Kafka::of(Version::V4_3).setting("authorizer.class.name=").start();
    let sandbox = sandbox(&kafka).config(&[("topics/open.json", json!({"partitions": 1}))]);
    sandbox.run(&[]).expect_code(0);
    sandbox.write(
        "acls/User:a.json",
        json!([{"resource": {"type": "topic", "name": "*"}, "operation": "Read"}]).to_string(),
    );
    sandbox.run(&[]).expect_code(1).expect_stderr("54 SECURITY_DISABLED").expect_stderr("or remove the acls");
    let folder = sandbox.path("out");
    sandbox.run(&["export", &folder.display().to_string()]).expect_code(0);
    assert!(folder.join("topics/open.json").exists());
}

#[test]
fn every_way_in_works() {
    let tls = kit::servers::certificates().display().to_string();
    for version in Version::ALL {
        let kafka = Kafka::shared(version);
        let (user, password) = Kafka::ADMIN;
        for (mechanism, listener, protocol) in [
            ("PLAIN", Listener::Sasl, "SASL_PLAINTEXT"),
            ("SCRAM-SHA-256", Listener::SaslTls, "SASL_SSL"),
            ("SCRAM-SHA-512", Listener::SaslTls, "SASL_SSL"),
        ] {
            let mut sandbox = logged_in(kafka, (user, password))
                .env("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_on(listener))
                .env("KAFKA_SECURITY_PROTOCOL", protocol)
                .env("KAFKA_SASL_MECHANISM", mechanism);
            if protocol == "SASL_SSL" {
                sandbox.set("KAFKA_CA_FILE", format!("{tls}/ca.pem"));
            }
            sandbox.write("topics/ways.json", "{}");
            sandbox.run(&[]).expect_code(0);
            sandbox.run(&["healthcheck"]).expect_code(0);
            sandbox.set("KAFKA_PASSWORD", "not-the-password");
            sandbox.run(&["healthcheck"]).expect_code(1).expect_stderr("58 SASL_AUTHENTICATION_FAILED");
        }
        let bearer = Sandbox::new("k-init")
            .env("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_on(Listener::Sasl))
            .env("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
            .env("KAFKA_SASL_MECHANISM", "OAUTHBEARER")
            .config(&[("topics/bearer.json", json!({"partitions": 1}))]);
        let token = bearer.path("token");
        std::fs::write(&token, Kafka::token("admin") + "\n").expect("the sandbox can be written");
        let mut bearer = bearer.env("KAFKA_TOKEN_FILE", token.display().to_string());
        bearer.run(&[]).expect_code(0);
        assert_eq!(kafka.oracle(&["topics"])["bearer"]["partitions"], 1);
        std::fs::write(&token, "no.token.").expect("the sandbox can be written");
        bearer.set("WAIT_TIMEOUT", "2s");
        bearer.run(&[]).expect_code(1).expect_stderr("OAUTHBEARER");
        let mutual = Sandbox::new("k-init")
            .env("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_on(Listener::MutualTls))
            .env("KAFKA_SECURITY_PROTOCOL", "SSL")
            .env("KAFKA_CA_FILE", format!("{tls}/ca.pem"))
            .env("KAFKA_CERT_FILE", format!("{tls}/client.crt"))
            .env("KAFKA_KEY_FILE", format!("{tls}/client.key"))
            .config(&[("topics/ways.json", json!({}))]);
        mutual.run(&[]).expect_code(0);
        let mut without = mutual;
        without.unset("KAFKA_CERT_FILE");
        without.unset("KAFKA_KEY_FILE");
        without.set("WAIT_TIMEOUT", "5s");
        without.run(&[]).expect_code(1).expect_stderr("client certificate");

        let properties = Sandbox::new("k-init").config(&[("topics/ways.json", json!({}))]);
        let file = properties.path("client.properties");
        let text = format!(
            "bootstrap.servers={}\nsecurity.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\nssl.truststore.type=PEM\n\
             ssl.truststore.location={tls}/ca.pem\nsasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \\\n  \
             username=\"{user}\" password=\"{password}\";\n",
            kafka.bootstrap_on(Listener::SaslTls)
        );
        std::fs::write(&file, text).expect("the sandbox can be written");
        properties.env("KAFKA_CLIENT_CONFIG", file.display().to_string()).run(&["plan"]).expect_code(0);
    }
}

/// `brokers`, `client_metrics` and `groups` are the two requests of `broker_defaults` with another resource.
#[test]
fn settings_of_single_brokers_of_metrics_subscriptions_and_of_groups() {
    for version in Version::ALL {
        let kafka = Kafka::of(version).nodes(1).start();
        let sandbox = sandbox(&kafka).config(&[
            ("brokers/1.json", json!({"log.cleaner.backoff.ms": 16500})),
            (
                "client_metrics/all-producers.json",
                json!({"interval.ms": 30000, "metrics": "org.apache.kafka.producer."}),
            ),
        ]);
        // Groups have settings from Kafka 4.0 on.
        let groups = version == Version::V4_3;
        if groups {
            sandbox.write("groups/analytics.json", json!({"consumer.session.timeout.ms": 50000}).to_string());
        }
        let run = sandbox.run(&[]);
        run.expect_code(0);
        assert_eq!(kafka.oracle(&["settings", "BROKER", "1"])["log.cleaner.backoff.ms"], "16500");
        assert_eq!(kafka.oracle(&["settings", "CLIENT_METRICS", "all-producers"])["interval.ms"], "30000");
        if groups {
            assert_eq!(kafka.oracle(&["settings", "GROUP", "analytics"])["consumer.session.timeout.ms"], "50000");
        }
        let actions = run.actions();
        assert_eq!(actions["client_metrics/all-producers"], "created", "{run}");
        let again = sandbox.run(&[]);
        again.expect_code(0);
        assert_eq!((again.count("writes"), again.count("unchanged")), (0, if groups { 3 } else { 2 }), "{again}");
        // One hand edit is one difference; null unsets.
        kafka.oracle(&["set-broker", "1", "log.cleaner.backoff.ms=16600"]);
        if groups {
            sandbox.write("groups/analytics.json", json!({"consumer.session.timeout.ms": null}).to_string());
        }
        let plan = sandbox.run(&["plan"]);
        plan.expect_code(2);
        assert!(plan.stdout.contains(r#"/log.cleaner.backoff.ms: \"16600\" -> \"16500\""#), "{plan}");
        sandbox.run(&[]).expect_code(0);
        if groups {
            assert!(kafka.oracle(&["settings", "GROUP", "analytics"])["consumer.session.timeout.ms"].is_null());
        } else {
            sandbox.write("groups/analytics.json", json!({"consumer.session.timeout.ms": 50000}).to_string());
            sandbox.run(&[]).expect_code(1).expect_stderr("groups have settings from Kafka 4.0 on");
            sandbox.remove("groups/analytics.json");
        }
        // What is exported says the same.
        let folder = sandbox.path("out");
        sandbox.run(&["export", &folder.display().to_string()]).expect_code(0);
        assert!(folder.join("brokers/1.json").exists() && folder.join("client_metrics/all-producers.json").exists());

        sandbox.write("brokers/7.json", json!({"log.cleaner.backoff.ms": 16500}).to_string());
        sandbox.run(&[]).expect_code(1).expect_stderr("there is no broker 7; there are 1");
        sandbox.remove("brokers/7.json");
        sandbox.write("brokers/one.json", "{}");
        sandbox.run(&["validate"]).expect_code(1).expect_stderr("the name is a broker's id");
    }
}

/// Kafka takes a setting that it does not know for a secret: it tells that it is set, and not to what.
#[test]
fn a_setting_that_the_brokers_do_not_tell_is_never_silently_equal() {
    let kafka = Kafka::of(Version::V4_3).start();
    let mut sandbox = sandbox(&kafka).config(&[("broker_defaults.json", json!({"my.plugin.setting": "value-one"}))]);
    sandbox.run(&[]).expect_code(0);
    sandbox.write("broker_defaults.json", json!({"my.plugin.setting": "value-two"}).to_string());
    let run = sandbox.run(&[]);
    run.expect_code(0).expect_stderr("my.plugin.setting is set and not compared");
    // What Kafka calls a password is masked also where it is not set yet.
    sandbox.set("LOG_LEVEL", "debug");
    let clear = "org.apache.kafka.common.security.plain.PlainLoginModule required user_x=\"clear-secret-1\";";
    let body = json!({"listener.name.sasl.plain.sasl.jaas.config": clear});
    sandbox.write("broker_defaults.json", body.to_string());
    let plan = sandbox.run(&["plan"]);
    assert!(!plan.stdout.contains("clear-secret-1") && !plan.stderr.contains("clear-secret-1"), "{plan}");
}

#[test]
fn bindings_that_kafka_never_matches_are_refused_with_what_was_meant() {
    let sandbox = Sandbox::new("k-init").config(&[
        ("acls/user:x.json", json!([{"resource": {"type": "topic", "name": "t"}, "operation": "Read"}])),
        (
            "acls/User:app.json",
            json!([
                {"resource": {"type": "topic", "name": "orders-*"}, "operation": "Read"},
                {"resource": {"type": "topic", "name": "t"}, "operation": "Read", "host": "10.0.0.0/8"},
            ]),
        ),
    ]);
    sandbox
        .run(&["validate"])
        .expect_code(1)
        .expect_stderr("was User:x meant?")
        .expect_stderr("patternType")
        .expect_stderr("no name and no range ever matches");
}
