//! The dirty log: one byte per region, in pages of which every 512-byte sector stands alone, so that a write
//! that is torn at the drive's atomic unit damages nothing: each sector is old or new.
//!
//! ```text
//!   zone z (16 regions) lives in page z % 256, at z / 256     sector: 32-byte header, 480 region bytes
//!
//!   page 0: zones 0, 256, 512 ...       so that a region's place does not depend on how many Shards there are,
//!   page 1: zones 1, 257, 513 ...       and any number of Shards that divides 256 shares no page
//! ```

use std::mem::size_of;

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::checksum::checksum;
use super::damage::SectorDamage;
use super::region::RegionState;
use super::uuid::Uuid16;
use crate::geometry::ZONE_REGIONS;
use crate::ids::{RegionId, Slot};

/// Pages of the log.
pub const PAGES: u16 = 256;
/// Bytes of a page: what is written at once.
pub const PAGE_BYTES: usize = 4096;
/// Bytes of a sector: what is whole or not.
pub const SECTOR_BYTES: usize = 512;
/// Sectors of a page.
pub const PAGE_SECTORS: usize = PAGE_BYTES / SECTOR_BYTES;
/// Regions of a sector.
pub const SECTOR_REGIONS: usize = 480;
/// Regions of a page.
pub const PAGE_REGIONS: usize = PAGE_SECTORS * SECTOR_REGIONS;

const MAGIC: u32 = u32::from_le_bytes(*b"BsLg");
pub(super) const CRC_OFFSET: usize = 4;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Sector {
    magic: U32,
    crc32c: U32,
    tag: U64,
    page: U16,
    sector: u8,
    reserved: [u8; 5],
    generation: U64,
    regions: [u8; SECTOR_REGIONS],
}

const _: () = assert!(size_of::<Sector>() == SECTOR_BYTES && std::mem::offset_of!(Sector, regions) == 32);
const _: () = assert!(PAGE_REGIONS.is_multiple_of(ZONE_REGIONS as usize));

/// Where a region's byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Page of the log, below [`PAGES`].
    pub page: u16,
    /// Region of the page, below [`PAGE_REGIONS`].
    pub index: usize,
}

/// Where the byte of `region` is.
#[inline]
pub fn place(region: RegionId) -> Place {
    let (zone, within) = (region.0 / ZONE_REGIONS, region.0 % ZONE_REGIONS);
    let pages = u32::from(PAGES);
    Place { page: (zone % pages) as u16, index: ((zone / pages) * ZONE_REGIONS + within) as usize }
}

/// The region whose byte is at `place`; it may be past the array's last.
#[inline]
pub fn region_at(place: Place) -> RegionId {
    let (row, within) = (place.index as u32 / ZONE_REGIONS, place.index as u32 % ZONE_REGIONS);
    RegionId((row * u32::from(PAGES) + u32::from(place.page)) * ZONE_REGIONS + within)
}

/// A page as it is kept in memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LogPage {
    /// Grows with each write of the page.
    pub generation: u64,
    regions: Box<[u8; PAGE_REGIONS]>,
}

impl Default for LogPage {
    fn default() -> LogPage {
        LogPage::new()
    }
}

impl LogPage {
    /// A page of regions that were never written, at generation 0.
    pub fn new() -> LogPage {
        LogPage { generation: 0, regions: Box::new([RegionState::Unwritten.to_byte(); PAGE_REGIONS]) }
    }

    /// A page with these states.
    pub fn with(generation: u64, states: &[RegionState; PAGE_REGIONS]) -> LogPage {
        let mut page = LogPage { generation, ..LogPage::new() };
        page.regions.iter_mut().zip(states).for_each(|(byte, state)| *byte = state.to_byte());
        page
    }

    /// The state of region `index` of the page.
    #[inline]
    pub fn get(&self, index: usize) -> RegionState {
        RegionState::from_byte(self.regions[index]).expect("only states are put in")
    }

    /// Sets the state of region `index` of the page.
    #[inline]
    pub fn set(&mut self, index: usize, state: RegionState) {
        self.regions[index] = state.to_byte();
    }

    /// The bytes of the page as page `page` of the log of `array`.
    pub fn encode(&self, array: Uuid16, page: u16) -> [u8; PAGE_BYTES] {
        let mut bytes = [0; PAGE_BYTES];
        let sectors = bytes.chunks_exact_mut(SECTOR_BYTES).zip(self.regions.chunks_exact(SECTOR_REGIONS));
        for (number, (bytes, regions)) in sectors.enumerate() {
            let sector = Sector::mut_from_bytes(bytes).expect("it has the size of a sector");
            sector.magic = MAGIC.into();
            sector.tag = array.tag().into();
            sector.page = page.into();
            sector.sector = number as u8;
            sector.generation = self.generation.into();
            sector.regions.copy_from_slice(regions);
            sector.crc32c = checksum(sector.as_bytes(), CRC_OFFSET).into();
        }
        bytes
    }
}

/// What one member says about a page.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DecodedPage {
    /// Per sector, its generation, or why it is not to be believed.
    pub sectors: [Result<u64, SectorDamage>; PAGE_SECTORS],
    regions: Box<[u8; PAGE_REGIONS]>,
}

impl DecodedPage {
    /// Page `page` of the log of `array`, which has `members` slots. `bytes` may be short.
    pub fn decode(bytes: &[u8], array: Uuid16, page: u16, members: usize) -> DecodedPage {
        let mut regions = Box::new([0; PAGE_REGIONS]);
        let sectors = std::array::from_fn(|number| {
            let sector = bytes.get(number * SECTOR_BYTES..).unwrap_or(&[]);
            let (sector, _) = Sector::ref_from_prefix(sector).map_err(|_| SectorDamage::Short)?;
            check_sector(sector, array, page, number as u8, members)?;
            regions[number * SECTOR_REGIONS..][..SECTOR_REGIONS].copy_from_slice(&sector.regions);
            Ok(sector.generation.get())
        });
        DecodedPage { sectors, regions }
    }

    /// The state of region `index` of the page; None where its sector is damaged.
    #[inline]
    pub fn get(&self, index: usize) -> Option<RegionState> {
        self.sectors[index / SECTOR_REGIONS].ok()?;
        RegionState::from_byte(self.regions[index])
    }

    /// The largest generation of its intact sectors; a new page must go on from the largest of all members.
    pub fn generation(&self) -> Option<u64> {
        self.sectors.iter().filter_map(|sector| sector.ok()).max()
    }

    /// Number of damaged sectors.
    pub fn damaged_sectors(&self) -> usize {
        self.sectors.iter().filter(|sector| sector.is_err()).count()
    }
}

fn check_sector(
    sector: &Sector,
    array: Uuid16,
    page: u16,
    number: u8,
    members: usize,
) -> Result<(), SectorDamage> {
    if sector.magic != MAGIC {
        return Err(SectorDamage::NoMagic);
    }
    let (found, wanted) = (sector.crc32c.get(), checksum(sector.as_bytes(), CRC_OFFSET));
    if found != wanted {
        return Err(SectorDamage::BadCrc { found, wanted });
    }
    if sector.tag != array.tag() {
        return Err(SectorDamage::OtherArray(u64::from_be_bytes(sector.tag.get().to_le_bytes())));
    }
    if (sector.page.get(), sector.sector) != (page, number) {
        return Err(SectorDamage::WrongPlace { page: sector.page.get(), sector: sector.sector });
    }
    if sector.reserved != [0; 5] {
        return Err(SectorDamage::Reserved);
    }
    let exists = |byte: u8| {
        let state = RegionState::from_byte(byte);
        state.is_some_and(|state| state.source().is_none_or(|source| source.index() < members))
    };
    match sector.regions.iter().position(|byte| !exists(*byte)) {
        Some(index) => Err(SectorDamage::Region { index: index as u16, byte: sector.regions[index] }),
        None => Ok(()),
    }
}

/// What is to be believed of a page when several in-sync members say something about it.
///
/// A mark is relied upon only once it is durable on *all* in-sync members. So each intact sector has every
/// mark that was relied upon, and the most pessimistic of the intact ones is believed. Of two sources, that
/// of the older sector counts: the newer one cannot be on all members. What is damaged everywhere needs
/// sync, with reads from `fallback`.
pub fn merge(pages: &[DecodedPage], fallback: Slot) -> Vec<RegionState> {
    let believed = |index: usize| {
        let said = pages.iter().filter_map(|page| {
            let generation = page.sectors[index / SECTOR_REGIONS].ok()?;
            Some((page.get(index)?, generation))
        });
        let worst = said.max_by_key(|(state, generation)| {
            (state.pessimism(), std::cmp::Reverse(*generation), std::cmp::Reverse(state.source()))
        });
        worst.map_or(RegionState::NeedSync { source: fallback }, |(state, _)| state)
    };
    (0..PAGE_REGIONS).map(believed).collect()
}
