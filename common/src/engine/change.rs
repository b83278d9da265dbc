//! What a comparison says: objects, changes, differences and failures, as data. No I/O, no judgment about servers.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::output::secret::mask;

/// Names one object of one kind, in one organization where the server has organizations.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    /// The organization's name; `None` is the connection's own.
    pub org: Option<Arc<str>>,
    /// The kind's folder name.
    pub kind: &'static str,
    /// The object's name.
    pub name: String,
}

impl ObjectId {
    /// An object outside of any named organization.
    pub fn new(kind: &'static str, name: impl Into<String>) -> Self {
        Self { org: None, kind, name: name.into() }
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(org) = &self.org {
            write!(f, "orgs/{org}/")?;
        }
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// What has to be done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing: it matches.
    None,
    /// The server does not have it.
    Create,
    /// The server has it, but differently.
    Update,
}

/// The result of comparing one declared object with the server's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What has to be done.
    pub action: Action,
    /// Each place where the two sides differ.
    pub differences: Vec<Difference>,
    /// Why the server's object may not be written at all (file-provisioned, reserved, …), if so.
    /// Such an object with differences counts as drifted.
    pub locked: Option<String>,
    /// What a person should know about this object though it is no difference: "password not verified".
    pub notes: Vec<String>,
}

impl Change {
    /// The object matches.
    #[must_use]
    pub fn none() -> Self {
        Self { action: Action::None, differences: Vec::new(), locked: None, notes: Vec::new() }
    }

    /// The object is not there.
    #[must_use]
    pub fn create() -> Self {
        Self { action: Action::Create, ..Self::none() }
    }

    /// The object is there; without differences it matches.
    #[must_use]
    pub fn update(differences: Vec<Difference>) -> Self {
        let action = if differences.is_empty() { Action::None } else { Action::Update };
        Self { action, differences, ..Self::none() }
    }

    /// The same change of an object that the server holds read-only, for the reason given.
    #[must_use]
    pub fn locked(mut self, reason: impl Into<String>) -> Self {
        self.locked = Some(reason.into());
        self
    }

    /// The same change with one more note.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Whether `apply` has something to send for this object.
    #[must_use]
    pub fn writes(&self) -> bool {
        self.locked.is_none()
            && match self.action {
                Action::None => false,
                Action::Create => true,
                Action::Update => self.differences.iter().any(|difference| difference.fixable),
            }
    }

    /// Whether something differs that `apply` cannot change in place.
    #[must_use]
    pub fn drifted(&self) -> bool {
        match self.locked {
            Some(_) => self.action != Action::None,
            None => self.differences.iter().any(|difference| !difference.fixable),
        }
    }

    /// The differences on one line, secrets masked.
    #[must_use]
    pub fn detail(&self) -> String {
        let shown: Vec<String> = self.differences.iter().map(ToString::to_string).collect();
        shown.join("; ")
    }
}

/// One place where the declared object and the server's differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// A JSON pointer into the declared body.
    pub path: String,
    /// What the server holds.
    pub from: Shown,
    /// What is declared.
    pub to: Shown,
    /// Whether `apply` can change it in place; otherwise it is drift.
    pub fixable: bool,
}

impl Difference {
    /// A difference that `apply` can change in place.
    pub fn new(path: impl Into<String>, from: Shown, to: Shown) -> Self {
        Self { path: path.into(), from, to, fixable: true }
    }

    /// A difference that no write can change in place.
    pub fn fixed(path: impl Into<String>, from: Shown, to: Shown) -> Self {
        Self { fixable: false, ..Self::new(path, from, to) }
    }

    /// The same difference with both values hidden.
    #[must_use]
    pub fn masked(self) -> Self {
        let hide = |shown| if shown == Shown::Absent { shown } else { Shown::Masked };
        Self { from: hide(self.from), to: hide(self.to), ..self }
    }

    /// The difference for a person to read: of a list that is too long for one line, each thing that goes, comes or changes by itself, as in
    /// `/routes/1: {"receiver":"night"} -> (absent)`.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.by_element().unwrap_or_else(|| vec![self.to_string()])
    }

    fn by_element(&self) -> Option<Vec<String>> {
        let long = |shown: &Shown| matches!(shown, Shown::Json(text) if text.len() > SHOWN_LIMIT);
        if !long(&self.from) && !long(&self.to) {
            return None;
        }
        let (from, to) = (self.from.elements()?, self.to.elements()?);
        let apart = |these: &[Box<RawValue>], those: &[Box<RawValue>]| -> Vec<(usize, Shown)> {
            let mut there: HashMap<&str, usize> = HashMap::new();
            for element in those {
                *there.entry(element.get()).or_default() += 1;
            }
            let mut apart = Vec::new();
            for (index, element) in these.iter().enumerate() {
                match there.get_mut(element.get()) {
                    Some(count) if *count > 0 => *count -= 1,
                    _ => apart.push((index, Shown::Json(element.get().to_owned()))),
                }
            }
            apart
        };
        let (gone, come) = (apart(&from, &to), apart(&to, &from));
        let line = |index, from, to| Self { path: format!("{}/{index}", self.path), from, to, ..*self }.to_string();
        let gone = gone.into_iter().map(|(index, element)| line(index, element, Shown::Absent));
        let lines: Vec<String> =
            gone.chain(come.into_iter().map(|(index, element)| line(index, Shown::Absent, element))).collect();
        // In another order, nothing goes and nothing comes.
        (!lines.is_empty()).then_some(lines)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "/" } else { &self.path };
        write!(f, "{path}: {} -> {}", self.from, self.to)?;
        if !self.fixable {
            f.write_str(" (cannot be changed in place)")?;
        }
        Ok(())
    }
}

/// A value as it may be shown to a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Not there.
    Absent,
    /// A value, as compact JSON; long ones are cut when printed.
    Json(String),
    /// There, and not for anybody's eyes.
    Masked,
}

impl Shown {
    /// Shows a JSON value.
    #[must_use]
    pub fn json(value: &Value) -> Self {
        Self::Json(value.to_string())
    }

    /// Shows a value that may be missing.
    #[must_use]
    pub fn maybe(value: Option<&Value>) -> Self {
        value.map_or(Self::Absent, Self::json)
    }

    /// Of a list or of nothing, what is in it.
    fn elements(&self) -> Option<Vec<Box<RawValue>>> {
        match self {
            Self::Absent => Some(Vec::new()),
            Self::Json(text) => serde_json::from_str(text).ok(),
            Self::Masked => None,
        }
    }

    /// Shows a string, quoted as JSON.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Json(Value::from(text).to_string())
    }
}

/// Longest value printed of a difference, in bytes: a line of several such stays readable, and under 8 kB.
const SHOWN_LIMIT: usize = 240;

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("(absent)"),
            Self::Masked => f.write_str("(secret)"),
            Self::Json(text) if text.len() > SHOWN_LIMIT => {
                // Hidden before it is cut: the beginning of a secret looks like none.
                let masked = mask(&text[..text.floor_char_boundary(16 * SHOWN_LIMIT)]);
                write!(f, "{}… ({} bytes)", &masked[..masked.floor_char_boundary(SHOWN_LIMIT)], text.len())
            }
            Self::Json(text) => f.write_str(text),
        }
    }
}

/// How a failure is to be met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It was not done and may pass: try again.
    Again,
    /// It may or may not have been done: read, then decide.
    Ambiguous,
    /// Not done: another object has the name, or this one is there already. The same request fails as long as that stands.
    Taken,
    /// Credentials or rights are missing.
    Auth,
    /// The server understood and refused.
    Rejected,
    /// Nothing that repeating could change: an answer that makes no sense, a plugin that is not there.
    Fatal,
    /// The settings lead nowhere: a wrong certificate, an address of something else.
    Config,
    /// Our own deadline passed.
    Timeout,
}

impl Class {
    /// Whether a later try may come out otherwise.
    #[must_use]
    pub fn recovers(self) -> bool {
        matches!(self, Self::Again | Self::Ambiguous)
    }
}

/// Why something could not be read, checked or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// How it is to be met.
    pub class: Class,
    /// One sentence: what failed, what the server said, what to do.
    pub message: String,
    /// How long the server asked to be left alone.
    pub after: Option<Duration>,
    /// The status of the HTTP answer, where there was one.
    pub status: Option<u16>,
    /// The server's own name for the error: `index_not_found_exception`, `INVALID_CONFIG`.
    pub code: Option<String>,
}

impl Failure {
    /// A failure of the class given.
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), after: None, status: None, code: None }
    }

    /// A refusal by the server.
    pub fn rejected(message: impl Into<String>) -> Self {
        Self::new(Class::Rejected, message)
    }

    /// Something that repeating cannot change.
    pub fn fatal(message: impl Into<String>) -> Self {
        Self::new(Class::Fatal, message)
    }

    /// Whether the server called the error so.
    #[must_use]
    pub fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// The same failure with what was being done put before it.
    #[must_use]
    pub fn context(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// What `plan` says about one declared object. `S` is what its kind sends for it.
#[derive(Clone, Debug)]
pub struct Planned<S = ()> {
    /// Which object.
    pub id: ObjectId,
    /// The objects that must be there before this one can be written.
    pub needs: Vec<ObjectId>,
    /// What has to be done, or why that could not be found out.
    pub verdict: Result<Change, Failure>,
    /// What `apply` sends as it stands; there where the change [writes](Change::writes).
    pub step: Option<S>,
}

impl<S> Planned<S> {
    /// A verdict without dependencies.
    #[must_use]
    pub fn new(id: ObjectId, verdict: Result<Change, Failure>) -> Self {
        Self { id, needs: Vec::new(), verdict, step: None }
    }

    /// The same with what has to be there first.
    #[must_use]
    pub fn needing(self, needs: Vec<ObjectId>) -> Self {
        Self { needs, ..self }
    }

    /// The same with what is to be sent, made only if something is; a step that cannot be made fails the object.
    #[must_use]
    pub fn with_step(mut self, make: impl FnOnce(&Change) -> Result<S, Failure>) -> Self {
        if let Ok(change) = &self.verdict
            && change.writes()
        {
            match make(change) {
                Ok(step) => self.step = Some(step),
                Err(failure) => self.verdict = Err(failure),
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(fixable: bool) -> Difference {
        Difference { fixable, ..Difference::new("/a", Shown::text("1"), Shown::text("2")) }
    }

    #[test]
    fn both_kinds_of_difference_may_meet_in_one_object() {
        let change = Change::update(vec![difference(true), difference(false)]);
        assert!(change.writes() && change.drifted());
    }

    #[test]
    fn a_locked_object_is_never_written() {
        let change = Change::update(vec![difference(true)]).locked("provisioned from a file");
        assert!(!change.writes() && change.drifted());
        assert!(!Change::none().locked("provisioned from a file").drifted());
    }

    #[test]
    fn masking_keeps_what_is_absent_visible() {
        let shown = Difference::new("/p", Shown::Absent, Shown::text("s3cret")).masked().to_string();
        assert_eq!(shown, "/p: (absent) -> (secret)");
    }

    #[test]
    fn long_values_are_cut_at_a_character() {
        let shown = Shown::text(&"é".repeat(400)).to_string();
        assert!(shown.len() < 300 && shown.ends_with("(802 bytes)"), "{shown}");
    }

    #[test]
    fn what_a_long_list_loses_and_gains_is_named_one_by_one() {
        let list = |words: &[&str]| {
            let padding = "x".repeat(200);
            Shown::json(&words.iter().map(|word| serde_json::json!({"a": word, "b": padding})).collect())
        };
        let starts = |from, to| -> Vec<String> {
            let lines = Difference::new("/routes", from, to).lines();
            lines.iter().map(|line| line.replace(&"x".repeat(200), "…")).collect()
        };
        assert_eq!(
            starts(list(&["one", "two", "two", "three"]), list(&["two", "four"])),
            [
                r#"/routes/0: {"a":"one","b":"…"} -> (absent)"#,
                r#"/routes/2: {"a":"two","b":"…"} -> (absent)"#,
                r#"/routes/3: {"a":"three","b":"…"} -> (absent)"#,
                r#"/routes/1: (absent) -> {"a":"four","b":"…"}"#,
            ]
        );
        assert_eq!(starts(list(&["one", "two"]), Shown::Absent).len(), 2);
        // Short, masked, or only in another order: one line.
        for (from, to) in [
            (Shown::json(&serde_json::json!([1])), Shown::Absent),
            (Shown::Masked, list(&["one", "two"])),
            (list(&["one", "two"]), list(&["two", "one"])),
        ] {
            assert_eq!(starts(from, to).len(), 1);
        }
    }
}
