//! Metadata I/O of the machines: superblocks, log pages, zeroes of regions, flushes.

use raid::channel::Op;
use raid::meta::{MetaIo, MetaWrite};
use raid::{Fault, FaultKind, Slot};

use super::World;
use crate::check::Checked;
use crate::coverage::Seen;
use crate::disk::{Doing, MetaPending, MetaPhase, Torn};
use crate::net::Node;
use crate::rng::Rate;
use crate::trace::Happening;

impl World {
    /// A machine wants a metadata I/O done. It goes to the drive at once: it never waits for host I/O.
    pub(super) fn start_meta(&mut self, owner: Node, io: MetaIo) -> Checked {
        self.check_meta(owner, &io)?;
        self.trace.note(self.step, &Happening::MetaSubmitted { owner, io: &io });
        self.coverage.saw(match (&io.write, owner) {
            (None, _) => Seen::MetaFlush,
            (Some(MetaWrite::Zeroes { .. }), _) => Seen::MetaZeroes,
            (Some(MetaWrite::Bytes { .. }), Node::Array) => Seen::MetaSuperblock,
            (Some(MetaWrite::Bytes { .. }), _) => Seen::MetaPage,
        });
        self.coverage.meta_ios += 1;
        let slot = io.slot.index();
        let early = !self.disks[slot].health.gone && self.rng.happens(self.profile.pace.early);
        self.disks[slot].submit_meta(owner, io, early);
        Ok(())
    }

    /// Some metadata I/O on some drive takes its next step.
    pub(super) fn complete_some_meta(&mut self) -> Checked {
        let step = self.step;
        let ready = |disk: &crate::disk::Disk| {
            !disk.meta.is_empty()
                && (disk.health.stalled_until <= step || disk.health.gone)
                && (disk.health.meta_stalled_until <= step || disk.health.gone)
        };
        let count = self.disks.iter().filter(|disk| ready(disk)).count();
        if count == 0 {
            return Ok(());
        }
        let nth = self.rng.index(count);
        let slot = self.disks.iter().enumerate().filter(|(_, disk)| ready(disk)).nth(nth).expect("counted").0;
        let n = self.rng.index(self.disks[slot].meta.len());
        let meta = self.disks[slot].meta.swap_remove(n);
        self.finish_meta(meta)
    }

    fn finish_meta(&mut self, meta: MetaPending) -> Checked {
        let slot = meta.io.slot;
        let op = if matches!(meta.phase, MetaPhase::Writing { .. }) { Op::Write } else { Op::Flush };
        let result = self.meta_outcome(slot, op, &meta);
        self.leave_meta(&meta, result);
        self.trace.note(self.step, &Happening::MetaDone { owner: meta.owner, io: &meta.io, op, result });
        if let Err(kind) = result {
            self.coverage.saw(if op == Op::Flush { Seen::FaultMetaFlush } else { Seen::FaultMetaWrite });
            if !matches!(kind, FaultKind::Aborted | FaultKind::NoResources) {
                self.note_blame(slot, false, kind);
                self.membership.blame[slot.index()].meta_errors += 1;
            }
        } else if op == Op::Write && meta.io.flush {
            let covers = self.disks[slot.index()].cache_now();
            let phase = MetaPhase::Flushing { covers };
            self.disks[slot.index()].meta.push(MetaPending { phase, ..meta });
            return Ok(());
        }
        self.answer_meta(&meta, result.map_err(Fault::of))
    }

    fn meta_outcome(&mut self, slot: Slot, op: Op, meta: &MetaPending) -> Result<(), FaultKind> {
        let health = &mut self.disks[slot.index()].health;
        if self.is_healed {
            return if health.gone { Err(FaultKind::Gone) } else { meta.doom.map_or(Ok(()), Err) };
        }
        if let Some(doom) = meta.doom.filter(|_| !health.gone) {
            return Err(doom);
        }
        // Metadata lies where the host's blocks do not.
        let doing = Doing { op, lba: u64::MAX, blocks: 0 };
        let faults = &self.profile.faults;
        let is_bad = faults.is_bad(slot, self.host.issued()) && self.rng.happens(faults.metadata);
        // What lacks a resource the driver tries again by itself.
        let result = health.outcome(&mut self.rng, faults, &doing, self.step, is_bad);
        if result == Err(FaultKind::NoResources) { Ok(()) } else { result }
    }

    fn leave_meta(&mut self, meta: &MetaPending, result: Result<(), FaultKind>) {
        let disk = &mut self.disks[meta.io.slot.index()];
        match meta.phase {
            MetaPhase::Flushing { covers } if result.is_ok() => disk.harden(covers),
            MetaPhase::Flushing { .. } => {}
            MetaPhase::Writing { early } => {
                let chosen = match result {
                    _ if early => Torn::Everything,
                    Ok(()) => Torn::Everything,
                    Err(_) if disk.health.gone && self.rng.happens(Rate::once_in(2)) => Torn::Nothing,
                    Err(_) => Torn::draw(&mut self.rng, 64),
                };
                self.disks[meta.io.slot.index()].end_meta_write(meta, chosen);
            }
        }
    }

    fn answer_meta(&mut self, meta: &MetaPending, result: Result<(), Fault>) -> Checked {
        let now_ms = self.now_ms();
        match meta.owner {
            Node::Array => {
                self.array.io_done(meta.io.ticket, result, now_ms);
                self.pump_array()
            }
            Node::Shard(id) => {
                self.shards[usize::from(id.0)].io_done(meta.io.ticket, result, now_ms);
                self.pump_shard(id)
            }
            Node::Channel(id) => unreachable!("ch {id} does no metadata I/O"),
        }
    }

    /// Machines whose deadline has passed hear of the time.
    pub(super) fn ring(&mut self) -> Checked {
        let now_ms = self.now_ms();
        if self.array.deadline_ms().is_some_and(|deadline| deadline <= now_ms) {
            self.coverage.saw(Seen::Heartbeat);
            self.array.on_time(now_ms);
            self.pump_array()?;
        }
        for id in (0..self.profile.shards).map(raid::ShardId) {
            let shard = &mut self.shards[usize::from(id.0)];
            if shard.deadline_ms().is_some_and(|deadline| deadline <= now_ms) {
                self.coverage.saw(Seen::Swept);
                shard.on_time(now_ms);
                self.pump_shard(id)?;
            }
        }
        Ok(())
    }

    /// Whether some machine's deadline has passed.
    pub(super) fn is_ringing(&self) -> bool {
        let now_ms = self.now_ms();
        let deadlines = self.shards.iter().map(|shard| shard.deadline_ms()).chain([self.array.deadline_ms()]);
        deadlines.flatten().any(|deadline| deadline <= now_ms)
    }
}
