//! Threads: messages, the app thread, exit on drop, bound values.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use spdk_rs::Errno;
use spdk_rs::cpuset::CpuSet;
use spdk_rs::thread::{
    PollOutcome, ThreadBound, ThreadHandle, ThreadLib, current, defer, on_app_thread, send_to_app_thread,
};

use crate::own_process::{dies_in_own_process, in_own_process};
use crate::process::Process;

#[test]
fn threads() {
    in_own_process(test_name!(), run);
}

fn run() {
    let none = ThreadHandle::spawn("early", &CpuSet::all());
    assert_eq!(none.map(drop), Err(Errno::ENXIO), "there is no thread library yet");
    let mut process = Process::without_threads();
    assert_eq!(send_to_app_thread(|| unreachable!()), Err(Errno::ENXIO), "there is no app thread yet");
    assert!(!on_app_thread() && current().is_none());
    assert_eq!(defer(|| unreachable!()), Err(Errno::ESRCH));
    assert_eq!(ThreadLib::init(process.inbox.clone()).map(drop), Err(Errno::EALREADY));

    process = with_app_thread(process);
    messages(&mut process);
    owned_thread(&mut process);
    refused(&mut process);
    exit_on_last_drop(&mut process);
    thread_on_another_os_thread(&mut process);
    bound_values(&mut process);
    app_thread_goes_away(process);
}

#[test]
fn a_panic_in_a_message_aborts() {
    dies_in_own_process(test_name!(), "panic in a function that cannot unwind", || {
        let mut process = Process::start();
        process.app().send(|| panic!("in a message")).unwrap();
        process.poll();
    });
}

fn with_app_thread(process: Process) -> Process {
    let mut process = process.with_app();
    let id = process.app().id();
    let (on_app, here) = process.on_app(|| (on_app_thread(), current()));
    assert!(on_app);
    assert_eq!(here, Some(id));
    assert!(!process.app().is_current(), "the test itself is on no SPDK thread");
    process
}

fn messages(process: &mut Process) {
    let order = Arc::new(Mutex::new(Vec::new()));
    for number in 0..100 {
        let order = order.clone();
        process.app().send(move || order.lock().unwrap().push(number)).unwrap();
    }
    process.poll_until(|| order.lock().unwrap().len() == 100);
    assert!(order.lock().unwrap().is_sorted(), "messages of one sender arrive in order");

    let from_elsewhere = Arc::new(AtomicUsize::new(0));
    let senders: Vec<_> = (0..4)
        .map(|_| {
            let count = from_elsewhere.clone();
            std::thread::spawn(move || {
                for _ in 0..250 {
                    let count = count.clone();
                    let add = move || {
                        count.fetch_add(1, Ordering::Relaxed);
                    };
                    send_to_app_thread(add).unwrap();
                }
            })
        })
        .collect();
    process.poll_until(|| from_elsewhere.load(Ordering::Relaxed) == 1000);
    senders.into_iter().for_each(|sender| sender.join().unwrap());

    // Deferred: not at once, but at a later poll.
    let deferred = process.on_app(|| {
        let ran = Arc::new(AtomicBool::new(false));
        let inside = ran.clone();
        defer(move || inside.store(true, Ordering::Release)).unwrap();
        assert!(!ran.load(Ordering::Acquire));
        ran
    });
    process.poll_until(|| deferred.load(Ordering::Acquire));
}

fn owned_thread(process: &mut Process) {
    let mask = CpuSet::of(&[1, 3]).unwrap();
    let handle = ThreadHandle::spawn("worker", &mask).unwrap();
    let mut owned = process.take(handle.id());
    assert_eq!((owned.name(), owned.id()), ("worker", handle.id()));
    assert_eq!(owned.cpumask(), mask);
    handle.send(|| ()).unwrap();
    assert!(!owned.is_idle(), "a message waits");
    assert_eq!(owned.poll(0), PollOutcome::Busy);
    assert!(owned.is_idle() && !owned.has_active_pollers() && owned.next_expiration_ticks().is_none());
    assert_eq!(owned.poll(0), PollOutcome::Idle);
    let stats = owned.stats();
    assert!(stats.busy_ticks > 0 && stats.idle_ticks > 0, "{stats:?}");
    assert!(current().is_none());
    assert_eq!(owned.enter(current), Some(handle.id()));
    assert!(current().is_none());
    let panicked = catch_unwind(AssertUnwindSafe(|| owned.enter(|| panic!("inside"))));
    assert!(panicked.is_err() && current().is_none(), "the thread is left also when the closure panics");
    process.threads().push(owned);
}

fn refused(process: &mut Process) {
    assert_eq!(ThreadHandle::spawn("refused", &CpuSet::all()).map(drop), Err(Errno::ENOMEM));
    assert_eq!(ThreadHandle::spawn("a\0b", &CpuSet::all()).map(drop), Err(Errno::EINVAL));
    assert!(process.threads().iter().all(|thread| thread.name() != "refused"));
}

fn exit_on_last_drop(process: &mut Process) {
    let handle = ThreadHandle::spawn("short", &CpuSet::all()).unwrap();
    let id = handle.id();
    let ran = Arc::new(AtomicBool::new(false));
    let second = handle.clone();
    drop(handle);
    process.poll_times(10);
    assert!(process.threads().iter().any(|thread| thread.id() == id), "a handle is left");
    let inside = ran.clone();
    second.send(move || inside.store(true, Ordering::Release)).unwrap();
    drop(second);
    process.poll_until({
        let ran = ran.clone();
        move || ran.load(Ordering::Acquire)
    });
    process.poll_times(10);
    assert!(process.threads().iter().all(|thread| thread.id() != id), "it exited and was destroyed");
}

fn thread_on_another_os_thread(process: &mut Process) {
    let handle = ThreadHandle::spawn("elsewhere", &CpuSet::all()).unwrap();
    let mut owned = process.take(handle.id());
    let poller = std::thread::spawn(move || {
        while !owned.is_exited() {
            owned.poll(0);
        }
        owned.destroy();
    });
    let answer = Arc::new(Mutex::new(None));
    let (slot, question) = (answer.clone(), handle.clone());
    let ask = move || {
        let asked_on = current();
        question.send(move || *slot.lock().unwrap() = Some((asked_on, current()))).unwrap();
    };
    process.app().send(ask).unwrap();
    process.poll_until(|| answer.lock().unwrap().is_some());
    assert_eq!(answer.lock().unwrap().unwrap(), (Some(process.app().id()), Some(handle.id())));
    drop(handle);
    poller.join().unwrap();
}

fn bound_values(process: &mut Process) {
    let drops = Arc::new(AtomicUsize::new(0));
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let counted = Counted(drops.clone());
    let bound = process.on_app(move || ThreadBound::new(counted));
    assert_eq!(bound.owner(), process.app().id());
    assert!(!bound.is_here() && bound.get().is_none());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(bound.0.clone()))).is_err(), "used elsewhere");
    let bound = process.on_app(move || {
        assert_eq!(bound.0.load(Ordering::Relaxed), 0);
        bound
    });
    assert!(catch_unwind(AssertUnwindSafe(|| drop(bound))).is_err(), "dropped elsewhere");
    assert_eq!(drops.load(Ordering::Relaxed), 0, "leaked, not dropped on the wrong thread");
    let counted = Counted(drops.clone());
    process.on_app(move || drop(ThreadBound::new(counted)));
    assert_eq!(drops.load(Ordering::Relaxed), 1);
    assert!(catch_unwind(|| ThreadBound::new(())).is_err(), "bound outside of all threads");
}

fn app_thread_goes_away(mut process: Process) {
    let app = process.take_app();
    drop(app);
    process.poll_times(3);
    assert_eq!(send_to_app_thread(|| unreachable!()), Err(Errno::ESHUTDOWN));
    process.stop();
}
