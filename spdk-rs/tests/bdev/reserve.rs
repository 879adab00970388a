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

/// A device that holds every I/O.
struct Holder {
    leaf: Registered<Leaf>,
    controls: Arc<Controls>,
    channel: Channel,
}

impl Holder {
    fn new(lab: &mut Lab) -> Holder {
        let (leaf, controls) = lab.on_app(|| Leaf::register(BdevSpec::new("holder", 512, READS)));
        controls.set(Mode::Hold);
        Holder { leaf, controls, channel: open(lab, "holder") }
    }

    /// Takes every bdev_io there is; many more wait for one.
    fn take_all(&self, lab: &mut Lab) {
        lab.on_app(|| {
            for lba in 0..READS {
                let buffer = DmaBuf::new(512, 512).expect("memory");
                self.channel.read_with(lba, buffer, |result, _| result.expect("a read"));
            }
        });
        assert!((self.controls.held() as u64) < READS, "there was no end of bdev_ios: no test");
    }

    fn end(self, lab: &mut Lab) {
        self.controls.set(Mode::Serve);
        lab.on_app(|| self.controls.release(Ok(())));
        lab.until("all reads are back", |_| self.channel.in_flight() == 0);
        lab.on_app(|| drop((self.channel, self.leaf)));
    }
}

#[test]
fn what_is_in_reserve_moves_and_nobody_gets_it() {
    in_own_process(test_name!(), || {
        let mut lab = lab(8);
        let (m0, m1) = (malloc(&mut lab, "m0"), malloc(&mut lab, "m1"));
        let reserve = lab.on_app(Reserve::new);
        lab.on_app(|| reserve.keep_on(Some(&m0)));
        lab.until("one is kept", |_| reserve.is_ready());
        let holder = Holder::new(&mut lab);
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
        let holder = Holder::new(&mut lab);
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

/// Dropped while it waits, and while SPDK has its question.
#[test]
fn a_dropped_reserve_lets_go() {
    in_own_process(test_name!(), || {
        let mut lab = lab(8);
        let m0 = malloc(&mut lab, "m0");
        lab.on_app(|| Reserve::new().keep_on(Some(&m0)));
        lab.until("the question is answered", |_| m0.in_flight() == 0);
        let holder = Holder::new(&mut lab);
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
