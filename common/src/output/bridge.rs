//! The libraries' logs, turned into records. Which of them get through is told by the settings.

use super::Record;

/// Turns the libraries' logs into records too, so that no line is ever unparsable.
struct Bridge(env_filter::Filter);

impl log::Log for Bridge {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        shown(metadata.level()) && self.0.enabled(metadata)
    }

    fn log(&self, record: &log::Record<'_>) {
        if shown(record.level()) && self.0.matches(record) {
            Record::new(record.level(), &record.args().to_string()).field("target", record.target()).always().emit();
        }
    }

    fn flush(&self) {}
}

/// ureq 3.5 traces every byte that it sends, in hexadecimal and sixteen at a time: passwords in pieces that no mask can find.
fn shown(level: log::Level) -> bool {
    level <= log::Level::Debug
}

/// Lets the libraries' logs through as `RUST_LOG` says, else as `LOG_LEVEL` does, but never below warnings then:
/// their debug lines are about sockets, not about the work.
pub fn bridge(rust_log: Option<&str>, level: log::LevelFilter) -> Result<(), String> {
    let mut builder = env_filter::Builder::new();
    match rust_log {
        Some(directives) => {
            builder.try_parse(directives).map_err(|error| format!("RUST_LOG: {error}"))?;
        }
        None => {
            builder.filter_level(level.min(log::LevelFilter::Warn));
        }
    }
    let filter = builder.build();
    log::set_max_level(filter.filter().min(log::LevelFilter::Debug));
    // Fails only if set twice; the first one stays.
    let _ = log::set_boxed_logger(Box::new(Bridge(filter)));
    Ok(())
}
