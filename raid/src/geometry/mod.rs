//! Where a block of the array lives on its members.
//!
//! ```text
//! concat            raid0 (3 members)      raid1           raid10, near=2, 3 members
//! m0: [0 .. e0)     m0  m1  m2             m0  m1          m0  m1  m2
//! m1: [e0 .. e1)     0   1   2             the same         0   0   1
//! m2: [e1 .. e2)     3   4   5             block on all     1   2   2
//!                    (numbers are chunks)                   3   3   4
//! ```
//!
//! raid0 and raid10 are one rule: copy `k` of chunk `c` stands at position `p = c * copies + k`, on member
//! `p mod n`, in row `p div n` (Linux md's "near" layout; also for member counts that `copies` does not
//! divide). On every member the data area begins at `data_offset_blocks`; member addresses that this module
//! returns include it.

mod divide;
mod spec;

pub use divide::Divisor;
pub use spec::{GeometryError, GeometrySpec, Level, REGIONS_LIMIT};

use crate::ids::{RegionId, ShardId, Slot, SlotSet};

/// A zone is this many regions: what one [`crate::Shard`] owns in a row.
pub const ZONE_REGIONS: u32 = 16;

/// Where blocks live. Made by [`GeometrySpec::build`]; it never changes while the array is running.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Geometry {
    level: Level,
    block_size: u32,
    data_offset_blocks: u64,
    num_blocks: u64,
    region_shift: u32,
    map: Map,
    members: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Map {
    Concat { ends: Box<[u64]> },
    Mirror,
    Striped { chunk_shift: u32, members: Divisor, copies: Divisor },
}

/// A run of blocks on one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Extent {
    /// The member.
    pub slot: Slot,
    /// First block on the member, data offset included.
    pub lba: u64,
    /// Number of blocks.
    pub blocks: u64,
}

impl Geometry {
    /// The level.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Bytes of a block.
    pub fn block_size(&self) -> u32 {
        self.block_size
    }

    /// Blocks that the host sees.
    pub fn num_blocks(&self) -> u64 {
        self.num_blocks
    }

    /// Where the data area begins on every member.
    pub fn data_offset_blocks(&self) -> u64 {
        self.data_offset_blocks
    }

    /// Number of slots in the member table.
    pub fn members(&self) -> usize {
        usize::from(self.members)
    }

    /// Every slot.
    pub fn slots(&self) -> SlotSet {
        SlotSet::first(self.members())
    }

    /// Blocks of a chunk; 0 where the level has no chunks (concat, raid1).
    pub fn chunk_blocks(&self) -> u64 {
        match self.map {
            Map::Striped { chunk_shift, .. } => 1 << chunk_shift,
            Map::Concat { .. } | Map::Mirror => 0,
        }
    }

    /// Blocks that a write must cover, aligned, to touch every data position of a stripe once; 0 where
    /// there are no stripes.
    pub fn stripe_blocks(&self) -> u64 {
        match self.map {
            Map::Striped { chunk_shift, members, copies } => (members.get() / copies.get()) << chunk_shift,
            Map::Concat { .. } | Map::Mirror => 0,
        }
    }

    /// How many members hold each block.
    #[inline]
    pub fn copies(&self) -> u8 {
        match self.map {
            Map::Concat { .. } => 1,
            Map::Mirror => self.members,
            Map::Striped { copies, .. } => copies.get() as u8,
        }
    }

    /// Whether a member can be lost at all.
    #[inline]
    pub fn is_redundant(&self) -> bool {
        self.copies() > 1
    }

    /// Where copy `copy` of block `lba` is: the member, and the block there.
    #[inline]
    pub fn locate(&self, lba: u64, copy: u8) -> (Slot, u64) {
        debug_assert!(lba < self.num_blocks && copy < self.copies());
        match &self.map {
            Map::Mirror => (Slot(copy), lba + self.data_offset_blocks),
            Map::Striped { chunk_shift, members, copies } => {
                let chunk = lba >> chunk_shift;
                let within = lba & ((1 << chunk_shift) - 1);
                let (row, slot) = members.divide(chunk * copies.get() + u64::from(copy));
                (Slot(slot as u8), self.data_offset_blocks + (row << chunk_shift) + within)
            }
            Map::Concat { ends } => {
                let slot = self.concat_slot(ends, lba);
                let start = if slot == 0 { 0 } else { ends[slot - 1] };
                (Slot(slot as u8), self.data_offset_blocks + lba - start)
            }
        }
    }

    /// How many blocks from `lba` on lie in a row on each of their members.
    #[inline]
    pub fn run_blocks(&self, lba: u64) -> u64 {
        match &self.map {
            Map::Mirror => self.num_blocks - lba,
            Map::Striped { chunk_shift, .. } => (1 << chunk_shift) - (lba & ((1 << chunk_shift) - 1)),
            Map::Concat { ends } => ends[self.concat_slot(ends, lba)] - lba,
        }
    }

    /// The blocks of member `slot` that hold anything of the array's `[lba, lba + blocks)`: always one run,
    /// because rows of a member hold chunks in rising order.
    pub fn extent_on(&self, slot: Slot, lba: u64, blocks: u64) -> Option<Extent> {
        debug_assert!(blocks > 0 && lba + blocks <= self.num_blocks);
        let (start, end) = match &self.map {
            Map::Mirror => (lba, lba + blocks),
            Map::Concat { ends } => {
                let first = if slot.0 == 0 { 0 } else { ends[slot.index() - 1] };
                let (from, to) = (lba.max(first), (lba + blocks).min(ends[slot.index()]));
                (from.checked_sub(first)?, to.checked_sub(first)?)
            }
            Map::Striped { chunk_shift, members, copies } => {
                striped_extent(*chunk_shift, members.get(), copies.get(), slot, lba, lba + blocks)?
            }
        };
        (start < end).then(|| Extent { slot, lba: start + self.data_offset_blocks, blocks: end - start })
    }

    /// Blocks of a region.
    pub fn region_blocks(&self) -> u64 {
        1 << self.region_shift
    }

    /// Number of regions.
    pub fn regions(&self) -> u32 {
        u32::try_from(self.num_blocks.div_ceil(self.region_blocks()))
            .expect("GeometrySpec limits the regions")
    }

    /// The region of block `lba`.
    #[inline]
    pub fn region_of(&self, lba: u64) -> RegionId {
        RegionId((lba >> self.region_shift) as u32)
    }

    /// The first block after the region of `lba`.
    #[inline]
    pub fn region_end(&self, lba: u64) -> u64 {
        ((lba >> self.region_shift) + 1) << self.region_shift
    }

    /// The Shard that owns `region`, of `shards` Shards.
    #[inline]
    pub fn shard_of(&self, region: RegionId, shards: u16) -> ShardId {
        ShardId((u32::from(crate::format::log::place(region).page) % u32::from(shards)) as u16)
    }

    /// Whether every block still has a copy when only `slots` are left.
    pub fn is_served_by(&self, slots: SlotSet) -> bool {
        match self.map {
            Map::Concat { .. } => self.slots().minus(slots).is_empty(),
            Map::Mirror => !slots.is_empty(),
            // The pattern of members repeats after at most `members` chunks.
            Map::Striped { chunk_shift, members, copies } => {
                let chunks = members.get().min(self.num_blocks >> chunk_shift);
                (0..chunks).all(|chunk| {
                    let first = chunk * copies.get();
                    (first..first + copies.get()).any(|p| slots.contains(Slot((p % members.get()) as u8)))
                })
            }
        }
    }

    #[inline]
    fn concat_slot(&self, ends: &[u64], lba: u64) -> usize {
        ends.partition_point(|end| *end <= lba)
    }
}

/// The rows of `slot` that hold chunks of `[from, to)`, as blocks of the member's data area.
fn striped_extent(
    shift: u32,
    members: u64,
    copies: u64,
    slot: Slot,
    from: u64,
    to: u64,
) -> Option<(u64, u64)> {
    let mask = (1u64 << shift) - 1;
    let (first_chunk, last_chunk) = (from >> shift, (to - 1) >> shift);
    let slot = u64::from(slot.0);
    let first_row = (first_chunk * copies).saturating_sub(slot).div_ceil(members);
    let last_row = (last_chunk * copies + copies - 1).checked_sub(slot)? / members;
    if first_row > last_row {
        return None;
    }
    let chunk_in = |row: u64| (row * members + slot) / copies;
    let skipped = if chunk_in(first_row) == first_chunk { from & mask } else { 0 };
    let end = if chunk_in(last_row) == last_chunk { ((to - 1) & mask) + 1 } else { mask + 1 };
    Some(((first_row << shift) + skipped, (last_row << shift) + end))
}

#[cfg(test)]
mod tests;
