//! OAUTHBEARER by client credentials: tokens from a scripted endpoint, taken by a real broker (unsigned ones, which it accepts).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use kit::sandbox::Sandbox;
use kit::scripted_http::{Answer, ScriptedHttp};
use kit::servers::kafka::{Kafka, Listener, Version};
use serde_json::json;

fn sandbox(kafka: &Kafka, endpoint: &ScriptedHttp) -> Sandbox {
    Sandbox::new("k-init")
        .env("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_on(Listener::Sasl))
        .env("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
        .env("KAFKA_SASL_MECHANISM", "OAUTHBEARER")
        .env("KAFKA_OAUTH_TOKEN_URL", format!("{}/realm/token", endpoint.url()))
        .env("KAFKA_OAUTH_CLIENT_ID", "k-init")
        .env("KAFKA_OAUTH_CLIENT_SECRET", "the-secret-of-the-client")
        .env("KAFKA_OAUTH_SCOPE", "kafka write")
        .env("KAFKA_OAUTH_EXTENSIONS", "logicalCluster=lkc-1,identityPoolId=pool-1")
        .env("WAIT_TIMEOUT", "15s")
        .config(&[("topics/oauth.json", json!({"partitions": 1}))])
}

fn token() -> Answer {
    Answer::json(200, &json!({"access_token": Kafka::token("admin"), "token_type": "Bearer", "expires_in": 300}))
}

#[test]
fn a_token_is_fetched_once_and_logs_in() {
    for version in Version::ALL {
        let kafka = Kafka::shared(version);
        let endpoint = ScriptedHttp::new(|_, _| token());
        let sandbox = sandbox(kafka, &endpoint);
        sandbox.write("seeds/oauth.jsonl", "{\"value\": 1}\n");
        let run = sandbox.run(&[]);
        run.expect_code(0);
        let asked = endpoint.log();
        assert_eq!(asked.len(), 1, "several connections, one token\n{run}");
        let basic = format!("Basic {}", BASE64.encode("k-init:the-secret-of-the-client"));
        assert_eq!((asked[0].method.as_str(), asked[0].target.as_str()), ("POST", "/realm/token"));
        assert_eq!(asked[0].header("authorization"), Some(basic.as_str()));
        assert_eq!(String::from_utf8_lossy(&asked[0].body), "grant_type=client_credentials&scope=kafka%20write");
        assert!(!run.stderr.contains(&Kafka::token("admin")[..40]), "{run}");
    }
}

/// The same keys in a Java client's file.
#[test]
fn a_java_clients_file_names_the_endpoint() {
    let kafka = Kafka::shared(Version::V4_3);
    let endpoint = ScriptedHttp::new(|_, _| token());
    let sandbox = Sandbox::new("k-init").config(&[("topics/oauth.java.json", json!({"partitions": 1}))]);
    let file = sandbox.path("client.properties");
    let text = format!(
        "bootstrap.servers={}\nsecurity.protocol=SASL_PLAINTEXT\nsasl.mechanism=OAUTHBEARER\n\
         sasl.login.callback.handler.class=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler\n\
         sasl.oauthbearer.token.endpoint.url={}/token\n\
         sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required \
         clientId=\"k-init\" clientSecret=\"the-secret-of-the-client\" scope=\"kafka\";\n",
        kafka.bootstrap_on(Listener::Sasl),
        endpoint.url()
    );
    std::fs::write(&file, text).expect("the sandbox can be written");
    sandbox.env("KAFKA_CLIENT_CONFIG", file.display().to_string()).run(&[]).expect_code(0);
    assert_eq!(endpoint.log().len(), 1);
}

/// What the endpoint refuses is a refused login; what may pass is waited for. Neither says the secret.
#[test]
fn an_endpoint_that_refuses_ends_as_auth_and_one_that_is_down_is_waited_for() {
    let kafka = Kafka::shared(Version::V4_3);
    let refusing = ScriptedHttp::new(|_, _| Answer::json(401, &json!({"error": "invalid_client"})));
    let run = sandbox(kafka, &refusing).env("EXIT_CODES", "detailed").run(&[]);
    run.expect_code(77).expect_stderr("status 401: invalid_client");
    assert!(!run.stderr.contains("the-secret-of-the-client"), "{run}");
    let late = ScriptedHttp::new(|_, number| if number < 3 { Answer::json(503, &json!({})) } else { token() });
    let run = sandbox(kafka, &late).run(&[]);
    run.expect_code(0);
    assert!(run.elapsed < Duration::from_secs(30), "{run}");
    // A token that the broker does not take.
    let strange = ScriptedHttp::new(|_, _| Answer::json(200, &json!({"access_token": "no.token.", "expires_in": 60})));
    sandbox(kafka, &strange).run(&[]).expect_code(1).expect_stderr("OAUTHBEARER");
}
