//! A simulated drive: what it holds, what it would still hold after a power cut, what is under way on it,
//! and what is wrong with it.
//!
//! ```text
//!   submit ---> pending ---complete (any order)---> written ---flush---> durable
//!               (may be on the medium already)      (what reads see)     (what a power cut leaves)
//! ```

mod bytes;
mod cache;
mod faults;
mod meta;
mod power;

use std::ops::Range;

use raid::channel::Child;
use raid::{ChannelId, Epoch, FaultKind, IoId};

use crate::stamp::{Stamp, WriteId};
use bytes::Bytes;
pub(crate) use cache::Piece;
use cache::WriteCache;
pub(crate) use faults::{Doing, Health, Torn};
pub(crate) use meta::{MetaPending, MetaPhase};

/// One drive.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    /// What reads see of the blocks from `data_offset` on.
    written: Vec<Stamp>,
    /// What reads see of the metadata area.
    written_bytes: Bytes,
    cache: WriteCache,
    data_offset: u64,
    /// Metadata I/O under way.
    pub meta: Vec<MetaPending>,
    /// Grows with everything that happens to the metadata.
    pub meta_version: u64,
    /// Whether an unmap changes anything, or is only a hint.
    pub unmap_wipes: bool,
    pub pending: Vec<Pending>,
    pub health: Health,
    /// The array has let go of it.
    pub closed: bool,
}

/// Member I/O under way.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub io: IoId,
    pub child: Child,
    pub channel: ChannelId,
    /// The View that the Channel planned with.
    pub epoch: Epoch,
    /// The region whose lease covers it.
    pub region: Option<u32>,
    /// The block of the array that the host's buffer begins with, and the write that brought it.
    pub host_lba: u64,
    pub write: WriteId,
    /// Its blocks are on the medium, or the host's buffer is filled, already.
    pub early: bool,
    /// A reset has decided how it ends.
    pub doom: Option<FaultKind>,
    /// A flush: what had completed before it was submitted.
    pub covers: u64,
}

impl Disk {
    /// A drive with `blocks` blocks of data that all hold `content`. `caches`: it has a volatile write cache,
    /// and a FLUSH.
    pub fn new(data_offset: u64, blocks: u64, content: Stamp, caches: bool, unmap_wipes: bool) -> Disk {
        Disk {
            written: vec![content; blocks as usize],
            written_bytes: Bytes::default(),
            cache: WriteCache::new(blocks, content, caches),
            data_offset,
            meta: Vec::new(),
            meta_version: 0,
            unmap_wipes,
            pending: Vec::new(),
            health: Health::default(),
            closed: false,
        }
    }

    /// What a read of block `lba` would find.
    #[inline]
    pub fn content(&self, lba: u64) -> Stamp {
        self.written[(lba - self.data_offset) as usize]
    }

    /// What a read of these blocks would find.
    #[inline]
    pub fn contents(&self, blocks: Range<u64>) -> &[Stamp] {
        let (start, end) = (blocks.start - self.data_offset, blocks.end - self.data_offset);
        &self.written[start as usize..end as usize]
    }

    /// What a power cut would leave of block `lba`, at the worst.
    #[inline]
    pub fn durable(&self, lba: u64) -> Stamp {
        self.cache.durable(lba - self.data_offset)
    }

    /// Takes the child on.
    pub fn submit(&mut self, mut pending: Pending) {
        pending.covers = self.cache.now();
        self.pending.push(pending);
    }

    /// Puts the blocks of a write, write-zeroes or unmap that are chosen on the medium.
    #[inline]
    pub fn put(&mut self, pending: &Pending, chosen: Torn) {
        let child = &pending.child;
        if child.op == raid::channel::Op::Unmap && !self.unmap_wipes {
            return;
        }
        for block in 0..child.blocks {
            if chosen.takes(block) {
                let at = child.lba + block - self.data_offset;
                self.written[at as usize] = pending.stamp(block);
            }
        }
    }

    /// What is on the medium of the child's blocks now is in the write cache; a drive without one keeps it.
    #[inline]
    pub fn note_written(&mut self, lba: u64, blocks: u64) {
        let first = lba - self.data_offset;
        for block in first..first + blocks {
            self.cache.write(block, self.written[block as usize]);
        }
    }

    /// Blocks arrive that were copied from another drive.
    pub fn land(&mut self, lba: u64, stamps: &[Stamp], chosen: Torn) {
        let first = (lba - self.data_offset) as usize;
        for (block, stamp) in stamps.iter().enumerate().filter(|(block, _)| chosen.takes(*block as u64)) {
            self.written[first + block] = *stamp;
            self.cache.write((first + block) as u64, *stamp);
        }
    }

    /// How many entries the write cache has had.
    pub fn cache_now(&self) -> u64 {
        self.cache.now()
    }

    /// A flush came back well: what had completed before it was submitted is durable.
    pub fn harden(&mut self, covers: u64) {
        self.cache.harden(covers);
        self.meta_version += 1;
    }

    /// A reset ends what is under way, or some of it.
    pub fn reset(&mut self, mut aborts: impl FnMut() -> bool) {
        let dooms = self.pending.iter_mut().map(|pending| &mut pending.doom);
        for doom in dooms.chain(self.meta.iter_mut().map(|meta| &mut meta.doom)) {
            if doom.is_none() && aborts() {
                *doom = Some(FaultKind::Aborted);
            }
        }
    }
}

impl Pending {
    pub fn new(io: IoId, child: Child, channel: ChannelId, epoch: Epoch) -> Pending {
        Pending {
            io,
            child,
            channel,
            epoch,
            region: None,
            host_lba: 0,
            write: 0,
            early: false,
            doom: None,
            covers: 0,
        }
    }

    /// What the child leaves in its block number `block`.
    #[inline]
    pub fn stamp(&self, block: u64) -> Stamp {
        match self.child.op {
            raid::channel::Op::Write => {
                Stamp::data(self.write, self.host_lba + self.child.host_offset_blocks + block)
            }
            _ => Stamp::wiped(self.write),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use raid::Slot;
    use raid::channel::Op;

    fn child(op: Op, lba: u64, blocks: u64) -> Pending {
        let child = Child { index: 0, slot: Slot(0), op, lba, blocks, host_offset_blocks: 2 };
        let pending = Pending::new(IoId(1), child, ChannelId(0), Epoch(1));
        Pending { write: 7, host_lba: 100, ..pending }
    }

    fn write_all(disk: &mut Disk, pending: &Pending) {
        disk.put(pending, Torn::Everything);
        disk.note_written(pending.child.lba, pending.child.blocks);
    }

    #[test]
    fn a_flush_covers_what_had_completed_before_it_was_submitted_and_no_more() {
        let mut disk = Disk::new(0, 16, Stamp::BLANK, true, true);
        write_all(&mut disk, &child(Op::Write, 4, 2));
        disk.submit(child(Op::Flush, 0, 0));
        write_all(&mut disk, &child(Op::WriteZeroes, 5, 2));
        let flush = disk.pending.pop().unwrap();
        assert_eq!(disk.durable(4), Stamp::BLANK);
        disk.harden(flush.covers);
        assert_eq!(
            [4, 5, 6].map(|lba| disk.durable(lba)),
            [Stamp::data(7, 102), Stamp::data(7, 103), Stamp::BLANK]
        );
        assert_eq!(disk.contents(4..6), [Stamp::data(7, 102), Stamp::wiped(7)]);
    }

    #[test]
    fn a_drive_without_a_cache_keeps_at_once() {
        let mut disk = Disk::new(0, 16, Stamp::BLANK, false, true);
        write_all(&mut disk, &child(Op::Write, 4, 1));
        assert_eq!(disk.durable(4), Stamp::data(7, 102));
    }

    #[test]
    fn an_unmap_may_be_a_mere_hint() {
        let mut disk = Disk::new(0, 16, Stamp::BLANK, false, false);
        write_all(&mut disk, &child(Op::Write, 4, 1));
        write_all(&mut disk, &child(Op::Unmap, 4, 1));
        assert_eq!(disk.content(4), Stamp::data(7, 102));
    }
}
