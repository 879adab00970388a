//! Bdevs that go away: removed while open, under load, or by the end of SPDK.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::json;
use spdk_rs::bdev::{BdevEvent, Channel, Descriptor, IoError};
use spdk_rs::dma::DmaBuf;
use spdk_rs::error::Errno;
use spdk_rs::module::BdevSpec;

use crate::lab::{Lab, Outcome, Setup};
use crate::leaf::{Leaf, Mode};
use crate::stripe::over_malloc;
use crate::{in_lab, in_own_process};

type Opened = (Arc<Descriptor>, Channel);

/// An open bdev of which everything is dropped when it is to go away.
#[derive(Clone, Default)]
struct User {
    open: Rc<RefCell<Option<Opened>>>,
    events: Rc<RefCell<Vec<BdevEvent>>>,
}

impl User {
    fn open(lab: &mut Lab, name: &str) -> User {
        let user = User::default();
        let told = user.clone();
        lab.on_app(|| {
            let on_event = move |event| {
                told.events.borrow_mut().push(event);
                // Dropped from inside the descriptor's own callback.
                drop(told.open.take());
            };
            let descriptor = Descriptor::open(name, true, on_event).expect("it exists");
            let channel = descriptor.channel().expect("a channel");
            *user.open.borrow_mut() = Some((descriptor, channel));
        });
        user
    }
}

#[test]
fn a_removed_bdev_waits_for_its_users() {
    in_lab(test_name!(), |lab| {
        lab.malloc("m", 512, 64);
        let user = User::open(lab, "m");
        lab.rpc("bdev_malloc_delete", json!({ "name": "m" }));
        assert_eq!(*user.events.borrow(), [BdevEvent::Removed]);
        assert_eq!(lab.on_app(|| Descriptor::open("m", false, |_| {}).map(drop)), Err(Errno::ENODEV));
    });
}

#[test]
fn io_in_flight_keeps_the_bdev() {
    in_lab(test_name!(), |lab| {
        let (leaf, controls) = lab.on_app(|| Leaf::register(BdevSpec::new("leaf", 512, 64)));
        controls.set(Mode::Hold);
        let user = User::open(lab, "leaf");
        let reading = lab.on_app(|| {
            let open = user.open.borrow();
            open.as_ref().expect("open").1.read(0, DmaBuf::new(512, 512).expect("memory"))
        });
        lab.until("the I/O has come", |_| controls.held() == 1);
        let gone = begin_unregister(lab, leaf);
        lab.until("the user was told", |_| user.open.borrow().is_none());
        for _ in 0..1000 {
            lab.poll();
        }
        assert!(gone.borrow().is_none() && !*controls.dropped.lock().unwrap(), "an I/O is still out");
        lab.on_app(|| controls.release(Ok(())));
        lab.until("the bdev is gone", |_| gone.borrow().is_some());
        assert!(*controls.dropped.lock().unwrap());
        assert_eq!(lab.block_on(reading).0, Ok(()));
    });
}

fn begin_unregister<D: spdk_rs::module::Device>(
    lab: &mut Lab,
    registered: spdk_rs::module::Registered<D>,
) -> Outcome {
    lab.begin(|done| {
        registered.unregister(done);
        Ok(())
    })
    .expect("it answers later")
}

#[test]
fn a_device_may_take_its_time_to_end() {
    in_lab(test_name!(), |lab| {
        let (leaf, controls) = lab.on_app(|| Leaf::register(BdevSpec::new("leaf", 512, 64)));
        *controls.keep_destruct.lock().unwrap() = Some(None);
        let gone = begin_unregister(lab, leaf);
        let kept = || controls.keep_destruct.lock().unwrap().as_ref().is_some_and(Option::is_some);
        lab.until("it was told to end", |_| kept());
        for _ in 0..1000 {
            lab.poll();
        }
        assert!(gone.borrow().is_none() && !*controls.dropped.lock().unwrap());
        let done = controls.keep_destruct.lock().unwrap().take();
        std::thread::spawn(move || drop(done)).join().expect("it answers");
        lab.until("the bdev is gone", |_| gone.borrow().is_some());
        assert!(*controls.dropped.lock().unwrap());
    });
}

/// A host that always has I/O out, until its bdev is to go away.
fn keep_busy(user: &User, done: &Rc<Cell<u64>>, errors: &Rc<Cell<u64>>, buffer: DmaBuf) {
    let (again, count, failed) = (user.clone(), done.clone(), errors.clone());
    let open = user.open.borrow();
    let Some((_, channel)) = &*open else { return };
    channel.write_with(count.get() % 4000, buffer, move |result, buffer| {
        count.set(count.get() + 1);
        failed.set(failed.get() + u64::from(result.is_err()));
        keep_busy(&again, &count, &failed, buffer);
    });
}

#[test]
fn unregistering_under_load_loses_no_io() {
    in_lab(test_name!(), |lab| {
        let (stripe, counters) = over_malloc(lab);
        let user = User::open(lab, "s");
        let (done, errors) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        lab.on_app(|| {
            for _ in 0..32 {
                keep_busy(&user, &done, &errors, DmaBuf::new(20 * 512, 4096).expect("memory"));
            }
        });
        lab.until("the load runs", |_| done.get() > 1000);
        let gone = begin_unregister(lab, stripe);
        lab.until("the bdev is gone", |_| gone.borrow().is_some());
        assert_eq!(errors.get(), 0);
        assert_eq!(counters.dropped.load(Ordering::Relaxed), 1);
        assert_eq!(counters.channels.load(Ordering::Relaxed), 0);
        assert_eq!(Rc::strong_count(&done), 1, "every I/O has called back and stopped");
        // Its members are free again, and so is its name.
        let again = lab.on_app(|| crate::stripe::Stripe::register("s", &["m0", "m1"], 4).0);
        lab.on_app(|| drop(again));
        lab.until("dropping unregisters", |lab| {
            lab.on_app(|| Descriptor::open("s", false, |_| {}).map(drop)) == Err(Errno::ENODEV)
        });
    });
}

#[test]
fn names_are_unique_and_specs_are_checked() {
    in_lab(test_name!(), |lab| {
        let (leaf, _) = lab.on_app(|| Leaf::register(BdevSpec::new("leaf", 512, 64)));
        let register = |lab: &mut Lab, spec: BdevSpec| lab.on_app(|| Leaf::try_register(spec));
        let (refused, controls) = register(lab, BdevSpec::new("leaf", 512, 64));
        assert_eq!(refused.map(drop), Err(Errno::EEXIST));
        lab.until("the refused device is dropped", |_| *controls.dropped.lock().unwrap());
        let (refused, controls) = register(lab, BdevSpec::new("other", 100, 64));
        assert_eq!(refused.map(drop), Err(Errno::EINVAL));
        assert!(*controls.dropped.lock().unwrap());
        assert_eq!(Leaf::try_register(BdevSpec::new("other", 512, 64)).0.map(drop), Err(Errno::EPERM));
        lab.on_app(|| drop(leaf));
    });
}

#[test]
fn the_end_of_spdk_ends_bdevs_too() {
    in_own_process(test_name!(), || {
        let mut lab = Lab::start(&Setup::default());
        let (stripe, counters) = over_malloc(&mut lab);
        let (leaf, controls) = lab.on_app(|| Leaf::register(BdevSpec::new("leaf", 512, 64)));
        lab.on_app(|| drop(leaf));
        crate::module::reset_story();
        lab.finish_subsystems();
        assert_eq!(crate::module::story(), ["fini_start", "fini_start done", "fini", "fini done"]);
        assert!(*controls.dropped.lock().unwrap());
        assert_eq!(counters.channels.load(Ordering::Relaxed), 0);
        assert_eq!(counters.dropped.load(Ordering::Relaxed), 1);
        // A handle that outlives its bdev says so.
        assert_eq!(lab.on_app(|| stripe.resize(1)), Err(Errno::ENODEV));
        let gone = begin_unregister(&mut lab, stripe);
        assert_eq!(*gone.borrow(), Some(Ok(())));
        lab.stop_threads();
    });
}

#[test]
fn a_dropped_future_leaves_its_io_alone() {
    in_lab(test_name!(), |lab| {
        let (leaf, controls) = lab.on_app(|| Leaf::register(BdevSpec::new("leaf", 512, 64)));
        controls.set(Mode::Hold);
        let descriptor = lab.on_app(|| Descriptor::open("leaf", true, |_| {}).expect("leaf"));
        let channel = lab.on_app(|| descriptor.channel().expect("a channel"));
        let mut buffer = lab.on_app(|| DmaBuf::new(1024, 512).expect("memory"));
        buffer.fill(0x42);
        let writing = lab.on_app(|| channel.write(3, buffer));
        lab.until("the I/O has come", |_| controls.held() == 1);
        assert_eq!(channel.in_flight(), 1);
        let weak = Arc::downgrade(&descriptor);
        lab.on_app(|| drop((writing, channel, descriptor)));
        assert!(weak.upgrade().is_some(), "the I/O keeps its channel, and that the descriptor");
        controls.set(Mode::Serve);
        lab.on_app(|| controls.release(Err(IoError::ABORTED)));
        lab.until("the descriptor is closed", |_| weak.upgrade().is_none());
        lab.on_app(|| drop(leaf));
    });
}
