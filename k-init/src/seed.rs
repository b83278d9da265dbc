//! Seeds: the records that a topic starts with. Reads what a topic holds from its partitions' leaders, finds what is missing, and has that
//! written once.
//!
//! | topic       | has held                           | then         |
//! |-------------|------------------------------------|--------------|
//! | compacted   | the key, with whatever value       | left alone   |
//! | compacted   | no record of the key               | written      |
//! | another     | a committed record, even one that has expired | left alone: seeds are the first records |
//! | another     | none                               | written      |
//! | any         | more than `SEED_SCAN_MAX`          | left alone, with a note |
//! | not there   | –                                  | written, once the topic is made; an error if no file declares it |
//!
//! A topic is judged as it will be after this run: a file may grow it, raise its `max.message.bytes` or change its `cleanup.policy`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::engine::change::{Action, Change, Class, Difference, Failure, ObjectId, Planned, Shown};
use common::engine::kind::{Exported, Kind};
use common::files::{Problem, Set};

use crate::cluster::{Cluster, Shared};
use crate::producer::{self, Placed};
use crate::records::{self, BATCH_OVERHEAD, Message};
use crate::topic;

mod line;
mod scan;

use line::{Record, lines};
use scan::{CLEANUP, LARGEST, Seen, Topic, scan, topics};

/// The folder's name.
pub(crate) const KIND: &str = "seeds";

struct Want {
    topic: String,
    declared: Option<Declared>,
    records: Vec<Record>,
}

/// What the topic's own file says that matters to its seeds.
#[derive(Clone, Debug, Default)]
struct Declared {
    partitions: Option<i32>,
    compacted: Option<bool>,
    largest: Option<usize>,
}

impl Declared {
    fn of(set: &Set, topic: &str) -> Option<Self> {
        let (partitions, config) = topic::shape(set.get(topic::KIND, topic)?)?;
        let setting = |key: &str| config.get(key).and_then(Option::as_deref);
        Some(Self {
            partitions,
            compacted: setting(CLEANUP).map(|policy| policy.contains("compact")),
            largest: setting(LARGEST).and_then(|bytes| bytes.trim().parse().ok()),
        })
    }

    /// A topic as this will make it; partitions that are to come have no leader yet.
    fn applied(&self, mut topic: Topic) -> Topic {
        for partition in 0..self.partitions.unwrap_or(0) {
            topic.leaders.entry(partition).or_insert(-1);
        }
        topic.compacted = self.compacted.unwrap_or(topic.compacted);
        topic.largest = self.largest.unwrap_or(topic.largest);
        topic
    }
}

/// All declared seeds.
pub(crate) struct Seeds {
    wants: Vec<Want>,
    problems: Vec<Problem>,
    cluster: Shared,
    scan_max: u64,
    /// Topics to which this run has begun to write: there each record counts.
    begun: BTreeSet<String>,
}

impl Seeds {
    pub(crate) fn of(set: &Set, cluster: &Shared, scan_max: u64, offline: bool) -> Self {
        let (cluster, begun) = (cluster.clone(), BTreeSet::new());
        let mut seeds = Self { wants: Vec::new(), problems: Vec::new(), cluster, scan_max, begun };
        for object in set.of(KIND) {
            let (records, problems) = lines(&object, scan_max, offline);
            seeds.problems.extend(problems);
            let name = object.id.name.clone();
            let want = Want { declared: Declared::of(set, &name), topic: name, records };
            // What the topic's own file does not say is looked at where the topic is.
            let unknown = Topic { leaders: BTreeMap::new(), compacted: false, largest: usize::MAX };
            let known =
                want.declared.as_ref().map(|declared| (declared.partitions.is_some(), declared.applied(unknown)));
            if let Some((partitions, topic)) = known
                && let Err(text) = want.fits(&topic, partitions)
            {
                seeds.problems.push(object.problem("", text));
            }
            seeds.wants.push(want);
        }
        seeds
    }
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

/// What a topic lacks of its seeds.
enum Missed {
    /// The places of these records.
    Records(Vec<usize>),
    /// Nothing that is to be sent, with what a person should know.
    Nothing { note: Option<String> },
}

fn decisive(message: Message, compacted: bool) -> Message {
    if compacted { Message { value: None, headers: Vec::new(), ..message } } else { message }
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

/// What cannot be compared now is looked at again in its turn, and fails then if it still cannot.
fn unknown(all: usize) -> Change {
    let held = Shown::text("not known");
    Change::update(vec![Difference::new("/records", held, Shown::text(&format!("{all} of {all}")))])
}

impl Want {
    /// `begun`: this run has begun to write to it, so that each record counts, also where seeds are but the first ones.
    fn verdict(
        &self,
        cluster: &mut Cluster,
        topic: Option<Topic>,
        scan_max: u64,
        begun: bool,
    ) -> Result<Change, Failure> {
        let all = self.records.len();
        let Some(topic) = topic else {
            if self.declared.is_some() {
                return Ok(compared(0, all));
            }
            let text = format!("topic {} is not there, and no file declares it", self.topic);
            return Err(Failure::rejected(text));
        };
        let later = self.declared.clone().unwrap_or_default().applied(topic.clone());
        self.fits(&later, true).map_err(Failure::rejected)?;
        let topic = Topic { leaders: topic.leaders, ..later };
        match self.missing(cluster, &topic, scan_max, begun) {
            Ok(Missed::Records(missing)) => Ok(compared(all - missing.len(), all)),
            Ok(Missed::Nothing { note }) => Ok(Change { notes: note.into_iter().collect(), ..Change::none() }),
            // Everything else needs no leader, and must not wait for one: this object alone fails, when its turn comes.
            Err(failure) if failure.class == Class::Again => Ok(unknown(all).note(format!("not compared: {failure}"))),
            Err(failure) => Err(failure),
        }
    }

    /// What can be known to be refused before anything is sent; partitions only where all of them are known.
    fn fits(&self, topic: &Topic, partitions: bool) -> Result<(), String> {
        for (index, record) in self.records.iter().enumerate() {
            let number = index + 1;
            if topic.compacted && record.message.key.is_none() {
                return Err(format!("record {number} has no key, and topic {} is compacted", self.topic));
            }
            let missing = record.partition.filter(|partition| partitions && !topic.leaders.contains_key(partition));
            if let Some(partition) = missing {
                let count = topic.leaders.len();
                return Err(format!(
                    "record {number} goes to partition {partition}, and topic {} has {count}, numbered from 0",
                    self.topic
                ));
            }
            let size = record.message.size() + BATCH_OVERHEAD;
            if size > topic.largest {
                return Err(format!(
                    "record {number} takes {size} bytes, and topic {} allows {} ({LARGEST})",
                    self.topic, topic.largest
                ));
            }
        }
        Ok(())
    }

    /// The records that the topic lacks.
    fn missing(&self, cluster: &mut Cluster, topic: &Topic, scan_max: u64, begun: bool) -> Result<Missed, Failure> {
        let mut missing = Missing::new(&self.records, topic.compacted);
        let first = !topic.compacted && !begun;
        let mut any = false;
        let seen = scan(cluster, &self.topic, topic, scan_max, |partition, message| {
            any = true;
            missing.saw(partition, message);
            !first
        })?;
        Ok(match seen {
            Seen::TooMany(count) => {
                let text = "it was not compared with its seeds, which are there to start a topic";
                Missed::Nothing {
                    note: Some(format!("holds up to {count} records, more than SEED_SCAN_MAX={scan_max}: {text}")),
                }
            }
            // Whatever has expired was there.
            Seen::All { expired } if first && (any || expired) => Missed::Nothing { note: None },
            Seen::All { .. } => Missed::Records(missing.left()),
        })
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
            Placed { partition, leader, message: record.message.clone(), timestamp: record.timestamp }
        };
        indexes.iter().map(place).collect()
    }
}

impl Kind for Seeds {
    /// The topic. Which of its records are missing is asked once nobody else can add any: in its transaction.
    type Step = usize;

    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self) -> Vec<Problem> {
        self.problems.clone()
    }

    fn plan(&mut self) -> Result<Vec<Planned<usize>>, Failure> {
        if self.wants.is_empty() {
            return Ok(Vec::new());
        }
        let mut cluster = self.cluster.borrow_mut();
        let names: Vec<&str> = self.wants.iter().map(|want| want.topic.as_str()).collect();
        let mut topics = topics(&mut cluster, &names)?;
        let mut planned = Vec::new();
        for (index, want) in self.wants.iter().enumerate() {
            let verdict = match topics.remove(&want.topic).transpose() {
                Ok(topic) => want.verdict(&mut cluster, topic, self.scan_max, self.begun.contains(&want.topic)),
                Err(failure) => Err(failure),
            };
            let mut one = Planned::new(ObjectId::new(KIND, &want.topic), verdict).with_step(|_| Ok(index));
            if want.declared.is_some() {
                one.needs.push(ObjectId::new(topic::KIND, &want.topic));
            }
            planned.push(one);
        }
        Ok(planned)
    }

    fn apply(&mut self, todo: &[(&ObjectId, &usize)]) -> Vec<Result<(), Failure>> {
        let mut cluster = self.cluster.borrow_mut();
        let mut write = |(_, index): &(&ObjectId, &usize)| {
            let want = &self.wants[**index];
            let name = &want.topic;
            let mut found = topics(&mut cluster, &[name])?;
            let Some(topic) = found.remove(name).transpose()? else {
                return Err(Failure::new(Class::Again, format!("topic {name} is not there yet")));
            };
            want.fits(&topic, true).map_err(|text| Failure::new(Class::Again, text))?;
            let scan_max = self.scan_max;
            let begun = &mut self.begun;
            producer::write(&mut cluster, name, topic.largest, |cluster| {
                let missing = match want.missing(cluster, &topic, scan_max, begun.contains(name))? {
                    Missed::Records(missing) => missing,
                    // Somebody was faster.
                    Missed::Nothing { .. } => Vec::new(),
                };
                if !missing.is_empty() {
                    begun.insert(name.clone());
                }
                Ok(want.placed(&topic, &missing))
            })
        };
        todo.iter().map(&mut write).collect()
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
#[cfg(test)]
mod tests {
    use super::line::parse;
    use super::*;

    fn record(line: &str) -> Record {
        parse(line).expect("a good line").0
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
            declared: None,
            records: vec![
                record(r#"{"value": 0}"#),
                record(r#"{"value": 1}"#),
                record(r#"{"key": "abc", "value": 2}"#),
                record(r#"{"value": 3, "partition": 2}"#),
            ],
        };
        let topic = Topic { leaders: BTreeMap::from([(0, 10), (1, 11), (2, 12)]), compacted: false, largest: 1000 };
        let placed: Vec<(i32, i32)> =
            want.placed(&topic, &[0, 1, 2, 3]).iter().map(|placed| (placed.partition, placed.leader)).collect();
        assert_eq!(
            placed,
            [(0, 10), (1, 11), (records::partition_of(b"abc", 3), 10 + records::partition_of(b"abc", 3)), (2, 12)]
        );
    }

    #[test]
    fn what_would_be_refused_is_known_before() {
        let want = |line: &str| Want { topic: "t".into(), declared: None, records: vec![record(line)] };
        let topic = Topic { leaders: BTreeMap::from([(0, 1)]), compacted: true, largest: 200 };
        let refused = |line: &str| want(line).fits(&topic, true).expect_err(line);
        assert!(refused(r#"{"value": 1}"#).contains("no key"));
        assert!(refused(r#"{"key": 1, "value": 1, "partition": 1}"#).contains("has 1"));
        let of = |bytes: usize| format!(r#"{{"key": 1, "value": "{}"}}"#, "x".repeat(bytes));
        assert!(refused(&of(130)).contains("max.message.bytes"));
        assert_eq!(want(&of(129)).fits(&topic, true), Ok(()), "61 of the batch, 10 of the record, and the value");
        // As the topic will be, not as it is.
        let declared = Declared { partitions: Some(3), compacted: Some(false), largest: Some(1000) };
        let later = declared.applied(topic);
        for line in [r#"{"value": 1, "partition": 2}"#, &of(500)] {
            assert_eq!(want(line).fits(&later, true), Ok(()), "{line}");
        }
    }
}
