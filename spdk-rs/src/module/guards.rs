//! What SPDK waits for: values that tell it by being dropped, so that it can't be forgotten on any path.

use spdk_sys as sys;

use super::declare::Module;
use crate::thread::{on_app_thread, send_to_app_thread};

/// SPDK waits with ending until this is dropped. May be kept, and dropped on any thread.
#[derive(Debug)]
#[must_use = "dropping it says that this part of the shutdown is over"]
pub struct FiniDone {
    pub(super) tell: unsafe extern "C" fn(),
}

impl Drop for FiniDone {
    fn drop(&mut self) {
        let tell = self.tell;
        // SAFETY: made by the callback that SPDK expects this answer to, once.
        on_the_app_thread("the end of a module", move || unsafe { tell() });
    }
}

/// SPDK waits with its start-up, and with `bdev_wait_for_examine`, until this is dropped. May be kept, and
/// dropped on any thread.
#[derive(Debug)]
#[must_use = "dropping it says that the bdev has been examined"]
pub struct ExamineDone {
    pub(super) module: &'static Module,
}

impl Drop for ExamineDone {
    fn drop(&mut self) {
        let module = self.module;
        on_the_app_thread("an examination", move || {
            // SAFETY: made by examine_disk, once; the module is registered.
            unsafe { sys::spdk_bdev_module_examine_done(module.as_ptr()) }
        });
    }
}

/// The device stays until this is dropped. May be kept, and dropped on any thread.
#[must_use = "dropping it says that the device may be dropped"]
pub struct DestructDone {
    pub(super) bdev: Doomed,
    pub(super) tell: unsafe fn(Doomed),
}

/// A bdev that waits for its device to be done.
#[derive(Clone, Copy)]
pub(super) struct Doomed(pub *mut sys::spdk_bdev);

// SAFETY: it is only carried to the app thread.
unsafe impl Send for Doomed {}

impl Drop for DestructDone {
    fn drop(&mut self) {
        let (bdev, tell) = (self.bdev, self.tell);
        // SAFETY: made by the destruct callback of this bdev, once; `tell` fits its type.
        on_the_app_thread("the end of a bdev", move || unsafe { tell(bdev) });
    }
}

fn on_the_app_thread(what: &str, tell: impl FnOnce() + Send + 'static) {
    if on_app_thread() {
        tell();
    } else if let Err(errno) = send_to_app_thread(tell) {
        tracing::error!(%errno, "can't tell SPDK about {what}: the app thread is not there");
    }
}
