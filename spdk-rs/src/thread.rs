//! SPDK threads: the thread library, the threads that a reactor polls, and messages to threads.
//!
//! An SPDK thread is a queue of messages and a list of pollers that some OS thread runs by polling it. Much
//! of SPDK (channels, pollers, descriptors) belongs to the SPDK thread that made it. Rules:
//!
//! - An SPDK thread **stays on one OS thread while anything is pinned to it**: that is what makes `!Send`
//!   values (an `Rc` in a poller, a channel) sound on SPDK threads. What pins a thread is listed in
//!   `thread/pin.rs`. [`OwnedThread`] remembers the OS thread that polls it, panics on another, and is
//!   [released](OwnedThread::release) only while nothing is pinned. In an application that is not ours pinned
//!   threads are bound in SPDK's sense, which its schedulers respect.
//! - Types that belong to an SPDK thread are `!Send`. Where a mix-up of two SPDK threads of one OS thread
//!   could hurt memory they check in every build, else in debug builds.
//! - A panic in anything that SPDK calls (a message, a poller, a handler) aborts the process: it can't unwind
//!   through C.

mod app;
mod bound;
mod handle;
mod lib_state;
mod owned;
mod pin;

use std::ffi::c_void;
use std::fmt;
use std::ptr::NonNull;

use serde::{Deserialize, Serialize};
use spdk_sys as sys;

pub(crate) use app::require_app_thread;
pub use app::{on_app_thread, send_to_app_thread};
pub use bound::ThreadBound;
pub use handle::ThreadHandle;
pub(crate) use lib_state::lib_is_ours;
pub use lib_state::{Scheduler, ThreadLib};
pub use owned::{OwnedThread, PollOutcome, ThreadStats};
pub(crate) use pin::{Pin, bind_current, pins_of_current};
pub use pin::{PinKind, Pins};

use crate::cpuset::CpuSet;
use crate::error::Errno;

/// The number of an SPDK thread: unique in a process, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ThreadId(pub(crate) u64);

impl ThreadId {
    /// The number, as SPDK's RPCs show it.
    pub fn raw(self) -> u64 {
        self.0
    }

    /// # Safety
    /// `thread` points to a thread that is not destroyed.
    unsafe fn of(thread: *const sys::spdk_thread) -> ThreadId {
        // SAFETY: by the contract of this function.
        ThreadId(unsafe { sys::spdk_thread_get_id(thread) })
    }
}

impl fmt::Display for ThreadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The SPDK thread that the caller runs on; `None` outside of all.
pub fn current() -> Option<ThreadId> {
    // SAFETY: the current thread is being polled, so it is not destroyed.
    current_raw().map(|thread| unsafe { ThreadId::of(thread.as_ptr()) })
}

/// The SPDK thread that the caller runs on.
pub(crate) fn current_raw() -> Option<NonNull<sys::spdk_thread>> {
    // SAFETY: reads a thread-local pointer.
    NonNull::new(unsafe { sys::spdk_get_thread() })
}

/// Whether the current SPDK thread has exited, so that it takes nothing new. False outside of all.
pub(crate) fn current_has_exited() -> bool {
    // SAFETY: the current thread is not destroyed.
    current_raw().is_some_and(|thread| unsafe { sys::spdk_thread_is_exited(thread.as_ptr()) })
}

/// For destructors: whether the caller runs on `owner`. If not it panics, and when that would be a second
/// panic it returns false, and the caller leaks.
pub(crate) fn may_drop_here(what: &str, owner: ThreadId) -> bool {
    let here = current();
    if here == Some(owner) {
        return true;
    }
    assert!(std::thread::panicking(), "{what} of SPDK thread {owner} was dropped on {here:?}");
    tracing::error!(what, %owner, "dropped on another thread in a panic, so it is leaked");
    false
}

/// Queues `message` on a thread; a message that could not be queued comes back.
///
/// # Safety
/// `thread` is neither exited nor destroyed, and stays so until the message has run. `F` is `Send`, or the
/// thread is the current one and pinned until then.
unsafe fn send_raw<F: FnOnce() + 'static>(
    thread: NonNull<sys::spdk_thread>,
    message: Box<F>,
) -> Result<(), (Errno, Box<F>)> {
    extern "C" fn run<F: FnOnce()>(message: *mut c_void) {
        // SAFETY: the box that `send_raw` gave away, and this is its one delivery.
        let message = unsafe { Box::from_raw(message.cast::<F>()) };
        message();
    }
    let message = Box::into_raw(message);
    // SAFETY: the thread takes messages, by the contract of this function; `run` takes the box over.
    let rc = unsafe { sys::spdk_thread_send_msg(thread.as_ptr(), Some(run::<F>), message.cast()) };
    Errno::from_rc(rc).map_err(|errno| {
        // SAFETY: it was not queued, so the box is still ours.
        (errno, unsafe { Box::from_raw(message) })
    })
}

/// Changes the cores that the current SPDK thread may run on, and tells the scheduler: [`Scheduler`], or that of
/// an application that is not ours. A pinned thread moves when it is pinned no more. `ESRCH` outside of all
/// threads, `ENOTSUP` where threads are not moved.
pub fn set_current_cpumask(mask: &CpuSet) -> Result<(), Errno> {
    current_raw().ok_or(Errno::ESRCH)?;
    // SAFETY: on the thread itself; SPDK copies the mask, which it takes as mutable for no reason.
    Errno::from_rc(unsafe { sys::spdk_thread_set_cpumask(mask.as_ptr().cast_mut()) })
}

/// Queues `message` on the current SPDK thread: it runs from a clean stack, at a later poll. `ESRCH` outside
/// of all threads, `ESHUTDOWN` on one that has exited.
pub fn defer(message: impl FnOnce() + 'static) -> Result<(), Errno> {
    let thread = current_raw().ok_or(Errno::ESRCH)?;
    if current_has_exited() {
        return Err(Errno::ESHUTDOWN);
    }
    let pin = Pin::new(PinKind::Message);
    let message = move || {
        message();
        drop(pin);
    };
    // SAFETY: a thread does not exit while messages wait in it; it is the current one, and stays on its OS
    // thread while the message is pinned.
    unsafe { send_raw(thread, Box::new(message)) }.map_err(|(errno, _)| errno)
}
