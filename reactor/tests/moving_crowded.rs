//! A thread that is to move to a core whose inbox is full: it stays, is polled, and moves later.

mod harness;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reactor::executor::{spawn_local, timeout, yield_now};
use reactor::mailbox::{Class, Mailbox};
use reactor::runtime::run_on;
use spdk_rs::Errno;
use spdk_rs::cpuset::CpuSet;
use spdk_rs::env::{EnvOptions, HugePages, current_core};
use spdk_rs::thread::{ThreadHandle, set_current_cpumask};

const PATIENCE: Duration = Duration::from_secs(20);
/// More than fit in an inbox beside its reserve.
const CALLS: usize = 1024;
/// The reserve, and then some.
const FILLERS_MAX: usize = 300;

#[test]
fn moving_crowded() {
    // Each thread takes half a mebibyte and 1024 messages.
    let env = EnvOptions { memory_mib: Some(768), ..options() };
    let finished =
        harness::runtime(&[0, 1]).env(env).messages(512 * 1024 - 1).run(main()).expect("it starts");
    assert_eq!(finished.stuck_threads, Vec::<String>::new());
}

fn options() -> EnvOptions {
    EnvOptions {
        name: "reactor-test".to_owned(),
        cores: vec![0, 1],
        huge_pages: HugePages::Off,
        ..EnvOptions::default()
    }
}

fn on(core: u32) -> CpuSet {
    CpuSet::of(&[core]).expect("a core")
}

async fn core_of(thread: &ThreadHandle) -> u32 {
    let mut answer = Mailbox::new(1, 0);
    let sender = answer.sender();
    let tell = move || sender.try_send(Class::Data, current_core().expect("a core")).expect("space");
    thread.send(tell).expect("sent");
    timeout(PATIENCE, answer.recv()).await.expect("it is polled")
}

async fn main() {
    let thread = ThreadHandle::spawn("waits", &on(0)).expect("a thread");
    assert_eq!(core_of(&thread).await, 0);
    let block = block_core_1().await;
    let calls: Vec<_> = (0..CALLS).map(|_| spawn_local(run_on(1, || async {}))).collect();
    // Every call is made or refused once in this time.
    for _ in 0..CALLS {
        yield_now().await;
    }
    let fillers = fill_the_reserve();
    thread.send(|| set_current_cpumask(&on(1)).expect("set")).expect("sent");
    for _ in 0..200 {
        assert_eq!(core_of(&thread).await, 0, "core 1 takes nothing");
    }
    drop(block);
    timeout(PATIENCE, async { while core_of(&thread).await == 0 {} }).await.expect("it moves at last");
    for call in calls {
        assert_eq!(call.await, Ok(()));
    }
    drop(fillers);
}

/// Keeps core 1 from doing anything until it is dropped.
struct Block(Arc<AtomicBool>);

impl Drop for Block {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

async fn block_core_1() -> Block {
    let (blocked, block) = (Arc::<AtomicBool>::default(), Block(Arc::default()));
    let (there, over) = (blocked.clone(), block.0.clone());
    let blocker = ThreadHandle::spawn("blocks", &on(1)).expect("a thread");
    let spin = move || {
        there.store(true, Ordering::Release);
        while !over.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
    };
    blocker.send(spin).expect("sent");
    let is_blocked = async {
        while !blocked.load(Ordering::Acquire) {
            yield_now().await;
        }
    };
    timeout(PATIENCE, is_blocked).await.expect("core 1 runs");
    block
}

/// New threads for core 1, until it takes no more.
fn fill_the_reserve() -> Vec<ThreadHandle> {
    let mut fillers = Vec::new();
    while fillers.len() < FILLERS_MAX {
        match ThreadHandle::spawn("fills", &on(1)) {
            Ok(filler) => fillers.push(filler),
            Err(errno) => {
                assert_eq!(errno, Errno::ENOMEM);
                println!("{} threads filled the reserve", fillers.len());
                return fillers;
            }
        }
    }
    panic!("the inbox of core 1 is not full after {FILLERS_MAX} threads");
}
