//! SPDK threads that move between two cores, and threads that can't.

mod harness;
#[path = "harness/spdk.rs"]
mod spdk;
#[path = "harness/target.rs"]
mod target;

use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reactor::epoch::Epoch;
use reactor::executor::{spawn_local, timeout, yield_now};
use reactor::mailbox::{Class, Mailbox};
use reactor::runtime::{core_stats, run_on};
use spdk_rs::bdev::Descriptor;
use spdk_rs::cpuset::CpuSet;
use spdk_rs::dma::DmaBuf;
use spdk_rs::env::current_core;
use spdk_rs::introspect::{self, CpumaskRefused};
use spdk_rs::poller::{Busy, Poller};
use spdk_rs::thread::{PinKind, ThreadBound, ThreadHandle, ThreadId, current, set_current_cpumask};

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn moving() {
    let finished = harness::runtime(&[0, 1]).run(main()).expect("it starts");
    assert_eq!(finished.stuck_threads, Vec::<String>::new());
}

async fn main() {
    a_mask_with_its_core_leaves_it_there().await;
    there_and_back_under_load().await;
    a_pinned_thread_stays().await;
    a_pinned_thread_moves_when_it_can().await;
    the_threads_of_the_cores_stay().await;
    exits_on_the_way().await;
    a_target_moves_under_io().await;
    leave_moving_threads_behind();
}

fn on(core: u32) -> CpuSet {
    CpuSet::of(&[core]).expect("a core")
}

/// Runs `ask` on a thread.
async fn ask<T: Send + std::fmt::Debug + 'static>(
    thread: &ThreadHandle,
    ask: impl FnOnce() -> T + Send + 'static,
) -> T {
    let mut answer = Mailbox::new(1, 0);
    let sender = answer.sender();
    thread.send(move || sender.try_send(Class::Data, ask()).expect("space")).expect("sent");
    timeout(PATIENCE, answer.recv()).await.expect("it is polled")
}

/// The core that polls a thread, as the thread sees it.
async fn core_of(thread: &ThreadHandle) -> u32 {
    ask(thread, || current_core().expect("a reactor polls it")).await
}

async fn until_on(core: u32, thread: &ThreadHandle) {
    timeout(PATIENCE, async { while core_of(thread).await != core {} }).await.expect("it moves");
}

async fn set_mask(id: ThreadId, mask: CpuSet) -> Result<(), CpumaskRefused> {
    let mut answer = Mailbox::new(1, 0);
    let sender = answer.sender();
    introspect::set_cpumask(id, mask, move |result| sender.try_send(Class::Data, result).expect("space"))
        .expect("begun");
    timeout(PATIENCE, answer.recv()).await.expect("threads are visited")
}

async fn busy_ticks(id: ThreadId) -> u64 {
    let mut answer = Mailbox::new(1, 0);
    let sender = answer.sender();
    introspect::thread_stats(move |report| {
        let found = report.threads.iter().find(|thread| thread.id == id.raw()).expect("it is there");
        sender.try_send(Class::Data, found.busy).expect("space");
    })
    .expect("begun");
    answer.recv().await
}

async fn threads_in_all() -> usize {
    core_stats(0).await.expect("core 0").threads + core_stats(1).await.expect("core 1").threads
}

async fn a_mask_with_its_core_leaves_it_there() {
    let thread = ThreadHandle::spawn("stays", &on(1)).expect("a thread");
    assert_eq!(set_mask(thread.id(), CpuSet::of(&[0, 1]).expect("cores")).await, Ok(()));
    for _ in 0..10 {
        assert_eq!(core_of(&thread).await, 1);
    }
    ask(&thread, || set_current_cpumask(&on(7)).expect("set")).await;
    assert_eq!(core_of(&thread).await, 1, "a mask without our cores counts for nothing");
}

/// One on each core.
const SENDERS: usize = 2;
/// Messages of one sender that may wait.
const WAITING_MAX: u64 = 200;

/// What the messages to one thread have seen.
#[derive(Default)]
struct Seen {
    inside: AtomicBool,
    /// By sender. Not counted up in one step: two cores at once would lose some.
    next: [AtomicU64; SENDERS],
    by_core: [AtomicU64; 2],
    stop: AtomicBool,
}

impl Seen {
    fn message(&self, sender: usize, number: u64) {
        assert!(!self.inside.swap(true, Ordering::Relaxed), "one core at a time");
        let next = self.next[sender].load(Ordering::Relaxed);
        assert_eq!(next, number, "none lost, none twice, in order");
        self.next[sender].store(next + 1, Ordering::Relaxed);
        let core = current_core().expect("a reactor polls it") as usize;
        self.by_core[core].fetch_add(1, Ordering::Relaxed);
        self.inside.store(false, Ordering::Relaxed);
    }
}

/// Sends numbered messages until told to stop; says how many.
async fn send_many(thread: ThreadHandle, seen: Arc<Seen>, sender: usize) -> u64 {
    let mut number = 0;
    while !seen.stop.load(Ordering::Relaxed) {
        while number - seen.next[sender].load(Ordering::Relaxed) < WAITING_MAX {
            let inside = seen.clone();
            thread.send(move || inside.message(sender, number)).expect("sent");
            number += 1;
        }
        yield_now().await;
    }
    number
}

async fn there_and_back_under_load() {
    const MOVES: u32 = 600;
    let thread = ThreadHandle::spawn("wanders", &on(1)).expect("a thread");
    let seen = Arc::new(Seen::default());
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let (thread, seen) = (thread.clone(), seen.clone());
            spawn_local(run_on(sender as u32, move || send_many(thread, seen, sender)))
        })
        .collect();
    let mut busy = 0;
    for round in 0..MOVES {
        let core = round % 2;
        assert_eq!(set_mask(thread.id(), on(core)).await, Ok(()));
        assert_eq!(core_of(&thread).await, core, "it is there when the mask is set");
        let busy_here = busy_ticks(thread.id()).await;
        assert!(busy_here >= busy, "its statistics go with it");
        busy = busy_here;
    }
    seen.stop.store(true, Ordering::Relaxed);
    let mut sent = Vec::new();
    for sender in senders {
        sent.push(sender.await.expect("its core runs"));
    }
    // Whatever was sent before has run when this has.
    core_of(&thread).await;
    let arrived: Vec<u64> = seen.next.iter().map(|next| next.load(Ordering::Relaxed)).collect();
    assert_eq!(arrived, sent);
    let by_core = [0, 1].map(|core: usize| seen.by_core[core].load(Ordering::Relaxed));
    println!("{MOVES} moves, messages by core: {by_core:?}");
    assert!(by_core.iter().all(|count| *count > 0));
}

/// Something that can't be sent, on its thread.
type Kept = Arc<Mutex<Option<ThreadBound<Poller>>>>;

fn keep_a_poller(kept: &Kept) {
    let poller = Poller::register("pins", 0, || Busy::No);
    *kept.lock().unwrap() = Some(ThreadBound::new(poller));
}

async fn a_pinned_thread_stays() {
    let thread = ThreadHandle::spawn("pinned", &on(1)).expect("a thread");
    let kept = Kept::default();
    let inside = kept.clone();
    ask(&thread, move || keep_a_poller(&inside)).await;
    let Err(CpumaskRefused::Pinned(pins)) = set_mask(thread.id(), on(0)).await else {
        panic!("it was not refused")
    };
    assert_eq!(pins.to_string(), "1 poller, 1 bound value");
    assert_eq!(pins.count(PinKind::Poller), 1);
    assert_eq!(set_mask(thread.id(), CpuSet::of(&[0, 1]).expect("cores")).await, Ok(()));
    assert_eq!(core_of(&thread).await, 1);
    ask(&thread, move || drop(kept)).await;
    assert_eq!(set_mask(thread.id(), on(0)).await, Ok(()));
    assert_eq!(core_of(&thread).await, 0);
}

async fn a_pinned_thread_moves_when_it_can() {
    let thread = ThreadHandle::spawn("later", &on(1)).expect("a thread");
    for (here, there) in [(1, 0), (0, 1)] {
        let kept = Kept::default();
        let inside = kept.clone();
        ask(&thread, move || {
            keep_a_poller(&inside);
            set_current_cpumask(&on(there)).expect("set");
        })
        .await;
        for _ in 0..10 {
            assert_eq!(core_of(&thread).await, here);
        }
        ask(&thread, move || drop(kept)).await;
        until_on(there, &thread).await;
    }
    // Changed back before it could go.
    let kept = Kept::default();
    let inside = kept.clone();
    ask(&thread, move || {
        keep_a_poller(&inside);
        set_current_cpumask(&on(0)).expect("set");
    })
    .await;
    ask(&thread, move || {
        set_current_cpumask(&on(1)).expect("set");
        drop(kept);
    })
    .await;
    for _ in 0..10 {
        assert_eq!(core_of(&thread).await, 1);
    }
}

async fn the_threads_of_the_cores_stay() {
    let id = |core| run_on(core, || async { current().expect("a thread") });
    let (app, other) = (id(0).await.expect("core 0"), id(1).await.expect("core 1"));
    let Err(CpumaskRefused::Pinned(pins)) = set_mask(app, on(1)).await else { panic!("not refused") };
    assert!(pins.is_app_thread(), "{pins}");
    let Err(CpumaskRefused::Pinned(pins)) = set_mask(other, on(0)).await else { panic!("not refused") };
    assert!(pins.is_bound(), "{pins}");
}

/// Threads that are asked to exit before, while and after they move.
async fn exits_on_the_way() {
    const ROUNDS: usize = 60;
    let before = threads_in_all().await;
    for round in 0..ROUNDS {
        for core in [0, 1] {
            let thread = ThreadHandle::spawn("short", &on(core)).expect("a thread");
            let leave = move || set_current_cpumask(&on(1 - core)).expect("set");
            if round % 3 == 0 {
                // The message that asks it to exit comes first: ours is still run.
                let late = thread.clone();
                thread.send(move || drop(late)).expect("sent");
            }
            thread.send(leave).expect("sent");
            if round % 3 == 1 {
                yield_now().await;
            }
            if round % 3 == 2 {
                until_on(1 - core, &thread).await;
            }
        }
        timeout(PATIENCE, async { while threads_in_all().await > before {} }).await.expect("they exit");
    }
}

/// The threads of SPDK's target, which C code made, with their pollers and channels.
async fn a_target_moves_under_io() {
    const MOVES: u32 = 100;
    const BLOCK_BYTES: usize = 4096;
    let port = target::free_port();
    spdk::start(&[target::drives(None), target::target(port), target::host(port)].concat()).await;
    let drive = Descriptor::open("hostn1", true, |_| {}).expect("the drive");
    let channel = drive.channel().expect("a channel");
    let groups = named("nvmf_tgt_poll_group").await;
    assert_eq!(groups.len(), 2, "one for each core");
    let rounds = Rc::new(Epoch::new(0));
    let done = rounds.watch();
    let mover = spawn_local(async move {
        for round in 0..MOVES {
            for (at, (id, _)) in groups.iter().enumerate() {
                let core = (round + at as u32) % 2;
                assert_eq!(set_mask(*id, on(core)).await, Ok(()));
                assert!(named("nvmf_tgt_poll_group").await.contains(&(*id, core)));
            }
            done.reached(done.current() + 1).await.expect("it goes on");
        }
    });
    let mut buffer = DmaBuf::new(BLOCK_BYTES, BLOCK_BYTES).expect("a buffer");
    while !mover.is_finished() {
        let (lba, fill) = (rounds.current() % 200, rounds.current() as u8);
        buffer.fill(fill);
        let (written, again) = channel.write(lba, buffer).await;
        assert_eq!(written, Ok(()));
        let (read, again) = channel.read(lba, again).await;
        assert_eq!(read, Ok(()));
        assert!(again.iter().all(|byte| *byte == fill));
        buffer = again;
        rounds.advance();
    }
    mover.await;
    println!("{} blocks written and read while the target moved {} times", rounds.current(), 2 * MOVES);
    drop((channel, drive));
    spdk::stop().await;
}

/// The threads whose names begin so, and their cores.
async fn named(prefix: &'static str) -> Vec<(ThreadId, u32)> {
    let ids = ids_of(prefix).await;
    let mut answer = Mailbox::new(1, 0);
    let sender = answer.sender();
    let whereabouts = || (current().expect("a thread"), current_core().expect("a core"));
    introspect::on_each_thread(whereabouts, move |found| sender.try_send(Class::Data, found).expect("space"))
        .expect("begun");
    let found = answer.recv().await;
    found.into_iter().filter(|(id, _)| ids.contains(&id.raw())).collect()
}

async fn ids_of(prefix: &'static str) -> Vec<u64> {
    let mut answer = Mailbox::new(1, 0);
    let sender = answer.sender();
    introspect::thread_stats(move |report| {
        let found = report.threads.iter().filter(|thread| thread.name.starts_with(prefix));
        sender.try_send(Class::Data, found.map(|thread| thread.id).collect()).expect("space");
    })
    .expect("begun");
    answer.recv().await
}

/// Threads that are on their way, and one that goes to and fro, when the runtime shuts down.
fn leave_moving_threads_behind() {
    for core in [0, 1, 0, 1] {
        let thread = ThreadHandle::spawn("left", &on(core)).expect("a thread");
        thread.send(move || set_current_cpumask(&on(1 - core)).expect("set")).expect("sent");
    }
    let thread = ThreadHandle::spawn("left in motion", &on(0)).expect("a thread");
    spawn_local(async move {
        for round in 0.. {
            assert_eq!(set_mask(thread.id(), on(round % 2)).await, Ok(()));
        }
    })
    .detach();
}
