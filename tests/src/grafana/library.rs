//! Library panels: `/api/library-elements`.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::Profile;
use super::answer::Answer;
use super::field::{seconds, text};
use super::route::Call;
use super::state::Element;

pub(super) fn route(call: &mut Call<'_>, method: &str, rest: &[&str]) -> Option<Answer> {
    Some(match (method, rest) {
        ("GET", []) => list(call),
        ("POST", []) => create(call),
        ("GET", ["name", name]) => {
            let named: Vec<Element> = call.org().elements.values().filter(|one| one.name == *name).cloned().collect();
            let rows: Vec<Value> = named.iter().map(|element| shown(call, element, View::Stored)).collect();
            if rows.is_empty() { missing(call) } else { Answer::json(200, json!({"result": rows})) }
        }
        ("GET", [uid]) => match call.org().elements.get(*uid).cloned() {
            Some(element) => Answer::json(200, json!({"result": shown(call, &element, View::Stored)})),
            None => missing(call),
        },
        ("PATCH", [uid]) => update(call, uid),
        ("DELETE", [uid]) => delete(call, uid),
        _ => return None,
    })
}

fn missing(call: &Call<'_>) -> Answer {
    call.profile.traced(404, "library element could not be found")
}

fn list(call: &mut Call<'_>) -> Answer {
    let size = call.request.number("perPage", 100);
    let wanted = call.request.query("searchString").unwrap_or_default().to_lowercase();
    let mut elements: Vec<Element> = call.org().elements.values().cloned().collect();
    elements.retain(|element| element.name.to_lowercase().contains(&wanted));
    elements.sort_by_key(|element| (element.name.to_lowercase(), element.id));
    let total = elements.len();
    let rows: Vec<Value> =
        call.request.page(elements, size).iter().map(|element| shown(call, element, View::Listed)).collect();
    let page = call.request.number("page", 1);
    Answer::json(200, json!({"result": {"totalCount": total, "elements": rows, "page": page, "perPage": size}}))
}

/// Which answer shows an element: they name the root in different ways.
#[derive(Clone, Copy, PartialEq)]
enum View {
    Written,
    Stored,
    Listed,
}

fn shown(call: &mut Call<'_>, element: &Element, view: View) -> Value {
    let (folder_id, mut folder_name, _) = call.org().place(element.folder.as_deref());
    let mut place = element.folder.clone().unwrap_or_default();
    let mut meta_place = place.clone();
    if element.folder.is_none() {
        match view {
            View::Written => folder_name = String::new(),
            View::Stored => {
                "general".clone_into(&mut place);
                if call.profile >= Profile::V11 {
                    "general".clone_into(&mut meta_place);
                }
            }
            View::Listed => {}
        }
    }
    let by = json!({"id": element.by.id, "name": element.by.login, "avatarUrl": "/public/img/user_profile.png"});
    json!({
        "id": element.id, "orgId": call.org_id, "folderId": folder_id, "folderUid": place, "uid": element.uid,
        "name": element.name, "kind": element.kind, "type": element.model.get("type"),
        "description": element.model.get("description"), "model": element.model, "version": element.version,
        "meta": {"folderName": folder_name, "folderUid": meta_place, "connectedDashboards": connections(call, &element.uid),
            "created": seconds(element.created), "updated": seconds(element.updated), "createdBy": by.clone(),
            "updatedBy": by},
    })
}

/// How many dashboards hold a panel that is this element.
fn connections(call: &mut Call<'_>, uid: &str) -> usize {
    fn holds(panels: &Value, uid: &str) -> bool {
        panels.as_array().is_some_and(|panels| {
            panels.iter().any(|panel| text(&panel["libraryPanel"], "uid") == uid || holds(&panel["panels"], uid))
        })
    }
    let panels = |spec: &Map<String, Value>| spec.get("panels").cloned().unwrap_or_default();
    call.org().dashboards.values().filter(|dashboard| holds(&panels(&dashboard.spec), uid)).count()
}

fn exists(call: &Call<'_>) -> Answer {
    call.profile.traced(400, "library element with that name or UID already exists")
}

/// Up to 11.6 a name is unique in its folder.
fn name_taken(call: &mut Call<'_>, name: &str, folder: Option<&str>, uid: &str) -> bool {
    call.profile <= Profile::V11
        && call
            .org()
            .elements
            .values()
            .any(|other| other.uid != uid && other.name == name && other.folder.as_deref() == folder)
}

/// The folder that the body names; the root when it names none, also in a PATCH.
fn folder_of(call: &mut Call<'_>) -> Result<Option<String>, Answer> {
    let folder = Some(text(&call.body, "folderUid").to_owned()).filter(|uid| !uid.is_empty() && uid != "general");
    if folder.as_ref().is_some_and(|uid| !call.org().folders.contains_key(uid)) {
        return Err(Answer::status_message(404, "folder not found", "not-found"));
    }
    Ok(folder)
}

fn model_of(body: &Value) -> Option<Map<String, Value>> {
    let mut model = body.get("model")?.as_object()?.clone();
    model.entry("type").or_insert(json!(""));
    model.entry("description").or_insert(json!(""));
    Some(model)
}

fn create(call: &mut Call<'_>) -> Answer {
    let body = call.body.clone();
    let folder = match folder_of(call) {
        Ok(folder) => folder,
        Err(refusal) => return refusal,
    };
    let kind = body["kind"].as_i64().unwrap_or(0);
    let Some(model) = model_of(&body).filter(|_| (1..=2).contains(&kind)) else {
        return Answer::message(400, "library element kind or model is missing");
    };
    let mut uid = text(&body, "uid").to_owned();
    let name = text(&body, "name").to_owned();
    if name.is_empty() {
        return Answer::message(400, "library element name cannot be empty");
    }
    if call.org().elements.contains_key(&uid) || name_taken(call, &name, folder.as_deref(), "") {
        return exists(call);
    }
    if uid.is_empty() {
        uid = call.state.new_uid();
    }
    let (id, now) = (call.state.next("library element"), Timestamp::now());
    let by = call.actor.clone();
    let element =
        Element { id, uid: uid.clone(), name, kind, folder, model, version: 1, created: now, updated: now, by };
    call.org().elements.insert(uid, element.clone());
    Answer::json(200, json!({"result": shown(call, &element, View::Written)}))
}

fn update(call: &mut Call<'_>, uid: &str) -> Answer {
    let body = call.body.clone();
    let Some(mut element) = call.org().elements.get(uid).cloned() else { return missing(call) };
    if body["version"].as_i64() != Some(element.version) {
        return call.profile.traced(412, "the library element has been changed by someone else");
    }
    let folder = match folder_of(call) {
        Ok(folder) => folder,
        Err(refusal) => return refusal,
    };
    let name = match text(&body, "name") {
        "" => element.name.clone(),
        given => given.to_owned(),
    };
    let new_uid = match text(&body, "uid") {
        "" => uid.to_owned(),
        given => given.to_owned(),
    };
    let uid_taken = new_uid != uid && call.org().elements.contains_key(&new_uid);
    if uid_taken || name_taken(call, &name, folder.as_deref(), uid) {
        return exists(call);
    }
    element.model = model_of(&body).unwrap_or(element.model);
    element.uid.clone_from(&new_uid);
    element.name = name;
    element.folder = folder;
    element.version += 1;
    element.updated = Timestamp::now();
    call.org().elements.remove(uid);
    call.org().elements.insert(new_uid, element.clone());
    Answer::json(200, json!({"result": shown(call, &element, View::Written)}))
}

fn delete(call: &mut Call<'_>, uid: &str) -> Answer {
    if !call.org().elements.contains_key(uid) {
        return missing(call);
    }
    if connections(call, uid) > 0 {
        return call.profile.traced(403, "the library element has connections");
    }
    let id = call.org().elements.remove(uid).map(|gone| gone.id);
    Answer::json(200, json!({"message": "Library element deleted", "id": id}))
}
