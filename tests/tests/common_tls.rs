//! Certificates as people have them: another name, the server's own as its root, an old version. Each is taken where that was asked for, and
//! otherwise refused with the remedy.

use std::process::Command;

use kit::authority::{Authority, Identity, Subject};
use kit::fixture::ready;
use kit::sandbox::{Run, Sandbox};
use kit::scripted_http::{Answer, ScriptedHttp};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;

/// Waits for a cluster with that certificate, trusting what is given.
fn wait(identity: &Identity, trusted: Option<&str>, settings: &[(&str, &str)]) -> Run {
    let server = ScriptedHttp::tls(identity.clone(), |request, _| match request.path() {
        "/" | "/_cluster/health" => ready(request),
        _ => Answer::json(200, &json!({})),
    });
    let mut sandbox = Sandbox::new("os-init").env("OPENSEARCH_URL", server.url()).env("WAIT_TIMEOUT", "5s");
    if let Some(trusted) = trusted {
        let file = sandbox.path("ca.pem");
        std::fs::write(&file, trusted).expect("our own folder");
        sandbox.set("OPENSEARCH_CA_FILE", file.display().to_string());
    }
    for (name, value) in settings {
        sandbox.set(name, *value);
    }
    sandbox.run(&["wait"])
}

const ANY_NAME: (&str, &str) = ("OPENSEARCH_VERIFY_HOSTNAME", "false");
const INSECURE: (&str, &str) = ("OPENSEARCH_INSECURE", "true");

#[test]
fn a_name_is_checked_unless_told_otherwise() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let elsewhere = authority.issue(Subject::Elsewhere);
    wait(&elsewhere, Some(authority.pem()), &[]).expect_code(1).expect_stderr("VERIFY_HOSTNAME=false");
    wait(&elsewhere, Some(authority.pem()), &[ANY_NAME])
        .expect_code(0)
        .expect_stderr("OPENSEARCH_VERIFY_HOSTNAME is false");
    wait(&elsewhere, Some(stranger.pem()), &[ANY_NAME]).expect_code(1).expect_stderr("issuer is not trusted");
    let expired = authority.issue(Subject::Expired);
    wait(&expired, Some(authority.pem()), &[ANY_NAME]).expect_code(1).expect_stderr("has expired");
    wait(&authority.issue(Subject::Localhost), Some(authority.pem()), &[]).expect_code(0);
}

#[test]
fn the_servers_own_certificate_may_be_its_root() {
    let (identity, pem) = Identity::self_signed("127.0.0.1");
    wait(&identity, Some(&pem), &[]).expect_code(0);
    let (elsewhere, other) = Identity::self_signed("elsewhere.example");
    wait(&elsewhere, Some(&other), &[]).expect_code(1).expect_stderr("another name");
    wait(&elsewhere, Some(&other), &[ANY_NAME]).expect_code(0);
    wait(&identity, Some(&other), &[]).expect_code(1).expect_stderr("CA_FILE");
    wait(&identity, None, &[]).expect_code(1).expect_stderr("CA_FILE");
    wait(&identity, None, &[INSECURE]).expect_code(0);
}

/// `openssl x509 -req` without extensions makes version 1.
#[test]
fn an_old_version_is_told_and_taken_without_any_check() {
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let script = "openssl req -new -newkey rsa:2048 -nodes -keyout key.pem -subj /CN=localhost -out request.pem 2>/dev/null \\
        && openssl x509 -req -in request.pem -signkey key.pem -days 3650 -out certificate.pem 2>/dev/null";
    let made = Command::new("sh").args(["-c", script]).current_dir(folder.path()).status().expect("a shell is there");
    assert!(made.success(), "openssl makes a certificate");
    let read = |name: &str| std::fs::read(folder.path().join(name)).expect("just made");
    let certificate = CertificateDer::from_pem_slice(&read("certificate.pem")).expect("PEM");
    let identity = Identity::of(certificate, &PrivateKeyDer::from_pem_slice(&read("key.pem")).expect("PEM"));
    let pem = String::from_utf8(read("certificate.pem")).expect("PEM is text");
    wait(&identity, Some(&pem), &[]).expect_code(1).expect_stderr("version 1");
    wait(&identity, None, &[INSECURE]).expect_code(0);
    let authority = Authority::new();
    let (cert, key) = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
    let own = [
        ("OPENSEARCH_CERT_FILE", cert.to_str().expect("UTF-8")),
        ("OPENSEARCH_KEY_FILE", key.to_str().expect("UTF-8")),
    ];
    wait(&authority.issue(Subject::Localhost), Some(authority.pem()), &own).expect_code(1).expect_stderr("version 1");
}
