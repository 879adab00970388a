//! Member I/O: submitted, under way, and back with a result.

use raid::channel::{Child, Op};
use raid::{Fault, FaultKind, IoId};

use super::World;
use crate::check::{Checked, Violation};
use crate::coverage::Seen;
use crate::disk::{Doing, Pending, Torn};
use crate::host::ChildError;
use crate::rng::Rate;
use crate::trace::Happening;

impl World {
    /// Submits a child. False if it lacked a resource, and the I/O is parked.
    pub(super) fn submit(&mut self, seat: usize, id: IoId, child: Child) -> Result<bool, Violation> {
        let machine = &self.seats[seat].machine;
        let view = machine.view().expect("the Channel planned with it").clone();
        let request = self.host.get(id).expect("the caller saw it");
        let channel = request.channel;
        let region = self.check_submission(request, &child, &view)?;
        let short = self.profile.faults.no_resources_at_submit;
        if !self.is_healed && self.rng.happens(short) {
            self.trace.note(self.step, &Happening::NotSubmitted { channel, io: id, child: &child });
            self.coverage.saw(Seen::FaultNoResourcesAtSubmit);
            let request = self.host.get_mut(id).expect("the caller saw it");
            let fault = Fault::of(FaultKind::NoResources);
            self.seats[seat].machine.child_done(&mut request.machine, child.index, Err(fault));
            self.park(id);
            return Ok(false);
        }
        self.trace.note(self.step, &Happening::Submitted { channel, io: id, child: &child });
        self.coverage.children += 1;
        if let Some(region) = region {
            self.written[region as usize] = true;
        }
        let request = self.host.get_mut(id).expect("the caller saw it");
        request.live |= 1 << child.index;
        request.touched = true;
        if let Some(region) = region.filter(|region| request.sent.last() != Some(region)) {
            request.sent.push(region);
        }
        if request.planned_under != view.epoch && request.planned_under.0 != 0 {
            request.is_mixed = true;
            self.coverage.saw(Seen::Replanned);
        }
        request.planned_under = view.epoch;
        let pending = Pending {
            region,
            host_lba: request.lba,
            write: request.write.map_or(0, |write| write.id),
            ..Pending::new(id, child, channel, view.epoch)
        };
        self.start(pending);
        Ok(true)
    }

    fn start(&mut self, mut pending: Pending) {
        let slot = pending.child.slot.index();
        let may_be_early = pending.child.op == Op::Read || pending.child.op.modifies();
        pending.early =
            may_be_early && !self.disks[slot].health.gone && self.rng.happens(self.profile.pace.early);
        if pending.early {
            self.transfer(&pending, Torn::Everything);
        }
        if pending.child.op == Op::Reset {
            let (rng, coverage) = (&mut self.rng, &mut self.coverage);
            self.disks[slot].reset(|| {
                let aborts = !rng.once_in(4);
                if aborts {
                    coverage.saw(Seen::AbortedByReset);
                }
                aborts
            });
        }
        self.disks[slot].submit(pending);
    }

    /// Moves the chosen blocks between the host and the medium.
    fn transfer(&mut self, pending: &Pending, chosen: Torn) {
        let child = &pending.child;
        let disk = &mut self.disks[child.slot.index()];
        if child.op.modifies() {
            disk.put(pending, chosen);
            return;
        }
        let request = self.host.get_mut(pending.io).expect("it waits for its children");
        let at = child.host_offset_blocks as usize;
        let into = &mut request.buffer[at..at + child.blocks as usize];
        into.copy_from_slice(disk.contents(child.lba..child.lba + child.blocks));
    }

    /// Some child on some disk comes back.
    pub(super) fn complete_some_child(&mut self) -> Checked {
        let ready = |disk: &crate::disk::Disk, step| {
            !disk.pending.is_empty() && (disk.health.stalled_until <= step || disk.health.gone)
        };
        let count = self.disks.iter().filter(|disk| ready(disk, self.step)).count();
        if count == 0 {
            return Ok(());
        }
        let nth = self.rng.index(count);
        let mut disks = self.disks.iter().enumerate().filter(|(_, disk)| ready(disk, self.step));
        let slot = disks.nth(nth).expect("counted").0;
        let pending = &mut self.disks[slot].pending;
        let in_order = self.profile.pace.in_order && !self.rng.once_in(16);
        let child =
            if in_order { pending.remove(0) } else { pending.swap_remove(self.rng.index(pending.len())) };
        self.finish(child)
    }

    fn finish(&mut self, pending: Pending) -> Checked {
        let child = &pending.child;
        let result = self.outcome(&pending);
        let torn = self.leave_on_medium(&pending, result);
        self.trace.note(self.step, &Happening::ChildDone { io: pending.io, child, result, torn });
        let request = self.host.get_mut(pending.io).expect("it waits for its children");
        request.live &= !(1 << child.index);
        if result != Err(FaultKind::NoResources) {
            request.answered.insert(child.slot);
        }
        if let Some(region) = pending.region {
            let is_there = match result {
                Ok(()) => Some(true),
                Err(FaultKind::NoResources | FaultKind::Aborted) => None,
                Err(_) => Some(false),
            };
            request.reached.extend(is_there.map(|is_there| (region, child.slot, is_there)));
        }
        if let Err(kind) = result {
            request.errors.push(ChildError { child: *child, kind });
            let believed = kind == FaultKind::Aborted && request.patience_lost() > 0;
            if believed || !matches!(kind, FaultKind::Aborted | FaultKind::NoResources) {
                self.note_blame(child.slot, child.op == Op::Read, kind);
            }
            self.note_fault(child.op, kind);
        }
        let seat = self.seat_of(pending.channel)?;
        let request = self.host.get_mut(pending.io).expect("it waits for its children");
        let result = result.map_err(Fault::of);
        self.seats[seat].machine.child_done(&mut request.machine, child.index, result);
        let is_parked = request.parked;
        if result == Err(Fault::of(FaultKind::NoResources)) {
            self.park(pending.io);
        } else if !is_parked || self.profile.pace.impatient {
            self.go_on(seat, pending.io)?;
        }
        self.pump(seat)
    }

    fn outcome(&mut self, pending: &Pending) -> Result<(), FaultKind> {
        let health = &mut self.disks[pending.child.slot.index()].health;
        if self.is_healed {
            // What a reset has aborted stays aborted; what is gone stays gone.
            return if health.gone { Err(FaultKind::Gone) } else { pending.doom.map_or(Ok(()), Err) };
        }
        if let Some(doom) = pending.doom.filter(|_| !health.gone) {
            return Err(doom);
        }
        let faults = &self.profile.faults;
        let is_bad = faults.is_bad(pending.child.slot, self.host.issued());
        let Child { op, lba, blocks, .. } = pending.child;
        health.outcome(&mut self.rng, faults, &Doing { op, lba, blocks }, self.step, is_bad)
    }

    /// What the child did to the medium, now that it is known how it ended.
    fn leave_on_medium(&mut self, pending: &Pending, result: Result<(), FaultKind>) -> Option<Torn> {
        let child = &pending.child;
        match child.op {
            Op::Flush if result.is_ok() => self.disks[child.slot.index()].harden(pending.covers),
            Op::Flush | Op::Reset => {}
            Op::Read if result.is_ok() && !pending.early => self.transfer(pending, Torn::Everything),
            Op::Read => {}
            Op::Write | Op::WriteZeroes | Op::Unmap => {
                let failed = result.is_err();
                let gone = self.disks[child.slot.index()].health.gone;
                let chosen = match (failed, pending.early) {
                    (false, _) | (true, true) => Torn::Everything,
                    (true, false) if gone && self.rng.happens(Rate::once_in(2)) => Torn::Nothing,
                    (true, false) => Torn::draw(&mut self.rng, child.blocks),
                };
                if !pending.early {
                    self.transfer(pending, chosen);
                }
                self.disks[child.slot.index()].note_written(child.lba, child.blocks);
                if failed {
                    self.coverage.saw(match chosen {
                        Torn::Nothing => Seen::TornNothing,
                        Torn::Everything => Seen::TornEverything,
                        Torn::Head(_) => Seen::TornHead,
                        Torn::Scattered(_) => Seen::TornScattered,
                    });
                }
                return failed.then_some(chosen);
            }
        }
        None
    }

    fn note_fault(&mut self, op: Op, kind: FaultKind) {
        let seen = match (kind, op) {
            (FaultKind::Media, Op::Read) => Seen::FaultMediaRead,
            (FaultKind::Media, Op::Flush) => Seen::FaultFlush,
            (FaultKind::Media, _) => Seen::FaultMediaWrite,
            (FaultKind::Path, _) => Seen::FaultPath,
            (FaultKind::Gone, _) => Seen::FaultGone,
            (FaultKind::Aborted, _) => Seen::FaultAborted,
            (FaultKind::NoResources, _) => Seen::FaultNoResourcesAtEnd,
            (FaultKind::Other | FaultKind::ArrayFailed, _) => Seen::FaultOther,
        };
        self.coverage.saw(seen);
    }
}
