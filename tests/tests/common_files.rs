//! Files as people and machines leave them: YAML beside JSON, one file in place of a folder, links, FIFOs, devices, far too many or far too much.
//! `validate` needs no server, so that the real programs read all of it.

use std::fmt::Write;
use std::os::unix::fs::symlink;
use std::time::Duration;

use kit::fixture::fifo;
use kit::sandbox::{Run, Sandbox};

const MIB: u64 = 1 << 20;

fn sandbox(program: &str) -> Sandbox {
    Sandbox::new(program).deadline(Duration::from_secs(50))
}

/// The texts of the problems of a run.
fn errors(run: &Run) -> Vec<String> {
    let error = |record: serde_json::Value| record["error"].as_str().unwrap_or_default().to_owned();
    run.records_saying("files").into_iter().map(error).collect()
}

#[test]
fn yaml_is_read_wherever_json_is() {
    let sandbox = sandbox("k-init");
    sandbox.write(
        "topics.yaml",
        "$schema: x\ndefaults: &d {partitions: 3}\norders: *d\npayments:\n  <<: *d\n  config: {retention.ms: 1000}\n",
    );
    sandbox.write("topics/team/audit.yml", "# one object\npartitions: 1\n");
    sandbox.write("quotas/user=app.YAML", "producer_byte_rate: 1048576\n");
    sandbox.write("broker_defaults.yml", "message.max.bytes: \"2097152\"\n");
    sandbox.run(&["validate"]).expect_code(0);

    sandbox.write("topics/team/audit.yml", "partitions: yes\nconfig:\n  a: 1\n  b: 2\n  a: 3\n");
    sandbox.write("topics/x.yaml", "partitions: three\n");
    sandbox.write("topics/y.yaml", "partitions: 3\n---\npartitions: 4\n");
    sandbox.write("topics/z.yaml", "partitions: !!int 3\n");
    sandbox.write("topics/orders.json", "{}");
    let run = sandbox.run(&["validate"]);
    run.expect_code(1);
    let found = errors(&run);
    for wanted in [
        "topics/team/audit.yml:5:3 /config/a: this key stands twice in its object, first in line 3",
        "topics/x.yaml:1:1 /partitions: invalid type: string, expected a whole number",
        "topics/y.yaml:3:1: a second document begins here: one file holds one object or one map of objects",
        "topics/z.yaml:1:13: tags are not read: put a text between quotes, leave other values as they are",
        "topics.yaml:3:1 /orders: topics/orders is declared twice: here and in topics/orders.json",
    ] {
        assert!(found.iter().any(|error| error == wanted), "{wanted}\nis not among\n{}", found.join("\n"));
    }
}

#[test]
fn one_file_may_stand_for_the_folder() {
    let mut sandbox = sandbox("k-init");
    sandbox.write("topics.yaml", "orders: {partitions: 3}\n");
    let file = sandbox.config_dir().join("topics.yaml").display().to_string();
    sandbox.run(&["validate", "--config", &file]).expect_code(0);
    sandbox.set("CONFIG_DIR", &file);
    sandbox.run(&["validate"]).expect_code(0);
    let other = sandbox.config_dir().join("stuff.yaml");
    sandbox.write("stuff.yaml", "a: 1\n");
    sandbox.set("CONFIG_DIR", other.display().to_string());
    let run = sandbox.run(&["validate"]);
    run.expect_code(1).expect_stderr("unknown file stuff.yaml");
}

#[test]
fn placeholders_have_defaults_and_stand_in_names() {
    let mut sandbox = sandbox("k-init");
    sandbox.write("topics.yaml", "$__env{PREFIX:-dev-}orders: {partitions: \"$__env{PARTITIONS:-3}\"}\n");
    sandbox.write("topics/$__env{PREFIX:-dev-}audit.json", "{}");
    sandbox.write("seeds/dev-orders.jsonl", "{\"key\": \"a\", \"value\": \"1\"}\n");
    sandbox.run(&["validate"]).expect_code(0);
    sandbox.set("PARTITIONS", "many");
    sandbox
        .run(&["validate"])
        .expect_code(1)
        .expect_stderr("/partitions: invalid type: string, expected a whole number");
    sandbox.set("PARTITIONS", "");
    sandbox.write("topics/dev-orders.json", "{}");
    let run = sandbox.run(&["validate"]);
    run.expect_code(1).expect_stderr("topics/dev-orders is declared twice");
    sandbox.write("topics/$__env{NO_SUCH_PREFIX}x.json", "{}");
    sandbox.run(&["validate"]).expect_stderr("the variable NO_SUCH_PREFIX is not set");
}

#[test]
fn what_is_no_regular_file_is_an_error_that_says_what_it_is() {
    let sandbox = sandbox("k-init");
    sandbox.write("topics/good.json", "{}");
    let config = sandbox.config_dir();
    fifo(&config.join("topics/fifo.json"));
    fifo(&config.join("seeds/fifo.jsonl"));
    symlink("/dev/zero", config.join("topics/zero.yaml")).expect("a link");
    std::fs::create_dir_all(config.join("topics/orders.json")).expect("a folder");
    std::fs::create_dir_all(config.join("topics/orders.YAML")).expect("a folder");
    std::fs::create_dir_all(config.join("users.yaml")).expect("a folder");
    fifo(&sandbox.path("secret"));
    sandbox.write("users/app.json", format!("{{\"password\": \"$__file{{{}}}\"}}", sandbox.path("secret").display()));
    let run = sandbox.run(&["validate"]);
    run.expect_code(1);
    assert!(run.peak_rss < 32 * MIB, "{} bytes", run.peak_rss);
    let text = run.stderr.clone();
    for wanted in [
        "topics/fifo.json is a FIFO where a file is wanted",
        "seeds/fifo.jsonl is a FIFO where a file is wanted",
        "topics/zero.yaml is a device where a file is wanted",
        "topics/orders.json: is a folder where a file is wanted: is the mount's source there?",
        "topics/orders.YAML: is a folder where a file is wanted",
        "users.yaml: is a folder where a file is wanted",
        "secret is a FIFO where a file is wanted",
    ] {
        assert!(text.contains(wanted), "{wanted}\nis not in\n{text}");
    }
    // Settings by the same rule.
    for (name, path) in
        [("KAFKA_CA_FILE", "/dev/zero"), ("KAFKA_CLIENT_CONFIG", "/dev/zero"), ("KAFKA_PASSWORD_FILE", "/dev/zero")]
    {
        let sandbox =
            self::sandbox("k-init").env(name, path).env("KAFKA_SECURITY_PROTOCOL", "SSL").env("WAIT_TIMEOUT", "1s");
        let run = sandbox.run(&["wait"]);
        run.expect_code(1).expect_stderr("/dev/zero is a device where a file is wanted");
    }
}

#[test]
fn links_that_lead_back_and_mounts_of_everything_end_with_a_sentence() {
    let sandbox = sandbox("k-init");
    sandbox.write("topics/good.json", "{}");
    symlink(".", sandbox.config_dir().join("topics/a")).expect("a link");
    symlink(".", sandbox.config_dir().join("topics/b")).expect("a link");
    let run = sandbox.run(&["validate"]);
    run.expect_code(1).expect_stderr("topics/a: a link that leads back to a folder above it");

    let sandbox = self::sandbox("k-init");
    sandbox.write("topics/x/good.json", "{}");
    sandbox.write("topics/y/other.json", "{}");
    symlink("../y", sandbox.config_dir().join("topics/x/to-y")).expect("a link");
    symlink("../x", sandbox.config_dir().join("topics/y/to-x")).expect("a link");
    sandbox.run(&["validate"]).expect_code(1).expect_stderr("a link that leads back to a folder above it");

    // Twenty levels of two links each are a million ways down, none of which leads back.
    let sandbox = self::sandbox("k-init");
    for level in 0..20 {
        let folder = sandbox.path(&format!("levels/{level}"));
        std::fs::create_dir_all(&folder).expect("a folder");
        for name in ["a", "b"] {
            symlink(sandbox.path(&format!("levels/{}", level + 1)), folder.join(name)).expect("a link");
        }
    }
    std::fs::create_dir_all(sandbox.path("levels/20")).expect("a folder");
    symlink(sandbox.path("levels"), sandbox.config_dir().join("topics")).expect("a link");
    let run = sandbox.run(&["validate"]);
    run.expect_code(1).expect_stderr("more than 50000 files and folders");
    assert!(run.peak_rss < 48 * MIB, "{} bytes", run.peak_rss);
}

#[test]
fn endings_count_in_any_case_and_other_languages_are_not_passed_over() {
    let sandbox = sandbox("k-init");
    sandbox.write("topics/pay.JSON", "{\"partitions\": 0}");
    sandbox.write("topics/a.jsonc", "{}");
    sandbox.write("topics/b.toml", "");
    sandbox.write("topics/c.json5", "{}");
    sandbox.write("topics/README.md", "skipped");
    let run = sandbox.run(&["validate"]);
    run.expect_code(1);
    for wanted in ["topics/pay.JSON:1:2 /partitions: must be at least 1", "not .jsonc", "not .toml", "not .json5"] {
        run.expect_stderr(wanted);
    }
    assert!(!run.stderr.contains("README"), "{}", run.stderr);
}

#[test]
fn first_mistakes_are_told_in_words() {
    for (name, text, wanted) in [
        ("topics.json", "{\"a\": \"x\ny\"}", "a line break or tab stands raw inside a string; write \\\\n or \\\\t"),
        ("topics.json", "{\n  // mine\n  \"a\": {}}", "JSON has no comments"),
        ("topics.json", "{'a': {}}", "strings stand between double quotes"),
        ("topics.json", "{\"a\": {},}", "remove the comma before the closing bracket"),
        ("topics.json", "orders:\n  partitions: 3\n", "it looks like YAML; name the file .yaml"),
        ("topics.json", "orders:3:1,payments:3:1", "it looks like a plain list; write {\\\"<name>\\\": {…}}"),
        ("topics.yaml", "orders:3:1,payments:3:1", "must be a map of name to object, not a text"),
        ("topics.yaml", "- orders\n- payments\n", "must be a map of name to object, not a list"),
        ("topics.yaml", "# nothing yet\n", "the file is empty"),
        ("topics/a.yaml", "a: b: c\n", "stands between quotes"),
        ("topics/a.yaml", "a:\n\tb: 1\n", "YAML is indented by blanks alone"),
        (
            "topics/a.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n",
            "Kubernetes resource (v1 ConfigMap)",
        ),
        ("topics/a.json", "{\"partitions\": \"3", "the file ends too early"),
    ] {
        let sandbox = sandbox("k-init");
        sandbox.write(name, text);
        let run = sandbox.run(&["validate"]);
        run.expect_code(1).expect_stderr(wanted);
    }
}

#[test]
fn a_misplaced_secret_is_told_by_its_type() {
    let sandbox = sandbox("k-init");
    sandbox.write("users/app.json", "{\"password\": 98765432101234}");
    sandbox.write("users.yaml", "other: hunter-secret-1\n");
    let run = sandbox.run(&["validate"]);
    run.expect_code(1).expect_stderr("users/app.json:1:2 /password: invalid type: integer, expected a string");
    run.expect_stderr("users.yaml:1:1 /other: invalid type: string, expected an object");
    assert!(!run.stderr.contains("98765") && !run.stderr.contains("hunter"), "{}", run.stderr);
}

/// Processor time of reading so many of something, and then four times as many. Linear cost makes it four times as much and quadratic cost sixteen
/// times: the bound stands in the middle, so that neither a slow machine nor a busy one decides. The start of the program is left some ground.
fn grows_linearly(what: &str, count: usize, most: u64, write: impl Fn(&Sandbox, usize), code: i32) {
    let measured = |count: usize| {
        let sandbox = sandbox("k-init");
        write(&sandbox, count);
        let run = sandbox.run(&["validate"]);
        run.expect_code(code);
        assert!(run.peak_rss < most * MIB, "{what} {count}: {} MiB", run.peak_rss / MIB);
        run.cpu
    };
    // The better of two: what other processes take from the caches is no cost of ours.
    let (once, four_times) = (measured(count).min(measured(count)), measured(4 * count).min(measured(4 * count)));
    let ground = Duration::from_millis(30);
    assert!(four_times < (once + ground) * 8, "{what}: {once:?}, then {four_times:?} for four times as many");
}

#[test]
fn the_cost_of_files_is_linear() {
    let keys = |count: usize, same: bool| {
        let mut text = "{\"config\": {".to_owned();
        for n in 0..count {
            let key = if same { n % 10 } else { n };
            write!(text, "{}\"k{key}\":1", if n == 0 { "" } else { "," }).expect("a string can be written");
        }
        text + "}}"
    };
    let topics = |count: usize, yaml: bool| {
        let line = |n: usize| {
            if yaml {
                format!("t{n}:\n  partitions: 3\n  config:\n    retention.ms: {n}\n")
            } else {
                format!("\"t{n}\":{{\"partitions\":3,\"config\":{{\"retention.ms\":{n}}}}}")
            }
        };
        let lines: Vec<String> = (0..count).map(line).collect();
        if yaml { lines.concat() } else { format!("{{{}}}", lines.join(",\n")) }
    };
    grows_linearly("duplicate keys", 25_000, 48, |sandbox, n| sandbox.write("topics/a.json", keys(n, true)), 1);
    grows_linearly("objects in JSON", 5_000, 64, |sandbox, n| sandbox.write("topics.json", topics(n, false)), 0);
    grows_linearly("objects in YAML", 5_000, 64, |sandbox, n| sandbox.write("topics.yaml", topics(n, true)), 0);
    grows_linearly(
        "bad values",
        1_000,
        64,
        |sandbox, n| sandbox.write("topics.json", topics(n, false).replace(":3,", ":\"x\",")),
        1,
    );
    grows_linearly(
        "placeholders",
        10_000,
        64,
        |sandbox, n| {
            sandbox
                .write("topics/a.json", format!("{{\"config\": {{\"a\": \"{}\"}}}}", "$__file{/no/such} ".repeat(n)));
        },
        0,
    );
}

#[test]
fn memory_is_bounded_by_the_file() {
    let text = |entries: usize, of: &dyn Fn(usize) -> String| {
        let lines: Vec<String> = (0..entries).map(of).collect();
        format!("{{{}}}", lines.join(","))
    };
    let sandbox = sandbox("k-init");
    sandbox.write("topics/a.json", text(700_000, &|n| format!("\"k{n}\":1")));
    let run = sandbox.run(&["validate"]);
    run.expect_code(1).expect_stderr("the file has more than 400000 values: divide it");
    assert!(run.peak_rss < 48 * MIB, "{} MiB", run.peak_rss / MIB);

    let sandbox = self::sandbox("k-init");
    sandbox.write("topics.json", text(300_000, &|n| format!("\"topic-{n:010}\":{{}}")));
    let run = sandbox.run(&["validate"]);
    run.expect_code(1).expect_stderr("more than 100000 objects: divide them between several runs");
    assert!(run.peak_rss < 128 * MIB, "{} MiB", run.peak_rss / MIB);
}
