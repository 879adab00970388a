//! Which copy a read goes to.

use crate::ids::{SLOTS_MAX, Slot};

/// A member may have this many more reads outstanding than the least busy one before a sequential stream is
/// taken away from it.
const STREAM_SLACK: u32 = 8;

/// Reads in flight and stream positions, per member, as this Channel sees them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ReadBalance {
    outstanding: [u32; SLOTS_MAX],
    /// The block after the last read there: a read that begins here goes on with the stream.
    stream_lba: [u64; SLOTS_MAX],
    last: Slot,
}

impl Default for ReadBalance {
    fn default() -> ReadBalance {
        ReadBalance { outstanding: [0; SLOTS_MAX], stream_lba: [u64::MAX; SLOTS_MAX], last: Slot(0) }
    }
}

impl ReadBalance {
    /// The copy to read, of those offered as (member, block there): the one that a sequential stream is on
    /// while that member keeps up, else the least busy; among equals not the one that was read last.
    #[inline]
    pub fn choose(&self, copies: impl Iterator<Item = (Slot, u64)> + Clone) -> Option<(Slot, u64)> {
        let busy = |slot: Slot| self.outstanding[slot.index()];
        let least = copies.clone().min_by_key(|(slot, _)| (busy(*slot), *slot == self.last))?;
        let limit = busy(least.0) + STREAM_SLACK;
        let mut streams = copies;
        let stream =
            streams.find(|(slot, lba)| self.stream_lba[slot.index()] == *lba && busy(*slot) <= limit);
        Some(stream.unwrap_or(least))
    }

    /// A read of `[lba, lba + blocks)` was sent to `slot`.
    #[inline]
    pub fn sent(&mut self, slot: Slot, lba: u64, blocks: u64) {
        self.outstanding[slot.index()] += 1;
        self.stream_lba[slot.index()] = lba + blocks;
        self.last = slot;
    }

    /// A read came back from `slot`.
    #[inline]
    pub fn done(&mut self, slot: Slot) {
        self.outstanding[slot.index()] -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(balance: &ReadBalance, lba: u64) -> Slot {
        balance.choose([(Slot(0), lba), (Slot(1), lba)].into_iter()).unwrap().0
    }

    #[test]
    fn random_reads_spread_over_the_copies() {
        let mut balance = ReadBalance::default();
        for n in 0..16u64 {
            let slot = choose(&balance, n * 1000);
            balance.sent(slot, n * 1000, 8);
        }
        assert_eq!(balance.outstanding[..2], [8, 8]);
    }

    #[test]
    fn a_sequential_stream_stays_until_its_member_falls_behind() {
        let mut balance = ReadBalance::default();
        balance.sent(Slot(1), 0, 8);
        for n in 1..=u64::from(STREAM_SLACK) {
            assert_eq!(choose(&balance, n * 8), Slot(1));
            balance.sent(Slot(1), n * 8, 8);
        }
        assert_eq!(choose(&balance, (u64::from(STREAM_SLACK) + 1) * 8), Slot(0));
    }
}
