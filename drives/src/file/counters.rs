//! What a drive did, counted per thread.

use serde::Serialize;
use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that one thread writes and all may read; no read-modify-write, no shared cache line on the I/O
/// path.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// For its one writer only.
    pub(crate) fn add(&self, much: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(much), Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// The counters of one drive on one thread, on cache lines of their own.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub(crate) struct Counters {
            in_flight: AtomicU64,
            $(pub(crate) $name: Counter,)*
        }

        /// The sums over all threads, since the drive was created.
        #[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize)]
        pub struct Totals {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            pub(crate) fn totals(&self) -> Totals {
                Totals { $($name: self.$name.get(),)* }
            }
        }

        impl AddAssign for Totals {
            fn add_assign(&mut self, other: Totals) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

counters! {
    /// READs that ended well.
    reads,
    /// Their bytes.
    read_bytes,
    /// WRITEs that ended well.
    writes,
    /// Their bytes.
    written_bytes,
    /// WRITEs with FUA, as asked by the host.
    fua_writes,
    /// FLUSHes, as asked by the host.
    flushes,
    /// fdatasync operations that the kernel did. Flushes that come while one runs share the next.
    syncs,
    /// Write operations with RWF_DSYNC that the kernel did.
    dsync_writes,
    /// UNMAPs that ended well.
    unmaps,
    /// WRITE ZEROES that ended well.
    write_zeroes,
    /// Write operations that carried zeros because the file system has neither ZERO_RANGE nor holes.
    zero_writes,
    /// Copies through a buffer of ours, for alignment.
    bounces,
    /// Operations that moved less than asked and were continued.
    short_transfers,
    /// Operations that the kernel had no room for, and that were tried again.
    retries,
    /// I/Os that failed.
    errors,
    /// I/Os taken back by ABORT.
    aborts,
}

impl Counters {
    /// One more I/O under way; for the one writer only.
    pub(crate) fn begin(&self) {
        self.in_flight.store(self.in_flight.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// One I/O less; for the one writer only. What it did happens before a [`Counters::in_flight`] that sees
    /// it.
    pub(crate) fn end(&self) {
        self.in_flight.store(self.in_flight.load(Ordering::Relaxed) - 1, Ordering::Release);
    }

    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Acquire)
    }
}
