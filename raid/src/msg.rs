//! What the machines say to one another.
//!
//! Between any two machines messages arrive in the order in which they were sent; nothing else about their
//! order or delay is assumed, and owner and user need not share memory.
//!
//! ```text
//!   Array --View(N)-->    every Channel and Shard          "plan with this from now on"
//!         <--Swapped(N)-- at once                          (gates the pipeline)
//!         <--Drained(N)-- nothing older is in flight       (gates closing a drive)
//!         --Settled(N)--> once all have swapped            (writes that missed a member may be acknowledged)
//! ```

use std::sync::Arc;

use crate::fault::Fault;
use crate::ids::{ChannelId, Epoch, LeaseGen, RegionId, ShardId, Slot};
use crate::view::View;

/// To a Channel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ToChannel {
    /// Plan with this View from now on. The first one opens the Channel for business.
    View(Arc<View>),
    /// Every Channel and Shard plans with the View of this epoch, which is durable.
    Settled(Epoch),
    /// The Array keeps `slot` in the membership in spite of the errors up to this report.
    Kept {
        /// The member.
        slot: Slot,
        /// The Channel's own report number.
        report: u64,
    },
    /// Writes into `region` may go directly to the members.
    Grant {
        /// The region.
        region: RegionId,
        /// The grant that a release must name.
        lease: LeaseGen,
    },
    /// Give the lease back once the writes under it are done.
    Revoke {
        /// The region.
        region: RegionId,
        /// The grant that is revoked; another one than the Channel holds is void.
        lease: LeaseGen,
    },
}

/// From a Channel to a Shard.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ToShard {
    /// The Array's View.
    View(Arc<View>),
    /// A Channel wants to write into a region.
    Acquire {
        /// Who.
        channel: ChannelId,
        /// Where.
        region: RegionId,
    },
    /// A Channel gives a lease back: none of its writes under it is in flight.
    Release {
        /// Who.
        channel: ChannelId,
        /// Where.
        region: RegionId,
        /// The grant.
        lease: LeaseGen,
    },
    /// A Channel is gone, and with it all that it held or waited for.
    ChannelClosed(ChannelId),
}

/// Who plans with Views, and therefore acknowledges them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Planner {
    /// A Channel.
    Channel(ChannelId),
    /// A Shard.
    Shard(ShardId),
}

/// To the Array.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ToArray {
    /// A Channel was made; it serves nothing until it was sent a View.
    ChannelOpened(ChannelId),
    /// A Channel is gone; it counts as having acknowledged everything.
    ChannelClosed(ChannelId),
    /// The planner uses View `epoch` from now on.
    Swapped(Planner, Epoch),
    /// Nothing that the planner planned before View `epoch` is in flight.
    Drained(Planner, Epoch),
    /// A member failed an I/O.
    Report {
        /// Who saw it, and gets the verdict.
        channel: ChannelId,
        /// Numbered by the Channel.
        report: u64,
        /// The member.
        slot: Slot,
        /// What was tried.
        class: FaultClass,
        /// What came back.
        fault: Fault,
    },
}

/// What kind of I/O failed on a member: whether redundancy has answered already, or data is missing there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultClass {
    /// A read; another member answers.
    Read,
    /// A write, write-zeroes or unmap: the member now lacks data that others have.
    Write,
    /// A FLUSH: nothing written since the last good one is known to be durable there.
    Flush,
}
