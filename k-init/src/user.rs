//! SCRAM users: Kafka tells mechanism and iterations, never the password; logging in with it is what proves it.
//!
//! | declared mechanism | the cluster has            | login with the password | then                               |
//! |--------------------|----------------------------|-------------------------|------------------------------------|
//! | any                | no such credential         | –                       | write                              |
//! | any                | other iterations           | –                       | write                              |
//! | any                | the same                   | works                   | nothing                            |
//! | any                | the same                   | is refused              | write                              |
//! | any                | the same                   | is not offered          | nothing, "password not verified"   |
//! | not declared       | a credential               | –                       | left alone, named in a note        |

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use common::change::{Action, Change, Class, Difference, Failure, ObjectId, Planned, Shown};
use common::export::placeholder;
use common::files::{Object, Problem, Set};
use common::http::Counters;
use common::kind::Exported;
use common::retry::Backoff;
use common::retry::pause;
use common::secret::Secret;
use kafka_protocol::messages::alter_user_scram_credentials_request::ScramCredentialUpsertion;
use kafka_protocol::messages::describe_user_scram_credentials_request::UserName;
use kafka_protocol::messages::{AlterUserScramCredentialsRequest, DescribeUserScramCredentialsRequest};
use ring::rand::SecureRandom;
use serde::Deserialize;
use serde_json::json;

use crate::client::{Access, Connection, How};
use crate::cluster::{Cluster, Link, Node, repeat};
use crate::error::{self, Right, code};
use crate::resource::{Answered, Resource, settle};
use crate::sasl::{Login, Scram};
use crate::settings::Door;
use crate::wire;

/// The folder's name.
pub(crate) const KIND: &str = "users";

/// What Kafka's own tool uses, and the least that a broker takes.
const ITERATIONS: u32 = 4096;
const MOST_ITERATIONS: u32 = 16384;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    password: String,
    #[serde(default = "default_mechanisms")]
    mechanisms: Vec<Scram>,
    iterations: Option<u32>,
}

fn default_mechanisms() -> Vec<Scram> {
    vec![Scram::Sha512]
}

struct Want {
    name: String,
    password: Secret,
    mechanisms: BTreeSet<Scram>,
    iterations: Option<NonZeroU32>,
}

/// What a login with the declared password showed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Proof {
    Works,
    Refused,
    /// Nobody was asked, or nobody could say; the text tells why.
    Unknown(String),
}

/// All declared users.
pub(crate) struct Users {
    wants: Vec<Want>,
    problems: Vec<Problem>,
    door: Option<Door>,
    counters: Arc<Counters>,
    /// Whether a salted password would be readable on its way.
    in_the_open: bool,
}

impl Users {
    pub(crate) fn of(set: &Set, door: Option<Door>, link: &Link, offline: bool) -> Self {
        let mut users = Self {
            wants: Vec::new(),
            problems: Vec::new(),
            door,
            counters: link.counters.clone(),
            in_the_open: link.access.tls.is_none(),
        };
        for object in set.of(KIND) {
            match want(&object, offline) {
                Ok(want) => users.wants.push(want),
                Err(problem) => users.problems.push(problem),
            }
        }
        users
    }

    /// Logs in with the declared password. A broker that is busy is asked again; one without the mechanism cannot say.
    fn prove(&self, want: &Want, scram: Scram, link: &Link) -> Proof {
        let Some(door) = &self.door else {
            return Proof::Unknown("no SASL listener is known: set KAFKA_VERIFY_SERVERS".into());
        };
        let login = Login::Scram { scram, user: want.name.clone(), password: want.password.clone() };
        let access = Access { tls: door.tls.clone(), login: Some(login) };
        let mut backoff = Backoff::default();
        let mut index = 0;
        loop {
            let address = &door.addresses[index % door.addresses.len()];
            let limit = link.deadline().at_most(link.request);
            let Err(trouble) = Connection::open(address, &access, &self.counters, limit) else { return Proof::Works };
            match trouble.how {
                How::Denied => return Proof::Refused,
                How::NoMechanism | How::Hopeless => return Proof::Unknown(trouble.text),
                How::Closed | How::NotReady if backoff.tries() >= 3 || link.deadline().passed() => {
                    return Proof::Unknown(trouble.text);
                }
                How::Closed | How::NotReady => {
                    index += 1;
                    self.counters.retries.fetch_add(1, Ordering::Relaxed);
                    pause(backoff.next(None), link.deadline());
                }
            }
        }
    }

    fn verdict(&self, want: &Want, held: &BTreeMap<Scram, u32>, node: &Node, first: bool) -> Change {
        let mut proofs = BTreeMap::new();
        for scram in want.mechanisms.iter().filter(|scram| first && held.contains_key(scram)) {
            if want.iterations.is_none_or(|iterations| held.get(scram) == Some(&iterations.get())) {
                proofs.insert(*scram, self.prove(want, *scram, &node.link));
            }
        }
        compared(&want.mechanisms, want.iterations.map(NonZeroU32::get), held, &proofs)
    }
}

fn want(object: &Rc<Object>, offline: bool) -> Result<Want, Problem> {
    let body: Body = object.typed()?;
    if body.mechanisms.is_empty() {
        return Err(object.located("/mechanisms", "needs at least one of SCRAM-SHA-256, SCRAM-SHA-512"));
    }
    let mechanisms: BTreeSet<Scram> = body.mechanisms.iter().copied().collect();
    if mechanisms.len() < body.mechanisms.len() {
        return Err(object.located("/mechanisms", "names a mechanism twice"));
    }
    if body.password.is_empty() {
        return Err(object.located("/password", "is empty"));
    }
    if body.iterations.is_some_and(|count| !(ITERATIONS..=MOST_ITERATIONS).contains(&count)) {
        return Err(object.located("/iterations", format!("Kafka takes from {ITERATIONS} to {MOST_ITERATIONS}")));
    }
    // While files are checked without their secrets the placeholder itself stands there, which is none.
    let password = if offline { Secret::new("") } else { Secret::new(body.password) };
    let iterations = body.iterations.and_then(NonZeroU32::new);
    Ok(Want { name: object.id.name.clone(), password, mechanisms, iterations })
}

fn compared(
    mechanisms: &BTreeSet<Scram>,
    iterations: Option<u32>,
    held: &BTreeMap<Scram, u32>,
    proofs: &BTreeMap<Scram, Proof>,
) -> Change {
    let mut differences = Vec::new();
    let mut notes = Vec::new();
    for scram in mechanisms {
        let name = scram.name();
        let Some(have) = held.get(scram) else {
            differences.push(Difference::new(format!("/mechanisms/{name}"), Shown::Absent, Shown::Masked));
            continue;
        };
        if let Some(wanted) = iterations.filter(|wanted| wanted != have) {
            let shown = |count: u32| Shown::Json(format!("\"{name} with {count} iterations\""));
            differences.push(Difference::new(format!("/mechanisms/{name}"), shown(*have), shown(wanted)));
            continue;
        }
        match proofs.get(scram) {
            Some(Proof::Refused) => {
                differences.push(Difference::new(format!("/mechanisms/{name}"), Shown::Masked, Shown::Masked));
            }
            Some(Proof::Unknown(why)) => notes.push(format!("password not verified for {name}: {why}")),
            Some(Proof::Works) | None => {}
        }
    }
    for scram in held.keys().filter(|scram| !mechanisms.contains(scram)) {
        notes.push(format!("has {} as well, which no file names; it is left", scram.name()));
    }
    let action = match (differences.is_empty(), held.is_empty()) {
        (true, _) => Action::None,
        (false, true) => Action::Create,
        (false, false) => Action::Update,
    };
    Change { action, differences, locked: None, notes }
}

impl Resource for Users {
    fn name(&self) -> &'static str {
        KIND
    }

    fn problems(&self) -> Vec<Problem> {
        self.problems.clone()
    }

    fn declared(&self) -> bool {
        !self.wants.is_empty()
    }

    fn right(&self) -> Option<Right> {
        Some(Right::Alter)
    }

    fn compare(&self, node: &mut Node, only: Option<&BTreeSet<String>>) -> Result<Vec<Planned>, Failure> {
        let wants: Vec<&Want> =
            self.wants.iter().filter(|want| only.is_none_or(|only| only.contains(&want.name))).collect();
        let names: Vec<&str> = wants.iter().map(|want| want.name.as_str()).collect();
        let mut held = describe(node, Some(&names))?;
        let planned = wants.into_iter().map(|want| {
            let verdict = match held.remove(&want.name) {
                Some(Err(failure)) => Err(failure),
                Some(Ok(held)) => Ok(self.verdict(want, &held, node, only.is_none())),
                None => Ok(self.verdict(want, &BTreeMap::new(), node, only.is_none())),
            };
            Planned::new(ObjectId::new(KIND, &want.name), verdict)
        });
        Ok(planned.collect())
    }

    fn preflight(&self, cluster: &mut Cluster, planned: &[Planned]) -> Vec<Problem> {
        let writes = planned.iter().any(|planned| planned.verdict.as_ref().is_ok_and(Change::writes));
        if writes && self.in_the_open {
            cluster.warn(
                "users are about to be written over a connection without TLS: whoever listens can log in with the salted password",
            );
        }
        Vec::new()
    }

    /// A user stands at most once in a request (92), so each request carries one mechanism of each.
    fn write(&mut self, cluster: &mut Cluster, todo: &[&Planned]) -> Vec<Result<(), Failure>> {
        let mut results = vec![Ok(()); todo.len()];
        for scram in [Scram::Sha256, Scram::Sha512] {
            let mut batch = Vec::new();
            let mut places = Vec::new();
            for (index, planned) in todo.iter().enumerate() {
                let (Ok(change), Some(want)) =
                    (&planned.verdict, self.wants.iter().find(|want| want.name == planned.id.name))
                else {
                    continue;
                };
                let path = format!("/mechanisms/{}", scram.name());
                if !change.differences.iter().any(|difference| difference.path == path) {
                    continue;
                }
                match upsertion(want, scram) {
                    Ok(upsertion) => {
                        batch.push((format!("cannot write {} of user {}", scram.name(), want.name), upsertion));
                        places.push(index);
                    }
                    Err(failure) => results[index] = Err(failure),
                }
            }
            if batch.is_empty() {
                continue;
            }
            for (index, result) in places.into_iter().zip(settle(cluster, &batch, upsert)) {
                let result = result.map_err(|failure| named(failure, "Alter"));
                if results[index].is_ok() {
                    results[index] = result;
                }
            }
        }
        results
    }

    fn export(&self, cluster: &mut Cluster) -> Result<Vec<Exported>, Failure> {
        let mut exported = Vec::new();
        for (name, held) in describe(&mut cluster.main, None)? {
            let held = held?;
            let variable = placeholder(KIND, &name, "password");
            let mut body = json!({
                "password": format!("$__env{{{variable}}}"),
                "mechanisms": held.keys().map(|scram| scram.name()).collect::<Vec<_>>(),
            });
            let counts: BTreeSet<u32> = held.values().copied().collect();
            if let (1, Some(count)) = (counts.len(), counts.first()) {
                body["iterations"] = (*count).into();
            }
            let path = vec![KIND.to_owned(), format!("{name}.json")];
            exported.push(Exported { path, text: format!("{body:#}\n"), placeholders: vec![variable] });
        }
        Ok(exported)
    }
}

fn named(failure: Failure, right: &str) -> Failure {
    if failure.class == Class::Auth { error::denied(right, "Cluster:kafka-cluster") } else { failure }
}

fn upsertion(want: &Want, scram: Scram) -> Result<ScramCredentialUpsertion, Failure> {
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

fn upsert(cluster: &mut Cluster, upsertions: &[ScramCredentialUpsertion]) -> Result<Vec<Answered>, Failure> {
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

type Credentials = BTreeMap<String, Result<BTreeMap<Scram, u32>, Failure>>;

/// Reads mechanisms and iterations of the users named, or of all; who has none is left out.
fn describe(node: &mut Node, names: Option<&[&str]>) -> Result<Credentials, Failure> {
    let users = names.map(|names| names.iter().map(|name| UserName::default().with_name(wire::string(name))).collect());
    let request = DescribeUserScramCredentialsRequest::default().with_users(users);
    let link = node.link.clone();
    let answer = repeat(&link, || {
        let answer = node.ask(&request)?;
        match answer.error_code {
            code::NONE => Ok(answer),
            code::CLUSTER_DENIED => Err(error::denied("Describe", "Cluster:kafka-cluster")),
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

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(
        mechanisms: &[Scram],
        iterations: Option<u32>,
        held: &[(Scram, u32)],
        proofs: &[(Scram, Proof)],
        expected: &Expect,
    ) {
        let mechanisms = mechanisms.iter().copied().collect();
        let held = held.iter().copied().collect();
        let proofs = proofs.iter().cloned().collect();
        let change = compared(&mechanisms, iterations, &held, &proofs);
        let mut lines = vec![format!("{:?}", change.action)];
        lines.extend(change.differences.iter().map(ToString::to_string));
        lines.extend(change.notes.iter().map(|note| format!("note: {note}")));
        expected.assert_eq(&lines.join("\n"));
    }

    const BOTH: [Scram; 2] = [Scram::Sha256, Scram::Sha512];

    #[test]
    fn an_unknown_user_is_created_with_every_mechanism() {
        check(
            &BOTH,
            None,
            &[],
            &[],
            &expect![[r"
                Create
                /mechanisms/SCRAM-SHA-256: (absent) -> (secret)
                /mechanisms/SCRAM-SHA-512: (absent) -> (secret)"]],
        );
    }

    #[test]
    fn a_password_that_works_is_left() {
        check(
            &[Scram::Sha512],
            Some(4096),
            &[(Scram::Sha512, 4096)],
            &[(Scram::Sha512, Proof::Works)],
            &expect!["None"],
        );
    }

    #[test]
    fn a_refused_password_and_other_iterations_are_written() {
        check(
            &BOTH,
            Some(8192),
            &[(Scram::Sha256, 4096), (Scram::Sha512, 8192)],
            &[(Scram::Sha512, Proof::Refused)],
            &expect![[r#"
                Update
                /mechanisms/SCRAM-SHA-256: "SCRAM-SHA-256 with 4096 iterations" -> "SCRAM-SHA-256 with 8192 iterations"
                /mechanisms/SCRAM-SHA-512: (secret) -> (secret)"#]],
        );
    }

    #[test]
    fn what_cannot_be_proven_is_said_and_what_is_not_declared_is_left() {
        check(
            &[Scram::Sha256],
            None,
            &[(Scram::Sha256, 4096), (Scram::Sha512, 4096)],
            &[(Scram::Sha256, Proof::Unknown("no listener".into()))],
            &expect![[r"
                None
                note: password not verified for SCRAM-SHA-256: no listener
                note: has SCRAM-SHA-512 as well, which no file names; it is left"]],
        );
    }
}
