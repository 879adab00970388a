//! The RAID: pure state machines that do no I/O, read no clock and start no threads.
//!
//! ```text
//!          host I/O                    host I/O
//!             |                           |
//!      +------v------+             +------v------+
//!      |  Channel    |  one per    |  Channel    |   plans I/O from an immutable View(epoch);
//!      +---+-----+---+  thread     +---+-----+---+   counts its writes in flight per region lease
//!          |     |                     |     |
//!   member I/O   +------- leases ------+   member I/O
//!                          |
//!                 +--------v--------+   one per core; owns a disjoint set of zones:
//!                 |      Shard      |   who may write where (leases), what is dirty
//!                 +--------+--------+
//!                          |
//!                 +--------v--------+   one per array: membership, epochs, events
//!                 |      Array      |
//!                 +-----------------+
//! ```
//!
//! A driver (the crate `basalt-bdev` on SPDK, the crate `basalt-sim` on simulated disks) feeds a machine its
//! events and carries out what it answers: member I/O, messages to other machines, completions. Every
//! machine is `Clone + Eq + Hash`, so that a model checker can explore it as well.
//!
//! Files: [`geometry`] says where a block lives, [`view`] who is in sync, [`channel`] how a host I/O becomes
//! member I/O, [`shard`] who may write directly, [`array`] how the membership changes, [`msg`] what they say
//! to one another, [`pool`] what arrays share, [`format`](mod@format) what is on the drives,
//! [`assembly`] what drives are to one another.

#![forbid(unsafe_code)]

pub mod array;
pub mod assembly;
pub mod channel;
pub mod fault;
pub mod format;
pub mod geometry;
pub mod ids;
pub mod meta;
#[cfg(test)]
mod models;
pub mod msg;
pub mod pool;
mod replica;
pub mod shard;
pub mod view;

pub use array::Array;
pub use channel::Channel;
pub use fault::{Fault, FaultKind};
pub use geometry::{Geometry, GeometryError, GeometrySpec, Level};
pub use ids::{ChannelId, Epoch, IoId, RegionId, ShardId, Slot, SlotSet};
pub use shard::Shard;
pub use view::View;
