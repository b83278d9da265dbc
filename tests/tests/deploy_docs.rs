//! What the pages in docs/ show is true: each body is applied as it stands, each Compose file is taken by Compose, each command is one that there is, and
//! every page has a case. The kinds' own pages have theirs in `k_init_docs`, `os_init_docs` and `grafana_init_docs`; what `docs/kubernetes.md` shows is
//! checked by `docker/kubernetes/check`.

use std::fs;
use std::path::Path;
use std::process::Command;

use kit::engine::{repository, say};
use kit::grafana::{Grafana, Options, Profile};
use kit::ism::IsmFront;
use kit::sandbox::Sandbox;
use kit::servers::kafka::{Kafka, Listener, Version};
use kit::servers::opensearch::{OpenSearch, Variant};

/// Each page, and the cases that run what it shows.
const PAGES: [(&str, &str); 17] = [
    ("accounts.md", "faults_accounts"),
    ("ci.md", "deploy_docs"),
    ("compose.md", "deploy_docs, deploy_engine, containers_sidecar"),
    ("existing-files.md", "deploy_docs"),
    ("from-kafka-tools.md", "deploy_docs"),
    ("from-opensearch-tools.md", "deploy_docs"),
    ("grafana-init.md", "grafana_init_docs"),
    ("k-init.md", "k_init_docs"),
    ("kubernetes.md", "containers_kubernetes"),
    ("logins.md", "deploy_docs"),
    ("observability.md", "common_telemetry"),
    ("os-init.md", "os_init_docs"),
    ("reference.md", "tidy_names"),
    ("result.schema.json", "common_exit_paths"),
    ("scale.md", "deploy_docs"),
    ("schema", "common_schemas"),
    ("swarm-nomad-systemd.md", "deploy_docs, deploy_files"),
];

/// A fenced block: the page it is on, its language, the file that the fence names, its text.
struct Block {
    page: String,
    language: String,
    file: String,
    text: String,
}

/// Every fenced block of the README and of docs/.
fn blocks() -> Vec<Block> {
    let docs = fs::read_dir(repository().join("docs")).expect("docs/ is there");
    let docs = docs.map(|entry| entry.expect("docs/ can be read").path());
    let mut pages: Vec<_> = docs.filter(|path| path.extension().is_some_and(|it| it == "md")).collect();
    pages.push(repository().join("README.md"));
    pages.sort();
    let mut found = Vec::new();
    for path in pages {
        let page = path.file_name().and_then(|name| name.to_str()).expect("a page has a name").to_owned();
        let text = fs::read_to_string(&path).expect("a page is text");
        let mut block: Option<Block> = None;
        for line in text.lines() {
            match (&mut block, line.strip_prefix("```")) {
                (None, Some(fence)) => {
                    let (language, file) = fence.split_once(' ').unwrap_or((fence, ""));
                    let (language, file) = (language.to_owned(), file.to_owned());
                    block = Some(Block { page: page.clone(), language, file, text: String::new() });
                }
                (Some(_), Some("")) => found.extend(block.take()),
                (Some(block), _) => block.text += &format!("{line}\n"),
                (None, None) => {}
            }
        }
        assert!(block.is_none(), "{page}: a fence has no end");
    }
    found
}

/// The guides' files of one program, in one folder.
fn files_of(program: &str) -> Vec<(String, String)> {
    let prefix = format!("{program}/");
    let named = |block: Block| Some((block.file.strip_prefix(&prefix)?.to_owned(), block.text));
    // That of an account is applied by `faults_accounts`.
    blocks().into_iter().filter(|block| block.page != "accounts.md").filter_map(named).collect()
}

/// Applies the guides' files twice; then the guides' commands find nothing to do.
fn apply(program: &str, mut sandbox: Sandbox, placeholders: &[(&str, &str)]) {
    let files = files_of(program);
    assert!(files.len() >= 2, "the guides show {} files of {program}", files.len());
    for (path, text) in &files {
        assert!(!sandbox.path("config").join(path).exists(), "two guides show {path}");
        sandbox.write(path, text);
    }
    sandbox.run(&["validate"]).expect_code(0);
    sandbox.run(&[]).expect_code(0);
    let second = sandbox.run(&[]);
    second.expect_code(0);
    assert_eq!(second.count("writes"), 0, "{second}");
    // What each guide begins with.
    let backup = sandbox.path("backup").display().to_string();
    sandbox.run(&["export", &backup]).expect_code(0);
    for (name, value) in placeholders {
        sandbox.set(name, *value);
    }
    sandbox.run(&["plan", "--config", &backup]).expect_code(0);
}

#[test]
fn the_guides_files_of_k_init_are_applied_as_they_stand() {
    let kafka = Kafka::of(Version::V4_3).start();
    let sandbox = Sandbox::new("k-init")
        .env("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap())
        .env("KAFKA_VERIFY_SERVERS", format!("SASL_PLAINTEXT://{}", kafka.bootstrap_on(Listener::Sasl)))
        .env("BILLING_PASSWORD", "the-password-of-billing");
    let held = [
        ("USERS_ADMIN_PASSWORD", Kafka::ADMIN.1),
        ("USERS_LIMITED_PASSWORD", Kafka::LIMITED.1),
        ("USERS_BILLING_PASSWORD", "the-password-of-billing"),
    ];
    apply("k-init", sandbox, &held);
}

#[test]
fn the_guides_files_of_os_init_are_applied_as_they_stand() {
    for variant in Variant::usable(&[Variant::Security2]) {
        let node = OpenSearch::of(variant).plain_http().start();
        let front = IsmFront::of(&node);
        let sandbox = Sandbox::new("os-init")
            .env("OPENSEARCH_URL", front.url())
            .env("OPENSEARCH_USERNAME", OpenSearch::ADMIN.0)
            .env("OPENSEARCH_PASSWORD", OpenSearch::ADMIN.1);
        let hash = "$2y$12$rGbBmsr2CjC7PyI5bV2NGeRJIkSCb3PcYD0WOcOsNxw8DR0dAZM7O";
        let held = [("INTERNAL_USERS_GUIDE_HASH", hash), ("INTERNAL_USERS_LIMITED_PASSWORD", OpenSearch::LIMITED.1)];
        apply("os-init", sandbox, &held);
    }
}

#[test]
fn the_guides_files_of_grafana_init_are_applied_as_they_stand() {
    let grafana = Grafana::start(Profile::V12, Options::default());
    let sandbox = Sandbox::new("grafana-init")
        .env("GRAFANA_URL", grafana.url())
        .env("GRAFANA_USERNAME", "admin")
        .env("GRAFANA_PASSWORD", "admin");
    apply("grafana-init", sandbox, &[]);
}

/// Compose files of the pages, in a project that has the sidecar files where the pages say.
#[test]
fn compose_takes_every_file_of_the_docs() {
    kit::engine::set_up();
    let program = std::env::var("INIT_COMPOSE").unwrap_or_else(|_| "docker-compose".to_owned());
    let mut taken = 0;
    for block in blocks().iter().filter(|block| block.file == "compose.yml") {
        let project = tempfile::tempdir().expect("the temporary folder can be written");
        say(Command::new("cp").arg("-r").arg(repository().join("docker/infra")).arg(project.path())).expect_code(0);
        let mut text = block.text.clone();
        // 1.29 knows no `include`: what it names is given by `--file`, from where it lies.
        if let Some(line) = text.lines().find(|line| line.starts_with("include: ")).map(str::to_owned) {
            let named = line.split(['[', ']']).nth(1).expect("a list of one");
            say(Command::new(&program).args(["--file", named, "config"]).current_dir(project.path())).expect_code(0);
            text = text.replace(&line, "") + "  k-init: {image: it}\n";
        }
        fs::write(project.path().join("compose.yml"), &text).expect("the temporary folder can be written");
        let said = say(Command::new(&program)
            .args(["--file", "compose.yml", "config"])
            .env("OPENSEARCH_PASSWORD", "x")
            .current_dir(project.path()));
        assert_eq!(said.code, 0, "{}:\n{text}\n{}", block.page, said.stderr);
        taken += 1;
    }
    assert!(taken >= 8, "{taken} Compose files");
}

/// The first words of the lines of a block of commands, without variables in front of them; a continued line belongs to the one before.
fn commands(text: &str) -> Vec<Vec<String>> {
    let joined = text.replace("\\\n", " ");
    let lines = joined.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let words = |line: &str| -> Vec<String> {
        let words = line.split_whitespace().map(|word| word.trim_matches(['\'', '"']).to_owned());
        words.skip_while(|word| word.contains('=') && !word.starts_with('-')).collect()
    };
    lines.map(words).collect()
}

#[test]
fn every_command_of_the_docs_is_one() {
    const OTHERS: [&str; 10] =
        ["docker", "kubectl", "helm", "mkdir", "chown", "systemctl", "cargo", "curl", "git", "jq"];
    const KNOWN: [&str; 6] = ["apply", "plan", "validate", "wait", "healthcheck", "export"];
    let mut problems = Vec::new();
    let mut count = 0;
    for block in blocks().iter().filter(|block| block.language == "sh") {
        for words in commands(&block.text) {
            count += 1;
            let line = format!("{}: {}", block.page, words.join(" "));
            let first = words[0].as_str();
            let ours = ["os-init", "k-init", "grafana-init"].contains(&first);
            let there = first.contains('/') && repository().join(first).is_file();
            if !(ours || there || OTHERS.contains(&first)) {
                problems.push(format!("{line}: no such command"));
            }
            if let Some(command) = words.get(1).filter(|word| ours && !word.starts_with('-'))
                && !KNOWN.contains(&command.as_str())
            {
                problems.push(format!("{line}: no such command of {first}"));
            }
            let places =
                words.iter().skip(1).filter(|word| word.starts_with("docker/") || word.starts_with("./docker/"));
            problems.extend(
                places
                    .filter(|place| !repository().join(place).exists())
                    .map(|place| format!("{line}: there is no {place}")),
            );
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
    assert!(count >= 15, "{count} commands");
}

#[test]
fn every_page_has_a_case_and_every_link_leads_somewhere() {
    let mut pages: Vec<String> = fs::read_dir(repository().join("docs"))
        .expect("docs/ is there")
        .map(|entry| entry.expect("docs/ can be read").file_name().to_string_lossy().into_owned())
        // Both are written by `./test bench`, which runs what they show.
        .filter(|name| name != "pictures" && name != "benchmarks.md")
        .collect();
    pages.sort();
    let listed: Vec<&str> = PAGES.iter().map(|(page, _)| *page).collect();
    assert_eq!(pages, listed, "PAGES says which case runs a page");
    let mut problems = Vec::new();
    for (page, cases) in PAGES {
        for case in cases.split(", ") {
            if !repository().join(format!("tests/tests/{case}.rs")).is_file() {
                problems.push(format!("there is no {case} to run {page}"));
            }
        }
    }
    let others = ["README.md", "SECURITY.md", "CONTRIBUTING.md", "ARCHITECTURE.md"].map(Path::new);
    let docs: Vec<_> =
        pages.iter().filter(|page| page.ends_with(".md")).map(|page| Path::new("docs").join(page)).collect();
    for page in others.into_iter().chain(docs.iter().map(std::path::PathBuf::as_path)) {
        let text = fs::read_to_string(repository().join(page)).expect("the page is text");
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://")) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let folder = page.parent().expect("a file lies in a folder");
            let target = if file.is_empty() { page.to_owned() } else { folder.join(file) };
            let there = repository().join(&target);
            if !there.exists() {
                problems.push(format!("{}: {link} leads nowhere", page.display()));
            } else if !heading.is_empty()
                && !headings(&fs::read_to_string(there).unwrap_or_default()).contains(&heading.to_owned())
            {
                problems.push(format!("{}: {link}: there is no such heading", page.display()));
            }
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

/// The headings as GitHub's addresses have them.
fn headings(text: &str) -> Vec<String> {
    let titles = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let address = |title: &str| {
        let kept = title.to_lowercase().replace(' ', "-");
        kept.chars().filter(|it| it.is_alphanumeric() || *it == '-' || *it == '_').collect()
    };
    titles.map(address).collect()
}
