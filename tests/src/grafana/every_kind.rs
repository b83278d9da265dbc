//! One object of every kind of grafana-init, each referring to others: what cases about the whole of it start from.

use std::path::Path;

use serde_json::{Value, json};

use super::Target;
use crate::sandbox::Sandbox;

/// The secret of the contact point, in the variable `HOOK_PASSWORD`.
pub const HOOK_PASSWORD: &str = "s3cret-of-the-hook";

/// An alert rule on the data source `prom`; without a uid where none is given.
pub fn alert_rule(uid: Option<&str>, title: &str) -> Value {
    let mut rule = json!({"title": title, "condition": "B", "for": "300s", "noDataState": "NoData", "execErrState": "Error",
        "labels": {"team": "ops"}, "data": [
        {"refId": "A", "datasourceUid": "prom", "relativeTimeRange": {"from": 600, "to": 0}, "model": {"expr": "up", "refId": "A"}},
        {"refId": "B", "datasourceUid": "__expr__", "relativeTimeRange": {"from": 600, "to": 0}, "model": {"type": "threshold", "expression": "A", "refId": "B",
            "conditions": [{"evaluator": {"type": "lt", "params": [1]}}]}}]});
    if let Some(uid) = uid {
        rule["uid"] = json!(uid);
    }
    rule
}

impl Target {
    /// The files; the token of the service account goes to `token`.
    pub fn every_kind(&self, token: &Path) -> Vec<(&'static str, Value)> {
        vec![
            ("plugins/prometheus.json", json!({})),
            ("teams/ops.json", json!({"email": "ops@example.com", "members": [self.username]})),
            ("service_accounts/ci.json", json!({"role": "Editor", "tokens": [{"name": "ci-token", "file": token}]})),
            (
                "datasources/prom.json",
                json!({"type": "prometheus", "name": "Prometheus", "url": "http://p:9090", "isDefault": true}),
            ),
            (
                "library_panels/lp.json",
                json!({"name": "Lib", "folderUid": "platform", "model": {"type": "text", "title": "Lib", "options": {"content": "hi"}}}),
            ),
            (
                "dashboards/Platform/_folder.json",
                json!({"uid": "platform", "permissions": [{"role": "Viewer", "permission": 1}, {"team": "ops", "permission": "Edit"}]}),
            ),
            (
                "dashboards/Platform/home.json",
                json!({"uid": "home", "title": "Home", "panels": [{"id": 1, "gridPos": {"h": 8, "w": 12, "x": 0, "y": 0}, "libraryPanel": {"uid": "lp", "name": "Lib"}}]}),
            ),
            (
                "contact_points/hook.json",
                json!({"uid": "hook", "type": "webhook", "settings": {"url": "http://h/x", "username": "u", "password": "$__env{HOOK_PASSWORD}"}}),
            ),
            (
                "contact_points/mail.json",
                json!([{"type": "email", "settings": {"addresses": "a@example.com", "singleEmail": false}}]),
            ),
            (
                "mute_timings/nights.json",
                json!({"time_intervals": [{"times": [{"start_time": "22:00", "end_time": "24:00"}], "weekdays": ["monday:friday"]}]}),
            ),
            ("message_templates/plain.json", json!({"template": "plain text"})),
            (
                "notification_policy.json",
                json!({"receiver": "hook", "group_by": ["grafana_folder", "alertname"], "group_interval": "300s", "routes": [
                    {"receiver": "mail", "matchers": ["team=\"ops\"", "severity=~\"a|b\""], "mute_time_intervals": ["nights"]}]}),
            ),
            (
                "alert_rules/Platform/group.json",
                json!({"interval": 60, "rules": [alert_rule(Some("up-rule"), "Up"), alert_rule(None, "Down")]}),
            ),
            ("preferences.json", json!({"homeDashboardUID": "home", "theme": "dark", "timezone": "utc"})),
        ]
    }

    /// A sandbox with one object of every kind; the token goes to `token` beside the folder.
    pub fn with_every_kind(&self) -> Sandbox {
        let sandbox = self.sandbox().env("HOOK_PASSWORD", HOOK_PASSWORD).env("MAX_RETRIES", "2");
        let files = self.every_kind(&sandbox.path("token"));
        sandbox.config(&files)
    }
}
