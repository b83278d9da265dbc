//! Rules of this repository that no other tool checks: module docs, sizes, words, duplicate crates, the README's commands. What rustfmt and
//! clippy can check is theirs; the names that users see are in `tidy_names`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use kit::servers::{kafka, opensearch};

const PROGRAMS: [&str; 3] = ["os-init", "k-init", "grafana-init"];

/// The longest a source file may be without a reason; its own tests at its end do not count.
const LINES: usize = 400;

/// Longer files, and why they are not two.
const LONG: &[(&str, &str)] = &[
    (
        "common/src/process/start.rs",
        "the order of things from the command line to the exit code, read from top to bottom",
    ),
    ("common/src/engine/run/tests.rs", "the cases of one runner: they share one server in memory"),
    ("common/src/files/load.rs", "one walk over the folder: every layout and limit in the order in which it is met"),
    ("grafana-init/src/alerting/rule.rs", "one kind whose forms three versions print differently"),
    ("grafana-init/src/datasource.rs", "one kind: its secrets are compared where its body is"),
    ("os-init/src/index.rs", "one kind: what of an index changes in place and what does not"),
    ("tests/src/grafana/resource.rs", "one stand-in of one API: its routes and their state"),
    ("tests/src/grafana/state.rs", "one state that all routes of the stand-in share"),
    ("tests/tests/common_canary.rs", "one search for secrets, in every form that a server gives them"),
    ("tests/tests/os_init_main.rs", "the cases that share one real node of each version"),
    ("tests/src/ism/mod.rs", "one stand-in: a plugin's routes and their state"),
];

/// Crates that a program carries in two versions, and whose choice that is.
const TWICE: &[(&str, &str)] = &[];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the repository")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("could not read {}: {error}", path.display()))
}

/// Every file of the repository, but not what is built or fetched.
fn files() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("the repository can be read") {
            let path = entry.expect("the repository can be read").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() && !["target", ".git", ".cache", "node_modules"].contains(&name) {
                walk(&path, found);
            } else if path.is_file() {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(root(), &mut found);
    found.sort();
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

fn sources() -> Vec<(String, String)> {
    let rust = files().into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    rust.map(|path| (shown(&path), read(&path))).collect()
}

#[track_caller]
fn none(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn every_source_file_says_what_it_is_for() {
    let silent = sources()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//! "))
        .map(|(name, _)| name + " does not start with //!");
    none(&silent.collect::<Vec<_>>());
}

#[test]
fn no_source_file_is_long_without_a_reason() {
    let reasons: BTreeMap<&str, &str> = LONG.iter().copied().collect();
    let mut problems = Vec::new();
    let mut used = BTreeSet::new();
    for (name, text) in sources() {
        let lines = text.lines().take_while(|line| *line != "#[cfg(test)]").count();
        match reasons.get_key_value(name.as_str()) {
            Some((known, _)) if lines > LINES => drop(used.insert(*known)),
            Some(_) | None if lines <= LINES => {}
            Some(_) | None => problems
                .push(format!("{name} has {lines} lines, more than {LINES}: divide it, or give the reason in LONG")),
        }
    }
    problems.extend(
        reasons
            .keys()
            .filter(|name| !used.contains(*name))
            .map(|name| format!("LONG names {name}, which is short or gone")),
    );
    none(&problems);
}

#[test]
fn main_files_are_short() {
    for program in PROGRAMS {
        let text = read(&root().join(program).join("src/main.rs"));
        let lines = text.lines().filter(|line| !line.starts_with("mod ")).count();
        assert!(lines <= 25, "{program}/src/main.rs has {lines} lines besides its list of modules, more than 25");
    }
}

#[test]
fn forbidden_words_do_not_occur() {
    // Put together here, so that this file does not hold them.
    let everywhere = [["/wo", "rk/"], ["/ro", "ot/"], ["/home/ru", "nner"]].map(|parts| parts.concat());
    let in_code = [
        [".unw", "rap()"],
        ["todo", "!("],
        ["unimple", "mented!("],
        ["#[ig", "nore"],
        ["#[al", "low("],
        ["FIX", "ME"],
        ["XX", "X:"],
    ]
    .map(|parts| parts.concat());
    let mut problems = Vec::new();
    for path in files() {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let code = path.extension().is_some_and(|extension| extension == "rs");
        let words = everywhere.iter().chain(if code { in_code.as_slice() } else { &[] });
        for word in words {
            if let Some(at) = text.find(word.as_str()) {
                let line = 1 + text[..at].matches('\n').count();
                problems.push(format!("{}:{line} holds {word}", shown(&path)));
            }
        }
    }
    none(&problems);
}

#[test]
fn workflows_pin_their_actions() {
    let mut problems = Vec::new();
    let mut actions = 0;
    for path in files().iter().filter(|path| shown(path).starts_with(".github/workflows/")) {
        for line in read(path).lines() {
            let Some(action) = line.trim_start().trim_start_matches("- ").strip_prefix("uses: ") else { continue };
            actions += 1;
            // A workflow of this repository is of this commit.
            if action.starts_with("./") {
                continue;
            }
            let commit = action.split(['@', ' ']).nth(1).unwrap_or_default();
            if commit.len() != 40 || !commit.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                problems.push(format!("{} uses {action}, which is no commit", shown(path)));
            }
        }
    }
    none(&problems);
    assert!(actions > 0, "no workflow uses any action");
}

#[test]
fn no_program_carries_a_crate_twice() {
    let allowed: BTreeMap<&str, &str> = TWICE.iter().copied().collect();
    for program in PROGRAMS {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(["tree", "--quiet", "--duplicates", "--edges", "normal", "--depth", "0", "--package", program]);
        let output = command
            .args(["--target", "x86_64-unknown-linux-musl"])
            .current_dir(root())
            .output()
            .expect("cargo runs this test");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout);
        let twice: BTreeSet<&str> =
            text.lines().filter_map(|line| line.split(' ').next()).filter(|name| !name.is_empty()).collect();
        let problems = twice
            .iter()
            .filter(|name| !allowed.contains_key(*name))
            .map(|name| format!("{program} carries {name} twice"));
        none(&problems.collect::<Vec<_>>());
    }
}

#[test]
fn what_the_readme_names_exists() {
    let readme = read(&root().join("README.md"));
    let mut problems = Vec::new();
    let scripts: BTreeSet<&str> = readme
        .split(|it: char| it.is_whitespace() || "`()[]|,;".contains(it))
        .filter_map(|word| word.strip_prefix("./"))
        // A Compose volume, `./config:/config`, is the reader's.
        .filter(|word| !word.is_empty() && !word.contains(':'))
        .collect();
    for script in &scripts {
        let mode = fs::metadata(root().join(script)).map(|file| file.permissions().mode());
        if !mode.is_ok_and(|mode| mode & 0o111 != 0) {
            problems.push(format!("./{script} is not there or not executable"));
        }
    }
    let links = readme.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    for link in links.filter(|link| !link.is_empty() && !link.contains("://")) {
        if !root().join(link).exists() {
            problems.push(format!("the link to {link} leads nowhere"));
        }
    }
    problems.extend(
        commands(&readme)
            .into_iter()
            .filter(|command| !known(command))
            .map(|command| format!("{command} is no command known here")),
    );
    none(&problems);
    assert!(scripts.contains("demo") && scripts.contains("test"), "README.md names {scripts:?}");
}

/// The first word of each line of the blocks marked `sh`.
fn commands(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut shell = false;
    let mut fenced = false;
    let mut goes_on = false;
    for line in text.lines() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            fenced = !fenced;
            shell = fenced && ["sh", "bash", "shell", "console"].contains(&language.trim());
        } else if shell {
            let first = !goes_on;
            goes_on = line.ends_with('\\');
            let line = line.trim().trim_start_matches("$ ");
            // Variables may stand before the command.
            if let (true, false, Some(command)) =
                (first, line.starts_with('#'), line.split_whitespace().find(|word| !word.contains('=')))
            {
                found.push(command);
            }
        }
    }
    found
}

fn known(command: &str) -> bool {
    const OTHERS: [&str; 11] =
        ["cargo", "docker", "docker-compose", "kubectl", "helm", "git", "curl", "cd", "export", "cat", "jq"];
    PROGRAMS.contains(&command)
        || OTHERS.contains(&command)
        || (command.contains('/') && root().join(command).is_file())
}

#[test]
fn set_up_fetches_what_the_cases_start() {
    let test = read(&root().join("test"));
    let kafka = kafka::Version::ALL.into_iter().map(kafka::Version::number);
    let all = kafka.chain(opensearch::Variant::ALL.into_iter().map(opensearch::Variant::name));
    let words: BTreeSet<&str> = test.split_whitespace().map(|word| word.trim_end_matches(';')).collect();
    none(
        &all.filter(|version| !words.contains(version))
            .map(|version| format!("./test does not fetch {version}"))
            .collect::<Vec<_>>(),
    );
}

/// Each case that SECURITY.md names beside a promise is there, by its own name or as a whole file.
#[test]
fn what_security_promises_has_its_case() {
    let sources: String = sources().into_iter().map(|(_, text)| text).collect();
    let text = read(&root().join("SECURITY.md"));
    let (text, _) = text.split_once("## What a write takes away").expect("the kinds are named below that");
    let name = |word: &&str| word.contains('_') && word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let named: Vec<&str> = text.split('`').skip(1).step_by(2).filter(name).collect();
    assert!(named.len() > 20, "SECURITY.md names {named:?}");
    let there = |name: &&&str| {
        sources.contains(&format!("fn {name}()")) || root().join(format!("tests/tests/{name}.rs")).is_file()
    };
    none(&named.iter().filter(|name| !there(name)).map(|name| format!("there is no case {name}")).collect::<Vec<_>>());
}
