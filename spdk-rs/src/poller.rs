//! Callbacks that an SPDK thread runs over and over.

use std::cell::{Cell, UnsafeCell};
use std::ffi::{CString, c_int, c_void};
use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;

use spdk_sys as sys;

use crate::thread::{Pin, PinKind, ThreadId, current, current_has_exited, may_drop_here};

/// Whether a callback found work. The reactor idles when nothing does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Busy {
    /// It did something.
    Yes,
    /// It had nothing to do.
    No,
}

/// A registered callback of the SPDK thread that made it. Dropping it, also from inside its own callback,
/// unregisters it: the callback is not called again, and its closure is dropped.
///
/// # Panics
/// When it is dropped on any other SPDK thread: that would free a closure that its thread still calls.
pub struct Poller {
    raw: *mut sys::spdk_poller,
    slot: NonNull<dyn Slot>,
    owner: ThreadId,
    _not_send: PhantomData<*const ()>,
}

/// ```text
///            callback begins
///   Waiting ----------------> Running
///      ^  <----------------      | dropped inside of it
///      |    callback returns     v
///      |                       Dropped --- callback returns ---> freed
///      +--- dropped outside ---> freed
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Running,
    Dropped,
}

struct Callback<F> {
    state: Cell<State>,
    run: UnsafeCell<F>,
    /// Dropped after the closure.
    _pin: Pin,
}

/// A [`Callback`] without its type.
trait Slot {
    fn state(&self) -> &Cell<State>;
}

impl<F> Slot for Callback<F> {
    fn state(&self) -> &Cell<State> {
        &self.state
    }
}

impl Poller {
    /// Calls `run` on the current SPDK thread: at every poll if `period_us` is 0, else every `period_us`
    /// microseconds. The name is for `thread_get_pollers`; a NUL byte ends it.
    ///
    /// On a thread that has exited it is never called.
    ///
    /// # Panics
    /// Outside of SPDK threads, or if SPDK is out of memory.
    pub fn register<F: FnMut() -> Busy + 'static>(name: &str, period_us: u64, run: F) -> Poller {
        let owner = current().expect("a poller can only be registered on an SPDK thread");
        let name = CString::new(name.split('\0').next().unwrap_or_default()).expect("cut at the first NUL");
        let callback = Callback {
            state: Cell::new(State::Waiting),
            run: UnsafeCell::new(run),
            _pin: Pin::new(PinKind::Poller),
        };
        let slot = NonNull::from(Box::leak(Box::new(callback)));
        // SAFETY: on an SPDK thread; the callback is freed only after it was unregistered.
        let raw = unsafe {
            sys::spdk_poller_register_named(Some(call::<F>), slot.as_ptr().cast(), period_us, name.as_ptr())
        };
        assert!(!raw.is_null() || current_has_exited(), "SPDK is out of memory for a poller");
        Poller { raw, slot, owner, _not_send: PhantomData }
    }
}

extern "C" fn call<F: FnMut() -> Busy>(callback: *mut c_void) -> c_int {
    let callback = callback.cast::<Callback<F>>();
    // SAFETY: the callback is registered, so it is not freed; only its `state` is used through this
    // reference, which ends before it could be freed.
    let state = unsafe { &(*callback).state };
    assert!(state.replace(State::Running) == State::Waiting, "a poller was polled inside of itself");
    // SAFETY: the state says that nobody else runs the closure, and this is its thread.
    let busy = unsafe { (*(*callback).run.get())() };
    match state.get() {
        State::Running => state.set(State::Waiting),
        // SAFETY: the Poller is gone, so SPDK never calls again, and the closure has returned.
        State::Dropped => drop(unsafe { Box::from_raw(callback) }),
        State::Waiting => unreachable!("nobody else ends a run"),
    }
    match busy {
        Busy::Yes => sys::SPDK_POLLER_BUSY as c_int,
        Busy::No => sys::SPDK_POLLER_IDLE as c_int,
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        if !may_drop_here("a poller", self.owner) {
            return;
        }
        // SAFETY: on its own thread; SPDK ignores null. Once this returns the callback does not begin again.
        unsafe { sys::spdk_poller_unregister(&mut self.raw) };
        // SAFETY: freed only below or, when it is running, by `call` after that.
        let state = unsafe { self.slot.as_ref() }.state();
        if state.get() == State::Running {
            state.set(State::Dropped);
        } else {
            // SAFETY: unregistered and not running: this is the last use.
            drop(unsafe { Box::from_raw(self.slot.as_ptr()) });
        }
    }
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Poller(thread {})", self.owner)
    }
}
