//! Random numbers from a seed: SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
//! generators").

/// A stream of random numbers; the same seed gives the same stream.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number in `0..end`; `end` is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        // The bias of the remainder does not matter here.
        self.next() % end
    }

    /// A number in `first..=last`.
    pub fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last - first + 1)
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// Spreads every bit of `value` over the whole result.
pub fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_stream_within_the_bounds() {
        let (mut a, mut b) = (Rng::new(7), Rng::new(7));
        for _ in 0..1000 {
            let number = a.between(3, 9);
            assert!((3..=9).contains(&number));
            assert_eq!(number, b.between(3, 9));
        }
        assert_ne!(Rng::new(7).next(), Rng::new(8).next());
    }
}
