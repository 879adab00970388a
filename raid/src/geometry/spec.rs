//! What an array is made from, and why it can't be made.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::{Divisor, Geometry, Map};
use crate::ids::SLOTS_MAX;

/// The RAID levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// Members one after the other.
    Concat,
    /// Striped, no redundancy.
    Raid0,
    /// Every member holds everything.
    Raid1,
    /// Striped mirrors: every chunk on `near` members.
    Raid10 {
        /// Copies of each chunk.
        near: u8,
    },
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Concat => "concat",
            Level::Raid0 => "raid0",
            Level::Raid1 => "raid1",
            Level::Raid10 { .. } => "raid10",
        })
    }
}

impl FromStr for Level {
    type Err = GeometryError;

    /// raid10 comes with `near` 2, the default layout.
    fn from_str(name: &str) -> Result<Level, GeometryError> {
        match name {
            "concat" => Ok(Level::Concat),
            "raid0" => Ok(Level::Raid0),
            "raid1" => Ok(Level::Raid1),
            "raid10" => Ok(Level::Raid10 { near: 2 }),
            "raid5" | "raid6" => Err(GeometryError::LevelNotYet(name.to_owned())),
            _ => Err(GeometryError::LevelUnknown(name.to_owned())),
        }
    }
}

/// The wanted shape. Sizes are in blocks of `block_size` bytes.
#[derive(Clone, Debug)]
pub struct GeometrySpec {
    /// The level.
    pub level: Level,
    /// 512 or 4096; the same on all members.
    pub block_size: u32,
    /// Blocks of each member, by slot; `None` for a slot that is filled later.
    pub member_blocks: Vec<Option<u64>>,
    /// Blocks of a chunk, a power of two. Ignored by levels without chunks.
    pub chunk_blocks: u64,
    /// Blocks of a region, a power of two; `None` picks the smallest of at least 1 MiB that keeps the array
    /// within [`REGIONS_MAX`] regions.
    pub region_blocks: Option<u64>,
    /// Where the data area begins on every member.
    pub data_offset_blocks: u64,
}

/// The most regions that the default region size leads to.
pub const REGIONS_MAX: u64 = 32 * 1024;

/// The most regions that an explicit region size may lead to: every Channel has a table of them, and the
/// dirty log on the members has room for these (256 pages of 3840 regions, see [`crate::format::log`]).
pub const REGIONS_LIMIT: u64 = 256 * 3840;

/// Why a shape is impossible.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum GeometryError {
    /// No such level.
    #[error("there is no level '{0}'; use one of concat, raid0, raid1, raid10")]
    LevelUnknown(String),
    /// A level that this version does not run.
    #[error("level {0} comes with a later version; use raid1 or raid10 for redundancy now")]
    LevelNotYet(String),
    /// Too few or too many members.
    #[error("{level} needs {needs} members, and got {got}")]
    MemberCount {
        /// The level.
        level: Level,
        /// What it takes, in words.
        needs: String,
        /// What it got.
        got: usize,
    },
    /// raid10 with more copies than members, or fewer than two.
    #[error("raid10 with near={near} and {members} members: near must be from 2 to the number of members")]
    Near {
        /// The wanted copies.
        near: u8,
        /// The members.
        members: usize,
    },
    /// All slots are empty.
    #[error("every slot is missing; at least one member must be present")]
    NoMembers,
    /// A level that can't start without all members.
    #[error("{0} can't be made with missing members: it needs every one of them; fill the slots")]
    MissingMember(Level),
    /// A bad block size.
    #[error("block size {0} is not supported; members must have blocks of 512 or 4096 bytes")]
    BlockSize(u32),
    /// A bad chunk.
    #[error("a chunk of {0} blocks is impossible; it must be a power of two, from 1 block to 2^20 blocks")]
    Chunk(u64),
    /// A bad region size.
    #[error("a region of {region_blocks} blocks is impossible: {why}")]
    Region {
        /// The wanted size.
        region_blocks: u64,
        /// What is wrong and what would be right.
        why: String,
    },
    /// A member without room for data.
    #[error("the member in slot {slot} has {blocks} blocks; {needed} are needed before any data fits")]
    MemberTooSmall {
        /// The slot.
        slot: usize,
        /// What it has.
        blocks: u64,
        /// Data offset and one chunk.
        needed: u64,
    },
    /// A recorded size that the members can't have.
    #[error("an array of {num_blocks} blocks does not fit its members, which make one of {room} blocks")]
    Size {
        /// The recorded size.
        num_blocks: u64,
        /// What the members have room for.
        room: u64,
    },
    /// More blocks than addresses.
    #[error("the array would have {0} blocks; the most is 2^48")]
    TooLarge(u128),
}

impl GeometrySpec {
    /// The geometry, or why there is none.
    pub fn build(&self) -> Result<Geometry, GeometryError> {
        self.check_members()?;
        if !matches!(self.block_size, 512 | 4096) {
            return Err(GeometryError::BlockSize(self.block_size));
        }
        let chunked = matches!(self.level, Level::Raid0 | Level::Raid10 { .. });
        if chunked && !(self.chunk_blocks.is_power_of_two() && self.chunk_blocks <= 1 << 20) {
            return Err(GeometryError::Chunk(self.chunk_blocks));
        }
        let unit = if chunked { self.chunk_blocks } else { 1 };
        let (map, num_blocks) = self.map(&self.usable_blocks(unit)?);
        if num_blocks > 1 << 48 {
            return Err(GeometryError::TooLarge(num_blocks));
        }
        let num_blocks = num_blocks as u64;
        Ok(Geometry {
            level: self.level,
            block_size: self.block_size,
            data_offset_blocks: self.data_offset_blocks,
            num_blocks,
            region_shift: self.region_blocks(num_blocks)?.trailing_zeros(),
            map,
            members: self.member_blocks.len() as u8,
        })
    }

    /// The geometry of an array that has `num_blocks`, which may be less than the members have room for: the
    /// member that set the size may have been replaced by a larger one since.
    pub fn build_sized(&self, num_blocks: u64) -> Result<Geometry, GeometryError> {
        let mut geometry = self.build()?;
        let units = num_blocks.is_multiple_of(geometry.chunk_blocks().max(1));
        let exact = self.level == Level::Concat && num_blocks != geometry.num_blocks;
        if num_blocks == 0 || num_blocks > geometry.num_blocks || !units || exact {
            return Err(GeometryError::Size { num_blocks, room: geometry.num_blocks });
        }
        geometry.num_blocks = num_blocks;
        Ok(geometry)
    }

    fn check_members(&self) -> Result<(), GeometryError> {
        let got = self.member_blocks.len();
        let least = if self.level == Level::Concat { 1 } else { 2 };
        if !(least..=SLOTS_MAX).contains(&got) {
            let needs = format!("{least} to {SLOTS_MAX}");
            return Err(GeometryError::MemberCount { level: self.level, needs, got });
        }
        if let Level::Raid10 { near } = self.level
            && !(2..=got).contains(&usize::from(near))
        {
            return Err(GeometryError::Near { near, members: got });
        }
        if self.member_blocks.iter().all(Option::is_none) {
            return Err(GeometryError::NoMembers);
        }
        let needs_all = matches!(self.level, Level::Concat | Level::Raid0);
        if needs_all && self.member_blocks.iter().any(Option::is_none) {
            return Err(GeometryError::MissingMember(self.level));
        }
        Ok(())
    }

    /// Whole units of data on each present member, in blocks; a missing one counts as unlimited.
    fn usable_blocks(&self, unit: u64) -> Result<Vec<u64>, GeometryError> {
        let usable = |(slot, blocks): (usize, &Option<u64>)| {
            let Some(blocks) = *blocks else { return Ok(u64::MAX) };
            let data = blocks.saturating_sub(self.data_offset_blocks) / unit * unit;
            let needed = self.data_offset_blocks + unit;
            if data == 0 { Err(GeometryError::MemberTooSmall { slot, blocks, needed }) } else { Ok(data) }
        };
        self.member_blocks.iter().enumerate().map(usable).collect()
    }

    /// The map, and the array's size. All but concat use the smallest member's size on every member.
    fn map(&self, usable: &[u64]) -> (Map, u128) {
        let members = usable.len() as u64;
        let smallest = *usable.iter().min().expect("check_members saw at least one");
        let striped = |copies: u64| {
            let chunks = u128::from(smallest / self.chunk_blocks) * u128::from(members) / u128::from(copies);
            let map = Map::Striped {
                chunk_shift: self.chunk_blocks.trailing_zeros(),
                members: Divisor::new(members),
                copies: Divisor::new(copies),
            };
            (map, chunks * u128::from(self.chunk_blocks))
        };
        match self.level {
            Level::Raid1 => (Map::Mirror, u128::from(smallest)),
            Level::Raid0 => striped(1),
            Level::Raid10 { near } => striped(u64::from(near)),
            Level::Concat => {
                let mut end = 0u64;
                let ends = usable.iter().map(|blocks| {
                    end = end.saturating_add(*blocks);
                    end
                });
                let ends: Box<[u64]> = ends.collect();
                (Map::Concat { ends }, u128::from(end))
            }
        }
    }

    fn region_blocks(&self, num_blocks: u64) -> Result<u64, GeometryError> {
        let Some(region_blocks) = self.region_blocks else {
            let least = (1024 * 1024) / u64::from(self.block_size);
            return Ok(num_blocks.div_ceil(REGIONS_MAX).next_power_of_two().max(least));
        };
        let wrong = |why: String| Err(GeometryError::Region { region_blocks, why });
        if !region_blocks.is_power_of_two() || region_blocks < 8 {
            return wrong("it must be a power of two of at least 8 blocks".to_owned());
        }
        if num_blocks.div_ceil(region_blocks) > REGIONS_LIMIT {
            let least = num_blocks.div_ceil(REGIONS_LIMIT).next_power_of_two();
            return wrong(format!(
                "that makes more than {REGIONS_LIMIT} regions; use at least {least} blocks"
            ));
        }
        Ok(region_blocks)
    }
}
