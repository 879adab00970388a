//! Drives of our own, as SPDK bdev modules on `spdk-rs`.
//!
//! One folder per kind of drive. [`mod@file`]: a file or a block device of the kernel, over io_uring.
//! [`mod@faulty`]: any other bdev, with faults on command.

pub mod faulty;
pub mod file;
