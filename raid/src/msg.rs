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
    /// How the regions of one Shard are to be read, where not from any in-sync copy. The first word of every
    /// Shard to a new Channel, which does nothing before it has heard them all.
    Rules(Arc<Rules>),
    /// How a region is to be read from now on, or once the Channel plans with View `epoch`. It is answered then.
    Rule {
        /// The region.
        region: RegionId,
        /// None: from any in-sync copy.
        rule: Option<ReadRule>,
        /// The View that the rule is true of: members that only older ones count on may lack what it relies on.
        epoch: Epoch,
        /// What the answer must name.
        change: u64,
    },
    /// The region can't be marked as being written to: the writes that wait for its lease fail.
    Denied {
        /// The region.
        region: RegionId,
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
    /// Give the lease back if it was not used since this was said last.
    GiveBackIfIdle {
        /// The region.
        region: RegionId,
        /// The grant; another one than the Channel holds is void.
        lease: LeaseGen,
    },
}

/// The read rules of a Shard's regions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rules {
    /// The View that they are true of; none older may be planned with.
    pub epoch: Epoch,
    /// The regions that have one.
    pub regions: Box<[(RegionId, ReadRule)]>,
}

/// How a region is read, where not from any in-sync copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReadRule {
    /// It was never written: zeros, without asking a member.
    Zeros,
    /// Copies may differ: from this member; where it has none or does not answer, from the lowest slot.
    From(Slot),
}

/// From a Channel to a Shard.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ToShard {
    /// The Array's View.
    View(Arc<View>),
    /// A Channel was made; it waits for the rules.
    ChannelOpened(ChannelId),
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
    /// A member could not read blocks that another one could: they are to be written there again. They lie in
    /// one region.
    Repair {
        /// The member.
        slot: Slot,
        /// First block of the array.
        lba: u64,
        /// Number of blocks.
        blocks: u64,
    },
    /// A Channel reads a region by a new rule.
    RuleSeen {
        /// Who.
        channel: ChannelId,
        /// Where.
        region: RegionId,
        /// The number of the change.
        change: u64,
    },
    /// A Channel is gone, and with it all that it held or waited for.
    ChannelClosed(ChannelId),
    /// The array ends, and no Channel is left: make durable what is to be found at the next start.
    Quit,
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
    /// Metadata could not be written to a member, or it could not flush.
    Unrecorded {
        /// The member.
        slot: Slot,
        /// What came back.
        fault: Fault,
    },
    /// Blocks that a member could not read were written there again, and flushed.
    Repaired {
        /// The member.
        slot: Slot,
        /// First block on the member.
        lba: u64,
        /// Number of blocks.
        blocks: u64,
    },
    /// Blocks that a member could not read could not be written there either.
    Unrepaired {
        /// The member.
        slot: Slot,
        /// First block on the member.
        lba: u64,
        /// Number of blocks.
        blocks: u64,
        /// What came back.
        fault: Fault,
    },
    /// A member has not answered for `member_timeout`.
    TimedOut {
        /// The member.
        slot: Slot,
    },
    /// A Shard has done what it was asked to do at the end.
    ShardFlushed(ShardId),
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
