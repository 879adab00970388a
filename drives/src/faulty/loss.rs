//! What a power cut leaves of the cache.

use serde::{Deserialize, Serialize};

/// What becomes of writes that were not flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// All reach the medium.
    All,
    /// None does.
    None,
    /// Each write does or does not, whole.
    Random,
    /// Each logical block of each write does or does not.
    Torn,
}

/// A loss of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// What becomes of the cache.
    pub keep: Keep,
    /// Of the dice for `random` and `torn`: the same seed and the same cache give the same medium.
    pub seed: u64,
}

impl Loss {
    /// As when a drive is pulled.
    pub(crate) const TOTAL: Loss = Loss { keep: Keep::None, seed: 0 };

    /// Whether each block of each write survives; asked for writes in their order, and for the blocks of each
    /// in theirs.
    pub(crate) fn dice(self) -> Dice {
        Dice { keep: self.keep, state: self.seed, whole: false }
    }
}

pub(crate) struct Dice {
    keep: Keep,
    state: u64,
    /// For `random`: of the current write.
    whole: bool,
}

impl Dice {
    /// The next write comes.
    pub fn begin_write(&mut self) {
        if self.keep == Keep::Random {
            self.whole = self.toss();
        }
    }

    /// Whether the write's next block survives.
    pub fn keeps_block(&mut self) -> bool {
        match self.keep {
            Keep::All => true,
            Keep::None => false,
            Keep::Random => self.whole,
            Keep::Torn => self.toss(),
        }
    }

    /// SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", 2014).
    fn toss(&mut self) -> bool {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) & 1 == 1
    }
}
