//! Mailboxes and outboxes against a plain model, and under real threads.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use proptest::prelude::*;
use reactor::mailbox::{Class, Flushed, Mailbox, Outbox, SendError};

/// A message tells who sent it, as which of its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Message {
    sender: usize,
    number: u64,
}

#[derive(Clone, Debug)]
enum Step {
    Send { sender: usize, class: Class },
    Flush { sender: usize },
    Drain { budget: usize },
}

const SENDERS: usize = 3;

fn step() -> impl Strategy<Value = Step> {
    let class = prop_oneof![3 => Just(Class::Data), 1 => Just(Class::Control)];
    prop_oneof![
        6 => (0..SENDERS, class).prop_map(|(sender, class)| Step::Send { sender, class }),
        2 => (0..SENDERS).prop_map(|sender| Step::Flush { sender }),
        2 => (0..6usize).prop_map(|budget| Step::Drain { budget }),
    ]
}

/// What the mailbox and its outboxes should hold, in the plainest way.
struct Model {
    capacity: usize,
    data_limit: usize,
    queue: VecDeque<Message>,
    outboxes: Vec<VecDeque<(Class, Message)>>,
    sent: u64,
}

impl Model {
    fn flush(&mut self, sender: usize) -> Flushed {
        while let Some((_, message)) = self.outboxes[sender].front() {
            let pressed = self.outboxes[sender].iter().any(|(class, _)| *class == Class::Control);
            let limit = if pressed { self.capacity } else { self.data_limit };
            if self.queue.len() >= limit {
                return Flushed::Waiting;
            }
            self.queue.push_back(*message);
            self.outboxes[sender].pop_front();
            self.sent += 1;
        }
        Flushed::Empty
    }

    fn send(&mut self, class: Class, message: Message) {
        let was_empty = self.outboxes[message.sender].is_empty();
        self.outboxes[message.sender].push_back((class, message));
        if was_empty || class == Class::Control {
            self.flush(message.sender);
        }
    }
}

proptest! {
    #[test]
    fn behaves_as_the_model(
        capacity in 2..7usize,
        reserve in 0..3usize,
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let reserve = reserve.min(capacity - 1);
        let mut mailbox = Mailbox::new(capacity, reserve);
        let mut outboxes: Vec<_> = (0..SENDERS).map(|_| Outbox::new(mailbox.sender())).collect();
        let mut model = Model {
            capacity,
            data_limit: capacity - reserve,
            queue: VecDeque::new(),
            outboxes: vec![VecDeque::new(); SENDERS],
            sent: 0,
        };
        let mut numbers = [0; SENDERS];
        let mut high_water = 0;
        for step in steps {
            match step {
                Step::Send { sender, class } => {
                    let message = Message { sender, number: numbers[sender] };
                    numbers[sender] += 1;
                    outboxes[sender].send(class, message);
                    model.send(class, message);
                }
                Step::Flush { sender } => prop_assert_eq!(outboxes[sender].flush(), model.flush(sender)),
                Step::Drain { budget } => {
                    let mut got = Vec::new();
                    let count = mailbox.drain(budget, |message| got.push(message));
                    let expected: Vec<_> = model.queue.drain(..budget.min(model.queue.len())).collect();
                    prop_assert_eq!(count, got.len());
                    prop_assert_eq!(got, expected);
                }
            }
            high_water = high_water.max(model.queue.len());
            let stats = mailbox.stats();
            prop_assert_eq!((stats.queued, stats.sent), (model.queue.len(), model.sent));
            prop_assert_eq!(stats.high_water, high_water);
            for (outbox, waiting) in outboxes.iter().zip(&model.outboxes) {
                prop_assert_eq!(outbox.waiting(), waiting.len());
            }
        }
        // Nothing is lost: what was not received is still in the queue or in an outbox, in order.
        for (outbox, waiting) in outboxes.into_iter().zip(&model.outboxes) {
            prop_assert!(outbox.into_waiting().eq(waiting.iter().copied()));
        }
        let mut rest = VecDeque::new();
        mailbox.drain(usize::MAX, |message| rest.push_back(message));
        prop_assert_eq!(rest, model.queue);
    }
}

#[test]
fn control_passes_where_data_is_refused() {
    let mut mailbox = Mailbox::new(3, 1);
    let sender = mailbox.sender();
    sender.try_send(Class::Data, 1).unwrap();
    sender.try_send(Class::Data, 2).unwrap();
    assert_eq!(sender.try_send(Class::Data, 3), Err(SendError::Full(3)));
    sender.try_send(Class::Control, 4).unwrap();
    assert_eq!(sender.try_send(Class::Control, 5), Err(SendError::Full(5)));
    assert_eq!(sender.stats().refused, 2);
    let mut got = Vec::new();
    assert_eq!(mailbox.drain(10, |message| got.push(message)), 3);
    assert_eq!(got, [1, 2, 4]);
}

/// Another sender's flood fills the data slots; our data waits, and the control message behind it takes both
/// along.
#[test]
fn a_waiting_control_message_presses_what_stands_before_it() {
    let mut mailbox = Mailbox::new(4, 2);
    let flood = mailbox.sender();
    flood.try_send(Class::Data, 100).unwrap();
    flood.try_send(Class::Data, 101).unwrap();
    let mut outbox = Outbox::new(mailbox.sender());
    outbox.send(Class::Data, 1);
    assert_eq!(outbox.flush(), Flushed::Waiting);
    outbox.send(Class::Control, 2);
    assert_eq!(outbox.flush(), Flushed::Empty);
    let mut got = Vec::new();
    mailbox.drain(10, |message| got.push(message));
    assert_eq!(got, [100, 101, 1, 2]);
}

#[test]
fn a_closed_mailbox_hands_everything_back() {
    let mailbox = Mailbox::new(1, 0);
    let mut outbox = Outbox::new(mailbox.sender());
    outbox.send(Class::Data, 1);
    outbox.send(Class::Data, 2);
    outbox.send(Class::Data, 3);
    drop(mailbox);
    assert_eq!(outbox.flush(), Flushed::Closed);
    assert_eq!(outbox.sender().try_send(Class::Control, 4), Err(SendError::Closed(4)));
    assert!(outbox.into_waiting().eq([(Class::Data, 2), (Class::Data, 3)]));
}

#[test]
#[should_panic(expected = "more slots (2) than its reserve (2)")]
fn a_mailbox_of_reserve_only_is_refused() {
    Mailbox::<()>::new(2, 2);
}

#[derive(Default)]
struct CountWakes(AtomicUsize);

impl Wake for CountWakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn the_cores_waker_is_woken_by_each_message_and_the_tasks_by_the_next() {
    let core = Arc::new(CountWakes::default());
    let task = Arc::new(CountWakes::default());
    let mut mailbox = Mailbox::new(8, 0);
    assert!(mailbox.set_waker(Waker::from(core.clone())));
    assert!(!mailbox.set_waker(Waker::from(task.clone())), "the first stays");
    let sender = mailbox.sender();
    let waker = Waker::from(task.clone());
    let mut cx = Context::from_waker(&waker);
    assert!(mailbox.poll_recv(&mut cx).is_pending());
    for message in 0..3 {
        sender.try_send(Class::Data, message).unwrap();
    }
    assert_eq!(core.0.load(Ordering::SeqCst), 3);
    assert_eq!(task.0.load(Ordering::SeqCst), 1, "one wake-up for one wait");
    assert_eq!(mailbox.poll_recv(&mut cx), Poll::Ready(0));
}

/// Four threads push through outboxes into a small mailbox while one drains it in small bites.
#[test]
fn order_holds_under_real_threads() {
    const PER_SENDER: u64 = 20_000;
    let mut mailbox = Mailbox::new(16, 4);
    let senders: Vec<_> = (0..4)
        .map(|sender| {
            let mut outbox = Outbox::new(mailbox.sender());
            std::thread::spawn(move || {
                for number in 0..PER_SENDER {
                    let class = if number % 7 == 0 { Class::Control } else { Class::Data };
                    outbox.send(class, Message { sender, number });
                    while outbox.waiting() > 8 && outbox.flush() == Flushed::Waiting {
                        std::thread::yield_now();
                    }
                }
                while outbox.flush() == Flushed::Waiting {
                    std::thread::yield_now();
                }
            })
        })
        .collect();
    let mut next = [0; 4];
    while next.iter().sum::<u64>() < 4 * PER_SENDER {
        let count = mailbox.drain(5, |message| {
            assert_eq!(message.number, next[message.sender], "in order, without gaps");
            next[message.sender] += 1;
        });
        if count == 0 {
            std::thread::yield_now();
        }
    }
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    assert_eq!(mailbox.stats().sent, 4 * PER_SENDER);
    assert!(mailbox.stats().high_water <= 16);
    assert_eq!(mailbox.try_recv(), None);
}
