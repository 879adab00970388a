//! Runs `!Send` futures on one core.
//!
//! Each reactor has one executor and polls it between its SPDK threads. A waker may be invoked from any
//! thread: it puts the task on the owner core's queue and ends that core's doze. A poll runs at most `budget`
//! tasks, and only those that were ready when it began, so that futures, even ones that always wake
//! themselves, never starve I/O.
//!
//! The free functions ([`spawn_local`], [`sleep`], ..) use the executor of the calling thread, in a task as
//! well as in an SPDK callback on that core.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use async_task::Runnable;
pub use async_task::Task;
use crossbeam_queue::SegQueue;

use crate::clock::Clock;
pub use crate::timer::Sleep;
use crate::timer::Timers;

/// The owner of a core's tasks. Dropping it drops them all.
pub struct Executor {
    tasks: Rc<Tasks>,
}

/// A way to reach an [`Executor`] from its own thread.
#[derive(Clone)]
pub struct Spawner {
    tasks: Rc<Tasks>,
}

/// What one [`Executor::poll`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Polled {
    /// Tasks run.
    pub ran: usize,
    /// Timers that had expired.
    pub timers: usize,
}

struct Tasks {
    ready: Arc<Ready>,
    timers: Rc<Timers>,
    /// Every task that is not finished, so that the executor's drop can reach those that wait for something.
    alive: RefCell<BTreeMap<u64, Waker>>,
    spawned: Cell<u64>,
    closed: Cell<bool>,
}

/// The tasks to run; the one part that other threads touch.
struct Ready {
    queue: SegQueue<Runnable>,
    owner: Waker,
}

impl Ready {
    fn schedule(&self, task: Runnable) {
        self.queue.push(task);
        self.owner.wake_by_ref();
    }
}

impl Executor {
    /// An executor whose timers run on `clock`; `owner` is woken whenever a task becomes ready (a
    /// [`crate::wake::Sleeper`], for a core that dozes).
    pub fn new(clock: Clock, owner: Waker) -> Self {
        let tasks = Tasks {
            ready: Arc::new(Ready { queue: SegQueue::new(), owner }),
            timers: Rc::new(Timers::new(clock)),
            alive: RefCell::default(),
            spawned: Cell::new(0),
            closed: Cell::new(false),
        };
        Executor { tasks: Rc::new(tasks) }
    }

    /// For spawning, and for making this thread's [`current`] executor.
    pub fn spawner(&self) -> Spawner {
        Spawner { tasks: self.tasks.clone() }
    }

    /// Wakes what is due at `now_ticks`, then runs up to `budget` ready tasks.
    pub fn poll(&self, now_ticks: u64, budget: usize) -> Polled {
        let timers = self.tasks.timers.fire(now_ticks);
        let ready = &self.tasks.ready.queue;
        // A task that becomes ready meanwhile waits for the next poll.
        let batch = ready.len().min(budget);
        for ran in 0..batch {
            match ready.pop() {
                Some(task) => task.run(),
                None => return Polled { ran, timers },
            };
        }
        Polled { ran: batch, timers }
    }

    /// Whether a task is ready to run.
    pub fn has_ready(&self) -> bool {
        !self.tasks.ready.queue.is_empty()
    }

    /// The earliest timer, in ticks.
    pub fn next_deadline_ticks(&self) -> Option<u64> {
        self.tasks.timers.next_deadline_ticks()
    }

    /// Tasks that are not finished.
    pub fn alive(&self) -> usize {
        self.tasks.alive.borrow().len()
    }

    /// Drops all tasks, wherever they wait. Those that are spawned from now on are cancelled at once.
    pub fn close(&self) {
        self.tasks.closed.set(true);
        // A woken task is in the queue, and dropping it there drops its future. Another thread may be about
        // to queue a task that it has just woken: that one shows up in a later round.
        loop {
            while let Some(task) = self.tasks.ready.queue.pop() {
                drop(task);
            }
            let alive: Vec<Waker> = self.tasks.alive.borrow().values().cloned().collect();
            if alive.is_empty() {
                return;
            }
            alive.into_iter().for_each(Waker::wake);
            std::thread::yield_now();
        }
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        self.close();
    }
}

impl Spawner {
    /// Starts `future` on this core. The [`Task`] is its result: await it, `detach` it to let it run on its
    /// own, or drop it to cancel it. On an executor that is gone the task is cancelled at once.
    pub fn spawn_local<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> Task<T> {
        let id = self.tasks.spawned.get();
        self.tasks.spawned.set(id + 1);
        let alive = Alive { tasks: Rc::downgrade(&self.tasks), id };
        let ready = self.tasks.ready.clone();
        let (runnable, task) = async_task::spawn_local(
            async move {
                let _alive = alive;
                future.await
            },
            move |runnable| ready.schedule(runnable),
        );
        if self.tasks.closed.get() {
            drop(runnable);
        } else {
            self.tasks.alive.borrow_mut().insert(id, runnable.waker());
            runnable.schedule();
        }
        task
    }

    /// The clock of the timers.
    pub fn clock(&self) -> Clock {
        self.tasks.timers.clock()
    }

    /// Waits until the clock shows `deadline_ticks`.
    pub fn sleep_until(&self, deadline_ticks: u64) -> Sleep {
        Sleep::until(self.tasks.timers.clone(), deadline_ticks)
    }

    /// Waits for `span`.
    pub fn sleep(&self, span: Duration) -> Sleep {
        let clock = self.clock();
        self.sleep_until(clock.now_ticks().saturating_add(clock.to_ticks(span)))
    }

    /// Makes this the calling thread's [`current`] executor, until the guard is dropped.
    pub fn enter(&self) -> Entered {
        Entered { outer: CURRENT.replace(Some(self.clone())) }
    }
}

/// Held by a task as long as it lives.
struct Alive {
    tasks: Weak<Tasks>,
    id: u64,
}

impl Drop for Alive {
    fn drop(&mut self) {
        if let Some(tasks) = self.tasks.upgrade() {
            let waker = tasks.alive.borrow_mut().remove(&self.id);
            drop(waker);
        }
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Spawner>> = const { RefCell::new(None) };
}

/// See [`Spawner::enter`].
#[must_use = "the executor is current only while the guard lives"]
pub struct Entered {
    outer: Option<Spawner>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let left = CURRENT.replace(self.outer.take());
        drop(left);
    }
}

/// The executor of the calling thread, if a reactor runs on it.
pub fn current() -> Option<Spawner> {
    CURRENT.with_borrow(Option::clone)
}

fn expect_current() -> Spawner {
    current()
        .expect("this needs a reactor: call it in a task or an SPDK callback on one of the runtime's cores")
}

/// [`Spawner::spawn_local`] on the calling thread's executor.
///
/// # Panics
/// When no reactor runs on this thread, as all the functions below.
pub fn spawn_local<T: 'static>(future: impl Future<Output = T> + 'static) -> Task<T> {
    expect_current().spawn_local(future)
}

/// Waits for `span`.
pub fn sleep(span: Duration) -> Sleep {
    expect_current().sleep(span)
}

/// Waits until the reactor's clock shows `deadline_ticks`.
pub fn sleep_until(deadline_ticks: u64) -> Sleep {
    expect_current().sleep_until(deadline_ticks)
}

/// The time ran out first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it took longer than {limit:?}")]
pub struct Elapsed {
    /// The time that was given.
    pub limit: Duration,
}

/// The result of `future`, unless it takes longer than `limit`: then the future is dropped.
pub fn timeout<T>(
    limit: Duration,
    future: impl Future<Output = T>,
) -> impl Future<Output = Result<T, Elapsed>> {
    let mut sleep = sleep(limit);
    async move {
        let mut future = pin!(future);
        poll_fn(move |cx| match future.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(Ok(result)),
            Poll::Pending => Pin::new(&mut sleep).poll(cx).map(|()| Err(Elapsed { limit })),
        })
        .await
    }
}

/// Lets the reactor poll its I/O and the other tasks once before going on.
pub fn yield_now() -> impl Future<Output = ()> {
    let mut yielded = false;
    poll_fn(move |cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Executor({} tasks, {} ready)", self.alive(), self.tasks.ready.queue.len())
    }
}

impl fmt::Debug for Spawner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Spawner({} tasks)", self.tasks.alive.borrow().len())
    }
}
