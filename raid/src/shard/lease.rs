//! Leases: who may write into a region directly, and the way there.

use std::collections::{BTreeMap, BTreeSet};

use super::region::RegionEvent;
use super::{Errand, FromShard, Shard};
use crate::fault::Fault;
use crate::format::RegionState;
use crate::ids::{ChannelId, LeaseGen, RegionId, Slot, SlotSet};
use crate::meta::MetaWrite;
use crate::msg::ToChannel;
use crate::view::OnFailed;

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Leases {
    holders: BTreeMap<ChannelId, LeaseGen>,
    waiting: BTreeSet<ChannelId>,
    phase: Phase,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
enum Phase {
    /// Zeros are written to the members: sent to the first set, there on the second.
    Zeroing {
        sent: SlotSet,
        there: SlotSet,
    },
    /// The mark is written. `was_unwritten`: the Channels have to hear of it.
    Marking {
        generation: u64,
        was_unwritten: bool,
    },
    /// Channels hear that the region is read like any other.
    Announcing {
        change: u64,
        unseen: BTreeSet<ChannelId>,
    },
    #[default]
    Leased,
    Revoking,
    /// The Shard has it for itself: who asks waits.
    Taken,
}

impl Shard {
    pub(super) fn acquire(&mut self, channel: ChannelId, region: RegionId) {
        self.cleaner.is_used(region);
        if let Some(leases) = self.regions.get_mut(&region) {
            match leases.phase {
                Phase::Leased => self.grant(channel, region),
                _ => {
                    leases.waiting.insert(channel);
                }
            }
            return;
        }
        let phase = self.first_phase(region);
        if phase == Phase::Leased {
            self.regions.insert(region, Leases::default());
            return self.grant(channel, region);
        }
        let waiting = BTreeSet::from([channel]);
        self.regions.insert(region, Leases { holders: BTreeMap::new(), waiting, phase });
        self.pending.insert(region);
    }

    /// What a free region goes through before its first lease.
    fn first_phase(&mut self, region: RegionId) -> Phase {
        let marked_on = self.marked_on();
        let Some(log) = &mut self.log else { return Phase::Leased };
        if log.state(region) == RegionState::Unwritten {
            return Phase::Zeroing { sent: SlotSet::EMPTY, there: SlotSet::EMPTY };
        }
        let generation = log.apply(region, RegionEvent::Written);
        if log.is_durable(region, generation, marked_on) {
            return Phase::Leased;
        }
        Phase::Marking { generation, was_unwritten: false }
    }

    fn grant(&mut self, channel: ChannelId, region: RegionId) {
        self.last_lease = LeaseGen(self.last_lease.0.wrapping_add(1));
        let lease = self.last_lease;
        let leases = self.regions.get_mut(&region).expect("only a leased region is granted");
        let before = leases.holders.insert(channel, lease);
        assert!(before.is_none(), "channel {channel} asked for region {region}, which it holds");
        self.outbox.push_back(FromShard::Channel(channel, ToChannel::Grant { region, lease }));
    }

    /// Takes the leases of `region` back. [`Shard::is_leased`] is false once all are in and nobody waits.
    pub fn revoke(&mut self, region: RegionId) {
        let Some(leases) = self.regions.get_mut(&region) else { return };
        if leases.phase != Phase::Leased {
            return;
        }
        leases.phase = Phase::Revoking;
        for (channel, lease) in &leases.holders {
            let revoke = ToChannel::Revoke { region, lease: *lease };
            self.outbox.push_back(FromShard::Channel(*channel, revoke));
        }
    }

    /// Asks the holders of every lease to give it back if they do not use it.
    pub(super) fn ask_for_idle_leases(&mut self) {
        for (region, leases) in self.regions.iter().filter(|(_, leases)| leases.phase == Phase::Leased) {
            for (channel, lease) in &leases.holders {
                let ask = ToChannel::GiveBackIfIdle { region: *region, lease: *lease };
                self.outbox.push_back(FromShard::Channel(*channel, ask));
            }
        }
    }

    /// `lease` None: whatever it holds. A release of another generation than the one held is void.
    pub(super) fn release(&mut self, channel: ChannelId, region: RegionId, lease: Option<LeaseGen>) {
        let Some(leases) = self.regions.get_mut(&region) else { return };
        if leases.holders.get(&channel).is_some_and(|held| lease.is_none_or(|lease| lease == *held)) {
            leases.holders.remove(&channel);
        }
        let is_out = matches!(leases.phase, Phase::Leased | Phase::Revoking);
        if is_out && leases.holders.is_empty() {
            self.free(region);
        }
    }

    /// Makes `region` the Shard's own. True once no Channel can write there any more, and its mark is durable.
    pub(super) fn take(&mut self, region: RegionId) -> bool {
        match self.regions.get(&region).map(|leases| &leases.phase) {
            Some(Phase::Taken) => return true,
            Some(Phase::Leased) => self.revoke(region),
            Some(_) => {}
            None => {
                self.cleaner.is_used(region);
                let phase = self.first_phase(region);
                let phase = if phase == Phase::Leased { Phase::Taken } else { phase };
                let is_taken = phase == Phase::Taken;
                let (holders, waiting) = (BTreeMap::new(), BTreeSet::new());
                self.regions.insert(region, Leases { holders, waiting, phase });
                if !is_taken {
                    self.pending.insert(region);
                }
                return is_taken;
            }
        }
        false
    }

    /// The Shard needs `region` no longer.
    pub(super) fn end_taking(&mut self, region: RegionId) {
        if self.regions.get(&region).is_some_and(|leases| leases.phase == Phase::Taken) {
            self.free(region);
        }
    }

    /// The last lease of `region` came back.
    fn free(&mut self, region: RegionId) {
        let leases = self.regions.remove(&region).expect("it was leased");
        self.pending.remove(&region);
        if self.wants_repairs(region) {
            self.take(region);
            let taken = self.regions.get_mut(&region).expect("just taken");
            taken.waiting.extend(leases.waiting);
            return;
        }
        if self.log.as_ref().is_some_and(|log| log.state(region) == RegionState::Dirty) {
            self.cleaner.is_free(region);
        }
        leases.waiting.into_iter().for_each(|channel| self.acquire(channel, region));
    }

    pub(super) fn drop_channel(&mut self, channel: ChannelId) {
        for leases in self.regions.values_mut() {
            leases.waiting.remove(&channel);
            if let Phase::Announcing { unseen, .. } = &mut leases.phase {
                unseen.remove(&channel);
            }
        }
        let held = self.regions.iter().filter(|(_, leases)| leases.holders.contains_key(&channel));
        let held: Vec<RegionId> = held.map(|(region, _)| *region).collect();
        held.into_iter().for_each(|region| self.release(channel, region, None));
    }

    pub(super) fn zeroed(&mut self, region: RegionId, slot: Slot, result: Result<(), Fault>) {
        let Some(leases) = self.regions.get_mut(&region) else { return };
        let Phase::Zeroing { sent, there } = &mut leases.phase else { return };
        match result {
            Ok(()) => there.insert(slot),
            Err(fault) if fault.is_transient() => sent.remove(slot),
            Err(_) => {} // the Array decides about the member
        }
    }

    pub(super) fn rule_seen(&mut self, channel: ChannelId, region: RegionId, seen: u64) {
        let Some(leases) = self.regions.get_mut(&region) else { return };
        if let Phase::Announcing { change, unseen } = &mut leases.phase
            && *change == seen
        {
            unseen.remove(&channel);
        }
    }

    /// Whether no region is leased or on the way to it, but for those that can't get there: nobody waits for them,
    /// and their zeros are not under way.
    pub(super) fn is_unused(&self) -> bool {
        let can_record = self.view.as_ref().is_some_and(|view| view.can_record());
        let is_stranded = |leases: &Leases| match leases.phase {
            Phase::Zeroing { .. } => leases.waiting.is_empty(),
            Phase::Marking { .. } => leases.waiting.is_empty() && !can_record,
            Phase::Announcing { .. } | Phase::Leased | Phase::Revoking | Phase::Taken => false,
        };
        let is_zeroing = |errand: &Errand| matches!(errand, Errand::Zero { .. });
        self.regions.values().all(is_stranded) && !self.under_way.any(is_zeroing)
    }

    /// Moves on the regions that are on the way to a lease.
    pub(super) fn advance_regions(&mut self) {
        let Some(view) = self.view.clone() else { return };
        for region in self.pending.clone() {
            let is_cut_off =
                view.is_frozen() && self.can_not_zero(region, view.in_sync.minus(view.reachable));
            let is_unmarked =
                matches!(self.regions[&region].phase, Phase::Zeroing { .. } | Phase::Marking { .. });
            let is_refused = is_unmarked && !view.can_record();
            if is_refused || is_cut_off && view.on_failed == OnFailed::Error {
                self.deny(region);
            } else if !is_cut_off {
                while self.advance(region) {}
            }
        }
    }

    /// Whether the members of `lost`, which will count again when they are back, lack zeros that `region` is to
    /// be filled with: it must stay unwritten.
    fn can_not_zero(&self, region: RegionId, lost: SlotSet) -> bool {
        let Some(Phase::Zeroing { there, .. }) = self.regions.get(&region).map(|leases| &leases.phase) else {
            return false;
        };
        let (lba, blocks) = self.blocks_of(region);
        lost.minus(*there).iter().any(|slot| self.geometry.extent_on(slot, lba, blocks).is_some())
    }

    fn blocks_of(&self, region: RegionId) -> (u64, u64) {
        let lba = u64::from(region.0) * self.geometry.region_blocks();
        (lba, self.geometry.region_blocks().min(self.geometry.num_blocks() - lba))
    }

    /// The mark, or the zeros before it, can't be made durable everywhere: the writes fail. Zeros may be under
    /// way, and must not land on what is written later: the region stays where it is then.
    fn deny(&mut self, region: RegionId) {
        let leases = self.regions.get_mut(&region).expect("a pending region has an entry");
        for channel in std::mem::take(&mut leases.waiting) {
            self.outbox.push_back(FromShard::Channel(channel, ToChannel::Denied { region }));
        }
        if matches!(leases.phase, Phase::Marking { was_unwritten: false, .. }) {
            self.free(region);
        }
    }

    /// One phase of `region`. False: it waits, or has its leases.
    fn advance(&mut self, region: RegionId) -> bool {
        let targets = self.targets();
        let Some(leases) = self.regions.get(&region) else { return false };
        let next = match &leases.phase {
            Phase::Zeroing { sent, there } => {
                let (sent, there) = (*sent, *there);
                if !targets.minus(there).is_empty() {
                    self.zero(region, targets.minus(sent));
                    return false;
                }
                let log = self.log.as_mut().expect("it has states");
                let generation = log.apply(region, RegionEvent::Written);
                Phase::Marking { generation, was_unwritten: true }
            }
            Phase::Marking { generation, was_unwritten } => {
                let log = self.log.as_ref().expect("it has states");
                if !log.is_durable(region, *generation, targets) {
                    return false;
                }
                match *was_unwritten {
                    true => self.announce(region),
                    false if self.wants_repairs(region) && leases.waiting.is_empty() => Phase::Taken,
                    false => Phase::Leased,
                }
            }
            Phase::Announcing { unseen, .. } if !unseen.is_empty() => return false,
            Phase::Announcing { .. } => Phase::Leased,
            Phase::Leased | Phase::Revoking | Phase::Taken => return false,
        };
        let is_leased = next == Phase::Leased;
        if next == Phase::Taken {
            self.pending.remove(&region);
        }
        let leases = self.regions.get_mut(&region).expect("looked at above");
        leases.phase = next;
        if is_leased {
            self.pending.remove(&region);
            let waiting = std::mem::take(&mut leases.waiting);
            let nobody = waiting.is_empty();
            waiting.into_iter().for_each(|channel| self.grant(channel, region));
            if nobody {
                self.free(region); // all who asked have closed
            }
        }
        !is_leased
    }

    fn announce(&mut self, region: RegionId) -> Phase {
        self.last_change += 1;
        let (change, epoch) = (self.last_change, self.epoch());
        for channel in &self.channels {
            let rule = ToChannel::Rule { region, rule: None, epoch, change };
            self.outbox.push_back(FromShard::Channel(*channel, rule));
        }
        // Who joins later is told the rules as they are then.
        let unseen = self.channels.difference(&self.joining).copied().collect();
        Phase::Announcing { change, unseen }
    }

    fn zero(&mut self, region: RegionId, slots: SlotSet) {
        let (lba, blocks) = self.blocks_of(region);
        for slot in slots.iter() {
            let leases = self.regions.get_mut(&region).expect("it is being zeroed");
            let Phase::Zeroing { sent, there } = &mut leases.phase else { return };
            sent.insert(slot);
            match self.geometry.extent_on(slot, lba, blocks) {
                Some(extent) => {
                    let write = MetaWrite::Zeroes { lba: extent.lba, blocks: extent.blocks };
                    self.submit(Errand::Zero { region, slot }, Some(write));
                }
                None => there.insert(slot),
            }
        }
    }
}
