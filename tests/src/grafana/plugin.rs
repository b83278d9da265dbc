//! The plugins that a server has: `/api/plugins`. Their list is what 10.4 to 12.4 ship, and what a case adds or takes away.

use serde_json::{Value, json};

use super::Profile;
use super::answer::Answer;
use super::route::Call;

/// A plugin that is installed besides the built-in ones.
#[derive(Debug, Clone)]
pub struct Plugin {
    /// Its id, such as `grafana-clock-panel`.
    pub id: String,
    /// `panel`, `datasource` or `app`.
    pub kind: String,
    /// Its version.
    pub version: String,
}

/// Id, type and name, in the order of the names, which is the order of the list.
const BUILT_IN: &[(&str, &str, &str)] = &[
    ("alertlist", "panel", "Alert list"),
    ("alertmanager", "datasource", "Alertmanager"),
    ("annolist", "panel", "Annotations list"),
    ("grafana-azure-monitor-datasource", "datasource", "Azure Monitor"),
    ("barchart", "panel", "Bar chart"),
    ("bargauge", "panel", "Bar gauge"),
    ("candlestick", "panel", "Candlestick"),
    ("canvas", "panel", "Canvas"),
    ("cloudwatch", "datasource", "CloudWatch"),
    ("dashlist", "panel", "Dashboard list"),
    ("datagrid", "panel", "Datagrid"),
    ("elasticsearch", "datasource", "Elasticsearch"),
    ("flamegraph", "panel", "Flame Graph"),
    ("gauge", "panel", "Gauge"),
    ("geomap", "panel", "Geomap"),
    ("gettingstarted", "panel", "Getting Started"),
    ("stackdriver", "datasource", "Google Cloud Monitoring"),
    ("grafana-pyroscope-datasource", "datasource", "Grafana Pyroscope"),
    // Angular went with 12.
    ("graph", "panel", "Graph (old)"),
    ("graphite", "datasource", "Graphite"),
    ("heatmap", "panel", "Heatmap"),
    ("histogram", "panel", "Histogram"),
    ("influxdb", "datasource", "InfluxDB"),
    ("jaeger", "datasource", "Jaeger"),
    ("logs", "panel", "Logs"),
    ("loki", "datasource", "Loki"),
    ("mssql", "datasource", "Microsoft SQL Server"),
    ("mysql", "datasource", "MySQL"),
    ("news", "panel", "News"),
    ("nodeGraph", "panel", "Node Graph"),
    ("opentsdb", "datasource", "OpenTSDB"),
    ("parca", "datasource", "Parca"),
    ("piechart", "panel", "Pie chart"),
    ("grafana-postgresql-datasource", "datasource", "PostgreSQL"),
    ("prometheus", "datasource", "Prometheus"),
    ("stat", "panel", "Stat"),
    ("state-timeline", "panel", "State timeline"),
    ("status-history", "panel", "Status history"),
    ("table", "panel", "Table"),
    ("table-old", "panel", "Table (old)"),
    ("tempo", "datasource", "Tempo"),
    ("grafana-testdata-datasource", "datasource", "TestData"),
    ("text", "panel", "Text"),
    ("timeseries", "panel", "Time series"),
    ("traces", "panel", "Traces"),
    ("trend", "panel", "Trend"),
    ("welcome", "panel", "Welcome"),
    ("xychart", "panel", "XY Chart"),
    ("zipkin", "datasource", "Zipkin"),
];

fn in_profile(profile: Profile, id: &str) -> bool {
    profile <= Profile::V11 || !matches!(id, "graph" | "table-old")
}

/// Names of old that Grafana replaces by the plugin's id, with that id.
const ALIASES: [(&str, &str); 3] = [
    ("phlare", "grafana-pyroscope-datasource"),
    ("postgres", "grafana-postgresql-datasource"),
    ("testdata", "grafana-testdata-datasource"),
];

/// The id of a plugin that is named by its id or by a name of old.
pub(super) fn canonical(id: &str) -> &str {
    ALIASES.iter().find(|(alias, _)| *alias == id).map_or(id, |(_, id)| id)
}

/// The picture of a data source's type.
pub(super) fn logo(profile: Profile, kind: &str) -> String {
    let file = match kind {
        "elasticsearch" => "elasticsearch.svg".to_owned(),
        "loki" => "loki_icon.svg".to_owned(),
        "grafana-pyroscope-datasource" => "grafana_pyroscope_icon.svg".to_owned(),
        "grafana-postgresql-datasource" => "postgresql_logo.svg".to_owned(),
        "grafana-testdata-datasource" => "testdata.svg".to_owned(),
        _ if BUILT_IN.iter().any(|(id, ..)| *id == kind) => format!("{kind}_logo.svg"),
        _ => return "public/img/icn-datasource.svg".to_owned(),
    };
    let root = if profile.has_resources() { "public/plugins" } else { "public/app/plugins/datasource" };
    format!("{root}/{kind}/img/{file}")
}

/// The name of a data source's type; its id when there is no such plugin.
pub(super) fn type_name(kind: &str) -> &str {
    BUILT_IN.iter().find(|(id, ..)| *id == kind).map_or(kind, |(_, _, name)| name)
}

pub(super) fn route(call: &Call<'_>, method: &str, rest: &[&str]) -> Option<Answer> {
    match (method, rest) {
        ("GET", []) => Some(Answer::json(200, json!(installed(call)))),
        ("GET", [id, "settings"]) => {
            let id = canonical(id);
            let found = installed(call).into_iter().find(|plugin| plugin["id"] == json!(id));
            Some(found.map_or_else(
                || Answer::message(404, "Plugin not found, no installed plugin with that id"),
                |plugin| Answer::json(200, plugin),
            ))
        }
        _ => None,
    }
}

fn installed(call: &Call<'_>) -> Vec<Value> {
    let options = &call.state.options;
    let row = |id: &str, kind: &str, name: &str, version: &str, signature: &str| {
        json!({"name": name, "type": kind, "id": id, "enabled": false, "pinned": false,
            "info": {"version": version, "description": "", "keywords": null}, "latestVersion": "", "hasUpdate": false,
            "defaultNavUrl": "", "category": "", "state": "", "signature": signature})
    };
    let built_in = BUILT_IN
        .iter()
        .filter(|(id, ..)| in_profile(call.profile, id) && !options.without_plugins.iter().any(|gone| gone == id))
        .map(|(id, kind, name)| row(id, kind, name, call.profile.version(), "internal"));
    let added = options.plugins.iter().map(|one| row(&one.id, &one.kind, &one.id, &one.version, "valid"));
    built_in.chain(added).collect()
}
