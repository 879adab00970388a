//! What keeps an SPDK thread on its OS thread.
//!
//! A `!Send` value may be used on one OS thread only. When it can be reached through an SPDK thread (SPDK
//! calls it there, or a check for that SPDK thread is all that guards it), that thread must not move to
//! another OS thread as long as the value lives. So each such value holds a [`Pin`] on its thread:
//!
//! - [`PinKind::Poller`]: the closure of a [`Poller`](crate::poller::Poller), from registration to drop.
//! - [`PinKind::Channel`]: a channel of an [`IoDevice`](crate::io_device::IoDevice) or of a
//!   [`Device`](crate::module::Device), from open to close, however many refer to it. It outlives every
//!   `IoChannelRef` and every [`Io`](crate::module::Io), which need no pin of their own.
//! - [`PinKind::BdevChannel`]: a [`bdev::Channel`](crate::bdev::Channel), from open until it is dropped and
//!   no I/O is in flight. I/O holds on to it until its callback runs, and so does
//!   [`wait_for_io`](crate::bdev::wait_for_io).
//! - [`PinKind::Value`]: a value in a [`ThreadBound`](crate::thread::ThreadBound).
//! - [`PinKind::Message`]: a message of [`defer`](crate::thread::defer), and the end of a visit of
//!   [`introspect`](crate::introspect), until they have run.
//!
//! What belongs to the app thread (`rpc` with its `Reply`, `subsystem`, descriptors' events, registered
//! bdevs, the callbacks of a module) needs no pin of its own: the app thread never moves. Nor does a thread
//! that was bound for life ([`ThreadHandle::bind`](crate::thread::ThreadHandle::bind)), as a core's own is.
//!
//! Free to move are values that are `Send`: messages of [`ThreadHandle::send`](crate::thread::ThreadHandle),
//! the visitor of `on_each_thread`, an `IoDevice` that waits for its end. So are the outcome of an I/O that
//! is over, and what safe code keeps in a `thread_local!` or in a task: these stay with the OS thread.
//! SPDK's own C code keeps what it has by SPDK thread, and is made to be moved.
//!
//! The first pin binds the thread in SPDK's sense (`spdk_thread_bind`), the last one releases it, so that the
//! schedulers of an application that is not ours leave it where it is, too.
//!
//! ```text
//!                   first Pin                      (bound by others: stays
//!     Free ---------------------------> Pinned      bound when the last Pin goes)
//!      ^  <---------------------------    |
//!      |           last Pin drops         +-- more Pins come and go
//!      |
//!      +-- OwnedThread::release: may be sent to another OS thread
//! ```

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;

use spdk_sys as sys;

use super::{ThreadId, current, current_raw};

/// What kind of value pins a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinKind {
    /// The closure of a poller.
    Poller,
    /// A channel to a device of ours.
    Channel,
    /// A channel to a bdev that we use.
    BdevChannel,
    /// A value in a [`ThreadBound`](super::ThreadBound).
    Value,
    /// A message that waits and can't be sent to another OS thread.
    Message,
}

impl PinKind {
    /// Each, with what people call one of them.
    const ALL: [(PinKind, &str); 5] = [
        (PinKind::Poller, "poller"),
        (PinKind::Channel, "device channel"),
        (PinKind::BdevChannel, "bdev channel"),
        (PinKind::Value, "bound value"),
        (PinKind::Message, "message"),
    ];
}

/// Why a thread stays on its OS thread. Displays as `2 pollers, 1 device channel`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pins {
    counts: [u32; PinKind::ALL.len()],
    /// Whether it stays whatever the counts are.
    bound: bool,
    app: bool,
}

impl Pins {
    /// How many values of a kind.
    pub fn count(&self, kind: PinKind) -> u32 {
        self.counts[kind as usize]
    }

    /// Whether it was bound to its core by other means than a value: for life, or by SPDK's own code.
    pub fn is_bound(&self) -> bool {
        self.bound
    }

    /// Whether it is the app thread, which never moves.
    pub fn is_app_thread(&self) -> bool {
        self.app
    }
}

impl fmt::Display for Pins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = PinKind::ALL.iter().filter_map(|&(kind, name)| match self.count(kind) {
            0 => None,
            1 => Some(format!("1 {name}")),
            count => Some(format!("{count} {name}s")),
        });
        let whole = [(self.app, "it is the app thread"), (self.bound, "it is bound to its core")];
        let whole = whole.iter().filter(|(so, _)| *so).map(|(_, what)| (*what).to_owned());
        f.write_str(&whole.chain(counted).collect::<Vec<_>>().join(", "))
    }
}

/// What is pinned on the SPDK threads of one OS thread. An entry exists while there are pins, and while there
/// are pins the thread does not leave; so it is always found where it is looked for.
#[derive(Default)]
struct Pinned {
    counts: [u32; PinKind::ALL.len()],
    /// Bound by others too: not ours to release.
    bound_by_others: bool,
}

thread_local! {
    static PINNED: RefCell<BTreeMap<ThreadId, Pinned>> = const { RefCell::new(BTreeMap::new()) };
}

/// Keeps the SPDK thread that made it on its OS thread until it is dropped.
#[derive(Debug)]
pub(crate) struct Pin {
    owner: ThreadId,
    kind: PinKind,
    _not_send: PhantomData<*const ()>,
}

impl Pin {
    /// Pins the current SPDK thread.
    ///
    /// # Panics
    /// Outside of SPDK threads.
    pub(crate) fn new(kind: PinKind) -> Pin {
        let thread = current_raw().expect("only an SPDK thread can be pinned");
        // SAFETY: the current thread lives.
        let owner = unsafe { ThreadId::of(thread.as_ptr()) };
        PINNED.with_borrow_mut(|pinned| {
            let pins = pinned.entry(owner).or_insert_with(|| {
                let bound_by_others = is_bound(thread);
                set_bound(thread, true);
                Pinned { bound_by_others, ..Pinned::default() }
            });
            pins.counts[kind as usize] += 1;
        });
        Pin { owner, kind, _not_send: PhantomData }
    }
}

impl Drop for Pin {
    /// On another thread the pin stays for ever, as does its value: the value's own destructor has panicked
    /// there, and leaks it.
    fn drop(&mut self) {
        let Some(thread) = current_raw().filter(|_| current() == Some(self.owner)) else { return };
        PINNED.with_borrow_mut(|pinned| {
            let pins = pinned.get_mut(&self.owner).expect("a pinned thread stays on its OS thread");
            pins.counts[self.kind as usize] -= 1;
            if pins.counts.iter().all(|count| *count == 0) {
                set_bound(thread, pins.bound_by_others);
                pinned.remove(&self.owner);
            }
        });
    }
}

/// Binds the current SPDK thread to its core, for life.
///
/// # Panics
/// Outside of SPDK threads.
pub(crate) fn bind_current() {
    let thread = current_raw().expect("only an SPDK thread can be bound");
    // SAFETY: the current thread lives.
    let id = unsafe { ThreadId::of(thread.as_ptr()) };
    PINNED.with_borrow_mut(|pinned| {
        if let Some(pins) = pinned.get_mut(&id) {
            pins.bound_by_others = true;
        }
    });
    set_bound(thread, true);
}

/// Why the current SPDK thread stays on its OS thread; `None` if it may move, or outside of all.
pub(crate) fn pins_of_current() -> Option<Pins> {
    // SAFETY: the current thread lives, and runs here.
    current_raw().and_then(|thread| unsafe { pins_of(thread) })
}

/// Why a thread stays on its OS thread; `None` if it may move.
///
/// # Safety
/// The thread lives, and it is this OS thread that polls it.
pub(super) unsafe fn pins_of(thread: NonNull<sys::spdk_thread>) -> Option<Pins> {
    // SAFETY: by the contract of this function.
    let (id, app) =
        unsafe { (ThreadId::of(thread.as_ptr()), sys::spdk_thread_is_app_thread(thread.as_ptr())) };
    let pins = PINNED.with_borrow(|pinned| match pinned.get(&id) {
        Some(pins) => Pins { counts: pins.counts, bound: pins.bound_by_others, app },
        None => Pins { bound: is_bound(thread), app, ..Pins::default() },
    });
    (pins != Pins::default()).then_some(pins)
}

fn is_bound(thread: NonNull<sys::spdk_thread>) -> bool {
    // SAFETY: the callers' thread lives and runs on this OS thread; this reads one field.
    unsafe { sys::spdk_thread_is_bound(thread.as_ptr()) }
}

fn set_bound(thread: NonNull<sys::spdk_thread>, bound: bool) {
    // SAFETY: the current thread, so it lives, and only this OS thread looks at what this writes.
    unsafe { sys::spdk_thread_bind(thread.as_ptr(), bound) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_for_people() {
        let mut pins = Pins::default();
        pins.counts[PinKind::Poller as usize] = 2;
        pins.counts[PinKind::Channel as usize] = 1;
        assert_eq!(pins.to_string(), "2 pollers, 1 device channel");
        pins.bound = true;
        assert_eq!(pins.to_string(), "it is bound to its core, 2 pollers, 1 device channel");
        assert_eq!(Pins { app: true, ..Pins::default() }.to_string(), "it is the app thread");
        for (at, (kind, _)) in PinKind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, at);
        }
    }
}
