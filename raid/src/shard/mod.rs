//! The Shard: owns zones of an array on one core, and says who may write there directly.
//!
//! Now it keeps the region leases. The dirty log (durable marks before a grant, cleaning after a revoke),
//! and the sync jobs, live here too; what they need from the lease protocol is in place: a grant has a
//! generation, [`Shard::revoke`] takes all leases of a region back, and [`Shard::is_leased`] tells when no
//! direct write can be in flight there.
//!
//! ```text
//!   region:   Free --Acquire--> Leased{holders} --revoke--> Revoking{holders, waiting} --last Release--> Free
//!                                   ^   Acquire: one more holder       | Acquire: waits       (or Leased by
//!                                   +----------------------------------+                      who waited)
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::ids::{ChannelId, LeaseGen, RegionId, ShardId};
use crate::msg::{Planner, ToArray, ToChannel, ToShard};
use crate::view::View;

/// A message that a Shard wants sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FromShard {
    /// To a Channel; one that is closed by now does not mind.
    Channel(ChannelId, ToChannel),
    /// To the Array.
    Array(ToArray),
}

/// The machine that owns zones of an array.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shard {
    id: ShardId,
    view: Option<Arc<View>>,
    /// Regions with a lease out; all others are Free.
    regions: BTreeMap<RegionId, Leases>,
    /// The generation of the last grant, over all regions.
    last_lease: LeaseGen,
    outbox: VecDeque<FromShard>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Leases {
    holders: BTreeMap<ChannelId, LeaseGen>,
    phase: LeasePhase,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum LeasePhase {
    Leased,
    Revoking { waiting: BTreeSet<ChannelId> },
}

impl Shard {
    /// A Shard with all its regions free.
    pub fn new(id: ShardId) -> Shard {
        Shard { id, view: None, regions: BTreeMap::new(), last_lease: LeaseGen(0), outbox: VecDeque::new() }
    }

    /// Who this is.
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// A message to send, oldest first.
    pub fn take_message(&mut self) -> Option<FromShard> {
        self.outbox.pop_front()
    }

    /// Whether some Channel may have direct writes in flight in `region`.
    pub fn is_leased(&self, region: RegionId) -> bool {
        self.regions.contains_key(&region)
    }

    /// Number of regions that are leased.
    pub fn leased_regions(&self) -> usize {
        self.regions.len()
    }

    /// Handles a message.
    pub fn on_message(&mut self, message: ToShard) {
        match message {
            ToShard::View(view) => self.swap(view),
            ToShard::Acquire { channel, region } => self.acquire(channel, region),
            ToShard::Release { channel, region, lease } => self.release(channel, region, Some(lease)),
            ToShard::ChannelClosed(channel) => self.close(channel),
        }
    }

    /// Takes the leases of `region` back. [`Shard::is_leased`] is false once all are in and nobody waits.
    pub fn revoke(&mut self, region: RegionId) {
        let Some(leases) = self.regions.get_mut(&region) else { return };
        if leases.phase == LeasePhase::Leased {
            leases.phase = LeasePhase::Revoking { waiting: BTreeSet::new() };
            for (channel, lease) in &leases.holders {
                let revoke = ToChannel::Revoke { region, lease: *lease };
                self.outbox.push_back(FromShard::Channel(*channel, revoke));
            }
        }
    }

    fn swap(&mut self, view: Arc<View>) {
        let epoch = view.epoch;
        self.view = Some(view);
        // A Shard plans no member I/O of its own yet, so that nothing older is ever in flight here.
        let planner = Planner::Shard(self.id);
        self.outbox.push_back(FromShard::Array(ToArray::Swapped(planner, epoch)));
        self.outbox.push_back(FromShard::Array(ToArray::Drained(planner, epoch)));
    }

    fn acquire(&mut self, channel: ChannelId, region: RegionId) {
        let leases = self
            .regions
            .entry(region)
            .or_insert_with(|| Leases { holders: BTreeMap::new(), phase: LeasePhase::Leased });
        match &mut leases.phase {
            LeasePhase::Leased => self.grant(channel, region),
            LeasePhase::Revoking { waiting } => {
                waiting.insert(channel);
            }
        }
    }

    fn grant(&mut self, channel: ChannelId, region: RegionId) {
        self.last_lease = LeaseGen(self.last_lease.0.wrapping_add(1));
        let lease = self.last_lease;
        let leases = self.regions.get_mut(&region).expect("only a leased region is granted");
        let before = leases.holders.insert(channel, lease);
        assert!(before.is_none(), "channel {channel} asked for region {region}, which it holds");
        self.outbox.push_back(FromShard::Channel(channel, ToChannel::Grant { region, lease }));
    }

    /// `lease` None: whatever it holds. A release of another generation than the one held is void.
    fn release(&mut self, channel: ChannelId, region: RegionId, lease: Option<LeaseGen>) {
        let Some(leases) = self.regions.get_mut(&region) else { return };
        if leases.holders.get(&channel).is_some_and(|held| lease.is_none_or(|lease| lease == *held)) {
            leases.holders.remove(&channel);
        }
        if !leases.holders.is_empty() {
            return;
        }
        let leases = self.regions.remove(&region).expect("it was there a moment ago");
        if let LeasePhase::Revoking { waiting } = leases.phase {
            waiting.into_iter().for_each(|channel| self.acquire(channel, region));
        }
    }

    fn close(&mut self, channel: ChannelId) {
        for leases in self.regions.values_mut() {
            if let LeasePhase::Revoking { waiting } = &mut leases.phase {
                waiting.remove(&channel);
            }
        }
        let held = self.regions.iter().filter(|(_, leases)| leases.holders.contains_key(&channel));
        let held: Vec<RegionId> = held.map(|(region, _)| *region).collect();
        held.into_iter().for_each(|region| self.release(channel, region, None));
    }
}

#[cfg(test)]
mod tests;
