//! One drive, several threads.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use spdk_rs::bdev::{Channel, Descriptor, IoErrorKind};
use spdk_rs::dma::DmaBuf;
use spdk_rs::thread::ThreadHandle;

use crate::in_lab;
use crate::lab::Lab;

const BLOCKS: u64 = 4096;

/// Writes its half of the drive over and over, in steps of 8 blocks.
struct Writer {
    channel: Channel,
    first: u64,
    byte: u8,
    rounds: u64,
    done: Arc<AtomicU64>,
}

impl Writer {
    fn write(self: Rc<Self>, step: u64) {
        let mut buffer = DmaBuf::new(8 * 512, 4096).unwrap();
        buffer.as_mut_slice().fill(self.byte);
        let steps = BLOCKS / 2 / 8;
        let this = Rc::clone(&self);
        self.channel.write_with(self.first + step % steps * 8, buffer, move |result, _| {
            match result {
                Ok(()) => this.done.fetch_add(1, Ordering::Relaxed),
                // SPDK answers so to what comes during a reset.
                Err(error) if error.kind == IoErrorKind::Aborted => return this.write(step),
                Err(error) => panic!("{error}"),
            };
            if step + 1 < this.rounds * steps {
                this.write(step + 1);
            }
        });
    }
}

/// Polls the newest SPDK thread on an OS thread of its own until it has exited.
fn poll_elsewhere(lab: &mut Lab) -> std::thread::JoinHandle<()> {
    let mut thread = lab.give_away();
    std::thread::spawn(move || {
        let begun = Instant::now();
        while !thread.is_exited() {
            assert!(begun.elapsed() < Duration::from_secs(60));
            thread.poll(0);
        }
        thread.destroy();
    })
}

fn start_writer(thread: &ThreadHandle, desc: &Arc<Descriptor>, first: u64, byte: u8) -> Arc<AtomicU64> {
    let done = Arc::new(AtomicU64::new(0));
    let (desc, counted) = (Arc::clone(desc), Arc::clone(&done));
    let start = move || {
        let channel = desc.channel().unwrap();
        Rc::new(Writer { channel, first, byte, rounds: 8, done: counted }).write(0);
    };
    thread.send(start).unwrap();
    done
}

#[test]
fn two_threads_write_their_halves() {
    in_lab("threads::two_threads_write_their_halves", |lab| {
        lab.create("d0", BLOCKS * 512);
        let desc = lab.on(0, || Descriptor::open("d0", true, |_| {}).unwrap());
        let handles: Vec<ThreadHandle> = ["one", "two"].map(|name| lab.spawn(name)).into();
        let second = poll_elsewhere(lab);
        let first = poll_elsewhere(lab);
        let writers: Vec<Arc<AtomicU64>> = handles
            .iter()
            .zip([0, BLOCKS / 2])
            .map(|(thread, first)| start_writer(thread, &desc, first, 1 + (first != 0) as u8))
            .collect();

        // Meanwhile this thread flushes and resets.
        let channel = lab.on(0, || desc.channel().unwrap());
        let total = 8 * BLOCKS / 2 / 8;
        let mut resets = 0;
        while writers.iter().any(|done| done.load(Ordering::Relaxed) < total) {
            let flush = lab.on(0, || channel.flush(0, BLOCKS));
            lab.block_on(0, flush).unwrap();
            let reset = lab.on(0, || channel.reset());
            lab.block_on(0, reset).unwrap();
            resets += 1;
        }
        assert!(resets > 0);
        assert_eq!(lab.counter("d0", "writes"), 2 * total);
        drop(handles);
        lab.until("the threads end", |_| first.is_finished() && second.is_finished());
        lab.on(0, || drop((channel, desc)));
        lab.poll();
        let data = std::fs::read(lab.file("d0")).unwrap();
        let (left, right) = data.split_at(data.len() / 2);
        assert!(left.iter().all(|&byte| byte == 1) && right.iter().all(|&byte| byte == 2));
    });
}

/// Each thread has an open file of its own, and a poller that ends with its last channel.
#[test]
fn what_a_thread_has_ends_with_its_channel() {
    in_lab("threads::what_a_thread_has_ends_with_its_channel", |lab| {
        let files = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        lab.create("d0", BLOCKS * 512);
        let desc = lab.on(0, || Descriptor::open("d0", true, |_| {}).unwrap());
        let before = files();
        for _ in 0..3 {
            let thread = lab.spawn("user");
            let used = Arc::new(AtomicBool::new(false));
            let (desc, told) = (Arc::clone(&desc), Arc::clone(&used));
            let use_it = move || {
                let channel = Rc::new(Cell::new(Some(desc.channel().unwrap())));
                let taken = channel.take().unwrap();
                let buffer = DmaBuf::new(512, 4096).unwrap();
                taken.read_with(0, buffer, move |result, _| {
                    result.unwrap();
                    told.store(true, Ordering::Relaxed);
                });
            };
            thread.send(use_it).unwrap();
            lab.until("a read", |_| used.load(Ordering::Relaxed));
            drop(thread);
            lab.until("its file and ring are closed", |_| files() == before);
        }
        lab.close(desc);
    });
}
