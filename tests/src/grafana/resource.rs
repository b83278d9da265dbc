//! The resource API of 12 and later: `/apis`, with dashboards and folders. 10 and 11 answer that they have none.
//!
//! A dashboard is stored once and shown in the version that is asked for. Converting between `v1` and `v2` keeps the title
//! and little else, as the module's head says.

use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::dashboard::{self, whole_numbers};
use super::discovery;
use super::field::{object, seconds, text};
use super::folder;
use super::managed_fields::managed_fields;
use super::manager;
use super::model::{from_v2, migrated, to_v2, whole_v2};
use super::permission;
use super::playlist_resource;
use super::route::Call;
use super::state::{Dashboard, Made};

const FOLDER: &str = "grafana.app/folder";

/// One of the two resources that the stand-in has.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Resource {
    group: &'static str,
    plural: &'static str,
    kind: &'static str,
}

const DASHBOARDS: Resource = Resource { group: "dashboard.grafana.app", plural: "dashboards", kind: "Dashboard" };
const FOLDERS: Resource = Resource { group: "folder.grafana.app", plural: "folders", kind: "Folder" };

pub(super) fn route(call: &mut Call<'_>, method: &str, rest: &[&str]) -> Answer {
    if let ("GET", []) = (method, rest) {
        return discovery::groups(call);
    }
    if !rest.first().is_some_and(|group| call.profile.has_group(group)) {
        return discovery::no_group(call.profile);
    }
    if let ("GET", [group]) = (method, rest) {
        return discovery::group(call, group).unwrap_or_else(no_resource);
    }
    let [group, version, "namespaces", namespace, plural, name @ ..] = rest else { return no_resource() };
    if *group == "playlist.grafana.app" && *plural == "playlists" {
        let known = call.profile.playlist_versions().contains(version);
        return known
            .then(|| playlist_resource::route(call, method, version, name))
            .flatten()
            .unwrap_or_else(no_resource);
    }
    if *group == "notifications.alerting.grafana.app" && method == "POST" {
        return named_notification(call);
    }
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

/// The resource, version and namespace that a request is about.
struct View {
    resource: Resource,
    version: &'static str,
    namespace: String,
}

/// Time intervals and templates take no name of the sender's; nothing else was asked of them.
fn named_notification(call: &Call<'_>) -> Answer {
    assert!(
        !text(&call.body["metadata"], "name").is_empty(),
        "no recording holds a notification resource without a name"
    );
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "object's metadata.name should be empty", "reason": "BadRequest", "code": 400});
    Answer::json(400, body)
}

pub(super) fn status(code: u16, reason: &str, message: &str, details: &Value) -> Answer {
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
    Some(whole(view, &metadata, &spec, &json!({})))
}

fn whole(view: &View, metadata: &Value, spec: &Value, status: &Value) -> Value {
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
    whole(view, &metadata, &Value::Object(spec), &status)
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
            spec = whole_v2(spec);
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
    if let Some((code, why)) = manager::refuses_new(&wish.annotations, granted(call)) {
        return status(code, if code == 403 { "Forbidden" } else { "InternalError" }, why, &json!({}));
    }
    if dry(call) && view.resource == FOLDERS {
        // 12.4 looks for the folder that it has not made.
        return Answer::json(
            404,
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "NotFound",
                "reason": "NotFound", "details": {"uid": "folder.notFound"}, "code": 404}),
        );
    }
    tried(call, |call| {
        let name = wish.name.clone();
        insert(call, view, wish);
        let mut made = find(call, view, &name).expect("it was just stored");
        if let Some(metadata) = made["metadata"].as_object_mut().filter(|_| dry(call)) {
            for given_when_stored in ["annotations", "labels", "resourceVersion"] {
                metadata.remove(given_when_stored);
            }
        }
        Answer::json(201, made)
    })
}

/// Whether the sender of a new object is to get the default permissions on it.
fn granted(call: &Call<'_>) -> bool {
    text(&call.body["metadata"]["annotations"], "grafana.app/grant-permissions") == "default"
}

/// Who made what is stored, and its annotations.
fn made(call: &mut Call<'_>, view: &View, name: &str) -> Option<Made> {
    let org = call.org();
    match view.resource {
        FOLDERS => org.folders.get(name).map(|folder| folder.made.clone()),
        _ => org.dashboards.get(name).map(|dashboard| dashboard.made.clone()),
    }
}

fn insert(call: &mut Call<'_>, view: &View, wish: Wish) {
    let granted = granted(call);
    let fields = managed_fields(call, view.resource.group, view.version);
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
    if let Some(why) = made(call, view, name).and_then(|made| manager::refuses(&made, &wish.annotations)) {
        return status(403, "Forbidden", why, &json!({}));
    }
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
    let fields = managed_fields(call, view.resource.group, view.version);
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
