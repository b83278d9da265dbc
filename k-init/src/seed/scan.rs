//! What seeded topics hold: their leaders, the settings that matter, and every committed record, read from the leaders. No judgment.

use std::collections::BTreeMap;
use std::time::Duration;

use common::engine::change::{Class, Failure};
use common::net::retry::pause;
use common::ordered;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{BrokerId, FetchRequest, ListOffsetsRequest, MetadataRequest};

use crate::cluster::{Cluster, repeat};
use crate::config::{self, Resource as ConfigResource};
use crate::error::{self, Code};
use crate::producer::unreachable;
use crate::records::{self, Message};
use crate::wire;

/// How a topic is cleaned up, which decides what counts as held.
pub(super) const CLEANUP: &str = "cleanup.policy";
/// The largest batch that a topic takes.
pub(super) const LARGEST: &str = "max.message.bytes";

/// A topic that is there.
#[derive(Clone, Debug)]
pub(super) struct Topic {
    /// The leader's broker id by partition.
    pub(super) leaders: BTreeMap<i32, i32>,
    pub(super) compacted: bool,
    pub(super) largest: usize,
}

pub(super) type Found = BTreeMap<String, Result<Topic, Failure>>;

/// Reads the leaders and the settings that matter; topics that are not there are left out.
pub(super) fn topics(cluster: &mut Cluster, names: &[&str]) -> Result<Found, Failure> {
    let asked = names.iter().map(|name| MetadataRequestTopic::default().with_name(Some(wire::topic(name)))).collect();
    let request = MetadataRequest::default().with_topics(Some(asked)).with_allow_auto_topic_creation(false);
    let answer = cluster.main.read(&request)?;
    cluster.link.note_brokers(&answer);
    let mut found: Found = BTreeMap::new();
    for topic in &answer.topics {
        let Some(name) = topic.name.as_ref().map(|name| name.to_string()) else { continue };
        let result = match error::of(topic.error_code) {
            Some(Code::UnknownTopicOrPartition) => continue,
            None => {
                let leaders = topic.partitions.iter().map(|one| (one.partition_index, one.leader_id.0));
                Ok(Topic { leaders: ordered::map(leaders), compacted: false, largest: usize::MAX })
            }
            Some(Code::TopicAuthorizationFailed) => Err(error::denied("Describe", format!("Topic:{name}"))),
            Some(other) => Err(error::failure(format!("cannot read topic {name}"), other, None)),
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

/// What became of a scan.
pub(super) enum Seen {
    /// Every record that was wanted has been shown; some are gone already.
    All { expired: bool },
    /// There are up to so many records, and none has been looked at.
    TooMany(u64),
}

/// Shows the committed records of a topic for as long as `visit` wants more.
pub(super) fn scan(
    cluster: &mut Cluster,
    name: &str,
    topic: &Topic,
    scan_max: u64,
    mut visit: impl FnMut(i32, Message) -> bool,
) -> Result<Seen, Failure> {
    let mut by_leader: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for (partition, leader) in &topic.leaders {
        if *leader < 0 {
            return Err(Failure::new(Class::Again, format!("{name}-{partition} has no leader: is its broker down?")));
        }
        by_leader.entry(*leader).or_default().push(*partition);
    }
    let mut ranges: BTreeMap<i32, BTreeMap<i32, (i64, i64)>> = BTreeMap::new();
    let mut count = 0;
    let mut expired = false;
    for (leader, partitions) in &by_leader {
        let first = offsets(cluster, *leader, name, partitions, EARLIEST)?;
        let last = offsets(cluster, *leader, name, partitions, LATEST)?;
        let ranges = ranges.entry(*leader).or_default();
        for (partition, first) in first {
            let last = last.get(&partition).copied().unwrap_or(first);
            expired |= first > 0;
            count += u64::try_from(last.saturating_sub(first)).unwrap_or(0);
            if last > first {
                ranges.insert(partition, (first, last));
            }
        }
    }
    if count > scan_max {
        return Ok(Seen::TooMany(count));
    }
    let mut more = true;
    for (leader, mut ranges) in ranges {
        while more && !ranges.is_empty() {
            fetch(cluster, leader, name, &mut ranges, &mut |partition, message| more &= visit(partition, message))?;
        }
    }
    Ok(Seen::All { expired })
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
    repeat(&link, "the offsets", || {
        // A leader that cannot be reached is not asked again here: the patience is for brokers that answer.
        let answer = match ask_leader(cluster, leader, &who, &request) {
            Ok(answer) => answer,
            Err(failure) => return Ok(Err(failure)),
        };
        let mut found = BTreeMap::new();
        for partition in answer.topics.iter().flat_map(|topic| &topic.partitions) {
            let index = partition.partition_index;
            match error::of(partition.error_code) {
                None => drop(found.insert(index, partition.offset)),
                Some(Code::TopicAuthorizationFailed) => return Err(error::denied("Describe", format!("Topic:{name}"))),
                Some(other) => {
                    return Err(error::failure(format!("cannot read the offsets of {name}-{index}"), other, None));
                }
            }
        }
        if partitions.iter().any(|partition| !found.contains_key(partition)) {
            let text = format!("{who} does not answer for every partition that it was asked for");
            return Err(Failure::new(Class::Again, text));
        }
        Ok(Ok(found))
    })?
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
            .with_partition_max_bytes(1 << 20)
    });
    let topic = FetchTopic::default().with_topic(wire::topic(name)).with_partitions(asked.collect());
    let request = FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(500)
        .with_min_bytes(1)
        .with_max_bytes(8 << 20)
        .with_isolation_level(COMMITTED)
        .with_session_epoch(-1)
        .with_topics(vec![topic]);
    let who = leader_of(leader, name, &partitions);
    let answer = ask_leader(cluster, leader, &who, &request)?;
    if let Some(code) = error::of(answer.error_code) {
        return Err(error::failure(format!("cannot read {name}"), code, None));
    }
    let before: i64 = ranges.values().map(|(next, _)| next).sum();
    let asked = ranges.len();
    for partition in answer.responses.into_iter().flat_map(|topic| topic.partitions) {
        let index = partition.partition_index;
        match error::of(partition.error_code) {
            None => {}
            Some(Code::TopicAuthorizationFailed) => return Err(error::denied("Read", format!("Topic:{name}"))),
            Some(other) => return Err(error::failure(format!("cannot read {name}-{index}"), other, None)),
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
    if ranges.len() == asked && ranges.values().map(|(next, _)| next).sum::<i64>() == before {
        let run = cluster.link.deadline();
        if run.passed() {
            return Err(Failure::new(Class::Timeout, format!("{who} has more records and does not send them")));
        }
        pause(Duration::from_millis(50), run);
    }
    Ok(())
}
