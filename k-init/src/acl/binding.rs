//! What an ACL can say: the words of files and the numbers of the wire, rules and the bindings that they stand for. No requests.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use common::ordered;
use serde::Deserialize;
use serde_json::{Value, json};

/// Kafka's name for the one resource of type cluster.
const CLUSTER: &str = "kafka-cluster";

/// A rule as a file has it (Strimzi's form).
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    resource: Target,
    operation: Option<Operation>,
    #[serde(default)]
    operations: Vec<Operation>,
    #[serde(default = "any_host")]
    host: String,
    #[serde(default, rename = "type")]
    permission: Permission,
}

fn any_host() -> String {
    "*".into()
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Target {
    #[serde(rename = "type")]
    kind: Kind,
    name: Option<String>,
    #[serde(default)]
    pattern_type: Pattern,
}

/// A macro in place of a derive with numbers: name in files, name in messages and number on the wire stand in one line.
macro_rules! words {
    ($name:ident { $($variant:ident = $number:literal $file:literal),+ $(,)? }) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
        pub(super) enum $name { $(#[serde(rename = $file)] $variant),+ }

        impl $name {
            const ALL: &[Self] = &[$(Self::$variant),+];

            pub(super) fn number(self) -> i8 {
                match self { $(Self::$variant => $number),+ }
            }

            pub(super) fn word(self) -> &'static str {
                match self { $(Self::$variant => $file),+ }
            }

            pub(super) fn of_number(number: i8) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.number() == number)
            }
        }
    };
}

words!(Kind {
    Topic = 2 "topic",
    Group = 3 "group",
    Cluster = 4 "cluster",
    TransactionalId = 5 "transactionalId",
    DelegationToken = 6 "delegationToken",
    User = 7 "user",
});
words!(Pattern { Literal = 3 "literal", Prefix = 4 "prefix" });
words!(Permission { Deny = 2 "deny", Allow = 3 "allow" });
words!(Operation {
    All = 2 "All",
    Read = 3 "Read",
    Write = 4 "Write",
    Create = 5 "Create",
    Delete = 6 "Delete",
    Alter = 7 "Alter",
    Describe = 8 "Describe",
    ClusterAction = 9 "ClusterAction",
    DescribeConfigs = 10 "DescribeConfigs",
    AlterConfigs = 11 "AlterConfigs",
    IdempotentWrite = 12 "IdempotentWrite",
    CreateTokens = 13 "CreateTokens",
    DescribeTokens = 14 "DescribeTokens",
    TwoPhaseCommit = 15 "TwoPhaseCommit",
});

#[expect(clippy::derivable_impls, reason = "the macro has no place for an attribute on one variant")]
impl Default for Pattern {
    fn default() -> Self {
        Self::Literal
    }
}

#[expect(clippy::derivable_impls, reason = "the macro has no place for an attribute on one variant")]
impl Default for Permission {
    fn default() -> Self {
        Self::Allow
    }
}

impl Kind {
    /// The operations that a broker ever asks about for this type. It stores others as well, where they do nothing.
    fn sensible(self) -> &'static [Operation] {
        use Operation as O;
        match self {
            Self::Topic => {
                &[O::Read, O::Write, O::Create, O::Describe, O::Delete, O::Alter, O::DescribeConfigs, O::AlterConfigs]
            }
            Self::Group => &[O::Read, O::Describe, O::Delete, O::DescribeConfigs, O::AlterConfigs],
            Self::Cluster => &[
                O::Create,
                O::ClusterAction,
                O::DescribeConfigs,
                O::AlterConfigs,
                O::IdempotentWrite,
                O::Alter,
                O::Describe,
            ],
            Self::TransactionalId => &[O::Describe, O::Write, O::TwoPhaseCommit],
            Self::DelegationToken => &[O::Describe],
            Self::User => &[O::CreateTokens, O::DescribeTokens],
        }
    }
}

/// One binding but for its principal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Binding {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) pattern: Pattern,
    pub(super) operation: Operation,
    pub(super) host: String,
    pub(super) permission: Permission,
}

impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, name, pattern, operation, host, permission } = self;
        write!(f, "{} {} on {} {name}", permission.word(), operation.word(), kind.word())?;
        if *pattern == Pattern::Prefix {
            f.write_str("…")?;
        }
        if host == "*" { Ok(()) } else { write!(f, " from {host}") }
    }
}

/// The bindings that a rule stands for, or why it makes no sense.
pub(super) fn expand(rule: &Rule) -> Result<Vec<Binding>, String> {
    let operations = ordered::set(rule.operation.into_iter().chain(rule.operations.iter().copied()));
    if operations.is_empty() {
        return Err("needs `operation` or `operations`".into());
    }
    let Target { kind, name, pattern_type } = &rule.resource;
    let name = match (kind, name.as_deref()) {
        (Kind::Cluster, None | Some(CLUSTER)) => CLUSTER.to_owned(),
        (Kind::Cluster, Some(other)) => return Err(format!("the cluster is called {CLUSTER}, not {other}")),
        (_, Some("") | None) => return Err("the resource needs a name; `*` means all".into()),
        (_, Some(name)) => name.to_owned(),
    };
    if *pattern_type == Pattern::Prefix && name == "*" {
        return Err("`*` means all only with patternType literal; as a prefix it is the character".into());
    }
    if let Some(start) = name.strip_suffix('*').filter(|start| !start.is_empty()) {
        return Err(format!(
            "{name} is taken as it stands, and no {} is called so: for all that start so write \"name\": \"{start}\" with \"patternType\": \"prefix\"",
            kind.word()
        ));
    }
    host(&rule.host)?;
    let sensible = kind.sensible();
    let senseless: Vec<&str> = operations
        .iter()
        .filter(|operation| **operation != Operation::All && !sensible.contains(operation))
        .map(|operation| operation.word())
        .collect();
    if !senseless.is_empty() {
        let sensible: Vec<&str> = sensible.iter().map(|operation| operation.word()).collect();
        return Err(format!(
            "{} on a {} means nothing to Kafka, which would store it all the same; it knows {} there",
            senseless.join(", "),
            kind.word(),
            sensible.join(", ")
        ));
    }
    let binding = |operation| Binding {
        kind: *kind,
        name: name.clone(),
        pattern: *pattern_type,
        operation,
        host: rule.host.clone(),
        permission: rule.permission,
    };
    Ok(operations.into_iter().map(binding).collect())
}

/// Kafka compares a client's address as Java writes it, and nothing else: no name, no range.
fn host(host: &str) -> Result<(), String> {
    let own = match host.parse() {
        _ if host == "*" => return Ok(()),
        Ok(IpAddr::V4(_)) => return Ok(()),
        Ok(IpAddr::V6(address)) => address.segments().map(|part| format!("{part:x}")).join(":"),
        Err(_) => {
            return Err(format!(
                "host {host}: Kafka compares the client's address as text, so that no name and no range ever matches: write one address, or *"
            ));
        }
    };
    if host == own {
        return Ok(());
    }
    Err(format!("host {host}: Kafka knows this address as {own}"))
}

/// Who a principal probably is, where what was written is nobody.
pub(super) fn principal(name: &str) -> Result<(), String> {
    let Some((kind, who)) = name.split_once(':').filter(|(kind, who)| !kind.is_empty() && !who.is_empty()) else {
        return Err("the name is the principal, with its type: User:app".into());
    };
    let meant = if kind.trim().eq_ignore_ascii_case("user") { "User" } else { kind.trim() };
    if (kind, who) == (meant, who.trim()) {
        return Ok(());
    }
    Err(format!(
        "{name:?} is nobody to Kafka, which compares names letter by letter: was {meant}:{} meant?",
        who.trim()
    ))
}

/// Bindings as a file has them: those that differ in their operation alone in one rule.
pub(super) fn rules(bindings: BTreeSet<Binding>) -> Value {
    let mut grouped: BTreeMap<(Kind, String, Pattern, String, Permission), Vec<&str>> = BTreeMap::new();
    for Binding { kind, name, pattern, operation, host, permission } in bindings {
        grouped.entry((kind, name, pattern, host, permission)).or_default().push(operation.word());
    }
    let rule = |((kind, name, pattern, host, permission), operations): (
        (Kind, String, Pattern, String, Permission),
        Vec<&str>,
    )| {
        json!({
            "resource": {"type": kind.word(), "name": name, "patternType": pattern.word()},
            "operations": operations,
            "host": host,
            "type": permission.word(),
        })
    };
    grouped.into_iter().map(rule).collect()
}
