//! The record that a resource keeps of who wrote which of its fields.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::field::{object, seconds};
use super::route::Call;

/// Who manages which field; 12.4 keeps no such record for `v2`.
pub(super) fn managed_fields(call: &Call<'_>, group: &str, version: &str) -> Option<Value> {
    if version.starts_with("v2") {
        return None;
    }
    let agent = call.request.header("user-agent").unwrap_or("unknown");
    let mut meta = json!({});
    for part in ["annotations", "labels"] {
        let named = fields_of(&Value::Object(object(&call.body["metadata"], part)));
        if named.as_object().is_some_and(|fields| !fields.is_empty()) {
            meta[format!("f:{part}")] = named;
            meta[format!("f:{part}")]["."] = json!({});
        }
    }
    let mut fields = json!({"f:spec": fields_of(&call.body["spec"])});
    if meta != json!({}) {
        fields["f:metadata"] = meta;
    }
    Some(json!([{"manager": agent.split('/').next().unwrap_or(agent), "operation": "Update",
        "apiVersion": format!("{group}/{version}"), "time": seconds(Timestamp::now()),
        "fieldsType": "FieldsV1", "fieldsV1": fields}]))
}

fn fields_of(value: &Value) -> Value {
    let Some(fields) = value.as_object() else { return json!({}) };
    Value::Object(fields.iter().map(|(name, value)| (format!("f:{name}"), fields_of(value))).collect())
}
