//! Futures that wait for a time: [`Sleep`], and [`timeout`](crate::executor::timeout) on top of it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::clock::Clock;

/// By deadline, then by order of making: the order in which sleepers are woken.
type TimerKey = (u64, u64);

/// The timers of one executor.
pub(crate) struct Timers {
    clock: Clock,
    made: Cell<u64>,
    waiting: RefCell<BTreeMap<TimerKey, Waker>>,
}

impl Timers {
    pub(crate) fn new(clock: Clock) -> Self {
        Timers { clock, made: Cell::new(0), waiting: RefCell::default() }
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    /// The earliest deadline that somebody waits for, in ticks.
    pub(crate) fn next_deadline_ticks(&self) -> Option<u64> {
        self.waiting.borrow().first_key_value().map(|((deadline, _), _)| *deadline)
    }

    /// Wakes the sleepers whose time has come, earliest first; says how many.
    pub(crate) fn fire(&self, now_ticks: u64) -> usize {
        let mut fired = 0;
        // One at a time and outside the borrow: a waker may drop or add timers.
        loop {
            let due = {
                let mut waiting = self.waiting.borrow_mut();
                match waiting.first_entry() {
                    Some(entry) if entry.key().0 <= now_ticks => entry.remove(),
                    _ => return fired,
                }
            };
            due.wake();
            fired += 1;
        }
    }
}

/// Waits until a time. Dropping it forgets the timer.
#[must_use = "a timer does nothing unless it is awaited"]
pub struct Sleep {
    timers: Rc<Timers>,
    key: TimerKey,
}

impl Sleep {
    pub(crate) fn until(timers: Rc<Timers>, deadline_ticks: u64) -> Self {
        let made = timers.made.get();
        timers.made.set(made + 1);
        Sleep { timers, key: (deadline_ticks, made) }
    }

    /// When it ends, in ticks of the executor's clock.
    pub fn deadline_ticks(&self) -> u64 {
        self.key.0
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.timers.clock.now_ticks() >= self.key.0 {
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        let earlier = self.timers.waiting.borrow_mut().insert(self.key, waker);
        // Outside the borrow: the last waker of a task drops the task, and with it perhaps another timer.
        drop(earlier);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        let waker = self.timers.waiting.borrow_mut().remove(&self.key);
        drop(waker);
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sleep(until tick {})", self.key.0)
    }
}
