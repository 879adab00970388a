//! The mailbox itself (the very source files) over loom's primitives: every interleaving, and every value
//! that the memory model allows a load to return, of a few threads. Only crossbeam's queue is replaced, by
//! [`sync::ArrayQueue`], a ring of the same design without its extra fences: what holds over the ring holds
//! over the stronger queue.

#[path = "../src"]
mod source {
    pub mod mailbox;
}

mod sync {
    use loom::sync::atomic::AtomicUsize as Stamp;
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
    pub(crate) use loom::sync::{Arc, Mutex};
    pub(crate) use std::sync::OnceLock;

    /// A bounded queue with a stamp per slot: `stamp == position` is empty, `position + 1` is filled.
    pub(crate) struct ArrayQueue<T> {
        slots: Vec<(Stamp, Mutex<Option<T>>)>,
        head: Stamp,
        tail: Stamp,
    }

    impl<T> ArrayQueue<T> {
        pub(crate) fn new(capacity: usize) -> Self {
            let slots = (0..capacity).map(|at| (Stamp::new(at), Mutex::new(None))).collect();
            ArrayQueue { slots, head: Stamp::new(0), tail: Stamp::new(0) }
        }

        pub(crate) fn push(&self, value: T) -> Result<(), T> {
            let mut tail = self.tail.load(Ordering::Relaxed);
            loop {
                let (stamp, slot) = &self.slots[tail % self.slots.len()];
                let seen = stamp.load(Ordering::Acquire);
                if seen < tail {
                    return Err(value);
                }
                if seen > tail {
                    tail = self.tail.load(Ordering::Relaxed);
                    continue;
                }
                match self.tail.compare_exchange(tail, tail + 1, Ordering::Relaxed, Ordering::Relaxed) {
                    Ok(_) => {
                        *slot.lock().unwrap() = Some(value);
                        stamp.store(tail + 1, Ordering::Release);
                        return Ok(());
                    }
                    Err(now) => tail = now,
                }
            }
        }

        pub(crate) fn pop(&self) -> Option<T> {
            let head = self.head.load(Ordering::Relaxed);
            let (stamp, slot) = &self.slots[head % self.slots.len()];
            if stamp.load(Ordering::Acquire) != head + 1 {
                return None;
            }
            let value = slot.lock().unwrap().take();
            self.head.store(head + 1, Ordering::Relaxed);
            stamp.store(head + self.slots.len(), Ordering::Release);
            value
        }
    }
}

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, Wake, Waker};

use loom::sync::Notify;
use loom::thread;
use source::mailbox::{Class, Flushed, Mailbox, MailboxStats, Outbox, SendError};

struct WakeUp(Notify);

impl Wake for WakeUp {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.notify();
    }
}

/// Waits until `future` is done. loom reports a deadlock when a wake-up is lost.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let wake_up = std::sync::Arc::new(WakeUp(Notify::new()));
    let waker = Waker::from(wake_up.clone());
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(value) => return value,
            Poll::Pending => wake_up.0.wait(),
        }
    }
}

/// All interleavings with at most so many preemptions.
fn with_preemptions(bound: usize, check: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(bound);
    model.check(check);
}

#[test]
fn a_waiting_receiver_is_never_left_asleep() {
    with_preemptions(4, || {
        let mut mailbox = Mailbox::new(2, 1);
        let sender = mailbox.sender();
        let sending = thread::spawn(move || {
            sender.try_send(Class::Data, 1).expect("an empty mailbox");
            sender.try_send(Class::Control, 2).expect("the reserve");
        });
        assert_eq!(block_on(mailbox.recv()), 1);
        assert_eq!(block_on(mailbox.recv()), 2);
        sending.join().unwrap();
    });
}

#[test]
fn two_senders_wake_one_receiver() {
    // Three threads make too many interleavings to try all.
    with_preemptions(2, || {
        let mut mailbox = Mailbox::new(2, 0);
        let senders: Vec<_> = [10, 20]
            .into_iter()
            .map(|message| {
                let sender = mailbox.sender();
                thread::spawn(move || sender.try_send(Class::Data, message).expect("a slot for each"))
            })
            .collect();
        let first = block_on(poll_fn(|cx| mailbox.poll_recv(cx)));
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        let second = mailbox.try_recv().expect("both have sent");
        assert_eq!(first + second, 30);
    });
}

#[test]
fn racing_data_never_takes_the_reserve() {
    loom::model(|| {
        let mailbox = Mailbox::new(2, 1);
        let racing: Vec<_> = (0..2)
            .map(|message| {
                let sender = mailbox.sender();
                thread::spawn(move || sender.try_send(Class::Data, message).is_ok())
            })
            .collect();
        let sent = racing.into_iter().map(|racer| racer.join().unwrap()).filter(|sent| *sent).count();
        assert_eq!(sent, 1, "one slot is not reserved");
        mailbox.sender().try_send(Class::Control, 9).expect("the reserve is still there");
        assert_eq!(mailbox.stats(), MailboxStats { sent: 2, refused: 1, high_water: 2, queued: 2 });
    });
}

/// The slot behind a credit is free at once, although the receiver empties it at the same time: `try_send`
/// would panic.
#[test]
fn a_credit_stands_for_a_free_slot() {
    loom::model(|| {
        let mut mailbox = Mailbox::new(1, 0);
        let sender = mailbox.sender();
        sender.try_send(Class::Data, 1).expect("an empty mailbox");
        let sending = thread::spawn(move || {
            let refused = sender.try_send(Class::Data, 2).map_err(SendError::into_message);
            assert!(matches!(refused, Ok(()) | Err(2)));
            refused.is_ok()
        });
        let mut got = Vec::new();
        mailbox.drain(2, |message| got.push(message));
        if sending.join().unwrap() {
            mailbox.drain(2, |message| got.push(message));
            assert_eq!(got, [1, 2]);
        } else {
            assert_eq!(got, [1]);
        }
    });
}

#[test]
fn an_outbox_keeps_order_and_loses_nothing() {
    loom::model(|| {
        let mut mailbox = Mailbox::new(2, 1);
        let mut outbox = Outbox::new(mailbox.sender());
        let sending = thread::spawn(move || {
            outbox.send(Class::Data, 1);
            outbox.send(Class::Data, 2);
            outbox.send(Class::Control, 3);
            let flushed = outbox.flush();
            assert_eq!(flushed == Flushed::Empty, outbox.waiting() == 0);
            assert!(outbox.high_water() >= outbox.waiting());
            outbox
        });
        let mut got = Vec::new();
        mailbox.drain(1, |message| got.push(message));
        let outbox = sending.join().unwrap();
        assert_eq!(outbox.sender().stats(), mailbox.stats());
        while let Some(message) = mailbox.try_recv() {
            got.push(message);
        }
        assert!(mailbox.is_empty());
        got.extend(outbox.into_waiting().map(|(_, message)| message));
        assert_eq!(got, [1, 2, 3]);
    });
}

/// Whatever a closing mailbox does not hand back it drops, once, with the last end at the latest.
#[test]
fn a_closing_mailbox_drops_each_message_once() {
    loom::model(|| {
        let message = loom::sync::Arc::new(());
        let mailbox = Mailbox::new(2, 0);
        assert!(mailbox.set_waker(Waker::noop().clone()));
        let sender = mailbox.sender();
        let sent = message.clone();
        let sending = thread::spawn(move || match sender.try_send(Class::Control, sent) {
            Ok(()) => {}
            Err(error) => {
                assert_eq!(error.to_string(), "the mailbox's receiver is gone");
                assert!(sender.is_closed());
                assert_eq!(sender.stats().sent, 0);
            }
        });
        drop(mailbox);
        sending.join().unwrap();
        assert!(loom::sync::Arc::try_unwrap(message).is_ok(), "no clone is left anywhere");
    });
}
