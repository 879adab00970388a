//! Being a bdev.
