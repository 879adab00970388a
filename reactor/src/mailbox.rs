//! Bounded typed mailboxes between cores.
//!
//! A mailbox has one receiver and any number of senders. It never blocks: a message that does not fit is
//! handed back, and an [`Outbox`] keeps what was handed back, in order, until the next poll.
//!
//! ```text
//!            capacity
//!   +----------------------+---------+
//!   |  Data and Control    | reserve |      Data is refused once `capacity - reserve` slots are taken;
//!   +----------------------+---------+      Control may use every slot.
//! ```
//!
//! A flood of data messages therefore never keeps a protocol message out. Messages of one sender arrive in
//! the order in which they were sent, whatever their class; nothing is promised between different senders.
//!
//! How a receiver learns that something came:
//! - by polling [`Mailbox::drain`], as a poller does; on a core that may doze it gives the core's waker
//!   ([`crate::wake::current`]) to [`Mailbox::set_waker`], so that a message ends the doze;
//! - or by awaiting [`Mailbox::recv`], on any executor.
//!
//! Nothing here needs SPDK or a reactor of ours.

mod credits;
mod doorbell;
mod outbox;

use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use self::credits::Credits;
use self::doorbell::Doorbell;
pub use self::outbox::{Flushed, Outbox};
use crate::sync::{Arc, ArrayQueue, AtomicBool, OnceLock, Ordering};

/// What a message may do when the mailbox runs full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Work, such as a forwarded write. Refused when only the reserve is left.
    Data,
    /// A protocol message (view, ack, lease, stop). May use the reserve.
    Control,
}

/// Why a message was handed back.
#[derive(PartialEq, Eq)]
pub enum SendError<T> {
    /// No free slot for this class. Send it again at the next poll, or use an [`Outbox`].
    Full(T),
    /// The receiver is gone; sending again is of no use.
    Closed(T),
}

impl<T> SendError<T> {
    /// The message that was not sent.
    pub fn into_message(self) -> T {
        match self {
            SendError::Full(message) | SendError::Closed(message) => message,
        }
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::Full(_) => "Full(..)",
            SendError::Closed(_) => "Closed(..)",
        })
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::Full(_) => "the mailbox is full; send again at the next poll",
            SendError::Closed(_) => "the mailbox's receiver is gone",
        })
    }
}

impl<T> std::error::Error for SendError<T> {}

/// Counters of one mailbox. Read while others send, they may be a message or two apart from each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MailboxStats {
    /// Messages that were taken in.
    pub sent: u64,
    /// Attempts that found no slot.
    pub refused: u64,
    /// The most slots ever taken at once.
    pub high_water: usize,
    /// Slots taken now.
    pub queued: usize,
}

struct Shared<T> {
    queue: ArrayQueue<T>,
    credits: Credits,
    /// Rung after each message for a receiver that awaits one.
    doorbell: Doorbell,
    /// Woken after each message, for a polling receiver whose core may doze.
    on_message: OnceLock<Waker>,
    /// Set once, by the receiver's drop.
    closed: AtomicBool,
}

/// The receiving end.
pub struct Mailbox<T> {
    shared: Arc<Shared<T>>,
}

/// A sending end. Clone it for each sender; the clones share the mailbox's slots.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

impl<T: Send> Mailbox<T> {
    /// A mailbox of `capacity` slots, of which data messages leave `reserve` free.
    ///
    /// # Panics
    /// Unless `reserve < capacity`: such a mailbox could never take a data message.
    pub fn new(capacity: usize, reserve: usize) -> Self {
        let shared = Shared {
            queue: ArrayQueue::new(capacity),
            credits: Credits::new(capacity, reserve),
            doorbell: Doorbell::new(),
            on_message: OnceLock::new(),
            closed: AtomicBool::new(false),
        };
        Mailbox { shared: Arc::new(shared) }
    }

    /// From now on `on_message` is woken (by reference) after each message, for a receiver that polls on a
    /// core which may doze. Of several wakers the first stays; false for the others.
    pub fn set_waker(&self, on_message: Waker) -> bool {
        self.shared.on_message.set(on_message).is_ok()
    }

    /// A new sending end.
    pub fn sender(&self) -> Sender<T> {
        Sender { shared: self.shared.clone() }
    }

    /// The oldest message, if there is one.
    pub fn try_recv(&mut self) -> Option<T> {
        let message = self.shared.queue.pop()?;
        // After the pop: whoever takes this credit must find the slot free.
        self.shared.credits.give_back();
        Some(message)
    }

    /// Hands up to `budget` messages to `handle`, oldest first, and says how many it were.
    /// `handle` may send to this very mailbox.
    pub fn drain(&mut self, budget: usize, mut handle: impl FnMut(T)) -> usize {
        for done in 0..budget {
            match self.try_recv() {
                Some(message) => handle(message),
                None => return done,
            }
        }
        budget
    }

    /// The oldest message; when there is none, `cx` is woken by the next one.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        if let Some(message) = self.try_recv() {
            return Poll::Ready(message);
        }
        self.shared.doorbell.arm(cx.waker());
        // A message that came before the doorbell was armed has rung for nobody.
        match self.try_recv() {
            Some(message) => Poll::Ready(message),
            None => Poll::Pending,
        }
    }

    /// Waits for the next message. Dropping the future loses nothing.
    pub fn recv(&mut self) -> impl Future<Output = T> + '_ {
        poll_fn(|cx| self.poll_recv(cx))
    }

    /// Whether there is nothing to receive, nor anybody just about to send.
    pub fn is_empty(&self) -> bool {
        self.stats().queued == 0
    }

    /// The counters.
    pub fn stats(&self) -> MailboxStats {
        self.shared.credits.stats()
    }
}

impl<T> Drop for Mailbox<T> {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        // What raced with the store stays in the queue until the last sender goes, and is dropped there.
        while self.shared.queue.pop().is_some() {
            self.shared.credits.give_back();
        }
    }
}

impl<T: Send> Sender<T> {
    /// Sends `message`, or hands it back. Never blocks.
    pub fn try_send(&self, class: Class, message: T) -> Result<(), SendError<T>> {
        if self.is_closed() {
            return Err(SendError::Closed(message));
        }
        if !self.shared.credits.take(class) {
            return Err(SendError::Full(message));
        }
        if self.shared.queue.push(message).is_err() {
            unreachable!("a credit stands for a free slot");
        }
        self.shared.doorbell.ring();
        if let Some(waker) = self.shared.on_message.get() {
            waker.wake_by_ref();
        }
        Ok(())
    }

    /// True once the receiver is gone.
    pub fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::Acquire)
    }

    /// The counters of the mailbox (of all its senders together).
    pub fn stats(&self) -> MailboxStats {
        self.shared.credits.stats()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Sender { shared: self.shared.clone() }
    }
}

impl<T> fmt::Debug for Mailbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Mailbox").field(&self.shared.credits.stats()).finish()
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sender").field(&self.shared.credits.stats()).finish()
    }
}
