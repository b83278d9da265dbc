//! The resource API of 12 and later: `/apis`, with dashboards and folders. 10 and 11 answer that they have none.
//!
//! A dashboard is stored once and shown in the version that is asked for. Converting between `v1` and `v2` keeps the title
//! and little else, as the module's head says.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::Profile;
use super::answer::Answer;
use super::dashboard::{self, whole_numbers};
use super::folder;
use super::permission;
use super::route::Call;
use super::state::{Dashboard, Made, object, seconds, text};

const LATEST_SCHEMA: i64 = 42;
const FOLDER: &str = "grafana.app/folder";

/// One of the two resources that the stand-in has.
#[derive(Clone, Copy, PartialEq)]
struct Resource {
    group: &'static str,
    plural: &'static str,
    kind: &'static str,
}

const DASHBOARDS: Resource = Resource { group: "dashboard.grafana.app", plural: "dashboards", kind: "Dashboard" };
const FOLDERS: Resource = Resource { group: "folder.grafana.app", plural: "folders", kind: "Folder" };

impl Profile {
    fn dashboard_versions(self) -> &'static [&'static str] {
        match self {
            Profile::V10 | Profile::V11 => &[],
            Profile::V12 => &["v1beta1", "v0alpha1", "v2beta1", "v2alpha1"],
            Profile::V13 => &["v1", "v2", "v1beta1", "v0alpha1", "v2beta1", "v2alpha1"],
        }
    }

    fn folder_versions(self) -> &'static [&'static str] {
        match self {
            Profile::V10 | Profile::V11 => &[],
            Profile::V12 => &["v1beta1"],
            Profile::V13 => &["v1", "v1beta1"],
        }
    }

    /// Every group that this version lists, with its versions, the preferred one first.
    fn groups(self) -> Vec<(&'static str, &'static [&'static str])> {
        match self {
            Profile::V10 => vec![("playlist.grafana.app", &["v0alpha1"]), ("featuretoggle.grafana.app", &["v0alpha1"])],
            Profile::V11 => vec![
                ("notifications.alerting.grafana.app", &["v0alpha1"]),
                ("userstorage.grafana.app", &["v0alpha1"]),
                ("playlist.grafana.app", &["v0alpha1"]),
                ("featuretoggle.grafana.app", &["v0alpha1"]),
                ("iam.grafana.app", &["v0alpha1"]),
            ],
            Profile::V12 | Profile::V13 => vec![
                ("features.grafana.app", &["v0alpha1"]),
                (DASHBOARDS.group, self.dashboard_versions()),
                (FOLDERS.group, self.folder_versions()),
                ("iam.grafana.app", &["v0alpha1"]),
                ("userstorage.grafana.app", &["v0alpha1"]),
                ("preferences.grafana.app", &["v1alpha1"]),
                ("collections.grafana.app", &["v1alpha1"]),
                ("playlist.grafana.app", &["v1", "v0alpha1"]),
                ("plugins.grafana.app", &["v0alpha1"]),
                ("example.grafana.app", &["v1alpha1", "v0alpha1"]),
                ("notifications.alerting.grafana.app", &["v0alpha1"]),
            ],
        }
    }
}

pub(super) fn route(call: &mut Call<'_>, method: &str, rest: &[&str]) -> Answer {
    if let ("GET", []) = (method, rest) {
        let groups: Vec<Value> = call.profile.groups().into_iter().map(|group| listed(call, group)).collect();
        return Answer::json(200, json!({"kind": "APIGroupList", "groups": groups}));
    }
    match call.profile {
        Profile::V10 => return Answer::json(404, json!({"paths": PATHS_OF_10})),
        Profile::V11 => return Answer::text(404, "404 page not found\n"),
        Profile::V12 | Profile::V13 => {}
    }
    if let ("GET", [group]) = (method, rest) {
        let Some((name, versions)) = call.profile.groups().into_iter().find(|(name, _)| name == group) else {
            return no_resource();
        };
        let mut body = json!({"kind": "APIGroup", "apiVersion": "v1"});
        describe(&mut body, name, versions);
        return Answer::json(200, body);
    }
    let [group, version, "namespaces", namespace, plural, name @ ..] = rest else { return no_resource() };
    let Some(resource) = [DASHBOARDS, FOLDERS].into_iter().find(|one| one.group == *group && one.plural == *plural)
    else {
        return no_resource();
    };
    let versions =
        if resource == DASHBOARDS { call.profile.dashboard_versions() } else { call.profile.folder_versions() };
    let Some(version) = versions.iter().find(|known| *known == version) else { return no_resource() };
    let own = if call.org_id == 1 { "default".to_owned() } else { format!("org-{}", call.org_id) };
    if own != *namespace {
        return status(403, "Forbidden", "namespace mismatch", &json!({}));
    }
    let view = View { resource, version, namespace: own };
    match (method, name) {
        ("GET", []) => list(call, &view),
        ("POST", []) => create(call, &view),
        ("GET", [name]) => match find(call, &view, name) {
            Some(found) => Answer::json(200, found),
            None => not_found(&view, name),
        },
        ("PUT", [name]) => update(call, &view, name),
        ("DELETE", [name]) => delete(call, &view, name),
        _ => no_resource(),
    }
}

/// What 10.4 says it has, to any path under `/apis` that it lacks.
const PATHS_OF_10: [&str; 27] = [
    "/apis",
    "/apis/featuretoggle.grafana.app",
    "/apis/featuretoggle.grafana.app/v0alpha1",
    "/apis/playlist.grafana.app",
    "/apis/playlist.grafana.app/v0alpha1",
    "/healthz",
    "/healthz/log",
    "/healthz/ping",
    "/healthz/poststarthook/max-in-flight-filter",
    "/healthz/poststarthook/storage-object-count-tracker-hook",
    "/livez",
    "/livez/log",
    "/livez/ping",
    "/livez/poststarthook/max-in-flight-filter",
    "/livez/poststarthook/storage-object-count-tracker-hook",
    "/metrics",
    "/metrics/slis",
    "/openapi/v2",
    "/openapi/v3",
    "/openapi/v3/",
    "/readyz",
    "/readyz/log",
    "/readyz/ping",
    "/readyz/poststarthook/max-in-flight-filter",
    "/readyz/poststarthook/storage-object-count-tracker-hook",
    "/readyz/shutdown",
    "/version",
];

fn listed(call: &Call<'_>, (name, versions): (&str, &[&str])) -> Value {
    let mut body = json!({});
    describe(&mut body, name, versions);
    let host = call.request.header("host").unwrap_or("127.0.0.1");
    body["serverAddressByClientCIDRs"] = json!([{"clientCIDR": "0.0.0.0/0", "serverAddress": host}]);
    body
}

fn describe(body: &mut Value, name: &str, versions: &[&str]) {
    let entry = |version: &&str| json!({"groupVersion": format!("{name}/{version}"), "version": version});
    body["name"] = json!(name);
    body["versions"] = versions.iter().map(entry).collect();
    body["preferredVersion"] = versions.first().map(entry).into();
}

/// The resource, version and namespace that a request is about.
struct View {
    resource: Resource,
    version: &'static str,
    namespace: String,
}

fn status(code: u16, reason: &str, message: &str, details: &Value) -> Answer {
    Answer::json(
        code,
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "details": details, "code": code}),
    )
}

fn no_resource() -> Answer {
    status(404, "NotFound", "the server could not find the requested resource", &json!({}))
}

fn failure(view: &View, name: &str, code: u16, reason: &str, what: &str) -> Answer {
    let Resource { group, plural, .. } = view.resource;
    let object = format!("{plural}.{group} \"{name}\"");
    let message = match reason {
        "Conflict" => format!("Operation cannot be fulfilled on {object}: {what}"),
        _ => format!("{object} {what}"),
    };
    status(code, reason, &message, &json!({"name": name, "group": group, "kind": plural}))
}

fn not_found(view: &View, name: &str) -> Answer {
    failure(view, name, 404, "NotFound", "not found")
}

fn find(call: &mut Call<'_>, view: &View, name: &str) -> Option<Value> {
    if view.resource == DASHBOARDS {
        let dashboard = call.org().dashboards.get(name)?.clone();
        return Some(dashboard_as(view, &dashboard));
    }
    let folder = call.org().folders.get(name)?.clone();
    let mut spec = json!({"title": folder.title});
    if !folder.description.is_empty() {
        spec["description"] = json!(folder.description);
    }
    let metadata = metadata(view, name, folder.id, folder.version, folder.parent.as_deref(), &folder.made);
    Some(whole(view, metadata, spec, json!({})))
}

fn whole(view: &View, metadata: Value, spec: Value, status: Value) -> Value {
    let Resource { group, kind, .. } = view.resource;
    json!({"kind": kind, "apiVersion": format!("{group}/{}", view.version), "metadata": metadata, "spec": spec,
        "status": status})
}

fn metadata(view: &View, name: &str, id: i64, generation: i64, folder: Option<&str>, made: &Made) -> Value {
    let mut annotations = made.annotations.clone();
    annotations.insert("grafana.app/createdBy".to_owned(), json!(format!("user:{}", made.created_by.uid)));
    if let Some(folder) = folder {
        annotations.insert(FOLDER.to_owned(), json!(folder));
    }
    if let Some(by) = &made.updated_by {
        annotations.insert("grafana.app/updatedBy".to_owned(), json!(format!("user:{}", by.uid)));
        annotations.insert("grafana.app/updatedTimestamp".to_owned(), json!(seconds(made.updated)));
    }
    let mut labels = made.labels.clone();
    labels.insert("grafana.app/deprecatedInternalID".to_owned(), json!(id.to_string()));
    let mut metadata = json!({"name": name, "namespace": view.namespace, "uid": made.resource_uid,
        "resourceVersion": made.resource_version.to_string(), "generation": generation,
        "creationTimestamp": seconds(made.created), "labels": labels, "annotations": annotations});
    if let Some(fields) = &made.managed_fields {
        metadata["managedFields"] = fields.clone();
    }
    metadata
}

fn dashboard_as(view: &View, dashboard: &Dashboard) -> Value {
    let (wanted, stored) = (view.version, dashboard.stored_as.as_str());
    let mut status = json!({});
    let spec = if wanted == stored {
        dashboard.spec.clone()
    } else {
        status = json!({"conversion": {"failed": false, "storedVersion": stored}});
        match (wanted.starts_with("v2"), stored.starts_with("v2")) {
            (true, true) => dashboard.spec.clone(),
            (true, false) => to_v2(&dashboard.spec),
            (false, true) => from_v2(&dashboard.spec),
            (false, false) if wanted == "v0alpha1" => dashboard.spec.clone(),
            (false, false) => migrated(dashboard.spec.clone()),
        }
    };
    let folder = dashboard.folder.as_deref();
    let metadata = metadata(view, &dashboard.uid, dashboard.id, dashboard.version, folder, &dashboard.made);
    whole(view, metadata, Value::Object(spec), status)
}

/// The model that the old API shows.
pub(super) fn classic(dashboard: &Dashboard) -> Map<String, Value> {
    if dashboard.stored_as.starts_with("v2") { from_v2(&dashboard.spec) } else { dashboard.spec.clone() }
}

/// What a write through `v1` makes of a model: defaults and the newest schema version (12.4).
fn migrated(mut spec: Map<String, Value>) -> Map<String, Value> {
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
    if spec.get("schemaVersion").and_then(Value::as_i64).is_none_or(|version| version < LATEST_SCHEMA) {
        spec.insert("schemaVersion".to_owned(), json!(LATEST_SCHEMA));
    }
    spec
}

fn from_v2(spec: &Map<String, Value>) -> Map<String, Value> {
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

fn to_v2(spec: &Map<String, Value>) -> Map<String, Value> {
    let body = json!({
        "annotations": [], "cursorSync": "Off", "elements": {}, "layout": {"kind": "GridLayout", "spec": {"items": []}},
        "links": [], "preload": false, "tags": spec.get("tags").cloned().unwrap_or(json!([])),
        "timeSettings": {"from": "now-6h", "to": "now", "autoRefresh": "", "autoRefreshIntervals": [],
            "hideTimepicker": false, "fiscalYearStartMonth": 0},
        "title": spec.get("title").cloned().unwrap_or_default(), "variables": [],
    });
    body.as_object().cloned().expect("it was made as one")
}

fn list(call: &mut Call<'_>, view: &View) -> Answer {
    let names: Vec<String> = if view.resource == DASHBOARDS {
        call.org().dashboards.keys().cloned().collect()
    } else {
        call.org().folders.keys().cloned().collect()
    };
    let start: usize = call.request.query("continue").and_then(|token| token.parse().ok()).unwrap_or(0);
    let end = start.saturating_add(call.request.number("limit", 500)).min(names.len());
    let items: Vec<Value> =
        names.get(start..end).unwrap_or_default().iter().filter_map(|name| find(call, view, name)).collect();
    let Resource { group, kind, .. } = view.resource;
    let mut metadata = json!({"resourceVersion": "1"});
    if end < names.len() {
        metadata["continue"] = json!(end.to_string());
        metadata["remainingItemCount"] = json!(names.len() - end);
    }
    Answer::json(
        200,
        json!({"kind": format!("{kind}List"), "apiVersion": format!("{group}/{}", view.version),
        "metadata": metadata, "items": items}),
    )
}

/// What a request body asks for.
struct Wish {
    name: String,
    folder: Option<String>,
    spec: Map<String, Value>,
    annotations: Map<String, Value>,
    labels: Map<String, Value>,
    resource_version: String,
}

fn read(call: &Call<'_>, view: &View) -> Result<Wish, Answer> {
    let body = &call.body;
    let meta = &body["metadata"];
    let name = text(meta, "name").to_owned();
    let invalid = |what: &str| failure(view, &name, 422, "Invalid", &format!("is invalid: {what}"));
    let Some(mut spec) = body["spec"].as_object().cloned() else { return Err(invalid("spec: Required value")) };
    if !spec.get("title").is_some_and(Value::is_string) {
        return Err(invalid("spec.title: Invalid value: must be a string"));
    }
    if view.resource == DASHBOARDS {
        let wrong = match (view.version.starts_with("v2"), view.version == "v0alpha1") {
            (true, _) => !spec.get("elements").is_some_and(Value::is_object),
            (false, true) => false,
            (false, false) => spec.get("panels").is_some_and(|panels| !panels.is_array()),
        };
        if wrong {
            return Err(invalid("spec: conflicting values"));
        }
        spec.values_mut().for_each(whole_numbers);
        if view.version.starts_with("v2") {
            spec.entry("layout").or_insert(json!({"kind": "GridLayout", "spec": {"items": []}}));
        } else if view.version != "v0alpha1" {
            spec = migrated(spec);
        }
    }
    let mut annotations = object(meta, "annotations");
    let folder =
        annotations.remove(FOLDER).and_then(|uid| uid.as_str().map(str::to_owned)).filter(|uid| !uid.is_empty());
    for own in ["createdBy", "updatedBy", "updatedTimestamp", "message", "grant-permissions"] {
        annotations.remove(&format!("grafana.app/{own}"));
    }
    let mut labels = object(meta, "labels");
    labels.remove("grafana.app/deprecatedInternalID");
    let resource_version = text(meta, "resourceVersion").to_owned();
    Ok(Wish { name, folder, spec, annotations, labels, resource_version })
}

fn dry(call: &Call<'_>) -> bool {
    call.request.query("dryRun") == Some("All")
}

/// Runs a change and, for a dry run, takes it back.
fn tried(call: &mut Call<'_>, change: impl FnOnce(&mut Call<'_>) -> Answer) -> Answer {
    if !dry(call) {
        return change(call);
    }
    let before = call.org().clone();
    let answer = change(call);
    *call.org() = before;
    answer
}

fn create(call: &mut Call<'_>, view: &View) -> Answer {
    let mut wish = match read(call, view) {
        Ok(wish) => wish,
        Err(refusal) => return refusal,
    };
    if wish.name.is_empty() {
        wish.name = call.state.new_uid();
    }
    if find(call, view, &wish.name).is_some() {
        return failure(view, &wish.name, 409, "AlreadyExists", "already exists");
    }
    tried(call, |call| {
        let name = wish.name.clone();
        insert(call, view, wish);
        Answer::json(201, find(call, view, &name).expect("it was just stored"))
    })
}

fn insert(call: &mut Call<'_>, view: &View, wish: Wish) {
    let granted = text(&call.body["metadata"]["annotations"], "grafana.app/grant-permissions") == "default";
    let fields = managed_fields(call, view);
    if view.resource == FOLDERS {
        let title = text(&call.body["spec"], "title").to_owned();
        let mut folder = folder::add(call, &wish.name, &title, wish.folder);
        text(&call.body["spec"], "description").clone_into(&mut folder.description);
        if !granted {
            folder.grants.clear();
        }
        folder.made.annotations = wish.annotations;
        folder.made.labels = wish.labels;
        folder.made.managed_fields = fields;
        call.org().folders.insert(wish.name, folder);
        return;
    }
    let id = call.state.next_object();
    let mut dashboard = dashboard::fresh(call, &wish.name, id);
    if granted {
        // Without the annotation a dashboard made here has no permissions of its own (12.4).
        dashboard.grants = permission::defaults(&call.actor, wish.folder.is_none());
    }
    dashboard.folder = wish.folder;
    dashboard.spec = wish.spec;
    view.version.clone_into(&mut dashboard.stored_as);
    dashboard.made.annotations = wish.annotations;
    dashboard.made.labels = wish.labels;
    dashboard.made.managed_fields = fields;
    dashboard::keep(call, dashboard, "");
}

fn update(call: &mut Call<'_>, view: &View, name: &str) -> Answer {
    let mut wish = match read(call, view) {
        Ok(wish) => wish,
        Err(refusal) => return refusal,
    };
    name.clone_into(&mut wish.name);
    let Some(stored) = find(call, view, name) else {
        return tried(call, |call| {
            insert(call, view, wish);
            Answer::json(201, find(call, view, name).expect("it was just stored"))
        });
    };
    let current = text(&stored["metadata"], "resourceVersion").to_owned();
    if !wish.resource_version.is_empty() && wish.resource_version != current {
        let what = "the object has been modified; please apply your changes to the latest version and try again";
        return failure(view, name, 409, "Conflict", what);
    }
    tried(call, |call| {
        let changed =
            if view.resource == FOLDERS { replace_folder(call, wish) } else { replace_dashboard(call, view, wish) };
        let mut body = find(call, view, name).expect("it was found above");
        if !changed && let Some(metadata) = body["metadata"].as_object_mut() {
            // 12.4 leaves it out of the answer to a write that changed nothing.
            metadata.remove("resourceVersion");
        }
        Answer::json(200, body)
    })
}

fn replace_dashboard(call: &mut Call<'_>, view: &View, wish: Wish) -> bool {
    let actor = call.actor.clone();
    let fields = managed_fields(call, view);
    let mut dashboard = call.org().dashboards.get(&wish.name).cloned().expect("it was found above");
    // 12.4 compares what was sent, before its migration: an older schema version is a change every time.
    let sent = call.body["spec"].as_object().cloned().unwrap_or_default();
    let same_spec = dashboard.spec == sent && dashboard.stored_as == view.version;
    let same_meta = dashboard.folder == wish.folder
        && dashboard.made.annotations == wish.annotations
        && dashboard.made.labels == wish.labels;
    if same_spec && same_meta {
        return false;
    }
    if !same_spec {
        dashboard.version += 1;
    }
    dashboard.spec = wish.spec;
    dashboard.folder = wish.folder;
    view.version.clone_into(&mut dashboard.stored_as);
    dashboard.made.annotations = wish.annotations;
    dashboard.made.labels = wish.labels;
    dashboard.made.managed_fields = fields;
    call.state.touch(&mut dashboard.made, &actor);
    dashboard::keep(call, dashboard, "");
    true
}

fn replace_folder(call: &mut Call<'_>, wish: Wish) -> bool {
    let mut folder = call.org().folders.get(&wish.name).cloned().expect("it was found above");
    let spec = Value::Object(wish.spec);
    let (title, description) = (text(&spec, "title").to_owned(), text(&spec, "description").to_owned());
    let same = folder.title == title && folder.description == description && folder.parent == wish.folder;
    if same && folder.made.annotations == wish.annotations && folder.made.labels == wish.labels {
        return false;
    }
    folder.title = title;
    folder.description = description;
    folder.parent = wish.folder;
    folder.made.annotations = wish.annotations;
    folder.made.labels = wish.labels;
    folder::changed(call, folder);
    true
}

fn delete(call: &mut Call<'_>, view: &View, name: &str) -> Answer {
    if find(call, view, name).is_none() {
        return not_found(view, name);
    }
    tried(call, |call| {
        if view.resource == FOLDERS {
            folder::delete(call, name);
        } else {
            call.org().dashboards.remove(name);
        }
        Answer::json(200, json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}))
    })
}

/// Who manages which field; 12.4 keeps no such record for `v2`.
fn managed_fields(call: &Call<'_>, view: &View) -> Option<Value> {
    if view.version.starts_with("v2") {
        return None;
    }
    let agent = call.request.header("user-agent").unwrap_or("unknown");
    let Resource { group, .. } = view.resource;
    let mut meta = json!({});
    for part in ["annotations", "labels"] {
        let named = fields_of(&Value::Object(object(&call.body["metadata"], part)));
        if named.as_object().is_some_and(|fields| !fields.is_empty()) {
            meta[format!("f:{part}")] = named;
            meta[format!("f:{part}")]["."] = json!({});
        }
    }
    let mut fields = json!({"f:spec": fields_of(&call.body["spec"])});
    if meta != json!({}) {
        fields["f:metadata"] = meta;
    }
    Some(json!([{"manager": agent.split('/').next().unwrap_or(agent), "operation": "Update",
        "apiVersion": format!("{group}/{}", view.version), "time": seconds(Timestamp::now()),
        "fieldsType": "FieldsV1", "fieldsV1": fields}]))
}

fn fields_of(value: &Value) -> Value {
    let Some(fields) = value.as_object() else { return json!({}) };
    Value::Object(fields.iter().map(|(name, value)| (format!("f:{name}"), fields_of(value))).collect())
}
