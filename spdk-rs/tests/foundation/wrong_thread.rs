//! What safe code can do wrong with threads: it panics or leaks, and harms no memory.

use std::panic::{AssertUnwindSafe, catch_unwind};

use spdk_rs::Errno;
use spdk_rs::cpuset::CpuSet;
use spdk_rs::dma::DmaBuf;
use spdk_rs::io_device::{IoDevice, Registered};
use spdk_rs::poller::{Busy, Poller};
use spdk_rs::thread::{OwnedThread, ThreadHandle};

use crate::own_process::in_own_process;
use crate::process::Process;

struct Device;

impl IoDevice for Device {
    type Channel = u64;
    fn open(&self) -> Result<u64, Errno> {
        Ok(1)
    }
}

fn panics<R>(f: impl FnOnce() -> R) -> bool {
    catch_unwind(AssertUnwindSafe(|| drop(f()))).is_err()
}

#[test]
fn mistakes() {
    in_own_process(test_name!(), run);
}

fn run() {
    let mut process = Process::start();
    let handle = ThreadHandle::spawn("other", &CpuSet::all()).unwrap();
    let other = process.take(handle.id());
    let app_id = process.app().id();
    let app = process.take(app_id);

    // Both threads are of this OS thread, so the compiler can't tell them apart.
    let poller = app.enter(|| Poller::register("poller", 0, || Busy::No));
    assert!(other.enter(|| panics(|| poller)), "a poller is dropped on its own thread only");
    let device = app.enter(|| Registered::new("device", Device)).unwrap();
    let channel = app.enter(|| device.channel()).unwrap();
    assert!(other.enter(|| panics(|| channel.clone())));
    if cfg!(debug_assertions) {
        assert!(other.enter(|| panics(|| *channel)));
    }
    assert!(other.enter(|| panics(|| channel)));
    assert!(panics(|| Poller::register("nowhere", 0, || Busy::No)));

    // An OwnedThread that was polled stays where it was, unless it is released there.
    let moved = |mut thread: OwnedThread| {
        std::thread::spawn(move || {
            let refused = panics(|| thread.poll(0)) && panics(|| thread.enter(|| ()));
            let refused = refused && panics(|| thread.release());
            (refused, thread)
        })
        .join()
        .unwrap()
    };
    let (refused, other) = moved(other);
    assert!(refused);
    assert!(panics(|| other.destroy()), "it has not exited");

    // `other` was leaked just now; so is the app thread. Their handles stay good, and nothing is finished
    // under them.
    drop(app);
    process.app().send(|| unreachable!("nobody polls it")).unwrap();
    handle.send(|| unreachable!("nobody polls it")).unwrap();
    drop(handle);
    drop(process);
    assert!(ThreadHandle::spawn("late", &CpuSet::all()).is_ok(), "the thread library is still up");
    assert!(DmaBuf::new(64, 64).is_ok(), "the environment is still up");
    drop(device);
}
