//! Damaged files and damaged answers, for every kind: whatever is missing, doubled or of another type, a run ends with a sentence, not with
//! a panic. The answers are those that a real Grafana gave (`tests/transcripts`); what their words are worth is not judged here.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::net::http::{Call, Client};
use common::testing::{self, Edit, Reached, damage};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::dialect::DIALECT;
use crate::kinds::{SPECS, kinds};
use crate::ready::Found;
use crate::server::{Secrets, Server, Settings};

const RECORDED: [&str; 2] = [
    include_str!("../../tests/transcripts/grafana-12.4.0.json"),
    include_str!("../../tests/transcripts/grafana-12.4.0-third.json"),
];

/// The last good answer to each path, and what was not asked when they were recorded.
static ANSWERS: LazyLock<BTreeMap<String, Value>> = LazyLock::new(|| {
    let exchanges = RECORDED.iter().flat_map(|text| serde_json::from_str::<Vec<Value>>(text).expect("a list"));
    let recorded = exchanges.filter(|exchange| exchange["method"] == "GET" && exchange["status"] == 200);
    let path = |exchange: &Value| exchange["path"].as_str().and_then(|path| path.split('?').next()).map(str::to_owned);
    let mut answers: BTreeMap<String, Value> =
        recorded.filter_map(|one| Some((path(&one)?, one["answer"].clone()))).collect();
    let playlists = answers["/api/playlists/own-uid"].clone();
    answers.extend([
        ("/api/folders".into(), json!([{"id": 5, "uid": "f1", "title": "One"}, {"id": 6, "uid": "f2", "title": "Two", "parentUid": "f1"}])),
        ("/api/org/users/lookup".into(), json!([{"userId": 1, "login": "admin"}])),
        ("/api/teams/1/members".into(), json!([{"login": "somebody", "userId": 3}])),
        ("/api/teams/search".into(), json!({"totalCount": 1, "teams": [{"id": 1, "uid": "t", "name": "ops", "email": "old@example.com"}]})),
        ("/api/serviceaccounts/search".into(), json!({"totalCount": 1, "serviceAccounts": [{"id": 2, "name": "ci", "login": "sa-1-ci", "isDisabled": true, "role": "Viewer", "tokens": 1}]})),
        ("/api/dashboards/public-dashboards".into(), json!({"publicDashboards": [{"uid": "p", "dashboardUid": "d1", "title": "First"}], "totalCount": 1})),
        ("/api/playlists/wall".into(), playlists),
        ("/apis/folder.grafana.app/".into(), json!({"preferredVersion": {"version": "v1beta1"}})),
        ("/apis/folder.grafana.app/v1beta1/namespaces/default/folders/f1".into(), json!({"spec": {"title": "Un"}, "metadata": {"resourceVersion": "1", "annotations": {"grafana.app/folder": "f2", "grafana.app/managedBy": "kubectl", "grafana.app/managerId": "grafana-init"}}})),
        ("/api/orgs/name/second".into(), json!({"id": 2, "name": "second"})),
        ("/api/plugins/prometheus/settings".into(), json!({"id": "prometheus", "info": {"version": "0.9.1"}})),
    ]);
    answers
});

/// What a run declares together: kind, name, body.
type Sample = Vec<(&'static str, &'static str, Value)>;

static SAMPLES: LazyLock<Vec<Sample>> = LazyLock::new(|| {
    let panels = json!([
        {"id": 1, "type": "row", "collapsed": true, "panels": [{"id": 2, "type": "graph", "datasource": "Prometheus", "targets": [{"refId": "A", "expr": "up"}]}]},
        {"id": 3, "type": "timeseries", "title": "P", "gridPos": {"h": 8, "w": 12, "x": 0, "y": 0}, "datasource": {"type": "prometheus", "uid": "${DS}"}, "targets": [{"expr": "up", "refId": "A"}]},
        {"id": 4, "libraryPanel": {"uid": "lp1", "name": "Lib"}},
    ]);
    let folder = (
        "dashboards",
        "One/_folder",
        json!({"uid": "f1", "title": "One", "permissions": [{"role": "Viewer", "permission": "View"}, {"team": "ops", "permission": "Admin"}, {"user": "admin", "permission": 2}, {"serviceAccount": "ci", "permission": "Edit"}]}),
    );
    let dashboard = json!({
        "__inputs": [{"name": "DS", "type": "datasource", "pluginId": "prometheus"}, {"name": "C", "type": "constant", "value": "1"}],
        "__elements": {"lp1": {"name": "Lib", "uid": "lp1", "kind": 1, "model": {"type": "text"}}},
        "uid": "d1", "title": "First", "tags": ["a", "b"], "schemaVersion": 36, "timezone": "browser", "panels": panels,
        "templating": {"list": [{"name": "v", "type": "query", "datasource": {"uid": "prom"}, "current": {"value": "x"}}]}, "annotations": {"list": [{"builtIn": 1, "datasource": "-- Grafana --"}]},
        "time": {"from": "now-6h", "to": "now"}, "_permissions": [{"team": "ops", "permission": "Edit"}],
    });
    let rules = json!({"interval": 60, "rules": [
        {"uid": "r1", "title": "Up", "condition": "B", "for": "300s", "noDataState": "NoData", "execErrState": "Error", "labels": {"a": "b"}, "annotations": {"summary": "s", "__dashboardUid__": "d1", "__panelId__": "1"},
         "notification_settings": {"receiver": "hook", "mute_time_intervals": ["nights"], "group_by": ["a"]}, "data": [
            {"refId": "A", "datasourceUid": "prom", "relativeTimeRange": {"from": 600, "to": 0}, "model": {"expr": "down", "refId": "A"}},
            {"refId": "B", "datasourceUid": "__expr__", "relativeTimeRange": {"from": 600, "to": 0}, "model": {"type": "threshold", "expression": "A", "refId": "B", "conditions": [{"evaluator": {"type": "lt", "params": [1]}}]}}]},
        {"title": "Recorded", "record": {"metric": "m", "from": "A"}, "data": [{"refId": "A", "datasourceUid": "prom", "relativeTimeRange": {"from": 600, "to": 0}, "model": {"expr": "up", "refId": "A"}}]},
    ]});
    vec![
        vec![("plugins", "prometheus", json!({"minVersion": "1.0"}))],
        vec![("teams", "ops", json!({"email": "ops@example.com", "members": ["admin", "somebody", "sa-1-ci"]}))],
        vec![(
            "service_accounts",
            "ci",
            json!({"role": "Editor", "isDisabled": false, "tokens": [{"name": "ci-token", "file": "/no/such/folder/ci", "secondsToLive": 86400}]}),
        )],
        vec![("service_accounts", "ci", json!({"role": "Editor", "isDisabled": false}))],
        vec![(
            "datasources",
            "os",
            json!({"uid": "os", "name": "OpenSearch", "type": "elasticsearch", "access": "proxy", "url": "https://opensearch:9201", "basicAuth": true, "basicAuthUser": "reader", "database": "logs-*", "isDefault": true,
            "jsonData": {"timeField": "@timestamp", "httpHeaderName1": "X-A", "derivedFields": [{"name": "t", "datasourceUid": "prom"}]}, "secureJsonData": {"basicAuthPassword": "a-password-of-ours", "httpHeaderValue1": "a-value-of-ours"}}),
        )],
        vec![(
            "library_panels",
            "lp1",
            json!({"uid": "lp1", "name": "Lib", "folderUid": "f1", "model": {"type": "text", "title": "Lib 2", "options": {"content": "hi"}, "datasource": {"uid": "prom"}}}),
        )],
        vec![
            folder.clone(),
            ("dashboards", "One/first", dashboard.clone()),
            ("inputs", "inputs", json!({"DS": "prom"})),
        ],
        vec![("dashboards", "One/Two/first", json!({"dashboard": dashboard, "folderUid": "f1", "overwrite": true}))],
        vec![(
            "dashboards",
            "rv2",
            json!({"apiVersion": "dashboard.grafana.app/v2beta1", "kind": "Dashboard", "metadata": {"name": "rv2beta1", "annotations": {"grafana.app/folder": "f1"}, "labels": {"a": "b"}},
            "spec": {"title": "V2", "elements": {"p": {"kind": "Panel", "spec": {"id": 1, "data": {"kind": "QueryGroup", "spec": {"queries": [{"kind": "PanelQuery", "spec": {"refId": "A", "query": {"kind": "DataQuery", "datasource": {"name": "prom"}}}}]}}}}}, "layout": {"kind": "GridLayout", "spec": {"items": []}}, "variables": [], "annotations": []}}),
        )],
        vec![(
            "playlists",
            "wall",
            json!({"name": "Wall", "interval": "6m", "items": [{"type": "dashboard_by_uid", "value": "d1"}, {"type": "dashboard_by_tag", "value": "a"}]}),
        )],
        vec![(
            "correlations",
            "to b",
            json!({"sourceUID": "a", "targetUID": "b", "label": "to b", "config": {"type": "query", "field": "instance", "target": {"expr": "up"}, "transformations": [{"type": "regex", "expression": "x"}]}}),
        )],
        vec![(
            "public_dashboards",
            "d1",
            json!({"isEnabled": false, "timeSelectionEnabled": false, "share": "public"}),
        )],
        vec![(
            "contact_points",
            "hook",
            json!({"uid": "cp1", "name": "hook", "type": "webhook", "settings": {"url": "http://hooks.example.com/y", "password": "a-password-of-ours", "username": "u", "http_config": {"oauth2": {"client_secret": "a-secret-of-ours"}}}}),
        )],
        vec![(
            "contact_points",
            "mail",
            json!({"apiVersion": 1, "contactPoints": [{"orgId": 1, "name": "mail", "receivers": [{"uid": "cp2", "type": "email", "settings": {"addresses": "a@example.com", "singleEmail": true}}, {"uid": "x", "type": "slack", "settings": {"token": "a-token-of-ours"}}]}]}),
        )],
        vec![(
            "mute_timings",
            "nights",
            json!({"time_intervals": [{"times": [{"start_time": "21:00", "end_time": "24:00"}], "weekdays": ["monday:friday", "sunday"], "days_of_month": ["1:5", "-1"], "months": ["january:march", "12"], "years": ["2024:2030"], "location": "Europe/Berlin"}]}),
        )],
        vec![(
            "message_templates",
            "t1",
            json!({"template": "{{ define \"t1\" }}{{ if .A }}hi{{ else }}x{{ end }}{{ end }}"}),
        )],
        vec![(
            "notification_policy",
            "notification_policy",
            json!({"receiver": "hook", "group_by": ["grafana_folder", "alertname"], "group_wait": "30s", "group_interval": "5m", "repeat_interval": "1d",
            "routes": [{"receiver": "mail", "matchers": ["team=\"ops\"", "severity=~\"a|b\""], "continue": true, "mute_time_intervals": ["nights"], "routes": [{"match": {"a": "b"}, "match_re": {"c": "d.*"}}]}, {"receiver": "hook", "object_matchers": [["team", "=", "db"]]}]}),
        )],
        vec![("alert_rules", "f1/g1", rules)],
        vec![(
            "alert_rules",
            "f1/g1",
            json!({"apiVersion": 1, "groups": [{"orgId": 1, "name": "g1", "folder": "One", "interval": "1m", "rules": [{"uid": "r1", "title": "Up", "condition": "A", "for": "5m", "isPaused": true, "data": [{"refId": "A", "datasourceUid": "prom", "relativeTimeRange": {"from": 600, "to": 0}, "model": {}}]}]}]}),
        )],
        vec![(
            "preferences",
            "preferences",
            json!({"homeDashboardUID": "d1", "theme": "light", "timezone": "Europe/Berlin", "weekStart": "monday", "navbar": {"bookmarkUrls": ["/x"]}}),
        )],
    ]
});

static CLIENT: LazyLock<Client> = LazyLock::new(|| testing::client(DIALECT));

/// What the server says to a request.
fn said(call: &Call) -> Value {
    if call.writes {
        return json!({"id": 7, "uid": "new", "orgId": 2, "name": "new", "key": "a-token-of-theirs", "version": 3, "datasource": {"uid": "os", "isDefault": true}});
    }
    let path = call.path.split('?').next().unwrap_or_default();
    let above = |path: &str| path.rsplit_once('/').map(|(above, _)| above.to_owned());
    let known = ANSWERS.get(path).or_else(|| ANSWERS.get(&above(path)?));
    known.cloned().unwrap_or_else(|| json!({"uid": "u", "name": "n", "items": []}))
}

/// A run with files and answers, each damaged by the edits that bear its number: first the files, then the answers in order. With
/// `managed`, dashboards and folders carry our name.
fn run(sample: &Sample, (major, minor): (u32, u32), managed: bool, edits: &[(u8, Edit)]) -> Reached {
    let of = |edits: &[(u8, Edit)], number: usize| -> Vec<Edit> {
        edits.iter().filter(|(document, _)| usize::from(*document) == number).map(|(_, edit)| *edit).collect()
    };
    let mut files = sample.clone();
    for (number, (.., body)) in files.iter_mut().enumerate() {
        for edit in of(edits, number) {
            damage(body, edit);
        }
    }
    let Some(set) = testing::set(&SPECS, files.into_iter().map(|(kind, name, body)| (kind, name.to_owned(), body)))
    else {
        return Reached::default();
    };
    let (asked, edits) = (AtomicUsize::new(sample.len()), edits.to_vec());
    let client = CLIENT.answered_by(move |call| match of(&edits, asked.fetch_add(1, Ordering::Relaxed)).as_slice() {
        [] => testing::answer(200, &said(call)),
        edits => testing::damaged_answer(said(call), edits),
    });
    let server = Rc::new(Server {
        client,
        settings: Settings { secrets: Secrets::Keep, editable: false, managed },
        found: RefCell::new(Found {
            version: format!("{major}.{minor}.0"),
            org: 1,
            resources: (major > 11).then(|| "v2beta1".to_owned()),
        }),
        folders: OnceCell::new(),
        wait_timeout: Duration::ZERO,
    });
    let set = Rc::new(set);
    let mut kinds = kinds(&server, &set);
    kinds.retain(|known| sample.iter().any(|(kind, ..)| known.name() == *kind));
    testing::run(&mut kinds, &set)
}

#[test]
fn what_is_whole_comes_to_its_end() {
    for sample in &*SAMPLES {
        for (version, managed) in [((10, 4), false), ((11, 6), true), ((12, 4), false), ((12, 4), true)] {
            let reached = run(sample, version, managed, &[]);
            // Resources of v2 came with 12.
            let planned = reached.planned > 0 || (version.0 < 12 && sample[0].1 == "rv2");
            assert!(reached.checked && planned, "{version:?} {:?}: {reached:?}", sample[0]);
        }
    }
}

/// Each file and each of the answers in turn, as a whole: null, a number, a list, a text, an object of something else.
#[test]
fn what_is_of_another_type_ends_with_a_sentence() {
    for sample in &*SAMPLES {
        for (document, what) in (0..12).flat_map(|document| [0, 3, 10, 18, 19].map(|what| (document, what))) {
            run(sample, (12, 4), false, &[(document, (0, what))]);
            if sample[0].0 == "dashboards" {
                run(sample, (12, 4), true, &[(document, (0, what))]);
            }
        }
    }
}

proptest! {
    #[test]
    fn damaged_bodies_never_panic(
        sample in 0..SAMPLES.len(),
        version in prop::sample::select(&[(10, 4), (11, 6), (12, 4)][..]),
        managed in any::<bool>(),
        edits in prop::collection::vec((0..9_u8, any::<Edit>()), 0..5),
    ) {
        run(&SAMPLES[sample], version, managed, &edits);
    }
}
