//! Values that belong to one SPDK thread.

use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};

use super::{Pin, PinKind, ThreadId, current, may_drop_here};

/// A value that may be kept anywhere, but looked at and dropped only on the SPDK thread that made it.
///
/// The check is one comparison and is made in every build, since it is what keeps a `!Send` value sound.
pub struct ThreadBound<T> {
    owner: ThreadId,
    value: ManuallyDrop<T>,
    /// Dropped after the value.
    pin: Pin,
}

// SAFETY: every access to the value checks that the caller runs on the owning SPDK thread, which is pinned to
// its OS thread as long as there is a value; so no two OS threads ever touch it. The pin checks for itself
// where it is dropped.
unsafe impl<T> Send for ThreadBound<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for ThreadBound<T> {}

impl<T> ThreadBound<T> {
    /// Binds `value` to the current SPDK thread.
    ///
    /// # Panics
    /// Outside of SPDK threads.
    pub fn new(value: T) -> ThreadBound<T> {
        let owner = current().expect("a value can only be bound on an SPDK thread");
        ThreadBound { owner, value: ManuallyDrop::new(value), pin: Pin::new(PinKind::Value) }
    }

    /// The thread that it belongs to.
    pub fn owner(&self) -> ThreadId {
        self.owner
    }

    /// Whether the caller runs on that thread.
    pub fn is_here(&self) -> bool {
        current() == Some(self.owner)
    }

    /// The value; `None` elsewhere.
    pub fn get(&self) -> Option<&T> {
        self.is_here().then(|| &*self.value)
    }

    /// Takes the value out.
    ///
    /// # Panics
    /// On any other thread.
    pub fn into_inner(self) -> T {
        self.assert_here("taken out");
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is not dropped, so the pin is dropped once, here, and the value is moved out once.
        // From now on the type of the value alone keeps it on this OS thread.
        unsafe {
            std::ptr::drop_in_place(&raw mut this.pin);
            ManuallyDrop::take(&mut this.value)
        }
    }

    fn assert_here(&self, what: &str) {
        assert!(self.is_here(), "a value of SPDK thread {} was {what} on {:?}", self.owner, current());
    }
}

impl<T> Deref for ThreadBound<T> {
    type Target = T;

    /// # Panics
    /// On any other thread.
    fn deref(&self) -> &T {
        self.assert_here("used");
        &self.value
    }
}

impl<T> DerefMut for ThreadBound<T> {
    /// # Panics
    /// On any other thread.
    fn deref_mut(&mut self) -> &mut T {
        self.assert_here("used");
        &mut self.value
    }
}

impl<T> Drop for ThreadBound<T> {
    /// # Panics
    /// On any other thread, and leaks the value.
    fn drop(&mut self) {
        if may_drop_here("a value", self.owner) {
            // SAFETY: dropped once, here, on its thread.
            unsafe { ManuallyDrop::drop(&mut self.value) };
        }
    }
}

impl<T> fmt::Debug for ThreadBound<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ThreadBound(thread {})", self.owner)
    }
}
