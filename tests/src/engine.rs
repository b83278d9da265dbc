//! A container engine of the tests' own, the images in it, and Compose projects on it. It needs no registry and no engine of the machine's,
//! and whatever happens to the test binary, engine and containers end with it. No knowledge of what the programs do.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

pub use said::{Said, say};

mod said;

/// The folder of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the repository")
}

/// A script of `tests/containers`.
fn script(name: &str) -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("containers").join(name));
    command.env("PATH", path());
    command
}

/// Where administrators' commands are as well.
fn path() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default())
}

/// Installs what these cases need, once.
pub fn set_up() {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| {
        say(&mut script("setup.sh")).expect_code(0);
    });
}

/// A running engine.
pub struct Engine {
    host: String,
    /// Its supervisor, which ends the engine when this process's end of the pipe is closed.
    _supervisor: Child,
    made: Mutex<Vec<String>>,
}

impl Engine {
    /// The one of this test binary.
    pub fn shared() -> &'static Self {
        static ENGINE: OnceLock<Engine> = OnceLock::new();
        ENGINE.get_or_init(|| {
            set_up();
            // A group of its own, so that Ctrl-C in a terminal reaches the test binary only.
            let mut supervisor = script("engine.sh")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .process_group(0)
                .spawn()
                .expect("bash is there");
            let mut host = String::new();
            BufReader::new(supervisor.stdout.take().expect("stdout is piped"))
                .read_line(&mut host)
                .expect("the supervisor says where the engine is");
            assert!(host.starts_with("unix://"), "the engine did not start; its reason is above");
            Self { host: host.trim().to_owned(), _supervisor: supervisor, made: Mutex::default() }
        })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        // The classic builder: Debian's client has no other.
        command
            .env("PATH", path())
            .env("DOCKER_HOST", &self.host)
            .env("DOCKER_BUILDKIT", "0")
            .current_dir(repository());
        command
    }

    /// Runs `docker` with these arguments.
    #[track_caller]
    pub fn docker(&self, arguments: &[&str]) -> Said {
        say(self.command("docker").args(arguments))
    }

    /// What `docker inspect` knows of an image or a container.
    #[track_caller]
    pub fn inspect(&self, name: &str) -> Value {
        let said = self.docker(&["inspect", name]);
        let mut all: Value = serde_json::from_str(&said.expect_code(0).stdout).expect("docker inspect prints JSON");
        all[0].take()
    }

    /// Makes the images of the three programs, by `docker/build`.
    pub fn programs(&self) {
        self.once("programs", || {
            say(self.command("docker/build").env("CARGO_TERM_QUIET", "true")).expect_code(0);
        });
    }

    /// The published name of a program's image, which is what `docker/build` calls it.
    pub fn image(&self, program: &str) -> String {
        self.programs();
        format!("ghcr.io/init-sidecars/{program}:{}", env!("CARGO_PKG_VERSION"))
    }

    /// The images of these servers: `kafka`, `opensearch`, `grafana`, `telemetry`.
    pub fn servers(&self, names: &[&str]) {
        for name in names {
            self.once(name, || {
                let mut command = script("images.sh");
                command.arg(name).env("DOCKER_HOST", &self.host);
                if ["grafana", "opensearch"].contains(name) {
                    command.env("STANDINS", standins());
                }
                say(&mut command).expect_code(0);
            });
        }
    }

    fn once(&self, name: &str, make: impl FnOnce()) {
        let mut ready = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if !ready.iter().any(|it| it == name) {
            make();
            ready.push(name.to_owned());
        }
    }

    /// A container of a program's image, made and not started; removed when dropped. `options` are those of `docker create`.
    #[track_caller]
    pub fn container(&'static self, program: &str, options: &[&str], arguments: &[&str]) -> Container {
        let image = self.image(program);
        let hardening = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--memory=16m"];
        let all = [&["create"], hardening.as_slice(), options, &[image.as_str()], arguments].concat();
        let said = self.docker(&all);
        Container { engine: self, id: said.expect_code(0).stdout.trim().to_owned() }
    }
}

/// The folder of the stand-ins as static binaries, which run in an image whatever this machine's libraries are.
fn standins() -> PathBuf {
    const TARGET: &str = "x86_64-unknown-linux-musl";
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let build = ["build", "--quiet", "--package", "init-tests", "--bins", "--target", TARGET];
    say(Command::new(&cargo).args(build).current_dir(repository())).expect_code(0);
    let metadata =
        say(Command::new(&cargo).args(["metadata", "--format-version=1", "--no-deps"]).current_dir(repository()));
    let metadata: Value = serde_json::from_str(&metadata.expect_code(0).stdout).expect("cargo metadata prints JSON");
    let folder = metadata["target_directory"].as_str().expect("cargo has a target folder");
    Path::new(folder).join(TARGET).join("debug")
}

/// One container of a program.
pub struct Container {
    engine: &'static Engine,
    /// Its id.
    pub id: String,
}

impl Container {
    /// Starts it.
    #[track_caller]
    pub fn start(&self) {
        self.engine.docker(&["start", &self.id]).expect_code(0);
    }

    /// Waits for its end: the exit code, and what it said.
    #[track_caller]
    pub fn wait(&self) -> Said {
        let start = Instant::now();
        let code = self.engine.docker(&["wait", &self.id]).expect_code(0).stdout.trim().parse();
        Said { code: code.expect("docker wait prints the code"), elapsed: start.elapsed(), ..self.logs() }
    }

    /// Starts it and waits for its end.
    #[track_caller]
    pub fn run(&self) -> Said {
        self.start();
        self.wait()
    }

    /// What it said so far.
    #[track_caller]
    pub fn logs(&self) -> Said {
        self.engine.docker(&["logs", &self.id])
    }

    /// Waits until it has logged a record that holds this text.
    #[track_caller]
    pub fn until_said(&self, text: &str) {
        crate::eventually(Duration::from_secs(20), || self.logs().stderr.contains(text));
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.engine.docker(&["rm", "--force", "--volumes", &self.id]);
    }
}

/// `docker/compose.yml` with `docker/compose.test.yml` over it, as a project of its own. Dropped, it is taken down with its volumes.
pub struct Project {
    engine: &'static Engine,
    name: String,
    folder: TempDir,
    environment: BTreeMap<String, String>,
    files: Vec<PathBuf>,
}

impl Project {
    /// The stack with secrets of its own; the images of the programs and of these servers are made.
    pub fn new(servers: &[&str]) -> Self {
        let mut project = Self::empty(servers);
        project.files = ["docker/compose.yml", "docker/compose.test.yml"].map(|file| repository().join(file)).into();
        project
    }

    /// A project of no files yet, in a folder of its own.
    pub fn empty(servers: &[&str]) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let engine = Engine::shared();
        engine.programs();
        engine.servers(servers);
        let name = format!("init-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder =
            tempfile::Builder::new().prefix("init-test-").tempdir().expect("the temporary folder can be written");
        let secrets = folder.path().join("secrets");
        say(Command::new(repository().join("docker/secrets/make")).env("SECRETS_DIR", &secrets)).expect_code(0);
        let environment = BTreeMap::from([
            ("SECRETS_DIR".to_owned(), secrets.display().to_string()),
            ("GRAFANA_PORT".to_owned(), "0".to_owned()),
        ]);
        Self { engine, name, folder, environment, files: Vec::new() }
    }

    /// One more file, where it lies: paths in it and in those after it are relative to the first file.
    #[must_use]
    pub fn file(mut self, path: &Path) -> Self {
        self.files.push(path.to_owned());
        self
    }

    /// Sets a variable of the Compose files.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.insert(name.to_owned(), value.into());
        self
    }

    /// Lays one more file over.
    #[must_use]
    pub fn overlay(mut self, yaml: &str) -> Self {
        let path = self.folder.path().join(format!("overlay-{}.yml", self.files.len()));
        fs::write(&path, yaml).expect("the project's folder can be written");
        self.files.push(path);
        self
    }

    /// Its name, which networks and volumes begin with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A place in the project's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs Compose: `docker-compose`, or what `INIT_COMPOSE` names.
    #[track_caller]
    pub fn compose(&self, arguments: &[&str]) -> Said {
        let program = std::env::var("INIT_COMPOSE").unwrap_or_else(|_| "docker-compose".to_owned());
        let mut command = self.engine.command(&program);
        command.args(["--project-name", &self.name]);
        for file in &self.files {
            command.arg("--file").arg(file);
        }
        // Not what this process has for live servers: it would take the place of the project's own addresses.
        for variable in ["GRAFANA_URL", "OPENSEARCH_URL", "LOKI_URL", "PUSHGATEWAY_URL", "KAFKA_BOOTSTRAP_SERVERS"] {
            command.env_remove(variable);
        }
        say(command.envs(&self.environment).args(arguments))
    }

    /// `up -d` of these services and what they depend on.
    #[track_caller]
    pub fn up(&self, services: &[&str]) -> Said {
        self.compose(&[&["up", "-d"], services].concat())
    }

    /// The service's container, if there is one.
    #[track_caller]
    pub fn container(&self, service: &str) -> Option<String> {
        let project = format!("label=com.docker.compose.project={}", self.name);
        let service = format!("label=com.docker.compose.service={service}");
        let said =
            self.engine.docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &project, "--filter", &service]);
        said.expect_code(0).stdout.lines().next().map(str::to_owned)
    }

    /// What the engine knows of the service's container.
    #[track_caller]
    pub fn inspect(&self, service: &str) -> Value {
        let id = self.container(service).unwrap_or_else(|| panic!("{service} has no container"));
        self.engine.inspect(&id)
    }

    /// Whether the service's container runs; one that does not exist does not.
    #[track_caller]
    pub fn running(&self, service: &str) -> bool {
        self.container(service).is_some_and(|id| self.engine.inspect(&id)["State"]["Running"] == true)
    }

    /// Everything that the service's container has said, over all its runs.
    #[track_caller]
    pub fn logs(&self, service: &str) -> Said {
        let id = self.container(service).unwrap_or_else(|| panic!("{service} has no container"));
        self.engine.docker(&["logs", &id])
    }

    /// Runs a command in the service's container: what it printed.
    #[track_caller]
    pub fn inside(&self, service: &str, command: &[&str]) -> String {
        let id = self.container(service).unwrap_or_else(|| panic!("{service} has no container"));
        self.engine.docker(&[&["exec", id.as_str()], command].concat()).expect_code(0).stdout.clone()
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        self.compose(&["down", "--volumes", "--timeout", "0"]);
    }
}

/// Sets a file's mode.
#[track_caller]
pub fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .unwrap_or_else(|error| panic!("could not set the mode of {}: {error}", path.display()));
}
