//! A Java client's own files, mounted as they are: what Java takes is taken, what it refuses is refused, and nothing secret is said.

use std::process::Command;

use kit::sandbox::Sandbox;
use kit::servers::kafka::{Kafka, Listener, Version};
use serde_json::json;

/// A sandbox with a topic and a client's file.
fn with(properties: &str) -> Sandbox {
    let sandbox = Sandbox::new("k-init").config(&[("topics/java.json", json!({}))]);
    let file = sandbox.path("client.properties");
    std::fs::write(&file, properties).expect("the sandbox can be written");
    sandbox.env("KAFKA_CLIENT_CONFIG", file.display().to_string()).env("WAIT_TIMEOUT", "20s")
}

const PLAIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule";
const SCRAM: &str = "org.apache.kafka.common.security.scram.ScramLoginModule";

#[test]
fn javas_own_liberties_log_in() {
    let kafka = Kafka::shared(Version::V4_3);
    let servers = kafka.bootstrap_on(Listener::Sasl);
    with(&format!(
        "security.protocol=sasl_plaintext  \nsasl.mechanism=PLAIN \nbootstrap.servers=SASL_PLAINTEXT://{servers} \n\
         sasl.jaas.config={PLAIN} required username = \"admin\" password = 'admin-secret' ;\n"
    ))
    .run(&["plan"])
    .expect_code(2);
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let secrets = folder.path().join("secrets.properties");
    std::fs::write(&secrets, "kafka.password=admin-secret\n").expect("the folder can be written");
    with(&format!(
        "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-256\nbootstrap.servers={servers}\nconfig.providers=file\n\
         config.providers.file.class=org.apache.kafka.common.config.provider.FileConfigProvider\n\
         sasl.jaas.config={SCRAM} required username=\"admin\" password=\"${{file:{}:kafka.password}}\";\n",
        secrets.display()
    ))
    .run(&["plan"])
    .expect_code(2);
}

#[test]
fn a_line_that_java_refuses_is_refused_and_its_password_is_not_said() {
    for line in [
        format!(r#""{SCRAM} required username=\\"app\\" password=\\"S3cr3t-of-app\\";""#),
        format!(r#"{SCRAM} required username="app" password="S3cr3t-of-app""#),
        format!(r#"{SCRAM} required username="app" password="S3cr3t-of-app"; {SCRAM} required;"#),
    ] {
        let run = with(&format!("security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\nsasl.jaas.config={line}\n"))
            .run(&[]);
        run.expect_code(1).expect_stderr("sasl.jaas.config: ");
        assert!(!run.stderr.contains("S3cr3t-of-app"), "{run}");
    }
    let address = Sandbox::new("k-init")
        .env("KAFKA_BOOTSTRAP_SERVERS", "SASL_SSL://app:S3cr3t-of-app@h:9092")
        .config(&[("topics/java.json", json!({}))]);
    let run = address.run(&[]);
    run.expect_code(1).expect_stderr("KAFKA_BOOTSTRAP_SERVERS: entry 1: must be host:port");
    assert!(!run.stderr.contains("S3cr3t"), "{run}");
}

/// A token of the broker's own (KIP-48), which Java marks by `tokenauth`.
#[test]
fn a_delegation_token_logs_in() {
    let kafka = Kafka::of(Version::V4_3).setting("delegation.token.secret.key=a-key-for-tokens").start();
    let admin = format!(
        "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-256\nsasl.jaas.config={SCRAM} required username=\"admin\" password=\"admin-secret\";\n"
    );
    let servers = kafka.bootstrap_on(Listener::Sasl);
    let token = kafka.oracle_with(&servers, &admin, &["token"]);
    let (id, hmac) = (token["id"].as_str().expect("an id"), token["hmac"].as_str().expect("an HMAC"));
    let run = with(&format!(
        "bootstrap.servers={servers}\nsecurity.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-256\n\
         sasl.jaas.config={SCRAM} required username=\"{id}\" password=\"{hmac}\" tokenauth=\"true\";\n"
    ))
    .run(&[]);
    run.expect_code(0);
    assert!(!run.stderr.contains(hmac), "{run}");
}

fn openssl(folder: &std::path::Path, arguments: &str) {
    let output =
        Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().expect("openssl is there");
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A broker whose TLS listener has the certificate in `FOLDER/server.pem`.
fn with_certificate(folder: &std::path::Path) -> Kafka {
    let key = std::fs::read_to_string(folder.join("key.pem")).expect("openssl made it");
    let certificate = std::fs::read_to_string(folder.join("cert.pem")).expect("openssl made it");
    std::fs::write(folder.join("server.pem"), key + &certificate).expect("the folder can be written");
    let store = folder.join("server.pem").display().to_string();
    Kafka::of(Version::V4_3).setting(&format!("listener.name.sasls.ssl.keystore.location={store}")).start()
}

fn encrypted(kafka: &Kafka, folder: &std::path::Path) -> Sandbox {
    Sandbox::new("k-init")
        .env("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_on(Listener::SaslTls))
        .env("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
        .env("KAFKA_SASL_MECHANISM", "PLAIN")
        .env("KAFKA_USERNAME", "admin")
        .env("KAFKA_PASSWORD", "admin-secret")
        .env("KAFKA_CA_FILE", folder.join("ca.pem").display().to_string())
        .env("WAIT_TIMEOUT", "20s")
        .config(&[("topics/tls.json", json!({}))])
}

/// As Kafka's own documentation used to make them: signed without extensions, which makes version 1.
#[test]
fn a_certificate_of_version_1_is_told_as_one_and_insecure_takes_it() {
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let folder = folder.path();
    openssl(folder, "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=ca -days 2");
    openssl(folder, "req -newkey rsa:2048 -nodes -keyout key.pem -out req.pem -subj /CN=127.0.0.1");
    openssl(folder, "x509 -req -in req.pem -CA ca.pem -CAkey ca.key -CAcreateserial -out cert.pem -days 2");
    let kafka = with_certificate(folder);
    let mut sandbox = encrypted(&kafka, folder);
    let run = sandbox.run(&[]);
    run.expect_code(1).expect_stderr("it is of X.509 version 1: make one of version 3");
    assert!(!run.stderr.contains("UnsupportedCertVersion"), "{run}");
    sandbox.set("KAFKA_INSECURE", "true");
    sandbox.run(&[]).expect_code(0);
    sandbox.unset("KAFKA_INSECURE");
    sandbox.set("KAFKA_CERT_FILE", folder.join("cert.pem").display().to_string());
    sandbox.set("KAFKA_KEY_FILE", folder.join("key.pem").display().to_string());
    sandbox.run(&[]).expect_code(1).expect_stderr("CERT_FILE cannot be used: it is of X.509 version 1");
}

#[test]
fn a_self_signed_certificate_that_is_itself_the_root_is_trusted_for_its_names() {
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let folder = folder.path();
    openssl(
        folder,
        "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -subj /CN=kafka -days 2 -addext subjectAltName=IP:127.0.0.1",
    );
    std::fs::copy(folder.join("cert.pem"), folder.join("ca.pem")).expect("the folder can be written");
    let kafka = with_certificate(folder);
    encrypted(&kafka, folder).run(&[]).expect_code(0);
    let port = kafka.address(1, Listener::SaslTls).port();
    let mut elsewhere = encrypted(&kafka, folder);
    elsewhere.set("KAFKA_BOOTSTRAP_SERVERS", format!("localhost:{port}"));
    elsewhere.run(&[]).expect_code(1).expect_stderr("it is for another name");
    // Java's way to check the chain and not the name; and ours.
    elsewhere.set("KAFKA_VERIFY_HOSTNAME", "false");
    elsewhere.run(&[]).expect_code(0).expect_stderr("KAFKA_VERIFY_HOSTNAME is false");
    elsewhere.unset("KAFKA_VERIFY_HOSTNAME");
    let file = elsewhere.path("client.properties");
    std::fs::write(&file, "ssl.endpoint.identification.algorithm=\n").expect("the sandbox can be written");
    elsewhere.set("KAFKA_CLIENT_CONFIG", file.display().to_string());
    elsewhere.run(&[]).expect_code(0).expect_stderr("KAFKA_VERIFY_HOSTNAME is false");
}
