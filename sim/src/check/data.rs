//! Acknowledgements, reads and flushes, against the disks and the oracle.

use std::sync::Arc;

use raid::channel::Op;
use raid::{SlotSet, View};

use super::{Checked, Rule, ensure};
use crate::coverage::Seen;
use crate::host::Request;
use crate::oracle::Write;
use crate::world::World;

impl World {
    /// A write, write-zeroes or unmap is about to be acknowledged: it is on every member that any Channel
    /// still takes for in sync, and durable there if that was asked for.
    pub(crate) fn check_acknowledged(&self, request: &Request, write: &Write) -> Checked {
        for lba in write.lba..write.lba + write.blocks {
            // A member that keeps what was unmapped may have been copied from since, for a repair.
            let keeps = |place: &(raid::Slot, u64)| !self.disks[place.0.index()].unmap_wipes;
            let hint = request.op == Op::Unmap && self.layout.places(lba).iter().any(keeps);
            for (slot, at) in self.layout.places(lba) {
                let disk = &self.disks[slot.index()];
                if !self.trusted().contains(*slot) || hint {
                    continue;
                }
                ensure(self.oracle.includes(lba, disk.content(*at), write), Rule::AcknowledgedEarly, || {
                    let holds = disk.content(*at);
                    format!("block {lba} of w{}: m{slot} is in sync and holds {holds:?}", write.id)
                })?;
                let asked = request.fua || request.op == Op::WriteZeroes;
                let counts = asked && self.array.view().in_sync.contains(*slot);
                let is_durable = !counts || self.oracle.includes(lba, disk.durable(*at), write);
                ensure(is_durable, Rule::NotDurable, || {
                    let keeps = disk.durable(*at);
                    format!("block {lba} of w{} with FUA: a power cut leaves {keeps:?} on m{slot}", write.id)
                })?;
            }
        }
        Ok(())
    }

    /// A read is about to return what is in its buffer.
    pub(crate) fn check_read(&self, request: &Request) -> Checked {
        for (lba, stamp) in (request.lba..).zip(&request.buffer) {
            ensure(self.oracle.is_current(lba, *stamp, request.began), Rule::WrongData, || {
                format!("block {lba} was read as {stamp:?}; right is {}", self.oracle.describe(lba))
            })?;
        }
        Ok(())
    }

    /// A flush is about to be acknowledged: what was acknowledged before it began is durable.
    pub(crate) fn check_flushed(&self, request: &Request) -> Checked {
        for lba in (0..self.layout.num_blocks()).filter(|lba| self.is_written(*lba)) {
            for (slot, at) in self.layout.places(lba) {
                let keeps = self.disks[slot.index()].durable(*at);
                let counts = self.array.view().in_sync.contains(*slot);
                let is_durable = !counts || self.oracle.is_current(lba, keeps, request.began);
                ensure(is_durable, Rule::NotDurable, || {
                    format!("block {lba} after a flush: a power cut leaves {keeps:?} on m{slot}")
                })?;
            }
        }
        Ok(())
    }

    /// Whether members hold anything that counts in the region of `lba`: in one that was never written to, they
    /// hold what they like.
    pub(crate) fn is_written(&self, lba: u64) -> bool {
        self.written[self.layout.region_of(lba) as usize]
    }

    /// A reset is about to be acknowledged: every drive that is there was asked to reset, and answered.
    pub(crate) fn check_reset(&self, request: &Request, view: Option<&Arc<View>>) -> Checked {
        let Some(view) = view else { return Ok(()) };
        let missing = view.attached.and(view.reachable).minus(request.answered);
        ensure(missing.is_empty(), Rule::Resources, || format!("a reset left {missing:?} out"))
    }

    /// Every copy on a usable member is right, and where only one write can be there, it is there.
    pub(crate) fn check_copies(&mut self, usable: SlotSet) -> Checked {
        let now = self.oracle.now();
        for lba in 0..self.layout.num_blocks() {
            if !self.is_written(lba) {
                continue;
            }
            let mut first = None;
            for (slot, at) in self.layout.places(lba).iter().filter(|place| usable.contains(place.0)) {
                let content = self.disks[slot.index()].content(*at);
                let is_right = self.oracle.is_current(lba, content, now)
                    && self.oracle.settled(lba).is_none_or(|only| content.write_for(lba) == Some(only));
                ensure(is_right, Rule::WrongData, || {
                    let right = self.oracle.describe(lba);
                    format!("audit: block {lba} on m{slot} is {content:?}; right is {right}")
                })?;
                if *first.get_or_insert(content) != content {
                    self.coverage.saw(Seen::CopiesDiffer);
                }
            }
        }
        Ok(())
    }
}
