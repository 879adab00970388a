//! Waking a core that dozes.
//!
//! A reactor with nothing to do parks its thread for a moment (see [`crate::idle`]). Whoever hands it
//! something from another thread wakes it through its [`Waker`]; while the reactor is awake that costs a
//! fence and a load.
//!
//! ```text
//!   reactor                              another thread
//!     say how it will sleep                hand over (push a message, ready a task)
//!     fence                                fence
//!     anything handed over?  -> no doze    does it sleep?  wake it the way it said
//!     sleep until woken or the nap ends
//! ```

use std::cell::RefCell;
use std::io;
use std::sync::atomic::{AtomicU8, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use crate::watch::{Watch, Woken};

/// What [`Sleeper::state`] says.
const AWAKE: u8 = 0;
const PARKED: u8 = 1;
const WATCHING: u8 = 2;

/// A thread that may doze: the one that calls [`doze`](Sleeper::doze) first. Shared with all who may wake it.
#[derive(Debug, Default)]
pub struct Sleeper {
    thread: OnceLock<Thread>,
    state: AtomicU8,
    /// Ends the sleep on a [`Watch`].
    alarm: OnceLock<mio::Waker>,
}

impl Sleeper {
    /// A sleeper that no thread uses yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Parks the calling thread until somebody wakes it, `nap` is over, or at once if `has_work` says so
    /// after the doze was announced. It may return early.
    ///
    /// # Panics
    /// On another thread than the first time.
    pub fn doze(&self, nap: Duration, has_work: impl FnOnce() -> bool) {
        let thread = self.thread.get_or_init(thread::current);
        assert_eq!(thread::current().id(), thread.id(), "a sleeper dozes on one thread");
        self.sleep(PARKED, has_work, || thread::park_timeout(nap));
    }

    /// Makes the watch on which this sleeper may sleep.
    pub(crate) fn new_watch(&self) -> io::Result<Watch> {
        let (watch, alarm) = Watch::new()?;
        self.alarm.set(alarm).map_err(|_| io::Error::other("a sleeper has one watch"))?;
        Ok(watch)
    }

    /// As [`Sleeper::doze`], but also the kernel may wake it. `watch` is this sleeper's own.
    pub(crate) fn doze_watching(
        &self,
        watch: &mut Watch,
        nap: Duration,
        has_work: impl FnOnce() -> bool,
    ) -> Woken {
        self.sleep(WATCHING, has_work, || watch.wait(nap)).unwrap_or(Woken::Otherwise)
    }

    fn sleep<R>(&self, how: u8, has_work: impl FnOnce() -> bool, sleep: impl FnOnce() -> R) -> Option<R> {
        self.state.store(how, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let slept = (!has_work()).then(sleep);
        self.state.store(AWAKE, Ordering::Relaxed);
        slept
    }

    /// Ends the doze, or keeps it from beginning. Call it after the work was handed over.
    pub fn rouse(&self) {
        fence(Ordering::SeqCst);
        match self.state.load(Ordering::Relaxed) {
            PARKED => self.thread.get().into_iter().for_each(Thread::unpark),
            WATCHING => self.alarm.get().into_iter().for_each(raise),
            _ => {}
        }
    }
}

fn raise(alarm: &mio::Waker) {
    if let Err(error) = alarm.wake() {
        // The nap ends by itself a little later.
        tracing::warn!(%error, "a dozing core could not be woken");
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

/// The waker of the reactor that runs on this thread, for [`crate::mailbox::Mailbox::set_waker`]. `None` in
/// an application whose threads are not run by a reactor of ours: there a mailbox is polled and needs no
/// waker.
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
