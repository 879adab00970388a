//! What must be true once faults are over and nothing is under way any more.

use raid::view::OnFailed;
use raid::{RegionId, Slot, View};

use super::{Checked, Rule, ensure};
use crate::coverage::Seen;
use crate::host::Request;
use crate::world::World;

impl World {
    /// Every host I/O is complete, or waits with good reason.
    pub(crate) fn check_nothing_stuck(&mut self) -> Checked {
        for request in self.host.iter() {
            ensure(self.may_wait(request), Rule::Liveness, || {
                format!(
                    "io {} ({:?} [{} +{}] of ch {}) never completes; errors: {:?}",
                    request.id.0 >> 16,
                    request.op,
                    request.lba,
                    request.blocks,
                    request.channel,
                    request.errors
                )
            })?;
            self.coverage.saw(Seen::LeftWaiting);
        }
        for seat in &self.seats {
            let outstanding = self.host.iter().any(|request| request.channel == seat.id());
            ensure(outstanding || seat.machine.is_idle(), Rule::Liveness, || {
                format!("ch {} is not idle, though it has no host I/O", seat.id())
            })?;
        }
        Ok(())
    }

    fn may_wait(&self, request: &Request) -> bool {
        let view: &View = self.array.view();
        let is_unserved = self.is_unserved(request, view) || self.is_cut_off(request);
        view.on_failed == OnFailed::Wait && is_unserved
    }

    /// Every change has settled and drained, was told of, and has let go of its drives.
    pub(crate) fn check_changes_done(&self) -> Checked {
        let newest = self.array.view().epoch;
        let receipt = self.array.receipt(newest);
        ensure(receipt.took_effect, Rule::Liveness, || format!("View {newest} never settles: {receipt:?}"))?;
        let untold = self.membership.untold();
        ensure(untold.is_none(), Rule::Liveness, || format!("View {untold:?} is never told of in an event"))?;
        let (told, state) = (self.membership.told_state, self.array.state());
        ensure(told == Some(state), Rule::Events, || format!("{state:?}, but events told of {told:?}"))?;
        for slot in self.layout.slots().iter() {
            let let_go = self.membership.blame[slot.index()].released;
            ensure(self.disks[slot.index()].closed == let_go, Rule::Liveness, || {
                format!("m{slot} was let go: {let_go}; and its drive is still open, or was closed without")
            })?;
        }
        Ok(())
    }

    /// Read errors were counted: each that is one, and at most those that may be taken for one. Members with
    /// too many are out, if they can be done without.
    pub(crate) fn check_counters(&self) -> Checked {
        let view = self.array.view();
        for (slot, member) in (0..).map(Slot).zip(self.array.members()) {
            let blame = &self.membership.blame[slot.index()];
            let counted = member.read_errors();
            let too_many = counted >= self.profile.limits.read && view.usable().contains(slot);
            let too_many = too_many && counted > blame.read_errors_found;
            ensure(!(too_many && self.may_lose(view, slot)), Rule::Membership, || {
                format!("m{slot} has {counted} read errors, and is still in")
            })?;
            let right = blame.certain_read_errors..=blame.read_errors;
            let is_right = member.drive().is_none() || right.contains(&counted);
            ensure(is_right, Rule::Command, || {
                format!("{:?} has {counted} read errors; right is {right:?}", member.drive())
            })?;
        }
        Ok(())
    }

    /// The array was stopped: nothing waits any more.
    pub(crate) fn check_nothing_left(&self) -> Checked {
        let left = self.host.iter().next().map(|request| request.id.0 >> 16);
        ensure(left.is_none(), Rule::Liveness, || format!("io {left:?} outlives the array"))?;
        ensure(self.seats.is_empty(), Rule::Liveness, || {
            "a Channel that has no I/O does not close".to_owned()
        })
    }

    /// All leases were revoked, and came back.
    pub(crate) fn check_leases_back(&self) -> Checked {
        // A region that can't be filled with zeros, or marked after them, is kept for ever.
        let can_record = self.array.view().can_record() && !self.array.view().is_frozen();
        for shard in &self.shards {
            let is_held =
                |region: &RegionId| shard.is_leased(*region) && (can_record || self.leases.is_held(*region));
            let held = (0..self.layout.regions()).map(RegionId).find(is_held);
            ensure(held.is_none(), Rule::Liveness, || {
                format!("region {held:?} of shard {} was revoked and never came back", shard.id())
            })?;
        }
        Ok(())
    }
}
