//! One polled reactor per core: SPDK threads, Rust futures, mailboxes and epochs.
//!
//! [`mailbox`] and [`epoch`] stand on their own and work in any application.
#![forbid(unsafe_code)]

pub mod clock;
pub mod epoch;
pub mod executor;
pub mod idle;
pub mod mailbox;
mod sync;
mod timer;
pub mod wake;
