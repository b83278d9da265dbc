//! What an answer may hold, checked before it is decoded: the decoder reserves what an array's count announces, and a stranger's two
//! gigabytes would end the process. A shape says no more than where strings and arrays stand; what they mean is not known here.
//!
//! A shape is a line of words: a number is that many bytes, `s` a string, `b` bytes, `{4}` an array of such values, `[ … ]` an array of
//! structures, `<0 … >` a tagged field of the structure. `@5` behind a word: from version 5 on; `@8-10`: from 8 to 10.

use std::str::SplitAsciiWhitespace;

/// What the parts of an answer may take once it is decoded, as far as that is known: in bytes.
const BUDGET: usize = 40 << 20;

enum Field {
    Fixed(usize),
    Text,
    Bytes,
    Values(usize),
    Structures(Structure),
}

#[derive(Default)]
struct Structure {
    fields: Vec<Field>,
    tagged: Vec<(u32, Structure)>,
    /// An element or a field that is no structure of its own, and so has no tagged fields.
    bare: bool,
}

/// Whether a body has this shape, so that no count in it is more than what follows.
pub(super) fn check(shape: &str, version: i16, flexible: bool, body: &[u8]) -> Result<(), &'static str> {
    let structure = parse(&mut shape.split_ascii_whitespace(), version).0;
    let mut walk = Walk { rest: body, flexible, reserved: 0 };
    match walk.structure(&structure) {
        Some(()) => Ok(()),
        None if walk.reserved > BUDGET => Err("holds more than a cluster has"),
        None => Err("announces more than it holds"),
    }
}

/// The fields up to the end of the structure, and the versions that its end names.
fn parse<'s>(words: &mut SplitAsciiWhitespace<'s>, version: i16) -> (Structure, &'s str) {
    let mut found = Structure::default();
    while let Some(word) = words.next() {
        let (what, versions) = word.split_once('@').unwrap_or((word, ""));
        let field = match what {
            "]" | ">" => return (found, versions),
            "s" => Field::Text,
            "b" => Field::Bytes,
            "[" => {
                let (inner, versions) = parse(words, version);
                if within(version, versions) {
                    found.fields.push(Field::Structures(inner));
                }
                continue;
            }
            _ => {
                if let Some(tag) = what.strip_prefix('<') {
                    found.tagged.push((number(tag), bare(parse(words, version).0)));
                    continue;
                }
                match what.strip_prefix('{').and_then(|what| what.strip_suffix('}')) {
                    Some("s") => {
                        Field::Structures(bare(Structure { fields: vec![Field::Text], ..Structure::default() }))
                    }
                    Some(size) => Field::Values(number(size)),
                    None => Field::Fixed(number(what)),
                }
            }
        };
        if within(version, versions) {
            found.fields.push(field);
        }
    }
    (found, "")
}

fn number<N: std::str::FromStr>(text: &str) -> N {
    text.parse().ok().expect("shapes are constants, and a test reads them all")
}

fn within(version: i16, versions: &str) -> bool {
    let (first, last) = versions.split_once('-').unwrap_or((versions, ""));
    (first.is_empty() || version >= number(first)) && (last.is_empty() || version <= number(last))
}

fn bare(structure: Structure) -> Structure {
    Structure { bare: true, ..structure }
}

struct Walk<'b> {
    rest: &'b [u8],
    flexible: bool,
    /// What the arrays so far take, once decoded.
    reserved: usize,
}

impl<'b> Walk<'b> {
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u32> {
        let mut value = 0_u64;
        for shift in 0..5 {
            let byte = *self.take(1)?.first()?;
            value |= u64::from(byte & 0x7f) << (7 * shift);
            if byte & 0x80 == 0 {
                return u32::try_from(value).ok();
            }
        }
        None
    }

    /// A length or a count; nothing there is as good as an empty one.
    fn length(&mut self, wide: bool) -> Option<usize> {
        let length = if self.flexible {
            i64::from(self.varint()?) - 1
        } else if wide {
            i32::from_be_bytes(*self.take(4)?.first_chunk()?).into()
        } else {
            i16::from_be_bytes(*self.take(2)?.first_chunk()?).into()
        };
        if length == -1 { Some(0) } else { usize::try_from(length).ok() }
    }

    fn count(&mut self, each: usize) -> Option<usize> {
        let count = self.length(true)?;
        // Every element takes a byte at least.
        if count > self.rest.len() {
            return None;
        }
        self.reserved = self.reserved.saturating_add(count.saturating_mul(each));
        (self.reserved <= BUDGET).then_some(count)
    }

    fn structure(&mut self, structure: &Structure) -> Option<()> {
        for field in &structure.fields {
            match field {
                Field::Fixed(size) => drop(self.take(*size)?),
                Field::Text | Field::Bytes => {
                    let length = self.length(matches!(field, Field::Bytes))?;
                    self.take(length)?;
                }
                Field::Values(size) => {
                    let count = self.count(*size)?;
                    self.take(count.checked_mul(*size)?)?;
                }
                Field::Structures(inner) => {
                    // A field is at most a string or an array, which are 24 to 32 bytes where they stand.
                    let count = self.count(32 * (inner.fields.len() + 1))?;
                    for _ in 0..count {
                        self.structure(inner)?;
                    }
                }
            }
        }
        if !self.flexible || structure.bare {
            return Some(());
        }
        for _ in 0..self.varint()? {
            let (tag, size) = (self.varint()?, self.varint()?);
            let content = self.take(usize::try_from(size).ok()?)?;
            self.reserved = self.reserved.saturating_add(64);
            if let Some((_, inner)) = structure.tagged.iter().find(|(known, _)| *known == tag) {
                let outside = std::mem::replace(&mut self.rest, content);
                self.structure(inner)?;
                // What is left over would be read as something else by the decoder.
                std::mem::replace(&mut self.rest, outside).is_empty().then_some(())?;
            }
        }
        (self.reserved <= BUDGET).then_some(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use bytes::{BufMut, BytesMut};

    /// An answer of this shape: every string of a byte, every array of two.
    pub(in crate::wire) fn sample(shape: &str, version: i16, flexible: bool) -> BytesMut {
        let mut bytes = BytesMut::new();
        write(&parse(&mut shape.split_ascii_whitespace(), version).0, flexible, &mut bytes);
        bytes
    }

    fn write(structure: &Structure, flexible: bool, bytes: &mut BytesMut) {
        let length = |bytes: &mut BytesMut, count: u8, wide: bool| match (flexible, wide) {
            (true, _) => bytes.put_u8(count + 1),
            (false, true) => bytes.put_i32(count.into()),
            (false, false) => bytes.put_i16(count.into()),
        };
        for field in &structure.fields {
            match field {
                Field::Fixed(size) => bytes.put_bytes(0, *size),
                Field::Text | Field::Bytes => {
                    length(bytes, 1, matches!(field, Field::Bytes));
                    bytes.put_u8(b'x');
                }
                Field::Values(size) => {
                    length(bytes, 2, true);
                    bytes.put_bytes(0, 2 * size);
                }
                Field::Structures(inner) => {
                    length(bytes, 2, true);
                    write(inner, flexible, bytes);
                    write(inner, flexible, bytes);
                }
            }
        }
        if flexible && !structure.bare {
            bytes.put_u8(u8::try_from(structure.tagged.len()).expect("a few"));
            for (tag, inner) in &structure.tagged {
                let mut content = BytesMut::new();
                write(inner, flexible, &mut content);
                bytes.put_u8(u8::try_from(*tag).expect("a small one"));
                bytes.put_u8(u8::try_from(content.len()).expect("a short one"));
                bytes.put(content);
            }
        }
    }

    #[test]
    fn counts_are_held_against_what_is_left_and_against_what_they_would_take() {
        let announces = Err("announces more than it holds");
        assert_eq!(check("[ 4 s ]", 0, false, &[0x7f, 0xff, 0xff, 0xff]), announces);
        assert_eq!(check("{4}", 0, true, &[0xff, 0xff, 0xff, 0xff, 0x0f]), announces);
        assert_eq!(check("{4}", 0, true, &[0xff, 0xff, 0xff, 0xff, 0xff, 0x0f]), announces);
        assert_eq!(check("s", 0, false, &[0xff, 0xfe]), announces, "less than nothing");
        assert_eq!(check("s b {4}", 0, false, &[0xff; 10]), Ok(()), "nothing");
        let mut many = vec![0; 4 << 20];
        many.splice(..4, [0, 0x3f, 0xff, 0xfc]);
        assert_eq!(check("[ 1 ]", 0, false, &many), Err("holds more than a cluster has"));
        // A tagged field is as long as it says, or the decoder would go on in the middle of it.
        assert_eq!(check("1 <0 8 >", 0, true, &[1, 1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0]), Ok(()));
        assert_eq!(check("1 <0 8 >", 0, true, &[1, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0]), announces);
    }

    #[test]
    fn words_hold_for_their_versions() {
        for (version, length) in [(0, 1), (1, 3), (2, 3), (3, 1)] {
            assert_eq!(sample("1 2@1-2", version, false).len(), length, "{version}");
        }
    }
}
