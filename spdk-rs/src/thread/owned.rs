//! The threads that a reactor polls.

use std::cell::Cell;
use std::ffi::CStr;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::thread as os_thread;

use spdk_sys as sys;

use super::pin::{Pins, pins_of};
use super::{ThreadId, lib_state};
use crate::cpuset::CpuSet;

/// Whether a poll found work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollOutcome {
    /// A message ran, or a poller said that it had work.
    Busy,
    /// Nothing to do.
    Idle,
}

/// How long a thread had work and had none, in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThreadStats {
    /// Ticks in polls that found work.
    pub busy_ticks: u64,
    /// Ticks in polls that found none.
    pub idle_ticks: u64,
}

/// The exclusive right to poll one SPDK thread, handed to the [`Scheduler`](super::Scheduler).
///
/// It may be sent to the OS thread that is to poll it; the first [`poll`](OwnedThread::poll) or
/// [`enter`](OwnedThread::enter) ties it to that OS thread, and one from another OS thread panics, until it
/// is [released](OwnedThread::release).
/// Dropping it destroys the SPDK thread if that has exited, and else leaks it: others may still send it
/// messages.
pub struct OwnedThread {
    raw: NonNull<sys::spdk_thread>,
    name: Box<str>,
    home: Cell<Option<os_thread::ThreadId>>,
}

// SAFETY: while there is no `home` nothing that belongs to an OS thread lives on it (it was not polled yet,
// or it was released, which pins prevent); while there is one it is checked before anything runs on it.
// Whoever holds it is the only one to poll it.
unsafe impl Send for OwnedThread {}

impl OwnedThread {
    /// # Safety
    /// `raw` is a new thread that nobody else will poll or destroy, and [`lib_state::LIFE`] was entered for
    /// it.
    pub(super) unsafe fn from_raw(raw: NonNull<sys::spdk_thread>) -> OwnedThread {
        // SAFETY: the thread lives, and its name is NUL-terminated.
        let name = unsafe { CStr::from_ptr(sys::spdk_thread_get_name(raw.as_ptr())) };
        OwnedThread { raw, name: name.to_string_lossy().into(), home: Cell::new(None) }
    }

    /// Gives the thread back unpolled, so that its creation fails.
    pub(super) fn refuse(self) -> NonNull<sys::spdk_thread> {
        lib_state::LIFE.leave();
        let mut this = ManuallyDrop::new(self);
        drop(std::mem::take(&mut this.name));
        this.raw
    }

    /// Runs what waits: messages, pollers, timers due at `now_ticks` (0: read the clock).
    ///
    /// # Panics
    /// On another OS thread than the first poll since it was made or released.
    pub fn poll(&mut self, now_ticks: u64) -> PollOutcome {
        self.assert_at_home();
        // SAFETY: `&mut self` is the only right to poll it, and this is its OS thread.
        match unsafe { sys::spdk_thread_poll(self.raw.as_ptr(), 0, now_ticks) } {
            work if work > 0 => PollOutcome::Busy,
            _ => PollOutcome::Idle,
        }
    }

    /// Runs `f` as if the thread polled it: with it as the current SPDK thread.
    ///
    /// # Panics
    /// On another OS thread than the first poll since it was made or released.
    pub fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        self.assert_at_home();
        self.as_current(f)
    }

    /// Unties it from its OS thread, so that another may poll it from now on. What pins it is the error, and
    /// it stays; it may be asked again when that is gone.
    ///
    /// # Panics
    /// On another OS thread than the one it is tied to.
    pub fn release(&mut self) -> Result<(), Pins> {
        self.assert_at_home();
        // SAFETY: the thread lives, and this is its OS thread.
        if let Some(pins) = unsafe { pins_of(self.raw) } {
            return Err(pins);
        }
        self.home.set(None);
        Ok(())
    }

    /// Whether it has exited: nothing is left on it, and it may be dropped.
    pub fn is_exited(&self) -> bool {
        // SAFETY: the thread lives, and only the holder of `self` changes its state.
        unsafe { sys::spdk_thread_is_exited(self.raw.as_ptr()) }
    }

    /// Whether it has neither messages nor pollers (paused ones aside), so that polling it now is of no use.
    pub fn is_idle(&self) -> bool {
        // SAFETY: the thread lives.
        unsafe { sys::spdk_thread_is_idle(self.raw.as_ptr()) }
    }

    /// Whether it has pollers that want to run at every poll.
    pub fn has_active_pollers(&self) -> bool {
        // SAFETY: the thread lives.
        unsafe { sys::spdk_thread_has_active_pollers(self.raw.as_ptr()) != 0 }
    }

    /// When its next timer is due, in ticks; `None` without timers.
    pub fn next_expiration_ticks(&self) -> Option<u64> {
        // SAFETY: the thread lives.
        let ticks = unsafe { sys::spdk_thread_next_poller_expiration(self.raw.as_ptr()) };
        (ticks != 0).then_some(ticks)
    }

    /// Its number.
    pub fn id(&self) -> ThreadId {
        // SAFETY: the thread lives.
        unsafe { ThreadId::of(self.raw.as_ptr()) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The cores that it may be polled on.
    pub fn cpumask(&self) -> CpuSet {
        // SAFETY: the thread lives; only code on the thread itself changes its mask.
        unsafe { CpuSet::from_ptr(sys::spdk_thread_get_cpumask(self.raw.as_ptr())) }
    }

    /// How busy it was since it began.
    pub fn stats(&self) -> ThreadStats {
        let mut stats = sys::spdk_thread_stats { busy_tsc: 0, idle_tsc: 0 };
        // SAFETY: called on an SPDK thread with room for the answer.
        let rc = self.as_current(|| unsafe { sys::spdk_thread_get_stats(&mut stats) });
        assert_eq!(rc, 0, "fails only outside of SPDK threads");
        ThreadStats { busy_ticks: stats.busy_tsc, idle_ticks: stats.idle_tsc }
    }

    /// Destroys the thread.
    ///
    /// # Panics
    /// If it has not exited.
    pub fn destroy(self) {
        assert!(self.is_exited(), "SPDK thread {} has not exited", self.name);
    }

    fn as_current<R>(&self, f: impl FnOnce() -> R) -> R {
        /// Also when `f` unwinds.
        struct Restore(*mut sys::spdk_thread);
        impl Drop for Restore {
            fn drop(&mut self) {
                // SAFETY: the thread that was current before; it is being polled further up the stack, or
                // null.
                unsafe { sys::spdk_set_thread(self.0) };
            }
        }
        // SAFETY: reads a thread-local pointer.
        let _restore = Restore(unsafe { sys::spdk_get_thread() });
        // SAFETY: the thread lives while `self` is borrowed.
        unsafe { sys::spdk_set_thread(self.raw.as_ptr()) };
        f()
    }

    fn assert_at_home(&self) {
        let here = os_thread::current().id();
        let home = self.home.get().unwrap_or_else(|| {
            self.home.set(Some(here));
            here
        });
        assert!(home == here, "SPDK thread {} moved to another OS thread", self.name);
    }
}

impl Drop for OwnedThread {
    fn drop(&mut self) {
        if !self.is_exited() {
            tracing::error!(
                thread = &*self.name,
                "an SPDK thread was dropped before it exited; it is leaked"
            );
            return;
        }
        // SAFETY: it has exited, `self` was the only right to poll it, and nothing runs on it: that would
        // borrow `self`. (The app thread's memory stays until the library is finished.)
        unsafe { sys::spdk_thread_destroy(self.raw.as_ptr()) };
        lib_state::LIFE.leave();
    }
}

impl std::fmt::Debug for OwnedThread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OwnedThread").field("id", &self.id().raw()).field("name", &self.name).finish()
    }
}
