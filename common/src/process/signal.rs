//! Signals, crashes and allocation aborts, turned into events for `main`.
//!
//! As PID 1 a process without handlers ignores SIGTERM, and a panic's abort comes out as 139: both are made plain here.

use std::cell::Cell;
use std::panic::PanicHookInfo;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::Sender;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use signal_hook::consts::{SIGABRT, SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::engine::run::Ended;
use crate::output::{self, ALWAYS, Origin};
use crate::process::start::Told;

/// How long the record of a crash may take.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What `main` waits for.
#[derive(Debug)]
pub enum Event {
    /// The command line and the shared settings are read.
    Told(Box<Told>),
    /// The work is done.
    Done(Ended),
    /// SIGHUP, SIGINT, SIGQUIT or SIGTERM came.
    Signal(i32),
    /// A thread panicked.
    Crash(String),
    /// What became of a push, by the name of its target.
    Pushed(&'static str, Result<(), String>),
}

/// Installs the handlers and the panic hook; events go to `sender`. What a crash says before the settings are read comes from `origin`.
pub fn install(sender: &Sender<Event>, origin: Origin) {
    // An abort (a failed allocation) ends in code 1 straight from the handler: nothing else may run there.
    let _ = signal_hook::flag::register_conditional_shutdown(SIGABRT, 1, Arc::new(AtomicBool::new(true)));
    on_panic(sender, origin);
    if let Err(error) = on_signal(sender) {
        // As PID 1 a run that cannot be stopped is worse than one that does not begin. Fails only if main is gone already.
        let _ = sender.send(Event::Crash(format!("cannot listen for signals: {error}")));
    }
}

fn on_signal(sender: &Sender<Event>) -> std::io::Result<()> {
    // SIGQUIT would leave a core file behind, with the passwords in it. Who started us with SIGHUP ignored (`nohup`) wants it so.
    let hang_up = Some(SIGHUP).filter(|_| !ignored(SIGHUP));
    let mut signals = Signals::new([SIGINT, SIGQUIT, SIGTERM].into_iter().chain(hang_up))?;
    let sender = sender.clone();
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        let mut first = true;
        for number in signals.forever() {
            if !first {
                // The second one means now.
                signal_hook::low_level::exit(128 + number);
            }
            first = false;
            let _ = sender.send(Event::Signal(number));
        }
    })?;
    Ok(())
}

fn on_panic(sender: &Sender<Event>, origin: Origin) {
    let sender = Mutex::new(sender.clone());
    let main = std::thread::current().id();
    std::panic::set_hook(Box::new(move |info| {
        let text = text_of(info);
        let again = PANICKED.replace(true);
        let sent = sender.lock().unwrap_or_else(PoisonError::into_inner).send(Event::Crash(text.clone()));
        if again || sent.is_err() || std::thread::current().id() == main {
            let error = format!("crashed: {text}");
            output::start(origin.clone(), None, log::LevelFilter::Info, None);
            output::say_last(LAST_WORDS, || {
                log::error!(target: ALWAYS, exit_code = 1, exit_reason = "internal", error = error; "run finished");
            });
            signal_hook::low_level::exit(1);
        }
        // `main` says the last record and ends the process; returning from here would abort it first.
        loop {
            std::thread::park();
        }
    }));
}

/// Whether the process was started with a signal ignored; asking libc would need an unsafe call.
fn ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (signal - 1)) != 0)
}

/// What a signal is called.
#[must_use]
pub fn name(number: i32) -> String {
    signal_hook::low_level::signal_name(number).map_or_else(|| format!("signal {number}"), str::to_owned)
}

thread_local! {
    static PANICKED: Cell<bool> = const { Cell::new(false) };
}

fn text_of(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied().map(str::to_owned);
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".into());
    match info.location() {
        Some(place) => {
            format!("{text} (at {}:{}); this is a mistake in the program, please report it", place.file(), place.line())
        }
        None => text,
    }
}

/// Crashes at the place that `INIT_TEST_CRASH` names, for the cases about crashes: no input is known that makes the programs panic,
/// and if one were, it would be mended. Built with debug assertions only; a release neither has this nor reads the variable.
#[cfg(debug_assertions)]
pub(crate) fn crash_if_asked(place: &str) {
    match std::env::var("INIT_TEST_CRASH") {
        Ok(asked) if asked == place => panic!("INIT_TEST_CRASH={place}"),
        // What a failed allocation does.
        Ok(asked) if asked == format!("abort-{place}") => std::process::abort(),
        _ => {}
    }
}
