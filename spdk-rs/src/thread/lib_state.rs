//! Starting and finishing the thread library.

use std::ffi::c_int;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::{Arc, PoisonError, RwLock};

use spdk_sys as sys;

use super::{OwnedThread, ThreadId, app};
use crate::env::EnvUse;
use crate::error::Errno;
use crate::gate::Gate;

/// Open while our thread library is up; its users are the threads that are not destroyed.
pub(super) static LIFE: Gate = Gate::closed();

static SCHEDULER: RwLock<Option<Arc<dyn Scheduler>>> = RwLock::new(None);

/// Who decides where SPDK threads run. Called on any OS thread, also from inside polls.
pub trait Scheduler: Send + Sync + 'static {
    /// Takes over a new thread, to poll it from now on. `Err` gives it back: its creation fails.
    fn schedule(&self, thread: OwnedThread) -> Result<(), OwnedThread>;

    /// The cores that a thread may run on were changed. Called on that thread, in the middle of its poll.
    /// When that is over, whoever polls it may [release](OwnedThread::release) it and poll it elsewhere.
    fn reschedule(&self, id: ThreadId);
}

/// The thread library of this process. The first thread to be made is the app thread.
///
/// Drop it after every [`OwnedThread`] and before the [`Env`](crate::env::Env). While threads are left it is
/// not finished but leaked, with a line in the log.
#[derive(Debug)]
pub struct ThreadLib {
    env: ManuallyDrop<EnvUse>,
}

impl ThreadLib {
    /// Messages that may wait in all threads together, by default; 64 bytes of the environment's memory each.
    pub const DEFAULT_MESSAGES: usize = sys::SPDK_DEFAULT_MSG_MEMPOOL_SIZE as usize;

    /// Starts the library. `ENXIO` without an environment, `EALREADY` if it is up (also in an application
    /// that is not ours), `ENOMEM`.
    pub fn init(scheduler: Arc<dyn Scheduler>) -> Result<ThreadLib, Errno> {
        ThreadLib::init_sized(scheduler, ThreadLib::DEFAULT_MESSAGES)
    }

    /// As [`ThreadLib::init`], with room for `messages` (best a power of two minus one). SPDK aborts the
    /// process when they run out.
    pub fn init_sized(scheduler: Arc<dyn Scheduler>, messages: usize) -> Result<ThreadLib, Errno> {
        // SAFETY: reads one pointer. An app thread: the library is up, started by us or by the application.
        if !unsafe { sys::spdk_thread_get_app_thread() }.is_null() {
            return Err(Errno::EALREADY);
        }
        let env = EnvUse::begin()?;
        let mut current = SCHEDULER.write().unwrap_or_else(PoisonError::into_inner);
        if current.is_some() {
            return Err(Errno::EALREADY);
        }
        // SAFETY: the environment is up, the library is not, and the callbacks are static.
        let rc = unsafe { sys::spdk_thread_lib_init_ext(Some(operate), Some(supports), 0, messages) };
        if let Err(errno) = Errno::from_rc(rc) {
            // SAFETY: undoes what the failed start has registered.
            unsafe { sys::spdk_thread_lib_fini() };
            return Err(errno);
        }
        *current = Some(scheduler);
        app::open();
        LIFE.open().expect("closed whenever there is no scheduler");
        Ok(ThreadLib { env: ManuallyDrop::new(env) })
    }
}

impl Drop for ThreadLib {
    fn drop(&mut self) {
        app::close();
        if let Err(threads) = LIFE.close() {
            // Whoever holds a pointer to such a thread may still use it: better a leak than a dangling
            // pointer.
            tracing::error!(threads, "SPDK threads are left, so the thread library is not finished");
            return;
        }
        // SAFETY: every thread is destroyed and none can be made any more.
        unsafe { sys::spdk_thread_lib_fini() };
        *SCHEDULER.write().unwrap_or_else(PoisonError::into_inner) = None;
        // SAFETY: dropped once, here.
        unsafe { ManuallyDrop::drop(&mut self.env) };
    }
}

/// Whether the thread library was started by [`ThreadLib::init`], not by an application that is not ours.
pub(crate) fn lib_is_ours() -> bool {
    SCHEDULER.read().unwrap_or_else(PoisonError::into_inner).is_some()
}

/// The right to make a thread: while it lives the library is up.
pub(super) struct LibUse {
    counted: bool,
}

impl LibUse {
    /// `ENXIO` if there is no thread library, neither ours nor the application's.
    pub(super) fn begin() -> Result<LibUse, Errno> {
        if LIFE.enter() {
            return Ok(LibUse { counted: true });
        }
        // Only our own library may be between two states here; the application's outlives its modules.
        // SAFETY: reads one pointer.
        let app_thread = unsafe { sys::spdk_thread_get_app_thread() };
        if lib_is_ours() || app_thread.is_null() { Err(Errno::ENXIO) } else { Ok(LibUse { counted: false }) }
    }
}

impl Drop for LibUse {
    fn drop(&mut self) {
        if self.counted {
            LIFE.leave();
        }
    }
}

extern "C" fn supports(op: sys::spdk_thread_op) -> bool {
    matches!(op, sys::SPDK_THREAD_OP_NEW | sys::SPDK_THREAD_OP_RESCHED)
}

extern "C" fn operate(thread: *mut sys::spdk_thread, op: sys::spdk_thread_op) -> c_int {
    let scheduler = SCHEDULER.read().unwrap_or_else(PoisonError::into_inner).clone();
    let (Some(scheduler), Some(thread)) = (scheduler, NonNull::new(thread)) else {
        return Errno::ENXIO.to_rc();
    };
    if op == sys::SPDK_THREAD_OP_RESCHED {
        // SAFETY: SPDK names a thread that lives.
        scheduler.reschedule(unsafe { ThreadId::of(thread.as_ptr()) });
        return 0;
    }
    if !LIFE.enter() {
        return Errno::ENXIO.to_rc();
    }
    // SAFETY: SPDK announces each new thread once, here; the gate was entered for it.
    match scheduler.schedule(unsafe { OwnedThread::from_raw(thread) }) {
        Ok(()) => 0,
        Err(refused) => {
            assert!(refused.refuse() == thread, "a scheduler gave back another thread than it was given");
            Errno::EBUSY.to_rc()
        }
    }
}
