//! The forms in which people have dashboards, and what is normal for each. Pure: no request, no file.
//!
//! | form                                  | told by                   | sent through                      |
//! |---------------------------------------|---------------------------|-----------------------------------|
//! | bare model, or the export with inputs | anything else             | `/api`                            |
//! | envelope                              | `dashboard` is an object  | `/api`                            |
//! | resource, `v0alpha1` and `v1…`        | `apiVersion`              | `/api`: there the model is kept   |
//! | resource, `v2…`                       | `apiVersion`              | `/apis`, at its version           |
//! | spec of `v2`                          | `elements` and `layout`   | `/apis`, as `v2beta1`             |
//!
//! A classic model that is written through `v1` is migrated (12.4: schemaVersion 36 becomes 42), after which file and server
//! would never agree again; `/api` keeps it word for word. So does `v0alpha1`, which stands for `/api` where dashboards carry our name.

use common::engine::document::drop_where;
use serde_json::{Map, Value, json};

const PLACE: &str = "the folder is the directory that the file lies in; what is said of it here is not used";
/// The version of a spec that stands alone: the first that later servers still take.
const BARE: &str = "v2beta1";
const GROUP: &str = "dashboard.grafana.app/";

/// A dashboard as a file declares it.
#[derive(Debug)]
pub(crate) struct Model {
    /// The version of the resource API for a `v2` resource.
    pub(crate) resource: Option<String>,
    /// The uid that the file gives.
    pub(crate) uid: Option<String>,
    /// The classic model, or the spec of a `v2` resource.
    pub(crate) body: Value,
    /// Its `__inputs`.
    pub(crate) inputs: Vec<Input>,
    /// Its own entries of who may do what, beside the model in any form.
    pub(crate) permissions: Option<Value>,
    /// What the file says that goes nowhere, each with the reason.
    pub(crate) unused: Vec<(&'static str, &'static str)>,
}

/// One of `__inputs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Input {
    pub(crate) name: String,
    /// The plugin's id for a data source; `None` for a constant.
    pub(crate) plugin: Option<String>,
    /// A constant's own value.
    pub(crate) value: Option<String>,
}

/// Tells the form; the error is a pointer and what is wrong there.
pub(crate) fn read(mut file: Value) -> Result<Model, (&'static str, String)> {
    let permissions = file.as_object_mut().and_then(|whole| whole.remove("_permissions"));
    Ok(Model { permissions, ..of_form(file)? })
}

fn of_form(mut file: Value) -> Result<Model, (&'static str, String)> {
    let mut unused = Vec::new();
    let whole = file.as_object_mut().ok_or_else(|| ("", "a dashboard is a JSON object".to_owned()))?;
    if let Some(version) = whole.get("apiVersion").and_then(Value::as_str) {
        let Some(version) = version.strip_prefix(GROUP).map(str::to_owned) else {
            return Err(("/apiVersion", format!("{version:?} is no dashboard: expected {GROUP}<version>")));
        };
        let meta = whole.get("metadata").cloned().unwrap_or_default();
        let uid = meta["name"].as_str().map(str::to_owned);
        let Some(body) = whole.remove("spec").filter(Value::is_object) else {
            return Err(("/spec", "a resource needs a spec".to_owned()));
        };
        let foreign =
            |map: &Value| map.as_object().is_some_and(|map| map.keys().any(|key| !key.contains("grafana.app/")));
        if foreign(&meta["labels"]) || foreign(&meta["annotations"]) {
            unused.push(("/metadata", "labels and annotations of a resource are not sent: only its name and spec are"));
        }
        if meta["annotations"]["grafana.app/folder"].as_str().is_some_and(|uid| !uid.is_empty()) {
            unused.push(("/metadata/annotations", PLACE));
        }
        if version.starts_with("v2") {
            return Ok(Model { resource: Some(version), uid, body, inputs: Vec::new(), permissions: None, unused });
        }
        let mut model = classic(body)?;
        model.uid = uid.or(model.uid);
        model.unused.extend(unused);
        return Ok(model);
    }
    if whole.contains_key("elements") && whole.contains_key("layout") {
        let resource = Some(BARE.to_owned());
        return Ok(Model { resource, uid: None, body: file, inputs: Vec::new(), permissions: None, unused });
    }
    if whole.get("dashboard").is_some_and(Value::is_object) {
        if whole.get("folderUid").and_then(Value::as_str).is_some_and(|uid| !uid.is_empty()) {
            unused.push(("/folderUid", PLACE));
        }
        let mut model = classic(whole.remove("dashboard").unwrap_or_default())?;
        model.unused.extend(unused);
        return Ok(model);
    }
    classic(file)
}

fn classic(mut body: Value) -> Result<Model, (&'static str, String)> {
    let fields = body.as_object_mut().ok_or_else(|| ("", "a dashboard is a JSON object".to_owned()))?;
    let uid = match fields.remove("uid") {
        None | Some(Value::Null) => None,
        Some(Value::String(uid)) => Some(uid).filter(|uid| !uid.is_empty()),
        Some(_) => return Err(("/uid", "must be a text".to_owned())),
    };
    let text = |value: &Value, field: &str| value[field].as_str().map(str::to_owned);
    let input = |value: &Value| {
        Some(Input {
            name: text(value, "name")?,
            plugin: (value["type"] == "datasource").then(|| text(value, "pluginId").unwrap_or_default()),
            value: text(value, "value"),
        })
    };
    let inputs = fields.get("__inputs").and_then(Value::as_array).into_iter().flatten().filter_map(input).collect();
    let mut unused = Vec::new();
    if fields.get("__elements").is_some_and(|elements| !matches!(elements, Value::Object(map) if map.is_empty())) {
        unused.push(("/__elements", "library panels in an export are not made: declare them in library_panels"));
    }
    for field in ["id", "version", "iteration", "__inputs", "__requires", "__elements"] {
        fields.remove(field);
    }
    Ok(Model { resource: None, uid, body, inputs, permissions: None, unused })
}

/// Brings a classic model into normal form, on both sides.
pub(crate) fn normal(model: &mut Value) {
    let Some(fields) = model.as_object_mut() else { return };
    for made in ["id", "uid", "version", "iteration", "__inputs", "__requires", "__elements"] {
        fields.remove(made);
    }
    trim_title(fields);
    if fields.get("gnetId") == Some(&Value::Null) {
        fields.remove("gnetId");
    }
    let annotations = fields.get_mut("annotations").and_then(|annotations| annotations.get_mut("list"));
    if let Some(list) = annotations.and_then(Value::as_array_mut) {
        list.retain(|annotation| !built_in(annotation));
    }
    let empty = [
        ("annotations", json!({"list": []})),
        ("templating", json!({"list": []})),
        ("links", json!([])),
        ("tags", json!([])),
        ("timepicker", json!({})),
    ];
    for (field, empty) in empty {
        if fields.get(field) == Some(&empty) {
            fields.remove(field);
        }
    }
    if let Some(panels) = fields.get_mut("panels") {
        reduce(panels);
    }
    drop_where(model, "/rows/*/panels", &|panels| *panels == json!([]));
}

/// The server does so.
fn trim_title(fields: &mut Map<String, Value>) {
    if let Some(title) = fields.get("title").and_then(Value::as_str).map(|title| title.trim().to_owned()) {
        fields.insert("title".into(), Value::String(title));
    }
}

fn built_in(annotation: &Value) -> bool {
    let mut annotation = annotation.clone();
    if let Some(fields) = annotation.as_object_mut() {
        fields.remove("target");
    }
    annotation
        == json!({"builtIn": 1, "datasource": {"type": "grafana", "uid": "-- Grafana --"}, "enable": true, "hide": true,
            "iconColor": "rgba(0, 211, 255, 1)", "name": "Annotations & Alerts", "type": "dashboard"})
}

/// A library panel is its place and its name; the rest is the library's.
fn reduce(panels: &mut Value) {
    for panel in panels.as_array_mut().into_iter().flatten() {
        if let Some(inner) = panel.get_mut("panels") {
            reduce(inner);
        }
        let Some(library) = panel.get("libraryPanel").filter(|library| library.is_object()) else { continue };
        let mut kept = Map::new();
        kept.insert("libraryPanel".into(), json!({"uid": library["uid"], "name": library["name"]}));
        for field in ["id", "gridPos"] {
            if let Some(value) = panel.get(field) {
                kept.insert(field.into(), value.clone());
            }
        }
        *panel = Value::Object(kept);
    }
}

/// Brings the spec of a `v2` resource into normal form: what 12.4 fills in is dropped. What a file leaves out it prints as null, as an
/// empty text or list, or as the schema's default.
pub(crate) fn normal_v2(spec: &mut Value) {
    if let Some(fields) = spec.as_object_mut() {
        trim_title(fields);
    }
    let times = [
        ("from", json!("now-6h")),
        ("to", json!("now")),
        ("hideTimepicker", json!(false)),
        ("fiscalYearStartMonth", json!(0)),
    ];
    if let Some(settings) = spec.get_mut("timeSettings") {
        drop_defaults(settings, &times);
    }
    drop_defaults(spec, &[("preload", json!(false)), ("cursorSync", json!("Off"))]);
    drop_empty(spec);
    drop_defaults(spec, &[("layout", json!({"kind": "GridLayout"}))]);
}

fn drop_empty(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(drop_empty);
            fields.retain(|_, value| !value.is_null() && *value != "" && *value != json!([]) && *value != json!({}));
        }
        Value::Array(items) => items.iter_mut().for_each(drop_empty),
        _ => {}
    }
}

fn drop_defaults(value: &mut Value, defaults: &[(&str, Value)]) {
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|key, value| !defaults.iter().any(|(name, default)| name == key && default == value));
    }
}

/// What a model refers to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct References {
    /// Data sources: a uid, or a name of old.
    pub(crate) sources: Vec<String>,
    /// Panel plugins.
    pub(crate) plugins: Vec<String>,
    /// Uids of library panels.
    pub(crate) library: Vec<String>,
}

/// Everything that a classic model, or the spec of a `v2` resource, refers to.
pub(crate) fn references(model: &Value) -> References {
    let mut all = References::default();
    collect(model, &mut all.sources);
    panels(&model["panels"], &mut all);
    for row in model["rows"].as_array().into_iter().flatten() {
        panels(&row["panels"], &mut all);
    }
    for element in model["elements"].as_object().into_iter().flatten().map(|(_, element)| &element["spec"]) {
        // `v2alpha1` has the plugin in `kind`, later versions in `group`.
        let visual = &element["vizConfig"];
        all.plugins.extend(visual["group"].as_str().or(visual["kind"].as_str()).map(str::to_owned));
        all.library.extend(element["libraryPanel"]["uid"].as_str().map(str::to_owned));
    }
    all
}

fn collect(value: &Value, sources: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, inner) in fields {
                // A `v2beta1` resource calls the uid a name.
                let named = match key.as_str() {
                    "datasource" => inner["uid"].as_str().or(inner["name"].as_str()).or(inner.as_str()),
                    _ => None,
                };
                match named {
                    Some(uid) => sources.push(uid.to_owned()),
                    None => collect(inner, sources),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, sources)),
        _ => {}
    }
}

fn panels(list: &Value, all: &mut References) {
    for panel in list.as_array().into_iter().flatten() {
        panels(&panel["panels"], all);
        match panel.get("libraryPanel") {
            Some(library) => all.library.extend(library["uid"].as_str().map(str::to_owned)),
            None => all.plugins.extend(panel["type"].as_str().filter(|kind| *kind != "row").map(str::to_owned)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::engine::diff::{Writing, diff};
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    fn check(have: &Value, want: &Value, expected: &Expect) {
        let (mut have, mut want) = (have.clone(), want.clone());
        normal(&mut have);
        normal(&mut want);
        let shown: Vec<String> = diff(Writing::Replaces, &have, &want).iter().map(ToString::to_string).collect();
        expected.assert_eq(&shown.join("\n"));
    }

    fn dashboard() -> Value {
        json!({"title": "D", "schemaVersion": 36, "refresh": "5s", "panels": [
            {"id": 1, "type": "row", "panels": [
                {"id": 2, "type": "timeseries", "targets": [{"expr": "up", "step": 1.0}]},
                {"id": 3, "gridPos": {"h": 8}, "libraryPanel": {"uid": "lp", "name": "L"}}]}],
            "templating": {"list": [{"name": "job"}]}})
    }

    #[test]
    fn what_servers_add_is_no_difference() {
        let mut have = dashboard();
        have["id"] = json!(3_448_265_091_366_912_i64);
        have["uid"] = json!("d");
        have["version"] = json!(7);
        have["annotations"] = json!({"list": [{"builtIn": 1, "datasource": {"type": "grafana", "uid": "-- Grafana --"},
            "enable": true, "hide": true, "iconColor": "rgba(0, 211, 255, 1)", "name": "Annotations & Alerts", "type": "dashboard"}]});
        have["links"] = json!([]);
        have["tags"] = json!([]);
        have["timepicker"] = json!({});
        have["gnetId"] = Value::Null;
        have["panels"][0]["panels"][0]["targets"][0]["step"] = json!(1);
        have["panels"][0]["panels"][1]["libraryPanel"]["version"] = json!(4);
        have["panels"][0]["panels"][1]["title"] = json!("from the library");
        let mut want = dashboard();
        want["id"] = json!(12);
        want["__requires"] = json!([{"type": "grafana"}]);
        check(&have, &want, &expect![""]);
    }

    #[test]
    fn edits_are_seen_wherever_they_are() {
        let mut have = dashboard();
        have["refresh"] = json!("10s");
        have["panels"][0]["panels"][0]["targets"][0]["expr"] = json!("down");
        have["graphTooltip"] = json!(1);
        have["tags"] = json!(["x"]);
        check(
            &have,
            &dashboard(),
            &expect![[r#"
                /graphTooltip: 1 -> (absent)
                /panels/0/panels/0/targets/0/expr: "down" -> "up"
                /refresh: "10s" -> "5s"
                /tags: ["x"] -> (absent)"#]],
        );
    }

    /// Every leaf of a model, changed, is a difference.
    #[test]
    fn no_leaf_can_change_unseen() {
        fn leaves(value: &Value, at: String, all: &mut Vec<String>) {
            match value {
                Value::Object(map) => {
                    map.iter()
                        .for_each(|(key, inner)| leaves(inner, format!("{at}{}", common::files::json::step(key)), all));
                }
                Value::Array(items) => {
                    items.iter().enumerate().for_each(|(n, inner)| leaves(inner, format!("{at}/{n}"), all));
                }
                _ => all.push(at),
            }
        }
        let mut all = Vec::new();
        leaves(&dashboard(), String::new(), &mut all);
        for leaf in all {
            let mut have = dashboard();
            *have.pointer_mut(&leaf).expect("the leaf was found there") = json!("mutated");
            let mut want = dashboard();
            normal(&mut have);
            normal(&mut want);
            assert!(!diff(Writing::Replaces, &have, &want).is_empty(), "{leaf}");
        }
    }

    #[test]
    fn each_form_is_told() {
        let told = |file: Value| read(file).map(|model| (model.resource, model.uid, model.body["title"].clone()));
        assert_eq!(told(json!({"uid": "a", "id": 4, "title": "T"})), Ok((None, Some("a".into()), json!("T"))));
        assert_eq!(
            told(json!({"dashboard": {"uid": "a", "title": "T"}, "meta": {}})),
            Ok((None, Some("a".into()), json!("T")))
        );
        let resource = |version: &str| json!({"apiVersion": format!("dashboard.grafana.app/{version}"), "metadata": {"name": "n"}, "spec": {"title": "T"}});
        assert_eq!(told(resource("v1beta1")), Ok((None, Some("n".into()), json!("T"))));
        assert_eq!(told(resource("v2beta1")), Ok((Some("v2beta1".into()), Some("n".into()), json!("T"))));
        assert!(told(json!({"apiVersion": "v1", "spec": {}})).is_err());
        let bare = json!({"title": "T", "elements": {}, "layout": {}});
        assert_eq!(told(bare), Ok((Some("v2beta1".into()), None, json!("T"))));
    }

    #[test]
    fn v2_defaults_are_seen_through() {
        let mut have = json!({"annotations": [], "cursorSync": "Off", "elements": {}, "links": [], "preload": false, "tags": [],
            "layout": {"kind": "GridLayout", "spec": {"items": []}}, "title": "V2", "variables": [],
            "timeSettings": {"from": "now-6h", "to": "now", "autoRefresh": "", "autoRefreshIntervals": [], "hideTimepicker": false, "fiscalYearStartMonth": 0}});
        let mut want = json!({"title": "V2", "elements": {}});
        normal_v2(&mut have);
        normal_v2(&mut want);
        assert_eq!(have, want);
        let mut have = json!({"annotations": null, "cursorSync": "", "elements": {}, "layout": {"kind": "GridLayout", "spec": {"items": null}},
            "links": null, "preload": false, "tags": null, "title": "V2", "variables": null, "timeSettings": {"autoRefresh": "",
            "autoRefreshIntervals": null, "from": "", "to": "", "hideTimepicker": false, "fiscalYearStartMonth": 0}});
        normal_v2(&mut have);
        assert_eq!(have, want);
    }

    #[test]
    fn references_of_each_form_are_found() {
        let found = |model: Value| {
            let all = references(&model);
            (all.sources.join(","), all.plugins.join(","), all.library.join(","))
        };
        let said =
            |sources: &str, plugins: &str, library: &str| (sources.to_owned(), plugins.to_owned(), library.to_owned());
        assert_eq!(found(dashboard()), said("", "timeseries", "lp"));
        let query =
            json!({"spec": {"query": {"kind": "DataQuery", "group": "prometheus", "datasource": {"name": "prom"}}}});
        let elements = json!({"a": {"kind": "Panel", "spec": {"vizConfig": {"kind": "VizConfig", "group": "stat"}, "data": [query]}},
            "b": {"kind": "Panel", "spec": {"vizConfig": {"kind": "gauge"}, "data": {"datasource": {"type": "loki", "uid": "l"}}}},
            "c": {"kind": "LibraryPanel", "spec": {"libraryPanel": {"uid": "lp", "name": "L"}}}});
        assert_eq!(found(json!({"elements": elements})), said("prom,l", "stat,gauge", "lp"));
    }

    proptest! {
        #[test]
        fn normalizing_twice_is_normalizing_once(tags in prop::collection::vec("[a-c]", 0..3), builtin in any::<bool>()) {
            let mut once = dashboard();
            once["tags"] = json!(tags);
            once["annotations"] = json!({"list": if builtin { vec![json!({"builtIn": 1})] } else { vec![] }});
            normal(&mut once);
            let mut twice = once.clone();
            normal(&mut twice);
            prop_assert_eq!(once, twice);
        }
    }
}
