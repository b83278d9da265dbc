//! What hostile servers do to the three programs: secrets said back in other clothes, lists and trees without end, answers of Kafka that lie about
//! themselves. Each combination is one run of a real binary, each case is one line of the table that `./test faults` prints.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use kafka_protocol::messages::ApiKey;
use kit::dressed::{dressed, shapes};
use kit::fixture::{cluster_failing, cluster_saying, grafana, grafana_init, os_init};
use kit::many::Many;
use kit::sandbox::{Run, Sandbox, sung};
use kit::scripted_http::{Answer, Request, ScriptedHttp};
use kit::scripted_kafka::{Answer as Frame, ScriptedKafka};
use kit::simulation::Tape;
use kit::table::{Row, each};
use serde_json::{Value, json};

const MIB: u64 = 1 << 20;

const SECRETS: [&str; 4] = [
    "sk_live_0123456789abcdefXYZ",
    "correct  horse  battery  staple",
    "p\"a\\ss/word <&> 'quoted'",
    "Größe-und-Straße-ÄÖÜ-€uro",
];

#[test]
fn echo_forms_of_secrets() {
    let mut row = Row::new("echo forms of secrets");
    let mut tries = Vec::new();
    for program in ["os-init", "grafana-init"] {
        for secret in SECRETS {
            for (dress, echo) in dressed(secret) {
                for (shape, content_type, body) in shapes(&echo) {
                    tries.extend([200, 400, 401].map(|status| {
                        (program, secret, format!("{dress} in {shape}, {status}"), content_type, body.clone(), status)
                    }));
                }
            }
        }
    }
    each(&mut row, &tries, |(program, secret, what, content_type, body, status)| {
        let server = cluster_saying(*status, content_type, body);
        let sandbox = Sandbox::new(program)
            .env("OPENSEARCH_URL", server.url())
            .env("OPENSEARCH_USERNAME", "admin")
            .env("OPENSEARCH_PASSWORD", *secret)
            .env("GRAFANA_URL", server.url())
            .env("GRAFANA_USERNAME", "admin")
            .env("GRAFANA_PASSWORD", *secret)
            .env("LOG_LEVEL", "trace")
            .env("WAIT_TIMEOUT", "100ms")
            .env("MAX_RETRIES", "0");
        let result = sandbox.path("result.json");
        let sandbox = sandbox.env("RESULT_FILE", result.display().to_string());
        match *program {
            "os-init" => sandbox.write("component_templates/a.json", r#"{"template": {}}"#),
            _ => sandbox.write("message_templates/a.json", r#"{"template": "x"}"#),
        }
        let run = sandbox.run(&["apply"]);
        let told = std::fs::read_to_string(result).unwrap_or_default();
        let secrets = BTreeSet::from([(*secret).to_owned()]);
        let said = [&run.stderr, &run.stdout, &told].into_iter().find_map(|text| sung(&secrets, text));
        (said.is_some() || run.code() != Some(1)).then(|| format!("{program}, {secret}: {what}: {said:?}\n{run}"))
    });
    row.end("no eight characters of one are said");
}

/// What a list does that has no end.
#[derive(Clone, Copy, Debug)]
enum Endless {
    /// Each page is the first one again.
    Same,
    /// Each page is full of rows that were never there.
    New,
    /// The same, and each row is large.
    Large,
}

/// The rows of a page of one of Grafana's lists.
fn page(kind: Endless, request: &Request, fat: &str) -> Vec<Value> {
    let query = request.target.split_once('?').map_or("", |(_, query)| query);
    let value = |name: &str| query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    let page: usize = match kind {
        Endless::Same => 1,
        _ => value("page").and_then(|page| page.parse().ok()).unwrap_or(1),
    };
    // A folder in each folder: the tree has no end either.
    let above = value("parentUid").unwrap_or_default();
    let row = |n: usize| {
        let uid = format!("{above}x{page}n{n}");
        json!({"id": n, "uid": uid, "title": uid, "name": uid, "login": uid, "accessToken": uid, "dashboardUid": uid, "fat": fat})
    };
    (0..1000).map(row).collect()
}

/// What a Grafana's lists are called, and the field that their rows stand in.
fn endless_answer(kind: Endless, request: &Request, fat: &str) -> Option<Value> {
    let rows = || page(kind, request, fat);
    match request.path() {
        "/api/serviceaccounts/search" => Some(json!({"serviceAccounts": rows()})),
        "/api/teams/search" => Some(json!({"teams": rows()})),
        "/api/library-elements" => Some(json!({"result": {"elements": rows()}})),
        "/api/dashboards/public-dashboards" => Some(json!({"publicDashboards": rows()})),
        "/api/search" | "/api/folders" => Some(json!(rows())),
        _ => None,
    }
}

/// The same for the lists of OpenSearch's plugins; their pages are asked for by where they begin.
fn endless_jobs(kind: Endless, request: &Request, fat: &str) -> Option<Value> {
    let list = request.path().rsplit('/').next().filter(|_| request.path().starts_with("/_plugins/_"))?;
    let (list, inner) = match list {
        "jobs" => ("rollups", "rollup"),
        "_transform" => ("transforms", "transform"),
        _ if request.path().contains("_sm") => ("policies", "sm_policy"),
        _ => ("policies", "policy"),
    };
    let from = match kind {
        Endless::Same => "0",
        _ => request.target.split_once("from=").map_or("0", |(_, from)| from.split('&').next().unwrap_or_default()),
    };
    let row = |n: usize| json!({"_id": format!("x{from}n{n}"), "_seq_no": n, "_primary_term": 1, inner: {"description": fat}});
    Some(json!({list: (0..1000).map(row).collect::<Vec<_>>()}))
}

/// A run that came to an end in time and in little memory, whatever it is.
fn bounded(run: &Run, what: &str, most: u64, longest: u64) -> Option<String> {
    let whole = run.code().is_some_and(|code| code <= 2) && run.stderr.contains("\"run finished\"");
    let good = whole && run.peak_rss < most * MIB && run.elapsed < Duration::from_secs(longest);
    (!good).then(|| format!("{what}: {:?}, {} MiB\n{run}", run.elapsed, run.peak_rss / MIB))
}

#[test]
fn endless_lists_and_trees() {
    let mut row = Row::new("endless lists, wide trees");
    let good = grafana();
    let mut tries = Vec::new();
    for kind in [Endless::Same, Endless::New, Endless::Large] {
        for folder in ["service_accounts", "teams", "library_panels", "dashboards", "public_dashboards"] {
            tries.extend(["plan", "export"].map(|command| (kind, folder, command)));
        }
    }
    each(&mut row, &tries, |(kind, folder, command)| {
        let fat = if matches!(kind, Endless::Large) { "x".repeat(4000) } else { String::new() };
        let (kind, url) = (*kind, good.url());
        let server = ScriptedHttp::new(move |request, _| match endless_answer(kind, request, &fat) {
            Some(answer) => Answer::json(200, &answer),
            None => Answer::forwarded(&url, request),
        });
        let sandbox = grafana_init(&server.url()).env("APPLY_TIMEOUT", "10s").env("MAX_RETRIES", "0");
        let sandbox = sandbox.deadline(Duration::from_mins(2));
        let (file, body) = match *folder {
            "service_accounts" => ("service_accounts/a.json", json!({"role": "Viewer"})),
            "teams" => ("teams/a.json", json!({})),
            "library_panels" => (
                "library_panels/p.json",
                json!({"name": "p", "uid": "p", "kind": 1, "model": {"type": "text", "title": "p"}}),
            ),
            "dashboards" => ("dashboards/F/d.json", json!({"uid": "d", "title": "d", "panels": []})),
            _ => ("public_dashboards/d.json", json!({"dashboardUid": "d", "isEnabled": true})),
        };
        sandbox.write(file, body.to_string());
        let run = match *command {
            "export" => sandbox.run(&["export", "out", "--kind", folder]),
            other => sandbox.run(&[other]),
        };
        bounded(&run, &format!("{kind:?}, {folder}, {command}"), 64, 60)
    });
    let mut tries = Vec::new();
    for kind in [Endless::Same, Endless::New, Endless::Large] {
        for folder in ["ism_policies", "sm_policies", "rollups", "transforms"] {
            tries.extend(["plan", "export"].map(|command| (kind, folder, command)));
        }
    }
    each(&mut row, &tries, |(kind, folder, command)| {
        let fat = if matches!(kind, Endless::Large) { "x".repeat(4000) } else { String::new() };
        let kind = *kind;
        let server = cluster_failing(move |request, _| Some(Answer::json(200, &endless_jobs(kind, request, &fat)?)));
        let sandbox = os_init(&server.url()).env("APPLY_TIMEOUT", "20s").env("MAX_RETRIES", "0");
        let (path, body) = Many::of(folder).files(1).remove(0);
        sandbox.write(&path, body.to_string());
        let run = match *command {
            "export" => sandbox.run(&["export", "out", "--kind", folder]),
            other => sandbox.run(&[other]),
        };
        let what = format!("{kind:?}, {folder}, {command}");
        let other = !run.stderr.contains("the list has");
        other.then(|| format!("{what}: ended otherwise\n{run}")).or_else(|| bounded(&run, &what, 64, 60))
    });
    row.end("64 MiB, in time");
}

/// Requests that k-init sends, and the kinds that make it send them.
const ANSWERS: [(ApiKey, &str, &str); 8] = [
    (ApiKey::ApiVersions, "topics/t.json", "{}"),
    (ApiKey::Metadata, "topics/t.json", "{}"),
    (ApiKey::DescribeConfigs, "broker_defaults.json", r#"{"message.max.bytes": 1048588}"#),
    (ApiKey::CreateTopics, "topics/t.json", "{}"),
    (ApiKey::DescribeUserScramCredentials, "users/u.json", r#"{"password": "a-long-password"}"#),
    (
        ApiKey::DescribeAcls,
        "acls/User:a.json",
        r#"[{"resource": {"type": "topic", "name": "t"}, "operations": ["Read"]}]"#,
    ),
    (ApiKey::DescribeClientQuotas, "quotas/user=a.json", r#"{"producer_byte_rate": 1}"#),
    (ApiKey::DescribeCluster, "topics/t.json", "{}"),
];

/// The bytes after an answer's correlation number.
fn lie(pattern: u64) -> Vec<u8> {
    let mut tape = Tape::seeded(pattern);
    match pattern {
        0 => vec![0xff; 64],
        1 => vec![0x7f; 64],
        2 => vec![0; 64],
        3 => [vec![0; 4], vec![0x7f, 0xff, 0xff, 0xff], vec![0; 64]].concat(),
        4 => [vec![0; 5], vec![0xff, 0xff, 0xff, 0xff, 0x07], vec![0; 64]].concat(),
        5 => Vec::new(),
        6 => [vec![0; 9], vec![0xff, 0xff, 0xff, 0xff, 0x0f], vec![1; 1 << 20]].concat(),
        7 => vec![1; 8 << 20],
        _ => (0..4096).map(|_| u8::try_from(tape.below(256)).expect("below 256")).collect(),
    }
}

#[test]
fn hostile_kafka_answers() {
    let mut row = Row::new("hostile Kafka answers");
    let mut tries = Vec::new();
    for (key, file, body) in ANSWERS {
        tries.extend((0..12).map(|pattern| (key, file, body, pattern)));
    }
    let asked = Mutex::new(BTreeSet::new());
    each(&mut row, &tries, |(key, file, body, pattern)| {
        let scripted = ScriptedKafka::new(1);
        let said = lie(*pattern);
        scripted.on(*key, move |call| Frame::Frame([&call.head.correlation.to_be_bytes()[..], &said].concat()));
        let sandbox = Sandbox::new("k-init")
            .env("KAFKA_BOOTSTRAP_SERVERS", scripted.bootstrap())
            .env("WAIT_TIMEOUT", "2s")
            .env("APPLY_TIMEOUT", "3s")
            .env("REQUEST_TIMEOUT", "2s")
            .env("MAX_RETRIES", "0");
        sandbox.write(file, body);
        let run = sandbox.run(&["apply"]);
        if scripted.count(*key) > 0 {
            asked.lock().expect("no thread panics with it").insert(*key as i16);
        }
        bounded(&run, &format!("{key:?} with pattern {pattern}"), 48, 30)
    });
    row.end("48 MiB, in time, no abort");
    let asked = asked.into_inner().expect("no thread panics with it");
    assert!(asked.len() >= 5, "only {asked:?} of the requests were sent");
}
