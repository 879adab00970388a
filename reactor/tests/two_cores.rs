//! A runtime on two cores: where threads go, futures on another core, messages back and forth.

mod harness;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use reactor::executor::{Task, sleep, spawn_local, yield_now};
use reactor::mailbox::{Class, Mailbox, Sender};
use reactor::runtime::{Gone, core_stats, cores, run_on};
use reactor::wake;
use spdk_rs::cpuset::CpuSet;
use spdk_rs::env::current_core;
use spdk_rs::poller::{Busy, Poller};
use spdk_rs::thread::{ThreadBound, ThreadHandle, current, on_app_thread};

const MS: Duration = Duration::from_millis(1);

#[test]
fn two_cores() {
    let ended = Arc::new(Mutex::new(Vec::new()));
    let finished = harness::runtime(&[0, 1]).run(main(ended.clone())).expect("it starts");
    assert_eq!(finished.stuck_threads, Vec::<String>::new());
    assert_eq!(*ended.lock().unwrap(), [1], "the task that was left on core 1 was dropped there");
}

async fn main(ended: Arc<Mutex<Vec<u32>>>) {
    assert_eq!(cores(), [0, 1]);
    assert_eq!(current_core(), Some(0));
    placing().await;
    futures_on_another_core().await;
    ping_pong().await;
    waking_a_core_that_dozes().await;
    a_polled_mailbox_wakes_its_core().await;
    run_on(1, || async move { leave_a_task_behind(ended) }).await.expect("core 1 runs");
}

/// The core that polls a thread, as the thread sees it.
async fn core_of(thread: &ThreadHandle) -> u32 {
    let mut answer = Mailbox::new(1, 0);
    let sender = answer.sender();
    let tell =
        move || sender.try_send(Class::Data, current_core().expect("a reactor polls it")).expect("space");
    thread.send(tell).expect("sent");
    answer.recv().await
}

async fn placing() {
    let spawn = |mask: &CpuSet| ThreadHandle::spawn("placed", mask).expect("a thread");
    let on = |core| CpuSet::of(&[core]).expect("a core");
    let pinned = [spawn(&on(1)), spawn(&on(0)), spawn(&on(1))];
    let mut where_they_are = Vec::new();
    for thread in &pinned {
        where_they_are.push(core_of(thread).await);
    }
    assert_eq!(where_they_are, [1, 0, 1]);
    // Core 0 has the app thread and one of these, core 1 its own and two.
    let free: Vec<_> = (0..3).map(|_| spawn(&CpuSet::all())).collect();
    let mut where_they_are = Vec::new();
    for thread in &free {
        where_they_are.push(core_of(thread).await);
    }
    assert_eq!(where_they_are, [0, 0, 1], "the least loaded core, and of equals the first");
    let nowhere = spawn(&on(5));
    assert_eq!(core_of(&nowhere).await, 0, "a mask without our cores counts for nothing");
    drop((pinned, free, nowhere));
    while core_stats(0).await.unwrap().threads + core_stats(1).await.unwrap().threads > 2 {
        yield_now().await;
    }
}

async fn futures_on_another_core() {
    let (core, thread, app) = run_on(1, || async {
        // Something that can't move between threads.
        let local = Rc::new(RefCell::new(0));
        let inside = local.clone();
        spawn_local(async move {
            sleep(MS).await;
            *inside.borrow_mut() += 1;
        })
        .await;
        assert_eq!(local.take(), 1);
        (current_core(), current(), on_app_thread())
    })
    .await
    .expect("core 1 runs");
    assert_eq!((core, app), (Some(1), false));
    assert!(thread.is_some(), "tasks may use SPDK on every core");
    assert_eq!(run_on(0, || async { on_app_thread() }).await, Ok(true));
    assert_eq!(run_on(7, || async {}).await, Err(Gone));
}

/// Answers each number with its successor, until the mailbox ends with 0.
async fn pong(mut pings: Mailbox<u64>, answers: Sender<u64>) {
    loop {
        match pings.recv().await {
            0 => return,
            number => answers.try_send(Class::Data, number + 1).expect("one at a time"),
        }
    }
}

/// Starts `pong` on core 1: its sender, our mailbox, its end.
async fn start_pong() -> (Sender<u64>, Mailbox<u64>, Task<()>) {
    let (pings, pongs) = (Mailbox::new(2, 1), Mailbox::new(2, 1));
    let (to_other, to_us) = (pings.sender(), pongs.sender());
    let end = spawn_local(async move { run_on(1, move || pong(pings, to_us)).await.expect("core 1 runs") });
    (to_other, pongs, end)
}

async fn ping_pong() {
    const ROUNDS: u64 = 20_000;
    let (pings, mut pongs, end) = start_pong().await;
    let began = Instant::now();
    for number in 1..=ROUNDS {
        pings.try_send(Class::Data, number).expect("one at a time");
        assert_eq!(pongs.recv().await, number + 1);
    }
    println!("ping-pong between two awake cores: {:?} a round", began.elapsed() / ROUNDS as u32);
    pings.try_send(Class::Control, 0).expect("space");
    end.await;
}

/// Both cores doze between rounds. Were they only woken by their naps' ends, a round would take up to 250 us.
async fn waking_a_core_that_dozes() {
    const ROUNDS: usize = 50;
    let (pings, mut pongs, end) = start_pong().await;
    let mut round_trips = Vec::new();
    for _ in 0..ROUNDS {
        sleep(8 * MS).await;
        let began = Instant::now();
        pings.try_send(Class::Data, 1).expect("one at a time");
        pongs.recv().await;
        round_trips.push(began.elapsed());
    }
    pings.try_send(Class::Control, 0).expect("space");
    end.await;
    round_trips.sort();
    println!(
        "a round trip to a dozing core: median {:?}, worst {:?}",
        round_trips[ROUNDS / 2],
        round_trips[ROUNDS - 1]
    );
    assert!(core_stats(1).await.unwrap().naps > 100);
}

/// As a bdev module does it: a poller drains the mailbox, and the mailbox wakes the core.
async fn a_polled_mailbox_wakes_its_core() {
    let mut answers = Mailbox::new(4, 0);
    let to_us = answers.sender();
    let (sender, poller) = run_on(1, move || async move {
        let mut mailbox = Mailbox::new(4, 1);
        mailbox.set_waker(wake::current().expect("a reactor runs here"));
        let sender = mailbox.sender();
        let poller = Poller::register("drain", 0, move || {
            let count = mailbox.drain(8, |message: u64| to_us.try_send(Class::Data, message).expect("space"));
            if count > 0 { Busy::Yes } else { Busy::No }
        });
        (sender, ThreadBound::new(poller))
    })
    .await
    .expect("core 1 runs");
    sleep(10 * MS).await;
    sender.try_send(Class::Data, 7).expect("space");
    assert_eq!(answers.recv().await, 7);
    run_on(1, move || async move { drop(poller) }).await.expect("core 1 runs");
}

struct Guard {
    _bound: ThreadBound<()>,
    ended: Arc<Mutex<Vec<u32>>>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.ended.lock().unwrap().extend(current_core());
    }
}

fn leave_a_task_behind(ended: Arc<Mutex<Vec<u32>>>) {
    let guard = Guard { _bound: ThreadBound::new(()), ended };
    spawn_local(async move {
        let _guard = guard;
        std::future::pending::<()>().await
    })
    .detach();
}
