//! Waiting for a bdev_io when SPDK is out of them.

use std::ffi::c_void;
use std::rc::Rc;

use spdk_sys as sys;

use super::channel::{Channel, ChannelInner};

/// Calls `then` on this thread, once, when a submission that failed with `ENOMEM` is worth another try; never
/// before this function returns. `then` runs in the middle of SPDK's completion of some other I/O: it should
/// submit and return.
///
/// If bdev_ios are to be had already, `then` is called on the thread's next turn.
pub fn wait_for_io<F: FnOnce() + 'static>(channel: &Channel, then: F) {
    let waiter = Box::new(Waiter { entry: Entry::new(), channel: Rc::clone(channel.inner()), then });
    let waiter = Box::into_raw(waiter);
    // SAFETY: the waiter is a box of ours that nobody frees before `call`, which takes it; it holds the
    // channel.
    unsafe { Entry::queue(&raw mut (*waiter).entry, &(*waiter).channel, call::<F>, waiter.cast()) };
}

struct Waiter<F> {
    entry: Entry,
    channel: Rc<ChannelInner>,
    then: F,
}

unsafe extern "C" fn call<F: FnOnce()>(waiter: *mut c_void) {
    // SAFETY: made by Box::into_raw in wait_for_io, and called once.
    let waiter = unsafe { Box::from_raw(waiter.cast::<Waiter<F>>()) };
    let Waiter { channel, then, .. } = *waiter;
    drop(channel);
    then();
}

/// A place in SPDK's queue of those who wait. Must stay where it is until it is called.
pub(super) struct Entry(sys::spdk_bdev_io_wait_entry);

impl Entry {
    pub(super) fn new() -> Entry {
        // SAFETY: plain data for which all zeroes is a value.
        Entry(unsafe { std::mem::zeroed() })
    }

    /// Queues it, ahead of waiters that have nothing to give back: whoever waits here may hold the bdev_io of
    /// a host, or is metadata that such a host waits for.
    ///
    /// # Safety
    /// The entry, and what `call` does with `arg`, are valid until `call` was called; the caller is on the
    /// channel's thread.
    pub(super) unsafe fn queue(
        entry: *mut Entry,
        channel: &ChannelInner,
        call: unsafe extern "C" fn(*mut c_void),
        arg: *mut c_void,
    ) {
        // SAFETY: by the caller's promise. When SPDK refuses since there are bdev_ios, a message calls
        // instead.
        unsafe {
            if !Entry::try_queue(entry, channel, call, arg) {
                call_soon(call, arg);
            }
        }
    }

    /// As [`queue`](Entry::queue), at the very head; false if SPDK refuses, since there are bdev_ios.
    ///
    /// # Safety
    /// As for [`queue`](Entry::queue), if this returns true.
    pub(super) unsafe fn try_queue(
        entry: *mut Entry,
        channel: &ChannelInner,
        call: unsafe extern "C" fn(*mut c_void),
        arg: *mut c_void,
    ) -> bool {
        // SAFETY: by the caller's promise.
        unsafe {
            (*entry).0.bdev = channel.bdev();
            (*entry).0.cb_fn = Some(call);
            (*entry).0.cb_arg = arg;
            (*entry).0.dep_unblock = true;
            sys::spdk_bdev_queue_io_wait(channel.bdev(), channel.raw(), &raw mut (*entry).0) == 0
        }
    }
}

/// Calls `call` on the thread's next turn.
///
/// # Safety
/// The caller is on an SPDK thread; `call` may be called with `arg` once, there.
pub(crate) unsafe fn call_soon(call: unsafe extern "C" fn(*mut c_void), arg: *mut c_void) {
    // SAFETY: by the caller's promise. SPDK aborts the process itself when it can't send.
    let rc = unsafe { sys::spdk_thread_send_msg(sys::spdk_get_thread(), Some(call), arg) };
    assert!(rc == 0, "SPDK is out of messages (spdk_thread_send_msg: {rc})");
}
