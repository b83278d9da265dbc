//! Which object a body declares, and who else may hold it: its uid and name are its own, or the file's. No request is made here.

use common::files::{Key, Object, Problem};
use serde_json::Value;

/// The name.
pub(crate) fn name_of(object: &Object, body: &Value) -> String {
    or_file(object, body, "name")
}

/// The uid and the name.
pub(crate) fn identity(object: &Object, body: &Value) -> (String, String) {
    (or_file(object, body, "uid"), name_of(object, body))
}

/// The server finds it by its name.
pub(crate) fn unique_name(object: &Object, body: &Value) -> Vec<Key> {
    vec![("/name".to_owned(), "name", name_of(object, body))]
}

fn or_file(object: &Object, body: &Value, field: &str) -> String {
    body[field].as_str().unwrap_or(&object.id.name).to_owned()
}

/// A warning where a body names an organization, which decides nothing: that is its directory's, or the connection's own.
pub(crate) fn elsewhere(object: &Object, body: &Value) -> Option<Problem> {
    let number = body["orgId"].as_i64().filter(|number| *number > 1 && object.id.org.is_none())?;
    let text = format!(
        "is not used: the organization of files at the top is the connection's own (GRAFANA_ORG_ID); put those of organization {number} \
         into orgs/<its name>/"
    );
    Some(object.problem("/orgId", text).warning())
}

/// Why an object that a file on the server provides is not written.
pub(crate) const PROVISIONED: &str = "it is provisioned from a file on the server, which alone can change it";

/// Why an object that something else manages is not written.
pub(crate) fn managed_by(manager: &str) -> String {
    format!("it is managed by {manager}, which alone can change it")
}
