//! Tells a receiver that waits that a message came. It costs a sender one fence and one load while nobody
//! waits.
//!
//! ```text
//!   receiver                       sender
//!     leave the waker, waiting = 1     push the message
//!     fence                            fence
//!     look into the queue again        waiting == 1 ?  take the waker, wake it
//! ```
//!
//! Of the two fences one comes first. If it is the receiver's, the sender sees `waiting`; if it is the
//! sender's, the receiver's second look finds the message. So no message is left lying while the receiver
//! sleeps.

use std::sync::PoisonError;
use std::task::Waker;

use crate::sync::{AtomicBool, Mutex, Ordering, fence};

pub(super) struct Doorbell {
    waiting: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Doorbell {
    pub(super) fn new() -> Self {
        Doorbell { waiting: AtomicBool::new(false), waker: Mutex::new(None) }
    }

    /// Leaves `waker` for the next ring. The caller must look into the queue once more afterwards.
    pub(super) fn arm(&self, waker: &Waker) {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker.clone());
        self.waiting.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// After a message was pushed.
    pub(super) fn ring(&self) {
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) && self.waiting.swap(false, Ordering::Relaxed) {
            let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
            // Outside the lock: a waker may run anything. `None` means that an earlier ring took this waker
            // and is waking it, which serves for our message too.
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}
