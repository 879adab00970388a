//! Every failed host I/O: could it have been served?

use raid::channel::Op;
use raid::view::OnFailed;
use raid::{Fault, FaultKind, SlotSet, View};

use super::{Checked, Rule, ensure};
use crate::coverage::Seen;
use crate::host::{ChildError, Request};
use crate::world::World;

impl World {
    /// `request` fails with `fault`, under a Channel that plans with `view`.
    pub(crate) fn check_failed(&mut self, request: &Request, fault: Fault, view: &View) -> Checked {
        let by_resources = matches!(fault.kind, FaultKind::NoResources | FaultKind::Aborted);
        ensure(!by_resources, Rule::Resources, || format!("a host I/O failed with '{fault}'"))?;
        let waits = view.on_failed == OnFailed::Wait;
        let reason = if request.op == Op::Read {
            self.why_no_read(request, view)
        } else {
            self.why_no_write(request, view)
        };
        // The Shard that refused it may have had another View than both.
        let newest = self.array.view();
        let can_record = newest.unrecordable.is_empty() && view.unrecordable.is_empty();
        let is_denied = request.op.modifies() && !can_record;
        let fails = self.array.view().on_failed == OnFailed::Error;
        let is_denied = is_denied || fails && self.is_cut_off(request);
        let reason = if is_denied && reason.is_none() { Some(Seen::Denied) } else { reason };
        let unserved = reason.is_none() && !waits && self.is_unserved(request, view);
        let reason = if unserved { Some(Seen::FailedUnserved) } else { reason };
        ensure(reason.is_some(), Rule::FailedWithoutNeed, || {
            let errors = request.errors.iter().filter(|error| error.is_real());
            let errors: Vec<_> = errors.map(|error| (error.child.slot, error.kind)).collect();
            format!("{:?} failed with '{fault}'; errors by member: {errors:?}; {view:?}", request.op)
        })?;
        self.coverage.saw(reason.expect("ensured"));
        Ok(())
    }

    /// The host aborts `request`, and the Channel has taken it back: none of it was begun, unless it waits
    /// for members that are gone.
    pub(crate) fn check_aborted(&self, request: &Request) -> Checked {
        let may_have_begun = self.profile.on_failed == OnFailed::Wait;
        let is_untouched = request.live == 0 && (may_have_begun || !request.touched);
        ensure(is_untouched, Rule::Completion, || {
            format!("{:?} was taken back by an abort after it had begun", request.op)
        })
    }

    /// Some block was tried on every copy that the View offers, and failed on all of them. Where I/O is
    /// told to wait for members that are gone, these alone are no reason.
    fn why_no_read(&self, request: &Request, view: &View) -> Option<Seen> {
        let waits = view.on_failed == OnFailed::Wait;
        let only_gone = request.errors.iter().all(|error| error.kind == FaultKind::Gone);
        if waits && only_gone {
            return None;
        }
        let tried_all = (request.lba..request.lba + request.blocks).any(|lba| {
            let failed = |slot: raid::Slot, at: u64| {
                let of_copy = |error: &&ChildError| {
                    let child = &error.child;
                    child.slot == slot && (child.lba..child.lba + child.blocks).contains(&at)
                };
                request.errors.iter().filter(of_copy).any(ChildError::is_real)
            };
            let mut patience = request.patience_lost();
            let (mut copies, mut tried) = (0, 0);
            for (slot, at) in self.layout.places(lba).iter().filter(|place| view.in_sync.contains(place.0)) {
                copies += 1;
                if failed(*slot, *at) {
                    tried += 1;
                } else if !view.reachable.contains(*slot) {
                    copies -= 1;
                } else if patience > 0 && request.was_aborted_on(*slot) {
                    (patience, tried) = (patience - 1, tried + 1);
                }
            }
            tried > 0 && tried == copies
        });
        tried_all.then_some(Seen::FailedRead)
    }

    /// Some member that failed it can't be let go: other blocks have their last copy there, or the
    /// membership is frozen.
    fn why_no_write(&self, request: &Request, view: &View) -> Option<Seen> {
        let waits = view.on_failed == OnFailed::Wait;
        let missed = request.errors.iter().filter(|error| {
            error.is_real() && !(waits && error.kind == FaultKind::Gone)
                || error.kind == FaultKind::Aborted && request.patience_lost() > 0
        });
        let missed: SlotSet = missed.map(|error| error.child.slot).collect();
        let newest = self.array.view();
        let stays = |slot| newest.in_sync.contains(slot) && !self.may_lose(newest, slot);
        (request.op != Op::Reset && missed.iter().any(stays)).then_some(Seen::FailedKept)
    }

    /// Whether it is the first write into a region that can't be filled with zeros, because members that will
    /// count again are out of reach.
    pub(crate) fn is_cut_off(&self, request: &Request) -> bool {
        let view = self.array.view();
        let mut blocks = request.lba..request.lba + request.blocks;
        request.op.modifies() && view.is_frozen() && blocks.any(|lba| !self.is_written(lba))
    }

    /// Whether the View has no way to serve the I/O.
    pub(crate) fn is_unserved(&self, request: &Request, view: &View) -> bool {
        let frozen = !view.in_sync.minus(view.reachable).is_empty();
        match request.op {
            Op::Reset => false,
            Op::Flush => frozen,
            Op::WriteZeroes | Op::Unmap => frozen || !self.layout.is_served_by(view.in_sync),
            Op::Read | Op::Write => (request.lba..request.lba + request.blocks).any(|lba| {
                let in_sync = self.layout.holders(lba).and(view.in_sync);
                let lost = in_sync.minus(view.reachable);
                let is_write = request.op == Op::Write;
                in_sync == lost || is_write && (!lost.is_empty() || request.fua && frozen)
            }),
        }
    }

    /// Whether the level can do without `slot`, by the reference layout. Once it can't, it never can again
    /// as long as no member comes back.
    pub(crate) fn may_lose(&self, view: &View, slot: raid::Slot) -> bool {
        let usable = view.in_sync.and(view.reachable);
        usable == view.in_sync && self.layout.is_served_by(usable.without(slot))
    }
}
