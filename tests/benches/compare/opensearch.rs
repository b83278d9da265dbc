//! Templates, policies and roles on real nodes: os-init beside the bare requests on one connection, curl and opensearch-py.

use std::path::Path;

use kit::ism::IsmFront;
use kit::many;
use kit::sandbox::Sandbox;
use kit::servers::opensearch::{OpenSearch, Variant};
use serde_json::{Value, json};

use crate::http::{Call, Server};
use crate::sides::{Scale, Side, alternate, process, python, script, work};
use crate::table::Table;

const BARE: &str = "the bare requests, one open connection";
const OURS: &str = "os-init: its work";
const PROCESS: &str = "os-init: the whole process";
const CURL: &str = "curl -K, one process and connection";
const CURLS: &str = "a shell loop, one curl a request";
const PYTHON: &str = "opensearch-py, put each";

pub(crate) fn measure(table: &mut Table, scale: Scale) {
    let python = python();
    if let Err(reason) = &python {
        table.note(format!("opensearch-py is left out: {reason}"));
    }
    let python = python.ok();
    let node = OpenSearch::of(Variant::Core2).start();
    let plain = Server { url: node.url(), login: None };
    let rounds = scale.pick(3, 1);
    let lists = ["/_component_template", "/_index_template"].map(Call::get);
    let set = Set {
        what: "OpenSearch 2.19.6, 92 component and 50 index templates",
        make: templates_142,
        scale,
        lists: &lists,
        second: Some(3.0),
    };
    let clear = |prefix: &str| {
        node.curl("DELETE", &format!("/_index_template/{prefix}*"), None);
        node.curl("DELETE", &format!("/_component_template/{prefix}*"), None);
    };
    compare(table, &plain, python.as_deref(), &set, rounds, &clear).bound("≤ 5 requests", |requests| requests <= 5);
    drop(node);

    let node = OpenSearch::of(Variant::Security2).plain_http().start();
    let front = IsmFront::of(&node);
    let (user, password) = OpenSearch::ADMIN;
    let secured = Server { url: front.url(), login: Some((user.to_owned(), password.to_owned())) };
    let lists = [
        "/_component_template",
        "/_index_template",
        "/_plugins/_ism/policies?size=1000",
        "/_plugins/_security/api/roles",
    ]
    .map(Call::get);
    let set = Set {
        what: "OpenSearch 2.19.4 with security, 120 component and 60 index templates, 10 policies, 20 roles",
        make: mixed_210,
        scale,
        lists: &lists,
        second: None,
    };
    let clear = |prefix: &str| {
        node.curl("DELETE", &format!("/_index_template/{prefix}*"), None);
        node.curl("DELETE", &format!("/_component_template/{prefix}*"), None);
        let gone: Vec<Value> =
            (0..scale.pick(20, 2)).map(|n| json!({"op": "remove", "path": format!("/{prefix}role{n:05}")})).collect();
        node.curl("PATCH", "/_plugins/_security/api/roles", Some(&Value::Array(gone)));
        let policies: Vec<Call> = (0..scale.pick(10, 2))
            .map(|n| Call {
                method: "DELETE".to_owned(),
                ..Call::get(format!("/_plugins/_ism/policies/{prefix}p{n:05}"))
            })
            .collect();
        secured.bare(&policies);
    };
    compare(table, &secured, python.as_deref(), &set, rounds, &clear);
}

/// A folder's files, and the requests that make the same.
type Files = Vec<(String, String, Value)>;

/// What is compared.
struct Set<'s> {
    what: &'static str,
    /// Kind, name and body, with this prefix for every name.
    make: fn(&str, Scale) -> Files,
    /// What has to be read to know all of it.
    lists: &'s [Call],
    scale: Scale,
    /// At most so many times these readings, in a second run.
    second: Option<f64>,
}

/// The row of the requests of a second run.
struct Requests<'t>(&'t mut Table, String, u64);

impl Requests<'_> {
    fn bound(self, text: &str, holds: impl FnOnce(u64) -> bool) {
        let Self(table, what, requests) = self;
        let row = table.rows.iter_mut().find(|row| row.work == what && row.side == REQUESTS);
        row.expect("it was made").bound(text, holds(requests));
    }
}

const REQUESTS: &str = "os-init: requests";

fn compare<'t>(
    table: &'t mut Table,
    server: &Server,
    python: Option<&Path>,
    set: &Set<'_>,
    rounds: usize,
    clear: &dyn Fn(&str),
) -> Requests<'t> {
    let requests = std::cell::Cell::new(0);
    // Names of its own for each side and round; what one has made is gone before the next begins.
    let side = |name, prefix: &'static str, run: &'static str, python: Option<std::path::PathBuf>| {
        let requests = &requests;
        Side::new(name, move |round| {
            let prefix = format!("{prefix}{round}-");
            let files = (set.make)(&prefix, set.scale);
            let calls: Vec<Call> = files.iter().map(call).collect();
            let both = |write: &dyn Fn() -> std::time::Duration| vec![("first", write()), ("second", write())];
            let times = match run {
                "bare" => vec![("first", server.bare(&calls)), ("second", server.bare(set.lists))],
                "curl" => both(&|| server.one_curl(&calls)),
                "curls" => both(&|| server.many_curls(&calls)),
                "python" => {
                    let sandbox = Sandbox::new("os-init");
                    let list: Vec<Value> = calls.iter().map(|call| json!([call.path, call.body])).collect();
                    sandbox.write("list.json", Value::Array(list).to_string());
                    let (user, password) = server.login.clone().unwrap_or_default();
                    let python = python.as_deref().expect("the side is made with one");
                    both(&|| {
                        let mut command = script(python, "opensearch_put.py");
                        process(
                            command.args([&server.url, &user, &password]).arg(sandbox.config_dir().join("list.json")),
                        )
                    })
                }
                _ => {
                    let sandbox = sandbox(server, &files);
                    let first = sandbox.run(&[]);
                    first.expect_code(0);
                    let second = sandbox.run(&[]);
                    second.expect_code(0);
                    assert_eq!(second.count("writes"), 0, "{second}");
                    requests.set(second.count("requests"));
                    vec![
                        ("first", work(&first)),
                        ("second", work(&second)),
                        ("first, process", first.elapsed),
                        ("second, process", second.elapsed),
                    ]
                }
            };
            clear(&prefix);
            times
        })
    };
    let mut sides = vec![
        side(BARE, "bare", "bare", None),
        side(OURS, "ours", "ours", None),
        side(CURL, "curl", "curl", None),
        side(CURLS, "loop", "curls", None),
    ];
    if let Some(python) = python {
        sides.push(side(PYTHON, "python", "python", Some(python.to_owned())));
    }
    let found = alternate(rounds, &mut sides);
    drop(sides);
    for (step, process, told) in [("first", "first, process", "first run"), ("second", "second, process", "second run")]
    {
        let what = format!("{}, {told}", set.what);
        let base = found.of(BARE, step);
        let first_side = if step == "first" { BARE } else { "reading the lists, one open connection" };
        table.row(&what, first_side, &base, &base);
        let row = table.row(&what, OURS, &found.of(OURS, step), &base);
        if let Some(limit) = if step == "first" { Some(1.1) } else { set.second } {
            row.at_most(limit);
        }
        table.row(&what, PROCESS, &found.of(OURS, process), &base);
        for name in [CURL, CURLS, PYTHON] {
            if name != PYTHON || python.is_some() {
                table.row(&what, name, &found.of(name, step), &base);
            }
        }
    }
    let (what, requests) = (format!("{}, second run", set.what), requests.get());
    table.fact(&what, REQUESTS, format!("{requests}, no write"));
    Requests(table, what, requests)
}

fn sandbox(server: &Server, files: &Files) -> Sandbox {
    let sandbox = Sandbox::new("os-init").env("OPENSEARCH_URL", &server.url).env("APPLY_TIMEOUT", "5m");
    for (kind, name, body) in files {
        sandbox.write(&format!("{kind}/{name}.json"), body.to_string());
    }
    match &server.login {
        Some((user, password)) => sandbox.env("OPENSEARCH_USERNAME", user).env("OPENSEARCH_PASSWORD", password),
        None => sandbox,
    }
}

fn call((kind, name, body): &(String, String, Value)) -> Call {
    let api = match kind.as_str() {
        "component_templates" => "_component_template",
        "index_templates" => "_index_template",
        "ism_policies" => "_plugins/_ism/policies",
        "roles" => "_plugins/_security/api/roles",
        other => unreachable!("no set has {other}"),
    };
    Call::put(format!("/{api}/{name}"), body.clone())
}

fn templates_142(prefix: &str, scale: Scale) -> Files {
    templates(prefix, scale.pick(92, 6), scale.pick(50, 3))
}

fn mixed_210(prefix: &str, scale: Scale) -> Files {
    let each = |kind: &str, name: &str, count: usize, body: &dyn Fn(usize) -> Value| -> Files {
        (0..count).map(|n| (kind.to_owned(), format!("{prefix}{name}{n:05}"), body(n))).collect()
    };
    let mut files = each("roles", "role", scale.pick(20, 2), &|n| many::role(&format!("{prefix}{n}-*")));
    files.extend(templates(prefix, scale.pick(120, 3), 0));
    files.extend(each("ism_policies", "p", scale.pick(10, 2), &|n| many::policy(&format!("{prefix}none-{n}-*"))));
    files.extend(templates(prefix, 0, scale.pick(60, 3)));
    files
}

/// Component templates of forty fields, and index templates of one component each.
fn templates(prefix: &str, components: usize, indices: usize) -> Files {
    let component = |n: usize| format!("{prefix}c{n:05}");
    let part = |n| ("component_templates".to_owned(), component(n), many::mapped(40));
    let index = |n| {
        let mut body = many::template(n, &component(n));
        body["index_patterns"] = json!([format!("{prefix}{n}-*")]);
        ("index_templates".to_owned(), format!("{prefix}i{n:05}"), body)
    };
    (0..components).map(part).chain((0..indices).map(index)).collect()
}
