//! The RAID as an SPDK bdev module.
