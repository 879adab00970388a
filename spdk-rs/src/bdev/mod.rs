//! Using a bdev.
