//! ACLs: bindings of declared principals, added where they are missing, never taken away. A principal's other bindings are named.
//!
//! | declared | the cluster has | then                                       |
//! |----------|-----------------|--------------------------------------------|
//! | binding  | none            | create                                     |
//! | binding  | the same        | nothing                                    |
//! | none     | a binding       | left, named in a note and a warning        |

use std::collections::{BTreeMap, BTreeSet};

use common::engine::change::{Action, Change, Difference, Failure, ObjectId, Planned, Shown};
use common::engine::kind::Exported;
use common::files::{Object, Problem, Set};
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::{CreateAclsRequest, DescribeAclsRequest};

use crate::cluster::{Cluster, Node, repeat};
use crate::error::{self, Code};
use crate::resource::{Answered, Batch, CLUSTER, Mode, Resource, declared};
use crate::wire;

mod binding;

use binding::{Binding, Kind, Operation, Pattern, Permission, Rule, expand, rules};

/// The folder's name.
pub(crate) const KIND: &str = "acls";

struct Want {
    principal: String,
    /// Where each stands in the file.
    bindings: BTreeMap<Binding, String>,
}

/// All declared principals.
pub(crate) struct Acls(Vec<Want>);

impl Acls {
    pub(crate) fn of(set: &Set) -> (Self, Vec<Problem>) {
        let (wants, problems) = declared(set, KIND, want);
        (Self(wants), problems)
    }
}

fn want(object: &Object) -> Result<Want, Vec<Problem>> {
    let rules: Vec<Rule> = object.typed().map_err(|problem| vec![problem])?;
    let mut problems = Vec::new();
    let principal = object.id.name.clone();
    if let Err(text) = binding::principal(&principal) {
        problems.push(object.problem("", text));
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

/// The bindings that are not there, each with its place in the file.
fn missing<'w>(
    want: &'w BTreeMap<Binding, String>,
    held: &BTreeSet<Binding>,
) -> impl Iterator<Item = (&'w Binding, &'w String)> {
    want.iter().filter(|(binding, _)| !held.contains(binding))
}

fn compared(want: &BTreeMap<Binding, String>, held: &BTreeSet<Binding>) -> Change {
    let differences: Vec<Difference> = missing(want, held)
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
    type Step = Vec<(String, AclCreation)>;

    const VALIDATES: bool = false;

    fn compare(&self, node: &mut Node, only: Option<&BTreeSet<String>>) -> Result<Vec<Planned<Self::Step>>, Failure> {
        let mut wants: Vec<&Want> = self.0.iter().collect();
        wants.retain(|want| only.is_none_or(|only| only.contains(&want.principal)));
        let principal = match wants.as_slice() {
            [one] => Some(one.principal.as_str()),
            _ => None,
        };
        let held = describe(node, principal)?;
        let empty = BTreeSet::new();
        let planned = wants.into_iter().map(|want| {
            let held = held.get(&want.principal).unwrap_or(&empty);
            let change = compared(&want.bindings, held);
            Planned::new(ObjectId::new(KIND, &want.principal), Ok(change)).with_step(|_| {
                let missing = missing(&want.bindings, held).map(|(binding, _)| {
                    let what = format!("cannot add {binding} for {}", want.principal);
                    (what, creation(&want.principal, binding))
                });
                Ok(missing.collect())
            })
        });
        Ok(planned.collect())
    }

    fn send(&self, cluster: &mut Cluster, todo: &[&Self::Step], _: Mode) -> Vec<Result<(), Failure>> {
        let mut batch = Batch::new("Alter");
        for (index, bindings) in todo.iter().enumerate() {
            for (what, creation) in *bindings {
                batch.push((index, 1), CLUSTER, what.clone(), creation.clone());
            }
        }
        let mut results = vec![Ok(()); todo.len()];
        batch.settle(cluster, &mut results, create);
        results
    }

    fn export(&self, cluster: &mut Cluster) -> Result<Vec<Exported>, Failure> {
        let held = match describe(&mut cluster.main, None) {
            Ok(held) => held,
            // Without an authorizer there is nothing to export.
            Err(failure) if failure.is("SECURITY_DISABLED") => return Ok(Vec::new()),
            Err(failure) => return Err(failure),
        };
        let exported = held.into_iter().map(|(principal, bindings)| {
            let path = vec![KIND.to_owned(), format!("{principal}.json")];
            Exported { path, text: format!("{:#}\n", rules(bindings)), placeholders: Vec::new() }
        });
        Ok(exported.collect())
    }
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
    let answer = cluster.administer(&request, |answer| {
        answer.results.iter().any(|one| error::is(one.error_code, Code::NotController))
    })?;
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
    let answer = repeat(&link, "the bindings", || {
        let answer = node.ask(&request)?;
        match error::of(answer.error_code) {
            None => Ok(answer),
            Some(Code::ClusterAuthorizationFailed) => Err(error::denied("Describe", CLUSTER)),
            Some(Code::SecurityDisabled) => Err(error::failure("cannot read acls", Code::SecurityDisabled, None)),
            Some(other) => Err(error::failure("cannot read acls", other, answer.error_message.as_deref())),
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
    use serde_json::{Value, json};

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
        assert!(
            refused(json!({"resource": {"type": "cluster", "name": "x"}, "operation": "Alter"}))
                .contains("kafka-cluster")
        );
        let star = json!({"resource": {"type": "topic", "name": "*", "patternType": "prefix"}, "operation": "Read"});
        assert!(refused(star).contains("literal"));
        let orders = json!({"resource": {"type": "topic", "name": "orders-*"}, "operation": "Read"});
        assert!(refused(orders).contains(r#""name": "orders-" with "patternType": "prefix""#));
        for (host, part) in [("10.0.0.0/8", "no range"), ("app.example", "no name"), ("::1", "as 0:0:0:0:0:0:0:1")] {
            let rule = json!({"resource": {"type": "topic", "name": "t"}, "operation": "Read", "host": host});
            assert!(refused(rule).contains(part), "{host}");
        }
        assert!(
            refused(json!({"resource": {"type": "topic", "name": "t"}, "operation": "read"}))
                .contains("unknown variant")
        );
        assert!(bindings(json!([{"resource": {"type": "group", "name": "*"}, "operation": "All"}])).is_ok());
    }

    #[test]
    fn principals_that_are_nobody_are_refused() {
        for good in ["User:app", "User:*", "User:CN=a b,O=c", "Group:ops"] {
            assert_eq!(binding::principal(good), Ok(()), "{good}");
        }
        for (wrong, meant) in [("user:x", "User:x"), ("User: x", "User:x"), ("User:x ", "User:x"), ("USER:x", "User:x")]
        {
            assert!(
                binding::principal(wrong).is_err_and(|text| text.contains(&format!("was {meant} meant"))),
                "{wrong}"
            );
        }
        assert!(binding::principal("app").is_err());
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
