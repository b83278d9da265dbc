//! What real servers were asked, in order, and what they answered: `transcripts/grafana-*.json`, three lists of each version, each
//! on a fresh database. How a stand-in is asked the same is in `replay`.

use serde_json::Value;

use super::Profile;

/// One question and its answer.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// `GET`, `POST`, …
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// What the recorder noted: who asked, or what is special.
    pub note: String,
    /// Headers besides the usual ones.
    pub headers: Vec<(String, String)>,
    /// The body as JSON; null when there was none.
    pub body: Value,
    /// A body that is no JSON, or that JSON would not keep.
    pub body_text: Option<String>,
    /// The status of the answer.
    pub status: u16,
    /// The answer's `Content-Type`.
    pub content_type: Option<String>,
    /// The answer's body; a text where it is no JSON.
    pub answer: Value,
}

impl Profile {
    /// The versions that were asked.
    pub const RECORDED: [Profile; 3] = [Profile::V10, Profile::V11, Profile::V12];

    /// The lists of this version by name; none for one that was never asked.
    pub fn transcripts(self) -> Vec<(&'static str, Vec<Exchange>)> {
        macro_rules! recorded {
            ($($name:literal),*) => {
                vec![$(($name, read(include_str!(concat!("../../transcripts/grafana-", $name, ".json"))))),*]
            };
        }
        match self {
            Profile::V10 => recorded!("10.4.3", "10.4.3-second", "10.4.3-third"),
            Profile::V11 => recorded!("11.6.2", "11.6.2-second", "11.6.2-third"),
            Profile::V12 => recorded!("12.4.0", "12.4.0-second", "12.4.0-third"),
            Profile::V13 => Vec::new(),
        }
    }
}

fn read(transcript: &str) -> Vec<Exchange> {
    let rows: Vec<Value> = serde_json::from_str(transcript).expect("a transcript is a list of exchanges");
    rows.into_iter().map(exchange).collect()
}

fn exchange(mut row: Value) -> Exchange {
    let text = |field: &str| row[field].as_str().map(str::to_owned);
    let headers = row["headers"].as_object().into_iter().flatten();
    let headers = headers.map(|(name, value)| (name.clone(), value.as_str().expect("a header is text").to_owned()));
    Exchange {
        method: text("method").expect("every exchange has it"),
        path: text("path").expect("every exchange has it"),
        note: text("note").unwrap_or_default(),
        headers: headers.collect(),
        body_text: text("body_text"),
        status: row["status"].as_u64().and_then(|status| status.try_into().ok()).expect("every exchange has it"),
        content_type: text("content_type"),
        body: row["body"].take(),
        answer: row["answer"].take(),
    }
}
