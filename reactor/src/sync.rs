//! The primitives that the mailbox is built on, in one place so that `tests/mailbox_loom.rs` can compile the
//! very same mailbox over loom's.

pub(crate) use crossbeam_queue::ArrayQueue;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
pub(crate) use std::sync::{Arc, Mutex, OnceLock};
