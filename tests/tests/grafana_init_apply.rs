//! grafana-init against the stand-in of every version, and with `GRAFANA_URL` against a live Grafana: applied, applied again,
//! started too early, read back one by one.

use std::time::Duration;

use kit::grafana::{Options, Startup, Target};
use kit::sandbox::program_path;
use serde_json::{Value, json};

fn panel(expr: &str) -> Value {
    json!({"id": 1, "type": "timeseries", "title": "P", "gridPos": {"h": 8, "w": 12, "x": 0, "y": 0},
        "datasource": {"type": "prometheus", "uid": "case-prometheus"},
        "targets": [{"refId": "A", "expr": expr}]})
}

fn files() -> Vec<(&'static str, Value)> {
    vec![
        (
            "datasources/prometheus.json",
            json!({"uid": "case-prometheus", "name": "Case Prometheus", "type": "prometheus", "access": "proxy",
                "url": "http://prometheus:9090", "jsonData": {"httpMethod": "POST"}}),
        ),
        (
            "datasources/loki.json",
            json!({"uid": "case-loki", "name": "Case Loki", "type": "loki", "url": "http://loki:3100",
                "basicAuth": true, "basicAuthUser": "reader", "secureJsonData": {"basicAuthPassword": "s3cret-of-loki"}}),
        ),
        (
            "dashboards/Case/overview.json",
            json!({"uid": "case-overview", "id": 77, "title": "Overview", "schemaVersion": 39, "panels": [panel("up")]}),
        ),
        ("dashboards/Case/Deep/_folder.json", json!({"uid": "case-deep", "title": "Deeper"})),
        ("dashboards/Case/Deep/no uid.json", json!({"title": "No uid", "id": 77, "panels": [panel("up == 0")]})),
        (
            "dashboards/Case/shared.json",
            json!({"__inputs": [{"name": "DS_PROMETHEUS", "type": "datasource", "pluginId": "prometheus"}],
                "__requires": [], "uid": "case-shared", "title": "Shared", "panels": [
                {"id": 1, "type": "stat", "datasource": {"type": "prometheus", "uid": "${DS_PROMETHEUS}"}}]}),
        ),
        ("inputs.json", json!({"DS_PROMETHEUS": "case-prometheus"})),
        ("dashboards/case root.json", json!({"dashboard": {"uid": "case-root", "title": "Root"}, "overwrite": true})),
    ]
}

#[test]
fn val_spc_101_a_second_run_exits_0_and_writes_nothing() {
    Target::each(|target| {
        let sandbox = target.sandbox().config(&files());
        assert_eq!(target.apply(&sandbox).count("created"), 8, "{}", target.name);
        assert_eq!(target.settled(&sandbox).count("unchanged"), 8, "{}", target.name);
        sandbox.run(&["plan"]).expect_code(0);
    });
}

#[test]
fn val_spc_102_started_before_the_server_it_blocks_until_grafana_is_ready() {
    // Built beforehand: the server's clock starts with the server.
    program_path("grafana-init");
    let startup = Startup { refused: Duration::from_secs(1), failing: 3, unauthorized: 0 };
    Target::each_standin(&Options { startup, ..Options::default() }, |target| {
        let run = target.apply(&target.sandbox().config(&files()));
        assert!(run.elapsed >= Duration::from_secs(1), "{run}");
        assert!(run.count("wait_ms") >= 900, "{run}");
        run.expect_stderr("refused").expect_stderr("database");
    });
}

#[test]
fn val_spc_103_after_exit_0_each_declared_resource_answers_200() {
    Target::each(|target| {
        target.apply(&target.sandbox().config(&files()));
        for path in [
            "/api/datasources/uid/case-prometheus",
            "/api/datasources/uid/case-loki",
            "/api/folders/case-deep",
            "/api/dashboards/uid/case-overview",
            "/api/dashboards/uid/case-shared",
            "/api/dashboards/uid/case-root",
        ] {
            target.read(path);
        }
        let absent = target.ask("GET", "/api/dashboards/uid/case-absent", &Value::Null);
        assert_eq!(absent.0, 404, "{}", target.name);
    });
}

#[test]
fn resources_of_both_generations_are_applied_where_the_server_can() {
    Target::each(|target| {
        let resource = |version: &str, name: &str, spec: Value| json!({"apiVersion": format!("dashboard.grafana.app/{version}"), "kind": "Dashboard", "metadata": {"name": name}, "spec": spec});
        let classic = resource("v1beta1", "classic", json!({"title": "Classic", "schemaVersion": 36, "panels": []}));
        let sandbox = target.sandbox().config(&[("dashboards/Case/classic.json", classic)]);
        target.apply(&sandbox);
        target.settled(&sandbox);
        let newer = resource("v2beta1", "newer", json!({"title": "Newer", "elements": {}}));
        sandbox.write("dashboards/Case/newer.json", newer.to_string());
        if target.version().0 < 12 {
            sandbox.run(&[]).expect_code(1).expect_stderr("needs Grafana 12");
            return;
        }
        target.apply(&sandbox);
        assert_eq!(target.read("/api/dashboards/uid/newer")["dashboard"]["title"], json!("Newer"), "{}", target.name);
        target.settled(&sandbox);
    });
}
