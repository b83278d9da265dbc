//! Dashboards through the old API: `/api/dashboards`. Their life as resources is in `resource`, their permissions in
//! `permission`.

use serde_json::{Map, Value, json};

use super::Profile;
use super::answer::Answer;
use super::field::{flag, seconds, slug, text};
use super::folder::wrong_uid;
use super::manager;
use super::model;
use super::permission;
use super::route::Call;
use super::state::{Dashboard, Revision};

pub(super) fn route(call: &mut Call<'_>, method: &str, rest: &[&str]) -> Option<Answer> {
    Some(match (method, rest) {
        ("POST", ["db"]) => save(call),
        ("GET", ["uid", uid]) => match call.org().dashboards.get(*uid).cloned() {
            Some(dashboard) => Answer::json(200, shown(call, &dashboard)),
            None => call.profile.traced(404, "Dashboard not found"),
        },
        ("DELETE", ["uid", uid]) => match call.org().dashboards.remove(*uid) {
            Some(gone) => {
                let title = text_of(&gone.spec, "title");
                let message = format!("Dashboard {title} deleted");
                Answer::json(200, json!({"title": title, "message": message, "uid": gone.uid}))
            }
            None => call.profile.traced(404, "Dashboard not found"),
        },
        ("GET", ["uid", uid, "versions"]) => match call.org().dashboards.get(*uid).cloned() {
            Some(dashboard) => versions(call, &dashboard),
            None => call.profile.traced(404, "Dashboard not found"),
        },
        ("GET", ["home"]) => Answer::json(200, json!({"meta": {"isHome": true}, "dashboard": {"title": "Home"}})),
        ("GET", ["tags"]) => Answer::json(200, json!([])),
        _ => return None,
    })
}

pub(super) fn text_of<'a>(spec: &'a Map<String, Value>, field: &str) -> &'a str {
    spec.get(field).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn url(dashboard: &Dashboard) -> String {
    format!("/d/{}/{}", dashboard.uid, slug(text_of(&dashboard.spec, "title")))
}

fn shown(call: &mut Call<'_>, dashboard: &Dashboard) -> Value {
    let resources = call.profile.has_resources();
    let title = text_of(&dashboard.spec, "title").to_owned();
    let (folder_id, folder_title, folder_url) = call.org().place(dashboard.folder.as_deref());
    let made = &dashboard.made;
    // 12.4 knows neither name until the first update.
    let nameless = resources && made.updated_by.is_none();
    let creator = if nameless { "Anonymous" } else { &made.created_by.login };
    let changer = made.updated_by.as_ref().map_or(creator, |by| &by.login);
    let all = json!({"canAdd": true, "canEdit": true, "canDelete": true});
    let mut meta = json!({
        "type": "db", "canSave": !dashboard.provisioned, "canEdit": true, "canAdmin": true, "canStar": true,
        "canDelete": !dashboard.provisioned,
        "slug": slug(&title), "url": url(dashboard), "expires": "0001-01-01T00:00:00Z",
        "created": seconds(made.created), "updated": seconds(made.updated), "updatedBy": changer, "createdBy": creator,
        "version": dashboard.version, "hasAcl": false, "isFolder": false, "folderId": folder_id,
        "folderUid": dashboard.folder.clone().unwrap_or_default(), "folderTitle": folder_title, "folderUrl": folder_url,
        "provisioned": dashboard.provisioned,
        "provisionedExternalId": if dashboard.provisioned { "file.json" } else { "" },
        "annotationsPermissions": {"dashboard": all.clone(), "organization": all},
    });
    if resources {
        // 12.4 says v0alpha1 whatever is stored; 13 is said to tell the stored version.
        let stored = if call.profile == Profile::V12 { "v0alpha1" } else { &dashboard.stored_as };
        meta["apiVersion"] = json!(stored);
    }
    let mut body = model::classic(dashboard);
    body.insert("id".to_owned(), json!(dashboard.id));
    body.insert("uid".to_owned(), json!(dashboard.uid));
    body.insert("version".to_owned(), json!(dashboard.version));
    json!({"meta": meta, "dashboard": body})
}

fn versions(call: &Call<'_>, dashboard: &Dashboard) -> Answer {
    let limit = call.request.number("limit", 1000);
    let mut rows: Vec<&Revision> = dashboard.revisions.iter().rev().collect();
    let more = rows.len() > limit;
    rows.truncate(limit);
    let rows: Vec<Value> = rows
        .into_iter()
        .map(|row| {
            json!({"id": row.row, "dashboardId": dashboard.id, "uid": dashboard.uid, "parentVersion": row.parent,
                "restoredFrom": 0, "version": row.version, "created": seconds(row.created), "message": row.message,
                "data": row.data, "createdBy": row.by})
        })
        .collect();
    if call.profile == Profile::V10 {
        return Answer::json(200, json!(rows));
    }
    // Up to 11.6 everything was in the one answer and the token stayed empty.
    let token = if more && call.profile.has_resources() { "eyJvIjoyLCJ2IjoxLCJzIjpmYWxzZX0=" } else { "" };
    Answer::json(200, json!({"continueToken": token, "versions": rows}))
}

/// What a POST asks for, once it is read.
struct Wish {
    uid: String,
    id: i64,
    version: Option<i64>,
    folder: Option<String>,
    overwrite: bool,
    message: String,
    spec: Map<String, Value>,
}

fn save(call: &mut Call<'_>) -> Answer {
    let mut wish = match read(call) {
        Ok(wish) => wish,
        Err(refusal) => return refusal,
    };
    let existing = match find(call, &mut wish) {
        Ok(existing) => existing,
        Err(refusal) => return refusal,
    };
    let dashboard = match existing {
        None => create(call, wish),
        Some(existing) => {
            if existing.provisioned {
                return Answer::message(400, "Cannot save provisioned dashboard");
            }
            // The old API stores the dashboard without any annotation, so it takes a manager away, where that may be
            // (`pkg/services/dashboards/service/dashboard_service.go`, `saveDashboardThroughK8s`).
            if let Some(why) = manager::refuses(&existing.made, &Map::new()) {
                return Answer::message(403, why);
            }
            if !wish.overwrite && wish.version != Some(existing.version) {
                return changed_meanwhile(call.profile);
            }
            update(call, existing, wish)
        }
    };
    Answer::json(
        200,
        json!({
            "folderUid": dashboard.folder.clone().unwrap_or_default(), "id": dashboard.id,
            "slug": slug(text_of(&dashboard.spec, "title")), "status": "success", "uid": dashboard.uid,
            "url": url(&dashboard), "version": dashboard.version,
        }),
    )
}

fn changed_meanwhile(profile: Profile) -> Answer {
    if profile == Profile::V13 {
        return Answer::message(409, "Dashboard already exists. Use overwrite flag to update.");
    }
    Answer::status_message(412, "The dashboard has been changed by someone else", "version-mismatch")
}

fn read(call: &mut Call<'_>) -> Result<Wish, Answer> {
    let profile = call.profile;
    let body = call.body.clone();
    let sent = &body["dashboard"];
    let mut uid = text(sent, "uid").to_owned();
    let id = sent.get("id").and_then(Value::as_i64).unwrap_or(0);
    let mut spec = sent.as_object().cloned().ok_or_else(|| profile.traced(400, "bad request data"))?;
    if profile.has_resources() && spec.contains_key("apiVersion") && spec.contains_key("spec") {
        if profile == Profile::V13 && spec.contains_key("id") {
            return Err(Answer::message(400, "a resource cannot have an id"));
        }
        text(&sent["metadata"], "name").clone_into(&mut uid);
        spec = sent["spec"].as_object().cloned().unwrap_or_default();
    }
    if profile == Profile::V13 && spec.contains_key("elements") && spec.contains_key("layout") {
        return Err(Answer::message(400, "a dashboard of version 2 has to be sent as a resource"));
    }
    let version = spec.get("version").and_then(Value::as_i64);
    for own in ["id", "uid", "version"] {
        spec.remove(own);
    }
    if profile.has_resources() {
        spec.values_mut().for_each(whole_numbers);
    }
    let title = text_of(&spec, "title").trim().to_owned();
    if title.is_empty() {
        return Err(Answer::status_message(400, "Dashboard title cannot be empty", "empty-name"));
    }
    spec.insert("title".to_owned(), json!(title));
    if let Some(wrong) = wrong_uid(&uid) {
        return Err(Answer::message(400, wrong));
    }
    let message = text(&body, "message").to_owned();
    if profile >= Profile::V11 && message.chars().count() > 500 {
        return Err(Answer::message(400, "message too long, max 500 characters"));
    }
    let mut folder = Some(text(&body, "folderUid").to_owned()).filter(|uid| !uid.is_empty());
    if folder.is_none() && profile <= Profile::V12 {
        // Deprecated, and ignored from 13 on.
        let wanted = body.get("folderId").and_then(Value::as_i64).unwrap_or(0);
        folder = call.org().folders.values().find(|one| one.id == wanted).map(|one| one.uid.clone());
    }
    if folder.as_ref().is_some_and(|uid| !call.org().folders.contains_key(uid)) {
        return Err(Answer::message(400, "folder not found"));
    }
    Ok(Wish { uid, id, version, folder, overwrite: flag(&body, "overwrite"), message, spec })
}

/// The dashboard that this save goes into. Up to 10.4 a title is unique in its folder, and a save finds what bears it.
fn find(call: &mut Call<'_>, wish: &mut Wish) -> Result<Option<Dashboard>, Answer> {
    let profile = call.profile;
    let by_uid = call.org().dashboards.get(&wish.uid).cloned();
    let numbered = call.org().dashboards.values().find(|one| wish.id != 0 && one.id == wish.id).cloned();
    let id_counts = profile <= Profile::V12 || wish.uid.is_empty();
    if wish.id != 0 && numbered.is_none() && id_counts {
        return Err(Answer::status_message(404, "Dashboard not found", "not-found"));
    }
    if let Some(numbered) = numbered {
        if wish.uid.is_empty() {
            wish.uid.clone_from(&numbered.uid);
            return Ok(Some(numbered));
        }
        if numbered.uid != wish.uid {
            match profile {
                Profile::V10 | Profile::V11 if by_uid.is_some() => {
                    return Err(Answer::message(400, "A dashboard with the same uid already exists"));
                }
                Profile::V10 | Profile::V11 => return Ok(Some(numbered)),
                Profile::V12 => return Ok(by_uid),
                Profile::V13 => return Err(Answer::message(400, "id and uid belong to different dashboards")),
            }
        }
    }
    if profile == Profile::V10 {
        let title = text_of(&wish.spec, "title").to_owned();
        if call.org().folders.values().any(|folder| folder.parent == wish.folder && folder.title == title) {
            return Err(Answer::message(400, "Dashboard name cannot be the same as folder"));
        }
        let namesake = call
            .org()
            .dashboards
            .values()
            .find(|one| one.uid != wish.uid && one.folder == wish.folder && text_of(&one.spec, "title") == title);
        if let Some(namesake) = namesake.cloned() {
            if !wish.overwrite {
                let message = "A dashboard with the same name in the folder already exists";
                return Err(Answer::status_message(412, message, "name-exists"));
            }
            wish.uid.clone_from(&namesake.uid);
            return Ok(Some(namesake));
        }
    }
    Ok(by_uid)
}

fn create(call: &mut Call<'_>, wish: Wish) -> Dashboard {
    let uid = if wish.uid.is_empty() { call.state.new_uid() } else { wish.uid };
    // 12.4: the id of another dashboard is shared from then on.
    let shared = wish.id != 0 && call.profile == Profile::V12;
    let id = if shared { wish.id } else { call.state.next_object() };
    let grants = permission::defaults(&call.actor, wish.folder.is_none());
    let mut dashboard = fresh(call, &uid, id);
    dashboard.folder = wish.folder;
    dashboard.spec = wish.spec;
    dashboard.grants = grants;
    keep(call, dashboard, "")
}

/// A dashboard at version 1 that is not stored yet.
pub(super) fn fresh(call: &mut Call<'_>, uid: &str, id: i64) -> Dashboard {
    let actor = call.actor.clone();
    Dashboard {
        uid: uid.to_owned(),
        id,
        folder: None,
        spec: Map::new(),
        stored_as: "v0alpha1".to_owned(),
        version: 1,
        touched: 0,
        made: call.state.made(&actor),
        revisions: Vec::new(),
        grants: Vec::new(),
        provisioned: false,
    }
}

fn update(call: &mut Call<'_>, mut dashboard: Dashboard, wish: Wish) -> Dashboard {
    let actor = call.actor.clone();
    let named = !dashboard.made.annotations.is_empty();
    let same = dashboard.spec == wish.spec && dashboard.folder == wish.folder && !named;
    if same && call.profile.has_resources() && wish.message.is_empty() {
        return dashboard;
    }
    if !(same && call.profile.has_resources()) {
        dashboard.version += 1;
    }
    if dashboard.uid != wish.uid {
        // 10.4 and 11.6: the id of another dashboard renames its uid.
        call.org().dashboards.remove(&dashboard.uid);
        dashboard.uid = wish.uid;
    }
    dashboard.spec = wish.spec;
    dashboard.folder = wish.folder;
    "v0alpha1".clone_into(&mut dashboard.stored_as);
    dashboard.made.annotations.clear();
    call.state.touch(&mut dashboard.made, &actor);
    keep(call, dashboard, &wish.message)
}

/// Stores a dashboard and a row of its history.
pub(super) fn keep(call: &mut Call<'_>, mut dashboard: Dashboard, message: &str) -> Dashboard {
    let row = call.state.next("version row");
    let resources = call.profile.has_resources();
    let mut data = model::classic(&dashboard);
    data.insert("uid".to_owned(), json!(dashboard.uid));
    data.insert("version".to_owned(), json!(dashboard.version));
    if !resources && dashboard.version > 1 {
        data.insert("id".to_owned(), json!(dashboard.id));
    }
    dashboard.revisions.push(Revision {
        row: if resources { dashboard.version } else { row },
        version: dashboard.version,
        parent: dashboard.version - 1,
        created: dashboard.made.updated,
        by: call.actor.login.clone(),
        // Every version answers so for its first row, whatever message was sent.
        message: if dashboard.version == 1 { "Initial save".to_owned() } else { message.to_owned() },
        data: Value::Object(data),
    });
    dashboard.touched = call.state.next("touched");
    call.org().dashboards.insert(dashboard.uid.clone(), dashboard.clone());
    dashboard
}

/// The resource layer keeps a number without a fraction as a whole one.
pub(super) fn whole_numbers(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(fields) => fields.values_mut().for_each(whole_numbers),
        Value::Number(number) if number.is_f64() => {
            let text = number.to_string();
            if let Some(whole) = text.strip_suffix(".0").and_then(|whole| whole.parse::<i64>().ok()) {
                *value = json!(whole);
            }
        }
        _ => {}
    }
}
