//! Grafana's own provisioning folder, read as it is: `datasources/`, `dashboards/` and `alerting/`, lists of what becomes our objects. The
//! same lists are taken inside the kinds' folders. Nothing is sent from here.
//!
//! | in the folder                  | becomes                                                             |
//! |--------------------------------|---------------------------------------------------------------------|
//! | `datasources`                  | `datasources`, `correlations`; without a uid by Grafana's own rule  |
//! | `providers` of type `file`     | `dashboards/<folder>/…`, from the files at `options.path`           |
//! | `groups`                       | `alert_rules/<folder>/<group>`                                      |
//! | `contactPoints`, `muteTimes`, `templates`, `policies` | the kinds of these names                     |
//! | `deleteDatasources` and so on  | a warning: nothing is deleted                                       |

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use common::files::foreign::{Declared, Document, File, Foreign, Place, Sink};
use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use crate::scope::by_number;

/// What grafana-init takes besides its kinds' own files.
pub(crate) fn foreign() -> Foreign {
    Foreign::default()
        .folder("provisioning", folder)
        .inside(&["datasources", "contact_points", "mute_timings", "message_templates", "alert_rules"], inside)
}

/// Kinds of other things that Grafana reads from its folder.
const LEFT: [&str; 5] = ["access-control", "apps", "notifiers", "plugins", "sample"];

/// What a provider says of Grafana's own reading of files and of people at its UI, which no API can say.
const UI: [&str; 4] = ["allowUiUpdates", "disableDeletion", "editable", "updateIntervalSeconds"];

fn folder(files: &[File], sink: &mut Sink<'_, '_>) {
    let mut reader = Reader { sink, folders: BTreeSet::new(), root: None };
    reader.root = files.iter().find_map(|file| {
        let mut path = file.path.parent()?;
        for _ in &file.folders {
            path = path.parent()?;
        }
        Some(path.to_owned())
    });
    // Providers first: they give their folders uids, groups only titles.
    let (providers, others): (Vec<&File>, Vec<&File>) =
        files.iter().partition(|file| file.folders.first().is_some_and(|top| top == "dashboards"));
    for file in providers.into_iter().chain(others) {
        let top = file.folders.first().map_or("", String::as_str);
        if LEFT.contains(&top) {
            reader.sink.leave_out("provisioning: left to Grafana", format!("{top}/{}.{}", file.stem, file.ending));
            continue;
        }
        // Dashboards lie beside their providers; they are read by way of these.
        if !(matches!(file.ending.as_str(), "yaml" | "yml") || file.ending == "json" && top != "dashboards") {
            continue;
        }
        for mut document in reader.sink.documents(file) {
            expand(&mut document.value);
            reader.document(&document);
        }
    }
}

/// Lists inside a kind's folder. One alone is an export, which the kind unwraps itself.
fn inside(document: &Document, sink: &mut Sink<'_, '_>) -> bool {
    let lists = ["datasources", "contactPoints", "muteTimes", "templates", "groups"];
    let Some((field, list)) = lists.iter().find_map(|field| Some((*field, document.value.get(*field)?.as_array()?)))
    else {
        return false;
    };
    if field != "datasources" && list.len() == 1 {
        return false;
    }
    // The file lies in the folder of its groups.
    let above: Vec<String> = document.place.file.split('/').skip(1).map(str::to_owned).collect();
    let above = above.split_last().map(|(_, above)| above.join("/")).filter(|above| !above.is_empty());
    let mut reader = Reader { sink, folders: BTreeSet::new(), root: None };
    match above.filter(|_| field == "groups") {
        Some(above) => {
            for (place, group) in document.place.list(&document.value, "groups") {
                let name = part(text(group, "name"));
                reader.object("alert_rules", group, format!("{above}/{name}"), group.clone(), place);
            }
        }
        None => reader.document(document),
    }
    true
}

struct Reader<'r, 's, 'l> {
    sink: &'r mut Sink<'s, 'l>,
    /// Folders whose own file was declared.
    folders: BTreeSet<(Option<Arc<str>>, String)>,
    /// Where the provisioning folder lies.
    root: Option<std::path::PathBuf>,
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}

/// A title as one step of a path.
fn part(title: &str) -> String {
    title.trim().replace('/', "-")
}

/// The organization of an entry: another than the first is named by its number.
fn org(entry: &Value) -> Option<Arc<str>> {
    let number = entry.get("orgId").or(entry.get("org_id"))?.as_i64().filter(|number| *number > 1)?;
    Some(by_number(number).into())
}

impl Reader<'_, '_, '_> {
    fn document(&mut self, document: &Document) {
        let (place, value) = (&document.place, &document.value);
        // Files of old are a list of providers and nothing else.
        if value.is_array() {
            let whole = json!({"providers": value});
            for (_, provider) in place.list(&whole, "providers") {
                self.provider(place, provider);
            }
            return;
        }
        let known = [
            "apiVersion",
            "datasources",
            "providers",
            "groups",
            "contactPoints",
            "policies",
            "muteTimes",
            "templates",
            "prune",
            "deleteDatasources",
            "deleteRules",
            "deleteContactPoints",
            "deleteMuteTimes",
            "deleteTemplates",
            "resetPolicies",
        ];
        self.sink.only(place, value, &known);
        for key in known.iter().filter(|key| key.starts_with("delete") || matches!(**key, "resetPolicies" | "prune")) {
            let asks =
                value.get(*key).is_some_and(|value| *value != json!(false) && *value != json!([]) && !value.is_null());
            if asks {
                self.sink.problem(place.below(key).problem("nothing is deleted: this entry is not used").warning());
            }
        }
        let old = value.get("apiVersion").is_none();
        for (place, source) in place.list(value, "datasources") {
            self.source(place, source, old);
        }
        for (place, provider) in place.list(value, "providers") {
            self.provider(&place, provider);
        }
        for (place, group) in place.list(value, "groups") {
            let folder = self.folder(org(group), text(group, "folder"), "", &place);
            if folder.is_empty() {
                self.sink.problem(place.problem("a group needs a folder"));
                continue;
            }
            self.object("alert_rules", group, format!("{folder}/{}", part(text(group, "name"))), group.clone(), place);
        }
        for (field, kind) in
            [("contactPoints", "contact_points"), ("muteTimes", "mute_timings"), ("templates", "message_templates")]
        {
            for (place, entry) in place.list(value, field) {
                self.object(kind, entry, text(entry, "name").to_owned(), entry.clone(), place);
            }
        }
        for (place, policy) in place.list(value, "policies") {
            self.object("notification_policy", policy, "notification_policy".to_owned(), policy.clone(), place);
        }
    }

    fn object(&mut self, kind: &'static str, entry: &Value, name: String, mut body: Value, place: Place) {
        if let Some(fields) = body.as_object_mut() {
            for unused in ["orgId", "folder", "folderUid"] {
                fields.remove(unused);
            }
        }
        self.sink.object(Declared { org: org(entry), ..Declared::new(kind, name, body, place) });
    }

    fn source(&mut self, place: Place, source: &Value, old: bool) {
        let Some(fields) = source.as_object() else {
            return self.sink.problem(place.problem("a data source is an object"));
        };
        let mut body = Map::new();
        for (key, value) in fields {
            body.insert(if old { camel(key) } else { key.clone() }, value.clone());
        }
        let org = org(source);
        for unused in ["orgId", "version", "editable"] {
            if body.remove(unused).is_some() && unused == "editable" {
                self.sink.leave_out("provisioning: editable is for Grafana's own files", text(source, "name"));
            }
        }
        let name = text(source, "name").to_owned();
        if name.is_empty() {
            return self.sink.problem(place.problem("a data source needs a name"));
        }
        if body.get("uid").and_then(Value::as_str).is_none_or(str::is_empty) {
            body.insert("uid".into(), json!(uid_of_name(&name)));
        }
        if let Some(Value::Array(list)) = body.remove("correlations") {
            for (index, mut correlation) in list.into_iter().enumerate() {
                let at = place.below("correlations").below(&index.to_string());
                correlation["sourceUID"] = body["uid"].clone();
                let label = format!("{name} {}", correlation["label"].as_str().unwrap_or(&index.to_string()));
                self.sink
                    .object(Declared { org: org.clone(), ..Declared::new("correlations", label, correlation, at) });
            }
        }
        self.sink.object(Declared { org, ..Declared::new("datasources", name, Value::Object(body), place) });
    }

    /// The step of the path that stands for a folder, whose title and uid are declared where the step does not tell them.
    fn folder(&mut self, org: Option<Arc<str>>, title: &str, uid: &str, place: &Place) -> String {
        let step = part(title);
        if step.is_empty() || !self.folders.insert((org.clone(), step.clone())) {
            return step;
        }
        let parts = [step.clone()];
        self.sink.tree_folder("dashboards", org.as_ref(), &parts);
        if step != title.trim() || !uid.is_empty() {
            let mut body = json!({"title": title});
            if !uid.is_empty() {
                body["uid"] = json!(uid);
            }
            let name = format!("{step}/{}", crate::folder::FILE);
            self.sink.object(Declared { org, ..Declared::new("dashboards", name, body, place.clone()) });
        }
        step
    }

    fn provider(&mut self, place: &Place, provider: &Value) {
        let ours = ["name", "type", "orgId", "org_id", "folder", "folderUid", "options"];
        self.sink.only(place, provider, &[&ours[..], &UI].concat());
        for field in UI.iter().filter(|field| provider.get(**field).is_some()) {
            let reason = format!("provisioning: {field} is for Grafana's own files");
            self.sink.leave_out(reason, text(provider, "name"));
        }
        let kind = provider["type"].as_str().unwrap_or("file");
        let options = &provider["options"];
        if options.is_object() {
            self.sink.only(&place.below("options"), options, &["path", "folder", "foldersFromFilesStructure"]);
        }
        let Some(path) = options["path"].as_str().or(options["folder"].as_str()).filter(|_| kind == "file") else {
            return self.sink.problem(place.problem("a provider of type file needs options.path"));
        };
        let org = org(provider);
        let by_folder = options["foldersFromFilesStructure"] == true;
        let folder = if by_folder { "" } else { text(provider, "folder") };
        let folder = self.folder(org.clone(), folder, text(provider, "folderUid"), place);
        let within = path.strip_prefix("/etc/grafana/provisioning").zip(self.root.as_deref());
        let path = match within {
            Some((rest, root)) => root.join(rest.trim_start_matches('/')),
            None => Path::new(path).to_owned(),
        };
        if !path.is_dir() {
            let text = format!("the dashboards' folder {} is not there: mount it at the same place", path.display());
            return self.sink.problem(place.below("options").problem(text));
        }
        for file in self.sink.files(&path).iter().filter(|file| file.ending == "json") {
            let mut parts: Vec<String> = Some(folder.clone()).filter(|folder| !folder.is_empty()).into_iter().collect();
            let (above, mut name) = (file.folders.last(), file.folders.clone());
            if by_folder && let Some(above) = above {
                // Grafana knows one level: the directory that the file lies in.
                parts.push(self.folder(org.clone(), above, "", place));
                name.pop();
            }
            name.push(file.stem.clone());
            parts.push(name.join("-"));
            self.sink.file("dashboards", org.as_ref(), file, &parts);
        }
    }
}

/// Files without `apiVersion` spell fields with underscores.
fn camel(key: &str) -> String {
    let mut out = String::new();
    for word in key.split('_') {
        let mut letters = word.chars();
        match letters.next().filter(|_| !out.is_empty()) {
            Some(first) => out.extend(first.to_uppercase().chain(letters)),
            None => out += word,
        }
    }
    out
}

/// The uid that Grafana gives a data source of its files that has none.
fn uid_of_name(name: &str) -> String {
    let hash = digest(&SHA256, name.as_bytes());
    let hex: String = hash.as_ref()[..8].iter().map(|byte| format!("{byte:02X}")).collect();
    format!("P{hex}")
}

/// Variables as Grafana replaces them in its own files, turned into our placeholders: so they are resolved and hidden like these, and one
/// that is not set is empty.
fn expand(value: &mut Value) {
    match value {
        Value::String(text) if text.contains('$') => *text = expanded(text),
        Value::Array(items) => items.iter_mut().for_each(expand),
        Value::Object(fields) => fields.values_mut().for_each(expand),
        _ => {}
    }
}

fn expanded(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out += &rest[..at];
        rest = &rest[at + 1..];
        let named = |rest: &str| rest.starts_with("__env{") || rest.starts_with("__file{");
        if let Some(after) = rest.strip_prefix('$') {
            // Ours for a placeholder that is none.
            out += if named(after) { "$$" } else { "$" };
            rest = after;
        } else if named(rest) {
            out.push('$');
        } else if let Some((name, after)) = rest.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            out += &variable(name);
            rest = after;
        } else {
            let length = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
            let (name, after) = rest.split_at(length);
            if name.is_empty() {
                out.push('$');
            } else {
                out += &variable(name);
                rest = after;
            }
        }
    }
    out + rest
}

fn variable(name: &str) -> String {
    let good = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if good { format!("$__env{{{name}:-}}") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_become_placeholders() {
        for (given, wanted) in [
            ("http://$HOST:3100", "http://$__env{HOST:-}:3100"),
            ("${HOST}/x", "$__env{HOST:-}/x"),
            ("$${__value.raw}", "${__value.raw}"),
            ("$$labels", "$labels"),
            ("$__env{A} $__file{/b}", "$__env{A} $__file{/b}"),
            ("$$__env{A}", "$$__env{A}"),
            ("5$ a$", "5$ a$"),
            ("plain", "plain"),
        ] {
            assert_eq!(expanded(given), wanted, "{given}");
        }
    }

    #[test]
    fn names_give_the_uids_that_grafana_gives() {
        assert_eq!(uid_of_name("Prometheus"), "PBFA97CFB590B2093");
        assert_eq!(camel("basic_auth_user"), "basicAuthUser");
    }
}
