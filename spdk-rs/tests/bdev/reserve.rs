//! A bdev_io that is kept back while others take all there are.

use std::sync::Arc;

use spdk_rs::bdev::{Channel, Descriptor, Reserve};
use spdk_rs::dma::DmaBuf;
use spdk_rs::module::{BdevSpec, Registered};

use crate::in_own_process;
use crate::lab::{Lab, Setup};
use crate::leaf::{Controls, Leaf, Mode};

/// More than there are bdev_ios.
const READS: u64 = 300;

/// What a channel counts for a reserve: that it is the place, and what is kept there.
const KEPT: usize = 2;

fn lab(per_thread: u32) -> Lab {
    Lab::start(&Setup { bdev_ios: (127, per_thread), ..Setup::default() })
}

fn open(lab: &mut Lab, name: &str) -> Channel {
    lab.on_app(|| Descriptor::open(name, true, |_| {}).expect(name).channel().expect("a channel"))
}

fn malloc(lab: &mut Lab, name: &str) -> Channel {
    lab.malloc(name, 512, 2048);
    open(lab, name)
}

/// A device that holds every I/O, which comes from one thread.
struct Holder {
    thread: usize,
    leaf: Registered<Leaf>,
    controls: Arc<Controls>,
    channel: Channel,
}

impl Holder {
    fn new(lab: &mut Lab, thread: usize) -> Holder {
        let name = format!("holder{thread}");
        let (leaf, controls) = lab.on_app(|| Leaf::register(BdevSpec::new(&name, 512, READS)));
        controls.set(Mode::Hold);
        let opened = lab.on_app(|| Descriptor::open(&name, true, |_| {}).expect("a holder"));
        let channel = lab.on(thread, || opened.channel().expect("a channel"));
        Holder { thread, leaf, controls, channel }
    }

    /// Takes every bdev_io that its thread can get; many more wait for one.
    fn take_all(&self, lab: &mut Lab) {
        lab.on(self.thread, || {
            for lba in 0..READS {
                let buffer = DmaBuf::new(512, 512).expect("memory");
                self.channel.read_with(lba, buffer, |result, _| result.expect("a read"));
            }
        });
        assert!((self.controls.held() as u64) < READS, "there was no end of bdev_ios: no test");
    }

    fn end(self, lab: &mut Lab) {
        self.controls.set(Mode::Serve);
        lab.on(self.thread, || self.controls.release(Ok(())));
        lab.until("all reads are back", |_| self.channel.in_flight() == 0);
        lab.on(self.thread, || drop(self.channel));
        lab.on_app(|| drop(self.leaf));
    }
}

#[test]
fn what_is_in_reserve_moves_and_nobody_gets_it() {
    in_own_process(test_name!(), || {
        let mut lab = lab(8);
        let (m0, m1) = (malloc(&mut lab, "m0"), malloc(&mut lab, "m1"));
        let reserve = lab.on_app(Reserve::new);
        lab.on_app(|| reserve.keep_on(Some(&m0)));
        let on_m0 = |_: &mut Lab| reserve.is_ready() && m0.in_flight() == KEPT;
        lab.until("one is kept, and the thread has its share again", on_m0);
        let holder = Holder::new(&mut lab, 0);
        holder.take_all(&mut lab);
        let held = holder.controls.held();

        lab.on_app(|| reserve.keep_on(Some(&m1)));
        assert!(reserve.is_on(&m1) && !reserve.is_on(&m0));
        lab.until("it has moved", |_| m0.in_flight() == 0 && reserve.is_ready());
        assert_eq!(holder.controls.held(), held, "somebody else has taken what was kept");

        lab.on_app(|| reserve.keep_on(None));
        lab.until("one of those who wait has it", |_| holder.controls.held() == held + 1);
        assert_eq!(m1.in_flight(), 0);
        holder.end(&mut lab);
        lab.on_app(|| drop((reserve, m0, m1)));
        lab.stop();
    });
}

#[test]
fn one_that_comes_free_is_kept_first() {
    in_own_process(test_name!(), || {
        let mut lab = lab(8);
        let m0 = malloc(&mut lab, "m0");
        let holder = Holder::new(&mut lab, 0);
        holder.take_all(&mut lab);
        let reserve = lab.on_app(Reserve::new);
        lab.on_app(|| reserve.keep_on(Some(&m0)));
        lab.poll();
        assert!(!reserve.is_ready(), "there was one left: no test");
        let held = holder.controls.held();
        lab.on_app(|| holder.controls.release_one(Ok(())));
        lab.until("it is kept", |_| reserve.is_ready());
        assert_eq!(holder.controls.held(), held - 1, "another has taken it");
        holder.end(&mut lab);
        lab.on_app(|| drop((reserve, m0)));
        lab.stop();
    });
}

/// However many reserves there are, they leave a thread what it has for itself.
#[test]
fn reserves_come_from_the_pool() {
    in_own_process(test_name!(), || {
        let mut lab = lab(4);
        let m0 = malloc(&mut lab, "m0");
        let reserves: Vec<Reserve> = lab.on_app(|| (0..6).map(|_| Reserve::new()).collect());
        lab.on_app(|| reserves.iter().for_each(|reserve| reserve.keep_on(Some(&m0))));
        let all = |_: &mut Lab| reserves.iter().all(Reserve::is_ready) && m0.in_flight() == 6 * KEPT;
        lab.until("all are kept", all);
        // Another thread has all of the pool, and this one just its own share.
        let other = lab.spawn("other");
        let there = Holder::new(&mut lab, 1);
        there.take_all(&mut lab);
        let here = Holder::new(&mut lab, 0);
        here.take_all(&mut lab);
        assert_eq!(here.controls.held(), 4);
        here.end(&mut lab);
        there.end(&mut lab);
        lab.on_app(|| drop((reserves, m0)));
        drop(other);
        lab.stop();
    });
}

/// Dropped while it waits, and while SPDK has its question.
#[test]
fn a_dropped_reserve_lets_go() {
    in_own_process(test_name!(), || {
        let mut lab = lab(8);
        let m0 = malloc(&mut lab, "m0");
        lab.on_app(|| Reserve::new().keep_on(Some(&m0)));
        lab.until("the question is answered", |_| m0.in_flight() == 0);
        let holder = Holder::new(&mut lab, 0);
        holder.take_all(&mut lab);
        lab.on_app(|| Reserve::new().keep_on(Some(&m0)));
        holder.end(&mut lab);
        assert_eq!(m0.in_flight(), 0);
        lab.on_app(|| drop(m0));
        lab.stop();
    });
}

/// SPDK serves nobody who waits on such threads.
#[test]
fn nothing_is_kept_where_threads_keep_nothing() {
    in_own_process(test_name!(), || {
        let mut lab = lab(0);
        let m0 = malloc(&mut lab, "m0");
        let reserve = lab.on_app(Reserve::new);
        lab.on_app(|| reserve.keep_on(Some(&m0)));
        assert!(!reserve.is_on(&m0));
        lab.on_app(|| drop((reserve, m0)));
        lab.stop();
    });
}
