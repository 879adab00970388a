//! A volatile write cache: a log of the writes that were acknowledged and not flushed.
//!
//! ```text
//!   medium   |-------------------------------------|
//!   log  1        |=====|
//!        2                      |=====|                 a read sees the newest write of each block,
//!        3          |=======|                           and the medium where there is none
//!            ------------------------------------->  blocks
//! ```
//!
//! A flush up to mark 2 brings the writes 1 and 2 to the medium and strikes them from the log. All writes are
//! kept, not just the newest of each block, since a power cut may keep an older one and drop a newer.

use super::loss::Loss;
use std::collections::BTreeMap;

/// A place in the log: everything up to the write of this number. 0: nothing.
pub type Mark = u64;

/// Bytes that are kept at most.
pub(crate) const LIMIT_BYTES: u64 = 64 << 20;

#[derive(Debug)]
pub(crate) struct Cache {
    block_bytes: usize,
    limit_blocks: u64,
    log: BTreeMap<Mark, Write>,
    /// The newest write of each block.
    newest: BTreeMap<u64, Mark>,
    last: Mark,
    /// Blocks in the log, each as often as it was written.
    blocks: u64,
    zero_block: Box<[u8]>,
}

#[derive(Debug)]
struct Write {
    lba: u64,
    blocks: u64,
    content: Content,
}

/// What was written.
#[derive(Debug)]
pub(crate) enum Content {
    /// Whole blocks.
    Data(Box<[u8]>),
    Zeroes,
}

/// Adjacent blocks that are to be written to the medium together.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub lba: u64,
    /// For each block the write that it comes from.
    pub writes: Vec<Mark>,
}

impl Cache {
    pub fn new(block_bytes: u32, limit_bytes: u64) -> Cache {
        Cache {
            block_bytes: block_bytes as usize,
            limit_blocks: limit_bytes / u64::from(block_bytes),
            log: BTreeMap::new(),
            newest: BTreeMap::new(),
            last: 0,
            blocks: 0,
            zero_block: vec![0; block_bytes as usize].into_boxed_slice(),
        }
    }

    /// Everything that has been written up to now.
    pub fn mark(&self) -> Mark {
        self.last
    }

    /// Writes in the log, and blocks in them.
    pub fn size(&self) -> (u64, u64) {
        (self.log.len() as u64, self.blocks)
    }

    /// Whether a write of this size fits. One that is larger than the whole cache fits when it is empty.
    pub fn has_room(&self, blocks: u64) -> bool {
        self.blocks == 0 || self.blocks + blocks <= self.limit_blocks
    }

    /// Acknowledges a write.
    pub fn put(&mut self, lba: u64, blocks: u64, content: Content) -> Mark {
        if let Content::Data(bytes) = &content {
            assert_eq!(bytes.len() as u64, blocks * self.block_bytes as u64, "a write is whole blocks");
        }
        self.last += 1;
        self.newest.extend((lba..lba + blocks).map(|block| (block, self.last)));
        self.log.insert(self.last, Write { lba, blocks, content });
        self.blocks += blocks;
        self.last
    }

    /// Puts the newest data of each cached block over what the medium holds: calls `copy` with the block's
    /// distance from `lba` and its bytes.
    pub fn overlay(&self, lba: u64, blocks: u64, mut copy: impl FnMut(u64, &[u8])) {
        for (&block, &write) in self.newest.range(lba..lba + blocks) {
            copy(block - lba, self.block(block, write));
        }
    }

    /// What has to reach the medium for everything up to `mark` to be there.
    pub fn runs(&self, mark: Mark, max_blocks: usize) -> Vec<Run> {
        let mut newest = BTreeMap::new();
        for (&number, write) in self.log.range(..=mark) {
            newest.extend((write.lba..write.lba + write.blocks).map(|block| (block, number)));
        }
        join(newest, max_blocks)
    }

    /// What a loss of power lets reach the medium.
    pub fn survivors(&self, loss: Loss, max_blocks: usize) -> Vec<Run> {
        let (mut newest, mut dice) = (BTreeMap::new(), loss.dice());
        for (&number, write) in &self.log {
            dice.begin_write();
            let kept = (write.lba..write.lba + write.blocks).filter(|_| dice.keeps_block());
            newest.extend(kept.map(|block| (block, number)));
        }
        join(newest, max_blocks)
    }

    /// The bytes of a run, whose writes must still be in the log.
    pub fn fill(&self, run: &Run, into: &mut [u8]) {
        let blocks = (run.lba..).zip(&run.writes).zip(into.chunks_exact_mut(self.block_bytes));
        blocks.for_each(|((block, &write), bytes)| bytes.copy_from_slice(self.block(block, write)));
    }

    /// Strikes the writes up to `mark`: they are on the medium.
    pub fn evict(&mut self, mark: Mark) {
        let kept = self.log.split_off(&(mark + 1));
        let evicted = std::mem::replace(&mut self.log, kept);
        self.blocks -= evicted.values().map(|write| write.blocks).sum::<u64>();
        self.newest.retain(|_, number| *number > mark);
    }

    fn block(&self, block: u64, write: Mark) -> &[u8] {
        let write = self.log.get(&write).expect("a write that is asked for is in the log");
        match &write.content {
            Content::Zeroes => &self.zero_block,
            Content::Data(bytes) => {
                let start = (block - write.lba) as usize * self.block_bytes;
                &bytes[start..start + self.block_bytes]
            }
        }
    }
}

/// Adjacent blocks together, up to a limit.
fn join(blocks: BTreeMap<u64, Mark>, max_blocks: usize) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (block, write) in blocks {
        match runs.last_mut() {
            Some(run) if run.lba + run.writes.len() as u64 == block && run.writes.len() < max_blocks => {
                run.writes.push(write);
            }
            _ => runs.push(Run { lba: block, writes: vec![write] }),
        }
    }
    runs
}
