//! The ISM and SM stand-in is asked what real nodes were asked, in the same order, and has to give the same answers. What differs from run
//! to run (times, sequence numbers, ids) is left out, but for sequence numbers inside a question, which are those that were answered before.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use kit::ism::IsmFront;
use kit::servers::opensearch::{OpenSearch, Variant};
use serde_json::Value;

/// Fields whose values are this run's own. The place of a parsing error depends on blanks in the body, which were not recorded.
/// So does the schema's number, which moved between two recordings of one version.
const OWN: [&str; 12] = [
    "last_updated_time",
    "start_time",
    "updated_at",
    "enabled_time",
    "index_uuid",
    "_seq_no",
    "line",
    "col",
    "enabled_at",
    "index_creation_date",
    "policy_seq_no",
    "schema_version",
];

fn without_own(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let own = |key: &str, value: &Value| if OWN.contains(&key) { Value::Null } else { without_own(value) };
            fields.iter().map(|(key, value)| (key.clone(), own(key, value))).collect()
        }
        Value::Array(items) => items.iter().map(without_own).collect(),
        Value::String(text) if text.contains("seqNo [") => Value::String(without_numbers(text)),
        other => other.clone(),
    }
}

fn without_numbers(text: &str) -> String {
    let mut parts = text.split("seqNo [");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + "seqNo [" + part.trim_start_matches(|c: char| c.is_ascii_digit()))
}

fn ask(front: &IsmFront, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
    let mut command = Command::new("curl");
    command.args([
        "--silent",
        "--show-error",
        "--noproxy",
        "*",
        "--globoff",
        "--max-time",
        "20",
        "--write-out",
        "\n%{http_code}",
    ]);
    command.args(["--request", method]);
    if let Some(body) = body {
        command.args(["--header", "content-type: application/json", "--data-binary", &body.to_string()]);
    }
    let output = command.arg(front.url() + path).output().expect("curl is there");
    let text = String::from_utf8_lossy(&output.stdout);
    let (answer, status) = text.rsplit_once('\n').expect("curl prints the status");
    (status.parse().expect("a status is a number"), serde_json::from_str(answer).unwrap_or_default())
}

fn replay(variant: Variant, transcript: &str, least: usize) {
    let node = OpenSearch::of(variant).start();
    let front = IsmFront::of(&node);
    let recorded: Value = serde_json::from_str(transcript).expect("the transcript is JSON");
    let mut sequences: BTreeMap<u64, u64> = BTreeMap::new();
    let mut asked = 0;
    for exchange in recorded.as_array().expect("the transcript is a list") {
        let (method, path) =
            (exchange["method"].as_str().expect("a method"), exchange["path"].as_str().expect("a path"));
        let ours =
            ["_ism", "_sm", "_transform", "_rollup"].iter().any(|api| path.starts_with(&format!("/_plugins/{api}")));
        let other = matches!(path, "/a-1" | "/z-1" | "/vv-1" | "/_index_template/met" | "/_data_stream/met-a");
        if !ours && !other {
            continue;
        }
        asked += 1;
        let path = match path.split_once("if_seq_no=") {
            Some((before, after)) => {
                let (number, rest) = after.split_once('&').expect("the primary term follows");
                let number: u64 = number.parse().expect("a number");
                format!("{before}if_seq_no={}&{rest}", sequences.get(&number).unwrap_or(&number))
            }
            None => path.to_owned(),
        };
        let remark = exchange["note"].as_str().unwrap_or_default();
        if remark.contains("the next run of the job") {
            front.run_jobs();
        }
        if remark.contains("a second later") {
            let shown = || without_own(&ask(&front, method, &path, None).1) == without_own(&exchange["answer"]);
            kit::eventually(Duration::from_secs(5), shown);
        }
        let (status, answer) = ask(&front, method, &path, exchange.get("body"));
        let told = format!("{} {method} {path} {remark}", variant.name());
        assert_eq!(u64::from(status), exchange["status"].as_u64().expect("a status"), "{told}: {answer}");
        assert_eq!(without_own(&answer), without_own(&exchange["answer"]), "{told}");
        if let (Some(theirs), Some(ours)) = (exchange["answer"]["_seq_no"].as_u64(), answer["_seq_no"].as_u64()) {
            sequences.insert(theirs, ours);
        }
    }
    assert!(asked >= least, "the transcript holds {asked} questions for ISM and SM");
}

#[test]
fn it_answers_as_2_19_does() {
    replay(Variant::Core2, include_str!("../transcripts/opensearch-2.19.4.json"), 131);
    replay(Variant::Core2, include_str!("../transcripts/opensearch-2.19.4-second.json"), 60);
}

#[test]
fn it_answers_as_3_4_does() {
    for variant in Variant::usable(&[Variant::Core3]) {
        replay(variant, include_str!("../transcripts/opensearch-3.4.0.json"), 131);
        replay(variant, include_str!("../transcripts/opensearch-3.4.0-second.json"), 60);
    }
}
