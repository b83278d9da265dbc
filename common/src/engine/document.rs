//! The kind for services whose objects are JSON documents: a table of endpoints, a row per kind, a function where one is odd.
//!
//! A row reads its kind in one go, brings both sides into normal form (server-made fields and known defaults dropped, never
//! added), compares, and writes one object at a time. Bodies on the server's side are kept as text until their pair is compared.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::engine::change::{Action, Change, Failure, ObjectId, Planned, Shown};
use crate::engine::diff::{Writing, diff, mask};
use crate::engine::kind::{Asked, Exported, Kind};
use crate::files::{Key, Object, Problem, Set, Unique};
use crate::net::http::{Call, Reply};

mod paths;

use paths::named;
pub use paths::{drop_where, hide_all, matching, take_field};

/// One object as the server has it.
#[derive(Debug)]
pub struct Have {
    /// The body as the server gave it.
    pub body: Box<RawValue>,
    /// What the write needs to know and the comparison does not: a sequence number, a numeric id.
    pub meta: Value,
    /// Why it may not be written, if so.
    pub locked: Option<String>,
    /// Whether it is not there, and only `meta` is known.
    pub absent: bool,
}

impl Have {
    /// A body and nothing else.
    #[must_use]
    pub fn new(body: Box<RawValue>) -> Self {
        Self { body, meta: Value::Null, locked: None, absent: false }
    }

    /// No object, but what making it needs to know.
    #[must_use]
    pub fn absent(meta: Value) -> Self {
        Self { meta, absent: true, ..Self::of(&Value::Null) }
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

/// What a table's functions talk to: one server, or one organization of it.
pub trait Server: 'static {
    /// Settings and facts that comparing and making requests depend on; never a connection.
    type Rules: Copy;

    /// The rules in force.
    fn rules(&self) -> Self::Rules;

    /// Sends one request.
    fn send(&self, call: &Call) -> Result<Reply, Failure>;
}

/// Makes a request's body out of the declared one.
pub type Render = Box<dyn Fn(&Object, Value) -> Value>;

/// One request of a step: complete but for a body that the file has already.
pub struct Request {
    /// What is sent.
    pub call: Call,
    /// What the row's own [`send`](Row::send) has to know of it; null for most.
    pub about: Value,
    /// Runs when it is sent, so that large bodies are not kept in memory meanwhile.
    pub render: Option<Render>,
}

impl Request {
    /// A request that is complete.
    #[must_use]
    pub fn new(call: Call) -> Self {
        Self { call, about: Value::Null, render: None }
    }

    /// A request whose body is the declared one, by way of `render`.
    #[must_use]
    pub fn of_file(call: Call, render: impl Fn(&Object, Value) -> Value + 'static) -> Self {
        Self { render: Some(Box::new(render)), ..Self::new(call) }
    }

    /// The request as it is sent.
    pub fn complete(&self, object: &Object) -> Result<Call, Failure> {
        let Some(render) = &self.render else { return Ok(self.call.clone()) };
        let body = render(object, object.value()?);
        Ok(Call { body: Some(body.to_string().into_bytes()), ..self.call.clone() })
    }
}

/// What a comparison is given.
#[derive(Debug)]
pub struct Pair<'p, R> {
    /// What is declared.
    pub object: &'p Object,
    /// What the server has, as it was read.
    pub have: &'p Have,
    /// The server's body in normal form.
    pub held: &'p Value,
    /// The declared body in normal form.
    pub want: &'p Value,
    /// Settings.
    pub rules: R,
    /// Whether this run has written the object already.
    pub written: bool,
}

/// What making an object's requests is given.
#[derive(Debug)]
pub struct Making<'m, R> {
    /// What is declared.
    pub object: &'m Object,
    /// The declared body, as it stands in the file.
    pub body: Value,
    /// What the server has, unless the object is to be created.
    pub have: Option<&'m Have>,
    /// What was read besides, of an object that is to be created too: [`Have::meta`].
    pub meta: &'m Value,
    /// What differs.
    pub change: &'m Change,
    /// Settings.
    pub rules: R,
}

/// An object that is to be written, and what differs. Its body is read when it is looked at: all of them at once would not fit.
pub type Pending<'p> = (&'p Object, &'p Change);

/// The bodies of these objects, one after the other. What can no longer be read fails where it is to be sent.
pub fn bodies<'t>(todo: &'t [Pending<'t>]) -> impl Iterator<Item = (&'t Object, Value, &'t Change)> {
    todo.iter().filter_map(|(object, change)| Some((*object, object.value().ok()?, *change)))
}

/// Which keys that only the server has count as removed from the file.
#[derive(Clone, Copy, Debug)]
pub enum Knows {
    /// All: the server keeps bodies as they were sent.
    All,
    /// Those at, below or above these pointers (`*` stands for any step): what a file may name. Any other key that only the server has
    /// is its own default, so that a new version of the server does not turn every run into a change.
    Only(&'static [&'static str]),
}

/// One write of several objects, done whole or not at all. Where it is refused, each is sent by itself: one refusal stops no other.
#[derive(Debug)]
pub struct Together<S: Server> {
    /// At most so many.
    pub most: usize,
    /// Sends their steps.
    pub send: fn(&S, &[(&Object, &[Request])]) -> Result<(), Failure>,
}

/// One line of a service's table. `S` is what its functions talk to.
#[derive(Debug)]
pub struct Row<S: Server> {
    /// The kind's folder name.
    pub kind: &'static str,
    /// What its write does to what is not in the file.
    pub writing: Writing,
    /// Which keys a file may name.
    pub knows: Knows,
    /// Pointers of secrets in a body; `*` stands for any step.
    pub secrets: &'static [&'static str],
    /// Reads the kind: every object on the server, or at least the declared ones.
    pub read: fn(&S, &[Rc<Object>]) -> Result<Held, Failure>,
    /// Brings a body into normal form; used on both sides.
    pub normal: fn(&mut Value),
    /// Compares two bodies in normal form where [`diff`] alone will not do. Pure: what it needs of the server was read.
    pub judge: Option<fn(&Pair<'_, S::Rules>) -> Change>,
    /// Makes the requests that [`send`](Self::send) sends as they stand. Pure.
    pub step: fn(Making<'_, S::Rules>) -> Result<Vec<Request>, Failure>,
    /// Sends a step; where an answer decides nothing more, one request after the other.
    pub send: fn(&S, &Object, &[Request]) -> Result<(), Failure>,
    /// How several objects are sent at once, where the service can.
    pub together: Option<Together<S>>,
    /// Checks a body without a server.
    pub check: fn(&Object, &Value, &Set) -> Vec<Problem>,
    /// What no other object of the kind may have as well: its uid, its name.
    pub unique: fn(&Object, &Value) -> Vec<Key>,
    /// What has to be there first, of what is declared. Asked once per object.
    pub needs: fn(&Object, &Value, &Set) -> Vec<ObjectId>,
    /// Asks the server, without writing, whether it would take the objects that are to be written.
    pub preflight: fn(&S, &Set, &[Pending<'_>]) -> Vec<Problem>,
    /// Turns an object into a body for a file; `None` leaves it out (reserved, internal). The names returned are placeholders.
    pub export: fn(&str, Value, &Have) -> Option<(Value, Vec<String>)>,
    /// Whether the kind is one object in one file, `<kind>.json`.
    pub single: bool,
}

impl<S: Server> Row<S> {
    /// A row that replaces whole objects, with nothing odd about it but how it reads and what it sends.
    pub const fn new(
        kind: &'static str,
        read: fn(&S, &[Rc<Object>]) -> Result<Held, Failure>,
        step: fn(Making<'_, S::Rules>) -> Result<Vec<Request>, Failure>,
    ) -> Self {
        Self {
            kind,
            writing: Writing::Replaces,
            knows: Knows::All,
            secrets: &[],
            read,
            normal: |_| {},
            judge: None,
            step,
            send: send_all,
            together: None,
            check: |_, _, _| Vec::new(),
            unique: |_, _| Vec::new(),
            needs: |_, _, _| Vec::new(),
            preflight: |_, _, _| Vec::new(),
            export: |_, body, _| Some((body, Vec::new())),
            single: false,
        }
    }
}

/// Sends the requests of a step one after the other, until one fails.
pub fn send_all<S: Server>(server: &S, object: &Object, step: &[Request]) -> Result<(), Failure> {
    step.iter().try_for_each(|request| server.send(&request.complete(object)?).map(drop))
}

/// A row at work: one kind of one server (in one organization).
pub struct Documents<S: Server> {
    row: &'static Row<S>,
    server: Rc<S>,
    set: Rc<Set>,
    want: Vec<Rc<Object>>,
    /// Where each object stands in `want`.
    places: BTreeMap<String, usize>,
    /// What each object needs, once it was asked.
    needs: Option<Vec<Vec<ObjectId>>>,
    written: BTreeSet<String>,
}

impl<S: Server> Documents<S> {
    /// The kind for the objects of a set; `org` names the organization, if any.
    pub fn new(row: &'static Row<S>, server: Rc<S>, set: Rc<Set>, org: Option<&str>) -> Self {
        let want = set.of_org(org, row.kind);
        let places = want.iter().enumerate().map(|(index, object)| (object.id.name.clone(), index)).collect();
        Self { row, server, set, want, places, needs: None, written: BTreeSet::new() }
    }

    fn object(&self, name: &str) -> &Object {
        &self.want[*self.places.get(name).expect("only what plan returned is asked about and applied")]
    }

    fn needs(&mut self) -> &[Vec<ObjectId>] {
        self.needs.get_or_insert_with(|| {
            // A body that cannot be read fails its object where it is compared.
            let needs = |object: &Rc<Object>| match object.value() {
                Ok(body) => (self.row.needs)(object, &body, &self.set),
                Err(_) => Vec::new(),
            };
            self.want.iter().map(needs).collect()
        })
    }

    fn plan_one(&self, object: &Object, have: Option<&Have>) -> Planned<Vec<Request>> {
        let meta = have.map_or(&Value::Null, |have| &have.meta);
        let have = have.filter(|have| !have.absent);
        let verdict = object.value().and_then(|want| self.compare(object, have, want));
        Planned::new(object.id.clone(), verdict).with_step(|change| {
            (self.row.step)(Making { object, body: object.value()?, have, meta, change, rules: self.server.rules() })
        })
    }

    fn compare(&self, object: &Object, have: Option<&Have>, mut want: Value) -> Result<Change, Failure> {
        let Some(have) = have else { return Ok(Change::create()) };
        let mut held = have.value()?;
        (self.row.normal)(&mut held);
        (self.row.normal)(&mut want);
        let mut change = match self.row.judge {
            Some(judge) => {
                let written = self.written.contains(&object.id.name);
                judge(&Pair { object, have, held: &held, want: &want, rules: self.server.rules(), written })
            }
            None => Change::update(diff(self.row.writing, &held, &want)),
        };
        if let Knows::Only(known) = self.row.knows {
            change.differences.retain(|difference| {
                difference.to != Shown::Absent || named(known, &difference.path, held.pointer(&difference.path))
            });
            if change.action == Action::Update && change.differences.is_empty() {
                change.action = Action::None;
            }
        }
        mask(&mut change.differences, &object.masked);
        mask(&mut change.differences, &matching(self.row.secrets, &held));
        mask(&mut change.differences, &matching(self.row.secrets, &want));
        if let (None, Some(reason)) = (&change.locked, &have.locked) {
            change.locked = Some(reason.clone());
        }
        Ok(change)
    }
}

impl<S: Server> Kind for Documents<S> {
    type Step = Vec<Request>;

    fn name(&self) -> &'static str {
        self.row.kind
    }

    fn check(&self) -> Vec<Problem> {
        let mut unique = Unique::default();
        let check = |object: &Rc<Object>| match object.value() {
            Ok(value) => {
                // A server may quote what it was sent.
                for pointer in matching(self.row.secrets, &value) {
                    hide_all(value.pointer(&pointer));
                }
                let mut problems = (self.row.check)(object, &value, &self.set);
                let keys = (self.row.unique)(object, &value);
                problems.extend(keys.iter().filter_map(|(at, what, key)| unique.claim(object, at, what, key)));
                problems
            }
            Err(failure) => vec![object.problem("", failure.message)],
        };
        self.want.iter().flat_map(check).collect()
    }

    fn plan(&mut self) -> Result<Vec<Planned<Self::Step>>, Failure> {
        if self.want.is_empty() {
            return Ok(Vec::new());
        }
        self.needs();
        let held = (self.row.read)(&self.server, &self.want)?;
        let needs = self.needs.iter().flatten();
        let plan = |(object, needs): (&Rc<Object>, &Vec<ObjectId>)| {
            self.plan_one(object, held.get(&object.id.name)).needing(needs.clone())
        };
        Ok(self.want.iter().zip(needs).map(plan).collect())
    }

    fn preflight(&mut self, set: &Set, asked: &[Asked<'_, Self::Step>]) -> Vec<Problem> {
        let todo: Vec<Pending<'_>> = asked.iter().map(|(id, change, _)| (self.object(&id.name), *change)).collect();
        if todo.is_empty() { Vec::new() } else { (self.row.preflight)(&self.server, set, &todo) }
    }

    fn apply(&mut self, todo: &[(&ObjectId, &Self::Step)]) -> Vec<Result<(), Failure>> {
        if let Some(together) = self.row.together.as_ref().filter(|_| todo.len() > 1) {
            let steps: Vec<_> = todo.iter().map(|(id, step)| (self.object(&id.name), step.as_slice())).collect();
            match (together.send)(&self.server, &steps) {
                Err(failure) if !failure.class.recovers() => {}
                sent => {
                    self.written.extend(sent.iter().flat_map(|()| todo.iter().map(|(id, _)| id.name.clone())));
                    return vec![sent; todo.len()];
                }
            }
        }
        let mut results = Vec::with_capacity(todo.len());
        for (id, step) in todo {
            let result = (self.row.send)(&self.server, self.object(&id.name), step);
            if result.is_ok() {
                self.written.insert(id.name.clone());
            }
            results.push(result);
        }
        results
    }

    fn batch(&self) -> usize {
        self.row.together.as_ref().map_or(1, |together| together.most)
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
