//! What hostile files, settings and URLs do to the three programs: each combination is one run of a real binary, each case is one line of the table
//! that `./test faults` prints.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kit::fixture::{NOBODY, PROGRAMS, fifo, program};
use kit::sandbox::{Run, sung};
use kit::table::{Row, each};

const MIB: u64 = 1 << 20;

/// What stands where a good file is wanted.
#[derive(Clone, Copy, Debug)]
enum Thing {
    Fifo,
    Device,
    Socket,
    Folder,
    LinkToFifo,
    LinkToNothing,
    LinkToItself,
    Endless,
    Empty,
    NoText,
}

const THINGS: [Thing; 10] = [
    Thing::Fifo,
    Thing::Device,
    Thing::Socket,
    Thing::Folder,
    Thing::LinkToFifo,
    Thing::LinkToNothing,
    Thing::LinkToItself,
    Thing::Endless,
    Thing::Empty,
    Thing::NoText,
];

impl Thing {
    fn put(self, path: &Path) {
        fs::create_dir_all(path.parent().expect("a joined path has a parent")).expect("the sandbox can be written");
        let beside = PathBuf::from(format!("{}.beside", path.with_extension("").display()));
        let made = match self {
            Self::Fifo => return fifo(path),
            Self::LinkToFifo => {
                fifo(&beside);
                symlink(beside, path)
            }
            Self::Device => symlink("/dev/zero", path),
            Self::Socket => UnixListener::bind(path).map(drop),
            Self::Folder => fs::create_dir(path),
            Self::LinkToNothing => symlink("/no/such/file", path),
            Self::LinkToItself => symlink(path, path),
            // It says that it has as many bytes, and takes no place.
            Self::Endless => fs::File::create(path).and_then(|file| file.set_len(1 << 40)),
            Self::Empty => fs::write(path, ""),
            Self::NoText => fs::write(path, b"\xff\xfe{\x00"),
        };
        made.unwrap_or_else(|error| panic!("{self:?} at {}: {error}", path.display()));
    }
}

/// Where a file is wanted: in the configuration folder, or by a setting.
#[derive(Clone, Copy, Debug)]
enum Place {
    File(&'static str),
    /// What `$__file{}` in an object names.
    Placeholder,
    /// What `--config` names.
    Config,
    Setting(&'static str),
}

fn places(name: &str) -> Vec<Place> {
    let (files, settings): (&[&str], &[&str]) = match name {
        "os-init" => (
            &[
                "roles/a.json",
                "roles/a.yaml",
                "indices.json",
                "indices.yml",
                "cluster_settings.json",
                "opensearch-security/roles.yml",
            ],
            &[
                "OPENSEARCH_PASSWORD_FILE",
                "OPENSEARCH_TOKEN_FILE",
                "OPENSEARCH_CA_FILE",
                "OPENSEARCH_CERT_FILE",
                "OPENSEARCH_KEY_FILE",
            ],
        ),
        "k-init" => (
            &[
                "topics/a.json",
                "topics/a.YAML",
                "topics.json",
                "acls.yaml",
                "seeds/a.jsonl",
                "broker_defaults.yaml",
                "strimzi/a.yaml",
            ],
            &["KAFKA_PASSWORD_FILE", "KAFKA_CA_FILE", "KAFKA_CERT_FILE", "KAFKA_KEY_FILE", "KAFKA_CLIENT_CONFIG"],
        ),
        _ => (
            &[
                "dashboards/F/a.json",
                "dashboards/F/_folder.yaml",
                "datasources.json",
                "teams.yaml",
                "preferences.json",
                "inputs.json",
                "provisioning/alerting/a.yaml",
            ],
            &[
                "GRAFANA_PASSWORD_FILE",
                "GRAFANA_TOKEN_FILE",
                "GRAFANA_CA_FILE",
                "GRAFANA_CERT_FILE",
                "GRAFANA_KEY_FILE",
            ],
        ),
    };
    let files = files.iter().map(|file| Place::File(file));
    let settings = settings.iter().chain(&["LOKI_PASSWORD_FILE", "LOKI_CA_FILE", "PUSHGATEWAY_TOKEN_FILE"]);
    files.chain([Place::Placeholder, Place::Config]).chain(settings.map(|name| Place::Setting(name))).collect()
}

/// A run that has to end as one with a mistake in files or settings does: soon, small, with a sentence.
fn refused(run: &Run, what: &str) -> Option<String> {
    let good = run.code() == Some(1) && run.field("exit_reason") == "config";
    let bounded = run.elapsed < Duration::from_secs(10) && run.peak_rss < 32 * MIB;
    (!good || !bounded).then(|| format!("{what}: {:?}, {} MiB\n{run}", run.elapsed, run.peak_rss / MIB))
}

fn spoiled(name: &str, place: Place, thing: Thing) -> Option<String> {
    let mut sandbox = program(name, NOBODY);
    let mut arguments = vec!["plan".to_owned()];
    match place {
        Place::File(file) => thing.put(&sandbox.config_dir().join(file)),
        Place::Placeholder => {
            let path = sandbox.path("secret");
            thing.put(&path);
            let (file, field) = match name {
                "os-init" => ("internal_users/a.json", "password"),
                "k-init" => ("users/a.json", "password"),
                _ => ("message_templates/a.json", "template"),
            };
            sandbox.write(file, format!(r#"{{"{field}": "$__file{{{}}}"}}"#, path.display()));
        }
        Place::Config => {
            let path = sandbox.path("elsewhere/topics.yaml");
            thing.put(&path);
            arguments.extend(["--config".to_owned(), path.display().to_string()]);
        }
        Place::Setting(setting) => {
            let path = sandbox.path("file.pem");
            thing.put(&path);
            let prefix = setting.split('_').next().unwrap_or_default();
            // What has to be set beside it, and would be good.
            let beside = sandbox.path("beside.pem");
            fs::write(&beside, "x").expect("the sandbox can be written");
            match setting.rsplit_once('_').map_or("", |(rest, _)| rest.rsplit('_').next().unwrap_or_default()) {
                "PASSWORD" => sandbox.set(&format!("{prefix}_USERNAME"), "user"),
                "CERT" => sandbox.set(&format!("{prefix}_KEY_FILE"), beside.display().to_string()),
                "KEY" => sandbox.set(&format!("{prefix}_CERT_FILE"), beside.display().to_string()),
                _ => {}
            }
            if prefix == "KAFKA" && setting != "KAFKA_CLIENT_CONFIG" {
                let protocol = if setting == "KAFKA_PASSWORD_FILE" { "SASL_PLAINTEXT" } else { "SSL" };
                sandbox.set("KAFKA_SECURITY_PROTOCOL", protocol);
                if setting == "KAFKA_PASSWORD_FILE" {
                    sandbox.set("KAFKA_SASL_MECHANISM", "PLAIN");
                }
            }
            if matches!(prefix, "LOKI" | "PUSHGATEWAY") {
                sandbox.set(&format!("{prefix}_URL"), "https://127.0.0.1:9");
            } else if setting.ends_with("CA_FILE") || setting.ends_with("CERT_FILE") || setting.ends_with("KEY_FILE") {
                sandbox.set("OPENSEARCH_URL", "https://127.0.0.1:9");
                sandbox.set("GRAFANA_URL", "https://127.0.0.1:9");
            }
            sandbox.set(setting, path.display().to_string());
        }
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    refused(&sandbox.run(&arguments), &format!("{name}, {thing:?} as {place:?}"))
}

/// Settings that mean something else to a careless reader, which has to be no reader of ours.
const SETTINGS: [(&str, &str); 14] = [
    ("URL", "http://h:99999"),
    ("URL", "http://h:92oo"),
    ("URL", "http://h:"),
    ("URL", "http://[::1]9200"),
    ("URL", "http://h:0"),
    ("URL", "http://a:one-7Q@h1,http://b:two-7Q@h2"),
    ("WAIT_TIMEOUT", "5 minutes"),
    ("REQUEST_TIMEOUT", "-1s"),
    ("MAX_RETRIES", "many"),
    ("STRICT", "yes"),
    ("LOG_FORMAT", "xml"),
    ("LOG_LEVEL", "loud"),
    ("RUST_LOG", "[[["),
    ("EXIT_CODES", "verbose"),
];

#[test]
fn hostile_files_and_settings() {
    let mut row = Row::new("hostile files and settings");
    let tries: Vec<(&str, Place, Thing)> = PROGRAMS
        .iter()
        .flat_map(|name| places(name).into_iter().flat_map(move |place| THINGS.map(|thing| (*name, place, thing))))
        // A Java client takes a file without properties, too.
        .filter(|(_, place, thing)| !matches!((place, thing), (Place::Setting("KAFKA_CLIENT_CONFIG"), Thing::Empty)))
        .collect();
    each(&mut row, &tries, |(name, place, thing)| spoiled(name, *place, *thing));
    let settings: Vec<(&str, &str, &str)> =
        PROGRAMS.iter().flat_map(|name| SETTINGS.map(|(setting, value)| (*name, setting, value))).collect();
    each(&mut row, &settings, |(name, setting, value)| {
        let setting = match (*setting, *name) {
            ("URL", "os-init") => "OPENSEARCH_URL",
            ("URL", "k-init") => "LOKI_URL",
            ("URL", _) => "GRAFANA_URL",
            (other, _) => other,
        };
        let run = program(name, NOBODY).env(setting, *value).run(&["wait"]);
        refused(&run, &format!("{name}, {setting}={value}"))
            .or_else(|| run.stderr.contains("7Q").then(|| format!("{setting}={value} is quoted\n{run}")))
    });
    row.end("refused, 10 s, 32 MiB");
}

/// A password with a character that breaks its URL: no part of it is said, wherever it stands.
#[test]
fn broken_urls() {
    const ODD: [&str; 16] = ["#", "?", "/", "@", ":", ",", " ", "%", "%zz", "[", "]", "\\", "\"", "é", "://", "//"];
    const SHAPES: [&str; 6] = [
        "http://admin:PW@127.0.0.1:9",
        "https://:PW@[::1]:9/path",
        "admin:PW@127.0.0.1:9",
        "http://PW@127.0.0.1:9",
        "ftp://PW@h",
        "http://127.0.0.1:9,http://u:PW@127.0.0.1:9",
    ];
    const VARIABLES: [(&str, &str); 8] = [
        ("os-init", "OPENSEARCH_URL"),
        ("grafana-init", "GRAFANA_URL"),
        ("k-init", "KAFKA_BOOTSTRAP_SERVERS"),
        ("k-init", "KAFKA_CONNECT_URL"),
        ("os-init", "LOKI_URL"),
        ("grafana-init", "PUSHGATEWAY_URL"),
        ("k-init", "KAFKA_OAUTH_TOKEN_URL"),
        ("os-init", "(argument)"),
    ];
    let (first, second) = ("Zq7xKabcTY", "Kx9wWvdeRR");
    let parts = BTreeSet::from([first.to_owned(), second.to_owned()]);
    let mut row = Row::new("broken URLs");
    let mut tries = Vec::new();
    for (name, variable) in VARIABLES {
        for odd in ODD {
            tries.extend(SHAPES.map(|shape| (name, variable, shape.replace("PW", &format!("{first}{odd}{second}")))));
        }
    }
    each(&mut row, &tries, |(name, variable, url)| {
        let sandbox =
            program(name, NOBODY).env("WAIT_TIMEOUT", "50ms").env("LOG_LEVEL", "debug").env("RUST_LOG", "debug");
        let run = match *variable {
            "(argument)" => sandbox.run(&["wait", url]),
            _ => sandbox.env(variable, url).run(&["wait"]),
        };
        let said = sung(&parts, &run.stderr).or_else(|| sung(&parts, &run.stdout));
        let good = run.code() == Some(1) && run.elapsed < Duration::from_secs(10);
        (said.is_some() || !good).then(|| format!("{variable}={url}\n{run}"))
    });
    row.end("no part of a password is said");
}
