//! The executor on a clock that the tests set.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use reactor::clock::Clock;
use reactor::epoch::Epoch;
use reactor::executor::{self, Elapsed, Executor, Polled};
use reactor::mailbox::{Class, Mailbox};
use reactor::wake::Sleeper;

thread_local! {
    static NOW_TICKS: Cell<u64> = const { Cell::new(0) };
}

const TICKS_PER_S: u64 = 1_000_000;

/// One core with a hand on the clock.
struct Core {
    executor: Executor,
    _current: executor::Entered,
}

impl Core {
    fn new() -> Self {
        Self::with_owner(Waker::noop().clone())
    }

    fn with_owner(owner: Waker) -> Self {
        let clock = Clock::new(|| NOW_TICKS.get(), TICKS_PER_S);
        let executor = Executor::new(clock, owner);
        Core { _current: executor.spawner().enter(), executor }
    }

    fn poll(&self) -> Polled {
        self.executor.poll(NOW_TICKS.get(), 100)
    }

    fn run_until_quiet(&self) {
        while self.executor.has_ready() {
            self.poll();
        }
    }

    fn set_time(&self, now: Duration) -> Polled {
        NOW_TICKS.set(u64::try_from(now.as_micros()).unwrap());
        self.poll()
    }
}

/// Notes names in the order in which they come.
#[derive(Clone, Default)]
struct Journal(Rc<RefCell<Vec<u32>>>);

impl Journal {
    fn note(&self, name: u32) {
        self.0.borrow_mut().push(name);
    }

    fn take(&self) -> Vec<u32> {
        self.0.take()
    }
}

const MS: Duration = Duration::from_millis(1);

#[test]
fn tasks_run_in_the_order_in_which_they_became_ready() {
    let (core, journal) = (Core::new(), Journal::default());
    for name in 0..3 {
        let journal = journal.clone();
        executor::spawn_local(async move { journal.note(name) }).detach();
    }
    assert!(journal.take().is_empty(), "nothing runs outside a poll");
    assert_eq!(core.poll(), Polled { ran: 3, timers: 0 });
    assert_eq!(journal.take(), [0, 1, 2]);
    assert_eq!(core.executor.alive(), 0);
}

#[test]
fn a_result_reaches_who_awaits_it() {
    let (core, journal) = (Core::new(), Journal::default());
    let inner = executor::spawn_local(async {
        executor::yield_now().await;
        21
    });
    let noted = journal.clone();
    executor::spawn_local(async move { noted.note(2 * inner.await) }).detach();
    core.run_until_quiet();
    assert_eq!(journal.take(), [42]);
}

#[test]
fn a_poll_runs_each_task_once_and_no_more_than_its_budget() {
    let (core, journal) = (Core::new(), Journal::default());
    for name in 0..3 {
        let journal = journal.clone();
        executor::spawn_local(async move {
            loop {
                journal.note(name);
                executor::yield_now().await;
            }
        })
        .detach();
    }
    assert_eq!(core.poll().ran, 3);
    assert_eq!(journal.take(), [0, 1, 2], "a task that wakes itself waits for the next poll");
    assert_eq!(core.executor.poll(0, 2).ran, 2);
    assert_eq!(core.executor.poll(0, 2).ran, 2);
    assert_eq!(journal.take(), [0, 1, 2, 0], "who was left out comes first");
}

#[test]
fn timers_fire_in_time_order_and_never_early() {
    let (core, journal) = (Core::new(), Journal::default());
    for (name, ms) in [(0, 30), (1, 10), (2, 20), (3, 10)] {
        let journal = journal.clone();
        executor::spawn_local(async move {
            executor::sleep(ms * MS).await;
            journal.note(name);
        })
        .detach();
    }
    core.poll();
    assert_eq!(core.executor.next_deadline_ticks(), Some(10_000));
    core.set_time(10 * MS - Duration::from_micros(1));
    assert!(journal.take().is_empty());
    assert_eq!(core.set_time(10 * MS), Polled { ran: 2, timers: 2 });
    assert_eq!(journal.take(), [1, 3]);
    core.set_time(31 * MS);
    assert_eq!(journal.take(), [2, 0]);
    assert_eq!(core.executor.next_deadline_ticks(), None);
}

#[test]
fn a_dropped_timer_is_forgotten() {
    let core = Core::new();
    let task = executor::spawn_local(executor::sleep(5 * MS));
    core.poll();
    assert_eq!(core.executor.next_deadline_ticks(), Some(5_000));
    drop(task);
    core.run_until_quiet();
    assert_eq!(core.executor.next_deadline_ticks(), None);
    assert_eq!(core.executor.alive(), 0);
}

#[test]
fn a_timeout_ends_what_takes_too_long_and_only_that() {
    let core = Core::new();
    let dropped = Rc::new(());
    let held = dropped.clone();
    let slow = executor::spawn_local(executor::timeout(3 * MS, async move {
        let _held = held;
        pending::<()>().await
    }));
    let quick = executor::spawn_local(executor::timeout(3 * MS, async {
        executor::sleep(2 * MS).await;
        7
    }));
    core.poll();
    assert_eq!(Rc::strong_count(&dropped), 2);
    core.set_time(2 * MS);
    core.set_time(3 * MS);
    core.run_until_quiet();
    assert_eq!(Rc::strong_count(&dropped), 1, "the slow future is gone");
    let results = Rc::new(RefCell::new(None));
    let found = results.clone();
    executor::spawn_local(async move { *found.borrow_mut() = Some((slow.await, quick.await)) }).detach();
    core.run_until_quiet();
    assert_eq!(results.take(), Some((Err(Elapsed { limit: 3 * MS }), Ok(7))));
}

#[test]
fn a_clock_converts_without_ever_being_early() {
    let clock = Clock::new(|| 0, 3);
    assert_eq!(clock.to_ticks(Duration::from_nanos(333_333_334)), 2);
    assert_eq!(clock.to_ticks(Duration::from_secs(2)), 6);
    assert_eq!(clock.to_ticks(Duration::MAX), u64::MAX);
    assert_eq!(clock.to_duration(4), Duration::new(1, 333_333_333));
}

#[test]
fn an_awaited_epoch_and_an_awaited_mailbox_wake_their_tasks() {
    let (core, journal) = (Core::new(), Journal::default());
    let epoch = Epoch::new(0);
    let mut mailbox = Mailbox::new(4, 1);
    let sender = mailbox.sender();
    let (reached, noted) = (epoch.reached(2), journal.clone());
    executor::spawn_local(async move {
        noted.note(u32::try_from(reached.await.expect("the epoch lives")).unwrap());
        noted.note(mailbox.recv().await);
        noted.note(mailbox.recv().await);
    })
    .detach();
    core.run_until_quiet();
    epoch.advance();
    assert!(!core.executor.has_ready());
    epoch.advance();
    core.run_until_quiet();
    std::thread::spawn(move || {
        sender.try_send(Class::Data, 10).expect("space");
        sender.try_send(Class::Data, 11).expect("space");
    })
    .join()
    .unwrap();
    core.run_until_quiet();
    assert_eq!(journal.take(), [2, 10, 11]);
}

/// Ten minutes of doze are cut short by a wake-up from another thread.
#[test]
fn a_wake_up_from_another_thread_ends_the_doze() {
    let sleeper = Sleeper::new();
    let core = Core::with_owner(Waker::from(sleeper.clone()));
    let (hand_over, wakers) = mpsc::channel::<Waker>();
    let woken = Arc::new(AtomicBool::new(false));
    let seen = woken.clone();
    let task = executor::spawn_local(poll_fn(move |cx| {
        if seen.load(Ordering::SeqCst) {
            return Poll::Ready(());
        }
        hand_over.send(cx.waker().clone()).expect("the other thread listens");
        Poll::Pending
    }));
    let other = std::thread::spawn(move || {
        let waker = wakers.recv().expect("the task hands its waker over");
        woken.store(true, Ordering::SeqCst);
        waker.wake();
    });
    let began = Instant::now();
    while !task.is_finished() {
        core.poll();
        sleeper.doze(Duration::from_secs(600), || core.executor.has_ready() || task.is_finished());
    }
    other.join().unwrap();
    assert!(began.elapsed() < Duration::from_secs(60));
}

/// As fast as they can, other threads wake the one task of a core that dozes whenever it has nothing ready. A
/// lost wake-up would cost a nap of ten minutes.
#[test]
fn no_wake_up_is_lost_between_poll_and_doze() {
    const WAKES: usize = 30_000;
    let sleeper = Sleeper::new();
    let core = Core::with_owner(Waker::from(sleeper.clone()));
    let mut mailbox = Mailbox::new(64, 0);
    let senders: Vec<_> = (0..2)
        .map(|_| {
            let sender = mailbox.sender();
            std::thread::spawn(move || {
                for number in 0..WAKES {
                    while sender.try_send(Class::Data, number).is_err() {
                        std::thread::yield_now();
                    }
                    if number % 64 == 0 {
                        std::thread::yield_now();
                    }
                }
            })
        })
        .collect();
    let task = executor::spawn_local(async move {
        for _ in 0..2 * WAKES {
            mailbox.recv().await;
        }
    });
    let began = Instant::now();
    while !task.is_finished() {
        core.poll();
        sleeper.doze(Duration::from_secs(600), || core.executor.has_ready() || task.is_finished());
    }
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    assert!(began.elapsed() < Duration::from_secs(300));
}

#[test]
fn a_dropped_task_is_cancelled_and_a_detached_one_runs_on() {
    let (core, journal) = (Core::new(), Journal::default());
    let (first, second) = (journal.clone(), journal.clone());
    let cancelled = executor::spawn_local(async move { first.note(1) });
    executor::spawn_local(async move { second.note(2) }).detach();
    drop(cancelled);
    core.run_until_quiet();
    assert_eq!(journal.take(), [2]);
}

/// Counts itself out when it is dropped.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Tasks that wait, that are ready, that wake each other when dropped, and that another thread keeps waking:
/// the drop of the executor ends every one of them, on its own thread.
#[test]
fn the_end_of_the_executor_drops_every_task() {
    for _ in 0..200 {
        let core = Core::new();
        let alive = Arc::new(AtomicUsize::new(0));
        let (hand_over, wakers) = mpsc::channel::<Waker>();
        let epoch = Rc::new(Epoch::new(0));
        for number in 0..20 {
            alive.fetch_add(1, Ordering::SeqCst);
            let (counted, hand_over, epoch) = (Counted(alive.clone()), hand_over.clone(), epoch.clone());
            executor::spawn_local(async move {
                let _counted = counted;
                match number % 4 {
                    0 => pending().await,
                    1 => drop(epoch.reached(1).await),
                    2 => executor::sleep(MS).await,
                    _ => loop {
                        poll_fn(|cx| {
                            hand_over.send(cx.waker().clone()).ok();
                            Poll::<()>::Pending
                        })
                        .await
                    },
                }
            })
            .detach();
        }
        drop((hand_over, epoch));
        let waking = std::thread::spawn(move || {
            for waker in wakers {
                waker.wake_by_ref();
                waker.wake();
            }
        });
        core.poll();
        core.poll();
        assert_eq!(alive.load(Ordering::SeqCst), 20);
        let spawner = core.executor.spawner();
        drop(core);
        assert_eq!(alive.load(Ordering::SeqCst), 0);
        waking.join().unwrap();
        let late = spawner.spawn_local(async { 1 });
        assert!(late.is_finished(), "cancelled at once");
    }
}

#[test]
fn without_a_reactor_there_is_no_current_executor() {
    assert!(executor::current().is_none());
    {
        let _core = Core::new();
        assert!(executor::current().is_some());
    }
    assert!(executor::current().is_none());
}
