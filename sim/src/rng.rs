//! The one source of chance: everything that a run does follows from its seed.

/// xoshiro256** (Blackman and Vigna, "Scrambled Linear Pseudorandom Number Generators", 2018), its state
/// filled by SplitMix64 as the authors advise.
#[derive(Clone, Debug)]
pub(crate) struct Rng {
    state: [u64; 4],
}

/// How often something happens: once in so many times, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate(u32);

impl Rate {
    pub const NEVER: Rate = Rate(0);

    pub const fn once_in(times: u32) -> Rate {
        assert!(times > 0);
        Rate(times)
    }
}

impl Rng {
    pub fn new(seed: u64) -> Rng {
        let mut x = seed;
        let mut split_mix = || {
            x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = x;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        Rng { state: std::array::from_fn(|_| split_mix()) }
    }

    #[inline]
    fn next_u64(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// A number of `0..bound`; 0 when `bound` is 0. (The bias of the multiplication is far below what a
    /// simulation could notice.)
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// An index into something of `len` elements.
    #[inline]
    pub fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// A number of `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// Whether it happens this time.
    #[inline]
    pub fn happens(&mut self, rate: Rate) -> bool {
        rate.0 != 0 && self.below(u64::from(rate.0)) == 0
    }

    /// True once in `times`.
    #[inline]
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of `choices`.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.index(choices.len())]
    }

    /// An index, drawn by weight; None when all weights are 0.
    #[inline]
    pub fn weighted(&mut self, weights: &[u32]) -> Option<usize> {
        let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        let mut at = self.below(total);
        weights.iter().position(|weight| {
            let hit = at < u64::from(*weight);
            at = at.wrapping_sub(u64::from(*weight));
            hit
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_from_the_seed_and_stay_in_their_bounds() {
        let (mut a, mut b, mut other) = (Rng::new(7), Rng::new(7), Rng::new(8));
        let draw = |rng: &mut Rng| (0..100).map(|_| rng.below(1000)).collect::<Vec<_>>();
        let first = draw(&mut a);
        assert_eq!(first, draw(&mut b));
        assert_ne!(first, draw(&mut other));
        assert!(first.iter().all(|n| *n < 1000) && first.iter().max() > Some(&900));
        assert!((0..1000).all(|_| (3..=5).contains(&a.between(3, 5))));
        assert!(!(0..1000).any(|_| a.happens(Rate::NEVER)));
    }

    #[test]
    fn weights_are_kept_to() {
        let mut rng = Rng::new(1);
        let mut drawn = [0; 3];
        (0..4000).for_each(|_| drawn[rng.weighted(&[1, 0, 3]).unwrap()] += 1);
        assert!(drawn[1] == 0 && drawn[2] > 2 * drawn[0] && drawn[0] > 500, "{drawn:?}");
        assert_eq!(rng.weighted(&[0, 0]), None);
    }
}
