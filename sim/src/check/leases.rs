//! Who may write where, kept by the messages that Shards send and receive.

use raid::ids::LeaseGen;
use raid::{ChannelId, RegionId};

use super::{Checked, Rule, ensure};

/// Per region, the grants that were sent and not given back.
#[derive(Debug)]
pub(crate) struct LeaseBook {
    regions: Vec<Vec<(ChannelId, LeaseGen)>>,
    /// Per region: its leases are being taken back.
    revoking: Vec<bool>,
}

impl LeaseBook {
    pub fn new(regions: u32) -> LeaseBook {
        LeaseBook { regions: vec![Vec::new(); regions as usize], revoking: vec![false; regions as usize] }
    }

    /// A Shard sends a grant.
    pub fn granted(&mut self, channel: ChannelId, region: RegionId, lease: LeaseGen) -> Checked {
        let holders = &mut self.regions[region.0 as usize];
        let is_new = holders.iter().all(|(holder, _)| *holder != channel);
        ensure(is_new, Rule::Lease, || format!("ch {channel} is granted region {region} twice"))?;
        ensure(!self.revoking[region.0 as usize], Rule::Lease, || {
            format!("ch {channel} is granted region {region}, which is being revoked")
        })?;
        holders.push((channel, lease));
        Ok(())
    }

    /// A Shard receives a release.
    pub fn released(&mut self, channel: ChannelId, region: RegionId, lease: LeaseGen) {
        self.regions[region.0 as usize].retain(|held| *held != (channel, lease));
        self.revoking[region.0 as usize] &= !self.regions[region.0 as usize].is_empty();
    }

    /// A Shard wants the leases of a region back.
    pub fn revoked(&mut self, region: RegionId) {
        self.revoking[region.0 as usize] = !self.regions[region.0 as usize].is_empty();
    }

    /// A Shard hears that the Channel is gone. True if it held anything.
    pub fn closed(&mut self, channel: ChannelId, of_shard: impl Fn(RegionId) -> bool) -> bool {
        let mut held = false;
        let regions = (0..).map(RegionId).zip(self.regions.iter_mut().zip(&mut self.revoking));
        for (_, (holders, revoking)) in regions.filter(|(region, _)| of_shard(*region)) {
            let before = holders.len();
            holders.retain(|(holder, _)| *holder != channel);
            held |= holders.len() < before;
            *revoking &= !holders.is_empty();
        }
        held
    }

    pub fn holds(&self, channel: ChannelId, region: u32) -> bool {
        self.regions[region as usize].iter().any(|(holder, _)| *holder == channel)
    }

    pub fn is_held(&self, region: RegionId) -> bool {
        !self.regions[region.0 as usize].is_empty()
    }

    /// The Channel wants to write into the region.
    pub fn check_write(&self, channel: ChannelId, region: u32) -> Checked {
        ensure(self.holds(channel, region), Rule::Lease, || {
            format!("ch {channel} writes into region {region}, whose lease it does not hold")
        })
    }
}
