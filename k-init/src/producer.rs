//! Writing records once: a transaction per topic whose id fences a twin and an earlier run that died; where the cluster offers none, an
//! idempotent producer. Which records are missing is asked of the caller, once nobody else can add any.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::engine::change::{Class, Failure};
use common::net::retry::{Deadline, pause};
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, EndTxnRequest, FindCoordinatorRequest, InitProducerIdRequest, ProduceRequest,
    ProducerId, TransactionalId,
};

use crate::client::Address;
use crate::cluster::{Cluster, Node};
use crate::error::{self, Code};
use crate::records::{self, BATCH_OVERHEAD, LATER, Message, Producer};
use crate::wire;

/// A record and where it goes.
pub(crate) struct Placed {
    pub(crate) partition: i32,
    /// The broker that leads the partition, by its id.
    pub(crate) leader: i32,
    pub(crate) message: Message,
    /// Milliseconds since 1970; none is now.
    pub(crate) timestamp: Option<i64>,
}

/// How long the cluster may take to make its transaction log before it counts as one that cannot.
const TRANSACTION_LOG: Duration = Duration::from_secs(10);
/// Less than a broker's default limit of a megabyte for one batch.
const BATCH: usize = 512 << 10;
/// An open transaction of a run that was killed ends by itself after this long, in milliseconds; shorter ones are for brokers whose
/// `transaction.max.timeout.ms` is less.
const TRANSACTION_TIMEOUTS: [i32; 4] = [60_000, 20_000, 5_000, 1_000];

/// A transaction that may be begun.
struct Transaction {
    id: TransactionalId,
    coordinator: Node,
    producer: Producer,
}

/// Writes what `missing` says is missing, in batches of at most `largest` bytes.
pub(crate) fn write(
    cluster: &mut Cluster,
    topic: &str,
    largest: usize,
    mut missing: impl FnMut(&mut Cluster) -> Result<Vec<Placed>, Failure>,
) -> Result<(), Failure> {
    match prepare(cluster, topic)? {
        Ok(mut transaction) => {
            // From here on no other holder of the id can commit: what is missing now stays missing until we write it.
            let records = missing(cluster)?;
            if records.is_empty() {
                return Ok(());
            }
            let result = transaction
                .add(topic, &records)
                .and_then(|()| produce(cluster, topic, largest, &records, transaction.producer, Some(&transaction.id)));
            let ended = transaction.end(result.is_ok());
            result.and(ended)
        }
        Err(why) => {
            cluster.warn(&format!(
                "seeds/{topic}: written without a transaction ({why}): another k-init at the same moment could double them"
            ));
            let producer = idempotent(cluster)?;
            let records = missing(cluster)?;
            produce(cluster, topic, largest, &records, producer, None)
        }
    }
}

/// Gets hold of the transaction, or says why the cluster offers none.
fn prepare(cluster: &mut Cluster, topic: &str) -> Result<Result<Transaction, String>, Failure> {
    let id = TransactionalId(wire::string(&format!("k-init.{topic}")));
    if let Some(why) = &cluster.no_transactions {
        return Ok(Err(why.clone()));
    }
    let run = cluster.link.deadline();
    let mut timeouts = TRANSACTION_TIMEOUTS.into_iter();
    let mut timeout = timeouts.next().expect("the first of several");
    let patience = run.at_most(TRANSACTION_LOG);
    let mut fenced = None;
    loop {
        let found = coordinator(cluster, &id)?;
        let (code, text) = match found {
            Ok(mut node) => {
                let request = InitProducerIdRequest::default()
                    .with_transactional_id(Some(id.clone()))
                    .with_transaction_timeout_ms(timeout)
                    .with_producer_id(ProducerId(-1))
                    .with_producer_epoch(-1);
                let answer =
                    node.ask(&request).map_err(|failure| unreachable(failure, "the transaction coordinator"))?;
                let Some(code) = error::of(answer.error_code) else {
                    let producer =
                        Producer { id: answer.producer_id.0, epoch: answer.producer_epoch, transactional: true };
                    return Ok(Ok(Transaction { id, coordinator: node, producer }));
                };
                (code, None)
            }
            Err(refused) => refused,
        };
        let what = format!("cannot get a transaction for {topic}");
        let failure = error::failure(what, code, text.as_deref());
        match code {
            Code::TransactionalIdAuthorizationFailed => {
                let id = id.as_str();
                return Ok(Err(format!(
                    "needs Write and Describe on TransactionalId:{id}, which this principal has not been granted"
                )));
            }
            // An earlier transaction of this id is being ended; that takes as long as its markers take.
            Code::ConcurrentTransactions => {
                let limit = *fenced.get_or_insert_with(|| run.at_most(Duration::from_secs(30)));
                again(limit, failure)?;
            }
            Code::CoordinatorNotAvailable if patience.passed() => {
                // Once a run: the next topic need not wait for it again.
                let why = "the cluster's transaction log cannot be made: are there fewer brokers than transaction.state.log.replication.factor?";
                cluster.no_transactions = Some(why.into());
                return Ok(Err(why.into()));
            }
            Code::InvalidTransactionTimeout => {
                let Some(shorter) = timeouts.next() else { return Err(failure) };
                timeout = shorter;
            }
            _ if failure.class == Class::Again => again(run, failure)?,
            _ => return Err(failure),
        }
    }
}

fn again(deadline: Deadline, failure: Failure) -> Result<(), Failure> {
    if deadline.passed() {
        return Err(failure);
    }
    pause(Duration::from_millis(100), deadline);
    Ok(())
}

type Refused = (Code, Option<String>);

/// The broker that coordinates a transaction.
fn coordinator(cluster: &mut Cluster, id: &TransactionalId) -> Result<Result<Node, Refused>, Failure> {
    const TRANSACTION: i8 = 1;
    let request = FindCoordinatorRequest::default().with_key(id.0.clone()).with_key_type(TRANSACTION);
    let answer = cluster.main.read(&request)?;
    if let Some(code) = error::of(answer.error_code) {
        return Ok(Err((code, answer.error_message.map(|text| text.to_string()))));
    }
    let address = Address { host: answer.host.to_string(), port: u16::try_from(answer.port).unwrap_or(0) };
    Ok(Ok(Node::new(&cluster.link, vec![address], Duration::from_secs(2))))
}

/// A failure to reach a broker by the address that it advertises, which nothing but seeds needs.
pub(crate) fn unreachable(mut failure: Failure, who: &str) -> Failure {
    let hint = "seeds go to that broker itself, by the address in its advertised.listeners";
    failure.message = format!("{who} cannot be asked: {}; {hint}", failure.message);
    failure
}

impl Transaction {
    fn add(&mut self, topic: &str, records: &[Placed]) -> Result<(), Failure> {
        let mut partitions: Vec<i32> = records.iter().map(|placed| placed.partition).collect();
        partitions.sort_unstable();
        partitions.dedup();
        let topics = vec![AddPartitionsToTxnTopic::default().with_name(wire::topic(topic)).with_partitions(partitions)];
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(self.id.clone())
            .with_v3_and_below_producer_id(ProducerId(self.producer.id))
            .with_v3_and_below_producer_epoch(self.producer.epoch)
            .with_v3_and_below_topics(topics);
        let deadline = self.coordinator.link.deadline().at_most(Duration::from_secs(30));
        loop {
            let answer = self.coordinator.ask(&request)?;
            let mut results = answer.results_by_topic_v3_and_below.iter().flat_map(|topic| &topic.results_by_partition);
            let Some(bad) = results.find_map(|one| error::of(one.partition_error_code)) else {
                return Ok(());
            };
            let failure = error::failure(format!("cannot add {topic} to its transaction"), bad, None);
            match bad {
                Code::TopicAuthorizationFailed => return Err(error::denied("Write", format!("Topic:{topic}"))),
                _ if failure.class == Class::Again => again(deadline, failure)?,
                _ => return Err(failure),
            }
        }
    }

    /// Commits or aborts. Whether a commit without an answer took place is found out by reading.
    fn end(&mut self, commit: bool) -> Result<(), Failure> {
        let request = EndTxnRequest::default()
            .with_transactional_id(self.id.clone())
            .with_producer_id(ProducerId(self.producer.id))
            .with_producer_epoch(self.producer.epoch)
            .with_committed(commit);
        let deadline = self.coordinator.link.deadline().at_most(Duration::from_secs(30));
        loop {
            let answer = self.coordinator.ask(&request)?;
            let Some(code) = error::of(answer.error_code) else { return Ok(()) };
            let failure = error::failure("cannot end the transaction", code, None);
            if failure.class != Class::Again {
                return Err(failure);
            }
            again(deadline, failure)?;
        }
    }
}

/// A producer without a transaction, whose own repetitions a broker recognizes.
fn idempotent(cluster: &mut Cluster) -> Result<Producer, Failure> {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_transaction_timeout_ms(TRANSACTION_TIMEOUTS[0])
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1);
    let answer = cluster.main.ask(&request)?;
    match error::of(answer.error_code) {
        None => Ok(Producer { id: answer.producer_id.0, epoch: answer.producer_epoch, transactional: false }),
        Some(Code::ClusterAuthorizationFailed) => Err(error::denied("IdempotentWrite", "Cluster:kafka-cluster")),
        Some(other) => Err(error::failure("cannot get a producer id", other, None)),
    }
}

/// Sends the records, batch by batch, to their leaders, each acknowledged by all replicas in sync.
fn produce(
    cluster: &mut Cluster,
    topic: &str,
    largest: usize,
    records: &[Placed],
    producer: Producer,
    transaction: Option<&TransactionalId>,
) -> Result<(), Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let mut by_partition: BTreeMap<(i32, i32), Vec<(&Message, i64)>> = BTreeMap::new();
    for Placed { partition, leader, message, timestamp } in records {
        let messages = by_partition.entry((*partition, *leader)).or_default();
        messages.push((message, timestamp.unwrap_or(now)));
    }
    for ((partition, leader), messages) in by_partition {
        let mut sequence = 0;
        for chunk in chunks(&messages, largest) {
            let batch = records::batch(chunk, producer, sequence);
            sequence += i32::try_from(chunk.len()).unwrap_or(i32::MAX);
            let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch));
            let data = TopicProduceData::default().with_name(wire::topic(topic)).with_partition_data(vec![data]);
            let request = ProduceRequest::default()
                .with_transactional_id(transaction.cloned())
                .with_acks(-1)
                .with_timeout_ms(cluster.link.server_timeout())
                .with_topic_data(vec![data]);
            let who = format!("broker {leader}, the leader of {topic}-{partition},");
            let answer = cluster.broker(leader)?.ask(&request).map_err(|failure| unreachable(failure, &who))?;
            let mut answers = answer.responses.iter().flat_map(|topic| &topic.partition_responses);
            if let Some((bad, said)) =
                answers.find_map(|answer| Some((error::of(answer.error_code)?, &answer.error_message)))
            {
                let what = format!("cannot write to {topic}-{partition}");
                return Err(match bad {
                    Code::TopicAuthorizationFailed => error::denied("Write", format!("Topic:{topic}")),
                    other => error::failure(what, other, said.as_deref()),
                });
            }
        }
    }
    Ok(())
}

/// What goes into one batch each: as much as fits, and one record at least.
fn chunks<'m, 's>(messages: &'s [(&'m Message, i64)], largest: usize) -> Vec<&'s [(&'m Message, i64)]> {
    let most = BATCH.min(largest).saturating_sub(BATCH_OVERHEAD);
    let mut found = Vec::new();
    let (mut start, mut size) = (0, 0);
    for (index, (message, _)) in messages.iter().enumerate() {
        let more = message.size() + LATER;
        if index > start && size + more > most {
            found.push(&messages[start..index]);
            (start, size) = (index, 0);
        }
        size += more;
    }
    if start < messages.len() {
        found.push(&messages[start..]);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn batches_stay_below_the_limit_and_lose_nothing() {
        let message = |size: usize| Message { key: None, value: Some(Bytes::from(vec![0; size])), headers: Vec::new() };
        let messages = [message(300 << 10), message(300 << 10), message(10), message(900 << 10), message(1)];
        let all: Vec<(&Message, i64)> = messages.iter().map(|message| (message, 0)).collect();
        let sizes = |largest| -> Vec<usize> { chunks(&all, largest).iter().map(|chunk| chunk.len()).collect() };
        assert_eq!(sizes(usize::MAX), [1, 2, 1, 1]);
        assert_eq!(sizes(300 << 10), [1, 1, 1, 1, 1]);
        assert_eq!(chunks(&[], 1000).len(), 0);
    }
}
