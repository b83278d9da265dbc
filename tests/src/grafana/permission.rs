//! Permissions of folders and dashboards: stored and shown as Grafana does, never enforced.

use serde_json::{Value, json};

use super::Profile;
use super::answer::Answer;
use super::dashboard;
use super::field::{seconds, slug, text};
use super::route::Call;
use super::state::{Actor, Grant, Holder, Made, folder_url};

const PICTURE: &str = "/public/img/user_profile.png";

/// What a new folder or dashboard gets: its maker, and in the root the two basic roles.
pub(super) fn defaults(maker: &Actor, in_root: bool) -> Vec<Grant> {
    let mut grants = vec![Grant { holder: Holder::User(maker.id), level: 4 }];
    if in_root {
        grants.push(Grant { holder: Holder::Role("Editor".to_owned()), level: 2 });
        grants.push(Grant { holder: Holder::Role("Viewer".to_owned()), level: 1 });
    }
    grants
}

pub(super) fn route(call: &mut Call<'_>, method: &str, kind: &str, rest: &[&str]) -> Option<Answer> {
    let object = match (kind, rest) {
        ("folders", [uid]) => folder(call, uid, false),
        ("dashboards", ["uid", uid]) => of_dashboard(call, uid),
        _ => return None,
    };
    let is_folder = kind == "folders";
    let Some(object) = object else {
        return Some(if is_folder {
            Answer::status_message(404, "folder not found", "not-found")
        } else {
            call.profile.traced(404, "Dashboard not found")
        });
    };
    match method {
        "GET" => {
            let above = above(call, &object);
            let rows: Vec<Value> =
                std::iter::once(&object).chain(&above).flat_map(|object| entries(call, object)).collect();
            Some(Answer::json(200, json!(rows)))
        }
        "POST" => {
            let uid = object.uid;
            Some(replace(call, is_folder, &uid))
        }
        _ => None,
    }
}

/// What the entries of one object show besides the grant.
struct Object {
    is_folder: bool,
    uid: String,
    id: i64,
    title: String,
    slug: String,
    url: String,
    made: Made,
    grants: Vec<Grant>,
    parent: Option<String>,
    inherited: bool,
}

fn folder(call: &mut Call<'_>, uid: &str, inherited: bool) -> Option<Object> {
    let folder = call.org().folders.get(uid)?.clone();
    let (url, slug) = (folder_url(&folder), String::new());
    let (id, title, made, grants, parent) = (folder.id, folder.title, folder.made, folder.grants, folder.parent);
    Some(Object { is_folder: true, uid: folder.uid, id, title, slug, url, made, grants, parent, inherited })
}

fn of_dashboard(call: &mut Call<'_>, uid: &str) -> Option<Object> {
    let found = call.org().dashboards.get(uid)?.clone();
    let title = dashboard::text_of(&found.spec, "title").to_owned();
    let (url, slug) = (dashboard::url(&found), slug(&title));
    let (id, made, grants, parent) = (found.id, found.made, found.grants, found.folder);
    Some(Object { is_folder: false, uid: found.uid, id, title, slug, url, made, grants, parent, inherited: false })
}

/// The folders whose grants an object inherits.
fn above(call: &mut Call<'_>, object: &Object) -> Vec<Object> {
    let chain = call.org().ancestors(object.parent.as_deref());
    let uids: Vec<String> = chain.iter().map(|folder| folder.uid.clone()).collect();
    uids.iter().filter_map(|uid| folder(call, uid, true)).collect()
}

fn entries(call: &mut Call<'_>, object: &Object) -> Vec<Value> {
    let profile = call.profile;
    let mut grants = object.grants.clone();
    if profile >= Profile::V11 {
        grants.sort_by_key(|grant| -grant.level);
    }
    grants.iter().map(|grant| entry(call, object, grant)).collect()
}

fn entry(call: &mut Call<'_>, object: &Object, grant: &Grant) -> Value {
    let profile = call.profile;
    let mut row = json!({
        "created": seconds(object.made.created), "updated": seconds(object.made.created),
        "userId": 0, "userLogin": "", "userEmail": "", "userAvatarUrl": PICTURE,
        "teamId": 0, "teamEmail": "", "teamAvatarUrl": "", "team": "",
        "permission": grant.level,
        "permissionName": match grant.level { 1 => "View", 2 => "Edit", _ => "Admin" },
        "uid": object.uid, "title": object.title, "slug": object.slug, "isFolder": object.is_folder,
        "url": object.url, "inherited": object.inherited,
    });
    row[if object.is_folder { "folderId" } else { "dashboardId" }] = json!(object.id);
    if profile >= Profile::V11 {
        row["userUid"] = json!("");
        row["teamUid"] = json!("");
    }
    match &grant.holder {
        Holder::User(id) => {
            let user = call.state.users.iter().find(|user| user.id == *id);
            let account = call.state.orgs[&call.org_id].accounts.iter().find(|account| account.id == *id);
            let (uid, login, email) = user
                .map(|user| (&user.uid, user.login.as_str(), user.email.as_str()))
                .or_else(|| account.map(|account| (&account.uid, account.login.as_str(), "")))
                .map_or((String::new(), "", ""), |(uid, login, email)| (uid.clone(), login, email));
            row["userId"] = json!(id);
            row["userLogin"] = json!(login);
            row["userEmail"] = json!(email);
            if profile >= Profile::V11 && object.is_folder {
                row["userUid"] = json!(uid);
            }
        }
        Holder::Team(id) => {
            if let Some(team) = call.org().teams.iter().find(|team| team.id == *id) {
                row["teamId"] = json!(id);
                row["team"] = json!(team.name);
                row["teamEmail"] = json!(team.email);
                row["teamAvatarUrl"] = json!(PICTURE);
                if profile >= Profile::V11 {
                    row["teamUid"] = json!(team.uid);
                }
            }
        }
        Holder::Role(role) => row["role"] = json!(role),
    }
    row
}

/// Replaces all entries. A level that is none of 1, 2, 4 is dropped without a word (10.4 to 12.4).
fn replace(call: &mut Call<'_>, is_folder: bool, uid: &str) -> Answer {
    let items = call.body["items"].as_array().cloned().unwrap_or_default();
    let mut grants = Vec::new();
    for item in &items {
        let number = |field: &str| item.get(field).and_then(Value::as_i64).unwrap_or(0);
        let holder = match (text(item, "role"), number("teamId"), number("userId")) {
            ("", 0, 0) => return Answer::message(400, "bad permissions: an item names nobody"),
            ("", 0, user) => Holder::User(user),
            ("", team, _) => Holder::Team(team),
            (role, ..) => Holder::Role(role.to_owned()),
        };
        if grants.iter().any(|grant: &Grant| grant.holder == holder) {
            return Answer::message(409, "Duplicate permission found");
        }
        let level = number("permission");
        if [1, 2, 4].contains(&level) {
            grants.push(Grant { holder, level });
        }
    }
    let org = call.org();
    if is_folder {
        org.folders.get_mut(uid).expect("it was found").grants = grants;
        Answer::message(200, "Folder permissions updated")
    } else {
        org.dashboards.get_mut(uid).expect("it was found").grants = grants;
        Answer::message(200, "Dashboard permissions updated")
    }
}
