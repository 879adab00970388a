//! 100,000 broken images: each gets a verdict, and what is accepted is what is there.

use super::superblocks::sealed;
use super::*;
use crate::format::log::{PAGE_BYTES, PAGE_REGIONS, SECTOR_BYTES, SECTOR_REGIONS};

const IMAGES: u64 = 100_000;

/// How an image is broken.
#[derive(Clone, Copy)]
enum Breakage {
    /// Random bytes, with or without our magic.
    Noise,
    /// A few bytes changed.
    Mutated,
    /// A few bytes changed, most of them in the fields, and the checksum right.
    Forged,
    /// Cut off.
    Cut,
    /// Random bytes in all fields, and the checksum right.
    ForgedNoise,
}

const ALL: [Breakage; 6] = [
    Breakage::Noise,
    Breakage::Mutated,
    Breakage::Forged,
    Breakage::Forged,
    Breakage::Cut,
    Breakage::ForgedNoise,
];

fn noise(draw: &mut Draw, bytes: &mut [u8]) {
    bytes.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&draw.word().to_le_bytes()[..chunk.len()]));
}

fn mutate(draw: &mut Draw, bytes: &mut [u8], fields: u64) {
    for _ in 0..=draw.below(4) {
        let at = draw.below(fields) as usize;
        bytes[at] = draw.of(&[0, 1, 2, 0x7f, 0x80, 0xff, bytes[at].wrapping_add(1)]);
    }
}

/// The bytes to decode.
fn broken(draw: &mut Draw, good: &[u8]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    match draw.of(&ALL) {
        Breakage::Noise => {
            let from = draw.of(&[0, 8, 40]);
            noise(draw, &mut bytes[from..]);
            bytes
        }
        Breakage::Mutated => {
            mutate(draw, &mut bytes, good.len() as u64);
            bytes
        }
        Breakage::Forged => {
            let fields = draw.of(&[264, 520, 0x1400, good.len() as u64]);
            mutate(draw, &mut bytes, fields);
            sealed(bytes.into_boxed_slice()).into_vec()
        }
        Breakage::Cut => {
            bytes.truncate(draw.below(good.len() as u64) as usize);
            bytes
        }
        Breakage::ForgedNoise => {
            noise(draw, &mut bytes[40..0x5000]);
            sealed(bytes.into_boxed_slice()).into_vec()
        }
    }
}

#[test]
fn broken_superblocks_get_a_verdict() {
    let draw = &mut Draw(2026);
    let good: Vec<_> = (0..50).map(|seed| encode(&any_superblock(seed))).collect();
    let (mut accepted, mut impossible) = (0, 0);
    for _ in 0..IMAGES {
        let which = draw.below(50) as usize;
        let bytes = broken(draw, &good[which]);
        salvage(&bytes);
        match decode(&bytes) {
            Ok(sb) => {
                accepted += 1;
                let ignorable = sb.features.unknown() != Features::default();
                assert!(ignorable || *encode(&sb) == *bytes, "what was accepted is not what is there");
                assert_eq!(decode(&encode(&sb)), Ok(sb));
            }
            Err(Damage::Impossible(_)) => impossible += 1,
            Err(_) => {}
        }
    }
    assert!(accepted > 1000 && impossible > 10_000, "too tame: {accepted} accepted, {impossible} impossible");
}

#[test]
fn broken_log_pages_get_a_verdict() {
    let draw = &mut Draw(7);
    let array = example().array;
    let good = example_page().encode(array, 3);
    let whole = DecodedPage::decode(&good, array, 3, 3);
    let (mut damaged, mut forged_intact) = (0, 0);
    for _ in 0..IMAGES {
        let mut bytes = good;
        let forged = draw.below(3) == 0;
        match draw.below(2) {
            _ if forged => forge_sector(draw, &mut bytes),
            0 => noise(draw, &mut bytes),
            _ => mutate(draw, &mut bytes, PAGE_BYTES as u64),
        }
        let cut = draw.below(PAGE_BYTES as u64) as usize;
        let end = draw.of(&[PAGE_BYTES, PAGE_BYTES, cut]);
        let page = DecodedPage::decode(&bytes[..end], array, 3, 3);
        damaged += page.damaged_sectors();
        forged_intact += u32::from(forged && page.damaged_sectors() == 0);
        let index = draw.below(PAGE_REGIONS as u64) as usize;
        if let Some(state) = page.get(index) {
            let at = index / SECTOR_REGIONS * SECTOR_BYTES + 32 + index % SECTOR_REGIONS;
            assert_eq!(state.to_byte(), bytes[at], "what was accepted is not what is there");
            assert!(forged || Some(state) == whole.get(index));
        }
    }
    assert!(damaged > 100_000 && forged_intact > 1000, "too tame: {damaged} damaged, {forged_intact} forged");
}

/// Changes fields of a sector, and makes the checksum right.
fn forge_sector(draw: &mut Draw, page: &mut [u8]) {
    let sector = &mut page[draw.below(8) as usize * SECTOR_BYTES..][..SECTOR_BYTES];
    for _ in 0..draw.below(4) {
        let from = draw.of(&[8, 32, 32, 32]);
        sector[from + draw.below(SECTOR_BYTES as u64 - from as u64) as usize] = draw.word() as u8;
    }
    let sum = crate::format::checksum::checksum(sector, crate::format::log::CRC_OFFSET);
    sector[4..8].copy_from_slice(&sum.to_le_bytes());
}
