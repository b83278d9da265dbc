//! The kind for services whose objects are JSON documents: a table of endpoints, a row per kind, a function where one is odd.
//!
//! A row reads its kind in one go, brings both sides into normal form (server-made fields and known defaults dropped, never
//! added), compares, and writes one object at a time. Bodies on the server's side are kept as text until their pair is compared.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::engine::change::{Change, Failure, ObjectId, Planned};
use crate::engine::diff::{Writing, diff, mask};
use crate::engine::kind::{AnyKind, Exported};
use crate::files::{Object, Problem, Set};

/// One object as the server has it.
#[derive(Debug)]
pub struct Have {
    /// The body as the server gave it.
    pub body: Box<RawValue>,
    /// What the write needs to know and the comparison does not: a sequence number, a numeric id.
    pub meta: Value,
    /// Why it may not be written, if so.
    pub locked: Option<String>,
}

impl Have {
    /// A body and nothing else.
    #[must_use]
    pub fn new(body: Box<RawValue>) -> Self {
        Self { body, meta: Value::Null, locked: None }
    }

    /// A body that was taken apart already.
    #[must_use]
    pub fn of(body: &Value) -> Self {
        let text = body.to_string();
        Self::new(RawValue::from_string(text).expect("a value prints as JSON"))
    }

    /// The body, parsed.
    pub fn value(&self) -> Result<Value, Failure> {
        serde_json::from_str(self.body.get())
            .map_err(|error| Failure::fatal(format!("the server's object is no JSON: {error}")))
    }
}

/// What the server holds of a kind, by name.
pub type Held = BTreeMap<String, Have>;

/// One line of a service's table. `S` is what its functions talk to.
#[derive(Debug)]
pub struct Row<S: 'static> {
    /// The kind's folder name.
    pub kind: &'static str,
    /// What its write does to what is not in the file.
    pub writing: Writing,
    /// Pointers of secrets in a body; `*` stands for any step.
    pub secrets: &'static [&'static str],
    /// Reads the kind: every object on the server, or at least the declared ones.
    pub read: fn(&S, &[Rc<Object>]) -> Result<Held, Failure>,
    /// Brings a body into normal form; used on both sides.
    pub normal: fn(&mut Value),
    /// Compares two bodies in normal form where [`diff`] alone will not do.
    pub compare: Option<fn(&S, &Object, have: &Value, want: &Value) -> Change>,
    /// Writes an object; `have` is what the last read said of it.
    pub write: fn(&S, &Object, want: Value, have: Option<&Meta>) -> Result<(), Failure>,
    /// Checks a body without a server.
    pub check: fn(&Object, &Value, &Set) -> Vec<Problem>,
    /// What has to be there first, of what is declared.
    pub needs: fn(&Object, &Value, &Set) -> Vec<ObjectId>,
    /// Asks the server, without writing, whether it would take an object that is to be written.
    pub preflight: fn(&S, &Set, &[(&Object, Value, &Change)]) -> Vec<Problem>,
    /// How many objects `preflight` is given at once: all, or fewer where each stands for itself, so that memory does not grow with the set.
    pub preflight_batch: usize,
    /// Turns an object into a body for a file; `None` leaves it out (reserved, internal). The names returned are placeholders.
    pub export: fn(&str, Value, &Have) -> Option<(Value, Vec<String>)>,
    /// Whether the kind is one object in one file, `<kind>.json`.
    pub single: bool,
}

/// What is remembered of an object between read and write.
#[derive(Clone, Debug)]
pub struct Meta {
    /// The read's [`Have::meta`].
    pub meta: Value,
}

impl<S> Row<S> {
    /// A row that replaces whole objects, with nothing odd about it but how it reads and writes.
    pub const fn new(
        kind: &'static str,
        read: fn(&S, &[Rc<Object>]) -> Result<Held, Failure>,
        write: fn(&S, &Object, Value, Option<&Meta>) -> Result<(), Failure>,
    ) -> Self {
        Self {
            kind,
            writing: Writing::Replaces,
            secrets: &[],
            read,
            normal: |_| {},
            compare: None,
            write,
            check: |_, _, _| Vec::new(),
            needs: |_, _, _| Vec::new(),
            preflight: |_, _, _| Vec::new(),
            preflight_batch: usize::MAX,
            export: |_, body, _| Some((body, Vec::new())),
            single: false,
        }
    }
}

/// A row at work: one kind of one server (in one organization).
pub struct Documents<S: 'static> {
    row: &'static Row<S>,
    server: Rc<S>,
    set: Rc<Set>,
    want: Vec<Rc<Object>>,
    metas: BTreeMap<String, Meta>,
}

impl<S> Documents<S> {
    /// The kind for the objects of a set; `org` names the organization, if any.
    pub fn new(row: &'static Row<S>, server: Rc<S>, set: Rc<Set>, org: Option<&str>) -> Self {
        let want = set.of_org(org, row.kind);
        Self { row, server, set, want, metas: BTreeMap::new() }
    }

    fn compare(&self, object: &Object, have: Option<&Have>, want: &mut Value) -> Result<Change, Failure> {
        let Some(have) = have else { return Ok(Change::create()) };
        let mut held = have.value()?;
        (self.row.normal)(&mut held);
        (self.row.normal)(want);
        let mut change = match self.row.compare {
            Some(compare) => compare(&self.server, object, &held, want),
            None => Change::update(diff(self.row.writing, &held, want)),
        };
        mask(&mut change.differences, &object.masked);
        mask(&mut change.differences, &matching(self.row.secrets, &held));
        mask(&mut change.differences, &matching(self.row.secrets, want));
        if let (None, Some(reason)) = (&change.locked, &have.locked) {
            change.locked = Some(reason.clone());
        }
        Ok(change)
    }
}

impl<S> AnyKind for Documents<S> {
    fn name(&self) -> &'static str {
        self.row.kind
    }

    fn check(&self) -> Vec<Problem> {
        let check = |object: &Rc<Object>| match object.value() {
            Ok(value) => {
                // A server may quote what it was sent.
                for pointer in matching(self.row.secrets, &value) {
                    hide_all(value.pointer(&pointer));
                }
                (self.row.check)(object, &value, &self.set)
            }
            Err(failure) => vec![object.problem("", failure.message)],
        };
        self.want.iter().flat_map(check).collect()
    }

    fn plan(&mut self) -> Result<Vec<Planned>, Failure> {
        if self.want.is_empty() {
            return Ok(Vec::new());
        }
        let held = (self.row.read)(&self.server, &self.want)?;
        let mut plan = Vec::with_capacity(self.want.len());
        for object in &self.want {
            let mut needs = Vec::new();
            let verdict = object.value().and_then(|mut want| {
                needs = (self.row.needs)(object, &want, &self.set);
                self.compare(object, held.get(&object.id.name), &mut want)
            });
            plan.push(Planned { id: object.id.clone(), needs, verdict });
        }
        let wanted = |name: &String| self.want.iter().any(|object| object.id.name == *name);
        let metas = held.into_iter().filter(|(name, have)| !have.meta.is_null() && wanted(name));
        self.metas = metas.map(|(name, have)| (name, Meta { meta: have.meta })).collect();
        Ok(plan)
    }

    fn preflight(&mut self, set: &Set, planned: &[Planned]) -> Vec<Problem> {
        let mut todo = self.want.iter().zip(planned).filter_map(|(object, planned)| {
            let change = planned.verdict.as_ref().ok().filter(|change| change.writes())?;
            Some((object.as_ref(), object.value().ok()?, change))
        });
        let mut problems = Vec::new();
        loop {
            let batch: Vec<_> = todo.by_ref().take(self.row.preflight_batch).collect();
            if batch.is_empty() {
                return problems;
            }
            problems.extend((self.row.preflight)(&self.server, set, &batch));
        }
    }

    fn apply(&mut self, todo: &[&Planned]) -> Vec<Result<(), Failure>> {
        let write = |planned: &&Planned| {
            let object = self.want.iter().find(|object| object.id == planned.id);
            let object = object.expect("only what plan returned is applied");
            let have = match &planned.verdict {
                Ok(Change { action: crate::engine::change::Action::Create, .. }) => None,
                _ => Some(self.metas.get(&object.id.name).cloned().unwrap_or(Meta { meta: Value::Null })),
            };
            (self.row.write)(&self.server, object, object.value()?, have.as_ref())
        };
        todo.iter().map(write).collect()
    }

    fn export(&mut self) -> Result<Vec<Exported>, Failure> {
        let held = (self.row.read)(&self.server, &[])?;
        let mut exported = Vec::new();
        for (name, have) in held {
            let Some((mut body, placeholders)) = (self.row.export)(&name, have.value()?, &have) else { continue };
            (self.row.normal)(&mut body);
            let text = serde_json::to_string_pretty(&body).expect("a value prints as JSON") + "\n";
            let file = format!("{name}.json");
            let path = if self.row.single { vec![file] } else { vec![self.row.kind.to_owned(), file] };
            exported.push(Exported { path, text, placeholders });
        }
        Ok(exported)
    }
}

/// Hides every string of a value in every text from now on.
pub fn hide_all(value: Option<&Value>) {
    match value {
        Some(Value::String(text)) => crate::output::secret::hide(text),
        Some(Value::Array(items)) => items.iter().for_each(|item| hide_all(Some(item))),
        Some(Value::Object(fields)) => fields.values().for_each(|field| hide_all(Some(field))),
        _ => {}
    }
}

/// The pointers in a value that match patterns with `*` for any step.
#[must_use]
pub fn matching(patterns: &[&str], value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for pattern in patterns {
        let steps: Vec<&str> = pattern.split('/').skip(1).collect();
        walk(&steps, value, String::new(), &mut found);
    }
    found
}

fn walk(steps: &[&str], value: &Value, pointer: String, found: &mut Vec<String>) {
    let Some((step, rest)) = steps.split_first() else {
        found.push(pointer);
        return;
    };
    let mut go = |key: &str, inner: &Value| {
        if *step == "*" || *step == key {
            walk(rest, inner, format!("{pointer}{}", crate::files::json::step(key)), found);
        }
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, inner)| go(key, inner)),
        Value::Array(items) => items.iter().enumerate().for_each(|(index, inner)| go(&index.to_string(), inner)),
        _ => {}
    }
}

/// Removes what a pointer with `*` for any step names, if it is there and `drop` says so.
pub fn drop_where(value: &mut Value, pattern: &str, drop: &dyn Fn(&Value) -> bool) {
    let steps: Vec<&str> = pattern.split('/').skip(1).collect();
    drop_steps(value, &steps, drop);
}

fn drop_steps(value: &mut Value, steps: &[&str], drop: &dyn Fn(&Value) -> bool) {
    let Some((step, rest)) = steps.split_first() else { return };
    match value {
        Value::Object(fields) if rest.is_empty() => {
            fields.retain(|key, inner| (*step != "*" && *step != key) || !drop(inner));
        }
        Value::Object(fields) => {
            let chosen = fields.iter_mut().filter(|(key, _)| *step == "*" || *step == key.as_str());
            chosen.for_each(|(_, inner)| drop_steps(inner, rest, drop));
        }
        Value::Array(items) if *step == "*" => items.iter_mut().for_each(|inner| drop_steps(inner, rest, drop)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn patterns_find_what_they_name() {
        let value = json!({"a": [{"p": 1}, {"q": 2}], "b": {"p": 3}});
        assert_eq!(matching(&["/a/*/p", "/*/p"], &value), ["/a/0/p", "/b/p"]);
    }

    #[test]
    fn defaults_are_dropped_wherever_they_stand() {
        let mut value = json!({"states": [{"actions": []}, {"actions": [1]}], "n": null});
        drop_where(&mut value, "/states/*/actions", &|inner| *inner == json!([]));
        drop_where(&mut value, "/n", &Value::is_null);
        assert_eq!(value, json!({"states": [{}, {"actions": [1]}]}));
    }
}
