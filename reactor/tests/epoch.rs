//! Epochs: no wake-up is lost, whoever comes, goes or waits when.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::Mutex;
use std::task::{Context, Poll, Wake, Waker};

use proptest::prelude::*;
use reactor::epoch::{Epoch, EpochClosed, Reached};
use reactor::mailbox::{Class, Mailbox};

/// Notes its name when it is woken.
struct Named {
    name: usize,
    woken: Arc<Mutex<Vec<usize>>>,
}

impl Wake for Named {
    fn wake(self: Arc<Self>) {
        self.woken.lock().unwrap().push(self.name);
    }
}

#[derive(Default)]
struct Journal(Arc<Mutex<Vec<usize>>>);

impl Journal {
    fn waker(&self, name: usize) -> Waker {
        Waker::from(Arc::new(Named { name, woken: self.0.clone() }))
    }

    fn take(&self) -> Vec<usize> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn poll(wait: &mut Reached, waker: &Waker) -> Poll<Result<u64, EpochClosed>> {
    Pin::new(wait).poll(&mut Context::from_waker(waker))
}

#[test]
fn a_level_that_was_reached_before_stays_reached() {
    let epoch = Epoch::new(3);
    assert_eq!(epoch.advance(), 4);
    assert_eq!(poll(&mut epoch.reached(2), Waker::noop()), Poll::Ready(Ok(4)));
    assert!(!epoch.set(4), "already there");
    assert!(!epoch.set(1), "never lower");
    assert_eq!(epoch.current(), 4);
    assert!(epoch.set(9));
    assert_eq!(epoch.watch().current(), 9);
}

#[test]
fn waiters_are_woken_lowest_level_first_then_in_order_of_arrival() {
    let (epoch, journal) = (Epoch::new(0), Journal::default());
    let levels = [5, 2, 9, 2, 5];
    let mut waits: Vec<_> = levels.iter().map(|level| epoch.reached(*level)).collect();
    for (name, wait) in waits.iter_mut().enumerate() {
        assert!(poll(wait, &journal.waker(name)).is_pending());
    }
    epoch.set(1);
    assert!(journal.take().is_empty());
    epoch.set(6);
    assert_eq!(journal.take(), [1, 3, 0, 4]);
    assert_eq!(poll(&mut waits[0], Waker::noop()), Poll::Ready(Ok(6)));
    assert!(poll(&mut waits[2], Waker::noop()).is_pending());
}

#[test]
fn a_dropped_waiter_is_forgotten_and_hurts_nobody() {
    let (epoch, journal) = (Epoch::new(0), Journal::default());
    let mut gone = epoch.reached(1);
    let mut stays = epoch.reached(1);
    assert!(poll(&mut gone, &journal.waker(0)).is_pending());
    assert!(poll(&mut stays, &journal.waker(1)).is_pending());
    drop(gone);
    epoch.advance();
    assert_eq!(journal.take(), [1]);
}

#[test]
fn the_waker_of_the_last_poll_counts() {
    let (epoch, journal) = (Epoch::new(0), Journal::default());
    let mut wait = epoch.reached(1);
    assert!(poll(&mut wait, &journal.waker(0)).is_pending());
    assert!(poll(&mut wait, &journal.waker(1)).is_pending());
    epoch.advance();
    assert_eq!(journal.take(), [1]);
}

#[test]
fn the_end_of_the_owner_ends_every_wait() {
    let (epoch, journal) = (Epoch::new(7), Journal::default());
    let watch = epoch.watch();
    let mut wait = watch.reached(8);
    assert!(poll(&mut wait, &journal.waker(0)).is_pending());
    drop(epoch);
    assert_eq!(journal.take(), [0]);
    assert_eq!(poll(&mut wait, Waker::noop()), Poll::Ready(Err(EpochClosed { wanted: 8, last: 7 })));
    assert_eq!(poll(&mut watch.reached(7), Waker::noop()), Poll::Ready(Ok(7)));
}

/// A waker that, when woken, drops one wait, adds another, and raises the level again.
#[test]
fn a_waker_may_do_as_it_likes() {
    struct Meddler;
    thread_local! {
        static PLAN: RefCell<Option<(Rc<Epoch>, Reached)>> = const { RefCell::new(None) };
        static ADDED: RefCell<Option<Reached>> = const { RefCell::new(None) };
    }
    impl Wake for Meddler {
        fn wake(self: Arc<Self>) {
            let Some((epoch, other)) = PLAN.take() else { return };
            drop(other);
            let mut added = epoch.reached(2);
            assert!(poll(&mut added, Waker::noop()).is_pending());
            ADDED.set(Some(added));
            epoch.advance();
        }
    }
    let (epoch, journal) = (Rc::new(Epoch::new(0)), Journal::default());
    let mut meddling = epoch.reached(1);
    let mut other = epoch.reached(1);
    let mut last = epoch.reached(1);
    assert!(poll(&mut meddling, &Waker::from(Arc::new(Meddler))).is_pending());
    assert!(poll(&mut other, &journal.waker(1)).is_pending());
    assert!(poll(&mut last, &journal.waker(2)).is_pending());
    PLAN.set(Some((epoch.clone(), other)));
    epoch.advance();
    assert_eq!(epoch.current(), 2);
    assert_eq!(journal.take(), [2], "the dropped one is not woken, the next one is");
    assert_eq!(
        ADDED.with_borrow_mut(|added| poll(added.as_mut().unwrap(), Waker::noop())),
        Poll::Ready(Ok(2))
    );
}

/// The owner's level crosses to another thread as messages; the copy there wakes its waiters.
#[test]
fn a_copy_on_another_core_follows_through_a_mailbox() {
    let mut mailbox = Mailbox::new(4, 1);
    let sender = mailbox.sender();
    let owner = std::thread::spawn(move || {
        let epoch = Epoch::new(0);
        for _ in 0..1000 {
            let mut message = epoch.advance();
            while let Err(refused) = sender.try_send(Class::Control, message) {
                message = refused.into_message();
                std::thread::yield_now();
            }
        }
    });
    let (copy, journal) = (Epoch::new(0), Journal::default());
    let mut waits: Vec<_> = (1..=10).map(|tenth| copy.reached(tenth * 100)).collect();
    for (name, wait) in waits.iter_mut().enumerate() {
        assert!(poll(wait, &journal.waker(name)).is_pending());
    }
    while copy.current() < 1000 {
        mailbox.drain(3, |level| {
            copy.set(level);
        });
        std::thread::yield_now();
    }
    owner.join().unwrap();
    assert_eq!(journal.take(), (0..10).collect::<Vec<_>>());
}

#[derive(Clone, Debug)]
enum Step {
    Wait { ahead: u64 },
    Drop { which: usize },
    Raise { by: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..6u64).prop_map(|ahead| Step::Wait { ahead }),
        1 => (0..20usize).prop_map(|which| Step::Drop { which }),
        2 => (1..4u64).prop_map(|by| Step::Raise { by }),
    ]
}

proptest! {
    /// Every wait that still exists is woken exactly by the raise that reaches its level.
    #[test]
    fn each_wait_is_woken_when_its_level_comes(steps in prop::collection::vec(step(), 1..80)) {
        let (epoch, journal) = (Epoch::new(0), Journal::default());
        let mut waits: Vec<(usize, u64, Reached)> = Vec::new();
        for (name, step) in steps.into_iter().enumerate() {
            match step {
                Step::Wait { ahead } => {
                    let wanted = epoch.current() + ahead;
                    let mut wait = epoch.reached(wanted);
                    let ready = poll(&mut wait, &journal.waker(name)).is_ready();
                    prop_assert_eq!(ready, ahead == 0);
                    if !ready {
                        waits.push((name, wanted, wait));
                    }
                }
                Step::Drop { which } if !waits.is_empty() => drop(waits.remove(which % waits.len())),
                Step::Drop { .. } => {}
                Step::Raise { by } => {
                    let level = epoch.current() + by;
                    epoch.set(level);
                    let mut due: Vec<_> = waits.extract_if(.., |(_, wanted, _)| *wanted <= level).collect();
                    due.sort_by_key(|(name, wanted, _)| (*wanted, *name));
                    prop_assert_eq!(journal.take(), due.iter().map(|(name, ..)| *name).collect::<Vec<_>>());
                    for (_, _, wait) in &mut due {
                        prop_assert_eq!(poll(wait, Waker::noop()), Poll::Ready(Ok(level)));
                    }
                }
            }
        }
    }
}
