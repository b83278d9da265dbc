//! The command line: one word and a few options. Everything else is an environment variable.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::prelude::{Long, Short, Value, ValueExt};

use crate::files::{Syntax, nearest};
use crate::process::settings::quoted;

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Make the server match the files.
    Apply,
    /// Say what `apply` would do.
    Plan,
    /// Check the files alone.
    Validate,
    /// Wait until the server is ready.
    Wait,
    /// Probe once.
    Healthcheck,
    /// Write what the server holds as files.
    Export(PathBuf),
    /// Print the help text.
    Help,
    /// Print the version.
    Version,
}

impl Command {
    /// The word itself.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Plan => "plan",
            Self::Validate => "validate",
            Self::Wait => "wait",
            Self::Healthcheck => "healthcheck",
            Self::Export(_) => "export",
            Self::Help => "help",
            Self::Version => "version",
        }
    }
}

/// The command line, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Args {
    /// What to do.
    pub command: Command,
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--kind`, each.
    pub kinds: Vec<String>,
    /// `--format`: what `export` writes.
    pub format: Syntax,
    /// `--log-format`.
    pub log_format: Option<String>,
    /// `--log-level`.
    pub log_level: Option<String>,
}

const COMMANDS: [&str; 6] = ["apply", "plan", "validate", "wait", "healthcheck", "export"];
const OPTIONS: [&str; 7] = ["--config", "--help", "--version", "--log-format", "--log-level", "--kind", "--format"];

/// Takes the command line apart; the error is one sentence.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Args, String> {
    let mut parser = lexopt::Parser::from_args(args);
    let mut args = Args {
        command: Command::Apply,
        config: None,
        kinds: Vec::new(),
        format: Syntax::Json,
        log_format: None,
        log_level: None,
    };
    let mut format = None;
    let mut word: Option<String> = None;
    let mut folder: Option<PathBuf> = None;
    let mut special = None;
    while let Some(arg) = parser.next().map_err(|error| said(&error))? {
        let text =
            |parser: &mut lexopt::Parser| parser.value().and_then(ValueExt::string).map_err(|error| said(&error));
        match arg {
            Long("help") | Short('h') => special = special.or(Some(Command::Help)),
            Long("version") | Short('V') => special = special.or(Some(Command::Version)),
            Long("config") => args.config = Some(parser.value().map_err(|error| said(&error))?.into()),
            Long("kind") => args.kinds.push(text(&mut parser)?),
            Long("format") => {
                let word = text(&mut parser)?;
                format = Some(match word.as_str() {
                    "json" => Syntax::Json,
                    "yaml" => Syntax::Yaml,
                    _ => return Err(unknown("format", &word, &["json", "yaml"])),
                });
            }
            Long("log-format") => args.log_format = Some(text(&mut parser)?),
            Long("log-level") => args.log_level = Some(text(&mut parser)?),
            Value(value) if word.is_none() => {
                let value = value.to_string_lossy().into_owned();
                if !COMMANDS.contains(&value.as_str()) {
                    return Err(unknown("command", &value, &COMMANDS));
                }
                word = Some(value);
            }
            Value(value) if word.as_deref() == Some("export") && folder.is_none() => folder = Some(value.into()),
            Value(value) => return Err(format!("unexpected argument {}", quoted(&value.to_string_lossy()))),
            Long(option) => return Err(unknown("option", &format!("--{option}"), &OPTIONS)),
            Short(option) => return Err(unknown("option", &format!("-{option}"), &OPTIONS)),
        }
    }
    args.command = match (special, word.as_deref(), folder) {
        (Some(special), ..) => special,
        (None, None | Some("apply"), _) => Command::Apply,
        (None, Some("plan"), _) => Command::Plan,
        (None, Some("validate"), _) => Command::Validate,
        (None, Some("wait"), _) => Command::Wait,
        (None, Some("healthcheck"), _) => Command::Healthcheck,
        (None, Some(_), Some(folder)) if folder.as_os_str().is_empty() => {
            return Err("export needs the folder to write to, and \"\" names none: is the variable set?".into());
        }
        (None, Some(_), Some(folder)) => Command::Export(folder),
        (None, Some(_), None) => return Err("export needs the folder to write to: export DIR".into()),
    };
    if format.is_some() && !matches!(args.command, Command::Export(_)) {
        return Err("--format goes with export; the log's is --log-format".into());
    }
    args.format = format.unwrap_or(Syntax::Json);
    if !args.kinds.is_empty() && !matches!(args.command, Command::Export(_)) {
        return Err("--kind goes with export".into());
    }
    Ok(args)
}

/// An error of the parser, without the value that it would quote.
fn said(error: &lexopt::Error) -> String {
    match error {
        lexopt::Error::UnexpectedValue { option, .. } => format!("{option} takes no value"),
        other => other.to_string(),
    }
}

fn unknown(what: &str, given: &str, known: &[&str]) -> String {
    match nearest(given, known.iter().copied()) {
        Some(near) => format!("unknown {what} {}: did you mean {near}?", quoted(given)),
        None => format!("unknown {what} {}: known are {}", quoted(given), known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Args, String> {
        parse(args.iter().map(OsString::from))
    }

    #[test]
    fn apply_is_the_default() {
        assert_eq!(parsed(&[]).map(|args| args.command), Ok(Command::Apply));
        assert_eq!(parsed(&["--config", "/x"]).map(|args| args.config), Ok(Some("/x".into())));
    }

    #[test]
    fn export_takes_a_folder_and_kinds() {
        let args = parsed(&["export", "out", "--kind", "roles", "--kind=tenants"]).expect("good");
        assert_eq!((args.command, args.kinds.len()), (Command::Export("out".into()), 2));
        assert_eq!(parsed(&["export"]).expect_err("no folder"), "export needs the folder to write to: export DIR");
        assert!(parsed(&["export", ""]).expect_err("no name").contains("names none"));
    }

    #[test]
    fn mistakes_name_the_nearest() {
        assert_eq!(parsed(&["aply"]).expect_err("typo"), "unknown command aply: did you mean apply?");
        assert_eq!(parsed(&["--confg", "x"]).expect_err("typo"), "unknown option --confg: did you mean --config?");
        assert_eq!(parsed(&["plan", "extra"]).expect_err("too many"), "unexpected argument extra");
        let said = parsed(&["apply", "http://u:secret@h"]).expect_err("a URL");
        assert_eq!(said, "unexpected argument (a value of 17 characters, not shown)");
        assert!(parsed(&["plan", "--kind", "x"]).is_err());
        assert!(parsed(&["plan", "--format", "yaml"]).is_err());
        assert_eq!(
            parsed(&["export", "out", "--format", "yml"]).expect_err("typo"),
            "unknown format yml: did you mean yaml?"
        );
        assert_eq!(parsed(&["export", "out", "--format=yaml"]).map(|args| args.format), Ok(Syntax::Yaml));
    }
}
