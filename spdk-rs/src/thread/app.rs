//! The app thread: the one on which SPDK opens, registers and configures.

use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

use spdk_sys as sys;

use super::{bind_current, send_raw};
use crate::error::Errno;

/// Whether the app thread takes messages from us. Held while one is queued, so that the thread can't exit in
/// between.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mailbox {
    Open,
    Closed,
}

/// Open from the beginning: in an application that is not ours nobody opens it.
static MAILBOX: Mutex<Mailbox> = Mutex::new(Mailbox::Open);

fn mailbox() -> MutexGuard<'static, Mailbox> {
    MAILBOX.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn open() {
    *mailbox() = Mailbox::Open;
}

/// No message of ours comes after this.
pub(super) fn close() {
    *mailbox() = Mailbox::Closed;
}

/// Whether the caller runs on the app thread.
pub fn on_app_thread() -> bool {
    // SAFETY: compares two pointers; null means the current thread, so that is looked at first.
    super::current_raw().is_some() && unsafe { sys::spdk_thread_is_app_thread(std::ptr::null_mut()) }
}

/// `EPERM` off the app thread. Who asks is about to leave something there, so from now on it stays where it
/// is in an application that is not ours, too.
pub(crate) fn require_app_thread() -> Result<(), Errno> {
    if !on_app_thread() {
        return Err(Errno::EPERM);
    }
    bind_current();
    Ok(())
}

/// Runs `message` on the app thread, at a later poll. May be called on any OS thread. `ENXIO` if there is no
/// app thread, `ESHUTDOWN` if it is going away.
pub fn send_to_app_thread(message: impl FnOnce() + Send + 'static) -> Result<(), Errno> {
    let message = Box::new(message);
    let open = mailbox();
    if *open == Mailbox::Closed {
        return Err(Errno::ESHUTDOWN);
    }
    // SAFETY: reads one pointer.
    let thread = NonNull::new(unsafe { sys::spdk_thread_get_app_thread() }).ok_or(Errno::ENXIO)?;
    // SAFETY: the app thread's memory lives as long as the thread library.
    if unsafe { sys::spdk_thread_is_exited(thread.as_ptr()) } {
        return Err(Errno::ESHUTDOWN);
    }
    // SAFETY: the mailbox is open, so the thread was not asked to exit; it exits only when its messages have
    // run.
    let sent = unsafe { send_raw(thread, message) };
    // A message that comes back is dropped by code of the caller, which may send again.
    drop(open);
    sent.map_err(|(errno, _)| errno)
}
