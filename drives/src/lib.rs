//! Drives of our own, as SPDK bdev modules on `spdk-rs`.
//!
//! One folder per kind of drive. [`mod@file`]: a file or a block device of the kernel, over io_uring.

pub mod file;
