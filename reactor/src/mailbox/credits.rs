//! The slots of a mailbox, counted: a credit is taken before a message is pushed and given back after it was
//! popped, so the queue never holds more messages than there are credits out, and a push with a credit finds
//! a slot.

use super::{Class, MailboxStats};
use crate::sync::{AtomicU64, AtomicUsize, Ordering};

/// On a cache line of its own: senders and receiver write it.
#[repr(align(64))]
pub(super) struct Credits {
    taken: AtomicUsize,
    /// Messages received; written by the receiver only.
    received: AtomicU64,
    refused: AtomicU64,
    high_water: AtomicUsize,
    capacity: usize,
    data_limit: usize,
}

impl Credits {
    pub(super) fn new(capacity: usize, reserve: usize) -> Self {
        assert!(reserve < capacity, "a mailbox needs more slots ({capacity}) than its reserve ({reserve})");
        Credits {
            taken: AtomicUsize::new(0),
            received: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            high_water: AtomicUsize::new(0),
            capacity,
            data_limit: capacity - reserve,
        }
    }

    /// Takes a credit if there is one for this class. The check and the taking are one step: two data senders
    /// that race for the last slot before the reserve do not both get one.
    pub(super) fn take(&self, class: Class) -> bool {
        let limit = match class {
            Class::Data => self.data_limit,
            Class::Control => self.capacity,
        };
        let mut taken = self.taken.load(Ordering::Relaxed);
        while taken < limit {
            // Acquire pairs with `give_back`: the slot whose credit this is has been emptied.
            match self.taken.compare_exchange_weak(taken, taken + 1, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => {
                    self.note_high_water(taken + 1);
                    return true;
                }
                Err(now) => taken = now,
            }
        }
        self.refused.fetch_add(1, Ordering::Relaxed);
        false
    }

    fn note_high_water(&self, taken: usize) {
        if taken > self.high_water.load(Ordering::Relaxed) {
            self.high_water.fetch_max(taken, Ordering::Relaxed);
        }
    }

    /// Gives a credit back, after its message was popped. By the receiver only.
    pub(super) fn give_back(&self) {
        self.received.store(self.received.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        self.taken.fetch_sub(1, Ordering::Release);
    }

    pub(super) fn stats(&self) -> MailboxStats {
        let queued = self.taken.load(Ordering::Relaxed);
        MailboxStats {
            sent: self.received.load(Ordering::Relaxed) + queued as u64,
            refused: self.refused.load(Ordering::Relaxed),
            high_water: self.high_water.load(Ordering::Relaxed),
            queued,
        }
    }
}
