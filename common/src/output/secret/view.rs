//! A text as it reads when all that dresses it is taken off, and where in the text each byte of that comes from.

/// At most so many escapes one in another are taken off.
const DEPTH: usize = 5;

/// What the text reads as: escapes resolved until none is left, in lower case, without blanks, `-` and `_` as `+` and `/` (base64url).
pub(super) struct View(Vec<Byte>);

/// A byte of the view, and the part of the text that stands for it.
#[derive(Clone, Copy)]
struct Byte {
    value: u8,
    from: u32,
    to: u32,
}

impl View {
    pub(super) fn of(text: &str) -> Self {
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let mut bytes: Vec<Byte> =
            text.bytes().enumerate().map(|(at, value)| Byte { value, from: place(at), to: place(at + 1) }).collect();
        for _ in 0..DEPTH {
            let before = bytes.len();
            bytes = undressed(&bytes);
            // Each escape is longer than what it stands for.
            if bytes.len() == before {
                break;
            }
        }
        Self(folded(&bytes))
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.0.iter().map(|byte| byte.value).collect()
    }

    /// The part of the text that the bytes from and to stand for.
    pub(super) fn source(&self, from: usize, to: usize) -> (usize, usize) {
        let end = |byte: &Byte| byte.to as usize;
        (self.0.get(from).map_or(0, |byte| byte.from as usize), self.0[..to].last().map_or(0, end))
    }
}

/// One level of escapes taken off.
fn undressed(bytes: &[Byte]) -> Vec<Byte> {
    let mut result = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let mut buffer = [0; 4];
        let (value, length): (&[u8], usize) = match escape(rest) {
            Some((Stands::Char(c), length)) => (c.encode_utf8(&mut buffer).as_bytes(), length),
            Some((Stands::Byte(byte), length)) => (&[byte], length),
            None => (&[rest[0].value], 1),
        };
        let (from, to) = (rest[0].from, rest[length - 1].to);
        result.extend(value.iter().map(|value| Byte { value: *value, from, to }));
        at += length;
    }
    result
}

enum Stands {
    Char(char),
    Byte(u8),
}

/// What the escape at the beginning stands for, and its length.
fn escape(bytes: &[Byte]) -> Option<(Stands, usize)> {
    let at = |n: usize| bytes.get(n).map(|byte| byte.value);
    let byte = |n: usize| Some(Stands::Byte(u8::try_from(number(bytes.get(n..n + 2)?, 16)?).ok()?));
    match (at(0)?, at(1)?) {
        (b'%', _) => Some((byte(1)?, 3)),
        (b'\\', b'x') => Some((byte(2)?, 4)),
        (b'\\', b'u') => {
            let unit = |n: usize| number(bytes.get(n..n + 4)?, 16);
            let first = unit(2)?;
            let pair = || {
                let second = unit(8).filter(|_| at(6) == Some(b'\\') && at(7) == Some(b'u'))?;
                let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
                char::from_u32(0x1_0000 + ((first.checked_sub(0xd800)? & 0x3ff) << 10) + low)
            };
            match char::from_u32(first) {
                Some(c) => Some((Stands::Char(c), 6)),
                None => Some(pair().map_or((Stands::Char(char::REPLACEMENT_CHARACTER), 6), |c| (Stands::Char(c), 12))),
            }
        }
        (b'\\', b'n' | b'r' | b't') => Some((Stands::Byte(b' '), 2)),
        (b'\\', plain @ (b'"' | b'\'' | b'/' | b'\\')) => Some((Stands::Byte(plain), 2)),
        (b'&', _) => {
            let end = bytes.iter().take(12).position(|byte| byte.value == b';')?;
            let name: Vec<u8> = bytes[1..end].iter().map(|byte| byte.value.to_ascii_lowercase()).collect();
            let digits = |skip: usize, radix| char::from_u32(number(bytes.get(1 + skip..end)?, radix)?);
            let c = match name.as_slice() {
                b"lt" => '<',
                b"gt" => '>',
                b"amp" => '&',
                b"quot" => '"',
                b"apos" => '\'',
                b"nbsp" => ' ',
                [b'#', b'x', ..] => digits(2, 16)?,
                [b'#', ..] => digits(1, 10)?,
                _ => return None,
            };
            Some((Stands::Char(c), end + 1))
        }
        _ => None,
    }
}

fn number(digits: &[Byte], radix: u32) -> Option<u32> {
    let value =
        |number: u32, digit: &Byte| number.checked_mul(radix)?.checked_add(char::from(digit.value).to_digit(radix)?);
    if digits.is_empty() { None } else { digits.iter().try_fold(0_u32, value) }
}

/// Lower case, without blanks.
fn folded(bytes: &[Byte]) -> Vec<Byte> {
    let values: Vec<u8> = bytes.iter().map(|byte| byte.value).collect();
    let mut result = Vec::with_capacity(bytes.len());
    let mut at = 0;
    for chunk in values.utf8_chunks() {
        for c in chunk.valid().chars() {
            let source = &bytes[at..at + c.len_utf8()];
            at += c.len_utf8();
            let (from, to) = (source[0].from, source[source.len() - 1].to);
            let mut push = |value| result.push(Byte { value, from, to });
            match c {
                '-' => push(b'+'),
                '_' => push(b'/'),
                c if c.is_whitespace() => {}
                c if c.is_ascii() => push(source[0].value.to_ascii_lowercase()),
                // By way of the capitals: the small letters of some have none of their own ("ß").
                c => c.to_uppercase().flat_map(char::to_lowercase).for_each(|c| {
                    c.encode_utf8(&mut [0; 4]).bytes().for_each(&mut push);
                }),
            }
        }
        result.extend(&bytes[at..at + chunk.invalid().len()]);
        at += chunk.invalid().len();
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_dresses_a_text_is_taken_off() {
        for (text, plain) in [
            ("A b\tC", "abc"),
            ("%41%c3%A9", "aé"),
            (r"\u00e9\/\u003c\ud83d\ude00\n", "é/<😀"),
            ("&lt;&#233;&#xE9;&amp;amp;", "<éé&"),
            (r"%2541%5Cu0041", "aa"),
            ("a-b_c", "a+b/c"),
            ("STRASSE ß", "strassess"),
            ("100% \\ & done;", "100%\\&done;"),
        ] {
            assert_eq!(String::from_utf8_lossy(&View::of(text).bytes()), plain, "{text}");
        }
    }

    #[test]
    fn each_byte_knows_where_it_comes_from() {
        let view = View::of("x %41\\u0042y");
        assert_eq!(view.bytes(), b"xaby");
        assert_eq!((view.source(1, 2), view.source(1, 3), view.source(3, 4)), ((2, 5), (2, 11), (11, 12)));
    }
}
