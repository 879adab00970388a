//! Hardly any bdev_ios: everything waits, nothing fails.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use spdk_rs::bdev::Descriptor;
use spdk_rs::dma::DmaBuf;

use crate::in_own_process;
use crate::lab::{Lab, Setup};
use crate::stripe::over_malloc;

#[test]
fn without_bdev_ios_io_waits() {
    in_own_process(test_name!(), || {
        let mut lab = Lab::start(&Setup { bdev_ios: (127, 8), ..Setup::default() });
        let (stripe, counters) = over_malloc(&mut lab);
        let channel =
            lab.on_app(|| Descriptor::open("s", true, |_| {}).expect("s").channel().expect("a channel"));
        let mut members = Vec::new();
        for name in ["m0", "m1"] {
            let open = || Descriptor::open(name, true, |_| {}).expect("it").channel().expect("a channel");
            members.push(lab.on_app(open));
        }
        // Each of 60 has up to 5 children out: far more than 127. As many again go to the members directly.
        let (done, failed) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        for round in 0..20 {
            lab.on_app(|| {
                for n in 0..120u64 {
                    let (done, failed) = (done.clone(), failed.clone());
                    let count = move |result: Result<_, _>, _| {
                        done.set(done.get() + 1);
                        failed.set(failed.get() + u32::from(result.is_err()));
                    };
                    let buffer = DmaBuf::new(17 * 512, 512).expect("memory");
                    match n % 4 {
                        0 => channel.write_with(n * 20, buffer, count),
                        1 => channel.read_with(n * 20, buffer, count),
                        m => members[m as usize - 2].read_with(n * 10, buffer, count),
                    }
                }
            });
            lab.until("all have come back", |_| done.get() == (round + 1) * 120);
        }
        assert_eq!(failed.get(), 0);
        assert!(counters.spent.load(Ordering::Relaxed) > 0, "what was in reserve was never spent: no test");
        assert!(counters.waits.load(Ordering::Relaxed) > 0, "the stripe never had to wait: no test");
        lab.on_app(|| drop((channel, members, stripe)));
        lab.stop();
    });
}
