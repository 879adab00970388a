//! I/O devices: one channel per thread, counted; the device outlives its channels.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use spdk_rs::Errno;
use spdk_rs::cpuset::CpuSet;
use spdk_rs::io_device::{IoDevice, Registered};
use spdk_rs::thread::{ThreadBound, ThreadHandle, ThreadId, current};

use crate::own_process::in_own_process;
use crate::process::Process;

/// What happened, in order.
type Log = Arc<Mutex<Vec<String>>>;

struct Device {
    log: Log,
    refuse: AtomicUsize,
}

struct Channel {
    thread: ThreadId,
    uses: AtomicUsize,
    log: Log,
}

impl IoDevice for Device {
    type Channel = Channel;

    fn open(&self) -> Result<Channel, Errno> {
        if self.refuse.swap(0, Ordering::Relaxed) != 0 {
            return Err(Errno::EROFS);
        }
        let thread = current().expect("opened on a thread");
        self.log.lock().unwrap().push(format!("open {thread}"));
        Ok(Channel { thread, uses: AtomicUsize::new(0), log: self.log.clone() })
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        assert_eq!(current(), Some(self.thread), "dropped on its thread");
        self.log.lock().unwrap().push(format!("close {}", self.thread));
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.log.lock().unwrap().push("drop".to_owned());
    }
}

fn new_device(log: &Log) -> Device {
    Device { log: log.clone(), refuse: AtomicUsize::new(0) }
}

#[test]
fn io_devices() {
    in_own_process(test_name!(), run);
}

fn run() {
    let log = Log::default();
    assert_eq!(Registered::new("early", new_device(&log)).map(drop), Err(Errno::ESRCH));
    log.lock().unwrap().clear();
    let mut process = Process::start();
    channels_of_two_threads(&mut process);
    refusal(&mut process);
    asked_for_inside_of_open(&mut process);
    dropped_outside_of_threads(&mut process);
    process.stop();
}

fn channels_of_two_threads(process: &mut Process) {
    let log = Log::default();
    let device = new_device(&log);
    let device = Arc::new(process.on_app(|| Registered::new("device", device)).unwrap());
    assert_eq!(device.name(), "device");
    assert_eq!(device.channel().map(drop), Err(Errno::ESRCH), "the test is on no thread");

    let other = ThreadHandle::spawn("other", &CpuSet::all()).unwrap();
    let (app_id, other_id) = (process.app().id(), other.id());
    let from_app = device.clone();
    let app_channels = process.on_app(move || {
        let first = from_app.channel().unwrap();
        let second = from_app.channel().unwrap();
        let third = second.clone();
        first.uses.fetch_add(1, Ordering::Relaxed);
        assert_eq!(third.uses.load(Ordering::Relaxed), 1, "all are the one channel of this thread");
        ThreadBound::new([first, second, third])
    });
    let slot = Arc::new(Mutex::new(None));
    let (inside, from_other) = (slot.clone(), device.clone());
    let get = move || *inside.lock().unwrap() = Some(ThreadBound::new(from_other.channel().unwrap()));
    other.send(get).unwrap();
    process.poll_until(|| slot.lock().unwrap().is_some());
    let other_channel = slot.lock().unwrap().take().unwrap();
    assert_eq!(*log.lock().unwrap(), [format!("open {app_id}"), format!("open {other_id}")]);

    // The device goes first: it waits for its channels.
    drop(device);
    process.poll_times(5);
    process.on_app(move || drop(app_channels));
    process.poll_times(5);
    assert_eq!(log.lock().unwrap()[2..], [format!("close {app_id}")]);
    other.send(move || drop(other_channel)).unwrap();
    process.poll_until(|| log.lock().unwrap().len() == 5);
    assert_eq!(log.lock().unwrap()[3..], [format!("close {other_id}"), "drop".to_owned()]);
}

fn refusal(process: &mut Process) {
    let log = Log::default();
    let device = new_device(&log);
    device.refuse.store(1, Ordering::Relaxed);
    process.on_app(move || {
        let device = Registered::new("refuses", device).unwrap();
        assert_eq!(device.channel().map(drop), Err(Errno::EROFS));
        assert!(device.channel().is_ok(), "and opens when it is asked again");
    });
    process.poll_until(|| log.lock().unwrap().last().is_some_and(|last| last == "drop"));
}

/// Asks for its own channel while that is being opened.
#[derive(Default)]
struct Narcissus {
    itself: Mutex<Option<Arc<Registered<Narcissus>>>>,
    seen: Mutex<Option<Errno>>,
}

impl IoDevice for Narcissus {
    type Channel = u64;

    fn open(&self) -> Result<u64, Errno> {
        let itself = self.itself.lock().unwrap().clone().expect("set before");
        *self.seen.lock().unwrap() = itself.channel().map(drop).err();
        Ok(7)
    }
}

fn asked_for_inside_of_open(process: &mut Process) {
    process.on_app(|| {
        let device = Arc::new(Registered::new("narcissus", Narcissus::default()).unwrap());
        *device.itself.lock().unwrap() = Some(device.clone());
        assert_eq!(*device.channel().unwrap(), 7);
        assert_eq!(*device.seen.lock().unwrap(), Some(Errno::EBUSY));
        device.itself.lock().unwrap().take();
    });
}

fn dropped_outside_of_threads(process: &mut Process) {
    let log = Log::default();
    let device = new_device(&log);
    let device = process.on_app(|| Registered::new("sent back", device)).unwrap();
    std::thread::spawn(move || drop(device)).join().unwrap();
    assert!(log.lock().unwrap().is_empty());
    process.poll_until(|| *log.lock().unwrap() == ["drop"]);
}
