//! The ISM and SM stand-in on a port of one's choice, for the demo: `ism-standin --port N --to http://HOST:PORT [--release 2|3]`. It runs
//! until it is ended. What it answers is `kit::ism`'s business.

use std::io::{self, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kit::ism::{IsmFront, Release};

fn main() -> Result<()> {
    let (mut port, mut target, mut release) = (None, None, Release::V3);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().with_context(|| format!("{argument} needs a value"))?;
        match argument.as_str() {
            "--port" => port = Some(value.parse::<u16>().context("--port takes a number")?),
            "--to" => target = Some(value),
            "--release" => {
                release = match value.as_str() {
                    "2" => Release::V2,
                    "3" => Release::V3,
                    _ => bail!("--release takes 2 or 3"),
                }
            }
            _ => bail!("unknown option {argument}: known are --port, --to and --release"),
        }
    }
    let (port, target) = (port.context("--port is missing")?, target.context("--to is missing")?);
    let front = IsmFront::to(&target, release);
    let inner = front.url().trim_start_matches("http://").parse().context("the front has an address")?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).with_context(|| format!("port {port}"))?;
    writeln!(io::stdout(), "listening on http://127.0.0.1:{port}, in front of {target}")?;
    for client in listener.incoming() {
        let (client, server) = (client?, TcpStream::connect_timeout(&inner, Duration::from_secs(5))?);
        // Small messages go both ways: none waits for more to be sent with it.
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        carry(client.try_clone()?, server.try_clone()?);
        carry(server, client);
    }
    Ok(())
}

/// Carries one direction to its end.
fn carry(mut from: TcpStream, mut to: TcpStream) {
    std::thread::spawn(move || {
        // However it ends, the other side has to hear of it.
        drop(io::copy(&mut from, &mut to));
        drop(to.shutdown(Shutdown::Write));
    });
}
