//! `/api/search`: folders and dashboards by type, title, tag, folder and uid, in pages.

use serde_json::{Value, json};

use super::Profile;
use super::answer::Answer;
use super::dashboard::{text_of, url};
use super::field::slug;
use super::route::Call;
use super::state::folder_url;

struct Hit {
    title: String,
    order: i64,
    row: Value,
}

pub(super) fn route(call: &mut Call<'_>) -> Answer {
    let request = call.request;
    let kind = request.query("type").unwrap_or_default();
    let query = request.query("query").unwrap_or_default().to_lowercase();
    let all = |names: &[&str]| -> Vec<String> {
        let given = request.query.iter().filter(|(key, _)| names.contains(&key.as_str()));
        given.flat_map(|(_, value)| value.split(',').map(str::to_owned)).filter(|value| !value.is_empty()).collect()
    };
    let (tags, folders, uids) =
        (all(&["tag"]), all(&["folderUIDs", "folderUids"]), all(&["dashboardUIDs", "dashboardUid"]));
    let mut hits = Vec::new();
    if kind != "dash-folder" {
        hits.extend(dashboards(call, &tags, &folders, &uids));
    }
    if kind != "dash-db" && tags.is_empty() {
        hits.extend(folder_hits(call, &folders, &uids));
    }
    hits.retain(|hit| hit.title.to_lowercase().contains(&query));
    hits.sort_by_key(|hit| (hit.title.to_lowercase(), hit.order));
    let rows = hits.into_iter().map(|hit| hit.row).collect();
    let rows = request.page(rows, request.number("limit", 1000).min(5000));
    Answer::json(200, json!(rows))
}

fn inside(place: Option<&String>, folders: &[String]) -> bool {
    folders.is_empty() || place.map_or_else(|| folders.iter().any(|uid| uid == "general"), |uid| folders.contains(uid))
}

fn dashboards(call: &mut Call<'_>, tags: &[String], folders: &[String], uids: &[String]) -> Vec<Hit> {
    let (profile, org_id) = (call.profile, call.org_id);
    let org = &*call.org();
    let mut hits = Vec::new();
    for dashboard in org.dashboards.values() {
        let own = dashboard.spec.get("tags").filter(|tags| tags.is_array()).cloned().unwrap_or_else(|| json!([]));
        let tagged = tags.iter().all(|tag| own.as_array().is_some_and(|own| own.contains(&json!(tag))));
        let named = uids.is_empty() || uids.contains(&dashboard.uid);
        if !tagged || !named || !inside(dashboard.folder.as_ref(), folders) {
            continue;
        }
        let title = text_of(&dashboard.spec, "title");
        let mut row = json!({
            "id": dashboard.id, "uid": dashboard.uid, "title": title, "uri": format!("db/{}", slug(title)),
            "url": url(dashboard), "slug": "", "type": "dash-db", "tags": own, "isStarred": false, "sortMeta": 0,
        });
        if let Some(folder) = &dashboard.folder {
            let (id, folder_title, address) = org.place(Some(folder));
            // 11.6 forgets to make a slug of it.
            let address =
                if profile == Profile::V11 { format!("/dashboards/f/{folder}/{folder_title}") } else { address };
            row["folderId"] = id;
            row["folderUid"] = json!(folder);
            row["folderTitle"] = json!(folder_title);
            row["folderUrl"] = json!(address);
        }
        since_11(profile, org_id, &mut row);
        // 12.4 has no order among equal titles but that of its index, which is rewritten by each update.
        let order = if profile.has_resources() { dashboard.touched } else { dashboard.id };
        hits.push(Hit { title: title.to_owned(), order, row });
    }
    hits
}

fn folder_hits(call: &mut Call<'_>, folders: &[String], uids: &[String]) -> Vec<Hit> {
    let (profile, org_id) = (call.profile, call.org_id);
    let mut hits = Vec::new();
    for folder in call.org().folders.values() {
        if !inside(folder.parent.as_ref(), folders) || !(uids.is_empty() || uids.contains(&folder.uid)) {
            continue;
        }
        let mut row = json!({
            "id": folder.id, "uid": folder.uid, "title": folder.title, "uri": format!("db/{}", slug(&folder.title)),
            "url": folder_url(folder), "slug": "", "type": "dash-folder", "tags": [], "isStarred": false, "sortMeta": 0,
        });
        if let Some(parent) = &folder.parent {
            row["folderUid"] = json!(parent);
        }
        since_11(profile, org_id, &mut row);
        hits.push(Hit { title: folder.title.clone(), order: folder.id, row });
    }
    hits
}

fn since_11(profile: Profile, org_id: i64, row: &mut Value) {
    if profile >= Profile::V11 {
        row["orgId"] = json!(org_id);
        row["isDeleted"] = json!(false);
    }
}
