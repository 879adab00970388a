//! Which View the I/Os in flight were planned under.

use std::collections::VecDeque;

use crate::ids::Epoch;

/// Counts segments in flight per epoch. The newest epoch is one word; older ones queue behind until they
/// have drained.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct InFlight {
    newest: Epoch,
    count: u32,
    older: VecDeque<(Epoch, u32)>,
}

impl InFlight {
    /// One more, planned under the newest epoch, which is returned.
    #[inline]
    pub fn enter(&mut self) -> Epoch {
        self.count += 1;
        self.newest
    }

    /// One less of `epoch`. True when that was the last one older than the newest.
    #[inline]
    pub fn leave(&mut self, epoch: Epoch) -> bool {
        if epoch == self.newest {
            self.count -= 1;
            return false;
        }
        self.leave_older(epoch)
    }

    #[cold]
    fn leave_older(&mut self, epoch: Epoch) -> bool {
        let entry = self.older.iter_mut().find(|(older, _)| *older == epoch);
        let (_, count) = entry.expect("an I/O leaves an epoch that it entered");
        *count -= 1;
        self.older.retain(|(_, count)| *count > 0);
        self.older.is_empty()
    }

    /// Plans are made under `epoch` from now on. True when nothing older is in flight.
    pub fn swap(&mut self, epoch: Epoch) -> bool {
        assert!(epoch > self.newest, "epochs only grow");
        if self.count > 0 {
            self.older.push_back((self.newest, self.count));
        }
        (self.newest, self.count) = (epoch, 0);
        self.older.is_empty()
    }

    /// Whether nothing at all is in flight.
    pub fn is_empty(&self) -> bool {
        self.count == 0 && self.older.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drained_is_said_once_and_only_when_all_older_epochs_are_empty() {
        let mut inflight = InFlight::default();
        assert!(inflight.swap(Epoch(1)));
        let (a, b) = (inflight.enter(), inflight.enter());
        assert!(!inflight.swap(Epoch(2)));
        let c = inflight.enter();
        assert!(!inflight.swap(Epoch(3)));
        assert!(!inflight.leave(a));
        assert!(!inflight.leave(c));
        assert!(inflight.leave(b), "the last one of the oldest epoch, which drains late");
        let d = inflight.enter();
        assert!(!inflight.leave(d), "nothing older was waiting");
        assert!(inflight.is_empty());
    }
}
