//! Copies that Shards want done: read on one drive, written on another, flushed there.

use raid::channel::Op;
use raid::shard::{CopyError, CopyIo};
use raid::{Fault, FaultKind, ShardId, Slot};

use super::World;
use crate::check::{Checked, Rule, ensure};
use crate::coverage::Seen;
use crate::disk::{Doing, Torn};
use crate::stamp::Stamp;
use crate::trace::Happening;

/// A copy under way.
#[derive(Clone, Debug)]
pub(crate) struct Copying {
    shard: ShardId,
    io: CopyIo,
    phase: Phase,
}

#[derive(Clone, Debug)]
enum Phase {
    Reading,
    Writing(Vec<Stamp>),
    /// What had completed before the FLUSH was submitted.
    Flushing(u64),
}

impl World {
    /// A Shard wants a copy. Nobody may write there meanwhile, and the region must be marked.
    pub(super) fn start_copy(&mut self, shard: ShardId, io: CopyIo) -> Checked {
        self.trace.note(self.step, &Happening::CopyBegan { shard: shard.0, io: &io });
        let first = self.layout.owner(io.to, io.to_lba);
        for block in 0..io.blocks {
            let [from, to] = [(io.from, io.from_lba), (io.to, io.to_lba)]
                .map(|(slot, lba)| self.layout.owner(slot, lba + block));
            ensure(from.is_some() && from == to, Rule::Placement, || {
                format!("{io:?}: block {block} is {from:?} there and {to:?} here")
            })?;
        }
        let region = self.layout.region_of(first.expect("every block was found"));
        ensure(!self.leases.is_held(raid::RegionId(region)), Rule::Lease, || {
            format!("{io:?}, and region {region} is leased")
        })?;
        let view =
            self.shard_views[usize::from(shard.0)].clone().expect("a Shard does nothing without a View");
        self.check_marked(region, &view)?;
        self.copies.push(Copying { shard, io, phase: Phase::Reading });
        Ok(())
    }

    /// Some copy takes its next step.
    pub(super) fn advance_some_copy(&mut self) -> Checked {
        let n = self.rng.index(self.copies.len());
        let Copying { shard, io, phase } = self.copies.swap_remove(n);
        let to = io.to.index();
        let next = match phase {
            Phase::Reading => {
                self.copy_step(io.from, Op::Read, io.from_lba, io.blocks).map_err(CopyError::Read).map(|()| {
                    let read = self.disks[io.from.index()].contents(io.from_lba..io.from_lba + io.blocks);
                    Some(Phase::Writing(read.to_vec()))
                })
            }
            Phase::Writing(stamps) => {
                let result = self.copy_step(io.to, Op::Write, io.to_lba, io.blocks);
                let chosen = match result {
                    Ok(()) => Torn::Everything,
                    Err(_) => Torn::draw(&mut self.rng, io.blocks),
                };
                self.disks[to].land(io.to_lba, &stamps, chosen);
                let flushing = Phase::Flushing(self.disks[to].cache_now());
                result.map_err(CopyError::Write).map(|()| io.flush.then_some(flushing))
            }
            Phase::Flushing(covers) => {
                let result = self.copy_step(io.to, Op::Flush, io.to_lba, 0);
                if result.is_ok() {
                    self.disks[to].harden(covers);
                }
                result.map_err(CopyError::Flush).map(|()| None)
            }
        };
        let result = match next {
            Ok(Some(phase)) => {
                self.copies.push(Copying { shard, io, phase });
                return Ok(());
            }
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        self.trace.note(self.step, &Happening::CopyDone { io: &io, ok: result.is_ok() });
        self.coverage.saw(match result {
            Ok(()) => Seen::CopyDone,
            Err(CopyError::Read(_)) => Seen::CopyUnread,
            Err(CopyError::Write(_)) => Seen::CopyUnwritten,
            Err(CopyError::Flush(_)) => Seen::CopyUnflushed,
        });
        let now_ms = self.now_ms();
        self.shards[usize::from(shard.0)].copy_done(io.ticket, result, now_ms);
        self.pump_shard(shard)
    }

    fn copy_step(&mut self, slot: Slot, op: Op, lba: u64, blocks: u64) -> Result<(), Fault> {
        let health = &mut self.disks[slot.index()].health;
        if self.is_healed {
            return if health.gone { Err(Fault::of(FaultKind::Gone)) } else { Ok(()) };
        }
        let faults = &self.profile.faults;
        let is_bad = faults.is_bad(slot, self.host.issued());
        let doing = Doing { op, lba, blocks };
        let result = health.outcome(&mut self.rng, faults, &doing, self.step, is_bad);
        match result {
            // What lacks a resource the driver tries again by itself.
            Ok(()) | Err(FaultKind::NoResources) => Ok(()),
            Err(kind) => {
                if op != Op::Read && kind != FaultKind::Aborted {
                    self.note_blame(slot, false, kind);
                    let is_lost = op == Op::Flush || kind == FaultKind::Gone;
                    self.membership.blame[slot.index()].meta_errors += u32::from(is_lost);
                }
                if kind == FaultKind::Gone {
                    self.note_blame(slot, false, kind);
                }
                Err(Fault::of(kind))
            }
        }
    }

    /// The process or the power goes: what was being written is there, or not, or in part.
    pub(super) fn lose_copies(&mut self) {
        for copying in std::mem::take(&mut self.copies) {
            if let Phase::Writing(stamps) = copying.phase {
                let chosen = Torn::draw(&mut self.rng, copying.io.blocks);
                self.disks[copying.io.to.index()].land(copying.io.to_lba, &stamps, chosen);
            }
        }
    }
}
