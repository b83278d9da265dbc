//! What Kafka's error codes mean to a program that must end well: one exhaustive table from code to name, class and advice.
//! Nothing here talks to a broker.

use common::engine::change::{Class, Failure};

pub(crate) use kafka_protocol::ResponseError as Code;

/// The error that a number stands for; 0 is none.
pub(crate) fn of(number: i16) -> Option<Code> {
    Code::try_from_code(number)
}

/// Whether a number stands for this error.
pub(crate) fn is(number: i16, code: Code) -> bool {
    number == code.code()
}

/// The code's name, as Kafka's documentation has it.
pub(crate) fn name(code: Code) -> String {
    if let Code::Unknown(_) = code {
        return "an unknown code".into();
    }
    let mut name = String::new();
    for c in code.to_string().chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
    }
    name
}

/// How a code is to be met. Kafka's own flag "retriable" is not followed where an init program has to know better: 38 passes once
/// the brokers have registered, and 7 and -1 say nothing about whether the controller did it (4.x masks trouble on the way to it).
pub(crate) fn class(code: Code) -> Class {
    match code {
        Code::UnknownServerError
        | Code::RequestTimedOut
        // A transaction that a twin fenced: only reading tells what became of the records.
        | Code::OutOfOrderSequenceNumber
        | Code::InvalidProducerEpoch
        | Code::InvalidTxnState
        | Code::InvalidProducerIdMapping
        | Code::UnknownProducerId
        | Code::ProducerFenced
        | Code::TransactionAbortable => Class::Ambiguous,
        // A create that lost to a twin, or to our own earlier try: the next reading compares what is there.
        Code::TopicAlreadyExists
        | Code::UnknownTopicOrPartition
        | Code::LeaderNotAvailable
        | Code::NotLeaderOrFollower
        | Code::BrokerNotAvailable
        | Code::ReplicaNotAvailable
        | Code::StaleControllerEpoch
        | Code::NetworkException
        | Code::CoordinatorLoadInProgress
        | Code::CoordinatorNotAvailable
        | Code::NotCoordinator
        | Code::NotEnoughReplicas
        | Code::NotEnoughReplicasAfterAppend
        | Code::InvalidReplicationFactor
        | Code::NotController
        | Code::ConcurrentTransactions
        | Code::TransactionCoordinatorFenced
        | Code::OperationNotAttempted
        | Code::KafkaStorageError
        | Code::ReassignmentInProgress
        | Code::ListenerNotFound
        | Code::FencedLeaderEpoch
        | Code::UnknownLeaderEpoch
        | Code::StaleBrokerEpoch
        | Code::OffsetNotAvailable
        | Code::PreferredLeaderNotAvailable
        | Code::EligibleLeadersNotAvailable
        | Code::ThrottlingQuotaExceeded
        | Code::UnknownTopicId
        | Code::InconsistentTopicId
        | Code::NewLeaderElected => Class::Again,
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::SaslAuthenticationFailed
        | Code::DelegationTokenAuthDisabled
        | Code::DelegationTokenAuthorizationFailed => Class::Auth,
        // What a newer broker may say and nobody here has read about: stop.
        Code::Unknown(_) => Class::Fatal,
        _ => Class::Rejected,
    }
}

/// What to do about it, where the name does not say.
fn advice(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::UnknownServerError => {
            "the broker could not say more: see its log; trouble between broker and controller looks like this"
        }
        Code::LeaderNotAvailable => "the leader's broker is down",
        Code::RequestTimedOut => {
            "the controller did not answer the broker in time: have the controllers lost their quorum?"
        }
        Code::MessageTooLarge => "raise the topic's max.message.bytes or make the record smaller",
        Code::InvalidTopicException => {
            "use letters, digits, '.', '_' and '-', at most 249, and no name that differs from another by '.' and '_' alone"
        }
        Code::NotEnoughReplicas | Code::NotEnoughReplicasAfterAppend => {
            "fewer replicas are in sync than min.insync.replicas wants: is a broker down?"
        }
        Code::UnsupportedSaslMechanism => "set KAFKA_SASL_MECHANISM to one that the broker has enabled",
        Code::IllegalSaslState => "this listener takes no login: set KAFKA_SECURITY_PROTOCOL to PLAINTEXT or SSL",
        Code::UnsupportedVersion => "the cluster's version, or its metadata.version, is too old for this",
        Code::InvalidReplicationFactor => "start the missing brokers or lower `replicas`",
        Code::NotController => "the controller has moved",
        Code::PolicyViolation => {
            "if the sentence is not Kafka's own, it is that of the brokers' create.topic.policy or alter.config.policy"
        }
        Code::TransactionalIdAuthorizationFailed => "grant Write and Describe on TransactionalId",
        Code::SecurityDisabled => "the brokers have no authorizer: set authorizer.class.name, or remove the acls",
        Code::SaslAuthenticationFailed => "check the user name, the password and the mechanism",
        Code::ReassignmentInProgress => "wait for the reassignment, or cancel it",
        Code::ListenerNotFound => {
            "the partition's leader has no listener of this name: check advertised.listeners of every broker"
        }
        Code::UnsupportedCompressionType => {
            "the topic's messages are compressed in a way that this request's version does not know"
        }
        Code::InvalidRecord => "the broker does not take the record: a compacted topic needs keys",
        Code::ThrottlingQuotaExceeded => "controller_mutation_rate is used up: raise the quota or APPLY_TIMEOUT",
        _ => return None,
    })
}

/// A failure out of an error code: what was done, the broker's words, the code's name, what to do.
pub(crate) fn failure(what: impl std::fmt::Display, code: Code, said: Option<&str>) -> Failure {
    Failure { code: Some(name(code)), ..Failure::new(class(code), sentence(what, code, said)) }
}

/// The same as a sentence alone.
pub(crate) fn sentence(what: impl std::fmt::Display, code: Code, said: Option<&str>) -> String {
    let mut text = format!("{what}: ");
    let (number, name) = (code.code(), name(code));
    // Brokers repeat the name's meaning as their message ("This server does not host this topic-partition."); with 31 they send a
    // dump of their own request object, which helps nobody.
    match said.map(str::trim).filter(|said| !said.is_empty() && !said.starts_with("Request Request(")) {
        Some(said) => text += &format!("{} ({number} {name})", said.trim_end_matches('.')),
        None => text += &format!("the broker answered {number} {name}"),
    }
    if let Some(advice) = advice(code) {
        text += &format!("; {advice}");
    }
    text
}

/// A right that is missing, named so that an administrator can grant it.
pub(crate) fn denied(right: &str, resource: impl std::fmt::Display) -> Failure {
    Failure::new(Class::Auth, format!("needs {right} on {resource}, which this principal has not been granted"))
}

/// Kafka's number of an operation, which is also its bit in the authorized operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    Alter = 7,
    AlterConfigs = 11,
}

/// Whether the authorized operations lack a right. `i32::MIN` means that the broker did not say, and so does 0: that is what it answers
/// to who may not Describe, whatever else is granted (4.3 and 3.9).
pub(crate) fn lacks(operations: i32, right: Right) -> bool {
    !matches!(operations, 0 | i32::MIN) && operations & (1 << right as i32) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_kafkas_documentation() {
        for (number, expected) in [
            (-1, "UNKNOWN_SERVER_ERROR"),
            (38, "INVALID_REPLICATION_FACTOR"),
            (89, "THROTTLING_QUOTA_EXCEEDED"),
            (91, "RESOURCE_NOT_FOUND"),
            (133, "SHARE_SESSION_LIMIT_REACHED"),
            (999, "an unknown code"),
        ] {
            assert_eq!(of(number).map(name).as_deref(), Some(expected));
        }
        assert_eq!(of(0), None);
    }

    #[test]
    fn ambiguous_codes_are_settled_by_reading() {
        let class = |number| of(number).map(class);
        assert_eq!(class(7), Some(Class::Ambiguous));
        assert_eq!(class(-1), Some(Class::Ambiguous));
        assert_eq!(class(38), Some(Class::Again));
        assert_eq!(class(40), Some(Class::Rejected));
        assert_eq!(class(29), Some(Class::Auth));
        assert_eq!(class(4000), Some(Class::Fatal));
    }

    #[test]
    fn a_dump_of_the_brokers_request_is_not_shown() {
        let text = sentence(
            "cannot read acls",
            Code::ClusterAuthorizationFailed,
            Some("Request Request(processor=0, connectionId=…"),
        );
        assert_eq!(text, "cannot read acls: the broker answered 31 CLUSTER_AUTHORIZATION_FAILED");
    }
}
