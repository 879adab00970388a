//! Metadata I/O on a drive: a write, and then a FLUSH, each in its own time.

use raid::FaultKind;
use raid::meta::{MetaIo, MetaWrite};

use super::{Disk, Piece, Torn};
use crate::net::Node;
use crate::stamp::Stamp;

/// A metadata I/O under way.
#[derive(Clone, Debug)]
pub(crate) struct MetaPending {
    /// The machine that gets the answer.
    pub owner: Node,
    pub io: MetaIo,
    pub phase: MetaPhase,
    /// A reset has decided how it ends.
    pub doom: Option<FaultKind>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum MetaPhase {
    /// `early`: it is on the medium already.
    Writing { early: bool },
    /// What had completed before the FLUSH was submitted.
    Flushing { covers: u64 },
}

impl MetaPending {
    /// The write of bytes that is under way.
    fn piece(&self) -> Option<Piece> {
        match (self.phase, &self.io.write) {
            (MetaPhase::Writing { .. }, Some(MetaWrite::Bytes { offset, bytes })) => {
                Some(Piece { offset: *offset, bytes: bytes.clone(), takes: Torn::Everything })
            }
            _ => None,
        }
    }
}

impl Disk {
    /// Takes a metadata I/O on. `early`: a write is on the medium at once.
    pub fn submit_meta(&mut self, owner: Node, io: MetaIo, early: bool) {
        self.meta_version += 1;
        let phase = match &io.write {
            Some(_) => MetaPhase::Writing { early },
            None => MetaPhase::Flushing { covers: self.cache.now() },
        };
        let meta = MetaPending { owner, io, phase, doom: None };
        if early && matches!(phase, MetaPhase::Writing { .. }) {
            self.put_meta(&meta, Torn::Everything);
        }
        self.meta.push(meta);
    }

    /// What reads see of a metadata write: the chosen blocks, or units.
    pub fn put_meta(&mut self, meta: &MetaPending, chosen: Torn) {
        if let Some(piece) = meta.piece() {
            self.written_bytes.put(&Piece { takes: chosen, ..piece });
        }
        if let Some(MetaWrite::Zeroes { lba, blocks }) = meta.io.write {
            let first = lba - self.data_offset;
            (0..blocks).filter(|block| chosen.takes(*block)).for_each(|block| {
                self.written[(first + block) as usize] = Stamp::BLANK;
            });
        }
    }

    /// A metadata write has ended, well or not: what came through is in the write cache.
    pub fn end_meta_write(&mut self, meta: &MetaPending, chosen: Torn) {
        self.meta_version += 1;
        if !matches!(meta.phase, MetaPhase::Writing { early: true }) {
            self.put_meta(meta, chosen);
        }
        if let Some(piece) = meta.piece() {
            self.cache.write_piece(Piece { takes: chosen, ..piece });
        }
        if let Some(MetaWrite::Zeroes { lba, blocks }) = meta.io.write {
            self.note_written(lba, blocks);
        }
    }

    /// Writes of metadata that a power cut could undo or tear.
    pub fn unsettled(&self) -> impl Iterator<Item = Piece> {
        self.cache.pieces.iter().cloned().chain(self.meta.iter().filter_map(MetaPending::piece))
    }

    /// The byte at `offset` that a power cut leaves, unless something unsettled comes through.
    pub fn durable_byte(&self, offset: u64) -> u8 {
        self.cache.durable_bytes.byte(offset)
    }

    /// Metadata that a power cut leaves, unless something unsettled comes through.
    pub fn durable_bytes(&self, offset: u64, len: usize) -> Vec<u8> {
        self.cache.durable_bytes.read(offset, len)
    }

    /// How often the durable metadata has changed.
    pub fn durable_version(&self) -> u64 {
        self.cache.durable_bytes.version
    }

    /// Metadata as a read finds it.
    pub fn read_bytes(&self, offset: u64, len: usize) -> Vec<u8> {
        self.written_bytes.read(offset, len)
    }
}
