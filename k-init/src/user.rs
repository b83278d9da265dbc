//! SCRAM users: Kafka tells mechanism and iterations, never the password; logging in with it is what proves it.
//!
//! | declared mechanism | the cluster has            | login with the password | then                               |
//! |--------------------|----------------------------|-------------------------|------------------------------------|
//! | any                | no such credential         | –                       | write                              |
//! | any                | other iterations           | –                       | write                              |
//! | any                | the same                   | works                   | nothing                            |
//! | any                | the same                   | is refused              | write                              |
//! | any                | the same                   | not tried in time       | write, and prove it then           |
//! | any                | the same                   | is not offered          | nothing, "password not verified"   |
//! | not declared       | a credential               | –                       | left alone, named in a note        |

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use common::engine::change::{Action, Change, Difference, Failure, ObjectId, Planned, Shown};
use common::engine::kind::Exported;
use common::files::{Object, Problem, Set};
use common::net::http::parallel;
use common::net::retry::Backoff;
use common::net::retry::Counters;
use common::net::retry::pause;
use common::ordered;
use common::output::secret::Secret;
use common::process::export::placeholder;
use serde::Deserialize;
use serde_json::json;

use crate::client::{Access, Connection, How};
use crate::cluster::{Cluster, Link, Node};
use crate::resource::{Batch, CLUSTER, Mode, Resource, declared};
use crate::sasl::{Login, Scram};
use crate::settings::Door;

mod request;

use request::{Credentials, describe, upsert, upsertion};

/// The folder's name.
pub(crate) const KIND: &str = "users";

/// What Kafka's own tool uses, and the least that a broker takes.
const ITERATIONS: u32 = 4096;
const MOST_ITERATIONS: u32 = 16384;
/// Passwords that are proven at once.
const CONNECTIONS: usize = 8;

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
    /// Others took the time: it is written, and proven then. Those that work are quickly proven, so most of these would be refused.
    Late,
    /// Nobody was asked, or nobody could say; the text tells why.
    Unknown(String),
}

/// All declared users.
pub(crate) struct Users {
    wants: Vec<Want>,
    door: Option<Door>,
    counters: Arc<Counters>,
    /// Whether a salted password would be readable on its way.
    in_the_open: bool,
}

impl Users {
    pub(crate) fn of(set: &Set, door: Option<Door>, link: &Link, offline: bool) -> (Self, Vec<Problem>) {
        let (wants, problems) = declared(set, KIND, |object| want(object, offline).map_err(|problem| vec![problem]));
        let in_the_open = link.access().tls.is_none();
        (Self { wants, door, counters: link.counters.clone(), in_the_open }, problems)
    }

    /// Logs in with the declared password. A broker that is busy is asked again; one without the mechanism cannot say.
    fn prove(&self, want: &Want, scram: Scram, link: &Link) -> Proof {
        let Some(door) = &self.door else {
            return Proof::Unknown("no SASL listener is known: set KAFKA_VERIFY_SERVERS".into());
        };
        let login = Login::Scram { scram, user: want.name.clone(), password: want.password.clone(), delegated: false };
        let access = Access { tls: door.tls.clone(), login: Some(login) };
        let mut backoff = Backoff::default();
        loop {
            let place = door.addresses.place();
            let address = door.addresses.at(place).expect("a door has an address");
            let limit = link.deadline().at_most(link.request);
            let Err(trouble) = Connection::open(address, &access, &self.counters, limit) else {
                link.password_of(&want.name, scram, &want.password);
                return Proof::Works;
            };
            match trouble.how {
                How::Denied => return Proof::Refused,
                How::NoMechanism | How::Hopeless => return Proof::Unknown(trouble.text),
                How::Closed | How::NotReady if backoff.tries() >= 3 || link.deadline().passed() => {
                    return Proof::Unknown(trouble.text);
                }
                How::Closed | How::NotReady => {
                    door.addresses.leave(place);
                    self.counters.retries.fetch_add(1, Ordering::Relaxed);
                    pause(backoff.next(None), link.deadline());
                }
            }
        }
    }

    /// Logs in for every credential that looks as it should, on several connections at once: a broker holds back who is refused.
    fn prove_all(&self, held: &Credentials, wants: &[&Want], node: &Node) -> BTreeMap<(String, Scram), Proof> {
        let looks_right = |want: &&Want| {
            let have = held.get(&want.name).and_then(|held| held.as_ref().ok());
            let iterations = want.iterations.map(NonZeroU32::get);
            let right = |scram: &&Scram| {
                let have = have.and_then(|have| have.get(scram));
                have.is_some_and(|have| iterations.is_none_or(|wanted| wanted == *have))
            };
            want.mechanisms.iter().filter(right).copied().collect::<Vec<Scram>>()
        };
        let todo: Vec<(&Want, Scram)> =
            wants.iter().flat_map(|want| looks_right(want).into_iter().map(|scram| (*want, scram))).collect();
        let run = node.link.deadline();
        let budget = run.at_most(run.left() / 2);
        let proofs = parallel(&todo, CONNECTIONS, |(want, scram)| {
            if budget.passed() { Proof::Late } else { self.prove(want, *scram, &node.link) }
        });
        let named = todo.into_iter().map(|(want, scram)| (want.name.clone(), scram));
        ordered::map(named.zip(proofs))
    }
}

fn want(object: &Object, offline: bool) -> Result<Want, Problem> {
    let body: Body = object.typed()?;
    // RFC 5802's names, as Kafka reads them.
    if !object.id.name.chars().all(|c| matches!(c, '\x01'..='\x7f')) {
        return Err(object.problem(
            "",
            "nobody can log in by SCRAM whose name is not ASCII: Kafka would store it, and refuse the login",
        ));
    }
    if body.mechanisms.is_empty() {
        return Err(object.located("/mechanisms", "needs at least one of SCRAM-SHA-256, SCRAM-SHA-512"));
    }
    let mechanisms = ordered::set(body.mechanisms.iter().copied());
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
            Some(Proof::Refused | Proof::Late) => {
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

/// What is written of a user: its credential in some mechanisms.
pub(crate) struct Credential {
    name: String,
    password: Secret,
    iterations: NonZeroU32,
    scrams: Vec<Scram>,
}

impl Credential {
    fn of(want: &Want, change: &Change) -> Self {
        let differs = |scram: &&Scram| {
            let path = format!("/mechanisms/{}", scram.name());
            change.differences.iter().any(|difference| difference.path == path)
        };
        let least = NonZeroU32::new(ITERATIONS).expect("4096 is not zero");
        Self {
            name: want.name.clone(),
            password: want.password.clone(),
            iterations: want.iterations.unwrap_or(least),
            scrams: want.mechanisms.iter().filter(differs).copied().collect(),
        }
    }
}

impl Resource for Users {
    type Step = Credential;

    const VALIDATES: bool = false;

    fn compare(&self, node: &mut Node, only: Option<&BTreeSet<String>>) -> Result<Vec<Planned<Credential>>, Failure> {
        let wants: Vec<&Want> =
            self.wants.iter().filter(|want| only.is_none_or(|only| only.contains(&want.name))).collect();
        let names: Vec<&str> = wants.iter().map(|want| want.name.as_str()).collect();
        let mut held = describe(node, Some(&names))?;
        // Other brokers are asked for what they have been told; one proof is enough.
        let proofs = if only.is_none() { self.prove_all(&held, &wants, node) } else { BTreeMap::new() };
        let verdict = |want: &Want, held: &BTreeMap<Scram, u32>| {
            let proof = |scram: &Scram| Some((*scram, proofs.get(&(want.name.clone(), *scram))?.clone()));
            let proofs = ordered::map(want.mechanisms.iter().filter_map(proof));
            compared(&want.mechanisms, want.iterations.map(NonZeroU32::get), held, &proofs)
        };
        let planned = wants.into_iter().map(|want| {
            let verdict = match held.remove(&want.name) {
                Some(Err(failure)) => Err(failure),
                Some(Ok(held)) => Ok(verdict(want, &held)),
                None => Ok(verdict(want, &BTreeMap::new())),
            };
            Planned::new(ObjectId::new(KIND, &want.name), verdict).with_step(|change| Ok(Credential::of(want, change)))
        });
        Ok(planned.collect())
    }

    fn begin(&mut self, cluster: &mut Cluster, _: &[&Credential]) {
        if self.in_the_open {
            cluster.warn(
                "users are about to be written over a connection without TLS: whoever listens can log in with the salted password",
            );
        }
    }

    /// A user stands at most once in a request (92), so each request carries one mechanism of each.
    fn send(&self, cluster: &mut Cluster, todo: &[&Credential], _: Mode) -> Vec<Result<(), Failure>> {
        let mut results = vec![Ok(()); todo.len()];
        for scram in [Scram::Sha256, Scram::Sha512] {
            let mut batch = Batch::new("Alter");
            for (index, credential) in
                todo.iter().enumerate().filter(|(_, credential)| credential.scrams.contains(&scram))
            {
                match upsertion(credential, scram) {
                    Ok(upsertion) => {
                        let what = format!("cannot write {} of user {}", scram.name(), credential.name);
                        batch.push((index, 1), CLUSTER, what, upsertion);
                    }
                    Err(failure) => results[index] = Err(failure),
                }
            }
            batch.settle(cluster, &mut results, upsert);
            for (credential, result) in todo.iter().zip(&results) {
                if result.is_ok() && credential.scrams.contains(&scram) {
                    cluster.link.password_of(&credential.name, scram, &credential.password);
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
            let counts = ordered::set(held.values().copied());
            if let (1, Some(count)) = (counts.len(), counts.first()) {
                body["iterations"] = (*count).into();
            }
            let path = vec![KIND.to_owned(), format!("{name}.json")];
            exported.push(Exported { path, text: format!("{body:#}\n"), placeholders: vec![variable] });
        }
        Ok(exported)
    }
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
