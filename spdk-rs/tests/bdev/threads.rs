//! Threads that use one bdev at the same time, each with a channel of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use spdk_rs::bdev::{Channel, Descriptor};
use spdk_rs::dma::DmaBuf;
use spdk_rs::thread::PinKind;

use crate::in_lab;
use crate::stripe::over_malloc;

#[derive(Default)]
struct Shared {
    done: AtomicU64,
    stop: AtomicBool,
    /// Chains of I/O that go on.
    going: AtomicU64,
}

/// Writes a block of `fill` bytes and reads it back, over and over, on the blocks of its own.
fn write_and_read(channel: std::rc::Rc<Channel>, shared: Arc<Shared>, base: u64, step: u64, fill: u8) {
    if shared.stop.load(Ordering::Relaxed) {
        shared.going.fetch_sub(1, Ordering::Relaxed);
        return;
    }
    let lba = base + step % 90 * 20;
    let mut buffer = DmaBuf::new(18 * 512, 512).expect("memory");
    buffer.fill(fill.wrapping_add(step as u8));
    let again = channel.clone();
    channel.write_with(lba, buffer, move |result, mut buffer| {
        assert_eq!(result, Ok(()));
        buffer.fill(0);
        let channel = again.clone();
        again.read_with(lba, buffer, move |result, buffer| {
            assert_eq!(result, Ok(()));
            assert!(buffer.iter().all(|&byte| byte == fill.wrapping_add(step as u8)));
            shared.done.fetch_add(1, Ordering::Relaxed);
            write_and_read(channel, shared, base, step + 1, fill);
        });
    });
}

#[test]
fn channels_keep_their_thread_on_its_os_thread() {
    in_lab(test_name!(), |lab| {
        let (stripe, counters) = over_malloc(lab);
        let descriptor = lab.on_app(|| Descriptor::open("s", false, |_| {}).expect("s"));
        let handle = lab.spawn("second");
        let mut second = lab.give_away();
        assert_eq!(second.release(), Ok(()));
        let channel = second.enter(|| descriptor.channel()).expect("a channel");
        let pins = second.release().expect_err("it has channels");
        assert_eq!(pins.count(PinKind::Channel), 1, "the stripe's: {pins}");
        assert!(pins.count(PinKind::BdevChannel) > 1, "ours, and the stripe's to its members: {pins}");
        second.enter(|| drop(channel));
        assert!(second.release().is_err(), "SPDK closes it at the next poll");
        // What the stripe keeps in reserve comes back after its channel is closed.
        lab.until("the stripe's channel is closed, and nothing is pinned", |_| {
            second.poll(0);
            counters.channels.load(Ordering::Relaxed) == 0 && second.release() == Ok(())
        });
        // SPDK's own channels, which are closed last, go where the thread goes.
        drop(handle);
        let end = thread::spawn(move || {
            while !second.is_exited() {
                second.poll(0);
            }
            second.destroy();
        });
        end.join().expect("the second thread ends");
        lab.on_app(|| drop((descriptor, stripe)));
    });
}

#[test]
fn two_threads_use_one_bdev() {
    in_lab(test_name!(), |lab| {
        let (stripe, counters) = over_malloc(lab);
        let descriptor = lab.on_app(|| Descriptor::open("s", true, |_| {}).expect("s"));
        let handle = lab.spawn("second");
        let mut second = lab.give_away();
        let shared = [Arc::new(Shared::default()), Arc::new(Shared::default())];
        let begin = |descriptor: &Arc<Descriptor>, shared: &Arc<Shared>, base: u64, fill: u8| {
            let channel = std::rc::Rc::new(descriptor.channel().expect("a channel"));
            shared.going.fetch_add(1, Ordering::Relaxed);
            write_and_read(channel, shared.clone(), base, 0, fill);
        };
        let (theirs, opened) = (shared[1].clone(), descriptor.clone());
        handle.send(move || begin(&opened, &theirs, 2000, 100)).expect("the thread takes messages");
        let poller = thread::spawn(move || {
            while !second.is_exited() {
                second.poll(0);
            }
            second.destroy();
        });
        lab.on_app(|| begin(&descriptor, &shared[0], 0, 1));
        lab.until("both have worked", |_| {
            shared.iter().all(|shared| shared.done.load(Ordering::Relaxed) > 3000)
        });
        assert_eq!(counters.channels.load(Ordering::Relaxed), 2);
        for shared in &shared {
            shared.stop.store(true, Ordering::Relaxed);
        }
        lab.until("both have stopped", |_| {
            shared.iter().all(|shared| shared.going.load(Ordering::Relaxed) == 0)
        });
        drop(handle);
        poller.join().expect("the second thread ends");
        lab.until("the channels are closed", |_| counters.channels.load(Ordering::Relaxed) == 0);
        lab.on_app(|| drop((descriptor, stripe)));
    });
}
