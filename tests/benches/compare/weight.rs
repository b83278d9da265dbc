//! What the programs weigh: files, memory, system calls, processor time, and the time from the start of the process to its first packet.

use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kit::engine::repository;
use kit::grafana::{Grafana, Options, Profile};
use kit::ism::IsmFront;
use kit::sandbox::{Run, Sandbox, program_path};
use kit::servers::kafka::{Kafka, Version};
use kit::servers::opensearch::{OpenSearch, Variant};

use crate::sides::{Scale, Side, alternate, work};
use crate::table::{Samples, Table, mebibytes};

const PROGRAMS: [&str; 3] = ["os-init", "k-init", "grafana-init"];

pub(crate) fn measure(table: &mut Table, scale: Scale) {
    for program in PROGRAMS {
        let bytes = std::fs::metadata(program_path(program)).expect("it is built").len();
        let row = table.fact("size of the program", program, format!("{bytes} bytes"));
        row.bound("≤ 2.75 MB", bytes <= 2_750_000);
    }
    first_packet(table, scale.pick(100, 5));
    no_op(table, scale);
}

/// From `exec` to the first byte on the wire.
fn first_packet(table: &mut Table, trials: usize) {
    let sides = PROGRAMS.map(|program| {
        let door = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port is there");
        let address = door.local_addr().expect("it is bound");
        let (name, value) = match program {
            "os-init" => ("OPENSEARCH_URL", format!("http://{address}")),
            "k-init" => ("KAFKA_BOOTSTRAP_SERVERS", address.to_string()),
            _ => ("GRAFANA_URL", format!("http://{address}")),
        };
        Side::new(program, move |_| {
            let mut command = Command::new(program_path(program));
            command.arg("wait").env_clear().env(name, &value).env("GRAFANA_TOKEN", "t");
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let started = Instant::now();
            let mut child = command.spawn().expect("the program is there");
            let (mut stream, _) = door.accept().expect("the program connects");
            stream.read_exact(&mut [0]).expect("the program says something");
            let time = started.elapsed();
            child.kill().expect("it waits for an answer");
            child.wait().expect("our own child");
            vec![("packet", time)]
        })
    });
    let mut sides = sides;
    let found = alternate(trials, &mut sides);
    for program in PROGRAMS {
        let samples = found.of(program, "packet");
        let row = table.row("from exec to the first packet", program, &samples, &Samples::default());
        row.bound("≤ 5 ms", samples.median() <= 5.0);
    }
}

/// The second run of the reference set.
fn no_op(table: &mut Table, scale: Scale) {
    let config = repository().join("docker/demo");
    let kafka = Kafka::of(Version::V4_3).start();
    let node = OpenSearch::of(Variant::Core2).start();
    let front = IsmFront::of(&node);
    let grafana = Grafana::start(Profile::V12, Options::default());
    let sandbox = |program: &str| Sandbox::new(program).config_from(&config.join(program));
    let sandboxes = [
        ("os-init", sandbox("os-init").env("OPENSEARCH_URL", front.url())),
        ("k-init", sandbox("k-init").env("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap())),
        (
            "grafana-init",
            sandbox("grafana-init")
                .env("GRAFANA_URL", grafana.url())
                .env("GRAFANA_USERNAME", "admin")
                .env("GRAFANA_PASSWORD", "admin"),
        ),
    ];
    for (program, sandbox) in &sandboxes {
        sandbox.run(&[]).expect_code(0);
        let mut runs: Vec<Run> = (0..scale.pick(20, 3)).map(|_| sandbox.run(&[])).collect();
        for run in &runs {
            run.expect_code(0);
            assert_eq!(run.count("writes"), 0, "{run}");
        }
        let what = format!("reference set of {} objects, run that finds nothing to do", runs[0].count("unchanged"));
        let (mut process, mut inside) = (Samples::default(), Samples::default());
        for run in &runs {
            process.push(run.elapsed);
            inside.push(work(run));
        }
        table.row(&what, &format!("{program}: its work"), &inside, &Samples::default());
        table.row(&what, &format!("{program}: the whole process"), &process, &Samples::default());
        runs.sort_by_key(|run| run.cpu);
        let cpu = runs[runs.len() / 2].cpu;
        let row =
            table.fact(&what, &format!("{program}: processor time"), format!("{:.1} ms", cpu.as_secs_f64() * 1000.0));
        row.bound("≤ 10 ms", cpu <= Duration::from_millis(10));
        let peak = mebibytes(runs.iter().map(|run| run.peak_rss).max().unwrap_or_default());
        let row = table.fact(&what, &format!("{program}: peak memory"), format!("{peak:.1} MiB"));
        row.bound("≤ 3 MiB", peak <= 3.0);
        match system_calls(sandbox, program) {
            Ok(calls) => drop(table.fact(&what, &format!("{program}: system calls"), calls).clone()),
            Err(reason) => table.note(format!("system calls of {program} are left out: {reason}")),
        }
    }
}

/// All system calls of one run, by strace.
fn system_calls(sandbox: &Sandbox, program: &str) -> Result<String, String> {
    let place = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
    let mut command = Command::new("strace");
    command
        .args(["-f", "-c", "-o"])
        .arg(place.path())
        .arg(program_path(program))
        .env_clear()
        .envs(sandbox.environment());
    let output = command.output().map_err(|error| format!("strace: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    let text = std::fs::read_to_string(place.path()).map_err(|error| error.to_string())?;
    // "100.00    0.000000           0       345        12 total"
    let total = text.lines().rev().find(|line| line.ends_with("total")).ok_or("strace printed no total")?;
    total.split_whitespace().nth(3).map(str::to_owned).ok_or_else(|| format!("strace printed {total:?}"))
}
