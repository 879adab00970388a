//! A level that only rises, and futures that wait for it to reach a number.
//!
//! A waiter names the generation that it needs, never "the next change", so nothing can be missed: a level
//! that was reached before anybody waited is still reached. There is one owner ([`Epoch`]); everybody else
//! watches.
//!
//! An epoch lives on one thread. For other cores the owner sends the new level through a mailbox, and each
//! core keeps a copy of its own, which its receiver raises with [`Epoch::set`]; a late or repeated message is
//! harmless.
//!
//! ```
//! # use reactor::epoch::Epoch;
//! let view = Epoch::new(0);
//! let watch = view.watch();
//! let installed = async move { watch.reached(1).await };
//! assert_eq!(view.advance(), 1);
//! # use std::task::{Context, Poll, Waker};
//! let installed = std::pin::pin!(installed);
//! assert_eq!(installed.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(1)));
//! ```

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// The owner went away before the level was reached; it never will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the epoch ended at {last} and never reached {wanted}")]
pub struct EpochClosed {
    /// The level waited for.
    pub wanted: u64,
    /// The level at the end.
    pub last: u64,
}

/// By level wanted, then by time of arrival: the order in which waiters are woken.
type WaiterKey = (u64, u64);

#[derive(Default)]
struct Level {
    current: Cell<u64>,
    closed: Cell<bool>,
    arrivals: Cell<u64>,
    waiters: RefCell<BTreeMap<WaiterKey, Waker>>,
}

impl Level {
    /// Wakes the waiters up to `level`, lowest first.
    fn wake_up_to(&self, level: u64) {
        // One at a time and outside the borrow: a waker may drop or add waiters.
        loop {
            let first = {
                let mut waiters = self.waiters.borrow_mut();
                match waiters.first_entry() {
                    Some(entry) if entry.key().0 <= level => entry.remove(),
                    _ => return,
                }
            };
            first.wake();
        }
    }
}

/// The owner of a level. Dropping it ends all waits with [`EpochClosed`].
pub struct Epoch {
    level: Rc<Level>,
}

/// A reader of a level, on the owner's thread.
#[derive(Clone)]
pub struct EpochWatch {
    level: Rc<Level>,
}

impl Epoch {
    /// A level that starts at `current`.
    pub fn new(current: u64) -> Self {
        let level = Level::default();
        level.current.set(current);
        Epoch { level: Rc::new(level) }
    }

    /// Raises the level by one and returns it.
    pub fn advance(&self) -> u64 {
        let next = self.current().checked_add(1).expect("an epoch does not reach 2^64");
        self.set(next);
        next
    }

    /// Raises the level to `level`; false, and nothing happens, if it is there or beyond already.
    pub fn set(&self, level: u64) -> bool {
        if level <= self.level.current.get() {
            return false;
        }
        self.level.current.set(level);
        self.level.wake_up_to(level);
        true
    }

    /// The level now.
    pub fn current(&self) -> u64 {
        self.level.current.get()
    }

    /// A reader.
    pub fn watch(&self) -> EpochWatch {
        EpochWatch { level: self.level.clone() }
    }

    /// See [`EpochWatch::reached`].
    pub fn reached(&self, wanted: u64) -> Reached {
        self.watch().reached(wanted)
    }
}

impl Drop for Epoch {
    fn drop(&mut self) {
        self.level.closed.set(true);
        self.level.wake_up_to(u64::MAX);
    }
}

impl EpochWatch {
    /// The level now; the last one if the owner is gone.
    pub fn current(&self) -> u64 {
        self.level.current.get()
    }

    /// Waits until the level is at least `wanted`; gives the level then. Dropping the future forgets the
    /// wait.
    pub fn reached(&self, wanted: u64) -> Reached {
        let arrival = self.level.arrivals.get();
        self.level.arrivals.set(arrival + 1);
        Reached { level: self.level.clone(), key: (wanted, arrival) }
    }
}

/// The future of [`EpochWatch::reached`].
#[must_use = "a wait does nothing unless it is awaited"]
pub struct Reached {
    level: Rc<Level>,
    key: WaiterKey,
}

impl Future for Reached {
    type Output = Result<u64, EpochClosed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (wanted, last) = (self.key.0, self.level.current.get());
        if last >= wanted {
            return Poll::Ready(Ok(last));
        }
        if self.level.closed.get() {
            return Poll::Ready(Err(EpochClosed { wanted, last }));
        }
        let waker = cx.waker().clone();
        let earlier = self.level.waiters.borrow_mut().insert(self.key, waker);
        // Outside the borrow: the last waker of a task drops the task, and with it perhaps another wait here.
        drop(earlier);
        Poll::Pending
    }
}

impl Drop for Reached {
    fn drop(&mut self) {
        // Dropped outside the borrow, for the same reason as in `poll`.
        let waker = self.level.waiters.borrow_mut().remove(&self.key);
        drop(waker);
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epoch({}, {} waiting)", self.current(), self.level.waiters.borrow().len())
    }
}

impl fmt::Debug for EpochWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EpochWatch({})", self.current())
    }
}

impl fmt::Debug for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reached({} of {})", self.level.current.get(), self.key.0)
    }
}
