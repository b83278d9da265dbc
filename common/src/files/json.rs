//! Where things stand in a JSON text: duplicate keys, and the line and column of a pointer.
//! Works on text that a parser has already accepted; reports, judges nothing.

use std::collections::HashSet;

/// A place in a text: line and column, both counted from 1, columns in characters.
pub type At = (usize, usize);

/// Every key that stands twice in one object: its pointer and the place of the second one.
#[must_use]
pub fn duplicates(text: &str) -> Vec<(String, At)> {
    let mut found = Vec::new();
    Walker::new(text).walk(&mut |pointer, offset, duplicate| {
        if duplicate {
            found.push((pointer.to_owned(), place(text, offset)));
        }
    });
    found
}

/// The place of what a pointer names: of the key in an object, of the value in an array.
#[must_use]
pub fn locate(text: &str, wanted: &str) -> Option<At> {
    let mut found = None;
    Walker::new(text).walk(&mut |pointer, offset, _| {
        if found.is_none() && pointer == wanted {
            found = Some(place(text, offset));
        }
    });
    found
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

fn place(text: &str, offset: usize) -> At {
    let before = &text[..text.floor_char_boundary(offset)];
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
}

/// Told of every key and array element: pointer, offset, whether the key stood before in the same object.
type Visit<'v> = &'v mut dyn FnMut(&str, usize, bool);

struct Walker<'t> {
    text: &'t str,
    at: usize,
    pointer: String,
}

impl<'t> Walker<'t> {
    fn new(text: &'t str) -> Self {
        Self { text, at: 0, pointer: String::new() }
    }

    fn walk(&mut self, visit: Visit<'_>) {
        visit("", 0, false);
        self.value(visit);
    }

    fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at.min(self.text.len())..];
        let blank = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.at += blank;
        rest.get(blank).copied()
    }

    fn value(&mut self, visit: Visit<'_>) {
        match self.peek() {
            Some(b'{') => self.object(visit),
            Some(b'[') => self.array(visit),
            Some(b'"') => drop(self.string()),
            _ => {
                let rest = &self.text[self.at.min(self.text.len())..];
                self.at += rest.find([',', ']', '}', ' ', '\n', '\r', '\t']).unwrap_or(rest.len());
            }
        }
    }

    fn object(&mut self, visit: Visit<'_>) {
        let mut keys = HashSet::new();
        self.at += 1;
        while self.peek() == Some(b'"') {
            let offset = self.at;
            let key = self.string();
            let outer = self.pointer.len();
            push_step(&mut self.pointer, &key);
            visit(&self.pointer, offset, !keys.insert(key));
            self.peek();
            self.at += 1; // the colon
            self.value(visit);
            self.pointer.truncate(outer);
            if self.peek() == Some(b',') {
                self.at += 1;
            }
        }
        self.at += 1;
    }

    fn array(&mut self, visit: Visit<'_>) {
        self.at += 1;
        let mut index = 0;
        while self.peek().is_some_and(|byte| byte != b']') {
            let outer = self.pointer.len();
            self.pointer += &format!("/{index}");
            visit(&self.pointer, self.at, false);
            self.value(visit);
            self.pointer.truncate(outer);
            index += 1;
            if self.peek() == Some(b',') {
                self.at += 1;
            }
        }
        self.at += 1;
    }

    fn string(&mut self) -> String {
        let bytes = self.text.as_bytes();
        let start = self.at;
        self.at += 1;
        while self.at < bytes.len() && bytes[self.at] != b'"' {
            self.at += if bytes[self.at] == b'\\' { 2 } else { 1 };
        }
        self.at = (self.at + 1).min(bytes.len());
        serde_json::from_str(&self.text[start..self.at]).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_are_found_wherever_they_stand() {
        let text = "{\"a\": 1,\n \"b\": [{\"x\": \"}\\\"\", \"x\": 2}], \"\\u0061\": {}}";
        assert_eq!(duplicates(text), [("/b/0/x".to_owned(), (2, 21)), ("/a".to_owned(), (2, 31))]);
        assert_eq!(duplicates("{\"a\": {\"x\": 1}, \"b\": {\"x\": 1}}"), []);
    }

    #[test]
    fn steps_are_escaped() {
        assert_eq!(["plain", "", "a/b~c", "~/", "é~1"].map(step), ["/plain", "/", "/a~1b~0c", "/~0~1", "/é~01"]);
    }

    #[test]
    fn pointers_are_located() {
        let text = "{\n  \"a/b\": {\"é\": 1, \"c\": [10, 20]}\n}";
        assert_eq!(locate(text, "/a~1b"), Some((2, 3)));
        assert_eq!(locate(text, "/a~1b/c/1"), Some((2, 29)));
        assert_eq!(locate(text, "/nope"), None);
    }

    proptest::proptest! {
        #[test]
        fn what_a_parser_accepts_is_walked_to_its_end(value in crate::engine::diff::tests::any_json()) {
            let text = serde_json::to_string_pretty(&value).expect("a value prints as JSON");
            proptest::prop_assert_eq!(duplicates(&text), []);
            let mut pointers = Vec::new();
            Walker::new(&text).walk(&mut |pointer, _, _| pointers.push(pointer.to_owned()));
            for pointer in pointers {
                proptest::prop_assert!(value.pointer(&pointer).is_some(), "{}", pointer);
            }
        }
    }
}
