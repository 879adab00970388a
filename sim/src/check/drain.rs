//! What `Drained`, a release and the closing of a drive promise: nothing of the kind is in flight.

use raid::{ChannelId, Epoch, RegionId, Slot};

use super::{Checked, Rule, ensure};
use crate::disk::Pending;
use crate::world::World;

impl World {
    fn pending(&self) -> impl Iterator<Item = &Pending> {
        self.disks.iter().flat_map(|disk| &disk.pending)
    }

    /// A Channel says that nothing planned before `epoch` is in flight.
    pub(crate) fn check_drained(&self, channel: ChannelId, epoch: Epoch) -> Checked {
        let mut older = self.pending().filter(|pending| pending.channel == channel && pending.epoch < epoch);
        let left = older.next();
        ensure(left.is_none(), Rule::Drained, || {
            format!("ch {channel} says Drained({epoch}), but {:?} is in flight", left.map(|p| &p.child))
        })
    }

    /// The Array closes the drive in `slot`.
    pub(crate) fn check_close(&self, slot: Slot) -> Checked {
        let disk = &self.disks[slot.index()];
        let left = disk.pending.first();
        ensure(left.is_none(), Rule::Drained, || {
            format!("m{slot} is closed, but {:?} is in flight", left.map(|p| &p.child))
        })?;
        ensure(disk.meta.is_empty(), Rule::Drained, || {
            format!("m{slot} is closed, but {:?} is in flight", disk.meta[0].io)
        })?;
        ensure(!disk.closed, Rule::Drained, || format!("m{slot} is closed twice"))
    }

    /// A Channel gives `region` back, or is gone: none of its writes there is in flight.
    pub(crate) fn check_released(&self, channel: ChannelId, region: Option<RegionId>) -> Checked {
        let left = self.pending().find(|pending| {
            pending.channel == channel
                && pending.region.is_some()
                && region.is_none_or(|region| pending.region == Some(region.0))
        });
        ensure(left.is_none(), Rule::Lease, || {
            format!("ch {channel} gives a lease back with {:?} in flight", left.map(|p| &p.child))
        })
    }

    /// The Shard says that nobody holds `region`: no direct write is in flight there.
    pub(crate) fn check_unleased(&self, region: RegionId) -> Checked {
        let left = self.pending().find(|pending| pending.region == Some(region.0));
        ensure(left.is_none(), Rule::Lease, || {
            format!(
                "region {region} is not leased, but {:?} is in flight",
                left.map(|p| (p.channel, &p.child))
            )
        })
    }
}
