//! The scripted HTTP server and the two proxies in front of it: each fault does what it says, and the log holds what happened.

use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use kit::authority::{Authority, Subject};
use kit::http1::{Response, read_response};
use kit::proxy::http::Verdict;
use kit::proxy::{Fault, HttpProxy, Proxy};
use kit::sandbox::Sandbox;
use kit::scripted_http::{Answer, ScriptedHttp};
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(10);

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    Ok(stream)
}

fn ask_at(address: SocketAddr, method: &str, target: &str, body: &str) -> io::Result<Response> {
    let mut stream = connect(address)?;
    write!(stream, "{method} {target} HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n{body}", body.len())?;
    read_response(&mut BufReader::new(stream), method)
}

fn ask(url: &str, method: &str, target: &str, body: &str) -> io::Result<Response> {
    ask_at(
        url.trim_start_matches("http://").parse().expect("a scripted server's URL is an address"),
        method,
        target,
        body,
    )
}

fn ok() -> Answer {
    Answer::json(200, &json!({"ok": true}))
}

#[test]
fn routes_answer_and_the_log_remembers() {
    let server = ScriptedHttp::routes([("GET /a", ok()), ("PUT /a", Answer::json(201, &json!({})))]);
    assert_eq!(ask(&server.url(), "GET", "/a?pretty", "").expect("it answers").body, br#"{"ok":true}"#);
    assert_eq!(ask(&server.url(), "PUT", "/a", r#"{"x":1}"#).expect("it answers").status, 201);
    assert_eq!(ask(&server.url(), "GET", "/b", "").expect("it answers").status, 404);
    assert_eq!(ask(&server.url(), "POST", "/x/_simulate/y", "").expect("it answers").status, 404);
    let targets: Vec<String> = server.log().iter().map(|request| request.target.clone()).collect();
    assert_eq!(targets, ["/a?pretty", "/a", "/b", "/x/_simulate/y"]);
    assert_eq!(server.writes(), ["PUT /a"]);
    assert_eq!(server.log()[1].json(), json!({"x": 1}));
    assert_eq!(server.connections(), 4);
}

#[test]
fn a_connection_carries_many_requests() {
    let server = ScriptedHttp::new(|_, number| Answer::json(200, &json!(number)));
    let mut stream = BufReader::new(connect(server.address()).expect("it listens"));
    for number in 1..=3 {
        stream.get_mut().write_all(b"HEAD / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n").expect("it reads");
        assert_eq!(read_response(&mut stream, "HEAD").expect("it answers").body, b"");
        let body = read_response(&mut stream, "GET").expect("it answers").body;
        assert_eq!(body, (number * 2).to_string().as_bytes());
    }
    assert_eq!(server.connections(), 1);
}

#[test]
fn each_fault_looks_as_it_should() {
    let response = Response::json(200, &json!("0123456789"));
    let partial = response.clone();
    let server = ScriptedHttp::new(move |request, _| match request.target.as_str() {
        "/reset" => Answer::Reset,
        "/close" => Answer::Close,
        "/partial" => Answer::Partial(4, partial.clone()),
        "/slow" => Answer::Slow(Duration::from_millis(10), partial.clone()),
        "/late" => Answer::Late(Duration::from_millis(100), partial.clone()),
        "/raw" => Answer::Raw(b"\x15\x03\x03\x00\x02\x02\x46".to_vec()),
        "/html" => Answer::html(200),
        "/login" => Answer::redirect("/login"),
        "/huge" => Answer::Huge(100_000_000),
        "/chunked" => Answer::HugeChunked(1_000_000),
        _ => Answer::Silent,
    });
    let kind = |target: &str| ask(&server.url(), "GET", target, "").expect_err("no answer").kind();
    assert_eq!(kind("/reset"), io::ErrorKind::ConnectionReset);
    assert_eq!(kind("/close"), io::ErrorKind::UnexpectedEof);
    assert_eq!(kind("/partial"), io::ErrorKind::UnexpectedEof);
    assert_eq!(kind("/raw"), io::ErrorKind::InvalidData);

    let slow = Instant::now();
    let mut answer = ask(&server.url(), "GET", "/slow", "").expect("it answers in the end");
    assert!(slow.elapsed() >= Duration::from_millis(110), "twelve bytes, 10 ms between two");
    answer.headers.retain(|(name, _)| name != "content-length");
    assert_eq!(answer, response);
    let late = Instant::now();
    ask(&server.url(), "GET", "/late", "").expect("it answers in the end");
    assert!(late.elapsed() >= Duration::from_millis(100));

    assert!(ask(&server.url(), "GET", "/html", "").expect("it answers").body.starts_with(b"<!doctype html>"));
    assert_eq!(ask(&server.url(), "GET", "/login", "").expect("it answers").status, 302);
    assert_eq!(ask(&server.url(), "GET", "/huge", "").expect("it answers").body.len(), 100_000_000);
    assert_eq!(ask(&server.url(), "GET", "/chunked", "").expect("it answers").body.len(), 1_000_000);

    let mut silent = connect(server.address()).expect("it listens");
    silent.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("it reads");
    silent.set_read_timeout(Some(Duration::from_millis(200))).expect("a time-out can be set");
    assert_eq!(silent.read(&mut [0]).expect_err("no answer").kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn tls_shows_the_certificate_that_was_asked_for() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let trusted = folder.path().join("ca.pem");
    std::fs::write(&trusted, authority.pem()).expect("the folder can be written");
    let curl = |identity| {
        let server = ScriptedHttp::tls(identity, |_, _| ok());
        let mut command = Command::new("curl");
        command
            .args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "10", "--cacert"])
            .arg(&trusted)
            .arg(server.url());
        let output = command.output().expect("curl is there");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
        )
    };
    assert_eq!(curl(authority.issue(Subject::Localhost)), (Some(0), r#"{"ok":true}"#.to_owned()));
    for (identity, reason) in [
        (authority.issue(Subject::Elsewhere), "alternative certificate subject name"),
        (authority.issue(Subject::Expired), "expired"),
        (Authority::new().issue(Subject::Localhost), "certificate"),
    ] {
        let (code, said) = curl(identity);
        assert_eq!(code, Some(60), "{said}");
        assert!(said.contains(reason), "{said}");
    }
}

#[test]
fn the_tcp_proxy_spoils_connections() {
    let server = ScriptedHttp::new(|_, _| ok());
    let proxy = Proxy::to(server.address());
    let through = || ask_at(proxy.address(), "GET", "/", "");
    assert_eq!(through().expect("it passes").status, 200);

    proxy.set(Fault::CutAnswer(0));
    through().expect_err("the answer is dropped");
    assert_eq!(server.log().len(), 2, "the server got the request");
    proxy.set(Fault::CutAnswer(20));
    through().expect_err("the answer is cut");
    proxy.set(Fault::CutRequest(5));
    through().expect_err("the request is cut");
    proxy.set(Fault::Reset);
    assert!(matches!(through().expect_err("reset").kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe));
    assert_eq!(server.log().len(), 3, "neither was a whole request");

    proxy.set(Fault::Delay(Duration::from_millis(50)));
    let delayed = Instant::now();
    through().expect("it passes, later");
    assert!(delayed.elapsed() >= Duration::from_millis(100), "50 ms each way");

    proxy.set(Fault::BlackHole);
    let mut hole = connect(proxy.address()).expect("it accepts");
    hole.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("it reads");
    hole.set_read_timeout(Some(Duration::from_millis(200))).expect("a time-out can be set");
    assert_eq!(hole.read(&mut [0]).expect_err("no answer").kind(), io::ErrorKind::WouldBlock);
    proxy.cut();
    hole.set_read_timeout(Some(LIMIT)).expect("a time-out can be set");
    assert_eq!(hole.read(&mut [0]).unwrap_or(0), 0, "the connection has ended");

    proxy.refuse();
    assert_eq!(connect(proxy.address()).expect_err("closed").kind(), io::ErrorKind::ConnectionRefused);
    proxy.allow();
    proxy.each(|number| if number == 9 { Fault::None } else { Fault::Reset });
    assert_eq!(proxy.connections(), 7);
    through().expect_err("the eighth is reset");
    through().expect("the ninth passes");

    let other = ScriptedHttp::new(|_, _| Answer::json(200, &json!("other")));
    proxy.set(Fault::None);
    proxy.retarget(other.address());
    assert_eq!(through().expect("it passes").body, br#""other""#);
}

#[test]
fn the_http_proxy_counts_and_spoils_requests() {
    let server =
        ScriptedHttp::new(
            |request, _| if request.method == "HEAD" { Response::new(200, "x/y", "1234").into() } else { ok() },
        );
    let proxy = HttpProxy::to(&server.url());
    let through = |method: &str, target: &str| ask(&proxy.url(), method, target, "{}");
    assert_eq!(through("GET", "/a").expect("it passes").body, br#"{"ok":true}"#);
    let head = through("HEAD", "/a").expect("it passes");
    assert!(head.headers.contains(&("content-length".to_owned(), "4".to_owned())), "{head:?}");
    through("PUT", "/_index_template/a").expect("it passes");
    through("POST", "/_index_template/_simulate").expect("it passes");
    assert_eq!((proxy.requests(), proxy.count("PUT"), proxy.count("POST")), (4, 1, 1));
    assert_eq!(proxy.writes(), ["PUT /_index_template/a"]);
    assert!(proxy.log().iter().all(|exchange| exchange.status == Some(200)));

    proxy.clear();
    proxy.rule(|request, number| match (request.method.as_str(), number) {
        ("PUT", 1) => Verdict::DropAnswer,
        ("PUT", 2) => Verdict::DropRequest,
        ("PUT", 3) => Verdict::Answer(Response::json(503, &json!({}))),
        ("PUT", 4) => Verdict::CutAnswer(3),
        ("PUT", 5) => Verdict::Delay(Duration::from_millis(100)),
        _ => Verdict::Pass,
    });
    let seen = || server.log().len();
    let before = seen();
    through("PUT", "/1").expect_err("the answer is dropped");
    assert_eq!(seen(), before + 1, "but the server did it");
    through("PUT", "/2").expect_err("the request is dropped");
    assert_eq!(seen(), before + 1);
    assert_eq!(through("PUT", "/3").expect("it answers itself").status, 503);
    assert_eq!(seen(), before + 1);
    through("PUT", "/4").expect_err("the answer is cut");
    let delayed = Instant::now();
    through("PUT", "/5").expect("it passes, later");
    assert!(delayed.elapsed() >= Duration::from_millis(100));
    assert_eq!(
        proxy.log().iter().map(|exchange| exchange.status).collect::<Vec<_>>(),
        [None, None, Some(503), None, Some(200)]
    );
    assert_eq!(proxy.connections(), 9);
}

#[test]
fn a_client_can_be_killed_after_any_write() {
    let server = ScriptedHttp::new(|_, _| ok());
    let proxy = HttpProxy::to(&server.url());
    let url = proxy.url();
    // One process for all six requests: a shell's children would outlive it.
    let mut arguments: Vec<&str> = Vec::new();
    for _ in 0..3 {
        arguments.extend(["--silent", &url, "--next", "--silent", "--request", "PUT", "--data", "x", &url, "--next"]);
    }
    arguments.pop();
    for (nth, killed) in [(1, true), (3, true), (4, false)] {
        server.clear();
        proxy.hold_write(nth);
        let running = Sandbox::of(Path::new("/usr/bin/curl")).spawn(&arguments);
        let run = running.kill_when(|| proxy.held());
        assert_eq!((run.signal(), proxy.held()), (killed.then_some(9), killed));
        assert_eq!(server.writes().len(), nth.min(3));
    }
}
