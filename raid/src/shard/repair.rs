//! Read repair: blocks that a member could not read are written again from another copy.
//!
//! ```text
//!   a Channel's read failed on a member, with a media error
//!       |
//!     wanted --leases of the region are back, its mark is durable--> copying --done, flushed--> Repaired
//!       ^                                                              |  |
//!       |        the copy could not be read: the next one              |  +--can't be written--> Unrepaired
//!       +--------------------------------------------------------------+                (a bad block)
//! ```
//!
//! Nobody else writes into the region meanwhile: what is written again is what was read a moment ago.

use std::collections::VecDeque;

use super::{FromShard, Shard};
use crate::fault::{Fault, FaultKind};
use crate::format::RegionState;
use crate::ids::{RegionId, Slot, SlotSet};
use crate::meta::Ticket;
use crate::msg::ToArray;

/// A copy from one member to another, through a buffer of the driver's, and a FLUSH where it went. Its answer
/// goes to [`Shard::copy_done`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CopyIo {
    /// What its answer must name.
    pub ticket: Ticket,
    /// The member to read.
    pub from: Slot,
    /// First block there.
    pub from_lba: u64,
    /// The member to write.
    pub to: Slot,
    /// First block there.
    pub to_lba: u64,
    /// Number of blocks.
    pub blocks: u64,
    /// Whether `to` is to be flushed afterwards; false for a member that has no FLUSH.
    pub flush: bool,
}

/// Where a copy failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CopyError {
    /// Where it was to be read.
    Read(Fault),
    /// Where it was to be written.
    Write(Fault),
    /// Where it was written: it may be lost, and other things with it.
    Flush(Fault),
}

/// Blocks of the array to write again on a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Repair {
    slot: Slot,
    lba: u64,
    blocks: u64,
    /// Members that could not be read either.
    tried: SlotSet,
}

/// What is to be repaired in a region.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Repairs {
    wanted: VecDeque<Repair>,
    copying: Option<(Ticket, Repair)>,
}

/// A region is asked for no more than this at a time; the rest is asked for again by the next read.
const WANTED_MAX: usize = 64;

impl Shard {
    /// A member could not read `[lba, lba + blocks)` of the array, which lie in one region. Where copies may differ
    /// their source is left as it is: another copy in its place could take back what hosts have read.
    pub(super) fn want_repair(&mut self, region: RegionId, slot: Slot, lba: u64, blocks: u64) {
        let state = self.region_state(region);
        let is_repairable =
            state != Some(RegionState::Unwritten) && state.and_then(RegionState::source) != Some(slot);
        let repairs = self.repairs.entry(region).or_default();
        let is_known = repairs.wanted.iter().chain(repairs.copying.iter().map(|(_, repair)| repair));
        let is_known = is_known.into_iter().any(|known| (known.slot, known.lba) == (slot, lba));
        if is_repairable && !is_known && repairs.wanted.len() < WANTED_MAX {
            repairs.wanted.push_back(Repair { slot, lba, blocks, tried: SlotSet::EMPTY });
        }
    }

    /// Whether `region` is to be had for repairs alone.
    pub(super) fn wants_repairs(&self, region: RegionId) -> bool {
        self.repairs.contains_key(&region)
    }

    /// A copy has ended.
    pub fn copy_done(&mut self, ticket: Ticket, result: Result<(), CopyError>, now_ms: u64) {
        let region = self.copies.end(ticket);
        let repairs = self.repairs.get_mut(&region);
        let current = repairs.and_then(|repairs| repairs.copying.take_if(|(current, _)| *current == ticket));
        if let Some((_, repair)) = current {
            self.repaired(region, repair, result);
        }
        self.go_on(now_ms);
    }

    fn repaired(&mut self, region: RegionId, mut repair: Repair, result: Result<(), CopyError>) {
        let (slot, member_lba) = (repair.slot, self.member_lba(repair.slot, repair.lba));
        let blocks = repair.blocks;
        let told = match result {
            Ok(()) => ToArray::Repaired { slot, lba: member_lba, blocks },
            Err(CopyError::Read(fault) | CopyError::Write(fault) | CopyError::Flush(fault))
                if fault.is_transient() =>
            {
                return self.want_again(region, repair);
            }
            Err(CopyError::Read(_)) => {
                repair.tried.insert(self.source_for(region, repair).expect("it was read from").0);
                return self.want_again(region, repair);
            }
            Err(CopyError::Write(fault)) if fault.kind != FaultKind::Gone => {
                ToArray::Unrepaired { slot, lba: member_lba, blocks, fault }
            }
            Err(CopyError::Write(fault) | CopyError::Flush(fault)) => ToArray::Unrecorded { slot, fault },
        };
        self.outbox.push_back(FromShard::Array(told));
    }

    fn want_again(&mut self, region: RegionId, repair: Repair) {
        self.repairs.entry(region).or_default().wanted.push_front(repair);
    }

    /// Takes regions that are to be repaired, and repairs those that are taken.
    pub(super) fn advance_repairs(&mut self) {
        for region in self.repairs.keys().copied().collect::<Vec<_>>() {
            self.drop_void_repairs(region);
            if !self.is_repaired(region) && self.take(region) {
                self.begin_copy(region);
            }
            if self.is_repaired(region) {
                self.repairs.remove(&region);
                self.end_taking(region);
            }
        }
    }

    fn is_repaired(&self, region: RegionId) -> bool {
        self.repairs.get(&region).is_none_or(Repairs::is_empty)
    }

    /// Members that are out need no repair; without a record no mark can be made. What is under way is waited for,
    /// also when it goes to a member that is out: a Channel that has not heard of that may still write there, and
    /// count on it.
    fn drop_void_repairs(&mut self, region: RegionId) {
        let view = self.view.as_ref().expect("the Shard goes on under a View");
        let (usable, can_record) = (view.usable(), view.can_record());
        let Some(repairs) = self.repairs.get_mut(&region) else { return };
        repairs.wanted.retain(|repair| can_record && usable.contains(repair.slot));
    }

    fn begin_copy(&mut self, region: RegionId) {
        let repairs = self.repairs.get_mut(&region).expect("the caller saw it");
        if repairs.copying.is_some() {
            return;
        }
        let Some(repair) = repairs.wanted.pop_front() else { return };
        let Some((from, from_lba)) = self.source_for(region, repair) else {
            return self.begin_copy(region); // nobody can read it: hosts are told so by their own reads
        };
        let view = self.view.as_ref().expect("the Shard goes on under a View");
        let flush = view.flushes.contains(repair.slot);
        let ticket = self.copies.begin(view.epoch, region);
        let to_lba = self.member_lba(repair.slot, repair.lba);
        let (to, blocks) = (repair.slot, repair.blocks);
        self.repairs.get_mut(&region).expect("the caller saw it").copying = Some((ticket, repair));
        self.outbox.push_back(FromShard::Copy(CopyIo { ticket, from, from_lba, to, to_lba, blocks, flush }));
    }

    /// The copy to repair from: the region's source, where it has one, or else the lowest slot.
    fn source_for(&self, region: RegionId, repair: Repair) -> Option<(Slot, u64)> {
        let usable = self.view.as_ref()?.usable().without(repair.slot).minus(repair.tried);
        let copies = || (0..self.geometry.copies()).map(|copy| self.geometry.locate(repair.lba, copy));
        let source = self.region_state(region).and_then(RegionState::source);
        let may_be_read = |slot| usable.contains(slot) && source.is_none_or(|source| source == slot);
        copies().filter(|(slot, _)| may_be_read(*slot)).min_by_key(|(slot, _)| *slot)
    }

    fn member_lba(&self, slot: Slot, lba: u64) -> u64 {
        let mut copies = (0..self.geometry.copies()).map(|copy| self.geometry.locate(lba, copy));
        copies.find(|(other, _)| *other == slot).expect("a Channel read it there").1
    }
}

impl Repairs {
    fn is_empty(&self) -> bool {
        self.wanted.is_empty() && self.copying.is_none()
    }
}
