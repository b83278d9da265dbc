//! The oracle for k-init: random files on a real broker, whose connections are cut, fall silent or lose an answer, once or from some request on.
//! Then all is well and the program runs again. **It may end with 0 only if Kafka's own client sees what is declared**: topics, settings,
//! bindings, quotas, each record once, and a log-in with the declared password.
//!
//! A life's number is its seed. Lives begin for two and a half minutes, with number `ORACLE_FIRST` (0) first; `ORACLE_LIVES` says how many.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use kafka_protocol::messages::ApiKey;
use kit::oracle::{Length, Table, Told, told};
use kit::proxy::KafkaProxy;
use kit::proxy::kafka::Verdict;
use kit::sandbox::Sandbox;
use kit::servers::Oracle;
use kit::servers::kafka::{Kafka, Listener, Version};
use kit::simulation::Tape;
use serde_json::{Value, json};

/// How long new lives begin.
const BEGINNING: Duration = Duration::from_secs(150);
/// Lives at once; each is mostly waiting.
const AT_ONCE: usize = 3;
/// More than a run sends, so that some lives are spared.
const REQUESTS: u32 = 36;

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The connection ends before the broker sees the request.
    Cut,
    /// It is done, and the connection ends before the answer.
    LostReply,
    /// It is done, and neither its answer nor any later one on that connection arrives.
    Silence,
}

const FAULTS: [(Fault, Verdict); 3] =
    [(Fault::Cut, Verdict::DropRequest), (Fault::LostReply, Verdict::DropAnswer), (Fault::Silence, Verdict::Hang)];

/// What one life declares.
struct Declared {
    tag: String,
    partitions: u32,
    retention: u32,
    password: String,
    mechanisms: Vec<&'static str>,
    operations: Vec<&'static str>,
    rate: u32,
    records: u32,
}

impl Declared {
    fn drawn(tape: &mut Tape, tag: &str) -> Self {
        let all = ["SCRAM-SHA-256", "SCRAM-SHA-512"];
        let operations = ["Read", "Write", "Describe"];
        let (first, last) = ([0, 0, 1][tape.below(3) as usize], [1, 2, 2][tape.below(3) as usize]);
        Self {
            tag: tag.to_owned(),
            partitions: 1 + tape.below(3),
            retention: 86_400_000 * (1 + tape.below(3)),
            password: format!("password-{tag}-{}", tape.below(1000)),
            mechanisms: all[first..last.max(first + 1)].to_vec(),
            operations: operations[..=tape.below(3) as usize].to_vec(),
            rate: 1024 * (1 + tape.below(9)),
            records: tape.below(4),
        }
    }

    /// What was there before: whatever of it differs has to change, and nothing of it cannot.
    fn earlier(&self, tape: &mut Tape) -> Self {
        let drawn = Self::drawn(tape, &self.tag);
        let kept = |operation: &&str| self.operations.contains(operation);
        let operations = drawn.operations.into_iter().filter(kept).collect();
        let mechanisms = drawn.mechanisms.into_iter().filter(|name| self.mechanisms.contains(name)).collect::<Vec<_>>();
        let mechanisms = if mechanisms.is_empty() { self.mechanisms.clone() } else { mechanisms };
        Self { partitions: 1, operations, mechanisms, records: 0, ..drawn }
    }

    fn topic(&self) -> String {
        format!("{}.events", self.tag)
    }

    fn write(&self, sandbox: Sandbox) -> Sandbox {
        let Self { tag, partitions, retention, password, mechanisms, operations, rate, records } = self;
        let topic = self.topic();
        let rules = json!([{"resource": {"type": "topic", "name": topic}, "operations": operations}]);
        let sandbox = sandbox.config(&[
            (
                "topics.json",
                json!({
                    topic.clone(): {"partitions": partitions, "config": {"retention.ms": retention}},
                    format!("{tag}.lookup"): {"partitions": 1, "config": {"cleanup.policy": "compact"}},
                }),
            ),
            (&format!("users/{tag}.json"), json!({"password": password, "mechanisms": mechanisms})),
            (&format!("acls/User:{tag}.json"), rules),
            (&format!("quotas/user={tag}.json"), json!({"producer_byte_rate": rate})),
        ]);
        let lines =
            |name: &str| (0..*records).map(|n| format!("{{\"key\": \"{name}{n}\", \"value\": {n}}}\n")).collect();
        let (events, lookup): (String, String) = (lines("e"), lines("l"));
        if *records > 0 {
            sandbox.write(&format!("seeds/{topic}.jsonl"), events);
            sandbox.write(&format!("seeds/{tag}.lookup.jsonl"), lookup);
        }
        sandbox
    }

    /// Where the world differs from this.
    fn wrong(&self, kafka: &Kafka, oracle: &mut Oracle) -> Vec<String> {
        let Self { tag, partitions, retention, password, mechanisms, operations, rate, records } = self;
        let topic = self.topic();
        let all = oracle.ask(&["all", &format!("{tag}.")]);
        let mut wrong = Vec::new();
        let mut compare = |what: &str, held: &Value, wanted: Value| {
            if *held != wanted {
                wrong.push(format!("{what}: {held}, not {wanted}"));
            }
        };
        compare("partitions", &all["topics"][&topic]["partitions"], json!(partitions));
        compare("settings", &all["topics"][&topic]["config"], json!({"retention.ms": retention.to_string()}));
        let lookup = format!("{tag}.lookup");
        compare("settings", &all["topics"][&lookup]["config"], json!({"cleanup.policy": "compact"}));
        let iterations: BTreeMap<&str, u32> = mechanisms.iter().map(|name| (*name, 4096)).collect();
        compare("user", &all["users"][tag], json!(iterations));
        compare("quota", &all["quotas"][format!("user={tag}")], json!({"producer_byte_rate": f64::from(*rate)}));
        let held: BTreeSet<&str> = all["acls"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for operation in operations {
            let line = format!("User:{tag} ALLOW {} TOPIC LITERAL {topic} *", operation.to_uppercase());
            compare("binding", &json!(held.contains(line.as_str())), json!(true));
        }
        let there = all["topics"].as_object().map_or(0, serde_json::Map::len) == 2;
        for (name, letter) in [(&topic, "e"), (&lookup, "l")].into_iter().filter(|_| there) {
            let records_held = oracle.ask(&["records", name]);
            let shown = |record: &Value| format!("{}={}", record["key"], record["value"]);
            let mut held: Vec<String> = records_held.as_array().into_iter().flatten().map(shown).collect();
            held.sort();
            let wanted: Vec<String> = (0..*records).map(|n| format!("\"{letter}{n}\"=\"{n}\"")).collect();
            compare("records", &json!(held), json!(wanted));
        }
        // The log-in last: a wrong one makes the broker wait.
        let door = kafka.bootstrap_on(Listener::Sasl);
        for name in mechanisms.iter().filter(|name| !all["users"][tag][**name].is_null()) {
            compare("log-in", &oracle.ask(&["login", tag, password, name, &door]), json!(true));
        }
        wrong
    }
}

fn sandbox(kafka: &Kafka, bootstrap: &str) -> Sandbox {
    Sandbox::new("k-init")
        .env("KAFKA_BOOTSTRAP_SERVERS", bootstrap)
        .env("KAFKA_VERIFY_SERVERS", format!("SASL_PLAINTEXT://{}", kafka.bootstrap_on(Listener::Sasl)))
        .env("REQUEST_TIMEOUT", "3s")
        .deadline(Duration::from_mins(3))
}

/// One life: the fault, the healing, the second run.
fn life(number: usize, kafka: &Kafka, oracle: &mut Oracle, table: &Table) {
    let mut tape = Tape::seeded(number as u64);
    let (fault, verdict) = FAULTS[number % FAULTS.len()];
    let length = if (number / FAULTS.len()).is_multiple_of(2) { Length::Once } else { Length::FromThenOn };
    let declared = Declared::drawn(&mut tape, &format!("life{number}"));
    if tape.once_in(2) {
        let earlier = declared.earlier(&mut tape);
        earlier.write(sandbox(kafka, &kafka.bootstrap())).run(&[]).expect_code(0);
    }
    let proxy = KafkaProxy::to(&kafka.bootstrap());
    let mut sandbox = declared.write(sandbox(kafka, &proxy.bootstrap()));
    if length == Length::FromThenOn {
        sandbox.set("WAIT_TIMEOUT", "5s");
        sandbox.set("APPLY_TIMEOUT", "5s");
    }
    let nth = 1 + tape.below(REQUESTS) as usize;
    let (seen, met) = (AtomicUsize::new(0), Arc::new(OnceLock::new()));
    let spoilt = met.clone();
    proxy.rule(move |request| {
        let count = seen.fetch_add(1, Ordering::SeqCst) + 1;
        if count == nth {
            let name = ApiKey::try_from(request.head.key).map_or_else(|()| "unknown".into(), |key| format!("{key:?}"));
            drop(spoilt.set(name));
        }
        if count == nth || (count > nth && length == Length::FromThenOn) { verdict } else { Verdict::Pass }
    });
    let first = sandbox.run(&[]);
    proxy.pass();
    proxy.cut();
    let first_wrong = declared.wrong(kafka, oracle);
    sandbox.set("WAIT_TIMEOUT", "1m");
    sandbox.set("APPLY_TIMEOUT", "1m");
    let second = sandbox.run(&[]);
    let second_wrong = declared.wrong(kafka, oracle);

    let question = met.get().cloned().unwrap_or_else(|| "none: it was done before".into());
    let told = [
        Told { run: &first, holds: first_wrong.is_empty(), must: length == Length::Once },
        Told { run: &second, holds: second_wrong.is_empty(), must: true },
    ];
    table.count(question, format!("{fault:?} {length:?}"), &told, |one| {
        format!("life {number}, request {nth}: {first_wrong:?}, then {second_wrong:?}\n{}", one.run)
    });
}

#[test]
fn k_init_says_done_only_when_it_is() {
    let kafka = Kafka::of(Version::V4_3).start();
    let table = Table::of("k-init");
    let (begun, first) = (Instant::now(), told("ORACLE_FIRST").unwrap_or(0));
    let next = AtomicUsize::new(0);
    // Each fault of each length once, however slow the machine is.
    let least = FAULTS.len() * 2;
    let goes_on = |count| match told("ORACLE_LIVES") {
        Some(lives) => count < lives,
        None => count < least || begun.elapsed() < BEGINNING,
    };
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let mut oracle = Oracle::beside(&kafka);
                loop {
                    let count = next.fetch_add(1, Ordering::SeqCst);
                    if !goes_on(count) {
                        return;
                    }
                    life(first + count, &kafka, &mut oracle, &table);
                }
            });
        }
    });
    table.end();
}
