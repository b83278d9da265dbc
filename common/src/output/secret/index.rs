//! All runs of one length of many texts, to be found in another text in one pass. Knows nothing of what the texts are.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Every run of a text up to this length is listed; of longer ones every eighth, which finds runs of fifteen bytes.
const LISTED_WHOLE: usize = 4096;
const STEP: usize = 8;

pub(super) struct Index {
    run: usize,
    /// `BASE` to the power of `run - 1`.
    highest: u64,
    texts: Vec<Box<[u8]>>,
    /// Where a run of this hash begins: the text and the place in it.
    places: HashMap<u64, (u32, u32), BuildHasherDefault<Hashed>>,
}

const BASE: u64 = 0x0100_0000_01b3;

impl Index {
    pub(super) fn new(run: usize) -> Self {
        let highest = (1..run).fold(1_u64, |power, _| power.wrapping_mul(BASE));
        Self { run, highest, texts: Vec::new(), places: HashMap::default() }
    }

    /// Adds a text of at least one run.
    pub(super) fn add(&mut self, text: Box<[u8]>) {
        let step = if text.len() <= LISTED_WHOLE { 1 } else { STEP };
        let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        for (at, hash) in self.hashes(&text).enumerate().step_by(step) {
            self.places.entry(hash).or_insert((number, u32::try_from(at).unwrap_or(u32::MAX)));
        }
        self.texts.push(text);
    }

    /// Every stretch of `text` that one of the texts holds, as far as it goes.
    pub(super) fn hits(&self, text: &[u8]) -> Vec<(usize, usize)> {
        let mut hits: Vec<(usize, usize)> = Vec::new();
        for (at, hash) in self.hashes(text).enumerate() {
            // What is found already is not gone through again, so that the time stays in proportion.
            let found = hits.last().map_or(0, |hit| hit.1);
            if at + self.run <= found {
                continue;
            }
            let Some((number, place)) = self.places.get(&hash) else { continue };
            let (known, place) = (&self.texts[*number as usize], *place as usize);
            if known[place..place + self.run] != text[at..at + self.run] {
                continue;
            }
            let alike = |pairs: &mut dyn Iterator<Item = (&u8, &u8)>| pairs.take_while(|(a, b)| a == b).count();
            let before = alike(&mut known[..place].iter().rev().zip(text[at.min(found)..at].iter().rev()));
            let after = alike(&mut known[place + self.run..].iter().zip(&text[at + self.run..]));
            let (from, to) = (at - before, at + self.run + after);
            match hits.last_mut() {
                Some(last) if from <= last.1 => *last = (last.0.min(from), last.1.max(to)),
                _ => hits.push((from, to)),
            }
        }
        hits
    }

    /// The hash of each run, in order; each follows from the one before.
    fn hashes<'t>(&self, text: &'t [u8]) -> impl Iterator<Item = u64> + use<'t> {
        let (run, highest) = (self.run, self.highest);
        let count = (text.len() + 1).saturating_sub(run);
        let mut hash =
            text.iter().take(run).fold(0_u64, |hash, byte| hash.wrapping_mul(BASE).wrapping_add(u64::from(*byte)));
        (0..count).map(move |at| {
            let this = hash;
            if let Some(next) = text.get(at + run) {
                let rest = hash.wrapping_sub(u64::from(text[at]).wrapping_mul(highest));
                hash = rest.wrapping_mul(BASE).wrapping_add(u64::from(*next));
            }
            this
        })
    }
}

/// Spreads what is a hash already.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only whole numbers are hashed");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = (hash ^ (hash >> 29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_is_found_as_far_as_it_goes() {
        let mut index = Index::new(4);
        index.add((*b"abcdefgh").into());
        assert_eq!(index.hits(b"--abcd--cdefg-abc-"), [(2, 6), (8, 13)]);
        assert_eq!(index.hits(b"abc"), []);
    }

    #[test]
    fn of_a_long_text_a_part_is_found_too() {
        let long: Vec<u8> = (0..100_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
        let mut index = Index::new(8);
        index.add(long.clone().into());
        for at in [0, 1, 7, 4095, 77_777] {
            let text = [b"..", &long[at..at + 15], b".."].concat();
            assert_eq!(index.hits(&text), [(2, 17)], "at {at}");
        }
    }
}
