//! The least right for a route, by version, as service accounts of the three roles were answered.

use super::Profile;
use super::answer::Answer;
use super::route::Call;
use super::state::Role;

enum Need {
    ServerAdmin,
    Role(Role),
}

/// The refusal of a request that its sender may not make.
pub(super) fn refusal(call: &mut Call<'_>, method: &str, segments: &[&str]) -> Option<Answer> {
    let (need, action) = needed(call.profile, method, segments)?;
    let allowed = match need {
        Need::ServerAdmin => call.actor.server_admin,
        Need::Role(role) => call.actor.role >= role && call.state.orgs.contains_key(&call.org_id),
    };
    if !allowed {
        return Some(Answer::forbidden(action));
    }
    if call.actor.role >= Role::Admin || call.actor.server_admin {
        return None;
    }
    // Whoever is no administrator has rights on what is there: of an absent folder they are not even told that it is absent.
    let hidden = match segments {
        ["api", "folders", uid] if method == "GET" => Some(("folders:read", *uid)),
        ["api", "v1", "provisioning", "folder", uid, "rule-groups", ..] if method == "GET" => {
            Some(("folders:read", *uid))
        }
        ["api", "dashboards", "uid", uid] if method == "GET" && call.profile == Profile::V11 => {
            return (!call.org().dashboards.contains_key(*uid)).then(|| Answer::forbidden("dashboards:read"));
        }
        _ => None,
    };
    let (action, uid) = hidden?;
    (!call.org().folders.contains_key(uid)).then(|| Answer::forbidden(action))
}

fn needed(profile: Profile, method: &str, segments: &[&str]) -> Option<(Need, &'static str)> {
    use Need::{Role as InOrg, ServerAdmin};

    let read = method == "GET";
    let need = match segments {
        ["api", "orgs", ..] if read => (ServerAdmin, "orgs:read"),
        ["api", "orgs", ..] => (ServerAdmin, "orgs:create"),
        ["api", "admin" | "users", ..] => (ServerAdmin, "users:read"),
        ["api", "org"] if read => (InOrg(Role::Viewer), "orgs:read"),
        ["api", "org", "preferences"] if read => (InOrg(Role::Admin), "orgs.preferences:read"),
        ["api", "org", "preferences"] => (InOrg(Role::Admin), "orgs.preferences:write"),
        ["api", "org", ..] if read => (InOrg(Role::Admin), "org.users:read"),
        ["api", "org", ..] => (InOrg(Role::Admin), "org:write"),
        ["api", "folders", _, "permissions"] => (InOrg(Role::Admin), "folders.permissions:write"),
        ["api", "dashboards", .., "permissions"] => (InOrg(Role::Admin), "dashboards.permissions:write"),
        ["api", "folders", ..] if read => (InOrg(Role::Viewer), "folders:read"),
        ["api", "folders"] => (InOrg(Role::Editor), "folders:create"),
        ["api", "folders", ..] => (InOrg(Role::Editor), "folders:write"),
        ["api", "dashboards", ..] | ["apis", _, _, "namespaces", ..] if read => {
            (InOrg(Role::Viewer), "dashboards:read")
        }
        ["api", "dashboards", "db"] => (InOrg(Role::Editor), "any of dashboards:create, dashboards:write"),
        ["api", "dashboards", ..] | ["apis", _, _, "namespaces", ..] => (InOrg(Role::Editor), "dashboards:write"),
        ["api", "search" | "frontend", ..] => (InOrg(Role::Viewer), "dashboards:read"),
        ["api", "datasources", ..] if read => (InOrg(Role::Viewer), "datasources:read"),
        ["api", "datasources"] => (InOrg(Role::Admin), "datasources:create"),
        ["api", "datasources", ..] => (InOrg(Role::Admin), "datasources:write"),
        ["api", "library-elements", ..] if read => (InOrg(Role::Viewer), "library.panels:read"),
        ["api", "library-elements", ..] => (InOrg(Role::Editor), "library.panels:write"),
        ["api", "playlists", ..] if read => (InOrg(Role::Viewer), "playlists:read"),
        ["api", "playlists", ..] => (InOrg(Role::Editor), "playlists:write"),
        ["api", "teams", ..] if read => (InOrg(Role::Admin), "teams:read"),
        ["api", "teams", ..] => (InOrg(Role::Admin), "teams:write"),
        ["api", "serviceaccounts", ..] if read => (InOrg(Role::Admin), "serviceaccounts:read"),
        ["api", "serviceaccounts", ..] => (InOrg(Role::Admin), "serviceaccounts:write"),
        ["api", "v1", "provisioning", kind, ..] => alerting(profile, read, kind),
        _ => return None,
    };
    Some(need)
}

/// Up to 10.4 the alerting API is for administrators alone.
fn alerting(profile: Profile, read: bool, kind: &str) -> (Need, &'static str) {
    if profile == Profile::V10 {
        let action = if read {
            "any of alert.provisioning:read, alert.provisioning.secrets:read"
        } else {
            "alert.provisioning:write"
        };
        return (Need::Role(Role::Admin), action);
    }
    if read {
        return (Need::Role(Role::Viewer), "alert.provisioning:read");
    }
    let action = if matches!(kind, "alert-rules" | "folder") {
        "any of alert.provisioning:write, alert.rules.provisioning:write, \
         all of alert.rules:create, alert.provisioning.provenance:write"
    } else {
        "any of alert.provisioning:write, alert.notifications.provisioning:write, \
         all of alert.notifications:write, alert.provisioning.provenance:write"
    };
    (Need::Role(Role::Editor), action)
}
