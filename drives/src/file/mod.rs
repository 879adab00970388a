//! The file drive: a regular file or a block device of the kernel as an SPDK bdev, over io_uring.

mod access;
mod bounce;
mod counters;
mod drive;
mod engine;
mod error;
mod failure;
mod iov;
mod lane;
mod lock;
mod open;
mod options;
mod ring;
mod slab;
mod transfer;
mod work;

pub use access::Access;
pub use error::{FileError, FileErrorKind};
pub use open::OpenedFile;
pub use options::{DEFAULT_BLOCK_SIZE, FileOptions};
