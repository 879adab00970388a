//! The safe layer over SPDK.

pub mod bdev;
pub mod module;
