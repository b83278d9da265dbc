//! What mute timings and message templates share: they are found by name in `/api/v1/provisioning`, have a provenance and a version.

use serde_json::{Value, json};

use super::Profile;
use super::answer::Answer;
use super::field::{fingerprint, text};
use super::route::Call;
use super::state::Named;

pub(super) fn shown(profile: Profile, named: &Named) -> Value {
    let mut body = named.body.clone();
    if !named.provenance.is_empty() {
        body["provenance"] = json!(named.provenance);
    }
    if profile >= Profile::V11 {
        body["version"] = json!(version(named));
    }
    body
}

fn version(named: &Named) -> String {
    fingerprint(&named.body.to_string())
}

/// Why a stored object must not be written: its provenance, or a version that is out of date.
pub(super) fn refusal(call: &Call<'_>, stored: Option<&Named>) -> Option<Answer> {
    let stored = stored?;
    let sent = text(&call.body, "version");
    if call.profile >= Profile::V11 && !sent.is_empty() && sent != version(stored) {
        let message = "Provided version does not match the stored one";
        return Some(call.profile.identified(409, "alerting.notifications.conflict", message));
    }
    if stored.provenance == "api" && call.provenance().is_empty() {
        let message = "cannot change provenance from 'api' to ''";
        return Some(call.profile.identified(403, "alerting.provenanceMismatch", message));
    }
    None
}

pub(super) fn missing(profile: Profile, message_id: &str) -> Answer {
    // 12 and 11 say it in one word, 10.4 in two.
    profile.identified(404, message_id, if profile == Profile::V10 { "Not found" } else { "NotFound" })
}
