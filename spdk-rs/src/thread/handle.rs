//! Threads that we make ourselves.

use std::ffi::CString;
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

use spdk_sys as sys;

use super::lib_state::LibUse;
use super::{ThreadId, app, bind_current, current, current_raw, send_raw};
use crate::cpuset::CpuSet;
use crate::error::Errno;

/// A thread that we made, whoever polls it: our reactors, or those of an application that our module is
/// linked into.
///
/// A clone is another handle to the same thread. When the last is dropped the thread is asked to exit, on
/// itself, after the messages that were sent before. It exits once its pollers, channels and messages are
/// gone; after 5 seconds SPDK forces it. The handle of the app thread is the one from which the rest of the
/// process hangs: drop it last.
///
/// In an application that is not ours every handle must be dropped before the module says that it has
/// finished.
#[derive(Clone)]
pub struct ThreadHandle(Arc<Made>);

struct Made {
    raw: NonNull<sys::spdk_thread>,
    id: ThreadId,
    name: Box<str>,
}

// SAFETY: only the message queue of the thread is used, which takes messages from any OS thread; the thread
// can't exit while a handle lives.
unsafe impl Send for Made {}
// SAFETY: as above.
unsafe impl Sync for Made {}

impl ThreadHandle {
    /// Makes a thread that may run on the cores of `cpumask`. The first thread of a process is its app
    /// thread.
    ///
    /// May be called on any OS thread. `EINVAL` for a name with a NUL byte, `ENXIO` without a thread library,
    /// `ENOMEM` also when the scheduler refuses the thread.
    pub fn spawn(name: &str, cpumask: &CpuSet) -> Result<ThreadHandle, Errno> {
        let c_name = CString::new(name).map_err(|_| Errno::EINVAL)?;
        let _library = LibUse::begin()?;
        // SAFETY: the library is up while `_library` lives; SPDK copies both arguments.
        let raw = unsafe { sys::spdk_thread_create(c_name.as_ptr(), cpumask.as_ptr()) };
        let raw = NonNull::new(raw).ok_or(Errno::ENOMEM)?;
        // SAFETY: the thread lives: it is only asked to exit when the handle is dropped.
        let id = unsafe { ThreadId::of(raw.as_ptr()) };
        Ok(ThreadHandle(Arc::new(Made { raw, id, name: name.into() })))
    }

    /// Keeps the thread, from its next poll on and for life, on the OS thread that polls it.
    pub fn bind(&self) -> Result<(), Errno> {
        self.send(bind_current)
    }

    /// Runs `message` on the thread, at a later poll. May be called on any OS thread. SPDK aborts the process
    /// when too many messages wait (65535 in one thread).
    pub fn send(&self, message: impl FnOnce() + Send + 'static) -> Result<(), Errno> {
        // SAFETY: a thread is not asked to exit while it has a handle.
        unsafe { send_raw(self.0.raw, Box::new(message)) }.map_err(|(errno, _)| errno)
    }

    /// Its number.
    pub fn id(&self) -> ThreadId {
        self.0.id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether the caller runs on it.
    pub fn is_current(&self) -> bool {
        current() == Some(self.0.id)
    }
}

impl fmt::Debug for ThreadHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadHandle").field("id", &self.0.id.raw()).field("name", &self.0.name).finish()
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // SAFETY: nobody asked the thread to exit before: this is the last handle.
        if let Err((errno, _)) = unsafe { send_raw(self.raw, Box::new(exit_current)) } {
            tracing::error!(thread = &*self.name, %errno, "an SPDK thread could not be asked to exit");
        }
    }
}

fn exit_current() {
    let thread = current_raw().expect("runs as a message");
    if app::on_app_thread() {
        app::close();
    }
    // SAFETY: the current thread lives, and is the one that exits.
    unsafe { sys::spdk_thread_exit(thread.as_ptr()) };
}
