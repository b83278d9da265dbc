//! ISM policies. GET shows a good deal more than PUT was given, and more with each version; an update needs the sequence number of what
//! it replaces; and an update that changes nothing would still move the policy's time past that of existing indices, so there is none.

use common::engine::change::Failure;
use common::engine::document::{Have, Held, Making, Pending, Request, bodies, drop_where};
use common::files::{Object, Problem, Set};
use common::net::http::Pages;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::cluster::{Cluster, part};
use crate::document::{Ask, Fields, list, number, object_of, only, remove, strings, text, wanted};
use crate::normal::{drop_defaults, drop_nulls, each, is_empty, lower, unquote, unquote_flag};
use crate::overlap::{Claim, collisions};
use crate::step::{Limits, put};

pub(crate) fn read(cluster: &Cluster, ask: Ask<'_>) -> Result<Held, Failure> {
    let wanted = wanted(ask);
    let mut held = Held::new();
    pages(cluster, "/_plugins/_ism/policies", "policies", ask.is_empty(), |fields| {
        let name = text(fields, "_id");
        if let Some(policy) = fields.get("policy").filter(|_| wanted(&name)) {
            let body = RawValue::from_string(format!("{{\"policy\":{}}}", policy.get())).expect("JSON inside JSON");
            held.insert(name, Have { meta: sequence(fields), ..Have::new(body) });
        }
    })?;
    Ok(held)
}

/// The sequence number of a document, which an update has to name.
pub(crate) fn sequence(fields: &Fields<'_>) -> Value {
    json!({"seq": number(fields, "_seq_no"), "term": number(fields, "_primary_term")})
}

/// The query by which a write replaces what was read, or nothing where there was none.
pub(crate) fn replacing(have: Option<&Have>) -> String {
    let query = |have: &Have| format!("?if_seq_no={}&if_primary_term={}", have.meta["seq"], have.meta["term"]);
    have.map(query).unwrap_or_default()
}

/// Each element of one of the plugin's lists. The page is larger than the default of 20, at which many clients stop.
pub(crate) fn pages(
    cluster: &Cluster,
    path: &str,
    inner: &str,
    exporting: bool,
    mut each: impl FnMut(&Fields<'_>),
) -> Result<(), Failure> {
    const PAGE: usize = 1000;
    let mut pages = Pages::of(PAGE);
    for page in 0.. {
        // Before the first policy there is no index to look in.
        let of_page = format!("{path}?from={}&size={PAGE}", page * PAGE);
        let Some(body) = cluster.list_of_plugin(&of_page, PLUGIN, exporting, None)? else { break };
        let items = list(&body, inner)?;
        let another = pages.another(path, &body, items.len())?;
        items.iter().for_each(&mut each);
        if !another {
            break;
        }
    }
    Ok(())
}

pub(crate) fn unwrap(body: Value) -> Value {
    match body.get("policy") {
        Some(policy) if body.get("_id").is_some() => json!({"policy": policy}),
        _ => body,
    }
}

/// What ISM and snapshot management come with.
pub(crate) const PLUGIN: &str = "index-management plugin (ISM and snapshot management)";
/// Fields of a policy that the server makes.
const MADE: [&str; 4] = ["policy_id", "last_updated_time", "schema_version", "user"];
/// Numbers that may be written as strings.
const NUMBERS: [&str; 9] = [
    "/states/*/actions/*/*/min_doc_count",
    "/states/*/actions/*/*/priority",
    "/states/*/actions/*/*/number_of_replicas",
    "/states/*/actions/*/*/max_num_segments",
    "/states/*/actions/*/*/num_new_shards",
    "/states/*/actions/*/*/percentage_of_source_shards",
    "/states/*/actions/*/retry/count",
    "/states/*/transitions/*/conditions/min_doc_count",
    "/ism_template/*/priority",
];
/// Sizes, ages and words that the server prints in small letters.
const SMALL: [&str; 9] = [
    "/states/*/actions/*/*/min_size",
    "/states/*/actions/*/*/min_primary_shard_size",
    "/states/*/actions/*/*/max_shard_size",
    "/states/*/actions/*/retry/backoff",
    "/states/*/transitions/*/conditions/min_size",
    "/states/*/transitions/*/conditions/min_index_age",
    "/states/*/transitions/*/conditions/min_rollover_age",
    "/states/*/transitions/*/conditions/min_state_age",
    "/states/*/actions/*/*/min_index_age",
];
/// Booleans that may be written as strings.
const FLAGS: [&str; 5] = [
    "/states/*/actions/*/allocation/wait_for",
    "/states/*/actions/*/shrink/switch_aliases",
    "/states/*/actions/*/shrink/force_unsafe",
    "/states/*/actions/*/rollover/copy_alias",
    "/states/*/actions/*/rollover/prevent_empty_rollover",
];
/// Where a script stands: a string is short for its source.
const SCRIPTS: [&str; 3] = [
    "/error_notification/message_template",
    "/states/*/actions/*/notification/message_template",
    "/states/*/actions/*/shrink/target_index_name_template",
];

/// Where a webhook's secrets stand: in its URL, path and query as well as in its headers.
pub(crate) const SECRETS: [&str; 10] = [
    "/policy/error_notification/destination/*/url",
    "/policy/error_notification/destination/custom_webhook/path",
    "/policy/error_notification/destination/custom_webhook/password",
    "/policy/error_notification/destination/custom_webhook/header_params/*",
    "/policy/error_notification/destination/custom_webhook/query_params/*",
    "/policy/states/*/actions/*/notification/destination/*/url",
    "/policy/states/*/actions/*/notification/destination/custom_webhook/path",
    "/policy/states/*/actions/*/notification/destination/custom_webhook/password",
    "/policy/states/*/actions/*/notification/destination/custom_webhook/header_params/*",
    "/policy/states/*/actions/*/notification/destination/custom_webhook/query_params/*",
];

/// What the server shows though nobody said it; retry since 1.3, `copy_alias` since 2.9, `switch_aliases` since 2.12, the rest of
/// `convert_index_to_remote` since 3.1, `prevent_empty_rollover` since 3.4. Dropped on both sides, the table serves all of them.
fn defaults() -> Vec<(&'static str, Value)> {
    vec![
        ("/ism_template/*/priority", json!(0)),
        ("/states/*/actions/*/retry/count", json!(3)),
        ("/states/*/actions/*/retry/backoff", json!("exponential")),
        ("/states/*/actions/*/retry/delay", json!("1m")),
        ("/states/*/actions/*/retry", json!({})),
        ("/states/*/actions/*/rollover/copy_alias", json!(false)),
        ("/states/*/actions/*/rollover/prevent_empty_rollover", json!(false)),
        ("/states/*/actions/*/allocation/require", json!({})),
        ("/states/*/actions/*/allocation/include", json!({})),
        ("/states/*/actions/*/allocation/exclude", json!({})),
        ("/states/*/actions/*/allocation/wait_for", json!(false)),
        ("/states/*/actions/*/shrink/switch_aliases", json!(false)),
        ("/states/*/actions/*/convert_index_to_remote/include_aliases", json!(false)),
        ("/states/*/actions/*/convert_index_to_remote/ignore_index_settings", json!("")),
        ("/states/*/actions/*/convert_index_to_remote/delete_original_index", json!(false)),
        ("/states/*/actions", json!([])),
        ("/states/*/transitions", json!([])),
        ("/ism_template", json!([])),
    ]
}

pub(crate) fn normal(body: &mut Value) {
    let Some(policy) = body.get_mut("policy") else { return };
    remove(policy, &MADE);
    drop_nulls(policy);
    if let Some(template) = policy.get_mut("ism_template")
        && template.is_object()
    {
        *template = json!([template.take()]);
    }
    drop_where(policy, "/ism_template/*/last_updated_time", &|_| true);
    for pattern in NUMBERS {
        each(policy, pattern, &unquote);
    }
    for pattern in SMALL {
        each(policy, pattern, &lower);
    }
    for pattern in FLAGS {
        each(policy, pattern, &unquote_flag);
    }
    for pattern in ["/states/*/actions/*/alias/actions/*/add", "/states/*/actions/*/alias/actions/*/remove"] {
        each(policy, pattern, &aliases);
    }
    each(policy, "/states/*/actions/*/rollup/ism_rollup", &crate::job::normal_rollup);
    each(policy, "/states/*/actions/*/transform/ism_transform", &crate::job::normal_transform);
    for pattern in SCRIPTS {
        each(policy, pattern, &script);
    }
    for webhook in [
        "/error_notification/destination/custom_webhook",
        "/states/*/actions/*/notification/destination/custom_webhook",
    ] {
        each(policy, webhook, &|webhook| {
            if let Some(fields) = webhook.as_object_mut() {
                fields.retain(|key, value| !is_empty(value) && (key != "port" || *value != -1));
            }
        });
    }
    drop_defaults(policy, &defaults());
}

/// `"alias": "x"` is how the documentation names one of `aliases`.
fn aliases(change: &mut Value) {
    if let Some(fields) = change.as_object_mut()
        && let Some(alias) = fields.remove("alias")
    {
        fields.insert("aliases".into(), json!([alias]));
    }
}

fn script(value: &mut Value) {
    if value.is_string() {
        *value = json!({"source": value.take()});
    }
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|key, value| !is_empty(value) && (key != "lang" || *value != "mustache"));
    }
}

pub(crate) fn check(object: &Object, body: &Value, set: &Set) -> Vec<Problem> {
    match object_of(object, body) {
        Err(problems) => return problems,
        Ok(fields) if !fields.contains_key("policy") && fields.contains_key("states") => {
            return vec![object.problem("", "the policy has to stand below \"policy\": {\"policy\": {…}}")];
        }
        Ok(_) => {}
    }
    let mut problems = only(object, body, &["policy"]);
    let policy = &body["policy"];
    let states: Vec<&str> =
        policy["states"].as_array().into_iter().flatten().filter_map(|state| state["name"].as_str()).collect();
    if problems.is_empty() && states.is_empty() {
        problems.push(object.problem("/policy", "states is missing: a policy has to have one at least"));
    }
    if policy["policy_id"].as_str().is_some_and(|id| id != object.id.name) {
        problems.push(object.problem("/policy/policy_id", "is not the file's name, by which the policy goes"));
    }
    let known = |name: &Value| name.as_str().is_none_or(|name| states.contains(&name));
    if !states.is_empty() && !policy["default_state"].as_str().is_some_and(|name| states.contains(&name)) {
        problems
            .push(object.problem("/policy/default_state", format!("must be one of the states: {}", states.join(", "))));
    }
    for (index, state) in policy["states"].as_array().into_iter().flatten().enumerate() {
        for (step, transition) in state["transitions"].as_array().into_iter().flatten().enumerate() {
            if !known(&transition["state_name"]) {
                let pointer = format!("/policy/states/{index}/transitions/{step}/state_name");
                let text = format!("{} is none of the states: {}", transition["state_name"], states.join(", "));
                problems.push(object.problem(&pointer, text));
            }
        }
    }
    problems.extend(check_rollover(object, policy, set));
    problems
}

/// A rollover on plain indices needs the setting `rollover_alias`, or it fails on each of them, long after this run.
fn check_rollover(object: &Object, policy: &Value, set: &Set) -> Vec<Problem> {
    let states = policy["states"].as_array().into_iter().flatten();
    if !states
        .flat_map(|state| state["actions"].as_array().into_iter().flatten())
        .any(|action| action.get("rollover").is_some())
    {
        return Vec::new();
    }
    let patterns: Vec<String> = rules(policy).into_iter().flat_map(|(_, patterns)| patterns).collect();
    let mut problems = Vec::new();
    for template in crate::template::declared_for(set, &patterns) {
        let Ok(body) = template.value() else { continue };
        let has = |body: &Value| {
            let settings = crate::normal::flatten(&body["template"]["settings"], "index.");
            [
                "index.plugins.index_state_management.rollover_alias",
                "index.opendistro.index_state_management.rollover_alias",
            ]
            .iter()
            .any(|name| settings.contains_key(*name))
        };
        // A component that is not declared may have the setting: then nothing can be said.
        let components = strings(&body["composed_of"]);
        let composed = components.iter().any(|name| {
            set.get("component_templates", name).is_none_or(|component| component.value().is_ok_and(|body| has(&body)))
        });
        if body.get("data_stream").is_none() && !has(&body) && !composed {
            let text = format!(
                "rolls over what {} makes, which sets no plugins.index_state_management.rollover_alias: the rollover would fail",
                template.id
            );
            problems.push(object.problem("/policy", text).warning());
        }
    }
    problems
}

/// Each priority with its patterns.
fn rules(policy: &Value) -> Vec<(i64, Vec<String>)> {
    let mut body = json!({"policy": policy});
    normal(&mut body);
    let templates = body["policy"]["ism_template"].as_array().cloned().unwrap_or_default();
    templates
        .iter()
        .map(|template| (template["priority"].as_i64().unwrap_or(0), strings(&template["index_patterns"])))
        .collect()
}

pub(crate) fn preflight(cluster: &Cluster, _: &Set, todo: &[Pending<'_>]) -> Vec<Problem> {
    let mut held = Vec::new();
    let read = pages(cluster, "/_plugins/_ism/policies", "policies", false, |fields| {
        let policy: Value =
            fields.get("policy").and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
        held.push(Claim { name: text(fields, "_id"), rules: rules(&policy) });
    });
    if let Err(failure) = read {
        return todo.iter().take(1).map(|(object, ..)| Problem::refused(&object.id, failure.clone())).collect();
    }
    let writes: Vec<Claim> = bodies(todo)
        .map(|(object, body, _)| Claim { name: object.id.name.clone(), rules: rules(&body["policy"]) })
        .collect();
    let object_of = |name: &str| todo.iter().find(|(object, _)| object.id.name == name).map(|(object, _)| *object);
    collisions(held, &writes)
        .into_iter()
        .filter_map(|(name, why)| Some(object_of(&name)?.problem("/policy/ism_template", why)))
        .collect()
}

pub(crate) fn step(making: Making<'_, Limits>) -> Vec<Request> {
    let Making { object, body: mut want, have, .. } = making;
    let policy = &mut want["policy"];
    remove(policy, &MADE);
    // A time that came from a GET would be taken at its word, and decides which indices get the policy.
    drop_where(policy, "/ism_template/*/last_updated_time", &|_| true);
    drop_where(policy, "/ism_template/last_updated_time", &|_| true);
    let path = format!("/_plugins/_ism/policies/{}{}", part(&object.id.name), replacing(have));
    vec![put(path, &want)]
}
