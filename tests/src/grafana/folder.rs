//! Folders: `/api/folders`. Their permissions and their life as resources are elsewhere.

use serde_json::{Value, json};

use super::Profile;
use super::answer::Answer;
use super::field::{flag, text};
use super::manager;
use super::permission;
use super::route::Call;
use super::state::{Folder, Role, folder_url};

/// Folders under folders; the one in the root is level 0.
const MAX_DEPTH: usize = 4;

pub(super) fn route(call: &mut Call<'_>, method: &str, rest: &[&str]) -> Option<Answer> {
    Some(match (method, rest) {
        ("GET", []) => list(call),
        ("POST", []) => create(call),
        ("GET", [uid]) => match call.org().folders.get(*uid).cloned() {
            Some(folder) => Answer::json(200, read_back(call, &folder)),
            None => missing(),
        },
        ("PUT", [uid]) => update(call, uid),
        ("POST", [uid, "move"]) => relocate(call, uid),
        ("DELETE", [uid]) => delete(call, uid),
        ("GET", [uid, "counts"]) => counts(call, uid),
        _ => return None,
    })
}

fn missing() -> Answer {
    Answer::status_message(404, "folder not found", "not-found")
}

/// Whether folders nest here: in 10 a toggle.
pub(super) fn nests(call: &Call<'_>) -> bool {
    call.profile >= Profile::V11 || call.state.options.nested_folders
}

fn list(call: &mut Call<'_>) -> Answer {
    let nested = nests(call);
    let parent = call.request.query("parentUid").filter(|uid| !uid.is_empty()).map(str::to_owned);
    let mut folders: Vec<Folder> = call.org().folders.values().cloned().collect();
    if nested {
        folders.retain(|folder| folder.parent == parent);
    }
    folders.sort_by_key(|folder| (folder.title.to_lowercase(), folder.id));
    // Whoever is no administrator is shown a place for what lies in folders that they cannot see.
    let shared = (parent.is_none() && call.profile >= Profile::V11 && call.actor.role < Role::Admin)
        .then(|| json!({"id": -1, "uid": "sharedwithme", "title": "Shared with me"}));
    let rows = folders.iter().map(|folder| {
        let mut row = json!({"id": folder.id, "uid": folder.uid, "title": folder.title});
        if let Some(parent) = &folder.parent {
            row["parentUid"] = json!(parent);
        }
        row
    });
    let rows = shared.into_iter().chain(rows).collect();
    Answer::json(200, json!(call.request.page(rows, call.request.number("limit", 1000))))
}

/// A folder as GET shows it.
fn read_back(call: &mut Call<'_>, folder: &Folder) -> Value {
    let mut body = bare(call.profile, call.org_id, folder);
    if call.profile == Profile::V11 {
        // 11.6 forgets who it was, on every read.
        body["createdBy"] = json!("Anonymous");
        body["updatedBy"] = json!("Anonymous");
    }
    body["version"] = json!(folder.version);
    let (profile, org_id) = (call.profile, call.org_id);
    let parents: Vec<Value> = call
        .org()
        .ancestors(folder.parent.as_deref())
        .into_iter()
        .rev()
        .map(|above| {
            let mut parent = bare(profile, org_id, above);
            if profile == Profile::V11 {
                parent["createdBy"] = json!("Anonymous");
                parent["updatedBy"] = json!("Anonymous");
            } else {
                parent["version"] = json!(above.version);
            }
            parent
        })
        .collect();
    if let Some(parent) = &folder.parent {
        body["parentUid"] = json!(parent);
        if !parents.is_empty() {
            body["parents"] = json!(parents);
        }
    }
    body
}

fn bare(profile: Profile, org_id: i64, folder: &Folder) -> Value {
    let made = &folder.made;
    let changed_by = made.updated_by.as_ref().map(|by| by.login.as_str());
    let mut body = json!({
        "id": folder.id, "uid": folder.uid, "title": folder.title, "url": folder_url(folder),
        // 10.4 shows no organization here.
        "orgId": if profile == Profile::V10 { 0 } else { org_id },
        "hasAcl": false, "canSave": true, "canEdit": true, "canAdmin": true, "canDelete": true,
        "createdBy": made.created_by.login, "created": super::field::seconds(made.created),
        "updatedBy": changed_by.unwrap_or(if profile.has_resources() { "Anonymous" } else { &made.created_by.login }),
        "updated": super::field::seconds(made.updated),
    });
    if !folder.description.is_empty() {
        body["description"] = json!(folder.description);
    }
    if let Some(kind) = manager::kind(made) {
        body["managedBy"] = json!(kind);
    }
    body
}

fn create(call: &mut Call<'_>) -> Answer {
    let profile = call.profile;
    let title = text(&call.body, "title").trim().to_owned();
    let mut uid = text(&call.body, "uid").to_owned();
    let parent = text(&call.body, "parentUid").to_owned();
    if title.is_empty() {
        return Answer::message(400, "folder title cannot be empty");
    }
    if let Some(wrong) = wrong_uid(&uid) {
        return profile.traced(400, wrong);
    }
    if !profile.has_resources() && call.org().dashboards.contains_key(&uid) {
        return profile.traced(400, "Dashboard cannot be changed to a folder");
    }
    if !profile.has_resources() && title.to_lowercase() == "general" {
        // It is the name of the root.
        return profile.traced(409, "A folder with that name already exists");
    }
    if !parent.is_empty() && !call.org().folders.contains_key(&parent) {
        match profile {
            Profile::V10 => return profile.identified(404, "folder.notFound", "Not found"),
            Profile::V11 => return missing(),
            // 12.4 makes an orphan.
            Profile::V12 | Profile::V13 => {}
        }
    }
    if call.org().folders.contains_key(&uid) {
        let message = "the folder has been changed by someone else";
        return if profile.has_resources() {
            Answer::message(412, message)
        } else {
            Answer::status_message(412, message, "version-mismatch")
        };
    }
    // Without the toggle 10.4 takes the parent, says so in its answer, and forgets it.
    let kept = Some(parent.clone()).filter(|uid| !uid.is_empty() && nests(call));
    if clashes(call, &title, kept.as_deref(), "") {
        return Answer::message(409, "a folder with the same name already exists in the current location");
    }
    if call.org().ancestors(kept.as_deref()).len() > MAX_DEPTH {
        return too_deep(profile);
    }
    if uid.is_empty() {
        uid = call.state.new_uid();
    }
    let folder = add(call, &uid, &title, kept);
    let mut body = read_back(call, &folder);
    if profile.has_resources() {
        // 12.4 does not name a service account, and tells an editor of no right on what it has just made.
        if !call.actor.is_user {
            body["createdBy"] = json!("Anonymous");
        }
        for right in ["canSave", "canEdit", "canAdmin", "canDelete"] {
            body[right] = json!(call.actor.role >= Role::Admin);
        }
    } else {
        body["createdBy"] = json!(call.actor.login);
        body["updatedBy"] = json!(call.actor.login);
        if !parent.is_empty() {
            body["parentUid"] = json!(parent);
        }
    }
    Answer::json(200, body)
}

/// Stores a new folder with its default permissions.
pub(super) fn add(call: &mut Call<'_>, uid: &str, title: &str, parent: Option<String>) -> Folder {
    let actor = call.actor.clone();
    let folder = Folder {
        uid: uid.to_owned(),
        id: call.state.next_object(),
        title: title.to_owned(),
        description: text(&call.body, "description").to_owned(),
        grants: permission::defaults(&actor, parent.is_none()),
        parent,
        version: 1,
        made: call.state.made(&actor),
    };
    call.state.next("version row");
    call.org().folders.insert(uid.to_owned(), folder.clone());
    folder
}

/// What is wrong with a uid for a folder or a dashboard.
pub(super) fn wrong_uid(uid: &str) -> Option<&'static str> {
    if uid.chars().count() > 40 {
        return Some("uid too long, max 40 characters");
    }
    let legal = |character: char| character.is_ascii_alphanumeric() || character == '-' || character == '_';
    (!uid.chars().all(legal)).then_some("uid contains illegal characters")
}

/// Up to 10.4 a title is unique among the folders of a folder.
fn clashes(call: &mut Call<'_>, title: &str, parent: Option<&str>, uid: &str) -> bool {
    call.profile == Profile::V10
        && call
            .org()
            .folders
            .values()
            .any(|other| other.uid != uid && other.title == title && other.parent.as_deref() == parent)
}

fn too_deep(profile: Profile) -> Answer {
    match profile {
        Profile::V12 => Answer::message(500, "folder max depth exceeded, max depth is 4"),
        _ => profile.identified(400, "folder.maximum-depth-reached", "Maximum nested folder depth reached"),
    }
}

fn update(call: &mut Call<'_>, uid: &str) -> Answer {
    let profile = call.profile;
    let Some(mut folder) = call.org().folders.get(uid).cloned() else { return missing() };
    if let Some(refusal) = kept(&folder) {
        return refusal;
    }
    let body = call.body.clone();
    let overwrite = flag(&body, "overwrite");
    if !overwrite && body.get("version").and_then(Value::as_i64) != Some(folder.version) {
        return if profile.has_resources() {
            Answer::message(412, "The dashboard has been changed by someone else")
        } else {
            Answer::status_message(412, "the folder has been changed by someone else", "version-mismatch")
        };
    }
    let title = match text(&body, "title") {
        "" => folder.title.clone(),
        given => given.to_owned(),
    };
    if clashes(call, &title, folder.parent.as_deref(), uid) {
        return Answer::message(409, "a folder with the same name already exists in the current location");
    }
    let description = body.get("description").and_then(Value::as_str).unwrap_or(&folder.description).to_owned();
    let same = title == folder.title && description == folder.description;
    if !(same && profile.has_resources()) {
        folder.title = title;
        folder.description = description;
        folder = changed(call, folder);
    }
    let shown = read_back(call, &folder);
    Answer::json(200, shown)
}

/// The old API reads the resource, changes it and writes it with its annotations
/// (`pkg/services/folder/folderimpl/folder_unifiedstorage.go`, `Update`, also for a move): only what a repository keeps is refused.
fn kept(folder: &Folder) -> Option<Answer> {
    manager::refuses(&folder.made, &folder.made.annotations).map(|why| Answer::message(403, why))
}

/// Stores a changed folder as its next version.
pub(super) fn changed(call: &mut Call<'_>, mut folder: Folder) -> Folder {
    let actor = call.actor.clone();
    folder.version += 1;
    call.state.touch(&mut folder.made, &actor);
    call.state.next("version row");
    call.org().folders.insert(folder.uid.clone(), folder.clone());
    folder
}

fn relocate(call: &mut Call<'_>, uid: &str) -> Answer {
    let profile = call.profile;
    if !nests(call) {
        return Answer::message(404, "To use this service, you need to activate nested folder feature.");
    }
    let Some(mut folder) = call.org().folders.get(uid).cloned() else { return missing() };
    if let Some(refusal) = kept(&folder) {
        return refusal;
    }
    let parent = Some(text(&call.body, "parentUid").to_owned()).filter(|uid| !uid.is_empty());
    if let Some(parent) = &parent {
        if !call.org().folders.contains_key(parent) {
            return missing();
        }
        if call.org().ancestors(Some(parent)).iter().any(|above| above.uid == uid) {
            return Answer::message(500, "failed to move folder: circular reference");
        }
    }
    if clashes(call, &folder.title, parent.as_deref(), uid) {
        return Answer::message(409, "a folder with the same name already exists in the current location");
    }
    if call.org().ancestors(parent.as_deref()).len() + height(call, uid) > MAX_DEPTH {
        return too_deep(profile);
    }
    folder.parent = parent;
    let folder = changed(call, folder);
    let mut body = read_back(call, &folder);
    if profile == Profile::V11
        && let Some(fields) = body.as_object_mut()
    {
        fields.remove("version");
    }
    Answer::json(200, body)
}

/// How many levels there are below a folder.
fn height(call: &mut Call<'_>, uid: &str) -> usize {
    let children: Vec<String> = children(call, uid);
    children.iter().map(|child| 1 + height(call, child)).max().unwrap_or(0)
}

fn children(call: &mut Call<'_>, uid: &str) -> Vec<String> {
    let inside = |folder: &&Folder| folder.parent.as_deref() == Some(uid);
    call.org().folders.values().filter(inside).map(|folder| folder.uid.clone()).collect()
}

/// A folder and everything below it.
fn tree(call: &mut Call<'_>, uid: &str) -> Vec<String> {
    let mut all = vec![uid.to_owned()];
    let mut next = 0;
    while let Some(parent) = all.get(next).cloned() {
        all.extend(children(call, &parent));
        next += 1;
    }
    all
}

pub(super) fn delete(call: &mut Call<'_>, uid: &str) -> Answer {
    let Some(folder) = call.org().folders.get(uid).cloned() else { return missing() };
    let gone = tree(call, uid);
    let forced = call.request.query("forceDeleteRules") == Some("true");
    let org = call.org();
    if !forced && org.rules.iter().any(|rule| gone.contains(&rule.folder)) {
        return Answer::message(400, "folder cannot be deleted: folder contains alert rules");
    }
    org.rules.retain(|rule| !gone.contains(&rule.folder));
    org.dashboards.retain(|_, dashboard| dashboard.folder.as_ref().is_none_or(|place| !gone.contains(place)));
    org.elements.retain(|_, element| element.folder.as_ref().is_none_or(|place| !gone.contains(place)));
    org.folders.retain(|uid, _| !gone.contains(uid));
    let message = format!("Folder {} deleted", folder.title);
    Answer::json(200, json!({"id": folder.id, "message": message, "title": folder.title}))
}

fn counts(call: &mut Call<'_>, uid: &str) -> Answer {
    if !call.org().folders.contains_key(uid) {
        return missing();
    }
    let inside = tree(call, uid);
    let org = call.org();
    let within = |place: Option<&String>| place.is_some_and(|place| inside.contains(place));
    Answer::json(
        200,
        json!({
            "folder": inside.len() - 1,
            "dashboard": org.dashboards.values().filter(|one| within(one.folder.as_ref())).count(),
            "librarypanel": org.elements.values().filter(|one| within(one.folder.as_ref())).count(),
            "alertrule": org.rules.iter().filter(|one| inside.contains(&one.folder)).count(),
        }),
    )
}
