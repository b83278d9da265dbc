//! What hostile files, settings, URLs and moments for a signal do to the three programs: each combination is one run of a real binary, each case is one
//! line of the table that `./test faults` prints.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use kit::sandbox::{Run, Sandbox, Signal, program_path, sung};
use kit::scripted_http::{Answer, ScriptedHttp};
use kit::table::{Row, each};
use rustix::process::{Pid, kill_process};

const MIB: u64 = 1 << 20;
const PROGRAMS: [&str; 3] = ["os-init", "k-init", "grafana-init"];
const NOBODY: &str = "127.0.0.1:9";

/// A program with one good object, for an address.
fn program(name: &str, address: &str) -> Sandbox {
    let sandbox = Sandbox::new(name)
        .env("OPENSEARCH_URL", format!("http://{address}"))
        .env("GRAFANA_URL", format!("http://{address}"))
        .env("KAFKA_BOOTSTRAP_SERVERS", address)
        .env("WAIT_TIMEOUT", "1s")
        .deadline(Duration::from_secs(30));
    let (file, body) = match name {
        "os-init" => ("component_templates/good.json", r#"{"template": {}}"#),
        "k-init" => ("topics/good.json", "{}"),
        _ => ("message_templates/good.json", r#"{"template": "x"}"#),
    };
    sandbox.write(file, body);
    sandbox
}

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

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo is there").success());
}

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

/// When a signal comes.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// Nothing listens, and it is waited for.
    Refused,
    /// A request is under way.
    Request,
    /// A name is looked up.
    Lookup,
    /// Nobody reads what it says.
    Unread,
    /// Reading this file hangs, as on a file server that has gone away: an object, what a placeholder names, a setting.
    Hangs(&'static str),
    /// The same, as the first process of a container.
    First,
    /// As the first process of a container, reading a file that hangs.
    FirstHangs,
}

const MOMENTS: [Moment; 9] = [
    Moment::Refused,
    Moment::Request,
    Moment::Lookup,
    Moment::Unread,
    Moment::Hangs("object"),
    Moment::Hangs("placeholder"),
    Moment::Hangs("LOKI_TOKEN_FILE"),
    Moment::First,
    Moment::FirstHangs,
];
const SIGNALS: [(Signal, i32); 4] = [(Signal::HUP, 129), (Signal::INT, 130), (Signal::QUIT, 131), (Signal::TERM, 143)];

/// A library that makes every `open` of a path with "hangs-for-ever" in it do so: what a file server that has gone away does.
fn hanging(folder: &Path) -> PathBuf {
    let (source, library) = (folder.join("hang.c"), folder.join("hang.so"));
    let text = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>
static int next(const char *name, const char *path, int flags, mode_t mode) {
    while (strstr(path, "hangs-for-ever")) pause();
    int (*open_)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, name);
    return open_(path, flags, mode);
}
int open(const char *path, int flags, ...) { va_list a; va_start(a, flags); mode_t m = va_arg(a, mode_t); va_end(a); return next("open", path, flags, m); }
int open64(const char *path, int flags, ...) { va_list a; va_start(a, flags); mode_t m = va_arg(a, mode_t); va_end(a); return next("open64", path, flags, m); }
"#;
    fs::write(&source, text).expect("the folder can be written");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).arg("-ldl").status();
    assert!(built.expect("cc is there").success());
    library
}

/// The process that a shell or `unshare` started.
fn child_of(id: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// Whether a thread of a process waits in the library above.
fn hangs(id: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    threads.into_iter().any(|thread| {
        fs::read_to_string(thread.path().join("syscall")).is_ok_and(|call| call.starts_with("34 ")) // pause
    })
}

/// Starts a program at such a moment, waits for it, sends the signal, and looks how it ends.
fn signaled(name: &str, moment: Moment, signal: Signal, code: i32, library: &Path) -> Option<String> {
    let silent = ScriptedHttp::new(|_, _| Answer::Silent);
    let address = match moment {
        Moment::Request | Moment::Unread => silent.address().to_string(),
        Moment::Lookup => "no-such-host.invalid:9200".to_owned(),
        _ => NOBODY.to_owned(),
    };
    let mut sandbox = program(name, &address).env("WAIT_TIMEOUT", "60s");
    let (slow, command) = match moment {
        Moment::Hangs(place @ ("object" | "placeholder")) => (Some(place), "plan"),
        Moment::Hangs(setting) => (Some(setting), "wait"),
        Moment::FirstHangs => (Some("object"), "plan"),
        _ => (None, "wait"),
    };
    let kind = match name {
        "os-init" => "roles",
        "k-init" => "topics",
        _ => "message_templates",
    };
    let file = sandbox.path("hangs-for-ever").display().to_string();
    fs::write(&file, "x").expect("the sandbox can be written");
    match slow {
        Some("object") => sandbox.write(&format!("{kind}/hangs-for-ever.json"), "{}"),
        Some("placeholder") => sandbox.write(&format!("{kind}/a.json"), format!(r#"{{"x": "$__file{{{file}}}"}}"#)),
        Some(setting) => sandbox.set(setting, file),
        None => {}
    }
    if slow.is_some() {
        sandbox.set("LD_PRELOAD", library.display().to_string());
    }
    let (binary, pipe) = (program_path(name).display().to_string(), sandbox.path("pipe"));
    fifo(&pipe);
    let pipe = pipe.display().to_string();
    // A pipe that is full already, and that nobody reads.
    let full = r#"exec 3<>"$2"; head -c 65536 /dev/zero >&3; exec "$0" "$1" 2>&3"#;
    let (outer, arguments) = match moment {
        Moment::First | Moment::FirstHangs => {
            ("/usr/bin/unshare", vec!["--pid", "--fork", "--user", "--map-root-user", &binary, command])
        }
        Moment::Unread => ("/bin/sh", vec!["-c", full, &binary, command, &pipe]),
        _ => ("", vec![command]),
    };
    let mut running = if outer.is_empty() {
        sandbox.spawn(&arguments)
    } else {
        let variables = sandbox.environment().iter();
        let started = Sandbox::of(Path::new(outer)).deadline(Duration::from_secs(30));
        variables.fold(started, |started, (key, value)| started.env(key, value.clone())).spawn(&arguments)
    };
    let first = matches!(moment, Moment::First | Moment::FirstHangs);
    let inner = |id: u32| if first { child_of(id) } else { Some(id) };
    kit::eventually(Duration::from_secs(20), || match moment {
        _ if slow.is_some() => inner(running.id()).is_some_and(hangs),
        Moment::Request | Moment::Unread => silent.connections() > 0,
        _ => running.stderr_so_far().contains("\"waiting\""),
    });
    let sent = Instant::now();
    if first {
        let id = child_of(running.id()).and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        kill_process(id.expect("it runs"), signal).expect("our own child's child can be signaled");
    } else {
        running.signal(signal);
    }
    let run = running.wait();
    let took = sent.elapsed();
    let good = run.code() == Some(code) && took < Duration::from_secs(1);
    (!good).then(|| format!("{name}, {moment:?}, {signal:?}: after {took:?}\n{run}"))
}

#[test]
fn signals() {
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let library = hanging(folder.path());
    let mut row = Row::new("signals, as PID 1 and on a hung mount");
    let mut tries = Vec::new();
    for name in PROGRAMS {
        for moment in MOMENTS {
            tries.extend(SIGNALS.map(|(signal, code)| (name, moment, signal, code)));
        }
    }
    each(&mut row, &tries, |(name, moment, signal, code)| signaled(name, *moment, *signal, *code, &library));
    row.end("ended within 1 s");
}
