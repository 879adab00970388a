//! Waking a core that dozes.
//!
//! A reactor with nothing to do parks its thread for a moment (see [`crate::idle`]). Whoever hands it something
//! from another thread wakes it through its [`Waker`]; while the reactor is awake that costs a fence and a load.
//!
//! ```text
//!   reactor                              another thread
//!     dozing = 1                           hand over (push a message, ready a task)
//!     fence                                fence
//!     anything handed over?  -> no doze    dozing == 1 ?  unpark
//!     park until unparked or the nap ends
//! ```

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

/// A thread that may doze: the one that calls [`doze`](Sleeper::doze) first. Shared with all who may wake it.
#[derive(Debug, Default)]
pub struct Sleeper {
    thread: OnceLock<Thread>,
    dozing: AtomicBool,
}

impl Sleeper {
    /// A sleeper that no thread uses yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Parks the calling thread until somebody wakes it, `nap` is over, or at once if `has_work` says so after the
    /// doze was announced. It may return early.
    ///
    /// # Panics
    /// On another thread than the first time.
    pub fn doze(&self, nap: Duration, has_work: impl FnOnce() -> bool) {
        let thread = self.thread.get_or_init(thread::current);
        assert_eq!(thread::current().id(), thread.id(), "a sleeper dozes on one thread");
        self.dozing.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if !has_work() {
            thread::park_timeout(nap);
        }
        self.dozing.store(false, Ordering::Relaxed);
    }

    /// Ends the doze, or keeps it from beginning. Call it after the work was handed over.
    pub fn rouse(&self) {
        fence(Ordering::SeqCst);
        if self.dozing.load(Ordering::Relaxed)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }
}

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        self.rouse();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rouse();
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Waker>> = const { RefCell::new(None) };
}

/// The waker of the reactor that runs on this thread, for [`crate::mailbox::Mailbox::with_waker`]. `None` in an application whose
/// threads are not run by a reactor of ours: there a mailbox is polled and needs no waker.
pub fn current() -> Option<Waker> {
    CURRENT.with_borrow(Option::clone)
}

/// Makes `waker` the calling thread's, until the guard is dropped.
pub(crate) fn enter(waker: Waker) -> Entered {
    Entered { outer: CURRENT.replace(Some(waker)) }
}

pub(crate) struct Entered {
    outer: Option<Waker>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.outer.take());
    }
}
