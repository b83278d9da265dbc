//! What Kafka's error codes mean to a program that must end well: one exhaustive table from code to name, class and advice.
//! Nothing here talks to a broker.

use common::engine::change::{Class, Failure};

/// Codes that a caller acts on by name.
pub(crate) mod code {
    pub(crate) const NONE: i16 = 0;
    pub(crate) const UNKNOWN_TOPIC: i16 = 3;
    pub(crate) const REPLICA_NOT_AVAILABLE: i16 = 9;
    pub(crate) const COORDINATOR_NOT_AVAILABLE: i16 = 15;
    pub(crate) const TOPIC_DENIED: i16 = 29;
    pub(crate) const CLUSTER_DENIED: i16 = 31;
    pub(crate) const UNSUPPORTED_MECHANISM: i16 = 33;
    pub(crate) const ILLEGAL_SASL_STATE: i16 = 34;
    pub(crate) const UNSUPPORTED_VERSION: i16 = 35;
    pub(crate) const TOPIC_EXISTS: i16 = 36;
    pub(crate) const INVALID_PARTITIONS: i16 = 37;
    pub(crate) const TOO_FEW_BROKERS: i16 = 38;
    pub(crate) const NOT_CONTROLLER: i16 = 41;
    pub(crate) const CONCURRENT_TRANSACTIONS: i16 = 51;
    pub(crate) const TRANSACTIONAL_ID_DENIED: i16 = 53;
    pub(crate) const SECURITY_DISABLED: i16 = 54;
    pub(crate) const LOGIN_FAILED: i16 = 58;
    pub(crate) const THROTTLED: i16 = 89;
    pub(crate) const NOT_FOUND: i16 = 91;
}

/// Names in the order of their codes, from -1.
const NAMES: [&str; 135] = [
    "UNKNOWN_SERVER_ERROR",
    "NONE",
    "OFFSET_OUT_OF_RANGE",
    "CORRUPT_MESSAGE",
    "UNKNOWN_TOPIC_OR_PARTITION",
    "INVALID_FETCH_SIZE",
    "LEADER_NOT_AVAILABLE",
    "NOT_LEADER_OR_FOLLOWER",
    "REQUEST_TIMED_OUT",
    "BROKER_NOT_AVAILABLE",
    "REPLICA_NOT_AVAILABLE",
    "MESSAGE_TOO_LARGE",
    "STALE_CONTROLLER_EPOCH",
    "OFFSET_METADATA_TOO_LARGE",
    "NETWORK_EXCEPTION",
    "COORDINATOR_LOAD_IN_PROGRESS",
    "COORDINATOR_NOT_AVAILABLE",
    "NOT_COORDINATOR",
    "INVALID_TOPIC_EXCEPTION",
    "RECORD_LIST_TOO_LARGE",
    "NOT_ENOUGH_REPLICAS",
    "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
    "INVALID_REQUIRED_ACKS",
    "ILLEGAL_GENERATION",
    "INCONSISTENT_GROUP_PROTOCOL",
    "INVALID_GROUP_ID",
    "UNKNOWN_MEMBER_ID",
    "INVALID_SESSION_TIMEOUT",
    "REBALANCE_IN_PROGRESS",
    "INVALID_COMMIT_OFFSET_SIZE",
    "TOPIC_AUTHORIZATION_FAILED",
    "GROUP_AUTHORIZATION_FAILED",
    "CLUSTER_AUTHORIZATION_FAILED",
    "INVALID_TIMESTAMP",
    "UNSUPPORTED_SASL_MECHANISM",
    "ILLEGAL_SASL_STATE",
    "UNSUPPORTED_VERSION",
    "TOPIC_ALREADY_EXISTS",
    "INVALID_PARTITIONS",
    "INVALID_REPLICATION_FACTOR",
    "INVALID_REPLICA_ASSIGNMENT",
    "INVALID_CONFIG",
    "NOT_CONTROLLER",
    "INVALID_REQUEST",
    "UNSUPPORTED_FOR_MESSAGE_FORMAT",
    "POLICY_VIOLATION",
    "OUT_OF_ORDER_SEQUENCE_NUMBER",
    "DUPLICATE_SEQUENCE_NUMBER",
    "INVALID_PRODUCER_EPOCH",
    "INVALID_TXN_STATE",
    "INVALID_PRODUCER_ID_MAPPING",
    "INVALID_TRANSACTION_TIMEOUT",
    "CONCURRENT_TRANSACTIONS",
    "TRANSACTION_COORDINATOR_FENCED",
    "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
    "SECURITY_DISABLED",
    "OPERATION_NOT_ATTEMPTED",
    "KAFKA_STORAGE_ERROR",
    "LOG_DIR_NOT_FOUND",
    "SASL_AUTHENTICATION_FAILED",
    "UNKNOWN_PRODUCER_ID",
    "REASSIGNMENT_IN_PROGRESS",
    "DELEGATION_TOKEN_AUTH_DISABLED",
    "DELEGATION_TOKEN_NOT_FOUND",
    "DELEGATION_TOKEN_OWNER_MISMATCH",
    "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED",
    "DELEGATION_TOKEN_AUTHORIZATION_FAILED",
    "DELEGATION_TOKEN_EXPIRED",
    "INVALID_PRINCIPAL_TYPE",
    "NON_EMPTY_GROUP",
    "GROUP_ID_NOT_FOUND",
    "FETCH_SESSION_ID_NOT_FOUND",
    "INVALID_FETCH_SESSION_EPOCH",
    "LISTENER_NOT_FOUND",
    "TOPIC_DELETION_DISABLED",
    "FENCED_LEADER_EPOCH",
    "UNKNOWN_LEADER_EPOCH",
    "UNSUPPORTED_COMPRESSION_TYPE",
    "STALE_BROKER_EPOCH",
    "OFFSET_NOT_AVAILABLE",
    "MEMBER_ID_REQUIRED",
    "PREFERRED_LEADER_NOT_AVAILABLE",
    "GROUP_MAX_SIZE_REACHED",
    "FENCED_INSTANCE_ID",
    "ELIGIBLE_LEADERS_NOT_AVAILABLE",
    "ELECTION_NOT_NEEDED",
    "NO_REASSIGNMENT_IN_PROGRESS",
    "GROUP_SUBSCRIBED_TO_TOPIC",
    "INVALID_RECORD",
    "UNSTABLE_OFFSET_COMMIT",
    "THROTTLING_QUOTA_EXCEEDED",
    "PRODUCER_FENCED",
    "RESOURCE_NOT_FOUND",
    "DUPLICATE_RESOURCE",
    "UNACCEPTABLE_CREDENTIAL",
    "INCONSISTENT_VOTER_SET",
    "INVALID_UPDATE_VERSION",
    "FEATURE_UPDATE_FAILED",
    "PRINCIPAL_DESERIALIZATION_FAILURE",
    "SNAPSHOT_NOT_FOUND",
    "POSITION_OUT_OF_RANGE",
    "UNKNOWN_TOPIC_ID",
    "DUPLICATE_BROKER_REGISTRATION",
    "BROKER_ID_NOT_REGISTERED",
    "INCONSISTENT_TOPIC_ID",
    "INCONSISTENT_CLUSTER_ID",
    "TRANSACTIONAL_ID_NOT_FOUND",
    "FETCH_SESSION_TOPIC_ID_ERROR",
    "INELIGIBLE_REPLICA",
    "NEW_LEADER_ELECTED",
    "OFFSET_MOVED_TO_TIERED_STORAGE",
    "FENCED_MEMBER_EPOCH",
    "UNRELEASED_INSTANCE_ID",
    "UNSUPPORTED_ASSIGNOR",
    "STALE_MEMBER_EPOCH",
    "MISMATCHED_ENDPOINT_TYPE",
    "UNSUPPORTED_ENDPOINT_TYPE",
    "UNKNOWN_CONTROLLER_ID",
    "UNKNOWN_SUBSCRIPTION_ID",
    "TELEMETRY_TOO_LARGE",
    "INVALID_REGISTRATION",
    "TRANSACTION_ABORTABLE",
    "INVALID_RECORD_STATE",
    "SHARE_SESSION_NOT_FOUND",
    "INVALID_SHARE_SESSION_EPOCH",
    "FENCED_STATE_EPOCH",
    "INVALID_VOTER_KEY",
    "DUPLICATE_VOTER",
    "VOTER_NOT_FOUND",
    "INVALID_REGULAR_EXPRESSION",
    "REBOOTSTRAP_REQUIRED",
    "STREAMS_INVALID_TOPOLOGY",
    "STREAMS_INVALID_TOPOLOGY_EPOCH",
    "STREAMS_TOPOLOGY_FENCED",
    "SHARE_SESSION_LIMIT_REACHED",
];

/// The code's name, as Kafka's documentation has it.
pub(crate) fn name(code: i16) -> &'static str {
    usize::try_from(i32::from(code) + 1).ok().and_then(|index| NAMES.get(index)).copied().unwrap_or("an unknown code")
}

/// How a code is to be met. Kafka's own flag "retriable" is not followed where an init program has to know better: 38 passes once
/// the brokers have registered, and 7 and -1 say nothing about whether the controller did it (4.x masks trouble on the way to it).
pub(crate) fn class(code: i16) -> Class {
    match code {
        // From 45 on: a transaction that a twin fenced; only reading tells what became of the records.
        -1 | 7 | 45 | 47 | 48 | 49 | 59 | 90 | 120 => Class::Ambiguous,
        // 36 is a create that lost to a twin, or to our own earlier try: the next reading compares what is there.
        3
        | 5
        | 6
        | 8
        | 9
        | 11
        | 13..=16
        | 19
        | 20
        | 36
        | 38
        | 41
        | 51
        | 52
        | 55
        | 56
        | 60
        | 72
        | 74
        | 75
        | 77
        | 78
        | 80
        | 83
        | 89
        | 100
        | 103
        | 108 => Class::Again,
        29..=31 | 53 | 58 | 61 | 65 => Class::Auth,
        0..=135 => Class::Rejected,
        _ => Class::Fatal,
    }
}

/// What to do about it, where the name does not say.
fn advice(code: i16) -> Option<&'static str> {
    Some(match code {
        -1 => "the broker could not say more: see its log; trouble between broker and controller looks like this",
        5 => "the leader's broker is down",
        7 => "the controller did not answer the broker in time: have the controllers lost their quorum?",
        10 => "raise the topic's max.message.bytes or make the record smaller",
        17 => {
            "use letters, digits, '.', '_' and '-', at most 249, and no name that differs from another by '.' and '_' alone"
        }
        19 | 20 => "fewer replicas are in sync than min.insync.replicas wants: is a broker down?",
        33 => "set KAFKA_SASL_MECHANISM to one that the broker has enabled",
        34 => "this listener takes no login: set KAFKA_SECURITY_PROTOCOL to PLAINTEXT or SSL",
        35 => "the cluster's version, or its metadata.version, is too old for this",
        38 => "start the missing brokers or lower `replicas`",
        41 => "the controller has moved",
        44 => "the cluster's create.topic.policy or alter.config.policy refuses it",
        53 => "grant Write and Describe on TransactionalId",
        54 => "the brokers have no authorizer: set authorizer.class.name, or remove the acls",
        58 => "check the user name, the password and the mechanism",
        60 => "wait for the reassignment, or cancel it",
        72 => "the partition's leader has no listener of this name: check advertised.listeners of every broker",
        76 => "the topic's messages are compressed in a way that this request's version does not know",
        87 => "the broker does not take the record: a compacted topic needs keys",
        89 => "controller_mutation_rate is used up: raise the quota or APPLY_TIMEOUT",
        _ => return None,
    })
}

/// A failure out of an error code: what was done, the broker's words, the code's name, what to do.
pub(crate) fn failure(what: impl std::fmt::Display, code: i16, said: Option<&str>) -> Failure {
    Failure::new(class(code), sentence(what, code, said))
}

/// The same as a sentence alone.
pub(crate) fn sentence(what: impl std::fmt::Display, code: i16, said: Option<&str>) -> String {
    let mut text = format!("{what}: ");
    // Brokers repeat the name's meaning as their message ("This server does not host this topic-partition."); with 31 they send a
    // dump of their own request object, which helps nobody.
    match said.map(str::trim).filter(|said| !said.is_empty() && !said.starts_with("Request Request(")) {
        Some(said) => text += &format!("{} ({code} {})", said.trim_end_matches('.'), name(code)),
        None => text += &format!("the broker answered {code} {}", name(code)),
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

/// Whether the authorized operations lack a right; `i32::MIN` means that the broker did not say.
pub(crate) fn lacks(operations: i32, right: Right) -> bool {
    operations != i32::MIN && operations & (1 << right as i32) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_at_their_codes() {
        assert_eq!(name(-1), "UNKNOWN_SERVER_ERROR");
        assert_eq!(name(0), "NONE");
        assert_eq!(name(38), "INVALID_REPLICATION_FACTOR");
        assert_eq!(name(89), "THROTTLING_QUOTA_EXCEEDED");
        assert_eq!(name(91), "RESOURCE_NOT_FOUND");
        assert_eq!(name(133), "SHARE_SESSION_LIMIT_REACHED");
        assert_eq!(name(999), "an unknown code");
    }

    #[test]
    fn every_code_agrees_with_the_protocol_crate() {
        for number in -1..=133 {
            let Some(known) = kafka_protocol::ResponseError::try_from_code(number) else { continue };
            let flat = |text: &str| text.replace('_', "").to_lowercase();
            let theirs = flat(&format!("{known:?}"));
            let ours = flat(name(number));
            assert!(
                theirs.contains(&ours) || ours.contains(&theirs) || theirs == "unknown",
                "{number}: {theirs} {ours}"
            );
        }
    }

    #[test]
    fn ambiguous_codes_are_settled_by_reading() {
        assert_eq!(class(7), Class::Ambiguous);
        assert_eq!(class(-1), Class::Ambiguous);
        assert_eq!(class(38), Class::Again);
        assert_eq!(class(40), Class::Rejected);
        assert_eq!(class(29), Class::Auth);
        assert_eq!(class(4000), Class::Fatal);
    }

    #[test]
    fn a_dump_of_the_brokers_request_is_not_shown() {
        let text = sentence("cannot read acls", 31, Some("Request Request(processor=0, connectionId=…"));
        assert_eq!(text, "cannot read acls: the broker answered 31 CLUSTER_AUTHORIZATION_FAILED");
    }
}
