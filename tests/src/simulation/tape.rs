//! Every choice of a life, drawn from a seed or played again; 0 is always the harmless one. No fault is known here.

use std::cell::RefCell;
use std::rc::Rc;

/// The choices of one life.
#[derive(Debug)]
pub struct Tape {
    made: Rc<RefCell<Vec<u32>>>,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Seed(u64),
    Replay(std::vec::IntoIter<u32>),
}

impl Tape {
    /// Choices drawn from a seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self { made: Rc::default(), source: Source::Seed(seed) }
    }

    /// Choices made before; past their end everything is harmless.
    #[must_use]
    pub fn replay(choices: &[u32]) -> Self {
        Self { made: Rc::default(), source: Source::Replay(Vec::from(choices).into_iter()) }
    }

    /// The choices so far, also once the tape is given away.
    #[must_use]
    pub fn choices(&self) -> Rc<RefCell<Vec<u32>>> {
        self.made.clone()
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u32) -> u32 {
        let choice = match &mut self.source {
            // SplitMix64: small, and every seed is as good as another.
            Source::Seed(state) => {
                *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
                let mut mixed = *state;
                mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
                u32::try_from((mixed ^ (mixed >> 31)) >> 32).expect("32 bits")
            }
            Source::Replay(choices) => choices.next().unwrap_or(0),
        };
        let choice = choice % end.max(1);
        self.made.borrow_mut().push(choice);
        choice
    }

    /// Whether something happens that happens once in so many times; never on an empty tape.
    pub fn once_in(&mut self, times: u32) -> bool {
        self.below(times) == times - 1
    }
}
