//! A real Pushgateway and a real Prometheus that scrapes it, from Debian's packages, and promtool. `tests/setup/telemetry.sh` installs
//! them; nothing of what the packages set up as a service is used or touched.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::script;
use crate::ports::Lease;
use crate::process::Guarded;

const START: Duration = Duration::from_secs(30);

fn prepare() {
    static PREPARED: OnceLock<()> = OnceLock::new();
    PREPARED.get_or_init(|| {
        let output = Command::new(script("telemetry.sh")).output().expect("bash is there");
        assert!(output.status.success(), "telemetry.sh: {}", String::from_utf8_lossy(&output.stderr));
    });
}

/// A Pushgateway with nothing in it.
pub struct Pushgateway {
    ports: Lease,
    _process: Guarded,
    _folder: TempDir,
}

impl Pushgateway {
    /// Starts one and waits until it answers.
    pub fn start() -> Self {
        prepare();
        let (ports, folder) = (Lease::new(), folder());
        let mut command = Command::new("prometheus-pushgateway");
        command.arg(format!("--web.listen-address={}", ports.address(0))).arg("--persistence.file=");
        let process = spawn(command, &folder);
        let gateway = Self { ports, _process: process, _folder: folder };
        crate::eventually(START, || get(&format!("{}/-/ready", gateway.url())).is_ok());
        gateway
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.ports.address(0))
    }

    /// Everything that it exposes, in the text format.
    pub fn metrics(&self) -> String {
        get(&format!("{}/metrics", self.url())).expect("a gateway that is ready answers")
    }

    /// The samples whose name begins so: `name{labels} value`, in order.
    pub fn samples(&self, prefix: &str) -> Vec<String> {
        self.metrics().lines().filter(|line| line.starts_with(prefix)).map(str::to_owned).collect()
    }
}

/// A Prometheus that scrapes one Pushgateway every second.
pub struct Prometheus {
    ports: Lease,
    _process: Guarded,
    _folder: TempDir,
}

impl Prometheus {
    /// Starts one and waits until it has scraped.
    pub fn scraping(gateway: &Pushgateway) -> Self {
        let (ports, folder) = (Lease::new(), folder());
        let target = gateway.ports.address(0);
        let config = folder.path().join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             scrape_configs: [{{job_name: pushgateway, honor_labels: true, static_configs: [{{targets: ['{target}']}}]}}]\n"
        );
        fs::write(&config, text).expect("the new folder can be written");
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={}", ports.address(0)));
        let process = spawn(command, &folder);
        let prometheus = Self { ports, _process: process, _folder: folder };
        crate::eventually(START, || prometheus.query("up == 1").is_ok_and(|result| !result.is_empty()));
        prometheus
    }

    /// The result of an instant query: what is measured, and its value.
    pub fn query(&self, query: &str) -> Result<Vec<Value>, String> {
        let encoded = percent_encoding::utf8_percent_encode(query, percent_encoding::NON_ALPHANUMERIC);
        let text = get(&format!("http://{}/api/v1/query?query={encoded}", self.ports.address(0)))?;
        let body: Value = serde_json::from_str(&text).map_err(|_| text.clone())?;
        body["data"]["result"].as_array().cloned().ok_or(text)
    }
}

/// Runs promtool with this on its stdin; the error is everything that it said.
pub fn promtool(arguments: &[&str], input: &str) -> Result<String, String> {
    prepare();
    let mut child = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool was installed");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    // Should it end before it has read everything, its exit code says so.
    drop(stdin.write_all(input.as_bytes()));
    drop(stdin);
    let output = child.wait_with_output().expect("our own child can be waited for");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() { Ok(said) } else { Err(said) }
}

fn folder() -> TempDir {
    tempfile::Builder::new().prefix("init-server-").tempdir().expect("the temporary folder can be written")
}

fn spawn(mut command: Command, folder: &TempDir) -> Guarded {
    command.current_dir(folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
    Guarded::spawn(&mut command, folder.path()).expect("telemetry.sh has installed it")
}

fn get(url: &str) -> Result<String, String> {
    let config = ureq::Agent::config_builder().proxy(None).timeout_global(Some(Duration::from_secs(5))).build();
    let mut answer = ureq::Agent::new_with_config(config).get(url).call().map_err(|error| error.to_string())?;
    answer.body_mut().read_to_string().map_err(|error| error.to_string())
}
