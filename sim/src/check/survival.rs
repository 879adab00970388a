//! What is found on the members after a crash, and after an end in order.

use raid::format::{RecordState, RegionState, ShutDown, Superblock};
use raid::{RegionId, SlotSet};

use super::{Checked, Rule, ensure};
use crate::coverage::Seen;
use crate::world::World;

impl World {
    /// The machines are gone, `in_sync` is what takes part from now on, by the record that counts: each of them
    /// holds in every block what it may hold. From here on it can only be what is there.
    /// (Members of `recorded` that are not there may be taken back, as long as nobody plans without them.)
    pub(crate) fn check_contents(&mut self, in_sync: SlotSet, recorded: SlotSet) -> Checked {
        let now = self.oracle.now();
        let mut found = Vec::new();
        for lba in 0..self.layout.num_blocks() {
            if !self.is_written(lba) {
                continue;
            }
            found.clear();
            for (slot, at) in self.layout.places(lba).iter().filter(|place| recorded.contains(place.0)) {
                let content = self.disks[slot.index()].content(*at);
                let is_right = !in_sync.contains(*slot) || self.oracle.is_current(lba, content, now);
                ensure(is_right, Rule::WrongData, || {
                    let right = self.oracle.describe(lba);
                    format!("after a crash, block {lba} on m{slot} is {content:?}; right is {right}")
                })?;
                found.extend(content.write_for(lba));
            }
            // Blocks of which no member is there stay as open as they are.
            if !found.is_empty() {
                self.oracle.narrow(lba, &found);
            }
        }
        Ok(())
    }

    /// The blocks of `at_risk` may differ between members: their regions are known to need a sync.
    pub(crate) fn check_need_sync(&mut self, at_risk: &[u64], in_sync: SlotSet) -> Checked {
        let last = self.oracle.last_write();
        for lba in at_risk {
            let copies = self.layout.holders(*lba).and(in_sync).len();
            if copies < 2 || !self.has_log() {
                continue;
            }
            let region = RegionId(self.layout.region_of(*lba));
            let shard = self.geometry.shard_of(region, self.profile.shards);
            let state = self.shards[usize::from(shard.0)].region_state(region);
            let source = state.and_then(RegionState::source);
            ensure(source.is_some(), Rule::NotMarked, || {
                format!("block {lba} was not everywhere when the crash came; region {region} is {state:?}")
            })?;
            if self.oracle.settled(*lba).is_none() {
                self.coverage.saw(Seen::CopiesApart);
                self.stable.open(*lba, last);
            }
        }
        Ok(())
    }

    /// A region to which something was written is not read as zeros.
    pub(crate) fn check_none_unwritten(&self) -> Checked {
        for region in (0..self.layout.regions()).filter(|region| self.written[*region as usize]) {
            let shard = self.geometry.shard_of(RegionId(region), self.profile.shards);
            let state = self.shards[usize::from(shard.0)].region_state(RegionId(region));
            ensure(state != Some(RegionState::Unwritten), Rule::NotMarked, || {
                format!("region {region} was written to, and is unwritten after the start")
            })?;
        }
        Ok(())
    }

    /// The events that were told are the ones that are found.
    pub(crate) fn check_chronicle(&self, leader: &Superblock) -> Checked {
        let told = self.chronicle.last().map_or(0, |(seq, ..)| *seq);
        ensure(leader.last_event >= told, Rule::Events, || {
            format!("event {told} was told, and after the start {} is the last one", leader.last_event)
        })?;
        for event in self.array.events().since(0) {
            let Some(seq) = event.seq else { continue };
            let told = self.chronicle.iter().rev().find(|(number, ..)| *number == seq);
            let is_same = told.is_none_or(|told| (Some(told.1), told.2) == (event.kind, event.epoch));
            ensure(is_same, Rule::Events, || {
                format!("event {seq} was told as {told:?}, and is {:?} now", event.kind)
            })?;
        }
        Ok(())
    }

    /// The array says that it was ended in order.
    pub(crate) fn check_finished(&mut self) -> Checked {
        if !self.keeps_metadata() {
            return Ok(());
        }
        let view = raid::View::clone(self.array.view());
        if view.is_frozen() || !view.can_record() {
            return Ok(()); // it counts as a crash
        }
        let recorders = view.recorders();
        for slot in recorders.iter() {
            let shut_down = self.durable_record(slot).map(|record| record.shut_down);
            ensure(shut_down == Some(ShutDown::Clean), Rule::NotRecorded, || {
                format!("the array has ended, and a power cut leaves {shut_down:?} on m{slot}")
            })?;
        }
        for lba in (0..self.layout.num_blocks()).filter(|lba| self.is_written(*lba)) {
            for (slot, at) in self.layout.places(lba).iter().filter(|place| recorders.contains(place.0)) {
                let disk = &self.disks[slot.index()];
                let is_durable = disk.durable(*at) == disk.content(*at);
                ensure(is_durable, Rule::NotDurable, || {
                    format!("the array has ended, and block {lba} is in the cache of m{slot}")
                })?;
            }
        }
        if recorders != self.layout.slots() {
            return Ok(());
        }
        let dirty = |region: &u32| {
            self.durable_state(recorders.iter().next().expect("a complete array has members"), *region)
                == Some(RegionState::Dirty)
        };
        let left = (0..self.layout.regions()).filter(|_| self.has_log()).find(dirty);
        ensure(left.is_none(), Rule::NotMarked, || {
            format!("a complete array has ended, and region {left:?} is still marked")
        })
    }

    /// The record that counts after a crash: it says in sync of nobody who has missed something, and says that
    /// the array was ended in order if it was.
    pub(crate) fn check_leader(
        &mut self,
        leader: &Superblock,
        ended: Option<bool>,
        enough: SlotSet,
    ) -> Checked {
        let in_sync = leader.slots_in(RecordState::InSync);
        let is_clean = leader.shut_down == ShutDown::Clean;
        ensure(ended.is_none_or(|ended| ended == is_clean), Rule::NotRecorded, || {
            format!("the array was ended in order: {ended:?}; its record says {:?}", leader.shut_down)
        })?;
        ensure(!in_sync.and(enough).is_empty(), Rule::NotRecorded, || {
            format!("{enough:?} had everything; the record that counts calls {in_sync:?} in sync")
        })
    }
}
