//! Dashboards: one read each on a few threads, compared whole, one write each at most. Bodies are read from their files again
//! for each use; thousands of them take little memory. The forms of a file are in `form`, its inputs in `inputs`.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use common::change::{Action, Change, Difference, Failure, ObjectId, Planned, Shown};
use common::diff::{Writing, diff, mask};
use common::files::{Object, Problem, Set};
use common::http::{Client, parallel};
use common::kind::{Exported, Kind};
use serde_json::{Value, json};

use crate::dashboard::form::{Model, normal, normal_v2, read, references};
use crate::dashboard::inputs::Resolver;
use crate::folder::{above, is_folder_file, paths};
use crate::scope::{READERS, Scope, get};
use crate::server::part;
use crate::{datasource, uid};

pub(crate) mod form;
pub(crate) mod inputs;

const ANNOTATION: &str = "grafana.app/folder";

struct Declared {
    object: Rc<Object>,
    uid: String,
    folder: Vec<String>,
    has_inputs: bool,
}

/// What a write needs to know of the server's side.
#[derive(Clone, Debug)]
struct Held {
    /// A classic dashboard's version, or a resource's.
    version: Value,
    metadata: Value,
}

/// The dashboards of one organization.
pub(crate) struct Dashboards {
    scope: Rc<Scope>,
    declared: Vec<Declared>,
    sources: Vec<Rc<Object>>,
    problems: Vec<Problem>,
    resolver: Resolver,
    held: BTreeMap<ObjectId, Held>,
    open: Vec<(ObjectId, Vec<String>)>,
    /// Those that the last plan did not find, and for which nothing was sent since: making their folders does not make them.
    absent: BTreeSet<ObjectId>,
}

impl Dashboards {
    pub(crate) fn new(scope: &Rc<Scope>, set: &Set) -> Self {
        let org = scope.org.as_deref();
        let mut this = Self {
            scope: scope.clone(),
            declared: Vec::new(),
            sources: set.of_org(org, "datasources"),
            problems: Vec::new(),
            resolver: Resolver::default(),
            held: BTreeMap::new(),
            open: Vec::new(),
            absent: BTreeSet::new(),
        };
        for object in set.of_org(org, "inputs") {
            this.read_inputs(&object);
        }
        let mut uids: BTreeMap<String, String> = BTreeMap::new();
        for object in set.of_org(org, "dashboards").into_iter().filter(|object| !is_folder_file(object)) {
            let model = object.value().map_err(|failure| ("", failure.message)).and_then(read);
            let model = match model {
                Ok(model) => model,
                Err((pointer, text)) => {
                    this.problems.push(object.problem(pointer, text));
                    continue;
                }
            };
            this.problems.extend(model.unused.iter().map(|(at, why)| object.problem(at, *why).warning()));
            if model.body["title"].as_str().is_none_or(|title| title.trim().is_empty()) {
                this.problems.push(object.problem("/title", "a dashboard needs a title"));
            }
            let uid = model.uid.unwrap_or_else(|| uid::of_path(&object.parts, false));
            this.problems.extend(uid::wrong(&uid).map(|wrong| object.problem("/uid", wrong)));
            if let Some(first) = uids.insert(uid.clone(), object.file.clone()) {
                this.problems.push(object.problem("/uid", format!("the uid {uid} is also that of {first}")));
            }
            scope.memory.borrow_mut().dashboards.insert(uid.clone());
            let (folder, has_inputs) = (above(&object).to_vec(), !model.inputs.is_empty());
            this.declared.push(Declared { object, uid, folder, has_inputs });
        }
        this
    }

    /// The declared dashboards.
    pub(crate) fn ids(&self) -> Vec<ObjectId> {
        self.declared.iter().map(|dashboard| dashboard.object.id.clone()).collect()
    }

    fn read_inputs(&mut self, object: &Object) {
        let body = match object.value() {
            Ok(Value::Object(body)) => body,
            Ok(_) => return self.problems.push(object.problem("", "must be a map of input name to data source uid")),
            Err(failure) => return self.problems.push(object.problem("", failure.message)),
        };
        for (name, value) in body {
            match value {
                Value::String(uid) => drop(self.resolver.map.insert(name, uid)),
                _ => self.problems.push(object.problem(&common::json::step(&name), "must be a data source's uid")),
            }
        }
    }

    fn look(&mut self) -> Result<Vec<Planned>, Failure> {
        if self.declared.iter().any(|dashboard| dashboard.has_inputs) {
            self.resolver.sources = datasource::sources(&self.scope, &self.sources)?;
        }
        let folders = self.scope.memory.borrow().folders.clone();
        let reader = Reader {
            client: self.scope.client(),
            resolver: &self.resolver,
            namespace: self.scope.namespace(),
            resources: self.scope.server.found.borrow().resources.clone(),
        };
        let job = |dashboard: &'_ Declared| {
            let folder =
                if dashboard.folder.is_empty() { Some(String::new()) } else { folders.get(&dashboard.folder).cloned() };
            (dashboard.uid.clone(), folder)
        };
        let jobs: Vec<(&Object, (String, Option<String>))> =
            self.declared.iter().map(|dashboard| (dashboard.object.as_ref(), job(dashboard))).collect();
        // One read each: a twin that made one meanwhile is found by the write, which never overwrites.
        let absent = std::mem::take(&mut self.absent);
        let looked = parallel(&jobs, READERS, |(object, (uid, folder))| match folder {
            Some(_) if absent.contains(&object.id) => {
                Ok(Looked { change: Change::create(), held: None, open: Vec::new() })
            }
            Some(folder) => reader.look(object, uid, folder),
            None => Err(Failure::rejected("its folder could not be told")),
        });
        drop(jobs);
        let mut planned = Vec::with_capacity(looked.len());
        let mut open_inputs = Vec::new();
        let mut kept = BTreeMap::new();
        for (dashboard, looked) in self.declared.iter().zip(looked) {
            let id = dashboard.object.id.clone();
            let mut needs = Vec::new();
            if !dashboard.folder.is_empty() {
                needs.push(self.scope.id("folders", dashboard.folder.join("/")));
            }
            let verdict = looked.map(|Looked { change, held, open }| {
                if let Some(held) = held {
                    kept.insert(id.clone(), held);
                }
                if !open.is_empty() {
                    open_inputs.push((id.clone(), open));
                }
                change
            });
            planned.push(Planned { id, needs, verdict });
        }
        let creates = |planned: &&Planned| planned.verdict.as_ref().is_ok_and(|change| change.action == Action::Create);
        self.absent = planned.iter().filter(creates).map(|planned| planned.id.clone()).collect();
        self.held = kept;
        self.open = open_inputs;
        Ok(planned)
    }

    fn write(&self, planned: &Planned) -> Result<(), Failure> {
        let dashboard = self.declared.iter().find(|dashboard| dashboard.object.id == planned.id);
        let dashboard = dashboard.expect("only what plan returned is applied");
        let model = model_of(&dashboard.object, &self.resolver)?.0;
        let folder = match dashboard.folder.as_slice() {
            [] => String::new(),
            path => self.scope.memory.borrow().folders.get(path).cloned().unwrap_or_default(),
        };
        let held = self.held.get(&planned.id);
        match &model.resource {
            Some(version) => self.write_resource(version, &dashboard.uid, &folder, &model.body, held),
            None => self.write_classic(&dashboard.uid, &folder, model.body, held),
        }
    }

    /// Never with `overwrite`: up to 11.1 that lands in whichever dashboard of the folder bears the title.
    fn write_classic(&self, uid: &str, folder: &str, mut body: Value, held: Option<&Held>) -> Result<(), Failure> {
        body["uid"] = json!(uid);
        body["id"] = Value::Null;
        if let Some(held) = held {
            body["version"] = held.version.clone();
        }
        // Left out, the folder would be the root (every version).
        let body = json!({"dashboard": body, "folderUid": folder, "overwrite": false});
        self.scope.post("/api/dashboards/db", &body).map(drop)
    }

    fn write_resource(
        &self,
        version: &str,
        uid: &str,
        folder: &str,
        spec: &Value,
        held: Option<&Held>,
    ) -> Result<(), Failure> {
        let path = resources(version, &self.scope.namespace());
        let mut metadata = held.map_or_else(|| json!({}), |held| held.metadata.clone());
        metadata["name"] = json!(uid);
        if folder.is_empty() {
            if let Some(annotations) = metadata["annotations"].as_object_mut() {
                annotations.remove(ANNOTATION);
            }
        } else {
            metadata["annotations"][ANNOTATION] = json!(folder);
        }
        let api = format!("dashboard.grafana.app/{version}");
        if let Some(held) = held {
            metadata["resourceVersion"] = held.version.clone();
            let body = json!({"apiVersion": api, "kind": "Dashboard", "metadata": metadata, "spec": spec});
            return self.scope.put(&format!("{path}/{}", part(uid)), &body).map(drop);
        }
        // Without it a dashboard that is made here has no permissions at all (12.4).
        metadata["annotations"]["grafana.app/grant-permissions"] = json!("default");
        let body = json!({"apiVersion": api, "kind": "Dashboard", "metadata": metadata, "spec": spec});
        self.scope.post(&path, &body).map(drop)
    }
}

fn resources(version: &str, namespace: &str) -> String {
    format!("/apis/dashboard.grafana.app/{version}/namespaces/{namespace}/dashboards")
}

/// The file's dashboard with its inputs resolved, and the inputs that nothing stands for.
fn model_of(object: &Object, resolver: &Resolver) -> Result<(Model, Vec<String>), Failure> {
    let model =
        object.value().and_then(|value| read(value).map_err(|(at, why)| Failure::rejected(format!("{at}: {why}"))));
    let mut model = model?;
    let open = resolver.resolve(&model.inputs, &mut model.body).map_err(Failure::rejected)?;
    Ok((model, open))
}

/// What the reading threads share.
struct Reader<'r> {
    client: &'r Client,
    resolver: &'r Resolver,
    namespace: String,
    resources: Option<String>,
}

struct Looked {
    change: Change,
    held: Option<Held>,
    open: Vec<String>,
}

impl Reader<'_> {
    fn look(&self, object: &Object, uid: &str, folder: &str) -> Result<Looked, Failure> {
        let (mut model, open) = model_of(object, self.resolver)?;
        let found = match &model.resource {
            Some(version) => self.resource(version, uid)?,
            None => get(self.client, &format!("/api/dashboards/uid/{}", part(uid)))?.map(|mut whole| {
                let held = Held { version: whole["dashboard"]["version"].clone(), metadata: Value::Null };
                let place = whole["meta"]["folderUid"].as_str().unwrap_or_default().to_owned();
                let locked = (whole["meta"]["provisioned"] == true).then(|| PROVISIONED.to_owned());
                (whole["dashboard"].take(), place, locked, held)
            }),
        };
        let Some((mut body, place, mut locked, held)) = found else {
            return Ok(Looked { change: Change::create(), held: None, open });
        };
        let normal = if model.resource.is_some() { normal_v2 } else { normal };
        normal(&mut body);
        normal(&mut model.body);
        let mut differences = diff(Writing::Replaces, &body, &model.body);
        mask(&mut differences, &object.masked);
        if place != folder {
            differences.push(Difference::new("/folderUid", Shown::text(&place), Shown::text(folder)));
        }
        // Which repository keeps a dashboard only its resource tells; only what would be written is asked for it.
        if !differences.is_empty()
            && locked.is_none()
            && model.resource.is_none()
            && let Some(version) = &self.resources
            && let Some(whole) = get(self.client, &format!("{}/{}", resources(version, &self.namespace), part(uid)))?
        {
            locked = managed(&whole["metadata"]["annotations"]);
        }
        let change = Change::update(differences);
        let change = match locked {
            Some(reason) => change.locked(reason),
            None => change,
        };
        Ok(Looked { change, held: Some(held), open })
    }

    fn resource(&self, version: &str, uid: &str) -> Result<Option<(Value, String, Option<String>, Held)>, Failure> {
        let Some(preferred) = &self.resources else {
            let text =
                format!("a resource of version {version} needs Grafana 12 or later: this server has no resource API");
            return Err(Failure::rejected(text));
        };
        let path = format!("{}/{}", resources(version, &self.namespace), part(uid));
        let reply = self.client.send(&common::http::Call::get(&path).accept(404))?;
        let mut whole = reply.json()?;
        if reply.status == 404 {
            // A version that is not served is a 404 too; it names no object.
            if whole["details"]["name"].is_null() {
                let text = format!(
                    "this server does not serve dashboards in version {version} (it prefers {preferred}): export the file from it again"
                );
                return Err(Failure::rejected(text));
            }
            return Ok(None);
        }
        let annotations = &whole["metadata"]["annotations"];
        let locked = managed(annotations);
        let place = annotations[ANNOTATION].as_str().unwrap_or_default().to_owned();
        let metadata = json!({"annotations": annotations, "labels": whole["metadata"]["labels"]});
        let held = Held { version: whole["metadata"]["resourceVersion"].clone(), metadata };
        Ok(Some((whole["spec"].take(), place, locked, held)))
    }
}

const PROVISIONED: &str = "it is provisioned from a file on the server, which alone can change it";

fn managed(annotations: &Value) -> Option<String> {
    let manager = annotations["grafana.app/managedBy"].as_str()?;
    if annotations["grafana.app/managerAllowsEdits"] == "true" {
        return None;
    }
    let who = annotations["grafana.app/managerId"].as_str().map(|id| format!(" ({id})")).unwrap_or_default();
    Some(match manager {
        "classic-file-provisioning" => PROVISIONED.to_owned(),
        _ => format!("it is managed by {manager}{who}, which alone can change it"),
    })
}

impl Kind for Dashboards {
    fn name(&self) -> &'static str {
        "dashboards"
    }

    fn check(&self) -> Vec<Problem> {
        self.problems.clone()
    }

    fn plan(&mut self) -> Result<Vec<Planned>, Failure> {
        self.look()
    }

    fn preflight(&mut self, planned: &[Planned]) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (id, names) in &self.open {
            let object = self.declared.iter().find(|dashboard| dashboard.object.id == *id);
            let object = &object.expect("open inputs are those of declared dashboards").object;
            for name in names {
                let text =
                    format!("no data source stands for the input {name}: its placeholder stays; map it in inputs.json");
                problems.push(object.problem("/__inputs", text).warning());
            }
        }
        let todo: BTreeSet<&ObjectId> = planned
            .iter()
            .filter(|planned| planned.verdict.as_ref().is_ok_and(Change::writes))
            .map(|planned| &planned.id)
            .collect();
        if todo.is_empty() {
            return problems;
        }
        let sources = datasource::sources(&self.scope, &self.sources).unwrap_or_default();
        let plugins = self.scope.plugins();
        let mut titles: BTreeMap<(Vec<String>, String), String> = BTreeMap::new();
        for dashboard in &self.declared {
            let object = &dashboard.object;
            let Ok((model, _)) = model_of(object, &self.resolver) else { continue };
            let title = model.body["title"].as_str().unwrap_or_default().to_owned();
            // Gone by 11.2; before, the second would be refused after the first was written.
            if self.scope.version() < (11, 2)
                && let Some(first) = titles.insert((dashboard.folder.clone(), title), object.file.clone())
            {
                let text = format!("the title is also that of {first}: up to Grafana 11.1 it is unique in its folder");
                problems.push(object.problem("/title", text));
            }
            if !todo.contains(&object.id) {
                continue;
            }
            let (wanted, types) = references(&model.body);
            let known = |uid: &str| {
                uid.is_empty()
                    || uid.contains('$')
                    || matches!(uid, "grafana" | "__expr__" | "default" | "-100")
                    || uid.starts_with("-- ")
                    || sources.iter().any(|source| source.uid == uid || source.name == uid)
            };
            let missing: BTreeSet<&String> = wanted.iter().filter(|uid| !known(uid)).collect();
            for uid in missing {
                let text = format!("refers to the data source {uid}, which is neither declared nor on the server");
                problems.push(object.problem("", text).warning());
            }
            let lacks = |kind: &&String| plugins.as_ref().is_some_and(|plugins| !plugins.contains(*kind));
            let missing: BTreeSet<&String> = types.iter().filter(lacks).collect();
            for kind in missing {
                let text = format!("the panel plugin {kind} is not installed on the server");
                problems.push(object.problem("", text).warning());
            }
        }
        problems
    }

    fn apply(&mut self, todo: &[&Planned]) -> Vec<Result<(), Failure>> {
        self.absent.clear();
        todo.iter().map(|planned| self.write(planned)).collect()
    }

    fn export(&mut self) -> Result<Vec<Exported>, Failure> {
        const PAGE: usize = 1000;
        let folders = paths(&self.scope)?;
        let mut uids = BTreeSet::new();
        for page in 1.. {
            let list = self.scope.must(&format!("/api/search?type=dash-db&sort=alpha-asc&limit={PAGE}&page={page}"))?;
            let rows = list.as_array().map(Vec::as_slice).unwrap_or_default();
            uids.extend(rows.iter().filter_map(|row| row["uid"].as_str().map(str::to_owned)));
            if rows.len() < PAGE {
                break;
            }
        }
        let mut taken = BTreeSet::new();
        let mut exported = Vec::new();
        for uid in uids {
            let Some(mut whole) = self.scope.get(&format!("/api/dashboards/uid/{}", part(&uid)))? else { continue };
            if whole["meta"]["provisioned"] == true {
                continue;
            }
            let place = whole["meta"]["folderUid"].as_str().unwrap_or_default();
            let mut path = vec!["dashboards".to_owned()];
            path.extend(folders.get(place).into_iter().flatten().map(|(name, _)| name.clone()));
            let mut body = whole["dashboard"].take();
            let title = body["title"].as_str().unwrap_or(&uid).to_owned();
            if let Some(version) = whole["meta"]["apiVersion"].as_str().filter(|version| version.starts_with("v2")) {
                let resource = format!("{}/{}", resources(version, &self.scope.namespace()), part(&uid));
                if let Some(mut whole) = self.scope.get(&resource)? {
                    body = json!({"apiVersion": format!("dashboard.grafana.app/{version}"), "kind": "Dashboard",
                        "metadata": {"name": uid}, "spec": whole["spec"].take()});
                }
            } else if let Some(fields) = body.as_object_mut() {
                fields.remove("id");
                fields.remove("version");
            }
            let plain = title != crate::folder::FILE && !title.starts_with('.');
            let name = if plain && taken.insert((path.clone(), title.clone())) { title } else { uid };
            path.push(format!("{name}.json"));
            let text = serde_json::to_string_pretty(&body).expect("a value prints as JSON") + "\n";
            exported.push(Exported { path, text, placeholders: Vec::new() });
        }
        Ok(exported)
    }
}
