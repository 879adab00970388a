//! The ends of a life of the array: the process goes, the power goes, or it is stopped in order.

use raid::array::EventKind;
use raid::format::{RegionState, ShutDown};
use raid::meta::MetaWrite;
use raid::{Array, Epoch, Slot, SlotSet};

use super::{Life, World};
use crate::check::{Checked, LeaseBook, RecordCache, Stable};
use crate::coverage::Seen;
use crate::disk::{Disk, MetaPhase};
use crate::net::{Links, Node};
use crate::oracle::Oracle;
use crate::trace::Happening;

/// What a life of the array has left.
#[derive(Clone, Debug)]
pub(crate) struct Remains {
    /// Blocks that were being written, or were in a cache that was lost.
    pub at_risk: Vec<u64>,
    /// Members of which enough must be there at the next start.
    pub enough: SlotSet,
    /// The array was ended in order, and its record says so; None: it was about to.
    pub ended: Option<bool>,
}

/// The world just after a crash.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    disks: Vec<Disk>,
    oracle: Oracle,
    stable: Stable,
    array: Array,
    chronicle: Vec<(u64, EventKind, Epoch)>,
    written: Vec<bool>,
    owed: Vec<bool>,
}

impl World {
    /// Crashes, ends and starts, as the profile has them.
    pub(super) fn meddle_with_life(&mut self) -> Checked {
        let Some(metadata) = self.profile.metadata.clone() else { return Ok(()) };
        if !self.has_served {
            return Ok(()); // an array that is only being made
        }
        // What is about to end, or has only just begun, is hit more often.
        let is_delicate = self.life != Life::Running || self.array.settled().0 == 0;
        let hit = |rng: &mut crate::rng::Rng, rate| rng.happens(rate) || is_delicate && rng.once_in(16);
        let may_crash = metadata.crash != crate::rng::Rate::NEVER;
        if may_crash && hit(&mut self.rng, metadata.crash) {
            return self.crash(false);
        }
        if metadata.power_cut != crate::rng::Rate::NEVER && hit(&mut self.rng, metadata.power_cut) {
            return self.crash(true);
        }
        if self.life == Life::Running && self.rng.happens(metadata.restart) {
            self.begin_ending()?;
        }
        Ok(())
    }

    pub(crate) fn begin_ending(&mut self) -> Checked {
        self.stop()?;
        self.close_all();
        self.life = Life::Closing;
        Ok(())
    }

    /// Once the last Channel is gone the array finishes.
    pub(super) fn go_on_ending(&mut self) -> Checked {
        if self.life == Life::Closing && self.seats.is_empty() {
            self.life = Life::Finishing;
            self.array.finish(self.now_ms());
            self.pump_array()?;
        }
        Ok(())
    }

    /// The machines are gone, and come back from what is on the drives.
    fn crash(&mut self, power: bool) -> Checked {
        let remains = self.die(power);
        self.assemble(remains)
    }

    /// The array has ended in order, and is started again; the power may have been off meanwhile.
    pub(crate) fn restart(&mut self) -> Checked {
        self.coverage.saw(Seen::RestartClean);
        let power = self.rng.once_in(2);
        let remains = self.die(power);
        self.assemble(remains)
    }

    /// The process goes, or the power.
    pub(crate) fn die_somehow(&mut self) -> Remains {
        let power = self.rng.once_in(2);
        self.die(power)
    }

    /// Whether this seed ends in a crash.
    pub(crate) fn seed_is_odd(&mut self) -> bool {
        self.rng.once_in(2)
    }

    /// What is left after a crash, to be looked at again.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            disks: self.disks.clone(),
            oracle: self.oracle.clone(),
            stable: self.stable.clone(),
            array: self.array.clone(),
            chronicle: self.chronicle.clone(),
            written: self.written.clone(),
            owed: self.owed.clone(),
        }
    }

    /// Back to just after the crash.
    pub(crate) fn restore(&mut self, snapshot: &Snapshot) {
        let _ = self.die(false);
        let snapshot = snapshot.clone();
        (self.disks, self.oracle, self.stable) = (snapshot.disks, snapshot.oracle, snapshot.stable);
        (self.array, self.chronicle) = (snapshot.array, snapshot.chronicle);
        (self.written, self.owed) = (snapshot.written, snapshot.owed);
        self.records.iter_mut().for_each(|cache| *cache = RecordCache::default());
        self.is_healed = false;
    }

    /// All machines are gone, with what they had under way.
    pub(crate) fn die(&mut self, power: bool) -> Remains {
        self.trace.note(self.step, &Happening::Crashed { power });
        self.coverage.saw(if power { Seen::CrashPower } else { Seen::CrashProcess });
        self.note_crash_point();
        let (newest, published) = (self.array.view(), self.array.published());
        let enough = newest.in_sync.and(published.in_sync);
        let is_clean = self.array.record().is_some_and(|record| record.shut_down == ShutDown::Clean);
        let ended = match self.life {
            Life::Finishing => None,
            // It never ran: nothing could be recorded, and nobody was served.
            _ if !self.membership.has_begun() || published.recorders().is_empty() => None,
            life => Some(life == Life::Finished && is_clean && !newest.recorders().is_empty()),
        };
        self.lose_copies();
        let mut at_risk = Vec::new();
        for request in self.host.take_all() {
            let Some(write) = request.write else { continue };
            let blocks = write.lba..write.lba + write.blocks;
            // In earlier regions it is everywhere, and its lease there may be back.
            let open = request.sent.last().filter(|region| self.leases.holds(request.channel, **region));
            at_risk.extend(blocks.filter(|lba| Some(&self.layout.region_of(*lba)) == open));
            self.oracle.fail(write, request.touched);
        }
        for slot in self.layout.slots().iter() {
            let disk = &mut self.disks[slot.index()];
            if !power && !disk.health.gone {
                disk.lose_process(&mut self.rng);
                continue;
            }
            let lost = disk.unhardened().filter_map(|lba| self.layout.owner(slot, lba)).collect::<Vec<_>>();
            lost.iter().for_each(|lba| self.oracle.lose_cache(*lba));
            if enough.contains(slot) {
                at_risk.extend(lost);
            }
            disk.lose_power(&mut self.rng);
        }
        at_risk.retain(|lba| self.is_written(*lba));
        at_risk.sort_unstable();
        at_risk.dedup();
        (self.links, self.seats, self.parked) = (Links::default(), Vec::new(), Vec::new());
        self.unseen_removals = Vec::new();
        self.leases = LeaseBook::new(self.layout.regions());
        self.depth_max = self.profile.workload.depth_max;
        self.life = Life::Running;
        Remains { at_risk, enough, ended }
    }

    /// Between which two steps of what it comes.
    fn note_crash_point(&mut self) {
        if self.life != Life::Running {
            self.coverage.saw(Seen::CrashInEnd);
        }
        if self.disks.iter().any(|disk| disk.pending.iter().any(|pending| pending.child.op.modifies())) {
            self.coverage.saw(Seen::CrashWithWrites);
        }
        if self.array.settled().0 == 0 {
            self.coverage.saw(Seen::CrashInStart);
        }
        if self.array.published().epoch < self.array.view().epoch {
            self.note_record_point();
        }
        for slot in self.layout.slots().iter() {
            self.note_log_point(slot);
        }
    }

    fn note_record_point(&mut self) {
        let newest = raid::View::clone(self.array.view());
        let recorders = newest.recorders();
        let has_it = |world: &mut World, slot| {
            world.disks[slot as usize].read_record().is_some_and(|record| record.epoch == newest.epoch)
        };
        let have = recorders.iter().filter(|slot| has_it(self, slot.0)).count();
        self.coverage.saw(match have {
            0 => Seen::CrashRecordNowhere,
            n if n == recorders.len() => Seen::CrashRecordEverywhere,
            _ => Seen::CrashRecordSome,
        });
    }

    fn note_log_point(&mut self, slot: Slot) {
        for meta in &self.disks[slot.index()].meta {
            let Node::Shard(_) = meta.owner else { continue };
            self.coverage.saw(match (&meta.io.write, meta.phase) {
                (Some(MetaWrite::Bytes { .. }), _) => Seen::CrashInPage,
                (Some(MetaWrite::Zeroes { .. }), _) => Seen::CrashInZeroes,
                (None, MetaPhase::Flushing { .. } | MetaPhase::Writing { .. }) => Seen::CrashInBatch,
            });
        }
        let pieces: Vec<_> = self.disks[slot.index()].unsettled().collect();
        for region in 0..self.layout.regions() {
            let Some(before) = self.durable_state(slot, region) else { continue };
            for after in pieces.iter().filter_map(|piece| World::state_in(piece, region)) {
                match (before, after) {
                    (RegionState::Unwritten, RegionState::Dirty) => self.coverage.saw(Seen::CrashBeforeMark),
                    (RegionState::Dirty, RegionState::Clean) => self.coverage.saw(Seen::CrashInClear),
                    _ => {}
                }
            }
        }
    }
}
