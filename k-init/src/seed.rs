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
use std::time::Duration;

use common::engine::change::{Action, Change, Class, Difference, Failure, ObjectId, Planned, Shown};
use common::engine::kind::{AnyKind, Exported};
use common::files::{Problem, Set};

use crate::cluster::{Cluster, Shared};
use crate::producer::{self, Placed};
use crate::records::{self, BATCH_OVERHEAD, Message};
use crate::topic;

mod line;
mod scan;

use line::{Record, lines};
use scan::{LARGEST, Topic, scan, topics};

/// The folder's name.
pub(crate) const KIND: &str = "seeds";

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

impl AnyKind for Seeds {
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
