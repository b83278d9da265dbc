//! Runs a real program as its user would: a folder of files, an environment with nothing else in it, a deadline, and everything
//! that it said. Only what a process shows is used; nothing is linked. No run of any case may say a secret that it was given.

mod program;
mod secrets;
mod used;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::fs::statvfs;
pub use rustix::process::Signal;
use rustix::process::{WaitId, WaitIdOptions, waitid};
pub use secrets::sung;
use serde_json::Value;
use tempfile::TempDir;

pub use program::program_path;
use used::Used;

use crate::process::send;

/// A program, its configuration folder and its environment. Can be run as often as wanted; the folder may be changed in between.
pub struct Sandbox {
    program: PathBuf,
    folder: TempDir,
    environment: BTreeMap<String, String>,
    deadline: Duration,
    searched: bool,
}

impl Sandbox {
    /// One of the workspace's programs, by its name, with an empty folder.
    pub fn new(program: &str) -> Self {
        Self::of(&program_path(program))
    }

    /// Any program, by its absolute path, with an empty folder.
    pub fn of(program: &Path) -> Self {
        Self::inside(&std::env::temp_dir(), program)
    }

    /// For files by the thousand: in memory where there is room, since a disk may take longer to write them than the program to read them.
    pub fn of_many_files(program: &str) -> Self {
        let memory = Path::new("/dev/shm");
        let room = statvfs(memory).is_ok_and(|of| of.f_bavail.saturating_mul(of.f_frsize) >= 1 << 30);
        Self::inside(&if room { memory.to_owned() } else { std::env::temp_dir() }, &program_path(program))
    }

    fn inside(temporary: &Path, program: &Path) -> Self {
        let folder = tempfile::Builder::new().prefix("init-test-").tempdir_in(temporary);
        let folder = folder.expect("the temporary folder can be written");
        fs::create_dir(folder.path().join("config")).expect("the new folder can be written");
        let environment = BTreeMap::from([
            ("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned()),
            ("LOG_FORMAT".to_owned(), "json".to_owned()),
            ("CONFIG_DIR".to_owned(), folder.path().join("config").display().to_string()),
        ]);
        Self { program: program.to_owned(), folder, environment, deadline: Duration::from_mins(1), searched: true }
    }

    /// Writes bodies into the configuration folder: `("topics/orders.json", json!({…}))`.
    #[must_use]
    pub fn config(self, files: &[(&str, Value)]) -> Self {
        for (path, body) in files {
            self.write(path, format!("{body:#}"));
        }
        self
    }

    /// Sets one variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.insert(name.to_owned(), value.into());
        self
    }

    /// How long a run may take before it is killed and the test fails; 60 s unless set.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// What a run prints is not searched for secrets: for measurements of more files than can be searched for in their time.
    #[must_use]
    pub fn unsearched(mut self) -> Self {
        self.searched = false;
        self
    }

    /// Uses a folder as it is in place of the sandbox's own.
    #[must_use]
    pub fn config_from(self, folder: &Path) -> Self {
        self.env("CONFIG_DIR", folder.display().to_string())
    }

    /// Sets or replaces one variable between runs.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.environment.insert(name.to_owned(), value.into());
    }

    /// Takes one variable out of the environment.
    pub fn unset(&mut self, name: &str) {
        self.environment.remove(name);
    }

    /// The variables that a run is given.
    pub fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// Writes one file, as it is, into the configuration folder.
    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.config_dir().join(path);
        let parent = path.parent().expect("a joined path has a parent");
        fs::create_dir_all(parent).unwrap_or_else(|error| panic!("could not make {}: {error}", parent.display()));
        fs::write(&path, text).unwrap_or_else(|error| panic!("could not write {}: {error}", path.display()));
    }

    /// Removes one file from the configuration folder.
    pub fn remove(&self, path: &str) {
        let path = self.config_dir().join(path);
        fs::remove_file(&path).unwrap_or_else(|error| panic!("could not remove {}: {error}", path.display()));
    }

    /// The sandbox's own configuration folder.
    pub fn config_dir(&self) -> PathBuf {
        self.path("config")
    }

    /// A place beside the configuration folder, for a secret or a result file.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the program to its end. `arguments` starts with the command, if any.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Run {
        self.spawn(arguments).wait()
    }

    /// Starts the program.
    #[track_caller]
    pub fn spawn(&self, arguments: &[&str]) -> Running {
        let started = Instant::now();
        let mut child = Command::new(&self.program)
            .args(arguments)
            .env_clear()
            .envs(&self.environment)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("could not run {}: {error}", self.program.display()));
        let stdout: ChildStdout = child.stdout.take().expect("stdout is piped");
        let stderr: ChildStderr = child.stderr.take().expect("stderr is piped");
        Running {
            command: format!("{} {}", self.program.display(), arguments.join(" ")),
            child,
            stdout: Collected::start(stdout),
            stderr: Collected::start(stderr),
            started,
            deadline: self.deadline,
            used: Used::default(),
            secrets: if self.searched { secrets::given(&self.environment) } else { BTreeSet::new() },
            result: self.environment.get("RESULT_FILE").map(PathBuf::from),
        }
    }
}

/// A program that may still be running. Dropped, it is killed.
pub struct Running {
    command: String,
    child: Child,
    stdout: Collected,
    stderr: Collected,
    started: Instant,
    deadline: Duration,
    used: Used,
    secrets: BTreeSet<String>,
    result: Option<PathBuf>,
}

impl Running {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub fn signal(&mut self, signal: Signal) {
        send(&mut self.child, signal);
    }

    /// Everything on stderr so far.
    pub fn stderr_so_far(&self) -> String {
        self.stderr.so_far()
    }

    /// Whether it has not ended yet.
    pub fn running(&mut self) -> bool {
        let ended = self.ended();
        self.used.look(self.child.id());
        !ended
    }

    /// Whether it has ended; it is not waited for, so that it can still be measured.
    fn ended(&self) -> bool {
        let id = WaitId::Pid(rustix::process::Pid::from_child(&self.child));
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        // It is nobody's child any more once it was waited for.
        waitid(id, options).map_or(true, |status| status.is_some())
    }

    /// Waits for its end; kills it and fails the test at the deadline.
    #[track_caller]
    pub fn wait(self) -> Run {
        self.kill_when(|| false)
    }

    /// The same, but kills it (SIGKILL) as soon as the condition holds. `run.signal()` tells whether that happened first.
    #[track_caller]
    pub fn kill_when(mut self, mut condition: impl FnMut() -> bool) -> Run {
        let status = loop {
            let ended = self.ended();
            self.used.look(self.child.id());
            if condition() {
                self.signal(Signal::KILL);
            }
            if ended {
                break self.child.wait().expect("our own child can be waited for");
            }
            if self.started.elapsed() > self.deadline {
                drop(self.child.kill());
                drop(self.child.wait());
                panic!(
                    "`{}` did not end within {:?}\n--- stdout\n{}\n--- stderr\n{}",
                    self.command,
                    self.deadline,
                    self.stdout.all(),
                    self.stderr.all()
                );
            }
            crate::pause(Duration::from_millis(1));
        };
        let elapsed = self.started.elapsed();
        let (stdout, stderr) = (self.stdout.all(), self.stderr.all());
        // A result that went down a pipe is not there any more.
        let written = self.result.as_ref().filter(|file| file.is_file() && !file.starts_with("/dev"));
        let result = written.and_then(|file| fs::read_to_string(file).ok()).unwrap_or_default();
        for (place, text) in [("stdout", &stdout), ("stderr", &stderr), ("the result file", &result)] {
            if let Some(secret) = sung(&self.secrets, text) {
                panic!("{place} of `{}` holds the secret {secret:?}:\n{text}", self.command);
            }
        }
        let Used { peak_rss, cpu, read } = self.used;
        Run { command: std::mem::take(&mut self.command), status, stdout, stderr, elapsed, peak_rss, cpu, read }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A pipe that is read to its end on a thread, so that a program that says much never blocks.
struct Collected {
    text: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Collected {
    fn start(mut pipe: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&text);
        let reader = std::thread::spawn(move || {
            let mut chunk = [0; 8192];
            while let Ok(size @ 1..) = pipe.read(&mut chunk) {
                shared.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&chunk[..size]);
            }
        });
        Self { text, reader }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// Once the program has ended, so has its pipe, unless a child of its own holds it: that is not waited for.
    fn all(&mut self) -> String {
        let end = Instant::now() + Duration::from_secs(2);
        while !self.reader.is_finished() && Instant::now() < end {
            crate::pause(Duration::from_millis(1));
        }
        self.so_far()
    }
}

/// What one run did and said.
#[derive(Debug, Clone)]
pub struct Run {
    command: String,
    status: ExitStatus,
    /// All of stdout.
    pub stdout: String,
    /// All of stderr.
    pub stderr: String,
    /// From the start to the end, to a millisecond.
    pub elapsed: Duration,
    /// The most memory that was resident at once, in bytes.
    pub peak_rss: u64,
    /// The time that its threads have spent on a processor, exact to microseconds however busy the machine is.
    pub cpu: Duration,
    /// The bytes that it has read, from files and from servers.
    pub read: u64,
}

impl Run {
    /// The exit code; `None` when a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The number of the signal that ended it.
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// Fails the test, showing everything that was said, unless the exit code is this.
    #[track_caller]
    pub fn expect_code(&self, code: i32) -> &Self {
        assert_eq!(self.code(), Some(code), "{self}");
        self
    }

    /// Fails the test, showing everything that was said, unless stderr contains this.
    #[track_caller]
    pub fn expect_stderr(&self, part: &str) -> &Self {
        assert!(self.stderr.contains(part), "stderr lacks {part:?}\n{self}");
        self
    }

    /// The log records: every line of stderr that is a JSON object.
    pub fn records(&self) -> Vec<Value> {
        self.stderr.lines().filter_map(|line| serde_json::from_str(line).ok()).filter(Value::is_object).collect()
    }

    /// The records with this `msg`.
    pub fn records_saying(&self, message: &str) -> Vec<Value> {
        self.records().into_iter().filter(|record| record["msg"] == message).collect()
    }

    /// The last record, which has to be `run finished`.
    #[track_caller]
    pub fn last(&self) -> Value {
        let last = self.records().pop().unwrap_or_default();
        assert_eq!(last["msg"], "run finished", "the last record is another\n{self}");
        last
    }

    /// One field of the last record.
    #[track_caller]
    pub fn field(&self, name: &str) -> Value {
        let last = self.last();
        last.get(name).unwrap_or_else(|| panic!("the last record has no {name:?}\n{self}")).clone()
    }

    /// One number of the last record.
    #[track_caller]
    pub fn count(&self, name: &str) -> u64 {
        self.field(name).as_u64().unwrap_or_else(|| panic!("{name:?} of the last record is no number\n{self}"))
    }

    /// `action` of each object's record, by `kind/name`.
    pub fn actions(&self) -> BTreeMap<String, String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let objects = self.records_saying("object").into_iter();
        objects
            .map(|object| (format!("{}/{}", text(&object["kind"]), text(&object["name"])), text(&object["action"])))
            .collect()
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { command, status, stdout, stderr, elapsed, .. } = self;
        write!(f, "`{command}` ended after {elapsed:?}: {status}\n--- stdout\n{stdout}\n--- stderr\n{stderr}")
    }
}
