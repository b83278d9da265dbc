//! Data sources and secrets of grafana-init on every version of the stand-in, and with `GRAFANA_URL` on a live Grafana.

use kit::grafana::Target;
use kit::sandbox::Run;
use serde_json::{Value, json};

fn source(target: &Target, uid: &str) -> Value {
    target.read(&format!("/api/datasources/uid/{uid}"))
}

/// 10 and later make the first data source of an organization the default, whatever was sent.
#[test]
fn the_first_data_source_is_the_default_only_if_that_is_declared_or_nothing_is() {
    Target::each(|target| {
        let body = |kind: &str| json!({"type": kind, "url": "http://x"});
        let with = |kind: &str, is: bool| json!({"type": kind, "url": "http://x", "isDefault": is});
        let sandbox = target.sandbox().config(&[
            ("datasources/a.json", with("loki", false)),
            ("datasources/b.json", body("prometheus")),
            ("datasources/c.json", with("tempo", false)),
        ]);
        target.apply(&sandbox);
        let defaults = |target: &Target| ["a", "b", "c"].map(|uid| source(target, uid)["isDefault"] == json!(true));
        assert_eq!(defaults(target), [false, false, false], "{}", target.name);
        target.settled(&sandbox);
        sandbox.write("datasources/c.json", with("tempo", true).to_string());
        assert_eq!(target.apply(&sandbox).count("writes"), 1, "{}", target.name);
        assert_eq!(defaults(target), [false, false, true], "{}", target.name);
        target.settled(&sandbox);
        let other = target.another();
        let undeclared = other.sandbox().config(&[("datasources/only.json", body("loki"))]);
        other.apply(&undeclared);
        other.settled(&undeclared);
    });
}

/// A PUT clears what it leaves out: a change of one field keeps the others, and what goes from the file goes from the server.
#[test]
fn a_change_of_one_field_keeps_the_others() {
    Target::each(|target| {
        let mut body = json!({"uid": "s", "name": "S", "type": "loki", "url": "http://l:3100", "basicAuth": true, "basicAuthUser": "reader",
            "withCredentials": true, "isDefault": true, "jsonData": {"maxLines": 500, "timeout": 10},
            "secureJsonData": {"basicAuthPassword": "s3cret-of-loki"}});
        let sandbox = target.sandbox().config(&[("datasources/s.json", body.clone())]);
        target.apply(&sandbox);
        body["url"] = json!("http://other:3100");
        body["jsonData"] = json!({"maxLines": 500});
        sandbox.write("datasources/s.json", body.to_string());
        let run = target.apply(&sandbox);
        assert_eq!(run.count("writes"), 1, "{}\n{run}", target.name);
        let held = source(target, "s");
        for field in ["url", "basicAuth", "basicAuthUser", "withCredentials", "isDefault", "jsonData"] {
            assert_eq!(held[field], body[field], "{} {field}", target.name);
        }
        assert_eq!(held["secureJsonFields"], json!({"basicAuthPassword": true}), "{}", target.name);
        target.settled(&sandbox);
        let edited = json!({"uid": "s", "name": "S", "type": "loki", "access": "proxy", "url": "http://other:3100"});
        target.write("PUT", "/api/datasources/uid/s", &edited);
        let plan = sandbox.run(&["plan"]);
        plan.expect_code(2);
        for path in ["/basicAuth:", "/withCredentials:", "/isDefault:", "/jsonData"] {
            assert!(plan.stdout.contains(path), "{} {path}\n{plan}", target.name);
        }
        assert_eq!(target.apply(&sandbox).count("writes"), 1, "{}", target.name);
        target.settled(&sandbox);
    });
}

/// What no run may say, at whatever level.
#[track_caller]
fn silent(run: &Run, secrets: &[&str]) {
    for secret in secrets {
        assert!(!run.to_string().contains(secret), "{secret} is in\n{run}");
    }
}

/// Scenario 7: a second run is silent, a changed secret is exactly one PUT, in `digest` for data sources and by the decrypting export for
/// contact points; no secret is in a log of any level, nor in a plan.
#[test]
fn a_changed_secret_is_one_put_and_is_said_nowhere() {
    let secrets = ["first-of-loki", "second-of-loki", "first-of-hook", "second-of-hook"];
    Target::each(|target| {
        let mut sandbox = target
            .sandbox()
            .env("GRAFANA_SECRETS", "digest")
            .env("GRAFANA_DIGEST_KEY", "key-of-the-digests")
            .env("LOG_LEVEL", "trace")
            .env("RUST_LOG", "trace")
            .env("LOKI_SECRET", secrets[0])
            .env("HOOK_SECRET", secrets[2])
            .config(&[
                (
                    "datasources/l.json",
                    json!({"type": "loki", "url": "http://l", "basicAuth": true, "secureJsonData": {"basicAuthPassword": "$__env{LOKI_SECRET}"}}),
                ),
                (
                    "contact_points/hook.json",
                    json!({"uid": "hook", "type": "webhook", "settings": {"url": "http://h", "username": "u", "password": "$__env{HOOK_SECRET}"}}),
                ),
            ]);
        silent(&target.apply(&sandbox), &secrets);
        silent(&target.settled(&sandbox), &secrets);
        for (variable, secret) in [("LOKI_SECRET", secrets[1]), ("HOOK_SECRET", secrets[3])] {
            sandbox.set(variable, secret);
            let plan = sandbox.run(&["plan"]);
            plan.expect_code(2);
            silent(&plan, &secrets);
            let run = target.apply(&sandbox);
            assert_eq!((run.count("updated"), run.count("writes")), (1, 1), "{} {variable}\n{run}", target.name);
            silent(&run, &secrets);
            silent(&target.settled(&sandbox), &secrets);
        }
        let clear = target.read("/api/v1/provisioning/contact-points/export?format=json&decrypt=true");
        assert!(clear.to_string().contains(secrets[3]), "{} {clear}", target.name);
    });
}

/// `keep` sends a secret on create and when its key is missing, and says that it is not compared; `always` sends it on each run, which
/// counts as a write.
#[test]
fn secrets_are_kept_or_always_sent_as_told() {
    Target::each(|target| {
        let body = |keys: Value| json!({"type": "loki", "url": "http://l", "secureJsonData": keys});
        let mut sandbox =
            target.sandbox().config(&[("datasources/l.json", body(json!({"basicAuthPassword": "one-secret"})))]);
        target.apply(&sandbox).expect_stderr("not compared");
        target.settled(&sandbox);
        sandbox.write("datasources/l.json", body(json!({"basicAuthPassword": "other-secret"})).to_string());
        target.settled(&sandbox).expect_stderr("not compared");
        let both = body(json!({"basicAuthPassword": "other-secret", "httpHeaderValue1": "header-secret"}));
        sandbox.write("datasources/l.json", both.to_string());
        assert_eq!(target.apply(&sandbox).count("writes"), 1, "{}", target.name);
        let keys = json!({"basicAuthPassword": true, "httpHeaderValue1": true});
        assert_eq!(source(target, "l")["secureJsonFields"], keys, "{}", target.name);
        target.settled(&sandbox);
        sandbox.set("GRAFANA_SECRETS", "always");
        for _ in 0..2 {
            let run = target.apply(&sandbox);
            assert_eq!((run.count("updated"), run.count("writes")), (1, 1), "{}\n{run}", target.name);
            silent(&run, &["other-secret", "header-secret"]);
        }
        sandbox.run(&["plan"]).expect_code(2);
    });
}

/// A Viewer can read the digest, and a visitor where they are let in: without a key there is none, and `keep` takes it away.
#[test]
fn the_digest_needs_a_key_and_goes_when_it_is_no_longer_kept() {
    Target::each(|target| {
        let body = json!({"type": "loki", "url": "http://l", "secureJsonData": {"password": "$__env{DS_PASSWORD}"}});
        let mut sandbox =
            target.sandbox().env("DS_PASSWORD", "hunter2-of-loki").config(&[("datasources/l.json", body)]);
        let digest = || target.read("/api/datasources/uid/l")["jsonData"]["initSecretDigest"].clone();
        sandbox.set("GRAFANA_SECRETS", "digest");
        sandbox.run(&["validate"]).expect_code(1).expect_stderr("GRAFANA_SECRETS=digest needs GRAFANA_DIGEST_KEY");
        sandbox.set("GRAFANA_DIGEST_KEY", "one-key-of-two");
        target.apply(&sandbox);
        target.settled(&sandbox);
        let first = digest();
        assert!(first.is_string(), "{}: {first}", target.name);
        sandbox.set("GRAFANA_DIGEST_KEY", "another-key-of-two");
        assert_eq!(target.apply(&sandbox).count("writes"), 1, "{}", target.name);
        assert_ne!(digest(), first, "{}", target.name);
        sandbox.set("GRAFANA_SECRETS", "keep");
        assert_eq!(target.apply(&sandbox).count("writes"), 1, "{}", target.name);
        assert_eq!(digest(), Value::Null, "{}", target.name);
        target.settled(&sandbox);
    });
}
