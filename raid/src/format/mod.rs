//! What is on a member: its superblock and its dirty log, as bytes and decoded. `docs/format.md` draws it.
//!
//! ```text
//! 0        64 KiB   96 KiB  128 KiB  160 KiB   1 MiB            2 MiB          8 MiB
//! +--------+--------+-------+--------+---------+----------------+--------------+----------------
//! | boot   | copy A |       | copy B |         | dirty log,     | reserved     | data, from
//! | area   | 32 KiB |       | 32 KiB |         | 256 x 4 KiB    | (parity log) | data_offset on
//! +--------+--------+-------+--------+---------+----------------+--------------+----------------
//! ```
//!
//! Everything here is pure: bytes in, values out, and back. Decoding never panics and accepts only what
//! encoding can have written; whatever else it gets, it says what is wrong with it.
//!
//! Files: [`superblock`] is the record, `check` what makes one possible, `image` its bytes, [`log`] the dirty
//! log, [`region`] the states in it, [`damage`] what can be wrong, [`foreign`](mod@foreign) who else could
//! have written there.

mod check;
mod checksum;
pub mod damage;
pub mod foreign;
mod image;
pub mod log;
pub mod region;
pub mod superblock;
#[cfg(test)]
mod tests;
mod uuid;

pub use damage::{Damage, Impossible, SectorDamage};
pub use foreign::{Foreign, foreign};
pub use image::{decode, encode, salvage};
pub use log::{DecodedPage, LogPage, merge};
pub use region::RegionState;
pub use superblock::{
    BadBlock, Checkpoint, Consistency, EventRecord, Features, Generation, MemberRecord, Policy, RecordState,
    Shape, ShutDown, Superblock, newest_copy,
};
pub use uuid::Uuid16;

/// Bytes at the start of a member that are zero on a new member, and belong to nobody.
pub const BOOT_BYTES: u64 = 64 * 1024;

/// Where the two copies of the superblock are, in bytes. They are written in turn, so that one of them is
/// whole at any time.
pub const COPY_OFFSETS: [u64; 2] = [64 * 1024, 128 * 1024];

/// Bytes of a superblock copy.
pub const SUPERBLOCK_BYTES: usize = 32 * 1024;

/// Where the dirty log is, in bytes.
pub const LOG_OFFSET: u64 = 1024 * 1024;

/// Bytes of the dirty log.
pub const LOG_BYTES: u64 = log::PAGES as u64 * log::PAGE_BYTES as u64;

/// Where data may begin, in bytes; everything before belongs to the metadata.
pub const DATA_OFFSET_MIN: u64 = 8 * 1024 * 1024;

/// Bytes from the start of a drive that [`foreign()`] looks at.
pub const HEAD_BYTES: usize = 128 * 1024;

const _: () = assert!(LOG_OFFSET + LOG_BYTES == 2 * 1024 * 1024);
const _: () = assert!(COPY_OFFSETS[0] + SUPERBLOCK_BYTES as u64 <= COPY_OFFSETS[1]);
const _: () = assert!(COPY_OFFSETS[1] + SUPERBLOCK_BYTES as u64 <= LOG_OFFSET);
const _: () = assert!(log::PAGES as u64 * log::PAGE_REGIONS as u64 == crate::geometry::REGIONS_LIMIT);
