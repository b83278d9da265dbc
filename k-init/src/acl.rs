//! ACLs: bindings of declared principals, added where they are missing, never taken away. A principal's other bindings are named.
//!
//! | declared | the cluster has | then                                       |
//! |----------|-----------------|--------------------------------------------|
//! | binding  | none            | create                                     |
//! | binding  | the same        | nothing                                    |
//! | none     | a binding       | left, named in a note and a warning        |

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;

use common::change::{Action, Change, Class, Difference, Failure, ObjectId, Planned, Shown};
use common::files::{Object, Problem, Set};
use common::kind::Exported;
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::{CreateAclsRequest, DescribeAclsRequest};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cluster::{Cluster, Node, repeat};
use crate::error::{self, Right, code};
use crate::resource::{Answered, Resource, settle};
use crate::wire;

/// The folder's name.
pub(crate) const KIND: &str = "acls";

/// Kafka's name for the one resource of type cluster.
const CLUSTER: &str = "kafka-cluster";

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
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
        enum $name { $(#[serde(rename = $file)] $variant),+ }

        impl $name {
            const ALL: &[Self] = &[$(Self::$variant),+];

            fn number(self) -> i8 {
                match self { $(Self::$variant => $number),+ }
            }

            fn word(self) -> &'static str {
                match self { $(Self::$variant => $file),+ }
            }

            fn of_number(number: i8) -> Option<Self> {
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
struct Binding {
    kind: Kind,
    name: String,
    pattern: Pattern,
    operation: Operation,
    host: String,
    permission: Permission,
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

struct Want {
    principal: String,
    /// Where each stands in the file.
    bindings: BTreeMap<Binding, String>,
}

/// All declared principals.
pub(crate) struct Acls {
    wants: Vec<Want>,
    problems: Vec<Problem>,
}

impl Acls {
    pub(crate) fn of(set: &Set) -> Self {
        let mut acls = Self { wants: Vec::new(), problems: Vec::new() };
        for object in set.of(KIND) {
            match want(&object) {
                Ok(want) => acls.wants.push(want),
                Err(problems) => acls.problems.extend(problems),
            }
        }
        acls
    }
}

fn want(object: &Rc<Object>) -> Result<Want, Vec<Problem>> {
    let rules: Vec<Rule> = object.typed().map_err(|problem| vec![problem])?;
    let mut problems = Vec::new();
    let principal = object.id.name.clone();
    let named = principal.split_once(':').is_some_and(|(kind, name)| !kind.is_empty() && !name.is_empty());
    if !named {
        problems.push(object.problem("", "the name is the principal, with its type: User:app"));
    }
    let mut bindings = BTreeMap::new();
    for (index, rule) in rules.iter().enumerate() {
        let at = format!("/{index}");
        match expand(rule) {
            Ok(expanded) => bindings.extend(expanded.into_iter().map(|binding| (binding, at.clone()))),
            Err(text) => problems.push(object.located(&at, text)),
        }
    }
    if problems.is_empty() { Ok(Want { principal, bindings }) } else { Err(problems) }
}

fn expand(rule: &Rule) -> Result<Vec<Binding>, String> {
    let operations: BTreeSet<Operation> = rule.operation.into_iter().chain(rule.operations.iter().copied()).collect();
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

fn compared(want: &BTreeMap<Binding, String>, held: &BTreeSet<Binding>) -> Change {
    let missing = want.iter().filter(|(binding, _)| !held.contains(binding));
    let differences: Vec<Difference> = missing
        .map(|(binding, at)| Difference::new(at.clone(), Shown::Absent, Shown::text(&binding.to_string())))
        .collect();
    let action = match (differences.is_empty(), held.is_empty()) {
        (true, _) => Action::None,
        (false, true) => Action::Create,
        (false, false) => Action::Update,
    };
    let others: Vec<String> = held
        .iter()
        .filter(|held| !want.contains_key(held))
        .map(|held| format!("{held}, which no file names; it is left"))
        .collect();
    let notes = others.into_iter().map(|other| format!("has {other}")).collect();
    Change { action, differences, locked: None, notes }
}

impl Resource for Acls {
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
        let mut wants: Vec<&Want> = self.wants.iter().collect();
        wants.retain(|want| only.is_none_or(|only| only.contains(&want.principal)));
        let principal = match wants.as_slice() {
            [one] => Some(one.principal.as_str()),
            _ => None,
        };
        let held = describe(node, principal)?;
        let empty = BTreeSet::new();
        let planned = wants.into_iter().map(|want| {
            let change = compared(&want.bindings, held.get(&want.principal).unwrap_or(&empty));
            Planned::new(ObjectId::new(KIND, &want.principal), Ok(change))
        });
        Ok(planned.collect())
    }

    fn preflight(&self, cluster: &mut Cluster, planned: &[Planned]) -> Vec<Problem> {
        for planned in planned {
            for note in planned.verdict.iter().flat_map(|change| &change.notes) {
                cluster.warn(&format!("{}: {note}", planned.id));
            }
        }
        Vec::new()
    }

    fn write(&mut self, cluster: &mut Cluster, todo: &[&Planned]) -> Vec<Result<(), Failure>> {
        let mut batch = Vec::new();
        let mut places = Vec::new();
        for (index, planned) in todo.iter().enumerate() {
            let want = self.wants.iter().find(|want| want.principal == planned.id.name);
            let (Ok(change), Some(want)) = (&planned.verdict, want) else { continue };
            let missing: Vec<&Shown> = change.differences.iter().map(|difference| &difference.to).collect();
            for binding in want.bindings.keys().filter(|binding| missing.contains(&&Shown::text(&binding.to_string())))
            {
                batch
                    .push((format!("cannot add {binding} for {}", want.principal), creation(&want.principal, binding)));
                places.push(index);
            }
        }
        let mut results = vec![Ok(()); todo.len()];
        for (index, result) in places.into_iter().zip(settle(cluster, &batch, create)) {
            let denied = |failure: Failure| match failure.class {
                Class::Auth => error::denied("Alter", "Cluster:kafka-cluster"),
                _ => failure,
            };
            if results[index].is_ok() {
                results[index] = result.map_err(denied);
            }
        }
        results
    }

    fn export(&self, cluster: &mut Cluster) -> Result<Vec<Exported>, Failure> {
        let held = match describe(&mut cluster.main, None) {
            Ok(held) => held,
            // Without an authorizer there is nothing to export.
            Err(failure) if failure.message.contains("SECURITY_DISABLED") => return Ok(Vec::new()),
            Err(failure) => return Err(failure),
        };
        let exported = held.into_iter().map(|(principal, bindings)| {
            let path = vec![KIND.to_owned(), format!("{principal}.json")];
            Exported { path, text: format!("{:#}\n", rules(bindings)), placeholders: Vec::new() }
        });
        Ok(exported.collect())
    }
}

/// Bindings as a file has them: those that differ in their operation alone in one rule.
fn rules(bindings: BTreeSet<Binding>) -> Value {
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

fn creation(principal: &str, binding: &Binding) -> AclCreation {
    AclCreation::default()
        .with_resource_type(binding.kind.number())
        .with_resource_name(wire::string(&binding.name))
        .with_resource_pattern_type(binding.pattern.number())
        .with_principal(wire::string(principal))
        .with_host(wire::string(&binding.host))
        .with_operation(binding.operation.number())
        .with_permission_type(binding.permission.number())
}

fn create(cluster: &mut Cluster, creations: &[AclCreation]) -> Result<Vec<Answered>, Failure> {
    let request = CreateAclsRequest::default().with_creations(creations.to_vec());
    let answer = cluster
        .administer(&request, |answer| answer.results.iter().any(|one| one.error_code == code::NOT_CONTROLLER))?;
    // The answers stand in the order of the questions.
    Ok(answer.results.iter().map(|one| Answered::new(one.error_code, one.error_message.as_ref())).collect())
}

/// Reads the bindings of one principal, or of all.
fn describe(node: &mut Node, principal: Option<&str>) -> Result<BTreeMap<String, BTreeSet<Binding>>, Failure> {
    const ANY: i8 = 1;
    let request = DescribeAclsRequest::default()
        .with_resource_type_filter(ANY)
        .with_resource_name_filter(None)
        .with_pattern_type_filter(ANY)
        .with_principal_filter(principal.map(wire::string))
        .with_host_filter(None)
        .with_operation(ANY)
        .with_permission_type(ANY);
    let link = node.link.clone();
    let answer = repeat(&link, || {
        let answer = node.ask(&request)?;
        match answer.error_code {
            code::NONE => Ok(answer),
            code::CLUSTER_DENIED => Err(error::denied("Describe", "Cluster:kafka-cluster")),
            code::SECURITY_DISABLED => Err(error::failure("cannot read acls", code::SECURITY_DISABLED, None)),
            other => Err(error::failure("cannot read acls", other, answer.error_message.as_deref())),
        }
    })?;
    let mut found: BTreeMap<String, BTreeSet<Binding>> = BTreeMap::new();
    for resource in &answer.resources {
        for acl in &resource.acls {
            let binding = (|| {
                Some(Binding {
                    kind: Kind::of_number(resource.resource_type)?,
                    name: resource.resource_name.to_string(),
                    pattern: Pattern::of_number(resource.pattern_type)?,
                    operation: Operation::of_number(acl.operation)?,
                    host: acl.host.to_string(),
                    permission: Permission::of_number(acl.permission_type)?,
                })
            })();
            // What a newer Kafka has and we have no word for cannot have been declared either.
            if let Some(binding) = binding {
                found.entry(acl.principal.to_string()).or_default().insert(binding);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn bindings(rules: Value) -> Result<BTreeMap<Binding, String>, String> {
        let rules: Vec<Rule> = serde_json::from_value(rules).map_err(|error| error.to_string())?;
        let mut found = BTreeMap::new();
        for (index, rule) in rules.iter().enumerate() {
            found.extend(expand(rule)?.into_iter().map(|binding| (binding, format!("/{index}"))));
        }
        Ok(found)
    }

    fn check(want: Value, have: Value, expected: &Expect) {
        let want = bindings(want).expect("good rules");
        let have = bindings(have).expect("good rules").into_keys().collect();
        let change = compared(&want, &have);
        let mut lines = vec![format!("{:?}", change.action)];
        lines.extend(change.differences.iter().map(ToString::to_string));
        lines.extend(change.notes);
        expected.assert_eq(&lines.join("\n"));
    }

    #[test]
    fn what_is_missing_is_added_and_what_is_not_named_is_left() {
        check(
            json!([{"resource": {"type": "topic", "name": "orders", "patternType": "prefix"}, "operations": ["Read", "Describe"]}]),
            json!([
                {"resource": {"type": "topic", "name": "orders", "patternType": "prefix"}, "operation": "Read"},
                {"resource": {"type": "topic", "name": "orders"}, "operation": "Write", "host": "10.0.0.1", "type": "deny"},
            ]),
            &expect![[r#"
                Update
                /0: (absent) -> "allow Describe on topic orders…"
                has deny Write on topic orders from 10.0.0.1, which no file names; it is left"#]],
        );
    }

    #[test]
    fn absent_and_equal() {
        let rule = json!([{"resource": {"type": "cluster"}, "operation": "Describe"}]);
        check(
            rule.clone(),
            json!([]),
            &expect![[r#"
            Create
            /0: (absent) -> "allow Describe on cluster kafka-cluster""#]],
        );
        check(rule.clone(), rule, &expect!["None"]);
        check(json!([]), json!([]), &expect!["None"]);
    }

    #[test]
    fn senseless_rules_are_refused() {
        let refused = |rule: Value| bindings(json!([rule])).expect_err("refused");
        let group = json!({"resource": {"type": "group", "name": "g"}, "operations": ["Read", "Write"]});
        assert!(refused(group).starts_with("Write on a group means nothing"));
        assert!(refused(json!({"resource": {"type": "topic", "name": "t"}})).contains("needs `operation`"));
        assert!(refused(json!({"resource": {"type": "topic"}, "operation": "Read"})).contains("needs a name"));
        assert!(refused(json!({"resource": {"type": "cluster", "name": "x"}, "operation": "Alter"})).contains(CLUSTER));
        let star = json!({"resource": {"type": "topic", "name": "*", "patternType": "prefix"}, "operation": "Read"});
        assert!(refused(star).contains("literal"));
        assert!(
            refused(json!({"resource": {"type": "topic", "name": "t"}, "operation": "read"}))
                .contains("unknown variant")
        );
        assert!(bindings(json!([{"resource": {"type": "group", "name": "*"}, "operation": "All"}])).is_ok());
    }

    #[test]
    fn exported_rules_say_the_same() {
        let rules_in = json!([
            {"resource": {"type": "topic", "name": "a", "patternType": "literal"}, "operations": ["Read", "Write"], "host": "*", "type": "allow"},
            {"resource": {"type": "transactionalId", "name": "x", "patternType": "prefix"}, "operations": ["Write"], "host": "*", "type": "deny"},
        ]);
        let held: BTreeSet<Binding> = bindings(rules_in.clone()).expect("good rules").into_keys().collect();
        assert_eq!(rules(held), rules_in);
    }
}
