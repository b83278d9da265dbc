//! What a whole run leaves: `docs/benchmarks.md`, the picture of the growth, and the tables of docs/reference.md and README.md. Only writing.

use std::fmt::Write as _;
use std::process::Command;

use jiff::Timestamp;
use kit::engine::repository;
use kit::servers::{kafka::Version, opensearch::Variant};

use crate::chart;
use crate::table::{Curve, Row, Table, mebibytes};

/// Between these a page quotes what was measured.
const QUOTED: [&str; 2] = ["<!-- from ./test bench: begin -->\n", "<!-- from ./test bench: end -->\n"];

/// Why a figure misses its bound, by how its work and side begin: what profiling found.
const REASONS: &[(&str, &str, &str)] = &[
    (
        "a port opens",
        "grafana-init wait",
        "a closed port is tried in growing pauses of at most 60 ms, so half of them should be noticed after 30 to 45 ms; a start of the program and other work come on top",
    ),
    (
        "reference set",
        "os-init: processor time",
        "no function has more than a twentieth of it: two fifths are the kernel's (threads, connections, files), the rest is parsing and comparing by a program that is built for size",
    ),
    (
        "reference set",
        "grafana-init: processor time",
        "no function has more than a twentieth of it: two fifths are the kernel's (24 requests, most of them from four threads at once), the rest is parsing and comparing by a program that is built for size",
    ),
    (
        "growth: processor time",
        "k-init first run",
        "Kafka makes thousands of partitions slowly, and k-init asks until it shows them: hundreds of requests for 5,000",
    ),
    (
        "growth: processor time",
        "",
        "with more than a tenth above the bound a look-up that is not linear, which is a fault; below that the processor time of one run, which other work moves by a tenth. `./test soak` takes the better of two runs and fails",
    ),
    (
        "growth: peak memory",
        "grafana-init validate",
        "each organization has kinds and a look-up of its own, some 6 KB; no other kind takes more than 61 MiB",
    ),
    (
        "growth: peak memory",
        "",
        "until the end each object keeps its verdict, its requests and its line of the report, some 2 KB and in k-init 4, and what the server holds of it as text; 5,000 of each kind stay below 48 MiB",
    ),
    (
        "reference set",
        "grafana-init: peak memory",
        "four reading threads have a stack and a connection each; the rest is the program's own pages",
    ),
    ("size of the image", "", "beside the program it holds the licences of its libraries, 61 KB"),
    (
        "Kafka, 50",
        "k-init: its work",
        "CreateTopics is answered before the broker has made the partitions; k-init reads back until it shows all of them",
    ),
    ("Kafka, 500", "k-init: its work", "the same: what is beyond the bare request is the wait for 1,500 partitions"),
    (
        "Kafka, 100 ACL",
        "k-init: its work",
        "one round trip before the write and one after it, where the bare side has the write alone",
    ),
    (
        "Kafka, 20 users",
        "k-init: its work",
        "each password is proven by a log-in, which costs both ends 4,096 rounds of the hash",
    ),
    (
        "OpenSearch 2.19.6, 92 component and 50 index templates, second",
        "os-init: its work",
        "what is beyond the lists is 142 files that are opened and 284 bodies that are parsed and compared, by a program that is built for size",
    ),
    (
        "OpenSearch",
        "os-init: its work",
        "the server simulates each template before the first write; all lists are read before and after",
    ),
    (
        "Grafana",
        "grafana-init: its work",
        "each object is read before its write and after it, four at a time; the bare side writes alone",
    ),
];

/// Writes all of it.
pub(crate) fn write(table: &Table) {
    let root = repository();
    let put = |path: &str, text: String| {
        // A clone has no folder for the pictures before the first one.
        std::fs::create_dir_all(root.join(path).parent().expect("it lies in a folder"))
            .expect("the folder can be made");
        std::fs::write(root.join(path), text).unwrap_or_else(|error| panic!("could not write {path}: {error}"));
    };
    // Before the picture, which is a change of the commit that it names.
    put("docs/benchmarks.md", page(table));
    put("docs/pictures/growth.svg", chart::growth(&table.curves));
    for (path, quoted) in [("docs/reference.md", quote(table)), ("README.md", brief(table))] {
        let page = std::fs::read_to_string(root.join(path)).expect("the page is there");
        let (before, rest) = page.split_once(QUOTED[0]).expect("the page has a place for the table");
        let (_, after) = rest.split_once(QUOTED[1]).expect("the page's place for the table ends");
        put(path, format!("{before}{}{quoted}{}{after}", QUOTED[0], QUOTED[1]));
    }
}

fn page(table: &Table) -> String {
    let mut text = format!(
        "# Benchmarks\n\nWritten by `./test bench`, which measures all sides in one run, in turn, starting with another side each round; figures are medians, the \
         spread is the lowest and the highest. `ratio` is against the first side of the same work. Processes are measured whole, from \
         their start to their end; \"its work\" is what a program's own last record tells: everything but its start and the wait.\n\n{}\n",
        circumstances()
    );
    let mut parts: Vec<(&str, Vec<&Row>)> = Vec::new();
    for row in &table.rows {
        let title = title(row);
        match parts.iter_mut().find(|(known, _)| *known == title) {
            Some((_, rows)) => rows.push(row),
            None => parts.push((title, vec![row])),
        }
    }
    for (title, rows) in &parts {
        let _ = write!(text, "## {title}\n\n{}\n", Table::markdown(rows));
    }
    text += &misses(table);
    text += "## Growth by kind\n\nProcessor time and peak memory of a process; of two, the quicker, where it takes less than three seconds. The files lie in memory \
             where there is room. `plan` asks servers that hold nothing, so every object is new; first and second runs are against servers that keep what they are given.\n\n\
             ![Processor time and peak memory by number of objects](pictures/growth.svg)\n\n";
    text += &curves(&table.curves);
    text += "\n## Notes\n\n";
    for note in &table.notes {
        let _ = writeln!(text, "* {note}.");
    }
    text
}

fn title(row: &Row) -> &'static str {
    match row.work.as_str() {
        work if work.starts_with("Kafka") => "Kafka",
        work if work.starts_with("OpenSearch") => "OpenSearch",
        work if work.starts_with("Grafana") => "Grafana",
        work if work.starts_with("growth") => "Growth",
        work if work.starts_with("Compose") => "The whole, under Compose",
        work if work.starts_with("a ") || work.starts_with("the first of two") => "Waiting",
        _ => "Weight",
    }
}

fn misses(table: &Table) -> String {
    let missed: Vec<&Row> = table.rows.iter().filter(|row| row.holds == Some(false)).collect();
    if missed.is_empty() {
        return "Every bound is reached.\n\n".to_owned();
    }
    let mut text = String::from("## What misses its bound, and why\n\n");
    for row in missed {
        let reason = REASONS
            .iter()
            .find(|(work, side, _)| row.work.starts_with(work) && row.side.starts_with(side))
            .map_or("not profiled yet", |(.., reason)| reason);
        let ratio = row.ratio.map(|ratio| format!(", {ratio:.2} ×")).unwrap_or_default();
        let _ = writeln!(text, "* {}, {}: {}{ratio} (bound {}). {reason}.", row.work, row.side, row.found, row.bound);
    }
    text + "\n"
}

fn curves(curves: &[Curve]) -> String {
    let mut sizes: Vec<usize> = curves.iter().flat_map(|curve| &curve.points).map(|point| point.objects).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let heads: Vec<String> = sizes.iter().map(|size| size.to_string() + " |").collect();
    let mut text =
        format!("| program, command | kind | {} a doubling | requests | reached |\n|---|---|", heads.join(" "));
    text += &"---|".repeat(sizes.len() + 3);
    text.push('\n');
    for curve in curves {
        let _ = write!(text, "| {} {} | {} |", curve.program, curve.command, curve.kind);
        for size in &sizes {
            let cell = curve.points.iter().find(|point| point.objects == *size).map(|point| {
                format!("{}, {:.1} MiB", crate::table::shown(point.cpu.as_secs_f64() * 1000.0), mebibytes(point.memory))
            });
            let _ = write!(text, " {} |", cell.unwrap_or_else(|| "–".to_owned()));
        }
        let doubling = curve.per_doubling().map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2} ×"));
        let requests = curve.points.last().map_or(0, |point| point.requests);
        let _ = writeln!(text, " {doubling} | {requests} | {} |", if curve.holds() { "yes" } else { "**no**" });
    }
    text
}

/// What `docs/reference.md` quotes: the rows with a bound, and what stands beside them.
fn quote(table: &Table) -> String {
    let date = Timestamp::now().strftime("%Y-%m-%d");
    let bounded: Vec<&Row> = table.rows.iter().filter(|row| row.holds.is_some()).collect();
    format!("Measured {date}, [all of it with the other sides](benchmarks.md):\n\n{}", Table::markdown(&bounded))
}

/// What README.md quotes: of each work its bound is about, by how the work and the side begin, beside the first side.
fn brief(table: &Table) -> String {
    const ROWS: [(&str, &str); 6] = [
        ("Kafka, 50 topics with settings, first", "k-init: its work"),
        ("Kafka, 50 topics with settings, second", "k-init: its work"),
        ("OpenSearch 2.19.6", "os-init: its work"),
        ("OpenSearch 2.19.4", "os-init: its work"),
        ("Grafana", "grafana-init: its work"),
        ("a port opens", "grafana-init"),
    ];
    let date = Timestamp::now().strftime("%Y-%m-%d");
    let mut text = format!(
        "Measured on {date}, all sides in one run on a machine with 2 cores ([every figure](docs/benchmarks.md)):\n\n\
         | work | here | beside it | bound |\n|---|---|---|---|\n"
    );
    for (work, side) in ROWS {
        for row in table.rows.iter().filter(|row| row.work.starts_with(work) && row.side.starts_with(side)) {
            let base = table.rows.iter().find(|base| base.work == row.work && base.side != row.side);
            let beside = base.map(|base| format!("{}: {}", base.side, base.found)).unwrap_or_default();
            let missed = if row.holds == Some(false) { ", **missed**" } else { "" };
            let _ = writeln!(text, "| {} | {}, {} | {beside} | {}{missed} |", row.work, row.side, row.found, row.bound);
        }
    }
    text
}

fn circumstances() -> String {
    let first = |text: &str| text.lines().next().unwrap_or_default().trim().to_owned();
    let said = |program: &str, arguments: &[&str]| match Command::new(program)
        .args(arguments)
        .current_dir(repository())
        .output()
    {
        Ok(output) if output.stdout.is_empty() => first(&String::from_utf8_lossy(&output.stderr)),
        Ok(output) => first(&String::from_utf8_lossy(&output.stdout)),
        Err(_) => "not there".to_owned(),
    };
    // "curl 7.88.1", without what it is made of.
    let words = |text: &str| text.split(' ').take(2).collect::<Vec<_>>().join(" ");
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let value = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory: u64 = value(&read("/proc/meminfo"), "MemTotal").trim_end_matches(" kB").parse().unwrap_or_default();
    let dirty =
        if said("git", &["status", "--porcelain", "--untracked-files=no"]).is_empty() { "" } else { ", with changes" };
    let peers = include_str!("peers/requirements.txt").trim().replace("==", " ").replace('\n', ", ");
    let lines = [
        ("date", Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string()),
        ("commit", said("git", &["rev-parse", "HEAD"]) + dirty),
        (
            "machine",
            format!(
                "{cores} cores ({}), {:.0} GiB",
                value(&read("/proc/cpuinfo"), "model name"),
                mebibytes(memory * 1024) / 1024.0
            ),
        ),
        (
            "system",
            format!(
                "{}, load {}",
                said("uname", &["-sr"]),
                read("/proc/loadavg").split(' ').next().unwrap_or_default()
            ),
        ),
        (
            "servers",
            format!(
                "Kafka {}, OpenSearch {} and {}, on this machine",
                Version::V4_3.number(),
                Variant::Core2.name(),
                Variant::Security2.name()
            ),
        ),
        (
            "peers",
            format!("{peers}, {}, Kafka's tools {}", words(&said("curl", &["--version"])), Version::V4_3.number()),
        ),
        ("python, java", format!("{}, {}", said("python3", &["--version"]), said("java", &["-version"]))),
    ];
    lines
        .iter()
        .fold(String::from("| | |\n|---|---|\n"), |text, (name, value)| text + &format!("| {name} | {value} |\n"))
}
