//! Exit codes and the reasons behind them: the one table that maps how a run ended to what the process returns.
//! Nothing here ends the process; only `start` does, by returning from `main`.

use std::fmt;

use crate::engine::change::Class;

/// Why a run ended, as printed in `exit_reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The server matches the files (or the command did what it was asked).
    Ok,
    /// `plan` found changes to make.
    Changes,
    /// The command line was wrong.
    Usage,
    /// Settings or files were wrong.
    Config,
    /// The server was not ready within `WAIT_TIMEOUT`.
    WaitTimeout,
    /// Credentials or rights were refused.
    Auth,
    /// The server refused an object, or did not keep it as sent.
    Rejected,
    /// A difference that cannot be changed in place, under `ON_DRIFT=fail`.
    Drift,
    /// `APPLY_TIMEOUT` ran out.
    Timeout,
    /// The server answered with something temporary until the retries were spent.
    Unavailable,
    /// The records were lost, under `LOKI_REQUIRED=true`.
    Telemetry,
    /// SIGHUP (1), SIGINT (2), SIGQUIT (3) or SIGTERM (15).
    Signal(i32),
    /// A crash, or something that should not happen.
    Internal,
}

/// `EXIT_CODES`: whether failures share code 1 or have a code each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Codes {
    /// Every failure is 1.
    #[default]
    Simple,
    /// A code per reason, in the manner of sysexits.
    Detailed,
}

impl Reason {
    /// The process's exit code.
    #[must_use]
    pub fn code(self, codes: Codes) -> u8 {
        match (self, codes) {
            (Self::Ok, _) => 0,
            (Self::Changes, _) => 2,
            // 128 + the signal's number, as shells count; the signals that are handled all fit.
            (Self::Signal(number), _) => u8::try_from(128 + number).unwrap_or(1),
            (_, Codes::Simple) | (Self::Internal | Self::Telemetry, Codes::Detailed) => 1,
            (Self::Usage, Codes::Detailed) => 64,
            (Self::Rejected | Self::Drift, Codes::Detailed) => 65,
            (Self::WaitTimeout, Codes::Detailed) => 69,
            (Self::Timeout | Self::Unavailable, Codes::Detailed) => 75,
            (Self::Auth, Codes::Detailed) => 77,
            (Self::Config, Codes::Detailed) => 78,
        }
    }
}

/// The one table from how a failure is to be met to why a run ended.
impl From<Class> for Reason {
    fn from(class: Class) -> Self {
        match class {
            Class::Auth => Self::Auth,
            Class::Config => Self::Config,
            Class::Rejected | Class::Fatal | Class::Taken => Self::Rejected,
            Class::Timeout => Self::Timeout,
            Class::Again | Class::Ambiguous => Self::Unavailable,
        }
    }
}

impl Reason {
    /// The reason of a run that failed in several ways, and its first sentence with how many more there are.
    /// What no later run can mend goes before what may pass.
    #[must_use]
    pub fn gravest(all: Vec<(Self, String)>) -> Option<(Self, String)> {
        let rank = |reason: Self| match reason {
            Self::Auth => 0,
            Self::Config => 1,
            Self::Rejected => 2,
            Self::Drift => 3,
            Self::Timeout => 4,
            Self::Unavailable => 5,
            _ => 6,
        };
        let more = match all.len() {
            0 | 1 => String::new(),
            n => format!(" (and {} more)", n - 1),
        };
        // The first of several equal ones.
        let (reason, text) = all.into_iter().min_by_key(|(reason, _)| rank(*reason))?;
        Some((reason, text + &more))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Changes => "changes",
            Self::Usage => "usage",
            Self::Config => "config",
            Self::WaitTimeout => "wait_timeout",
            Self::Auth => "auth",
            Self::Rejected => "rejected",
            Self::Drift => "drift",
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::Telemetry => "telemetry",
            Self::Signal(_) => "signal",
            Self::Internal => "internal",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simple_codes_know_only_the_conventional_values() {
        let all = [Reason::Usage, Reason::Config, Reason::WaitTimeout, Reason::Auth, Reason::Rejected];
        assert!(all.iter().all(|reason| reason.code(Codes::Simple) == 1));
        assert_eq!(Reason::Ok.code(Codes::Simple), 0);
        assert_eq!(Reason::Changes.code(Codes::Simple), 2);
        assert_eq!(Reason::Signal(15).code(Codes::Simple), 143);
        assert_eq!(Reason::Signal(2).code(Codes::Detailed), 130);
    }

    #[test]
    fn detailed_codes_are_told_apart() {
        let table = [
            (Reason::Usage, 64),
            (Reason::Rejected, 65),
            (Reason::Drift, 65),
            (Reason::WaitTimeout, 69),
            (Reason::Timeout, 75),
            (Reason::Unavailable, 75),
            (Reason::Auth, 77),
            (Reason::Config, 78),
            (Reason::Internal, 1),
            (Reason::Telemetry, 1),
            (Reason::Signal(1), 129),
            (Reason::Signal(3), 131),
        ];
        for (reason, code) in table {
            assert_eq!(reason.code(Codes::Detailed), code, "{reason}");
        }
    }
}
