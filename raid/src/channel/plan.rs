//! Cutting a segment into children.

use super::io::{Child, Cut, HostIo, Op};
use super::{Channel, OnFailed};
use crate::fault::{Fault, FaultKind};
use crate::ids::{Slot, SlotSet};
use crate::msg::ReadRule;

pub(super) enum Plan {
    /// Submit the child that was filled in.
    Send,
    /// The blocks that the child names read as zeros.
    Zeros,
    /// Children must come back first.
    Busy,
    /// The segment is through, or failed: nothing is in flight and nothing is left to send.
    Complete,
    /// No member serves these blocks, and the array's policy is to wait. Nothing is in flight.
    Unserved,
}

/// Why there is no child to send.
enum NoChild {
    /// Blocks were planned that read as zeros.
    Zeros,
    Exhausted,
    Unserved,
}

impl Channel {
    /// The next child of the segment, into `child`: handed out in place, because copies of it through layers
    /// of return values are what showed in profiles.
    #[inline(always)]
    pub(super) fn plan(&mut self, io: &mut HostIo, child: &mut Child) -> Plan {
        if io.doomed || !self.has_more(io) {
            return if io.children.in_flight > 0 { Plan::Busy } else { Plan::Complete };
        }
        let epoch = self.view.as_ref().expect("entered under one").epoch;
        if io.epoch != epoch {
            if io.children.in_flight > 0 {
                return Plan::Busy;
            }
            self.replan(io);
        }
        if io.children.to_resend().is_some() {
            return self.plan_again(io, child);
        }
        let Some(index) = io.children.free() else { return Plan::Busy };
        let planned = match io.cut {
            Cut::Runs if io.op == Op::Read => self.plan_read(io, index, child),
            Cut::Runs => self.plan_write(io, index, child),
            Cut::Extents => self.plan_extent(io, index, child),
            Cut::Members => self.plan_member(io, index, child),
        };
        match planned {
            Ok(()) => Plan::Send,
            Err(NoChild::Zeros) => Plan::Zeros,
            Err(NoChild::Exhausted) if io.children.in_flight > 0 => Plan::Busy,
            Err(NoChild::Exhausted) => Plan::Complete,
            Err(NoChild::Unserved) => self.unserved(io),
        }
    }

    #[inline(always)]
    fn has_more(&self, io: &HostIo) -> bool {
        let cursor = match io.cut {
            Cut::Runs => io.next_lba < io.segment_end,
            Cut::Extents | Cut::Members => usize::from(io.next_copy) < self.geometry.members(),
        };
        cursor || io.children.to_resend().is_some()
    }

    /// The View changed while the segment was under way. What modifies begins anew, so that all of it goes to
    /// the members of one View; a read goes on where it was.
    #[cold]
    fn replan(&mut self, io: &mut HostIo) {
        self.leave_epoch(io.epoch);
        io.epoch = self.inflight.enter();
        if io.op != Op::Read {
            io.children.forget_resends();
            io.next_lba = io.segment_start;
            io.next_copy = 0;
        }
    }

    #[inline(always)]
    fn plan_read(&mut self, io: &mut HostIo, index: u8, child: &mut Child) -> Result<(), NoChild> {
        let lba = io.next_lba;
        if !self.rules.are_plain() && self.rule_of(io) == Some(ReadRule::Zeros) {
            io.next_lba = io.segment_end;
            (child.host_offset_blocks, child.blocks) = (lba - io.lba, io.segment_end - lba);
            return Err(NoChild::Zeros);
        }
        let blocks = self.geometry.run_blocks(lba).min(io.segment_end - lba);
        let (slot, member_lba) = self.choose_copy(lba, SlotSet::EMPTY).ok_or(NoChild::Unserved)?;
        io.next_lba = lba + blocks;
        let offset = lba - io.lba;
        io.children.sent(index, slot, offset as u32);
        self.reads.sent(slot, member_lba, blocks);
        *child = Child { index, slot, op: Op::Read, lba: member_lba, blocks, host_offset_blocks: offset };
        Ok(())
    }

    #[inline(always)]
    fn choose_copy(&self, lba: u64, tried: SlotSet) -> Option<(Slot, u64)> {
        let usable = self.view.as_ref()?.usable().minus(tried);
        let geometry = &self.geometry;
        if geometry.copies() == 1 {
            return Some(geometry.locate(lba, 0)).filter(|(slot, _)| usable.contains(*slot));
        }
        let mut copies = (0..geometry.copies()).map(|copy| geometry.locate(lba, copy));
        if !self.rules.are_plain()
            && let Some(ReadRule::From(source)) = self.rules.of(geometry.region_of(lba))
        {
            let usable_copies = copies.clone().filter(|(slot, _)| usable.contains(*slot));
            return copies
                .find(|(slot, _)| *slot == source && usable.contains(source))
                .or_else(|| usable_copies.min_by_key(|(slot, _)| *slot));
        }
        self.reads.choose(copies.filter(|(slot, _)| usable.contains(*slot)))
    }

    /// The rule that a read's segment is under.
    fn rule_of(&self, io: &HostIo) -> Option<ReadRule> {
        self.rules.of(self.geometry.region_of(io.segment_start))
    }

    /// The next copy of the run at the cursor, then the next run.
    #[inline(always)]
    fn plan_write(&mut self, io: &mut HostIo, index: u8, child: &mut Child) -> Result<(), NoChild> {
        let view = self.view.as_ref().expect("entered under one");
        let copies = self.geometry.copies();
        while io.next_lba < io.segment_end {
            let lba = io.next_lba;
            let blocks = self.geometry.run_blocks(lba).min(io.segment_end - lba);
            if io.next_copy == 0 && !self.is_writable(lba) {
                return Err(NoChild::Unserved);
            }
            let (slot, member_lba) = self.geometry.locate(lba, io.next_copy);
            io.next_copy += 1;
            if io.next_copy == copies {
                (io.next_lba, io.next_copy) = (lba + blocks, 0);
            }
            if view.in_sync.contains(slot) {
                let offset = lba - io.lba;
                io.children.sent(index, slot, offset as u32);
                *child =
                    Child { index, slot, op: io.op, lba: member_lba, blocks, host_offset_blocks: offset };
                return Ok(());
            }
        }
        Err(NoChild::Exhausted)
    }

    /// Whether a write to the run at `lba` can be acknowledged: it has in-sync copies, and all of them
    /// answer.
    #[inline(always)]
    fn is_writable(&self, lba: u64) -> bool {
        let view = self.view.as_ref().expect("entered under one");
        let mut copies = (0..self.geometry.copies()).map(|copy| self.geometry.locate(lba, copy).0);
        if view.is_frozen() {
            let copies: SlotSet = copies.collect();
            let in_sync = copies.and(view.in_sync);
            return !in_sync.is_empty() && in_sync.minus(view.reachable).is_empty();
        }
        copies.any(|slot| view.in_sync.contains(slot))
    }

    #[inline(never)]
    fn plan_extent(&mut self, io: &mut HostIo, index: u8, child: &mut Child) -> Result<(), NoChild> {
        let view = self.view.as_ref().expect("entered under one");
        let (lba, blocks) = (io.segment_start, io.segment_end - io.segment_start);
        if io.next_copy == 0 && (view.is_frozen() || !self.geometry.is_served_by(view.in_sync)) {
            return Err(NoChild::Unserved);
        }
        while usize::from(io.next_copy) < self.geometry.members() {
            let slot = Slot(io.next_copy);
            io.next_copy += 1;
            if !view.in_sync.contains(slot) {
                continue;
            }
            if let Some(extent) = self.geometry.extent_on(slot, lba, blocks) {
                io.children.sent(index, slot, 0);
                let (lba, blocks) = (extent.lba, extent.blocks);
                *child = Child { index, slot, op: io.op, lba, blocks, host_offset_blocks: 0 };
                return Ok(());
            }
        }
        Err(NoChild::Exhausted)
    }

    #[inline(never)]
    fn plan_member(&mut self, io: &mut HostIo, index: u8, child: &mut Child) -> Result<(), NoChild> {
        let view = self.view.as_ref().expect("entered under one");
        let (op, targets) = match io.op {
            Op::Reset => (Op::Reset, view.attached.and(view.reachable)),
            _ => (Op::Flush, view.in_sync.and(view.flushes)),
        };
        // What an unreachable member still has in its cache can't be promised.
        if op == Op::Flush && view.is_frozen() {
            return Err(NoChild::Unserved);
        }
        while usize::from(io.next_copy) < self.geometry.members() {
            let slot = Slot(io.next_copy);
            io.next_copy += 1;
            if targets.contains(slot) {
                io.children.sent(index, slot, 0);
                *child = Child { index, slot, op, lba: 0, blocks: 0, host_offset_blocks: 0 };
                return Ok(());
            }
        }
        Err(NoChild::Exhausted)
    }

    /// Sends a failed child again: a read to another copy, anything else (it failed for a reason that says
    /// nothing about its member) to where it was. Reads one at a time, so that each knows what it has tried.
    #[cold]
    fn plan_again(&mut self, io: &mut HostIo, child: &mut Child) -> Plan {
        let index = io.children.to_resend().expect("the caller saw it");
        if io.op == Op::Read {
            return self.plan_read_again(io, index, child);
        }
        let slot = io.children.slot(index);
        *child = match io.cut {
            Cut::Runs => {
                let offset = u64::from(io.children.offset(index));
                let lba = io.lba + offset;
                let blocks = self.geometry.run_blocks(lba).min(io.segment_end - lba);
                let copies = (0..self.geometry.copies()).map(|copy| self.geometry.locate(lba, copy));
                let (_, lba) =
                    copies.into_iter().find(|copy| copy.0 == slot).expect("it was sent there before");
                Child { index, slot, op: io.op, lba, blocks, host_offset_blocks: offset }
            }
            Cut::Extents => {
                let blocks = io.segment_end - io.segment_start;
                let extent = self.geometry.extent_on(slot, io.segment_start, blocks);
                let extent = extent.expect("it was sent there before");
                Child {
                    index,
                    slot,
                    op: io.op,
                    lba: extent.lba,
                    blocks: extent.blocks,
                    host_offset_blocks: 0,
                }
            }
            Cut::Members => {
                let op = if io.op == Op::Reset { Op::Reset } else { Op::Flush };
                Child { index, slot, op, lba: 0, blocks: 0, host_offset_blocks: 0 }
            }
        };
        io.children.sent_again(index, slot);
        Plan::Send
    }

    fn plan_read_again(&mut self, io: &mut HostIo, index: u8, child: &mut Child) -> Plan {
        if io.children.in_flight > 0 {
            return Plan::Busy;
        }
        let offset = u64::from(io.children.offset(index));
        let lba = io.lba + offset;
        let tried = io.children.tried(index);
        let Some((slot, member_lba)) = self.choose_copy(lba, tried) else {
            if self.choose_copy(lba, io.children.found_gone()).is_some() {
                // A copy that is there has answered, with an error: waiting would not help.
                io.doomed = true;
                return Plan::Complete;
            }
            return self.unserved(io);
        };
        let blocks = self.geometry.run_blocks(lba).min(io.segment_end - lba);
        io.children.sent_again(index, slot);
        self.reads.sent(slot, member_lba, blocks);
        *child = Child { index, slot, op: Op::Read, lba: member_lba, blocks, host_offset_blocks: offset };
        Plan::Send
    }

    /// No member serves what is to be sent next.
    #[cold]
    fn unserved(&mut self, io: &mut HostIo) -> Plan {
        let view = self.view.as_ref().expect("entered under one");
        match view.on_failed {
            OnFailed::Error => {
                io.doomed = true;
                io.last_fault.get_or_insert(Fault::of(FaultKind::ArrayFailed));
                if io.children.in_flight > 0 { Plan::Busy } else { Plan::Complete }
            }
            OnFailed::Wait if io.children.in_flight > 0 => Plan::Busy,
            OnFailed::Wait => {
                // It is planned anew when a View with more members comes.
                io.children.forget_resends();
                Plan::Unserved
            }
        }
    }
}
