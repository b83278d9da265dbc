//! Preferences of an organization or a team.

use serde_json::{Map, Value, json};

use super::Profile;
use super::answer::Answer;
use super::field::text;
use super::mute_timing::is_zone;
use super::route::Call;

const PREFERENCES: [&str; 8] =
    ["theme", "homeDashboardUID", "timezone", "weekStart", "language", "queryHistory", "navbar", "cookiePreferences"];

/// PUT replaces, PATCH merges; an empty value is one that is not there.
pub(super) fn route(call: &mut Call<'_>, method: &str, preferences: &mut Map<String, Value>) -> Option<Answer> {
    if method == "GET" {
        return Some(Answer::json(200, Value::Object(preferences.clone())));
    }
    if !matches!(method, "PUT" | "PATCH") {
        return None;
    }
    let home = text(&call.body, "homeDashboardUID").to_owned();
    if !home.is_empty() && !call.org().dashboards.contains_key(&home) {
        return Some(call.profile.traced(404, "Dashboard not found"));
    }
    if !["", "light", "dark", "system"].contains(&text(&call.body, "theme")) {
        return Some(Answer::message(400, "Invalid theme"));
    }
    let zone = text(&call.body, "timezone");
    if call.profile >= Profile::V12 && zone != "utc" && zone != "browser" && !is_zone(zone) {
        let message = "Invalid timezone. Must be a valid IANA timezone (e.g., America/New_York), 'utc', 'browser', or empty string";
        return Some(Answer::message(400, message));
    }
    if method == "PUT" {
        preferences.clear();
    }
    for field in PREFERENCES {
        if let Some(value) = call.body.get(field) {
            preferences.insert(field.to_owned(), value.clone());
        }
    }
    preferences.retain(|_, value| !value.is_null() && *value != json!("") && *value != json!({}));
    Some(Answer::message(200, "Preferences updated"))
}
