//! Pollers: periods, dropping from inside, from another poller, and from a message.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use spdk_rs::env::{ticks, ticks_hz};
use spdk_rs::poller::{Busy, Poller};
use spdk_rs::thread::{PollOutcome, ThreadBound};

use crate::own_process::in_own_process;
use crate::process::Process;

/// Counts how often it was dropped.
struct Witness(Arc<AtomicUsize>);

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn pollers() {
    in_own_process(test_name!(), run);
}

fn run() {
    let mut process = Process::start();
    runs_at_every_poll(&mut process);
    runs_by_the_clock(&mut process);
    dropped_inside_itself(&mut process);
    dropped_by_another(&mut process);
    registers_others(&mut process);
    registered_on_an_exited_thread(&mut process);
    process.stop();
}

fn runs_at_every_poll(process: &mut Process) {
    let (count, drops) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (inside, witness) = (count.clone(), Witness(drops.clone()));
    let poller = process.on_app(move || {
        ThreadBound::new(Poller::register("every", 0, move || {
            let _ = &witness;
            if inside.fetch_add(1, Ordering::Relaxed) % 2 == 0 { Busy::Yes } else { Busy::No }
        }))
    });
    assert!(process.threads()[0].has_active_pollers());
    let before = count.load(Ordering::Relaxed);
    let outcomes: Vec<_> = (0..4).map(|_| process.threads()[0].poll(0)).collect();
    assert_eq!(count.load(Ordering::Relaxed), before + 4);
    assert_eq!(outcomes.iter().filter(|&&outcome| outcome == PollOutcome::Busy).count(), 2);
    process.on_app(move || drop(poller));
    let after = count.load(Ordering::Relaxed);
    assert_eq!(drops.load(Ordering::Relaxed), 1, "its closure is dropped with it");
    process.poll_times(3);
    assert_eq!(count.load(Ordering::Relaxed), after);
    assert!(!process.threads()[0].has_active_pollers());
}

fn runs_by_the_clock(process: &mut Process) {
    const PERIOD_US: u64 = 20_000;
    let count = Arc::new(AtomicUsize::new(0));
    let inside = count.clone();
    let poller = process.on_app(move || {
        ThreadBound::new(Poller::register("timed", PERIOD_US, move || {
            inside.fetch_add(1, Ordering::Relaxed);
            Busy::Yes
        }))
    });
    let due = process.threads()[0].next_expiration_ticks().expect("a timer");
    assert!(due <= ticks() + ticks_hz() * PERIOD_US / 1_000_000);
    // The caller's clock decides: one tick early it is not due.
    process.threads()[0].poll(due - 1);
    assert_eq!(count.load(Ordering::Relaxed), 0);
    process.threads()[0].poll(due);
    assert_eq!(count.load(Ordering::Relaxed), 1);
    process.on_app(move || drop(poller));
}

fn dropped_inside_itself(process: &mut Process) {
    for period_us in [0, 1] {
        let (count, drops) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (inside, witness) = (count.clone(), Witness(drops.clone()));
        process.on_app(move || {
            let own: Rc<RefCell<Option<Poller>>> = Rc::default();
            let handle = own.clone();
            let dropped = witness.0.clone();
            let poller = Poller::register("suicidal", period_us, move || {
                inside.fetch_add(1, Ordering::Relaxed);
                drop(handle.borrow_mut().take());
                // The closure is still whole: what it captured lives until it returns.
                assert_eq!(witness.0.load(Ordering::Relaxed), 0);
                Busy::Yes
            });
            assert_eq!(dropped.load(Ordering::Relaxed), 0);
            *own.borrow_mut() = Some(poller);
        });
        process.poll_until(|| drops.load(Ordering::Relaxed) == 1);
        process.poll_times(3);
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }
}

fn dropped_by_another(process: &mut Process) {
    let log = Arc::new(Mutex::new(Vec::new()));
    let inside = log.clone();
    // SPDK runs the youngest first: it drops its older neighbour, which the same poll would have run next.
    let neighbours = process.on_app(move || {
        let older_log = inside.clone();
        let older = Poller::register("older", 0, move || {
            older_log.lock().unwrap().push("older");
            Busy::Yes
        });
        let older = Cell::new(Some(older));
        let younger = Poller::register("younger", 0, move || {
            inside.lock().unwrap().push("younger");
            drop(older.take());
            Busy::Yes
        });
        ThreadBound::new(younger)
    });
    process.poll_times(2);
    assert!(log.lock().unwrap().iter().all(|&name| name == "younger"), "{log:?}");
    assert!(log.lock().unwrap().len() >= 2);
    process.on_app(move || drop(neighbours));
}

fn registers_others(process: &mut Process) {
    let count = Arc::new(AtomicUsize::new(0));
    let inside = count.clone();
    let pollers = process.on_app(move || {
        let children = Rc::new(RefCell::new(Vec::new()));
        let nursery = children.clone();
        let parent = Poller::register("parent", 0, move || {
            if nursery.borrow().len() < 5 {
                let inside = inside.clone();
                nursery.borrow_mut().push(Poller::register("child", 0, move || {
                    inside.fetch_add(1, Ordering::Relaxed);
                    Busy::No
                }));
            }
            Busy::No
        });
        ThreadBound::new((parent, children))
    });
    process.poll_until(|| count.load(Ordering::Relaxed) > 10);
    process.on_app(move || drop(pollers));
}

fn registered_on_an_exited_thread(process: &mut Process) {
    let handle = spdk_rs::thread::ThreadHandle::spawn("gone", &spdk_rs::cpuset::CpuSet::all()).unwrap();
    let mut owned = process.take(handle.id());
    drop(handle);
    while !owned.is_exited() {
        owned.poll(0);
    }
    owned.enter(|| drop(Poller::register("never", 0, || unreachable!())));
    owned.poll(0);
    owned.destroy();
}
