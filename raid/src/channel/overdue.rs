//! Members that do not answer. Time is cut into ticks of a third of `member_timeout`; children are counted per
//! member and the tick that they were sent in, of which four are kept. What is left of the oldest when a tick
//! ends is at least one timeout old, and at most four thirds.

use crate::ids::{SLOTS_MAX, Slot, SlotSet};

const TICKS: usize = 4;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Overdue {
    tick_ms: u64,
    /// When the present tick ends; 0 before the clock was heard first.
    until_ms: u64,
    tick: u8,
    sent: [[u32; TICKS]; SLOTS_MAX],
}

impl Overdue {
    pub fn new(timeout_ms: u64) -> Overdue {
        Overdue { tick_ms: (timeout_ms / 3).max(1), until_ms: 0, tick: 0, sent: [[0; TICKS]; SLOTS_MAX] }
    }

    /// A child was sent to `slot`: the tick to give back with [`Overdue::back`].
    #[inline]
    pub fn sent(&mut self, slot: Slot) -> u8 {
        self.sent[slot.index()][usize::from(self.tick)] += 1;
        self.tick
    }

    #[inline]
    pub fn back(&mut self, slot: Slot, tick: u8) {
        self.sent[slot.index()][usize::from(tick)] -= 1;
    }

    pub fn deadline_ms(&self) -> u64 {
        self.until_ms
    }

    /// Members that have not answered for a timeout. Each is named once in a timeout.
    pub fn on_time(&mut self, now_ms: u64) -> SlotSet {
        if now_ms < self.until_ms {
            return SlotSet::EMPTY;
        }
        let is_first = self.until_ms == 0;
        self.until_ms = now_ms + self.tick_ms;
        if is_first {
            return SlotSet::EMPTY;
        }
        self.tick = (self.tick + 1) % TICKS as u8;
        let oldest = usize::from(self.tick);
        let late = self.sent.iter().enumerate().filter(|(_, sent)| sent[oldest] > 0);
        late.map(|(slot, _)| Slot(slot as u8)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_late_after_one_timeout_and_before_four_thirds() {
        let mut overdue = Overdue::new(300);
        let mut late_at = None;
        for now_ms in (0..1000).step_by(10) {
            if now_ms == 150 {
                overdue.sent(Slot(2));
                let tick = overdue.sent(Slot(1));
                overdue.back(Slot(1), tick);
            }
            if !overdue.on_time(now_ms + 1).is_empty() {
                late_at = late_at.or(Some(now_ms));
            }
        }
        assert!(late_at.is_some_and(|at| (450..=560).contains(&at)), "{late_at:?}");
    }
}
