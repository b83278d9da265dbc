//! The two requests about SCRAM credentials. What they are good for is decided in `user`.

use std::collections::BTreeMap;

use bytes::Bytes;
use common::engine::change::Failure;
use common::ordered;
use kafka_protocol::messages::alter_user_scram_credentials_request::ScramCredentialUpsertion;
use kafka_protocol::messages::describe_user_scram_credentials_request::UserName;
use kafka_protocol::messages::{AlterUserScramCredentialsRequest, DescribeUserScramCredentialsRequest};
use ring::rand::SecureRandom;

use super::Credential;
use crate::cluster::{Cluster, Node, repeat};
use crate::error::{self, Code};
use crate::resource::{Answered, CLUSTER};
use crate::sasl::Scram;
use crate::wire;

/// What is sent of a password: salt and salted password, never itself.
pub(super) fn upsertion(credential: &Credential, scram: Scram) -> Result<ScramCredentialUpsertion, Failure> {
    let mut salt = [0; 24];
    let random = ring::rand::SystemRandom::new().fill(&mut salt);
    random.map_err(|_| Failure::fatal("the system has no randomness for a salt"))?;
    let iterations = credential.iterations;
    let salted = scram.salted(credential.password.reveal(), &salt, iterations);
    Ok(ScramCredentialUpsertion::default()
        .with_name(wire::string(&credential.name))
        .with_mechanism(scram.number())
        .with_iterations(i32::try_from(iterations.get()).unwrap_or(i32::MAX))
        .with_salt(Bytes::copy_from_slice(&salt))
        .with_salted_password(Bytes::from(salted)))
}

/// Writes credentials; one answer for each, in order.
pub(super) fn upsert(cluster: &mut Cluster, upsertions: &[ScramCredentialUpsertion]) -> Result<Vec<Answered>, Failure> {
    let request = AlterUserScramCredentialsRequest::default().with_upsertions(upsertions.to_vec());
    let answer = cluster.administer(&request, |answer| {
        answer.results.iter().any(|user| error::is(user.error_code, Code::NotController))
    })?;
    let answered = answer
        .results
        .iter()
        .map(|user| (user.user.as_str(), Answered::new(user.error_code, user.error_message.as_ref())));
    let answers = ordered::map(answered);
    Ok(upsertions.iter().filter_map(|upsertion| answers.get(upsertion.name.as_str()).cloned()).collect())
}

pub(super) type Credentials = BTreeMap<String, Result<BTreeMap<Scram, u32>, Failure>>;

/// Reads mechanisms and iterations of the users named, or of all; who has none is left out.
pub(super) fn describe(node: &mut Node, names: Option<&[&str]>) -> Result<Credentials, Failure> {
    // An empty list means all of them, as none does; but without the right to describe them a broker's refusal of none dies of a
    // NullPointerException, and it never answers (4.3 and 3.9).
    let users =
        names.unwrap_or_default().iter().map(|name| UserName::default().with_name(wire::string(name))).collect();
    let request = DescribeUserScramCredentialsRequest::default().with_users(Some(users));
    let link = node.link.clone();
    let answer = repeat(&link, "the users", || {
        let answer = node.ask(&request)?;
        match error::of(answer.error_code) {
            None => Ok(answer),
            Some(Code::ClusterAuthorizationFailed) => Err(error::denied("Describe", CLUSTER)),
            Some(other) => Err(error::failure("cannot read users", other, answer.error_message.as_deref())),
        }
    })?;
    let mut found = BTreeMap::new();
    for user in answer.results {
        let credentials =
            match error::of(user.error_code) {
                None => Ok(ordered::map(user.credential_infos.iter().filter_map(|info| {
                    Some((Scram::of_number(info.mechanism)?, u32::try_from(info.iterations).ok()?))
                }))),
                Some(Code::ResourceNotFound) => continue,
                Some(other) => {
                    let what = format!("cannot read user {}", user.user);
                    Err(error::failure(what, other, user.error_message.as_deref()))
                }
            };
        found.insert(user.user.to_string(), credentials);
    }
    Ok(found)
}
