//! Seeds: the records that a topic starts with. Reads what a topic holds from its partitions' leaders, finds what is missing, and has that
//! written once.
//!
//! | topic       | held                               | then         |
//! |-------------|------------------------------------|--------------|
//! | compacted   | the key, with whatever value       | left alone   |
//! | compacted   | no record of the key               | written      |
//! | another     | a record of equal key, value, headers | left alone |
//! | another     | none                               | written      |
//! | not there   | –                                  | written, once the topic is made; an error if no file declares it |

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use common::change::{Action, Change, Class, Difference, Failure, ObjectId, Planned, Shown};
use common::files::{OBJECT_LIMIT, Object, Problem, Set, read_text};
use common::interpolate::interpolate;
use common::json::duplicates;
use common::kind::{Exported, Kind};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{BrokerId, FetchRequest, ListOffsetsRequest, MetadataRequest};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::cluster::{Cluster, Shared, repeat};
use crate::config::{self, Resource as ConfigResource};
use crate::error::{self, code};
use crate::producer::{self, Placed, unreachable};
use crate::records::{self, BATCH_OVERHEAD, Message};
use crate::topic;
use crate::wire;

/// The folder's name.
pub(crate) const KIND: &str = "seeds";

const CLEANUP: &str = "cleanup.policy";
const LARGEST: &str = "max.message.bytes";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    key: Option<Value>,
    key_base64: Option<String>,
    #[serde(default, deserialize_with = "present")]
    value: Option<Value>,
    value_base64: Option<String>,
    #[serde(default)]
    headers: Map<String, Value>,
    partition: Option<i32>,
}

/// Tells `null` (a tombstone) from nothing.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// One record to be there, and where if that matters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Record {
    message: Message,
    partition: Option<i32>,
}

struct Want {
    topic: String,
    declared: bool,
    records: Vec<Record>,
}

/// All declared seeds.
pub(crate) struct Seeds {
    wants: Vec<Want>,
    problems: Vec<Problem>,
    cluster: Shared,
    scan_max: u64,
}

impl Seeds {
    pub(crate) fn of(set: &Set, cluster: &Shared, scan_max: u64, offline: bool) -> Self {
        let mut seeds = Self { wants: Vec::new(), problems: Vec::new(), cluster: cluster.clone(), scan_max };
        for object in set.of(KIND) {
            let (records, problems) = lines(&object, scan_max, offline);
            seeds.problems.extend(problems);
            let name = object.id.name.clone();
            seeds.wants.push(Want { declared: set.get(topic::KIND, &name).is_some(), topic: name, records });
        }
        seeds
    }
}

fn lines(object: &Rc<Object>, scan_max: u64, offline: bool) -> (Vec<Record>, Vec<Problem>) {
    let problem = |line: usize, text: String| Problem { at: Some((line, 1)), ..object.problem("", text) };
    let text = match read_text(&object.path, OBJECT_LIMIT) {
        Ok(text) => text,
        Err(error) => return (Vec::new(), vec![object.problem("", error)]),
    };
    let (mut records, mut problems, mut seen) = (Vec::new(), Vec::new(), BTreeMap::new());
    if let Err(text) = topic::legal(&object.id.name) {
        problems.push(object.problem("", text));
    }
    for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line)) {
        if line.trim().is_empty() {
            continue;
        }
        match parse(line) {
            Ok((record, missing)) => {
                problems.extend(missing.into_iter().map(|text| Problem { warning: offline, ..problem(number, text) }));
                if let Some(first) = seen.insert(record.clone(), number) {
                    problems.push(problem(number, format!("says the same as line {first}: a seed is a set")));
                }
                records.push(record);
            }
            Err(text) => problems.push(problem(number, text)),
        }
    }
    if records.len() as u64 > scan_max {
        problems.push(object.problem("", format!("{} records are more than SEED_SCAN_MAX={scan_max}", records.len())));
    }
    if records.is_empty() && problems.is_empty() {
        problems.push(object.problem("", "holds no record"));
    }
    (records, problems)
}

/// One line, and what its placeholders lack.
fn parse(line: &str) -> Result<(Record, Vec<String>), String> {
    let mut value: Value = serde_json::from_str(line).map_err(|error| format!("not JSON: {error}"))?;
    if let Some((pointer, _)) = duplicates(line).first() {
        return Err(format!("{pointer}: this key stands twice in its object"));
    }
    let missing = interpolate(&mut value).missing;
    let line: Line = serde_json::from_value(value).map_err(|error| error.to_string())?;
    let bytes = |name: &str, plain: Option<Value>, encoded: Option<String>| match (plain, encoded) {
        (Some(_), Some(_)) => Err(format!("{name} and {name}_base64: keep one of them")),
        (Some(plain), None) => Ok(content(plain)),
        (None, Some(encoded)) => {
            let decoded = BASE64.decode(encoded).map_err(|error| format!("{name}_base64: {error}"))?;
            Ok(Some(Bytes::from(decoded)))
        }
        (None, None) => Ok(None),
    };
    if line.value.is_none() && line.value_base64.is_none() {
        return Err(r#"needs "value" ("value": null is a tombstone) or "value_base64""#.into());
    }
    let key = bytes("key", line.key, line.key_base64)?;
    let value = bytes("value", line.value, line.value_base64)?;
    if key.is_none() && value.is_none() {
        return Err("a tombstone needs a key".into());
    }
    if line.partition.is_some_and(|partition| partition < 0) {
        return Err("partition: partitions are numbered from 0".into());
    }
    let headers = line.headers.into_iter().map(|(name, value)| (name, content(value))).collect();
    let missing = missing.into_iter().map(|(pointer, text)| format!("{pointer}: {text}")).collect();
    Ok((Record { message: Message { key, value, headers }, partition: line.partition }, missing))
}

/// Strings as they are, other JSON compact, `null` as nothing.
fn content(value: Value) -> Option<Bytes> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(Bytes::from(text)),
        other => Some(Bytes::from(other.to_string())),
    }
}

/// A topic that is there.
#[derive(Clone, Debug)]
struct Topic {
    /// The leader's broker id by partition.
    leaders: BTreeMap<i32, i32>,
    compacted: bool,
    largest: usize,
}

/// Which of the wanted records are missing, while records go by.
struct Missing<'w> {
    records: &'w [Record],
    compacted: bool,
    held: Vec<bool>,
    /// Places by what decides: the key of a compacted topic, else the whole message.
    places: BTreeMap<Message, Vec<usize>>,
}

impl<'w> Missing<'w> {
    fn new(records: &'w [Record], compacted: bool) -> Self {
        let mut places: BTreeMap<Message, Vec<usize>> = BTreeMap::new();
        for (index, record) in records.iter().enumerate() {
            places.entry(decisive(record.message.clone(), compacted)).or_default().push(index);
        }
        Self { records, compacted, held: vec![false; records.len()], places }
    }

    fn saw(&mut self, partition: i32, message: Message) {
        if let Some(places) = self.places.get(&decisive(message, self.compacted)) {
            for index in places {
                self.held[*index] |= self.records[*index].partition.is_none_or(|wanted| wanted == partition);
            }
        }
    }

    fn left(&self) -> Vec<usize> {
        (0..self.records.len()).filter(|index| !self.held[*index]).collect()
    }
}

fn decisive(message: Message, compacted: bool) -> Message {
    if compacted { Message { value: None, headers: BTreeMap::new(), ..message } } else { message }
}

fn compared(held: usize, all: usize) -> Change {
    if held == all {
        return Change::none();
    }
    let shown = |count: usize| Shown::Json(format!("\"{count} of {all}\""));
    let differences = vec![Difference::new("/records", shown(held), shown(all))];
    let action = if held == 0 { Action::Create } else { Action::Update };
    Change { action, differences, locked: None, notes: Vec::new() }
}

impl Want {
    fn verdict(&self, cluster: &mut Cluster, topic: Option<Topic>, scan_max: u64) -> Result<Change, Failure> {
        let Some(topic) = topic else {
            if self.declared {
                return Ok(compared(0, self.records.len()));
            }
            let text = format!("topic {} is not there, and no file declares it", self.topic);
            return Err(Failure::rejected(text));
        };
        self.fits(&topic)?;
        match self.missing(cluster, &topic, scan_max) {
            Ok(missing) => Ok(compared(self.records.len() - missing.len(), self.records.len())),
            // Everything else needs no leader, and must not wait for one: this object alone fails, when its turn comes.
            Err(failure) if failure.class == Class::Again => {
                Ok(compared(0, self.records.len()).note(format!("not compared: {failure}")))
            }
            Err(failure) => Err(failure),
        }
    }

    /// What can be known to be refused before anything is sent.
    fn fits(&self, topic: &Topic) -> Result<(), Failure> {
        for (index, record) in self.records.iter().enumerate() {
            let number = index + 1;
            if topic.compacted && record.message.key.is_none() {
                return Err(Failure::rejected(format!(
                    "record {number} has no key, and topic {} is compacted",
                    self.topic
                )));
            }
            if let Some(partition) = record.partition.filter(|partition| !topic.leaders.contains_key(partition)) {
                let count = topic.leaders.len();
                return Err(Failure::rejected(format!(
                    "record {number} goes to partition {partition}, and topic {} has {count}, numbered from 0",
                    self.topic
                )));
            }
            let size = record.message.size() + BATCH_OVERHEAD;
            if size > topic.largest {
                return Err(Failure::rejected(format!(
                    "record {number} takes {size} bytes, and topic {} allows {} ({LARGEST})",
                    self.topic, topic.largest
                )));
            }
        }
        Ok(())
    }

    /// The places of the records that the topic does not hold.
    fn missing(&self, cluster: &mut Cluster, topic: &Topic, scan_max: u64) -> Result<Vec<usize>, Failure> {
        let mut missing = Missing::new(&self.records, topic.compacted);
        scan(cluster, &self.topic, topic, scan_max, |partition, message| missing.saw(partition, message))?;
        Ok(missing.left())
    }

    /// Where each record goes: as declared, by its key as the Java client does it, else in turn.
    fn placed(&self, topic: &Topic, indexes: &[usize]) -> Vec<Placed> {
        let count = i32::try_from(topic.leaders.len()).unwrap_or(i32::MAX).max(1);
        let place = |index: &usize| {
            let record = &self.records[*index];
            let partition = match (record.partition, &record.message.key) {
                (Some(partition), _) => partition,
                (None, Some(key)) => records::partition_of(key, count),
                (None, None) => i32::try_from(*index % topic.leaders.len().max(1)).unwrap_or(0),
            };
            let leader = topic.leaders.get(&partition).copied().unwrap_or(-1);
            (partition, leader, record.message.clone())
        };
        indexes.iter().map(place).collect()
    }
}

impl Kind for Seeds {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self) -> Vec<Problem> {
        self.problems.clone()
    }

    fn plan(&mut self) -> Result<Vec<Planned>, Failure> {
        if self.wants.is_empty() {
            return Ok(Vec::new());
        }
        let mut cluster = self.cluster.borrow_mut();
        let names: Vec<&str> = self.wants.iter().map(|want| want.topic.as_str()).collect();
        let mut topics = topics(&mut cluster, &names)?;
        let mut planned = Vec::new();
        for want in &self.wants {
            let verdict = match topics.remove(&want.topic).transpose() {
                Ok(topic) => want.verdict(&mut cluster, topic, self.scan_max),
                Err(failure) => Err(failure),
            };
            let mut one = Planned::new(ObjectId::new(KIND, &want.topic), verdict);
            if want.declared {
                one.needs.push(ObjectId::new(topic::KIND, &want.topic));
            }
            planned.push(one);
        }
        Ok(planned)
    }

    fn apply(&mut self, todo: &[&Planned]) -> Vec<Result<(), Failure>> {
        let mut cluster = self.cluster.borrow_mut();
        let write = |planned: &&Planned| {
            let name = &planned.id.name;
            let Some(want) = self.wants.iter().find(|want| want.topic == *name) else { return Ok(()) };
            let mut found = topics(&mut cluster, &[name])?;
            let Some(topic) = found.remove(name).transpose()? else {
                return Err(Failure::new(Class::Again, format!("topic {name} is not there yet")));
            };
            want.fits(&topic)?;
            let scan_max = self.scan_max;
            producer::write(&mut cluster, name, |cluster| {
                let missing = want.missing(cluster, &topic, scan_max)?;
                Ok(want.placed(&topic, &missing))
            })
        };
        todo.iter().map(write).collect()
    }

    /// Records are data, not declarations: which of them a topic should start with is not for us to guess.
    fn export(&mut self) -> Result<Vec<Exported>, Failure> {
        Ok(Vec::new())
    }

    /// After a commit its markers are on their way to the partitions, and a reader of committed records waits for them.
    fn settles_within(&self) -> Duration {
        Duration::from_secs(10)
    }
}

type Found = BTreeMap<String, Result<Topic, Failure>>;

/// Reads the leaders and the settings that matter; topics that are not there are left out.
fn topics(cluster: &mut Cluster, names: &[&str]) -> Result<Found, Failure> {
    let asked = names.iter().map(|name| MetadataRequestTopic::default().with_name(Some(wire::topic(name)))).collect();
    let request = MetadataRequest::default().with_topics(Some(asked)).with_allow_auto_topic_creation(false);
    let answer = cluster.main.read(&request)?;
    cluster.note_brokers(&answer);
    let mut found: Found = BTreeMap::new();
    for topic in &answer.topics {
        let Some(name) = topic.name.as_ref().map(|name| name.to_string()) else { continue };
        let result = match topic.error_code {
            code::UNKNOWN_TOPIC => continue,
            code::NONE => {
                let leaders = topic
                    .partitions
                    .iter()
                    .map(|partition| (partition.partition_index, partition.leader_id.0))
                    .collect();
                Ok(Topic { leaders, compacted: false, largest: usize::MAX })
            }
            code::TOPIC_DENIED => Err(error::denied("Describe", format!("Topic:{name}"))),
            other => Err(error::failure(format!("cannot read topic {name}"), other, None)),
        };
        found.insert(name, result);
    }
    let there: Vec<String> = found.iter().filter(|(_, topic)| topic.is_ok()).map(|(name, _)| name.clone()).collect();
    let asked: Vec<ConfigResource> =
        there.iter().map(|name| ConfigResource::topic(name, Some(vec![CLEANUP, LARGEST]))).collect();
    for (name, settings) in there.into_iter().zip(config::describe(&mut cluster.main, &asked)?) {
        match (settings, found.get_mut(&name)) {
            (Ok(settings), Some(Ok(topic))) => {
                let value = |key: &str| settings.get(key).and_then(|held| held.value.as_deref());
                topic.compacted = value(CLEANUP).is_some_and(|policy| policy.contains("compact"));
                topic.largest = value(LARGEST).and_then(|bytes| bytes.parse().ok()).unwrap_or(usize::MAX);
            }
            (Err(failure), _) => drop(found.insert(name, Err(failure))),
            (Ok(_), _) => {}
        }
    }
    Ok(found)
}

const COMMITTED: i8 = 1;
const EARLIEST: i64 = -2;
const LATEST: i64 = -1;

/// Shows every committed record of a topic.
fn scan(
    cluster: &mut Cluster,
    name: &str,
    topic: &Topic,
    scan_max: u64,
    mut visit: impl FnMut(i32, Message),
) -> Result<(), Failure> {
    let mut by_leader: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for (partition, leader) in &topic.leaders {
        if *leader < 0 {
            return Err(Failure::new(Class::Again, format!("{name}-{partition} has no leader: is its broker down?")));
        }
        by_leader.entry(*leader).or_default().push(*partition);
    }
    let mut ranges: BTreeMap<i32, BTreeMap<i32, (i64, i64)>> = BTreeMap::new();
    let mut count = 0;
    for (leader, partitions) in &by_leader {
        let first = offsets(cluster, *leader, name, partitions, EARLIEST)?;
        let last = offsets(cluster, *leader, name, partitions, LATEST)?;
        let ranges = ranges.entry(*leader).or_default();
        for (partition, first) in first {
            let last = last.get(&partition).copied().unwrap_or(first);
            count += u64::try_from(last - first).unwrap_or(0);
            if last > first {
                ranges.insert(partition, (first, last));
            }
        }
    }
    if count > scan_max {
        return Err(Failure::rejected(format!(
            "topic {name} holds up to {count} records, more than SEED_SCAN_MAX={scan_max}: a seed is there to start a topic; remove it, or raise the limit"
        )));
    }
    for (leader, mut ranges) in ranges {
        while !ranges.is_empty() {
            fetch(cluster, leader, name, &mut ranges, &mut visit)?;
        }
    }
    Ok(())
}

fn leader_of(leader: i32, name: &str, partitions: &[i32]) -> String {
    let partitions: Vec<String> = partitions.iter().map(|partition| format!("{name}-{partition}")).collect();
    format!("broker {leader}, the leader of {},", partitions.join(", "))
}

/// Asks a leader; a broker that cannot be reached is not asked again here, and is named with the address that it advertises.
fn ask_leader<Q: wire::Api>(cluster: &mut Cluster, leader: i32, who: &str, request: &Q) -> Result<Q::Answer, Failure> {
    let node = cluster.broker(leader)?;
    let deadline = node.link.deadline();
    if let Err(trouble) = node.connect(deadline) {
        let failure = trouble.failure();
        return Err(unreachable(failure, who));
    }
    node.ask(request).map_err(|failure| unreachable(failure, who))
}

fn offsets(
    cluster: &mut Cluster,
    leader: i32,
    name: &str,
    partitions: &[i32],
    at: i64,
) -> Result<BTreeMap<i32, i64>, Failure> {
    let asked = partitions.iter().map(|partition| {
        ListOffsetsPartition::default()
            .with_partition_index(*partition)
            .with_current_leader_epoch(-1)
            .with_timestamp(at)
    });
    let topic = ListOffsetsTopic::default().with_name(wire::topic(name)).with_partitions(asked.collect());
    let request = ListOffsetsRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_isolation_level(COMMITTED)
        .with_topics(vec![topic]);
    let who = leader_of(leader, name, partitions);
    let link = cluster.link.clone();
    // A topic made a moment ago: its leader may not have heard of it (3), or of its leading it (6).
    repeat(&link, || {
        let answer = ask_leader(cluster, leader, &who, &request)
            .map_err(|failure| Failure { class: settled(failure.class), ..failure })?;
        let mut found = BTreeMap::new();
        for partition in answer.topics.iter().flat_map(|topic| &topic.partitions) {
            let index = partition.partition_index;
            match partition.error_code {
                code::NONE => drop(found.insert(index, partition.offset)),
                code::TOPIC_DENIED => return Err(error::denied("Describe", format!("Topic:{name}"))),
                other => return Err(error::failure(format!("cannot read the offsets of {name}-{index}"), other, None)),
            }
        }
        Ok(found)
    })
    .map_err(|failure| Failure { class: unsettled(failure.class), ..failure })
}

/// A leader that cannot be reached is not asked again by `repeat`, whose patience is for brokers that answer.
fn settled(class: Class) -> Class {
    if class == Class::Again { Class::Ambiguous } else { class }
}

fn unsettled(class: Class) -> Class {
    if class == Class::Ambiguous { Class::Again } else { class }
}

type Ranges = BTreeMap<i32, (i64, i64)>;

/// Fetches once from what is left of each partition's range; a partition that is through is taken out.
fn fetch(
    cluster: &mut Cluster,
    leader: i32,
    name: &str,
    ranges: &mut Ranges,
    visit: &mut impl FnMut(i32, Message),
) -> Result<(), Failure> {
    let partitions: Vec<i32> = ranges.keys().copied().collect();
    let asked = ranges.iter().map(|(partition, (next, _))| {
        FetchPartition::default()
            .with_partition(*partition)
            .with_current_leader_epoch(-1)
            .with_last_fetched_epoch(-1)
            .with_log_start_offset(-1)
            .with_fetch_offset(*next)
            .with_partition_max_bytes(4 << 20)
    });
    let topic = FetchTopic::default().with_topic(wire::topic(name)).with_partitions(asked.collect());
    let request = FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(500)
        .with_min_bytes(1)
        .with_max_bytes(16 << 20)
        .with_isolation_level(COMMITTED)
        .with_session_epoch(-1)
        .with_topics(vec![topic]);
    let who = leader_of(leader, name, &partitions);
    let answer = ask_leader(cluster, leader, &who, &request)?;
    if answer.error_code != code::NONE {
        return Err(error::failure(format!("cannot read {name}"), answer.error_code, None));
    }
    for partition in answer.responses.into_iter().flat_map(|topic| topic.partitions) {
        let index = partition.partition_index;
        match partition.error_code {
            code::NONE => {}
            code::TOPIC_DENIED => return Err(error::denied("Read", format!("Topic:{name}"))),
            other => return Err(error::failure(format!("cannot read {name}-{index}"), other, None)),
        }
        let Some((next, end)) = ranges.get_mut(&index) else { continue };
        let mut aborted: Vec<(i64, i64)> = partition
            .aborted_transactions
            .unwrap_or_default()
            .iter()
            .map(|transaction| (transaction.producer_id.0, transaction.first_offset))
            .collect();
        let bytes = partition.records.unwrap_or_default();
        let empty = bytes.is_empty();
        let reached = records::walk(bytes, *next, &mut aborted, |message| visit(index, message))
            .map_err(|error| Failure::rejected(format!("cannot compare the seed with {name}-{index}: {error:#}")))?;
        if reached == *next && empty && partition.last_stable_offset <= reached {
            // Nothing is left to read: what was counted has been deleted or compacted since.
            *next = *end;
        }
        *next = reached.max(*next);
        if *next >= *end {
            ranges.remove(&index);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(line: &str) -> Record {
        parse(line).expect("a good line").0
    }

    #[test]
    fn lines_say_bytes() {
        let record = record(
            r#"{"key": 7, "value": {"b": 1, "a": [true, null]}, "headers": {"x": "y", "n": null}, "partition": 2}"#,
        );
        assert_eq!(record.message.key.as_deref(), Some(&b"7"[..]));
        assert_eq!(record.message.value.as_deref(), Some(&br#"{"a":[true,null],"b":1}"#[..]));
        assert_eq!(record.message.headers["x"].as_deref(), Some(&b"y"[..]));
        assert_eq!((record.message.headers["n"].as_deref(), record.partition), (None, Some(2)));
    }

    #[test]
    fn bad_lines_are_named() {
        for (line, part) in [
            (r#"{"key": "a"}"#, "needs \"value\""),
            (r#"{"value": null}"#, "a tombstone needs a key"),
            (r#"{"key": "a", "key_base64": "YQ==", "value": 1}"#, "keep one"),
            (r#"{"value_base64": "?"}"#, "value_base64"),
            (r#"{"value": 1, "partition": -1}"#, "from 0"),
            (r#"{"value": 1, "vlaue": 2}"#, "unknown field"),
            (r#"{"value": 1, "value": 2}"#, "twice"),
            ("{", "not JSON"),
        ] {
            let error = parse(line).expect_err(line);
            assert!(error.contains(part), "{line}: {error}");
        }
        assert_eq!(record(r#"{"key_base64": "/w==", "value": null}"#).message.key.as_deref(), Some(&[255][..]));
    }

    #[test]
    fn a_compacted_topic_is_asked_for_keys_and_others_for_records() {
        let wants = [record(r#"{"key": "a", "value": "1"}"#), record(r#"{"key": "b", "value": "1", "partition": 1}"#)];
        let newer = || record(r#"{"key": "a", "value": "2"}"#).message;
        let mut missing = Missing::new(&wants, true);
        missing.saw(0, newer());
        missing.saw(0, wants[1].message.clone());
        assert_eq!(missing.left(), [1], "the partition is declared, and it is another one");
        missing.saw(1, wants[1].message.clone());
        assert_eq!(missing.left(), [0; 0]);
        let mut missing = Missing::new(&wants, false);
        missing.saw(0, newer());
        assert_eq!(missing.left(), [0, 1]);
        missing.saw(0, wants[0].message.clone());
        assert_eq!(missing.left(), [1]);
    }

    #[test]
    fn records_go_where_they_belong() {
        let want = Want {
            topic: "t".into(),
            declared: true,
            records: vec![
                record(r#"{"value": 0}"#),
                record(r#"{"value": 1}"#),
                record(r#"{"key": "abc", "value": 2}"#),
                record(r#"{"value": 3, "partition": 2}"#),
            ],
        };
        let topic = Topic { leaders: BTreeMap::from([(0, 10), (1, 11), (2, 12)]), compacted: false, largest: 1000 };
        let placed: Vec<(i32, i32)> =
            want.placed(&topic, &[0, 1, 2, 3]).iter().map(|(partition, leader, _)| (*partition, *leader)).collect();
        assert_eq!(
            placed,
            [(0, 10), (1, 11), (records::partition_of(b"abc", 3), 10 + records::partition_of(b"abc", 3)), (2, 12)]
        );
    }

    #[test]
    fn what_would_be_refused_is_known_before() {
        let want = |line: &str| Want { topic: "t".into(), declared: true, records: vec![record(line)] };
        let topic = Topic { leaders: BTreeMap::from([(0, 1)]), compacted: true, largest: 200 };
        let refused = |line: &str| want(line).fits(&topic).expect_err(line).message;
        assert!(refused(r#"{"value": 1}"#).contains("no key"));
        assert!(refused(r#"{"key": 1, "value": 1, "partition": 1}"#).contains("has 1"));
        assert!(refused(&format!(r#"{{"key": 1, "value": "{}"}}"#, "x".repeat(200))).contains("max.message.bytes"));
    }
}
