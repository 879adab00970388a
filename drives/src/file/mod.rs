//! The file drive: a regular file or a block device of the kernel as an SPDK bdev, over io_uring.
//!
//! ```text
//!   rpc -> registry -> open (access, lock)            a file becomes a drive, and ends as one
//!                          |
//!   SPDK -> device -> engine -> work, transfer, lane  an I/O becomes operations of the kernel
//!                          |
//!                        ring                         one io_uring per SPDK thread, polled
//! ```
//!
//! Why not SPDK's own: its uring bdev has neither FLUSH nor UNMAP, and its aio bdev calls `fsync` on the
//! reactor.
//!
//! What a host may rely on:
//! - FLUSH is an fdatasync in a thread of the kernel. It covers every write that was completed before it
//!   came, and a lost write is reported to every thread that flushes. A write with FUA is durable when it
//!   completes.
//! - A failed FLUSH is not repeated: the kernel forgets what it could not write, so what was written since
//!   the last good one is in doubt.
//! - UNMAP punches holes, which read as zeros. WRITE ZEROES keeps the space allocated where the file system
//!   can.
//! - Nothing fails for lack of a resource; it waits.
//! - RESET waits for what is under way; ABORT takes back what the kernel has not begun.

mod access;
mod bounce;
mod counters;
mod device;
mod drive;
mod engine;
mod error;
mod failure;
mod iov;
mod lane;
mod lock;
#[cfg(test)]
mod loop_device;
mod open;
mod options;
mod registry;
mod ring;
mod rpc;
mod slab;
mod transfer;
mod work;

pub use error::{FileError, FileErrorKind};
pub use options::{DEFAULT_BLOCK_SIZE, FileOptions};
pub use registry::{create, delete};
