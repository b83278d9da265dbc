//! Playlists: `/api/playlists`. Their life as resources is in `playlist_resource`.

use serde_json::{Value, json};

use super::Profile;
use super::answer::Answer;
use super::field::{seconds, text};
use super::route::Call;
use super::state::Playlist;

pub(super) fn route(call: &mut Call<'_>, method: &str, rest: &[&str]) -> Option<Answer> {
    let profile = call.profile;
    Some(match (method, rest) {
        ("GET", []) => {
            // From 11 on the resource layer lists all of them.
            let limit = call.request.query("limit").and_then(|limit| limit.parse().ok()).unwrap_or(1000);
            let most = if profile == Profile::V10 { limit } else { usize::MAX };
            let rows = call.org().playlists.values().take(most).map(|one| row(profile, one)).collect();
            shown(profile, rows)
        }
        ("POST", []) => create(call),
        (_, [uid, rest @ ..]) => {
            let Some(one) = call.org().playlists.get(*uid).cloned() else { return Some(missing(profile, uid)) };
            match (method, rest) {
                ("GET", []) => shown(profile, whole(&one)),
                ("GET", ["items"]) => shown(profile, json!(one.items)),
                ("PUT", []) => update(call, one),
                _ => return None,
            }
        }
        _ => return None,
    })
}

/// From 11 on the answers come from the resource layer.
fn shown(profile: Profile, body: Value) -> Answer {
    if profile == Profile::V10 { Answer::json(200, body) } else { Answer::json_utf8(200, body) }
}

fn missing(profile: Profile, uid: &str) -> Answer {
    let message = if profile == Profile::V10 {
        "Playlist not found".to_owned()
    } else {
        format!("playlists.playlist.grafana.app \"{uid}\" not found")
    };
    Answer::json_utf8(404, json!({"message": message, "traceID": ""}))
}

fn row(profile: Profile, one: &Playlist) -> Value {
    let mut row = json!({"uid": one.uid, "name": one.name, "interval": one.interval});
    if !profile.has_resources() {
        row["id"] = json!(one.id);
    }
    row
}

fn whole(one: &Playlist) -> Value {
    json!({"uid": one.uid, "name": one.name, "interval": one.interval, "items": one.items})
}

/// Items as they are kept: their order is that of the list.
pub(super) fn items(body: &Value) -> Vec<Value> {
    let sent = body["items"].as_array().into_iter().flatten();
    sent.map(|item| json!({"type": item["type"], "value": item["value"]})).collect()
}

/// Up to 11.6 the database takes no playlist without items.
pub(super) fn lacks_items(profile: Profile, items: &[Value]) -> bool {
    !profile.has_resources() && items.is_empty()
}

fn create(call: &mut Call<'_>) -> Answer {
    let (profile, body) = (call.profile, call.body.clone());
    let items = items(&body);
    if lacks_items(profile, &items) {
        return if profile == Profile::V10 {
            profile.traced(500, "Failed to create playlist")
        } else {
            Answer::json_utf8(500, json!({"message": "no element on slice when insert", "traceID": ""}))
        };
    }
    // 10.4 gives a uid of its own, whatever was sent.
    let sent = Some(text(&body, "uid")).filter(|uid| !uid.is_empty() && profile >= Profile::V11);
    let uid = sent.map_or_else(|| call.state.new_uid(), str::to_owned);
    let mut one = store(call, &uid, text(&body, "name"), text(&body, "interval"), items);
    if profile.has_resources() && one.items.is_empty() {
        // 12.4 keeps a record of the fields of a playlist without items alone.
        let fields = json!({"f:spec": {"f:interval": {}, "f:items": {}, "f:title": {}}});
        one.made.managed_fields = Some(json!([{"manager": "grafana", "operation": "Update",
            "apiVersion": "playlist.grafana.app/v1", "time": seconds(one.made.created), "fieldsType": "FieldsV1",
            "fieldsV1": fields}]));
        call.org().playlists.insert(uid, one.clone());
    }
    shown(profile, if profile == Profile::V10 { row(profile, &one) } else { whole(&one) })
}

/// Stores a new playlist.
pub(super) fn store(call: &mut Call<'_>, uid: &str, name: &str, interval: &str, items: Vec<Value>) -> Playlist {
    let actor = call.actor.clone();
    let one = Playlist {
        id: call.state.next("playlist"),
        uid: uid.to_owned(),
        name: name.to_owned(),
        interval: interval.to_owned(),
        items,
        generation: 1,
        made: call.state.made(&actor),
    };
    call.org().playlists.insert(uid.to_owned(), one.clone());
    one
}

fn update(call: &mut Call<'_>, mut one: Playlist) -> Answer {
    let (name, interval) = (text(&call.body, "name").to_owned(), text(&call.body, "interval").to_owned());
    let items = items(&call.body);
    if change(call, &mut one, (name, interval, items)) {
        call.org().playlists.insert(one.uid.clone(), one.clone());
    }
    shown(call.profile, whole(&one))
}

/// Sets what was sent; false when it is what there is, which from 12 on is no write.
pub(super) fn change(call: &mut Call<'_>, one: &mut Playlist, sent: (String, String, Vec<Value>)) -> bool {
    let same = (&one.name, &one.interval, &one.items) == (&sent.0, &sent.1, &sent.2);
    if same && call.profile.has_resources() {
        return false;
    }
    (one.name, one.interval, one.items) = sent;
    one.generation += 1;
    let actor = call.actor.clone();
    call.state.touch(&mut one.made, &actor);
    true
}
