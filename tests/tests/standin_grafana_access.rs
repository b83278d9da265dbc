//! Who gets in at the Grafana stand-in and what they may do there, beyond the recordings: the login lock, anonymous access, the wait of a
//! new organization, and what whoever is no administrator is not told.

use base64::Engine as _;
use kit::grafana::{Grafana, Options, Profile, Role};
use serde_json::{Value, json};

fn basic(password: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("admin:{password}")))
}

/// The status of a GET.
fn get(server: &Grafana, path: &str, authorization: Option<&str>) -> u16 {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into();
    let mut request = ureq::http::Request::builder().uri(format!("{}{path}", server.url()));
    if let Some(authorization) = authorization {
        request = request.header("Authorization", authorization);
    }
    agent.run(request.body(()).expect("the case's request is well-formed")).expect("an answer").status().as_u16()
}

#[test]
fn five_failures_lock_a_login_whatever_its_password() {
    for profile in Profile::ALL {
        let server = Grafana::start(profile, Options::default());
        for _ in 0..4 {
            assert_eq!(get(&server, "/api/org", Some(&basic("oops"))), 401);
        }
        assert_eq!(get(&server, "/api/org", Some(&basic("admin"))), 200, "{profile:?}: four do not");
        assert_eq!(get(&server, "/api/org", Some(&basic("oops"))), 401);
        assert_eq!(get(&server, "/api/org", Some(&basic("admin"))), 401, "{profile:?}: five do");
        server.forget_failed_logins();
        assert_eq!(get(&server, "/api/org", Some(&basic("admin"))), 200, "{profile:?}: five minutes later");
    }
}

#[test]
fn anonymous_access_hides_wrong_credentials_from_11_on() {
    for profile in Profile::ALL {
        let server = Grafana::start(profile, Options { anonymous: true, ..Options::default() });
        assert_eq!(get(&server, "/api/org", None), 200, "{profile:?}");
        let hidden = if profile >= Profile::V11 { 200 } else { 401 };
        for wrong in [basic("oops"), "Bearer glsa_nobody".to_owned()] {
            assert_eq!(get(&server, "/api/org", Some(&wrong)), hidden, "{profile:?}");
            assert_eq!(get(&server, "/api/user", Some(&wrong)), 401, "{profile:?}");
        }
        assert_eq!(get(&server, "/api/user", Some(&basic("admin"))), 200, "{profile:?}");
        assert_eq!(get(&server, "/api/org/preferences", None), 403, "{profile:?}");
    }
}

#[test]
fn a_new_organization_has_no_notifications_before_the_next_poll() {
    for profile in Profile::ALL {
        let server = Grafana::start(profile, Options { before_poll: u32::MAX, ..Options::default() });
        assert_eq!(server.request(1, "POST", "/api/orgs", &json!({"name": "new"})).0, 200);
        let ask = |kind: &str| server.request(2, "GET", &format!("/api/v1/provisioning/{kind}"), &Value::Null).0;
        assert_eq!([ask("policies"), ask("contact-points"), ask("mute-timings")], [404, 500, 500], "{profile:?}");
        assert_eq!(server.request(2, "POST", "/api/folders", &json!({"title": "F"})).0, 200, "the rest is there");
        server.poll_organizations();
        assert_eq!([ask("policies"), ask("contact-points"), ask("mute-timings")], [200, 200, 200], "{profile:?}");
    }
}

/// B6: an absent folder is a 403 to an Editor, and a POST all the same makes it.
#[test]
fn an_editor_is_not_told_that_a_folder_is_absent() {
    for profile in Profile::ALL {
        let server = Grafana::start(profile, Options::default());
        assert_eq!(server.request(1, "POST", "/api/folders", &json!({"uid": "f", "title": "F"})).0, 200);
        let bearer = format!("Bearer {}", server.add_token(1, "ci", Role::Editor));
        let status = |path: &str| get(&server, path, Some(&bearer));
        assert_eq!((status("/api/folders/f"), status("/api/folders/absent")), (200, 403), "{profile:?}");
        assert_eq!(get(&server, "/api/folders/absent", Some(&basic("admin"))), 404);
        let rules = status("/api/v1/provisioning/folder/f/rule-groups/g");
        assert_eq!(rules, if profile == Profile::V10 { 403 } else { 404 }, "{profile:?}");
        assert_eq!(status("/api/v1/provisioning/folder/absent/rule-groups/g"), 403, "{profile:?}");
        let dashboard = if profile == Profile::V11 { 403 } else { 404 };
        assert_eq!(status("/api/dashboards/uid/absent"), dashboard, "{profile:?}");
    }
}
