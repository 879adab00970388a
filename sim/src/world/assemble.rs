//! The start of another life: which drives are there, whose record counts, what the log says, and the machines.

use std::collections::BTreeMap;

use raid::array::RecordSpec;
use raid::format::log::{DecodedPage, PAGE_BYTES, place};
use raid::format::{self, LogPage, RecordState, RegionState, ShutDown, Superblock};
use raid::{Array, RegionId, Shard, Slot, SlotSet};

use super::World;
use super::crash::Remains;
use super::start::{ARRAY, Start};
use crate::check::{Checked, MembershipCheck};
use crate::coverage::Seen;
use crate::disk::{Disk, Health};
use crate::trace::Happening;

impl Disk {
    /// The superblock copies, as a read finds them.
    fn copies(&self) -> [Option<Superblock>; 2] {
        format::COPY_OFFSETS
            .map(|offset| format::decode(&self.read_bytes(offset, format::SUPERBLOCK_BYTES)).ok())
    }

    /// The superblock that counts.
    pub fn read_record(&self) -> Option<Superblock> {
        self.copies().into_iter().flatten().max_by_key(|record| record.version)
    }
}

/// The copy with the newer record.
fn newest_copy(copies: &[Option<Superblock>; 2]) -> Option<u8> {
    let version = |copy: u8| copies[usize::from(copy)].as_ref().map(|record| record.version);
    (0..2).filter(|copy| version(*copy).is_some()).max_by_key(|copy| version(*copy))
}

impl World {
    /// Starts the array from what is on the drives, some of them left out.
    pub(crate) fn assemble(&mut self, remains: Remains) -> Checked {
        let present = self.draw_present(remains.enough);
        let copies: Vec<_> = self.disks.iter().map(Disk::copies).collect();
        let found = |slot: Slot| copies[slot.index()].iter().flatten().max_by_key(|record| record.version);
        let records: Vec<&Superblock> = present.iter().filter_map(found).collect();
        let leader = self.choose_leader(&records);
        let in_sync = leader.slots_in(RecordState::InSync).and(present);
        self.note_assembly(&leader, present, &copies);
        self.check_leader(&leader, remains.ended, remains.enough)?;
        let crashed = (leader.shut_down == ShutDown::Unclean).then(|| in_sync.iter().next()).flatten();
        let attached = present.iter().filter(|slot| leader.members[slot.index()].is_filled()).collect();
        let pages = self.read_log(in_sync);
        let mut record = Superblock { shut_down: ShutDown::Unclean, ..leader.clone() };
        let is_degraded = leader.slots_in(RecordState::InSync) != self.filled;
        if is_degraded && leader.slots_in(RecordState::InSync).minus(present).is_empty() {
            record.begin_generation(format::Generation(self.rng.between(2, u64::MAX - 1)));
        }
        let newest_copy = copies.iter().map(newest_copy).collect();
        let record = RecordSpec { record, newest_copy, seed: self.rng.between(1, u64::MAX - 1) };
        let start = Start::with(&self.profile, &self.geometry, attached, Some(record), Some(pages), crashed);
        self.array = Array::new(start.array, self.now_ms());
        self.shards = start.shards.into_iter().map(Shard::new).collect();
        self.take_over(present);
        self.check_chronicle(&leader)?;
        self.check_contents(in_sync, leader.slots_in(RecordState::InSync))?;
        self.check_need_sync(&remains.at_risk, in_sync)?;
        self.check_none_unwritten()?;
        self.pump_array()?;
        for id in (0..self.profile.shards).map(raid::ShardId) {
            self.pump_shard(id)?;
        }
        Ok(())
    }

    /// The drives that are there: enough of `enough`, and whatever chance wants of the others.
    fn draw_present(&mut self, enough: SlotSet) -> SlotSet {
        let leave_out = self.profile.metadata.as_ref().expect("it has metadata").leave_out;
        let mut present = SlotSet::EMPTY;
        for slot in self.filled.iter() {
            let health = &mut self.disks[slot.index()].health;
            let was_gone = std::mem::take(health).gone;
            *health = Health { gone: was_gone, ..Health::default() };
            if was_gone && self.rng.once_in(2) {
                self.disks[slot.index()].health.gone = false;
                self.coverage.saw(Seen::Returned);
            }
            let is_stale = !enough.contains(slot);
            let stays_away = self.disks[slot.index()].health.gone || is_stale && self.rng.once_in(2);
            if !stays_away {
                present.insert(slot);
            }
        }
        if !self.layout.is_served_by(present.and(enough)) {
            for slot in enough.iter() {
                self.disks[slot.index()].health.gone = false;
                present.insert(slot);
            }
        }
        for _ in 0..2 {
            let slot = Slot(self.rng.index(self.disks.len()) as u8);
            let rest = present.without(slot);
            let tolerable = enough.contains(slot) && self.layout.is_served_by(rest.and(enough));
            if present.contains(slot) && tolerable && self.rng.happens(leave_out) {
                present = rest;
                self.coverage.saw(Seen::LeftOut);
            }
        }
        present
    }

    /// The record of which all others are ancestors; the newest of its generation. Where two sides went on
    /// apart, the operator keeps the one that ran last.
    fn choose_leader(&mut self, records: &[&Superblock]) -> Superblock {
        let is_head = |record: &&&Superblock| records.iter().all(|other| other.is_ancestor_of(record));
        let led = records.iter().filter(is_head).max_by_key(|record| record.version);
        let leader = led.copied().cloned().unwrap_or_else(|| {
            self.coverage.saw(Seen::Split);
            let last = self.array.record().expect("it keeps one");
            let of_last = records.iter().filter(|record| record.is_ancestor_of(last));
            let place = |record: &Superblock| {
                let place = last.history.iter().position(|generation| *generation == record.generation);
                std::cmp::Reverse(place.map_or(0, |place| place + 1))
            };
            let newest = of_last.max_by_key(|record| (place(record), record.version));
            Superblock::clone(newest.expect("enough of the last life is there"))
        });
        let top = records.iter().map(|record| record.version).max().expect("a record is there");
        Superblock { version: top, ..leader }
    }

    /// The log, merged over the members that are in sync.
    fn read_log(&self, in_sync: SlotSet) -> BTreeMap<u16, LogPage> {
        let regions = (0..self.layout.regions()).map(RegionId);
        let numbers: std::collections::BTreeSet<u16> = regions.map(|region| place(region).page).collect();
        let members = self.geometry.members();
        let fallback = in_sync.iter().next().expect("a member is in sync");
        let page = |number: u16| {
            let offset = format::LOG_OFFSET + u64::from(number) * PAGE_BYTES as u64;
            let read = |slot: Slot| {
                let bytes = self.disks[slot.index()].read_bytes(offset, PAGE_BYTES);
                DecodedPage::decode(&bytes, ARRAY, number, members)
            };
            let decoded: Vec<DecodedPage> = in_sync.iter().map(read).collect();
            let generation = decoded.iter().filter_map(DecodedPage::generation).max().unwrap_or(0);
            let states = format::merge(&decoded, fallback);
            let states = states.first_chunk().expect("a page has all its regions");
            (number, LogPage::with(generation, states))
        };
        numbers.into_iter().map(page).collect()
    }

    /// The checkers begin anew with the new machines.
    fn take_over(&mut self, present: SlotSet) {
        self.shard_views = vec![None; usize::from(self.profile.shards)];
        self.membership = MembershipCheck::new(&self.array);
        self.stable.forget_if(self.array.view().usable());
        for slot in self.layout.slots().iter() {
            let errors = self.array.members()[slot.index()].read_errors();
            let blame = &mut self.membership.blame[slot.index()];
            (blame.read_errors, blame.certain_read_errors) = (errors, errors);
            blame.read_errors_found = errors;
            blame.absent = !present.contains(slot);
            self.disks[slot.index()].closed = false;
        }
        self.trusted = self.array.view().in_sync;
    }

    fn note_assembly(&mut self, leader: &Superblock, present: SlotSet, copies: &[[Option<Superblock>; 2]]) {
        let in_sync = leader.slots_in(RecordState::InSync).and(present);
        let version = leader.version;
        self.trace.note(self.step, &Happening::Assembled { present, in_sync, version });
        if !present.minus(in_sync).is_empty() {
            self.coverage.saw(Seen::StalePresent);
        }
        for slot in present.iter() {
            if copies[slot.index()].iter().flatten().count() < 2 {
                self.coverage.saw(Seen::DamagedCopy);
            }
        }
        let newest = |slot: Slot| copies[slot.index()].iter().flatten().map(|record| record.epoch).max();
        if in_sync.iter().any(|slot| newest(slot) < Some(leader.epoch)) {
            self.coverage.saw(Seen::OlderRecord);
        }
        for region in 0..self.layout.regions() {
            let states = in_sync.iter().map(|slot| self.durable_state(slot, region));
            let states: Vec<_> = states.flatten().collect();
            if states.contains(&RegionState::Dirty) && leader.shut_down == ShutDown::Unclean {
                self.coverage.saw(Seen::NeedSync);
            }
            if states.iter().any(|state| state.source().is_some()) {
                self.coverage.saw(Seen::NeedSyncAgain);
            }
        }
    }
}
