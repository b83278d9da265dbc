//! The settings that all three programs share.

use std::path::PathBuf;
use std::time::Duration;

use super::{Env, Server};
use crate::engine::run::OnDrift;
use crate::net::tls::client_config;
use crate::output::Format;
use crate::process::exit::Codes;

/// What all three programs are told.
#[derive(Clone, Debug)]
pub struct Common {
    /// `CONFIG_DIR`.
    pub config_dir: PathBuf,
    /// `WAIT_TIMEOUT`.
    pub wait_timeout: Duration,
    /// `APPLY_TIMEOUT`.
    pub apply_timeout: Duration,
    /// `REQUEST_TIMEOUT`.
    pub request_timeout: Duration,
    /// `MAX_RETRIES`.
    pub max_retries: u32,
    /// `STRICT`.
    pub strict: bool,
    /// `ON_DRIFT`.
    pub on_drift: OnDrift,
    /// `LOG_LEVEL`.
    pub log_level: log::LevelFilter,
    /// `LOG_FORMAT`.
    pub log_format: Option<Format>,
    /// `RUST_LOG`.
    pub rust_log: Option<String>,
    /// `RESULT_FILE`.
    pub result_file: Option<PathBuf>,
    /// `EXIT_CODES`.
    pub exit_codes: Codes,
    /// `LOKI_URL` and what belongs to it.
    pub loki: Option<Server>,
    /// `LOKI_REQUIRED`.
    pub loki_required: bool,
    /// `LOKI_TENANT`.
    pub loki_tenant: Option<String>,
    /// `PUSHGATEWAY_URL` and what belongs to it.
    pub pushgateway: Option<Server>,
    /// `INSTANCE`.
    pub instance: Option<String>,
}

impl Common {
    /// Reads the settings that all programs share.
    pub fn read(env: &mut Env) -> Self {
        use log::LevelFilter as L;
        let levels =
            [("error", L::Error), ("warn", L::Warn), ("info", L::Info), ("debug", L::Debug), ("trace", L::Trace)];
        let formats = [("json", Format::Json), ("logfmt", Format::Logfmt), ("text", Format::Text)];
        let positive = |env: &mut Env, name: &str, default: u64| {
            let value = env.duration(name, Duration::from_secs(default));
            if value.is_zero() {
                env.problem(format!("{name} must be longer than nothing"));
            }
            value
        };
        Self {
            config_dir: env.text("CONFIG_DIR").unwrap_or_else(|| "/config".into()).into(),
            wait_timeout: positive(env, "WAIT_TIMEOUT", 300),
            apply_timeout: positive(env, "APPLY_TIMEOUT", 60),
            request_timeout: positive(env, "REQUEST_TIMEOUT", 10),
            max_retries: env.number("MAX_RETRIES").unwrap_or(10),
            strict: env.flag("STRICT"),
            on_drift: env
                .choice("ON_DRIFT", &[("fail", OnDrift::Fail), ("warn", OnDrift::Warn)])
                .unwrap_or(OnDrift::Fail),
            log_level: env.choice("LOG_LEVEL", &levels).unwrap_or(L::Info),
            log_format: env.choice("LOG_FORMAT", &formats),
            rust_log: rust_log(env),
            result_file: env.text("RESULT_FILE").map(PathBuf::from),
            exit_codes: env
                .choice("EXIT_CODES", &[("simple", Codes::Simple), ("detailed", Codes::Detailed)])
                .unwrap_or_default(),
            loki: told(env, "LOKI"),
            loki_required: loki_required(env),
            loki_tenant: env.text("LOKI_TENANT"),
            pushgateway: told(env, "PUSHGATEWAY"),
            instance: env.text("INSTANCE"),
        }
    }
}

/// A server that is told of the run. Its certificates are read now: at the end, when they are used, nobody could mend them.
fn told(env: &mut Env, prefix: &str) -> Option<Server> {
    let server = env.server(prefix, None)?;
    let files = server.tls.ca_file.is_some() || server.tls.cert_file.is_some();
    if files && let Err(error) = client_config(&server.tls) {
        env.problem(format!("{prefix}_URL: {error:#}"));
    }
    Some(server)
}

/// `LOKI_REQUIRED`, which asks for a push that only `LOKI_URL` makes possible.
fn loki_required(env: &mut Env) -> bool {
    let required = env.flag("LOKI_REQUIRED");
    if required && env.text("LOKI_URL").is_none() {
        env.problem("LOKI_REQUIRED is set without LOKI_URL");
    }
    required
}

/// `RUST_LOG`: levels and modules. A filter of messages (`/text`), which `env_logger` takes too, would hide the last record.
fn rust_log(env: &mut Env) -> Option<String> {
    let value = env.text("RUST_LOG")?;
    let module = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_:-".contains(c));
    let level = |word: &str| word.parse::<log::LevelFilter>().is_ok();
    let good = value.split(',').map(str::trim).filter(|part| !part.is_empty()).all(|part| match part.split_once('=') {
        Some((name, word)) => module(name.trim()) && level(word.trim()),
        None => module(part),
    });
    if !good {
        env.problem("RUST_LOG: must be levels and modules, such as warn,ureq=debug");
    }
    Some(value).filter(|_| good)
}
