//! FLUSH takes its time, and nobody else's.

use std::cell::Cell;
use std::io::Write as _;
use std::rc::Rc;
use std::time::Instant;

use spdk_rs::dma::DmaBuf;
use spdk_rs::poller::{Busy, Poller};

use crate::host::Host;
use crate::in_lab;

/// How often this thread has gone to sleep by itself, as opposed to having been put aside for another.
fn sleeps() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.unwrap().trim().parse().unwrap()
}

/// The dirty data is made through the page cache: fdatasync has to write it all, whoever made it.
#[test]
fn the_thread_goes_on_during_a_flush() {
    in_lab("busy::the_thread_goes_on_during_a_flush", |lab| {
        const BYTES: usize = 256 << 20;
        lab.create("d0", BYTES as u64);
        let channel = lab.open("d0");
        let mut file = std::fs::File::options().write(true).open(lab.file("d0")).unwrap();
        file.write_all(&vec![7; BYTES]).unwrap();

        let ticks = Rc::new(Cell::new(0u64));
        let count = Rc::clone(&ticks);
        let tick = move || {
            count.set(count.get() + 1);
            Busy::No
        };
        let poller = lab.on(0, || Poller::register("ticks", 0, tick));
        let (begun, slept) = (Instant::now(), sleeps());
        let flush = lab.on(0, || channel.flush(0, 1));
        lab.block_on(0, flush).unwrap();
        let (took, slept) = (begun.elapsed(), sleeps() - slept);
        eprintln!("flush took {took:?}: {} ticks, {slept} sleeps", ticks.get());
        assert!(ticks.get() > 1000, "{} ticks in {took:?}", ticks.get());
        assert!(slept <= 2, "it waited in the kernel {slept} times in {took:?}");
        assert_eq!(lab.counter("d0", "syncs"), 1);
        lab.close((poller, channel));
    });
}

/// Writes into holes, with FUA, zeroing and giving back, each of which may wait for the journal of a file
/// system.
#[test]
fn the_thread_goes_on_whatever_is_asked() {
    in_lab("busy::the_thread_goes_on_whatever_is_asked", |lab| {
        const OPS: u64 = 512;
        lab.create("d0", OPS * 65536);
        let host = lab.on(0, || Host::open("d0"));
        let channel = lab.open("d0");
        let mut buffer = DmaBuf::new(65536, 4096).unwrap();
        let pieces = [(buffer.as_mut_ptr(), 65536)];
        let (slept, mut writes) = (sleeps(), Vec::new());
        for op in 0..OPS {
            let lba = op * 128;
            writes.push(lab.on(0, || host.write(lba, 128, &pieces, op % 2 == 0)));
            let (zero, unmap) = lab.on(0, || (channel.write_zeroes(lba, 8), channel.unmap(lba + 8, 64)));
            if op % 8 == 0 {
                lab.block_on(0, zero).unwrap();
                lab.block_on(0, unmap).unwrap();
            }
        }
        let flush = lab.on(0, || channel.flush(0, 1));
        lab.block_on(0, flush).unwrap();
        lab.until("the rest is done", |_| channel.in_flight() == 0);
        lab.until("every write is done", |_| writes.iter().all(|end| end.get() == Some(true)));
        let slept = sleeps() - slept;
        eprintln!("{slept} sleeps");
        assert!(slept <= OPS / 100, "it waited in the kernel {slept} times");
        lab.on(0, || host.close());
        lab.close(channel);
    });
}
