//! Grafana's own provisioning folder as it is, on every version of the stand-in, and with `GRAFANA_URL` on a live Grafana.

use kit::grafana::{Options, Profile, Target};
use serde_json::json;

const SOURCES: &str = r#"
apiVersion: 1
deleteDatasources:
  - {name: Old, orgId: 1}
datasources:
  - name: Prometheus
    type: prometheus
    access: proxy
    orgId: 1
    url: http://$PROM_HOST:9090
    isDefault: true
    editable: true
    version: 1
    jsonData: {timeInterval: 15s}
  - name: Tempo
    type: tempo
    uid: tempo
    url: ${TEMPO_URL}
    jsonData:
      tracesToLogsV2: {datasourceUid: PBFA97CFB590B2093, query: "{a=\"$${__span.tags.x}\"}"}
    secureJsonData: {httpHeaderValue1: $TEMPO_TOKEN}
    correlations:
      - {targetUID: PBFA97CFB590B2093, label: to metrics, type: query, config: {type: query, field: traceID, target: {expr: up}}}
"#;

const PROVIDERS: &str = r"
apiVersion: 1
providers:
  - {name: flat, orgId: 1, folder: Services, folderUid: services, type: file, options: {path: /etc/grafana/provisioning/dashboards/flat}}
  - {name: tree, type: file, options: {path: /etc/grafana/provisioning/dashboards/tree, foldersFromFilesStructure: true}}
";

const ALERTING: &str = r#"
apiVersion: 1
groups:
  - orgId: 1
    name: hosts
    folder: Services
    interval: 1m
    rules:
      - uid: up
        title: Up
        condition: B
        for: 300s
        annotations: {summary: "{{ $$labels.instance }} is down"}
        data:
          - {refId: A, datasourceUid: PBFA97CFB590B2093, relativeTimeRange: {from: 600, to: 0}, model: {expr: up, refId: A}}
          - {refId: B, datasourceUid: __expr__, model: {type: threshold, expression: A, refId: B, conditions: [{evaluator: {type: lt, params: [1]}}]}}
contactPoints:
  - {orgId: 1, name: mail, receivers: [{uid: mail, type: email, settings: {addresses: a@example.com}}]}
  - {orgId: 1, name: hook, receivers: [{uid: hook, type: webhook, settings: {url: "http://h"}}]}
muteTimes:
  - {orgId: 1, name: nights, time_intervals: [{weekdays: [Saturday, Sunday]}]}
templates:
  - {orgId: 1, name: title, template: '{{ define "title" }}x{{ end }}'}
policies:
  - {orgId: 1, receiver: mail, routes: [{receiver: hook, object_matchers: [[team, "=", ops]], mute_time_intervals: [nights]}]}
"#;

#[test]
fn the_provisioning_folder_is_taken_as_it_is() {
    Target::each(|target| {
        let sandbox = target
            .sandbox()
            .env("PROM_HOST", "prom.example.com")
            .env("TEMPO_URL", "http://tempo:3200")
            .env("TEMPO_TOKEN", "t-o-k-e-n-of-tempo");
        sandbox.write("provisioning/datasources/all.yaml", SOURCES);
        sandbox.write("provisioning/dashboards/all.yml", PROVIDERS);
        sandbox.write("provisioning/dashboards/flat/one.json", json!({"uid": "one", "title": "One"}).to_string());
        sandbox.write("provisioning/dashboards/flat/below/two.json", json!({"uid": "two", "title": "Two"}).to_string());
        sandbox.write(
            "provisioning/dashboards/tree/Deep/three.json",
            json!({"uid": "three", "title": "Three"}).to_string(),
        );
        sandbox.write("provisioning/alerting/all.yaml", ALERTING);
        sandbox.write("provisioning/plugins/app.yaml", "apiVersion: 1\napps: []\n");
        let run = target.apply(&sandbox);
        run.expect_stderr("nothing is deleted").expect_stderr("left to Grafana");
        assert!(!run.to_string().contains("t-o-k-e-n-of-tempo"), "{run}");
        let prometheus = target.read("/api/datasources/uid/PBFA97CFB590B2093");
        assert_eq!(prometheus["url"], json!("http://prom.example.com:9090"), "{}", target.name);
        let query = target.read("/api/datasources/uid/tempo")["jsonData"]["tracesToLogsV2"]["query"].clone();
        assert_eq!(query, json!("{a=\"${__span.tags.x}\"}"), "{}", target.name);
        let place = |uid: &str| target.read(&format!("/api/dashboards/uid/{uid}"))["meta"]["folderTitle"].clone();
        assert_eq!((place("one"), place("two"), place("three")), (json!("Services"), json!("Services"), json!("Deep")));
        let rule = target.read("/api/v1/provisioning/alert-rules/up");
        assert_eq!(rule["annotations"]["summary"], json!("{{ $labels.instance }} is down"), "{}", target.name);
        assert_eq!(rule["folderUID"], json!("services"), "{}", target.name);
        target.settled(&sandbox);
    });
}

/// The same lists inside the kinds' own folders; there `$` is a plain character.
#[test]
fn lists_are_taken_inside_the_kinds() {
    Target::each(|target| {
        let list = json!({"apiVersion": 1, "datasources": [
            {"name": "A", "uid": "a", "type": "loki", "url": "http://a"}, {"name": "B", "uid": "b", "type": "loki", "url": "http://$b"}]});
        let points = json!({"apiVersion": 1, "contactPoints": [
            {"name": "x", "receivers": [{"uid": "x", "type": "webhook", "settings": {"url": "http://x"}}]},
            {"name": "y", "receivers": [{"uid": "y", "type": "webhook", "settings": {"url": "http://y"}}]}]});
        let sandbox = target.sandbox().config(&[("datasources/all.json", list), ("contact_points/all.json", points)]);
        let run = target.apply(&sandbox);
        assert_eq!(run.count("created"), 4, "{}\n{run}", target.name);
        assert_eq!(target.read("/api/datasources/uid/b")["url"], json!("http://$b"), "{}", target.name);
        target.settled(&sandbox);
    });
}

/// `orgId` other than 1 is the organization of that number, which has to be there.
#[test]
fn entries_of_another_organization_go_there() {
    for profile in Profile::ALL {
        let target = Target::standin(profile, Options::default());
        let sandbox = target.sandbox();
        let source = |org: u64, url: &str| {
            format!(
                "apiVersion: 1\ndatasources: [{{name: A, uid: a, type: loki, access: proxy, orgId: {org}, url: '{url}'}}]\n"
            )
        };
        sandbox.write("provisioning/datasources/one.yaml", source(1, "http://one"));
        sandbox.write("provisioning/datasources/two.yaml", source(2, "http://two"));
        let run = sandbox.run(&[]);
        run.expect_code(1).expect_stderr("organization");
        assert_eq!(run.count("writes"), 0, "{run}");
        let made = target.write("POST", "/api/orgs", &json!({"name": "Second"}));
        assert_eq!(made["orgId"], json!(2), "{made}");
        target.apply(&sandbox);
        assert_eq!(target.read("/api/datasources/uid/a")["url"], json!("http://one"), "{}", target.name);
        let (status, two) = target.server().request(2, "GET", "/api/datasources/uid/a", &json!(null));
        assert_eq!((status, &two["url"]), (200, &json!("http://two")), "{}", target.name);
        target.settled(&sandbox);
    }
}
