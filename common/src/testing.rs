//! What tests of the programs need of this crate and the programs do not have: damage to what comes from outside, and a run without its
//! server. Built with the feature `testing` alone. No service is known here.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::engine::change::{Change, Planned};
use crate::engine::kind::AnyKind;
use crate::files::foreign::{Declared, Foreign, Place};
use crate::files::{KindSpec, Missing, Set, load};
use crate::net::http::{Attempt, Client, Dialect, Limits, Reply};
use crate::net::retry::Counters;
use crate::process::settings::Server;

/// One piece of damage: where, and what. Numbers, so that a case that fails is shrunk to the least of it.
pub type Edit = (u16, u8);

/// No damage, or a little.
pub fn edits() -> impl Strategy<Value = Vec<Edit>> {
    prop::collection::vec(any::<Edit>(), 0..6)
}

/// A text with some damage.
pub fn damaged(text: &'static str) -> impl Strategy<Value = String> {
    edits().prop_map(|edits| {
        let mut bytes = text.as_bytes().to_vec();
        damage_all(&mut bytes, &edits);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// What stands in place of a value: every type, and what is odd of each.
fn odd(what: u8) -> Option<Value> {
    Some(match what {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(false),
        3 => json!(0),
        4 => json!(-1),
        5 => json!(u64::MAX),
        6 => json!(i64::MIN),
        7 => json!(1e300),
        8 => json!(0.5),
        9 => json!(""),
        10 => json!("x"),
        11 => json!("é\u{0}\n\u{2028}😀"),
        12 => json!("é".repeat(3000)),
        13 => json!("1h,a:b=c*/../{{ %}<x>$__env{NONE}"),
        14 => json!("18446744073709551616"),
        15 => json!([]),
        16 => json!({}),
        17 => json!([[]]),
        18 => json!([null, 1, "", {}]),
        19 => json!({"": null, "a/b~c": [], "é": {}}),
        20 => (0..50).fold(Value::Null, |inner, _| json!([{ "a": inner }])),
        21 => json!("*"),
        22 => json!("-9223372036854775809d"),
        23 => json!("2147483648:00"),
        _ => return None,
    })
}

/// Keys in place of others.
const KEYS: [&str; 8] = ["", "x", "a/b~c", "name", "uid", "type", "é", "0"];

/// Damages a value at one place: put something else there, or remove, rename, double, move or wrap what is in it.
pub fn damage(value: &mut Value, (place, what): Edit) {
    let mut left = usize::from(place) % count(value);
    visit(value, &mut left, &mut |value| edit(value, place, what % 40));
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

/// Calls `edit` with the value that stands so many places further; whether it was among these.
fn visit(value: &mut Value, left: &mut usize, edit: &mut dyn FnMut(&mut Value)) -> bool {
    if *left == 0 {
        edit(value);
        return true;
    }
    *left -= 1;
    match value {
        Value::Array(items) => items.iter_mut().any(|inner| visit(inner, left, edit)),
        Value::Object(fields) => fields.values_mut().any(|inner| visit(inner, left, edit)),
        _ => false,
    }
}

fn edit(value: &mut Value, place: u16, what: u8) {
    if let Some(odd) = odd(what) {
        *value = odd;
        return;
    }
    let pick = |length: usize| usize::from(place).wrapping_mul(7) % length;
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            let key = fields.keys().nth(pick(fields.len())).expect("below the length").clone();
            let inner = fields.remove(&key).unwrap_or_default();
            match what % 5 {
                0 => {}
                1 => drop(fields.insert(KEYS[pick(KEYS.len())].to_owned(), inner)),
                2 => drop(fields.insert(key, json!([inner]))),
                3 => drop(fields.insert(key.to_uppercase(), inner)),
                _ => {
                    let other = fields.values().next().cloned().unwrap_or_default();
                    fields.insert(key, other);
                }
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let at = pick(items.len());
            match what % 4 {
                0 => drop(items.remove(at)),
                1 => items.push(items[at].clone()),
                2 => items.reverse(),
                _ => *value = items[at].clone(),
            }
        }
        Value::Number(number) => *value = number.to_string().into(),
        Value::String(text) if what.is_multiple_of(2) => *value = text.to_uppercase().into(),
        Value::String(text) => *value = text.chars().skip(1).collect::<String>().into(),
        other => *other = Value::Object(Map::from_iter([("x".to_owned(), other.take())])),
    }
}

/// Damages bytes at one place: change, cut, insert or repeat some.
fn damage_bytes(bytes: &mut Vec<u8>, (place, what): Edit) {
    const ODD: [&[u8]; 16] = [
        &[0],
        &[0xff],
        &[0x7f],
        &[0x80],
        &[1],
        &[0xff; 4],
        &[0x7f, 0xff, 0xff, 0xff],
        &[0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0; 9],
        b"=",
        b":",
        b"\\u",
        b"\"",
        b"\n",
        b";",
        b" ",
    ];
    let at = usize::from(place) % (bytes.len() + 1);
    let end = (at + usize::from(what / 64) * 3 + 1).min(bytes.len());
    match what % 64 {
        insert @ 0..16 => drop(bytes.splice(at..at, ODD[usize::from(insert)].iter().copied())),
        change @ 16..32 => drop(bytes.splice(at..end, ODD[usize::from(change) - 16].iter().copied())),
        32..40 => bytes.truncate(at),
        40..48 => drop(bytes.drain(at..end)),
        48..56 => {
            let again = bytes[at..end].to_vec();
            bytes.splice(at..at, again);
        }
        bit => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << (bit % 8);
            }
        }
    }
}

/// Damages bytes at several places, one after the other.
pub fn damage_all(bytes: &mut Vec<u8>, edits: &[Edit]) {
    for edit in edits {
        damage_bytes(bytes, *edit);
    }
}

/// A client of no server, for [`Client::answered_by`]; it repeats nothing.
#[must_use]
pub fn client(dialect: Dialect) -> Client {
    let server = Server {
        urls: vec!["http://nowhere".into()],
        login: crate::process::settings::Login::default(),
        tls: crate::process::settings::Tls::default(),
    };
    let limits = Limits { request: Duration::from_secs(1), retries: 0 };
    Client::new(&server, limits, dialect, Arc::new(Counters::default())).expect("no certificate is read")
}

/// An answer of this status and body.
#[must_use]
pub fn answer(status: u16, body: &Value) -> Attempt {
    Attempt::Answered(Reply {
        status,
        body: body.to_string(),
        content_type: "application/json".into(),
        location: None,
        retry_after: None,
    })
}

/// Damages an answer: its body, and now and then its status as well.
#[must_use]
pub fn damaged_answer(mut body: Value, edits: &[Edit]) -> Attempt {
    let mut status = 200;
    for (place, what) in edits {
        match what {
            0..216 => damage(&mut body, (*place, *what)),
            216..224 => status = 404,
            224..230 => status = 403,
            230..236 => status = 409,
            236..242 => status = 400,
            242..246 => status = 500,
            246..250 => status = 401,
            250..253 => status = 201,
            _ => return Attempt::Lost("the connection broke".into()),
        }
    }
    answer(status, &body)
}

/// A set of files with these bodies: kind, name, body. `None` if a program would end with them before it asked its server.
#[must_use]
pub fn set(specs: &[KindSpec], files: impl IntoIterator<Item = (&'static str, String, Value)>) -> Option<Set> {
    let place = || Place::variable("SAMPLE");
    let declared = files.into_iter().map(|(kind, name, body)| Declared::new(kind, name, body, place()));
    let foreign = Foreign::default().declared(declared);
    let (set, problems) = load(Path::new("/no/such/folder"), specs, &foreign, Missing::Warns);
    problems.iter().all(|problem| problem.warning).then_some(set)
}

/// What a run does with its kinds: check, and where that finds nothing, plan, pre-flight, write, plan again; and an export. How far it came.
pub fn run(kinds: &mut [Box<dyn AnyKind>], set: &Set) -> Reached {
    let problems: Vec<_> = kinds.iter().flat_map(|kind| kind.check()).filter(|problem| !problem.warning).collect();
    let mut reached = Reached { checked: problems.is_empty(), ..Reached::default() };
    for kind in kinds {
        let planned = if reached.checked { kind.plan() } else { Ok(Vec::new()) };
        let planned = planned.unwrap_or_else(|failure| {
            reached.why.push(failure.message);
            Vec::new()
        });
        reached.planned += planned.iter().filter(|planned| planned.verdict.is_ok()).count();
        reached.why.extend(planned.iter().filter_map(|planned| Some(planned.verdict.as_ref().err()?.message.clone())));
        let refused = kind.preflight(set, &planned).iter().any(|problem| !problem.warning);
        let writes = |planned: &&Planned| planned.verdict.as_ref().is_ok_and(Change::writes);
        let todo: Vec<&Planned> = planned.iter().filter(writes).collect();
        if !refused && !todo.is_empty() {
            reached.written += kind.apply(&todo).iter().filter(|result| result.is_ok()).count();
            drop(kind.plan());
        }
        reached.exported += kind.export().unwrap_or_default().len();
    }
    reached
}

/// How far a run came: a test of damage that stops everything at the door would show nothing.
#[derive(Clone, Debug, Default)]
pub struct Reached {
    /// Whether the files passed their checks.
    pub checked: bool,
    /// Objects that could be compared.
    pub planned: usize,
    /// Objects that could be written.
    pub written: usize,
    /// Objects that could be exported.
    pub exported: usize,
    /// Why others could not be compared.
    pub why: Vec<String>,
}
