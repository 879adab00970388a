//! What one thread has of one drive.

use super::access::Access;
use super::counters::Counters;
use super::drive::Drive;
use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::sync::Arc;

/// One drive on one thread; `R` is the thread's kind of host I/O.
pub(crate) struct Lane<R> {
    pub(crate) drive: Arc<Drive>,
    /// An open file of this thread's own: see [`super::access::reopen`].
    pub(crate) file: File,
    pub(crate) counters: Arc<Counters>,
    pub(crate) syncs: RefCell<SyncGroup<R>>,
}

impl<R> Lane<R> {
    pub(crate) fn open(drive: &Arc<Drive>) -> io::Result<Lane<R>> {
        let file = drive.file.io_file()?;
        let syncs = RefCell::new(SyncGroup { running: Vec::new(), waiting: Vec::new() });
        Ok(Lane { drive: Arc::clone(drive), file, counters: drive.enlist(), syncs })
    }

    pub(crate) fn access(&self) -> Access {
        self.drive.file.access
    }
}

impl<R> Drop for Lane<R> {
    fn drop(&mut self) {
        self.drive.strike_off(&self.counters);
    }
}

/// Those who want what was written to be durable: one fdatasync at a time, and one for all who came while the
/// last one ran.
///
/// ```text
///   join: Idle -> Running(it)          Running(r), Waiting(w) -> Running(r), Waiting(w + it)
///   end:  Running(r), Waiting(none) -> Idle      Running(r), Waiting(w) -> Running(w)
/// ```
///
/// Sharing is also what makes a failure known to all whom it concerns: the kernel reports a lost write to one
/// fsync of an open file, so that of two that run at the same time the other would claim success.
pub(crate) struct SyncGroup<R> {
    running: Vec<R>,
    waiting: Vec<R>,
}

impl<R> SyncGroup<R> {
    /// True: an fdatasync is to be started now.
    #[must_use]
    pub(crate) fn join(&mut self, request: R) -> bool {
        if self.running.is_empty() {
            self.running.push(request);
            return true;
        }
        self.waiting.push(request);
        false
    }

    /// The fdatasync is through: those it was for. Unless [`SyncGroup::is_idle`] now, the next is to be
    /// started.
    pub(crate) fn end(&mut self) -> Vec<R> {
        let next = std::mem::take(&mut self.waiting);
        std::mem::replace(&mut self.running, next)
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// Takes one back that waits.
    pub(crate) fn take_waiting(&mut self, is_it: impl Fn(&R) -> bool) -> Option<R> {
        let at = self.waiting.iter().position(is_it)?;
        Some(self.waiting.remove(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_come_during_a_sync_share_the_next() {
        let mut group = SyncGroup { running: Vec::new(), waiting: Vec::new() };
        assert!(group.join(1));
        assert!(!group.join(2));
        assert!(!group.join(3));
        assert!(!group.join(4));
        assert_eq!(group.take_waiting(|&it| it == 3), Some(3));
        assert_eq!(group.take_waiting(|&it| it == 1), None, "its sync is on its way");
        assert_eq!(group.end(), [1]);
        assert!(!group.is_idle());
        assert!(!group.join(5));
        assert_eq!(group.end(), [2, 4]);
        assert_eq!(group.end(), [5]);
        assert!(group.is_idle());
        assert!(group.join(6));
    }
}
