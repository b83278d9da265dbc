//! A canary in every secret setting and file: whatever a run does, and however it fails, nothing that it leaves anywhere sings.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use kit::authority::Authority;
use kit::dressed::{dressed, shapes};
use kit::fixture::{cluster, cluster_saying, grafana, grafana_init, os_init, ready};
use kit::grafana::{Effect, Fault};
use kit::loki::Loki;
use kit::sandbox::{Run, Sandbox, sung};
use kit::scripted_http::{Answer, Response, ScriptedHttp};
use kit::servers::kafka::{Kafka, Listener, Version};
use serde_json::json;

/// Each secret contains it, so that one search finds any of them.
const CANARY: &str = "kanarienvogel";

/// Fails if a text holds the canary, or eight letters of it, as it is or in one of the ways that it travels.
#[track_caller]
fn silent(place: &str, text: &str) {
    let canary = BTreeSet::from([CANARY.to_owned()]);
    let line = text.lines().find(|line| sung(&canary, line).is_some());
    assert!(line.is_none() && sung(&canary, text).is_none(), "{place} sings: {line:?}");
}

#[track_caller]
fn silent_run(run: &Run) {
    silent("stdout", &run.stdout);
    silent("stderr", &run.stderr);
}

fn silent_folder(folder: &Path) {
    for entry in std::fs::read_dir(folder).expect("a folder of ours") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            silent_folder(&path);
        } else {
            silent(
                &path.display().to_string(),
                &String::from_utf8_lossy(&std::fs::read(&path).expect("a file of ours")),
            );
        }
    }
}

/// A server that says back whatever it was told, as careless ones do, with this status.
fn echo(status: u16) -> ScriptedHttp {
    ScriptedHttp::new(move |request, _| {
        let headers: Vec<String> = request.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let body = String::from_utf8_lossy(&request.body);
        let said = json!({"message": format!("no: {} {} {}", request.target, headers.join(", "), body), "error": {"reason": headers.join(", ")}});
        Answer::Say(Response::json(status, &said))
    })
}

/// A cluster that is ready, and then says back whatever body it is sent.
fn cluster_like(status: u16) -> ScriptedHttp {
    ScriptedHttp::new(move |request, _| match (request.method.as_str(), request.path()) {
        ("GET", "/" | "/_cluster/health") => ready(request),
        ("GET", _) => Answer::json(200, &json!({})),
        ("POST", path) if path.ends_with("/_simulate") => Answer::json(200, &json!({})),
        _ => {
            let body = String::from_utf8_lossy(&request.body).into_owned();
            Answer::json(status, &json!({"message": body, "error": {"reason": body}}))
        }
    })
}

/// Every way to say it, of a run that is told everywhere.
fn loud(sandbox: Sandbox, loki: &Loki, gateway: &ScriptedHttp, format: &str) -> Sandbox {
    let result = sandbox.path("out/result.json");
    std::fs::create_dir_all(sandbox.path("out")).expect("our own folder");
    sandbox
        .env("LOG_LEVEL", "trace")
        .env("RUST_LOG", "trace")
        .env("LOG_FORMAT", format)
        .env("RESULT_FILE", result.display().to_string())
        .env("WAIT_TIMEOUT", "300ms")
        .env("MAX_RETRIES", "1")
        .env("LOKI_URL", loki.url())
        .env("LOKI_TOKEN", format!("{CANARY}-loki"))
        .env("PUSHGATEWAY_URL", gateway.url().replace("http://", &format!("http://user:{CANARY}-gateway@")))
}

#[track_caller]
fn all_silent(sandbox: &Sandbox, run: &Run, loki: &Loki, gateway: &ScriptedHttp) {
    silent_run(run);
    silent_folder(&sandbox.path("out"));
    assert!(!loki.requests().is_empty() || !run.stderr.contains("Loki"), "{run}");
    silent("what Loki keeps", &loki.lines().join("\n"));
    for push in gateway.log() {
        silent("what the Pushgateway gets", &String::from_utf8_lossy(&push.body));
    }
}

#[test]
fn servers_that_say_back_what_they_were_told() {
    for status in [400, 401, 403, 500, 503] {
        let (server, gateway) = (echo(status), echo(400));
        for make in [os_init, grafana_init] {
            for (format, command) in [("json", "apply"), ("logfmt", "wait"), ("text", "plan"), ("text", "healthcheck")]
            {
                let loki = Loki::new();
                let sandbox = make(&server.url());
                for prefix in ["OPENSEARCH", "GRAFANA"] {
                    let file = sandbox.path(&format!("{prefix}-password"));
                    std::fs::write(&file, format!("{CANARY}-{prefix}\n")).expect("our own folder");
                }
                let mut sandbox = loud(sandbox, &loki, &gateway, format);
                sandbox.unset("GRAFANA_PASSWORD");
                for prefix in ["OPENSEARCH", "GRAFANA"] {
                    sandbox.set(&format!("{prefix}_USERNAME"), "admin");
                    let file = sandbox.path(&format!("{prefix}-password")).display().to_string();
                    sandbox.set(&format!("{prefix}_PASSWORD_FILE"), file);
                }
                let run = sandbox.run(&[command]);
                run.expect_code(1);
                all_silent(&sandbox, &run, &loki, &gateway);
            }
        }
    }
}

#[test]
fn tokens_and_user_information_and_keys() {
    let (server, gateway, loki) = (echo(400), echo(202), Loki::new());
    let key = tempfile::NamedTempFile::new().expect("the temporary folder can be written");
    std::fs::write(key.path(), format!("-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----\n"))
        .expect("ours");
    let authority = tempfile::NamedTempFile::new().expect("the temporary folder can be written");
    std::fs::write(authority.path(), Authority::new().pem()).expect("ours");
    let user = server.url().replace("http://", &format!("http://admin:{CANARY}-in-url@"));
    let path = |file: &tempfile::NamedTempFile| file.path().display().to_string();
    for settings in [
        vec![("OPENSEARCH_TOKEN", format!("{CANARY}-token"))],
        vec![("OPENSEARCH_URL", user)],
        vec![("OPENSEARCH_URL", format!("http://admin:{CANARY}@host with spaces"))],
        vec![("OPENSEARCH_URL", format!("admin:{CANARY}@host:9200"))],
        vec![("OPENSEARCH_PASSWORD", format!("{CANARY}-without-user"))],
        vec![("OPENSEARCH_PASSWORD", format!("{CANARY}-1")), ("OPENSEARCH_PASSWORD_FILE", path(&key))],
        vec![("OPENSEARCH_CERT_FILE", path(&authority)), ("OPENSEARCH_KEY_FILE", path(&key))],
    ] {
        let mut sandbox = loud(os_init(&server.url()), &loki, &gateway, "json");
        for (name, value) in &settings {
            sandbox.set(name, value.as_str());
        }
        let run = sandbox.run(&["apply"]);
        run.expect_code(1);
        all_silent(&sandbox, &run, &loki, &gateway);
    }
}

#[test]
fn what_files_take_from_the_environment() {
    let gateway = echo(202);
    for fault in [None, Some(400), Some(500)] {
        for command in ["plan", "apply", "apply"] {
            let (server, loki) = (grafana(), Loki::new());
            if let Some(status) = fault {
                let words =
                    format!(r#"{{"message":"cannot use {CANARY}-header for {CANARY}-from-file, nor {CANARY}-plain"}}"#);
                server.fault(Fault::on("POST", "/api/datasources", Effect::Answer(status, words)));
            }
            let sandbox = grafana_init(&server.url()).config(&[(
                "datasources/prometheus.json",
                json!({
                    "name": "Prometheus", "type": "prometheus", "access": "proxy", "url": "http://h/$__env{WHERE}",
                    "basicAuth": true, "basicAuthUser": "u", "jsonData": {"httpHeaderName1": "X-Key"},
                    "secureJsonData": {"basicAuthPassword": "$__file{PASSWORD}", "httpHeaderValue1": format!("{CANARY}-plain")}
                }),
            )]);
            let file = sandbox.path("password");
            std::fs::write(&file, format!("{CANARY}-from-file\n")).expect("our own folder");
            let body =
                std::fs::read_to_string(sandbox.config_dir().join("datasources/prometheus.json")).expect("written");
            sandbox.write("datasources/prometheus.json", body.replace("PASSWORD", &file.display().to_string()));
            let sandbox = loud(sandbox, &loki, &gateway, "json").env("WHERE", format!("{CANARY}-header"));
            let sandbox = sandbox.env("WAIT_TIMEOUT", "10s");
            let run = sandbox.run(&[command]);
            assert_eq!(run.code() == Some(1), fault.is_some() && command == "apply", "{run}");
            all_silent(&sandbox, &run, &loki, &gateway);
        }
    }
}

/// A Grafana that quotes the contact point that it refuses.
/// A placeholder in a secret's place that cannot be resolved is no secret: the sentence has to name the variable.
#[test]
fn what_is_not_set_is_named_where_a_secret_belongs() {
    let placeholder = "$__env{NO_SUCH_WEBHOOK_7Q}";
    let url = format!("https://hooks.example.com/{placeholder}");
    let policy = json!({"policy": {"description": "d", "default_state": "a", "states": [{"name": "a"}],
        "error_notification": {"destination": {"slack": {"url": url}}, "message_template": {"source": "failed"}}}});
    for (program, file, body) in [
        ("os-init", "ism_policies/noisy-policy.json", policy),
        ("os-init", "internal_users/noisy-user.json", json!({"password": placeholder})),
        ("grafana-init", "contact_points/noisy-point.json", json!({"type": "slack", "settings": {"url": url}})),
        (
            "grafana-init",
            "datasources/noisy-source.json",
            json!({"type": "loki", "url": "http://l", "secureJsonData": {"password": placeholder}}),
        ),
        ("k-init", "users/noisy-user.json", json!({"password": placeholder})),
    ] {
        let run = Sandbox::new(program).config(&[(file, body)]).run(&["validate"]);
        run.expect_code(0).expect_stderr("the variable NO_SUCH_WEBHOOK_7Q is not set").expect_stderr(file);
    }
}

#[test]
fn contact_points_of_grafana() {
    let (gateway, path) = (echo(202), "/api/v1/provisioning/contact-points");
    for status in [400, 500] {
        let (server, loki) = (grafana(), Loki::new());
        let words = format!(r#"{{"message":"cannot use https://h/{CANARY}-hook nor {CANARY}-password"}}"#);
        server.fault(Fault::on("POST", path, Effect::Answer(status, words)));
        let sandbox = Sandbox::new("grafana-init")
            .env("GRAFANA_URL", server.url())
            .env("GRAFANA_USERNAME", "admin")
            .env("GRAFANA_PASSWORD", "admin")
            .config(&[(
                "contact_points/both.json",
                json!([
                    {"name": "both", "uid": "one", "type": "slack", "settings": {"url": format!("https://h/{CANARY}-hook")}},
                    {"name": "both", "uid": "two", "type": "webhook",
                        "settings": {"url": "http://h", "username": "u", "password": format!("{CANARY}-password")}},
                ]),
            )]);
        let sandbox = loud(sandbox, &loki, &gateway, "json").env("WAIT_TIMEOUT", "10s");
        for (command, code) in [("plan", 2), ("apply", 1)] {
            let run = sandbox.run(&[command]);
            run.expect_code(code);
            all_silent(&sandbox, &run, &loki, &gateway);
        }
    }
}

#[test]
fn exports() {
    let server = grafana();
    let body = json!({
        "name": "Secret", "type": "prometheus", "access": "proxy", "url": "http://h:1",
        "jsonData": {"httpHeaderName1": "X-Key"}, "secureJsonData": {"httpHeaderValue1": format!("{CANARY}-kept")}
    });
    let (status, answer) = server.request(1, "POST", "/api/datasources", &body);
    assert_eq!(status, 200, "{answer}");
    let (loki, gateway) = (Loki::new(), echo(202));
    let sandbox = loud(grafana_init(&server.url()), &loki, &gateway, "json").env("WAIT_TIMEOUT", "10s");
    let run = sandbox.run(&["export", "out/files"]);
    run.expect_code(0);
    assert!(sandbox.path("out/files").read_dir().is_ok_and(|mut files| files.next().is_some()), "{run}");
    all_silent(&sandbox, &run, &loki, &gateway);
}

/// Passwords of users, good ones, wrong ones and ones that the broker refuses; what was set is neither told nor exported.
#[test]
fn users_of_kafka() {
    let kafka = Kafka::shared(Version::V4_3);
    let (loki, gateway) = (Loki::new(), echo(202));
    let login = |sandbox: Sandbox| {
        sandbox
            .env("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_on(Listener::Sasl))
            .env("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
            .env("KAFKA_SASL_MECHANISM", "PLAIN")
            .env("KAFKA_USERNAME", "admin")
            .env("WAIT_TIMEOUT", "20s")
    };
    let sandbox = Sandbox::new("k-init").config(&[
        ("users/canary-plain.json", json!({"password": format!("{CANARY}-plain")})),
        ("users/canary-env.json", json!({"password": "$__env{APP_PASSWORD}", "mechanisms": ["SCRAM-SHA-256"]})),
    ]);
    let mut sandbox = login(loud(sandbox, &loki, &gateway, "json"))
        .env("KAFKA_PASSWORD", "admin-secret")
        .env("APP_PASSWORD", format!("{CANARY}-one"));
    for (password, command, code) in
        [("one", "plan", 2), ("one", "apply", 0), ("one", "apply", 0), ("two", "plan", 2), ("two", "apply", 0)]
    {
        sandbox.set("APP_PASSWORD", format!("{CANARY}-{password}"));
        let run = sandbox.run(&[command]);
        run.expect_code(code);
        all_silent(&sandbox, &run, &loki, &gateway);
    }
    let run = sandbox.run(&["export", "out/files"]);
    run.expect_code(0);
    assert!(sandbox.path("out/files").read_dir().is_ok_and(|mut files| files.next().is_some()), "{run}");
    all_silent(&sandbox, &run, &loki, &gateway);
    sandbox.set("KAFKA_PASSWORD", format!("{CANARY}-wrong"));
    let run = sandbox.run(&["apply"]);
    run.expect_code(1);
    all_silent(&sandbox, &run, &loki, &gateway);
}

/// A Java client's properties and a token that is no token.
#[test]
fn client_properties_and_tokens_of_kafka() {
    let (loki, gateway) = (Loki::new(), echo(202));
    let kafka = Kafka::shared(Version::V4_3).bootstrap_on(Listener::Sasl);
    let module = "org.apache.kafka.common.security.plain.PlainLoginModule";
    let jaas = |rest: &str| {
        format!("security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.jaas.config={module} {rest}\n")
    };
    for properties in [
        jaas(&format!("required username=\"admin\" password=\"{CANARY}-jaas\";")),
        jaas(&format!("required username=\"admin\" password=\"{CANARY}-unended")),
        jaas(&format!("required username=\"admin\" pasword=\"{CANARY}-mistyped\";")),
        format!("ssl.key.password={CANARY}-key\nssl.keystore.password={CANARY}-store\nno.such.setting=1\n"),
    ] {
        let sandbox = loud(Sandbox::new("k-init"), &loki, &gateway, "json").env("KAFKA_BOOTSTRAP_SERVERS", &kafka);
        let file = sandbox.path("client.properties");
        std::fs::write(&file, &properties).expect("our own folder");
        let run = sandbox.env("KAFKA_CLIENT_CONFIG", file.display().to_string()).run(&["wait"]);
        run.expect_code(1);
        silent_run(&run);
    }
    let sandbox = loud(Sandbox::new("k-init"), &loki, &gateway, "json")
        .env("KAFKA_BOOTSTRAP_SERVERS", &kafka)
        .env("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
        .env("KAFKA_SASL_MECHANISM", "OAUTHBEARER")
        .env("KAFKA_TOKEN", format!("{CANARY}.{CANARY}.{CANARY}"));
    let run = sandbox.run(&["wait"]);
    run.expect_code(1);
    all_silent(&sandbox, &run, &loki, &gateway);
}

/// A cluster that is ready and then says back every body that it is sent.
#[test]
fn users_and_repositories_of_opensearch() {
    let (loki, gateway) = (Loki::new(), echo(202));
    for status in [200, 400, 403, 500] {
        let ready = cluster_like(status);
        let sandbox = os_init(&ready.url()).config(&[
            ("internal_users/canary.json", json!({"password": format!("{CANARY}-password"), "backend_roles": ["a"]})),
            ("internal_users/hashed.json", json!({"hash": format!("$2y$12${CANARY}")})),
            (
                "snapshot_repositories/s3.json",
                json!({"type": "s3", "settings": {"bucket": "b", "secret_key": format!("{CANARY}-s3")}}),
            ),
        ]);
        for command in ["plan", "apply"] {
            let sandbox = loud(os_init(&ready.url()), &loki, &gateway, "json").config_from(&sandbox.config_dir());
            let run = sandbox.env("WAIT_TIMEOUT", "10s").run(&[command]);
            assert_ne!(run.code(), Some(0), "{run}");
            silent_run(&run);
            silent("what Loki keeps", &loki.lines().join("\n"));
        }
        let told = ready.log().iter().any(|request| String::from_utf8_lossy(&request.body).contains(CANARY));
        assert!(told, "no secret came as far as the cluster");
    }
}

/// What a cluster shows of keys and of webhooks: masked in a plan, a placeholder in an export.
#[test]
fn keys_and_webhooks_that_opensearch_shows() {
    let (loki, gateway) = (Loki::new(), echo(202));
    let repository = |key: &str| json!({"type": "s3", "settings": {"bucket": "b", "access_key": format!("{CANARY}-{key}"), "secret_key": format!("{CANARY}-{key}-s"), "session_token": format!("{CANARY}-{key}-t")}});
    let policy = |key: &str| {
        let webhook = json!({"custom_webhook": {"host": "h", "path": format!("/{CANARY}-{key}"), "query_params": {"k": format!("{CANARY}-{key}-q")}, "header_params": {"Authorization": format!("{CANARY}-{key}-h")}, "password": format!("{CANARY}-{key}-p")}});
        json!({"policy": {"description": "d", "default_state": "s", "error_notification": {"destination": {"slack": {"url": format!("https://h/{CANARY}-{key}-u")}}, "message_template": {"source": "m"}},
            "states": [{"name": "s", "actions": [{"notification": {"destination": webhook, "message_template": {"source": "m"}}}], "transitions": []}]}})
    };
    let (shown, held) = (repository("held"), policy("held"));
    let server = ScriptedHttp::new(move |request, _| match (request.method.as_str(), request.path()) {
        ("GET", "/" | "/_cluster/health") => ready(request),
        ("GET", "/_snapshot" | "/_snapshot/_all") => Answer::json(200, &json!({"s3": shown})),
        ("GET", path) if path.starts_with("/_plugins/_ism/policies") => {
            let mut row = json!({"_id": "p", "_seq_no": 1, "_primary_term": 1});
            row["policy"] = held["policy"].clone();
            Answer::json(200, &json!({"policies": [row], "total_policies": 1}))
        }
        _ => Answer::json(200, &json!({})),
    });
    let files = [("snapshot_repositories/s3.json", repository("mine")), ("ism_policies/p.json", policy("mine"))];
    let sandbox = loud(os_init(&server.url()).config(&files), &loki, &gateway, "text").env("WAIT_TIMEOUT", "10s");
    sandbox.remove("component_templates/shards.json");
    let run = sandbox.run(&["plan"]);
    run.expect_code(2);
    for path in
        ["/settings/access_key", "/custom_webhook/header_params/Authorization", "/slack/url", "/custom_webhook/path"]
    {
        assert!(run.stdout.contains(path), "{path}\n{run}");
    }
    all_silent(&sandbox, &run, &loki, &gateway);
    let run = sandbox.run(&["export", "out/files", "--kind", "snapshot_repositories", "--kind", "ism_policies"]);
    run.expect_code(0);
    all_silent(&sandbox, &run, &loki, &gateway);
    for variable in [
        "SNAPSHOT_REPOSITORIES_S3_SETTINGS_ACCESS_KEY",
        "ISM_POLICIES_P_POLICY_ERROR_NOTIFICATION_DESTINATION_SLACK_URL",
    ] {
        assert!(run.stdout.contains(variable), "{run}");
    }
}

#[test]
fn programs_of_kafka_too() {
    let (loki, gateway) = (Loki::new(), echo(202));
    for (name, value) in [
        ("KAFKA_SASL_MECHANISM", "PLAIN"),
        ("KAFKA_SASL_MECHANISM", "no-such-mechanism"),
        ("KAFKA_SECURITY_PROTOCOL", "PLAINTEXT"),
    ] {
        let sandbox = Sandbox::new("k-init")
            .env("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")
            .env("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
            .env("KAFKA_USERNAME", "user")
            .env("KAFKA_PASSWORD", format!("{CANARY}-kafka"));
        let sandbox = loud(sandbox, &loki, &gateway, "json").env(name, value);
        let run = sandbox.run(&["wait"]);
        run.expect_code(1);
        all_silent(&sandbox, &run, &loki, &gateway);
    }
}

/// The search itself: it finds what is to be found.
#[test]
fn the_search_finds_a_canary() {
    use base64::Engine;
    for text in [
        CANARY.to_uppercase(),
        base64::engine::general_purpose::STANDARD.encode(format!("user:{CANARY}-x")),
        base64::engine::general_purpose::STANDARD.encode(format!("admin:{CANARY}")),
    ] {
        assert!(std::panic::catch_unwind(|| silent("a text", &text)).is_err(), "{text}");
    }
    let server = cluster();
    silent_run(&os_init(&server.url()).run(&["plan"]));
}

/// Every form, in a JSON error, in JSON that is none, in plain text and on a page, while waiting and while working.
#[test]
fn a_secret_comes_back_in_other_clothes() {
    let secret = format!("{CANARY}-{CANARY}");
    let (secret, tried) = (secret.as_str(), AtomicUsize::new(0));
    let check = |dress: &str, echo: &str| {
        for (shape, content_type, body) in shapes(echo) {
            for status in [400, 401, 200] {
                let server = cluster_saying(status, content_type, &body);
                let sandbox = os_init(&server.url())
                    .env("OPENSEARCH_USERNAME", "admin")
                    .env("OPENSEARCH_PASSWORD", secret)
                    .env("LOG_LEVEL", "trace")
                    .env("WAIT_TIMEOUT", "200ms")
                    .env("MAX_RETRIES", "0");
                let result = sandbox.path("result.json");
                let sandbox = sandbox.env("RESULT_FILE", result.display().to_string());
                let run = sandbox.run(&["apply"]);
                assert_ne!(run.code(), Some(0), "{dress} in {shape}: {run}");
                silent_run(&run);
                silent("the result", &std::fs::read_to_string(result).expect("written"));
                tried.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        let check = &check;
        for (dress, echo) in dressed(secret) {
            scope.spawn(move || check(dress, &echo));
        }
    });
    assert_eq!(tried.into_inner(), 19 * 4 * 3);
}
