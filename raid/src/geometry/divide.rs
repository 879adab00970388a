//! Division by a number that is known beforehand, without a divide instruction.

/// Divides by a fixed `divisor` of 1 to 1024.
///
/// With `m = floor(2^64 / d) + 1`, `m * d = 2^64 + e` where `0 <= e <= d` (`m` is exact for powers of two),
/// so
/// `x * m / 2^64 = x / d + x * e / (d * 2^64)`. The error term is below `1 / d` as long as `x * e < 2^64`,
/// and then it can't carry `floor` past the true quotient: exact for every `x < 2^54`.
/// (Granlund and Montgomery, "Division by Invariant Integers using Multiplication", PLDI 1994.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Divisor {
    divisor: u64,
    reciprocal: u64,
}

impl Divisor {
    /// Values must be below this.
    pub const VALUE_MAX: u64 = 1 << 54;

    /// A divisor of 1 to 1024.
    pub fn new(divisor: u64) -> Divisor {
        assert!((1..=1024).contains(&divisor), "divisor {divisor} is outside 1..=1024");
        // For 1 the reciprocal would be 2^64 + 1; `divide` leaves early instead.
        let reciprocal = if divisor == 1 { 0 } else { u64::MAX / divisor + 1 };
        Divisor { divisor, reciprocal }
    }

    /// The number that this divides by.
    #[inline]
    pub fn get(self) -> u64 {
        self.divisor
    }

    /// `(value / divisor, value % divisor)`.
    #[inline]
    pub fn divide(self, value: u64) -> (u64, u64) {
        debug_assert!(value < Self::VALUE_MAX);
        if self.reciprocal == 0 {
            return (value, 0);
        }
        let quotient = ((u128::from(value) * u128::from(self.reciprocal)) >> 64) as u64;
        (quotient, value - quotient * self.divisor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_division(value in 0..Divisor::VALUE_MAX, divisor in 1u64..=1024) {
            prop_assert_eq!(Divisor::new(divisor).divide(value), (value / divisor, value % divisor));
        }
    }

    #[test]
    fn equals_division_around_every_multiple_near_the_limits() {
        for divisor in 1..=1024u64 {
            let top = (Divisor::VALUE_MAX - 1) / divisor * divisor;
            for value in [0, 1, divisor - 1, divisor, top - 1, top, Divisor::VALUE_MAX - 1] {
                assert_eq!(Divisor::new(divisor).divide(value), (value / divisor, value % divisor));
            }
        }
    }
}
