//! FLUSH takes its time, and nobody else's.

use std::cell::Cell;
use std::io::Write as _;
use std::rc::Rc;
use std::time::{Duration, Instant};

use spdk_rs::poller::{Busy, Poller};

use crate::in_lab;

/// The dirty data is made through the page cache: fdatasync has to write it all, whoever made it.
#[test]
fn the_thread_goes_on_during_a_flush() {
    in_lab("busy::the_thread_goes_on_during_a_flush", |lab| {
        const BYTES: usize = 256 << 20;
        lab.create("d0", BYTES as u64);
        let channel = lab.open("d0");
        let mut file = std::fs::File::options().write(true).open(lab.file("d0")).unwrap();
        file.write_all(&vec![7; BYTES]).unwrap();

        let (ticks, longest) = (Rc::new(Cell::new(0u64)), Rc::new(Cell::new(Duration::ZERO)));
        let (count, widen) = (Rc::clone(&ticks), Rc::clone(&longest));
        let mut last = Instant::now();
        let poller = lab.on(0, || {
            Poller::register("ticks", 0, move || {
                count.set(count.get() + 1);
                widen.set(widen.get().max(last.elapsed()));
                last = Instant::now();
                Busy::No
            })
        });
        let begun = Instant::now();
        let flush = lab.on(0, || channel.flush(0, 1));
        lab.block_on(0, flush).unwrap();
        let took = begun.elapsed();
        eprintln!("flush took {took:?}, {} ticks, longest gap {:?}", ticks.get(), longest.get());
        assert!(ticks.get() > 1000, "{} ticks in {took:?}", ticks.get());
        assert!(longest.get() < took / 2, "a gap of {:?} in {took:?}", longest.get());
        assert_eq!(lab.counter("d0", "syncs"), 1);
        lab.close((poller, channel));
    });
}
