//! Dashboard models between the versions of the resource API. Only the shape of what 12.4 answered is kept: the module's head
//! says what is lost. No storage in here.

use serde_json::{Map, Value, json};

use super::field::text;
use super::state::Dashboard;

const LATEST_SCHEMA: i64 = 42;

/// From this schema version on `refresh` is a text.
const REFRESH_IS_TEXT: i64 = 40;

/// The model that the old API shows.
pub(super) fn classic(dashboard: &Dashboard) -> Map<String, Value> {
    if dashboard.stored_as.starts_with("v2") { from_v2(&dashboard.spec) } else { dashboard.spec.clone() }
}

/// What a write through `v1` makes of a model: defaults and the newest schema version (12.4).
pub(super) fn migrated(mut spec: Map<String, Value>) -> Map<String, Value> {
    let own = json!({"builtIn": 1, "datasource": {"type": "grafana", "uid": "-- Grafana --"}, "enable": true, "hide": true,
        "iconColor": "rgba(0, 211, 255, 1)", "name": "Annotations & Alerts", "type": "dashboard"});
    let defaults = [
        ("annotations", json!({"list": [own]})),
        ("editable", json!(true)),
        ("fiscalYearStartMonth", json!(0)),
        ("graphTooltip", json!(0)),
        ("links", json!([])),
        ("tags", json!([])),
        ("templating", json!({"list": []})),
        ("time", json!({"from": "now-6h", "to": "now"})),
        ("timepicker", json!({})),
        ("timezone", json!("")),
        ("weekStart", json!("")),
    ];
    for (field, value) in defaults {
        spec.entry(field).or_insert(value);
    }
    let schema = spec.get("schemaVersion").and_then(Value::as_i64).unwrap_or(0);
    if schema < REFRESH_IS_TEXT && !spec.get("refresh").is_some_and(Value::is_string) {
        spec.insert("refresh".to_owned(), json!(""));
    }
    if schema < LATEST_SCHEMA {
        spec.insert("schemaVersion".to_owned(), json!(LATEST_SCHEMA));
    }
    spec
}

/// What a write through `v2` keeps of a model that leaves fields out: their empty values (12.4).
pub(super) fn whole_v2(mut spec: Map<String, Value>) -> Map<String, Value> {
    let empty = [
        ("annotations", Value::Null),
        ("cursorSync", json!("")),
        ("layout", json!({"kind": "GridLayout", "spec": {"items": null}})),
        ("links", Value::Null),
        ("preload", json!(false)),
        ("tags", Value::Null),
        ("timeSettings", json!({})),
        ("variables", Value::Null),
    ];
    for (field, value) in empty {
        spec.entry(field).or_insert(value);
    }
    if let Some(times) = spec.get_mut("timeSettings").and_then(Value::as_object_mut) {
        let empty = [
            ("autoRefresh", json!("")),
            ("autoRefreshIntervals", Value::Null),
            ("fiscalYearStartMonth", json!(0)),
            ("from", json!("")),
            ("hideTimepicker", json!(false)),
            ("to", json!("")),
        ];
        for (field, value) in empty {
            times.entry(field).or_insert(value);
        }
    }
    spec
}

pub(super) fn from_v2(spec: &Map<String, Value>) -> Map<String, Value> {
    let times = spec.get("timeSettings").cloned().unwrap_or_default();
    let tooltip = match spec.get("cursorSync").and_then(Value::as_str) {
        Some("Crosshair") => 1,
        Some("Tooltip") => 2,
        _ => 0,
    };
    let or = |field: &str, default: &str| match text(&times, field) {
        "" => default.to_owned(),
        given => given.to_owned(),
    };
    let mut model = json!({
        "annotations": {"list": []}, "editable": true, "fiscalYearStartMonth": 0, "graphTooltip": tooltip,
        "preload": spec.get("preload").cloned().unwrap_or(json!(false)), "refresh": text(&times, "autoRefresh"),
        "schemaVersion": LATEST_SCHEMA, "time": {"from": or("from", "now-6h"), "to": or("to", "now")},
        "title": spec.get("title").cloned().unwrap_or_default(),
    });
    let fields = model.as_object_mut().expect("it was made as one");
    for kept in ["tags", "links"] {
        if let Some(list) = spec.get(kept).filter(|list| list.as_array().is_some_and(|list| !list.is_empty())) {
            fields.insert(kept.to_owned(), list.clone());
        }
    }
    let elements = spec.get("elements").and_then(Value::as_object).cloned().unwrap_or_default();
    if !elements.is_empty() {
        let panels = elements.values().map(|element| json!({"title": text(&element["spec"], "title")}));
        fields.insert("panels".to_owned(), panels.collect());
    }
    fields.clone()
}

pub(super) fn to_v2(spec: &Map<String, Value>) -> Map<String, Value> {
    let body = json!({
        "annotations": [], "cursorSync": "Off", "elements": {}, "layout": {"kind": "GridLayout", "spec": {"items": []}},
        "links": [], "preload": false, "tags": spec.get("tags").cloned().unwrap_or(json!([])),
        "timeSettings": {"from": "now-6h", "to": "now", "autoRefresh": "", "autoRefreshIntervals": [],
            "hideTimepicker": false, "fiscalYearStartMonth": 0},
        "title": spec.get("title").cloned().unwrap_or_default(), "variables": [],
    });
    body.as_object().cloned().expect("it was made as one")
}
