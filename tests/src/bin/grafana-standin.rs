//! Runs the Grafana stand-in until it is ended: `grafana-standin --profile 12 --port 3000`. It is for the demonstration and for a
//! look by hand; it is not Grafana, and the module `kit::grafana` says how far it goes.

use std::io::Write as _;

use anyhow::{Context as _, Result, bail};
use kit::grafana::{Grafana, Options, Profile};

const USAGE: &str = "usage: grafana-standin [--profile 10|11|12|13] [--port N] [--password P] [--nested-folders]";

fn main() -> Result<()> {
    let mut profile = Profile::V12;
    let mut options = Options { port: 3000, ..Options::default() };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} needs a value; {USAGE}"));
        match argument.as_str() {
            "--profile" => {
                let major = value()?.parse().context("--profile takes a number")?;
                profile = Profile::of_major(major).with_context(|| format!("no profile {major}; {USAGE}"))?;
            }
            "--port" => options.port = value()?.parse().context("--port takes a number")?,
            "--password" => options.admin_password = value()?,
            "--nested-folders" => options.nested_folders = true,
            "--help" => {
                writeln!(std::io::stdout(), "{USAGE}")?;
                return Ok(());
            }
            other => bail!("unknown option {other}; {USAGE}"),
        }
    }
    let port = options.port;
    let server = Grafana::try_start(profile, options).with_context(|| format!("listen on 127.0.0.1:{port}"))?;
    let mut out = std::io::stdout();
    writeln!(out, "a stand-in for Grafana {} listens on {}", profile.version(), server.url())?;
    out.flush()?;
    loop {
        std::thread::park();
    }
}
