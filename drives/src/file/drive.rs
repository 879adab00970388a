//! What all threads share of one drive.

use super::counters::{Counters, Totals};
use super::failure::{Failure, FailureKind};
use super::open::OpenedFile;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A file in use as a drive.
#[derive(Debug)]
pub struct Drive {
    /// Name of the bdev.
    pub name: String,
    /// The file under it.
    pub file: OpenedFile,
    /// Logical block size in bytes.
    pub block_size: u32,
    /// FLUSH is answered at once and FUA ignored.
    pub assume_durable: bool,
    zero_method: AtomicU8,
    failures: AtomicU64,
    ledger: Mutex<Ledger>,
}

#[derive(Debug, Default)]
struct Ledger {
    open: Vec<Arc<Counters>>,
    /// Of the channels that were closed.
    closed: Totals,
}

/// How ranges are zeroed; each one is left for the next when the file system turns out not to have it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum ZeroMethod {
    /// `FALLOC_FL_ZERO_RANGE`: the range stays allocated.
    ZeroRange,
    /// `FALLOC_FL_PUNCH_HOLE`.
    PunchHole,
    /// Writing zeros.
    Write,
}

impl Drive {
    /// A drive on `file`, which must have been opened for this block size.
    pub fn new(name: String, file: OpenedFile, block_size: u32, assume_durable: bool) -> Arc<Drive> {
        Arc::new(Drive {
            name,
            file,
            block_size,
            assume_durable,
            zero_method: AtomicU8::new(0),
            failures: AtomicU64::new(0),
            ledger: Mutex::default(),
        })
    }

    /// Number of blocks.
    pub fn num_blocks(&self) -> u64 {
        self.file.size_bytes / u64::from(self.block_size)
    }

    /// What it did so far.
    pub fn totals(&self) -> Totals {
        let ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sum = ledger.closed;
        ledger.open.iter().for_each(|counters| sum += counters.totals());
        sum
    }

    /// Is nothing of it under way, on any thread? Meaningful while nothing new is submitted.
    pub(crate) fn is_quiet(&self) -> bool {
        let ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.open.iter().all(|counters| counters.in_flight() == 0)
    }

    pub(crate) fn zero_method(&self) -> ZeroMethod {
        [ZeroMethod::ZeroRange, ZeroMethod::PunchHole, ZeroMethod::Write]
            [usize::from(self.zero_method.load(Ordering::Relaxed))]
    }

    /// The file system does not have `method`: the next one is used from now on.
    pub(crate) fn give_up(&self, method: ZeroMethod) -> ZeroMethod {
        let next = (method as u8 + 1).min(ZeroMethod::Write as u8);
        self.zero_method.fetch_max(next, Ordering::Relaxed);
        self.zero_method()
    }

    /// A failed I/O on a device that is no longer there is not a bad medium.
    pub(crate) fn judge(&self, failure: Failure) -> Failure {
        let is_gone =
            failure.kind == FailureKind::Media && self.file.is_device && self.file.current_size_bytes() == 0;
        if is_gone { Failure { kind: FailureKind::Gone, ..failure } } else { failure }
    }

    /// Tells the operator: of the 1st, 2nd, 4th, 8th ... failure, so that a dying drive does not fill the
    /// log.
    pub(crate) fn report(&self, doing: &str, failure: Failure) {
        let times = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        if !times.is_power_of_two() {
            return;
        }
        let (drive, path) = (&self.name, self.file.path.display());
        match failure.kind {
            FailureKind::Full => tracing::error!(
                %drive, %path, times,
                "{doing} failed: the file system is full, and the file is sparse; free some space there"
            ),
            _ => tracing::error!(%drive, %path, times, "{doing} failed: {failure}"),
        }
    }

    /// The counters of one more thread, until they are struck off.
    pub(crate) fn enlist(&self) -> Arc<Counters> {
        let counters = Arc::new(Counters::default());
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).open.push(Arc::clone(&counters));
        counters
    }

    pub(crate) fn strike_off(&self, counters: &Arc<Counters>) {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.open.retain(|open| !Arc::ptr_eq(open, counters));
        ledger.closed += counters.totals();
    }
}
