//! The volatile write cache: what has completed, and is not on the durable image yet.
//!
//! It is kept as a log in the order of completion. A flush hardens a prefix of it. Nothing is destaged
//! without one, which is the worst that a drive may do as long as the power stays on. A power cut, which
//! comes with the metadata, keeps, drops or tears each entry of the log, and of what is under way.

use std::collections::VecDeque;

use crate::stamp::Stamp;

/// Beyond this many blocks the oldest are destaged, as a real cache would.
const LOG_MAX: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct WriteCache {
    durable: Vec<Stamp>,
    log: VecDeque<(u32, Stamp)>,
    /// The number of the oldest entry in the log.
    first: u64,
    is_volatile: bool,
}

impl WriteCache {
    pub fn new(blocks: u64, is_volatile: bool) -> WriteCache {
        WriteCache {
            durable: vec![Stamp::BLANK; blocks as usize],
            log: VecDeque::new(),
            first: 0,
            is_volatile,
        }
    }

    #[inline]
    pub fn write(&mut self, lba: u64, stamp: Stamp) {
        if !self.is_volatile {
            self.durable[lba as usize] = stamp;
            return;
        }
        if self.log.len() == LOG_MAX {
            self.harden(self.first + 1);
        }
        self.log.push_back((lba as u32, stamp));
    }

    /// The number that the next entry will have.
    #[inline]
    pub fn now(&self) -> u64 {
        self.first + self.log.len() as u64
    }

    /// Everything before entry `until` is durable.
    pub fn harden(&mut self, until: u64) {
        while self.first < until {
            let (lba, stamp) = self.log.pop_front().expect("a flush covers what was written");
            self.durable[lba as usize] = stamp;
            self.first += 1;
        }
    }

    #[inline]
    pub fn durable(&self, lba: u64) -> Stamp {
        self.durable[lba as usize]
    }
}
