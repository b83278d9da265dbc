//! From the command line to the exit code: the order in which things happen in all three programs.
//!
//! `main` waits on a channel for *done*, *signal* or *crash* while the work runs on a thread of its own. Only `main` says the
//! last record and returns, so that a request that hangs can neither delay the answer to a signal nor lose the record.

use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use ring::rand::SecureRandom;

use crate::engine::change::Class;
use crate::engine::kind::{AnyKind, Service};
use crate::engine::run::{self, Doubts, Ended, Rules};
use crate::files::{self, KindSpec, Missing, Problem, Set, nearest};
use crate::net::http::Limits;
use crate::net::retry::{Counters, Deadline};
use crate::net::wait::{self, Probe};
use crate::output::report::Report;
use crate::output::telemetry::{self, Push};
use crate::output::{self, ALWAYS, Origin, result};
use crate::process::cli::{self, Args, Command};
use crate::process::exit::Reason;
use crate::process::export;
use crate::process::settings::{Common, Env, quoted};
use crate::process::signal::{self, Event};

/// What makes one of the three programs.
#[derive(Clone, Copy)]
pub struct App {
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    /// The environment variables that matter for its connection, for `--help`.
    pub variables: &'static str,
    /// Its kinds, in the order in which they are applied.
    pub kinds: &'static [KindSpec],
    /// Reads its settings and makes its service; makes no connection. Problems go into the environment.
    pub service: fn(&mut Env, &Context) -> Option<Box<dyn Service>>,
}

/// What a service is given.
#[derive(Clone, Debug)]
pub struct Context {
    /// The shared settings.
    pub common: Common,
    /// Where requests are counted.
    pub counters: Arc<Counters>,
    /// Whether secrets that are not there may be missing (`validate`).
    pub offline: bool,
}

impl Context {
    /// The limits of one request.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits { request: self.common.request_timeout, retries: self.common.max_retries }
    }
}

/// Runs the program: `main` is this and nothing else.
#[must_use]
pub fn start(app: App) -> ExitCode {
    let report = Arc::new(Report::new(Arc::default()));
    let (sender, events) = channel();
    let origin = Origin { app: app.name, version: app.version, run_id: run_id(), instance: None };
    signal::install(&sender, origin.clone());
    // Until the work has read them: a signal may come while it waits for a file.
    let told = Told { common: Common::read(&mut Env::default()), command: None };
    let mut last = Last { app, origin, told, report, sender, events };
    let (reason, error) = last.supervise();
    match (&last.told.command, reason) {
        // What was asked for is printed, and nothing was done that could be told of.
        (Some(Command::Help | Command::Version), Reason::Ok) => ExitCode::SUCCESS,
        _ => last.say(reason, error.as_deref()),
    }
}

/// What `main` has to know of the command line and the settings: how the run is told of.
#[derive(Debug)]
pub struct Told {
    /// The shared settings.
    pub common: Common,
    /// The command; `None` when the command line was wrong.
    pub command: Option<Command>,
}

/// Everything the work needs, checked.
struct Work {
    app: App,
    args: Args,
    env: Env,
    context: Context,
}

/// Reads the command line and the settings, tells `main` of them, and does the work.
fn run(app: App, origin: Origin, report: &Report, sender: &Sender<Event>) -> Ended {
    let parsed = cli::parse(std::env::args_os().skip(1)).and_then(|args| known_kinds(app, args));
    let mut env = Env::of_process();
    if let Ok(args) = &parsed {
        let flags = [("LOG_FORMAT", &args.log_format), ("LOG_LEVEL", &args.log_level)];
        for (name, value) in flags.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
            env.set(name, value);
        }
    }
    // Settings count for a wrong command line too: they say how its record looks, what its code is and who is told.
    let mut common = Common::read(&mut env);
    let command = parsed.as_ref().ok().map(|args| args.command.clone());
    let level = if command == Some(Command::Healthcheck) { log::LevelFilter::Error } else { common.log_level };
    let origin = Origin { instance: common.instance.clone(), ..origin };
    output::start(origin, common.log_format, level, common.rust_log.as_deref());
    // Fails only if main is gone already.
    let _ = sender.send(Event::Told(Box::new(Told { common: common.clone(), command: command.clone() })));
    let args = match parsed {
        Ok(args) => args,
        Err(text) => return (Reason::Usage, Some(format!("{text} ({} --help shows what there is)", app.name))),
    };
    let text = match args.command {
        Command::Help => help(app),
        Command::Version => format!("{} {}\n", app.name, app.version),
        _ => {
            report.command(args.command.word());
            if let Some(config) = &args.config {
                common.config_dir.clone_from(config);
            }
            let offline = args.command == Command::Validate;
            let context = Context { common, counters: report.counters(), offline };
            return Work { app, args, env, context }.run(report);
        }
    };
    let _ = output::print(&text);
    (Reason::Ok, None)
}

fn known_kinds(app: App, args: Args) -> Result<Args, String> {
    for kind in &args.kinds {
        if !app.kinds.iter().any(|spec| spec.name == kind) {
            let hint = nearest(kind, app.kinds.iter().map(|spec| spec.name))
                .map(|near| format!(": did you mean {near}?"))
                .unwrap_or_default();
            return Err(format!("unknown kind {}{hint}", quoted(kind)));
        }
    }
    Ok(args)
}

/// How long the last record may take to be written once everybody else is told: nobody may be reading stderr.
const FLUSH: Duration = Duration::from_millis(700);
/// The same after a signal: who reads at all has read by then.
const FLUSH_AFTER_SIGNAL: Duration = Duration::from_millis(300);
/// How long everything may take after a signal, which is answered within a second.
const GOODBYE: Duration = Duration::from_millis(900);

/// What `main` keeps to itself, so that the run can be told of however it ends.
struct Last {
    app: App,
    origin: Origin,
    told: Told,
    report: Arc<Report>,
    sender: Sender<Event>,
    events: Receiver<Event>,
}

impl Last {
    /// Starts the work and waits for the first of done, signal and crash.
    fn supervise(&mut self) -> Ended {
        let (app, origin) = (self.app, self.origin.clone());
        let (sender, report) = (self.sender.clone(), self.report.clone());
        let spawned = std::thread::Builder::new().name("work".into()).spawn(move || {
            let ended = run(app, origin, &report, &sender);
            // Fails only if main is gone already.
            let _ = sender.send(Event::Done(ended));
        });
        #[cfg(debug_assertions)]
        signal::crash_if_asked("main");
        let ended = match spawned {
            Ok(_) => loop {
                match self.events.recv() {
                    Ok(Event::Told(told)) => self.told = *told,
                    Ok(Event::Done(ended)) => break ended,
                    Ok(Event::Signal(number)) => {
                        break (Reason::Signal(number), Some(format!("ended by {}", signal::name(number))));
                    }
                    Ok(Event::Crash(text)) => break (Reason::Internal, Some(format!("crashed: {text}"))),
                    // Nothing is pushed before the end.
                    Ok(Event::Pushed(..)) => {}
                    Err(_) => break (Reason::Internal, Some("crashed: the work ended without a result".into())),
                }
            },
            Err(error) => (Reason::Internal, Some(format!("crashed: cannot start a thread: {error}"))),
        };
        // It may have ended before it came so far; otherwise this changes nothing.
        output::start(self.origin.clone(), None, log::LevelFilter::Info, None);
        output::progress_done();
        ended
    }

    /// Tells everybody how the run ended, the last record last; returns the code.
    fn say(&self, reason: Reason, error: Option<&str>) -> ExitCode {
        let (common, codes) = (&self.told.common, self.told.common.exit_codes);
        let (end, flush) = match reason {
            Reason::Signal(_) => (Deadline::after(GOODBYE), FLUSH_AFTER_SIGNAL),
            _ => (Deadline::after(telemetry::LIMIT + FLUSH), FLUSH),
        };
        let mut push = Push::new(common, self.told.command.as_ref(), reason, &self.sender, &self.events);
        let mut figures = self.report.finish(reason, codes, error);
        figures.record(output::keep);
        // Whether the records arrive decides how the run ends only where that was asked for; then everything else comes after it.
        if common.loki_required
            && let Some(lost) = push.records()
            && matches!(reason, Reason::Ok | Reason::Changes)
        {
            let error = format!("the records did not reach Loki, and LOKI_REQUIRED is set: {lost}");
            figures = self.report.finish(Reason::Telemetry, codes, Some(&error));
        }
        if let Some(path) = &common.result_file
            && let Err(error) = result::write(path, &figures, &self.report.entries())
        {
            let text = format!("{}: {error}", path.display());
            log::warn!(target: ALWAYS, error = text; "cannot write RESULT_FILE");
        }
        figures.record(|last| {
            termination_log(Path::new("/dev/termination-log"), last);
            push.rest(&figures);
            // Said after the push, whose warnings would otherwise come behind what is documented to be the last record.
            output::say_last(end.left().min(flush), || {
                if self.told.command != Some(Command::Healthcheck) || figures.reason != Reason::Ok {
                    log::logger().log(last);
                }
            });
        });
        ExitCode::from(figures.code)
    }
}

impl Work {
    fn run(mut self, report: &Report) -> Ended {
        #[cfg(debug_assertions)]
        signal::crash_if_asked("work");
        let service = (self.app.service)(&mut self.env, &self.context);
        for alarm in self.env.alarms().iter().filter(|_| self.args.command != Command::Healthcheck) {
            log::warn!(target: ALWAYS, detail = alarm; "settings");
        }
        for warning in self.env.warnings() {
            log::warn!(detail = warning; "settings");
        }
        let problems = self.env.problems();
        let Some(mut service) = service.filter(|_| problems.is_empty()) else {
            for problem in problems {
                log::error!(error = problem; "settings");
            }
            return several(Reason::Config, problems);
        };
        match &self.args.command {
            Command::Apply | Command::Plan => self.converge(service.as_mut(), report),
            Command::Validate => match self.read(service.as_mut()) {
                Ok((set, _)) => {
                    log::info!(objects = set.all().len(); "the files are good");
                    (Reason::Ok, None)
                }
                Err(ended) => ended,
            },
            Command::Wait => self.wait(service.as_mut(), report).err().unwrap_or((Reason::Ok, None)),
            Command::Healthcheck => self.healthcheck(service.as_mut()),
            Command::Export(folder) => self.export(service.as_mut(), report, folder),
            Command::Help | Command::Version => (Reason::Ok, None),
        }
    }

    fn converge(&self, service: &mut dyn Service, report: &Report) -> Ended {
        let (set, mut kinds) = match self.read(service) {
            Ok(read) => read,
            Err(ended) => return ended,
        };
        let deadline = match self.wait(service, report) {
            Ok(deadline) => deadline,
            Err(ended) => return ended,
        };
        let common = &self.context.common;
        let rules = Rules {
            max_retries: common.max_retries,
            doubts: if common.strict { Doubts::Fail } else { Doubts::Warn },
            on_drift: common.on_drift,
            deadline,
        };
        if self.args.command == Command::Plan {
            run::plan(&mut kinds, &set, rules, report)
        } else {
            run::apply(&mut kinds, &set, rules, report)
        }
    }

    /// Reads and checks the files; all problems are said at once.
    fn read(&self, service: &mut dyn Service) -> Result<(Rc<Set>, Vec<Box<dyn AnyKind>>), Ended> {
        let common = &self.context.common;
        let missing = if self.context.offline { Missing::Warns } else { Missing::Fails };
        let (set, mut problems) = files::load(&common.config_dir, self.app.kinds, &service.foreign(), missing);
        for note in &set.notes {
            log::info!(detail:% = note; "files");
        }
        let set = Rc::new(set);
        let unreadable = problems.iter().any(|problem| !problem.warning);
        if set.all().is_empty() && set.folders.is_empty() && set.orgs.is_empty() && !unreadable {
            let text = format!("no object found in {}: is the mount right?", common.config_dir.display());
            problems.push(Problem::of_file("", text));
        }
        let kinds = service.kinds(&set);
        problems.extend(kinds.iter().flat_map(|kind| kind.check()));
        files::locate(&mut problems);
        let mut errors = Vec::new();
        for problem in &problems {
            if problem.warning && (!common.strict || self.context.offline) {
                log::warn!(detail:% = problem; "files");
            } else {
                log::error!(error:% = problem; "files");
                errors.push(problem.to_string());
            }
        }
        if errors.is_empty() { Ok((set, kinds)) } else { Err(several(Reason::Config, &errors)) }
    }

    /// Waits until the server is ready; from then on `APPLY_TIMEOUT` runs.
    fn wait(&self, service: &mut dyn Service, report: &Report) -> Result<Deadline, Ended> {
        report.waits();
        let (timeout, tries) = (self.context.common.wait_timeout, service.login_tries());
        let ready = wait::until_ready(timeout, tries, |limit| service.probe(limit));
        let what = ready.map_err(|failure| {
            let reason = match failure.class {
                Class::Timeout => Reason::WaitTimeout,
                other => other.into(),
            };
            (reason, Some(failure.message))
        })?;
        report.ready();
        log::info!(detail = what; "ready");
        let deadline = Deadline::after(self.context.common.apply_timeout);
        service.begin(deadline).map_err(|failure| (failure.class.into(), Some(failure.message)))?;
        Ok(deadline)
    }

    fn healthcheck(&self, service: &mut dyn Service) -> Ended {
        let (reason, text) = match service.probe(self.context.common.request_timeout) {
            Probe::Ready(_) => return (Reason::Ok, None),
            Probe::Closed(text) | Probe::NotReady(text) => (Reason::WaitTimeout, text),
            Probe::Denied(text) => (Reason::Auth, text),
            Probe::Hopeless(failure) => (Reason::Config, failure.message),
        };
        (reason, Some(text))
    }

    fn export(&self, service: &mut dyn Service, report: &Report, folder: &Path) -> Ended {
        if let Err(text) = export::check_folder(folder) {
            return (Reason::Config, Some(text));
        }
        if let Err(ended) = self.wait(service, report) {
            return ended;
        }
        match service.export_kinds() {
            Ok(mut kinds) => export::run(&mut kinds, &self.args.kinds, folder, self.args.format),
            Err(failure) => (failure.class.into(), Some(failure.message)),
        }
    }
}

fn several(reason: Reason, problems: &[String]) -> Ended {
    let text = match problems {
        [] => None,
        [one] => Some(one.clone()),
        [first, rest @ ..] => Some(format!("{first} (and {} more)", rest.len())),
    };
    (reason, text)
}

/// Kubernetes shows this file's content as the reason a container ended, and cuts it at 4096 bytes.
fn termination_log(path: &Path, last: &log::Record<'_>) {
    if path.exists() {
        // Whether anybody reads it is not for us to know, and must not change how the run ends.
        let _ = std::fs::write(path, output::line(last, 4096));
    }
}

fn run_id() -> String {
    let mut bytes = [0_u8; 8];
    // Without randomness the id is all zeros; nothing but telling runs apart depends on it.
    let _ = ring::rand::SystemRandom::new().fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn help(app: App) -> String {
    let mut list = String::new();
    let mut width = 0;
    for kind in app.kinds.iter().map(|spec| spec.name) {
        if width > 0 && width + kind.len() > 100 {
            list += "\n ";
            width = 0;
        }
        list += &format!(" {kind}");
        width += kind.len() + 1;
    }
    format!(
        "{name} {version}: {about}

Usage: {name} [COMMAND] [OPTIONS]

Commands:
  apply           wait, check everything, create and update what differs, read it back (the default)
  plan            wait, then print what apply would do; exit code 2 if that is anything
  validate        check the files alone, without a connection
  wait            wait until the server is ready
  healthcheck     probe once
  export DIR      write what the server holds as files (--kind K, repeatable, for some kinds only; --format yaml)

Options:
  --config DIR    the folder of files, or one file such as topics.yaml (CONFIG_DIR, default /config)
  --log-format F  json, logfmt or text (LOG_FORMAT; default: text on a terminal, else json)
  --log-level L   error, warn, info, debug or trace (LOG_LEVEL, default info)
  --help, --version

Kinds:
 {list}

Environment (secrets also as …_FILE):
{variables}
  WAIT_TIMEOUT=5m APPLY_TIMEOUT=60s REQUEST_TIMEOUT=10s MAX_RETRIES=10 STRICT=false ON_DRIFT=fail
  RESULT_FILE LOKI_URL LOKI_REQUIRED=false PUSHGATEWAY_URL INSTANCE EXIT_CODES=simple

Exit codes: 0 the server matches, 1 it could not be made to, 2 plan found changes, 129/130/131/143 ended by a signal.
",
        name = app.name,
        version = app.version,
        about = app.about,
        variables = app.variables,
    )
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}
