//! What happens to the world from outside: the operator, threads, bad luck.

use raid::{RegionId, Slot};

use super::{Life, World};
use crate::check::Checked;
use crate::coverage::Seen;
use crate::rng::Rate;
use crate::trace::Happening;

impl World {
    /// Whatever of it happens in this step.
    pub(super) fn meddle(&mut self) -> Checked {
        // One draw for most steps: the rates below are per 32 steps.
        if self.rng.once_in(32) {
            self.meddle_from_outside()?;
            self.meddle_with_life()?;
        }
        if self.rng.once_in(8) {
            self.meddle_inside()?;
        }
        Ok(())
    }

    fn happens(&mut self, rate: impl Fn(&crate::profile::Profile) -> Rate) -> bool {
        let rate = rate(&self.profile);
        self.rng.happens(rate)
    }

    fn meddle_inside(&mut self) -> Checked {
        if self.happens(|profile| profile.control.revoke) {
            let region = RegionId(self.rng.below(u64::from(self.layout.regions())) as u32);
            self.revoke(region)?;
        }
        if self.happens(|profile| profile.workload.abort) {
            self.abort_some_io()?;
        }
        if self.happens(|profile| profile.control.stall_link) {
            let until = self.step + self.rng.between(10, 2000);
            self.links.stall(&mut self.rng, until);
            self.trace.note(self.step, &Happening::Stalled { what: "a link", until });
            self.coverage.saw(Seen::StalledLink);
        }
        Ok(())
    }

    fn meddle_from_outside(&mut self) -> Checked {
        // A Channel that closes may still wait for members that are gone.
        let open = self.seats.iter().filter(|seat| !seat.closing).count();
        let is_running = self.life == Life::Running;
        if is_running
            && open < self.profile.channels_max
            && (open == 0 || self.happens(|profile| profile.control.open))
        {
            self.open_channel()?;
            self.coverage.saw(Seen::Opened);
        }
        if self.happens(|profile| profile.control.close) && !self.seats.is_empty() {
            let seat = self.rng.index(self.seats.len());
            let seat = &mut self.seats[seat];
            seat.closing = true;
            self.trace.note(self.step, &Happening::Closing(seat.machine.id()));
        }
        if self.happens(|profile| profile.control.fail_member) {
            self.fail_some_member()?;
        }
        if self.happens(|profile| profile.control.remove_member) {
            self.remove_some_member()?;
        }
        let slot = self.some_slot();
        if self.happens(|profile| profile.control.stall_disk) {
            let until = self.step + self.rng.between(10, 3000);
            self.disks[slot.index()].health.stalled_until = until;
            self.trace.note(self.step, &Happening::Stalled { what: "a disk", until });
            self.coverage.saw(Seen::StalledDisk);
        }
        if self.happens(|profile| profile.control.stall_metadata) && self.keeps_metadata() {
            let until = self.step + self.rng.between(10, 3000);
            self.disks[slot.index()].health.meta_stalled_until = until;
            self.trace.note(self.step, &Happening::Stalled { what: "a disk's metadata", until });
            self.coverage.saw(Seen::StalledMeta);
        }
        if self.profile.faults.is_bad(slot, self.host.issued()) {
            self.break_drive(slot);
        }
        if !self.unseen_removals.is_empty() && self.rng.once_in(8) {
            let n = self.rng.index(self.unseen_removals.len());
            let slot = self.unseen_removals.swap_remove(n);
            self.tell_removal(slot)?;
        }
        Ok(())
    }

    fn break_drive(&mut self, slot: Slot) {
        let present = self.array.view().attached.contains(slot);
        let blocks = self.layout.data_blocks(slot);
        let health = &self.disks[slot.index()].health;
        if !present || health.gone {
            return;
        }
        if self.happens(|profile| profile.control.hot_remove) {
            self.disks[slot.index()].health.gone = true;
            self.membership.blame[slot.index()].gone = true;
            self.unseen_removals.push(slot);
            self.trace.note(self.step, &Happening::HotRemoved(slot));
            self.coverage.saw(Seen::HotRemoved);
        }
        if self.happens(|profile| profile.control.path_down) {
            let until = self.step + self.rng.between(1, 200);
            self.disks[slot.index()].health.path_down_until = until;
            self.trace.note(self.step, &Happening::PathDown { slot, until });
            self.coverage.saw(Seen::PathDown);
        }
        if self.happens(|profile| profile.control.bad_blocks) {
            let from = self.layout.data_offset() + self.rng.below(blocks);
            let to = from + 1 + self.rng.below(16);
            self.disks[slot.index()].health.bad_blocks = Some((from, to));
            self.trace.note(self.step, &Happening::BadBlocks { slot, from, to });
            self.coverage.saw(Seen::BadBlocks);
        }
    }

    /// The Array hears that a drive is gone.
    pub(super) fn tell_removal(&mut self, slot: Slot) -> Checked {
        self.trace.note(self.step, &Happening::RemovalSeen(slot));
        self.array.member_gone(slot, self.now_ms());
        self.pump_array()
    }

    /// The array goes away: nothing may wait for members any more.
    pub(crate) fn stop(&mut self) -> Checked {
        self.phase("stop");
        self.array.stop(self.now_ms());
        self.pump_array()
    }

    fn some_slot(&mut self) -> Slot {
        Slot(self.rng.index(self.disks.len()) as u8)
    }

    fn fail_some_member(&mut self) -> Checked {
        let slot = self.some_slot();
        let blame = &mut self.membership.blame[slot.index()];
        (blame.ordered, blame.was_ordered) = (true, true);
        let result = self.array.fail_member(slot, self.now_ms());
        let accepted = result.is_ok();
        self.trace.note(self.step, &Happening::Command { what: "fail", slot, accepted });
        self.coverage.saw(if accepted { Seen::FailAccepted } else { Seen::FailRefused });
        match result {
            Ok(receipt) => self.check_receipt(&receipt)?,
            Err(_) => self.check_refused()?,
        }
        self.pump_array()?;
        self.membership.blame[slot.index()].ordered = false;
        Ok(())
    }

    fn remove_some_member(&mut self) -> Checked {
        let slot = self.some_slot();
        let result = self.array.remove_member(slot, self.now_ms());
        let accepted = result.is_ok();
        self.trace.note(self.step, &Happening::Command { what: "remove", slot, accepted });
        self.coverage.saw(if accepted { Seen::RemoveAccepted } else { Seen::RemoveRefused });
        match result {
            Ok(receipt) => self.check_receipt(&receipt)?,
            Err(_) => self.check_refused()?,
        }
        self.pump_array()
    }
}
