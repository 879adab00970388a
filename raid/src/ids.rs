//! Names of things: newtypes, so that a slot is never mistaken for a shard.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// A host I/O, as its driver names it (an address, an index). Unique among the I/Os in flight.
    IoId(u64)
);
id!(
    /// A [`crate::Channel`]; never used again after it was closed.
    ChannelId(u32)
);
id!(
    /// A [`crate::Shard`] of an array.
    ShardId(u16)
);
id!(
    /// A region: the array's blocks `[n << region_shift, (n + 1) << region_shift)`.
    RegionId(u32)
);
id!(
    /// A version of the membership. It only grows; a View and its epoch are one.
    Epoch(u64)
);
id!(
    /// One grant of a region's lease by its Shard. It only grows, per region.
    LeaseGen(u32)
);
id!(
    /// A position in the array's member table, `0..members`.
    Slot(u8)
);

impl Epoch {
    /// The epoch after this one.
    #[must_use]
    pub fn next(self) -> Epoch {
        Epoch(self.0 + 1)
    }
}

impl Slot {
    /// The slot as an index into a table of slots.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The most members an array can have: a [`SlotSet`] is one word.
pub const SLOTS_MAX: usize = 32;

/// A set of slots.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct SlotSet(u32);

impl SlotSet {
    /// No slot.
    pub const EMPTY: SlotSet = SlotSet(0);

    /// The slots `0..count`.
    pub fn first(count: usize) -> SlotSet {
        assert!(count <= SLOTS_MAX);
        SlotSet(((1u64 << count) - 1) as u32)
    }

    /// Whether `slot` is in the set.
    #[inline]
    pub fn contains(self, slot: Slot) -> bool {
        self.0 & (1 << slot.0) != 0
    }

    /// Adds `slot`.
    #[inline]
    pub fn insert(&mut self, slot: Slot) {
        self.0 |= 1 << slot.0;
    }

    /// Takes `slot` out.
    #[inline]
    pub fn remove(&mut self, slot: Slot) {
        self.0 &= !(1 << slot.0);
    }

    /// The set without `slot`.
    #[must_use]
    pub fn without(mut self, slot: Slot) -> SlotSet {
        self.remove(slot);
        self
    }

    /// What is in both.
    #[must_use]
    #[inline]
    pub fn and(self, other: SlotSet) -> SlotSet {
        SlotSet(self.0 & other.0)
    }

    /// What is here and not in `other`.
    #[must_use]
    #[inline]
    pub fn minus(self, other: SlotSet) -> SlotSet {
        SlotSet(self.0 & !other.0)
    }

    /// Whether there is no slot.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many slots.
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// The slots, lowest first.
    pub fn iter(self) -> impl Iterator<Item = Slot> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let slot = Slot(u8::try_from(rest.trailing_zeros()).ok()?);
            (rest != 0).then(|| {
                rest &= rest - 1;
                slot
            })
        })
    }
}

impl FromIterator<Slot> for SlotSet {
    fn from_iter<I: IntoIterator<Item = Slot>>(slots: I) -> SlotSet {
        let mut set = SlotSet::EMPTY;
        slots.into_iter().for_each(|slot| set.insert(slot));
        set
    }
}

impl fmt::Debug for SlotSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|slot| slot.0)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_set_is_a_set() {
        let mut set = SlotSet::first(32);
        assert_eq!(set.len(), 32);
        set.remove(Slot(31));
        assert!(!set.contains(Slot(31)) && set.contains(Slot(0)));
        let odd: SlotSet = set.iter().filter(|slot| slot.0 % 2 == 1).collect();
        assert_eq!(odd.iter().map(|slot| slot.0).take(3).collect::<Vec<_>>(), [1, 3, 5]);
        assert_eq!(set.minus(odd).and(odd), SlotSet::EMPTY);
    }
}
