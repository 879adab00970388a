//! Cleaning: marks of regions that nobody writes to are cleared, in batches.
//!
//! ```text
//!   every `idle_ms`: leases that were not used since the last time come back
//!
//!   free and Dirty --start--> a batch, and a FLUSH to every member --all have flushed--> Clean, marks cleared
//!        ^                                        |
//!        +----- written to again; a FLUSH failed; the View changed -----+
//! ```
//!
//! Nothing is cleaned while a member is missing: its marks are what it will be brought up to date by.

use std::collections::BTreeSet;

use super::region::RegionEvent;
use super::{Errand, FromShard, Shard};
use crate::fault::Fault;
use crate::format::RegionState;
use crate::ids::{Epoch, RegionId, Slot, SlotSet};
use crate::msg::ToArray;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Cleaner {
    idle_ms: u64,
    /// Dirty, and without a lease.
    free: BTreeSet<RegionId>,
    batch: Option<Batch>,
    batches: u64,
    sweep_at_ms: u64,
    quit: Quit,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Batch {
    number: u64,
    regions: BTreeSet<RegionId>,
    epoch: Epoch,
    sent: SlotSet,
    flushed: SlotSet,
    failed: bool,
    /// Begun when nobody would write any more: it covers everything.
    is_last: bool,
}

/// How far the end of the array has come in this Shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Quit {
    No,
    /// No more leases will be asked for: everything is to be flushed, and cleared as far as that is allowed.
    Wanted,
    Flushed,
    Told,
}

impl Cleaner {
    pub fn new(idle_ms: u64, dirty: impl Iterator<Item = RegionId>) -> Cleaner {
        Cleaner { idle_ms, free: dirty.collect(), batch: None, batches: 0, sweep_at_ms: 0, quit: Quit::No }
    }

    /// Somebody wants to write into `region`.
    pub fn is_used(&mut self, region: RegionId) {
        self.free.remove(&region);
        if let Some(batch) = &mut self.batch {
            batch.regions.remove(&region);
        }
    }

    /// The last lease of `region`, which is Dirty, came back.
    pub fn is_free(&mut self, region: RegionId) {
        self.free.insert(region);
    }

    /// A FLUSH for batch `number` has ended. One that was begun for an earlier batch may be older than the
    /// writes of this one.
    pub fn flushed(&mut self, number: u64, slot: Slot, result: Result<(), Fault>) {
        let Some(batch) = self.batch.as_mut().filter(|batch| batch.number == number) else { return };
        match result {
            Ok(()) => batch.flushed.insert(slot),
            Err(_) => batch.failed = true,
        }
    }

    pub fn quit(&mut self) {
        if self.quit == Quit::No {
            self.quit = Quit::Wanted;
        }
    }

    pub fn deadline_ms(&self) -> Option<u64> {
        (self.sweep_at_ms > 0).then_some(self.sweep_at_ms)
    }
}

impl Shard {
    pub(super) fn clean(&mut self, now_ms: u64) {
        if self.log.is_none() {
            return self.tell_flushed_without_log();
        }
        self.end_batch();
        self.sweep(now_ms);
        self.end_batch(); // one that has nobody to flush is through at once
        self.tell_flushed();
    }

    /// Whether marks may be cleared at all.
    fn may_clean(&self) -> bool {
        let all = self.geometry.slots();
        self.view.as_ref().is_some_and(|view| view.recorders() == all)
    }

    fn sweep(&mut self, now_ms: u64) {
        let has_work = !self.regions.is_empty() || !self.cleaner.free.is_empty();
        if !has_work || !self.may_clean() {
            self.cleaner.sweep_at_ms = 0;
        } else if self.cleaner.sweep_at_ms == 0 {
            self.cleaner.sweep_at_ms = now_ms + self.cleaner.idle_ms;
        } else if now_ms >= self.cleaner.sweep_at_ms {
            self.cleaner.sweep_at_ms = now_ms + self.cleaner.idle_ms;
            self.ask_for_idle_leases();
            self.begin_batch();
        }
        if self.cleaner.quit == Quit::Wanted && self.is_unused() {
            self.begin_batch();
        }
    }

    /// Flushes every member that the View counts on, so that the free regions can be cleared.
    fn begin_batch(&mut self) {
        let is_wanted = !self.cleaner.free.is_empty() || self.cleaner.quit == Quit::Wanted;
        if self.cleaner.batch.is_some() || !is_wanted {
            return;
        }
        let sent = self.targets();
        let regions = std::mem::take(&mut self.cleaner.free);
        self.cleaner.batches += 1;
        let (number, epoch, flushed) = (self.cleaner.batches, self.epoch(), SlotSet::EMPTY);
        let is_last = self.cleaner.quit == Quit::Wanted && self.is_unused();
        self.cleaner.batch = Some(Batch { number, regions, epoch, sent, flushed, failed: false, is_last });
        sent.iter().for_each(|slot| self.submit(Errand::Flush { slot, batch: number }, None));
    }

    fn end_batch(&mut self) {
        let may_clean = self.may_clean();
        let epoch = self.epoch();
        let Some(batch) = &self.cleaner.batch else { return };
        let is_through = batch.sent == batch.flushed;
        let is_void = batch.failed || batch.epoch != epoch;
        if !is_through && !is_void {
            return;
        }
        let batch = self.cleaner.batch.take().expect("looked at above");
        if is_void {
            self.cleaner.free.extend(batch.regions);
            return;
        }
        if batch.is_last {
            self.cleaner.quit = Quit::Flushed;
        }
        if !may_clean {
            self.cleaner.free.extend(batch.regions);
            return;
        }
        let log = self.log.as_mut().expect("it has states");
        for region in batch.regions {
            debug_assert_eq!(log.state(region), RegionState::Dirty);
            log.apply(region, RegionEvent::Cleaned);
        }
    }

    fn tell_flushed(&mut self) {
        let targets = self.targets();
        let is_durable = self.log.as_ref().is_some_and(|log| log.is_all_durable(targets));
        if self.cleaner.quit == Quit::Flushed && is_durable {
            self.tell_quit();
        }
    }

    /// Without a log there is nothing to clear; hosts flush what they want flushed.
    fn tell_flushed_without_log(&mut self) {
        if self.cleaner.quit == Quit::Wanted {
            self.tell_quit();
        }
    }

    fn tell_quit(&mut self) {
        self.cleaner.quit = Quit::Told;
        self.outbox.push_back(FromShard::Array(ToArray::ShardFlushed(self.id)));
    }
}
