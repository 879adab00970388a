//! The metadata area of a drive: bytes, sparse, page by page.

use std::collections::BTreeMap;

use super::cache::Piece;

const PAGE: usize = 4096;

/// What is whole or not when a write of metadata is torn.
pub(crate) const UNIT: usize = 512;

/// Bytes by their place; zeros where nothing was written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bytes {
    pages: BTreeMap<u64, Box<[u8; PAGE]>>,
    /// How often something was written.
    pub version: u64,
}

impl Bytes {
    /// Writes the units of `piece` that it takes.
    pub fn put(&mut self, piece: &Piece) {
        self.version += 1;
        for (unit, bytes) in (0..).zip(piece.bytes.chunks(UNIT)) {
            if piece.takes.takes(unit) {
                let at = piece.offset as usize + unit as usize * UNIT;
                let page = self.pages.entry((at / PAGE) as u64).or_insert_with(|| Box::new([0; PAGE]));
                page[at % PAGE..at % PAGE + bytes.len()].copy_from_slice(bytes);
            }
        }
    }

    /// The byte at `offset`.
    pub fn byte(&self, offset: u64) -> u8 {
        let page = self.pages.get(&(offset / PAGE as u64));
        page.map_or(0, |page| page[offset as usize % PAGE])
    }

    /// `len` bytes from `offset` on, both multiples of a page.
    pub fn read(&self, offset: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        for (page, into) in (offset / PAGE as u64..).zip(bytes.chunks_mut(PAGE)) {
            if let Some(page) = self.pages.get(&page) {
                into.copy_from_slice(&page[..]);
            }
        }
        bytes
    }
}
