//! REQ-AUTO-03, exit 1 on each error that no waiting mends: bad input for the three programs, bad servers for the two that speak HTTP (Kafka's
//! are in `k_init_doors`). Each ends in its own sentence, with the right exit code, within its time, and in little memory.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use kit::authority::{Authority, Subject};
use kit::fixture::{data_source, grafana, grafana_init, last_line, os_init, records_only};
use kit::grafana::{Effect, Fault};
use kit::sandbox::{Run, Sandbox, program_path};
use kit::scripted_http::{Answer, Response, ScriptedHttp};
use serde_json::{Value, json};

const WAIT: Duration = Duration::from_secs(2);
/// What a busy machine may add.
const GENEROUS: Duration = Duration::from_secs(4);
const MEMORY: u64 = 20_000_000;

/// Both programs, each with one good object.
fn programs(url: &str) -> [Sandbox; 2] {
    [os_init(url), grafana_init(url)]
        .map(|sandbox| sandbox.env("EXIT_CODES", "detailed").env("WAIT_TIMEOUT", "2s").env("REQUEST_TIMEOUT", "1s"))
}

/// All three, each with one good object of this kind, and what makes another one of it.
fn programs_and_kinds(server: &ScriptedHttp) -> [(Sandbox, &'static str, fn(usize) -> Value); 3] {
    let [os_init, grafana_init] = programs(&server.url());
    let k_init = Sandbox::new("k-init")
        .env("EXIT_CODES", "detailed")
        .env("KAFKA_BOOTSTRAP_SERVERS", server.address().to_string())
        .config(&[("topics/first.json", json!({"partitions": 1}))]);
    [
        (os_init, "component_templates", |_| json!({"template": {}})),
        (grafana_init, "datasources", |n| json!({"name": format!("d{n}"), "type": "prometheus", "access": "proxy"})),
        (k_init, "topics", |_| json!({"partitions": 1})),
    ]
}

/// Fails unless the run ended so: the code, the reason, each of these in the last record's sentence, in little memory.
#[track_caller]
fn ended(run: &Run, code: i32, reason: &str, parts: &[&str]) {
    run.expect_code(code);
    records_only(run);
    last_line(run);
    assert_eq!(run.field("exit_reason"), reason, "{run}");
    let error = run.field("error");
    for part in parts {
        assert!(error.as_str().is_some_and(|error| error.contains(part)), "the error lacks {part:?}\n{run}");
    }
    assert!(run.peak_rss < MEMORY, "{} bytes\n{run}", run.peak_rss);
}

/// The same of a server that is waited for in vain.
#[track_caller]
fn waited_in_vain(run: &Run, part: &str) {
    ended(run, 69, "wait_timeout", &["not ready within 2s", part]);
    assert!(run.elapsed >= WAIT && run.elapsed < WAIT + GENEROUS, "{run}");
}

/// The same of files or settings that are wrong: at once, and without a connection.
#[track_caller]
fn refused(sandbox: &Sandbox, server: &ScriptedHttp, parts: &[&str]) {
    for command in ["apply", "plan"] {
        let run = sandbox.run(&[command]);
        ended(&run, 78, "config", &[]);
        for part in parts {
            run.expect_stderr(part);
        }
        assert!(run.elapsed < GENEROUS, "{run}");
    }
    assert_eq!(server.connections(), 0, "a server was asked although the files are wrong");
}

fn never_asked() -> ScriptedHttp {
    ScriptedHttp::new(|_, _| Answer::Close)
}

#[test]
fn req_auto_03_files_that_are_wrong() {
    let server = never_asked();
    let each = |spoil: &dyn Fn(&Sandbox, &str), parts: &[&str]| {
        for (sandbox, kind, _) in programs_and_kinds(&server) {
            spoil(&sandbox, kind);
            refused(&sandbox, &server, parts);
        }
    };
    let write = |name: &str, text: &str| {
        let (name, text) = (name.to_owned(), text.to_owned());
        move |sandbox: &Sandbox, kind: &str| sandbox.write(&format!("{kind}/{name}"), &text)
    };
    each(&write("broken.json", "{\n  \"a\": ,\n}"), &["broken.json:2:8: "]);
    each(&write("twice.json", "{\"name\": \"a\", \"name\": \"b\"}"), &["twice.json", "name"]);
    each(&write("list.yaml", "a: [b"), &["list.yaml:2:1: "]);
    each(&write("list.json5", "{a: 1}"), &["list.json5", "JSON"]);
    each(&write("%zz.json", "{}"), &["%zz.json"]);
    each(&write("unset.json", r#"{"name": "$__env{NO_SUCH_VARIABLE}", "type": "x"}"#), &["NO_SUCH_VARIABLE"]);
    each(&write("unread.json", r#"{"name": "$__file{/no/such/file}", "type": "x"}"#), &["/no/such/file"]);
    each(&|sandbox, _| sandbox.write("compnent_templates/a.json", "{}"), &["compnent_templates"]);
    each(&|sandbox, _| sandbox.write("datasource/a.json", "{}"), &["datasource"]);
    each(
        &|sandbox, kind| {
            let file = std::fs::read_dir(sandbox.config_dir().join(kind)).expect("there").next().expect("one file");
            let name = file.expect("readable").file_name().to_string_lossy().trim_end_matches(".json").to_owned();
            sandbox.write(&format!("{kind}.json"), json!({name: data_source()}).to_string());
        },
        &[".json"],
    );
    each(
        &|sandbox, _| {
            for entry in std::fs::read_dir(sandbox.config_dir()).expect("there") {
                std::fs::remove_dir_all(entry.expect("readable").path()).expect("our own folder");
            }
        },
        &["no object found", "mount"],
    );
}

#[test]
fn req_auto_03_every_problem_of_fifty_files_is_named_and_nothing_written() {
    let server = never_asked();
    for (sandbox, kind, body) in programs_and_kinds(&server) {
        for number in 0..48 {
            sandbox.write(&format!("{kind}/d{number}.json"), body(number).to_string());
        }
        sandbox.write(&format!("{kind}/broken.json"), "{");
        sandbox.write(&format!("{kind}/list.json"), "[1,]");
        refused(&sandbox, &server, &["broken.json", "list.json", "(and 1 more)"]);
    }
}

#[test]
fn req_auto_03_a_folder_that_cannot_be_read() {
    let server = never_asked();
    for (sandbox, _, _) in programs_and_kinds(&server) {
        let missing = sandbox.path("missing");
        refused(&sandbox.config_from(&missing), &server, &["missing"]);
    }
    // Root may read everything: the program runs as the user of its image.
    let root = std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
    for program in ["os-init", "grafana-init", "k-init"] {
        let place = tempfile::tempdir().expect("the temporary folder can be written");
        let copy = place.path().join(program);
        // By another process: a program that another case of ours is just starting would hold the copy open for writing, and so keep it from being run.
        let copied = Command::new("cp").arg(program_path(program)).arg(&copy).status();
        assert!(copied.is_ok_and(|status| status.success()), "the program can be copied");
        let mode = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("our own file");
        };
        mode(place.path(), 0o755);
        mode(&copy, 0o755);
        let config = place.path().join("config");
        std::fs::create_dir(&config).expect("our own folder");
        mode(&config, if root { 0o700 } else { 0o000 });
        let shell = Sandbox::of(Path::new("/bin/sh"))
            .env("OPENSEARCH_URL", server.url())
            .env("GRAFANA_URL", server.url())
            .env("KAFKA_BOOTSTRAP_SERVERS", server.address().to_string())
            .env("GRAFANA_TOKEN", "glsa_x")
            .env("EXIT_CODES", "detailed")
            .config_from(&config);
        let copy = copy.display();
        let script = if root {
            format!("cd / && exec setpriv --reuid=65532 --regid=65532 --clear-groups {copy} apply")
        } else {
            format!("exec {copy} apply")
        };
        let run = shell.run(&["-c", &script]);
        ended(&run, 78, "config", &["permission denied", &config.display().to_string()]);
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn req_auto_03_addresses_that_are_wrong() {
    let server = never_asked();
    for url in ["localhost:9200", "ftp://localhost", "http://", "http://localhost:9200/?x=1", "http://local host"] {
        for sandbox in programs(url) {
            refused(&sandbox, &server, &["_URL"]);
        }
    }
    for sandbox in programs("http://no-such-host.invalid:9200") {
        waited_in_vain(&sandbox.run(&["apply"]), "no-such-host.invalid");
    }
    for sandbox in programs("http://127.0.0.1:9") {
        waited_in_vain(&sandbox.run(&["apply"]), "connection refused");
    }
}

#[test]
fn req_auto_03_servers_that_are_no_servers() {
    let html = "<!doctype html><title>Sign in</title>";
    let cases: [(&str, ScriptedHttp, &str); 8] = [
        ("silent", ScriptedHttp::new(|_, _| Answer::Silent), "did not answer in time"),
        ("closes", ScriptedHttp::new(|_, _| Answer::Close), "closed the connection without an answer"),
        ("resets", ScriptedHttp::new(|_, _| Answer::Reset), "closed the connection without an answer"),
        (
            "another protocol",
            ScriptedHttp::new(|_, _| Answer::Raw(b"220 mail ESMTP\r\n".to_vec())),
            "not answer with HTTP",
        ),
        ("a web page", ScriptedHttp::new(move |_, _| Response::new(200, "text/html", html).into()), "web page"),
        ("a login page", ScriptedHttp::new(|_, _| Answer::redirect("https://sso.example/login")), "sso.example/login"),
        ("100 MB", ScriptedHttp::new(|_, _| Answer::Huge(100 << 20)), "bytes"),
        ("100 MB in chunks", ScriptedHttp::new(|_, _| Answer::HugeChunked(100 << 20)), "more than the"),
    ];
    for (name, server, part) in &cases {
        for sandbox in programs(&server.url()) {
            let run = sandbox.run(&["apply"]);
            assert!(!server.log().is_empty(), "{name}\n{run}");
            waited_in_vain(&run, part);
            assert!(!run.stderr.contains("Sign in"), "a page has no place in a record\n{run}");
        }
    }
}

#[test]
fn req_auto_03_tls_where_there_is_none_and_none_where_there_is() {
    let plain = ScriptedHttp::new(|_, _| Answer::html(200));
    for sandbox in programs(&plain.url().replace("http://", "https://")) {
        waited_in_vain(&sandbox.run(&["apply"]), "if it does not expect TLS, the URL must begin with http://");
    }
    // This one closes the connection; most servers say in plain text that they did not understand.
    let talking = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = talking.local_addr().expect("just bound");
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = talking.accept() {
            let mut hello = [0; 64];
            // Whether the client listens is its own business.
            drop(stream.read(&mut hello));
            drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n"));
        }
    });
    for sandbox in programs(&format!("https://{address}")) {
        waited_in_vain(&sandbox.run(&["apply"]), "does not speak TLS on this port");
    }
    let authority = Authority::new();
    let secured = ScriptedHttp::tls(authority.issue(Subject::Localhost), |_, _| Answer::html(200));
    for sandbox in programs(&secured.url().replace("https://", "http://")) {
        waited_in_vain(&sandbox.run(&["apply"]), "https://");
    }
}

#[test]
fn req_auto_03_certificates_that_are_wrong_end_the_wait_at_once() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let (file, noise) = (folder.path().join("ca.pem"), folder.path().join("noise.pem"));
    std::fs::write(&file, authority.pem()).expect("our own file");
    std::fs::write(&noise, "noise").expect("our own file");
    for (issuer, subject, part) in [
        (&authority, Subject::Elsewhere, "it is for another name"),
        (&authority, Subject::Expired, "it has expired"),
        (&stranger, Subject::Localhost, "its issuer is not trusted"),
    ] {
        let server = ScriptedHttp::tls(issuer.issue(subject), |_, _| Answer::html(200));
        for sandbox in programs(&server.url()) {
            let sandbox = ["OPENSEARCH_CA_FILE", "GRAFANA_CA_FILE"]
                .into_iter()
                .fold(sandbox, |sandbox, name| sandbox.env(name, file.display().to_string()));
            let run = sandbox.run(&["apply"]);
            ended(&run, 78, "config", &["certificate", part]);
            assert!(run.elapsed < GENEROUS, "{run}");
            assert!(server.log().is_empty(), "nothing was asked over a connection that is not trusted\n{run}");
        }
    }
    for sandbox in programs("https://127.0.0.1:9") {
        let sandbox = ["OPENSEARCH_CA_FILE", "GRAFANA_CA_FILE"]
            .into_iter()
            .fold(sandbox, |sandbox, name| sandbox.env(name, noise.display().to_string()));
        ended(&sandbox.run(&["apply"]), 78, "config", &["noise.pem", "PEM"]);
    }
}

#[test]
fn req_auto_03_a_server_that_turns_bad_once_it_was_ready() {
    let big = format!("\"{}\"", "x".repeat(100 << 20));
    for (effect, reason, code, part) in [
        (Effect::Answer(200, "<!doctype html><title>Sign in</title>".into()), "rejected", 65, "web page"),
        (Effect::Answer(200, "{\"half\":".into()), "rejected", 65, "JSON"),
        (Effect::Answer(200, big), "rejected", 65, "bytes"),
        (Effect::Answer(302, String::new()), "rejected", 65, "302"),
        (Effect::Answer(403, r#"{"message":"Access denied"}"#.into()), "auth", 77, "Access denied"),
    ] {
        let server = grafana();
        server.fault(Fault::on("GET", "/api/datasources", effect));
        let sandbox = grafana_init(&server.url()).env("EXIT_CODES", "detailed").env("MAX_RETRIES", "1");
        let run = sandbox.run(&["apply"]);
        ended(&run, code, reason, &[part]);
        assert!(server.writes().is_empty(), "{run}");
    }
}
