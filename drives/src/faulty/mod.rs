//! The faulty drive: any other bdev, with faults on command. For tests of what lies above it.
//!
//! ```text
//!   rpc -> registry                                    drives come, go, vanish and return; rules come and go
//!             |
//!   SPDK -> device -> lane -> base                     an I/O on its thread: refused, held, let through
//!                       |
//!                     state (one mutex, all threads)
//!                       rules    which I/O fails, waits or hangs
//!                       held     the I/Os that wait or hang, of all threads
//!                       cache    what was written and not flushed
//!                       presence is the drive there?
//! ```
//!
//! No lock is held over a call into SPDK. What one thread decides about the I/O of another, that one finds
//! out by looking: each lane that holds an I/O has a poller, which asks what has become of it. So no message
//! can be lost, and none comes late.
//!
//! What a test may rely on:
//! - The first rule that fires decides what becomes of an I/O. Later rules have not seen it.
//! - An I/O that hangs, waits or fails by a rule has not been sent to the base.
//! - With a volatile cache a write is acknowledged when it is in the cache. A FLUSH writes out what had been
//!   acknowledged when the FLUSH was submitted, and flushes the base. A write with FUA is a write and a
//!   flush. The cache writes itself out when it is full.
//! - A drive that vanishes answers all its I/O with "gone", once the base has given the buffers back, and
//!   loses its cache. A power cut is the same, and says what becomes of the cache.
//! - The unit that a power cut never tears is the logical block.

mod cache;
mod device;
mod error;
mod lane;
mod loss;
mod options;
mod parked;
mod registry;
mod report;
mod rpc;
mod rule;
mod rules;
mod state;
mod write_out;

#[cfg(test)]
mod cache_tests;
#[cfg(test)]
mod state_tests;

pub use error::{FaultyError, FaultyErrorKind};
pub use loss::{Keep, Loss};
pub use options::FaultyOptions;
pub use registry::{create, delete};
pub use rule::{Fault, FaultError, Op, Rule};
