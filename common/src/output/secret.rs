//! Secrets: values that must never be shown. Every text that leaves the process passes `mask`.
//!
//! A server or proxy may say a secret back in other clothes, or a part of it. So a text is not searched as it stands, but as it reads when
//! all that dresses it is taken off (`view`: percent, JSON and HTML escapes, one in another; upper case; blanks and line ends), and what
//! is searched for are all runs of eight characters of every form of a secret:
//!
//! | form            | why it needs one of its own                                                                   |
//! |-----------------|-----------------------------------------------------------------------------------------------|
//! | the text        |                                                                                               |
//! | blanks as `+`   | a form's way, which taking off cannot tell from a plus                                         |
//! | base64, 3 times | it depends on how many bytes stand before the secret; base64url is the same with `-` and `_`   |
//! | hexadecimal     |                                                                                               |

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{PoisonError, RwLock};

mod index;
mod view;

use index::Index;
use view::View;

/// All that is hidden: the mask is applied wherever a text leaves, and values become known wherever they are read. Only grows.
static KNOWN: RwLock<Option<Known>> = RwLock::new(None);

#[derive(Default)]
struct Known {
    values: HashSet<String>,
    /// Forms by the length of the runs that are looked for in them.
    forms: HashMap<usize, Index>,
}

/// Shorter values would turn up by chance in ordinary words and numbers; they are hidden by their path alone.
const SHORTEST: usize = 5;
/// So much of a secret is never shown; values that are shorter are hidden where they stand whole.
const RUN: usize = 8;
/// Longer values are not encoded: they are files, not passwords, and the forms of a file fill memory.
const LONGEST_ENCODED: usize = 64 * 1024;
/// A text is masked in parts of about this many bytes, so that the view of a long one does not fill memory.
const PART: usize = 64 * 1024;

/// What is shown instead.
const HIDDEN: &str = "***";

/// A secret setting. Its `Debug` shows nothing; reading it is a deliberate act.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a value and hides it in every text from now on.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        let value = value.into();
        hide(&value);
        Self(value)
    }

    /// The value itself, for sending it to the server.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Hides a value in every text from now on: in each of its encodings, and each run of eight characters of it.
///
/// ```
/// use common::output::secret::{hide, mask};
/// hide("correct horse battery");
/// assert_eq!(mask("no: CORRECT%20HORSE, Y29ycmVjdCBob3JzZQ=="), "no: ***, ***Q==");
/// ```
pub fn hide(value: &str) {
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    let known = known.get_or_insert_default();
    if value.len() < SHORTEST || !known.values.insert(value.to_owned()) {
        return;
    }
    for piece in pieces(value) {
        known.hide(piece);
    }
    let short = |line: &&str| (SHORTEST..RUN).contains(&line.len());
    for line in value.lines().map(str::trim).filter(short) {
        known.hide(Piece::Whole(line));
    }
}

/// The text with every known secret replaced.
#[must_use]
pub fn mask(text: &str) -> String {
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    let Some(known) = known.as_ref().filter(|known| !known.forms.is_empty()) else { return text.to_owned() };
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.as_bytes().iter().skip(PART).position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + PART);
        let (part, after) = rest.split_at(end);
        known.mask(part, &mut masked);
        rest = after;
    }
    masked
}

/// A part of a value, and whether its own parts are told from ordinary words.
#[derive(Clone, Copy)]
enum Piece<'v> {
    /// Hidden where it stands whole.
    Whole(&'v str),
    /// Hidden in runs.
    Runs(&'v str),
}

/// A URL's scheme and host are no secret by themselves, and stand in many sentences: they are hidden with the rest or not at all.
fn pieces(value: &str) -> Vec<Piece<'_>> {
    let is_scheme = |scheme: &str| !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_lowercase());
    match value.split_once("://").filter(|(scheme, _)| is_scheme(scheme)) {
        Some((_, rest)) => {
            let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
            let user = authority.rsplit_once('@').map(|(user, _)| Piece::Runs(user));
            let path = Some(Piece::Runs(path)).filter(|_| path.len() >= SHORTEST);
            [Some(Piece::Whole(value)), user, path].into_iter().flatten().collect()
        }
        None => vec![Piece::Runs(value)],
    }
}

impl Known {
    fn hide(&mut self, piece: Piece<'_>) {
        let (value, run) = match piece {
            Piece::Whole(value) => (value, usize::MAX),
            Piece::Runs(value) => (value, RUN),
        };
        self.add(value, run);
        if value.contains(' ') {
            self.add(&value.replace(' ', "+"), run);
        }
        if value.len() <= LONGEST_ENCODED {
            let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
            self.add(&hex, run.saturating_mul(2));
            for before in 0..3 {
                // Eight bytes always fill ten digits.
                self.add(&base64_after(before, value.as_bytes()), if run == RUN { 10 } else { run });
            }
        }
    }

    fn add(&mut self, form: &str, run: usize) {
        let form = View::of(form).bytes();
        if form.len() >= SHORTEST {
            let run = run.min(form.len());
            self.forms.entry(run).or_insert_with(|| Index::new(run)).add(form.into());
        }
    }

    fn mask(&self, text: &str, masked: &mut String) {
        let view = View::of(text);
        let bytes = view.bytes();
        let mut hits: Vec<(usize, usize)> = self.forms.values().flat_map(|index| index.hits(&bytes)).collect();
        hits.sort_unstable();
        let mut shown = 0;
        for (from, to) in hits {
            let (from, to) = view.source(from, to);
            let (from, to) = (text.floor_char_boundary(from), text.ceil_char_boundary(to));
            if to <= shown {
                continue;
            }
            if from > shown || shown == 0 {
                *masked += &text[shown..from];
                *masked += HIDDEN;
            }
            shown = to;
        }
        *masked += &text[shown..];
    }
}

/// The digits that a value alone decides, where so many bytes of others stand before it.
fn base64_after(before: usize, value: &[u8]) -> String {
    use base64::Engine;
    let digits = base64::engine::general_purpose::STANDARD_NO_PAD.encode([&vec![0; before], value].concat());
    let (first, last) = ((before * 8).div_ceil(6), (before + value.len()) * 8 / 6);
    digits.get(first..last).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
