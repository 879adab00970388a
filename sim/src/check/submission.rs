//! Every child that a Channel wants submitted.

use raid::channel::{CHILDREN_MAX, Child, Op};

use super::{Checked, Rule, ensure};
use crate::host::Request;
use crate::world::World;
use raid::View;
use raid::view::OnFailed;

impl World {
    /// The child of `request`, planned by a Channel that says it plans with `view`. Returns the region whose
    /// lease covers it.
    pub(crate) fn check_submission(
        &self,
        request: &Request,
        child: &Child,
        view: &View,
    ) -> Result<Option<u32>, super::Violation> {
        let slot = child.slot;
        let is_new = usize::from(child.index) < CHILDREN_MAX && request.live & 1 << child.index == 0;
        ensure(is_new, Rule::Completion, || format!("child {} is in flight already", child.index))?;
        let allowed = match child.op {
            Op::Reset => view.attached.and(view.reachable),
            Op::Flush => view.usable().and(self.profile.flushes),
            Op::Read | Op::Write | Op::WriteZeroes | Op::Unmap => view.usable(),
        };
        ensure(allowed.contains(slot), Rule::WrongMember, || {
            format!("{:?} goes to m{slot}, which View {} does not allow", child.op, view.epoch)
        })?;
        ensure(!self.disks[slot.index()].closed, Rule::Drained, || {
            format!("{:?} goes to m{slot}, whose drive was closed", child.op)
        })?;
        if child.op == Op::Read {
            self.check_retry(request, child)?;
        }
        if matches!(child.op, Op::Flush | Op::Reset) {
            return Ok(None);
        }
        self.check_placement(request, child)?;
        if !child.op.modifies() || !self.layout.is_redundant() {
            return Ok(None);
        }
        let first = self.layout.owner(slot, child.lba).expect("check_placement found it");
        let region = self.layout.region_of(first);
        self.leases.check_write(request.channel, region)?;
        self.check_marked(region, view)?;
        Ok(Some(region))
    }

    /// Each of its blocks is a place of a block of the host I/O, in one region, with the right part of the
    /// host's buffer.
    fn check_placement(&self, request: &Request, child: &Child) -> Checked {
        let range = request.lba..request.lba + request.blocks;
        let regions = self.layout.is_redundant() && child.op.modifies();
        let first = self.layout.owner(child.slot, child.lba);
        for block in 0..child.blocks {
            let owner = self.layout.owner(child.slot, child.lba + block);
            let is_right = owner.is_some_and(|owner| {
                let in_buffer = request.lba + child.host_offset_blocks + block;
                let is_extent = matches!(child.op, Op::WriteZeroes | Op::Unmap);
                let region = self.layout.region_of(owner);
                range.contains(&owner)
                    && (is_extent || owner == in_buffer)
                    && (!regions || first.is_some_and(|first| self.layout.region_of(first) == region))
            });
            ensure(is_right, Rule::Placement, || {
                let at = child.lba + block;
                format!("{child:?} of [{} +{}]: block {at} there is {owner:?}", request.lba, request.blocks)
            })?;
        }
        ensure(child.blocks > 0, Rule::Placement, || format!("{child:?} has no blocks"))
    }

    /// A read does not go again to a copy that has failed it. (One that waited for members begins anew.)
    fn check_retry(&self, request: &Request, child: &Child) -> Checked {
        let same =
            |error: &crate::host::ChildError| error.child.slot == child.slot && error.child.lba == child.lba;
        let again = self.profile.on_failed == OnFailed::Error
            && request.errors.iter().any(|error| error.is_real() && same(error));
        ensure(!again, Rule::WrongMember, || {
            format!("a read goes to block {} of m{} again, which has failed it", child.lba, child.slot)
        })
    }
}
