//! Signals at hostile moments: as the first process of a container, on a file server that has gone away, with nobody reading. Each combination is one
//! run of a real binary; the case is one line of the table that `./test faults` prints.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use kit::fixture::{NOBODY, PROGRAMS, fifo, program};
use kit::sandbox::{Sandbox, Signal, program_path};
use kit::scripted_http::{Answer, ScriptedHttp};
use kit::table::{Row, each};
use rustix::process::{Pid, kill_process};

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
    each(&mut row, &tries, |(name, moment, signal, code)| {
        // What a busy machine holds up is late once; what waits for something is late each time.
        let late: Vec<String> = (0..3).map_while(|_| signaled(name, *moment, *signal, *code, &library)).collect();
        (late.len() == 3).then(|| late.concat())
    });
    row.end("ended within 1 s");
}
