//! What keeps a thread on its OS thread, and that it may go when nothing does.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use spdk_rs::Errno;
use spdk_rs::cpuset::CpuSet;
use spdk_rs::introspect;
use spdk_rs::io_device::{IoDevice, Registered};
use spdk_rs::poller::{Busy, Poller};
use spdk_rs::thread::{OwnedThread, PinKind, PollOutcome, ThreadBound, ThreadHandle, current, defer};

use crate::own_process::in_own_process;
use crate::process::Process;

#[test]
fn pins() {
    in_own_process(test_name!(), run);
}

fn run() {
    let mut process = Process::start();
    let handle = ThreadHandle::spawn("other", &CpuSet::all()).unwrap();
    let mut other = process.take(handle.id());
    assert_eq!(other.release(), Ok(()), "a thread without anything may go");
    values(&mut other);
    pollers(&mut other);
    channels(&mut process, &mut other);
    messages(&mut process, &mut other);
    let mut other = elsewhere_and_back(other, &handle);
    bound_for_life(&mut other, &handle);
    app_thread(&mut process);
    process.threads().push(other);
    drop(handle);
    process.stop();
}

fn count(thread: &mut OwnedThread, kind: PinKind) -> u32 {
    thread.release().map_or_else(|pins| pins.count(kind), |()| 0)
}

fn values(thread: &mut OwnedThread) {
    let (first, second) = thread.enter(|| (ThreadBound::new(1), ThreadBound::new(2)));
    assert_eq!(count(thread, PinKind::Value), 2);
    assert_eq!(thread.enter(|| first.into_inner()), 1);
    assert_eq!(count(thread, PinKind::Value), 1);
    assert_eq!(thread.release().unwrap_err().to_string(), "1 bound value");
    thread.enter(|| drop(second));
    assert_eq!(thread.release(), Ok(()));
}

fn pollers(thread: &mut OwnedThread) {
    let poller = thread.enter(|| Poller::register("outside", 0, || Busy::No));
    thread.poll(0);
    assert_eq!(count(thread, PinKind::Poller), 1);
    thread.enter(|| drop(poller));
    assert_eq!(thread.release(), Ok(()));
    // One that ends itself.
    let slot = Rc::new(Cell::new(None));
    let inside = slot.clone();
    let poller = thread.enter(|| {
        Poller::register("inside", 0, move || {
            drop(inside.take());
            Busy::Yes
        })
    });
    slot.set(Some(poller));
    assert_eq!(count(thread, PinKind::Poller), 1);
    thread.poll(0);
    assert_eq!(thread.release(), Ok(()));
}

struct Device;

impl IoDevice for Device {
    type Channel = Rc<()>;
    fn open(&self) -> Result<Self::Channel, Errno> {
        Ok(Self::Channel::default())
    }
}

fn channels(process: &mut Process, thread: &mut OwnedThread) {
    let device = Arc::new(process.on_app(|| Registered::new("device", Device)).unwrap());
    let first = thread.enter(|| device.channel()).unwrap();
    let second = thread.enter(|| first.clone());
    assert_eq!(count(thread, PinKind::Channel), 1, "both are the one channel of the thread");
    thread.enter(|| drop((first, second)));
    assert_eq!(count(thread, PinKind::Channel), 1, "it is closed at the next poll");
    thread.poll(0);
    assert_eq!(thread.release(), Ok(()));
    process.on_app(move || drop(device));
}

fn messages(process: &mut Process, thread: &mut OwnedThread) {
    let not_send = Rc::new(());
    thread.enter(|| defer(move || drop(not_send))).unwrap();
    assert_eq!(count(thread, PinKind::Message), 1);
    thread.poll(0);
    assert_eq!(thread.release(), Ok(()));

    let done = Rc::new(Cell::new(false));
    let inside = done.clone();
    thread.enter(|| introspect::thread_stats(move |_| inside.set(true))).unwrap();
    assert_eq!(count(thread, PinKind::Message), 1, "who asked waits for the answer here");
    while !done.get() {
        process.poll();
        thread.poll(0);
    }
    assert_eq!(thread.release(), Ok(()));
}

/// To another OS thread, with a message that waits, and back.
fn elsewhere_and_back(mut thread: OwnedThread, handle: &ThreadHandle) -> OwnedThread {
    let before = thread.stats();
    let ran_on = Arc::new(Mutex::new(None));
    let slot = ran_on.clone();
    handle.send(move || *slot.lock().unwrap() = Some(std::thread::current().id())).unwrap();
    let moved = std::thread::spawn(move || {
        assert_eq!(thread.poll(0), PollOutcome::Busy);
        let bound = thread.enter(|| ThreadBound::new(Rc::new(())));
        assert!(thread.release().is_err());
        thread.enter(|| drop(bound));
        assert_eq!(thread.release(), Ok(()));
        (thread, std::thread::current().id())
    });
    let (thread, elsewhere) = moved.join().unwrap();
    assert_eq!(*ran_on.lock().unwrap(), Some(elsewhere));
    assert!(thread.stats().busy_ticks > before.busy_ticks, "its statistics went with it");
    assert_eq!(thread.enter(current), Some(handle.id()));
    thread
}

fn bound_for_life(thread: &mut OwnedThread, handle: &ThreadHandle) {
    let value = thread.enter(|| ThreadBound::new(()));
    handle.bind().unwrap();
    thread.poll(0);
    let pins = thread.release().unwrap_err();
    assert!(pins.is_bound() && pins.count(PinKind::Value) == 1, "{pins}");
    thread.enter(|| drop(value));
    assert_eq!(thread.release().unwrap_err().to_string(), "it is bound to its core");
}

fn app_thread(process: &mut Process) {
    let id = process.app().id();
    let mut app = process.take(id);
    let pins = app.release().unwrap_err();
    assert!(pins.is_app_thread(), "{pins}");
    process.threads().push(app);
}
