//! The files that put the programs in their place agree with the programs: the reference set is whole and good, what is mounted exists, and
//! every variable is a setting. No server and no engine is needed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::files::Syntax;
use kit::engine::{repository, say};
use kit::sandbox::Sandbox;

const PROGRAMS: [&str; 3] = ["os-init", "k-init", "grafana-init"];

/// The program's own Compose file and manifest.
const FILES: [[&str; 2]; 3] = [
    ["docker/infra/04-data/os-init.yml", "docker/kubernetes/os-init.yaml"],
    ["docker/infra/05-messaging/k-init.yml", "docker/kubernetes/k-init.yaml"],
    ["docker/infra/06-observability/grafana-init.yml", "docker/kubernetes/grafana-init.yaml"],
];

const COMPOSE: [&str; 4] = ["docker/compose.yml", FILES[0][0], FILES[1][0], FILES[2][0]];

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("could not read {path}: {error}"))
}

fn reference(place: &str) -> PathBuf {
    repository().join("docker/demo").join(place)
}

/// The files below a folder, relative to it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).unwrap_or_else(|error| panic!("could not read {}: {error}", next.display())) {
            let path = entry.expect("the folder can be read").path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(path.strip_prefix(folder).expect("it is below the folder").to_owned());
            }
        }
    }
    found
}

fn objects(kind: &str) -> usize {
    let whole = |path: &PathBuf| Syntax::of(path).is_some() && !path.ends_with("_folder.json");
    let folder = reference(kind);
    let single = if folder.is_dir() { files(&folder).iter().filter(|path| whole(path)).count() } else { 0 };
    let maps = ["json", "yaml"].iter().filter_map(|ending| {
        let path = reference(&format!("{kind}.{ending}"));
        let text = fs::read_to_string(&path).ok()?;
        let values = Syntax::of(&path)?.values(&text).expect("the reference set can be read");
        values[0].as_object().map(|map| map.keys().filter(|key| *key != "$schema").count())
    });
    single + maps.sum::<usize>()
}

#[test]
fn the_reference_set_shows_both_languages() {
    for program in PROGRAMS {
        for syntax in [Syntax::Json, Syntax::Yaml] {
            let shown = files(&reference(program)).iter().any(|path| Syntax::of(path) == Some(syntax));
            assert!(shown, "{program} has no file in {syntax:?}");
        }
    }
}

#[test]
fn the_reference_set_is_that_of_a_real_stack() {
    let least = [
        ("k-init/topics", 12),
        ("os-init/component_templates", 8),
        ("os-init/index_templates", 8),
        ("os-init/ism_policies", 4),
        ("os-init/ingest_pipelines", 4),
        ("grafana-init/datasources", 4),
        ("grafana-init/dashboards", 6),
    ];
    for (kind, least) in least {
        assert!(objects(kind) >= least, "{kind}: {} of {least}", objects(kind));
    }
    let indices = objects("os-init/indices") + objects("os-init/data_streams");
    assert!(indices >= 6, "indices and data streams: {indices} of 6");
    let deepest = files(&reference("grafana-init/dashboards")).iter().map(|path| path.components().count()).max();
    assert!(deepest >= Some(3), "no dashboard lies in a folder of a folder");
}

#[test]
fn the_reference_set_is_good() {
    for program in PROGRAMS {
        let run = Sandbox::new(program).config_from(&reference(program)).run(&["validate"]);
        run.expect_code(0);
    }
}

/// The words in front of a colon that are written as variables are.
fn variables(text: &str) -> BTreeSet<&str> {
    let name = |word: &&str| {
        word.contains('_') && word.chars().all(|it| it.is_ascii_uppercase() || it.is_ascii_digit() || it == '_')
    };
    let keys = text.lines().filter_map(|line| line.trim().split_once(": ")).map(|(key, _)| key);
    let list = text.lines().filter_map(|line| line.trim().strip_prefix("- {name: ")?.split(',').next());
    keys.chain(list).filter(name).collect()
}

#[test]
fn every_variable_is_a_setting_of_its_program() {
    for (program, files) in PROGRAMS.into_iter().zip(FILES) {
        for file in files {
            let text = read(file);
            let names = variables(&text);
            assert!(names.len() >= 3, "{file} sets {names:?}");
            let mut sandbox = Sandbox::new(program).config_from(&reference(program));
            for name in &names {
                // One letter too much: whoever knows the right name suggests it.
                sandbox.set(&format!("{name}Q"), "1");
            }
            let run = sandbox.run(&["validate"]);
            let said = run.stderr;
            let unknown: Vec<_> =
                names.iter().filter(|name| !said.contains(&format!("did you mean {name}?"))).collect();
            assert!(unknown.is_empty(), "{file}: {program} does not know {unknown:?}\n{said}");
        }
    }
}

#[test]
fn the_stack_mounts_what_exists_and_a_sidecar_file_the_users_own_folder() {
    let text = read(COMPOSE[0]);
    let places: BTreeSet<&str> = text
        .match_indices("- ./")
        .filter_map(|(at, _)| text[at + 2..].split(|it: char| it.is_whitespace() || "}:".contains(it)).next())
        .collect();
    assert!(places.len() >= 4, "{} mounts {places:?}", COMPOSE[0]);
    let missing: Vec<_> = places.iter().filter(|it| !repository().join("docker").join(it).exists()).collect();
    assert!(missing.is_empty(), "{} mounts {missing:?}, which are not in docker/", COMPOSE[0]);
    for (program, [file, _]) in PROGRAMS.into_iter().zip(FILES) {
        let text = read(file);
        assert!(text.contains(&format!("_CONFIG:-../../config/{program}}}\"")), "{file} mounts another folder");
        assert!(!text.contains("demo"), "{file} names the demonstration set");
        // What comes with it would be applied to somebody's servers.
        assert!(!repository().join("docker/config").exists(), "{file} would mount docker/config");
    }
}

#[test]
fn compose_takes_every_file_from_where_it_lies() {
    let program = std::env::var("INIT_COMPOSE").unwrap_or_else(|_| "docker-compose".to_owned());
    kit::engine::set_up();
    let config = |arguments: &[&str]| {
        let said = say(Command::new(&program).args(arguments).arg("config").current_dir(repository()));
        said.expect_code(0);
        said.stdout
    };
    for file in COMPOSE {
        config(&["--file", file]);
    }
    for (program, [file, _]) in PROGRAMS.into_iter().zip(FILES) {
        let folder = repository().join("docker/config").join(program);
        let said = config(&["--file", file]);
        assert!(said.contains(&folder.display().to_string()), "{file} mounts another folder than {}", folder.display());
    }
    config(&["--file", COMPOSE[0], "--file", "docker/compose.test.yml"]);
}

/// What the repository calls an image has to be what the release calls it.
#[test]
fn every_image_has_its_published_name() {
    let home = read("Cargo.toml").lines().find_map(|line| line.strip_prefix("repository = ").map(str::to_owned));
    let home = home.expect("Cargo.toml names the repository");
    let owner = home.trim_matches('"').rsplit('/').nth(1).expect("it has an owner");
    let version = env!("CARGO_PKG_VERSION");
    let mut found = 0;
    let mut problems = Vec::new();
    for file in files(repository()).iter().filter(|file| {
        ["docs/", "docker/", "README.md"].iter().any(|place| file.starts_with(place.trim_end_matches('/')))
    }) {
        let Ok(text) = fs::read_to_string(repository().join(file)) else { continue };
        for (number, line) in text.lines().enumerate() {
            for program in PROGRAMS {
                for (at, _) in line.match_indices(&format!("{program}:0.")) {
                    let before = &line[..at];
                    let good = before.ends_with(&format!("ghcr.io/{owner}/"));
                    let tag = &line[at + program.len() + 1..];
                    found += 1;
                    if !good || !tag.starts_with(version) {
                        problems.push(format!("{}:{}: {line}", file.display(), number + 1));
                    }
                }
            }
        }
    }
    assert!(problems.is_empty(), "other names than ghcr.io/{owner}/<program>:{version}:\n{}", problems.join("\n"));
    assert!(found >= 6, "{found} names found");
}

#[test]
fn every_program_is_hardened_and_runs_once() {
    for [compose, manifest] in FILES {
        let text = read(compose);
        for line in [
            "restart: \"no\"",
            "read_only: true",
            "cap_drop: [ALL]",
            "no-new-privileges:true",
            "target: /config, read_only: true",
            "mem_limit: 16m",
        ] {
            assert!(text.contains(line), "{compose} lacks {line}");
        }
        let text = read(manifest);
        for line in [
            "restartPolicy: Never",
            "runAsNonRoot: true",
            "readOnlyRootFilesystem: true",
            "capabilities: {drop: [ALL]}",
            "activeDeadlineSeconds:",
        ] {
            assert!(text.contains(line), "{manifest} lacks {line}");
        }
    }
}

#[test]
fn the_unit_is_good() {
    let Ok(found) = Command::new("systemd-analyze").arg("--version").output() else {
        return kit::left_out("systemd", "there is no systemd-analyze to check the unit with");
    };
    assert!(found.status.success());
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    // The program is not installed here.
    let text = read("docker/systemd/init@.service").replace("ExecStart=/usr/local/bin/%i", "ExecStart=/bin/true");
    let unit = folder.path().join("init@.service");
    fs::write(&unit, text).expect("the temporary folder can be written");
    let said = say(Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit));
    said.expect_code(0);
    assert!(!said.stderr.contains("init@"), "systemd-analyze says:\n{}", said.stderr);
}

/// A release's archives are where `cargo binstall` looks for them, hold the licenses, and are the same when made again.
#[test]
fn archives_are_named_for_binstall_and_made_the_same_twice() {
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let dist = folder.path().join("dist");
    for architecture in ["amd64", "arm64"] {
        fs::create_dir_all(dist.join(architecture)).expect("the temporary folder can be written");
        for program in PROGRAMS {
            fs::write(dist.join(architecture).join(program), program).expect("the temporary folder can be written");
        }
    }
    fs::write(dist.join("THIRD-PARTY"), "licenses").expect("the temporary folder can be written");
    let sums: Vec<String> = ["first", "second"]
        .into_iter()
        .map(|name| {
            let release = folder.path().join(name);
            say(Command::new(repository().join("docker/archives")).env("DIST", &dist).env("RELEASE", &release))
                .expect_code(0);
            fs::read_to_string(release.join("SHA256SUMS")).expect("the sums are there")
        })
        .collect();
    assert_eq!(sums[0], sums[1], "the second time they are others");
    let version = env!("CARGO_PKG_VERSION");
    for program in PROGRAMS {
        let manifest = read(&format!("{program}/Cargo.toml"));
        let template = manifest.lines().find_map(|line| line.strip_prefix("pkg-url = ")).expect("it is for binstall");
        for target in ["x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl"] {
            let values = [("{ name }", program), ("{ target }", target), ("{ version }", version)];
            let url =
                values.iter().fold(template.trim_matches('"').to_owned(), |url, (it, value)| url.replace(it, value));
            let name = url.rsplit('/').next().expect("an address has a last part");
            assert!(sums[0].contains(name), "{name} is not among\n{}", sums[0]);
            let list = say(Command::new("tar").arg("-tzf").arg(folder.path().join("first").join(name))).stdout;
            for file in ["./LICENSE", "./THIRD-PARTY", &format!("./{program}")] {
                assert!(list.lines().any(|line| line == file), "{name} lacks {file}:\n{list}");
            }
        }
    }
}
