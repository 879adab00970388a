//! One polled reactor per core: SPDK threads, Rust futures, mailboxes and epochs.
//!
//! [`mailbox`], [`epoch`] and [`wake`] stand on their own and work in any application; the rest is for a
//! process of ours, which is a [`runtime::Runtime`] that runs one main future.
#![forbid(unsafe_code)]

pub mod clock;
mod cores;
pub mod epoch;
pub mod executor;
pub mod idle;
pub mod mailbox;
mod oneshot;
mod placement;
mod reactor;
mod rpc;
pub mod runtime;
pub mod shutdown;
mod sync;
mod threads;
mod timer;
pub mod wake;
mod watch;
