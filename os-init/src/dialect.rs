//! How the server's errors read: five shapes of body, and what each means for a request. No request is made here.
//!
//! | shape                                                       | from                                   |
//! |-------------------------------------------------------------|----------------------------------------|
//! | `{"error": {"type", "reason", "caused_by"}, "status"}`        | the core, ISM, snapshot management     |
//! | `{"status", "message"}` and `{"status": "error", "reason", …}` | the security API, its validation       |
//! | plain text                                                  | security before it is ready, ISM's 403 |
//! | `{"error": "text"}`                                           | unknown routes, missing aliases        |
//! | data (`{}`, `{"found": false}`)                               | pipelines and scripts that are missing |

use common::engine::change::Class;
use common::net::http::{Call, Dialect, shorten};
use serde_json::Value;

/// The service's dialect.
pub(crate) const DIALECT: Dialect = Dialect { judge, code, explain };

/// By status and the server's own types; by words only where an error has no type, or one that says nothing.
fn judge(call: &Call, status: u16, body: &str) -> Option<Class> {
    let types = types(body);
    let is = |names: &[&str]| types.iter().any(|found| names.contains(&found.as_str()));
    let has = |text: &str| body.contains(text);
    match status {
        // Nothing answers yet, so nothing was done.
        500 | 503 if has("not initialized") => Some(Class::Again),
        // Security keeps each type in one document: a neighbor's write makes ours fail, and it surely was not done. Versions before
        // 2.11 say 500.
        409 if is_security(call) => Some(Class::Again),
        500 if is(&["version_conflict_engine_exception"]) || has("version conflict") => {
            Some(if is_security(call) { Class::Again } else { Class::Ambiguous })
        }
        // A sequence number that is stale, or somebody else who created it first: the next read decides.
        409 => Some(Class::Ambiguous),
        400 if is(&["resource_already_exists_exception"]) => Some(Class::Ambiguous),
        400 if has("no handler found for uri") => Some(Class::Fatal),
        // Nothing of the request was done; the next plan leaves out what the server names.
        400 if code(body).is_some_and(|code| code.starts_with(NON_DYNAMIC)) => Some(Class::Again),
        // A repository cannot be written while a snapshot uses it: the same type as for what is wrong for good.
        500 if has("currently used") => Some(Class::Again),
        500 if is(&FINAL) => Some(Class::Rejected),
        // Blocks that lift themselves when the disk has room again (cluster.blocks.create_index.auto_release, since 2.6).
        403 if is(&["index_create_block_exception"]) || has("FORBIDDEN/10/") || has("FORBIDDEN/12/") => {
            Some(Class::Again)
        }
        403 if is(&["cluster_block_exception"])
            || has("not allowed in your policy")
            || has("is reserved")
            || has("is static")
            || has("is hidden") =>
        {
            Some(Class::Rejected)
        }
        _ => None,
    }
}

/// What the server answers with 500 though it will never be otherwise: a body that it cannot read, or cannot use.
const FINAL: [&str; 13] = [
    "repository_exception",
    "repository_verification_exception",
    "illegal_state_exception",
    "illegal_argument_exception",
    // Jackson's, from the security plugin: a string where a list is wanted.
    "mismatched_input_exception",
    "invalid_definition_exception",
    "unrecognized_property_exception",
    "json_parse_exception",
    "json_mapping_exception",
    // A field that is wanted and missing: `zone` of a schedule, the template of a catch-all.
    "null_pointer_exception",
    "class_cast_exception",
    "number_format_exception",
    "strict_dynamic_mapping_exception",
];

/// The types of an error, from the outermost in.
fn types(body: &str) -> Vec<String> {
    let value: Value = serde_json::from_str(body).unwrap_or_default();
    let mut found = Vec::new();
    let mut at = value.get("error");
    while let Some(error) = at {
        found.extend(error["type"].as_str().map(str::to_owned));
        at = error.get("caused_by");
    }
    found
}

fn is_security(call: &Call) -> bool {
    call.path.starts_with("/_plugins/_security/api/")
}

/// The plugin of this endpoint is not installed.
pub(crate) const NO_HANDLER: &str = "no_handler";
/// A list that the server cannot read back, because of one of its objects.
pub(crate) const UNREADABLE: &str = "unreadable";

/// Settings that an index keeps while it is open; their names follow, as in `non_dynamic index.a, index.b`.
pub(crate) const NON_DYNAMIC: &str = "non_dynamic ";

/// `error.type`, the outermost: what the core and its plugins call an error. What they give no type of its own gets a name here, by their
/// words, so that nobody else has to read them.
fn code(body: &str) -> Option<String> {
    let value: Value = serde_json::from_str(body).ok()?;
    let error = value.get("error")?;
    let reason = error["reason"].as_str().or(error.as_str()).unwrap_or_default();
    if reason.starts_with("no handler found for uri") {
        return Some(NO_HANDLER.to_owned());
    }
    if reason.starts_with("Failed to parse snapshot management policy") {
        return Some(UNREADABLE.to_owned());
    }
    if let Some((_, named)) = reason.split_once("non dynamic settings [[")
        && let Some((names, _)) = named.split_once("]]")
    {
        return Some(format!("{NON_DYNAMIC}{names}"));
    }
    error["type"].as_str().map(str::to_owned)
}

/// The server's own words, with what helps against the ones that puzzle people.
pub(crate) fn explain(body: &str) -> Option<String> {
    let words = match serde_json::from_str::<Value>(body) {
        Ok(Value::Object(fields)) if fields.is_empty() => "nothing of that name is there".to_owned(),
        Ok(value) => of_json(&value)?,
        Err(_) => body.split_whitespace().collect::<Vec<_>>().join(" "),
    };
    if words.is_empty() {
        return None;
    }
    let hints = [
        ("FORBIDDEN/10/", "index creation is blocked because the disks are full: free space (disk watermark)"),
        ("FORBIDDEN/12/", "a disk is past its flood-stage watermark: free space"),
        ("TOO_MANY_REQUESTS/12/", "a disk is past its flood-stage watermark: free space"),
        ("Weak password", "the cluster's password rules refuse it: take a longer and less guessable one"),
        ("Password is similar", "take one that has nothing of the user's name"),
        ("maximum shards open", "raise cluster.max_shards_per_node or remove indices"),
        ("unknown setting [", "a plugin is missing on the server, or the name is wrong"),
        ("is not accessible on", "the nodes cannot use it: is the folder or bucket there, and may they write to it?"),
        ("not allowed in your policy", "the action is not in plugins.index_state_management.allow_list"),
        ("no handler found for uri", "the plugin that this needs is not installed on the server"),
        (
            "non dynamic settings",
            "an open index keeps it: take the server's value into the file, or make another index",
        ),
        ("more than one write index", "an alias can have one: another index has it already"),
    ];
    let hint = hints.iter().find(|(text, _)| words.contains(text)).map(|(_, hint)| format!(" ({hint})"));
    Some(shorten(&words, 1000) + &hint.unwrap_or_default())
}

fn of_json(value: &Value) -> Option<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    if let Some(error) = value.get("error") {
        return text(error).or_else(|| Some(reasons(error)));
    }
    if let Some(message) = value.get("message").and_then(text) {
        return Some(message);
    }
    if let Some(reason) = value.get("reason").and_then(text) {
        let details: Vec<String> = value
            .as_object()?
            .iter()
            .filter(|(key, _)| !matches!(key.as_str(), "status" | "reason"))
            .map(|(key, value)| format!("{key}: {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
            .collect();
        return Some(if details.is_empty() { reason } else { format!("{reason} ({})", details.join(", ")) });
    }
    (value.get("found") == Some(&Value::Bool(false))).then(|| "nothing of that name is there".to_owned())
}

/// The reasons from the outermost in, each said once.
fn reasons(error: &Value) -> String {
    let mut said: Vec<&str> = Vec::new();
    let mut at = Some(error);
    while let Some(error) = at {
        let reason = error["reason"].as_str().or(error["type"].as_str());
        if let Some(reason) = reason.filter(|reason| !said.iter().any(|before| before.contains(reason))) {
            said.push(reason);
        }
        at = error.get("caused_by");
    }
    said.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, words: &str) {
        assert_eq!(explain(body).as_deref(), Some(words));
    }

    #[test]
    fn each_shape_gives_its_words() {
        check(
            r#"{"error":{"root_cause":[],"type":"repository_exception","reason":"[o] failed to create repository","caused_by":{"type":"x","reason":"[o] location [/n] is not in path.repo"}},"status":500}"#,
            "[o] failed to create repository: [o] location [/n] is not in path.repo",
        );
        check(r#"{"status":"FORBIDDEN","message":"Resource 'admin' is reserved."}"#, "Resource 'admin' is reserved.");
        check(
            r#"{"status":"error","reason":"Invalid configuration","invalid_keys":{"keys":"colour"}}"#,
            r#"Invalid configuration (invalid_keys: {"keys":"colour"})"#,
        );
        check(
            r#"{"status":"error","reason":"Wrong datatype","cluster_permissions":"Array expected"}"#,
            "Wrong datatype (cluster_permissions: Array expected)",
        );
        check("OpenSearch Security not initialized.\n", "OpenSearch Security not initialized.");
        check(r#"{"error":"alias [x] missing","status":404}"#, "alias [x] missing");
        check(r#"{"_id":"s","found":false}"#, "nothing of that name is there");
        check("{}", "nothing of that name is there");
    }

    #[track_caller]
    fn class(path: &str, status: u16, body: &str, class: Option<Class>) {
        assert_eq!(judge(&Call::put(path, ""), status, body), class);
    }

    #[test]
    fn what_a_status_means_depends_on_the_words() {
        class("/_plugins/_ism/policies/p", 409, "version_conflict_engine_exception", Some(Class::Ambiguous));
        class("/_plugins/_security/api/roles/r", 409, "", Some(Class::Again));
        class("/_plugins/_security/api/roles/r", 500, "[roles]: version conflict, required", Some(Class::Again));
        class("/x", 503, "OpenSearch Security not initialized.", Some(Class::Again));
        let error = |kind: &str| format!(r#"{{"error":{{"type":"{kind}","reason":"r"}},"status":500}}"#);
        class("/x", 400, &error("resource_already_exists_exception"), Some(Class::Ambiguous));
        // A name that is another error's type says nothing.
        class("/x", 500, r#"{"error":{"type":"x","reason":"[repository_exception] of mine"}}"#, None);
        for last in ["mismatched_input_exception", "null_pointer_exception", "repository_verification_exception"] {
            class("/x", 500, &error(last), Some(Class::Rejected));
        }
        class("/x", 403, r#"{"error":{"type":"index_create_block_exception"}}"#, Some(Class::Again));
        class(
            "/x",
            403,
            r#"{"error":{"type":"cluster_block_exception","reason":"FORBIDDEN/5/"}}"#,
            Some(Class::Rejected),
        );
        class("/x", 403, r#"{"error":{"type":"security_exception"}}"#, None);
        let kept = r#"{"error":{"type":"illegal_argument_exception","reason":"Can't update non dynamic settings [[index.a, index.b.c]] for open indices [[x/u]]"},"status":400}"#;
        class("/x/_settings", 400, kept, Some(Class::Again));
        assert_eq!(code(kept).as_deref(), Some("non_dynamic index.a, index.b.c"));
        class("/_plugins/_ism/policies", 400, "no handler found for uri [..]", Some(Class::Fatal));
    }
}
