//! The two requests about SCRAM credentials. What they are good for is decided in `user`.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use bytes::Bytes;
use common::engine::change::Failure;
use kafka_protocol::messages::alter_user_scram_credentials_request::ScramCredentialUpsertion;
use kafka_protocol::messages::describe_user_scram_credentials_request::UserName;
use kafka_protocol::messages::{AlterUserScramCredentialsRequest, DescribeUserScramCredentialsRequest};
use ring::rand::SecureRandom;

use super::{ITERATIONS, Want};
use crate::cluster::{Cluster, Node, repeat};
use crate::error::{self, code};
use crate::resource::{Answered, CLUSTER};
use crate::sasl::Scram;
use crate::wire;

/// What is sent of a password: salt and salted password, never itself.
pub(super) fn upsertion(want: &Want, scram: Scram) -> Result<ScramCredentialUpsertion, Failure> {
    let mut salt = [0; 24];
    let random = ring::rand::SystemRandom::new().fill(&mut salt);
    random.map_err(|_| Failure::fatal("the system has no randomness for a salt"))?;
    let least = NonZeroU32::new(ITERATIONS).expect("4096 is not zero");
    let iterations = want.iterations.unwrap_or(least);
    let salted = scram.salted(want.password.reveal(), &salt, iterations);
    Ok(ScramCredentialUpsertion::default()
        .with_name(wire::string(&want.name))
        .with_mechanism(scram.number())
        .with_iterations(i32::try_from(iterations.get()).unwrap_or(i32::MAX))
        .with_salt(Bytes::copy_from_slice(&salt))
        .with_salted_password(Bytes::from(salted)))
}

/// Writes credentials; one answer for each, in order.
pub(super) fn upsert(cluster: &mut Cluster, upsertions: &[ScramCredentialUpsertion]) -> Result<Vec<Answered>, Failure> {
    let request = AlterUserScramCredentialsRequest::default().with_upsertions(upsertions.to_vec());
    let answer = cluster
        .administer(&request, |answer| answer.results.iter().any(|user| user.error_code == code::NOT_CONTROLLER))?;
    let answers: BTreeMap<&str, Answered> = answer
        .results
        .iter()
        .map(|user| (user.user.as_str(), Answered::new(user.error_code, user.error_message.as_ref())))
        .collect();
    Ok(upsertions.iter().filter_map(|upsertion| answers.get(upsertion.name.as_str()).cloned()).collect())
}

pub(super) type Credentials = BTreeMap<String, Result<BTreeMap<Scram, u32>, Failure>>;

/// Reads mechanisms and iterations of the users named, or of all; who has none is left out.
pub(super) fn describe(node: &mut Node, names: Option<&[&str]>) -> Result<Credentials, Failure> {
    let users = names.map(|names| names.iter().map(|name| UserName::default().with_name(wire::string(name))).collect());
    let request = DescribeUserScramCredentialsRequest::default().with_users(users);
    let link = node.link.clone();
    let answer = repeat(&link, || {
        let answer = node.ask(&request)?;
        match answer.error_code {
            code::NONE => Ok(answer),
            code::CLUSTER_DENIED => Err(error::denied("Describe", CLUSTER)),
            other => Err(error::failure("cannot read users", other, answer.error_message.as_deref())),
        }
    })?;
    let mut found = BTreeMap::new();
    for user in answer.results {
        let credentials = match user.error_code {
            code::NONE => Ok(user
                .credential_infos
                .iter()
                .filter_map(|info| Some((Scram::of_number(info.mechanism)?, u32::try_from(info.iterations).ok()?)))
                .collect()),
            code::NOT_FOUND => continue,
            other => {
                let what = format!("cannot read user {}", user.user);
                Err(error::failure(what, other, user.error_message.as_deref()))
            }
        };
        found.insert(user.user.to_string(), credentials);
    }
    Ok(found)
}
