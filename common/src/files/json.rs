//! Where things stand in a JSON text: duplicate keys, and the line and column of pointers.
//! Works on text that a parser has already accepted, in time and memory linear in it; reports, judges nothing.

use std::borrow::Cow;

use super::place::{At, Cursor, Duplicate, Wanted};

/// What one walk over a text finds out.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// Keys that stand twice in their object, in the order of the second ones; at most [`Duplicate::MOST`].
    pub(super) duplicates: Vec<Duplicate>,
    /// How many values there are, those inside others counted as well.
    pub(super) values: usize,
    /// Where it goes deeper than a parser that makes values would follow; nothing after that was looked at.
    pub(super) too_deep: Option<At>,
}

/// As deep as `serde_json` reads values.
pub(super) const DEPTH_LIMIT: usize = 127;

/// Every key that stands twice in one object: its pointer and the place of the second one.
///
/// ```
/// let twice = common::files::json::duplicates("{\"a\": 1,\n \"a\": 2}");
/// assert_eq!(twice, [("/a".to_owned(), (2, 2))]);
/// ```
#[must_use]
pub fn duplicates(text: &str) -> Vec<(String, At)> {
    check(text).duplicates.into_iter().map(|twice| (twice.pointer, twice.again)).collect()
}

/// Looks for duplicate keys and counts the values.
pub(super) fn check(text: &str) -> Checked {
    let mut walker = Walker::new(text, None);
    walker.value();
    let mut twice = std::mem::take(&mut walker.twice);
    twice.sort_by_key(|(_, _, again)| *again);
    // The first places are not in order: all places are looked up in one go.
    let mut offsets: Vec<usize> = twice.iter().flat_map(|(_, first, again)| [*first, *again]).collect();
    offsets.sort_unstable();
    offsets.dedup();
    let mut cursor = Cursor::new(text);
    let places: Vec<At> = offsets.iter().map(|offset| cursor.place(*offset)).collect();
    let place = |offset: usize| places[offsets.partition_point(|known| *known < offset)];
    let duplicates = twice
        .into_iter()
        .map(|(pointer, first, again)| Duplicate { pointer, first: place(first), again: place(again) })
        .collect();
    let too_deep = walker.too_deep.map(|offset| Cursor::new(text).place(offset));
    Checked { duplicates, values: walker.values, too_deep }
}

/// Finds the places of what pointers name: of the key in an object, of the value in an array.
pub(super) fn locate(text: &str, wanted: &mut Wanted) {
    wanted.see("", || (1, 1));
    Walker::new(text, Some((wanted, Cursor::new(text)))).value();
}

/// One step of a JSON pointer, escaped.
#[must_use]
pub fn step(key: &str) -> String {
    let mut step = String::with_capacity(key.len() + 1);
    push_step(&mut step, key);
    step
}

/// Adds one step to a JSON pointer. Every key of every file passes here several times, so that nothing is allocated for it.
pub fn push_step(pointer: &mut String, key: &str) {
    pointer.push('/');
    for part in key.split_inclusive(['~', '/']) {
        match part.strip_suffix('~') {
            Some(before) => pointer.extend([before, "~0"]),
            None => match part.strip_suffix('/') {
                Some(before) => pointer.extend([before, "~1"]),
                None => pointer.push_str(part),
            },
        }
    }
}

/// A part of a path, as an offset where it is a key: its text is needed only if a key is there twice.
enum Step {
    Key(usize),
    Index(usize),
}

struct Walker<'t, 'w> {
    text: &'t str,
    at: usize,
    path: Vec<Step>,
    /// The same path as a JSON pointer; kept only where pointers are wanted.
    pointer: String,
    values: usize,
    /// Pointer, offset of the first and of a later one.
    twice: Vec<(String, usize, usize)>,
    too_deep: Option<usize>,
    wanted: Option<(&'w mut Wanted, Cursor<'t>)>,
}

impl<'t, 'w> Walker<'t, 'w> {
    fn new(text: &'t str, wanted: Option<(&'w mut Wanted, Cursor<'t>)>) -> Self {
        Self {
            text,
            at: 0,
            path: Vec::new(),
            pointer: String::new(),
            values: 0,
            twice: Vec::new(),
            too_deep: None,
            wanted,
        }
    }

    fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at.min(self.text.len())..];
        let blank = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.at += blank;
        rest.get(blank).copied()
    }

    fn value(&mut self) {
        self.values += 1;
        match self.peek() {
            Some(b'{' | b'[') if self.path.len() == DEPTH_LIMIT => {
                self.too_deep.get_or_insert(self.at);
                self.at = self.text.len();
            }
            Some(b'{') => self.object(),
            Some(b'[') => self.array(),
            Some(b'"') => drop(self.string()),
            _ => {
                let rest = &self.text[self.at.min(self.text.len())..];
                self.at += rest.find([',', ']', '}', ' ', '\n', '\r', '\t']).unwrap_or(rest.len());
            }
        }
    }

    fn object(&mut self) {
        let mut keys = Vec::new();
        self.at += 1;
        while self.peek() == Some(b'"') {
            let offset = self.at;
            keys.push(u32::try_from(offset).unwrap_or(u32::MAX));
            let raw = self.string();
            let outer = self.pointer.len();
            if self.wanted.is_some() {
                push_step(&mut self.pointer, &unescaped(raw));
                self.see(offset);
            }
            self.path.push(Step::Key(offset));
            self.peek();
            self.at += 1; // the colon
            self.value();
            self.path.pop();
            self.pointer.truncate(outer);
            if self.peek() == Some(b',') {
                self.at += 1;
            }
        }
        self.at += 1;
        if keys.len() > 1 && self.wanted.is_none() {
            self.repeated(&mut keys);
        }
    }

    /// Notes the keys of one object that are equal: sorted, so that a hundred thousand of them are compared a few times each.
    fn repeated(&mut self, keys: &mut [u32]) {
        let key = |offset: u32| unescaped(string_at(self.text, offset as usize));
        keys.sort_by(|a, b| key(*a).cmp(&key(*b)).then(a.cmp(b)));
        let mut first = keys[0];
        for again in &keys[1..] {
            let name = key(*again);
            if key(first) != name {
                first = *again;
            } else if self.twice.len() < Duplicate::MOST {
                let above = self.path.iter().map(|part| match part {
                    Step::Key(offset) => step(&unescaped(string_at(self.text, *offset))),
                    Step::Index(index) => format!("/{index}"),
                });
                self.twice.push((above.chain([step(&name)]).collect(), first as usize, *again as usize));
            }
        }
    }

    fn array(&mut self) {
        self.at += 1;
        let mut index = 0;
        while self.peek().is_some_and(|byte| byte != b']') {
            let outer = self.pointer.len();
            if self.wanted.is_some() {
                self.pointer += &format!("/{index}");
                self.see(self.at);
            }
            self.path.push(Step::Index(index));
            self.value();
            self.path.pop();
            self.pointer.truncate(outer);
            index += 1;
            if self.peek() == Some(b',') {
                self.at += 1;
            }
        }
        self.at += 1;
    }

    fn see(&mut self, offset: usize) {
        if let Some((wanted, cursor)) = &mut self.wanted {
            wanted.see(&self.pointer, || cursor.place(offset));
        }
    }

    /// The inside of the string that begins here.
    fn string(&mut self) -> &'t str {
        let inside = string_at(self.text, self.at);
        self.at = (self.at + inside.len() + 2).min(self.text.len());
        inside
    }
}

fn string_at(text: &str, offset: usize) -> &str {
    let bytes = text.as_bytes();
    let start = (offset + 1).min(bytes.len());
    let mut end = start;
    while end < bytes.len() && bytes[end] != b'"' {
        end += if bytes[end] == b'\\' { 2 } else { 1 };
    }
    text.get(start..end).unwrap_or_default()
}

fn unescaped(raw: &str) -> Cow<'_, str> {
    if raw.contains('\\') {
        serde_json::from_str(&format!("\"{raw}\"")).map_or(Cow::Borrowed(raw), Cow::Owned)
    } else {
        Cow::Borrowed(raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::place::tests::pointers;

    fn place(text: &str, pointer: &str) -> Option<At> {
        let mut wanted = Wanted::new([pointer]);
        locate(text, &mut wanted);
        wanted.place(pointer)
    }

    #[test]
    fn duplicates_are_found_wherever_they_stand() {
        let text = "{\"a\": 1,\n \"b\": [{\"x\": \"}\\\"\", \"x\": 2}], \"\\u0061\": {}}";
        assert_eq!(duplicates(text), [("/b/0/x".to_owned(), (2, 21)), ("/a".to_owned(), (2, 31))]);
        assert_eq!(check(text).duplicates[1].first, (1, 2));
        assert_eq!(check(text).values, 7);
        assert_eq!(duplicates("{\"a\": {\"x\": 1}, \"b\": {\"x\": 1}}"), []);
    }

    #[test]
    fn steps_are_escaped() {
        assert_eq!(["plain", "", "a/b~c", "~/", "é~1"].map(step), ["/plain", "/", "/a~1b~0c", "/~0~1", "/é~01"]);
    }

    #[test]
    fn pointers_are_located() {
        let text = "{\n  \"a/b\": {\"é\": 1, \"c\": [10, 20]}\n}";
        assert_eq!(place(text, "/a~1b"), Some((2, 3)));
        assert_eq!(place(text, "/a~1b/c/1"), Some((2, 29)));
        assert_eq!(place(text, "/nope"), None);
        // What is missing is shown where it should be.
        assert_eq!(place(text, "/a~1b/c/7"), Some((2, 19)));
    }

    proptest::proptest! {
        #[test]
        fn what_a_parser_accepts_is_walked_to_its_end(value in crate::engine::diff::tests::any_json()) {
            let text = serde_json::to_string_pretty(&value).expect("a value prints as JSON");
            proptest::prop_assert_eq!(duplicates(&text), []);
            let pointers = pointers(&value);
            proptest::prop_assert_eq!(check(&text).values, pointers.len());
            let mut wanted = Wanted::new(pointers.iter().map(String::as_str));
            locate(&text, &mut wanted);
            for pointer in pointers {
                proptest::prop_assert!(wanted.place(&pointer).is_some(), "{}", pointer);
            }
        }
    }
}
