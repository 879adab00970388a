//! Making up for bdev_ios that were taken from a thread's cache to be kept.
//!
//! A thread that has nothing in its cache, and no I/O out, gets nothing from the common pool either once
//! somebody waits on it: for ever, whatever comes back elsewhere. So what is kept should come from the pool.
//! SPDK serves from the cache first and refills it only with what is freed: therefore as many as the cache holds
//! are taken as well, the last of them from the pool, and freed again on the thread's next turns.

use std::collections::BTreeSet;
use std::ffi::c_void;
use std::mem::{size_of, zeroed};
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard, PoisonError};

use spdk_sys as sys;

use super::channel::{Channel, ChannelInner};
use crate::thread::{ThreadId, current};

/// The refilling of a thread's cache, until the last answer has come.
pub(super) struct Refill {
    channel: Rc<ChannelInner>,
    thread: ThreadId,
}

/// The threads whose caches are empty anyway, since they are being refilled: what is taken there comes from
/// the pool.
static REFILLING: Mutex<BTreeSet<ThreadId>> = Mutex::new(BTreeSet::new());

impl Refill {
    /// Refills the cache of the current thread, which is that of `channel` and holds so many.
    pub(super) fn start(channel: &Channel, bdev_ios: u32) {
        let Some(thread) = current() else { return };
        if !Refill::running().insert(thread) {
            return;
        }
        let refill = Rc::new(Refill { channel: Rc::clone(channel.inner()), thread });
        for _ in 0..bdev_ios {
            let (desc, channel) = (refill.channel.desc(), refill.channel.raw());
            let held = Rc::into_raw(Rc::clone(&refill)).cast_mut().cast();
            // SAFETY: the channel is held, by `held` until the answer was freed.
            let rc = unsafe { sys::spdk_bdev_seek_data(desc, channel, 0, Some(answered), held) };
            if rc != 0 {
                // SAFETY: nothing was sent, so the reference is still ours.
                drop(unsafe { Rc::from_raw(held.cast::<Refill>().cast_const()) });
                return;
            }
        }
    }

    fn running() -> MutexGuard<'static, BTreeSet<ThreadId>> {
        REFILLING.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Refill {
    fn drop(&mut self) {
        Refill::running().remove(&self.thread);
    }
}

unsafe extern "C" fn answered(io: *mut sys::spdk_bdev_io, _success: bool, held: *mut c_void) {
    // SAFETY: SPDK answers once, with the reference that `start` gave it, and hands us the bdev_io to free.
    unsafe {
        sys::spdk_bdev_free_io(io);
        drop(Rc::from_raw(held.cast::<Refill>().cast_const()));
    }
}

/// What SPDK lets each thread keep for itself (`bdev_io_cache_size`).
pub(super) fn bdev_ios_per_thread() -> u32 {
    // SAFETY: plain data for which all zeroes is a value, and which SPDK fills up to the given size.
    let opts = unsafe {
        let mut opts: sys::spdk_bdev_opts = zeroed();
        sys::spdk_bdev_get_opts(&mut opts, size_of::<sys::spdk_bdev_opts>());
        opts
    };
    opts.bdev_io_cache_size
}
