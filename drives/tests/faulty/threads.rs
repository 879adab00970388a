//! One drive, several threads.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use spdk_rs::bdev::{Channel, Descriptor, IoError, IoErrorKind};
use spdk_rs::thread::ThreadHandle;

use crate::drive::{
    BLOCKS, call, comes_back, faulty, filled, inject, is_out, read, release, wait_for, wait_for_held,
};
use crate::in_lab;
use crate::lab::Lab;

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

#[derive(Default)]
struct Story {
    good: AtomicU64,
    aborted: AtomicU64,
    gone: AtomicU64,
    over: AtomicU64,
}

impl Story {
    fn of(&self, what: fn(&Story) -> &AtomicU64) -> u64 {
        what(self).load(Ordering::Relaxed)
    }
}

/// Writes its half in steps of 8 blocks, round by round, each round with the next byte; reads each step back
/// and flushes after every tenth. Stops when the drive is gone.
struct Writer {
    channel: Channel,
    first: u64,
    story: Arc<Story>,
}

impl Writer {
    fn start(thread: &ThreadHandle, desc: &Arc<Descriptor>, first: u64) -> Arc<Story> {
        let story = Arc::new(Story::default());
        let (desc, told) = (Arc::clone(desc), Arc::clone(&story));
        thread
            .send(move || {
                let channel = desc.channel().unwrap();
                Rc::new(Writer { channel, first, story: told }).write(0);
            })
            .unwrap();
        story
    }

    /// Whether to go on; an I/O that a reset has taken is tried again.
    fn judge(&self, result: Result<(), IoError>) -> Option<bool> {
        match result {
            Ok(()) => Some(true),
            Err(error) if error.kind == IoErrorKind::Aborted => {
                self.story.aborted.fetch_add(1, Ordering::Relaxed);
                Some(false)
            }
            Err(error) => {
                assert_eq!(error.kind, IoErrorKind::Gone);
                self.story.gone.fetch_add(1, Ordering::Relaxed);
                self.story.over.store(1, Ordering::Relaxed);
                None
            }
        }
    }

    fn lba(&self, step: u64) -> u64 {
        self.first + step % (BLOCKS / 2 / 8) * 8
    }

    fn write(self: Rc<Self>, step: u64) {
        let (this, byte) = (Rc::clone(&self), (step % 251) as u8);
        self.channel.write_with(self.lba(step), filled(byte, 8), move |result, _| match this.judge(result) {
            Some(true) => this.read(step),
            Some(false) => this.write(step),
            None => {}
        });
    }

    fn read(self: Rc<Self>, step: u64) {
        let this = Rc::clone(&self);
        self.channel.read_with(self.lba(step), filled(0xee, 8), move |result, buffer| {
            match this.judge(result) {
                Some(true) => {
                    assert!(buffer.iter().all(|byte| *byte == (step % 251) as u8), "a lost or torn write");
                    this.story.good.fetch_add(1, Ordering::Relaxed);
                    if step % 10 == 9 { this.flush(step + 1) } else { this.write(step + 1) }
                }
                Some(false) => this.read(step),
                None => {}
            }
        });
    }

    fn flush(self: Rc<Self>, step: u64) {
        let this = Rc::clone(&self);
        self.channel.flush_with(0, BLOCKS, move |result| match this.judge(result) {
            Some(true) => this.write(step),
            Some(false) => this.flush(step),
            None => {}
        });
    }
}

#[test]
fn two_threads_hang_go_on_are_reset_and_lose_their_drive() {
    in_lab("threads::two_threads_hang_go_on_are_reset_and_lose_their_drive", |lab| {
        for cached in [true, false] {
            faulty(lab, cached);
            let desc = lab.on(0, || Descriptor::open("f", true, |_| {}).unwrap());
            let handles = ["one", "two"].map(|name| lab.spawn(name));
            let polling = [poll_elsewhere(lab), poll_elsewhere(lab)];
            let stories: Vec<_> = handles
                .iter()
                .zip([0, BLOCKS / 2])
                .map(|(thread, first)| Writer::start(thread, &desc, first))
                .collect();
            let channel = lab.on(0, || desc.channel().unwrap());
            let both = |at_least: u64| {
                let stories = stories.clone();
                move |_: &Lab| stories.iter().all(|story| story.of(|story| &story.good) >= at_least)
            };
            lab.until("both run", both(500));

            let rule = inject(lab, "f", json!({ "ops": ["write"], "do": { "hang": true } }));
            let report = wait_for_held(lab, "f", 2);
            assert_ne!(report["held"][0]["thread"], report["held"][1]["thread"]);
            assert_eq!(release(lab, "f", Some(rule)), 2);
            wait_for_held(lab, "f", 2);
            let mut reset = lab.on(0, || channel.reset());
            lab.until("the reset", |_| stories.iter().all(|story| story.of(|story| &story.aborted) > 0));
            call(lab, "clear", "f");
            lab.block_on(0, &mut reset).unwrap();
            while release(lab, "f", None) > 0 {}
            let before = stories.iter().map(|story| story.of(|story| &story.good)).max().unwrap();
            // Resets and flushes of a third thread, while both run.
            for _ in 0..20 {
                let (flush, reset) = lab.on(0, || (channel.flush(0, BLOCKS), channel.reset()));
                let flushed = lab.block_on(0, flush);
                assert!(flushed.is_ok_and(|()| true) || flushed.unwrap_err().kind == IoErrorKind::Aborted);
                lab.block_on(0, reset).unwrap();
            }
            lab.until("both run again", both(before + 500));

            inject(lab, "f", json!({ "ops": ["read"], "do": { "hang": true } }));
            wait_for_held(lab, "f", 2);
            let mut mine = lab.on(0, || channel.read(0, filled(0, 1)));
            wait_for_held(lab, "f", 3);
            assert!(is_out(lab, &mut mine));
            call(lab, "vanish", "f");
            lab.until("both know", |_| stories.iter().all(|story| story.of(|story| &story.over) == 1));
            assert_eq!(lab.block_on(0, mine).0.unwrap_err().kind, IoErrorKind::Gone);
            assert!(stories.iter().all(|story| story.of(|story| &story.gone) == 1));
            drop(handles);
            lab.until("the threads end", |_| polling.iter().all(|thread| thread.is_finished()));
            lab.close((channel, desc));
            wait_for(lab, "f", |report| report["state"] == "absent");
            call(lab, "clear", "f");
            comes_back(lab, "f");
            let channel = lab.open("f");
            read(lab, &channel, 0, 64);
            lab.close(channel);
            call(lab, "delete", "f");
            assert_eq!(lab.call("bdev_malloc_delete", json!({ "name": "m" })), Ok(json!(true)));
        }
    });
}
