//! The RAID as an SPDK bdev module, for the daemon and for any other SPDK application.
//!
//! This crate only translates: SPDK's bdev_io to the machines of the crate `raid`, their children to member
//! I/O, their messages to posts between SPDK threads. No RAID decision lives here.
//!
//! ```text
//!   any SPDK thread              one thread per core             app thread
//!   +------------------+         +------------------+            +-------------------------+
//!   | channel          |  posts  | shard            |   posts    | array                   |
//!   |  raid::Channel   | <-----> |  raid::Shard per | <------->  |  raid::Array, drives,   |
//!   |  member channels |         |  array           |            |  bdev, RPC              |
//!   +------------------+         +------------------+            +-------------------------+
//!          each thread has one port: a mailbox, and a poller that empties it
//! ```
//!
//! It needs no reactor of ours: the shard threads are SPDK threads that the module creates and that the
//! application's reactors poll.

mod array;
mod channel;
mod clock;
mod device;
mod host;
mod meta;
mod module;
mod port;
mod rpc;
mod shard;
mod task;
mod translate;
