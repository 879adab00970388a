//! What a sender could not send yet.

use std::collections::VecDeque;

use super::{Class, SendError, Sender};

/// How a [`Outbox::flush`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// Nothing waits any more.
    Empty,
    /// The mailbox is full; the rest waits for the next flush.
    Waiting,
    /// The receiver is gone; the rest can only be taken back ([`Outbox::into_waiting`]).
    Closed,
}

/// One sender's queue in front of a mailbox: messages that the mailbox refused wait here, in order, and go
/// out at the next [`flush`](Outbox::flush), which the owner calls at every poll.
///
/// Order is kept whatever the class, so a control message waits behind the data messages that this sender
/// sent before it. So that it is not held up there, everything up to the last waiting control message may use
/// the mailbox's reserve.
#[derive(Debug)]
pub struct Outbox<T> {
    sender: Sender<T>,
    waiting: VecDeque<(Class, T)>,
    waiting_controls: usize,
    high_water: usize,
}

impl<T: Send> Outbox<T> {
    /// An empty outbox in front of `sender`'s mailbox.
    pub fn new(sender: Sender<T>) -> Self {
        Outbox { sender, waiting: VecDeque::new(), waiting_controls: 0, high_water: 0 }
    }

    /// Sends `message` at once if nothing waits before it and the mailbox takes it; keeps it otherwise.
    pub fn send(&mut self, class: Class, message: T) {
        let refused = if self.waiting.is_empty() {
            match self.sender.try_send(class, message) {
                Ok(()) => return,
                Err(error) => error.into_message(),
            }
        } else {
            message
        };
        self.waiting.push_back((class, refused));
        self.high_water = self.high_water.max(self.waiting.len());
        if class == Class::Control {
            self.waiting_controls += 1;
            self.flush();
        }
    }

    /// Sends what waits, oldest first, as far as the mailbox takes it.
    pub fn flush(&mut self) -> Flushed {
        while let Some((class, message)) = self.waiting.pop_front() {
            let pressed = if self.waiting_controls > 0 { Class::Control } else { Class::Data };
            match self.sender.try_send(pressed, message) {
                Ok(()) => self.waiting_controls -= usize::from(class == Class::Control),
                Err(error) => {
                    let flushed = match error {
                        SendError::Full(_) => Flushed::Waiting,
                        SendError::Closed(_) => Flushed::Closed,
                    };
                    self.waiting.push_front((class, error.into_message()));
                    return flushed;
                }
            }
        }
        Flushed::Empty
    }

    /// How many messages wait here.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The most messages that ever waited here.
    pub fn high_water(&self) -> usize {
        self.high_water
    }

    /// The sender behind this outbox. Sending past waiting messages gives up their order.
    pub fn sender(&self) -> &Sender<T> {
        &self.sender
    }

    /// Takes back what was not sent, oldest first.
    pub fn into_waiting(self) -> impl Iterator<Item = (Class, T)> {
        self.waiting.into_iter()
    }
}
