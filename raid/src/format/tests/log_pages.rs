use proptest::prelude::*;

use super::*;
use crate::format::log::{
    PAGE_REGIONS, PAGE_SECTORS, PAGES, Place, SECTOR_BYTES, SECTOR_REGIONS, place, region_at,
};
use crate::geometry::REGIONS_LIMIT;
use crate::ids::RegionId;

const ARRAY: Uuid16 = Uuid16(*b"an array's uuid!");
const MEMBERS: usize = 3;

fn decoded(bytes: &[u8]) -> DecodedPage {
    DecodedPage::decode(bytes, ARRAY, 3, MEMBERS)
}

fn states(page: &DecodedPage) -> Vec<Option<RegionState>> {
    (0..PAGE_REGIONS).map(|index| page.get(index)).collect()
}

fn any_page(seed: u64) -> LogPage {
    let draw = &mut Draw(seed);
    let mut page = LogPage::new();
    page.generation = draw.word();
    for index in 0..PAGE_REGIONS {
        let source = Slot(draw.below(MEMBERS as u64) as u8);
        page.set(
            index,
            draw.of(&[
                RegionState::Unwritten,
                RegionState::Clean,
                RegionState::Dirty,
                RegionState::NeedSync { source },
                RegionState::Syncing { source },
            ]),
        );
    }
    page
}

/// A page that says the same of all its regions.
fn uniform(generation: u64, state: RegionState) -> DecodedPage {
    decoded(&LogPage::with(generation, &[state; PAGE_REGIONS]).encode(ARRAY, 3))
}

fn merged(pages: &[DecodedPage]) -> RegionState {
    let states = merge(pages, Slot(0));
    assert!(states.iter().all(|state| *state == states[0]));
    states[0]
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded(seed: u64) {
        let page = any_page(seed);
        let back = decoded(&page.encode(ARRAY, 3));
        prop_assert_eq!(back.sectors, [Ok(page.generation); PAGE_SECTORS]);
        prop_assert!((0..PAGE_REGIONS).all(|index| back.get(index) == Some(page.get(index))));
    }

    #[test]
    fn a_region_has_a_place_of_its_own(region in 0..REGIONS_LIMIT as u32) {
        let place = place(RegionId(region));
        prop_assert!(place.page < PAGES && place.index < PAGE_REGIONS);
        prop_assert_eq!(region_at(place), RegionId(region));
    }

    /// Each sector is old or new on its own: a tear at 512 bytes loses nothing.
    #[test]
    fn a_torn_page_is_old_or_new_sector_by_sector(seed: u64, kept: u8) {
        let (old, new) = (any_page(seed), any_page(seed ^ 1));
        let mut bytes = old.encode(ARRAY, 3);
        let newer = new.encode(ARRAY, 3);
        for sector in (0..PAGE_SECTORS).filter(|sector| kept >> sector & 1 == 1) {
            let range = sector * SECTOR_BYTES..(sector + 1) * SECTOR_BYTES;
            bytes[range.clone()].copy_from_slice(&newer[range]);
        }
        let back = decoded(&bytes);
        prop_assert_eq!(back.damaged_sectors(), 0);
        for index in 0..PAGE_REGIONS {
            let side = if kept >> (index / SECTOR_REGIONS) & 1 == 1 { &new } else { &old };
            prop_assert_eq!(back.get(index), Some(side.get(index)));
        }
    }
}

#[test]
fn zones_are_dealt_to_pages() {
    assert_eq!(place(RegionId(15)), Place { page: 0, index: 15 });
    assert_eq!(place(RegionId(16)), Place { page: 1, index: 0 });
    assert_eq!(place(RegionId(256 * 16)), Place { page: 0, index: 16 });
    assert_eq!(place(RegionId(REGIONS_LIMIT as u32 - 1)), Place { page: 255, index: PAGE_REGIONS - 1 });
}

#[test]
fn every_flipped_bit_damages_its_sector_and_no_other() {
    let page = any_page(5);
    let bytes = page.encode(ARRAY, 3);
    let whole = states(&decoded(&bytes));
    let mut flipped = bytes;
    for bit in 0..bytes.len() * 8 {
        flipped[bit / 8] ^= 1 << (bit % 8);
        let hit = bit / 8 / SECTOR_BYTES;
        let back = decoded(&flipped);
        assert!(back.sectors[hit].is_err() && back.damaged_sectors() == 1, "bit {bit}");
        let range = hit * SECTOR_REGIONS..(hit + 1) * SECTOR_REGIONS;
        assert!((0..PAGE_REGIONS).all(|i| back.get(i) == if range.contains(&i) { None } else { whole[i] }));
        flipped[bit / 8] ^= 1 << (bit % 8);
    }
}

fn sector_patched(at: usize, value: u8) -> SectorDamage {
    let mut bytes = example_page().encode(ARRAY, 3);
    bytes[at] = value;
    let sum = crate::format::checksum::checksum(&bytes[..SECTOR_BYTES], crate::format::log::CRC_OFFSET);
    bytes[4..8].copy_from_slice(&sum.to_le_bytes());
    decoded(&bytes).sectors[0].expect_err("it should be damaged")
}

#[test]
fn damage_is_told_apart() {
    assert_eq!(decoded(&[]).sectors, [Err(SectorDamage::Short); PAGE_SECTORS]);
    assert_eq!(decoded(&[0; 4096]).sectors, [Err(SectorDamage::NoMagic); PAGE_SECTORS]);
    let other = example_page().encode(Uuid16(*b"\x01\x02\x03\x04\x05\x06\x07\x08another."), 3);
    assert_eq!(decoded(&other).sectors[0], Err(SectorDamage::OtherArray(0x0102_0304_0506_0708)));
    let elsewhere = example_page().encode(ARRAY, 4);
    assert_eq!(decoded(&elsewhere).sectors[7], Err(SectorDamage::WrongPlace { page: 4, sector: 7 }));
    assert_eq!(sector_patched(19, 1), SectorDamage::Reserved);
    assert_eq!(sector_patched(32 + 9, 5), SectorDamage::Region { index: 9, byte: 5 });
    assert_eq!(sector_patched(32 + 9, 1 | 1 << 3), SectorDamage::Region { index: 9, byte: 9 });
    // NeedSync from slot 3 of an array with slots 0 to 2.
    assert_eq!(sector_patched(32, 3 | 3 << 3), SectorDamage::Region { index: 0, byte: 27 });
}

#[test]
fn the_most_pessimistic_of_the_intact_ones_is_believed() {
    let source = Slot(1);
    let rising = [
        RegionState::Unwritten,
        RegionState::Clean,
        RegionState::Dirty,
        RegionState::Syncing { source },
        RegionState::NeedSync { source },
    ];
    for (worse, state) in rising.iter().enumerate() {
        for milder in &rising[..=worse] {
            assert_eq!(merged(&[uniform(1, *milder), uniform(2, *state)]), *state);
            assert_eq!(merged(&[uniform(2, *state), uniform(1, *milder)]), *state);
        }
    }
}

#[test]
fn a_damaged_sector_is_answered_by_the_other_member() {
    let lost = decoded(&[]);
    assert_eq!(merged(&[lost.clone(), uniform(1, RegionState::Clean)]), RegionState::Clean);
    assert_eq!(merged(&[lost.clone(), lost]), RegionState::NeedSync { source: Slot(0) });
    assert_eq!(merged(&[]), RegionState::NeedSync { source: Slot(0) });
}

#[test]
fn of_two_sources_the_older_sector_counts() {
    let from = |source| RegionState::NeedSync { source };
    let (old, new) = (uniform(4, from(Slot(2))), uniform(5, from(Slot(1))));
    assert_eq!(merged(&[old.clone(), new.clone()]), from(Slot(2)));
    assert_eq!(merged(&[new, old]), from(Slot(2)));
}
