//! What real Grafanas do that a caller does not expect, beyond the recordings: the stand-in has to do it too. And its own switches:
//! faults, the start, edits behind the API's back.

use std::time::{Duration, Instant};

use base64::Engine as _;
use kit::grafana::{Effect, Fault, Grafana, Options, Profile, Role, Startup};
use serde_json::{Value, json};

fn each(case: impl Fn(Profile, &Grafana)) {
    for profile in Profile::ALL {
        case(profile, &Grafana::start(profile, Options { nested_folders: true, ..Options::default() }));
    }
}

fn agent() -> ureq::Agent {
    let settings =
        ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(5)));
    settings.proxy(None).build().into()
}

/// A request over the wire with this Authorization.
fn ask(
    server: &Grafana,
    method: &str,
    path: &str,
    authorization: &str,
    body: &Value,
) -> Result<(u16, Value), ureq::Error> {
    let request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", server.url()));
    let request = request.header("Authorization", authorization);
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut response = agent().run(request.body(body).expect("the case's request is well-formed"))?;
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string()?;
    Ok((status, serde_json::from_str(&text).unwrap_or(json!(text))))
}

fn admin() -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode("admin:admin"))
}

fn read(server: &Grafana, path: &str) -> Value {
    let (status, body) = server.request(1, "GET", path, &Value::Null);
    assert_eq!(status, 200, "{path}: {body}");
    body
}

#[track_caller]
fn write(server: &Grafana, method: &str, path: &str, body: &Value, status: u16) -> Value {
    let (got, answer) = server.request(1, method, path, body);
    assert_eq!(got, status, "{method} {path}: {answer}");
    answer
}

fn folder(server: &Grafana, uid: &str, parent: &str) -> u16 {
    server.request(1, "POST", "/api/folders", &json!({"uid": uid, "title": uid, "parentUid": parent})).0
}

#[test]
fn the_first_data_source_becomes_the_default_and_a_put_clears_what_it_leaves_out() {
    each(|profile, server| {
        let whole = json!({"uid": "a", "name": "a", "type": "loki", "access": "proxy", "url": "http://loki:3100", "basicAuth": true,
            "basicAuthUser": "u", "jsonData": {"x": 1}, "secureJsonData": {"basicAuthPassword": "p"}});
        write(server, "POST", "/api/datasources", &whole, 200);
        assert_eq!(read(server, "/api/datasources/uid/a")["isDefault"], json!(true), "{profile:?}");
        write(server, "PUT", "/api/datasources/uid/a", &json!({"name": "a", "type": "loki", "access": "proxy"}), 200);
        let kept = read(server, "/api/datasources/uid/a");
        let cleared = [&kept["jsonData"], &kept["basicAuth"], &kept["isDefault"]];
        assert_eq!(cleared, [&json!({}), &json!(false), &json!(false)]);
        assert_eq!(kept["basicAuthUser"], json!("u"));
        assert_eq!(server.secret(1, "a", "basicAuthPassword").as_deref(), Some("p"));
        let renamed = json!({"uid": "b", "name": "a", "type": "loki", "access": "proxy"});
        let expected = if profile >= Profile::V12 { 500 } else { 200 };
        write(server, "PUT", "/api/datasources/uid/a", &renamed, expected);
        let uid = if profile >= Profile::V12 { "a" } else { "b" };
        server.provision_datasource(1, uid);
        write(server, "PUT", &format!("/api/datasources/uid/{uid}"), &renamed, 403);
    });
}

#[test]
fn folders_nest_five_deep_and_do_not_move_into_themselves() {
    each(|profile, server| {
        let mut parent = String::new();
        for level in 1..=5 {
            let uid = format!("level{level}");
            assert_eq!(folder(server, &uid, &parent), 200, "{profile:?} {uid}");
            parent = uid;
        }
        assert_eq!(folder(server, "level6", &parent), if profile == Profile::V12 { 500 } else { 400 });
        assert_eq!(folder(server, "orphan", "absent"), if profile >= Profile::V12 { 200 } else { 404 });
        write(server, "POST", "/api/folders/level1/move", &json!({"parentUid": "level3"}), 500);
        write(server, "POST", "/api/folders/level2/move", &json!({"parentUid": ""}), 200);
        assert_eq!(read(server, "/api/folders/level2").get("parentUid"), None);
        assert_eq!(read(server, "/api/folders/level3")["parentUid"], json!("level2"));
    });
}

#[test]
fn version_10_forgets_a_parent_unless_nested_folders_are_on() {
    let server = Grafana::start(Profile::V10, Options::default());
    assert_eq!((folder(&server, "a", ""), folder(&server, "b", "a")), (200, 200));
    assert_eq!(read(&server, "/api/folders/b").get("parentUid"), None);
}

#[test]
fn a_dashboard_without_uid_or_with_another_ones_id_or_title() {
    each(|profile, server| {
        let save = |dashboard: Value| {
            server.request(1, "POST", "/api/dashboards/db", &json!({"dashboard": dashboard, "overwrite": true}))
        };
        let (_, first) = save(json!({"title": "T"}));
        let (_, second) = save(json!({"title": "T"}));
        assert_eq!(first["uid"] == second["uid"], profile == Profile::V10, "{profile:?}");
        let (status, answer) = save(json!({"uid": "other", "title": "O", "id": first["id"]}));
        let gone = server.request(
            1,
            "GET",
            &format!("/api/dashboards/uid/{}", first["uid"].as_str().expect("a uid")),
            &json!(null),
        );
        match profile {
            Profile::V10 | Profile::V11 => assert_eq!((status, gone.0), (200, 404), "the uid is renamed"),
            Profile::V12 => assert_eq!((status, gone.0, &answer["id"]), (200, 200, &first["id"]), "the id is shared"),
            Profile::V13 => assert_eq!((status, gone.0), (400, 200)),
        }
        let stale = json!({"dashboard": {"uid": second["uid"], "title": "T"}});
        let expected = match profile {
            Profile::V10 | Profile::V11 | Profile::V12 => 412,
            Profile::V13 => 409,
        };
        if profile >= Profile::V11 {
            write(server, "POST", "/api/dashboards/db", &stale, expected);
        }
    });
}

#[test]
fn contact_points_keep_what_is_sent_back_redacted() {
    each(|profile, server| {
        let path = "/api/v1/provisioning/contact-points";
        let mut body =
            json!({"uid": "c", "name": "c", "type": "slack", "settings": {"url": "http://s/1", "recipient": "r"}});
        write(server, "POST", path, &body, 202);
        body["settings"]["url"] = json!("[REDACTED]");
        write(server, "PUT", "/api/v1/provisioning/contact-points/c", &body, 202);
        let export = read(server, "/api/v1/provisioning/contact-points/export?format=json&decrypt=true&name=c");
        let settings = &export["contactPoints"][0]["receivers"][0]["settings"];
        assert_eq!(*settings, json!({"url": "http://s/1", "recipient": "r"}), "{profile:?}");
        let disabled = ask_disabling_provenance(server, "PUT", "/api/v1/provisioning/contact-points/c", &body);
        assert_eq!(disabled, if profile == Profile::V13 { 403 } else { 500 });
    });
}

fn ask_disabling_provenance(server: &Grafana, method: &str, path: &str, body: &Value) -> u16 {
    let request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", server.url()));
    let request = request.header("Authorization", admin()).header("X-Disable-Provenance", "true");
    let response = agent().run(request.body(body.to_string()).expect("well-formed")).expect("an answer");
    response.status().as_u16()
}

#[test]
fn rules_without_uids_are_new_ones_each_time() {
    each(|profile, server| {
        assert_eq!(folder(server, "f", ""), 200);
        let group = json!({"interval": 60, "rules": [{"title": "R", "condition": "A", "noDataState": "NoData", "execErrState": "Error",
            "data": [{"refId": "A", "model": {}}]}]});
        let path = "/api/v1/provisioning/folder/f/rule-groups/g";
        let uids: Vec<Value> = (0..2)
            .map(|_| {
                write(server, "PUT", path, &group, 200);
                read(server, path)["rules"][0]["uid"].clone()
            })
            .collect();
        assert_ne!(uids[0], uids[1], "{profile:?}");
        write(server, "DELETE", "/api/folders/f", &Value::Null, 400);
    });
}

#[test]
fn durations_come_back_in_the_form_of_prometheus() {
    each(|_, server| {
        let times =
            [("90s", "1m30s"), ("1440m", "1d"), ("36h", "36h"), ("4h", "4h"), ("0s", "0s"), ("1500ms", "1s500ms")];
        let receiver = read(server, "/api/v1/provisioning/policies")["receiver"].clone();
        for (sent, shown) in times {
            let tree = json!({"receiver": receiver, "group_wait": sent});
            write(server, "PUT", "/api/v1/provisioning/policies", &tree, 202);
            assert_eq!(read(server, "/api/v1/provisioning/policies")["group_wait"], json!(shown));
        }
        write(
            server,
            "PUT",
            "/api/v1/provisioning/policies",
            &json!({"receiver": receiver, "group_wait": "soon"}),
            400,
        );
    });
}

#[test]
fn a_token_works_in_its_organization_until_it_expires() {
    each(|profile, server| {
        write(server, "POST", "/api/orgs", &json!({"name": "second"}), 200);
        let bearer = format!("Bearer {}", server.add_token(2, "ci", Role::Editor));
        let (status, org) = ask(server, "GET", "/api/org", &bearer, &Value::Null).expect("an answer");
        assert_eq!((status, &org["id"]), (200, &json!(2)), "{profile:?}");
        let folder = json!({"title": "by the account"});
        assert_eq!(ask(server, "POST", "/api/folders", &bearer, &folder).expect("an answer").0, 200);
        let source = json!({"name": "z", "type": "loki", "access": "proxy"});
        assert_eq!(ask(server, "POST", "/api/datasources", &bearer, &source).expect("an answer").0, 403);
        server.expire_token(2, "ci-token");
        assert_eq!(ask(server, "GET", "/api/org", &bearer, &Value::Null).expect("an answer").0, 401);
    });
}

#[test]
fn resources_can_be_tried_without_being_written() {
    for profile in [Profile::V12, Profile::V13] {
        let server = Grafana::start(profile, Options::default());
        let path = "/apis/dashboard.grafana.app/v1beta1/namespaces/default/dashboards";
        let body = json!({"metadata": {"name": "d"}, "spec": {"title": "D", "schemaVersion": 42}});
        write(&server, "POST", &format!("{path}?dryRun=All"), &body, 201);
        assert_eq!(server.request(1, "GET", &format!("{path}/d"), &Value::Null).0, 404);
        write(&server, "POST", path, &body, 201);
        assert_eq!(read(&server, "/api/dashboards/uid/d/permissions"), json!([]), "made there, it has no defaults");
        write(&server, "POST", path, &json!({"metadata": {"name": "bad"}, "spec": {"title": 1}}), 422);
        let newest = "/apis/dashboard.grafana.app/v2/namespaces/default/dashboards";
        assert_eq!(server.request(1, "GET", newest, &Value::Null).0, if profile == Profile::V13 { 200 } else { 404 });
    }
}

#[test]
fn edits_behind_the_api_show() {
    each(|profile, server| {
        let save = json!({"dashboard": {"uid": "d", "title": "D", "panels": []}, "overwrite": true});
        write(server, "POST", "/api/dashboards/db", &save, 200);
        server.edit_dashboard(1, "d", |model| model["title"] = json!("by hand"));
        let shown = read(server, "/api/dashboards/uid/d");
        assert_eq!(
            (&shown["dashboard"]["title"], &shown["dashboard"]["version"]),
            (&json!("by hand"), &json!(2)),
            "{profile:?}"
        );
        server.provision_dashboard(1, "d");
        write(server, "POST", "/api/dashboards/db", &save, 400);
        server.add_policy_route(1, json!({"receiver": "x"}));
        assert_eq!(read(server, "/api/v1/provisioning/policies")["routes"], json!([{"receiver": "x"}]));
        assert!(server.log().is_empty(), "edits are no requests");
    });
}

/// By Grafana's source: only a repository keeps its objects from others; any other manager is a word that the old API takes away from a
/// dashboard and leaves on a folder.
#[test]
fn what_a_repository_keeps_is_not_written() {
    for profile in [Profile::V12, Profile::V13] {
        let server = Grafana::start(profile, Options::default());
        assert_eq!(folder(&server, "f", ""), 200);
        let save = json!({"dashboard": {"uid": "d", "title": "D"}, "overwrite": true});
        let rename = |title: &str| json!({"title": title, "overwrite": true});
        let path = "/apis/dashboard.grafana.app/v1beta1/namespaces/default/dashboards/d";
        let managed = |kind: &str, id: &str| {
            let annotations = json!({"grafana.app/managedBy": kind, "grafana.app/managerId": id});
            json!({"metadata": {"annotations": annotations}, "spec": {"title": "D"}})
        };
        write(&server, "POST", "/api/dashboards/db", &save, 200);
        write(&server, "PUT", path, &managed("repo", "r"), 403);
        write(&server, "PUT", path, &managed("kubectl", "me"), 200);
        write(&server, "PUT", path, &managed("kubectl", "you"), 403);
        write(&server, "PUT", path, &managed("terraform", "me"), 403);
        write(&server, "POST", "/api/dashboards/db", &save, 200);
        assert_eq!(read(&server, path)["metadata"]["annotations"]["grafana.app/managedBy"], Value::Null);
        server.manage_folder(1, "f", "kubectl", "me");
        write(&server, "PUT", "/api/folders/f", &rename("G"), 200);
        assert_eq!(read(&server, "/api/folders/f")["managedBy"], json!("kubectl"));
        let mut new = managed("kubectl", "me");
        new["metadata"]["name"] = json!("new");
        new["metadata"]["annotations"]["grafana.app/grant-permissions"] = json!("default");
        write(&server, "POST", path.trim_end_matches("/d"), &new, 500);

        server.manage_folder(1, "f", "repo", "repository");
        server.manage_dashboard(1, "d", "repo", "repository");
        assert_eq!(read(&server, "/api/folders/f")["managedBy"], json!("repo"));
        write(&server, "POST", "/api/dashboards/db", &save, 403);
        write(&server, "PUT", "/api/folders/f", &rename("H"), 403);
        write(&server, "POST", "/api/folders/f/move", &json!({"parentUid": ""}), 403);
        write(&server, "PUT", path, &json!({"metadata": {}, "spec": {"title": "D"}}), 403);
    }
}

#[test]
fn a_fault_meets_the_request_it_is_set_for() {
    let server = Grafana::start(Profile::V12, Options::default());
    let post = |uid: &str| ask(&server, "POST", "/api/folders", &admin(), &json!({"uid": uid, "title": uid}));
    let held = |uid: &str| server.request(1, "GET", &format!("/api/folders/{uid}"), &Value::Null).0 == 200;

    server.fault(Fault::on("POST", "/api/folders", Effect::ApplyThenAnswer(412, "{}".to_owned())).nth(2));
    assert_eq!(post("a").expect("an answer").0, 200);
    assert_eq!(post("b").expect("an answer"), (412, json!({})));
    assert_eq!(post("c").expect("an answer").0, 200);
    assert!(held("b"), "created although it says otherwise");
    server.clear_faults();

    server.fault(Fault::anywhere("/api/", Effect::ResetBefore).nth(1));
    assert!(post("d").is_err() && !held("d"));
    server.clear_faults();
    server.fault(Fault::anywhere("/api/", Effect::ApplyThenDrop).times(1));
    assert!(post("e").is_err() && held("e"));
    server.clear_faults();
    server.fault(Fault::anywhere("/api/", Effect::Truncate));
    assert!(post("f").is_err() && held("f"));
    server.clear_faults();
    let busy = Effect::Answer(429, "{}".to_owned());
    server.fault(Fault::anywhere("/", busy).every(2).header("Retry-After", "1"));
    let answers: Vec<u16> = (0..4).map(|number| post(&format!("g{number}")).expect("an answer").0).collect();
    assert_eq!(answers, [200, 429, 200, 429]);
    server.clear_faults();
    server.fault(Fault::anywhere("/", Effect::Delay(Duration::from_millis(300))));
    let start = Instant::now();
    assert_eq!(post("h").expect("an answer").0, 200);
    assert!(start.elapsed() >= Duration::from_millis(300));

    let statuses: Vec<u16> = server.log().iter().map(|entry| entry.status).collect();
    assert_eq!(statuses, [200, 412, 200, 0, 200, 200, 200, 429, 200, 429, 200]);
    assert_eq!(server.writes().len(), server.log().len());
    server.reset_log();
    assert!(server.log().is_empty());
}

#[test]
fn a_server_starts_as_told() {
    let startup = Startup { refused: Duration::from_millis(200), failing: 1, unauthorized: 2 };
    let server = Grafana::start(Profile::V11, Options { startup, ..Options::default() });
    let get = |path: &str| ask(&server, "GET", path, &admin(), &Value::Null).map(|answer| answer.0);
    assert!(get("/api/health").is_err(), "refused");
    kit::eventually(Duration::from_secs(10), || get("/api/org").is_ok());
    assert_eq!(get("/api/org").expect("an answer"), 503);
    assert_eq!(get("/api/health").expect("an answer"), 503);
    assert_eq!(get("/api/health").expect("an answer"), 200);
    let answers: Vec<u16> = (0..3).map(|_| get("/api/org").expect("an answer")).collect();
    assert_eq!(answers, [401, 401, 200]);
}
