//! No bound refuses what real users have: 20,000 objects, dashboards of 10 MiB, maps of many megabytes, the links of a `ConfigMap`. `validate` reads
//! all of it; what a server makes of as much is in `soak_scale`. Nor does it matter how much of others' a server has.

use std::os::unix::fs::symlink;
use std::time::Duration;

use kit::fixture::ready;
use kit::sandbox::{Run, Sandbox};
use kit::scripted_http::{Answer, Response, ScriptedHttp};
use serde_json::{Value, json};

const MIB: u64 = 1 << 20;

fn sandbox(program: &str) -> Sandbox {
    Sandbox::new(program).deadline(Duration::from_mins(2))
}

/// The files are good, hold so many objects, and take no more memory than that.
#[track_caller]
fn taken(sandbox: &Sandbox, objects: usize, most: u64) -> Run {
    let run = sandbox.run(&["validate"]);
    run.expect_code(0).expect_stderr(&format!("\"objects\":{objects}"));
    assert!(run.peak_rss < most * MIB, "{} MiB\n{run}", run.peak_rss / MIB);
    run
}

#[test]
fn twenty_thousand_objects_are_taken_in_either_form() {
    let files = sandbox("k-init");
    for n in 0..20_000 {
        files.write(&format!("topics/{}/t{n}.json", n % 100), "{\"partitions\": 3}");
    }
    taken(&files, 20_000, 64);
    let long = "v".repeat(600);
    let entries: Vec<String> = (0..20_000)
        .map(|n| format!("\"t{n}\": {{\"config\": {{\"retention.ms\": {n}, \"x\": \"{long}\"}}}}"))
        .collect();
    let map = sandbox("k-init");
    let text = format!("{{{}}}", entries.join(",\n"));
    assert!(text.len() > 11 << 20, "more than one object may have: {}", text.len());
    map.write("topics.json", text);
    taken(&map, 20_000, 96);
    let yaml: String =
        (0..20_000).map(|n| format!("t{n}:\n  partitions: 3\n  config: {{retention.ms: {n}}}\n")).collect();
    let map = sandbox("k-init");
    map.write("topics.yaml", yaml);
    taken(&map, 20_000, 96);
}

/// A dashboard of a little less than 10 MiB, as many small panels and as few large ones.
#[test]
fn dashboards_of_ten_mebibytes_are_taken() {
    let dashboards = sandbox("grafana-init");
    let panel = |n: usize, text: usize| json!({"id": n, "type": "text", "title": format!("panel {n}"), "gridPos": {"h": 8, "w": 12, "x": 0, "y": n}, "options": {"content": "x".repeat(text)}});
    for (name, panels, text) in [("small", 25_000, 290), ("large", 10, 1_000_000)] {
        let panels: Vec<_> = (0..panels).map(|n| panel(n, text)).collect();
        let body = json!({"uid": name, "title": name, "panels": panels}).to_string();
        assert!(body.len() > 9 << 20 && body.len() <= 10 << 20, "{name}: {}", body.len());
        dashboards.write(&format!("dashboards/Team/{name}.json"), body);
    }
    taken(&dashboards, 2, 160);
}

/// Bodies stay on disk in the folders of kinds in which other tools' documents may lie, too, in both languages.
#[test]
fn many_large_bodies_take_the_memory_of_one() {
    for ending in ["json", "yaml"] {
        let roles = sandbox("os-init");
        for n in 0..8 {
            roles.write(&format!("roles/r{n}.{ending}"), json!({"description": "y".repeat(2 << 20)}).to_string());
        }
        taken(&roles, 8, 20);
    }
}

/// What stays in memory is bounded, also where a small file is made a large one by aliases.
#[test]
fn what_other_tools_wrote_is_bounded_together() {
    let strimzi = sandbox("k-init");
    let aliases: String = (0..8).map(|n| format!(", k{n}: *long")).collect();
    for n in 0..8 {
        let config = format!("{{k: &long {}{aliases}}}", "y".repeat(1 << 20));
        strimzi.write(
            &format!("strimzi/{n}.yaml"),
            format!("apiVersion: kafka.strimzi.io/v1beta2\nkind: KafkaTopic\nmetadata: {{name: t{n}}}\nspec: {{config: {config}}}\n"),
        );
    }
    let run = strimzi.run(&["validate"]);
    run.expect_code(1).expect_stderr("more than 64 MiB together: give large ones files of their own");
    assert!(run.peak_rss < 128 * MIB, "{} MiB", run.peak_rss / MIB);
}

/// A `ConfigMap` is a folder of links through `..data`, to a folder whose name changes; several below one kind are a projected volume.
#[test]
fn the_links_of_a_config_map_work() {
    let map = sandbox("k-init");
    let mount = |place: &str, files: &[(&str, &str)]| {
        let folder = map.config_dir().join(place);
        let version = folder.join("..2026_11_26_01_02_03.456");
        std::fs::create_dir_all(&version).expect("the sandbox can be written");
        symlink("..2026_11_26_01_02_03.456", folder.join("..data")).expect("a link");
        for (name, text) in files {
            std::fs::write(version.join(name), text).expect("the sandbox can be written");
            symlink(format!("..data/{name}"), folder.join(name)).expect("a link");
        }
    };
    mount(
        "",
        &[
            ("topics.json", "{\"a\": {\"partitions\": 3}, \"b\": {}}"),
            ("quotas.yaml", "user=app: {producer_byte_rate: 1}\n"),
        ],
    );
    mount("topics", &[("c.json", "{}")]);
    mount("topics/team", &[("d.yaml", "partitions: 1\n"), ("e.json", "{}")]);
    taken(&map, 6, 32);
}

/// A server may hold what is none of this run's business: of a list of 57 MB only what is declared is kept while it arrives.
#[test]
fn what_others_have_on_the_server_is_not_held() {
    let others = |inner: &str| -> Vec<String> {
        let filler = "x".repeat(4000);
        (0..14_000).map(|n| inner.replace("NAME", &format!("other-{n}")).replace("FILL", &filler)).collect()
    };
    let pipeline = json!({"description": "ours", "processors": []});
    let component = json!({"version": 7, "template": {}});
    let script = json!({"lang": "painless", "source": "1"});
    for (file, body, path, list) in [
        ("component_templates/ours.json", component.clone(), "/_component_template", {
            let ours = json!({"name": "ours", "component_template": component}).to_string();
            let mut all = others(r#"{"name":"NAME","component_template":{"_meta":{"a":"FILL"},"template":{}}}"#);
            all.push(ours);
            format!("{{\"component_templates\":[{}]}}", all.join(","))
        }),
        ("ingest_pipelines/ours.json", pipeline.clone(), "/_ingest/pipeline", {
            let mut all = others(r#""NAME":{"description":"FILL","processors":[]}"#);
            all.push(format!("\"ours\":{pipeline}"));
            format!("{{{}}}", all.join(","))
        }),
        ("scripts/ours.json", json!({"script": script}), "/_cluster/state/metadata", {
            let mut all = others(r#""NAME":{"lang":"painless","source":"FILL"}"#);
            all.push(format!("\"ours\":{script}"));
            format!("{{\"metadata\":{{\"stored_scripts\":{{{}}}}}}}", all.join(","))
        }),
    ] as [(&str, Value, &str, String); 3]
    {
        let length = list.len() as u64;
        let server = ScriptedHttp::new(move |request, _| {
            if request.path() == path {
                Answer::Say(Response::new(200, "application/json", list.clone()))
            } else {
                ready(request)
            }
        });
        let sandbox = sandbox("os-init").env("OPENSEARCH_URL", server.url()).config(&[(file, body)]);
        let run = sandbox.run(&["plan"]);
        run.expect_code(0).expect_stderr("\"unchanged\":1");
        assert!(length > 54 << 20 && run.peak_rss < 12 * MIB, "{file}: {} MiB\n{run}", run.peak_rss / MIB);
    }
}
