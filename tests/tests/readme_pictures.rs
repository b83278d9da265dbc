//! The pictures of the README are of real runs: made again here, against a real Kafka and a stand-in of Grafana, and compared.
//! `UPDATE_EXPECT=1 cargo test --package init-tests --test readme_pictures` draws them anew.

use std::path::{Path, PathBuf};

use kit::grafana::{Grafana, Options, Profile};
use kit::picture;
use kit::sandbox::{Sandbox, program_path};
use kit::servers::kafka::{Kafka, Version};
use serde_json::{Value, json};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the repository")
}

/// Fails unless the picture is the one that lies in docs/pictures, but for what `same` takes out of both.
#[track_caller]
fn compare(name: &str, drawn: &str, same: fn(&str) -> String) {
    let file: PathBuf = root().join("docs/pictures").join(name);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&file, drawn).expect("the repository can be written");
        return;
    }
    let kept = std::fs::read_to_string(&file).expect("the picture is kept in the repository");
    assert_eq!(same(&kept), same(drawn), "{name} shows an older run: UPDATE_EXPECT=1 draws it anew");
}

/// The time of day, durations and numbers of requests differ from run to run, and an object says how long it took only when that was long.
fn without_figures(picture: &str) -> String {
    let mut text = String::new();
    for line in picture.lines() {
        let line = line.replace('\u{a0}', " ");
        let line = match line.rsplit_once("  (") {
            Some((line, took)) if took.ends_with(" ms)</text>") => format!("{line}</text>"),
            _ => line,
        };
        text.extend(line.replace(" ms", " s").chars().filter(|c| !c.is_ascii_digit() && *c != '.'));
        text.push('\n');
    }
    text
}

#[test]
fn the_terminal_shows_what_k_init_says() {
    let kafka = Kafka::shared(Version::V4_3);
    let folder = program_path("k-init").parent().expect("a program lies in a folder").display().to_string();
    let shell = Sandbox::of(Path::new("/bin/sh"))
        .env("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap())
        .env("LOG_FORMAT", "text")
        .env("TZ", "UTC")
        .env("PATH", format!("{folder}:/usr/local/bin:/usr/bin:/bin"))
        .config(&[
            ("topics/orders.json", json!({"partitions": 3, "config": {"retention.ms": 86_400_000}})),
            ("topics/audit.json", json!({"partitions": 1, "config": {"cleanup.policy": "compact"}})),
        ]);
    // `script` gives the program a terminal, as a person has it.
    let run = |command: &str| {
        let run = shell.run(&["-c", &format!("script -qec '{command}' /dev/null")]);
        format!("\x1b[1m$ {command}\x1b[0m\n{}\x1b[2mexit code {}\x1b[0m\n", run.stdout, run.code().expect("it ended"))
    };
    run("k-init --config config");
    shell.write("topics/orders.json", json!({"partitions": 6, "config": {"retention.ms": 604_800_000}}).to_string());
    shell.write("topics/payments.json", json!({"partitions": 3}).to_string());
    let mut shown = String::new();
    for command in ["k-init plan --config config", "k-init --config config", "k-init --config config"] {
        shown += &run(command);
        shown.push('\n');
    }
    shell.write("topics/orders.json", json!({"partitions": 2}).to_string());
    shown += &run("k-init --config config");
    for part in ["exit code 2", "exit code 0", "no write", "exit code 1"] {
        assert!(shown.contains(part), "nothing says {part:?}:\n{shown}");
    }
    compare("terminal.svg", &picture::terminal(&shown), without_figures);
}

#[test]
fn the_dashboard_is_laid_out_as_grafana_init_put_it_there() {
    let grafana = Grafana::start(Profile::V12, Options::default());
    Sandbox::new("grafana-init")
        .env("GRAFANA_URL", grafana.url())
        .env("GRAFANA_USERNAME", "admin")
        .env("GRAFANA_PASSWORD", "admin")
        .config_from(&root().join("docker/demo/grafana-init"))
        .run(&["apply"])
        .expect_code(0);
    let answer = std::process::Command::new("curl")
        .args(["-sf", "--noproxy", "*", "-u", "admin:admin"])
        .arg(format!("{}/api/dashboards/uid/init-runs", grafana.url()))
        .output()
        .expect("curl is installed");
    let answer: Value = serde_json::from_slice(&answer.stdout).expect("the dashboard is there");
    compare("dashboard.svg", &picture::dashboard(&answer["dashboard"]), str::to_owned);
}
