//! A runtime on one core: the main future, timers, SPDK threads, naps, and the way down.

mod harness;

use std::cell::Cell;
use std::future::pending;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reactor::epoch::Epoch;
use reactor::executor::{sleep, spawn_local, timeout, yield_now};
use reactor::mailbox::{Class, Mailbox};
use reactor::runtime::{self, CoreStats};
use reactor::{executor, wake};
use spdk_rs::cpuset::CpuSet;
use spdk_rs::dma::DmaBuf;
use spdk_rs::poller::{Busy, Poller};
use spdk_rs::thread::{ThreadBound, ThreadHandle, on_app_thread};

const MS: Duration = Duration::from_millis(1);

#[test]
fn one_core() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let finished = harness::runtime(&[0]).run(main(dropped.clone())).expect("it starts");
    assert_eq!(finished.output, 42);
    assert_eq!(finished.stuck_threads, Vec::<String>::new());
    assert_eq!(dropped.load(Ordering::SeqCst), 3, "tasks that were left are dropped at the end");
    assert!(executor::current().is_none() && wake::current().is_none());
    assert!(ThreadHandle::spawn("late", &CpuSet::all()).is_err(), "the thread library is finished");
    assert!(DmaBuf::new(64, 64).is_err(), "the environment is finished");
}

async fn main(dropped: Arc<AtomicUsize>) -> u32 {
    assert!(on_app_thread());
    assert_eq!(runtime::cores(), [0]);
    timers().await;
    an_spdk_thread().await;
    a_poller_wakes_a_task().await;
    naps().await;
    leave_tasks_behind(&dropped);
    yield_now().await;
    42
}

async fn timers() {
    let began = Instant::now();
    let order = Rc::new(Cell::new(0));
    let naps = [30, 10, 20].map(|ms| {
        let order = order.clone();
        spawn_local(async move {
            sleep(ms * MS).await;
            assert!(on_app_thread());
            order.set(order.get() * 100 + ms);
        })
    });
    for nap in naps {
        nap.await;
    }
    assert_eq!(order.get(), 102_030);
    assert!(began.elapsed() >= 30 * MS);
    assert!(timeout(5 * MS, pending::<()>()).await.is_err());
    assert_eq!(timeout(Duration::from_secs(10), async { 5 }).await, Ok(5));
}

/// A thread of its own answers through a mailbox, and exits when its handle is dropped.
async fn an_spdk_thread() {
    let mut answers = Mailbox::new(4, 0);
    let sender = answers.sender();
    let thread = ThreadHandle::spawn("worker", &CpuSet::all()).expect("a thread");
    let id = thread.id();
    thread
        .send(move || {
            sender.try_send(Class::Data, (spdk_rs::thread::current(), on_app_thread())).expect("space");
        })
        .expect("sent");
    assert_eq!(answers.recv().await, (Some(id), false));
    assert_eq!(stats().await.threads, 2);
    drop(thread);
    while stats().await.threads > 1 {
        yield_now().await;
    }
}

async fn a_poller_wakes_a_task() {
    let epoch = Rc::new(Epoch::new(0));
    let raised = epoch.clone();
    let poller = Poller::register("raise", 0, move || {
        raised.advance();
        Busy::Yes
    });
    let level = epoch.reached(100).await.expect("the epoch lives");
    assert!(level >= 100);
    drop(poller);
}

/// An idle core naps, and is woken from a nap by another thread.
async fn naps() {
    let before = stats().await;
    let mut mailbox = Mailbox::new(1, 0);
    let sender = mailbox.sender();
    let other = std::thread::spawn(move || {
        sender.try_send(Class::Data, Instant::now()).expect("space");
    });
    mailbox.recv().await;
    other.join().expect("the other thread");
    sleep(100 * MS).await;
    let after = stats().await;
    let naps = after.naps - before.naps;
    let slept = after.slept_ticks - before.slept_ticks;
    assert!(naps > 10, "{naps} naps in 100 ms");
    assert!(slept * 1000 / after.ticks_per_s > 50, "{} ms of 100 ms slept", slept * 1000 / after.ticks_per_s);
    assert!(slept <= after.idle_ticks - before.idle_ticks);
}

async fn stats() -> CoreStats {
    runtime::core_stats(0).await.expect("core 0 runs")
}

/// Must be dropped on the thread where it was made.
struct Guard {
    _bound: ThreadBound<()>,
    dropped: Arc<AtomicUsize>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        assert!(on_app_thread());
        self.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

fn leave_tasks_behind(dropped: &Arc<AtomicUsize>) {
    let guard = || Guard { _bound: ThreadBound::new(()), dropped: dropped.clone() };
    for guard in [guard(), guard()] {
        spawn_local(async move {
            let _guard = guard;
            sleep(Duration::from_secs(3600)).await;
        })
        .detach();
    }
    let guard = guard();
    spawn_local(async move {
        let _guard = guard;
        loop {
            yield_now().await;
        }
    })
    .detach();
}
