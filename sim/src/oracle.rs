//! What the host may find in each block.
//!
//! Per block, every write that could be its content is kept as a version, with the times at which it was
//! issued and finished, and at which it was *retired*: a write that was acknowledged after it had been
//! issued once that version had finished. A read may return a version that was issued before the read ended
//! and was not retired before the read began: at least the last acknowledged write, at most one that was
//! issued. Writes that overlapped in time retire one another in no order, and a failed write leaves both what
//! it found and what it brought.

use crate::stamp::{Stamp, WriteId};

/// Later than any event.
const NEVER: u64 = u64::MAX;

/// A moment: events at the host's side of the array, counted.
pub(crate) type Moment = u64;

#[derive(Clone, Debug)]
struct Version {
    id: WriteId,
    finished: Moment,
    retired: Moment,
    buried: Moment,
}

impl Version {
    fn new(id: WriteId, finished: Moment) -> Version {
        Version { id, finished, retired: NEVER, buried: NEVER }
    }
}

/// A write, write-zeroes or unmap that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Write {
    pub id: WriteId,
    pub lba: u64,
    pub blocks: u64,
    pub issued: Moment,
    /// An unmap: what was there may stay.
    pub is_hint: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Oracle {
    blocks: Vec<Vec<Version>>,
    now: Moment,
    last_write: WriteId,
    /// Power may be cut, and drives have volatile caches.
    is_volatile: bool,
}

impl Oracle {
    pub fn new(num_blocks: u64, is_volatile: bool) -> Oracle {
        let blank = Version::new(0, 0);
        Oracle { blocks: vec![vec![blank]; num_blocks as usize], now: 0, last_write: 0, is_volatile }
    }

    /// One event later.
    #[inline]
    pub fn tick(&mut self) -> Moment {
        self.now += 1;
        self.now
    }

    /// The host sends a write. `oldest`: no I/O that began earlier is outstanding.
    pub fn issue(&mut self, lba: u64, blocks: u64, is_hint: bool, oldest: Moment) -> Write {
        let issued = self.tick();
        self.last_write += 1;
        let id = self.last_write;
        for versions in &mut self.blocks[lba as usize..(lba + blocks) as usize] {
            versions.retain(|version| version.buried == NEVER || version.retired > oldest);
            versions.push(Version::new(id, NEVER));
        }
        Write { id, lba, blocks, issued, is_hint }
    }

    /// The write is acknowledged. `durable`: it was asked to be.
    pub fn acknowledge(&mut self, write: Write, durable: bool) {
        let now = self.tick();
        let buried = if durable || !self.is_volatile { now } else { NEVER };
        for versions in &mut self.blocks[write.lba as usize..(write.lba + write.blocks) as usize] {
            for version in versions {
                if version.id == write.id {
                    version.finished = now;
                } else if version.finished <= write.issued && version.retired == NEVER && !write.is_hint {
                    (version.retired, version.buried) = (now, buried);
                }
            }
        }
    }

    /// A flush that began at `began` is acknowledged.
    pub fn flushed(&mut self, began: Moment) {
        let now = self.tick();
        if self.is_volatile {
            let retired = self.blocks.iter_mut().flatten().filter(|version| version.retired < began);
            retired.for_each(|version| version.buried = version.buried.min(now));
        }
    }

    /// A drive with block `lba` has lost what it had not made durable.
    pub fn lose_cache(&mut self, lba: u64) {
        let versions = self.blocks[lba as usize].iter_mut();
        versions.filter(|version| version.buried == NEVER).for_each(|version| version.retired = NEVER);
    }

    /// After a crash: of what block `lba` may hold, only `found` is there. (What is found may be in a cache, and
    /// what it hides may come back with the next power cut.)
    pub fn narrow(&mut self, lba: u64, found: &[WriteId]) {
        let now = self.now;
        for version in &mut self.blocks[lba as usize] {
            if found.contains(&version.id) && version.retired == NEVER {
                version.finished = version.finished.min(now);
            } else {
                version.retired = version.retired.min(now);
            }
        }
    }

    /// The write failed. `touched`: member I/O was sent for it, so that some of it may be there.
    pub fn fail(&mut self, write: Write, touched: bool) {
        let now = self.tick();
        for versions in &mut self.blocks[write.lba as usize..(write.lba + write.blocks) as usize] {
            if !touched {
                versions.retain(|version| version.id != write.id);
            }
            for version in versions.iter_mut().filter(|version| version.id == write.id) {
                version.finished = now;
            }
        }
    }

    /// Whether a write into these blocks is under way.
    pub fn is_being_written(&self, lba: u64, blocks: u64) -> bool {
        let blocks = &self.blocks[lba as usize..(lba + blocks) as usize];
        blocks.iter().any(|versions| versions.iter().any(|version| version.finished == NEVER))
    }

    /// Whether `stamp` is what block `lba` may hold for a read, or must hold at least, since `began`.
    #[inline]
    pub fn is_current(&self, lba: u64, stamp: Stamp, began: Moment) -> bool {
        let Some(id) = stamp.write_for(lba) else { return false };
        self.blocks[lba as usize].iter().any(|version| version.id == id && version.retired > began)
    }

    /// Whether `stamp` is what block `lba` may hold once `write` is there: it, or one that overlapped it.
    #[inline]
    pub fn includes(&self, lba: u64, stamp: Stamp, write: &Write) -> bool {
        let Some(id) = stamp.write_for(lba) else { return false };
        let mut versions = self.blocks[lba as usize].iter();
        id == write.id || versions.any(|version| version.id == id && version.finished > write.issued)
    }

    /// The only write that block `lba` may hold; None when several may.
    pub fn settled(&self, lba: u64) -> Option<WriteId> {
        let mut current = self.blocks[lba as usize].iter().filter(|version| version.retired == NEVER);
        let only = current.next()?;
        current.next().is_none().then_some(only.id)
    }

    /// The newest write.
    pub fn last_write(&self) -> WriteId {
        self.last_write
    }

    /// The moment of the last event.
    pub fn now(&self) -> Moment {
        self.now
    }

    /// What block `lba` may hold, in words.
    pub fn describe(&self, lba: u64) -> String {
        let versions = self.blocks[lba as usize].iter();
        let current = versions.filter(|version| version.retired == NEVER);
        current.map(|version| format!("w{}", version.id)).collect::<Vec<_>>().join(" or ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(id: WriteId) -> Stamp {
        Stamp::data(id, 0)
    }

    #[test]
    fn a_read_finds_what_was_acknowledged_before_it_began_or_something_later() {
        let mut oracle = Oracle::new(4, false);
        let first = oracle.issue(0, 1, false, 0);
        let before = oracle.tick();
        assert!(oracle.is_current(0, data(1), before) && oracle.is_current(0, Stamp::BLANK, before));
        oracle.acknowledge(first, false);
        let after = oracle.tick();
        assert!(oracle.is_current(0, Stamp::BLANK, before), "the read began before the acknowledgement");
        assert!(!oracle.is_current(0, Stamp::BLANK, after));
        assert!(oracle.is_current(0, data(1), after));
        assert!(!oracle.is_current(0, data(2), after), "nobody wrote that");
        assert!(!oracle.is_current(0, Stamp::data(1, 3), after), "the data of another block");
        assert_eq!(oracle.settled(0), Some(1));
    }

    #[test]
    fn writes_that_overlapped_leave_either() {
        let mut oracle = Oracle::new(1, false);
        let (first, second) = (oracle.issue(0, 1, false, 0), oracle.issue(0, 1, false, 0));
        oracle.acknowledge(first, false);
        assert!(oracle.includes(0, data(2), &first), "the second one may have come last");
        oracle.acknowledge(second, false);
        let now = oracle.tick();
        assert!(oracle.is_current(0, data(1), now) && oracle.is_current(0, data(2), now));
        assert_eq!(oracle.settled(0), None);
        let third = oracle.issue(0, 1, false, now);
        assert!(!oracle.includes(0, data(2), &third));
        oracle.acknowledge(third, false);
        assert_eq!(oracle.settled(0), Some(3));
    }

    #[test]
    fn a_failed_write_leaves_either_and_an_untouched_one_leaves_nothing() {
        let mut oracle = Oracle::new(1, false);
        let failed = oracle.issue(0, 1, false, 0);
        oracle.fail(failed, true);
        let aborted = oracle.issue(0, 1, false, 0);
        oracle.fail(aborted, false);
        let now = oracle.tick();
        assert!(oracle.is_current(0, data(1), now) && oracle.is_current(0, Stamp::BLANK, now));
        assert!(!oracle.is_current(0, data(2), now));
    }

    #[test]
    fn an_unmap_may_change_nothing() {
        let mut oracle = Oracle::new(1, false);
        let unmap = oracle.issue(0, 1, true, 0);
        oracle.acknowledge(unmap, false);
        let now = oracle.tick();
        assert!(oracle.is_current(0, Stamp::wiped(1), now) && oracle.is_current(0, Stamp::BLANK, now));
    }

    #[test]
    fn a_power_cut_brings_back_what_no_flush_has_buried() {
        let mut oracle = Oracle::new(1, true);
        for flushed in [true, false] {
            let write = oracle.issue(0, 1, false, 0);
            oracle.acknowledge(write, false);
            if flushed {
                let began = oracle.tick();
                oracle.flushed(began);
            }
        }
        assert_eq!(oracle.settled(0), Some(2));
        oracle.lose_cache(0);
        let now = oracle.tick();
        assert!(oracle.is_current(0, data(1), now) && oracle.is_current(0, data(2), now));
        assert!(!oracle.is_current(0, Stamp::BLANK, now), "a flush had buried it");
        oracle.narrow(0, &[1]);
        assert_eq!(oracle.settled(0), Some(1));
    }
}
