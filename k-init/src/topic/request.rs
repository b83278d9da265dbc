//! The requests that read, make and grow topics, and what their answers say. What to ask for is decided in `topic`.

use std::collections::BTreeMap;

use common::engine::change::{Class, Failure};
use common::ordered;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{CreatePartitionsRequest, CreateTopicsRequest, MetadataRequest};

use super::{Have, Want};
use crate::cluster::{Cluster, Node, repeat};
use crate::error::{self, Code};
use crate::resource::{Answered, Mode};
use crate::wire;

/// The topics of one reading: with five hundred partitions each the answer stays below what is taken for true.
const AT_ONCE: usize = 250;

/// A topic as it is to be made.
pub(super) fn creatable(want: &Want) -> CreatableTopic {
    let configs = want.config.iter().filter_map(|(key, value)| {
        let value = wire::string(value.as_deref()?);
        Some(CreatableTopicConfig::default().with_name(wire::string(key)).with_value(Some(value)))
    });
    CreatableTopic::default()
        .with_name(wire::topic(&want.name))
        .with_num_partitions(want.partitions.unwrap_or(-1))
        .with_replication_factor(want.replicas.unwrap_or(-1))
        .with_configs(configs.collect())
}

/// Makes topics, or has that validated; one answer for each, in order.
pub(super) fn create_topics(
    cluster: &mut Cluster,
    topics: &[CreatableTopic],
    mode: Mode,
) -> Result<Vec<Answered>, Failure> {
    let request = CreateTopicsRequest::default()
        .with_topics(topics.to_vec())
        .with_timeout_ms(cluster.link.server_timeout())
        .with_validate_only(mode.validates());
    let answer = cluster.administer(&request, |answer| {
        answer.topics.iter().any(|topic| error::is(topic.error_code, Code::NotController))
    })?;
    let answers = ordered::map(answer.topics.iter().map(|topic| {
        let mut answered = Answered::new(topic.error_code, topic.error_message.as_ref());
        // A twin was faster: reading compares what it made.
        if error::is(topic.error_code, Code::TopicAlreadyExists) {
            answered.code = None;
        }
        (&**topic.name, answered)
    }));
    Ok(topics.iter().filter_map(|topic| answers.get(&**topic.name).cloned()).collect())
}

/// Adds partitions, or has that validated; one answer for each, in order.
pub(super) fn grow_topics(
    cluster: &mut Cluster,
    topics: &[CreatePartitionsTopic],
    mode: Mode,
) -> Result<Vec<Answered>, Failure> {
    let request = CreatePartitionsRequest::default()
        .with_topics(topics.to_vec())
        .with_timeout_ms(cluster.link.server_timeout())
        .with_validate_only(mode.validates());
    let answer = cluster.administer(&request, |answer| {
        answer.results.iter().any(|topic| error::is(topic.error_code, Code::NotController))
    })?;
    let answers = ordered::map(answer.results.iter().map(|topic| {
        let mut answered = Answered::new(topic.error_code, topic.error_message.as_ref());
        // It is asked only of a topic with fewer: somebody grew it meanwhile, which reading confirms or not.
        if error::is(topic.error_code, Code::InvalidPartitions) {
            answered.code = None;
        }
        (&**topic.name, answered)
    }));
    Ok(topics.iter().filter_map(|topic| answers.get(&**topic.name).cloned()).collect())
}

pub(super) type Found = BTreeMap<String, Result<Have, Failure>>;

/// Reads the named topics; those that are not there are left out.
pub(super) fn read(node: &mut Node, names: &[&str], operations: bool) -> Result<Found, Failure> {
    let mut found = BTreeMap::new();
    for chunk in names.chunks(AT_ONCE) {
        let topics =
            chunk.iter().map(|name| MetadataRequestTopic::default().with_name(Some(wire::topic(name)))).collect();
        let request = MetadataRequest::default()
            .with_topics(Some(topics))
            .with_allow_auto_topic_creation(false)
            .with_include_topic_authorized_operations(operations);
        let link = node.link.clone();
        let part = repeat(&link, "the topics", || {
            let answer = node.ask(&request)?;
            if operations {
                node.link.note_brokers(&answer);
            }
            let mut part = BTreeMap::new();
            for topic in &answer.topics {
                let Some(name) = topic.name.as_ref().map(|name| name.to_string()) else { continue };
                match error::of(topic.error_code) {
                    Some(Code::UnknownTopicOrPartition) => {}
                    None => drop(part.insert(name, Ok(have(topic)))),
                    Some(Code::TopicAuthorizationFailed) => {
                        let failure = error::denied("Describe", format!("Topic:{name}"));
                        part.insert(name, Err(failure));
                    }
                    // 5: a ZooKeeper cluster has not chosen its leaders yet.
                    Some(other) if error::class(other) == Class::Again && !topic.partitions.is_empty() => {
                        part.insert(name, Ok(have(topic)));
                    }
                    Some(other) => {
                        let failure = error::failure(format!("cannot read topic {name}"), other, None);
                        if failure.class == Class::Again {
                            return Err(failure);
                        }
                        part.insert(name, Err(failure));
                    }
                }
            }
            Ok(part)
        })?;
        found.extend(part);
    }
    Ok(found)
}

/// Reads every topic that is not Kafka's own.
pub(super) fn read_all(node: &mut Node) -> Result<BTreeMap<String, Have>, Failure> {
    let request = MetadataRequest::default().with_topics(None).with_allow_auto_topic_creation(false);
    let answer = node.read(&request)?;
    let own = |topic: &&MetadataResponseTopic| !topic.is_internal && topic.error_code == 0;
    let named = |topic: &MetadataResponseTopic| Some((topic.name.as_ref()?.to_string(), have(topic)));
    Ok(ordered::map(answer.topics.iter().filter(own).filter_map(named)))
}

fn have(topic: &MetadataResponseTopic) -> Have {
    let replicas = topic.partitions.first().map_or(0, |partition| partition.replica_nodes.len());
    let broken = topic.partitions.iter().find_map(|partition| {
        let index = partition.partition_index;
        match error::of(partition.error_code) {
            None | Some(Code::ReplicaNotAvailable) if partition.leader_id.0 >= 0 => None,
            None => Some(format!("partition {index} has no leader")),
            Some(other) => Some(error::sentence(format!("partition {index}"), other, None)),
        }
    });
    Have {
        partitions: i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX),
        replicas: i16::try_from(replicas).unwrap_or(i16::MAX),
        config: BTreeMap::new(),
        operations: topic.topic_authorized_operations,
        broken,
        in_sync: topic.partitions.iter().map(|partition| partition.isr_nodes.len()).min().unwrap_or(0),
    }
}
