//! What a block holds: a function of seed, block number and version, so that nothing but the version is
//! remembered.
//!
//! ```text
//!   version 0:  zeros
//!   others:     lba (8 bytes, little-endian) | version (8 bytes) | a stretch of random bytes, chosen by both
//! ```
//!
//! The first 16 bytes are for the one who reads a report: they tell whose block it is that came instead.
//! Filling and comparing are copies and compares of memory, since the tests run in debug builds.

use crate::rng::{Rng, mix};

/// Counts what was put into a block; 0 is zeros.
pub type Version = u32;

/// Zeros: never written, unmapped, or written so.
pub const ZEROS: Version = 0;

const HEADER: usize = 16;
const BLOCK_MAX: usize = 4096;
/// Two blocks have the same stretch once in so many times.
const STRETCHES: usize = 1 << 16;

/// The contents of blocks.
#[derive(Debug)]
pub struct Content {
    random: Vec<u8>,
}

impl Content {
    pub fn new(seed: u64) -> Content {
        let mut rng = Rng::new(seed);
        let words = (STRETCHES + BLOCK_MAX) / 8;
        Content { random: (0..words).flat_map(|_| rng.next().to_le_bytes()).collect() }
    }

    /// Fills one block.
    pub fn fill(&self, block: &mut [u8], lba: u64, version: Version) {
        if version == ZEROS {
            return block.fill(0);
        }
        block[..8].copy_from_slice(&lba.to_le_bytes());
        block[8..HEADER].copy_from_slice(&u64::from(version).to_le_bytes());
        let stretch = self.stretch(lba, version, block.len());
        block[HEADER..].copy_from_slice(stretch);
    }

    /// Whether one block holds this.
    pub fn is_in(&self, block: &[u8], lba: u64, version: Version) -> bool {
        if version == ZEROS {
            return block == &[0; BLOCK_MAX][..block.len()];
        }
        block[..8] == lba.to_le_bytes()
            && block[8..HEADER] == u64::from(version).to_le_bytes()
            && block[HEADER..] == *self.stretch(lba, version, block.len())
    }

    /// What a block seems to hold, in words.
    pub fn describe(&self, block: &[u8]) -> String {
        if block.iter().all(|&byte| byte == block[0]) {
            return format!("only bytes {:#04x}", block[0]);
        }
        let word = |at: usize| u64::from_le_bytes(block[at..at + 8].try_into().expect("8 bytes"));
        let (lba, version) = (word(0), word(8));
        match Version::try_from(version) {
            Ok(version) if version != ZEROS => {
                let rest = self.stretch(lba, version, block.len());
                let same =
                    block[HEADER..].iter().zip(rest).take_while(|(found, right)| found == right).count();
                let whole =
                    if same == rest.len() { String::new() } else { format!(" for {} bytes", HEADER + same) };
                format!("lba {lba} version {version}{whole}")
            }
            _ => format!("nothing of ours: {:02x?}...", &block[..HEADER]),
        }
    }

    fn stretch(&self, lba: u64, version: Version, block_size: usize) -> &[u8] {
        let at = (mix(mix(lba) ^ u64::from(version)) as usize) % STRETCHES;
        &self.random[at..at + block_size - HEADER]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_holds_what_was_filled_in_and_nothing_else() {
        let content = Content::new(1);
        for size in [512, 4096] {
            let mut block = vec![0xa5; size];
            content.fill(&mut block, 2, 3);
            assert!(content.is_in(&block, 2, 3));
            assert!(!content.is_in(&block, 3, 3) && !content.is_in(&block, 2, 4));
            assert!(!content.is_in(&block, 2, ZEROS));
            assert!(!Content::new(2).is_in(&block, 2, 3));
            assert_eq!(content.describe(&block), "lba 2 version 3");
            for broken in [0, 8, 16, size - 1] {
                block[broken] ^= 1;
                assert!(!content.is_in(&block, 2, 3), "byte {broken}");
                block[broken] ^= 1;
            }
            content.fill(&mut block, 2, ZEROS);
            assert!(content.is_in(&block, 2, ZEROS));
            assert_eq!(content.describe(&block), "only bytes 0x00");
        }
    }

    #[test]
    fn a_torn_block_is_told_from_a_whole_one() {
        let content = Content::new(1);
        let (mut block, mut other) = (vec![0; 4096], vec![0; 4096]);
        content.fill(&mut block, 2, 3);
        content.fill(&mut other, 2, 4);
        block[512..].copy_from_slice(&other[512..]);
        assert!(!content.is_in(&block, 2, 3));
        assert_eq!(content.describe(&block), "lba 2 version 3 for 512 bytes");
    }
}
